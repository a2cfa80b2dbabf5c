//! The command line's side of the bucket: runs, requests, and what the leader has written for people.

use crate::exit::Exit;
use crate::failure::Failure;
use crate::project::Current;
use forge_agent::bucket::{self, Bucket, Condition, Documents};
use forge_agent::clock::wall;
use forge_agent::wire::{Cluster, Progress, Request, RunId, RunSpec, RunState, key};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A leader takes requests four times a second; a new one is there within ten seconds.
const TAKEN_WITHIN: Duration = Duration::from_secs(15);
/// How often the bucket is looked at while waiting.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// The leader writes its view every two seconds at least.
const STALE_AFTER_MS: u64 = 10_000;

/// The deployment's bucket.
pub(crate) struct Bus {
    pub(crate) bucket: Arc<dyn Bucket>,
}

/// A run with all that is written of it.
#[derive(Debug, Clone, serde::Serialize)]
pub(crate) struct RunView {
    pub(crate) spec: RunSpec,
    pub(crate) state: RunState,
    pub(crate) progress: Option<Progress>,
}

impl Bus {
    /// The bucket of what is up in a directory.
    pub(crate) fn of(directory: &Path) -> Result<Self, Failure> {
        let current = Current::require(directory)?;
        let url = current.bucket.ok_or_else(|| {
            Failure::new(format!("{} has no bucket yet", current.deployment))
                .help("`forge up` did not come to its end: run it again.")
        })?;
        Ok(Self { bucket: bucket::open(&url)? })
    }

    /// Every run, oldest first.
    pub(crate) async fn runs(&self) -> Result<Vec<RunView>, Failure> {
        let mut runs = Vec::new();
        for key in self.bucket.list(key::RUNS).await? {
            let name = key.strip_prefix(key::RUNS).and_then(|rest| rest.strip_suffix("/spec.json"));
            if let Some(name) = name.filter(|name| !name.contains('/')) {
                runs.extend(self.run(&name.into()).await?);
            }
        }
        runs.sort_by(|a, b| (a.spec.submitted_at, &a.spec.run).cmp(&(b.spec.submitted_at, &b.spec.run)));
        Ok(runs)
    }

    /// One run; none when there is no such run.
    pub(crate) async fn run(&self, run: &RunId) -> Result<Option<RunView>, Failure> {
        let Some((spec, _)) = self.bucket.read::<RunSpec>(&key::spec(run)).await? else { return Ok(None) };
        let state = self.state(run).await?;
        let progress = self.bucket.read::<Progress>(&key::progress(run)).await?.map(|(progress, _)| progress);
        Ok(Some(RunView { spec, state, progress }))
    }

    /// Where a run stands.
    pub(crate) async fn state(&self, run: &RunId) -> Result<RunState, Failure> {
        let state = self.bucket.read::<RunState>(&key::state(run)).await?;
        Ok(state.map_or_else(|| RunState::queued(run.clone()), |(state, _)| state))
    }

    /// The run that is meant: the named one, else the newest.
    pub(crate) async fn pick(&self, named: Option<&str>) -> Result<RunView, Failure> {
        let mut runs = self.runs().await?;
        let Some(named) = named else {
            return runs.pop().ok_or_else(|| Failure::new("there is no run yet").help("`forge train` starts one."));
        };
        let names: Vec<_> = runs.iter().map(|run| run.spec.run.0.clone()).collect();
        let help = match names.as_slice() {
            [] => "There is none yet; `forge train` starts one.".to_owned(),
            names => format!("There are: {}.", names.join(", ")),
        };
        let found = runs.into_iter().find(|run| run.spec.run.0 == named);
        found.ok_or_else(|| Failure::new(format!("there is no run {named}")).help(help))
    }

    /// What the leader sees of its nodes; none when no leader has written for a while.
    pub(crate) async fn cluster(&self) -> Result<Option<Cluster>, Failure> {
        let cluster = self.bucket.read::<Cluster>(key::CLUSTER).await?.map(|(cluster, _)| cluster);
        Ok(cluster.filter(|cluster| wall().saturating_sub(cluster.at) < STALE_AFTER_MS))
    }

    /// Hands a wish to the leader and waits until it has taken it.
    pub(crate) async fn request(&self, request: &Request) -> Result<(), Failure> {
        let mut random = [0; 8];
        getrandom::fill(&mut random).map_err(|error| Failure::new("no randomness").because(&error))?;
        let key = key::request(&format!("{:015}-{:016x}", wall(), u64::from_le_bytes(random)));
        self.bucket.write(&key, request, Condition::Absent).await?;
        let start = Instant::now();
        while self.bucket.get(&key).await?.is_some() {
            if start.elapsed() > TAKEN_WITHIN {
                // Nobody may act on it after this command has said that nobody did.
                self.bucket.delete(&key).await?;
                return Err(Failure::new(format!("no leader took the request within {} s", TAKEN_WITHIN.as_secs()))
                    .exit(Exit::Unhealthy)
                    .help("`forge nodes` shows who is there; `forge up` brings back what is gone."));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(())
    }
}
