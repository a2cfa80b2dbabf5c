//! All of the leader's thinking: what to do next, and why. Pure.
//!
//! [`decide`] looks at everything the leader knows and names one thing to do; the leader does it, which changes what it
//! knows, and asks again. A decision always comes with its reason, and "nothing" has one too: what is being waited for.
//!
//! The order of the questions matters. A checkpoint whose shards are all durable is committed before a failure is looked
//! at, so that the restart begins from it. A lost node is looked at before the exits of workers elsewhere, because
//! those are its consequence.

use crate::wire::{
    Cause, Exit, GangView, Master, NodeId, NodeView, Phase, Restart, RunSpec, RunState, Shard, Stage, StepNumber,
    UnixMillis, Upload, WorkerView,
};
use std::collections::{BTreeMap, BTreeSet};

/// Milliseconds of the leader's own monotonic clock.
pub type Millis = u64;

/// After how long what counts as what.
#[derive(Debug, Clone, Copy)]
pub struct Policy {
    /// A node that says nothing for so long is gone. Three beats of a second each.
    pub silent_after: Millis,
    /// A node whose connection broke and that does not come back within this is gone. A living agent reconnects in a few
    /// milliseconds; a dead one's kernel closes the connection at once.
    pub reconnect_within: Millis,
    /// A new leader gives the gang's nodes so long to find it.
    pub settle: Millis,
    /// A gang whose workers take longer to their first step hangs. Loading and compiling a large model takes many minutes.
    pub first_step_within: Millis,
    /// The same failure this many times in a row at the same step is the user's bug.
    pub same_failure: usize,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            silent_after: 3_000,
            reconnect_within: 400,
            settle: 4_000,
            first_step_within: 30 * 60_000,
            same_failure: 3,
        }
    }
}

/// A node as the leader sees it.
#[derive(Debug, Clone)]
pub struct NodeSeen {
    /// The life of its agent.
    pub instance: String,
    /// What it last said.
    pub view: NodeView,
    /// When that was.
    pub heard: Millis,
    /// Since when it has no connection; none while it has one.
    pub disconnected: Option<Millis>,
}

/// The run that is being worked on.
#[derive(Debug, Clone)]
pub struct ActiveRun {
    /// What to run.
    pub spec: RunSpec,
    /// Where it stands.
    pub state: RunState,
    /// The committed checkpoints.
    pub committed: BTreeSet<StepNumber>,
    /// A person wants it to end.
    pub cancelled: bool,
}

/// Everything that the leader knows.
#[derive(Debug, Clone)]
pub struct View {
    /// When this leadership began.
    pub since: Millis,
    /// The nodes that it has heard of.
    pub nodes: BTreeMap<NodeId, NodeSeen>,
    /// Nodes that are known to be dead without having been heard of: the leader before, at whose address nobody listens.
    pub gone: BTreeSet<NodeId>,
    /// The run that is being worked on.
    pub run: Option<ActiveRun>,
}

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Wait.
    Nothing,
    /// Form the gang anew, as the next generation.
    Form {
        /// The gang, by node rank.
        members: Vec<NodeId>,
        /// The checkpoint to start from.
        resume: Option<StepNumber>,
        /// Why the old gang ended; none for the first.
        cause: Option<Cause>,
        /// The furthest step that the old gang reached.
        step: Option<StepNumber>,
        /// A checkpoint that turned out to be damaged.
        damaged: Option<StepNumber>,
    },
    /// Every node is prepared: start the workers.
    Start {
        /// Where rank 0 listens.
        master: Master,
    },
    /// Every rank's shards are durable: commit.
    Commit {
        /// The checkpoint.
        step: StepNumber,
        /// Its shards.
        shards: Vec<Shard>,
    },
    /// The run is over.
    End {
        /// How.
        phase: Phase,
    },
}

/// Why.
pub type Reason = String;

