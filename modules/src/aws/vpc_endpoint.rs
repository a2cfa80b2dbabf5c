//! `aws.vpc_endpoint`: a way to an AWS service that does not leave the VPC (EC2 CreateVpcEndpoint).

use super::Tags;
use crate::planned::{FREE, Planned, replace};
use forge_engine::kind::{Effect, Hourly, Typical};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::time::Duration;

/// What can be chosen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Identifier of its VPC.
    pub vpc: String,
    /// The service: `com.amazonaws.us-west-2.s3`.
    pub service: String,
    /// How it works.
    #[serde(default)]
    pub form: Form,
    /// Identifiers of the route tables that lead to a gateway endpoint.
    #[serde(default)]
    pub route_tables: BTreeSet<String>,
    /// Identifiers of the subnets that an interface endpoint stands in.
    #[serde(default)]
    pub subnets: BTreeSet<String>,
    /// Identifiers of the security groups of an interface endpoint.
    #[serde(default)]
    pub security_groups: BTreeSet<String>,
    /// Whether the service's own name leads to an interface endpoint.
    #[serde(default)]
    pub private_dns: bool,

    /// Tags, besides those that forge sets.
    #[serde(default)]
    pub tags: Tags,
}

/// How an endpoint works.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// By routes; free of charge, for S3 and DynamoDB.
    #[default]
    Gateway,
    /// By network interfaces in subnets.
    Interface,
}

impl Planned for Spec {
    const NAME: &'static str = "aws.vpc_endpoint";
    const OUTPUTS: &'static [&'static str] = &["id"];
    const SERVICE: &'static str = "ec2";
    /// Estimate.
    const TYPICAL: Typical = Typical::seconds(5, 5, 60);
    const READY_DEADLINE: Duration = Duration::from_secs(600);

    /// Within one VPC, two endpoints of a service contend for the same routes or the same name.
    fn effect(field: &str, before: &Self, after: &Self) -> Effect {
        match field {
            "vpc" | "service" | "form" => replace((&before.vpc, &before.service) != (&after.vpc, &after.service)),
            _ => Effect::InPlace,
        }
    }

    fn hourly(&self, _region: Option<&str>) -> Option<Hourly> {
        if self.form == Form::Gateway { FREE } else { None }
    }
}
