//! `aws.iam_role`: an identity with its permissions (IAM CreateRole, AttachRolePolicy, PutRolePolicy). What is attached
//! and not listed is detached.

use super::Tags;
use crate::planned::{FREE, Planned};
use forge_engine::kind::{Effect, Hourly, Typical};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// What can be chosen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Its name, unique in the account; at most 64 characters.
    pub name: String,
    /// Services that may take it on: `ec2.amazonaws.com`. `pods.eks.amazonaws.com` may tag its sessions too, as Pod Identity
    /// needs.
    pub trusts: BTreeSet<String>,
    /// Policies of AWS by name (`AmazonEKSWorkerNodePolicy`), others by ARN.
    #[serde(default)]
    pub managed_policies: BTreeSet<String>,
    /// Its own policies by name: what each allows.
    #[serde(default)]
    pub policies: BTreeMap<String, Vec<Statement>>,
    /// ARN of the policy beyond which no permission goes.
    #[serde(default)]
    pub boundary: Option<String>,

    /// Tags, besides those that forge sets.
    #[serde(default)]
    pub tags: Tags,
}

/// Something that a policy allows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Statement {
    /// Actions: `s3:GetObject`.
    pub actions: BTreeSet<String>,
    /// ARNs that they may be done to.
    pub resources: BTreeSet<String>,
}

impl Planned for Spec {
    const NAME: &'static str = "aws.iam_role";
    const OUTPUTS: &'static [&'static str] = &["arn", "name"];
    const SERVICE: &'static str = "iam";
    /// Estimate: several calls, one for each policy.
    const TYPICAL: Typical = Typical::seconds(2, 2, 2);

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
