//! SPECIFICATION 5 and 6: whatever dies, hangs or is damaged, a run goes on by itself from its last committed checkpoint.
//!
//! The gang is a small one (`data/gang.py`): as strict as a real collective about who is there, and quick to start.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test panics and prints")]

use forge_agent::wire::{Cause, Cluster, Event, Lease, NodeId, Phase, Progress, RunId, RunState, key};
use forge_tests::processes::Process;
use forge_tests::{Ran, Site, processes, wait_until};
use rustix::process::{Pid, Signal, kill_process};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A bound on hope: everything here takes seconds on an idle machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A deployment whose jobs run `gang.py`.
struct Lab {
    site: Site,
    /// Agents that its fleet keeps.
    total: usize,
}

impl Lab {
    /// Two nodes and some spares; `jobs` are lines like `work: { … }`, without nodes and command.
    fn up(workers_per_node: u32, spares: usize, jobs: &[(&str, &str)]) -> Self {
        let mut blueprint = format!(
            "forge: v1\nname: lab\ntarget: local\nlocal: {{ nodes: 2, workers_per_node: {workers_per_node} }}\nmodules:\n  \
             network: {{ use: vpc }}\n  data: {{ use: s3 }}\n  \
             scratch: {{ use: fsx-lustre, with: {{ network: \"${{network}}\" }} }}\n  \
             gpus: {{ use: gpu-nodes, with: {{ instance_type: p5.48xlarge, count: 2, spares: {spares}, \
             scratch: \"${{scratch}}\" }} }}\njobs:\n"
        );
        for (job, settings) in jobs {
            blueprint += &format!("  {job}: {{ nodes: \"${{gpus}}\", command: [python3, gang.py], {settings} }}\n");
        }
        let site = Site::with(&[("blueprint.yaml", &blueprint), ("gang.py", include_str!("data/gang.py"))]);
        site.forge(&["up", "--yes"]).with_code(0);
        Self { site, total: 2 + spares }
    }

    fn home(&self) -> PathBuf {
        self.site.path().join(".forge/lab/local")
    }

    fn object(&self, key: &str) -> PathBuf {
        self.home().join("buckets/data.bucket").join(key)
    }

    /// What stands for a node's machine.
    fn machine(&self, node: &NodeId) -> PathBuf {
        self.home().join("fleets/gpus.fleet/nodes").join(&node.0)
    }

    fn read<T: serde::de::DeserializeOwned>(&self, key: &str) -> Option<T> {
        let bytes = std::fs::read(self.object(key)).ok()?;
        Some(serde_json::from_slice(&bytes).unwrap_or_else(|error| panic!("{key}: {error}")))
    }

    fn lease(&self) -> Lease {
        self.read(key::LEADER).expect("somebody leads")
    }

    /// Hands in a run and returns.
    fn submit(&self, job: &str, arguments: &[&str]) -> RunId {
        let arguments = [&["train", job, "--detach", "--json", "--"], arguments].concat();
        let submitted = self.site.forge(&arguments).with_code(0).json();
        submitted[0]["submitted"]["run"].as_str().unwrap().into()
    }

    fn state(&self, run: &RunId) -> RunState {
        self.read(&key::state(run)).unwrap_or_else(|| RunState::queued(run.clone()))
    }

    fn await_state(&self, run: &RunId, what: &str, holds: impl Fn(&RunState) -> bool) -> RunState {
        wait_until(&format!("{run}: {what}"), PATIENCE, || {
            let state = self.state(run);
            let ended = state.phase.is_over() && !holds(&state);
            assert!(!ended, "{run}: {what}, and it ended: {state:#?}");
            holds(&state)
        });
        self.state(run)
    }

    fn await_step(&self, run: &RunId, step: u64) {
        wait_until(&format!("{run} is past step {step}"), PATIENCE, || {
            self.read::<Progress>(&key::progress(run)).is_some_and(|progress| progress.step >= Some(step))
        });
    }

    fn await_success(&self, run: &RunId) -> RunState {
        self.await_state(run, "success", |state| state.phase == Phase::Succeeded)
    }

