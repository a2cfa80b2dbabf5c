//! The agent of one node: joins, takes orders, carries them out.
//!
//! Three things run side by side on one thread. [`membership`] finds the leader, keeps the connection to
//! it and leads when it is this node's turn. The loop here accepts orders and turns them into what the node does. The
//! gang's own task ([`crate::gang`]) holds the workers. They share the node's view, which goes up with every `sync`.
//!
//! An order is the whole truth about what the node should do, so orders may be lost or repeated. One from an earlier
//! leader or generation is refused; the newest seen is kept in a ledger on disk, so that a restarted agent refuses
//! it as well.

use crate::bucket::Bucket;
use crate::checks;
use crate::durable;
use crate::gang::{self, Control};
use crate::membership;
use crate::node::{Node, Simulated};
use crate::supervise::{Program, sweep};
use crate::wire::{Assignment, Epoch, Fault, GangView, Generation, NodeId, NodeView, Order, RunId, Stage};
use rustix::process::Signal;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinHandle;

/// The module that workers import; put on their path.
const FORGE_WORKER: &str = include_str!("../python/forge_worker.py");
/// How long leftovers of an earlier life may take to die.
const SWEEP_DEADLINE: Duration = Duration::from_secs(10);
/// How often the hardware is looked at.
const CHECK_EVERY: Duration = Duration::from_secs(1);
/// How long workers may take when the agent itself is told to end.
const LEAVE_GRACE: Duration = Duration::from_millis(500);

/// What an agent is started with.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The node's name.
    pub name: NodeId,
    /// A directory of its own.
    pub directory: PathBuf,
    /// Address of the bucket.
    pub bucket: String,
    /// Where peers reach the node.
    pub address: String,
    /// Accelerators of a simulated node.
    pub accelerators: u32,
}

/// What the parts of an agent share.
#[derive(Clone)]
pub struct Context {
    /// The node's name.
    pub name: NodeId,
    /// A directory of its own.
    pub directory: PathBuf,
    /// Where peers reach it.
    pub address: String,
    /// The bus.
    pub bucket: Arc<dyn Bucket>,
    /// The hardware.
    pub node: Arc<dyn Node>,
    /// How the agent starts itself.
    pub program: Program,
    /// What the node says of itself.
    pub view: Arc<Mutex<NodeView>>,
    /// Rung when the view has changed in a way that the leader should hear of at once.
    pub urgent: Arc<Notify>,
    /// The newest order that was accepted.
    pub order_seen: watch::Sender<(Epoch, u64)>,
    ledger: Arc<Mutex<Ledger>>,
}

/// What must survive the agent's own death.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Ledger {
    epoch: Epoch,
    run: Option<RunId>,
    generation: Generation,
    pids: Vec<u32>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // The values behind these locks are replaced whole; a panic elsewhere cannot leave them half-done.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Context {
    /// The node's view as it is now.
    #[must_use]
    pub fn view_now(&self) -> NodeView {
        lock(&self.view).clone()
    }

    /// Shows a gang and tells the leader at once.
    pub fn show(&self, gang: GangView) {
        self.show_later(gang);
        self.urgent.notify_one();
    }

    /// Shows a gang with the next beat.
    pub fn show_later(&self, gang: GangView) {
        lock(&self.view).gang = Some(gang);
    }

    /// Marks everything that descends from this agent; see [`crate::supervise::MARKER`].
    #[must_use]
    pub fn marker(&self) -> String {
        format!("{}/gang/", self.directory.display())
    }

    /// Writes down the workers that run.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn ledger(&self, assignment: &Assignment, pids: Vec<u32>) -> io::Result<()> {
        let mut ledger = lock(&self.ledger);
        ledger.run = Some(assignment.run.clone());
        ledger.generation = assignment.generation;
        ledger.pids = pids;
        ledger.save(&self.directory)
    }

    /// True when the order is not older than any that was accepted before; it is then on the ledger.
    fn accept(&self, order: &Order) -> io::Result<bool> {
        let mut ledger = lock(&self.ledger);
        let stale_generation = order.assignment.as_ref().is_some_and(|assignment| {
            ledger.run.as_ref() == Some(&assignment.run) && assignment.generation < ledger.generation
        });
        if order.epoch < ledger.epoch || stale_generation {
            return Ok(false);
        }
        if order.epoch > ledger.epoch {
            ledger.epoch = order.epoch;
            ledger.save(&self.directory)?;
        }
        Ok(true)
    }
}

impl Ledger {
    fn path(directory: &Path) -> PathBuf {
        directory.join("ledger.json")
    }

    fn load(directory: &Path) -> io::Result<Self> {
        match fs::read(Self::path(directory)) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(io::Error::other),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error),
        }
    }

    fn save(&self, directory: &Path) -> io::Result<()> {
        let text = serde_json::to_vec(self).map_err(io::Error::other)?;
        durable::replace(&Self::path(directory), &text)
    }
}

/// A gang's task and how to steer it.
struct Holding {
    assignment: Assignment,
    control: watch::Sender<Control>,
    faults: mpsc::Sender<Fault>,
    task: JoinHandle<()>,
}

