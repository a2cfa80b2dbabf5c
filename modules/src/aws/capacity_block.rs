//! `aws.capacity_block`: accelerated instances bought for a time to come (EC2 DescribeCapacityBlockOfferings,
//! PurchaseCapacityBlock). It is paid at once and cannot be cancelled. So it is never replaced, and deleting it only
//! forgets it: forge's tags are taken away, and what has none of them is nobody's to forge.
//!
//! The purchase takes no client token. It is looked for by its tags before anything is bought, and nothing is bought for an
//! address that has a block. Its identifier is that of the capacity reservation that AWS makes of it, `cr-…`: launch
//! templates name it.

use super::Tags;
use super::capacity::{self, State, moment, owner, reservations, state, text, time};
use super::cloud::{Cloud, empty};
use super::ec2::{born_with, disown, pairs, retag};
use super::error::Answer;
use super::price;
use super::resource::{Resource, Seen, in_order, shown};
use crate::planned::Planned;
use aws_sdk_ec2::primitives::DateTime;
use aws_sdk_ec2::types::{
    CapacityBlockOffering, CapacityReservation, CapacityReservationInstancePlatform, ResourceType,
};
use forge_engine::address::Deployment;
use forge_engine::kind as engine;
use forge_engine::kind::{Effect, ErrorClass, Hourly, KindError, Observed, OnIdentifier, Readiness, Recovery, Typical};
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
    #[serde(default, deserialize_with = "moment")]
    pub starts_after: Option<String>,
    /// The latest start, as an RFC 3339 time.
    #[serde(default, deserialize_with = "moment")]
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

const DAY: i64 = 24 * 60 * 60;
const HOURS: u32 = 24;

/// How long a purchase of which nobody knows the outcome is looked for before the next one. EC2 shows most things within
/// seconds and all within minutes; a second block costs tens of thousands.
const VISIBILITY: Duration = Duration::from_secs(300);

impl Resource for Spec {
    const RECOVERY: Recovery = Recovery::Tags;
    const VISIBILITY: Duration = VISIBILITY;
    /// One call answers for all of them.
    const READ_BATCH: usize = 100;
    const ACTIONS: &'static [&'static str] = &[
        "ec2:DescribeCapacityBlockOfferings",
        "ec2:PurchaseCapacityBlock",
        "ec2:DescribeCapacityReservations",
        "ec2:DescribeTags",
        "ec2:CreateTags",
        "ec2:DeleteTags",
    ];

    async fn read_many(cloud: &Cloud, ids: &[String]) -> Result<Vec<Option<Observed>>, KindError> {
        let ours = |block: &CapacityReservation| owner(block).is_some();
        let found = reservations(cloud, true).await?.into_iter().filter(ours);
        Ok(in_order(ids, found.filter_map(observed).collect()))
    }

    async fn create(
        &self,
        cloud: &Cloud,
        tags: &engine::Tags,
        on_identifier: OnIdentifier<'_>,
    ) -> Result<Observed, KindError> {
        const CALL: &str = "ec2:PurchaseCapacityBlock";
        if let Some(bought) = bought(cloud, tags).await? {
            on_identifier(&bought.id);
            return Ok(bought);
        }
        let offering = self.chosen(cloud).await?;
        let call = cloud.ec2().await.purchase_capacity_block();
        let call = call.set_capacity_block_offering_id(offering.capacity_block_offering_id);
        let call = call.instance_platform(CapacityReservationInstancePlatform::LinuxUnix);
        let call = call.tag_specifications(born_with(ResourceType::CapacityReservation, tags, &self.tags));
        let block = call.send().await.of(cloud, CALL)?.capacity_reservation.ok_or_else(|| empty(CALL))?;
        let id = block.capacity_reservation_id.clone().ok_or_else(|| empty(CALL))?;
        on_identifier(&id);
        shown(&id, vec![observed(block)])
    }

    async fn update(
        &self,
        cloud: &Cloud,
        id: &str,
        _before: Option<&Self>,
        tags: &engine::Tags,
    ) -> Result<Observed, KindError> {
        retag(cloud, id, tags, &self.tags).await?;
        shown(id, Self::read_many(cloud, &[id.to_owned()]).await?)
    }

    /// Nothing gives the money back: it is forgotten.
    async fn delete(cloud: &Cloud, id: &str) -> Result<(), KindError> {
        disown(cloud, id).await
    }

    async fn list(cloud: &Cloud, deployment: &Deployment) -> Result<Vec<Observed>, KindError> {
        Ok(capacity::of(reservations(cloud, true).await?, deployment).filter_map(observed).collect())
    }
}

