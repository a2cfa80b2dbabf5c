//! The plan that makes the world as desired.

use super::compare::{Comparison, Known, compare};
use super::moved::relocate;
use super::order::{operations, settle_replacements};
use super::part::{Part, pulled_away};
use super::prepare::{Prepared, prepare};
use super::survey::{Source, Survey, Thing, survey};
use super::{Action, Gone, Means, Plan, Purpose, SCHEMA, Step};
use crate::address::{Address, OperationId};
use crate::diag::Diagnostic;
use crate::graph::Graph;
use crate::kind::{AnyKind, Given, Kinds, Readiness, Recovery};
use crate::observe::Observations;
use crate::resource::{Desired, Resource};
use crate::sabotage::{Sabotage, broken};
use crate::state::{Pending, State};
use crate::value::{Output, Value};
use serde_json::Value as Json;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What the user may ask of a plan.
#[derive(Debug, Clone, Default)]
pub struct PlanOptions {
    /// Resources to replace although nothing about them has changed.
    pub replace: BTreeSet<Address>,
    /// The modules, or addresses within them, that the plan is about, with all that they depend on; none means everything.
    pub only: Option<BTreeSet<String>>,
}

/// Plans how to get from the world as it is to the world as desired.
///
/// # Errors
/// Everything that is wrong with what is desired, and every change that is forbidden or protected against.
pub fn plan(
    desired: &Desired,
    state: &State,
    observations: &Observations,
    kinds: &Kinds,
    options: &PlanOptions,
) -> Result<Plan, Vec<Diagnostic>> {
    let graph = Graph::build(&desired.resources)?;
    let findings = check_references(desired, &graph, kinds);
    if !findings.is_empty() {
        return Err(findings);
    }
    let Survey { mut things, never_happened, open } = survey(state, observations);
    relocate(&mut things, desired);
    let part = Part::of(desired, &graph, options.only.as_ref());
    let mut planner = Planner {
        kinds,
        options,
        things,
        open,
        graph: &graph,
        known: vec![None; desired.resources.len()],
        steps: Vec::with_capacity(desired.resources.len()),
        findings,
        extras: Vec::new(),
        left_out: BTreeSet::new(),
    };
    let mut left = Vec::new();
    for position in graph.positions() {
        let resource = &desired.resources[position];
        if part.has(&resource.address) {
            planner.resource(position, resource);
        } else {
            left.extend(planner.things.remove(&resource.address).unwrap_or_default());
            planner.left_out.insert(resource.address.clone());
        }
    }
    left.extend(planner.undesired(&part));
    planner.findings.extend(pulled_away(&planner.steps, &left));
    let Planner { mut steps, findings, left_out, open, .. } = planner;
    if !findings.is_empty() {
        return Err(findings);
    }
    settle_replacements(&mut steps);
    let operations = operations(&steps)?;
    Ok(Plan {
        schema: SCHEMA,
        deployment: desired.deployment.clone(),
        purpose: Purpose::Up,
        serial: state.serial,
        steps,
        operations,
        never_happened,
        kept: Vec::new(),
        undecided: undecided(open),
        left_out,
    })
}

/// The operations among these.
pub(super) fn undecided(open: BTreeMap<Address, Vec<&Pending>>) -> Vec<OperationId> {
    open.into_values().flatten().map(|pending| pending.begin.operation.clone()).collect()
}

fn at(resource: &Resource, finding: Diagnostic) -> Diagnostic {
    match &resource.origin {
        Some(origin) => finding.at(origin.clone(), ""),
        None => finding,
    }
}

/// Kinds and outputs that do not exist.
fn check_references(desired: &Desired, graph: &Graph, kinds: &Kinds) -> Vec<Diagnostic> {
    let kind_of = |address: &Address| kinds.get(&desired.resources[graph.position(address)?].kind);
    let mut findings = Vec::new();
    for resource in &desired.resources {
        if kinds.get(&resource.kind).is_none() {
            findings.push(at(resource, unknown_kind(&resource.address, &resource.kind)));
        }
        let mut wrong = BTreeSet::new();
        resource.spec.each_output(&mut |output| {
            if kind_of(&output.address).is_some_and(|kind| !kind.outputs().contains(&output.name.as_str())) {
                wrong.insert(output);
            }
        });
        for output in wrong {
            if let Some(kind) = kind_of(&output.address) {
                let summary = format!("`{}` has no output `{}`", output.address, output.name);
                let help = format!("the outputs of {} are: {}", kind.name(), kind.outputs().join(", "));
                findings.push(at(resource, Diagnostic::error("unknown-output", summary).help(help)));
            }
        }
    }
    findings
}

