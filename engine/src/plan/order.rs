//! Which call comes before which.
//!
//! Creation goes along the desired dependencies, deletion against the recorded ones. A replacement has two halves. When
//! it creates first, its deletion waits until everything that stood on the old one has moved over. When it deletes
//! first, whatever stood on it and is deleted as well goes before it; such a dependent cannot create first, for its new
//! half would need what its old half still holds up, and so [`settle_replacements`] makes it delete first as well.

use super::{Action, Operation, Part, Step};
use crate::address::Address;
use crate::diag::Diagnostic;
use crate::graph;
use crate::sabotage::{Sabotage, broken};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Turns replacements that would create first into ones that delete first, where something below them deletes first.
pub(super) fn settle_replacements(steps: &mut [Step]) {
    let mut falling: BTreeMap<Address, Address> = steps
        .iter()
        .filter(|step| step.action == Action::ReplaceDeleteFirst)
        .map(|step| (step.address.clone(), step.address.clone()))
        .collect();
    loop {
        let mut changed = false;
        for step in steps.iter_mut().filter(|step| step.action.deletes()) {
            let below = step.recorded_dependencies.union(&step.dependencies).find_map(|address| falling.get(address));
            let Some(cause) = below.cloned() else { continue };
            if step.action == Action::ReplaceCreateFirst {
                step.action = Action::ReplaceDeleteFirst;
                step.reasons.push(format!("it is deleted first because `{cause}` must be"));
                changed = true;
            }
            changed |= falling.insert(step.address.clone(), cause).is_none();
        }
        if !changed {
            return;
        }
    }
}

/// The operations of `steps` and what each must wait for.
///
/// # Errors
/// When they go in circles, which only a damaged record can make happen.
pub(super) fn operations(steps: &[Step]) -> Result<Vec<Operation>, Vec<Diagnostic>> {
    let mut builder = Builder::new(steps);
    for position in 0..steps.len() {
        builder.order_building(position);
        builder.order_deletion(position);
    }
    builder.finish()
}

fn parts(action: Action) -> &'static [Part] {
    match action {
        Action::NoOp => &[Part::Keep],
        Action::Create => &[Part::Create],
        Action::Update => &[Part::Update],
        Action::ReplaceCreateFirst | Action::ReplaceDeleteFirst => &[Part::Create, Part::Delete],
        Action::Delete => &[Part::Delete],
        Action::Adopt => &[Part::Adopt],
        Action::Forget => &[Part::Forget],
    }
}

struct Builder<'a> {
    steps: &'a [Step],
    operations: Vec<Operation>,
    /// The operation that brings a step's resource into its desired form.
    building: Vec<Option<usize>>,
    /// The operation that deletes what a step's resource was.
    deleting: Vec<Option<usize>>,
    builds: HashMap<&'a Address, usize>,
    /// The steps of what stood on an address.
    stood_on: HashMap<&'a Address, Vec<usize>>,
    /// The steps of what has moved away from an address.
    leaving: HashMap<&'a Address, Vec<usize>>,
    /// Edges that give way when they close a circle.
    wishes: BTreeSet<(usize, usize)>,
}

impl<'a> Builder<'a> {
    fn new(steps: &'a [Step]) -> Self {
        let (mut operations, mut building, mut deleting) = (Vec::new(), Vec::new(), Vec::new());
        let (mut builds, mut stood_on) = (HashMap::with_capacity(steps.len()), HashMap::<_, Vec<usize>>::new());
        let mut leaving = HashMap::<_, Vec<usize>>::new();
        // Only of what goes does anybody ask what stood on it.
        for step in steps.iter().filter(|step| step.action.deletes()) {
            stood_on.insert(&step.address, Vec::new());
        }
        for (position, step) in steps.iter().enumerate() {
            building.push(None);
            deleting.push(None);
            for &part in parts(step.action) {
                match part {
                    Part::Delete => deleting[position] = Some(operations.len()),
                    Part::Forget => {}
                    Part::Keep | Part::Adopt | Part::Create | Part::Update => {
                        building[position] = Some(operations.len());
                        builds.insert(&step.address, operations.len());
                    }
                }
                operations.push(Operation { step: position, part, after: Vec::new() });
            }
            for address in &step.recorded_dependencies {
                if let Some(standing) = stood_on.get_mut(address) {
                    standing.push(position);
                }
            }
            if let Some(address) = &step.moved_from {
                leaving.entry(address).or_default().push(position);
            }
        }
        Self { steps, operations, building, deleting, builds, stood_on, leaving, wishes: BTreeSet::new() }
    }

