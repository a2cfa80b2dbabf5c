//! Every message: what lies in the bucket, and what agents and leader say to each other.
//!
//! The bucket's keys, all of them built by functions in [`key`]:
//!
//! ```text
//! leader.json                          the leader lease                       conditional writes only
//! cluster.json                         what the leader sees of its nodes      overwritten by the leader
//! cluster/token                        the deployment's bearer token          create-only
//! queue/<time>-<run>                   runs to do, oldest first               create-only, deleted at the end
//! requests/<id>.json                   wishes of the command line: cancel, inject
//! runs/<run>/spec.json                 what to run                            create-only
//! runs/<run>/package.tar               the user's code
//! runs/<run>/state.json                where it stands                        conditional writes by the leader
//! runs/<run>/progress.json             step, loss and the like                overwritten by the leader
//! runs/<run>/events/<epoch>-<n>.json   what happened                          create-only
//! runs/<run>/logs/<gen>/<rank>/<byte>  output, in chunks named by offset
//! runs/<run>/checkpoints/<step>/…      shards, then manifest.json             create-only manifest: the commit
//! runs/<run>/output/…                  what rank 0 left for the user
//! ```

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// Version of every JSON document here; a reader refuses a newer one.
pub const VERSION: u32 = 1;

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub String);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.to_owned())
            }
        }
    };
}

name!(
    /// A node: `node-3`. A machine that replaces another has a name of its own.
    NodeId
);
name!(
    /// One execution of a job: `train-1`.
    RunId
);

/// Number of a leadership; grows with every change of the lease's holder. Fences orders and writes of earlier leaders.
pub type Epoch = u64;
/// Number of a formation of a run's gang, from 1.
pub type Generation = u64;
/// Number of a worker in the gang, from 0.
pub type Rank = u32;
/// Training step: count of finished steps.
pub type StepNumber = u64;
/// Milliseconds since 1970 by the wall clock; for people, never for decisions.
pub type UnixMillis = u64;

/// The keys of the bucket.
pub mod key {
    use super::{Epoch, Generation, Rank, RunId, StepNumber, UnixMillis};

    /// The leader lease.
    pub const LEADER: &str = "leader.json";
    /// What the leader sees of its nodes.
    pub const CLUSTER: &str = "cluster.json";
    /// The deployment's bearer token.
    pub const TOKEN: &str = "cluster/token";
    /// Runs to do.
    pub const QUEUE: &str = "queue/";
    /// Wishes of the command line.
    pub const REQUESTS: &str = "requests/";
    /// All runs.
    pub const RUNS: &str = "runs/";

