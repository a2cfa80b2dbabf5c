//! What forge ships: its blueprints and modules, expanded on every target with the kinds that they are for.

mod setup;

use forge_blueprints::{Expanded, ModuleSource, Request, Target, yaml};
use forge_engine::diag::{DocumentId, has_errors};
use forge_engine::kind::{Effect, Kinds};
use forge_engine::resource::Resource;
use forge_engine::value::{Output, Value};
use forge_modules::instance_types::InstanceType;
use forge_modules::{aws, host};
use serde_json::{Value as Json, json};
use setup::{MODULES, Outcome, kinds as local_kinds, outcome_of};
use std::collections::{BTreeMap, BTreeSet};

macro_rules! blueprints {
    ($($name:literal),* $(,)?) => {
        [$(($name, include_str!(concat!("../", $name, ".yaml")))),*]
    };
}

const BLUEPRINTS: [(&str, &str); 10] = blueprints![
    "capacity-block",
    "hosts",
    "local",
    "p5",
    "p5en",
    "p6-b200",
    "reference",
    "spot-finetune",
    "trn1",
    "trn2",
];

/// EC2 DescribeInstanceTypes, May 2026: the type, EfaInfo.MaximumEfaInterfaces, and whether card 0 has EFA. Of
/// p6e-gb200, which it does not show, the layout of 400 Gbit/s each (EC2 User Guide, efa-acc-inst-types).
const EFA: [(&str, usize, bool); 32] = [
    ("g5.8xlarge", 1, true),
    ("g5.12xlarge", 1, true),
    ("g5.16xlarge", 1, true),
    ("g5.24xlarge", 1, true),
    ("g5.48xlarge", 1, true),
    ("g6.8xlarge", 1, true),
    ("g6.12xlarge", 1, true),
    ("g6.16xlarge", 1, true),
    ("g6.24xlarge", 1, true),
    ("g6.48xlarge", 1, true),
    ("g6e.8xlarge", 1, true),
    ("g6e.12xlarge", 1, true),
    ("g6e.16xlarge", 1, true),
    ("g6e.24xlarge", 2, true),
    ("g6e.48xlarge", 4, true),
    ("g7e.8xlarge", 1, true),
    ("g7e.12xlarge", 1, true),
    ("g7e.24xlarge", 2, true),
    ("g7e.48xlarge", 4, true),
    ("p4d.24xlarge", 4, true),
    ("p4de.24xlarge", 4, true),
    ("p5.4xlarge", 1, true),
    ("p5.48xlarge", 32, true),
    ("p5e.48xlarge", 32, true),
    ("p5en.48xlarge", 16, true),
    ("p6-b200.48xlarge", 8, true),
    ("p6-b300.48xlarge", 16, false),
    ("p6e-gb200.36xlarge", 4, false),
    ("trn1.32xlarge", 8, true),
    ("trn1n.32xlarge", 16, true),
    ("trn2.3xlarge", 1, true),
    ("trn2.48xlarge", 16, true),
];

fn kinds(target: Target) -> Kinds {
    match target {
        Target::Aws => aws::kinds(),
        Target::Hosts => host::kinds(),
        Target::Local => local_kinds(target),
    }
}

fn outcome(text: &str, target: Option<&str>) -> Outcome {
    outcome_of(&Request {
        name: "blueprint.yaml",
        bytes: text.as_bytes(),
        environment: &[],
        var_files: &[],
        overrides: &[],
        target,
        modules: &MODULES,
        files: &|path| Err(format!("there is no file {path}")),
        kinds: &|target, _| kinds(target),
        facts: &setup::facts(),
    })
}

/// A blueprint that has everything that modules refer to, and these besides.
fn with(target: &str, modules: &str) -> String {
    format!(
        "forge: v1\nname: t\ntarget: {target}\naws: {{ region: us-west-2 }}\n\
        hosts: {{ machines: [a, b, c], bucket: s3://b, scratch: /shared }}\n\
        modules:\n  network: {{ use: vpc }}\n  data: {{ use: s3 }}\n{modules}"
    )
}

