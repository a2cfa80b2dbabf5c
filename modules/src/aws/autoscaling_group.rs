//! `aws.autoscaling_group`: nodes without Kubernetes (Auto Scaling CreateAutoScalingGroup). It never balances between
//! zones and never ends an instance by itself but a broken one: a gang does not survive that. A new version of its launch
//! template is for the instances that it starts from then on.
//!
//! Its identifier is its name. It is gone when its instances are: until then they hold on to subnets, security groups and
//! placement groups.
//!
//! **No capacity.** The group goes on trying by itself and keeps what it has got. Whoever waits for it is told at once what
//! AWS says; what is there stays, and the next run goes on waiting for the rest.

use super::Tags;
use super::activity::judge;
use super::cloud::Cloud;
use super::ec2::{PAGE, filter as ec2_filter};
use super::error::Answer;
use super::resource::{Resource, Seen, not_shown, shown};
use super::tags::{self, DEPLOYMENT, same_creation};
use crate::planned::Planned;
use aws_sdk_autoscaling::types::{
    AutoScalingGroup, Filter, LaunchTemplateSpecification, LifecycleState, Tag, TagDescription,
};
use forge_engine::address::Deployment;
use forge_engine::kind as engine;
use forge_engine::kind::{Effect, ErrorClass, KindError, Observed, OnIdentifier, Readiness, Recovery, Typical};
use futures::future::try_join_all;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// What can be chosen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Its name, unique in the region; at most 255 characters.
    pub name: String,
    /// Identifiers of the subnets that nodes stand in; one for EFA.
    pub subnets: BTreeSet<String>,
    /// Identifier of the launch template.
    pub launch_template: String,
    /// Its version.
    pub launch_template_version: String,
    /// Fewest nodes.
    pub min: u32,
    /// Nodes wanted now.
    pub desired: u32,
    /// Most nodes.
    pub max: u32,
    /// For how many seconds a new instance is not judged; the framework on accelerated instances takes minutes to start.
    #[serde(default = "grace")]
    pub grace_seconds: u32,

    /// Tags, besides those that forge sets.
    #[serde(default)]
    pub tags: Tags,
}

fn grace() -> u32 {
    600
}

impl Planned for Spec {
    const NAME: &'static str = "aws.autoscaling_group";
    const OUTPUTS: &'static [&'static str] = &["arn", "name"];
    const SERVICE: &'static str = "autoscaling";
    /// Estimate: instances of the large types take minutes to start, and to end.
    const TYPICAL: Typical = Typical::seconds(240, 30, 300);
    /// As for a node group of EKS, which is one of these underneath.
    const READY_DEADLINE: Duration = Duration::from_secs(60 * 60);

    fn effect(field: &str, _before: &Self, _after: &Self) -> Effect {
        match field {
            "name" => Effect::ReplaceCreateFirst,
            _ => Effect::InPlace,
        }
    }
}

/// For how long Auto Scaling may not show a group that it has made. It shows them at once as a rule; estimate.
const VISIBILITY: Duration = Duration::from_secs(60);
/// What Auto Scaling says when the name is taken, and of a group that is not there.
const TAKEN: &str = "AlreadyExists";
const ABSENT: &str = "ValidationError";
/// The process that evens out instances between zones, and ends some for that.
const BALANCING: &str = "AZRebalance";
/// The type of a group, to the calls about tags.
const TYPE: &str = "auto-scaling-group";
/// What the instances of a group carry.
const MEMBER: &str = "tag:aws:autoscaling:groupName";
/// An instance in one of these states still holds on to what it uses.
const ALIVE: [&str; 5] = ["pending", "running", "shutting-down", "stopping", "stopped"];