    /// A place in the queue; sorts by time.
    #[must_use]
    pub fn queued(at: UnixMillis, run: &RunId) -> String {
        format!("{QUEUE}{at:015}-{run}")
    }
    /// The run that a place in the queue is for.
    #[must_use]
    pub fn run_of_queued(key: &str) -> Option<RunId> {
        key.strip_prefix(QUEUE)?.split_once('-').map(|(_, run)| run.into())
    }
    /// A wish.
    #[must_use]
    pub fn request(id: &str) -> String {
        format!("{REQUESTS}{id}.json")
    }
    /// Everything of a run.
    #[must_use]
    pub fn run(run: &RunId) -> String {
        format!("{RUNS}{run}/")
    }
    /// What to run.
    #[must_use]
    pub fn spec(run: &RunId) -> String {
        format!("{RUNS}{run}/spec.json")
    }
    /// The user's code.
    #[must_use]
    pub fn package(run: &RunId) -> String {
        format!("{RUNS}{run}/package.tar")
    }
    /// Where the run stands.
    #[must_use]
    pub fn state(run: &RunId) -> String {
        format!("{RUNS}{run}/state.json")
    }
    /// Step, loss and the like.
    #[must_use]
    pub fn progress(run: &RunId) -> String {
        format!("{RUNS}{run}/progress.json")
    }
    /// All events of a run.
    #[must_use]
    pub fn events(run: &RunId) -> String {
        format!("{RUNS}{run}/events/")
    }
    /// One event; sorts by time.
    #[must_use]
    pub fn event(run: &RunId, epoch: Epoch, number: u64) -> String {
        format!("{RUNS}{run}/events/{epoch:08}-{number:08}.json")
    }
    /// All output of a run.
    #[must_use]
    pub fn logs(run: &RunId) -> String {
        format!("{RUNS}{run}/logs/")
    }
    /// One chunk of a rank's output, by the offset of its first byte.
    #[must_use]
    pub fn log(run: &RunId, generation: Generation, rank: Rank, offset: u64) -> String {
        format!("{RUNS}{run}/logs/{generation:06}/{rank:05}/{offset:015}")
    }
    /// All checkpoints of a run.
    #[must_use]
    pub fn checkpoints(run: &RunId) -> String {
        format!("{RUNS}{run}/checkpoints/")
    }
    /// Everything of one checkpoint.
    #[must_use]
    pub fn checkpoint(run: &RunId, step: StepNumber) -> String {
        format!("{RUNS}{run}/checkpoints/step-{step:010}/")
    }
    /// The manifest: the checkpoint exists when this does.
    #[must_use]
    pub fn manifest(run: &RunId, step: StepNumber) -> String {
        format!("{}manifest.json", checkpoint(run, step))
    }
    /// The step of a manifest's key.
    #[must_use]
    pub fn step_of_manifest(key: &str) -> Option<StepNumber> {
        key.strip_suffix("/manifest.json")?.rsplit_once("/step-")?.1.parse().ok()
    }
    /// A shard. The generation is part of it, so that a late rank of an old gang cannot touch a newer one's shards.
    #[must_use]
    pub fn shard(run: &RunId, step: StepNumber, generation: Generation, rank: Rank, path: &str) -> String {
        format!("{}{generation:06}/rank-{rank}/{path}", checkpoint(run, step))
    }
    /// A file that rank 0 left for the user.
    #[must_use]
    pub fn output(run: &RunId, path: &str) -> String {
        format!("{RUNS}{run}/output/{path}")
    }
}

/// What to run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunSpec {
    /// [`VERSION`].
    pub v: u32,
    /// Its name.
    pub run: RunId,
    /// The job that it executes.
    pub job: String,
    /// Program and arguments of every worker, run in the unpacked package.
    pub command: Vec<String>,
    /// Where in the package workers start; its root when absent.
    #[serde(default)]
    pub workdir: Option<String>,
    /// Additional environment.
    pub env: BTreeMap<String, String>,
    /// Additional environment that is secret: by name, where the agent reads it ([`crate::secret::read`]).
    #[serde(default)]
    pub secrets: BTreeMap<String, String>,
    /// The user's code.
    pub package: Package,
    /// Nodes in the gang.
    pub nodes: u32,
    /// Workers on each of them.
    pub workers_per_node: u32,
    /// When to checkpoint and what to keep.
    pub checkpoint: CheckpointPolicy,
    /// How often to try again.
    pub restarts: RestartPolicy,
    /// A worker that finishes no step for so long hangs.
    pub hang_after_ms: u64,
    /// Mount path of the shared file system.
    pub scratch: Option<String>,
    /// When it was handed in.
    pub submitted_at: UnixMillis,
}

impl RunSpec {
    /// Workers in the gang.
    #[must_use]
    pub fn world_size(&self) -> u32 {
        self.nodes * self.workers_per_node
    }
}

/// An archive in the bucket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Package {
    /// Its key.
    pub key: String,
    /// Its digest: SHA-256 in lower-case hex.
    pub sha256: String,
    /// Its size in bytes.
    pub bytes: u64,
}

/// When to checkpoint and what to keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckpointPolicy {
    /// Every so many steps; none = never.
    pub every_steps: Option<u64>,
    /// Keep the last so many; at least 1.
    pub keep_last: u32,
    /// Keep also the 1st, 2nd, 4th, 8th, … checkpoint.
    pub keep_powers_of_two: bool,
}

/// How often to try again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RestartPolicy {
    /// At most so many restarts …
    pub max: u32,
    /// … within so many milliseconds.
    pub window_ms: u64,
}

