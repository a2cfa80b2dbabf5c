//! The single writer: hears, decides, does.
//!
//! Everything that the leader does is made durable before anybody is told: a new generation is in the run's state before an
//! order for it goes out, so a leader that follows after a crash knows of every generation that a node may have heard of.
//! The state is written with the version that was last read; a leader that has been replaced without noticing fails at
//! that write and steps down.

use super::decide::{ActiveRun, Decision, Millis, NodeSeen, Policy, View, decide, lost};
use super::server::{ConnectionId, Heard};
use crate::bucket::{Bucket, BucketError, Condition, Documents, ETag};
use crate::checkpoint::{manifest, retain};
use crate::clock::wall;
use crate::wire::{
    Assignment, Cluster, ClusterNode, Epoch, Event, Fault, Injection, Manifest, NodeId, Order, Phase, Progress,
    Request, Restart, RunId, RunSpec, RunState, StepNumber, Sync, VERSION, key,
};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

/// How often time alone may change a decision.
const TICK: Duration = Duration::from_millis(100);
/// How often the bucket is asked for new runs and wishes.
const POLL: Duration = Duration::from_millis(250);
/// How often people's view of nodes and progress is written, at most.
const SHOW: Duration = Duration::from_millis(500);
/// A view that has not changed is written again after this, to show that somebody leads.
const SHOW_AGAIN: Duration = Duration::from_secs(2);
/// Workers of a gang that is formed anew have nothing left to save: their progress is in the last checkpoint.
const RESTART_GRACE_MS: u64 = 100;
/// Workers that a person ends may want to save something.
const CANCEL_GRACE_MS: u64 = 10_000;
/// Nodes that have been gone for so long are not shown any more.
const FORGET_AFTER: Millis = 60_000;

/// Why a leadership ended.
#[derive(Debug, thiserror::Error)]
pub enum Deposed {
    /// Somebody else has written what only the leader writes.
    #[error("another leader has taken over")]
    Replaced,
    /// The lease could not be renewed in time.
    #[error("the lease ran out")]
    Expired,
    /// The agent ends.
    #[error("the server ended")]
    Ended,
}

/// The leader's memory.
pub struct Leader {
    bucket: Arc<dyn Bucket>,
    epoch: Epoch,
    node: NodeId,
    started: Instant,
    policy: Policy,
    view: View,
    reports: BTreeMap<NodeId, u64>,
    connections: BTreeMap<NodeId, ConnectionId>,
    orders: BTreeMap<NodeId, watch::Sender<Order>>,
    injections: BTreeMap<NodeId, Vec<Injection>>,
    grace_ms: u64,
    state_version: Option<ETag>,
    queue_key: Option<String>,
    events: u64,
    reason: String,
    waits: Option<(Option<u64>, String)>,
    housekeeping: JoinSet<()>,
    polled: Option<Instant>,
    shown: Option<(Instant, Cluster)>,
    progress: Option<(Instant, Progress)>,
}

impl Leader {
    /// A leader that knows nothing yet but which node, if any, was found dead with the leader before.
    #[must_use]
    pub fn new(bucket: Arc<dyn Bucket>, epoch: Epoch, node: NodeId, dead: Option<NodeId>, policy: Policy) -> Self {
        Self {
            bucket,
            epoch,
            node,
            started: Instant::now(),
            policy,
            view: View { since: 0, nodes: BTreeMap::new(), gone: dead.into_iter().collect(), run: None },
            reports: BTreeMap::new(),
            connections: BTreeMap::new(),
            orders: BTreeMap::new(),
            injections: BTreeMap::new(),
            grace_ms: RESTART_GRACE_MS,
            state_version: None,
            queue_key: None,
            events: 0,
            reason: String::new(),
            waits: None,
            housekeeping: JoinSet::new(),
            polled: None,
            shown: None,
            progress: None,
        }
    }

