//! Target `local`: stands where an auto-scaling group would.
//!
//! `fleet run` keeps N agents alive as child processes, each with a directory that stands for its machine. One that dies
//! is cleared away, with everything that it had started, and replaced by a node with a *new* name, as a cloud would. The
//! wanted size is a file ([`Wanted`]) that is watched, so changing it needs no connection. Two locks make it safe to be
//! killed at any moment: a fleet runs only while it holds the lock on a file that it does not create, so a late starter
//! finds either the lock taken or the file gone, and ends.

use crate::agent::Settings;
use crate::bucket::Documents;
use crate::durable;
use crate::supervise::{MARKER, Program, sweep};
use crate::wire::{Cluster, key};
use rustix::process::{Pid, Signal};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::Instant;

/// How often children and the wanted size are looked at; a child's death wakes it at once.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// An agent that dies younger than this is replaced later and later.
const YOUNG: Duration = Duration::from_secs(5);
/// Longest pause before a replacement.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// How long agents may take to end by themselves.
const STOP_GRACE: Duration = Duration::from_secs(3);
/// How long a fleet may take to end by itself.
const STOP_FLEET_WITHIN: Duration = Duration::from_secs(10);
/// How long a fleet that starts waits for its lock: many times longer than a look at it takes.
const LOCK_WITHIN: Duration = Duration::from_secs(1);
/// How long killed processes may take to vanish.
const SWEEP_WITHIN: Duration = Duration::from_secs(10);

/// What a fleet should be; `wanted.json` in its directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wanted {
    /// Nodes in the training gang.
    pub nodes: u32,
    /// Nodes beyond those.
    pub spares: u32,
    /// Simulated accelerators of each.
    pub accelerators: u32,
    /// Address of the bucket.
    pub bucket: String,
}

/// What a fleet is; `fleet.json` in its directory.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Current {
    /// The fleet process that wrote this.
    #[serde(default)]
    fleet: u32,
    /// The next node's number.
    next: u32,
    /// Living agents: name to process id.
    agents: BTreeMap<String, u32>,
}

/// What `fleet status` prints.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// A fleet process holds the lock.
    pub running: bool,
    /// It has as many agents as it should, and a leader knows all of them.
    pub ready: bool,
    /// Agents that it has.
    pub agents: u32,
    /// What it waits for, for people.
    pub message: String,
}

/// Why a fleet command failed.
#[derive(Debug, thiserror::Error)]
pub enum FleetError {
    /// There is no fleet here.
    #[error("{0} holds no fleet")]
    Absent(PathBuf),
    /// Another one runs here.
    #[error("a fleet runs in {0} already")]
    Busy(PathBuf),
    /// Something of it cannot be ended.
    #[error("these processes cannot be ended: {0:?}")]
    Immortal(Vec<Pid>),
    /// A file of it is broken.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
}

fn file_error(path: &Path) -> impl FnOnce(io::Error) -> FleetError + '_ {
    |source| FleetError::File { path: path.to_owned(), source }
}

/// `…/fleet/`: marks agents and whatever descends from them.
fn marker(directory: &Path) -> String {
    format!("{}/", directory.display())
}

/// Takes the fleet's lock. `None` when somebody else has it.
fn try_lock(directory: &Path) -> Result<Option<File>, FleetError> {
    let path = directory.join("lock");
    let file = match File::options().write(true).open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(FleetError::Absent(directory.to_owned()));
        }
        Err(error) => return Err(file_error(&path)(error)),
    };
    match file.try_lock() {
        // The directory may have been destroyed between opening and locking.
        Ok(()) if file.metadata().is_ok_and(|metadata| metadata.nlink() > 0) => Ok(Some(file)),
        Ok(()) => Err(FleetError::Absent(directory.to_owned())),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(file_error(&path)(error)),
    }
}

fn read_json<T: for<'de> Deserialize<'de>>(path: &Path) -> Result<T, FleetError> {
    let text = fs::read(path).map_err(file_error(path))?;
    serde_json::from_slice(&text).map_err(io::Error::other).map_err(file_error(path))
}

/// True for a process that is not only waited for: a dead one has no command line.
fn lives(pid: u32) -> bool {
    fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|command| !command.is_empty())
}

