//! What a plan will take: time, and money by the hour. Pure.
//!
//! Time comes from what each kind usually takes. The *critical path* is the chain of calls, each waiting for the one
//! before it, that takes longest; with nothing else in the way, the run takes as long as it does. That is a lower bound
//! that a run comes close to: calls queue only where a service allows few of them.
//!
//! Money comes from the kinds that know their prices. What none is known of is counted, never guessed: a sum says how many
//! resources it leaves out.

use crate::address::Address;
use crate::bill::{Price, Tariff, bill};
use crate::graph;
use crate::kind::Kinds;
use crate::plan::{Action, Operation, Part, Plan};
use crate::state::Call;
use serde::Serialize;
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
    /// The resources whose price, once everything is done, nobody here knows.
    pub unknown: Vec<Address>,
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
    fn add(&mut self, price: Price) {
        match price.usd_per_hour() {
            Some(price) => self.usd_per_hour += price,
            None => self.unknown += 1,
        }
    }
}

/// Works out what `plan` will take; what resources cost, their kinds say.
#[must_use]
pub fn forecast(plan: &Plan, kinds: &Kinds) -> Forecast {
    forecast_at(plan, kinds, kinds)
}

/// The same, with somebody else's prices.
#[must_use]
pub fn forecast_at(plan: &Plan, kinds: &Kinds, tariff: &dyn Tariff) -> Forecast {
    let critical_path = critical_path(plan, kinds);
    let (mut before, mut after, mut difference) = <(Cost, Cost, Cost)>::default();
    let mut unknown = Vec::new();
    for item in bill(plan, tariff) {
        before.add(item.before);
        after.add(item.after);
        if item.after == Price::Unknown {
            unknown.push(item.step.address.clone());
        }
        if item.step.action != Action::NoOp && item.before != item.after {
            let known = item.after.usd_per_hour().zip(item.before.usd_per_hour());
            difference.add(known.map_or(Price::Unknown, |(will, was)| Price::Known(will - was)));
        }
    }
    // They stay as they are, and the plan does not say what they are.
    before.unknown += plan.kept.len();
    after.unknown += plan.kept.len();
    unknown.extend(plan.kept.iter().map(|kept| kept.address.clone()));
    let seconds = critical_path.iter().map(|leg| leg.seconds).sum();
    Forecast { seconds, critical_path, before, after, difference, unknown }
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
