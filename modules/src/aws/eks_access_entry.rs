//! `aws.eks_access_entry`: who may do what in a cluster (EKS CreateAccessEntry, AssociateAccessPolicy).

use super::Tags;
use crate::planned::{FREE, Planned, replace};
use forge_engine::kind::{Effect, Hourly, Typical};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// What can be chosen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Name of the cluster.
    pub cluster: String,
    /// ARN of the user or role.
    pub principal: String,
    /// What the principal is; nodes can be given no policies.
    #[serde(default)]
    pub form: Form,
    /// Kubernetes groups that it belongs to.
    #[serde(default)]
    pub groups: BTreeSet<String>,
    /// What it may do.
    #[serde(default)]
    pub policies: BTreeSet<Policy>,

    /// Tags, besides those that forge sets.
    #[serde(default)]
    pub tags: Tags,
}

/// What a principal is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// A person or a program.
    #[default]
    Standard,
    /// Linux nodes that EKS does not manage.
    Ec2Linux,
}

/// A policy of EKS and where it holds.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// Its name: `AmazonEKSClusterAdminPolicy`.
    pub name: String,
    /// Kubernetes namespaces that it holds in; the whole cluster when empty.
    #[serde(default)]
    pub namespaces: BTreeSet<String>,
}

impl Planned for Spec {
    const NAME: &'static str = "aws.eks_access_entry";
    const OUTPUTS: &'static [&'static str] = &["arn"];
    const SERVICE: &'static str = "eks";
    /// Estimate: done when the call returns.
    const TYPICAL: Typical = Typical::seconds(1, 1, 1);

    fn effect(field: &str, before: &Self, after: &Self) -> Effect {
        match field {
            "cluster" | "principal" | "form" => {
                replace((&before.cluster, &before.principal) != (&after.cluster, &after.principal))
            }
            _ => Effect::InPlace,
        }
    }

    fn hourly(&self, _region: Option<&str>) -> Option<Hourly> {
        FREE
    }
}