/// What to do next, and why.
///
/// `now` is the leader's monotonic clock; `wall` only places restarts in their budget's window, which must outlive a leader.
#[must_use]
pub fn decide(now: Millis, wall: UnixMillis, view: &View, policy: &Policy) -> (Decision, Reason) {
    let Some(run) = &view.run else { return nothing("no run is waiting") };
    if run.state.phase.is_over() {
        return nothing("the run is over");
    }
    if run.cancelled {
        return (Decision::End { phase: Phase::Cancelled }, "cancelled".into());
    }
    if run.state.phase == Phase::Queued {
        return first_formation(now, view, policy, run);
    }
    let scene = Scene { now, wall, view, policy, run };
    if let Some((step, shards)) = scene.committable() {
        return (Decision::Commit { step, shards }, format!("all ranks' shards of step {step} are durable"));
    }
    if let Some(decision) = scene.lost_node().or_else(|| scene.failed_node()).or_else(|| scene.failed_worker()) {
        return decision;
    }
    match run.state.phase {
        Phase::Forming => scene.start(),
        _ => scene.hang().unwrap_or_else(|| scene.finish()),
    }
}

fn nothing(reason: impl Into<String>) -> (Decision, Reason) {
    (Decision::Nothing, reason.into())
}

/// In what way a node is gone; none while it is there, or may still turn up.
#[must_use]
pub fn lost(now: Millis, view: &View, policy: &Policy, node: &NodeId) -> Option<String> {
    let Some(seen) = view.nodes.get(node) else {
        if view.gone.contains(node) {
            return Some("nobody listens at its address".into());
        }
        let waited = now.saturating_sub(view.since);
        return (waited > policy.settle).then(|| format!("not heard of for {} s", waited / 1000));
    };
    if seen.disconnected.is_some_and(|since| now.saturating_sub(since) > policy.reconnect_within) {
        return Some("its connection broke".into());
    }
    let silent = now.saturating_sub(seen.heard);
    (silent > policy.silent_after).then(|| format!("silent for {:.1} s", silent as f64 / 1000.0))
}

/// Nodes that could join a gang now, in order of their names.
fn available<'a>(
    now: Millis,
    view: &'a View,
    policy: &'a Policy,
    members: &'a [NodeId],
) -> impl Iterator<Item = &'a NodeId> {
    view.nodes
        .iter()
        .filter(move |(node, seen)| {
            !members.contains(node) && seen.view.unfit.is_none() && lost(now, view, policy, node).is_none()
        })
        .map(|(node, _)| node)
}

fn first_formation(now: Millis, view: &View, policy: &Policy, run: &ActiveRun) -> (Decision, Reason) {
    let wanted = run.spec.nodes as usize;
    let members: Vec<_> = available(now, view, policy, &[]).take(wanted).cloned().collect();
    if members.len() < wanted {
        return nothing(format!("waits for nodes: {} of {wanted} are fit", members.len()));
    }
    let resume = run.committed.last().copied();
    (Decision::Form { members, resume, cause: None, step: None, damaged: None }, "enough nodes are fit".into())
}

/// A run that is being formed or is running, with everything needed to judge it.
struct Scene<'a> {
    now: Millis,
    wall: UnixMillis,
    view: &'a View,
    policy: &'a Policy,
    run: &'a ActiveRun,
}

