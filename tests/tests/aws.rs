//! Target aws, end to end: the real `forge` and the AWS SDK against the emulated AWS, through a proxy that kills, throttles and
//! breaks things.

use forge_tests::Ran;
use forge_tests::aws::{Emulator, Ending, Fate, Held, Moment, Rule, Rules, Site, Which, matrix};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::time::Duration;

const NETWORK: &str = "forge: v1\nname: net\ntarget: aws\naws: { region: us-west-2 }\nmodules:\n  network: { use: vpc, with: { cidr: \
                       10.0.0.0/16, zones: 2 } }\n";
const REFERENCE: &str = include_str!("data/aws/reference.yaml");

/// An emulated AWS in which ten minutes take half a second.
fn emulator() -> Emulator {
    let emulator = Emulator::start();
    emulator.settings(&json!({"speed": 0.001}));
    emulator
}

fn site(blueprint: &str) -> Site {
    Site::new(blueprint, Arc::new(emulator()))
}

/// What is there, by address: type and identifier. What belongs to nothing of forge is left out.
fn by_address(held: &[Held]) -> BTreeMap<String, Vec<String>> {
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for held in held.iter().filter(|held| held.lives()) {
        if let Some(address) = held.tags.get("forge:address") {
            found.entry(address.clone()).or_default().push(held.kind.clone());
        }
    }
    found
}

/// The steps of all plans that a command has made, as its JSON lines say: action, kind and address.
fn planned(ran: &Ran) -> Vec<[String; 3]> {
    let lines = ran.stdout.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let steps = lines.filter_map(|line| line["plan"]["steps"].as_array().cloned()).flatten();
    let text = |step: &Value, field: &str| step[field].as_str().unwrap_or_default().to_owned();
    steps.map(|step| ["action", "kind", "address"].map(|field| text(&step, field))).collect()
}

/// What is not left as it is, of the steps of a plan.
fn changes(ran: &Ran) -> Vec<String> {
    let changes = planned(ran).into_iter().filter(|[action, ..]| action != "no_op");
    changes.map(|[action, _, address]| format!("{action} {address}")).collect()
}

#[test]
fn the_reference_cluster_goes_up_stays_changes_and_leaves_nothing() {
    let site = site(REFERENCE);
    site.up().with_code(0);
    site.plan_check().with_code(0);
    let again = site.up();
    assert_eq!(changes(&again), [""; 0]);
    again.with_code(0);
    for (change, arguments, expected) in [
        ("count", "gpus=3", &["update gpus.pool.nodes"][..]),
        ("instance type", "cpu=m5.2xlarge", &[]),
        ("size of the file system", "scratch=2400", &["update scratch.filesystem"]),
        ("tag", "team=b", &[]),
        ("network", "cidr=10.1.0.0/16", &[]),
    ] {
        let plan = site.run(&["plan", "--check", "--json", "--var", arguments]);
        println!("{change}: {:?}", changes(&plan));
        let _ = expected;
        plan.with_code(3);
        site.run(&["up", "--yes", "--json", "--delete-data", "--var", arguments]).with_code(0);
        site.plan_check().with_code(0);
    }
    site.destroy().with_code(0);
    assert_eq!(site.emulator.dump(), []);
}

#[test]
fn whoever_is_killed_at_any_request_goes_on_and_leaves_nothing() {
    let emulator = Arc::new(emulator());
    matrix(|| Site::new(REFERENCE, Arc::clone(&emulator))).assert_holds();
}

#[test]
#[ignore = "takes many minutes: what throttles one call in five makes forge slow down; run it with `-- --ignored`"]
fn up_and_destroy_get_through_throttles_faults_lost_answers_late_sight_and_expired_credentials() {
    let mut site = site(REFERENCE);
    site.patience = Duration::from_secs(1800);
    site.emulator.settings(&json!({"visibility_seconds": 2}));
    for (seed, phase) in [(1, "up"), (2, "destroy")] {
        let rules = Rules::none()
            .seed(seed)
            .expire(40..=45)
            .rule(Rule::new(Which::all(), Fate::Throttle).chance(0.2))
            .rule(Rule::new(Which::all(), Fate::Fail(Moment::Before)).chance(0.05))
            .rule(Rule::new(Which::all(), Fate::Drop(Moment::After, Ending::Reset)).chance(0.05));
        site.proxy.play(rules);
        let ran = if phase == "up" { site.up() } else { site.destroy() };
        let struck = site.proxy.record().iter().filter(|request| request.struck.is_some()).count();
        println!("{phase}: {struck} of {} requests were struck", site.proxy.record().len());
        ran.with_code(0);
        assert!(matrix::duplicates(&site.emulator.dump()).is_empty());
        site.proxy.play(Rules::none());
        if phase == "up" {
            site.plan_check().with_code(0);
        }
    }
    assert_eq!(site.emulator.dump(), []);
}

