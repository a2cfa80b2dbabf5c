//! `aws.eks_nodegroup`: nodes of a cluster that EKS manages (EKS CreateNodegroup). With a launch template, what that
//! says cannot be said here: image, disk, security groups. EKS does not check that nodes of a capacity block join.
//!
//! **Identifier**: `cluster/name`. **Changes**: UpdateNodegroupConfig takes sizes, labels, taints and repair in one go,
//! UpdateNodegroupVersion the version of the launch template; EKS makes one update at a time, so that the second waits for the
//! first. **Health**: what keeps nodes from starting is told in AWS's words; the code of EC2
//! (`InsufficientInstanceCapacity`) is in them, and [`lacks_capacity`] knows it.

use super::cloud::Cloud;
use super::eks::{NOBODYS, TAKEN, apart, born_with, busy, in_clusters, issue, of_deployment, retag, within};
use super::error::{Answer, lacks_capacity};
use super::price;
use super::resource::{Resource, Seen, Stage, deleted, shown};
use super::tags;
use super::{Market, Tags};
use crate::planned::{FREE, Planned, replace};
use aws_sdk_eks::types as sdk;
use aws_sdk_eks::types::{Nodegroup, NodegroupIssueCode, NodegroupStatus};
use forge_engine::address::Deployment;
use forge_engine::kind as engine;
use forge_engine::kind::{Effect, Hourly, KindError, Observed, OnIdentifier, Readiness, Recovery, Typical};
use futures::future::try_join_all;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

/// What can be chosen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Name of the cluster.
    pub cluster: String,
    /// Its name, unique in the cluster; at most 63 characters.
    pub name: String,
    /// ARN of the nodes' role.
    pub role: String,
    /// Identifiers of the subnets that nodes stand in; one for EFA, which does not leave its availability zone.
    pub subnets: BTreeSet<String>,
    /// Instance types, the first that has capacity; none when the launch template names one.
    #[serde(default)]
    pub instance_types: Vec<String>,
    /// The machine image (`amiType`): `AL2023_x86_64_NVIDIA`; none when the launch template names one.
    #[serde(default)]
    pub ami: Option<String>,
    /// What nodes are paid as.
    pub market: Market,
    /// Identifier of the launch template.
    #[serde(default)]
    pub launch_template: Option<String>,
    /// Its version.
    #[serde(default)]
    pub launch_template_version: Option<String>,
    /// Fewest nodes; 0 for a capacity block, whose nodes EKS takes away 40 minutes before it ends.
    pub min: u32,
    /// Nodes wanted now.
    pub desired: u32,
    /// Most nodes.
    #[schemars(range(min = 1))]
    pub max: u32,
    /// Kubernetes labels of its nodes.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Kubernetes taints of its nodes.
    #[serde(default)]
    pub taints: BTreeSet<Taint>,
    /// How many nodes may be down at once while they are updated.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 100))]
    pub max_unavailable: u32,
    /// Whether EKS replaces nodes that its monitoring agent finds broken. Not for nodes with an agent of forge, which knows
    /// what runs on them.
    #[serde(default)]
    pub auto_repair: bool,

    /// Tags, besides those that forge sets.
    #[serde(default)]
    pub tags: Tags,
}

/// A Kubernetes taint.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Taint {
    /// Its key: `nvidia.com/gpu`.
    pub key: String,
    /// Its value.
    #[serde(default)]
    pub value: String,
    /// What it does to pods that do not tolerate it.
    pub effect: TaintEffect,
}

/// What a taint does to pods that do not tolerate it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TaintEffect {
    /// They are not placed there.
    NoSchedule,
    /// They are placed there when nowhere else is room.
    PreferNoSchedule,
    /// Those that run there are ended, too.
    NoExecute,
}

fn one() -> u32 {
    1
}