pub(super) fn unknown_kind(address: &Address, kind: &str) -> Diagnostic {
    Diagnostic::error("unknown-kind", format!("`{address}` is of kind `{kind}`, which this forge does not know"))
        .help("use the forge that made it, or choose another kind")
}

pub(super) fn protected(address: &Address, action: Action) -> Diagnostic {
    Diagnostic::error("protected", format!("`{address}` is protected, and this plan would {action} it"))
        .help("set `protect: false`, run `forge up`, then try again")
}

struct Planner<'a> {
    kinds: &'a Kinds,
    options: &'a PlanOptions,
    things: BTreeMap<Address, Vec<Thing<'a>>>,
    open: BTreeMap<Address, Vec<&'a Pending>>,
    graph: &'a Graph,
    /// The steps of the desired resources, by the positions of these, as far as there are any by now.
    known: Vec<Option<usize>>,
    steps: Vec<Step>,
    extras: Vec<Step>,
    findings: Vec<Diagnostic>,
    /// What the plan is not about.
    left_out: BTreeSet<Address>,
}

impl<'a> Planner<'a> {
    fn resource(&mut self, position: usize, resource: &Resource) {
        let Some(kind) = self.kinds.get(&resource.kind) else { return };
        let mut things = self.things.get_mut(&resource.address).map(std::mem::take).unwrap_or_default();
        let main = choose(&things, &resource.kind).map(|position| things.remove(position));
        let lookup = |output: &Output| self.output(output);
        let given = Given::new(&resource.spec, &lookup);
        let recorded = main.as_ref().and_then(|thing| thing.spec);
        let prepared = match prepare(kind.as_ref(), given, recorded) {
            Ok(prepared) => prepared,
            Err(why) => {
                let summary = format!("`{}` does not fit its kind {}", resource.address, resource.kind);
                self.findings.push(at(resource, Diagnostic::error("spec-does-not-fit", summary).why(why)));
                return;
            }
        };
        let mut step = match &main {
            Some(thing) => self.living(kind.as_ref(), resource, thing, &prepared),
            None => Step::new(&resource.address, &resource.kind, Action::Create),
        };
        step.repeats = self.repeats(kind.as_ref(), &step, &prepared);
        if step.repeats.is_some() {
            step.reasons
                .push("an earlier run was cut off while creating it: the same request is made again".to_owned());
        }
        // Of what stays word for word as it is, nothing needs to be kept twice.
        if step.action != Action::NoOp || !recorded.is_some_and(|recorded| prepared.is(recorded)) {
            step.desired = Some(Value::Map(prepared.into_fields()));
        }
        step.dependencies = resource.dependencies();
        step.protect = resource.protect;
        step.destroys_data = step.action.deletes() && kind.holds_data() && !broken(Sabotage::DeletesDataUnasked);
        if let Some(thing) = &main {
            finish_living(&mut step, thing);
        }
        self.leftovers(resource, things, &mut step);
        if step.action.deletes() && resource.protect {
            self.findings.push(at(resource, protected(&resource.address, step.action)));
        }
        self.known[position] = Some(self.steps.len());
        self.steps.push(step);
    }

    /// An output that a dependent can count on before apply.
    fn output(&self, output: &Output) -> Option<&Json> {
        let step = &self.steps[self.known[self.graph.position(&output.address)?]?];
        let stays = match step.action {
            Action::NoOp | Action::Adopt => true,
            // Only its tags change.
            Action::Update if step.changes.is_empty() => true,
            Action::Update => !self.kinds.get(&step.kind)?.volatile_outputs().contains(&output.name.as_str()),
            _ => false,
        };
        step.outputs.get(&output.name).filter(|_| stays)
    }

    /// The creation that was cut off and that this step would make once more as it was. To the provider both are one, so
    /// that nobody must wait to see what became of the first. What holds data is waited for all the same: should the first
    /// have failed, it would have to be deleted, and for that the plan must show it.
    fn repeats(&mut self, kind: &dyn AnyKind, step: &Step, prepared: &Prepared) -> Option<OperationId> {
        let creates = (step.action == Action::Create || step.action.replaces()) && !kind.holds_data();
        let open = self.open.get_mut(&step.address).filter(|_| creates)?;
        let same = |pending: &&Pending| {
            pending.begin.kind == step.kind && pending.begin.spec.as_ref().is_some_and(|spec| prepared.is(spec))
        };
        Some(open.remove(open.iter().position(same)?).begin.operation.clone())
    }

