//! A dress rehearsal: a whole life of a blueprint in an empty simulated cloud.
//!
//! Plan, apply, plan again, destroy: the very code that does it for real, with the real kinds' usual times, in virtual
//! time and with a journal in memory. Nothing outside this process is touched.

use super::{Calls, Cloud, Weather};
use crate::address::OperationId;
use crate::apply::{Cancel, Limits, Outcome, Run, apply};
use crate::diag::Diagnostic;
use crate::event::Emitted;
use crate::forecast;
use crate::journal::{Journal, MemoryStore};
use crate::kind::Kinds;
use crate::lock::Unguarded;
use crate::observe::{Observations, ObserveOptions, look_and_plan};
use crate::plan::{DestroyOptions, Plan, PlanOptions, plan, plan_destroy};
use crate::resource::Desired;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// One run of a rehearsal.
#[derive(Debug, Clone, Serialize)]
pub struct Act {
    /// How long it took, in milliseconds, of which none has really passed.
    pub took_ms: u64,
    /// What happened when.
    pub timeline: Vec<Emitted>,
    /// What it came to.
    pub outcome: Outcome,
}

/// What a rehearsal came to.
#[derive(Debug, Clone)]
pub struct Rehearsal {
    /// What was done first.
    pub plan: Plan,
    /// Doing it.
    pub up: Act,
    /// How long the longest chain of steps takes that wait for each other, by their kinds' usual times: no run of this
    /// plan can be faster.
    pub critical_path: Duration,
    /// The calls that each service got for it, looking before included.
    pub calls: BTreeMap<&'static str, Calls>,
    /// How many resources a second `up` would still change.
    pub left_to_do: usize,
    /// Taking everything down again, data included.
    pub destroy: Act,
    /// The identifiers of what exists after that.
    pub left_behind: Vec<String>,
}

impl Rehearsal {
    /// True when everything was done, a second run has nothing to do, and nothing is left in the end.
    #[must_use]
    pub fn goes_well(&self) -> bool {
        self.up.outcome.is_complete()
            && self.left_to_do == 0
            && self.destroy.outcome.is_complete()
            && self.left_behind.is_empty()
    }
}

/// Rehearses a blueprint in an empty cloud of `real` kinds, in this weather.
///
/// Blocks for as long as it takes to compute, and must not be called from within a runtime.
///
/// # Errors
/// Why there is no plan, or what was wrong with looking at the cloud: it throttles, or calls fail.
///
/// # Panics
/// When the operating system gives no runtime to run in.
pub fn rehearse(
    desired: &Desired,
    real: &Kinds,
    options: &PlanOptions,
    weather: Weather,
) -> Result<Rehearsal, Vec<Diagnostic>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime without input or output needs nothing that could be missing").block_on(async {
        let stage = Stage::new(desired, real, weather).await?;
        stage.rehearse(desired, options).await
    })
}

struct Stage {
    cloud: Cloud,
    kinds: Kinds,
    journal: Journal,
    operations: AtomicU64,
}

impl Stage {
    async fn new(desired: &Desired, real: &Kinds, weather: Weather) -> Result<Self, Vec<Diagnostic>> {
        let cloud = Cloud::new(weather);
        let kinds = cloud.client().kinds(real);
        let store = MemoryStore::new();
        let journal = Journal::over(store, &desired.deployment, cloud.clock(), Arc::new(Unguarded)).await;
        let journal = journal.map_err(|error| vec![Diagnostic::error("rehearsal", error.to_string())])?;
        Ok(Self { cloud, kinds, journal, operations: AtomicU64::new(1) })
    }

    async fn rehearse(&self, desired: &Desired, options: &PlanOptions) -> Result<Rehearsal, Vec<Diagnostic>> {
        let first = self.up_plan(desired, options).await?;
        let longest = forecast::remaining(&first, &self.kinds).into_iter().max();
        let up = self.act(&first).await?;
        let calls = self.cloud.calls();
        let second = self.up_plan(desired, &PlanOptions { replace: Default::default(), ..options.clone() }).await?;
        // Nobody would be asked for a second time, so what is protected is let go of first.
        let mut lifted = desired.clone();
        lifted.resources.iter_mut().for_each(|resource| resource.protect = false);
        if lifted.resources.iter().zip(&desired.resources).any(|(now, before)| now.protect != before.protect) {
            let plan = self.up_plan(&lifted, &PlanOptions::default()).await?;
            self.act(&plan).await?;
        }
        let everything = DestroyOptions { delete_data: true, ..DestroyOptions::default() };
        let destroy = |seen: &Observations| {
            plan_destroy(&desired.deployment, &self.journal.state(), seen, &self.kinds, &everything)
        };
        let last = self.planned(destroy).await?;
        let destroy = self.act(&last).await?;
        let left_behind = self.cloud.objects().into_iter().map(|object| object.id).collect();
        Ok(Rehearsal {
            plan: first,
            up,
            critical_path: longest.unwrap_or_default(),
            calls,
            left_to_do: second.changed().count(),
            destroy,
            left_behind,
        })
    }

    async fn up_plan(&self, desired: &Desired, options: &PlanOptions) -> Result<Plan, Vec<Diagnostic>> {
        self.planned(|seen| plan(desired, &self.journal.state(), seen, &self.kinds, options)).await
    }

    async fn planned(
        &self,
        make: impl Fn(&Observations) -> Result<Plan, Vec<Diagnostic>>,
    ) -> Result<Plan, Vec<Diagnostic>> {
        let (deployment, state) = (self.journal.deployment(), self.journal.state());
        let options = ObserveOptions::default();
        look_and_plan(deployment, &state, &self.kinds, self.cloud.now(), &options, make).await
    }

    async fn act(&self, plan: &Plan) -> Result<Act, Vec<Diagnostic>> {
        let timeline = Mutex::new(Vec::new());
        let sink = |emitted: &Emitted| {
            timeline.lock().unwrap_or_else(PoisonError::into_inner).push(emitted.clone());
        };
        let start = Instant::now();
        let run = Run {
            journal: &self.journal,
            kinds: &self.kinds,
            sink: &sink,
            cancel: &Cancel::new(),
            guard: &Unguarded,
            limits: Limits::default(),
            new_operation: &|| OperationId(format!("{:032x}", self.operations.fetch_add(1, Ordering::Relaxed))),
        };
        let outcome = apply(plan, &run).await;
        let outcome = outcome.map_err(|error| vec![Diagnostic::error("rehearsal", error.to_string())])?;
        let took_ms = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
        Ok(Act { took_ms, timeline: timeline.into_inner().unwrap_or_else(PoisonError::into_inner), outcome })
    }
}