impl Planned for Spec {
    const NAME: &'static str = "aws.eks_nodegroup";
    const OUTPUTS: &'static [&'static str] = &["arn", "name", "autoscaling_group"];
    const SERVICE: &'static str = "eks";
    /// Estimate; the SDK's waiters give it 40 and 20 minutes (botocore 1.43.106).
    const TYPICAL: Typical = Typical::seconds(240, 300, 360);
    /// The SDK's waiter `nodegroup_active` gives it 40 minutes; large accelerated instances take long to start.
    const READY_DEADLINE: Duration = Duration::from_secs(60 * 60);

    /// UpdateNodegroupConfig and UpdateNodegroupVersion take the rest.
    fn effect(field: &str, before: &Self, after: &Self) -> Effect {
        match field {
            "cluster" | "name" | "role" | "subnets" | "instance_types" | "ami" | "market" | "launch_template" => {
                replace((&before.cluster, &before.name) != (&after.cluster, &after.name))
            }
            _ => Effect::InPlace,
        }
    }

    /// Of several types any may be started, and the type may be the launch template's.
    fn hourly(&self, region: Option<&str>) -> Option<Hourly> {
        match (self.market, self.instance_types.as_slice()) {
            (Market::OnDemand, [only]) => price::on_demand(region, only, self.desired),
            // It has been paid for with the block.
            (Market::CapacityBlock, _) => FREE,
            _ => None,
        }
    }
}

