//! What a plan will take and cost, by what its kinds say is usual. Pure; nothing is decided by it.

use crate::address::Address;
use crate::graph;
use crate::kind::{Hourly, Kinds};
use crate::plan::{Action, Operation, Part, Plan, Step};
use crate::value::{Output, Value};
use serde::Serialize;
use serde_json::{Value as Json, json};
use std::time::Duration;

/// What a plan will take and cost.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Forecast {
    /// How long it usually takes: its critical path.
    pub duration: Duration,
    /// The resources on the critical path, the first first.
    pub critical: Vec<Address>,
    /// What costs as far as it is known before: the resources that the plan is about, as they are. None when of none of
    /// them it is known.
    pub before: Option<Hourly>,
    /// The same after.
    pub after: Option<Hourly>,
}

/// The forecast of a plan.
#[must_use]
pub fn forecast(plan: &Plan, kinds: &Kinds) -> Forecast {
    let remaining = remaining(plan, kinds);
    let mut followers = vec![Vec::new(); plan.operations.len()];
    for (position, operation) in plan.operations.iter().enumerate() {
        operation.after.iter().for_each(|&before| followers[before].push(position));
    }
    let longest = |positions: &mut dyn Iterator<Item = usize>| {
        // Of several the first, so that the path is always the same.
        positions.max_by_key(|&position| (remaining[position], std::cmp::Reverse(position)))
    };
    let mut critical: Vec<Address> = Vec::new();
    let mut next = longest(&mut (0..remaining.len()));
    let duration = next.map(|position| remaining[position]).unwrap_or_default();
    while let Some(position) = next.filter(|&position| !remaining[position].is_zero()) {
        let step = &plan.steps[plan.operations[position].step];
        if critical.last() != Some(&step.address) && !usual(plan, kinds, &plan.operations[position]).is_zero() {
            critical.push(step.address.clone());
        }
        next = longest(&mut followers[position].iter().copied());
    }
    let before = plan.steps.iter().filter_map(|step| hourly(kinds, &step.kind, step.before.as_ref()?));
    let after = plan.steps.iter().filter(|step| step.action != Action::Delete);
    let after = after.filter_map(|step| hourly(kinds, &step.kind, &wanted(step)?));
    Forecast { duration, critical, before: sum(before), after: sum(after) }
}

fn hourly(kinds: &Kinds, kind: &str, spec: &Json) -> Option<Hourly> {
    kinds.get(kind)?.hourly(spec)
}

/// What a step is to make, with something in place of what is not known yet: prices do not hang on identifiers.
fn wanted(step: &Step) -> Option<Json> {
    let unknown = |_: &Output| Some(json!("(known after apply)"));
    step.desired.as_ref().and_then(|desired: &Value| desired.resolve(&unknown).ok())
}

fn sum(prices: impl Iterator<Item = Hourly>) -> Option<Hourly> {
    prices.reduce(|sum, price| Hourly(sum.0 + price.0))
}

/// How long an operation usually takes.
fn usual(plan: &Plan, kinds: &Kinds, operation: &Operation) -> Duration {
    let Some(kind) = kinds.get(&plan.steps[operation.step].kind) else { return Duration::ZERO };
    let typical = kind.typical();
    match operation.part {
        Part::Create => typical.create,
        Part::Update => typical.update,
        Part::Delete => typical.delete,
        Part::Adopt | Part::Keep | Part::Forget => Duration::ZERO,
    }
}

/// For each operation, how long the longest path from its beginning to the end of the plan usually takes.
pub(crate) fn remaining(plan: &Plan, kinds: &Kinds) -> Vec<Duration> {
    let edges: Vec<Vec<usize>> = plan.operations.iter().map(|operation| operation.after.clone()).collect();
    let mut remaining: Vec<Duration> = plan.operations.iter().map(|operation| usual(plan, kinds, operation)).collect();
    let own = remaining.clone();
    let order = graph::order(&edges).unwrap_or_default();
    for &position in order.iter().rev() {
        for &before in &edges[position] {
            remaining[before] = remaining[before].max(own[before] + remaining[position]);
        }
    }
    remaining
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::Observations;
    use crate::plan::{PlanOptions, plan};
    use crate::sim::{Site, resource};
    use crate::state::State;

    #[test]
    fn the_critical_path_is_the_longest_chain() {
        let site = Site::new();
        let resources = [
            resource("net", "net", &[], 1),
            resource("net", "apart", &[], 1),
            resource("disk", "disk", &["net"], 10),
            resource("node", "node", &["net", "disk"], 2),
            resource("slot", "slot", &["apart"], 0),
        ];
        let (state, seen) = (State::default(), Observations::default());
        let made = plan(&site.desired(&resources), &state, &seen, &site.kinds, &PlanOptions::default()).unwrap();
        let forecast = forecast(&made, &site.kinds);
        let path: Vec<&str> = forecast.critical.iter().map(Address::as_str).collect();
        // Each takes a second, which is what kinds say that say nothing.
        assert_eq!((path, forecast.duration), (vec!["net", "disk", "node"], Duration::from_secs(3)));
        assert_eq!((forecast.before, forecast.after), (None, None));
    }
}
