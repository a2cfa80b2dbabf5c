//! A node's part in one generation of a gang: make ready (`stage.rs`), start, watch, upload, stop.
//!
//! One task per generation owns everything of it: the staged code, the workers, the socket that they report to, the uploads.
//! It is steered by a [`Control`] (level-triggered) and shows itself in the node's view. When it returns, nothing of
//! its generation runs any more.

use crate::agent::Context;
use crate::bucket::{BucketError, retry};
use crate::checkpoint::upload;
use crate::fault::chain;
use crate::logs;
use crate::secret;
use crate::stage::{Unprepared, free_port, generation_directory, prepare, run_directory};
use crate::supervise::{self, Launch, exit_of, signal_group};
use crate::wire::{
    Assignment, Exit, Fault, GangView, Master, Rank, RunSpec, Stage, StepNumber, Upload, WorkerView, key,
};
use rustix::process::Signal;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::path::PathBuf;
use std::time::Duration;
use tokio::net::UnixDatagram;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

/// How long the store may be out of reach before the user's output files count as not sent.
const OUTPUT_BUDGET: Duration = Duration::from_secs(120);
/// How often finished checkpoints are looked for besides the workers' own messages, which may be lost.
const SCAN: Duration = Duration::from_millis(500);
/// A killed process that the kernel cannot end (uninterruptible sleep) is left after this, and said so.
const KILL_DEADLINE: Duration = Duration::from_secs(10);
/// Ranks whose shards are sent at the same time.
const PARALLEL_UPLOADS: usize = 2;
/// Local checkpoints that are kept besides the committed one, as copies for a restart.
const KEEP_LOCAL: usize = 2;
/// A report of a worker: one step's metrics.
const MAX_REPORT: usize = 16 * 1024;

/// What the agent wants of a gang's task.
#[derive(Debug, Clone, Default)]
pub struct Control {
    /// Where rank 0 listens, once known: start the workers.
    pub master: Option<Master>,
    /// The newest committed checkpoint.
    pub committed: Option<StepNumber>,
    /// Stop, and how long workers may take to end by themselves.
    pub stop: Option<Duration>,
}

/// What workers say on `FORGE_SOCKET`, one JSON datagram each.
#[derive(Debug, Deserialize)]
struct Report {
    rank: Rank,
    generation: u64,
    event: String,
    step: StepNumber,
    #[serde(default)]
    metrics: BTreeMap<String, f64>,
}

struct Worker {
    pid: u32,
    exit: Option<Exit>,
    step: Option<StepNumber>,
    moved: Instant,
    metrics: BTreeMap<String, f64>,
    flushed: bool,
    ended: watch::Sender<bool>,
}

enum Finished {
    Exit(Rank, Exit),
    Flushed(Rank, bool),
    Uploaded(StepNumber, Rank, Result<Upload, BucketError>),
    Output(Result<(), BucketError>),
}

/// Everything of one generation on this node.
struct Gang<'a> {
    context: &'a Context,
    assignment: &'a Assignment,
    spec: RunSpec,
    workers: BTreeMap<Rank, Worker>,
    tasks: JoinSet<Finished>,
    uploads: Vec<Upload>,
    /// Rank directories that are known, whatever became of them.
    known: BTreeSet<(StepNumber, Rank)>,
    waiting: Vec<(StepNumber, Rank, PathBuf)>,
    uploading: usize,
    output_pending: bool,
    trouble: Option<String>,
}

