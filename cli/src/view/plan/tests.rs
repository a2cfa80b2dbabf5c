use super::*;
use forge_engine::address::{Address, Deployment};
use forge_engine::forecast::{Cost, Leg};
use forge_engine::plan::{Change, Drift, Gone, Kept, Means, SCHEMA};
use forge_engine::state::Call;
use forge_engine::value::{Output, Value};
use forge_modules::preflight::{Finding, Identity, Verdict};
use serde_json::json;
use std::collections::BTreeSet;

fn step(address: &str, kind: &str, action: Action) -> Step {
    let id = (action != Action::Create).then(|| format!("{kind}-1"));
    Step { id, ..Step::new(&Address::new(address), kind, action) }
}

fn create(address: &str, kind: &str, desired: Json) -> Step {
    Step { desired: Some(desired.into()), ..step(address, kind, Action::Create) }
}

fn change(field: &str, before: Json, after: impl Into<Value>, means: Means) -> Change {
    Change { field: field.to_owned(), before: Some(before.into()), after: Some(after.into()), means }
}

fn plan(purpose: Purpose, steps: Vec<Step>) -> Plan {
    Plan {
        schema: SCHEMA,
        deployment: Deployment("llama".to_owned()),
        purpose,
        serial: 7,
        steps,
        operations: Vec::new(),
        never_happened: Vec::new(),
        undecided: Vec::new(),
        kept: Vec::new(),
        left_out: BTreeSet::new(),
    }
}

/// One of everything that a plan can say.
fn everything() -> Plan {
    let subnet = Value::Output(Output { address: Address::new("network.private[0]"), name: "id".to_owned() });
    let mut steps = vec![step("network.vpc", "aws.vpc", Action::NoOp)];
    let mut gone = create("network.endpoint", "aws.vpc_endpoint", json!({"service": "s3", "policy": null}));
    gone.reasons = vec!["it was recorded as vpce-1, which is gone".to_owned()];
    gone.gone = vec![Gone { kind: gone.kind.clone(), id: "vpce-1".to_owned(), settles: Vec::new() }];
    let mut drifted = step("network.group", "aws.security_group", Action::Update);
    drifted.changes = vec![change("description", json!("mine"), json!("cluster"), Means::InPlace)];
    let drift = |field: &str, recorded: Json, observed: Json| Drift {
        field: field.to_owned(),
        recorded: recorded.into(),
        observed: observed.into(),
    };
    drifted.drift = vec![drift("description", json!("cluster"), json!("mine"))];
    let mut agreed = step("cluster.control", "aws.eks_cluster", Action::NoOp);
    agreed.drift = vec![drift("version", json!("1.33"), json!("1.34"))];
    let mut moved = step("store.filesystem", "aws.fsx_lustre", Action::Update);
    (moved.moved_from, moved.retags) = (Some(Address::new("scratch.filesystem")), true);
    let mut replaced = step("cluster.pool", "aws.eks_nodegroup", Action::ReplaceCreateFirst);
    replaced.changes = vec![
        change("instance_type", json!("p5.48xlarge"), json!("p5en.48xlarge"), Means::CreateFirst),
        change("subnet", json!("subnet-1"), subnet, Means::InPlace),
    ];
    let mut adopted = step("cluster.access", "aws.eks_access_entry", Action::Adopt);
    adopted.reasons = vec!["found by its tags; it was not recorded".to_owned()];
    steps.extend([gone, drifted, agreed, moved, replaced, adopted]);
    steps.extend(
        (0..32)
            .map(|n| create(&format!("fleet.node[{n}]"), "aws.instance", json!({"type": "p5.48xlarge", "number": n}))),
    );
    steps.extend(["a", "b"].map(|key| create(&format!("fleet.volume[\"{key}\"]"), "aws.volume", json!({"gib": 100}))));
    let data = Step { destroys_data: true, ..step("data.bucket", "aws.s3_bucket", Action::ReplaceDeleteFirst) };
    let data = Step { changes: vec![change("name", json!("old"), json!("new"), Means::DeleteFirst)], ..data };
    steps.push(data);
    let old = |n: usize| {
        let mut step = step(&format!("old.node[{n}]"), "aws.instance", Action::Delete);
        step.reasons = vec!["nothing asks for it any more".to_owned()];
        step
    };
    steps.extend([0, 1, 2, 3, 7].map(old));
    let mut forgotten = step("old.role", "aws.iam_role", Action::Forget);
    forgotten.reasons = vec!["it is gone from the world".to_owned()];
    forgotten.gone = vec![Gone { kind: "aws.iam_role".to_owned(), id: "role-1".to_owned(), settles: Vec::new() }];
    steps.push(forgotten);
    Plan { left_out: BTreeSet::from([Address::new("apart.bucket")]), ..plan(Purpose::Up, steps) }
}