fn good(text: &str, target: &str) -> Expanded {
    let outcome = outcome(text, Some(target));
    assert!(!has_errors(&outcome.findings), "{text}\n{}", outcome.text());
    outcome.expanded.expect("no error, so it expands")
}

/// A specification with something in place of what only apply knows, as its kind has it.
fn spec(resource: &Resource, target: Target) -> Json {
    let stand_in = |output: &Output| Some(json!(format!("{output}")));
    let resolved = resource.spec.resolve(&stand_in).expect("every output has a stand-in");
    let kinds = kinds(target);
    let kind = kinds.get(&resource.kind).unwrap_or_else(|| panic!("{}: no such kind", resource.kind));
    kind.normalize(&resolved).unwrap_or_else(|error| panic!("{}: {error}\n{resolved:#}", resource.address))
}

fn of_kind<'e>(expanded: &'e Expanded, kind: &str) -> Vec<&'e Resource> {
    expanded.desired.resources.iter().filter(|resource| resource.kind == kind).collect()
}

/// A module's document.
fn document(module: &ModuleSource<'_>) -> BTreeMap<String, Value> {
    let (node, findings) = yaml::parse(DocumentId(0), module.text);
    assert!(findings.is_empty(), "{}: {findings:?}", module.name);
    match node.expect("a document").to_value() {
        Value::Map(entries) => entries,
        other => panic!("{}: {other:?}", module.name),
    }
}

fn map<'v>(value: &'v Value, name: &str) -> &'v BTreeMap<String, Value> {
    match value {
        Value::Map(entries) => entries,
        other => panic!("{name}: {other:?}"),
    }
}

#[test]
fn every_blueprint_expands_on_its_own_target_and_on_this_machine() {
    for (name, text) in BLUEPRINTS {
        for target in [None, Some("local")] {
            let outcome = outcome(text, target);
            assert_eq!(outcome.text(), "", "{name} on {target:?}");
            let expanded = outcome.expanded.expect("no finding, so it expands");
            assert!(!expanded.jobs.is_empty(), "{name} has no job");
            for job in &expanded.jobs {
                for output in ["nodes", "spares", "workers_per_node", "bucket", "scratch"] {
                    assert!(job.nodes.contains_key(output), "{name} on {}: {output}", expanded.target);
                }
            }
            for resource in &expanded.desired.resources {
                spec(resource, expanded.target);
            }
        }
    }
}

#[test]
fn every_blueprint_can_be_read_at_a_glance() {
    for (name, text) in BLUEPRINTS {
        let lines = text.lines().count();
        assert!((15..=50).contains(&lines), "{name}: {lines} lines");
        let expanded = outcome(text, None).expanded.expect("it expands");
        // The one for this machine works as it is.
        assert!(text.contains("decide:") || name == "local", "{name} leaves nothing to decide");
        assert!(!expanded.variables.is_empty(), "{name} has no variables");
    }
}

#[test]
fn the_reference_cluster_is_all_of_this() {
    let text = BLUEPRINTS.iter().find(|(name, _)| *name == "reference").expect("it is shipped").1;
    let expanded = good(text, "aws");
    let list: Vec<String> = expanded
        .desired
        .resources
        .iter()
        .map(|resource| format!("{:<32} {}", resource.address.as_str(), resource.kind))
        .collect();
    insta::assert_snapshot!(list.join("\n"));
    let specs: BTreeMap<&str, Json> =
        ["network.nodes", "scratch.group", "gpus.pool.template[0]", "gpus.pool.group[0]", "cluster.cluster"]
            .into_iter()
            .map(|address| {
                let found = expanded.desired.resources.iter().find(|resource| resource.address.as_str() == address);
                (address, spec(found.unwrap_or_else(|| panic!("{address}")), Target::Aws))
            })
            .collect();
    insta::assert_snapshot!(serde_json::to_string_pretty(&specs).expect("JSON"));
    for resource in &expanded.desired.resources {
        let Value::Map(fields) = &resource.spec else { panic!() };
        if let Some(Value::Map(tags)) = fields.get("tags") {
            assert_eq!(tags.get("project"), Some(&Value::String("train".into())), "{}", resource.address);
        }
    }
}

