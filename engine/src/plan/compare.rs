//! One resource, as it is and as it is to be.

use super::prepare::Prepared;
use super::{Change, Drift, Means};
use crate::kind::{AnyKind, Effect};
use crate::value::Value;
use serde_json::{Map, Value as Json};
use std::collections::{BTreeMap, BTreeSet};

/// What is known of a living resource.
#[derive(Debug)]
pub(super) struct Known<'a> {
    /// What was last applied; none when no record tells.
    pub(super) recorded: Option<&'a Json>,
    /// What the world says, where it can be read back.
    pub(super) observed: Option<&'a BTreeMap<String, Json>>,
    /// What updates that were cut off may have left there.
    pub(super) attempted: Vec<&'a Json>,
}

/// What the comparison finds.
#[derive(Debug, Default)]
pub(super) struct Comparison {
    pub(super) changes: Vec<Change>,
    pub(super) drift: Vec<Drift>,
    /// Fields whose change the kind forbids, with its reason.
    pub(super) forbidden: Vec<(String, &'static str)>,
    /// The specification as it is now, as far as that is known, unless it is as recorded.
    pub(super) before: Option<Json>,
}

impl Comparison {
    /// What it takes in all.
    pub(super) fn means(&self) -> Option<Means> {
        self.changes.iter().map(|change| change.means).max()
    }
}

/// True when there is nothing to compare: what is desired is what was applied, and the world has not changed it. That is so
/// for nearly everything nearly always, and is found without copying anything.
fn is_same(known: &Known<'_>, desired: &Prepared<'_>) -> bool {
    let Some(recorded) = known.recorded.filter(|recorded| desired.is(recorded)) else { return false };
    let untouched = |(field, seen): (&String, &Json)| recorded.get(field).is_none_or(|was| was == seen);
    known.attempted.is_empty() && known.observed.is_none_or(|observed| observed.iter().all(untouched))
}

pub(super) fn compare(kind: &dyn AnyKind, known: &Known<'_>, desired: &Prepared<'_>) -> Comparison {
    if is_same(known, desired) {
        return Comparison::default();
    }
    let recorded = known.recorded.map(|spec| kind.normalize(spec).unwrap_or_else(|_| spec.clone()));
    let empty = BTreeMap::new();
    let observed = known.observed.unwrap_or(&empty);
    let fields = desired.fields();
    let judge = Judge::new(kind, recorded.as_ref(), observed, &fields, desired.whole());
    let mut found = Comparison { before: judge.before.clone(), ..Comparison::default() };
    if let (None, Some(Json::Object(fields))) = (&recorded, &mut found.before) {
        // What is neither recorded nor read back is not known, and must not be written down as if it were.
        fields
            .iter_mut()
            .filter(|(field, _)| !observed.contains_key(*field))
            .for_each(|(_, value)| *value = Json::Null);
    }
    let names: BTreeSet<&String> =
        recorded.iter().filter_map(Json::as_object).flat_map(Map::keys).chain(fields.keys()).collect();
    for field in names {
        let was = recorded.as_ref().map(|spec| &spec[field.as_str()]);
        let seen = observed.get(field);
        // What an update of ours has left there, nobody else has changed.
        let is_ours = |seen: &Json| known.attempted.iter().any(|spec| spec.get(field) == Some(seen));
        if let (Some(was), Some(seen)) = (was, seen)
            && was != seen
            && !is_ours(seen)
        {
            let (recorded, observed) = (was.clone().into(), seen.clone().into());
            found.drift.push(Drift { field: field.clone(), recorded, observed });
        }
        let after = fields.get(field).cloned().unwrap_or(Value::Null);
        let wanted = after.to_json();
        let actual = seen.or(was);
        let doubtful =
            seen.is_none() && known.attempted.iter().any(|spec| Some(&spec[field.as_str()]) != wanted.as_ref());
        if actual.is_some() && actual == wanted.as_ref() && !doubtful {
            continue;
        }
        let means = match judge.effect(field) {
            Effect::Forbidden(reason) if actual.is_some() => {
                found.forbidden.push((field.clone(), reason));
                continue;
            }
            Effect::Forbidden(_) => continue,
            Effect::InPlace => Means::InPlace,
            Effect::ReplaceCreateFirst => Means::CreateFirst,
            Effect::ReplaceDeleteFirst => Means::DeleteFirst,
        };
        // Nothing tells what this field is. Writing it again is harmless; replacing the resource for it would not be.
        if actual.is_none() && (means != Means::InPlace || after == Value::Null) {
            continue;
        }
        let before = actual.filter(|_| !doubtful).cloned().map(Value::from);
        found.changes.push(Change { field: field.clone(), before, after: Some(after), means });
    }
    found
}

/// Asks the kind for the effect of a change, with two whole specifications in hand.
struct Judge<'a> {
    kind: &'a dyn AnyKind,
    before: Option<Json>,
    afters: Vec<Json>,
}