fn destroy() -> Plan {
    let mut node = step("gpus.fleet", "local.fleet", Action::Delete);
    node.reasons = vec!["it stands on `scratch.filesystem`".to_owned()];
    let data = Step { destroys_data: true, ..step("scratch.filesystem", "local.directory", Action::Delete) };
    let kept = Kept {
        address: Address::new("data.bucket"),
        kind: "local.bucket".to_owned(),
        id: "b-1".to_owned(),
        reason: "it holds data, which only --delete-data deletes".to_owned(),
    };
    Plan { kept: vec![kept], ..plan(Purpose::Destroy, vec![node, data]) }
}

const FREE: Cost = Cost { usd_per_hour: 0.0, unknown: 0 };
static NOTHING: Forecast = Forecast {
    seconds: 0,
    critical_path: Vec::new(),
    before: FREE,
    after: FREE,
    difference: FREE,
    unknown: Vec::new(),
};

fn shown(plan: &Plan) -> Shown<'_> {
    Shown { plan, notes: &[], refreshed: true, full: false, forecast: &NOTHING, prices: None, preflight: None }
}

#[test]
fn what_is_worth_a_forecast_has_one() {
    let leg = |n: usize| Leg { address: Address::new(format!("a{n}")), call: Call::Create, seconds: 1 };
    let of = |seconds, legs: usize, before, after, unknown| {
        let cost = |usd_per_hour| Cost { usd_per_hour, unknown };
        let (before, after, critical_path) = (cost(before), cost(after), (0..legs).map(leg).collect());
        let unknown = (0..unknown).map(|n| Address::new(format!("u{n}.x"))).collect();
        forecast(&Forecast { seconds, critical_path, before, after, difference: FREE, unknown }, Some("a list"))
    };
    assert_eq!(of(9, 2, 0.0, 0.0, 3), Vec::<String>::new());
    assert_eq!(of(725, 2, 0.0, 0.0, 0), ["takes about 12m 05s: a0 -> a1"]);
    assert_eq!(of(10, 9, 0.0, 0.0, 0), ["takes about 10s: a0 -> … -> a8"]);
    let sum = "costs $0.00 an hour now and $98.32 then, $71773.60 a month";
    assert_eq!(of(0, 0, 0.0, 98.32, 0), [sum, "  by a list"]);
    let one = format!("{sum}; the price of 1 resource is not known: u0.x");
    assert_eq!(of(0, 0, 0.0, 98.32, 1), [one.as_str(), "  by a list"]);
    let some = "costs $98.32 an hour now and $0.00 then, $0.00 a month; the prices of 7 resources are not known: \
        u0.x, u1.x, u2.x, u3.x, u4.x and 2 more";
    assert_eq!(of(0, 0, 98.32, 0.0, 7), [some, "  by a list"]);
}

#[test]
fn a_plan_of_everything_plain() {
    insta::assert_snapshot!(text(&shown(&everything()), Palette::PLAIN));
}

#[test]
fn a_plan_of_everything_in_colour() {
    insta::assert_snapshot!(text(&shown(&everything()), Palette::COLOURED).replace('\x1b', "␛"));
}

