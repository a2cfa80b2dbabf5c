//! `aws.instance`: one machine (EC2 RunInstances), from a launch template or by itself. Metadata needs a session token
//! (IMDSv2) and its volume is encrypted, always. Machines that are alike and many are an [`super::autoscaling_group`].
//!
//! EC2 shows an instance for an hour after its end. One that we have ended is gone; one that ended otherwise has failed, and
//! says why. Of those, deleting takes forge's tags away.

use super::Tags;
use super::cloud::{Cloud, empty};
use super::ec2::{FILTER_VALUES, PAGE, born_with, disown, filter, of_deployment, pairs, retag};
use super::error::Answer;
use super::launch_template::version;
use super::resource::{EC2_VISIBILITY, Resource, Seen, in_order, shown};
use super::template::{Shape, check_user_data, root_device};
use super::{price, tags};
use crate::planned::Planned;
use aws_sdk_ec2::operation::run_instances::builders::RunInstancesFluentBuilder;
use aws_sdk_ec2::types::{
    BlockDeviceMapping, EbsBlockDevice, Filter, HttpTokensState, IamInstanceProfileSpecification, Instance,
    InstanceMetadataEndpointState, InstanceMetadataOptionsRequest, InstanceStateName, InstanceType,
    LaunchTemplateSpecification, Placement, ResourceType, VolumeType,
};
use aws_smithy_types::base64;
use forge_engine::address::Deployment;
use forge_engine::kind as engine;
use forge_engine::kind::{Effect, Hourly, KindError, Observed, OnIdentifier, Readiness, Recovery, Typical};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// What can be chosen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Identifier of the subnet that it stands in.
    pub subnet: String,
    /// Identifier of the launch template that says everything else; what it says cannot be said here.
    #[serde(default)]
    pub launch_template: Option<String>,
    /// Its version.
    #[serde(default)]
    pub launch_template_version: Option<String>,
    /// The instance type.
    #[serde(default)]
    pub instance_type: Option<String>,
    /// The machine image: `ami-…`, or `resolve:ssm:/aws/service/…`, a parameter of AWS that names it.
    #[serde(default)]
    pub image: Option<String>,
    /// What it runs when it starts, as text; at most 16 KiB.
    #[serde(default)]
    pub user_data: Option<String>,
    /// Size of the root volume (gp3, encrypted) in GiB.
    #[serde(default)]
    #[schemars(range(min = 8))]
    pub disk_gib: Option<u32>,
    /// Identifiers of the security groups.
    #[serde(default)]
    pub security_groups: BTreeSet<String>,
    /// Name of the placement group.
    #[serde(default)]
    pub placement_group: Option<String>,
    /// ARN of the instance profile.
    #[serde(default)]
    pub instance_profile: Option<String>,

    /// Tags, besides those that forge sets.
    #[serde(default)]
    pub tags: Tags,
}

impl Planned for Spec {
    const NAME: &'static str = "aws.instance";
    const OUTPUTS: &'static [&'static str] = &["id", "zone", "private_ip", "private_name"];
    const SERVICE: &'static str = "ec2";
    /// Estimate: small types run within half a minute, the large ones take some.
    const TYPICAL: Typical = Typical::seconds(60, 1, 60);
    /// As for a node group of EKS.
    const READY_DEADLINE: Duration = Duration::from_secs(60 * 60);

    fn effect(field: &str, _before: &Self, _after: &Self) -> Effect {
        match field {
            "tags" => Effect::InPlace,
            _ => Effect::ReplaceCreateFirst,
        }
    }

    fn hourly(&self, region: Option<&str>) -> Option<Hourly> {
        price::on_demand(region, self.instance_type.as_deref()?, 1)
    }
}

/// The tags by which EC2 tells which template an instance was started from, and Auto Scaling which group it is of.
const TEMPLATE: &str = "aws:ec2launchtemplate:id";
const TEMPLATE_VERSION: &str = "aws:ec2launchtemplate:version";
const GROUP: &str = "aws:autoscaling:groupName";
/// Why an instance ends that was asked to.
const ASKED: &str = "Client.UserInitiatedShutdown";