    /// Leads until the lease is lost. `valid_until` is moved on by whoever renews the lease.
    ///
    /// # Errors
    /// Always ends with the reason for which it does not lead any more.
    pub async fn run(mut self, mut heard: mpsc::Receiver<Heard>, valid_until: watch::Receiver<Instant>) -> Deposed {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        loop {
            tokio::select! {
                message = heard.recv() => match message {
                    Some(message) => {
                        self.hear(message);
                        // What is waiting already belongs to the same moment.
                        while let Ok(message) = heard.try_recv() {
                            self.hear(message);
                        }
                    }
                    None => return Deposed::Ended,
                },
                _ = tick.tick() => {}
            }
            if Instant::now() >= *valid_until.borrow() {
                return Deposed::Expired;
            }
            match self.act().await {
                // A store that is out of reach: the lease decides how long to keep trying.
                Err(BucketError::Lost { .. }) => return Deposed::Replaced,
                Err(error) => tracing::warn!(%error, "the bucket failed; trying again"),
                Ok(()) => {}
            }
        }
    }

    fn now(&self) -> Millis {
        self.started.elapsed().as_millis() as Millis
    }

    fn hear(&mut self, message: Heard) {
        let now = self.now();
        match message {
            Heard::Sync { sync, connection, answer } => {
                let orders = self.orders_of(&sync.node);
                self.take_in(now, *sync, connection);
                let _ = answer.send(orders);
            }
            Heard::Closed(connection) => {
                // A node that has connected again since then is there.
                let node = self.connections.iter().find(|(_, current)| **current == connection);
                if let Some(node) = node.map(|(node, _)| node.clone()) {
                    tracing::info!(%node, "connection closed");
                    self.connections.remove(&node);
                    if let Some(seen) = self.view.nodes.get_mut(&node) {
                        seen.disconnected = Some(now);
                    }
                }
            }
        }
    }

    fn take_in(&mut self, now: Millis, sync: Sync, connection: ConnectionId) {
        let Sync { node, instance, report, view, .. } = sync;
        let same_life = self.view.nodes.get(&node).is_some_and(|seen| seen.instance == instance);
        let newest = self.reports.get(&node).copied().unwrap_or_default();
        if same_life && report < newest {
            return;
        }
        if !same_life {
            tracing::info!(%node, "joined");
            // What was to strike its earlier life has.
            self.injections.remove(&node);
        }
        self.reports.insert(node.clone(), report);
        self.connections.insert(node.clone(), connection);
        self.view.gone.remove(&node);
        self.view.nodes.insert(node, NodeSeen { instance, view, heard: now, disconnected: None });
    }

    fn orders_of(&mut self, node: &NodeId) -> watch::Receiver<Order> {
        if let Some(orders) = self.orders.get(node) {
            return orders.subscribe();
        }
        let order = Order {
            epoch: self.epoch,
            seq: 1,
            assignment: self.assignment_of(node),
            grace_ms: self.grace_ms,
            injections: Vec::new(),
        };
        // Until this leader knows whether there is a run, it must not tell a node to stop what it does.
        let order = if self.polled.is_some() { order } else { Order { seq: 0, epoch: 0, ..order } };
        let (sender, receiver) = watch::channel(order);
        self.orders.insert(node.clone(), sender);
        receiver
    }

    async fn act(&mut self) -> Result<(), BucketError> {
        if self.polled.is_none_or(|at| at.elapsed() >= POLL) {
            self.poll_requests().await?;
            self.poll_queue().await?;
            self.polled = Some(Instant::now());
        }
        loop {
            let (decision, reason) = decide(self.now(), wall(), &self.view, &self.policy);
            if reason != self.reason {
                tracing::info!(?decision, %reason, "decided");
                self.reason.clone_from(&reason);
            }
            if decision == Decision::Nothing {
                self.say_what_it_waits_for(&reason).await?;
                break;
            }
            self.carry_out(decision, reason).await?;
        }
        self.publish();
        self.show().await
    }

