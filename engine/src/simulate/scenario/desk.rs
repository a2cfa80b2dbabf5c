//! Somebody with a deployment: looks, plans, applies, and is killed.

use super::Violation;
use crate::address::{Deployment, OperationId};
use crate::apply::{ApplyError, Cancel, Limits, Outcome, Run, apply};
use crate::bucket::Bucket;
use crate::bucket::memory::MemoryBucket;
use crate::diag::Diagnostic;
use crate::event::Emitted;
use crate::journal::{BucketStore, Journal, JournalError, MemoryStore, Store};
use crate::kind::Kinds;
use crate::lock::lease::{Attempt, Contender, Lease, Place, Ticks};
use crate::lock::{Guard, Holder, Unguarded};
use crate::observe::{Observations, ObserveOptions, look_and_plan};
use crate::plan::{DestroyOptions, Plan, PlanOptions, plan, plan_destroy};
use crate::resource::{Desired, Moved, Resource};
use crate::simulate::{Client, Cloud, flavors};
use crate::state::State;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::sleep;

/// How long a lease lasts without a beat.
pub(super) const TTL: Duration = Duration::from_secs(30);
const PREFIX: &str = "state/";

/// Where the state is kept.
#[derive(Debug, Clone)]
pub(super) enum Storage {
    /// On a machine that can fall; nobody else writes there.
    Disk(MemoryStore),
    /// In a bucket, with a lease.
    Bucket(MemoryBucket),
}

impl Storage {
    /// Loses the journal.
    pub(super) fn lose(&self) {
        match self {
            Self::Disk(store) => store.set(None),
            Self::Bucket(bucket) => {
                for key in bucket.objects().into_keys().filter(|key| key.contains("journal/")) {
                    bucket.set(&key, None);
                }
            }
        }
    }
}

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
    Up {
        resources: Vec<Resource>,
        moved: Vec<Moved>,
        options: PlanOptions,
        delete_data: bool,
    },
    /// Of these modules, where any are named.
    Destroy {
        delete_data: bool,
        modules: Option<BTreeSet<String>>,
    },
}

impl Wish {
    pub(super) fn up(resources: Vec<Resource>, moved: Vec<Moved>, delete_data: bool) -> Self {
        Self::Up { resources, moved, options: PlanOptions::default(), delete_data }
    }

    pub(super) fn destroy(delete_data: bool) -> Self {
        Self::Destroy { delete_data, modules: None }
    }
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
    pub(super) storage: Storage,
    pub(super) deployment: Deployment,
    pub(super) limits: Limits,
    /// Whether to tell what happens.
    pub(super) told: bool,
    /// Who has taken the lease, and when.
    pub(super) owners: Mutex<Vec<(u64, Duration)>>,
    operations: AtomicU64,
}

impl Desk {
    pub(super) fn new(cloud: Cloud, limits: Limits, storage: Storage) -> Self {
        let real = flavors::kinds();
        for kind in real.iter() {
            cloud.conceal(kind.name(), "note");
        }
        Self {
            cloud,
            real,
            storage,
            deployment: Deployment("ours".to_owned()),
            limits,
            told: false,
            owners: Mutex::default(),
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
        let state = match &self.storage {
            Storage::Disk(store) => Journal::look(store.clone(), &self.deployment).await,
            Storage::Bucket(bucket) => {
                let store = BucketStore::new(Arc::new(bucket.clone()), PREFIX);
                Journal::look(store, &self.deployment).await
            }
        };
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
            ran = self.write(&client, wish) => ran,
        }
    }

    /// Does it, as the only one who may.
    pub(super) async fn write(&self, client: &Client, wish: &Wish) -> Result<Ran, Violation> {
        match &self.storage {
            Storage::Disk(store) => self.work(client, wish, client.store(store.clone()), Arc::new(Unguarded)).await,
            Storage::Bucket(bucket) => {
                let bucket = client.bucket(Arc::new(bucket.clone()));
                let lease = self.lease(client, &bucket).await?;
                self.owners.lock().unwrap().push((client.number(), self.cloud.elapsed()));
                let ran = self.work(client, wish, BucketStore::new(bucket, PREFIX), lease.guard()).await;
                let released = lease.release().await;
                released.map_err(|error| Violation::new(format!("the lease cannot be given back: {error}")))?;
                ran
            }
        }
    }

    /// Waits for the lease.
    async fn lease(&self, client: &Client, bucket: &Arc<dyn Bucket>) -> Result<Lease, Violation> {
        let since = self.cloud.now();
        let holder =
            Holder { pid: 1, host: format!("host-{}", client.number()), since, command: "forge up".to_owned() };
        let cloud = self.cloud.clone();
        let ticks: Ticks = Arc::new(move || cloud.elapsed());
        let owner = format!("owner-{}", client.number());
        let mut contender = Contender::new(Place::new(Arc::clone(bucket), PREFIX), holder, owner, TTL, ticks);
        loop {
            match contender.attempt().await {
                Ok(Attempt::Taken(lease)) => return Ok(lease.kept()),
                Ok(Attempt::Held(_, left)) => sleep(left.min(TTL / 10)).await,
                Err(error) => return Err(Violation::new(format!("the lease cannot be taken: {error}"))),
            }
        }
    }

    async fn work(
        &self,
        client: &Client,
        wish: &Wish,
        store: impl Store + 'static,
        guard: Arc<dyn Guard>,
    ) -> Result<Ran, Violation> {
        let kinds = client.kinds(&self.real);
        let clock = self.cloud.clock();
        let journal = match Journal::over(store, &self.deployment, clock, Arc::clone(&guard)).await {
            Ok(journal) => journal,
            Err(JournalError::Fenced(why)) => return Ok(Ran::Fenced(why.to_string())),
            // One that has slept for longer than it is patient does not try again.
            Err(error @ JournalError::Bucket { .. }) => return Ok(Ran::Fenced(error.to_string())),
            Err(error) => return Err(Violation::new(format!("the journal cannot be opened: {error}"))),
        };
        let state = journal.state();
        let options = ObserveOptions { retry: self.limits.retry, ..ObserveOptions::default() };
        let planned = |seen: &Observations| match wish {
            Wish::Up { resources, moved, options, .. } => {
                let (deployment, resources, moved) = (self.deployment.clone(), resources.clone(), moved.clone());
                plan(&Desired { deployment, resources, moved }, &state, seen, &kinds, options)
            }
            Wish::Destroy { delete_data, modules } => {
                let options = DestroyOptions { delete_data: *delete_data, modules: modules.clone() };
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
        self.apply(&journal, &kinds, &*guard, plan).await
    }

    async fn apply(&self, journal: &Journal, kinds: &Kinds, guard: &dyn Guard, plan: Plan) -> Result<Ran, Violation> {
        let run = Run {
            journal,
            kinds,
            sink: &|emitted: &Emitted| self.tell(|| format!("    {:?}", emitted.event)),
            cancel: &Cancel::new(),
            guard,
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
