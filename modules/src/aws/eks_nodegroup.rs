//! `aws.eks_nodegroup`: nodes of a cluster that EKS manages (EKS CreateNodegroup). With a launch template, what that
//! says cannot be said here: image, disk, security groups. EKS does not check that nodes of a capacity block join.

use super::{Market, Tags};
use super::price;
use crate::planned::{FREE, Planned, replace};
use forge_engine::kind::{Effect, Hourly, Typical};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
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
