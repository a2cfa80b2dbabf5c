//! Looks at the world, for the plan.
//!
//! Each kind is listed once, by the deployment's tags: that answers for nearly everything that is recorded, and shows what
//! is not. What is recorded and was not listed is read by its identifier, as many at a time as the kind takes. So a look
//! costs as many calls as there are kinds, give or take a few.
//!
//! Operations that were cut off may need patience. A provider may hide what it has just made, so that "not there" is no
//! answer yet while the kind's visibility window is open: it is asked again until the thing shows or the window has
//! passed. The same goes for what was recorded only just now, and for deletions that were cut off, the other way round.
//! Where a creation can be repeated without making a second thing ([`Recovery::Token`], [`Recovery::Identity`]), the first
//! look does not wait: such operations are [`Observations::open`]. A plan that would repeat them as they were needs no
//! more; a plan that would not says which it must know ([`Plan::undecided`]). [`look_and_plan`] then looks once more, with
//! patience for those.

mod ask;

use crate::address::{Deployment, OperationId};
use crate::diag::Diagnostic;
use crate::gate::Gate;
use crate::kind::{AnyKind, Kinds, Observed, Recovery};
use crate::pace::{RETRIES, Retries, STALE};
use crate::plan::Plan;
use crate::sabotage::{Sabotage, broken};
use crate::state::{Begin, Call, Pending, Record, State};
use ask::Asker;
use futures::future::{BoxFuture, FutureExt};
use futures::stream::{FuturesUnordered, StreamExt};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// What was looked for by its identifier.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Look {
    /// Its kind.
    pub kind: String,
    /// Its identifier.
    pub id: String,
    /// What is there; none when it is gone.
    pub observed: Option<Observed>,
}

/// What was found by its tags.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Found {
    /// Its kind.
    pub kind: String,
    /// What is there.
    pub observed: Observed,
}

impl Found {
    /// True when it is what that operation has made.
    #[must_use]
    pub fn made_by(&self, begin: &Begin) -> bool {
        self.kind == begin.kind && made_by(&self.observed, &begin.operation)
    }
}

fn made_by(observed: &Observed, operation: &OperationId) -> bool {
    observed.tags.as_ref().is_some_and(|tags| tags.operation == *operation)
}

/// The world as far as a plan needs it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Observations {
    /// By tags.
    pub found: Vec<Found>,
    /// By identifier: what was not found by its tags, and what has none. What is recorded and neither here nor found
    /// counts as unchanged.
    pub looks: Vec<Look>,
    /// The identifiers of what creations that were cut off have made, where a kind derives them from the specification. What
    /// has tags carries those of the operation.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub identities: BTreeMap<OperationId, String>,
    /// Creations that were cut off, whose result has not shown, and may yet: nobody has waited for it.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub open: BTreeSet<OperationId>,
}

/// How to look.
#[derive(Debug, Clone)]
pub struct ObserveOptions {
    /// False looks only for what became of operations that were cut off, and trusts the record otherwise.
    pub refresh: bool,
    /// For how long to wait for one answer, repetitions included.
    pub deadline: Duration,
    /// How many calls may be in flight.
    pub calls: usize,
    /// How to repeat calls that failed.
    pub retry: Retries,
    /// The operations that are waited for although they could be repeated.
    pub decide: BTreeSet<OperationId>,
}

impl Default for ObserveOptions {
    /// Everything, with 64 calls in flight: reads are cheap for both sides, and a service that thinks otherwise says
    /// so by throttling.
    fn default() -> Self {
        let (deadline, decide) = (Duration::from_secs(600), BTreeSet::new());
        Self { refresh: true, deadline, calls: 64, retry: RETRIES, decide }
    }
}

/// Looks at the world and plans; looks again, with patience, for what the plan must know and nobody has waited for. `plan`
/// is given what is seen, and decides.
///
/// # Errors
/// Every question that got no answer, or what `plan` has found.
pub async fn look_and_plan(
    deployment: &Deployment,
    state: &State,
    kinds: &Kinds,
    now: Timestamp,
    options: &ObserveOptions,
    plan: impl Fn(&Observations) -> Result<Plan, Vec<Diagnostic>>,
) -> Result<Plan, Vec<Diagnostic>> {
    let mut options = options.clone();
    loop {
        let seen = observe(deployment, state, kinds, now, &options).await?;
        let plan = plan(&seen)?;
        if plan.undecided.is_empty() {
            return Ok(plan);
        }
        // What is waited for is not open any more: this ends after as many rounds as there are such operations.
        options.decide.extend(plan.undecided);
    }
}