impl<'a> Judge<'a> {
    fn new(
        kind: &'a dyn AnyKind,
        recorded: Option<&Json>,
        observed: &BTreeMap<String, Json>,
        desired: &BTreeMap<String, Value>,
        asked: Option<&Json>,
    ) -> Self {
        let known: Map<String, Json> =
            desired.iter().filter_map(|(field, value)| Some((field.clone(), value.to_json()?))).collect();
        // Of what is recorded, something may be unknown: null, which is no value of most fields. A kind judges whole
        // specifications only.
        let whole =
            recorded.filter(|spec| kind.normalize(spec).is_err()).and_then(Json::as_object).and_then(|fields| {
                let known = fields.iter().filter(|(_, value)| !value.is_null());
                let known = known.map(|(field, value)| (field.clone(), value.clone())).collect();
                Some(overlay(asked?, &known))
            });
        let before = whole.as_ref().or(recorded).or(asked).map(|base| {
            let seen: Map<String, Json> = observed
                .iter()
                .filter(|(field, _)| base.get(*field).is_some() || desired.contains_key(*field))
                .map(|(field, value)| (field.clone(), value.clone()))
                .collect();
            overlay(base, &seen)
        });
        // Where nothing could stand in for what is unknown, what is there now at least has the right shape.
        let afters = asked.into_iter().cloned().chain(before.as_ref().map(|base| overlay(base, &known))).collect();
        Self { kind, before, afters }
    }

    /// A record that does not fit its kind any more can only be written over.
    fn effect(&self, field: &str) -> Effect {
        let before = self.before.as_ref().unwrap_or(&Json::Null);
        let mut effects = self.afters.iter().filter_map(|after| self.kind.effect(field, before, after).ok());
        effects.next().unwrap_or(Effect::InPlace)
    }
}

/// A field that the world has otherwise than it was wanted.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Difference {
    /// The top-level field.
    pub(crate) field: String,
    /// What it is.
    pub(crate) seen: Json,
    /// What was wanted; null when it was to go.
    pub(crate) wanted: Json,
    /// True when an update can bring it about.
    pub(crate) in_place: bool,
}

/// The fields that can be read back and are not as wanted: those that the next plan would find changed. `before` is what
/// was there until now, where that is known: a field of it that is no longer wanted is to be gone.
pub(crate) fn differences(
    kind: &dyn AnyKind,
    observed: &BTreeMap<String, Json>,
    before: Option<&Json>,
    wanted: &Json,
) -> Vec<Difference> {
    let names = [before, Some(wanted)].into_iter().flatten().filter_map(Json::as_object).flat_map(Map::keys);
    let names: BTreeSet<&String> = names.collect();
    let differing = names.into_iter().filter_map(|field| {
        let (seen, wanted) = (observed.get(field)?, &wanted[field.as_str()]);
        (seen != wanted).then_some((field, seen, wanted))
    });
    let differing: Vec<_> = differing.collect();
    let known = differing.iter().map(|(field, seen, _)| ((*field).clone(), (*seen).clone())).collect();
    let there = overlay(wanted, &known);
    let effect = |field: &str| kind.effect(field, &there, wanted);
    differing
        .into_iter()
        .map(|(field, seen, wanted)| Difference {
            field: field.clone(),
            seen: seen.clone(),
            wanted: wanted.clone(),
            // What does not fit its kind can only be written over.
            in_place: matches!(effect(field), Ok(Effect::InPlace) | Err(_)),
        })
        .collect()
}

fn overlay(base: &Json, over: &Map<String, Json>) -> Json {
    let mut fields = base.as_object().cloned().unwrap_or_default();
    fields.extend(over.iter().map(|(field, value)| (field.clone(), value.clone())));
    Json::Object(fields)
}