    /// Once for each thing that is waited for; figures in the reason may change all the time.
    async fn say_what_it_waits_for(&mut self, reason: &str) -> Result<(), BucketError> {
        let key: String = reason.chars().filter(|c| !c.is_ascii_digit()).collect();
        let generation = self.view.run.as_ref().map(|run| run.state.generation);
        let waits = (generation, key);
        if !reason.contains("waits for") || self.waits.as_ref() == Some(&waits) {
            return Ok(());
        }
        self.waits = Some(waits);
        self.event("waits", reason.to_owned()).await
    }

    async fn carry_out(&mut self, decision: Decision, reason: String) -> Result<(), BucketError> {
        let Some(run) = &self.view.run else { return Ok(()) };
        let mut state = run.state.clone();
        state.epoch = self.epoch;
        state.reason.clone_from(&reason);
        match decision {
            Decision::Nothing => Ok(()),
            Decision::Form { members, resume, cause, step, damaged } => {
                if let Some(damaged) = damaged {
                    self.quarantine(damaged).await?;
                    state.damaged.push(damaged);
                }
                let event = format!("{}; {}", reason, describe_formation(&state, &members, resume));
                let kind = if cause.is_some() { "restart" } else { "formed" };
                state.restarts.extend(cause.map(|cause| Restart {
                    at: wall(),
                    cause,
                    generation: state.generation,
                    step,
                }));
                state.generation += 1;
                state.phase = Phase::Forming;
                (state.members, state.resume, state.master) = (members, resume, None);
                state.started_at.get_or_insert(wall());
                self.grace_ms = RESTART_GRACE_MS;
                self.save(state).await?;
                // Orders first: everybody waits for them and nobody for the event.
                self.publish();
                self.event(kind, event).await
            }
            Decision::Start { master } => {
                state.phase = Phase::Running;
                state.master = Some(master);
                self.save(state).await?;
                self.publish();
                self.event("started", "workers start".into()).await
            }
            Decision::Commit { step, shards } => self.commit(state, step, shards).await,
            Decision::End { phase } => self.end(state, phase, reason).await,
        }
    }

    /// Writes the run's state; only then does this leader believe it.
    async fn save(&mut self, state: RunState) -> Result<(), BucketError> {
        let condition = self.state_version.clone().map_or(Condition::Absent, Condition::Match);
        let version = self.bucket.write(&key::state(&state.run), &state, condition).await?;
        self.state_version = Some(version);
        if let Some(run) = &mut self.view.run {
            run.state = state;
        }
        Ok(())
    }

    async fn commit(
        &mut self,
        mut state: RunState,
        step: StepNumber,
        shards: Vec<crate::wire::Shard>,
    ) -> Result<(), BucketError> {
        let Some(run) = &self.view.run else { return Ok(()) };
        let manifest = Manifest::new(state.run.clone(), step, state.generation, run.spec.world_size(), shards, wall());
        let message = format!("step {step}: {} bytes in {} shards", manifest.bytes(), manifest.shards.len());
        manifest::commit(&*self.bucket, &manifest).await?;
        let policy = run.spec.checkpoint;
        if let Some(run) = &mut self.view.run {
            run.committed.insert(step);
            for gone in retain::expendable(&run.committed, &policy, state.resume) {
                run.committed.remove(&gone);
                let (bucket, run) = (self.bucket.clone(), state.run.clone());
                self.housekeeping.spawn(async move {
                    // What is left over by a failure is listed again by the next leader.
                    if let Err(error) = manifest::remove(&*bucket, &run, gone).await {
                        tracing::warn!(%error, step = gone, "an old checkpoint could not be deleted");
                    }
                });
            }
        }
        while self.housekeeping.try_join_next().is_some() {}
        state.committed = Some(step);
        state.damaged.retain(|damaged| *damaged != step);
        self.save(state).await?;
        self.event("committed", message).await
    }