impl<'a> Scene<'a> {
    /// The members' parts in this very generation, by node rank.
    fn gangs(&self) -> impl Iterator<Item = (&'a NodeId, &'a NodeSeen, &'a GangView)> + use<'a> {
        let (view, state) = (self.view, &self.run.state);
        state.members.iter().filter_map(move |node| {
            let seen = view.nodes.get(node)?;
            let gang = seen.view.gang.as_ref()?;
            (gang.run == state.run && gang.generation == state.generation).then_some((node, seen, gang))
        })
    }

    fn workers(&self) -> impl Iterator<Item = (&'a NodeId, &'a NodeSeen, &'a WorkerView)> + use<'a> {
        self.gangs().flat_map(|(node, seen, gang)| gang.workers.iter().map(move |worker| (node, seen, worker)))
    }

    /// A gang that has finished no step of its own is where its checkpoint was.
    fn furthest_step(&self) -> Option<StepNumber> {
        self.workers().filter_map(|(_, _, worker)| worker.step).max().or(self.run.state.resume)
    }

    fn step_of(&self, rank: u32) -> Option<StepNumber> {
        self.workers().find(|(_, _, worker)| worker.rank == rank)?.2.step.or(self.run.state.resume)
    }

    /// The oldest step after the last committed one whose shards are durable for every rank. Older ones that a node still
    /// reports have been committed, and perhaps deleted since, by this leader or one before it.
    fn committable(&self) -> Option<(StepNumber, Vec<Shard>)> {
        let mut by_step: BTreeMap<StepNumber, Vec<&Upload>> = BTreeMap::new();
        for upload in self.gangs().flat_map(|(_, _, gang)| &gang.uploads) {
            by_step.entry(upload.step).or_default().push(upload);
        }
        by_step.into_iter().find_map(|(step, uploads)| {
            let ranks: BTreeSet<_> = uploads.iter().map(|upload| upload.rank).collect();
            let whole = ranks.into_iter().eq(0..self.run.spec.world_size());
            let fresh = self.run.committed.last().is_none_or(|newest| step > *newest);
            (whole && fresh).then(|| (step, uploads.iter().flat_map(|upload| upload.shards.clone()).collect()))
        })
    }

    fn lost_node(&self) -> Option<(Decision, Reason)> {
        self.run.state.members.iter().find_map(|node| {
            let unfit = || self.view.nodes.get(node).and_then(|seen| seen.view.unfit.clone());
            let how = lost(self.now, self.view, self.policy, node).or_else(unfit)?;
            Some(self.reform(Cause::NodeLost { node: node.clone(), how }, None))
        })
    }

    fn failed_node(&self) -> Option<(Decision, Reason)> {
        self.gangs().find_map(|(node, _, gang)| match &gang.stage {
            Stage::Failed { message, damaged } => {
                Some(self.reform(Cause::PrepareFailed { node: node.clone(), how: message.clone() }, *damaged))
            }
            Stage::Missing => {
                let how = "its agent was restarted and has no workers".to_owned();
                Some(self.reform(Cause::NodeLost { node: node.clone(), how }, None))
            }
            Stage::Preparing | Stage::Prepared { .. } | Stage::Started => None,
        })
    }

    fn failed_worker(&self) -> Option<(Decision, Reason)> {
        let failed = self.workers().filter_map(|(node, _, worker)| {
            let exit = worker.exit.filter(|exit| !exit.is_success())?;
            Some((node, worker.rank, exit))
        });
        // Peers of a worker that was killed end with an error of their own: name the signal, not its echo.
        let failed = failed.min_by_key(|(_, rank, exit)| (matches!(exit, Exit::Code(_)), *rank));
        let (node, rank, exit) = failed?;
        // A node whose connection has just closed may be the cause: wait for the verdict on it.
        let suspect = |member: &&NodeId| self.view.nodes.get(member).is_some_and(|seen| seen.disconnected.is_some());
        if let Some(member) = self.run.state.members.iter().find(suspect) {
            return Some(nothing(format!("rank {rank} ended with {exit}; {member} has no connection")));
        }
        Some(self.reform(Cause::WorkerExit { rank, node: node.clone(), how: exit.to_string() }, None))
    }

    fn hang(&self) -> Option<(Decision, Reason)> {
        // A program that never says how far it is may be quiet for as long as it likes.
        let earlier = self.run.state.restarts.iter().any(|restart| restart.step.is_some());
        let reports = earlier || self.furthest_step().is_some();
        let overdue = |seen: &NodeSeen, worker: &WorkerView| {
            let limit = match worker.step {
                Some(_) => self.run.spec.hang_after_ms,
                None => self.policy.first_step_within.max(self.run.spec.hang_after_ms),
            };
            worker.exit.is_none() && worker.idle_ms + self.now.saturating_sub(seen.heard) > limit
        };
        (reports && self.workers().any(|(_, seen, worker)| overdue(seen, worker))).then(|| {
            let slowest = self.workers().map(|(_, _, worker)| worker.step).min().flatten();
            let behind = self.workers().filter(|(_, _, worker)| worker.step == slowest);
            self.reform(Cause::Hang { ranks: behind.map(|(_, _, worker)| worker.rank).collect() }, None)
        })
    }

    /// The next generation, or the end when trying again makes no sense.
    fn reform(&self, cause: Cause, damaged: Option<StepNumber>) -> (Decision, Reason) {
        let state = &self.run.state;
        let step = match &cause {
            // Its peers may or may not have got one step further; the same bug always ends at the same step of its own.
            Cause::WorkerExit { rank, .. } => self.step_of(*rank),
            _ => self.furthest_step(),
        };
        if let Some(reason) = self.give_up(&cause, step) {
            return (Decision::End { phase: Phase::Failed }, reason);
        }
        let gone = |node: &NodeId| {
            lost(self.now, self.view, self.policy, node).is_some()
                || self.view.nodes.get(node).is_some_and(|seen| seen.view.unfit.is_some())
        };
        let mut spares = available(self.now, self.view, self.policy, &state.members);
        let mut members = Vec::with_capacity(state.members.len());
        for node in &state.members {
            // Survivors keep their ranks.
            let member = if gone(node) { spares.next() } else { Some(node) };
            let Some(member) = member else {
                return nothing(format!("{cause}; waits for a node to take its place"));
            };
            members.push(member.clone());
        }
        let usable = |step: &&StepNumber| !state.damaged.contains(step) && damaged != Some(**step);
        let resume = self.run.committed.iter().rev().find(usable).copied();
        let reason = cause.to_string();
        (Decision::Form { members, resume, cause: Some(cause), step, damaged }, reason)
    }

    fn give_up(&self, cause: &Cause, step: Option<StepNumber>) -> Option<Reason> {
        let policy = self.run.spec.restarts;
        let restarts = &self.run.state.restarts;
        let recent = restarts.iter().filter(|restart| self.wall.saturating_sub(restart.at) < policy.window_ms).count();
        if recent >= policy.max as usize {
            let window = policy.window_ms / 1000;
            return Some(format!("{cause}; {recent} restarts within {window} s is all that the job allows"));
        }
        let same = |restart: &&Restart| is_error_exit(&restart.cause) && restart.step == step;
        let before = restarts.iter().rev().take_while(same).count();
        (is_error_exit(cause) && before + 1 >= self.policy.same_failure).then(|| {
            let place = step.map_or("before its first step".to_owned(), |step| format!("after step {step}"));
            format!("{cause}: {} times in a row {place}. This is the program's fault, not a node's", before + 1)
        })
    }

    fn start(&self) -> (Decision, Reason) {
        let prepared = |gang: &GangView| matches!(gang.stage, Stage::Prepared { .. });
        let ready = self.gangs().filter(|(_, _, gang)| prepared(gang)).count();
        let wanted = self.run.state.members.len();
        // Rank 0 runs on the first member; its agent has found a port that is free there.
        match self.gangs().next() {
            Some((_, seen, GangView { stage: Stage::Prepared { port }, .. })) if ready == wanted => {
                let master = Master { address: seen.view.address.clone(), port: *port };
                (Decision::Start { master }, "every node is prepared".into())
            }
            _ => nothing(format!("{ready} of {wanted} nodes are prepared")),
        }
    }

    fn finish(&self) -> (Decision, Reason) {
        let done = self.workers().filter(|(_, _, worker)| worker.exit == Some(Exit::Code(0)) && worker.flushed).count();
        let uploading: u32 = self.gangs().map(|(_, _, gang)| gang.uploading).sum();
        if done as u32 == self.run.spec.world_size() && uploading == 0 {
            return (Decision::End { phase: Phase::Succeeded }, "every worker ended with exit code 0".into());
        }
        nothing(format!("runs; {done} of {} workers are done", self.run.spec.world_size()))
    }
}

fn is_error_exit(cause: &Cause) -> bool {
    matches!(cause, Cause::WorkerExit { how, .. } if how.starts_with("exit code"))
}

#[cfg(test)]
mod tests;
