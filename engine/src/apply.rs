//! Walks a plan.
//!
//! Every operation starts the moment those before it are done; there are no waves. What bounds the work is the number of
//! calls in flight, how fast each service lets itself be called, and the deadlines and budgets of [`Limits`]. A slot is
//! held while a call is in flight and not while anything is waited for: neither for a service that is called too fast,
//! nor for a resource to become ready. Where calls must queue, the one goes first for which most is waiting, by the time
//! that it will take.
//!
//! Around each call the journal is kept as its module says: *begin* durable before the call, *identified* the moment the
//! provider returns an identifier, *end* after the resource is ready. A call that was certainly refused is closed as
//! failed. One whose fate is open stays pending: the next run looks what became of it.
//!
//! A failure stops what depends on it and nothing else. All operations run as futures of the one that [`apply`] returns:
//! dropping that one stops everything at once, wherever it is, and the journal is still right.

mod calls;
mod cancel;
mod cause;
mod change;
mod reads;
mod step;
mod walk;

use crate::address::{Address, Deployment, OperationId};
use crate::diag::Diagnostic;
use crate::event::{Emitted, Event, Sink, Skip};
use crate::gate::Gate;
use crate::journal::{Journal, JournalError};
use crate::kind::Kinds;
use crate::lock::{Fenced, Guard};
use crate::observe::{ObserveOptions, observe_through};
use crate::pace::{POLLING, Polling, RETRIES, Retries};
use crate::plan::{Action, Counts, Part, Plan, Purpose};
use crate::state::{Entry, State};
use jiff::Timestamp;
use reads::Reader;
use serde::Serialize;
use std::collections::BTreeSet;
use std::error::Error;
use std::time::Duration;
use step::{Done, Executor, StepError, Work};
use tokio::time::Instant;
use walk::Walk;

pub use cancel::Cancel;
pub use cause::Cause;

/// What bounds a run.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// How many calls may be in flight.
    pub calls: usize,
    /// For how long one call may take before it counts as lost.
    pub call_deadline: Duration,
    /// How calls that failed are repeated.
    pub retry: Retries,
    /// How often to look whether a resource is ready.
    pub poll: Polling,
}

impl Default for Limits {
    /// 32 calls: more than any dependency graph of one cluster offers at a time, and fewer than what makes the strictest
    /// services throttle at once. 15 minutes: longer than any call that is not a wait in disguise.
    fn default() -> Self {
        Self { calls: 32, call_deadline: Duration::from_secs(900), retry: RETRIES, poll: POLLING }
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
    /// It is not known what became of operations of an earlier run that the plan would do over.
    #[error("the plan does not know what became of {} of an earlier run", operations(.0))]
    Undecided(Vec<OperationId>),
    /// The journal failed before anything was done.
    #[error("nothing was changed, because the journal cannot be written")]
    Journal(#[source] JournalError),
}

fn operations(undecided: &[OperationId]) -> String {
    if undecided.len() == 1 { "an operation".to_owned() } else { format!("{} operations", undecided.len()) }
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
    /// Of a deletion: what stands on it by the record, nearest first, and is still there.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub blockers: Vec<Address>,
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
    if !plan.undecided.is_empty() {
        return Err(ApplyError::Undecided(plan.undecided.clone()));
    }
    for never in &plan.never_happened {
        let reason = "not found in the world".to_owned();
        let entry = Entry::Failed { operation: never.operation.clone(), reason };
        run.journal.append(entry).await.map_err(ApplyError::Journal)?;
    }
    let (gate, reader) = (Gate::new(run.limits.calls), Reader::default());
    let executor = Executor { run, plan, gate, reader, started: Instant::now() };
    executor.emit(Event::PlanMade { counts: plan.counts() });
    let mut outcome = Walk::new(&executor).run().await;
    if let Err(fenced) = run.guard.may_act() {
        // The journal takes nothing from us any more, and what is left behind is for the new owner to say.
        outcome.fenced = Some(fenced);
        executor.emit(Event::RunFinished { outcome: outcome.clone() });
        return Ok(outcome);
    }
    if plan.purpose == Purpose::Destroy && !outcome.interrupted {
        match left_behind(plan, run, &executor.gate).await {
            Ok(left) => outcome.left_behind = Some(left),
            Err(findings) => outcome.warnings.extend(findings.iter().map(|finding| {
                let why = finding.why.as_deref().unwrap_or("nobody knows why");
                format!("cannot see what is left behind: {}: {why}", finding.summary)
            })),
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
async fn left_behind(plan: &Plan, run: &Run<'_>, gate: &Gate) -> Result<Vec<LeftBehind>, Vec<Diagnostic>> {
    let mut expected: BTreeSet<(String, String)> =
        plan.kept.iter().map(|kept| (kept.kind.clone(), kept.id.clone())).collect();
    let doomed: BTreeSet<(&str, Option<&str>)> =
        plan.steps.iter().map(|step| (step.kind.as_str(), step.id.as_deref())).collect();
    run.journal.with_state(|state| {
        for record in state.records.values().filter(|record| !doomed.contains(&(&record.kind, Some(&record.id)))) {
            expected.insert((record.kind.clone(), record.id.clone()));
        }
    });
    // Without a state there is nothing to be looked for but what carries our tags.
    let (nothing, options) =
        (State::default(), ObserveOptions { retry: run.limits.retry, ..ObserveOptions::default() });
    let seen = observe_through(gate, &plan.deployment, &nothing, run.kinds, Timestamp::UNIX_EPOCH, &options).await?;
    let ours = seen.found.into_iter().filter_map(|found| Some((found.kind, found.observed.id, found.observed.tags?)));
    let left = ours.filter(|(kind, id, tags)| {
        !plan.left_out.contains(&tags.address) && !expected.contains(&(kind.clone(), id.clone()))
    });
    Ok(left.map(|(kind, id, tags)| LeftBehind { address: tags.address, kind, id }).collect())
}

impl Executor<'_> {
    fn emit(&self, event: Event) {
        self.run.sink.emit(&Emitted::new(self.started.elapsed(), event));
    }

    fn emit_failure(&self, failure: &Failure) {
        let Failure { address, kind, action, chain, help, .. } = failure.clone();
        self.emit(Event::StepFailed { address, kind, action, chain, help });
    }

    async fn operate(&self, work: &Work<'_>) -> Result<Done, StepError> {
        if work.part == Part::Keep {
            return self.keep(work.step).await;
        }
        let done = self.part(work).await?;
        let (address, kind, action) = (work.step.address.clone(), work.step.kind.clone(), work.step.action);
        let took_ms = u64::try_from(work.took().as_millis()).unwrap_or(u64::MAX);
        let (call, id) = (done.call, done.id.clone());
        self.emit(Event::StepFinished { address, kind, action, call, id, took_ms });
        Ok(done)
    }
}

#[cfg(test)]
mod change_tests;
#[cfg(test)]
mod recovery_tests;
#[cfg(test)]
mod tests;