#[test]
fn every_type_with_efa_has_one_interface_for_it_on_each_card_that_can() {
    let known = InstanceType::all().filter(|known| {
        let ours = known.accelerators.as_ref().is_some_and(|found| ["nvidia", "aws"].contains(&found.vendor.as_str()));
        // trn2u is taken to be like trn2; no source says so. The others are for other work.
        let others = ["trn2u.", "g4dn.", "gr6.", "inf1."].iter().any(|family| known.name.starts_with(family));
        ours && known.network.efa > 0 && !others
    });
    assert_eq!(
        known.map(|known| known.name).collect::<BTreeSet<_>>(),
        EFA.iter().map(|(name, ..)| (*name).to_owned()).collect()
    );

    for (name, most, first) in EFA {
        let module = if name.starts_with("trn") { "trainium-nodes" } else { "gpu-nodes" };
        let capacity = if name.starts_with("p6e") { ", capacity: [capacity-block], reservation: cr-1" } else { "" };
        let nodes = format!("  n: {{ use: {module}, with: {{ instance_type: {name}, count: 9{capacity} }} }}\n");
        let expanded = good(&with("aws", &nodes), "aws");
        let [template] = of_kind(&expanded, "aws.launch_template")[..] else { panic!("{name}: one template") };
        let spec = spec(template, Target::Aws);
        let mut interfaces: Vec<(u64, u64, &str)> = Vec::new();
        for interface in spec["interfaces"].as_array().expect("a list") {
            let carries = interface["carries"].as_str().expect("text");
            let device = interface["device"].as_u64().expect("a number");
            let cards = interface["cards"].as_array().expect("a list");
            interfaces.extend(cards.iter().map(|card| (card.as_u64().expect("a number"), device, carries)));
        }
        assert_eq!(interfaces[0], (0, 0, "ip"), "{name}: the first interface carries IP");
        let efa: Vec<_> = interfaces[1..].to_vec();
        assert_eq!(efa.len(), most, "{name}");
        for (card, device, carries) in &efa {
            assert_eq!(*carries, "efa-only", "{name}");
            assert_eq!(*device, u64::from(*card == 0), "{name}: card {card}");
        }
        let cards: BTreeSet<u64> = efa.iter().map(|(card, ..)| *card).collect();
        assert_eq!(cards.len(), most, "{name}: one on each card");
        assert_eq!(cards.contains(&0), first, "{name}: card 0");
        let groups = spec["security_groups"].as_array().expect("a list");
        assert!(groups.contains(&json!("network.nodes.id")), "{name}: the group whose rules let EFA through");
        let group = of_kind(&expanded, "aws.autoscaling_group")[0];
        let Value::Map(fields) = &group.spec else { panic!() };
        assert_eq!(fields["subnets"], Value::List(vec![output("network.private[0]", "id")]), "{name}: one zone");
    }
}

#[test]
fn nodes_have_more_addresses_for_more_bandwidth_when_that_is_said() {
    let nodes = "  n: { use: gpu-nodes, with: { instance_type: p5.48xlarge, count: 2, interfaces: most-bandwidth } }\n";
    let expanded = good(&with("aws", nodes), "aws");
    let [template] = of_kind(&expanded, "aws.launch_template")[..] else { panic!("one template") };
    let others = (1..32).collect::<Vec<_>>();
    let wanted = json!([
        { "cards": [0], "device": 0, "carries": "ip" },
        { "cards": [0], "device": 1, "carries": "efa-only" },
        { "cards": others, "device": 0, "carries": "efa-only" },
        { "cards": [4, 8, 12, 16, 20, 24, 28], "device": 1, "carries": "ip" },
    ]);
    assert_eq!(spec(template, Target::Aws)["interfaces"], wanted);
}