    /// The step for a resource that has something living at its address.
    fn living(&mut self, kind: &dyn AnyKind, resource: &Resource, thing: &Thing<'a>, prepared: &Prepared) -> Step {
        let known = Known {
            recorded: thing.spec,
            observed: thing.observed.map(|observed| &observed.spec),
            attempted: thing.attempted(),
        };
        let comparison = compare(kind, &known, prepared);
        for (field, reason) in &comparison.forbidden {
            let summary = format!("`{field}` of `{}` cannot be changed", resource.address);
            self.findings.push(at(resource, Diagnostic::error("forbidden-change", summary).why(*reason)));
        }
        let mut reasons = Vec::new();
        let mut action = self.decide(kind, thing, &comparison, &mut reasons);
        let Comparison { changes, drift, before, .. } = comparison;
        let (moved_from, retags) = moved(kind, thing, &resource.address);
        if moved_from.is_some() && matches!(action, Action::NoOp | Action::Adopt) {
            action = Action::Update;
        }
        let before = before.map(Arc::new).or_else(|| thing.shared_spec());
        let mut step = Step::new(&resource.address, &resource.kind, action);
        (step.moved_from, step.retags) = (moved_from, retags);
        step.stays_failed = has_failed(thing) && !action.deletes();
        (step.changes, step.drift, step.before, step.reasons) = (changes, drift, before, reasons);
        step
    }

    fn decide(
        &self,
        kind: &dyn AnyKind,
        thing: &Thing<'_>,
        comparison: &Comparison,
        reasons: &mut Vec<String>,
    ) -> Action {
        let readiness = thing.observed.map(|observed| &observed.readiness);
        match thing.source {
            Source::Begun => reasons.push("an earlier run was cut off while creating it".to_owned()),
            Source::Tagged => reasons.push("found by its tags; it was not recorded".to_owned()),
            Source::Recorded | Source::Superseded => {}
        }
        // One that is whole still has outlived the time in which a deletion would have shown.
        if thing.deletion_began() && readiness != Some(&Readiness::Ready) {
            reasons.push("its deletion has begun".to_owned());
            return Action::ReplaceDeleteFirst;
        }
        if self.options.replace.contains(&thing.address) {
            reasons.push("its replacement was asked for".to_owned());
            return Action::ReplaceDeleteFirst;
        }
        if let Some(Readiness::Failed(why)) = readiness {
            // What was in use once may hold data; that is not forge's to throw away.
            if kind.holds_data() && thing.source == Source::Recorded {
                reasons.push(format!("it has failed ({why}), but holds data, so it is left as it is"));
            } else {
                reasons.push(format!("it has failed: {why}"));
                return Action::ReplaceDeleteFirst;
            }
        }
        match comparison.means() {
            Some(Means::DeleteFirst) => Action::ReplaceDeleteFirst,
            Some(Means::CreateFirst) => Action::ReplaceCreateFirst,
            Some(Means::InPlace) => Action::Update,
            None if thing.source != Source::Recorded => Action::Adopt,
            None if !thing.pending.is_empty() && matches!(readiness, Some(Readiness::Waiting(_))) => {
                reasons.push("an earlier run was cut off while changing it".to_owned());
                Action::Adopt
            }
            None => Action::NoOp,
        }
    }

    /// What else stands, or stood, at the address of a desired resource.
    fn leftovers(&mut self, resource: &Resource, things: Vec<Thing<'a>>, step: &mut Step) {
        for thing in things {
            if thing.gone {
                if thing.source == Source::Recorded && step.action == Action::Create {
                    step.reasons.push(format!("it was recorded as {}, which is gone", thing.id));
                }
                step.gone.push(gone(&thing));
                continue;
            }
            let reason = match thing.source {
                Source::Recorded if thing.kind != resource.kind => format!("its address is now a {}", resource.kind),
                Source::Recorded | Source::Superseded => "its successor has taken its place".to_owned(),
                Source::Begun => "a creation that was cut off left it".to_owned(),
                Source::Tagged => "it carries the tags of an address where something else stands".to_owned(),
            };
            if resource.protect && thing.source == Source::Recorded {
                self.findings.push(at(resource, protected(&resource.address, Action::Delete)));
            }
            self.delete(&thing, reason);
        }
    }

