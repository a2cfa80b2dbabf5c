use super::ask::Answers;
use super::quotas::Held;
use super::*;
use crate::aws::preflight::{addresses, instances, zones};
use crate::instance_types::InstanceType;
use forge_engine::address::{Address, Deployment};
use forge_engine::plan::{Action, Purpose, SCHEMA, Step};
use forge_engine::value::{Output, Value};
use serde_json::{Value as Json, json};
use std::collections::{BTreeMap, BTreeSet};

fn plan(steps: Vec<Step>) -> Plan {
    Plan {
        schema: SCHEMA,
        deployment: Deployment("llama".to_owned()),
        purpose: Purpose::Up,
        serial: 0,
        steps,
        operations: Vec::new(),
        never_happened: Vec::new(),
        undecided: Vec::new(),
        kept: Vec::new(),
        left_out: BTreeSet::new(),
    }
}

fn id_of(address: &str) -> Value {
    Value::Output(Output { address: Address::new(address), name: "id".to_owned() })
}

fn create(address: &str, kind: &str, spec: Json, more: Vec<(&str, Value)>) -> Step {
    let Value::Map(mut fields) = Value::from(spec) else {
        return Step::new(&Address::new(address), kind, Action::NoOp);
    };
    fields.extend(more.into_iter().map(|(name, value)| (name.to_owned(), value)));
    Step { desired: Some(Value::Map(fields)), ..Step::new(&Address::new(address), kind, Action::Create) }
}

fn subnet(address: &str, zone: &str, cidr: &str) -> Step {
    create(address, "aws.subnet", json!({"vpc": "v", "zone": zone, "cidr": cidr}), Vec::new())
}

/// The reference cluster, as far as it matters here: two nodes with a plain interface and EFA on four cards.
fn reference() -> Vec<Step> {
    let interfaces = json!([
        {"cards": [0], "device": 0, "carries": "ip"},
        {"cards": [0], "device": 1, "carries": "efa-only"},
        {"cards": [1, 2, 3], "device": 0, "carries": "efa-only"},
    ]);
    let template = json!({"name": "t", "instance_type": "p4d.24xlarge", "disk_gib": 200, "interfaces": interfaces});
    let group =
        json!({"cluster": "c", "name": "g", "role": "r", "market": "on-demand", "min": 2, "desired": 2, "max": 2});
    let both = || Value::List(vec![id_of("net.private[0]"), id_of("net.private[1]")]);
    let cluster = json!({"name": "c", "role": "r", "version": "1.35", "vpc": "v"});
    let lustre = json!({"security_groups": [], "capacity_gib": 1200, "deployment": "persistent-2", "throughput": 250});
    vec![
        create("net.vpc", "aws.vpc", json!({"cidr": "10.0.0.0/16"}), Vec::new()),
        subnet("net.private[0]", "us-west-2a", "10.0.101.0/24"),
        subnet("net.private[1]", "us-west-2b", "10.0.102.0/24"),
        create("net.address[0]", "aws.elastic_ip", json!({}), Vec::new()),
        create("net.nat[0]", "aws.nat_gateway", json!({"elastic_ip": "e"}), vec![("subnet", id_of("net.private[0]"))]),
        create("cluster.cluster", "aws.eks_cluster", cluster, vec![("subnets", both())]),
        create("scratch.lustre", "aws.fsx_lustre", lustre, vec![("subnet", id_of("net.private[0]"))]),
        create("gpus.template", "aws.launch_template", template, Vec::new()),
        create(
            "gpus.group",
            "aws.eks_nodegroup",
            group,
            vec![("subnets", Value::List(vec![id_of("net.private[0]")])), ("launch_template", id_of("gpus.template"))],
        ),
    ]
}

/// An account in which all of that can be had.
fn well() -> Answers {
    let zone = |id: &str| zones::Zone { id: id.to_owned(), opted_in: true };
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<String>>();
    let p4d = InstanceType::find("p4d.24xlarge").unwrap();
    Answers {
        region: "us-west-2".to_owned(),
        zones: Some(Ok(BTreeMap::from([
            ("us-west-2a".to_owned(), zone("usw2-az1")),
            ("us-west-2b".to_owned(), zone("usw2-az2")),
        ]))),
        offerings: Some(Ok(BTreeMap::from([("p4d.24xlarge".to_owned(), names(&["us-west-2a", "us-west-2b"]))]))),
        types: Some(Ok(BTreeMap::from([("p4d.24xlarge".to_owned(), p4d)]))),
        running: Some(Ok(Vec::new())),
        reserved: Some(Ok(Vec::new())),
        quotas: BTreeMap::from([
            ("L-417A185B", Ok(192.0)),
            ("L-F678F1CE", Ok(5.0)),
            ("L-0263D0A3", Ok(5.0)),
            ("L-FE5A380F", Ok(5.0)),
            ("L-1194D53C", Ok(100.0)),
        ]),
        held: BTreeMap::from([
            ("aws.vpc", Ok(Held::All(1))),
            ("aws.elastic_ip", Ok(Held::All(0))),
            ("aws.nat_gateway", Ok(Held::InSubnets(BTreeMap::from([("subnet-1".to_owned(), 1)])))),
            ("aws.eks_cluster", Ok(Held::All(0))),
        ]),
        subnets: Some(Ok(BTreeMap::from([(
            "subnet-1".to_owned(),
            addresses::Subnet { zone: "us-west-2a".to_owned(), free: 200 },
        )]))),
        permissions: None,
    }
}