#[test]
fn images_are_those_of_the_instance_type() {
    let image = |module: &str, instance_type: &str| {
        let nodes = format!("  n: {{ use: {module}, with: {{ instance_type: {instance_type}, count: 1 }} }}\n");
        let plain = good(&with("aws", &nodes), "aws");
        let [template] = of_kind(&plain, "aws.launch_template")[..] else { panic!("one template") };
        let outside = spec(template, Target::Aws)["image"].as_str().expect("text").to_owned();
        let cluster = "  c: { use: eks, with: { network: \"${network}\" } }\n";
        let nodes = nodes.replace("count: 1", "count: 1, cluster: \"${c}\"");
        let inside = good(&with("aws", &format!("{cluster}{nodes}")), "aws");
        let [group] = of_kind(&inside, "aws.eks_nodegroup")[..] else { panic!("one group") };
        (
            spec(group, Target::Aws)["ami"].as_str().expect("text").to_owned(),
            outside.replace("resolve:ssm:/aws/service/", ""),
        )
    };
    for (module, instance_type, eks, parameter) in [
        (
            "cpu-nodes",
            "m5.xlarge",
            "AL2023_x86_64_STANDARD",
            "ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64",
        ),
        (
            "cpu-nodes",
            "m7g.xlarge",
            "AL2023_ARM_64_STANDARD",
            "ami-amazon-linux-latest/al2023-ami-kernel-default-arm64",
        ),
        (
            "gpu-nodes",
            "p5.48xlarge",
            "AL2023_x86_64_NVIDIA",
            "deeplearning/ami/x86_64/base-oss-nvidia-driver-gpu-amazon-linux-2023/latest/ami-id",
        ),
        (
            "gpu-nodes",
            "g5g.xlarge",
            "AL2023_ARM_64_NVIDIA",
            "deeplearning/ami/arm64/base-oss-nvidia-driver-gpu-amazon-linux-2023/latest/ami-id",
        ),
        (
            "trainium-nodes",
            "trn1.32xlarge",
            "AL2023_x86_64_NEURON",
            "neuron/dlami/base/amazon-linux-2023/latest/image_id",
        ),
    ] {
        assert_eq!(image(module, instance_type), (eks.to_owned(), parameter.to_owned()), "{instance_type}");
    }
}

fn output(address: &str, name: &str) -> Value {
    Value::Output(Output { address: forge_engine::address::Address::new(address), name: name.to_owned() })
}

#[test]
fn nodes_are_in_a_group_with_rules_for_itself_both_ways() {
    let itself = json!({ "peer": { "group": "self" }, "protocol": "all", "ports": null });
    for (name, text) in BLUEPRINTS.iter().filter(|(_, text)| text.contains("target: aws")) {
        let expanded = good(text, "aws");
        let groups = of_kind(&expanded, "aws.security_group");
        let nodes = groups.iter().find(|group| group.address.as_str() == "network.nodes").expect("the nodes' group");
        let spec = spec(nodes, Target::Aws);
        for way in ["ingress", "egress"] {
            assert!(spec[way].as_array().expect("a list").contains(&itself), "{name}: {way}");
        }
    }
}

#[test]
fn every_module_expands_on_every_target_with_what_it_needs_and_no_more() {
    let needs = [
        ("capacity-block", "instance_type: p5.48xlarge, count: 1, days: 1, max_price_usd: 1"),
        ("eks", "network: \"${network}\""),
        ("fsx-lustre", "network: \"${network}\""),
        ("gpu-nodes", "instance_type: p5.48xlarge, count: 1"),
        ("node-pool", "instance_type: m5.xlarge, count: 1, network: \"${network}\""),
        ("trainium-nodes", "instance_type: trn1.32xlarge, count: 1"),
    ];
    for module in MODULES {
        let input = needs.iter().find(|(name, _)| *name == module.name).map_or("", |(_, input)| input);
        for target in Target::ALL {
            let name = match module.name {
                "vpc" | "s3" => continue,
                _ => format!("  m: {{ use: {}, with: {{ {input} }} }}\n", module.name),
            };
            let expanded = good(&with(target.name(), &name), target.name());
            for resource in &expanded.desired.resources {
                spec(resource, target);
            }
        }
    }
}

