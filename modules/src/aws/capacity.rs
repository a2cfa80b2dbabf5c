//! What capacity reservations and capacity blocks share: to EC2 a block is a reservation that has been paid for.
//!
//! DescribeCapacityReservations has no filter by tag or by identifier, and an identifier that is gone is an error that hides
//! all others. An account has few of them: all are asked for, and sorted out here.

use super::cloud::Cloud;
use super::ec2::{PAGE, pairs};
use super::error::Answer;
use super::tags;
use aws_sdk_ec2::primitives::{DateTime, DateTimeFormat};
use aws_sdk_ec2::types::{CapacityReservation, CapacityReservationState, CapacityReservationType};
use forge_engine::address::Deployment;
use forge_engine::kind::{KindError, Tags};
use serde::{Deserialize, Deserializer};

/// The state of a reservation, as far as it is told.
pub(super) enum State {
    /// It is there, or will be at its time.
    Held,
    /// Not yet; what AWS calls it.
    Coming(String),
    /// It never will be.
    Failed(String),
    /// It was, and is no more. EC2 shows such reservations for a while.
    Over,
}

pub(super) fn state(reservation: &CapacityReservation) -> State {
    use CapacityReservationState as Is;
    match reservation.state() {
        Some(Is::Active | Is::Scheduled) | None => State::Held,
        Some(Is::Cancelled | Is::Expired) => State::Over,
        Some(state @ (Is::Failed | Is::PaymentFailed | Is::Unsupported)) => State::Failed(state.to_string()),
        // An unavailable reservation of instances is one that AWS is repairing; a cancelled one is on its way out.
        Some(state) => State::Coming(state.to_string()),
    }
}

/// The reservations of an account, blocks or others.
pub(super) async fn reservations(cloud: &Cloud, blocks: bool) -> Result<Vec<CapacityReservation>, KindError> {
    let ec2 = cloud.ec2().await;
    let mut pages = ec2.describe_capacity_reservations().into_paginator().page_size(PAGE).items().send();
    let mut found = Vec::new();
    while let Some(reservation) = pages.next().await {
        let reservation = reservation.of(cloud, "ec2:DescribeCapacityReservations")?;
        if (reservation.reservation_type() == Some(&CapacityReservationType::CapacityBlock)) == blocks {
            found.push(reservation);
        }
    }
    Ok(found)
}

/// Whose a reservation is.
pub(super) fn owner(reservation: &CapacityReservation) -> Option<Tags> {
    tags::split(pairs(reservation.tags.clone())).0
}

/// Those that a deployment has.
pub(super) fn of(
    found: Vec<CapacityReservation>,
    deployment: &Deployment,
) -> impl Iterator<Item = CapacityReservation> {
    found.into_iter().filter(|found| owner(found).is_some_and(|tags| tags.deployment == *deployment))
}

/// A time, as text.
pub(super) fn text(time: Option<DateTime>) -> Option<String> {
    time.and_then(|time| time.fmt(DateTimeFormat::DateTime).ok())
}

/// A time that a specification says; `what` names the field.
///
/// # Errors
/// When it is none.
pub(super) fn time(what: &str, text: Option<&str>) -> Result<Option<DateTime>, KindError> {
    let read = text.map(|text| DateTime::from_str(text, DateTimeFormat::DateTimeWithOffset)).transpose();
    read.map_err(|error| {
        let text = text.unwrap_or_default();
        KindError::caused(format!("{what} is {text:?}, which is no time"), error).help("Write 2026-12-01T00:00:00Z.")
    })
}

/// A time of a specification, in the form in which AWS tells it; what is no time is left as it is, and refused later.
pub(super) fn moment<'de, D: Deserializer<'de>>(given: D) -> Result<Option<String>, D::Error> {
    let given = Option::<String>::deserialize(given)?;
    let read = given.as_deref().and_then(|text| DateTime::from_str(text, DateTimeFormat::DateTimeWithOffset).ok());
    Ok(text(read).or(given))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_time_is_the_same_text() {
        let read = |text: &str| moment(serde_json::json!(text)).unwrap().unwrap();
        assert_eq!(read("2026-12-01T02:00:00+02:00"), "2026-12-01T00:00:00Z");
        assert_eq!(read("2026-12-01T00:00:00.000Z"), "2026-12-01T00:00:00Z");
        assert_eq!(read("tomorrow"), "tomorrow");
        assert_eq!(moment(serde_json::Value::Null).unwrap(), None);
        assert_eq!(time("ends", Some("tomorrow")).unwrap_err().to_string(), "ends is \"tomorrow\", which is no time");
    }
}
