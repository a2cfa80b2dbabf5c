//! `aws.route_table`: where packets of its subnets go (EC2 CreateRouteTable, CreateRoute, AssociateRouteTable). Routes
//! and associations are part of it: what is not listed is removed, except the route within the VPC and those of gateway
//! endpoints.

use super::Tags;
use crate::planned::{FREE, Planned};
use forge_engine::kind::{Effect, Hourly, Typical};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// What can be chosen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Identifier of its VPC.
    pub vpc: String,
    /// Its routes.
    #[serde(default)]
    pub routes: BTreeSet<Route>,
    /// Identifiers of the subnets that use it.
    #[serde(default)]
    pub subnets: BTreeSet<String>,

    /// Tags, besides those that forge sets.
    #[serde(default)]
    pub tags: Tags,
}

/// One route.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// The IPv4 addresses that it is for: `0.0.0.0/0` for all others.
    pub cidr: String,
    /// Where they are sent.
    pub via: Via,
}

/// Where a route leads.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Via {
    /// To an internet gateway, by identifier.
    InternetGateway(String),
    /// To a NAT gateway, by identifier.
    NatGateway(String),
}

impl Planned for Spec {
    const NAME: &'static str = "aws.route_table";
    const OUTPUTS: &'static [&'static str] = &["id"];
    const SERVICE: &'static str = "ec2";
    /// Estimate: several calls, one for each route and subnet.
    const TYPICAL: Typical = Typical::seconds(2, 2, 2);

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