#[test]
fn every_module_is_described_and_its_example_works() {
    let base = [
        "  network: { use: vpc }",
        "  data: { use: s3 }",
        "  scratch: { use: fsx-lustre, with: { network: \"${network}\" } }",
        "  cluster: { use: eks, with: { network: \"${network}\" } }",
    ];
    for module in MODULES {
        let document = document(&module);
        let described = |what: &str, entry: &BTreeMap<String, Value>| match entry.get("description") {
            Some(Value::String(text)) => assert!(!text.ends_with('.') && !text.contains('\n'), "{what}: {text}"),
            _ => panic!("{what} of {} has no description", module.name),
        };
        described("the module", &document);
        for (name, input) in map(&document["inputs"], "inputs") {
            described(name, map(input, name));
        }
        for target in Target::ALL {
            assert!(map(&document["targets"], "targets").contains_key(target.name()), "{}: {target}", module.name);
        }
        let Some(Value::String(example)) = document.get("example") else { panic!("{}: no example", module.name) };
        let example: String = example.lines().map(|line| format!("  {line}\n")).collect();
        let own: BTreeSet<&str> = example.lines().filter_map(name_of).collect();
        let base: String = base
            .iter()
            .filter(|line| name_of(line).is_none_or(|name| !own.contains(name)))
            .map(|line| format!("{line}\n"))
            .collect();
        let region = if example.contains("trn2") { "us-east-2" } else { "us-west-2" };
        let text = format!("forge: v1\nname: e\ntarget: aws\naws: {{ region: {region} }}\nmodules:\n{base}{example}");
        let outcome = outcome(&text, None);
        let findings: Vec<_> = outcome.findings.iter().filter(|finding| finding.id != "unused-module").collect();
        assert!(findings.is_empty(), "{}:\n{text}\n{}", module.name, outcome.text());
    }
}

/// The module that a line of a blueprint begins.
fn name_of(line: &str) -> Option<&str> {
    let rest = line.strip_prefix("  ")?;
    rest.starts_with(|c: char| c.is_ascii_lowercase()).then(|| rest.split(':').next())?
}

#[test]
fn rules_of_aws_are_told_before_anything_is_touched() {
    let cases: Vec<&str> = include_str!("rules-of-aws.yaml").split("---\n").skip(1).collect();
    let said: Vec<String> = cases
        .iter()
        .map(|case| {
            let outcome = outcome(&with("aws", case), None);
            let findings = outcome.findings.iter().filter(|finding| finding.id == "check");
            let said: Vec<String> = findings
                .map(|finding| {
                    let help = finding.help.as_ref().map(|help| format!("\n    {help}")).unwrap_or_default();
                    format!("  {:?}: {}{help}", finding.severity, finding.summary)
                })
                .collect();
            let others: Vec<_> =
                outcome.findings.iter().filter(|finding| finding.id != "check").map(|f| f.id).collect();
            let others: Vec<_> = others.into_iter().filter(|id| *id != "unused-module").collect();
            assert_eq!(others, [""; 0], "{case}\n{}", outcome.text());
            format!("{case}{}", said.join("\n"))
        })
        .collect();
    insta::assert_snapshot!(said.join("\n\n"));
}

#[test]
fn machines_are_taken_by_their_label_and_say_how_they_are_reached() {
    let text = "forge: v1\nname: h\ntarget: hosts\nhosts:\n  machines:\n    - one\n    \
        - { address: two, user: ann, port: 2222, labels: { pool: big } }\n    - { address: three, labels: { pool: big } }\n  \
        user: train\n  key: /k\n  spares: 1\n  bucket: s3://b\nmodules:\n  data: { use: s3 }\n  \
        gpus: { use: gpu-nodes, with: { instance_type: p5.48xlarge, count: 4, pool: big } }\n";
    let expanded = good(text, "hosts");
    let machines: Vec<Json> =
        of_kind(&expanded, "host.machine").into_iter().map(|machine| spec(machine, Target::Hosts)).collect();
    let machine = |address: &str, user: &str, port: u16| json!({ "address": address, "user": user, "port": port, "key": "/k", "jump": null });
    assert_eq!(machines, [machine("two", "ann", 2222), machine("three", "train", 22)]);
    let agent = spec(of_kind(&expanded, "host.agent")[0], Target::Hosts);
    assert_eq!((&agent["nodes"], &agent["workers_per_node"]), (&json!(1), &json!(8)));
    assert_eq!(expanded.modules["gpus"]["nodes"], Value::from(json!(1)), "what there is, not what was asked for");
}