impl Resource for Spec {
    const RECOVERY: Recovery = Recovery::Token;
    const VISIBILITY: Duration = VISIBILITY;
    const ACTIONS: &'static [&'static str] = &[
        "autoscaling:CreateAutoScalingGroup",
        "autoscaling:DescribeAutoScalingGroups",
        "autoscaling:DescribeScalingActivities",
        "autoscaling:UpdateAutoScalingGroup",
        "autoscaling:SuspendProcesses",
        "autoscaling:DeleteAutoScalingGroup",
        "autoscaling:CreateOrUpdateTags",
        "autoscaling:DeleteTags",
        "ec2:DescribeInstances",
        "ec2:RunInstances",
        // For images that a parameter of AWS names.
        "ssm:GetParameters",
        "ec2:CreateTags",
        "iam:PassRole",
        "iam:CreateServiceLinkedRole",
    ];

    async fn read_many(cloud: &Cloud, ids: &[String]) -> Result<Vec<Option<Observed>>, KindError> {
        try_join_all(ids.iter().map(|name| look(cloud, name))).await
    }

    async fn create(
        &self,
        cloud: &Cloud,
        tags: &engine::Tags,
        on_identifier: OnIdentifier<'_>,
    ) -> Result<Observed, KindError> {
        let call = cloud.autoscaling().await.create_auto_scaling_group().auto_scaling_group_name(&self.name);
        let call = call.launch_template(self.template()).vpc_zone_identifier(self.zones());
        let call = call.min_size(size(self.min)).desired_capacity(size(self.desired)).max_size(size(self.max));
        let call = call.health_check_type("EC2").health_check_grace_period(size(self.grace_seconds));
        let call = call.set_tags(Some(sdk_tags(&self.name, tags::all(tags, &self.tags))));
        let made = call.send().await.unless(&[TAKEN], cloud, "autoscaling:CreateAutoScalingGroup")?;
        if made.is_none() {
            let group = present(cloud, &self.name).await?;
            if group.status.is_some() {
                let message = format!("an Auto Scaling group {} is being deleted", self.name);
                return Err(KindError { class: ErrorClass::NotYetVisible, message, help: None, source: None });
            }
            let found = tags::split(pairs(group.tags)).0;
            same_creation(&format!("Auto Scaling group {}", self.name), found.as_ref(), tags)?;
        }
        on_identifier(&self.name);
        self.settle(cloud, &self.name).await
    }

    async fn update(
        &self,
        cloud: &Cloud,
        id: &str,
        _before: Option<&Self>,
        tags: &engine::Tags,
    ) -> Result<Observed, KindError> {
        let client = cloud.autoscaling().await;
        let group = present(cloud, id).await?;
        let (set, gone) = tags::changes(&pairs(group.tags).collect(), &tags::all(tags, &self.tags));
        if !set.is_empty() {
            let call = client.create_or_update_tags().set_tags(Some(sdk_tags(id, set)));
            call.send().await.of(cloud, "autoscaling:CreateOrUpdateTags")?;
        }
        if !gone.is_empty() {
            let gone = gone.into_iter().map(|key| (key, String::new())).collect();
            let call = client.delete_tags().set_tags(Some(sdk_tags(id, gone)));
            call.send().await.of(cloud, "autoscaling:DeleteTags")?;
        }
        let call = client.update_auto_scaling_group().auto_scaling_group_name(id);
        let call = call.launch_template(self.template()).vpc_zone_identifier(self.zones());
        let call = call.min_size(size(self.min)).desired_capacity(size(self.desired)).max_size(size(self.max));
        let call = call.health_check_type("EC2").health_check_grace_period(size(self.grace_seconds));
        call.send().await.of(cloud, "autoscaling:UpdateAutoScalingGroup")?;
        self.settle(cloud, id).await
    }

    /// Its instances are ended with it, without ceremony.
    async fn delete(cloud: &Cloud, id: &str) -> Result<(), KindError> {
        let deleting = describe(cloud, id).await?.is_none_or(|group| group.status.is_some());
        if deleting {
            return Ok(());
        }
        let call = cloud.autoscaling().await.delete_auto_scaling_group().auto_scaling_group_name(id).force_delete(true);
        let gone = call.send().await.unless(&[ABSENT], cloud, "autoscaling:DeleteAutoScalingGroup");
        gone.map(|_| ())
    }

    async fn list(cloud: &Cloud, deployment: &Deployment) -> Result<Vec<Observed>, KindError> {
        let ours = Filter::builder().name(format!("tag:{DEPLOYMENT}")).values(&deployment.0).build();
        let call = cloud.autoscaling().await.describe_auto_scaling_groups().filters(ours);
        let mut pages = call.into_paginator().items().send();
        let mut found = Vec::new();
        while let Some(group) = pages.next().await {
            found.extend(observed(group.of(cloud, "autoscaling:DescribeAutoScalingGroups")?));
        }
        Ok(found)
    }
}