#[test]
fn a_plan_of_everything_as_json() {
    let plan = everything();
    let mut plan = Shown { notes: &["gpus: 2 nodes".to_owned()], ..shown(&plan) };
    let mut short = plan.plan.clone();
    // One of the alike shows what all are like.
    short
        .steps
        .retain(|step| !step.address.as_str().starts_with("fleet.node") || step.address.as_str() == "fleet.node[0]");
    plan.plan = &short;
    insta::assert_snapshot!(serde_json::to_string_pretty(&document(&plan)).unwrap());
}

#[test]
fn everything_one_by_one() {
    let plan = everything();
    let full = text(&Shown { full: true, ..shown(&plan) }, Palette::PLAIN);
    assert_eq!(full.matches("aws.instance").count(), 37, "{full}");
    assert_eq!(text(&shown(&plan), Palette::PLAIN).matches("aws.instance").count(), 2);
}

#[test]
fn a_destroy_plain_in_colour_and_as_json() {
    let plan = destroy();
    let shown = shown(&plan);
    let coloured = text(&shown, Palette::COLOURED).replace('\x1b', "␛");
    let json = serde_json::to_string_pretty(&document(&shown)).unwrap();
    insta::assert_snapshot!([text(&shown, Palette::PLAIN), coloured, json].join("\n"));
}

#[test]
fn with_nothing_to_do_and_nobody_asked() {
    let nothing = plan(Purpose::Up, vec![step("network.vpc", "aws.vpc", Action::NoOp)]);
    insta::assert_snapshot!(text(&Shown { refreshed: false, ..shown(&nothing) }, Palette::PLAIN));
}

fn report() -> Report {
    let finding = |check, verdict, what: &str| Finding::new(check, verdict, what);
    let quota = finding("vcpus", Verdict::Refused, "the quota \"Running On-Demand P instances\" (L-417A185B) is too small: 0 vCPUs, 0 in use or reserved, 192 to come")
        .why("gpus.pool.group[0]: 2 x p4d.24xlarge of 96 vCPUs")
        .help("Ask for 192 in us-west-2, or ask for fewer nodes.")
        .at(&Address::new("gpus.pool.group[0]"));
    let offered = finding("offering", Verdict::Warning, "g6.xlarge is not offered in us-west-2d, only in us-west-2a")
        .help("Nodes will all stand in the zones that have it.");
    let denied = "ec2:DescribeVpcs: not authorized (UnauthorizedOperation)";
    let unknown = |what: &str| finding("quotas", Verdict::Unknown, what).why(denied);
    let findings = vec![
        finding("zones", Verdict::Fine, "us-west-2a, us-west-2b: there, and usable"),
        unknown("how many of \"VPCs per Region\" there are could not be asked"),
        unknown("how many of \"Internet gateways per Region\" there are could not be asked"),
        finding("catalogue", Verdict::Fine, "p4d.24xlarge: as forge knows them"),
        offered,
        quota,
    ];
    let who = Identity {
        account: "123456789012".to_owned(),
        name: "arn:aws:sts::123456789012:assumed-role/train/ada".to_owned(),
        region: "us-west-2".to_owned(),
    };
    Report::new(Some(who), findings)
}

#[test]
fn what_the_target_says_stands_above_the_plan_plain_in_colour_whole_and_as_json() {
    let (nothing, report) = (plan(Purpose::Up, vec![step("network.vpc", "aws.vpc", Action::NoOp)]), report());
    let shown = Shown { preflight: Some(&report), ..shown(&nothing) };
    let coloured = text(&shown, Palette::COLOURED).replace('\x1b', "␛");
    let full = text(&Shown { full: true, ..shown }, Palette::PLAIN);
    let json = serde_json::to_string_pretty(&document(&shown)["preflight"]).unwrap();
    insta::assert_snapshot!([text(&shown, Palette::PLAIN), coloured, full, json].join("\n"));
}

#[test]
fn a_target_that_says_nothing_takes_no_lines() {
    let nothing = plan(Purpose::Up, vec![step("network.vpc", "aws.vpc", Action::NoOp)]);
    let silent = Report::default();
    let with = text(&Shown { preflight: Some(&silent), ..shown(&nothing) }, Palette::PLAIN);
    assert_eq!(with, text(&shown(&nothing), Palette::PLAIN));
}