    /// A damaged checkpoint is not offered again, but kept for whoever wants to know.
    async fn quarantine(&mut self, step: StepNumber) -> Result<(), BucketError> {
        let Some(run) = &mut self.view.run else { return Ok(()) };
        let key = key::manifest(&run.spec.run, step);
        if let Some(object) = self.bucket.get(&key).await? {
            self.bucket.put(&format!("{key}.damaged"), object.bytes, Condition::Always).await?;
            self.bucket.delete(&key).await?;
        }
        run.committed.remove(&step);
        self.event("damaged", format!("checkpoint of step {step} is damaged; falling back to an older one")).await
    }

    async fn end(&mut self, mut state: RunState, phase: Phase, reason: String) -> Result<(), BucketError> {
        state.phase = phase;
        state.ended_at = Some(wall());
        self.grace_ms = if phase == Phase::Cancelled { CANCEL_GRACE_MS } else { RESTART_GRACE_MS };
        self.write_progress(true).await?;
        // Whoever follows the run stops at its final state, so everything else comes before it.
        self.event("ended", format!("{phase}: {reason}")).await?;
        self.save(state).await?;
        if let Some(key) = self.queue_key.take() {
            self.bucket.delete(&key).await?;
        }
        (self.view.run, self.state_version, self.progress) = (None, None, None);
        self.polled = None;
        Ok(())
    }

    async fn event(&mut self, kind: &str, message: String) -> Result<(), BucketError> {
        let Some(run) = &self.view.run else { return Ok(()) };
        tracing::info!(run = %run.spec.run, kind, %message, "event");
        self.events += 1;
        let event = Event {
            v: VERSION,
            at: wall(),
            epoch: self.epoch,
            generation: run.state.generation,
            kind: kind.into(),
            message,
        };
        let key = key::event(&run.spec.run, self.epoch, self.events);
        self.bucket.write(&key, &event, Condition::Always).await.map(|_| ())
    }

    async fn poll_queue(&mut self) -> Result<(), BucketError> {
        if self.view.run.is_some() {
            return Ok(());
        }
        for queued in self.bucket.list(key::QUEUE).await? {
            let Some(run) = key::run_of_queued(&queued) else { continue };
            let spec = match self.bucket.read::<RunSpec>(&key::spec(&run)).await {
                Ok(Some((spec, _))) => spec,
                Ok(None) => continue,
                // One run that cannot be understood must not hold up the others.
                Err(error @ (BucketError::Damaged { .. } | BucketError::Newer { .. })) => {
                    self.refuse(&run, &queued, &error).await?;
                    continue;
                }
                Err(error) => return Err(error),
            };
            let (state, version) = match self.bucket.read::<RunState>(&key::state(&run)).await? {
                Some((state, version)) => (state, Some(version)),
                None => (RunState::queued(run.clone()), None),
            };
            if state.phase.is_over() {
                // A leader died between the end and this.
                self.bucket.delete(&queued).await?;
                continue;
            }
            let committed = manifest::committed(&*self.bucket, &run).await?;
            let taken_over = state.generation > 0;
            (self.state_version, self.queue_key) = (version, Some(queued));
            self.view.run = Some(ActiveRun { spec, state, committed, cancelled: false });
            if taken_over {
                let message = format!("{} leads now; workers run on", self.node);
                self.event("leader", message).await?;
            }
            return Ok(());
        }
        Ok(())
    }

    /// Ends a run that cannot even be begun.
    async fn refuse(&self, run: &RunId, queued: &str, error: &BucketError) -> Result<(), BucketError> {
        tracing::warn!(%run, %error, "refused");
        let mut state = RunState::queued(run.clone());
        (state.phase, state.epoch, state.ended_at) = (Phase::Failed, self.epoch, Some(wall()));
        state.reason = format!("its specification cannot be understood: {error}");
        self.bucket.write(&key::state(run), &state, Condition::Always).await?;
        self.bucket.delete(queued).await
    }