impl Spec {
    fn template(&self) -> LaunchTemplateSpecification {
        LaunchTemplateSpecification::builder()
            .launch_template_id(&self.launch_template)
            .version(&self.launch_template_version)
            .build()
    }

    fn zones(&self) -> String {
        self.subnets.iter().map(String::as_str).collect::<Vec<_>>().join(",")
    }

    /// Sees to it that nothing is evened out.
    async fn settle(&self, cloud: &Cloud, name: &str) -> Result<Observed, KindError> {
        let group = present(cloud, name).await?;
        let suspended = group.suspended_processes().iter().any(|process| process.process_name() == Some(BALANCING));
        if !suspended {
            let call = cloud.autoscaling().await.suspend_processes().auto_scaling_group_name(name);
            call.scaling_processes(BALANCING).send().await.of(cloud, "autoscaling:SuspendProcesses")?;
        }
        shown(name, vec![observed(group)])
    }
}

fn size(n: u32) -> i32 {
    i32::try_from(n).unwrap_or(i32::MAX)
}

/// The tags of a group itself: those of its instances are its launch template's.
fn sdk_tags(group: &str, tags: BTreeMap<String, String>) -> Vec<Tag> {
    let tag = |(key, value): (String, String)| {
        Tag::builder().resource_id(group).resource_type(TYPE).key(key).value(value).propagate_at_launch(false).build()
    };
    tags.into_iter().map(tag).collect()
}

fn pairs(tags: Option<Vec<TagDescription>>) -> impl Iterator<Item = (String, String)> {
    tags.unwrap_or_default().into_iter().filter_map(|tag| Some((tag.key?, tag.value.unwrap_or_default())))
}

async fn describe(cloud: &Cloud, name: &str) -> Result<Option<AutoScalingGroup>, KindError> {
    let call = cloud.autoscaling().await.describe_auto_scaling_groups().auto_scaling_group_names(name);
    let answer = call.send().await.of(cloud, "autoscaling:DescribeAutoScalingGroups")?;
    Ok(answer.auto_scaling_groups.unwrap_or_default().pop())
}

async fn present(cloud: &Cloud, name: &str) -> Result<AutoScalingGroup, KindError> {
    let group = describe(cloud, name).await?;
    group.ok_or_else(|| not_shown(&format!("Auto Scaling group {name}")))
}

/// The group, with what keeps it from having all its instances; one that is gone is there as long as its instances are.
///
/// # Errors
/// Also when AWS has no capacity for it.
async fn look(cloud: &Cloud, name: &str) -> Result<Option<Observed>, KindError> {
    let Some(group) = describe(cloud, name).await? else { return leftovers(cloud, name).await };
    let deleting = group.status.is_some();
    let subnets = group.vpc_zone_identifier.clone().unwrap_or_default();
    let Some(mut seen) = observed(group) else { return Ok(None) };
    if let Readiness::Waiting(text) = &seen.readiness
        && !deleting
    {
        let call = cloud.autoscaling().await.describe_scaling_activities().auto_scaling_group_name(name);
        let answer = call.send().await.unless(&[ABSENT], cloud, "autoscaling:DescribeScalingActivities")?;
        let activities = answer.and_then(|answer| answer.activities).unwrap_or_default();
        if let Some(said) = judge(&activities, &subnets.split(',').collect::<Vec<_>>())? {
            seen.readiness = Readiness::Waiting(format!("{text}; {said}"));
        }
    }
    Ok(Some(seen))
}

