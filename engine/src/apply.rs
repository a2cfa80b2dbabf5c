//! Walks a plan.
//!
//! Every operation starts the moment those before it are done; there are no waves. Two things bound the work: the
//! number of calls in flight, and the deadlines and budgets of [`Limits`]. Waiting for a resource to become ready takes
//! no slot, only each look at it does.
//!
//! Around each call the journal is kept as its module says: *begin* durable before the call, *identified* the moment the
//! provider returns an identifier, *end* after the resource is ready. A call that was certainly refused is closed as
//! failed. One whose fate is open stays pending: the next run looks what became of it.
//!
//! A failure stops what depends on it and nothing else. All operations run as futures of the one that [`apply`] returns:
//! dropping that one stops everything at once, wherever it is, and the journal is still right.

mod calls;
mod cancel;
mod step;

use crate::address::{Address, Deployment, OperationId};
use crate::event::{Emitted, Event, Sink, Skip};
use crate::journal::{Journal, JournalError};
use crate::kind::{AnyKind, KindError, Kinds};
use crate::lock::{Fenced, Guard};
use crate::pace::{POLL, Pace, RETRY, Tries};
use crate::plan::{Action, Counts, Part, Plan, Purpose, Step};
use crate::state::Entry;
use futures::stream::{FuturesUnordered, StreamExt};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::time::Duration;
use step::{Done, Executor, StepError};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep};

pub use cancel::Cancel;

/// What bounds a run.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// How many calls may be in flight.
    pub calls: usize,
    /// For how long one call may take before it counts as lost.
    pub call_deadline: Duration,
    /// How calls that failed are repeated.
    pub retry: Pace,
    /// How often to look whether a resource is ready.
    pub poll: Pace,
}

impl Default for Limits {
    /// 32 calls: more than any dependency graph of one cluster offers at a time, and fewer than what makes the strictest
    /// services throttle at once. 15 minutes: longer than any call that is not a wait in disguise.
    fn default() -> Self {
        Self { calls: 32, call_deadline: Duration::from_secs(900), retry: RETRY, poll: POLL }
    }
}

/// What a run works with.
#[derive(Clone, Copy)]
pub struct Run<'a> {
    /// Where it is written down.
    pub journal: &'a Journal,
    /// The kinds at hand.
    pub kinds: &'a Kinds,
    /// Who is told.
    pub sink: &'a dyn Sink,
    /// Who may stop it.
    pub cancel: &'a Cancel,
    /// What bounds it.
    pub limits: Limits,
    /// Whether this is still the only one at work; asked before every call.
    pub guard: &'a dyn Guard,
    /// Makes operation ids, unique for all time: [`random_operation`] outside tests.
    pub new_operation: &'a (dyn Fn() -> OperationId + Send + Sync),
}

/// An operation id of 16 random bytes.
///
/// # Panics
/// When the operating system has no randomness to give; without unique ids nothing is safe.
#[must_use]
pub fn random_operation() -> OperationId {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).expect("the operating system has randomness");
    OperationId(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Why a plan was not applied at all.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The state has changed since the plan was made.
    #[error("the plan is stale: it was made from entry {planned} of the journal, which is at {current} by now")]
    Stale {
        /// What the plan was made from.
        planned: u64,
        /// What the journal is at.
        current: u64,
    },
    /// The plan is for another deployment.
    #[error("the plan is for deployment `{planned}`, the journal belongs to `{journal}`")]
    OtherDeployment {
        /// The plan's.
        planned: Deployment,
        /// The journal's.
        journal: Deployment,
    },
    /// The journal failed before anything was done.
    #[error("nothing was changed, because the journal cannot be written")]
    Journal(#[source] JournalError),
}

/// A step that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// The resource.
    pub address: Address,
    /// Its kind.
    pub kind: String,
    /// What was to happen.
    pub action: Action,
    /// The error and its causes, outermost first.
    pub chain: Vec<String>,
    /// What to do, where that is known.
    pub help: Option<String>,
}

/// A step that was not done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Skipped {
    /// The resource.
    pub address: Address,
    /// Its kind.
    pub kind: String,
    /// What was to happen.
    pub action: Action,
    /// Why it did not.
    pub because: Skip,
}

/// A resource that carries our tags after a destroy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LeftBehind {
    /// Its address, by its tags.
    pub address: Address,
    /// Its kind.
    pub kind: String,
    /// Its identifier.
    pub id: String,
}

