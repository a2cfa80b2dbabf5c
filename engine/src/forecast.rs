//! What a plan will take: time, and money by the hour. Pure.
//!
//! Time comes from what each kind usually takes. The *critical path* is the chain of calls, each waiting for the one
//! before it, that takes longest; with nothing else in the way, the run takes as long as it does. That is a lower bound
//! that a run comes close to: calls queue only where a service allows few of them.
//!
//! Money comes from the kinds that know their prices. What none is known of is counted, never guessed: a sum says how many
//! resources it leaves out.

use crate::address::Address;
use crate::graph;
use crate::kind::Kinds;
use crate::plan::{Action, Operation, Part, Plan, Step};
use crate::state::Call;
use crate::value::{Output, Value};
use serde::Serialize;
use serde_json::{Value as Json, json};
use std::time::Duration;

/// What a plan will take.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Forecast {
    /// How long it usually takes, in seconds: the whole of the critical path.
    pub seconds: u64,
    /// The calls of the critical path, in their order.
    pub critical_path: Vec<Leg>,
    /// What everything costs now, as far as the plan knows it.
    pub before: Cost,
    /// What everything will cost.
    pub after: Cost,
    /// What the plan adds, or saves when it is negative. What stays as it is takes no part, known or not.
    pub difference: Cost,
}

/// A call of the critical path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Leg {
    /// The resource.
    pub address: Address,
    /// The call.
    pub call: Call,
    /// How long it usually takes until its effect can be used, in seconds.
    pub seconds: u64,
}

/// A sum of prices.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Cost {
    /// US dollars per hour of those whose price is known.
    pub usd_per_hour: f64,
    /// How many resources have a price that nobody here knows.
    pub unknown: usize,
}

impl Cost {
    fn add(&mut self, price: Option<f64>) {
        match price {
            Some(price) => self.usd_per_hour += price,
            None => self.unknown += 1,
        }
    }
}

/// Works out what `plan` will take.
#[must_use]
pub fn forecast(plan: &Plan, kinds: &Kinds) -> Forecast {
    let critical_path = critical_path(plan, kinds);
    let (mut before, mut after, mut difference) = <(Cost, Cost, Cost)>::default();
    for step in &plan.steps {
        let (was, will) = prices(step, kinds);
        was.iter().for_each(|price| before.add(*price));
        will.iter().for_each(|price| after.add(*price));
        if step.action != Action::NoOp && was != will {
            let known = |price: Option<Option<f64>>| price.unwrap_or(Some(0.0));
            difference.add(known(will).zip(known(was)).map(|(will, was)| will - was));
        }
    }
    // They stay as they are, and the plan does not say what they are.
    before.unknown += plan.kept.len();
    after.unknown += plan.kept.len();
    let seconds = critical_path.iter().map(|leg| leg.seconds).sum();
    Forecast { seconds, critical_path, before, after, difference }
}

/// What the resource of a step costs before it and after it: none where it is not there, none within where its price is
/// not known.
fn prices(step: &Step, kinds: &Kinds) -> (Option<Option<f64>>, Option<Option<f64>>) {
    let kind = kinds.get(&step.kind);
    let price = |spec: Option<&Json>| kind.and_then(|kind| Some(kind.hourly(spec?)?.0));
    // What is not known yet is rarely what something is paid by.
    let stand_in = |_: &Output| Some(json!("(known after apply)"));
    let desired = step.desired.as_ref().and_then(|desired: &Value| desired.resolve(&stand_in).ok());
    let before = step.before.as_deref();
    let (was, will) = (price(before), price(desired.as_ref().or(before)));
    match step.action {
        Action::NoOp | Action::Adopt => (Some(will), Some(will)),
        Action::Create => (None, Some(will)),
        Action::Update | Action::ReplaceCreateFirst | Action::ReplaceDeleteFirst => (Some(was), Some(will)),
        Action::Delete => (Some(was), None),
        Action::Forget => (None, None),
    }
}

/// The call of an operation, and how long it usually takes.
fn usual(plan: &Plan, kinds: &Kinds, operation: &Operation) -> Option<(Call, Duration)> {
    let typical = kinds.get(&plan.steps[operation.step].kind)?.typical();
    match operation.part {
        Part::Create => Some((Call::Create, typical.create)),
        Part::Update => Some((Call::Update, typical.update)),
        Part::Delete => Some((Call::Delete, typical.delete)),
        Part::Adopt | Part::Keep | Part::Forget => None,
    }
}

