//! What must hold, whatever has happened.

use super::Violation;
use super::desk::Desk;
use crate::address::Address;
use crate::graph::Graph;
use crate::kind::{Recovery, Tags};
use crate::plan::{Action, Plan, Step};
use crate::resource::Resource;
use crate::simulate::Object;
use crate::state::{Call, State};
use crate::value::Output;
use serde_json::Value as Json;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// What is not ours, as it was put there.
#[derive(Debug, Default)]
pub(super) struct Foreign(BTreeMap<String, (Json, Option<Tags>)>);

impl Foreign {
    pub(super) fn remember(&mut self, id: String, spec: Json, tags: Option<Tags>) {
        self.0.insert(id, (spec, tags));
    }

    pub(super) fn contains(&self, id: &str) -> bool {
        self.0.contains_key(id)
    }

    /// Nothing that is not ours was touched.
    pub(super) fn untouched(&self, objects: &[Object]) -> Result<(), Violation> {
        for (id, (spec, tags)) in &self.0 {
            let there = objects.iter().find(|object| object.id == *id && object.gone_at.is_none());
            let there = there.ok_or_else(|| Violation::new(format!("{id}, which is not ours, was deleted")))?;
            if (&there.spec, &there.tags) != (spec, tags) {
                return Err(Violation::new(format!("{id}, which is not ours, was changed: {there:?}")));
            }
        }
        Ok(())
    }
}

/// Whatever exists and is ours is known to the journal: by its identifier, or by an operation that is open. `adrift` is
/// what only tags tell of, because the journal was lost.
pub(super) fn nothing_is_orphaned(
    desk: &Desk,
    state: &State,
    ours: &[Object],
    adrift: &BTreeSet<String>,
) -> Result<(), Violation> {
    let recorded = state.records.values().chain(state.superseded.iter().map(|old| &old.record));
    let mut known: BTreeSet<String> = recorded.map(|record| record.id.clone()).collect();
    for pending in state.pending.values() {
        known.extend(pending.identified.clone());
        known.extend(pending.begin.id.clone());
        let kind = desk.real.get(&pending.begin.kind);
        if let (Some(kind), Some(spec)) = (kind, &pending.begin.spec)
            && kind.recovery() == Recovery::Identity
        {
            known.extend(kind.identity(spec));
        }
    }
    for object in ours {
        let open = object.tags.as_ref().is_some_and(|tags| state.pending.contains_key(&tags.operation));
        if !open && !known.contains(&object.id) && !adrift.contains(&object.id) {
            return Err(Violation::new(format!("nothing in the journal leads to {object:?}")));
        }
    }
    Ok(())
}

/// Nothing was deleted that was recorded as protected when the run began, unless the blueprint has lifted that; and no
/// data was, without consent.
pub(super) fn nothing_precious_is_gone(
    desk: &Desk,
    deeds_before: usize,
    before: &State,
    lifted: impl Fn(&Address) -> bool,
    consent: bool,
) -> Result<(), Violation> {
    for deed in desk.cloud.deeds_since(deeds_before).iter().filter(|deed| deed.call == Call::Delete) {
        if deed.destroyed_data && !consent {
            return Err(Violation::new(format!("{} held data and was deleted without consent", deed.id)));
        }
        let protected =
            before.records.iter().find(|(address, record)| record.id == deed.id && record.protect && !lifted(address));
        if let Some((address, _)) = protected {
            return Err(Violation::new(format!("{} at {address} was protected and was deleted", deed.id)));
        }
    }
    Ok(())
}