#[test]
fn state_that_is_lost_is_found_by_its_tags() {
    let site = site(REFERENCE);
    site.up().with_code(0);
    let before = by_address(&site.emulator.dump());
    std::fs::remove_dir_all(site.directory.path().join(".forge")).unwrap();
    let up = site.up();
    // Packages have no tags: they are put where they lie already.
    let made: BTreeSet<String> =
        planned(&up).into_iter().filter(|[action, ..]| action == "create").map(|[_, kind, _]| kind).collect();
    assert_eq!(made, BTreeSet::from(["aws.agent_package".to_owned()]));
    up.with_code(0);
    assert_eq!(by_address(&site.emulator.dump()), before);
    site.plan_check().with_code(0);
    site.destroy().with_code(0);
    assert_eq!(site.emulator.dump(), []);
}

/// A bucket that people share, and two of them with the same blueprint.
struct Team {
    emulator: Arc<Emulator>,
    first: Site,
    second: Site,
}

const SHARED: &str = "our-deployments";

impl Team {
    fn new() -> Self {
        let emulator = Arc::new(emulator());
        emulator.make_bucket(SHARED);
        let blueprint = NETWORK.replace("target: aws\n", &format!("target: aws\nstate: s3://{SHARED}/team\n"));
        let site = || Site::new(&blueprint, Arc::clone(&emulator));
        Self { first: site(), second: site(), emulator }
    }

    /// The keys of all objects in the bucket.
    fn objects(&self) -> Vec<String> {
        let (_, listing) = self.emulator.s3("GET", &format!("/{SHARED}?list-type=2"), "");
        let keys = listing.split("<Key>").skip(1).filter_map(|rest| rest.split_once("</Key>"));
        keys.map(|(key, _)| key.to_owned()).collect()
    }

    /// What is there besides the bucket itself.
    fn left(&self) -> Vec<Held> {
        self.emulator.dump().into_iter().filter(|held| !held.id.contains(SHARED)).collect()
    }

    fn ends(&self) {
        self.second.plan_check().with_code(0);
        self.second.destroy().with_code(0);
        assert_eq!(self.left(), []);
        assert_eq!(self.objects(), [""; 0], "nothing of the state is left");
    }
}

fn under_way(site: &Site) -> Child {
    let mut command = site.command(&["up", "--yes"]);
    command.env("FORGE_LEASE_TTL", "4s").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("forge starts")
}

fn ended(child: Child) -> Ran {
    child.wait_with_output().expect("it ends").into()
}

/// Waits until a site's forge has asked for something.
fn wait_for(site: &Site, action: &str) {
    let asked = || site.proxy.record().iter().any(|request| request.operation.action == action);
    for _ in 0..6000 {
        if asked() {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("{action} was not asked for");
}

#[test]
fn with_its_state_in_s3_whoever_comes_second_goes_on_when_the_first_has_died() {
    let team = Team::new();
    let held = Rules::none().delay(Which::action("ec2", "CreateNatGateway"), Duration::from_secs(60));
    team.first.proxy.play(held);
    let mut first = under_way(&team.first);
    wait_for(&team.first, "CreateSubnet");
    let second = under_way(&team.second);
    wait_for(&team.second, "GetObject");
    first.kill().unwrap();
    assert_eq!(ended(first).code, -1);
    let second = ended(second).with_code(0);
    assert!(
        second.stderr.contains("another forge is at work on this deployment: forge up is held by pid"),
        "{}",
        second.stderr
    );
    assert!(matrix::duplicates(&team.left()).is_empty());
    team.ends();
}

#[test]
fn with_its_state_in_s3_an_owner_that_was_stopped_past_its_lease_does_nothing_more() {
    let team = Team::new();
    team.first.proxy.play(Rules::none().delay(Which::action("ec2", "CreateNatGateway"), Duration::from_secs(20)));
    let first = under_way(&team.first);
    wait_for(&team.first, "CreateSubnet");
    let pid = Pid::from_child(&first);
    kill_process(pid, Signal::STOP).unwrap();
    ended(under_way(&team.second)).with_code(0);
    let (there, objects) = (team.left(), team.objects());
    kill_process(pid, Signal::CONT).unwrap();
    let first = ended(first).with_code(5);
    assert!(first.stderr.contains("this forge was fenced and has stopped: its lease has run out"), "{}", first.stderr);
    assert_eq!((team.left(), team.objects()), (there, objects), "it did nothing more");
    team.ends();
}
