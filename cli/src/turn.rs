//! Waiting for one's turn: one forge at a time works on a deployment.
//!
//! Whoever comes second is told who is at work, since when and until when, waits, and goes on by itself. A lock of the
//! operating system ends with its process. A lease ends when its owner has not renewed it for as long as it lasts.

use crate::failure::Failure;
use crate::home::Home;
use crate::interrupt;
use crate::site::runtime;
use crate::ui::Ui;
use forge_engine::apply::random_operation;
use forge_engine::bucket::Bucket;
use forge_engine::lock::lease::{Attempt, Contender, Lease, Place, Seen, Ticks};
use forge_engine::lock::{Guard, Holder, Lock, LockError, Unguarded};
use jiff::{SignedDuration, Timestamp};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

/// For how long a lease lasts without being renewed, which is how long the next one waits after an owner has died: long
/// beyond any hiccup of a store, short beside what a person waits for.
const TTL: Duration = Duration::from_secs(20);
/// Overrides [`TTL`], for tests.
const TTL_VARIABLE: &str = "FORGE_LEASE_TTL";
/// For how long to wait where the command line does not say: as --wait does by default.
const PATIENCE: Duration = Duration::from_secs(600);
/// How often to look again. A lock of the operating system costs nothing to try.
const LOOK: Duration = Duration::from_millis(200);
/// A lease is looked at this often while it lasts.
const LOOKS_PER_TTL: u32 = 5;

/// Arguments of commands that change something.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct TurnArgs {
    /// How long to wait for another forge that is at work on the deployment: 90s, 1h, 0
    #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = parse_duration)]
    wait: Duration,
}

/// Who wants to work, and for how long it waits.
pub(crate) struct Turn {
    command: &'static str,
    patience: Duration,
    ui: Ui,
}

impl TurnArgs {
    /// `command` is what others are told.
    pub(crate) fn asking(&self, command: &'static str, ui: Ui) -> Turn {
        Turn { command, patience: self.wait, ui }
    }
}

fn parse_duration(text: &str) -> Result<Duration, String> {
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let parsed: Option<SignedDuration> = text.parse().ok();
    parsed
        .and_then(|duration| duration.try_into().ok())
        .ok_or_else(|| "a duration is written as 90s or 1h30m".to_owned())
}

/// What makes this forge the only one at work, for as long as it lives.
pub(crate) enum Owned {
    /// The state lies on this machine.
    Lock(Lock),
    /// The state lies in a bucket.
    Lease(Leased),
}

/// A lease, and the threads that keep it, also while forge waits for an answer on the terminal.
pub(crate) struct Leased {
    // Dropped before the runtime that renews it.
    lease: Option<Lease>,
    bucket: Arc<dyn Bucket>,
    background: Runtime,
}

impl Owned {
    /// The guard to ask before everything.
    pub(crate) fn guard(&self) -> Arc<dyn Guard> {
        match self {
            Self::Lock(_) => Arc::new(Unguarded),
            Self::Lease(leased) => leased.lease.as_ref().map_or_else(|| Arc::new(Unguarded) as _, Lease::guard),
        }
    }

    /// Gives it back without leaving anything behind.
    pub(crate) fn remove(self) -> Result<(), Failure> {
        match self {
            Self::Lock(lock) => lock.remove()?,
            Self::Lease(mut leased) => {
                if let Some(lease) = leased.lease.take() {
                    leased.background.block_on(lease.remove())?;
                }
            }
        }
        Ok(())
    }
}

impl Leased {
    /// The bucket with the lease and the journal.
    pub(crate) fn bucket(&self) -> Arc<dyn Bucket> {
        Arc::clone(&self.bucket)
    }

    /// Where work on the bucket goes on whatever this thread does.
    pub(crate) fn background(&self) -> &Runtime {
        &self.background
    }
}

impl Drop for Leased {
    fn drop(&mut self) {
        if let Some(lease) = self.lease.take() {
            // Without this the next one would wait for it to run out; that is all that a failure does.
            let _ = self.background.block_on(lease.release());
        }
    }
}

impl Turn {
    /// Somebody with the usual patience.
    pub(crate) fn of(command: &'static str, ui: Ui) -> Self {
        Self { command, patience: PATIENCE, ui }
    }