/// How a run went.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Outcome {
    /// The steps that are done.
    pub done: Counts,
    /// The steps that failed.
    pub failed: Vec<Failure>,
    /// The steps that were not done: blocked by a failure, or because the run was stopped. A step that was under way
    /// when the run was stopped at once is among them.
    pub skipped: Vec<Skipped>,
    /// True when the run was stopped.
    pub interrupted: bool,
    /// Why the run had to stop by itself: another may be at work by now. What was in flight stays pending.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fenced: Option<Fenced>,
    /// What still carries the deployment's tags after a destroy, but for what the plan keeps. None when nobody looked:
    /// after an `up`, or a run that was stopped.
    pub left_behind: Option<Vec<LeftBehind>>,
    /// What went wrong apart from the steps: the last look could not be taken, the journal could not be closed.
    pub warnings: Vec<String>,
}

impl Outcome {
    /// True when everything that was planned is done and nothing is left behind.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.failed.is_empty()
            && self.skipped.is_empty()
            && !self.interrupted
            && self.fenced.is_none()
            && self.warnings.is_empty()
            && self.left_behind.as_ref().is_none_or(Vec::is_empty)
    }
}

/// The messages of an error and its causes, outermost first.
#[must_use]
pub fn chain(error: &dyn Error) -> Vec<String> {
    let (mut chain, mut next) = (Vec::new(), Some(error));
    while let Some(error) = next {
        chain.push(error.to_string());
        next = error.source();
    }
    // A transparent wrapper shows the message of what it wraps.
    chain.dedup();
    chain
}

/// Applies `plan`.
///
/// # Errors
/// When it cannot be begun. What fails on the way is part of the [`Outcome`].
pub async fn apply(plan: &Plan, run: &Run<'_>) -> Result<Outcome, ApplyError> {
    let current = run.journal.with_state(|state| state.serial);
    if plan.serial != current {
        return Err(ApplyError::Stale { planned: plan.serial, current });
    }
    if plan.deployment != *run.journal.deployment() {
        let (planned, journal) = (plan.deployment.clone(), run.journal.deployment().clone());
        return Err(ApplyError::OtherDeployment { planned, journal });
    }
    for never in &plan.never_happened {
        let reason = "not found in the world".to_owned();
        let entry = Entry::Failed { operation: never.operation.clone(), reason };
        run.journal.append(entry).await.map_err(ApplyError::Journal)?;
    }
    let executor = Executor { run, plan, slots: Semaphore::new(run.limits.calls.max(1)), started: Instant::now() };
    executor.emit(Event::PlanMade { counts: plan.counts() });
    let mut outcome = Walk::new(&executor).run().await;
    if let Err(fenced) = run.guard.may_act() {
        // The journal takes nothing from us any more, and what is left behind is for the new owner to say.
        outcome.fenced = Some(fenced);
        executor.emit(Event::RunFinished { outcome: outcome.clone() });
        return Ok(outcome);
    }
    if plan.purpose == Purpose::Destroy && !outcome.interrupted {
        match left_behind(plan, run).await {
            Ok(left) => outcome.left_behind = Some(left),
            Err(error) => {
                outcome.warnings.push(format!("cannot see what is left behind: {}", chain(&error).join(": ")));
            }
        }
    }
    let closed = async {
        run.journal.sync().await?;
        run.journal.compact().await
    };
    if let Err(error) = closed.await {
        outcome.warnings.push(chain(&error).join(": "));
    }
    executor.emit(Event::RunFinished { outcome: outcome.clone() });
    Ok(outcome)
}

/// Lists every kind once more. What the plan keeps or is not about, and what is recorded and was not to be deleted, is no
/// leftover.
async fn left_behind(plan: &Plan, run: &Run<'_>) -> Result<Vec<LeftBehind>, KindError> {
    let mut expected: BTreeSet<(String, String)> =
        plan.kept.iter().map(|kept| (kept.kind.clone(), kept.id.clone())).collect();
    let doomed: BTreeSet<(&str, Option<&str>)> =
        plan.steps.iter().map(|step| (step.kind.as_str(), step.id.as_deref())).collect();
    run.journal.with_state(|state| {
        for record in state.records.values().filter(|record| !doomed.contains(&(&record.kind, Some(&record.id)))) {
            expected.insert((record.kind.clone(), record.id.clone()));
        }
    });
    let mut left = Vec::new();
    for kind in run.kinds.iter() {
        for observed in list(kind.as_ref(), &plan.deployment, run.limits.retry).await? {
            let Some(tags) = observed.tags else { continue };
            let asked_for = !plan.left_out.contains(&tags.address);
            if asked_for && !expected.contains(&(kind.name().to_owned(), observed.id.clone())) {
                left.push(LeftBehind { address: tags.address, kind: kind.name().to_owned(), id: observed.id });
            }
        }
    }
    Ok(left)
}

