//! `aws.eks_addon`: an add-on of a cluster that EKS keeps up (EKS CreateAddon). It counts as ready when it is
//! installed; `coredns` then still waits for a node without taints.

use super::Tags;
use crate::planned::{FREE, Planned};
use forge_engine::kind::{Effect, Hourly, Typical};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// What can be chosen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Name of the cluster.
    pub cluster: String,
    /// Its name: `vpc-cni`.
    pub name: String,
    /// Its version; the default for the cluster's Kubernetes when absent.
    #[serde(default)]
    pub version: Option<String>,
    /// Its configuration, by its own schema (EKS DescribeAddonConfiguration).
    #[serde(default)]
    pub configuration: BTreeMap<String, serde_json::Value>,
    /// Roles of its service accounts by Pod Identity: name of the account to ARN of the role.
    #[serde(default)]
    pub roles: BTreeMap<String, String>,

    /// Tags, besides those that forge sets.
    #[serde(default)]
    pub tags: Tags,
}

impl Planned for Spec {
    const NAME: &'static str = "aws.eks_addon";
    const OUTPUTS: &'static [&'static str] = &["arn", "cluster", "version"];
    const SERVICE: &'static str = "eks";
    /// Estimate; the SDK's waiter `addon_active` gives it 10 minutes (botocore 1.43.106).
    const TYPICAL: Typical = Typical::seconds(60, 60, 30);
    const VOLATILE_OUTPUTS: &'static [&'static str] = &["version"];
    /// The SDK's waiter `addon_active` gives it 10 minutes, and takes a passing DEGRADED for failure.
    const READY_DEADLINE: Duration = Duration::from_secs(30 * 60);

    fn effect(field: &str, _before: &Self, _after: &Self) -> Effect {
        match field {
            "cluster" | "name" => Effect::ReplaceCreateFirst,
            _ => Effect::InPlace,
        }
    }

    fn hourly(&self, _region: Option<&str>) -> Option<Hourly> {
        FREE
    }
}
