//! `aws.placement_group`: where instances stand to each other (EC2 CreatePlacementGroup). A cluster group is in one
//! availability zone; at most 500 groups per region.

use super::Tags;
use crate::planned::{FREE, Planned, replace};
use forge_engine::kind::{Effect, Hourly, Typical};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What can be chosen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Its name, unique in the region.
    pub name: String,
    /// How instances are placed.
    #[serde(default)]
    pub strategy: Strategy,
    /// Number of partitions, 1 to 7; of the strategy `partition` only.
    #[serde(default)]
    #[schemars(range(min = 1, max = 7))]
    pub partitions: Option<u8>,

    /// Tags, besides those that forge sets.
    #[serde(default)]
    pub tags: Tags,
}

/// How instances are placed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// Close together, for the shortest network paths.
    #[default]
    Cluster,
    /// In groups that share no rack.
    Partition,
    /// Each on hardware of its own.
    Spread,
}

impl Planned for Spec {
    const NAME: &'static str = "aws.placement_group";
    const OUTPUTS: &'static [&'static str] = &["id", "name", "arn"];
    const SERVICE: &'static str = "ec2";
    /// Estimate: done when the call returns.
    const TYPICAL: Typical = Typical::seconds(1, 1, 1);

    fn effect(field: &str, before: &Self, after: &Self) -> Effect {
        match field {
            "name" | "strategy" | "partitions" => replace(before.name != after.name),
            _ => Effect::InPlace,
        }
    }

    fn hourly(&self, _region: Option<&str>) -> Option<Hourly> {
        FREE
    }
}
