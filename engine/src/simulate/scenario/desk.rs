//! Somebody with a deployment: looks, plans, applies, and is killed.

use super::Violation;
use crate::address::{Deployment, OperationId};
use crate::apply::{ApplyError, Cancel, Limits, Outcome, Run, apply};
use crate::diag::Diagnostic;
use crate::event::Emitted;
use crate::journal::{Journal, JournalError, MemoryStore};
use crate::kind::Kinds;
use crate::lock::Unguarded;
use crate::observe::{Observations, ObserveOptions, look_and_plan};
use crate::plan::{DestroyOptions, Plan, PlanOptions, plan, plan_destroy};
use crate::resource::{Desired, Resource};
use crate::simulate::{Client, Cloud, flavors};
use crate::state::State;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::sleep;

/// When a run dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kill {
    Never,
    /// At one of the points of [`Client`].
    AtPoint(u64),
    /// Wherever it is by then.
    After(Duration),
}

/// What somebody wants done.
#[derive(Debug, Clone)]
pub(super) enum Wish {
    Up { resources: Vec<Resource>, delete_data: bool },
    Destroy { delete_data: bool },
}

/// How it went.
#[derive(Debug)]
pub(super) enum Ran {
    Killed,
    /// The plan was refused, for these reasons.
    Refused(Vec<Diagnostic>),
    /// The plan destroys data, and nobody agreed.
    NoConsent,
    /// The world could not be looked at.
    Blind(#[allow(dead_code, reason = "shown")] Vec<Diagnostic>),
    /// Another writer was in the way.
    Fenced(#[allow(dead_code, reason = "shown")] String),
    Applied(Box<Plan>, Box<Outcome>),
}

pub(super) struct Desk {
    pub(super) cloud: Cloud,
    pub(super) real: Kinds,
    pub(super) store: MemoryStore,
    pub(super) deployment: Deployment,
    pub(super) limits: Limits,
    /// Whether to tell what happens.
    pub(super) told: bool,
    operations: AtomicU64,
}

impl Desk {
    pub(super) fn new(cloud: Cloud, limits: Limits) -> Self {
        let real = flavors::kinds();
        for kind in real.iter() {
            cloud.conceal(kind.name(), "note");
        }
        Self {
            cloud,
            real,
            store: MemoryStore::new(),
            deployment: Deployment("ours".to_owned()),
            limits,
            told: false,
            operations: AtomicU64::new(0),
        }
    }

    /// Tells what happens, where somebody reads along.
    pub(super) fn tell(&self, line: impl FnOnce() -> String) {
        if self.told {
            super::print(&format!("{:>9.3} {}", self.cloud.elapsed().as_secs_f64(), line()));
        }
    }

    fn next_operation(&self) -> OperationId {
        OperationId(format!("op-{}", self.operations.fetch_add(1, Ordering::Relaxed)))
    }

    /// What the journal says; a journal that cannot be read is a violation.
    pub(super) async fn state(&self) -> Result<State, Violation> {
        let state = Journal::look(self.store.clone(), &self.deployment).await;
        state.map_err(|error| Violation::new(format!("the journal cannot be read: {error}")))
    }

    pub(super) async fn run(&self, wish: &Wish, kill: Kill) -> Result<Ran, Violation> {
        let client = self.cloud.client();
        if let Kill::AtPoint(points) = kill {
            client.dies_after(points);
        }
        let clock = async {
            match kill {
                Kill::After(duration) => sleep(duration).await,
                Kill::Never | Kill::AtPoint(_) => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = client.died() => Ok(Ran::Killed),
            () = clock => {
                client.die();
                Ok(Ran::Killed)
            }
            ran = self.work(&client, wish) => ran,
        }
    }

    async fn work(&self, client: &Client, wish: &Wish) -> Result<Ran, Violation> {
        let kinds = client.kinds(&self.real);
        let store = client.store(self.store.clone());
        let journal = match Journal::over(store, &self.deployment, self.cloud.clock(), Arc::new(Unguarded)).await {
            Ok(journal) => journal,
            Err(JournalError::Fenced(why)) => return Ok(Ran::Fenced(why.to_string())),
            Err(error) => return Err(Violation::new(format!("the journal cannot be opened: {error}"))),
        };
        let state = journal.state();
        let options = ObserveOptions { retry: self.limits.retry, ..ObserveOptions::default() };
        let planned = |seen: &Observations| match wish {
            Wish::Up { resources, .. } => {
                let (deployment, resources) = (self.deployment.clone(), resources.clone());
                let desired = Desired { deployment, resources, moved: Vec::new() };
                plan(&desired, &state, seen, &kinds, &PlanOptions::default())
            }
            Wish::Destroy { delete_data } => {
                let options = DestroyOptions { delete_data: *delete_data, modules: None };
                plan_destroy(&self.deployment, &state, seen, &kinds, &options)
            }
        };
        let now = self.cloud.now();
        let plan = match look_and_plan(&self.deployment, &state, &kinds, now, &options, planned).await {
            Ok(plan) => plan,
            Err(findings) if findings.iter().any(|finding| finding.id == "cannot-observe") => {
                return Ok(Ran::Blind(findings));
            }
            Err(findings) => return Ok(Ran::Refused(findings)),
        };
        let delete_data = match wish {
            Wish::Up { delete_data, .. } => *delete_data,
            Wish::Destroy { .. } => true,
        };
        if plan.destroying_data().next().is_some() && !delete_data {
            return Ok(Ran::NoConsent);
        }
        self.apply(&journal, &kinds, plan).await
    }

    async fn apply(&self, journal: &Journal, kinds: &Kinds, plan: Plan) -> Result<Ran, Violation> {
        let run = Run {
            journal,
            kinds,
            sink: &|emitted: &Emitted| self.tell(|| format!("    {:?}", emitted.event)),
            cancel: &Cancel::new(),
            guard: &Unguarded,
            limits: self.limits,
            new_operation: &|| self.next_operation(),
        };
        match apply(&plan, &run).await {
            Ok(outcome) => Ok(Ran::Applied(Box::new(plan), Box::new(outcome))),
            Err(ApplyError::Journal(error)) => Ok(Ran::Fenced(error.to_string())),
            Err(error) => Err(Violation::new(format!("the plan was not applied: {error}"))),
        }
    }
}