    /// The state that rank 0 ended with.
    fn outcome(&self, run: &RunId) -> serde_json::Value {
        self.read(&key::output(run, "final.json")).expect("rank 0 has left its state")
    }

    /// The same of a run to which nothing happens.
    fn undisturbed(&self, job: &str, arguments: &[&str]) -> serde_json::Value {
        let run = self.submit(job, arguments);
        let state = self.await_success(&run);
        assert_eq!((state.generation, state.restarts.as_slice()), (1, [].as_slice()));
        self.outcome(&run)
    }

    fn inject(&self, fault: &[&str]) -> Ran {
        self.site.forge(&[&["inject"], fault].concat()).with_code(0)
    }

    fn events(&self, run: &RunId) -> Vec<Event> {
        let mut keys: Vec<_> = std::fs::read_dir(self.object(&key::events(run))).unwrap().collect();
        keys.sort_by_key(|entry| entry.as_ref().unwrap().file_name());
        let read = |path: &Path| serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        keys.into_iter().map(|entry| read(&entry.unwrap().path())).collect()
    }

    fn events_of(&self, run: &RunId, kind: &str) -> Vec<String> {
        self.events(run).into_iter().filter(|event| event.kind == kind).map(|event| event.message).collect()
    }

    /// A rank's output, of all generations.
    fn log(&self, run: &RunId, rank: u32) -> String {
        self.site.forge(&["logs", &run.0, "--rank", &rank.to_string()]).with_code(0).stdout
    }

    /// What the leader in office sees, once that is every node of the fleet.
    fn whole_fleet(&self) -> Cluster {
        let mut seen = None;
        wait_until("the fleet is whole", PATIENCE, || {
            seen = self
                .read::<Cluster>(key::CLUSTER)
                .filter(|cluster| cluster.epoch == self.lease().epoch && living(cluster).len() == self.total);
            seen.is_some()
        });
        seen.expect("it was waited for")
    }

    /// Kills leaders until one leads that will, or will not, be in the gang of the next run.
    fn elect(&self, gang_member: bool) {
        for _ in 0..20 {
            let cluster = self.whole_fleet();
            if living(&cluster).iter().take(2).any(|node| *node == cluster.leader) == gang_member {
                return;
            }
            self.inject(&["kill-leader"]);
            wait_until("somebody else leads", PATIENCE, || self.lease().epoch > cluster.epoch);
        }
        panic!("twenty leaders, and none at the wanted place");
    }

    fn worker(&self, rank: u32) -> i32 {
        let mut pid = None;
        wait_until("the leader shows the worker's process", PATIENCE, || {
            let cluster = self.read::<Cluster>(key::CLUSTER).expect("there is a leader");
            let workers = cluster.nodes.iter().filter(|node| node.state == "working");
            let mut workers = workers.flat_map(|node| node.ranks.iter().zip(&node.pids));
            pid = workers.find(|(found, _)| **found == rank).map(|(_, pid)| i32::try_from(*pid).unwrap());
            pid.is_some()
        });
        pid.expect("it was waited for")
    }

    fn agent(&self, node: &NodeId) -> i32 {
        let named = format!(" --name {node} ");
        let processes = self.site.processes();
        processes.iter().find(|process| process.command.contains(&named)).expect("the node has an agent").pid
    }

    fn workers(&self) -> Vec<Process> {
        self.site.processes().into_iter().filter(|process| process.command.contains("gang.py")).collect()
    }

    fn await_no_worker(&self) {
        let busy = |process: &Process| process.command.contains("gang.py") || process.command.contains("sleep 86399");
        wait_until("no worker is left", PATIENCE, || !self.site.processes().iter().any(busy));
    }

    fn gate(&self) -> String {
        self.site.path().join("gate").display().to_string()
    }

    fn open_gate(&self) {
        self.site.write("gate", "");
    }
}

impl Drop for Lab {
    /// A failure here is hard to repeat: what the agents last said is shown with it.
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        for file in self
            .site
            .files()
            .iter()
            .filter(|file| file.contains("/fleets/") && file.ends_with(".log") && !file.contains("/rank-"))
        {
            let text = std::fs::read_to_string(self.site.path().join(file)).unwrap_or_default();
            let lines: Vec<_> = text.lines().filter(|line| !line.contains("shards are durable")).collect();
            println!("{file}\n{}\n", lines[lines.len().saturating_sub(25)..].join("\n"));
        }
    }
}

