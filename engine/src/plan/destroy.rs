//! The plan that leaves nothing behind.

use super::order::operations;
use super::part::is_named;
use super::survey::{Source, Survey, Thing, survey};
use super::up::{delete, forget, protected, undecided, unknown_kind};
use super::{Action, Kept, Plan, Purpose, SCHEMA, Step};
use crate::address::{Address, Deployment};
use crate::diag::Diagnostic;
use crate::graph;
use crate::kind::Kinds;
use crate::observe::Observations;
use crate::sabotage::{Sabotage, broken};
use crate::state::State;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// How much to destroy.
#[derive(Debug, Clone, Default)]
pub struct DestroyOptions {
    /// Whether what holds a user's data goes as well.
    pub delete_data: bool,
    /// The modules, or addresses within them, to remove, with everything that depends on them; none means everything.
    pub modules: Option<BTreeSet<String>>,
}

/// Plans how to remove what a deployment has made: what is recorded, what an earlier run left half-done, and what only
/// its tags give away.
///
/// # Errors
/// Everything that is protected, and everything of a kind that this forge does not know.
pub fn plan_destroy(
    deployment: &Deployment,
    state: &State,
    observations: &Observations,
    kinds: &Kinds,
    options: &DestroyOptions,
) -> Result<Plan, Vec<Diagnostic>> {
    let Survey { things, never_happened, open } = survey(state, observations);
    let things: Vec<Thing<'_>> = things.into_values().flatten().collect();
    let selected = select(&things, options.modules.as_ref());
    let staying = staying(&things, &selected, kinds, options.delete_data);
    let (mut steps, mut kept, mut findings) = (Vec::new(), Vec::new(), Vec::new());
    let mut left_out = BTreeSet::new();
    for thing in &things {
        let Some(standing_on) = selected.get(&thing.address) else {
            left_out.insert(thing.address.clone());
            continue;
        };
        if thing.gone {
            steps.push(forget(thing));
        } else if let Some(reason) = staying.get(&thing.address) {
            let (address, kind, id) = (thing.address.clone(), thing.kind.to_owned(), thing.id.to_owned());
            kept.push(Kept { address, kind, id, reason: reason.clone() });
        } else if thing.protect {
            findings.push(protected(&thing.address, Action::Delete));
        } else if let Some(kind) = kinds.get(thing.kind) {
            steps.push(delete(kind.as_ref(), thing, reason(thing, standing_on.as_ref())));
        } else {
            findings.push(unknown_kind(&thing.address, thing.kind));
        }
    }
    if !findings.is_empty() {
        return Err(findings);
    }
    let steps = in_order(steps)?;
    Ok(Plan {
        schema: SCHEMA,
        deployment: deployment.clone(),
        purpose: Purpose::Destroy,
        serial: state.serial,
        operations: operations(&steps)?,
        steps,
        never_happened,
        kept,
        undecided: undecided(open),
        left_out,
    })
}

/// Why something goes, where that is not only because it was asked for.
fn reason(thing: &Thing<'_>, standing_on: Option<&Address>) -> Option<String> {
    match (thing.source, standing_on) {
        (Source::Recorded, None) => None,
        (Source::Recorded, Some(below)) => Some(format!("it stands on `{below}`")),
        (Source::Superseded, _) => Some("its successor had taken its place".to_owned()),
        (Source::Begun, _) => Some("an earlier run was cut off while creating it".to_owned()),
        (Source::Tagged, _) => Some("found by its tags; it was not recorded".to_owned()),
    }
}

/// The addresses in the named modules, and all that stand on them, each of these with the first that it stands on.
fn select(things: &[Thing<'_>], modules: Option<&BTreeSet<String>>) -> BTreeMap<Address, Option<Address>> {
    let chosen = |thing: &&Thing<'_>| modules.is_none_or(|modules| is_named(modules, &thing.address));
    let mut selected: BTreeMap<Address, Option<Address>> =
        things.iter().filter(chosen).map(|thing| (thing.address.clone(), None)).collect();
    let dependents = dependents(things);
    let mut open: VecDeque<Address> = selected.keys().cloned().collect();
    while let Some(address) = open.pop_front() {
        for dependent in dependents.get(&address).into_iter().flatten() {
            if !selected.contains_key(*dependent) {
                selected.insert((*dependent).clone(), Some(address.clone()));
                open.push_back((*dependent).clone());
            }
        }
    }
    selected
}

fn dependents<'t>(things: &'t [Thing<'_>]) -> BTreeMap<&'t Address, Vec<&'t Address>> {
    let mut dependents: BTreeMap<&Address, Vec<&Address>> = BTreeMap::new();
    for thing in things {
        for dependency in thing.dependencies.iter() {
            dependents.entry(dependency).or_default().push(&thing.address);
        }
    }
    dependents
}

/// What holds data and may not go, and what that stands on, each with the reason.
fn staying(
    things: &[Thing<'_>],
    selected: &BTreeMap<Address, Option<Address>>,
    kinds: &Kinds,
    delete_data: bool,
) -> BTreeMap<Address, String> {
    let mut staying = BTreeMap::new();
    if delete_data || broken(Sabotage::DeletesDataUnasked) {
        return staying;
    }
    let living = || things.iter().filter(|thing| !thing.gone && selected.contains_key(&thing.address));
    let mut standing: BTreeMap<&Address, Vec<&Thing<'_>>> = BTreeMap::new();
    for thing in living() {
        standing.entry(&thing.address).or_default().push(thing);
    }
    let mut open = Vec::new();
    for thing in living().filter(|thing| kinds.get(thing.kind).is_some_and(|kind| kind.holds_data())) {
        staying.insert(thing.address.clone(), "it holds data, which only --delete-data deletes".to_owned());
        open.push(&thing.address);
    }
    while let Some(address) = open.pop() {
        for thing in standing.get(address).into_iter().flatten() {
            for below in thing.dependencies.iter() {
                if !staying.contains_key(below) {
                    staying.insert(below.clone(), format!("`{address}` stays and needs it"));
                    open.push(below);
                }
            }
        }
    }
    staying
}

/// The steps, each after those that must be done before it.
fn in_order(steps: Vec<Step>) -> Result<Vec<Step>, Vec<Diagnostic>> {
    let edges: Vec<Vec<usize>> = operations(&steps)?.into_iter().map(|operation| operation.after).collect();
    let mut steps: Vec<Option<Step>> = steps.into_iter().map(Some).collect();
    // Every step is one operation here, so that their positions agree.
    Ok(graph::order(&edges).unwrap_or_default().into_iter().filter_map(|position| steps[position].take()).collect())
}