impl Resource for Spec {
    const RECOVERY: Recovery = Recovery::Token;
    const VISIBILITY: Duration = Duration::from_secs(30);
    const ACTIONS: &'static [&'static str] = &[
        "eks:CreateNodegroup",
        "eks:DescribeNodegroup",
        "eks:ListClusters",
        "eks:ListNodegroups",
        "eks:UpdateNodegroupConfig",
        "eks:UpdateNodegroupVersion",
        "eks:DeleteNodegroup",
        "eks:TagResource",
        "eks:UntagResource",
        "iam:PassRole",
        "iam:GetRole",
        "iam:ListAttachedRolePolicies",
        "iam:CreateServiceLinkedRole",
        "ec2:RunInstances",
        "ec2:CreateTags",
        "ec2:DescribeLaunchTemplateVersions",
        "ec2:DescribeSubnets",
    ];

    async fn read_many(cloud: &Cloud, ids: &[String]) -> Result<Vec<Option<Observed>>, KindError> {
        try_join_all(ids.iter().map(|id| async move { Ok(describe(cloud, id).await?.map(|group| seen(id, group))) })).await
    }

    async fn create(
        &self,
        cloud: &Cloud,
        tags: &engine::Tags,
        on_identifier: OnIdentifier<'_>,
    ) -> Result<Observed, KindError> {
        self.check().map_err(KindError::terminal)?;
        let id = within(&self.cluster, &self.name);
        let call = cloud
            .eks()
            .await
            .create_nodegroup()
            .client_request_token(&tags.operation.0)
            .cluster_name(&self.cluster)
            .nodegroup_name(&self.name)
            .node_role(&self.role)
            .set_subnets(Some(self.subnets.iter().cloned().collect()))
            .set_instance_types((!self.instance_types.is_empty()).then(|| self.instance_types.clone()))
            .set_ami_type(self.ami.as_deref().map(sdk::AmiTypes::from))
            .capacity_type(market(self.market))
            .set_launch_template(self.template())
            .scaling_config(self.sizes())
            .set_labels(Some(self.labels.clone().into_iter().collect()))
            .set_taints(Some(self.taints.iter().map(Taint::to_sdk).collect()))
            .update_config(self.pace())
            .node_repair_config(self.repair())
            .set_tags(Some(born_with(tags, &self.tags)));
        if let Some(made) = call.send().await.unless(TAKEN, cloud, "eks:CreateNodegroup")? {
            on_identifier(&id);
            if let Some(group) = made.nodegroup {
                return Ok(seen(&id, group));
            }
        }
        let what = format!("the node group {id}");
        let there = describe(cloud, &id).await?.ok_or_else(|| tags::hidden_namesake(&what))?;
        let there = seen(&id, there);
        tags::same_creation(&what, there.tags.as_ref(), tags)?;
        on_identifier(&id);
        Ok(there)
    }

    async fn update(
        &self,
        cloud: &Cloud,
        id: &str,
        _before: Option<&Self>,
        tags: &engine::Tags,
    ) -> Result<Observed, KindError> {
        self.check().map_err(KindError::terminal)?;
        let there = describe(cloud, id).await?;
        let Some(group) = there else { return shown(id, vec![None]) };
        retag(cloud, group.nodegroup_arn(), group.tags(), tags, &self.tags).await?;
        let is_busy = matches!(group.status(), Some(NodegroupStatus::Creating | NodegroupStatus::Updating));
        match self.changes(&group) {
            (false, false) => {}
            _ if is_busy => return Err(busy(id, "the next one")),
            (false, true) => self.roll(cloud, id).await?,
            (true, version) => {
                self.configure(cloud, id, &group).await?;
                if version {
                    return Err(busy(id, "launch_template_version"));
                }
            }
        }
        shown(id, Self::read_many(cloud, &[id.to_owned()]).await?)
    }

    async fn delete(cloud: &Cloud, id: &str) -> Result<(), KindError> {
        let (cluster, name) = apart(id)?;
        let call = cloud.eks().await.delete_nodegroup().cluster_name(cluster).nodegroup_name(name);
        let asked = call.send().await.of_present(cloud, "eks:DeleteNodegroup");
        let stage = async {
            Ok(match describe(cloud, id).await?.map(|group| group.status) {
                None | Some(Some(NodegroupStatus::Deleting)) => Stage::Going,
                Some(Some(NodegroupStatus::Creating | NodegroupStatus::Updating)) => Stage::Changing,
                Some(_) => Stage::Staying,
            })
        };
        deleted(asked, stage).await
    }

    async fn list(cloud: &Cloud, deployment: &Deployment) -> Result<Vec<Observed>, KindError> {
        let names = in_clusters(cloud, |cluster| async move {
            let mut names = Vec::new();
            let pages = cloud.eks().await.list_nodegroups().cluster_name(&cluster).into_paginator();
            let mut pages = pages.items().send();
            while let Some(name) = pages.next().await {
                let Some(name) = name.unless(NOBODYS, cloud, "eks:ListNodegroups")? else { break };
                names.push(within(&cluster, &name));
            }
            Ok(names)
        });
        of_deployment(names.await?, deployment, |id| async move {
            Ok(describe(cloud, &id).await?.map(|group| seen(&id, group)))
        })
        .await
    }
}

impl Spec {
    /// What EKS would choose by itself at the moment of a call, and differently at another.
    fn check(&self) -> Result<(), String> {
        if self.launch_template.is_none() && self.instance_types.is_empty() {
            return Err("a node group needs instance_types, or a launch_template that names one".to_owned());
        }
        if self.launch_template.is_some() && self.launch_template_version.is_none() {
            return Err("a node group with a launch_template needs its launch_template_version".to_owned());
        }
        if !(self.min <= self.desired && self.desired <= self.max) {
            let Self { min, desired, max, .. } = self;
            return Err(format!("a node group needs min <= desired <= max; these are {min}, {desired}, {max}"));
        }
        Ok(())
    }

    fn template(&self) -> Option<sdk::LaunchTemplateSpecification> {
        let id = self.launch_template.as_ref()?;
        let template = sdk::LaunchTemplateSpecification::builder().id(id);
        Some(template.set_version(self.launch_template_version.clone()).build())
    }

    fn sizes(&self) -> sdk::NodegroupScalingConfig {
        let nodes = |nodes: u32| i32::try_from(nodes).unwrap_or(i32::MAX);
        let sizes = sdk::NodegroupScalingConfig::builder().min_size(nodes(self.min)).max_size(nodes(self.max));
        sizes.desired_size(nodes(self.desired)).build()
    }