    fn after(&mut self, operation: usize, before: usize) {
        self.operations[operation].after.push(before);
    }

    fn order_building(&mut self, position: usize) {
        let Some(build) = self.building[position] else { return };
        let step = &self.steps[position];
        let needed = step.dependencies.iter().filter_map(|address| self.builds.get(address).copied());
        self.operations[build].after.extend(needed);
        if step.action == Action::Create {
            // What stood here lets go of the address first, so that its tags are not taken for the new one's.
            let left = self.leaving.get(&step.address).into_iter().flatten();
            self.wishes.extend(left.filter_map(|&other| Some((build, self.building[other]?))));
        }
        match (step.action, self.deleting[position]) {
            (Action::ReplaceDeleteFirst, Some(delete)) => self.after(build, delete),
            (Action::ReplaceCreateFirst, Some(delete)) => self.after(delete, build),
            _ => {}
        }
    }

    fn order_deletion(&mut self, position: usize) {
        let Some(delete) = self.deleting[position] else { return };
        let step = &self.steps[position];
        let dependents = self.stood_on.get(&step.address).cloned().unwrap_or_default();
        for dependent in dependents.into_iter().filter(|&dependent| dependent != position) {
            if let Some(other) = self.deleting[dependent] {
                let backwards = broken(Sabotage::DeletesInCreationOrder);
                let (delete, other) = if backwards { (other, delete) } else { (delete, other) };
                self.after(delete, other);
            }
            let Some(build) = self.building[dependent] else { continue };
            match step.action {
                Action::ReplaceCreateFirst => self.after(delete, build),
                // It is changed once the successor is there.
                Action::ReplaceDeleteFirst if self.steps[dependent].dependencies.contains(&step.address) => {}
                _ => {
                    self.wishes.insert((delete, build));
                }
            }
        }
    }

    fn finish(mut self) -> Result<Vec<Operation>, Vec<Diagnostic>> {
        let hard: Vec<Vec<usize>> = self.operations.iter().map(|operation| operation.after.clone()).collect();
        if !self.wishes.is_empty() {
            let mut all = hard.clone();
            for &(operation, before) in &self.wishes {
                all[operation].push(before);
            }
            for knot in graph::knots(&all) {
                let within: BTreeSet<usize> = knot.into_iter().collect();
                self.wishes.retain(|(operation, before)| !(within.contains(operation) && within.contains(before)));
            }
        }
        let circles = self.circles(&hard);
        if !circles.is_empty() {
            return Err(circles);
        }
        for (operation, before) in std::mem::take(&mut self.wishes) {
            self.after(operation, before);
        }
        for operation in &mut self.operations {
            operation.after.sort_unstable();
            operation.after.dedup();
        }
        Ok(self.operations)
    }

    fn circles(&self, edges: &[Vec<usize>]) -> Vec<Diagnostic> {
        let circle = |knot: Vec<usize>| {
            let names: BTreeSet<&str> =
                knot.iter().map(|&operation| self.steps[self.operations[operation].step].address.as_str()).collect();
            let names = names.into_iter().collect::<Vec<_>>().join("`, `");
            Diagnostic::error("no-order", format!("there is no order in which `{names}` could be changed"))
                .why("what is recorded of their dependencies contradicts what is desired")
                .help("remove one of them from the blueprint, run `forge up`, and add it again")
        };
        graph::knots(edges).into_iter().map(circle).collect()
    }
}