/// Nodes that are there, by name.
fn living(cluster: &Cluster) -> BTreeSet<NodeId> {
    cluster.nodes.iter().filter(|node| node.state != "lost").map(|node| node.node.clone()).collect()
}

fn kill(pid: i32) {
    kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
}

/// Numbers that look random: Steele, Lea and Flood's SplitMix64. A failure prints the seed.
struct Random(u64);

impl Random {
    fn seeded() -> Self {
        let seed = std::env::var("FORGE_TEST_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
        println!("FORGE_TEST_SEED={seed}");
        Self(seed)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % limit
    }
}

const WORK: (&str, &str) = ("work", "checkpoint: { every_steps: 5 }, restarts: { max: 10, window: 1h }");

#[test]
fn killed_workers_are_restarted_in_place_from_the_last_committed_step() {
    let lab = Lab::up(1, 1, &[WORK]);
    let steps = ["--steps", "160"];
    let undisturbed = lab.undisturbed("work", &steps);
    let mut random = Random::seeded();
    let run = lab.submit("work", &steps);
    for kills in 1..=4 {
        let step = (kills * 20 + random.below(15)).to_string();
        let rank = random.below(2).to_string();
        println!("SIGKILL to rank {rank} at step {step} or a little later");
        lab.inject(&["kill-worker", &rank, "--at-step", &step]);
        lab.await_state(&run, "a new generation", |state| state.generation == kills + 1);
    }
    let state = lab.await_success(&run);
    assert_eq!(lab.outcome(&run), undisturbed);

    let generations: Vec<_> = state.restarts.iter().map(|restart| restart.generation).collect();
    assert_eq!((generations, state.generation), (vec![1, 2, 3, 4], 5));
    let (mut committed, mut restarts) = ("from the beginning".to_owned(), 0);
    for event in lab.events(&run) {
        match event.kind.as_str() {
            "committed" => {
                let step = event.message.strip_prefix("step ").unwrap().split(':').next().unwrap();
                committed = format!("from step {step}");
            }
            "restart" => {
                restarts += 1;
                let place = format!("generation {} on {}, {}", restarts + 1, names(&state.members), committed);
                assert!(event.message.ends_with(&place), "{} should end with {place}", event.message);
            }
            _ => {}
        }
    }
    assert_eq!(restarts, 4);
    lab.await_no_worker();
}

fn names(nodes: &[NodeId]) -> String {
    nodes.iter().map(|node| node.0.as_str()).collect::<Vec<_>>().join(", ")
}

#[test]
fn a_spare_takes_the_place_of_a_lost_node_and_the_fleet_brings_a_new_one() {
    let lab = Lab::up(1, 1, &[WORK]);
    let undisturbed = lab.undisturbed("work", &["--steps", "100"]);
    let gate = lab.gate();
    let run = lab.submit("work", &["--steps", "100", "--sleeper", "--gate", "60", &gate]);
    lab.await_step(&run, 7);
    let mut names_so_far = BTreeSet::new();
    for losses in 1..=2 {
        let before = lab.state(&run);
        let fleet = living(&lab.whole_fleet());
        names_so_far.extend(fleet.clone());
        // First the last of the gang, as a machine that loses power; then the first, of which only the agent dies.
        let slot = if losses == 1 { 1 } else { 0 };
        let dead = before.members[slot].clone();
        let led = lab.lease().holder == dead;
        let sleeper = |process: &Process| process.command.contains("sleep 86399");
        let on_it = || processes::of(&lab.machine(&dead));
        wait_until("the worker has started its sleeper", PATIENCE, || on_it().iter().any(sleeper));
        if losses == 1 {
            lab.inject(&["kill-node"]);
        } else {
            kill(lab.agent(&dead));
        }

        let after = lab.await_state(&run, "a new generation runs", |state| {
            state.generation == before.generation + 1 && state.phase == Phase::Running
        });
        assert_eq!(after.members[1 - slot], before.members[1 - slot], "the survivor keeps its rank");
        // Until somebody else leads, the new node may have joined before the spare is back.
        let place = &after.members[slot];
        assert!(!before.members.contains(place) && (led || fleet.contains(place)), "a spare: {after:?}");
        let cause = &after.restarts.last().unwrap().cause;
        assert!(matches!(cause, Cause::NodeLost { node, .. } if *node == dead), "{cause}");
        wait_until("nothing of the dead node runs", PATIENCE, || on_it().is_empty());
        // The run's state and the cluster's are two documents: the loss may be in the first and not yet in the second.
        let mut fleet = BTreeSet::new();
        wait_until("the cluster's state knows of the loss and of the new node", PATIENCE, || {
            fleet = living(&lab.whole_fleet());
            !fleet.contains(&dead)
        });
        assert_eq!(fleet.difference(&names_so_far).count(), 1, "a new name: {fleet:?}, so far {names_so_far:?}");
    }
    lab.open_gate();
    lab.await_success(&run);
    assert_eq!(lab.outcome(&run), undisturbed);
    lab.await_no_worker();
}

#[test]
fn the_death_of_a_spare_that_leads_does_not_disturb_training() {
    let lab = Lab::up(1, 3, &[WORK]);
    let undisturbed = lab.undisturbed("work", &["--steps", "150"]);
    lab.elect(false);
    let gate = lab.gate();
    let run = lab.submit("work", &["--steps", "150", "--gate", "140", &gate]);
    lab.await_step(&run, 5);
    let before = lab.lease();
    assert!(!lab.state(&run).members.contains(&before.holder));
    lab.inject(&["kill-leader"]);
    wait_until("somebody else leads", PATIENCE, || lab.lease().epoch > before.epoch);
    assert_ne!(lab.lease().holder, before.holder);
    lab.open_gate();
    let state = lab.await_success(&run);
    assert!(state.epoch > before.epoch, "the new leader has seen it through: {state:?}");
    assert_eq!((state.generation, state.restarts.as_slice()), (1, [].as_slice()));
    assert_eq!(lab.events_of(&run, "restart"), [""; 0]);
    assert_eq!(lab.events_of(&run, "leader").len(), 1);
    for rank in 0..2 {
        assert_eq!(lab.log(&run, rank).matches("begins after step").count(), 1, "rank {rank}");
    }
    assert_eq!(lab.outcome(&run), undisturbed);
}

#[test]
fn a_rank_that_hangs_is_named_and_replaced() {
    let lab = Lab::up(1, 1, &[("work", "checkpoint: { every_steps: 5 }, hang_after: 3s")]);
    // Without an exchange the others go on, so it is plain who hangs.
    let steps = ["--alone", "--steps", "120"];
    let undisturbed = lab.undisturbed("work", &steps);
    let run = lab.submit("work", &steps);
    lab.await_step(&run, 10);
    let stopped = lab.worker(1);
    lab.inject(&["hang-worker", "1"]);
    let state = lab.await_success(&run);
    let causes: Vec<_> = state.restarts.iter().map(|restart| restart.cause.clone()).collect();
    assert_eq!(causes, [Cause::Hang { ranks: vec![1] }]);
    assert!(lab.events_of(&run, "restart")[0].contains("furthest behind: rank [1]"));
    assert!(!lab.site.processes().iter().any(|process| process.pid == stopped), "the stopped process is gone");
    assert_eq!(lab.outcome(&run), undisturbed);
    lab.await_no_worker();
}

#[test]
fn the_users_own_bug_is_said_to_be_one_after_three_tries() {
    let lab = Lab::up(1, 1, &[("work", "checkpoint: { every_steps: 2 }")]);
    let train = lab.site.forge(&["train", "work", "--", "--fail-at", "5"]).with_code(1);
    let state = lab.state(&"work-1".into());
    assert_eq!((state.phase, state.generation, state.restarts.len()), (Phase::Failed, 3, 2), "{state:#?}");
    let verdict = "3 times in a row after step 4. This is the program's fault, not a node's";
    assert!(state.reason.contains(verdict), "{}", state.reason);
    assert!(train.stderr.contains(verdict), "{}", train.stderr);
    assert!(train.stderr.contains("[1] the bug of step 5"), "the last lines of rank 1:\n{}", train.stderr);
    lab.await_no_worker();
}

#[test]
fn a_run_ends_when_its_budget_of_restarts_is_spent() {
    let lab = Lab::up(1, 1, &[("work", "checkpoint: { every_steps: 5 }, restarts: { max: 1, window: 1h }")]);
    let gate = lab.gate();
    let run = lab.submit("work", &["--gate", "20", &gate]);
    lab.inject(&["kill-worker", "0", "--at-step", "5"]);
    lab.await_state(&run, "the second generation runs", |state| state.generation == 2 && state.phase == Phase::Running);
    lab.inject(&["kill-worker", "0"]);
    let state = lab.await_state(&run, "failure", |state| state.phase == Phase::Failed);
    let budget = "; 1 restarts within 3600 s is all that the job allows";
    assert!(state.reason.ends_with(budget), "{}", state.reason);
    assert!(lab.events_of(&run, "ended")[0].ends_with(budget));
    lab.await_no_worker();
}

/// Turns a bit of every copy of a rank's shard over.
fn damage(lab: &Lab, run: &RunId, step: u64, rank: u32) -> usize {
    let shard = format!("rank-{rank}/state.json");
    let checkpoint = lab.object(&key::checkpoint(run, step));
    let local = format!("checkpoints/step-{step}/{shard}");
    let files = lab.site.files().into_iter().map(|file| lab.site.path().join(file));
    let copies =
        files.filter(|file| (file.starts_with(&checkpoint) && file.ends_with(&shard)) || file.ends_with(&local));
    let mut damaged = 0;
    for copy in copies {
        let mut bytes = std::fs::read(&copy).unwrap();
        bytes[10] ^= 1;
        // Another file of the same name: what else is linked to the old one keeps its content.
        std::fs::remove_file(&copy).unwrap();
        std::fs::write(&copy, bytes).unwrap();
        damaged += 1;
    }
    damaged
}

#[test]
fn a_damaged_checkpoint_is_passed_over_for_an_older_one() {
    let lab = Lab::up(1, 1, &[WORK]);
    let undisturbed = lab.undisturbed("work", &["--steps", "30"]);
    let gate = lab.gate();
    let run = lab.submit("work", &["--steps", "30", "--gate", "13", &gate]);
    lab.await_state(&run, "two checkpoints", |state| state.committed == Some(10));
    assert!(damage(&lab, &run, 10, 1) >= 2, "a copy in the bucket, and rank 1's own");
    let verified = lab.site.forge(&["checkpoints", "verify"]).with_code(4).stdout;
    assert!(verified.contains("step 5: whole\n") && !verified.contains("step 10: whole\n"), "{verified}");

    lab.inject(&["kill-worker", "0"]);
    let state = lab.await_state(&run, "it runs again", |state| state.generation > 1 && state.phase == Phase::Running);
    assert_eq!((state.resume, state.damaged.as_slice()), (Some(5), [10].as_slice()), "{state:#?}");
    let damaged = lab.events_of(&run, "damaged");
    assert_eq!(damaged, ["checkpoint of step 10 is damaged; falling back to an older one"]);
    lab.open_gate();
    lab.await_success(&run);
    assert_eq!(lab.outcome(&run), undisturbed);
    let verified = lab.site.forge(&["checkpoints", "verify"]).with_code(0).stdout;
    assert!(verified.contains("step 30: whole\n"), "{verified}");
}

#[test]
fn a_cancelled_run_leaves_no_worker_and_the_next_one_starts_by_itself() {
    let lab = Lab::up(1, 1, &[WORK]);
    let first = lab.submit("work", &["--gate", "10", &lab.gate()]);
    lab.await_step(&first, 5);
    let second = lab.submit("work", &["--steps", "20"]);
    assert_eq!(lab.state(&second).phase, Phase::Queued);
    let workers = [lab.worker(0), lab.worker(1)];

    lab.site.forge(&["cancel", &first.0]).with_code(0);
    assert_eq!(lab.state(&first).phase, Phase::Cancelled);
    lab.await_success(&second);
    let left: Vec<_> = lab.workers().into_iter().filter(|process| workers.contains(&process.pid)).collect();
    assert_eq!(left, [], "workers of the cancelled run");
    for rank in 0..2 {
        let log = lab.log(&first, rank);
        assert!(log.ends_with("asked to end\n"), "rank {rank} could end by itself:\n{log}");
    }
    lab.await_no_worker();
}

/// What the workers themselves have written, as their nodes still have it.
fn written(lab: &Lab, run: &RunId, rank: u32) -> String {
    let file = format!("/rank-{rank}.log");
    let of_run = format!("/runs/{run}/generation-");
    let files = lab.site.files().into_iter().filter(|path| path.ends_with(&file) && path.contains(&of_run));
    files.map(|path| std::fs::read_to_string(lab.site.path().join(path)).unwrap()).collect()
}

#[test]
fn ctrl_c_detaches_and_no_byte_of_output_is_lost() {
    let lab = Lab::up(1, 1, &[WORK]);
    let gate = lab.gate();
    let train = lab.site.start(&["train", "work", "--", "--steps", "40", "--burst-at", "12", "--gate", "30", &gate]);
    let run = RunId::from("work-1");
    lab.await_step(&run, 2);
    let pid = Pid::from_raw(i32::try_from(train.id()).unwrap()).unwrap();
    kill_process(pid, Signal::INT).unwrap();
    let train = Ran::from(train.wait_with_output().unwrap()).with_code(130);
    assert!(train.stderr.contains("detached; work-1 goes on"), "{}", train.stderr);

    lab.open_gate();
    let followed = lab.site.forge(&["logs", "--follow"]).with_code(0);
    let state = lab.await_success(&run);
    assert_eq!(state.generation, 2, "{state:#?}");
    let last_words = "burst line 19999 of many";
    for rank in 0..2 {
        let log = lab.log(&run, rank);
        assert!(log == written(&lab, &run, rank), "rank {rank}: {} bytes arrived", log.len());
        assert!(log.ends_with(&format!("rank {rank} is done\n")));
        let prefix = format!("[{rank}] ");
        let of_rank = followed.stdout.lines().filter_map(|line| line.strip_prefix(&prefix));
        assert!(of_rank.eq(log.lines()), "what was followed of rank {rank} is not its output");
        assert_eq!(log.contains(last_words) && log.contains("the last words of rank 1\n"), rank == 1);
    }
}

#[test]
fn the_last_checkpoints_and_powers_of_two_are_kept() {
    let settings = "checkpoint: { every_steps: 5, keep: { last: 2, powers_of_two: true } }";
    let lab = Lab::up(1, 1, &[("work", settings)]);
    let run = lab.submit("work", &["--steps", "60"]);
    lab.await_success(&run);
    let kept = || -> Vec<u64> {
        let listed = lab.site.forge(&["checkpoints", "--json"]).with_code(0).json();
        listed.iter().map(|line| line["checkpoint"]["step"].as_u64().unwrap()).collect()
    };
    let wanted = [5, 10, 20, 40, 55, 60];
    wait_until("the others are deleted", PATIENCE, || kept() == wanted);
    // A manifest, and a shard of each rank.
    let files = || lab.site.files().into_iter().filter(|file| file.contains("/checkpoints/step-0000000"));
    wait_until("their shards as well", PATIENCE, || {
        files().filter(|file| file.ends_with(".json")).count() == 3 * wanted.len()
    });
}

#[test]
fn workers_find_themselves_in_their_environment() {
    let lab = Lab::up(2, 1, &[("work", "checkpoint: { every_steps: 5 }, env: { GREETING: hello }")]);
    let gate = lab.gate();
    let run = lab.submit("work", &["--environment", "--steps", "20", "--gate", "12", &gate]);
    lab.await_state(&run, "two checkpoints", |state| state.committed == Some(10));
    lab.inject(&["kill-worker", "3"]);
    lab.await_state(&run, "the second generation", |state| state.generation == 2);
    lab.open_gate();
    let state = lab.await_success(&run);
    let mut masters = BTreeSet::new();
    for (rank, group, local) in [(0, 0, 0), (1, 0, 1), (2, 1, 0), (3, 1, 1)] {
        let log = lab.log(&run, rank);
        let environments = log.lines().filter(|line| line.starts_with('{'));
        let environments: Vec<serde_json::Value> =
            environments.map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(environments.len(), 2, "one of each generation");
        for (index, environment) in environments.iter().enumerate() {
            let is = |name: &str, value: &str| assert_eq!(environment[name], value, "{name} of rank {rank}");
            is("RANK", &rank.to_string());
            is("LOCAL_RANK", &local.to_string());
            is("WORLD_SIZE", "4");
            is("LOCAL_WORLD_SIZE", "2");
            is("GROUP_RANK", &group.to_string());
            is("GROUP_WORLD_SIZE", "2");
            is("ROLE_RANK", &rank.to_string());
            is("ROLE_WORLD_SIZE", "4");
            is("MASTER_ADDR", "127.0.0.1");
            is("TORCHELASTIC_RUN_ID", &run.0);
            is("TORCHELASTIC_RESTART_COUNT", &index.to_string());
            is("TORCHELASTIC_MAX_RESTARTS", "10");
            is("JAX_NUM_PROCESSES", "4");
            is("JAX_PROCESS_ID", &rank.to_string());
            is("FORGE_RUN_ID", &run.0);
            is("FORGE_JOB", "work");
            is("FORGE_NODE", &state.members[group].0);
            is("FORGE_GENERATION", &(index + 1).to_string());
            is("FORGE_CHECKPOINT_EVERY", "5");
            is("GREETING", "hello");
            let port = environment["MASTER_PORT"].as_str().unwrap();
            is("JAX_COORDINATOR_ADDRESS", &format!("127.0.0.1:{port}"));
            masters.insert((index, port.to_owned()));
            assert!(environment["FORGE_SOCKET"].as_str().unwrap().starts_with('@'));
            let machine = lab.machine(&state.members[group]);
            for directory in ["FORGE_CHECKPOINT_DIR", "FORGE_OUTPUT_DIR"] {
                let directory = Path::new(environment[directory].as_str().unwrap());
                assert!(directory.starts_with(&machine), "{}", directory.display());
                // Earlier generations are cleared away.
                assert!(index == 0 || directory.is_dir(), "{}", directory.display());
            }
            assert!(Path::new(environment["FORGE_SCRATCH"].as_str().unwrap()).is_dir());
        }
        assert_eq!(environments[0].get("FORGE_RESUME_STEP"), None);
        assert_eq!(environments[1]["FORGE_RESUME_STEP"], "10");
        assert!(environments[1]["FORGE_RESUME_DIR"].as_str().unwrap().ends_with("generation-2/resume"));
    }
    assert_eq!(masters.len(), 2, "one meeting place in each generation: {masters:?}");
}

#[test]
fn a_worker_and_the_leaders_node_may_die_in_the_same_moment() {
    let lab = Lab::up(1, 1, &[WORK]);
    let undisturbed = lab.undisturbed("work", &["--steps", "100"]);
    lab.elect(true);
    let gate = lab.gate();
    let run = lab.submit("work", &["--steps", "100", "--gate", "80", &gate]);
    lab.await_step(&run, 12);
    let (lease, members) = (lab.lease(), lab.state(&run).members);
    let survivor = members.iter().position(|member| *member != lease.holder).unwrap();
    assert!(members.contains(&lease.holder));
    let (worker, agent) = (lab.worker(u32::try_from(survivor).unwrap()), lab.agent(&lease.holder));
    kill(worker);
    kill(agent);
    let state = lab.await_state(&run, "it runs on", |state| state.generation > 1 && state.phase == Phase::Running);
    assert!(!state.members.contains(&lease.holder) && state.epoch > lease.epoch, "{state:#?}");
    assert_eq!(state.members[survivor], members[survivor], "the survivor keeps its rank");
    lab.open_gate();
    lab.await_success(&run);
    assert_eq!(lab.outcome(&run), undisturbed);
    lab.await_no_worker();
}