    fn pace(&self) -> sdk::NodegroupUpdateConfig {
        let nodes = i32::try_from(self.max_unavailable).unwrap_or(i32::MAX);
        sdk::NodegroupUpdateConfig::builder().max_unavailable(nodes).build()
    }

    fn repair(&self) -> sdk::NodeRepairConfig {
        sdk::NodeRepairConfig::builder().enabled(self.auto_repair).build()
    }

    /// Whether UpdateNodegroupConfig is needed, and UpdateNodegroupVersion.
    fn changes(&self, group: &Nodegroup) -> (bool, bool) {
        let there = seen("", group.clone()).spec;
        let wanted = serde_json::to_value(self).unwrap_or_default();
        let differs = |field: &&str| there.get(*field).is_some_and(|there| *there != wanted[*field]);
        let config = ["min", "desired", "max", "labels", "taints", "max_unavailable", "auto_repair"];
        (config.iter().any(differs), differs(&"launch_template_version"))
    }

    /// Sizes, labels, taints, pace and repair. The SDK gives the call a token of its own: it is decided by what is there.
    async fn configure(&self, cloud: &Cloud, id: &str, group: &Nodegroup) -> Result<(), KindError> {
        let (cluster, name) = apart(id)?;
        let (labels, taints) = (self.relabel(group), self.retaint(group));
        let call = cloud.eks().await.update_nodegroup_config().cluster_name(cluster).nodegroup_name(name);
        let call = call.scaling_config(self.sizes()).update_config(self.pace()).node_repair_config(self.repair());
        let call = call.set_labels(labels).set_taints(taints);
        let asked = call.send().await.unless(TAKEN, cloud, "eks:UpdateNodegroupConfig")?;
        asked.map(|_| ()).ok_or_else(|| busy(id, "the next one"))
    }

    /// Replaces the nodes by such of the wanted version of the launch template.
    async fn roll(&self, cloud: &Cloud, id: &str) -> Result<(), KindError> {
        let (cluster, name) = apart(id)?;
        let call = cloud.eks().await.update_nodegroup_version().cluster_name(cluster).nodegroup_name(name);
        let call = call.set_launch_template(self.template());
        let asked = call.send().await.unless(TAKEN, cloud, "eks:UpdateNodegroupVersion")?;
        asked.map(|_| ()).ok_or_else(|| busy(id, "launch_template_version"))
    }

    fn relabel(&self, group: &Nodegroup) -> Option<sdk::UpdateLabelsPayload> {
        let have: BTreeMap<String, String> = group.labels().cloned().unwrap_or_default().into_iter().collect();
        let gone: Vec<String> = have.keys().filter(|key| !self.labels.contains_key(*key)).cloned().collect();
        let set = self.labels.iter().filter(|(key, value)| have.get(*key) != Some(value));
        let set: HashMap<String, String> = set.map(|(key, value)| (key.clone(), value.clone())).collect();
        let nothing = set.is_empty() && gone.is_empty();
        let some = |set: HashMap<String, String>| (!set.is_empty()).then_some(set);
        let payload = sdk::UpdateLabelsPayload::builder().set_add_or_update_labels(some(set));
        (!nothing).then(|| payload.set_remove_labels((!gone.is_empty()).then_some(gone)).build())
    }

    /// A taint is known by its key and its effect; its value may change.
    fn retaint(&self, group: &Nodegroup) -> Option<sdk::UpdateTaintsPayload> {
        let have = taints(group.taints());
        let stays = |taint: &Taint| self.taints.iter().any(|other| (&other.key, other.effect) == (&taint.key, taint.effect));
        let gone: Vec<sdk::Taint> = have.iter().filter(|taint| !stays(taint)).map(Taint::to_sdk).collect();
        let set: Vec<sdk::Taint> = self.taints.difference(&have).map(Taint::to_sdk).collect();
        let nothing = set.is_empty() && gone.is_empty();
        let some = |list: Vec<sdk::Taint>| (!list.is_empty()).then_some(list);
        let payload = sdk::UpdateTaintsPayload::builder().set_add_or_update_taints(some(set));
        (!nothing).then(|| payload.set_remove_taints(some(gone)).build())
    }
}