/// Looks at everything that a plan for `deployment` must know. `now` is the time by the clock that the journal uses.
///
/// # Errors
/// Every question that got no answer.
pub async fn observe(
    deployment: &Deployment,
    state: &State,
    kinds: &Kinds,
    now: Timestamp,
    options: &ObserveOptions,
) -> Result<Observations, Vec<Diagnostic>> {
    observe_through(&Gate::new(options.calls), deployment, state, kinds, now, options).await
}

/// The same in the course of a run, with the slots and rate limits that it has.
pub(crate) async fn observe_through(
    gate: &Gate,
    deployment: &Deployment,
    state: &State,
    kinds: &Kinds,
    now: Timestamp,
    options: &ObserveOptions,
) -> Result<Observations, Vec<Diagnostic>> {
    // Boxed, and made before anything is awaited: a closure within the stream would keep this future from being sent.
    let mut asked: FuturesUnordered<BoxFuture<'_, _>> = tasks(state, kinds, now, options)
        .into_iter()
        .map(|task| task.look(Asker { gate, deployment, options }).boxed())
        .collect();
    let (mut seen, mut findings) = (Observations::default(), Vec::new());
    while let Some(answer) = asked.next().await {
        match answer {
            Ok(of_kind) => {
                seen.found.extend(of_kind.found);
                seen.looks.extend(of_kind.looks);
                seen.identities.extend(of_kind.identities);
                seen.open.extend(of_kind.open);
            }
            Err(wrong) => findings.extend(wrong),
        }
    }
    // Answers come in any order; what is made of them must not depend on it.
    seen.looks.sort_by(|a, b| (&a.kind, &a.id).cmp(&(&b.kind, &b.id)));
    seen.found.sort_by(|a, b| (&a.kind, &a.observed.id).cmp(&(&b.kind, &b.observed.id)));
    findings.sort_by(|a: &Diagnostic, b| a.summary.cmp(&b.summary));
    if findings.is_empty() { Ok(seen) } else { Err(findings) }
}

/// Everything that is to be known of one kind.
struct Task<'a> {
    kind: &'a Arc<dyn AnyKind>,
    now: Timestamp,
    refresh: bool,
    /// Records, with their deletion where one was cut off.
    records: Vec<(&'a Record, Option<&'a Pending>)>,
    /// Deletions that were cut off, of what is not recorded.
    deleted: Vec<&'a Pending>,
    /// Creations that were cut off, and whether their window is waited out.
    created: Vec<(&'a Pending, bool)>,
}

fn tasks<'a>(state: &'a State, kinds: &'a Kinds, now: Timestamp, options: &ObserveOptions) -> Vec<Task<'a>> {
    let mut tasks: BTreeMap<&str, Task<'a>> = BTreeMap::new();
    for kind in kinds.iter() {
        let (records, deleted, created) = Default::default();
        tasks.insert(kind.name(), Task { kind, now, refresh: options.refresh, records, deleted, created });
    }
    let mut deletions: BTreeMap<(&str, Option<&str>), &Pending> = state
        .pending
        .values()
        .filter(|pending| pending.begin.call == Call::Delete)
        .map(|pending| ((pending.begin.kind.as_str(), pending.begin.id.as_deref()), pending))
        .collect();
    for record in state.records.values().chain(state.superseded.iter().map(|old| &old.record)) {
        let deletion = deletions.remove(&(record.kind.as_str(), Some(record.id.as_str())));
        if let Some(task) = tasks.get_mut(record.kind.as_str())
            && (options.refresh || deletion.is_some())
        {
            task.records.push((record, deletion));
        }
    }
    for ((kind, _), pending) in deletions {
        if let Some(task) = tasks.get_mut(kind) {
            task.deleted.push(pending);
        }
    }
    for pending in state.pending.values().filter(|pending| pending.begin.call == Call::Create) {
        if let Some(task) = tasks.get_mut(pending.begin.kind.as_str()) {
            let waits = task.kind.recovery() == Recovery::Tags || options.decide.contains(&pending.begin.operation);
            task.created.push((pending, waits));
        }
    }
    tasks.into_values().collect()
}

/// What there is of one kind.
#[derive(Default)]
struct OfKind {
    found: Vec<Found>,
    looks: Vec<Look>,
    identities: BTreeMap<OperationId, String>,
    open: BTreeSet<OperationId>,
}

/// One identifier to look for.
struct Wanted {
    id: String,
    /// For how long the answer may be another one than awaited.
    patience: Duration,
    until_gone: bool,
}

