//! The order in which operations are begun, and what becomes of the others when one fails.

use super::step::{Done, Executor, StepError, Work};
use super::{Failure, Outcome, Skipped, chain};
use crate::address::Address;
use crate::event::{Event, Skip};
use crate::plan::{Action, Part, Step};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::time::Duration;

use futures::stream::{FuturesUnordered, StreamExt};

/// How far an operation is.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Progress {
    Waiting,
    Started,
    Done,
    Failed,
    Blocked(Address),
}

/// The state of a walk along the operations of a plan.
pub(super) struct Walk<'a> {
    executor: &'a Executor<'a>,
    progress: Vec<Progress>,
    missing: Vec<usize>,
    followers: Vec<Vec<usize>>,
    /// How long what begins with each operation will take at least. The longest goes first where not all can.
    urgency: Vec<Duration>,
    ready: BinaryHeap<(Duration, Reverse<usize>)>,
    outcome: Outcome,
}

impl<'a> Walk<'a> {
    pub(super) fn new(executor: &'a Executor<'a>) -> Self {
        let edges: Vec<Vec<usize>> = executor.plan.operations.iter().map(|operation| operation.after.clone()).collect();
        let mut walk = Self {
            executor,
            progress: vec![Progress::Waiting; edges.len()],
            missing: edges.iter().map(Vec::len).collect(),
            followers: crate::graph::reversed(&edges),
            urgency: crate::forecast::remaining(executor.plan, executor.run.kinds),
            ready: BinaryHeap::new(),
            outcome: Outcome::default(),
        };
        for position in (0..edges.len()).filter(|&position| edges[position].is_empty()) {
            walk.enqueue(position);
        }
        walk
    }

    fn enqueue(&mut self, position: usize) {
        self.ready.push((self.urgency[position], Reverse(position)));
    }

    pub(super) async fn run(mut self) -> Outcome {
        let cancel = self.executor.run.cancel;
        let mut running = FuturesUnordered::new();
        let mut stopping = false;
        loop {
            // Asked here as well: something may always be finished when the selection below is made.
            stopping |= cancel.is_raised();
            while !stopping && let Some((urgency, Reverse(position))) = self.ready.pop() {
                let step = self.step(position);
                let part = self.executor.plan.operations[position].part;
                if part == Part::Keep && !step.rewrites_record && step.gone.is_empty() {
                    self.finished(position, Ok(Done::default()));
                    continue;
                }
                self.progress[position] = Progress::Started;
                let (executor, work) = (self.executor, Work::new(step, part, urgency));
                running.push(Box::pin(async move { (position, executor.operate(&work).await) }));
            }
            if running.is_empty() {
                break;
            }
            tokio::select! {
                biased;
                () = cancel.now() => break,
                Some((position, result)) = running.next() => self.finished(position, result),
                () = cancel.raised(), if !stopping => stopping = true,
            }
        }
        drop(running);
        self.conclude()
    }

    fn finished(&mut self, position: usize, result: Result<Done, StepError>) {
        match result {
            Ok(_) => {
                self.progress[position] = Progress::Done;
                for follower in std::mem::take(&mut self.followers[position]) {
                    self.missing[follower] -= 1;
                    if self.missing[follower] == 0 && self.progress[follower] == Progress::Waiting {
                        self.enqueue(follower);
                    }
                }
            }
            Err(StepError::Stopped) => self.progress[position] = Progress::Waiting,
            Err(error) => {
                self.progress[position] = Progress::Failed;
                let step = self.step(position);
                let (chain, help) = (chain(&error), error.advice());
                let (address, kind, action) = (step.address.clone(), step.kind.clone(), step.action);
                let part = self.executor.plan.operations[position].part;
                let blockers = if part == Part::Delete { self.standing_on(&address) } else { Vec::new() };
                let failure = Failure { address: address.clone(), kind, action, chain, help, blockers };
                self.executor.emit_failure(&failure);
                self.outcome.failed.push(failure);
                self.block(position, &address);
            }
        }
    }

    /// What is recorded as standing on `address`, nearest first.
    fn standing_on(&self, address: &Address) -> Vec<Address> {
        self.executor.run.journal.with_state(|state| {
            let mut found = vec![address.clone()];
            let mut next = 0;
            while let Some(below) = found.get(next).cloned() {
                let above = state.records.iter().filter(|(_, record)| record.dependencies.contains(&below));
                let new: Vec<Address> =
                    above.map(|(above, _)| above).filter(|above| !found.contains(above)).cloned().collect();
                found.extend(new);
                next += 1;
            }
            found.split_off(1)
        })
    }

    /// Everything that waits for a failed operation will never start.
    fn block(&mut self, failed: usize, cause: &Address) {
        let mut open = self.followers[failed].clone();
        while let Some(position) = open.pop() {
            if self.progress[position] == Progress::Waiting {
                self.progress[position] = Progress::Blocked(cause.clone());
                open.extend(&self.followers[position]);
            }
        }
    }

    fn step(&self, position: usize) -> &'a Step {
        let plan = self.executor.plan;
        &plan.steps[plan.operations[position].step]
    }

    /// Sums up by step what happened by operation.
    fn conclude(mut self) -> Outcome {
        let plan = self.executor.plan;
        // Told in the order of the plan, whichever happened to fail first.
        let places: BTreeMap<&Address, usize> =
            plan.steps.iter().enumerate().map(|(n, step)| (&step.address, n)).collect();
        self.outcome.failed.sort_by_key(|failure| places.get(&failure.address).copied());
        let mut by_step: BTreeMap<usize, Vec<&Progress>> = BTreeMap::new();
        for (operation, progress) in plan.operations.iter().zip(&self.progress) {
            by_step.entry(operation.step).or_default().push(progress);
        }
        for (position, parts) in by_step {
            let step = &plan.steps[position];
            if parts.iter().all(|part| **part == Progress::Done) {
                self.outcome.done.add(step.action);
            } else if !parts.contains(&&Progress::Failed) {
                let blocked = parts.iter().find_map(|part| match part {
                    Progress::Blocked(cause) => Some(Skip::Blocked(cause.clone())),
                    _ => None,
                });
                let because = blocked.unwrap_or(Skip::Cancelled);
                self.outcome.interrupted |= because == Skip::Cancelled;
                let (address, kind, action) = (step.address.clone(), step.kind.clone(), step.action);
                // What needed nothing done has lost nothing.
                if action != Action::NoOp {
                    self.executor.emit(Event::StepSkipped {
                        address: address.clone(),
                        kind: kind.clone(),
                        action,
                        because: because.clone(),
                    });
                    self.outcome.skipped.push(Skipped { address, kind, action, because });
                }
            }
        }
        self.outcome
    }
}