async fn list(
    kind: &dyn AnyKind,
    deployment: &Deployment,
    pace: Pace,
) -> Result<Vec<crate::kind::Observed>, KindError> {
    let mut tries = Tries::new(pace);
    loop {
        match kind.list(deployment).await {
            Ok(listed) => return Ok(listed),
            Err(error) => match tries.again(&error) {
                Some(pause) => sleep(pause).await,
                None => return Err(error),
            },
        }
    }
}

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
struct Walk<'a> {
    executor: &'a Executor<'a>,
    progress: Vec<Progress>,
    missing: Vec<usize>,
    followers: Vec<Vec<usize>>,
    outcome: Outcome,
}

impl<'a> Walk<'a> {
    fn new(executor: &'a Executor<'a>) -> Self {
        let edges: Vec<Vec<usize>> = executor.plan.operations.iter().map(|operation| operation.after.clone()).collect();
        Self {
            executor,
            progress: vec![Progress::Waiting; edges.len()],
            missing: edges.iter().map(Vec::len).collect(),
            followers: crate::graph::reversed(&edges),
            outcome: Outcome::default(),
        }
    }

    async fn run(mut self) -> Outcome {
        let cancel = self.executor.run.cancel;
        let mut ready: Vec<usize> = (0..self.missing.len()).rev().filter(|&n| self.missing[n] == 0).collect();
        let mut running = FuturesUnordered::new();
        let mut stopping = false;
        loop {
            // Asked here as well: something may always be finished when the selection below is made.
            stopping |= cancel.is_raised();
            while !stopping && let Some(position) = ready.pop() {
                self.progress[position] = Progress::Started;
                let executor = self.executor;
                running.push(Box::pin(async move { (position, executor.operate(position).await) }));
            }
            if running.is_empty() {
                break;
            }
            tokio::select! {
                biased;
                () = cancel.now() => break,
                Some((position, result)) = running.next() => self.finished(position, result, &mut ready),
                () = cancel.raised(), if !stopping => stopping = true,
            }
        }
        drop(running);
        self.conclude()
    }

    fn finished(&mut self, position: usize, result: Result<Done, StepError>, ready: &mut Vec<usize>) {
        match result {
            Ok(_) => {
                self.progress[position] = Progress::Done;
                for &follower in &self.followers[position] {
                    self.missing[follower] -= 1;
                    if self.missing[follower] == 0 && self.progress[follower] == Progress::Waiting {
                        ready.push(follower);
                    }
                }
            }
            Err(error) => {
                self.progress[position] = Progress::Failed;
                let step = self.step(position);
                let (chain, help) = (chain(&error), error.advice());
                let (address, kind, action) = (step.address.clone(), step.kind.clone(), step.action);
                let failure = Failure { address: address.clone(), kind, action, chain, help };
                self.executor.emit_failure(&failure);
                self.outcome.failed.push(failure);
                self.block(position, &address);
            }
        }
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

impl Executor<'_> {
    fn emit(&self, event: Event) {
        self.run.sink.emit(&Emitted::new(self.started.elapsed(), event));
    }

    fn emit_failure(&self, failure: &Failure) {
        let Failure { address, kind, action, chain, help } = failure.clone();
        self.emit(Event::StepFailed { address, kind, action, chain, help });
    }

    async fn operate(&self, position: usize) -> Result<Done, StepError> {
        let operation = &self.plan.operations[position];
        let step = &self.plan.steps[operation.step];
        if operation.part == Part::Keep {
            return self.keep(step).await;
        }
        let start = Instant::now();
        let (address, kind, action) = (step.address.clone(), step.kind.clone(), step.action);
        let call = step::call_of(operation.part);
        self.emit(Event::StepStarted { address: address.clone(), kind: kind.clone(), action, call });
        let done = self.part(step, operation.part).await?;
        let took_ms = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
        let (call, id) = (done.call, done.id.clone());
        self.emit(Event::StepFinished { address, kind, action, call, id, took_ms });
        Ok(done)
    }
}

#[cfg(test)]
mod tests;