/// Where a run is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Waits for nodes.
    Queued,
    /// The gang stages code and checkpoint.
    Forming,
    /// Workers run.
    Running,
    /// Every worker ended with exit code 0.
    Succeeded,
    /// It ended otherwise.
    Failed,
    /// A person ended it.
    Cancelled,
}

impl Phase {
    /// True when nothing more will happen.
    #[must_use]
    pub fn is_over(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled)
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Queued => "queued",
            Self::Forming => "forming",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        })
    }
}

/// Why a gang was formed anew.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// A worker ended when it should not have.
    WorkerExit {
        /// Which.
        rank: Rank,
        /// Where.
        node: NodeId,
        /// How, in words: `exit code 1`, `signal 9 (SIGKILL)`.
        how: String,
    },
    /// No step for too long.
    Hang {
        /// The ranks that are furthest behind.
        ranks: Vec<Rank>,
    },
    /// A node is gone.
    NodeLost {
        /// Which.
        node: NodeId,
        /// How that was seen.
        how: String,
    },
    /// A node could not make ready.
    PrepareFailed {
        /// Which.
        node: NodeId,
        /// Why.
        how: String,
    },
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WorkerExit { rank, node, how } => write!(f, "rank {rank} on {node} ended with {how}"),
            Self::Hang { ranks } => write!(f, "no step for too long; furthest behind: rank {ranks:?}"),
            Self::NodeLost { node, how } => write!(f, "{node} is gone ({how})"),
            Self::PrepareFailed { node, how } => write!(f, "{node} could not make ready: {how}"),
        }
    }
}

/// One restart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restart {
    /// When.
    pub at: UnixMillis,
    /// Why.
    pub cause: Cause,
    /// The generation that ended.
    pub generation: Generation,
    /// The furthest step that was reached in it.
    pub step: Option<StepNumber>,
}

/// Where a run stands; written by the leader alone, by conditional writes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunState {
    /// [`VERSION`].
    pub v: u32,
    /// The run.
    pub run: RunId,
    /// Where it is in its life.
    pub phase: Phase,
    /// The current formation; 0 before the first.
    pub generation: Generation,
    /// The gang, by node rank.
    pub members: Vec<NodeId>,
    /// The checkpoint that this generation started from.
    pub resume: Option<StepNumber>,
    /// The newest committed checkpoint.
    pub committed: Option<StepNumber>,
    /// Checkpoints that failed verification.
    pub damaged: Vec<StepNumber>,
    /// Where rank 0 listens, once known.
    pub master: Option<Master>,
    /// Every restart so far.
    pub restarts: Vec<Restart>,
    /// Why it is where it is.
    pub reason: String,
    /// The leader that wrote this.
    pub epoch: Epoch,
    /// First formation.
    pub started_at: Option<UnixMillis>,
    /// End.
    pub ended_at: Option<UnixMillis>,
}

impl RunState {
    /// A run that nobody has touched yet.
    #[must_use]
    pub fn queued(run: RunId) -> Self {
        Self {
            v: VERSION,
            run,
            phase: Phase::Queued,
            generation: 0,
            members: Vec::new(),
            resume: None,
            committed: None,
            damaged: Vec::new(),
            master: None,
            restarts: Vec::new(),
            reason: "waits for nodes".into(),
            epoch: 0,
            started_at: None,
            ended_at: None,
        }
    }
}

/// What training reports of itself.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// The step that every rank has finished.
    pub step: Option<StepNumber>,
    /// Rank 0's metrics: loss, tokens per second, …
    pub metrics: BTreeMap<String, f64>,
    /// When it was written.
    pub at: UnixMillis,
}

/// The leader lease.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// [`VERSION`].
    pub v: u32,
    /// Number of this leadership.
    pub epoch: Epoch,
    /// The node that leads.
    pub holder: NodeId,
    /// The life of that node's agent.
    pub instance: String,
    /// `host:port` of its server.
    pub address: String,
    /// Renewals so far: makes every version's bytes differ.
    pub renewals: u64,
    /// An observer that sees the same bytes for so long may take over.
    pub ttl_ms: u64,
    /// When it was written; for people.
    pub at: UnixMillis,
}

