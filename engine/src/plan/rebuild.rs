//! The state as the world alone tells it, for when the journal is lost or damaged.
//!
//! Tags say whose a thing is, at which address it stands and which operation made it; the rest is what can be read back.
//! What a thing stands on is inferred from the identifiers that it names. Whether it is protected, nothing tells: the next
//! plan takes that from the blueprint.

use super::survey::{Thing, survey};
use super::up::choose;
use crate::kind::{AnyKind, Kinds};
use crate::observe::{Found, Observations};
use crate::state::{Record, State};
use jiff::Timestamp;
use serde_json::{Map, Value as Json};
use std::sync::Arc;

/// What the world tells.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rebuilt {
    /// The records, and nothing else.
    pub state: State,
    /// What carries the tags of an address where something else was chosen to stand. It stays unrecorded, and the next
    /// plan deletes it.
    pub doubles: Vec<Found>,
}

/// The state that the things found by their tags make up.
#[must_use]
pub fn rebuild(observations: &Observations, kinds: &Kinds) -> Rebuilt {
    let nothing = State::default();
    let mut rebuilt = Rebuilt::default();
    for (address, mut things) in survey(&nothing, observations).things {
        let Some(kind) = things.first().map(|thing| thing.kind) else { continue };
        let Some(position) = choose(&things, kind) else { continue };
        let thing = things.remove(position);
        if let Some(record) = record(&thing, kinds) {
            rebuilt.state.records.insert(address, record);
        }
        let double = |thing: &Thing<'_>| Some(Found { kind: thing.kind.to_owned(), observed: thing.observed?.clone() });
        rebuilt.doubles.extend(things.iter().filter_map(double));
    }
    rebuilt
}

fn record(thing: &Thing<'_>, kinds: &Kinds) -> Option<Record> {
    let observed = thing.observed?;
    let seen: Map<String, Json> = observed.spec.iter().map(|(field, value)| (field.clone(), value.clone())).collect();
    Some(Record {
        kind: thing.kind.to_owned(),
        id: thing.id.to_owned(),
        spec: Arc::new(kinds.get(thing.kind).and_then(|kind| whole(kind.as_ref(), seen)).unwrap_or(Json::Null)),
        outputs: Arc::new(observed.outputs.clone()),
        dependencies: thing.dependencies.clone().into_owned(),
        protect: false,
        operation: thing.operation.cloned()?,
        since: Timestamp::UNIX_EPOCH,
        serial: 0,
    })
}

/// The specification, when every field of it can be read back. With a gap in it, defaults would be taken for what is there.
fn whole(kind: &dyn AnyKind, seen: Map<String, Json>) -> Option<Json> {
    let fields: Vec<String> = seen.keys().cloned().collect();
    let normal = kind.normalize(&Json::Object(seen)).ok()?;
    let is_seen = |field: &String| fields.iter().any(|seen| seen == field);
    normal.as_object()?.keys().all(is_seen).then_some(normal)
}