/// How the fleet in a directory is.
///
/// # Errors
/// When there is none.
pub async fn status(directory: &Path) -> Result<Status, FleetError> {
    let running = try_lock(directory)?.is_none();
    let wanted: Wanted = read_json(&directory.join("wanted.json"))?;
    // A fleet that was killed left its list behind: that says nothing of the one that has begun in its place.
    let current: Current = read_json(&directory.join("fleet.json")).unwrap_or_default();
    let current = if running && lives(current.fleet) { current } else { Current::default() };
    let total = wanted.nodes + wanted.spares;
    let agents = current.agents.len() as u32;
    let joined = match crate::bucket::open(&wanted.bucket) {
        Ok(bucket) => bucket.read::<Cluster>(key::CLUSTER).await.ok().flatten().map(|(cluster, _)| cluster),
        Err(_) => None,
    };
    let known = |name: &String| {
        let nodes = joined.iter().flat_map(|cluster| &cluster.nodes);
        nodes.into_iter().any(|node| node.node.0 == *name && node.state != "lost")
    };
    let here = current.agents.keys().filter(|name| known(name)).count() as u32;
    let ready = running && agents == total && here == total;
    let message = if running { format!("{here} of {total} nodes have joined") } else { "no fleet runs".into() };
    Ok(Status { running, ready, agents, message })
}