    /// What nobody desires any more; returns those of them that the plan is not about.
    fn undesired(&mut self, part: &Part<'_>) -> Vec<Thing<'a>> {
        let mut left = Vec::new();
        for thing in std::mem::take(&mut self.things).into_values().flatten() {
            if !part.had(&thing.address) {
                self.left_out.insert(thing.address.clone());
                left.push(thing);
                continue;
            }
            if thing.gone {
                self.extras.push(forget(&thing));
                continue;
            }
            if thing.protect {
                self.findings.push(protected(&thing.address, Action::Delete));
            }
            let reason = match thing.source {
                Source::Tagged => "found by its tags; nothing asks for it",
                Source::Begun => "an earlier run was cut off while creating it, and nothing asks for it any more",
                Source::Recorded | Source::Superseded => "nothing asks for it any more",
            };
            self.delete(&thing, thing.stays.clone().unwrap_or_else(|| reason.to_owned()));
        }
        self.steps.append(&mut self.extras);
        left
    }

    fn delete(&mut self, thing: &Thing<'_>, reason: String) {
        match self.kinds.get(thing.kind) {
            Some(kind) => self.extras.push(delete(kind.as_ref(), thing, Some(reason))),
            None => self.findings.push(unknown_kind(&thing.address, thing.kind)),
        }
    }
}

fn has_failed(thing: &Thing<'_>) -> bool {
    matches!(thing.observed.map(|observed| &observed.readiness), Some(Readiness::Failed(_)))
}

/// Which of the things at an address the resource is: the one of its kind that the journal heard of last; without the
/// journal, the one with the lowest identifier, so that the choice is always the same.
pub(super) fn choose(things: &[Thing<'_>], kind: &str) -> Option<usize> {
    things
        .iter()
        .enumerate()
        .filter(|(_, thing)| !thing.gone && thing.kind == kind && thing.source != Source::Superseded)
        .max_by_key(|(_, thing)| (thing.source != Source::Tagged, thing.serial, std::cmp::Reverse(thing.id)))
        .map(|(position, _)| position)
}

/// Where a living thing stood before, when that is another address than where it is wanted, and whether its tags are to
/// follow. Tags that nobody looked at follow whenever its record does; a kind without tags has nothing that could.
fn moved(kind: &dyn AnyKind, thing: &Thing<'_>, address: &Address) -> (Option<Address>, bool) {
    let tagged = thing.observed.map(|observed| observed.tags.as_ref().map(|tags| &tags.address));
    let named = match tagged {
        Some(named) => named.filter(|named| *named != address),
        None => thing.moved_from.as_ref().filter(|_| kind.recovery() != Recovery::Identity),
    };
    (thing.moved_from.as_ref().or(named).cloned(), named.is_some())
}

fn finish_living(step: &mut Step, thing: &Thing<'_>) {
    step.id = Some(thing.id.to_owned());
    step.adopts = thing.source != Source::Recorded;
    step.outputs = thing.outputs();
    step.recorded_dependencies = thing.dependencies.clone().into_owned();
    // Nothing but the blueprint tells what a thing without a record stands on.
    if thing.source == Source::Tagged {
        step.recorded_dependencies.extend(step.dependencies.iter().cloned());
    }
    step.operation = thing.operation.cloned();
    step.settles = thing.settles();
    step.rewrites_record = step.action == Action::NoOp
        && (!step.settles.is_empty()
            || thing.record.is_none_or(|record| {
                record.dependencies != step.dependencies
                    || record.protect != step.protect
                    || record.outputs != step.outputs
                    || step.desired.as_ref().is_some_and(|desired| !desired.is(&record.spec))
            }));
}

pub(super) fn delete(kind: &dyn AnyKind, thing: &Thing<'_>, reason: Option<String>) -> Step {
    let mut step = Step::new(&thing.address, thing.kind, Action::Delete);
    step.id = Some(thing.id.to_owned());
    step.reasons = reason.into_iter().collect();
    step.destroys_data = kind.holds_data() && !broken(Sabotage::DeletesDataUnasked);
    step.before = thing.shared_spec();
    step.outputs = thing.outputs();
    step.recorded_dependencies = thing.dependencies.clone().into_owned();
    step.operation = thing.operation.cloned();
    step.settles = thing.settles();
    step
}

pub(super) fn forget(thing: &Thing<'_>) -> Step {
    let mut step = Step::new(&thing.address, thing.kind, Action::Forget);
    step.id = Some(thing.id.to_owned());
    step.reasons = vec!["it is gone from the world".to_owned()];
    step.gone = vec![gone(thing)];
    step
}

fn gone(thing: &Thing<'_>) -> Gone {
    Gone { kind: thing.kind.to_owned(), id: thing.id.to_owned(), settles: thing.settles() }
}