    /// Waits until this forge is the only one at work.
    pub(crate) fn take(&self, home: &Home) -> Result<Owned, Failure> {
        std::fs::create_dir_all(&**home)
            .map_err(|error| Failure::new(format!("{} cannot be made", home.display())).because(&error))?;
        match home.bucket()? {
            None => self.lock(home).map(Owned::Lock),
            Some(bucket) => self.lease(bucket).map(Owned::Lease),
        }
    }

    fn holder(&self) -> Holder {
        Holder { pid: std::process::id(), host: host(), since: Timestamp::now(), command: self.command.to_owned() }
    }

    fn lock(&self, home: &Home) -> Result<Lock, Failure> {
        let runtime = runtime()?;
        let mut wait = Wait::new(self);
        loop {
            match Lock::acquire(home, &self.holder()) {
                Ok(lock) => return Ok(lock),
                Err(error @ LockError::Held(_)) => {
                    let until = "until that process ends: its lock goes with it, and nothing is lost";
                    runtime.block_on(wait.once(&error.to_string(), until, LOOK))?;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn lease(&self, bucket: Arc<dyn Bucket>) -> Result<Leased, Failure> {
        let background = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let place = Place::new(Arc::clone(&bucket), "");
        let mut contender = Contender::new(place, self.holder(), random_operation().0, ttl()?, boot_time());
        let lease = background.block_on(async {
            let mut wait = Wait::new(self);
            loop {
                match contender.attempt().await? {
                    Attempt::Taken(lease) => return Ok::<_, Failure>(lease.kept()),
                    Attempt::Held(seen, left) => {
                        let pause = left.min(seen.ttl / LOOKS_PER_TTL);
                        wait.once(&at_work(&seen), &until(left), pause).await?;
                    }
                }
            }
        })?;
        Ok(Leased { lease: Some(lease), bucket, background })
    }
}

/// Who is at work on a deployment; of a lease's owner it may be that it has died and the lease has not run out.
pub(crate) fn holder(home: &Home) -> Result<Option<Holder>, Failure> {
    Ok(match home.bucket()? {
        None => Lock::holder(home),
        Some(bucket) => runtime()?.block_on(Place::new(bucket, "").look())?.map(|seen| seen.holder),
    })
}

/// Who holds a lease.
pub(crate) fn at_work(seen: &Seen) -> String {
    LockError::Held(Some(seen.holder.clone())).to_string()
}

/// Until when it lasts.
pub(crate) fn until(left: Duration) -> String {
    let end = SignedDuration::try_from(left).ok().and_then(|left| Timestamp::now().checked_add(left).ok());
    let end = end.map_or_else(String::new, |end| format!(" at {end:.0}"));
    format!("until it is done, or if it has died, until its lease runs out{end}")
}

/// A wait that says once what it is for.
struct Wait<'a> {
    turn: &'a Turn,
    start: Instant,
    said: bool,
}

impl<'a> Wait<'a> {
    fn new(turn: &'a Turn) -> Self {
        Self { turn, start: Instant::now(), said: false }
    }

    /// Waits for `pause`, or less when patience ends.
    async fn once(&mut self, who: &str, until: &str, pause: Duration) -> Result<(), Failure> {
        let left = self.turn.patience.saturating_sub(self.start.elapsed());
        if left.is_zero() {
            let patience = self.turn.patience;
            let waited = if patience.is_zero() { String::new() } else { format!(", also after {patience:?}") };
            return Err(Failure::new(format!("{who}{waited}"))
                .help(format!("It has the deployment {until}. --wait says how long to wait for it.")));
        }
        if !self.said {
            self.said = true;
            interrupt::ends_this(self.turn.ui)?;
            self.turn.ui.say(format!("{who}; waiting {until}"));
        }
        tokio::time::sleep(pause.min(left)).await;
        Ok(())
    }
}

fn host() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_owned()
}

fn ttl() -> Result<Duration, Failure> {
    Ok(duration_of(TTL_VARIABLE)?.unwrap_or(TTL))
}

/// The duration that a variable of the environment says; none when it is not set.
pub(crate) fn duration_of(variable: &str) -> Result<Option<Duration>, Failure> {
    let Some(text) = std::env::var_os(variable) else { return Ok(None) };
    let text = text.to_string_lossy();
    let duration = parse_duration(&text).ok().filter(|duration| !duration.is_zero());
    duration.map(Some).ok_or_else(|| {
        Failure::usage(format!("{variable} is {text:?}, which is no duration")).help("Write it as 20s, or unset it.")
    })
}

/// Time since this machine was started, asleep or awake.
fn boot_time() -> Ticks {
    Arc::new(|| {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or_default())
    })
}
