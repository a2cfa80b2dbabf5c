//! `aws.eks_cluster`: a Kubernetes control plane (EKS CreateCluster). Nodes are let in by access entries (`API`), not
//! by a config map, which the API would choose by itself; add-ons come as [`super::eks_addon`], none by themselves.

use super::Tags;
use crate::planned::{Planned, replace};
use forge_engine::kind::{Effect, Typical};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::time::Duration;

/// What can be chosen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Its name, unique in the region; at most 100 characters.
    pub name: String,
    /// ARN of its role.
    pub role: String,
    /// Minor version of Kubernetes: `1.35`.
    pub version: String,
    /// Identifiers of its subnets: at least two availability zones, six free addresses each.
    pub subnets: BTreeSet<String>,
    /// Identifiers of security groups of the control plane's interfaces, besides the one that EKS makes.
    #[serde(default)]
    pub security_groups: BTreeSet<String>,
    /// Whether its API answers within the VPC.
    #[serde(default = "yes")]
    pub private_endpoint: bool,
    /// Whether its API answers from outside.
    #[serde(default = "yes")]
    pub public_endpoint: bool,
    /// The addresses outside that may reach it; all when empty.
    #[serde(default)]
    pub public_cidrs: BTreeSet<String>,
    /// Addresses of services; EKS chooses when absent.
    #[serde(default)]
    pub service_cidr: Option<String>,
    /// ARN of the KMS key that encrypts Kubernetes secrets, besides the encryption that EKS does by itself.
    #[serde(default)]
    pub kms_key: Option<String>,
    /// Which logs of the control plane go to CloudWatch: api, audit, authenticator, controllerManager, scheduler.
    #[serde(default)]
    pub logs: BTreeSet<String>,
    /// Whether who creates it administers it.
    #[serde(default = "yes")]
    pub creator_is_admin: bool,
    /// Whether EKS refuses to delete it.
    #[serde(default)]
    pub deletion_protection: bool,

    /// Tags, besides those that forge sets.
    #[serde(default)]
    pub tags: Tags,
}

fn yes() -> bool {
    true
}

fn minor(version: &str) -> Option<u32> {
    version.strip_prefix("1.")?.parse().ok()
}

/// EKS goes up one minor version at a time, and never back.
fn upgrade(before: &str, after: &str) -> Effect {
    match (minor(before), minor(after)) {
        (Some(before), Some(after)) if after > before + 1 => {
            Effect::Forbidden("EKS goes up one minor version of Kubernetes at a time")
        }
        (Some(before), Some(after)) if after < before => {
            Effect::Forbidden("EKS never goes back to an older Kubernetes")
        }
        _ => Effect::InPlace,
    }
}

impl Planned for Spec {
    const NAME: &'static str = "aws.eks_cluster";
    const OUTPUTS: &'static [&'static str] =
        &["id", "name", "arn", "version", "endpoint", "certificate_authority", "security_group", "issuer"];
    const SERVICE: &'static str = "eks";
    /// Estimate; AWS says "several minutes", and the SDK's waiters give it 20 (botocore 1.43.106).
    const TYPICAL: Typical = Typical::seconds(600, 600, 300);
    const VOLATILE_OUTPUTS: &'static [&'static str] = &["version"];
    /// The SDK's waiter `cluster_active` gives it 20 minutes; large accounts have been seen to need more.
    const READY_DEADLINE: Duration = Duration::from_secs(30 * 60);

    fn effect(field: &str, before: &Self, after: &Self) -> Effect {
        match field {
            "version" => upgrade(&before.version, &after.version),
            // A key can be given later, and then neither changed nor taken away.
            "kms_key" if before.kms_key.is_none() => Effect::InPlace,
            "name" | "role" | "service_cidr" | "kms_key" => replace(before.name != after.name),
            "creator_is_admin" => Effect::Forbidden(
                "EKS asks who administers a new cluster only when it makes it; give access entries instead",
            ),
            _ => Effect::InPlace,
        }
    }
}