/// Where rank 0 listens for its peers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Master {
    /// Its node's address.
    pub address: String,
    /// A port that was free when the gang formed.
    pub port: u16,
}

/// What the leader wants of one node. Level-triggered: the latest one is the whole truth.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// The leader.
    pub epoch: Epoch,
    /// Grows with every change, within the epoch.
    pub seq: u64,
    /// What to be part of; none = stop whatever runs.
    pub assignment: Option<Assignment>,
    /// How long workers that must stop may take to end by themselves after SIGTERM.
    pub grace_ms: u64,
    /// Faults to bring about, each once.
    pub injections: Vec<Injection>,
}

/// A node's part in a gang.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assignment {
    /// The run.
    pub run: RunId,
    /// The formation.
    pub generation: Generation,
    /// This node's number in the gang, from 0.
    pub node_rank: u32,
    /// The checkpoint to start from.
    pub resume: Option<StepNumber>,
    /// Number of restarts so far.
    pub restarts: u32,
    /// The newest committed checkpoint: uploads up to it need not be reported any more.
    pub committed: Option<StepNumber>,
    /// Where rank 0 listens; once it is known, workers start.
    pub master: Option<Master>,
}

/// A fault to bring about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Injection {
    /// Makes it happen once.
    pub id: String,
    /// What happens.
    pub fault: Fault,
}

/// Faults that can be brought about on a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// SIGKILL to the worker of that rank and its children.
    KillWorker(Rank),
    /// SIGSTOP to them: the worker lives and does nothing.
    HangWorker(Rank),
    /// SIGKILL to the agent and everything that it started.
    KillNode,
}

/// A wish of the command line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// End a run.
    Cancel {
        /// Which.
        run: RunId,
    },
    /// Kill the worker of a rank.
    KillWorker {
        /// Which.
        rank: Rank,
    },
    /// Stop the worker of a rank without ending it.
    HangWorker {
        /// Which.
        rank: Rank,
    },
    /// Kill a node.
    KillNode {
        /// Which.
        node: NodeId,
    },
    /// Kill the node whose agent leads.
    KillLeader,
}

/// What a node says of itself; sent up with every `sync`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sync {
    /// The node.
    pub node: NodeId,
    /// The life of its agent: differs after a restart.
    pub instance: String,
    /// Grows with every report of this life; an older one that arrives late is ignored.
    pub report: u64,
    /// The newest order that was received, as (epoch, seq).
    pub order_seen: (Epoch, u64),
    /// Wait so long for a newer order before answering; 0 = answer at once.
    pub hold_ms: u64,
    /// The node's state.
    pub view: NodeView,
}

/// The answer to a `sync`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncReply {
    /// The leader.
    pub epoch: Epoch,
    /// A newer order than the one that was seen.
    pub order: Option<Order>,
}

/// A node's state.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct NodeView {
    /// Where peers reach it.
    pub address: String,
    /// Accelerators that it has.
    pub accelerators: u32,
    /// What is wrong with its hardware; none = fit for work.
    pub unfit: Option<String>,
    /// Its part in a gang.
    pub gang: Option<GangView>,
}

/// A node's part in a gang, as it stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GangView {
    /// The run.
    pub run: RunId,
    /// The formation.
    pub generation: Generation,
    /// How far it is.
    pub stage: Stage,
    /// Its workers, once started.
    pub workers: Vec<WorkerView>,
    /// Shards that are durable in the bucket and not known to be committed.
    pub uploads: Vec<Upload>,
    /// Uploads under way.
    pub uploading: u32,
    /// What does not stop training but should be known: an upload that fails.
    pub trouble: Option<String>,
}

impl GangView {
    /// A part that is at this stage and has no workers.
    #[must_use]
    pub fn at(assignment: &Assignment, stage: Stage) -> Self {
        Self {
            run: assignment.run.clone(),
            generation: assignment.generation,
            stage,
            workers: Vec::new(),
            uploads: Vec::new(),
            uploading: 0,
            trouble: None,
        }
    }
}