impl Taint {
    fn to_sdk(&self) -> sdk::Taint {
        let effect = match self.effect {
            TaintEffect::NoSchedule => sdk::TaintEffect::NoSchedule,
            TaintEffect::PreferNoSchedule => sdk::TaintEffect::PreferNoSchedule,
            TaintEffect::NoExecute => sdk::TaintEffect::NoExecute,
        };
        let value = (!self.value.is_empty()).then(|| self.value.clone());
        sdk::Taint::builder().key(&self.key).set_value(value).effect(effect).build()
    }

    fn from_sdk(taint: &sdk::Taint) -> Option<Self> {
        let effect = match taint.effect()? {
            sdk::TaintEffect::NoSchedule => TaintEffect::NoSchedule,
            sdk::TaintEffect::PreferNoSchedule => TaintEffect::PreferNoSchedule,
            sdk::TaintEffect::NoExecute => TaintEffect::NoExecute,
            _ => return None,
        };
        let value = taint.value().unwrap_or_default().to_owned();
        Some(Self { key: taint.key()?.to_owned(), value, effect })
    }
}

fn taints(taints: &[sdk::Taint]) -> BTreeSet<Taint> {
    taints.iter().filter_map(Taint::from_sdk).collect()
}

fn market(market: Market) -> sdk::CapacityTypes {
    match market {
        Market::OnDemand => sdk::CapacityTypes::OnDemand,
        Market::Spot => sdk::CapacityTypes::Spot,
        Market::CapacityBlock => sdk::CapacityTypes::CapacityBlock,
    }
}

fn paid_as(capacity: &sdk::CapacityTypes) -> Option<Market> {
    match capacity {
        sdk::CapacityTypes::OnDemand => Some(Market::OnDemand),
        sdk::CapacityTypes::Spot => Some(Market::Spot),
        sdk::CapacityTypes::CapacityBlock => Some(Market::CapacityBlock),
        _ => None,
    }
}

async fn describe(cloud: &Cloud, id: &str) -> Result<Option<Nodegroup>, KindError> {
    let (cluster, name) = apart(id)?;
    let call = cloud.eks().await.describe_nodegroup().cluster_name(cluster).nodegroup_name(name);
    Ok(call.send().await.of_present(cloud, "eks:DescribeNodegroup")?.and_then(|answer| answer.nodegroup))
}

/// The type that EKS takes where nobody says one.
const DEFAULT_TYPE: &str = "t3.medium";