/// The block that this operation has bought already.
///
/// # Errors
/// When another operation has bought one for the same address.
async fn bought(cloud: &Cloud, tags: &engine::Tags) -> Result<Option<Observed>, KindError> {
    for block in capacity::of(reservations(cloud, true).await?, &tags.deployment).filter_map(observed) {
        let Some(of) = &block.tags else { continue };
        if of.operation == tags.operation {
            return Ok(Some(block));
        }
        if of.address == tags.address && !matches!(block.readiness, Readiness::Failed(_)) {
            let message = format!("{} has been bought for {} already; a second one is not", block.id, tags.address);
            return Err(KindError::terminal(message).help("Run the same command again: it is found by its tags."));
        }
    }
    Ok(None)
}

impl Spec {
    /// The offering to buy.
    async fn chosen(&self, cloud: &Cloud) -> Result<CapacityBlockOffering, KindError> {
        let after = time("starts_after", self.starts_after.as_deref())?;
        let before = time("starts_before", self.starts_before.as_deref())?;
        let instances = i32::try_from(self.count).unwrap_or(i32::MAX);
        let hours = i32::try_from(self.days * HOURS).unwrap_or(i32::MAX);
        // EC2 asks for the latest end. Blocks end at half past eleven (UTC), so that one may last a part of a day more.
        let latest = before.map(|start| DateTime::from_secs(start.secs() + DAY * (i64::from(self.days) + 1)));
        let call = cloud.ec2().await.describe_capacity_block_offerings();
        let call = call.instance_type(&self.instance_type).instance_count(instances).capacity_duration_hours(hours);
        let call = call.set_start_date_range(after).set_end_date_range(latest);
        let mut pages = call.into_paginator().items().send();
        let mut offered = Vec::new();
        while let Some(offering) = pages.next().await {
            offered.push(offering.of(cloud, "ec2:DescribeCapacityBlockOfferings")?);
        }
        self.choose(offered, before)
    }

    /// The offering that starts first, and of those the cheapest, among those that will do.
    fn choose(
        &self,
        offered: Vec<CapacityBlockOffering>,
        before: Option<DateTime>,
    ) -> Result<CapacityBlockOffering, KindError> {
        let fits = |offering: &CapacityBlockOffering| {
            let zone = self.zone.is_none() || offering.availability_zone == self.zone;
            let late = before.zip(offering.start_date).is_some_and(|(latest, start)| start.secs() > latest.secs());
            zone && !late
        };
        let mut fitting: Vec<(f64, CapacityBlockOffering)> =
            offered.into_iter().filter(fits).filter_map(|offering| Some((price_of(&offering)?, offering))).collect();
        fitting.sort_by(|(one, a), (other, b)| {
            let start = |offering: &CapacityBlockOffering| offering.start_date.map(|start| start.secs());
            start(a).cmp(&start(b)).then(one.total_cmp(other))
        });
        let cheapest = fitting.iter().map(|(price, _)| *price).min_by(f64::total_cmp);
        let affordable = fitting.into_iter().find(|(price, _)| *price <= self.max_price_usd);
        affordable.map(|(_, offering)| offering).ok_or_else(|| self.nothing_fits(cheapest))
    }

