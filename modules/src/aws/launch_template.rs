//! `aws.launch_template`: how an instance is started (EC2 CreateLaunchTemplate, CreateLaunchTemplateVersion). Metadata
//! needs a session token (IMDSv2) and every volume is encrypted, always. It has no subnet: the group that uses it says
//! where, and EKS refuses a template that does.
//!
//! A version of a template is never changed: a change makes a new version, and only if what instances would be started
//! with differs. That the template stands at another address alone makes none, or else nodes would be replaced for it.

use super::cloud::{Cloud, empty};
use super::ec2::{born_with, of_deployment, pairs, retag};
use super::error::Answer;
use super::resource::{EC2_VISIBILITY, Resource, Seen, in_order, shown};
use super::tags::{same_creation, split};
use super::template::{Shape, check_user_data, root_device};
use super::{Market, Tags};
use crate::planned::{FREE, Planned};
use aws_sdk_ec2::types::{LaunchTemplate, ResourceType};
use forge_engine::address::Deployment;
use forge_engine::kind as engine;
use forge_engine::kind::{Effect, Hourly, KindError, Observed, OnIdentifier, Recovery, Typical};
use futures::future::try_join_all;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use std::collections::BTreeSet;
use std::time::Duration;

/// What can be chosen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Its name, unique in the region.
    pub name: String,
    /// The instance type; the group that uses it says when absent.
    #[serde(default)]
    pub instance_type: Option<String>,
    /// The machine image: `ami-…`, or `resolve:ssm:/aws/service/…`, a parameter of AWS that names it. EKS chooses when
    /// absent.
    #[serde(default)]
    pub image: Option<String>,
    /// What the instance runs when it starts, as text; at most 16 KiB.
    #[serde(default)]
    pub user_data: Option<String>,
    /// Size of the root volume (gp3, encrypted) in GiB.
    #[schemars(range(min = 8))]
    pub disk_gib: u32,
    /// Network interfaces; one plain interface when empty.
    #[serde(default, deserialize_with = "merged")]
    pub interfaces: Vec<Interface>,
    /// Identifiers of the security groups, of every interface.
    #[serde(default)]
    pub security_groups: BTreeSet<String>,
    /// Name of the placement group.
    #[serde(default)]
    pub placement_group: Option<String>,
    /// What it is paid as. Of spot instances in EKS the node group says so, not the template.
    #[serde(default)]
    pub market: Option<Market>,
    /// Identifier of the capacity reservation or capacity block that it runs in: `cr-…`.
    #[serde(default)]
    pub reservation: Option<String>,
    /// ARN of the instance profile; EKS sets its own and refuses a template that does.
    #[serde(default)]
    pub instance_profile: Option<String>,
    /// How many network hops metadata may travel: 2 when containers read them.
    #[serde(default = "hops")]
    #[schemars(range(min = 1, max = 64))]
    pub metadata_hops: u8,
    /// Tags of the instances and volumes that it starts, besides its own, which they get as well.
    #[serde(default)]
    pub instance_tags: Tags,

    /// Tags, besides those that forge sets.
    #[serde(default)]
    pub tags: Tags,
}

/// A network interface, or several that are alike on different network cards.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Interface {
    /// The network cards that have one, counted from 0.
    pub cards: Vec<u32>,
    /// Its device index on each.
    pub device: u32,
    /// What it carries.
    pub carries: Carries,
}

/// What a network interface carries. The first interface of an instance is always `ip`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Carries {
    /// IP, over ENA (`interface`).
    Ip,
    /// EFA without an address of its own (`efa-only`).
    EfaOnly,
    /// EFA and IP (`efa`).
    Efa,
}

fn hops() -> u8 {
    2
}

impl Planned for Spec {
    const NAME: &'static str = "aws.launch_template";
    const OUTPUTS: &'static [&'static str] = &["id", "name", "latest_version"];
    const SERVICE: &'static str = "ec2";
    /// Estimate: done when the call returns.
    const TYPICAL: Typical = Typical::seconds(1, 1, 1);
    const VOLATILE_OUTPUTS: &'static [&'static str] = &["latest_version"];

    /// Everything but its name makes a new version of it.
    fn effect(field: &str, _before: &Self, _after: &Self) -> Effect {
        match field {
            "name" => Effect::ReplaceCreateFirst,
            _ => Effect::InPlace,
        }
    }

    fn hourly(&self, _region: Option<&str>) -> Option<Hourly> {
        FREE
    }
}

/// Interfaces that follow each other and differ in nothing but the card are one entry, as they are read back.
fn merged<'de, D: Deserializer<'de>>(interfaces: D) -> Result<Vec<Interface>, D::Error> {
    Ok(merge(Vec::deserialize(interfaces)?))
}

