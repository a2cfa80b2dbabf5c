use super::*;
use crate::wire::{CheckpointPolicy, Package, RestartPolicy};
use proptest::prelude::*;

const NOW: Millis = 100_000;
const WALL: UnixMillis = 1_000_000_000;

fn spec() -> RunSpec {
    RunSpec {
        v: 1,
        run: "train-1".into(),
        job: "train".into(),
        command: vec!["true".into()],
        workdir: None,
        env: BTreeMap::new(),
        secrets: BTreeMap::new(),
        package: Package { key: String::new(), sha256: String::new(), bytes: 0 },
        nodes: 2,
        workers_per_node: 1,
        checkpoint: CheckpointPolicy { every_steps: Some(20), keep_last: 2, keep_powers_of_two: true },
        restarts: RestartPolicy { max: 4, window_ms: 3_600_000 },
        hang_after_ms: 10_000,
        scratch: None,
        submitted_at: 0,
    }
}

fn worker(rank: u32, step: Option<u64>) -> WorkerView {
    WorkerView { rank, pid: 1, exit: None, step, idle_ms: 0, metrics: BTreeMap::new(), flushed: false }
}

fn gang(stage: Stage, workers: Vec<WorkerView>) -> Option<GangView> {
    Some(GangView {
        run: "train-1".into(),
        generation: 1,
        stage,
        workers,
        uploads: vec![],
        uploading: 0,
        trouble: None,
    })
}

fn seen(gang: Option<GangView>) -> NodeSeen {
    let view = NodeView { address: "127.0.0.1".into(), accelerators: 1, unfit: None, gang };
    NodeSeen { instance: "i".into(), view, heard: NOW, disconnected: None }
}

/// Three nodes, of which the first two train and have reached step 30.
fn running() -> View {
    let mut state = RunState::queued("train-1".into());
    state.phase = Phase::Running;
    state.generation = 1;
    state.members = vec!["node-0".into(), "node-1".into()];
    let nodes = [
        ("node-0", seen(gang(Stage::Started, vec![worker(0, Some(30))]))),
        ("node-1", seen(gang(Stage::Started, vec![worker(1, Some(30))]))),
        ("node-2", seen(None)),
    ];
    View {
        since: 0,
        gone: BTreeSet::new(),
        nodes: nodes.into_iter().map(|(name, seen)| (name.into(), seen)).collect(),
        run: Some(ActiveRun { spec: spec(), state, committed: [20].into(), cancelled: false }),
    }
}

fn node<'a>(view: &'a mut View, name: &str) -> &'a mut NodeSeen {
    view.nodes.get_mut(&NodeId::from(name)).unwrap()
}

fn first_worker<'a>(view: &'a mut View, name: &str) -> &'a mut WorkerView {
    &mut node(view, name).view.gang.as_mut().unwrap().workers[0]
}

fn state(view: &mut View) -> &mut RunState {
    &mut view.run.as_mut().unwrap().state
}

fn decided(view: &View) -> (Decision, Reason) {
    decide(NOW, WALL, view, &Policy::default())
}