/// Ends the fleet and everything that it started. Its directory stays.
///
/// # Errors
/// When something cannot be ended.
pub fn stop(directory: &Path) -> Result<(), FleetError> {
    let directory = directory.canonicalize().map_err(|_| FleetError::Absent(directory.to_owned()))?;
    let start = std::time::Instant::now();
    let pid_file = directory.join("pid");
    // Held to the end, so that no late starter can come up in between.
    let lock = loop {
        if let Some(lock) = try_lock(&directory)? {
            break lock;
        }
        let pid = fs::read_to_string(&pid_file).ok().and_then(|text| Pid::from_raw(text.trim().parse().ok()?));
        let hard = start.elapsed() > STOP_FLEET_WITHIN;
        if let Some(pid) = pid {
            // The lock is held, so the process lives and this is its number. It may end in this very moment.
            let _ = rustix::process::kill_process(pid, if hard { Signal::KILL } else { Signal::TERM });
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    let left = sweep(&marker(&directory), SWEEP_WITHIN);
    drop(lock);
    if left.is_empty() { Ok(()) } else { Err(FleetError::Immortal(left)) }
}

struct Agent {
    child: Child,
    since: Instant,
    directory: PathBuf,
}

struct Fleet {
    directory: PathBuf,
    program: Program,
    wanted: Wanted,
    current: Current,
    agents: BTreeMap<u32, Agent>,
    early_deaths: u32,
    next_start: Instant,
}

/// Keeps agents alive until SIGTERM.
///
/// # Errors
/// When another fleet runs here, or its files cannot be used.
pub async fn run(directory: &Path, program: Program) -> Result<(), FleetError> {
    let directory = directory.canonicalize().map_err(|_| FleetError::Absent(directory.to_owned()))?;
    let _lock = lock_patiently(&directory).await?;
    let pid_file = directory.join("pid");
    durable::replace(&pid_file, std::process::id().to_string().as_bytes()).map_err(file_error(&pid_file))?;
    // What an earlier fleet that was killed has left behind.
    let left = sweep(&marker(&directory), SWEEP_WITHIN);
    if !left.is_empty() {
        return Err(FleetError::Immortal(left));
    }
    let mut terminate = signal(SignalKind::terminate()).map_err(file_error(&directory))?;
    let mut fleet = Fleet {
        wanted: read_json(&directory.join("wanted.json"))?,
        current: read_json(&directory.join("fleet.json")).unwrap_or_default(),
        directory,
        program,
        agents: BTreeMap::new(),
        early_deaths: 0,
        next_start: Instant::now(),
    };
    fleet.current.agents.clear();
    fleet.current.fleet = std::process::id();
    let _ = fs::remove_dir_all(fleet.directory.join("nodes"));
    loop {
        if !fleet.directory.join("lock").exists() {
            tracing::warn!("the fleet's directory is gone; ending");
            return Ok(());
        }
        // A full disk, a program that is just being replaced: what runs goes on, and the rest is tried again.
        if let Err(error) = fleet.converge().await {
            tracing::error!(%error, "trying again");
            fleet.next_start = Instant::now() + LONGEST_PAUSE / 10;
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => {}
            () = fleet.any_death() => {}
            _ = terminate.recv() => {
                fleet.end_all().await;
                return Ok(());
            }
        }
    }
}

/// Takes the fleet's lock. Whoever asks how the fleet is holds it for a moment; a fleet that runs, for ever.
async fn lock_patiently(directory: &Path) -> Result<File, FleetError> {
    let start = Instant::now();
    loop {
        match try_lock(directory)? {
            Some(lock) => return Ok(lock),
            None if start.elapsed() > LOCK_WITHIN => return Err(FleetError::Busy(directory.to_owned())),
            None => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    }
}

impl Agent {
    /// Asks it to end.
    fn terminate(&self) {
        if let Some(pid) = self.child.id().and_then(|pid| Pid::from_raw(pid.cast_signed())) {
            // It may be gone by now.
            let _ = rustix::process::kill_process(pid, Signal::TERM);
        }
    }
}

impl Fleet {
    async fn converge(&mut self) -> Result<(), FleetError> {
        if let Ok(wanted) = read_json::<Wanted>(&self.directory.join("wanted.json")) {
            if wanted.bucket != self.wanted.bucket || wanted.accelerators != self.wanted.accelerators {
                // A different machine image: every node is replaced.
                self.end_all().await;
            }
            self.wanted = wanted;
        }
        let dead: Vec<_> = self
            .agents
            .iter_mut()
            .filter_map(|(number, agent)| matches!(agent.child.try_wait(), Ok(Some(_)) | Err(_)).then_some(*number))
            .collect();
        for number in dead {
            self.bury(number).await;
        }
        let total = (self.wanted.nodes + self.wanted.spares) as usize;
        while self.agents.len() > total {
            let Some(newest) = self.agents.keys().next_back().copied() else { break };
            self.end(newest).await;
        }
        while self.agents.len() < total && Instant::now() >= self.next_start {
            self.start()?;
        }
        self.save()
    }

    fn start(&mut self) -> Result<(), FleetError> {
        let number = self.current.next;
        self.current.next += 1;
        // The number is used up before it is used: no two nodes ever have the same name.
        self.save()?;
        let name = format!("node-{number}");
        let directory = self.directory.join("nodes").join(&name);
        fs::create_dir_all(&directory).map_err(file_error(&directory))?;
        let log = directory.join("agent.log");
        let output = File::create(&log).map_err(file_error(&log))?;
        let parent = std::process::id().to_string();
        let settings = Settings {
            name: name.as_str().into(),
            directory: directory.clone(),
            bucket: self.wanted.bucket.clone(),
            address: "127.0.0.1".into(),
            accelerators: self.wanted.accelerators,
        };
        let mut command = self.program.command(&["run", "--parent", &parent]);
        command.args(settings.arguments()).env(MARKER, marker(&directory));
        command.stdout(output.try_clone().map_err(file_error(&log))?).stderr(output);
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let child = Command::from(command).spawn().map_err(file_error(&self.program.path))?;
        tracing::info!(name, pid = child.id(), "started");
        if let Some(pid) = child.id() {
            self.current.agents.insert(name, pid);
        }
        self.agents.insert(number, Agent { child, since: Instant::now(), directory });
        Ok(())
    }

    /// Clears away a dead agent: its workers' descendants and its directory, as if its machine were gone.
    async fn bury(&mut self, number: u32) {
        let Some(agent) = self.agents.remove(&number) else { return };
        let name = format!("node-{number}");
        tracing::warn!(name, "died");
        self.current.agents.remove(&name);
        let young = agent.since.elapsed() < YOUNG;
        self.early_deaths = if young { self.early_deaths + 1 } else { 0 };
        let pause = Duration::from_millis(200) * 2u32.saturating_pow(self.early_deaths.min(10));
        self.next_start = if young { Instant::now() + pause.min(LONGEST_PAUSE) } else { Instant::now() };
        let marker = marker(&agent.directory);
        let left = tokio::task::spawn_blocking(move || sweep(&marker, SWEEP_WITHIN)).await.unwrap_or_default();
        if !left.is_empty() {
            tracing::error!(?left, "processes of a dead node that the kernel cannot end");
        }
        let logs = self.directory.join("dead").join(format!("{name}.log"));
        let _ = fs::create_dir_all(self.directory.join("dead"));
        let _ = fs::rename(agent.directory.join("agent.log"), logs);
        let _ = fs::remove_dir_all(&agent.directory);
    }

    async fn end(&mut self, number: u32) {
        if let Some(agent) = self.agents.get_mut(&number) {
            agent.terminate();
            if tokio::time::timeout(STOP_GRACE, agent.child.wait()).await.is_err() {
                let _ = agent.child.kill().await;
            }
            self.bury(number).await;
            (self.early_deaths, self.next_start) = (0, Instant::now());
        }
    }

    async fn end_all(&mut self) {
        // All at once first, so that the wait below is one grace for all.
        for agent in self.agents.values() {
            agent.terminate();
        }
        let numbers: Vec<_> = self.agents.keys().copied().collect();
        for number in numbers {
            self.end(number).await;
        }
    }

    async fn any_death(&mut self) {
        if self.agents.is_empty() {
            return std::future::pending().await;
        }
        let waits = self.agents.values_mut().map(|agent| Box::pin(agent.child.wait()));
        let _ = futures::future::select_all(waits).await;
    }

    fn save(&self) -> Result<(), FleetError> {
        let path = self.directory.join("fleet.json");
        let text = serde_json::to_vec(&self.current).map_err(io::Error::other).map_err(file_error(&path))?;
        if fs::read(&path).is_ok_and(|old| old == text) {
            return Ok(());
        }
        durable::replace(&path, &text).map_err(file_error(&path))
    }
}
