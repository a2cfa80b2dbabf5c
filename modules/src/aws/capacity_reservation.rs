//! `aws.capacity_reservation`: on-demand instances that are kept free for us (EC2 CreateCapacityReservation), paid
//! whether they run or not, and cancelled with the deployment.

use super::Tags;
use super::capacity::{self, State, moment, reservations, state, text, time};
use super::cloud::{Cloud, empty};
use super::ec2::{born_with, pairs, retag};
use super::error::Answer;
use super::price;
use super::resource::{EC2_VISIBILITY, Resource, Seen, in_order, shown};
use crate::planned::Planned;
use aws_sdk_ec2::types::{
    CapacityReservation, CapacityReservationInstancePlatform, EndDateType, InstanceMatchCriteria, ResourceType,
};
use forge_engine::address::Deployment;
use forge_engine::kind as engine;
use forge_engine::kind::{Effect, Hourly, KindError, Observed, OnIdentifier, Readiness, Recovery, Typical};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use std::time::Duration;

/// What can be chosen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// The instance type.
    pub instance_type: String,
    /// Name of the availability zone.
    pub zone: String,
    /// How many instances.
    #[schemars(range(min = 1))]
    pub count: u32,
    /// Whether only instances that name it run in it; else any that fits.
    #[serde(default = "yes")]
    pub targeted: bool,
    /// When it ends by itself, as an RFC 3339 time; never when absent.
    #[serde(default, deserialize_with = "moment")]
    pub ends: Option<String>,
    /// ARN of the placement group whose instances it is for.
    #[serde(default)]
    pub placement_group: Option<String>,

    /// Tags, besides those that forge sets.
    #[serde(default)]
    pub tags: Tags,
}

fn yes() -> bool {
    true
}

impl Planned for Spec {
    const NAME: &'static str = "aws.capacity_reservation";
    const OUTPUTS: &'static [&'static str] = &["id", "arn"];
    const SERVICE: &'static str = "ec2";
    /// Estimate.
    const TYPICAL: Typical = Typical::seconds(10, 5, 10);

    fn effect(field: &str, _before: &Self, _after: &Self) -> Effect {
        match field {
            "instance_type" | "zone" | "placement_group" => Effect::ReplaceCreateFirst,
            _ => Effect::InPlace,
        }
    }

    /// A reservation costs what its instances would, whether they run or not; those that run in it cost nothing more.
    fn hourly(&self, region: Option<&str>) -> Option<Hourly> {
        price::on_demand(region, &self.instance_type, self.count)
    }
}