fn formed(view: &View) -> (Vec<String>, Option<StepNumber>, String) {
    match decided(view) {
        (Decision::Form { members, resume, .. }, reason) => {
            (members.into_iter().map(|node| node.0).collect(), resume, reason)
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_healthy_run_is_left_alone() {
    assert_eq!(decided(&running()), (Decision::Nothing, "runs; 0 of 2 workers are done".into()));
}

#[test]
fn a_queued_run_waits_for_enough_fit_nodes() {
    let mut view = running();
    *state(&mut view) = RunState::queued("train-1".into());
    node(&mut view, "node-0").view.unfit = Some("7 of 8 accelerators".into());
    assert_eq!(formed(&view).0, ["node-1", "node-2"]);
    node(&mut view, "node-1").disconnected = Some(0);
    assert_eq!(decided(&view), (Decision::Nothing, "waits for nodes: 1 of 2 are fit".into()));
}

#[test]
fn a_dead_worker_restarts_the_gang_in_place_from_the_last_checkpoint() {
    let mut view = running();
    first_worker(&mut view, "node-1").exit = Some(Exit::Signal(9));
    // The peer's error is an echo.
    first_worker(&mut view, "node-0").exit = Some(Exit::Code(1));
    let (members, resume, reason) = formed(&view);
    assert_eq!((members, resume), (vec!["node-0".into(), "node-1".into()], Some(20)));
    assert_eq!(reason, "rank 1 on node-1 ended with signal 9 (SIGKILL)");
}

#[test]
fn a_lost_node_is_replaced_by_a_spare_and_survivors_keep_their_ranks() {
    for broken in [
        (|seen: &mut NodeSeen| seen.disconnected = Some(NOW - 401)) as fn(&mut NodeSeen),
        |seen| seen.heard = NOW - 3_001,
        |seen| seen.view.unfit = Some("7 of 8 accelerators".into()),
    ] {
        let mut view = running();
        broken(node(&mut view, "node-0"));
        first_worker(&mut view, "node-1").exit = Some(Exit::Code(1));
        let (members, _, reason) = formed(&view);
        assert_eq!(members, ["node-2", "node-1"], "{reason}");
        assert!(reason.starts_with("node-0 is gone ("), "{reason}");
    }
}

#[test]
fn a_short_break_is_no_loss() {
    let mut view = running();
    node(&mut view, "node-0").disconnected = Some(NOW - 400);
    node(&mut view, "node-1").heard = NOW - 3_000;
    assert_eq!(decided(&view).0, Decision::Nothing);
}

#[test]
fn an_echo_of_a_dying_node_is_not_taken_for_the_cause() {
    let mut view = running();
    first_worker(&mut view, "node-0").exit = Some(Exit::Code(1));
    node(&mut view, "node-1").disconnected = Some(NOW - 100);
    assert_eq!(decided(&view), (Decision::Nothing, "rank 0 ended with exit code 1; node-1 has no connection".into()));
    node(&mut view, "node-1").disconnected = Some(NOW - 401);
    assert_eq!(formed(&view).0, ["node-0", "node-2"]);
}

#[test]
fn without_a_spare_it_waits_and_says_for_what() {
    let mut view = running();
    view.nodes.remove(&NodeId::from("node-2"));
    view.nodes.remove(&NodeId::from("node-1"));
    let (decision, reason) = decided(&view);
    assert_eq!(decision, Decision::Nothing);
    assert_eq!(reason, "node-1 is gone (not heard of for 100 s); waits for a node to take its place");
}

#[test]
fn a_new_leader_gives_nodes_time_to_find_it() {
    let mut view = running();
    view.nodes.remove(&NodeId::from("node-1"));
    view.since = NOW - 4_000;
    assert_eq!(decided(&view).0, Decision::Nothing);
    view.since = NOW - 4_001;
    assert_eq!(formed(&view).0, ["node-0", "node-2"]);
}

#[test]
fn a_leader_that_died_on_a_node_of_the_gang_is_replaced_without_waiting() {
    let mut view = running();
    view.nodes.remove(&NodeId::from("node-1"));
    view.since = NOW;
    view.gone.insert("node-1".into());
    let (members, _, reason) = formed(&view);
    assert_eq!(members, ["node-0", "node-2"]);
    assert!(reason.starts_with("node-1 is gone (nobody listens at its address)"), "{reason}");
}

#[test]
fn commits_when_every_rank_is_durable_even_while_a_worker_is_dead() {
    let mut view = running();
    first_worker(&mut view, "node-1").exit = Some(Exit::Signal(9));
    let shard = |rank| Shard { rank, path: "a".into(), key: "k".into(), bytes: 1, sha256: "d".into() };
    let upload = |step, rank| Upload { step, rank, shards: vec![shard(rank)] };
    let uploads = |view: &mut View, name: &str, uploads: Vec<Upload>| {
        node(view, name).view.gang.as_mut().unwrap().uploads = uploads;
    };
    uploads(&mut view, "node-0", vec![upload(20, 0), upload(40, 0)]);
    assert!(matches!(decided(&view).0, Decision::Form { .. }), "rank 1 is missing; step 20 is committed already");
    uploads(&mut view, "node-1", vec![upload(40, 1)]);
    assert_eq!(decided(&view).0, Decision::Commit { step: 40, shards: vec![shard(0), shard(1)] });
    // A leader before this one has committed 40 and then let it go, and the nodes have not heard of either.
    view.run.as_mut().unwrap().committed = [60].into();
    assert!(!matches!(decided(&view).0, Decision::Commit { .. }));
    view.run.as_mut().unwrap().committed = [20].into();
    // A late upload of an older generation counts for nothing.
    node(&mut view, "node-1").view.gang.as_mut().unwrap().generation = 0;
    assert!(!matches!(decided(&view).0, Decision::Commit { .. }));
}

#[test]
fn a_hang_names_the_ranks_that_are_behind() {
    let mut view = running();
    first_worker(&mut view, "node-0").idle_ms = 9_000;
    assert_eq!(decided(&view).0, Decision::Nothing);
    first_worker(&mut view, "node-0").idle_ms = 10_001;
    first_worker(&mut view, "node-1").step = Some(29);
    assert_eq!(formed(&view).2, "no step for too long; furthest behind: rank [1]");
    // A program that never reports a step is left alone, however long it takes.
    let mut view = running();
    for name in ["node-0", "node-1"] {
        (first_worker(&mut view, name).step, first_worker(&mut view, name).idle_ms) = (None, 86_400_000);
    }
    assert_eq!(decided(&view).0, Decision::Nothing);
    // Before the first step there is more time.
    let mut view = running();
    first_worker(&mut view, "node-0").idle_ms = 60_000;
    first_worker(&mut view, "node-0").step = None;
    assert_eq!(decided(&view).0, Decision::Nothing);
}

#[test]
fn starts_when_all_are_prepared_at_the_first_nodes_port() {
    let mut view = running();
    state(&mut view).phase = Phase::Forming;
    node(&mut view, "node-0").view.gang = gang(Stage::Prepared { port: 7 }, vec![]);
    node(&mut view, "node-1").view.gang = gang(Stage::Preparing, vec![]);
    assert_eq!(decided(&view), (Decision::Nothing, "1 of 2 nodes are prepared".into()));
    node(&mut view, "node-1").view.gang = gang(Stage::Prepared { port: 8 }, vec![]);
    assert_eq!(decided(&view).0, Decision::Start { master: Master { address: "127.0.0.1".into(), port: 7 } });
}

#[test]
fn a_damaged_checkpoint_is_passed_over_for_the_one_before() {
    let mut view = running();
    view.run.as_mut().unwrap().committed = [20, 40, 60].into();
    state(&mut view).damaged = vec![40];
    let failed = Stage::Failed { message: "damaged".into(), damaged: Some(60) };
    node(&mut view, "node-1").view.gang = gang(failed, vec![]);
    assert_eq!(formed(&view).1, Some(20));
}

#[test]
fn succeeds_only_when_output_and_checkpoints_are_safe() {
    let mut view = running();
    for name in ["node-0", "node-1"] {
        first_worker(&mut view, name).exit = Some(Exit::Code(0));
        first_worker(&mut view, name).flushed = true;
    }
    node(&mut view, "node-1").view.gang.as_mut().unwrap().uploading = 1;
    assert_eq!(decided(&view).0, Decision::Nothing);
    node(&mut view, "node-1").view.gang.as_mut().unwrap().uploading = 0;
    assert_eq!(decided(&view).0, Decision::End { phase: Phase::Succeeded });
}

#[test]
fn the_restart_budget_and_the_users_own_bugs_end_a_run() {
    let exit = |how: &str| Cause::WorkerExit { rank: 0, node: "node-0".into(), how: how.into() };
    let restart = |at, how, step| Restart { at, cause: exit(how), generation: 1, step };
    let mut view = running();
    first_worker(&mut view, "node-0").exit = Some(Exit::Code(3));
    state(&mut view).restarts = vec![restart(WALL, "exit code 3", Some(30)); 2];
    let (decision, reason) = decided(&view);
    assert_eq!(decision, Decision::End { phase: Phase::Failed });
    assert_eq!(
        reason,
        "rank 0 on node-0 ended with exit code 3: 3 times in a row after step 30. \
         This is the program's fault, not a node's"
    );
    // However far a peer came.
    first_worker(&mut view, "node-1").step = Some(31);
    assert_eq!(decided(&view).0, Decision::End { phase: Phase::Failed });
    // Progress in between, or a kill, is something else.
    state(&mut view).restarts[1].step = Some(25);
    assert!(matches!(decided(&view).0, Decision::Form { .. }));
    // Four restarts within the hour are all; older ones do not count.
    state(&mut view).restarts = vec![restart(WALL - 10, "signal 9 (SIGKILL)", Some(3)); 4];
    assert_eq!(decided(&view).0, Decision::End { phase: Phase::Failed });
    state(&mut view).restarts[0].at = WALL - 3_600_000;
    assert!(matches!(decided(&view).0, Decision::Form { .. }));
}

#[test]
fn cancel_wins() {
    let mut view = running();
    view.run.as_mut().unwrap().cancelled = true;
    first_worker(&mut view, "node-0").exit = Some(Exit::Code(3));
    assert_eq!(decided(&view).0, Decision::End { phase: Phase::Cancelled });
}

proptest! {
    /// Whatever is broken: a formation has distinct, living members, and survivors stay where they were.
    #[test]
    fn formations_are_sound(
        broken in proptest::collection::vec((any::<bool>(), 0u64..6_000, proptest::option::of(0u64..800)), 5),
        exits in proptest::collection::vec(proptest::option::of(0i32..3), 5),
    ) {
        let mut view = running();
        view.nodes.insert("node-3".into(), seen(None));
        view.nodes.insert("node-4".into(), seen(None));
        for (seen, (unfit, silent, cut)) in view.nodes.values_mut().zip(broken) {
            seen.view.unfit = unfit.then(|| "x".into());
            seen.heard = NOW - silent;
            seen.disconnected = cut.map(|ago| NOW - ago);
        }
        for (seen, exit) in view.nodes.values_mut().zip(exits) {
            if let Some(gang) = &mut seen.view.gang {
                gang.workers[0].exit = exit.map(Exit::Code);
            }
        }
        let before = view.run.as_ref().unwrap().state.members.clone();
        let policy = Policy::default();
        if let Decision::Form { members, .. } = decided(&view).0 {
            prop_assert_eq!(members.iter().collect::<BTreeSet<_>>().len(), 2);
            for (old, new) in before.iter().zip(&members) {
                prop_assert!(lost(NOW, &view, &policy, new).is_none());
                prop_assert!(view.nodes[new].view.unfit.is_none());
                let alive = lost(NOW, &view, &policy, old).is_none() && view.nodes[old].view.unfit.is_none();
                prop_assert!(!alive || old == new);
            }
        }
    }
}