/// What EKS may have chosen by itself is left out, for it would look like a change where nothing was asked for: the image
/// (which nobody can change), and the type where the launch template may name one.
fn seen(id: &str, group: Nodegroup) -> Observed {
    let readiness = readiness(&group);
    let sizes = group.scaling_config.as_ref();
    let (min, desired, max) = (
        sizes.and_then(|sizes| sizes.min_size),
        sizes.and_then(|sizes| sizes.desired_size),
        sizes.and_then(|sizes| sizes.max_size),
    );
    let groups = group.resources.and_then(|resources| resources.auto_scaling_groups).unwrap_or_default();
    let template = group.launch_template;
    let types = group.instance_types.unwrap_or_default();
    let chosen = template.is_some() && types.iter().all(|only| only == DEFAULT_TYPE) && !types.is_empty();
    Seen::new(id, group.tags.unwrap_or_default())
        .known("cluster", group.cluster_name)
        .known("name", group.nodegroup_name.as_ref())
        .known("role", group.node_role)
        .known("subnets", group.subnets.map(|subnets| subnets.into_iter().collect::<BTreeSet<_>>()))
        .known("instance_types", (!chosen).then_some(types))
        .known("market", group.capacity_type.as_ref().and_then(paid_as))
        .field("launch_template", template.as_ref().and_then(|template| template.id.as_ref()))
        .field("launch_template_version", template.as_ref().and_then(|template| template.version.as_ref()))
        .known("min", min)
        .known("desired", desired)
        .known("max", max)
        .field("labels", group.labels.unwrap_or_default().into_iter().collect::<BTreeMap<_, _>>())
        .field("taints", taints(&group.taints.unwrap_or_default()))
        .known("max_unavailable", group.update_config.and_then(|pace| pace.max_unavailable))
        .field("auto_repair", group.node_repair_config.and_then(|repair| repair.enabled).unwrap_or_default())
        .gives("arn", group.nodegroup_arn)
        .gives("name", group.nodegroup_name)
        .gives("autoscaling_group", groups.into_iter().find_map(|group| group.name))
        .readiness(readiness)
        .done()
}

/// What ails it, in AWS's words; lack of capacity first, for it is what forge can do something about.
fn issues(group: &Nodegroup) -> Vec<String> {
    let issues = group.health().map(|health| health.issues()).unwrap_or_default().iter();
    let mut issues: Vec<String> = issues
        .map(|one| issue(one.code().map(NodegroupIssueCode::as_str), one.message(), one.resource_ids()))
        .collect();
    issues.sort_by_key(|told| !lacks_capacity(told));
    issues
}

