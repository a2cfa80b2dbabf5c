//! `aws.internet_gateway`: a gateway between a VPC and the internet, attached (EC2 CreateInternetGateway,
//! AttachInternetGateway).

use super::Tags;
use crate::planned::{FREE, Planned};
use forge_engine::kind::{Effect, Hourly, Typical};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What can be chosen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Identifier of the VPC that it is attached to.
    pub vpc: String,

    /// Tags, besides those that forge sets.
    #[serde(default)]
    pub tags: Tags,
}

impl Planned for Spec {
    const NAME: &'static str = "aws.internet_gateway";
    const OUTPUTS: &'static [&'static str] = &["id"];
    const SERVICE: &'static str = "ec2";
    /// Estimate: two calls, one to attach it.
    const TYPICAL: Typical = Typical::seconds(2, 1, 2);

    /// Moving it would fail for as long as public addresses of the old VPC are in use.
    fn effect(field: &str, _before: &Self, _after: &Self) -> Effect {
        match field {
            "vpc" => Effect::ReplaceCreateFirst,
            _ => Effect::InPlace,
        }
    }

    fn hourly(&self, _region: Option<&str>) -> Option<Hourly> {
        FREE
    }
}
