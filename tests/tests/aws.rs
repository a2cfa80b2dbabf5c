//! Target aws, end to end: the real `forge` and the AWS SDK against the emulated AWS, through a proxy that kills, throttles and
//! breaks things.

use forge_tests::Ran;
use forge_tests::aws::{Emulator, Ending, Fate, Held, Moment, Rule, Rules, Site, Which, matrix};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};
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

/// Applies a change of a variable; what was planned. After it there is nothing to do.
fn applied(site: &Site, argument: &str) -> Vec<String> {
    let plan = site.run(&["plan", "--check", "--json", "--var", argument]);
    let planned = changes(&plan);
    plan.with_code(3);
    site.run(&["up", "--yes", "--json", "--delete-data", "--var", argument]).with_code(0);
    site.plan_check().with_code(0);
    planned
}

#[test]
fn the_reference_cluster_goes_up_stays_changes_and_leaves_nothing() {
    let site = site(REFERENCE);
    site.up().with_code(0);
    site.plan_check().with_code(0);
    let again = site.up();
    assert_eq!(changes(&again), [""; 0]);
    again.with_code(0);
    for (argument, expected) in [
        ("gpus=3", &["update gpus.pool.group[0]"][..]),
        ("cpu=m5.2xlarge", &["update system.pool.template[0]", "update system.pool.group[0]"]),
        ("scratch=2400", &["update scratch.filesystem"]),
    ] {
        let planned = applied(&site, argument);
        assert_eq!(planned, expected, "{argument}");
    }
    // A tag is changed wherever there are tags, and nothing is made anew for it.
    let tagged = applied(&site, "team=b");
    assert!(tagged.iter().all(|change| change.starts_with("update ")), "{tagged:?}");
    let instances = |held: &Held| held.kind == "instance" && held.lives();
    let carries = |held: &Held| instances(held) || held.tags.get("team").is_some_and(|team| team == "b");
    let dump = site.emulator.dump();
    let without: Vec<&Held> =
        dump.iter().filter(|held| held.tags.contains_key("forge:address") && !carries(held)).collect();
    assert!(without.is_empty(), "{without:?}");
    // Other addresses are another VPC, and nothing moves to that; what holds data is asked about, and the bucket stays.
    let moved = ["up", "--yes", "--json", "--var", "cidr=10.1.0.0/16"];
    let refused = site.run(&moved).with_code(1);
    assert!(refused.stderr.contains("this plan destroys data"), "{}", refused.stderr);
    let moved = applied(&site, "cidr=10.1.0.0/16");
    for address in ["network.vpc", "cluster.cluster", "scratch.filesystem", "gpus.pool.group[0]"] {
        let replaced = |change: &String| change.starts_with("replace") && change.ends_with(&format!(" {address}"));
        assert!(moved.iter().any(replaced), "{address}: {moved:?}");
    }
    assert!(moved.iter().all(|change| !change.contains(" data.")), "{moved:?}");
    site.destroy().with_code(0);
    assert_eq!(site.emulator.dump(), []);
}

#[test]
fn whoever_is_killed_at_any_request_goes_on_and_leaves_nothing() {
    let emulators = Mutex::new(BTreeMap::new());
    let of_lane = |lane: usize| {
        let mut emulators = emulators.lock().unwrap();
        Arc::clone(emulators.entry(lane).or_insert_with(|| Arc::new(emulator())))
    };
    matrix(|lane| Site::new(REFERENCE, of_lane(lane))).assert_holds();
}

#[test]
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

const SEEKING: &str = "\
forge: v1
name: seek
target: aws
aws: { region: us-west-2 }
modules:
  network: { use: vpc, with: { zones: 3 } }
  data: { use: s3 }
  gpus:
    use: gpu-nodes
    with: { network: \"${network}\", bucket: \"${data}\", instance_type: p4d.24xlarge, count: 2, spares: 0 }
jobs: { train: { nodes: \"${gpus}\", command: [\"true\"] } }
";

#[test]
fn where_two_zones_have_no_capacity_nodes_are_in_the_third_in_one_go() {
    let site = site(SEEKING);
    let full = |zone: &str| json!({"zone": zone, "instance_type": "p4d.24xlarge", "available": 0});
    site.emulator.settings(&json!({"capacity": [full("us-west-2a"), full("us-west-2b")]}));
    let up = site.run(&["up", "--yes"]).with_code(0);
    let tried = |zone: &str| up.stderr.contains(&format!("in the Availability Zone you requested ({zone})"));
    assert!(tried("us-west-2a") && tried("us-west-2b") && !tried("us-west-2c"), "{}", up.stderr);
    // What forge itself has moved is not told of as somebody's change.
    assert!(!up.stdout.contains("somebody changed"), "{}", up.stdout);
    let instances = || site.emulator.dump().into_iter().filter(|held| held.kind == "instance" && held.lives());
    assert_eq!(instances().count(), 2);
    site.plan_check().with_code(0);
    // They stay where they were found, also when there is capacity elsewhere again.
    site.emulator.settings(&json!({"capacity": []}));
    assert_eq!(changes(&site.up().with_code(0)), [""; 0]);
    site.destroy().with_code(0);
    assert_eq!(site.emulator.dump(), []);
}

#[test]
fn a_full_quota_stops_everything_before_anything_is_made() {
    let site = site(SEEKING);
    site.emulator.settings(&json!({"quotas": {"L-417A185B": 96}}));
    let up = site.run(&["up", "--yes"]).with_code(1);
    let name = "\"Running On-Demand P instances\" (L-417A185B)";
    assert!(up.stdout.contains(name) || up.stderr.contains(name), "{}{}", up.stdout, up.stderr);
    let made = site.proxy.record().into_iter().filter(|request| request.operation.mutating).count();
    assert_eq!((made, site.emulator.dump()), (0, Vec::new()));
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