impl Resource for Spec {
    const RECOVERY: Recovery = Recovery::Token;
    const VISIBILITY: Duration = EC2_VISIBILITY;
    /// One call answers for all of them.
    const READ_BATCH: usize = 100;
    const ACTIONS: &'static [&'static str] = &[
        "ec2:CreateCapacityReservation",
        "ec2:DescribeCapacityReservations",
        "ec2:ModifyCapacityReservation",
        "ec2:CancelCapacityReservation",
        "ec2:DescribeTags",
        "ec2:CreateTags",
        "ec2:DeleteTags",
    ];

    async fn read_many(cloud: &Cloud, ids: &[String]) -> Result<Vec<Option<Observed>>, KindError> {
        Ok(in_order(ids, reservations(cloud, false).await?.into_iter().filter_map(observed).collect()))
    }

    async fn create(
        &self,
        cloud: &Cloud,
        tags: &engine::Tags,
        on_identifier: OnIdentifier<'_>,
    ) -> Result<Observed, KindError> {
        const CALL: &str = "ec2:CreateCapacityReservation";
        let ends = time("ends", self.ends.as_deref())?;
        let call = cloud.ec2().await.create_capacity_reservation().client_token(&tags.operation.0);
        let call = call.instance_type(&self.instance_type).availability_zone(&self.zone).instance_count(self.instances());
        let call = call.instance_platform(CapacityReservationInstancePlatform::LinuxUnix);
        let call = call.instance_match_criteria(self.criteria()).end_date_type(self.end()).set_end_date(ends);
        let call = call.set_placement_group_arn(self.placement_group.clone());
        let call = call.tag_specifications(born_with(ResourceType::CapacityReservation, tags, &self.tags));
        let made = call.send().await.of(cloud, CALL)?.capacity_reservation.ok_or_else(|| empty(CALL))?;
        let id = made.capacity_reservation_id.clone().ok_or_else(|| empty(CALL))?;
        on_identifier(&id);
        shown(&id, vec![observed(made)])
    }

    async fn update(
        &self,
        cloud: &Cloud,
        id: &str,
        _before: Option<&Self>,
        tags: &engine::Tags,
    ) -> Result<Observed, KindError> {
        retag(cloud, id, tags, &self.tags).await?;
        let observed = shown(id, Self::read_many(cloud, &[id.to_owned()]).await?)?;
        let is = |name: &str, value: Json| observed.spec.get(name) == Some(&value);
        if is("count", self.count.into()) && is("targeted", self.targeted.into()) && is("ends", self.ends.clone().into()) {
            return Ok(observed);
        }
        let ends = time("ends", self.ends.as_deref())?;
        let call = cloud.ec2().await.modify_capacity_reservation().capacity_reservation_id(id);
        let call = call.instance_count(self.instances()).instance_match_criteria(self.criteria());
        let call = call.end_date_type(self.end()).set_end_date(ends);
        call.send().await.of(cloud, "ec2:ModifyCapacityReservation")?;
        shown(id, Self::read_many(cloud, &[id.to_owned()]).await?)
    }

    async fn delete(cloud: &Cloud, id: &str) -> Result<(), KindError> {
        let call = cloud.ec2().await.cancel_capacity_reservation().capacity_reservation_id(id);
        let gone = call.send().await.of_present(cloud, "ec2:CancelCapacityReservation");
        let Err(refused) = gone else { return Ok(()) };
        // One that is over already cannot be cancelled, and is gone.
        match Self::read_many(cloud, &[id.to_owned()]).await?.pop().flatten() {
            Some(_) => Err(refused),
            None => Ok(()),
        }
    }

    async fn list(cloud: &Cloud, deployment: &Deployment) -> Result<Vec<Observed>, KindError> {
        Ok(capacity::of(reservations(cloud, false).await?, deployment).filter_map(observed).collect())
    }
}

impl Spec {
    fn instances(&self) -> i32 {
        i32::try_from(self.count).unwrap_or(i32::MAX)
    }

    fn criteria(&self) -> InstanceMatchCriteria {
        if self.targeted { InstanceMatchCriteria::Targeted } else { InstanceMatchCriteria::Open }
    }

    fn end(&self) -> EndDateType {
        if self.ends.is_some() { EndDateType::Limited } else { EndDateType::Unlimited }
    }
}

/// The reservation, unless it is over.
fn observed(found: CapacityReservation) -> Option<Observed> {
    let readiness = match state(&found) {
        State::Held => Readiness::Ready,
        State::Coming(state) => Readiness::Waiting(format!("the capacity reservation is {state}")),
        State::Failed(state) => Readiness::Failed(format!("the capacity reservation is {state}")),
        State::Over => return None,
    };
    let id = found.capacity_reservation_id?;
    let seen = Seen::new(id.clone(), pairs(found.tags))
        .known("instance_type", found.instance_type)
        .known("zone", found.availability_zone)
        .known("count", found.total_instance_count)
        .known("targeted", found.instance_match_criteria.map(|criteria| criteria == InstanceMatchCriteria::Targeted))
        .field("ends", text(found.end_date))
        .field("placement_group", found.placement_group_arn)
        .gives("arn", found.capacity_reservation_arn)
        .output("id", id)
        .readiness(readiness);
    Some(seen.done())
}
