//! `aws.placement_group`: where instances stand to each other (EC2 CreatePlacementGroup). A cluster group is in one
//! availability zone; at most 500 groups per region. Its identifier is AWS's (`pg-…`), though AWS deletes by name.

use super::Tags;
use super::cloud::{Cloud, empty};
use super::ec2::{born_with, filter, of_deployment, pairs, retag};
use super::error::Answer;
use super::resource::{EC2_VISIBILITY, Resource, Seen, shown};
use super::tags::{hidden_namesake, same_creation};
use crate::planned::{FREE, Planned, replace};
use aws_sdk_ec2::types::{Filter, PlacementGroup, PlacementGroupState, PlacementStrategy, ResourceType};
use forge_engine::address::Deployment;
use forge_engine::kind as engine;
use forge_engine::kind::{Effect, Hourly, KindError, Observed, OnIdentifier, Readiness, Recovery, Typical};
use futures::future::try_join_all;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What can be chosen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Its name, unique in the region.
    pub name: String,
    /// How instances are placed.
    #[serde(default)]
    pub strategy: Strategy,
    /// Number of partitions, 1 to 7; of the strategy `partition` only.
    #[serde(default)]
    #[schemars(range(min = 1, max = 7))]
    pub partitions: Option<u8>,

    /// Tags, besides those that forge sets.
    #[serde(default)]
    pub tags: Tags,
}

/// How instances are placed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// Close together, for the shortest network paths.
    #[default]
    Cluster,
    /// In groups that share no rack.
    Partition,
    /// Each on hardware of its own.
    Spread,
}

impl Planned for Spec {
    const NAME: &'static str = "aws.placement_group";
    const OUTPUTS: &'static [&'static str] = &["id", "name", "arn"];
    const SERVICE: &'static str = "ec2";
    /// Estimate: done when the call returns.
    const TYPICAL: Typical = Typical::seconds(1, 1, 1);

    fn effect(field: &str, before: &Self, after: &Self) -> Effect {
        match field {
            "name" | "strategy" | "partitions" => replace(before.name != after.name),
            _ => Effect::InPlace,
        }
    }

    fn hourly(&self, _region: Option<&str>) -> Option<Hourly> {
        FREE
    }
}

impl Resource for Spec {
    /// Names are unique in a region.
    const RECOVERY: Recovery = Recovery::Token;
    const VISIBILITY: Duration = EC2_VISIBILITY;
    const ACTIONS: &'static [&'static str] = &[
        "ec2:CreatePlacementGroup",
        "ec2:DescribePlacementGroups",
        "ec2:DeletePlacementGroup",
        "ec2:DescribeTags",
        "ec2:CreateTags",
        "ec2:DeleteTags",
    ];

    /// One at a time: no filter takes identifiers, and an identifier that is gone hides the others.
    async fn read_many(cloud: &Cloud, ids: &[String]) -> Result<Vec<Option<Observed>>, KindError> {
        try_join_all(ids.iter().map(|id| async move { Ok(by_id(cloud, id).await?.and_then(observed)) })).await
    }

    async fn create(
        &self,
        cloud: &Cloud,
        tags: &engine::Tags,
        on_identifier: OnIdentifier<'_>,
    ) -> Result<Observed, KindError> {
        const CALL: &str = "ec2:CreatePlacementGroup";
        let call = cloud.ec2().await.create_placement_group().group_name(&self.name).strategy(self.strategy.into());
        let call = call.set_partition_count(self.partitions.map(i32::from));
        let call = call.tag_specifications(born_with(ResourceType::PlacementGroup, tags, &self.tags));
        match call.send().await.unless(&["InvalidPlacementGroup.Duplicate"], cloud, CALL)? {
            Some(answer) => {
                let group = answer.placement_group.ok_or_else(|| empty(CALL))?;
                on_identifier(group.group_id.as_deref().ok_or_else(|| empty(CALL))?);
                observed(group).ok_or_else(|| empty(CALL))
            }
            None => {
                let what = format!("placement group {}", self.name);
                let namesakes = groups(cloud, filter("group-name", [&self.name])).await?;
                let found = namesakes.into_iter().find_map(observed).ok_or_else(|| hidden_namesake(&what))?;
                same_creation(&what, found.tags.as_ref(), tags)?;
                on_identifier(&found.id);
                Ok(found)
            }
        }
    }

    async fn update(
        &self,
        cloud: &Cloud,
        id: &str,
        _before: Option<&Self>,
        tags: &engine::Tags,
    ) -> Result<Observed, KindError> {
        retag(cloud, id, tags, &self.tags).await?;
        shown(id, Self::read_many(cloud, &[id.to_owned()]).await?)
    }

    async fn delete(cloud: &Cloud, id: &str) -> Result<(), KindError> {
        // Another group may have the name by now.
        let Some(name) = by_id(cloud, id).await?.and_then(|group| group.group_name) else { return Ok(()) };
        let gone = cloud.ec2().await.delete_placement_group().group_name(name).send().await;
        gone.of_present(cloud, "ec2:DeletePlacementGroup").map(drop)
    }

    async fn list(cloud: &Cloud, deployment: &Deployment) -> Result<Vec<Observed>, KindError> {
        Ok(groups(cloud, of_deployment(deployment)).await?.into_iter().filter_map(observed).collect())
    }
}

impl From<Strategy> for PlacementStrategy {
    fn from(strategy: Strategy) -> Self {
        match strategy {
            Strategy::Cluster => Self::Cluster,
            Strategy::Partition => Self::Partition,
            Strategy::Spread => Self::Spread,
        }
    }
}

async fn by_id(cloud: &Cloud, id: &str) -> Result<Option<PlacementGroup>, KindError> {
    let answer = cloud.ec2().await.describe_placement_groups().group_ids(id).send().await;
    let groups = answer.of_present(cloud, "ec2:DescribePlacementGroups")?;
    Ok(groups.and_then(|answer| answer.placement_groups).and_then(|groups| groups.into_iter().next()))
}

async fn groups(cloud: &Cloud, which: Filter) -> Result<Vec<PlacementGroup>, KindError> {
    let answer = cloud.ec2().await.describe_placement_groups().filters(which).send().await;
    Ok(answer.of(cloud, "ec2:DescribePlacementGroups")?.placement_groups.unwrap_or_default())
}

/// The number of partitions is left out: nobody can change it, and AWS fills it in where none is asked for.
fn observed(group: PlacementGroup) -> Option<Observed> {
    let readiness = match group.state {
        Some(PlacementGroupState::Deleted) => return None,
        Some(PlacementGroupState::Available) | None => Readiness::Ready,
        Some(state) => Readiness::Waiting(format!("the placement group is {state}")),
    };
    let id = group.group_id?;
    let seen = Seen::new(id.clone(), pairs(group.tags))
        .known("name", group.group_name.as_deref())
        .known("strategy", group.strategy.as_ref().map(PlacementStrategy::as_str))
        .output("id", id)
        .gives("name", group.group_name)
        .gives("arn", group.group_arn)
        .readiness(readiness);
    Some(seen.done())
}
