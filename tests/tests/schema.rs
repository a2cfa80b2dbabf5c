//! The JSON Schema for editors, judged by a validator that is not ours: what forge ships fits, what is broken does not.

use forge_tests::{CLUSTER, Site, python, repository};
use serde_json::{Value, json};
use std::io::Write;
use std::process::{Command, Stdio};

fn schema(of: &str) -> Value {
    let printed = Site::empty().forge(&["schema", of]).with_code(0).stdout;
    serde_json::from_str(&printed).expect("a schema is JSON")
}

/// What the validator says of each document.
fn errors(schema: &Value, documents: &[String]) -> Vec<Vec<String>> {
    let mut child = Command::new(python())
        .arg(repository().join("tests/editor/validate.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the validator starts");
    let given = json!({"schema": schema, "documents": documents}).to_string();
    child.stdin.take().expect("a pipe").write_all(given.as_bytes()).expect("the validator reads");
    let output = child.wait_with_output().expect("the validator ends");
    assert!(output.status.success(), "the validator failed: ./check installs what it needs");
    serde_json::from_slice(&output.stdout).expect("the validator prints JSON")
}

/// Every file with that name, or that ends so, in the directories below one.
fn files(directory: &str, ends: &str) -> Vec<(String, String)> {
    let entries = std::fs::read_dir(repository().join(directory)).expect("a directory");
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.expect("an entry").path();
        let candidates = if path.is_dir() { vec![path.join(ends)] } else { vec![path] };
        for path in candidates {
            if path.is_file() && path.to_string_lossy().ends_with(ends) {
                found.push((path.display().to_string(), std::fs::read_to_string(&path).expect("a text")));
            }
        }
    }
    assert!(!found.is_empty(), "{directory}/**/{ends}");
    found
}

fn assert_fits(schema: &Value, documents: Vec<(String, String)>) {
    let (names, texts): (Vec<_>, Vec<_>) = documents.into_iter().unzip();
    let found = errors(schema, &texts);
    let wrong: Vec<_> = names.iter().zip(&found).filter(|(_, errors)| !errors.is_empty()).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn everything_that_forge_ships_fits() {
    let mut blueprints = files("blueprints", ".yaml");
    blueprints.extend(files("examples", "blueprint.yaml"));
    blueprints
        .push(("the language's example".to_owned(), include_str!("../../blueprints/tests/example.yaml").to_owned()));
    blueprints.push(("the tests' cluster".to_owned(), CLUSTER.to_owned()));
    assert_fits(&schema("blueprint"), blueprints);
    assert_fits(&schema("module"), files("modules", "module.yaml"));
}

#[test]
fn what_is_resolved_fits() {
    let text = "forge: v1\nname: a\ntags: { team: x }\nmodules:\n  gpus[0]: { use: s3, when: \"${vars.a}\" }\n  gpus[\"a b\"]: { use: ./mine, with: { anything: 1 }, depends_on: [\"gpus[0]\"] }\n";
    assert_fits(&schema("blueprint"), vec![("resolved".to_owned(), text.to_owned())]);
}

#[test]
fn what_is_broken_is_refused_where_it_is_broken() {
    let base = "forge: v1\nname: a\ntarget: local\nvars:\n  n: { type: int, default: 1 }\nmodules:\n  network: { use: vpc, with: { zones: 2 } }\n  gpus: { use: gpu-nodes, with: { instance_type: p5.48xlarge, count: 1 } }\njobs:\n  train: { nodes: \"${gpus}\", command: [a, 1], hang_after: 1h30m, restarts: { max: 1 } }\n";
    let broken = [
        ("forge: v1", "forge: v2", "/forge"),
        ("forge: v1\n", "", "/"),
        ("name: a", "name: Not_a_name", "/name"),
        ("target: local", "target: cloud", "/target"),
        ("target: local", "regoin: us-west-2", "/"),
        ("target: local", "aws: { region: 1 }", "/aws/region"),
        ("target: local", "hosts: { machines: [{ port: 22 }] }", "/hosts/machines"),
        ("target: local", "hosts: { machines: [a], port: 70000 }", "/hosts/port"),
        ("target: local", "hosts: { machines: [a], bucket: data }", "/hosts/bucket"),
        ("target: local", "hosts: { machines: [a], endpoint: minio }", "/hosts/endpoint"),
        ("type: int,", "type: string, sensitive: true, pattern: a,", "/vars/n"),
        ("target: local", "tags: { \"aws:x\": y }", "/tags"),
        ("type: int,", "type: integer,", "/vars/n/type"),
        ("  n: {", "  N-n: {", "/vars"),
        ("use: vpc", "use: vcp", "/modules/network/use"),
        ("zones: 2", "zones: many", "/modules/network/with/zones"),
        ("zones: 2", "zones: 99", "/modules/network/with/zones"),
        ("zones: 2", "zone: 2", "/modules/network/with"),
        ("zones: 2", "cidr: here", "/modules/network/with/cidr"),
        ("instance_type: p5.48xlarge, ", "", "/modules/gpus/with"),
        ("count: 1 }", "count: 1, bucket: data }", "/modules/gpus/with/bucket"),
        ("  gpus: {", "  gpus[: {", "/modules"),
        ("nodes: \"${gpus}\"", "nodes: gpus", "/jobs/train/nodes"),
        ("command: [a, 1]", "command: a b", "/jobs/train/command"),
        ("1h30m", "90 minutes", "/jobs/train/hang_after"),
        ("max: 1", "max: -1", "/jobs/train/restarts"),
        ("max: 1", "maximum: 1", "/jobs/train/restarts"),
    ];
    let mut documents = vec![base.to_owned()];
    documents.extend(broken.iter().map(|(from, to, _)| base.replacen(from, to, 1)));
    let found = errors(&schema("blueprint"), &documents);
    assert_eq!(found[0], [""; 0], "the unbroken one");
    let there = |errors: &[String], place: &str| errors.iter().any(|error| error.split(": ").next() == Some(place));
    let cases = broken.iter().zip(&found[1..]);
    let missed: Vec<_> = cases.filter(|((_, _, place), errors)| !there(errors, place)).collect();
    assert!(missed.is_empty(), "{missed:#?}");
}
