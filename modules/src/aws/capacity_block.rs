//! `aws.capacity_block`: accelerated instances bought for a time to come (EC2 DescribeCapacityBlockOfferings,
//! PurchaseCapacityBlock). It is paid at once and cannot be cancelled; the purchase takes no client token. So it is
//! never repeated and never replaced, and deleting it only forgets it.

use super::Tags;
use super::price;
use crate::planned::Planned;
use forge_engine::kind::{Effect, Hourly, Typical};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What can be chosen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// The instance type.
    pub instance_type: String,
    /// How many instances; at most 64 in one block.
    #[schemars(range(min = 1, max = 64))]
    pub count: u32,
    /// For how many days: 1 to 14, then multiples of 7 up to 182.
    #[schemars(range(min = 1, max = 182))]
    pub days: u32,
    /// Name of the availability zone; any when absent.
    #[serde(default)]
    pub zone: Option<String>,
    /// The earliest start, as an RFC 3339 time: 30 minutes to 8 weeks from the purchase; as soon as possible when absent.
    #[serde(default)]
    pub starts_after: Option<String>,
    /// The latest start, as an RFC 3339 time.
    #[serde(default)]
    pub starts_before: Option<String>,
    /// The most that may be paid for all of it, in US dollars.
    pub max_price_usd: f64,

    /// Tags, besides those that forge sets.
    #[serde(default)]
    pub tags: Tags,
}

impl Planned for Spec {
    const NAME: &'static str = "aws.capacity_block";
    const OUTPUTS: &'static [&'static str] = &["id", "zone", "starts", "ends"];
    const SERVICE: &'static str = "ec2";
    /// Estimate.
    const TYPICAL: Typical = Typical::seconds(60, 1, 1);
    /// From payment to `scheduled`; when it starts is another matter.
    const READY_DEADLINE: Duration = Duration::from_secs(600);

    fn effect(field: &str, _before: &Self, _after: &Self) -> Effect {
        match field {
            "tags" => Effect::InPlace,
            _ => Effect::Forbidden(
                "a capacity block is bought once and never changed; add another module to buy another one",
            ),
        }
    }

    fn hourly(&self, _region: Option<&str>) -> Option<Hourly> {
        price::capacity_block(&self.instance_type, self.count)
    }
}