impl Resource for Spec {
    const RECOVERY: Recovery = Recovery::Token;
    const VISIBILITY: Duration = EC2_VISIBILITY;
    const READ_BATCH: usize = FILTER_VALUES;
    const ACTIONS: &'static [&'static str] = &[
        "ec2:RunInstances",
        "ec2:DescribeInstances",
        "ec2:TerminateInstances",
        "ec2:DescribeLaunchTemplateVersions",
        "ec2:DescribeImages",
        // For images that a parameter of AWS names.
        "ssm:GetParameters",
        "ec2:DescribeTags",
        "ec2:CreateTags",
        "ec2:DeleteTags",
        "iam:PassRole",
    ];

    async fn read_many(cloud: &Cloud, ids: &[String]) -> Result<Vec<Option<Observed>>, KindError> {
        Ok(in_order(ids, seen(cloud, filter("instance-id", ids)).await?))
    }

    async fn create(
        &self,
        cloud: &Cloud,
        tags: &engine::Tags,
        on_identifier: OnIdentifier<'_>,
    ) -> Result<Observed, KindError> {
        const CALL: &str = "ec2:RunInstances";
        let call = cloud.ec2().await.run_instances().client_token(&tags.operation.0).min_count(1).max_count(1);
        let shape = self.shape(cloud).await?;
        let own = self.own(shape.as_ref());
        let call = [ResourceType::Instance, ResourceType::Volume]
            .into_iter()
            .fold(call, |call, what| call.tag_specifications(born_with(what, tags, &own)));
        let call = match &self.launch_template {
            Some(template) => self.by_template(call, template, shape),
            None => self.plain(cloud, call).await?,
        };
        let made = call.send().await.of(cloud, CALL)?.instances.unwrap_or_default().pop();
        let id = made.and_then(|made| made.instance_id).ok_or_else(|| empty(CALL))?;
        on_identifier(&id);
        shown(&id, Self::read_many(cloud, std::slice::from_ref(&id)).await?)
    }

    async fn update(
        &self,
        cloud: &Cloud,
        id: &str,
        _before: Option<&Self>,
        tags: &engine::Tags,
    ) -> Result<Observed, KindError> {
        let shape = self.shape(cloud).await?;
        retag(cloud, id, tags, &self.own(shape.as_ref())).await?;
        shown(id, Self::read_many(cloud, &[id.to_owned()]).await?)
    }

    async fn delete(cloud: &Cloud, id: &str) -> Result<(), KindError> {
        let ec2 = cloud.ec2().await;
        let call = ec2.terminate_instances().instance_ids(id).send().await;
        let Some(answer) = call.of_present(cloud, "ec2:TerminateInstances")? else { return Ok(()) };
        let before = answer.terminating_instances.unwrap_or_default().pop().and_then(|change| change.previous_state);
        if before.and_then(|state| state.name) == Some(InstanceStateName::Terminated) {
            disown(cloud, id).await?;
        }
        Ok(())
    }

    /// Without those of groups: a launch template gives them tags of its own.
    async fn list(cloud: &Cloud, deployment: &Deployment) -> Result<Vec<Observed>, KindError> {
        seen(cloud, of_deployment(deployment)).await
    }
}

impl Spec {
    fn number(&self) -> &str {
        self.launch_template_version.as_deref().unwrap_or("$Default")
    }

    /// What its template says.
    async fn shape(&self, cloud: &Cloud) -> Result<Option<Shape>, KindError> {
        let Some(template) = &self.launch_template else { return Ok(None) };
        Ok(version(cloud, template, self.number()).await?.map(|(_, shape)| shape))
    }

    /// Its own tags and those that its template gives it.
    fn own(&self, shape: Option<&Shape>) -> Tags {
        let mut own = shape.map(|shape| shape.tags.clone()).unwrap_or_default();
        own.extend(self.tags.clone());
        own
    }

    fn by_template(
        &self,
        call: RunInstancesFluentBuilder,
        id: &str,
        shape: Option<Shape>,
    ) -> RunInstancesFluentBuilder {
        let template = LaunchTemplateSpecification::builder().launch_template_id(id).version(self.number()).build();
        let call = call.launch_template(template);
        let interfaces = shape.map(|shape| shape.within(&self.subnet)).unwrap_or_default();
        if interfaces.is_empty() {
            return call.subnet_id(&self.subnet);
        }
        call.set_network_interfaces(Some(interfaces))
    }

    async fn plain(
        &self,
        cloud: &Cloud,
        call: RunInstancesFluentBuilder,
    ) -> Result<RunInstancesFluentBuilder, KindError> {
        check_user_data(self.user_data.as_deref())?;
        let volume = EbsBlockDevice::builder()
            .encrypted(true)
            .volume_type(VolumeType::Gp3)
            .delete_on_termination(true)
            .set_volume_size(self.disk_gib.and_then(|gib| gib.try_into().ok()))
            .build();
        let device = root_device(cloud, self.image.as_deref()).await?;
        let metadata = InstanceMetadataOptionsRequest::builder()
            .http_tokens(HttpTokensState::Required)
            .http_endpoint(InstanceMetadataEndpointState::Enabled)
            .build();
        let groups: Vec<String> = self.security_groups.iter().cloned().collect();
        let profile = |arn: &String| IamInstanceProfileSpecification::builder().arn(arn).build();
        let placed = |group: &String| Placement::builder().group_name(group).build();
        Ok(call
            .subnet_id(&self.subnet)
            .set_instance_type(self.instance_type.as_deref().map(InstanceType::from))
            .set_image_id(self.image.clone())
            .set_user_data(self.user_data.as_deref().map(base64::encode))
            .block_device_mappings(BlockDeviceMapping::builder().device_name(device).ebs(volume).build())
            .metadata_options(metadata)
            .set_security_group_ids((!groups.is_empty()).then_some(groups))
            .set_iam_instance_profile(self.instance_profile.as_ref().map(profile))
            .set_placement(self.placement_group.as_ref().map(placed)))
    }
}