    async fn poll_requests(&mut self) -> Result<(), BucketError> {
        for wish in self.bucket.list(key::REQUESTS).await? {
            let request = self.bucket.read::<Request>(&wish).await;
            // Deleted before it is acted on: a fault that kills this leader must not strike the next one again.
            self.bucket.delete(&wish).await?;
            match request {
                Ok(Some((request, _))) => self.fulfil(request).await?,
                Ok(None) => {}
                Err(error) => tracing::warn!(%error, "a request that cannot be read was dropped"),
            }
        }
        Ok(())
    }

    async fn fulfil(&mut self, request: Request) -> Result<(), BucketError> {
        let (node, fault) = match request {
            Request::Cancel { run } => return self.cancel(&run).await,
            Request::KillWorker { rank } => (self.node_of(rank), Fault::KillWorker(rank)),
            Request::HangWorker { rank } => (self.node_of(rank), Fault::HangWorker(rank)),
            Request::KillNode { node } => (Some(node), Fault::KillNode),
            Request::KillLeader => (Some(self.node.clone()), Fault::KillNode),
        };
        let Some(node) = node.filter(|node| self.orders.contains_key(node)) else { return Ok(()) };
        let what = match fault {
            Fault::KillWorker(rank) => format!("SIGKILL to rank {rank} on {node}"),
            Fault::HangWorker(rank) => format!("SIGSTOP to rank {rank} on {node}"),
            Fault::KillNode => format!("SIGKILL to {node} and all that runs on it"),
        };
        self.event("injected", what).await?;
        let id = format!("{}-{}", self.epoch, self.events);
        self.injections.entry(node).or_default().push(Injection { id, fault });
        Ok(())
    }

    fn node_of(&self, rank: u32) -> Option<NodeId> {
        let run = self.view.run.as_ref()?;
        run.state.members.get((rank / run.spec.workers_per_node.max(1)) as usize).cloned()
    }

    async fn cancel(&mut self, run: &RunId) -> Result<(), BucketError> {
        if let Some(active) = self.view.run.as_mut().filter(|active| active.spec.run == *run) {
            active.cancelled = true;
            return Ok(());
        }
        let state = self.bucket.read::<RunState>(&key::state(run)).await?;
        let (mut state, condition) = match state {
            Some((state, _)) if state.phase.is_over() => return Ok(()),
            Some((state, version)) => (state, Condition::Match(version)),
            None => (RunState::queued(run.clone()), Condition::Absent),
        };
        (state.phase, state.reason, state.ended_at) = (Phase::Cancelled, "cancelled".into(), Some(wall()));
        self.bucket.write(&key::state(run), &state, condition).await?;
        Ok(())
    }

    fn assignment_of(&self, node: &NodeId) -> Option<Assignment> {
        let run = self.view.run.as_ref()?;
        let node_rank = run.state.members.iter().position(|member| member == node)?;
        matches!(run.state.phase, Phase::Forming | Phase::Running).then(|| Assignment {
            run: run.spec.run.clone(),
            generation: run.state.generation,
            node_rank: node_rank as u32,
            resume: run.state.resume,
            restarts: run.state.restarts.len() as u32,
            committed: run.committed.last().copied(),
            master: run.state.master.clone(),
        })
    }

    /// Makes every node's order what it should be now.
    fn publish(&mut self) {
        for (node, orders) in &self.orders {
            let assignment = self.assignment_of(node);
            let injections = self.injections.get(node).cloned().unwrap_or_default();
            orders.send_if_modified(|order| {
                let same = order.epoch == self.epoch
                    && order.assignment == assignment
                    && order.injections == injections
                    && order.grace_ms == self.grace_ms;
                if !same {
                    let seq = order.seq + 1;
                    *order = Order { epoch: self.epoch, seq, assignment, grace_ms: self.grace_ms, injections };
                }
                !same
            });
        }
    }

