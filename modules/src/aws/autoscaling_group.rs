//! `aws.autoscaling_group`: nodes without Kubernetes (Auto Scaling CreateAutoScalingGroup). It never balances between
//! zones and never ends an instance by itself but a broken one: a gang does not survive that.

use super::Tags;
use crate::planned::Planned;
use forge_engine::kind::{Effect, Typical};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
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