async fn seen(cloud: &Cloud, which: Filter) -> Result<Vec<Observed>, KindError> {
    let mut pages = cloud.ec2().await.describe_instances().filters(which).into_paginator().page_size(PAGE).items().send();
    let mut found = Vec::new();
    while let Some(reservation) = pages.next().await {
        let instances = reservation.of(cloud, "ec2:DescribeInstances")?.instances.unwrap_or_default();
        found.extend(instances.into_iter().filter_map(observed));
    }
    Ok(found)
}

/// Whether it runs; none when it is gone. `owned` says that it carries forge's tags.
fn readiness(instance: &Instance, owned: bool) -> Option<Readiness> {
    use InstanceStateName as Is;
    let reason = instance.state_reason();
    let said = reason.and_then(|reason| reason.message()).or(instance.state_transition_reason()).unwrap_or_default();
    let asked = reason.is_none_or(|reason| reason.code() == Some(ASKED));
    match instance.state().and_then(|state| state.name()) {
        Some(Is::Running) | None => Some(Readiness::Ready),
        Some(Is::Terminated) if asked || !owned => None,
        Some(state @ (Is::Terminated | Is::Stopping | Is::Stopped)) => {
            Some(Readiness::Failed(format!("the instance is {state}: {said}")))
        }
        Some(state) => Some(Readiness::Waiting(format!("the instance is {state}"))),
    }
}

fn observed(instance: Instance) -> Option<Observed> {
    let all: BTreeMap<String, String> = pairs(instance.tags.clone()).collect();
    if all.contains_key(GROUP) {
        return None;
    }
    let readiness = readiness(&instance, tags::split(all.clone()).0.is_some())?;
    let id = instance.instance_id?;
    let template = all.get(TEMPLATE).cloned();
    let number = all.get(TEMPLATE_VERSION).cloned();
    let plain = template.is_none();
    // Who asks for no group gets the network's default one.
    let groups = instance.security_groups.unwrap_or_default().into_iter();
    let groups: BTreeSet<String> =
        groups.filter(|group| group.group_name() != Some("default")).filter_map(|group| group.group_id).collect();
    let zone = instance.placement.and_then(|placement| placement.availability_zone);
    // What a template says is its own affair; the image may have been named by a parameter.
    let seen = Seen::new(id.clone(), all)
        .known("subnet", instance.subnet_id)
        .known("launch_template", template)
        .known("launch_template_version", number)
        .known("instance_type", instance.instance_type.filter(|_| plain).map(|it| it.as_str().to_owned()))
        .known("security_groups", Some(groups).filter(|groups| plain && !groups.is_empty()))
        .output("id", id)
        .gives("zone", zone)
        .gives("private_ip", instance.private_ip_address)
        .gives("private_name", instance.private_dns_name)
        .readiness(readiness);
    let mut observed = seen.done();
    if !plain {
        // Some of them are its template's, and nothing tells which.
        observed.spec.remove("tags");
    }
    Some(observed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_ec2::types::{InstanceState, StateReason};

    fn told(state: InstanceStateName, code: &str, owned: bool) -> Option<Readiness> {
        let reason = StateReason::builder().code(code).message(format!("{code}: why")).build();
        let state = InstanceState::builder().name(state).build();
        readiness(&Instance::builder().state(state).state_reason(reason).build(), owned)
    }

    #[test]
    fn an_instance_that_ended_by_itself_says_why_until_it_is_deleted() {
        use InstanceStateName as Is;
        assert_eq!(told(Is::Running, "", true), Some(Readiness::Ready));
        let waiting = Readiness::Waiting("the instance is pending".to_owned());
        assert_eq!(told(Is::Pending, "pending", true), Some(waiting));
        let failed = Readiness::Failed("the instance is terminated: Client.InternalError: why".to_owned());
        assert_eq!(told(Is::Terminated, "Client.InternalError", true), Some(failed));
        assert_eq!(told(Is::Terminated, "Client.InternalError", false), None);
        assert_eq!(told(Is::Terminated, ASKED, true), None);
        let leaving = Readiness::Waiting("the instance is shutting-down".to_owned());
        assert_eq!(told(Is::ShuttingDown, ASKED, true), Some(leaving));
    }
}