    async fn show(&mut self) -> Result<(), BucketError> {
        let now = self.now();
        let gone = |seen: &NodeSeen| now.saturating_sub(seen.heard) > FORGET_AFTER;
        let forgotten: Vec<_> =
            self.view.nodes.iter().filter(|(_, seen)| gone(seen)).map(|(node, _)| node.clone()).collect();
        for node in forgotten {
            self.view.nodes.remove(&node);
            self.reports.remove(&node);
            self.connections.remove(&node);
            self.orders.remove(&node);
            self.injections.remove(&node);
        }
        let cluster = self.cluster();
        let due = match &self.shown {
            Some((at, shown)) => {
                let changed = *shown != Cluster { at: shown.at, ..cluster.clone() };
                at.elapsed() >= if changed { SHOW } else { SHOW_AGAIN }
            }
            None => true,
        };
        if due {
            self.bucket.write(key::CLUSTER, &cluster, Condition::Always).await?;
            self.shown = Some((Instant::now(), cluster));
        }
        self.write_progress(false).await
    }

    fn cluster(&self) -> Cluster {
        let nodes = self.view.nodes.iter().map(|(node, seen)| {
            let view = &seen.view;
            let (state, reason) = match (lost(self.now(), &self.view, &self.policy, node), &view.unfit, &view.gang) {
                (Some(how), _, _) => ("lost", how),
                (_, Some(unfit), _) => ("quarantined", unfit.clone()),
                (_, _, Some(gang)) => ("working", gang.trouble.clone().unwrap_or_default()),
                (_, _, None) => ("spare", String::new()),
            };
            ClusterNode {
                node: node.clone(),
                state: state.into(),
                reason,
                address: view.address.clone(),
                accelerators: view.accelerators,
                run: view.gang.as_ref().map(|gang| gang.run.clone()),
                ranks: view.gang.iter().flat_map(|gang| &gang.workers).map(|worker| worker.rank).collect(),
                pids: view.gang.iter().flat_map(|gang| &gang.workers).map(|worker| worker.pid).collect(),
            }
        });
        Cluster { v: VERSION, epoch: self.epoch, leader: self.node.clone(), at: wall(), nodes: nodes.collect() }
    }

    async fn write_progress(&mut self, now: bool) -> Result<(), BucketError> {
        let Some(run) = &self.view.run else { return Ok(()) };
        let workers = self.view.nodes.values().filter_map(|seen| seen.view.gang.as_ref());
        let workers = workers.filter(|gang| gang.run == run.spec.run && gang.generation == run.state.generation);
        let workers: Vec<_> = workers.flat_map(|gang| &gang.workers).collect();
        let Some(step) = workers.iter().map(|worker| worker.step).min().flatten() else { return Ok(()) };
        let metrics = workers.iter().find(|worker| worker.rank == 0).map(|worker| worker.metrics.clone());
        let progress = Progress { step: Some(step), metrics: metrics.unwrap_or_default(), at: wall() };
        let due = self.progress.as_ref().is_none_or(|(at, shown)| {
            (now || at.elapsed() >= SHOW) && (shown.step, &shown.metrics) != (progress.step, &progress.metrics)
        });
        if due {
            self.bucket.write(&key::progress(&run.spec.run), &progress, Condition::Always).await?;
            self.progress = Some((Instant::now(), progress));
        }
        Ok(())
    }
}

fn describe_formation(state: &RunState, members: &[NodeId], resume: Option<StepNumber>) -> String {
    let names: Vec<_> = members.iter().map(|node| node.0.as_str()).collect();
    let from = resume.map_or("from the beginning".to_owned(), |step| format!("from step {step}"));
    format!("generation {} on {}, {from}", state.generation + 1, names.join(", "))
}