impl Task<'_> {
    /// For how long the provider may still hide what was done at `since`.
    fn left(&self, since: Timestamp) -> Duration {
        if broken(Sabotage::NoVisibilityWindow) {
            return Duration::ZERO;
        }
        let window = self.kind.visibility();
        if window.is_zero() {
            return window;
        }
        // A clock that was set back makes the wait longer, never shorter.
        let passed = Duration::try_from(self.now.duration_since(since)).unwrap_or_default();
        (window + STALE).saturating_sub(passed)
    }

    fn patience(&self, pending: &Pending, waits: bool) -> Duration {
        if waits { self.left(pending.attempted) } else { Duration::ZERO }
    }

    async fn look(self, asker: Asker<'_>) -> Result<OfKind, Vec<Diagnostic>> {
        let found = self.list(&asker).await.map_err(|finding| vec![finding])?;
        let listed: BTreeSet<&str> = found.iter().map(|found| found.observed.id.as_str()).collect();
        let mut identities = BTreeMap::new();
        for (pending, _) in &self.created {
            let spec = pending.begin.spec.as_ref().filter(|_| self.kind.recovery() != Recovery::Tags);
            if let Some(id) = spec.and_then(|spec| self.kind.identity(spec)) {
                identities.insert(pending.begin.operation.clone(), id);
            }
        }
        let looks = asker.read_all(self.kind.as_ref(), self.wanted(&listed, &identities)).await?;
        let mut open = BTreeSet::new();
        if !self.created.is_empty() {
            let seen: BTreeMap<&str, &Observed> =
                looks.iter().filter_map(|look| Some((look.id.as_str(), look.observed.as_ref()?))).collect();
            let shown: BTreeSet<&str> = seen.keys().copied().chain(listed.iter().copied()).collect();
            // What has tags says itself who has made it. Somebody else's may well have the name that was meant for ours.
            let has_tags = self.kind.recovery() != Recovery::Identity;
            identities.retain(|operation, id| match has_tags {
                true => seen.get(id.as_str()).is_some_and(|observed| made_by(observed, operation)),
                false => shown.contains(id.as_str()),
            });
            let by_tags: BTreeSet<&OperationId> =
                found.iter().filter_map(|found| Some(&found.observed.tags.as_ref()?.operation)).collect();
            for (pending, waits) in &self.created {
                let operation = &pending.begin.operation;
                let has_shown = by_tags.contains(operation)
                    || identities.contains_key(operation)
                    || pending.identified.as_ref().is_some_and(|id| shown.contains(id.as_str()));
                if !has_shown && !waits && !self.left(pending.attempted).is_zero() {
                    open.insert(operation.clone());
                }
            }
        }
        Ok(OfKind { found, looks, identities, open })
    }

    async fn list(&self, asker: &Asker<'_>) -> Result<Vec<Found>, Diagnostic> {
        let hidden = || self.created.iter().filter(|(pending, _)| pending.identified.is_none());
        if self.kind.recovery() == Recovery::Identity || (!self.refresh && self.created.is_empty()) {
            return Ok(Vec::new());
        }
        let awaited: Vec<&OperationId> =
            hidden().filter(|(_, waits)| *waits).map(|(pending, _)| &pending.begin.operation).collect();
        let patience = hidden().map(|(pending, waits)| self.patience(pending, *waits)).max().unwrap_or_default();
        let listed = asker.list(self.kind.as_ref(), &awaited, patience).await?;
        let name = self.kind.name();
        Ok(listed.into_iter().map(|observed| Found { kind: name.to_owned(), observed }).collect())
    }

    /// What the list did not answer.
    fn wanted(&self, listed: &BTreeSet<&str>, identities: &BTreeMap<OperationId, String>) -> Vec<Wanted> {
        let mut wanted = Vec::new();
        for (record, deletion) in &self.records {
            let patience = self.left(deletion.map_or(record.since, |pending| pending.attempted));
            let answered = listed.contains(record.id.as_str()) && (deletion.is_none() || patience.is_zero());
            if !answered {
                wanted.push(Wanted { id: record.id.clone(), patience, until_gone: deletion.is_some() });
            }
        }
        for pending in &self.deleted {
            let patience = self.left(pending.attempted);
            wanted.extend(pending.begin.id.clone().map(|id| Wanted { id, patience, until_gone: true }));
        }
        for (pending, waits) in &self.created {
            let derived = identities.get(&pending.begin.operation);
            let id = pending.identified.as_ref().or(derived);
            if let Some(id) = id.filter(|id| !listed.contains(id.as_str())) {
                // For what has tags the list has waited already.
                let waited = pending.identified.is_none() && self.kind.recovery() != Recovery::Identity;
                let patience = if waited { Duration::ZERO } else { self.patience(pending, *waits) };
                wanted.push(Wanted { id: id.clone(), patience, until_gone: false });
            }
        }
        wanted
    }
}