/// For each operation, how long the longest path from its beginning to the end of the plan usually takes.
pub(crate) fn remaining(plan: &Plan, kinds: &Kinds) -> Vec<Duration> {
    let usual = |operation| usual(plan, kinds, operation).map_or(Duration::ZERO, |(_, usual)| usual);
    let own: Vec<Duration> = plan.operations.iter().map(usual).collect();
    let edges: Vec<Vec<usize>> = plan.operations.iter().map(|operation| operation.after.clone()).collect();
    let mut remaining = own.clone();
    for position in graph::order(&edges).unwrap_or_default().into_iter().rev() {
        for &before in &edges[position] {
            remaining[before] = remaining[before].max(own[before] + remaining[position]);
        }
    }
    remaining
}

fn critical_path(plan: &Plan, kinds: &Kinds) -> Vec<Leg> {
    let remaining = remaining(plan, kinds);
    let edges: Vec<Vec<usize>> = plan.operations.iter().map(|operation| operation.after.clone()).collect();
    let followers = graph::reversed(&edges);
    // Of several that take as long, the first one.
    let longest = |among: &mut dyn Iterator<Item = usize>| among.max_by_key(|&at| (remaining[at], usize::MAX - at));
    let mut next = longest(&mut (0..edges.len()).filter(|&position| edges[position].is_empty()));
    let mut path = Vec::new();
    while let Some(position) = next {
        let operation = &plan.operations[position];
        if let Some((call, usual)) = usual(plan, kinds, operation) {
            let address = plan.steps[operation.step].address.clone();
            path.push(Leg { address, call, seconds: usual.as_secs() });
        }
        next = longest(&mut followers[position].iter().copied());
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kind::Typical;
    use crate::plan::{DestroyOptions, PlanOptions, plan};
    use crate::sim::{Site, resource};
    use crate::state::State;

    fn path(forecast: &Forecast) -> Vec<String> {
        let legs = forecast.critical_path.iter();
        legs.map(|leg| format!("{:?} {} {}", leg.call, leg.address, leg.seconds).to_lowercase()).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn the_longest_chain_is_what_it_takes() {
        let site = Site::new();
        let desired = [
            resource("net", "net", &[], 4),
            resource("node", "node", &["net"], 0),
            resource("disk", "disk", &["net"], 6),
            resource("slot", "slot", &["disk"], 0),
            resource("net", "free", &[], 0),
        ];
        let (state, seen) = (State::default(), Default::default());
        let made = plan(&site.desired(&desired), &state, &seen, &site.kinds, &PlanOptions::default()).unwrap();
        let foreseen = forecast(&made, &site.kinds);
        assert_eq!(path(&foreseen), ["create net 1", "create disk 1", "create slot 1"]);
        assert_eq!(foreseen.seconds, Typical::CALL.create.as_secs() * 3);
        // Disks cost a dollar for each size, nets nothing; of the others nobody knows.
        assert_eq!(foreseen.before, Cost::default());
        assert_eq!(foreseen.after, Cost { usd_per_hour: 6.0, unknown: 2 });
        assert_eq!(foreseen.difference, foreseen.after);

        site.up(&desired).await;
        let mut changed = desired.clone();
        changed[2] = resource("disk", "disk", &["net"], 2);
        let journal = site.journal();
        let foreseen = forecast(&site.plan(&journal, &changed).await.unwrap(), &site.kinds);
        assert_eq!(path(&foreseen), ["update disk 1"]);
        assert_eq!((foreseen.before.usd_per_hour, foreseen.after.usd_per_hour), (6.0, 2.0));
        assert_eq!(foreseen.difference, Cost { usd_per_hour: -4.0, unknown: 0 });

        let all = DestroyOptions { delete_data: true, modules: None };
        let foreseen = forecast(&site.plan_destroy(&journal, &all).await, &site.kinds);
        assert_eq!(path(&foreseen), ["delete slot 1", "delete disk 1", "delete net 1"]);
        assert_eq!((foreseen.after, foreseen.difference.usd_per_hour), (Cost::default(), -6.0));
        assert_eq!(
            serde_json::to_string(&foreseen.critical_path[0]).unwrap(),
            r#"{"address":"slot","call":"delete","seconds":1}"#
        );
    }
}