/// Runs the agent until SIGTERM, or until an error that no retrying mends.
///
/// # Errors
/// When the node's directory or the bucket's address cannot be used.
pub async fn run(settings: Settings, program: Program) -> Result<(), Box<dyn std::error::Error>> {
    fs::create_dir_all(settings.directory.join("lib"))?;
    let directory = settings.directory.canonicalize()?;
    fs::write(directory.join("lib/forge_worker.py"), FORGE_WORKER)?;
    let faults = directory.join("faults");
    let (order_seen, _) = watch::channel((0, 0));
    let context = Context {
        name: settings.name,
        address: settings.address.clone(),
        bucket: crate::bucket::open(&settings.bucket)?,
        node: Arc::new(Simulated { accelerators: settings.accelerators, faults }),
        program,
        view: Arc::new(Mutex::new(NodeView {
            address: settings.address,
            accelerators: settings.accelerators,
            unfit: None,
            gang: None,
        })),
        urgent: Arc::new(Notify::new()),
        order_seen,
        ledger: Arc::new(Mutex::new(Ledger::load(&directory)?)),
        directory,
    };
    // Workers die with their agent; what they started may not have.
    let marker = context.marker();
    let left = tokio::task::spawn_blocking(move || sweep(&marker, SWEEP_DEADLINE)).await?;
    if !left.is_empty() {
        tracing::error!(?left, "processes of an earlier life that the kernel cannot end");
    }
    let (orders, mut inbox) = mpsc::channel(16);
    let mut member = tokio::spawn(membership::run(context.clone(), orders));
    let mut terminate = signal(SignalKind::terminate())?;
    let mut check = tokio::time::interval(CHECK_EVERY);
    check.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    let mut agent = Agent { context, holding: None, injected: BTreeSet::new() };
    let outcome = loop {
        tokio::select! {
            Some(order) = inbox.recv() => agent.take(order).await?,
            _ = check.tick() => agent.check(),
            _ = terminate.recv() => break Ok(()),
            ended = &mut member => break ended?.map_err(Into::into),
        }
    };
    agent.release(LEAVE_GRACE).await;
    outcome
}

struct Agent {
    context: Context,
    holding: Option<Holding>,
    injected: BTreeSet<String>,
}

impl Agent {
    async fn take(&mut self, order: Order) -> io::Result<()> {
        if !self.context.accept(&order)? {
            tracing::warn!(epoch = order.epoch, "an order of an earlier leader or generation was refused");
            return Ok(());
        }
        self.context.order_seen.send_replace((order.epoch, order.seq));
        let grace = Duration::from_millis(order.grace_ms);
        let same = |held: &Holding, wanted: &Assignment| {
            (&held.assignment.run, held.assignment.generation) == (&wanted.run, wanted.generation)
        };
        match (&self.holding, order.assignment) {
            (Some(held), Some(wanted)) if same(held, &wanted) => {
                held.control.send_modify(|control| {
                    control.master = wanted.master;
                    control.committed = wanted.committed;
                });
            }
            (_, wanted) => {
                self.release(grace).await;
                if let Some(wanted) = wanted {
                    self.hold(wanted);
                }
            }
        }
        for injection in order.injections {
            if self.injected.insert(injection.id) {
                self.inject(injection.fault).await;
            }
        }
        Ok(())
    }

    /// Takes part in a generation. One that is running already, and that this agent knows nothing of, was lost with an
    /// earlier life.
    fn hold(&mut self, assignment: Assignment) {
        if assignment.master.is_some() {
            tracing::warn!(generation = assignment.generation, "the workers of this generation are not here");
            return self.context.show(GangView::at(&assignment, Stage::Missing));
        }
        tracing::info!(run = %assignment.run, generation = assignment.generation, "joins a gang");
        let (control, steering) = watch::channel(Control { committed: assignment.committed, ..Control::default() });
        let (faults, wishes) = mpsc::channel(16);
        let task = tokio::spawn(gang::run(self.context.clone(), assignment.clone(), steering, wishes));
        self.holding = Some(Holding { assignment, control, faults, task });
    }

    /// Ends the gang's task and with it all its workers.
    async fn release(&mut self, grace: Duration) {
        if let Some(held) = self.holding.take() {
            held.control.send_modify(|control| control.stop = Some(grace));
            if let Err(error) = held.task.await {
                tracing::error!(%error, "the gang's task failed");
            }
        }
        let had = lock(&self.context.view).gang.take().is_some();
        if had {
            self.context.urgent.notify_one();
        }
    }

    async fn inject(&mut self, fault: Fault) {
        tracing::warn!(?fault, "injected");
        match fault {
            Fault::KillNode => {
                // A machine that loses power says goodbye to nobody: no order in which these die is guaranteed.
                let marker = self.context.marker();
                for process in crate::supervise::marked(&marker) {
                    let _ = rustix::process::kill_process(process, Signal::KILL);
                }
                let _ = rustix::process::kill_process(rustix::process::getpid(), Signal::KILL);
            }
            worker => {
                if let Some(held) = &self.holding {
                    // Full only when sixteen faults wait already.
                    let _ = held.faults.try_send(worker);
                }
            }
        }
    }

    fn check(&mut self) {
        let mut view = lock(&self.context.view);
        let unfit = checks::unfit(&*self.context.node, view.accelerators);
        if view.unfit != unfit {
            tracing::warn!(?unfit, "health changed");
            view.unfit = unfit;
            self.context.urgent.notify_one();
        }
    }
}