/// Whatever a run was about, and says that it has done, is as it is recorded, as far as it can be read back.
pub(super) fn what_is_done_is_done(plan: &Plan, state: &State, ours: &[Object]) -> Result<(), Violation> {
    let lives = |step: &&Step| !matches!(step.action, Action::Delete | Action::Forget) && !step.stays_failed;
    for step in plan.steps.iter().filter(lives) {
        let record = state.records.get(&step.address);
        let record = record.ok_or_else(|| Violation::new(format!("{} is done and not recorded", step.address)))?;
        let there = ours.iter().find(|object| object.id == record.id && object.kind.name() == record.kind);
        let fields = record.spec.as_object().into_iter().flatten().filter(|(field, _)| *field != "note");
        let is_so = |object: &&Object| fields.clone().all(|(field, value)| object.spec[field] == *value);
        if there.filter(is_so).is_none() {
            return Err(Violation::new(format!("{} is done: {record:?}, and yet it is {there:?}", step.address)));
        }
    }
    Ok(())
}

/// Nobody has an effect once somebody else has taken the lease.
pub(super) fn one_writer_at_a_time(desk: &Desk, taken: &[(u64, Duration)]) -> Result<(), Violation> {
    let Some((_, begun)) = taken.first() else { return Ok(()) };
    for deed in desk.cloud.deeds().iter().filter(|deed| deed.at >= *begun) {
        let owner = taken.iter().rev().find(|(_, since)| *since <= deed.at);
        if let Some((owner, since)) = owner.filter(|(owner, _)| *owner != deed.client) {
            let client = deed.client;
            return Err(Violation::new(format!("{deed:?} is of client {client}, but {owner} took over at {since:?}")));
        }
    }
    Ok(())
}

/// The world is as the blueprint says, each resource once, and the journal says the same.
pub(super) fn world_is_as_desired(
    desk: &Desk,
    desired: &[Resource],
    state: &State,
    ours: &[Object],
    adrift: &BTreeSet<String>,
) -> Result<(), Violation> {
    let graph = Graph::build(desired).map_err(|findings| Violation::new(format!("{findings:?}")))?;
    let mut outputs: BTreeMap<Address, BTreeMap<String, Json>> = BTreeMap::new();
    let mut accounted = BTreeSet::new();
    for position in graph.positions() {
        let resource = &desired[position];
        let address = &resource.address;
        let lookup = |output: &Output| outputs.get(&output.address)?.get(&output.name).cloned();
        let resolved = resource.spec.resolve(&lookup);
        let resolved = resolved.map_err(|output| Violation::new(format!("{address} needs {output}")))?;
        let kind = desk.real.get(&resource.kind).ok_or_else(|| Violation::new("an unknown kind".to_owned()))?;
        let spec = kind.normalize(&resolved).map_err(Violation::new)?;
        let identity = kind.identity(&spec).filter(|_| kind.recovery() == Recovery::Identity);
        let mut there = ours.iter().filter(|object| match &identity {
            Some(identity) => object.id == *identity,
            None => object.tags.as_ref().is_some_and(|tags| tags.address == *address),
        });
        let object = there.next().ok_or_else(|| Violation::new(format!("{address} does not exist")))?;
        if let Some(second) = there.next() {
            return Err(Violation::new(format!("{address} exists twice: {object:?} and {second:?}")));
        }
        if object.spec != spec || object.kind.name() != resource.kind || object.gone_at.is_some() {
            return Err(Violation::new(format!("{address} should be {spec}, and is {object:?}")));
        }
        let record = state.records.get(address).filter(|record| record.id == object.id && *record.spec == spec);
        if record.is_none_or(|record| record.protect != resource.protect || *record.outputs != object.outputs) {
            let record = state.records.get(address);
            return Err(Violation::new(format!("{object:?} {:?} is recorded as {record:?}", object.outputs)));
        }
        accounted.insert(object.id.clone());
        outputs.insert(address.clone(), object.outputs.clone());
    }
    let untagged = |object: &&Object| object.tags.is_none() && adrift.contains(&object.id);
    if let Some(more) = ours.iter().filter(|object| !untagged(object)).find(|object| !accounted.contains(&object.id)) {
        return Err(Violation::new(format!("nothing asks for {more:?}")));
    }
    if state.records.len() != desired.len() || !state.pending.is_empty() || !state.superseded.is_empty() {
        return Err(Violation::new(format!("the journal remembers more than there is: {state:?}")));
    }
    Ok(())
}
