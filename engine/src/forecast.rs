//! What a plan will take. Pure.

use crate::graph;
use crate::kind::Kinds;
use crate::plan::{Operation, Part, Plan};
use std::time::Duration;

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