fn readiness(group: &Nodegroup) -> Readiness {
    let issues = issues(group);
    let told = |otherwise: &str| if issues.is_empty() { otherwise.to_owned() } else { issues.join("; ") };
    match group.status() {
        Some(NodegroupStatus::Active) => Readiness::Ready,
        Some(NodegroupStatus::CreateFailed) => Readiness::Failed(told("EKS could not make the node group")),
        Some(NodegroupStatus::DeleteFailed) => Readiness::Failed(told("EKS could not delete the node group")),
        // EKS goes on trying for most of an hour; whoever has listed another zone or another way of paying has nodes sooner.
        Some(NodegroupStatus::Creating) if issues.iter().any(|issue| lacks_capacity(issue)) => {
            Readiness::Failed(issues.join("; "))
        }
        Some(NodegroupStatus::Creating) | None => Readiness::Waiting(told("nodes are being started")),
        Some(NodegroupStatus::Updating) => Readiness::Waiting(told("nodes are being changed")),
        Some(NodegroupStatus::Deleting) => Readiness::Waiting("nodes are being ended".to_owned()),
        // EKS goes on trying; what runs there runs.
        Some(NodegroupStatus::Degraded) => Readiness::Waiting(told("the node group is degraded")),
        Some(other) => Readiness::Waiting(format!("the node group is {other}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn spec() -> Spec {
        serde_json::from_value(json!({
            "cluster": "prod", "name": "gpu", "role": "arn:aws:iam::1:role/nodes", "subnets": ["subnet-a"],
            "market": "on-demand", "launch_template": "lt-1", "launch_template_version": "3",
            "min": 2, "desired": 2, "max": 2, "labels": { "forge/pool": "gpu" },
            "taints": [{ "key": "nvidia.com/gpu", "effect": "no-schedule" }],
        }))
        .unwrap()
    }

    fn group() -> sdk::builders::NodegroupBuilder {
        let asg = sdk::AutoScalingGroup::builder().name("eks-gpu-1").build();
        let spec = spec();
        Nodegroup::builder()
            .cluster_name("prod")
            .nodegroup_name("gpu")
            .nodegroup_arn("arn:aws:eks:us-west-2:1:nodegroup/prod/gpu/1")
            .node_role("arn:aws:iam::1:role/nodes")
            .subnets("subnet-a")
            .instance_types("t3.medium")
            .ami_type(sdk::AmiTypes::Custom)
            .capacity_type(sdk::CapacityTypes::OnDemand)
            .set_launch_template(spec.template())
            .scaling_config(spec.sizes())
            .labels("forge/pool", "gpu")
            .set_taints(Some(spec.taints.iter().map(Taint::to_sdk).collect()))
            .update_config(spec.pace())
            .resources(sdk::NodegroupResources::builder().auto_scaling_groups(asg).build())
            .status(NodegroupStatus::Active)
    }

    #[test]
    fn what_is_read_is_what_was_asked_for() {
        let observed = seen("prod/gpu", group().build());
        let asked = serde_json::to_value(spec()).unwrap();
        for (field, value) in &observed.spec {
            assert_eq!(*value, asked[field], "{field}");
        }
        let unread = ["ami", "instance_types"];
        let all: BTreeSet<&str> = observed.spec.keys().map(String::as_str).chain(unread).collect();
        assert_eq!(all, asked.as_object().unwrap().keys().map(String::as_str).collect());
        let outputs: BTreeSet<_> = observed.outputs.keys().map(String::as_str).collect();
        assert_eq!(outputs, Spec::OUTPUTS.iter().copied().collect());
        assert_eq!(spec().changes(&group().build()), (false, false));
    }

    #[test]
    fn only_what_differs_is_sent() {
        let there = group().labels("old", "1").build();
        let mut after = spec();
        after.taints = BTreeSet::from([Taint {
            key: "nvidia.com/gpu".to_owned(),
            value: "present".to_owned(),
            effect: TaintEffect::NoSchedule,
        }]);
        assert_eq!(after.changes(&there), (true, false));
        let labels = after.relabel(&there).unwrap();
        assert_eq!((labels.add_or_update_labels(), labels.remove_labels()), (None, &["old".to_owned()][..]));
        let taints = after.retaint(&there).unwrap();
        assert_eq!((taints.add_or_update_taints().len(), taints.remove_taints().len()), (1, 0));
        assert!(spec().relabel(&group().build()).is_none() && spec().retaint(&group().build()).is_none());
        after = spec();
        after.launch_template_version = Some("4".to_owned());
        assert_eq!(after.changes(&group().build()), (false, true));
    }

    #[test]
    fn lack_of_capacity_is_told_first_and_in_the_words_of_aws() {
        let words = "Could not launch On-Demand Instances. InsufficientInstanceCapacity - We currently do not have \
                     sufficient p5.48xlarge capacity in the Availability Zone you requested (us-west-2a).";
        let issue = |code, message: &str| sdk::Issue::builder().code(code).message(message).build();
        let health = sdk::NodegroupHealth::builder()
            .issues(issue(NodegroupIssueCode::NodeCreationFailure, "Instances failed to join"))
            .issues(issue(NodegroupIssueCode::AsgInstanceLaunchFailures, words));
        let failed = group().status(NodegroupStatus::CreateFailed).health(health.build()).build();
        let Readiness::Failed(told) = readiness(&failed) else { panic!("{failed:?}") };
        assert_eq!(told, format!("AsgInstanceLaunchFailures: {words}; NodeCreationFailure: Instances failed to join"));
        assert!(lacks_capacity(&told));
    }

    #[test]
    fn what_eks_would_choose_by_itself_has_to_be_said() {
        let wrong = |change: fn(&mut Spec)| {
            let mut spec = spec();
            change(&mut spec);
            spec.check().unwrap_err()
        };
        assert_eq!(spec().check(), Ok(()));
        assert!(wrong(|spec| spec.launch_template_version = None).contains("launch_template_version"));
        assert!(wrong(|spec| spec.launch_template = None).contains("instance_types"));
        assert_eq!(
            wrong(|spec| spec.max = 1),
            "a node group needs min <= desired <= max; these are 2, 2, 1"
        );
    }
}