/// Takes part in a generation until told to stop.
pub async fn run(
    context: Context,
    assignment: Assignment,
    mut control: watch::Receiver<Control>,
    mut faults: mpsc::Receiver<Fault>,
) {
    show(&context, &assignment, Stage::Preparing);
    let prepared = tokio::select! {
        prepared = prepare(&context, &assignment) => prepared,
        () = stopped(&mut control) => return,
    };
    let spec = match prepared {
        Ok(spec) => spec,
        Err(error) => {
            tracing::warn!(%error, "could not prepare");
            let damaged = match &error {
                Unprepared::Checkpoint(step, _) => Some(*step),
                _ => None,
            };
            show(&context, &assignment, Stage::Failed { message: chain(&error), damaged });
            return stopped(&mut control).await;
        }
    };
    show(&context, &assignment, Stage::Prepared { port: free_port(&context) });
    let told = control.wait_for(|control| control.master.is_some() || control.stop.is_some()).await;
    let master = told.ok().and_then(|control| control.master.clone().filter(|_| control.stop.is_none()));
    let Some(master) = master else { return };
    let mut gang = Gang {
        context: &context,
        assignment: &assignment,
        spec,
        workers: BTreeMap::new(),
        tasks: JoinSet::new(),
        uploads: Vec::new(),
        known: BTreeSet::new(),
        waiting: Vec::new(),
        uploading: 0,
        output_pending: false,
        trouble: None,
    };
    match gang.start(&master) {
        Ok(socket) => gang.watch(socket, &mut control, &mut faults).await,
        Err(error) => {
            tracing::error!(%error, "workers could not be started");
            let message = format!("workers could not be started: {error}");
            show(&context, &assignment, Stage::Failed { message, damaged: None });
            stopped(&mut control).await;
        }
    }
    let grace = control.borrow().stop.unwrap_or_default();
    gang.stop(grace).await;
}

async fn stopped(control: &mut watch::Receiver<Control>) {
    // A dropped sender means that the agent ends.
    let _ = control.wait_for(|control| control.stop.is_some()).await;
}

fn show(context: &Context, assignment: &Assignment, stage: Stage) {
    context.show(GangView::at(assignment, stage));
}