/// The findings that are not fine, in a line each.
fn told(steps: Vec<Step>, answers: &Answers) -> Vec<String> {
    let wants = Wants::of(&plan(steps));
    let findings = judge(&wants, answers);
    let unwell = findings.iter().filter(|finding| finding.verdict != Verdict::Fine);
    let line = |finding: &Finding| {
        let address = finding.address.as_ref().map(|address| format!("{address}: ")).unwrap_or_default();
        format!("{:?} {address}{}", finding.verdict, finding.what)
    };
    unwell.map(line).collect()
}

#[test]
fn what_can_be_had_is_fine() {
    assert_eq!(told(reference(), &well()), Vec::<String>::new());
    let findings = judge(&Wants::of(&plan(reference())), &well());
    let fine: Vec<&str> = findings.iter().map(|finding| finding.what.as_str()).collect();
    assert_eq!(
        fine,
        [
            "us-west-2a, us-west-2b: there, and usable",
            "p4d.24xlarge: offered in the zones of their nodes",
            "\"Running On-Demand P instances\" (L-417A185B): 192 vCPUs, 0 in use or reserved, 192 to come",
            "\"VPCs per Region\" (L-F678F1CE): 5, there are 1, and 1 to come",
            "\"EC2-VPC Elastic IPs\" (L-0263D0A3): 5, there are 0, and 1 to come",
            "\"NAT gateways per Availability Zone\" (L-FE5A380F): 5, there are 1 in us-west-2a, and 1 to come",
            "\"Clusters\" (L-1194D53C): 100, there are 0, and 1 to come",
            "2 subnets have addresses for all that is to stand in them",
            "p4d.24xlarge: as forge knows them",
        ]
    );
}

#[test]
fn a_full_quota_is_refused_with_its_name_and_code() {
    let mut answers = well();
    let spot = instances::Running { instance_type: "p4d.24xlarge".to_owned(), spot: true, vcpus: 96 };
    let on_demand = instances::Running { instance_type: "p5.4xlarge".to_owned(), spot: false, vcpus: 16 };
    answers.running = Some(Ok(vec![spot, on_demand]));
    answers.reserved = Some(Ok(vec![instances::Kept { instance_type: "p5.4xlarge".to_owned(), free: 2 }]));
    answers.held.insert("aws.vpc", Ok(Held::All(5)));
    answers.quotas.insert("L-FE5A380F", Ok(1.0));
    assert_eq!(
        told(reference(), &answers),
        [
            "Refused gpus.group: the quota \"Running On-Demand P instances\" (L-417A185B) is too small: 192 vCPUs, 48 in use or reserved, 192 to come",
            "Refused net.vpc: the quota \"VPCs per Region\" (L-F678F1CE) is full: it is 5, there are 5, and 1 to come",
            "Refused net.nat[0]: the quota \"NAT gateways per Availability Zone\" (L-FE5A380F) is full: it is 1, there are 1 in us-west-2a, and 1 to come",
        ]
    );
    let findings = judge(&Wants::of(&plan(reference())), &answers);
    let quota = findings.iter().find(|finding| finding.check == "vcpus").unwrap();
    assert_eq!(quota.why.as_deref(), Some("gpus.group: 2 x p4d.24xlarge of 96 vCPUs"));
    assert!(quota.help.as_deref().unwrap().contains("--quota-code L-417A185B --desired-value 240"));
}

#[test]
fn what_cannot_be_asked_is_unknown_with_its_reason_and_refuses_nothing() {
    let no = || "ec2:X: not authorized (UnauthorizedOperation)".to_owned();
    let answers = Answers {
        region: "us-west-2".to_owned(),
        zones: Some(Err(no())),
        offerings: Some(Err(no())),
        types: Some(Err(no())),
        running: Some(Err(no())),
        reserved: Some(Err(no())),
        quotas: BTreeMap::from([("L-417A185B", Err(no())), ("L-F678F1CE", Err(no()))]),
        held: BTreeMap::from([("aws.vpc", Ok(Held::All(5)))]),
        subnets: Some(Err(no())),
        permissions: Some(Err(no())),
    };
    let told = told(reference(), &answers);
    assert!(told.iter().all(|line| line.starts_with("Unknown")), "{told:#?}");
    for part in [
        "zones",
        "offered",
        "vCPUs fit",
        "it is 5 unless it was raised",
        "may do",
        "addresses are free",
        "a new account has 0",
    ] {
        assert!(told.iter().any(|line| line.contains(part)), "{part}: {told:#?}");
    }
}

