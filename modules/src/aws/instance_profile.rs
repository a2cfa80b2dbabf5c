//! `aws.instance_profile`: the role of EC2 instances outside EKS (IAM CreateInstanceProfile, AddRoleToInstanceProfile).

use super::Tags;
use crate::planned::{FREE, Planned};
use forge_engine::kind::{Effect, Hourly, Typical};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What can be chosen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Its name, unique in the account; at most 128 characters.
    pub name: String,
    /// Name of its role.
    pub role: String,

    /// Tags, besides those that forge sets.
    #[serde(default)]
    pub tags: Tags,
}

impl Planned for Spec {
    const NAME: &'static str = "aws.instance_profile";
    const OUTPUTS: &'static [&'static str] = &["arn", "name"];
    const SERVICE: &'static str = "iam";
    /// Estimate: two calls, one for the role in it.
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