impl Gang<'_> {
    fn directory(&self) -> PathBuf {
        generation_directory(self.context, self.assignment)
    }

    fn checkpoints(&self) -> PathBuf {
        self.directory().join("checkpoints")
    }

    fn marker(&self) -> String {
        format!("{}{}/{}/", self.context.marker(), self.assignment.run, self.assignment.generation)
    }

    fn start(&mut self, master: &Master) -> io::Result<UnixDatagram> {
        // An abstract name leaves no file behind, and can be as long as it needs to be.
        let mut random = [0; 8];
        getrandom::fill(&mut random).map_err(io::Error::other)?;
        let name = format!("forge-{:016x}", u64::from_le_bytes(random));
        let address = std::os::unix::net::SocketAddr::from_abstract_name(&name)?;
        let socket = std::os::unix::net::UnixDatagram::bind_addr(&address)?;
        socket.set_nonblocking(true)?;
        let socket = UnixDatagram::from_std(socket)?;
        let local = self.spec.workers_per_node;
        for local_rank in 0..local {
            let rank = self.assignment.node_rank * local + local_rank;
            self.start_worker(rank, local_rank, master, &name)?;
        }
        self.context.ledger(self.assignment, self.workers.values().map(|worker| worker.pid).collect())?;
        self.publish(true);
        Ok(socket)
    }

    fn start_worker(&mut self, rank: Rank, local_rank: u32, master: &Master, socket: &str) -> io::Result<()> {
        let mut environment = self.environment(rank, local_rank, master, socket);
        for (name, reference) in &self.spec.secrets {
            environment.insert(name.clone(), secret::read(reference)?);
        }
        let output = self.directory().join(format!("rank-{rank}.log"));
        let code = run_directory(self.context, self.assignment).join("code");
        let launch = Launch {
            command: &self.spec.command,
            environment: &environment,
            directory: &self.spec.workdir.as_ref().map_or(code.clone(), |workdir| code.join(workdir)),
            output: &output,
        };
        let mut child = supervise::launch(&self.context.program, &launch)?;
        let pid = child.id().ok_or_else(|| io::Error::other("the worker has no process id"))?;
        self.tasks.spawn(async move {
            let exit = child.wait().await.map_or(Exit::Code(-1), exit_of);
            Finished::Exit(rank, exit)
        });
        let (ended, over) = watch::channel(false);
        let source = logs::Source {
            run: self.assignment.run.clone(),
            generation: self.assignment.generation,
            rank,
            file: output,
        };
        let bucket = self.context.bucket.clone();
        // Detached from the gang: the last words of a worker must arrive even when the next generation forms.
        let shipping = tokio::spawn(logs::ship(bucket, source, over));
        self.tasks.spawn(async move { Finished::Flushed(rank, shipping.await.unwrap_or(false)) });
        let worker = Worker {
            pid,
            exit: None,
            step: None,
            moved: Instant::now(),
            metrics: BTreeMap::new(),
            flushed: false,
            ended,
        };
        self.workers.insert(rank, worker);
        Ok(())
    }

    /// The environment of a worker: torchrun's, JAX's and forge's own.
    fn environment(&self, rank: Rank, local_rank: u32, master: &Master, socket: &str) -> BTreeMap<String, String> {
        let (spec, assignment) = (&self.spec, self.assignment);
        let world = spec.world_size().to_string();
        let library = self.context.directory.join("lib").display().to_string();
        let python_path = match std::env::var("PYTHONPATH") {
            Ok(existing) if !existing.is_empty() => format!("{library}:{existing}"),
            _ => library,
        };
        let mut environment: BTreeMap<String, String> = spec.env.clone();
        let mut set = |name: &str, value: String| environment.insert(name.to_owned(), value);
        set("RANK", rank.to_string());
        set("LOCAL_RANK", local_rank.to_string());
        set("WORLD_SIZE", world.clone());
        set("LOCAL_WORLD_SIZE", spec.workers_per_node.to_string());
        set("GROUP_RANK", assignment.node_rank.to_string());
        set("GROUP_WORLD_SIZE", spec.nodes.to_string());
        set("ROLE_RANK", rank.to_string());
        set("ROLE_WORLD_SIZE", world.clone());
        set("MASTER_ADDR", master.address.clone());
        set("MASTER_PORT", master.port.to_string());
        set("TORCHELASTIC_RUN_ID", assignment.run.0.clone());
        set("TORCHELASTIC_RESTART_COUNT", assignment.restarts.to_string());
        set("TORCHELASTIC_MAX_RESTARTS", spec.restarts.max.to_string());
        set("TORCHELASTIC_USE_AGENT_STORE", "False".into());
        set("JAX_COORDINATOR_ADDRESS", format!("{}:{}", master.address, master.port));
        set("JAX_NUM_PROCESSES", world);
        set("JAX_PROCESS_ID", rank.to_string());
        set("FORGE_RUN_ID", assignment.run.0.clone());
        set("FORGE_JOB", spec.job.clone());
        set("FORGE_NODE", self.context.name.0.clone());
        set("FORGE_GENERATION", assignment.generation.to_string());
        set("FORGE_CHECKPOINT_DIR", self.checkpoints().display().to_string());
        if let Some(every) = spec.checkpoint.every_steps {
            set("FORGE_CHECKPOINT_EVERY", every.to_string());
        }
        if let Some(step) = assignment.resume {
            set("FORGE_RESUME_DIR", self.directory().join("resume").display().to_string());
            set("FORGE_RESUME_STEP", step.to_string());
        }
        set("FORGE_OUTPUT_DIR", self.directory().join("output").display().to_string());
        if let Some(scratch) = &spec.scratch {
            set("FORGE_SCRATCH", scratch.clone());
        }
        set("FORGE_SOCKET", format!("@{socket}"));
        set("PYTHONPATH", python_path);
        // A Python worker's prints are to be seen when they happen.
        set("PYTHONUNBUFFERED", "1".into());
        set(supervise::MARKER, self.marker());
        environment
    }

    async fn watch(
        &mut self,
        socket: UnixDatagram,
        control: &mut watch::Receiver<Control>,
        faults: &mut mpsc::Receiver<Fault>,
    ) {
        let mut scan = tokio::time::interval(SCAN);
        scan.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        let mut buffer = vec![0; MAX_REPORT];
        loop {
            tokio::select! {
                // Ends before reports: what a worker said last has been read by the time its end is acted on.
                Some(finished) = self.tasks.join_next() => {
                    while let Ok(length) = socket.try_recv(&mut buffer) {
                        self.note(&buffer[..length]);
                    }
                    self.settle(finished);
                }
                Ok(length) = socket.recv(&mut buffer) => self.note(&buffer[..length]),
                Some(fault) = faults.recv() => self.inject(&fault),
                _ = scan.tick() => {
                    self.scan();
                    self.publish(false);
                }
                changed = control.changed() => {
                    let now = control.borrow().clone();
                    if changed.is_err() || now.stop.is_some() {
                        return;
                    }
                    self.forget_committed(now.committed);
                }
            }
        }
    }

    fn note(&mut self, datagram: &[u8]) {
        // Whatever a worker sends, the agent lives on.
        let Ok(report) = serde_json::from_slice::<Report>(datagram) else {
            return tracing::debug!(bytes = datagram.len(), "a worker's report cannot be read");
        };
        if report.generation != self.assignment.generation {
            return;
        }
        let Some(worker) = self.workers.get_mut(&report.rank) else { return };
        match report.event.as_str() {
            "step" => {
                (worker.step, worker.moved) = (Some(report.step), Instant::now());
                worker.metrics = report.metrics;
                self.publish(false);
            }
            "checkpoint" => self.scan(),
            other => tracing::debug!(event = other, "an unknown report"),
        }
    }

    fn settle(&mut self, finished: Result<Finished, tokio::task::JoinError>) {
        match finished {
            Ok(Finished::Exit(rank, exit)) => {
                tracing::info!(rank, %exit, "worker ended");
                if let Some(worker) = self.workers.get_mut(&rank) {
                    worker.exit = Some(exit);
                    worker.ended.send_replace(true);
                }
                // The last checkpoint may have been finished in the worker's last moment.
                self.scan();
                let all = self.workers.values().all(|worker| worker.exit == Some(Exit::Code(0)));
                if all && self.workers.contains_key(&0) {
                    self.ship_output();
                }
            }
            Ok(Finished::Flushed(rank, whole)) => {
                if let Some(worker) = self.workers.get_mut(&rank) {
                    // Output that cannot be shipped within its deadline holds up nothing any longer.
                    worker.flushed = true;
                }
                if !whole {
                    self.trouble = Some(format!("output of rank {rank} could not all be shipped"));
                }
            }
            Ok(Finished::Uploaded(step, rank, result)) => {
                self.uploading -= 1;
                match result {
                    Ok(upload) => {
                        tracing::info!(step, rank, shards = upload.shards.len(), "shards are durable");
                        self.uploads.push(upload);
                    }
                    Err(error) => {
                        tracing::error!(%error, step, rank, "upload failed");
                        self.trouble = Some(format!("checkpoint {step} of rank {rank}: {}", chain(&error)));
                    }
                }
                self.upload_next();
            }
            Ok(Finished::Output(result)) => {
                self.output_pending = false;
                if let Err(error) = result {
                    self.trouble = Some(format!("output files: {}", chain(&error)));
                }
            }
            Err(error) => tracing::error!(%error, "a task of the gang failed"),
        }
        self.publish(true);
    }

    fn inject(&mut self, fault: &Fault) {
        let (rank, signal) = match fault {
            Fault::KillWorker(rank) => (rank, Signal::KILL),
            Fault::HangWorker(rank) => (rank, Signal::STOP),
            Fault::KillNode => return,
        };
        if let Some(worker) = self.workers.get(rank).filter(|worker| worker.exit.is_none()) {
            signal_group(worker.pid, signal);
        }
    }

    fn scan(&mut self) {
        match upload::finished(&self.checkpoints()) {
            Ok(found) => {
                for (step, rank, directory) in found {
                    if self.known.insert((step, rank)) {
                        self.waiting.push((step, rank, directory));
                    }
                }
                self.upload_next();
            }
            Err(error) => self.trouble = Some(format!("checkpoints cannot be read: {error}")),
        }
    }

    fn upload_next(&mut self) {
        while self.uploading < PARALLEL_UPLOADS && !self.waiting.is_empty() {
            let (step, rank, directory) = self.waiting.remove(0);
            self.uploading += 1;
            let (bucket, run) = (self.context.bucket.clone(), self.assignment.run.clone());
            let generation = self.assignment.generation;
            self.tasks.spawn(async move {
                let uploaded = upload::upload(&*bucket, &run, generation, (step, rank, directory)).await;
                Finished::Uploaded(step, rank, uploaded)
            });
        }
    }

    /// Sends what rank 0 left for the user.
    fn ship_output(&mut self) {
        self.output_pending = true;
        let (bucket, run, output) =
            (self.context.bucket.clone(), self.assignment.run.clone(), self.directory().join("output"));
        self.tasks.spawn(async move {
            let listed = upload::files(&output).map_err(|source| BucketError::Io {
                key: output.display().to_string(),
                doing: "listing the output",
                source,
            });
            let sent = async {
                for path in listed? {
                    let key = key::output(&run, &path);
                    retry(OUTPUT_BUDGET, || bucket.put_file(&key, output.join(&path))).await?;
                }
                Ok(())
            };
            Finished::Output(sent.await)
        });
    }

    fn forget_committed(&mut self, committed: Option<StepNumber>) {
        let Some(committed) = committed else { return };
        self.uploads.retain(|upload| upload.step > committed);
        let known: BTreeSet<_> = self.known.iter().map(|(step, _)| *step).filter(|step| *step <= committed).collect();
        for old in known.into_iter().rev().skip(KEEP_LOCAL) {
            // Gone already, or still there for the next time: either is fine.
            let _ = fs::remove_dir_all(self.checkpoints().join(format!("step-{old}")));
        }
        self.publish(true);
    }

    /// Shows the gang in the node's view; what cannot wait for the next beat is `urgent`.
    fn publish(&self, urgent: bool) {
        let workers = self.workers.iter().map(|(rank, worker)| WorkerView {
            rank: *rank,
            pid: worker.pid,
            exit: worker.exit,
            step: worker.step,
            idle_ms: worker.moved.elapsed().as_millis() as u64,
            metrics: worker.metrics.clone(),
            flushed: worker.flushed,
        });
        let view = GangView {
            workers: workers.collect(),
            uploads: self.uploads.clone(),
            uploading: (self.uploading + self.waiting.len() + usize::from(self.output_pending)) as u32,
            trouble: self.trouble.clone(),
            ..GangView::at(self.assignment, Stage::Started)
        };
        if urgent {
            self.context.show(view);
        } else {
            self.context.show_later(view);
        }
    }

    /// Ends every worker and whatever they started.
    async fn stop(mut self, grace: Duration) {
        let alive = |gang: &Self| -> Vec<u32> {
            gang.workers.values().filter(|worker| worker.exit.is_none()).map(|worker| worker.pid).collect()
        };
        for pid in alive(&self) {
            signal_group(pid, Signal::TERM);
        }
        self.await_exits(grace).await;
        for pid in alive(&self) {
            signal_group(pid, Signal::KILL);
        }
        self.await_exits(KILL_DEADLINE).await;
        let marker = self.marker();
        let left = tokio::task::spawn_blocking(move || supervise::sweep(&marker, KILL_DEADLINE)).await;
        if let Ok(left) = left
            && !left.is_empty()
        {
            tracing::error!(?left, "processes that the kernel cannot end");
        }
        // Waiting for exits is over; output is shipped by tasks of their own.
        self.tasks.abort_all();
    }

    async fn await_exits(&mut self, within: Duration) {
        let deadline = Instant::now() + within;
        while self.workers.values().any(|worker| worker.exit.is_none()) {
            match tokio::time::timeout_at(deadline, self.tasks.join_next()).await {
                Ok(Some(finished)) => self.settle(finished),
                Ok(None) | Err(_) => return,
            }
        }
    }
}