/// The instances that a group has left behind and that are on their way out.
async fn leftovers(cloud: &Cloud, name: &str) -> Result<Option<Observed>, KindError> {
    let call = cloud.ec2().await.describe_instances().filters(ec2_filter(MEMBER, [name]));
    let mut pages = call.filters(ec2_filter("instance-state-name", ALIVE)).into_paginator().page_size(PAGE).items().send();
    let mut left = 0_usize;
    while let Some(reservation) = pages.next().await {
        left += reservation.of(cloud, "ec2:DescribeInstances")?.instances().len();
    }
    let waiting = Readiness::Waiting(format!("{left} of its instances are on their way out"));
    Ok((left > 0).then(|| Seen::new(name, []).readiness(waiting).done()))
}

fn observed(group: AutoScalingGroup) -> Option<Observed> {
    let readiness = readiness(&group);
    let name = group.auto_scaling_group_name?;
    let subnets = group.vpc_zone_identifier.unwrap_or_default();
    let subnets: BTreeSet<&str> = subnets.split(',').filter(|subnet| !subnet.is_empty()).collect();
    let template = group.launch_template;
    let seen = Seen::new(name.clone(), pairs(group.tags))
        .field("name", &name)
        .field("subnets", subnets)
        .known("launch_template", template.as_ref().and_then(|template| template.launch_template_id()))
        .known("launch_template_version", template.as_ref().and_then(|template| template.version()))
        .known("min", group.min_size)
        .known("desired", group.desired_capacity)
        .known("max", group.max_size)
        .known("grace_seconds", group.health_check_grace_period)
        .gives("arn", group.auto_scaling_group_arn)
        .output("name", name)
        .readiness(readiness);
    Some(seen.done())
}

/// Ready means that as many instances as are wanted do their work.
fn readiness(group: &AutoScalingGroup) -> Readiness {
    if let Some(status) = group.status() {
        return Readiness::Waiting(status.to_owned());
    }
    let wanted = usize::try_from(group.desired_capacity.unwrap_or_default()).unwrap_or_default();
    let working = group.instances().iter().filter(|instance| {
        instance.lifecycle_state() == Some(&LifecycleState::InService) && instance.health_status() == Some("Healthy")
    });
    match working.count() {
        working if working >= wanted => Readiness::Ready,
        working => Readiness::Waiting(format!("{working} of {wanted} instances are in service")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_autoscaling::types::Instance;

    fn group(desired: i32, states: &[(LifecycleState, &str)]) -> AutoScalingGroup {
        let instance = |(state, health): &(LifecycleState, &str)| {
            Instance::builder().lifecycle_state(state.clone()).health_status(*health).build()
        };
        AutoScalingGroup::builder()
            .auto_scaling_group_name("g")
            .desired_capacity(desired)
            .set_instances(Some(states.iter().map(instance).collect()))
            .build()
    }

    #[test]
    fn a_group_is_ready_when_all_its_instances_do_their_work() {
        let (works, comes) = ((LifecycleState::InService, "Healthy"), (LifecycleState::Pending, "Healthy"));
        let broken = (LifecycleState::InService, "Unhealthy");
        assert_eq!(readiness(&group(0, &[])), Readiness::Ready);
        assert_eq!(readiness(&group(1, std::slice::from_ref(&works))), Readiness::Ready);
        let waiting = Readiness::Waiting("1 of 3 instances are in service".to_owned());
        assert_eq!(readiness(&group(3, &[works, comes, broken])), waiting);
    }
}