pub(super) fn merge(interfaces: Vec<Interface>) -> Vec<Interface> {
    let mut merged: Vec<Interface> = Vec::with_capacity(interfaces.len());
    for next in interfaces {
        match merged.last_mut() {
            Some(last) if last.device == next.device && last.carries == next.carries => last.cards.extend(next.cards),
            _ => merged.push(next),
        }
    }
    merged
}

/// What EC2 says when the name is taken.
const TAKEN: &str = "InvalidLaunchTemplateName.AlreadyExistsException";
/// Its latest version, to EC2.
const LATEST: &str = "$Latest";

/// A template and its latest version.
struct Held {
    template: LaunchTemplate,
    latest: i64,
    shape: Shape,
}

impl Resource for Spec {
    const RECOVERY: Recovery = Recovery::Token;
    const VISIBILITY: Duration = EC2_VISIBILITY;
    const READ_BATCH: usize = 20;
    const ACTIONS: &'static [&'static str] = &[
        "ec2:CreateLaunchTemplate",
        "ec2:CreateLaunchTemplateVersion",
        "ec2:DescribeLaunchTemplates",
        "ec2:DescribeLaunchTemplateVersions",
        "ec2:DeleteLaunchTemplate",
        "ec2:DescribeImages",
        // For images that a parameter of AWS names.
        "ssm:GetParameters",
        "ec2:DescribeTags",
        "ec2:CreateTags",
        "ec2:DeleteTags",
    ];

    async fn read_many(cloud: &Cloud, ids: &[String]) -> Result<Vec<Option<Observed>>, KindError> {
        let found = looks(cloud, present(cloud, ids).await?).await?;
        Ok(in_order(ids, found.iter().filter_map(Held::observed).collect()))
    }

    async fn create(
        &self,
        cloud: &Cloud,
        tags: &engine::Tags,
        on_identifier: OnIdentifier<'_>,
    ) -> Result<Observed, KindError> {
        const CALL: &str = "ec2:CreateLaunchTemplate";
        let ec2 = cloud.ec2().await;
        let shape = self.shape(cloud).await?;
        let call = ec2.create_launch_template().client_token(&tags.operation.0).launch_template_name(&self.name);
        let call = call.launch_template_data(shape.request(tags));
        let call = call.tag_specifications(born_with(ResourceType::LaunchTemplate, tags, &self.tags));
        let Some(answer) = call.send().await.unless(&[TAKEN], cloud, CALL)? else {
            return self.taken(cloud, tags, on_identifier).await;
        };
        let template = answer.launch_template.ok_or_else(|| empty(CALL))?;
        let latest = template.latest_version_number.unwrap_or(1);
        let held = Held { template, latest, shape }.observed().ok_or_else(|| empty(CALL))?;
        on_identifier(&held.id);
        Ok(held)
    }

    async fn update(
        &self,
        cloud: &Cloud,
        id: &str,
        _before: Option<&Self>,
        tags: &engine::Tags,
    ) -> Result<Observed, KindError> {
        retag(cloud, id, tags, &self.tags).await?;
        self.settle(cloud, id, tags).await
    }

    async fn delete(cloud: &Cloud, id: &str) -> Result<(), KindError> {
        let call = cloud.ec2().await.delete_launch_template().launch_template_id(id);
        call.send().await.of_present(cloud, "ec2:DeleteLaunchTemplate").map(|_| ())
    }

    async fn list(cloud: &Cloud, deployment: &Deployment) -> Result<Vec<Observed>, KindError> {
        let ec2 = cloud.ec2().await;
        let mut pages = ec2.describe_launch_templates().filters(of_deployment(deployment)).into_paginator().items().send();
        let mut templates = Vec::new();
        while let Some(template) = pages.next().await {
            templates.push(template.of(cloud, "ec2:DescribeLaunchTemplates")?);
        }
        Ok(looks(cloud, templates).await?.iter().filter_map(Held::observed).collect())
    }
}

impl Spec {
    /// What instances are started with.
    async fn shape(&self, cloud: &Cloud) -> Result<Shape, KindError> {
        check_user_data(self.user_data.as_deref())?;
        Ok(Shape::of(self, root_device(cloud, self.image.as_deref()).await?))
    }

    /// The name is taken: by this same operation, if what has it says so.
    async fn taken(
        &self,
        cloud: &Cloud,
        tags: &engine::Tags,
        on_identifier: OnIdentifier<'_>,
    ) -> Result<Observed, KindError> {
        const CALL: &str = "ec2:DescribeLaunchTemplates";
        let call = cloud.ec2().await.describe_launch_templates().launch_template_names(&self.name);
        let template = call.send().await.of(cloud, CALL)?.launch_templates.unwrap_or_default().pop();
        let template = template.ok_or_else(|| empty(CALL))?;
        let found = split(pairs(template.tags)).0;
        same_creation(&format!("launch template {}", self.name), found.as_ref(), tags)?;
        let id = template.launch_template_id.ok_or_else(|| empty(CALL))?;
        on_identifier(&id);
        self.settle(cloud, &id, tags).await
    }

