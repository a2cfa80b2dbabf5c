//! `aws.vpc`: a virtual private cloud (EC2 CreateVpc, ModifyVpcAttribute).

use super::Tags;
use crate::planned::{FREE, Planned};
use forge_engine::kind::{Effect, Hourly, Typical};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What can be chosen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Its IPv4 addresses: from /28 to /16.
    pub cidr: String,
    /// Whether AWS's resolver answers in it; EKS needs it.
    #[serde(default = "yes")]
    pub dns_support: bool,
    /// Whether its instances have DNS names; EKS and FSx need it.
    #[serde(default = "yes")]
    pub dns_hostnames: bool,

    /// Tags, besides those that forge sets.
    #[serde(default)]
    pub tags: Tags,
}

fn yes() -> bool {
    true
}

impl Planned for Spec {
    const NAME: &'static str = "aws.vpc";
    const OUTPUTS: &'static [&'static str] = &["id"];
    const SERVICE: &'static str = "ec2";
    /// Estimate: several calls, one for each setting of names.
    const TYPICAL: Typical = Typical::seconds(3, 1, 1);

    fn effect(field: &str, _before: &Self, _after: &Self) -> Effect {
        match field {
            "cidr" => Effect::ReplaceCreateFirst,
            _ => Effect::InPlace,
        }
    }

    fn hourly(&self, _region: Option<&str>) -> Option<Hourly> {
        FREE
    }
}