    fn nothing_fits(&self, cheapest: Option<f64>) -> KindError {
        let Self { count, instance_type, days, max_price_usd, .. } = self;
        let place = self.zone.as_deref().unwrap_or("any zone");
        let wanted = format!("no capacity block of {count} {instance_type} for {days} days in {place}");
        let (message, help) = match cheapest {
            Some(price) => (
                format!("{wanted} costs at most {max_price_usd} US dollars: the cheapest costs {price}"),
                "Nothing was bought. Raise `max_price_usd`, or ask for fewer days or instances.",
            ),
            None => (
                format!("AWS offers {wanted} at the times asked for"),
                "Nothing was bought. Ask for other times, another zone, or fewer days or instances.",
            ),
        };
        KindError { class: ErrorClass::Capacity, message, help: Some(help.to_owned()), source: None }
    }
}

/// What an offering costs in all, in US dollars; none when AWS asks for another currency.
fn price_of(offering: &CapacityBlockOffering) -> Option<f64> {
    let dollars = offering.currency_code().is_none_or(|code| code == "USD");
    offering.upfront_fee().filter(|_| dollars)?.parse().ok().filter(|price: &f64| price.is_finite())
}

/// The block, unless it is over. What was asked for (days, times, price) is not what AWS tells (an end at half past eleven).
fn observed(block: CapacityReservation) -> Option<Observed> {
    let readiness = match state(&block) {
        State::Held => Readiness::Ready,
        State::Coming(state) => Readiness::Waiting(format!("the capacity block is {state}")),
        State::Failed(state) => Readiness::Failed(format!("the capacity block is {state}")),
        State::Over => return None,
    };
    let id = block.capacity_reservation_id?;
    let seen = Seen::new(id.clone(), pairs(block.tags))
        .known("instance_type", block.instance_type)
        .known("count", block.total_instance_count)
        .output("id", id)
        .gives("zone", block.availability_zone)
        .gives("starts", text(block.start_date))
        .gives("ends", text(block.end_date))
        .readiness(readiness);
    Some(seen.done())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(zone: Option<&str>, max_price_usd: f64) -> Spec {
        let (starts_after, starts_before, tags) = Default::default();
        let (instance_type, zone) = ("p5.48xlarge".to_owned(), zone.map(str::to_owned));
        Spec { instance_type, count: 4, days: 7, zone, starts_after, starts_before, max_price_usd, tags }
    }

    fn offering(id: &str, zone: &str, start: i64, fee: &str, currency: &str) -> CapacityBlockOffering {
        CapacityBlockOffering::builder()
            .capacity_block_offering_id(id)
            .availability_zone(zone)
            .start_date(DateTime::from_secs(start))
            .upfront_fee(fee)
            .currency_code(currency)
            .build()
    }

    fn chosen(spec: &Spec, before: Option<i64>) -> Result<String, String> {
        let offered = vec![
            offering("late", "us-west-2a", 900, "100.50", "USD"),
            offering("dear", "us-west-2a", 100, "900", "USD"),
            offering("first", "us-west-2a", 200, "300", "USD"),
            offering("cheaper", "us-west-2b", 200, "200", "USD"),
            offering("yen", "us-west-2b", 50, "1", "JPY"),
        ];
        let chosen = spec.choose(offered, before.map(DateTime::from_secs));
        chosen.map(|chosen| chosen.capacity_block_offering_id.unwrap()).map_err(|error| error.message)
    }

    #[test]
    fn the_first_that_can_be_afforded_is_chosen_and_of_those_the_cheapest() {
        assert_eq!(chosen(&spec(None, 1000.0), None), Ok("dear".to_owned()));
        assert_eq!(chosen(&spec(None, 400.0), None), Ok("cheaper".to_owned()));
        assert_eq!(chosen(&spec(Some("us-west-2a"), 400.0), None), Ok("first".to_owned()));
        assert_eq!(chosen(&spec(None, 150.0), None), Ok("late".to_owned()));
    }

    #[test]
    fn what_does_not_fit_is_not_bought() {
        let message = "no capacity block of 4 p5.48xlarge for 7 days in any zone costs at most 150 US dollars: the cheapest costs 200";
        assert_eq!(chosen(&spec(None, 150.0), Some(800)).unwrap_err(), message);
        let message = "AWS offers no capacity block of 4 p5.48xlarge for 7 days in us-west-2c at the times asked for";
        assert_eq!(chosen(&spec(Some("us-west-2c"), 1000.0), None).unwrap_err(), message);
    }
}
