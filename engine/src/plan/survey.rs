//! Everything that exists or was recorded, attributed to addresses.

use super::NeverHappened;
use crate::address::{Address, OperationId};
use crate::kind::Observed;
use crate::observe::{Found, Look, Observations};
use crate::sabotage::{Sabotage, broken};
use crate::state::{Call, Outputs, Pending, Record, State};
use crate::value::collect_texts;
use serde_json::Value as Json;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

/// How a thing is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// The journal has a record of it.
    Recorded,
    /// The journal has a record of it, and its successor stands at its address.
    Superseded,
    /// The journal has the beginning of its creation.
    Begun,
    /// Only its tags say that it is ours.
    Tagged,
}

/// A thing that exists, or that was recorded and is gone.
#[derive(Debug, Clone)]
pub(super) struct Thing<'a> {
    pub(super) address: Address,
    pub(super) kind: &'a str,
    pub(super) id: &'a str,
    pub(super) source: Source,
    /// True when it was looked for and is not there.
    pub(super) gone: bool,
    pub(super) observed: Option<&'a Observed>,
    pub(super) record: Option<&'a Record>,
    /// What was last sent to the provider, as far as anyone knows.
    pub(super) spec: Option<&'a Json>,
    pub(super) operation: Option<&'a OperationId>,
    pub(super) dependencies: Cow<'a, BTreeSet<Address>>,
    pub(super) protect: bool,
    /// Which of several at one address is the newest.
    pub(super) serial: u64,
    /// Operations that were cut off: its creation, updates, a deletion.
    pub(super) pending: Vec<&'a Pending>,
    /// Where it stood before the blueprint called it differently.
    pub(super) moved_from: Option<Address>,
    /// Why it did not move, though the blueprint says that it has.
    pub(super) stays: Option<String>,
}

impl<'a> Thing<'a> {
    fn recorded(address: &Address, record: &'a Record, source: Source) -> Self {
        Self {
            address: address.clone(),
            kind: &record.kind,
            id: &record.id,
            source,
            gone: false,
            observed: None,
            record: Some(record),
            // What was rebuilt from tags alone may not know it.
            spec: Some(&*record.spec).filter(|spec| !spec.is_null()),
            operation: Some(&record.operation),
            dependencies: Cow::Borrowed(&record.dependencies),
            protect: record.protect,
            serial: record.serial,
            pending: Vec::new(),
            moved_from: None,
            stays: None,
        }
    }

    fn begun(pending: &'a Pending, id: &'a str) -> Self {
        let begin = &pending.begin;
        Self {
            address: begin.address.clone(),
            kind: &begin.kind,
            id,
            source: Source::Begun,
            gone: false,
            observed: None,
            record: None,
            spec: begin.spec.as_ref(),
            operation: Some(&begin.operation),
            dependencies: Cow::Borrowed(&begin.dependencies),
            protect: begin.protect,
            serial: pending.serial,
            pending: vec![pending],
            moved_from: None,
            stays: None,
        }
    }

    fn tagged(address: &Address, kind: &'a str, observed: &'a Observed) -> Self {
        Self {
            address: address.clone(),
            kind,
            id: &observed.id,
            source: Source::Tagged,
            gone: false,
            observed: Some(observed),
            record: None,
            spec: None,
            operation: observed.tags.as_ref().map(|tags| &tags.operation),
            dependencies: Cow::default(),
            protect: false,
            serial: 0,
            pending: Vec::new(),
            moved_from: None,
            stays: None,
        }
    }

    /// Its outputs, the world's word before the record's.
    pub(super) fn outputs(&self) -> Arc<Outputs> {
        let mut outputs = self.record.map(|record| Arc::clone(&record.outputs)).unwrap_or_default();
        let seen = self.observed.iter().flat_map(|observed| &observed.outputs);
        let news: Vec<_> = seen.filter(|(name, value)| outputs.get(*name) != Some(*value)).collect();
        if !news.is_empty() {
            let news = news.into_iter().map(|(name, value)| (name.clone(), value.clone()));
            Arc::make_mut(&mut outputs).extend(news);
        }
        outputs
    }

