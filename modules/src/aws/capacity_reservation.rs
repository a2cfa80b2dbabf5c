//! `aws.capacity_reservation`: on-demand instances that are kept free for us (EC2 CreateCapacityReservation), paid
//! whether they run or not, and cancelled with the deployment.

use super::Tags;
use super::price;
use crate::planned::Planned;
use forge_engine::kind::{Effect, Hourly, Typical};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What can be chosen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// The instance type.
    pub instance_type: String,
    /// Name of the availability zone.
    pub zone: String,
    /// How many instances.
    #[schemars(range(min = 1))]
    pub count: u32,
    /// Whether only instances that name it run in it; else any that fits.
    #[serde(default = "yes")]
    pub targeted: bool,
    /// When it ends by itself, as an RFC 3339 time; never when absent.
    #[serde(default)]
    pub ends: Option<String>,
    /// ARN of the placement group whose instances it is for.
    #[serde(default)]
    pub placement_group: Option<String>,

    /// Tags, besides those that forge sets.
    #[serde(default)]
    pub tags: Tags,
}

fn yes() -> bool {
    true
}

impl Planned for Spec {
    const NAME: &'static str = "aws.capacity_reservation";
    const OUTPUTS: &'static [&'static str] = &["id", "arn"];
    const SERVICE: &'static str = "ec2";
    /// Estimate.
    const TYPICAL: Typical = Typical::seconds(10, 5, 10);

    fn effect(field: &str, _before: &Self, _after: &Self) -> Effect {
        match field {
            "instance_type" | "zone" | "placement_group" => Effect::ReplaceCreateFirst,
            _ => Effect::InPlace,
        }
    }

    /// A reservation costs what its instances would, whether they run or not; those that run in it cost nothing more.
    fn hourly(&self, region: Option<&str>) -> Option<Hourly> {
        price::on_demand(region, &self.instance_type, self.count)
    }
}
