//! `aws.elastic_ip`: a public IPv4 address that stays (EC2 AllocateAddress).

use super::Tags;
use crate::planned::Planned;
use forge_engine::kind::{Effect, Typical};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What can be chosen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Tags, besides those that forge sets.
    #[serde(default)]
    pub tags: Tags,
}

impl Planned for Spec {
    const NAME: &'static str = "aws.elastic_ip";
    const OUTPUTS: &'static [&'static str] = &["id", "address"];
    const SERVICE: &'static str = "ec2";
    /// Estimate: done when the call returns.
    const TYPICAL: Typical = Typical::seconds(1, 1, 1);

    fn effect(_field: &str, _before: &Self, _after: &Self) -> Effect {
        Effect::InPlace
    }
}
