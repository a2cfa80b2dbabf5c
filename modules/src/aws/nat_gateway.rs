//! `aws.nat_gateway`: the way out of private subnets (EC2 CreateNatGateway), in one public subnet.

use super::Tags;
use crate::planned::{Planned, replace};
use forge_engine::kind::{Effect, Typical};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What can be chosen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Identifier of the public subnet that it stands in.
    pub subnet: String,
    /// Identifier (allocation) of its public address.
    pub elastic_ip: String,

    /// Tags, besides those that forge sets.
    #[serde(default)]
    pub tags: Tags,
}

impl Planned for Spec {
    const NAME: &'static str = "aws.nat_gateway";
    const OUTPUTS: &'static [&'static str] = &["id"];
    const SERVICE: &'static str = "ec2";
    /// Estimate; the SDK's waiter `nat_gateway_available` gives it 10 minutes (botocore 1.43.106).
    const TYPICAL: Typical = Typical::seconds(120, 1, 60);
    /// The budget of the SDK's waiter `nat_gateway_available`.
    const READY_DEADLINE: Duration = Duration::from_secs(600);

    /// One public address serves one gateway at a time.
    fn effect(field: &str, before: &Self, after: &Self) -> Effect {
        match field {
            "subnet" | "elastic_ip" => replace(before.elastic_ip != after.elastic_ip),
            _ => Effect::InPlace,
        }
    }
}