    /// Makes a version, unless the latest one starts the same.
    async fn settle(&self, cloud: &Cloud, id: &str, tags: &engine::Tags) -> Result<Observed, KindError> {
        const CALL: &str = "ec2:CreateLaunchTemplateVersion";
        let held = looks(cloud, present(cloud, &[id.to_owned()]).await?).await?.pop();
        let Some(held) = held else { return shown(id, Vec::new()) };
        let shape = self.shape(cloud).await?;
        if held.shape == shape {
            return shown(id, vec![held.observed()]);
        }
        // Repeated, this finds the version that it has made, or makes it under the same token.
        let token = format!("{}-{}", tags.operation, held.latest);
        let call = cloud.ec2().await.create_launch_template_version().launch_template_id(id).client_token(token);
        let made = call.launch_template_data(shape.request(tags)).send().await.of(cloud, CALL)?;
        let latest = made.launch_template_version.and_then(|made| made.version_number).ok_or_else(|| empty(CALL))?;
        shown(id, vec![Held { latest, shape, ..held }.observed()])
    }
}

impl Held {
    fn observed(&self) -> Option<Observed> {
        let (id, name) = (self.template.launch_template_id()?, self.template.launch_template_name()?);
        let own = split(pairs(self.template.tags.clone())).1;
        let seen = Seen::new(id, pairs(self.template.tags.clone()))
            .field("name", name)
            .output("id", id)
            .output("name", name)
            .output("latest_version", self.latest.to_string());
        Some(self.shape.seen(seen, &own).done())
    }
}

/// The templates with these identifiers. There is no filter for them, and one that is gone is an error that hides all
/// others: then each is asked for by itself.
async fn present(cloud: &Cloud, ids: &[String]) -> Result<Vec<LaunchTemplate>, KindError> {
    let ec2 = cloud.ec2().await;
    let ask = |ids: &[String]| {
        let call = ec2.describe_launch_templates().set_launch_template_ids(Some(ids.to_vec()));
        async move {
            let answer = call.send().await.of_present(cloud, "ec2:DescribeLaunchTemplates")?;
            Ok::<_, KindError>(answer.map(|answer| answer.launch_templates.unwrap_or_default()))
        }
    };
    match ask(ids).await? {
        Some(found) => Ok(found),
        None if ids.len() < 2 => Ok(Vec::new()),
        None => {
            let found = try_join_all(ids.iter().map(|id| ask(std::slice::from_ref(id)))).await?;
            Ok(found.into_iter().flatten().flatten().collect())
        }
    }
}

/// Templates with their latest versions, which have a call of their own each.
async fn looks(cloud: &Cloud, templates: Vec<LaunchTemplate>) -> Result<Vec<Held>, KindError> {
    let looks = templates.into_iter().map(|template| async move {
        let Some(id) = template.launch_template_id() else { return Ok(None) };
        let Some((latest, shape)) = version(cloud, id, LATEST).await? else { return Ok(None) };
        Ok(Some(Held { latest, shape, template }))
    });
    Ok(try_join_all(looks).await?.into_iter().flatten().collect())
}

/// A version of a template, with its number; none when there is none.
pub(super) async fn version(cloud: &Cloud, id: &str, version: &str) -> Result<Option<(i64, Shape)>, KindError> {
    let call = cloud.ec2().await.describe_launch_template_versions().launch_template_id(id).versions(version);
    let answer = call.send().await.of_present(cloud, "ec2:DescribeLaunchTemplateVersions")?;
    let version = answer.and_then(|answer| answer.launch_template_versions.unwrap_or_default().pop());
    Ok(version.and_then(|version| Some((version.version_number?, Shape::from(version.launch_template_data?)))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interfaces_that_are_alike_are_one_entry() {
        let interface = |cards: &[u32], device, carries| Interface { cards: cards.to_vec(), device, carries };
        let given = vec![
            interface(&[0], 0, Carries::Ip),
            interface(&[0], 1, Carries::EfaOnly),
            interface(&[1], 0, Carries::EfaOnly),
            interface(&[2, 3], 0, Carries::EfaOnly),
        ];
        let one = [
            interface(&[0], 0, Carries::Ip),
            interface(&[0], 1, Carries::EfaOnly),
            interface(&[1, 2, 3], 0, Carries::EfaOnly),
        ];
        assert_eq!(merge(given), one);
    }
}