#[test]
fn changes_take_what_the_calls_of_aws_take() {
    let kinds = aws::kinds();
    let effect = |kind: &str, field: &str, before: Json, after: Json| {
        let kind = kinds.get(kind).expect("a kind");
        let normal = |spec: &Json| kind.normalize(spec).unwrap_or_else(|error| panic!("{}: {error}", kind.name()));
        kind.effect(field, &normal(&before), &normal(&after)).expect("both fit")
    };
    let vpc = |cidr: &str| json!({ "cidr": cidr });
    assert_eq!(effect("aws.vpc", "cidr", vpc("10.0.0.0/16"), vpc("10.1.0.0/16")), Effect::ReplaceCreateFirst);
    let subnet = |vpc: &str, zone: &str| json!({ "vpc": vpc, "cidr": "10.0.1.0/24", "zone": zone });
    assert_eq!(effect("aws.subnet", "zone", subnet("a", "x"), subnet("a", "y")), Effect::ReplaceDeleteFirst);
    assert_eq!(effect("aws.subnet", "vpc", subnet("a", "x"), subnet("b", "x")), Effect::ReplaceCreateFirst);
    let cluster =
        |version: &str| json!({ "name": "c", "role": "r", "version": version, "vpc": "v", "subnets": ["a", "b"] });
    assert_eq!(effect("aws.eks_cluster", "version", cluster("1.34"), cluster("1.35")), Effect::InPlace);
    assert!(matches!(effect("aws.eks_cluster", "version", cluster("1.33"), cluster("1.35")), Effect::Forbidden(_)));
    assert!(matches!(effect("aws.eks_cluster", "version", cluster("1.35"), cluster("1.34")), Effect::Forbidden(_)));
    let mut moved = cluster("1.35");
    moved["vpc"] = "w".into();
    assert_eq!(effect("aws.eks_cluster", "vpc", cluster("1.35"), moved), Effect::ReplaceDeleteFirst);
    let nodes = |desired: u32, market: &str| {
        let group = json!({ "cluster": "c", "name": "n", "role": "r", "subnets": ["a"], "market": market });
        with_fields(group, json!({ "min": 0, "desired": desired, "max": 9 }))
    };
    assert_eq!(effect("aws.eks_nodegroup", "desired", nodes(1, "spot"), nodes(2, "spot")), Effect::InPlace);
    let sold = effect("aws.eks_nodegroup", "market", nodes(1, "spot"), nodes(1, "on-demand"));
    assert_eq!(sold, Effect::ReplaceDeleteFirst);
    let lustre = |gib: u32| {
        let place = json!({ "subnet": "a", "security_groups": ["g"] });
        with_fields(place, json!({ "capacity_gib": gib, "deployment": "persistent-2" }))
    };
    assert_eq!(effect("aws.fsx_lustre", "capacity_gib", lustre(2400), lustre(4800)), Effect::InPlace);
    assert_eq!(effect("aws.fsx_lustre", "capacity_gib", lustre(4800), lustre(2400)), Effect::ReplaceCreateFirst);
    let block = |days: u32| json!({ "instance_type": "p5.48xlarge", "count": 1, "days": days, "max_price_usd": 1.0 });
    assert!(matches!(effect("aws.capacity_block", "days", block(1), block(2)), Effect::Forbidden(_)));
    for (name, holds_data) in [("aws.s3_bucket", true), ("aws.fsx_lustre", true), ("aws.vpc", false)] {
        assert_eq!(kinds.get(name).expect("a kind").holds_data(), holds_data, "{name}");
    }
    for kind in kinds.iter() {
        assert!(!kind.outputs().is_empty(), "{} has no outputs", kind.name());
    }
}

fn with_fields(mut spec: Json, more: Json) -> Json {
    if let (Some(spec), Json::Object(more)) = (spec.as_object_mut(), more) {
        spec.extend(more);
    }
    spec
}