    /// What was last sent to the provider, to be kept.
    pub(super) fn shared_spec(&self) -> Option<Arc<Json>> {
        let recorded = self.record.map(|record| &record.spec).filter(|spec| !spec.is_null());
        recorded.cloned().or_else(|| self.spec.cloned().map(Arc::new))
    }

    /// What updates that were cut off may have left there.
    pub(super) fn attempted(&self) -> Vec<&'a Json> {
        let updates = self.pending.iter().filter(|pending| pending.begin.call == Call::Update);
        updates.filter_map(|pending| pending.begin.spec.as_ref()).collect()
    }

    pub(super) fn deletion_began(&self) -> bool {
        self.pending.iter().any(|pending| pending.begin.call == Call::Delete)
    }

    pub(super) fn settles(&self) -> Vec<OperationId> {
        self.pending.iter().map(|pending| pending.begin.operation.clone()).collect()
    }
}

/// What the survey finds.
#[derive(Debug)]
pub(super) struct Survey<'a> {
    pub(super) things: BTreeMap<Address, Vec<Thing<'a>>>,
    pub(super) never_happened: Vec<NeverHappened>,
    /// Creations that were cut off and whose result may still show.
    pub(super) open: BTreeMap<Address, Vec<&'a Pending>>,
}

pub(super) fn survey<'a>(state: &'a State, observations: &'a Observations) -> Survey<'a> {
    let mut things: Vec<Thing<'a>> = Vec::with_capacity(state.records.len());
    things.extend(state.records.iter().map(|(address, record)| Thing::recorded(address, record, Source::Recorded)));
    things.extend(state.superseded.iter().map(|old| Thing::recorded(&old.address, &old.record, Source::Superseded)));
    let (mut never_happened, mut open) = (Vec::new(), BTreeMap::<_, Vec<_>>::new());
    let made = made(state, observations);
    for pending in state.pending.values().filter(|pending| pending.begin.call == Call::Create) {
        let operation = &pending.begin.operation;
        if observations.open.contains(operation) {
            open.entry(pending.begin.address.clone()).or_default().push(pending);
            continue;
        }
        let found = made.get(&(pending.begin.kind.as_str(), operation)).copied();
        let found = found.filter(|_| !broken(Sabotage::ForgetsIdentifiers));
        let derived = observations.identities.get(operation).map(String::as_str);
        match pending.identified.as_deref().or(found).or(derived) {
            Some(id) => {
                let mut thing = Thing::begun(pending, id);
                // What lies where it must be may have lain there before: unless it has tags, nothing says that this operation
                // has put it there.
                let is_its_own = pending.identified.is_some() || found.is_some() || has_tags(pending, id, observations);
                thing.spec = thing.spec.filter(|_| is_its_own);
                things.push(thing);
            }
            None => never_happened.push(without_effect(pending)),
        }
    }
    let tagged = unrecorded(&things, observations);
    things.extend(tagged);
    look(&mut things, observations);
    things.retain(|thing| thing.source != Source::Tagged || !thing.gone);
    never_happened.extend(attach_pending(&mut things, state));
    infer_dependencies(&mut things);
    Survey { things: by_address(things), never_happened, open }
}

/// Things at one address stay in their order. Nearly all come in the order of their addresses, so that sorting them first
/// and then making the whole mapping at once takes hardly any comparisons.
fn by_address(mut things: Vec<Thing<'_>>) -> BTreeMap<Address, Vec<Thing<'_>>> {
    things.sort_by(|a, b| a.address.cmp(&b.address));
    let mut grouped: Vec<(Address, Vec<Thing<'_>>)> = Vec::with_capacity(things.len());
    for thing in things {
        match grouped.last_mut() {
            Some((address, there)) if *address == thing.address => there.push(thing),
            _ => grouped.push((thing.address.clone(), vec![thing])),
        }
    }
    grouped.into_iter().collect()
}

/// What only its tags give away.
fn unrecorded<'a>(things: &[Thing<'_>], observations: &'a Observations) -> Vec<Thing<'a>> {
    let known: HashSet<(&str, &str)> = things.iter().map(|thing| (thing.kind, thing.id)).collect();
    let unknown =
        observations.found.iter().filter(|found| !known.contains(&(found.kind.as_str(), found.observed.id.as_str())));
    unknown
        .filter_map(|found| Some(Thing::tagged(&found.observed.tags.as_ref()?.address, &found.kind, &found.observed)))
        .collect()
}

/// The identifiers of what carries the tags of an operation, by kind and operation.
fn made<'a>(state: &State, observations: &'a Observations) -> BTreeMap<(&'a str, &'a OperationId), &'a str> {
    let tagged = |found: &'a Found| {
        let operation = &found.observed.tags.as_ref()?.operation;
        let made = ((found.kind.as_str(), operation), found.observed.id.as_str());
        state.pending.contains_key(operation).then_some(made)
    };
    // Of several with the same tags the first one counts, as it always did.
    observations.found.iter().rev().filter_map(tagged).collect()
}

