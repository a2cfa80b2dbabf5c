//! What good blueprints come to.

mod setup;

use forge_blueprints::{Checkpoint, Keep, ModuleSource, Override, Request, Target};
use forge_engine::address::Address;
use forge_engine::value::{Output, Secret, Value};
use serde_json::json;
use setup::{EXAMPLE, MODULES, kinds, local, outcome, outcome_of};
use std::time::Duration;

fn set<'a>(name: &'a str, text: &'a str) -> Override<'a> {
    Override { name, text, origin: "--var", remembered: false }
}

#[test]
fn the_example_of_the_language_expands_on_this_machine() {
    let outcome = local(EXAMPLE);
    assert_eq!(outcome.text(), "");
    let expanded = outcome.expanded.unwrap();
    assert_eq!(expanded.target, Target::Local);
    assert_eq!(expanded.desired.deployment.0, "llama-pretrain");
    insta::assert_debug_snapshot!(
        expanded.desired.resources.iter().map(|r| (r.address.as_str(), &r.kind, &r.spec)).collect::<Vec<_>>()
    );
    insta::assert_debug_snapshot!(expanded.jobs);
    insta::assert_snapshot!(expanded.notes.join("\n"), @r"
    data: A directory of this machine stands for the bucket.
    network: The loopback network (127.0.0.1) stands for the network 10.0.0.0/16.
    cluster: There is no Kubernetes on this machine; the agents are started directly.
    scratch: A directory of this machine stands for 4800 GiB of Lustre.
    gpus: 2 nodes of 8 accelerators run here as 2 nodes with 1 worker each (set by local: {nodes, workers_per_node})
    ");
}

#[test]
fn a_large_blueprint_runs_here_scaled_down_and_says_so() {
    let text = EXAMPLE.replace("default: 2", "default: 16");
    let expanded = local(&text).expanded.unwrap();
    let note = expanded.notes.iter().find(|note| note.starts_with("gpus")).unwrap();
    insta::assert_snapshot!(note, @"gpus: 16 nodes of 8 accelerators run here as 2 nodes with 1 worker each (set by local: {nodes, workers_per_node})");

    let text = text.replace("aws: {", "local: { nodes: 3, workers_per_node: 4 }\naws: {");
    let expanded = local(&text).expanded.unwrap();
    let fleet = expanded.desired.resources.iter().find(|r| r.address.as_str() == "gpus.fleet").unwrap();
    let Value::Map(spec) = &fleet.spec else { panic!() };
    assert_eq!(spec["nodes"].to_json(), Some(json!(3)));
    assert_eq!(spec["workers_per_node"].to_json(), Some(json!(4)));
    assert_eq!(spec["spares"].to_json(), Some(json!(1)));
    assert_eq!(fleet.dependencies().len(), 2);
}

#[test]
fn variables_are_read_by_their_type_and_the_last_one_wins() {
    let outcome =
        outcome(EXAMPLE.as_bytes(), &[set("nodes", "7"), set("nodes", "1"), set("type", "1")], Some("local"), &[]);
    assert_eq!(outcome.text(), "");
    let nodes = &outcome.expanded.unwrap().modules["gpus"]["nodes"];
    assert_eq!(nodes.to_json(), Some(json!(1)));
}

#[test]
fn jobs_have_defaults_and_keep_what_is_written() {
    let text = "forge: v1\nname: j\ntarget: local\nvars: { rate: { type: number, default: 0.5 } }\nmodules:\n  data: { use: s3 }\n  \
        gpus: { use: gpu-nodes, with: { instance_type: g6e.xlarge, count: 1 } }\njobs:\n  a:\n    nodes: ${gpus}\n    \
        command: [python, 1e-3, 010, true, \"--rate=${vars.rate}\", '$${HOME}']\n    env: { A: 0x10, B: \"${vars.rate}\" }\n    \
        hang_after: 1m30s\n    checkpoint: { every_steps: 5 }\n";
    let outcome = local(text);
    assert_eq!(outcome.text(), "");
    let expanded = outcome.expanded.unwrap();
    let job = &expanded.jobs[0];
    assert_eq!(job.command, ["python", "1e-3", "010", "true", "--rate=0.5", "${HOME}"]);
    assert_eq!(job.env["A"], "0x10");
    assert_eq!(job.env["B"], "0.5");
    assert_eq!(job.checkpoint, Checkpoint { every_steps: Some(5), keep: Keep { last: 2, powers_of_two: true } });
    assert_eq!(job.hang_after, Duration::from_secs(90));
    assert_eq!((job.restarts.max, job.restarts.window), (10, Duration::from_secs(3600)));
}

#[test]
fn unknown_values_pass_through_whole_and_inside_text() {
    let module = ModuleSource {
        name: "mine",
        document: "mine/module.yaml",
        text: r#"
module: mine
inputs: { bucket: { type: module, module: [s3], default: only }, absent: { type: string, optional: true } }
targets:
  local:
    outputs:
      whole: ${inputs.bucket}
      pure: ${ (inputs.bucket.url) }
      item: "${[inputs.bucket.url, 1][0]}"
      chosen: ${inputs.bucket.url if inputs.absent is none else 'x'}
      text: "s3 is ${inputs.bucket.url}/${1 + 1}."
      joined: "a${'b'}${3}"
      map: "${ {'u': inputs.bucket.url, 'v': [true, none]} }"
"#,
    };
    let blueprint = "forge: v1\nname: u\ntarget: local\nmodules:\n  data: { use: s3 }\n  m: { use: mine }\n";
    let outcome = outcome(blueprint.as_bytes(), &[], None, &[module]);
    assert_eq!(outcome.text(), "");
    let outputs = &outcome.expanded.unwrap().modules["m"];
    let url = Value::Output(Output { address: Address::new("data.bucket"), name: "url".into() });
    let text = |text: &str| Value::String(text.into());
    for name in ["pure", "item", "chosen"] {
        assert_eq!(outputs[name], url, "{name}");
    }
    assert_eq!(outputs["text"], Value::Concat(vec![text("s3 is "), url.clone(), text("/2.")]));
    assert_eq!(outputs["joined"], text("ab3"));
    let Value::Map(whole) = &outputs["whole"] else { panic!() };
    assert_eq!(whole["url"], url);
    let list = Value::List(vec![Value::Bool(true), Value::Null]);
    assert_eq!(outputs["map"], Value::Map([("u".into(), url), ("v".into(), list)].into()));
}

#[test]
fn nothing_can_be_computed_with_unknown_values() {
    let cases = [
        "b.url == 'x'",
        "b.url != none",
        "1 if b.url else 2",
        "b.url if b.url else b.url",
        "[b.url, b.url == 'x']",
        "b.url ~ 'x'",
        "b.url | upper",
        "b.url | length",
        "b.url is string",
        "b.url in ['x']",
        "'x' in b.url",
        "[b.url] | length",
        "[b.url] | sort | length",
        "b == b",
        "b | json",
        "b | items | list | length",
        "b['url'] == 'x'",
        "not b.url",
        "b.url[0]",
        "range(b.url)",
    ];
    for case in cases {
        let text = format!(
            "forge: v1\nname: u\ntarget: local\nmodules:\n  b: {{ use: s3 }}\n  n: {{ use: vpc, with: {{ cidr: \"${{{case}}}\" }} }}\n"
        );
        let outcome = local(&text);
        let ids: Vec<_> = outcome.findings.iter().map(|finding| finding.id).collect();
        assert_eq!(ids, ["unknown-value"], "{case}\n{}", outcome.text());
    }
}

#[test]
fn a_secret_is_not_read_where_the_environment_once_had_it() {
    let text = "forge: v1\nname: a\ntarget: local\nvars:\n  token: { type: string, sensitive: true, default: \"file:/run/token\" }\n";
    let remembered = Override { name: "token", text: "hunter2", origin: "FORGE_VAR_ at the last up", remembered: true };
    let now = Override { name: "token", text: "hunter2", origin: "FORGE_VAR_token", remembered: false };
    for (environment, reference) in
        [(vec![remembered], "file:/run/token"), (vec![remembered, now], "env:FORGE_VAR_token")]
    {
        let outcome = outcome_of(&Request {
            name: "blueprint.yaml",
            bytes: text.as_bytes(),
            environment: &environment,
            var_files: &[],
            overrides: &[],
            target: None,
            modules: &MODULES,
            files: &|path| Err(format!("there is no file {path}")),
            kinds: &|target, _| kinds(target),
            facts: &setup::facts(),
        });
        let variables = outcome.expanded.unwrap().variables;
        assert_eq!(variables[0].value, Value::Secret(Secret { secret: reference.to_owned() }));
    }
}
