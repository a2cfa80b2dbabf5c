//! `aws.security_group`: who may talk to the network interfaces in it (EC2 CreateSecurityGroup,
//! AuthorizeSecurityGroupIngress and -Egress). Its rules are part of it: what is not listed is revoked, and so is the
//! rule that AWS adds by itself (out to everywhere). EFA needs two rules with the peer `{group: self}` and every
//! protocol, one each way; a rule for 0.0.0.0/0 does not do.

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
    /// Its name, unique in the VPC; at most 255 characters.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// Identifier of its VPC.
    pub vpc: String,
    /// Who may connect to its members.
    #[serde(default)]
    pub ingress: BTreeSet<Rule>,
    /// Whom its members may connect to.
    #[serde(default)]
    pub egress: BTreeSet<Rule>,

    /// Tags, besides those that forge sets.
    #[serde(default)]
    pub tags: Tags,
}

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// The other side.
    pub peer: Peer,
    /// The protocol.
    #[serde(default)]
    pub protocol: Protocol,
    /// The ports, of tcp and udp; all of them when absent.
    #[serde(default)]
    pub ports: Option<Ports>,
}

/// The other side of a rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Peer {
    /// Members of a security group, by identifier; `self` is this one.
    Group(String),
    /// IPv4 addresses.
    Cidr(String),
}

/// The protocol of a rule.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// Every protocol (`-1`), EFA's among them.
    #[default]
    All,
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

/// Ports, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Ports {
    /// The first.
    pub from: u16,
    /// The last.
    pub to: u16,
}

impl Planned for Spec {
    const NAME: &'static str = "aws.security_group";
    const OUTPUTS: &'static [&'static str] = &["id"];
    const SERVICE: &'static str = "ec2";
    /// Estimate: several calls, one for each direction of rules.
    const TYPICAL: Typical = Typical::seconds(2, 2, 1);

    fn effect(field: &str, before: &Self, after: &Self) -> Effect {
        match field {
            "name" | "description" | "vpc" => replace((&before.name, &before.vpc) != (&after.name, &after.vpc)),
            _ => Effect::InPlace,
        }
    }

    fn hourly(&self, _region: Option<&str>) -> Option<Hourly> {
        FREE
    }
}