#[test]
fn zones_without_the_type_or_without_eks_are_refused_with_those_that_have_it() {
    let mut answers = well();
    let only = BTreeSet::from(["us-west-2b".to_owned()]);
    answers.offerings = Some(Ok(BTreeMap::from([("p4d.24xlarge".to_owned(), only)])));
    let zone = |id: &str, opted_in| zones::Zone { id: id.to_owned(), opted_in };
    answers.zones = Some(Ok(BTreeMap::from([
        ("us-west-2b".to_owned(), zone("use1-az3", true)),
        ("us-west-2c".to_owned(), zone("usw2-az3", true)),
        ("us-west-2-lax-1a".to_owned(), zone("usw2-lax1-az1", false)),
    ])));
    assert_eq!(
        told(reference(), &answers),
        [
            "Refused net.private[0]: there is no availability zone us-west-2a in us-west-2",
            "Refused cluster.cluster: EKS cannot stand in us-west-2b, which is use1-az3 in every account",
            "Refused gpus.group: p4d.24xlarge is not offered in us-west-2a",
        ]
    );
    answers.offerings = Some(Ok(BTreeMap::new()));
    assert!(
        told(reference(), &answers)
            .contains(&"Refused gpus.group: p4d.24xlarge is not offered in us-west-2".to_owned())
    );
}

#[test]
fn subnets_that_are_too_small_are_refused() {
    let mut steps = reference();
    steps[1] = subnet("net.private[0]", "us-west-2a", "10.0.101.0/28");
    // 11 free: 1 for the gateway, 6 for the cluster, 2 for the file system, 2 for the nodes.
    let warning = "Warning gpus.group: net.private[0]: 2 free addresses left, and with 50 for the pods of each, 2 nodes may take 100";
    assert_eq!(told(steps.clone(), &well()), [warning]);
    if let Some(Value::Map(fields)) = &mut steps[8].desired {
        fields.insert("desired".to_owned(), Value::from(json!(3)));
    }
    let told_of_three = told(steps.clone(), &well());
    assert!(
        told_of_three.contains(
            &"Refused gpus.group: net.private[0]: 2 free addresses left, and 3 nodes with 1 each need 3".to_owned()
        ),
        "{told_of_three:#?}"
    );
    if let Some(Value::Map(fields)) = &mut steps[6].desired {
        fields.insert("capacity_gib".to_owned(), Value::from(json!(12000)));
    }
    let told_of_more = told(steps, &well());
    assert!(
        told_of_more[1].starts_with("Refused net.nat[0]: net.private[0] has 11 free addresses, and 13 are needed"),
        "{told_of_more:#?}"
    );
}

#[test]
fn what_stays_or_has_been_begun_already_is_not_counted() {
    let mut steps = reference();
    for step in &mut steps {
        step.action = Action::NoOp;
    }
    assert!(judge(&Wants::of(&plan(steps)), &well()).is_empty());
    let mut begun = reference();
    begun[0].repeats = Some(forge_engine::address::OperationId("op".to_owned()));
    let mut answers = well();
    answers.held.insert("aws.vpc", Ok(Held::All(5)));
    assert_eq!(told(begun, &answers), Vec::<String>::new());
}

#[test]
fn what_grows_counts_by_what_comes_and_what_is_paid_elsewhere_does_not() {
    let mut steps = reference();
    let before = json!({
        "cluster": "c", "name": "g", "role": "r", "market": "on-demand", "min": 2, "desired": 1, "max": 2, "subnets": ["s"],
    });
    steps[8].action = Action::Update;
    steps[8].before = Some(before.into());
    assert_eq!(Wants::of(&plan(steps.clone())).groups[0].more, 1);
    if let Some(Value::Map(fields)) = &mut steps[7].desired {
        fields.insert("reservation".to_owned(), Value::from(json!("cr-1")));
    }
    let wants = Wants::of(&plan(steps));
    assert!(wants.groups[0].reserved);
    assert!(instances::codes(&wants).is_empty());
}

#[test]
fn what_forge_takes_a_type_for_is_compared_with_what_it_is() {
    let mut answers = well();
    let mut other = InstanceType::find("p4d.24xlarge").unwrap();
    other.network.efa = 8;
    answers.types = Some(Ok(BTreeMap::from([("p4d.24xlarge".to_owned(), other)])));
    assert_eq!(
        told(reference(), &answers),
        ["Warning p4d.24xlarge is not what this version of forge takes it for: EC2 says 8 EFA interfaces, not 4"]
    );
}
