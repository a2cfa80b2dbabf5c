//! `aws.instance_profile`: the role of EC2 instances outside EKS (IAM CreateInstanceProfile, AddRoleToInstanceProfile).

use super::Tags;
use crate::planned::Planned;
use forge_engine::kind::Effect;
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

    fn effect(field: &str, _before: &Self, _after: &Self) -> Effect {
        match field {
            "name" => Effect::ReplaceCreateFirst,
            _ => Effect::InPlace,
        }
    }
}
