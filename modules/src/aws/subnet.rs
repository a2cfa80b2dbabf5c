//! `aws.subnet`: a subnet of a VPC, in one availability zone (EC2 CreateSubnet).

use super::Tags;
use crate::planned::{FREE, Planned, replace};
use forge_engine::kind::{Effect, Hourly, Typical};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What can be chosen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Identifier of its VPC.
    pub vpc: String,
    /// Its IPv4 addresses, /28 to /16, part of the VPC's; AWS keeps five of them.
    pub cidr: String,
    /// Name of its availability zone: `us-west-2a`.
    pub zone: String,
    /// Whether instances in it get a public address.
    #[serde(default)]
    pub public_addresses: bool,

    /// Tags, besides those that forge sets.
    #[serde(default)]
    pub tags: Tags,
}

impl Planned for Spec {
    const NAME: &'static str = "aws.subnet";
    const OUTPUTS: &'static [&'static str] = &["id"];
    const SERVICE: &'static str = "ec2";
    /// Estimate.
    const TYPICAL: Typical = Typical::seconds(2, 1, 1);

    /// Two subnets of one VPC cannot have the same addresses.
    fn effect(field: &str, before: &Self, after: &Self) -> Effect {
        match field {
            "vpc" | "cidr" | "zone" => replace(before.vpc != after.vpc),
            _ => Effect::InPlace,
        }
    }

    fn hourly(&self, _region: Option<&str>) -> Option<Hourly> {
        FREE
    }
}