/// How far a node is in forming its gang.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Stops older workers, stages code and checkpoint.
    Preparing,
    /// Could start now; a port that is free for rank 0.
    Prepared {
        /// The port.
        port: u16,
    },
    /// Could not make ready.
    Failed {
        /// Why.
        message: String,
        /// The checkpoint that is to blame: it is damaged.
        damaged: Option<StepNumber>,
    },
    /// Workers were started.
    Started,
    /// Workers should run but this agent does not have them.
    Missing,
}

/// One worker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WorkerView {
    /// Its number in the gang.
    pub rank: Rank,
    /// Its process id.
    pub pid: u32,
    /// How it ended, if it has.
    pub exit: Option<Exit>,
    /// The last step that it finished.
    pub step: Option<StepNumber>,
    /// Time since then, or since its start.
    pub idle_ms: u64,
    /// What it last reported.
    pub metrics: BTreeMap<String, f64>,
    /// All its output is in the bucket.
    pub flushed: bool,
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Exit {
    /// By itself.
    Code(i32),
    /// By a signal.
    Signal(i32),
}

impl Exit {
    /// True for exit code 0.
    #[must_use]
    pub fn is_success(self) -> bool {
        self == Self::Code(0)
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Signal(9) => f.write_str("signal 9 (SIGKILL)"),
            Self::Signal(11) => f.write_str("signal 11 (SIGSEGV)"),
            Self::Signal(15) => f.write_str("signal 15 (SIGTERM)"),
            Self::Signal(signal) => write!(f, "signal {signal}"),
        }
    }
}

/// The shards of one rank that are durable in the bucket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upload {
    /// The checkpoint.
    pub step: StepNumber,
    /// The rank.
    pub rank: Rank,
    /// Its files; a rank may have none.
    pub shards: Vec<Shard>,
}

/// One file of a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Shard {
    /// The rank that wrote it.
    pub rank: Rank,
    /// Its path below the rank's directory.
    pub path: String,
    /// Its key in the bucket.
    pub key: String,
    /// Its size.
    pub bytes: u64,
    /// Its digest: SHA-256 in lower-case hex.
    pub sha256: String,
}

/// A committed checkpoint: it exists when this does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`VERSION`].
    pub v: u32,
    /// The run.
    pub run: RunId,
    /// The step.
    pub step: StepNumber,
    /// The formation that made it.
    pub generation: Generation,
    /// Number of ranks that made it.
    pub world_size: u32,
    /// Every file, by rank and path.
    pub shards: Vec<Shard>,
    /// When it was committed.
    pub at: UnixMillis,
    /// SHA-256 of this document with this field empty.
    pub digest: String,
}

/// Something that happened to a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// [`VERSION`].
    pub v: u32,
    /// When.
    pub at: UnixMillis,
    /// The leader that saw it.
    pub epoch: Epoch,
    /// The formation that it happened to.
    pub generation: Generation,
    /// What, as a word: `formed`, `started`, `restart`, `committed`, `damaged`, `injected`, `leader`, `waits`,
    /// `ended`.
    pub kind: String,
    /// What, as a sentence.
    pub message: String,
}

/// What the leader sees of its nodes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cluster {
    /// [`VERSION`].
    pub v: u32,
    /// The leader.
    pub epoch: Epoch,
    /// Its node.
    pub leader: NodeId,
    /// When this was written.
    pub at: UnixMillis,
    /// Every node that has been heard of lately.
    pub nodes: Vec<ClusterNode>,
}

/// A node as people see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterNode {
    /// Its name.
    pub node: NodeId,
    /// `joining`, `spare`, `working`, `quarantined`, `lost`.
    pub state: String,
    /// Why.
    pub reason: String,
    /// Where peers reach it.
    pub address: String,
    /// Accelerators that it has.
    pub accelerators: u32,
    /// The run that it works for.
    pub run: Option<RunId>,
    /// Ranks that it runs.
    pub ranks: Vec<Rank>,
    /// Process ids of its workers, in the same order.
    pub pids: Vec<u32>,
}