/// True when what was looked for by its identifier carries the tags of the operation.
fn has_tags(pending: &Pending, id: &str, observations: &Observations) -> bool {
    let of = |look: &&Look| look.kind == pending.begin.kind && look.id == id;
    let seen = observations.looks.iter().filter(of).filter_map(|look| look.observed.as_ref());
    seen.filter_map(|observed| observed.tags.as_ref()).any(|tags| tags.operation == pending.begin.operation)
}

fn look<'a>(things: &mut [Thing<'a>], observations: &'a Observations) {
    let looks: HashMap<(&str, &str), Option<&Observed>> = observations
        .found
        .iter()
        .map(|found| ((found.kind.as_str(), found.observed.id.as_str()), Some(&found.observed)))
        .chain(observations.looks.iter().map(|look| ((look.kind.as_str(), look.id.as_str()), look.observed.as_ref())))
        .collect();
    for thing in things {
        if let Some(observed) = looks.get(&(thing.kind, thing.id)) {
            thing.observed = *observed;
            thing.gone = observed.is_none();
        }
    }
}

fn without_effect(pending: &Pending) -> NeverHappened {
    let begin = &pending.begin;
    NeverHappened { operation: begin.operation.clone(), address: begin.address.clone(), kind: begin.kind.clone() }
}

/// Hands updates and deletions that were cut off to what they were about; returns those about nothing known.
fn attach_pending<'a>(things: &mut [Thing<'a>], state: &'a State) -> Vec<NeverHappened> {
    let mut about_nothing = Vec::new();
    let open: Vec<&Pending> = state.pending.values().filter(|pending| pending.begin.call != Call::Create).collect();
    if open.is_empty() {
        return about_nothing;
    }
    // Of several with one identifier the first counts.
    let known = things.iter().enumerate().rev();
    let known: HashMap<(&str, &str), usize> =
        known.map(|(position, thing)| ((thing.kind, thing.id), position)).collect();
    for pending in open {
        let begin = &pending.begin;
        let about = begin.id.as_ref().and_then(|id| known.get(&(begin.kind.as_str(), id.as_str())));
        match about {
            Some(&position) => things[position].pending.push(pending),
            None => about_nothing.push(without_effect(pending)),
        }
    }
    about_nothing
}

/// With the state lost, nothing but the specifications themselves tells what stands on what: one that names another's
/// identifier needs it, and so does one that names an output with that identifier in it, such as its URL. Such an edge only
/// orders deletions, and gives way where it makes no sense.
fn infer_dependencies(things: &mut [Thing<'_>]) {
    if things.iter().all(|thing| thing.source != Source::Tagged) {
        return;
    }
    let mut owners: BTreeMap<String, Address> = BTreeMap::new();
    for thing in things.iter().filter(|thing| !thing.gone) {
        let outputs = thing.observed.iter().flat_map(|observed| observed.outputs.values());
        let named = outputs.filter_map(Json::as_str).filter(|text| text.contains(thing.id));
        owners.extend(named.map(|text| (text.to_owned(), thing.address.clone())));
        owners.insert(thing.id.to_owned(), thing.address.clone());
    }
    for thing in things.iter_mut().filter(|thing| thing.source == Source::Tagged) {
        let mut named = BTreeSet::new();
        for value in thing.observed.iter().flat_map(|observed| observed.spec.values()) {
            collect_texts(value, &mut named);
        }
        let dependencies = named.into_iter().filter_map(|text| owners.get(text));
        thing.dependencies = Cow::Owned(dependencies.filter(|address| **address != thing.address).cloned().collect());
    }
}
