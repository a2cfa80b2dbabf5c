//! `--var-file`: what it sets, where findings point, and that `up` remembers it.

use forge_tests::Site;

const BLUEPRINT: &str = "forge: v1\nname: desk\ntarget: local\nvars:\n  nodes: { type: int, default: 1, min: 1 }\nlocal: { nodes: \"${vars.nodes}\" }\nmodules:\n  data: { use: s3 }\n  gpus: { use: gpu-nodes, with: { instance_type: p5.48xlarge, count: \"${vars.nodes}\" } }\njobs:\n  wait: { nodes: \"${gpus}\", command: [sleep, \"1\"] }\n";

/// How many nodes the plan has.
fn nodes(site: &Site, arguments: &[&str]) -> serde_json::Value {
    let all: Vec<&str> = ["plan", "--json"].iter().chain(arguments).copied().collect();
    let plan = &site.forge(&all).with_code(0).json()[0]["plan"];
    let steps = plan["steps"].as_array().expect("a plan has steps");
    steps.iter().find(|step| step["kind"] == "local.fleet").expect("a fleet")["desired"]["nodes"].clone()
}

#[test]
fn the_last_file_wins_over_the_first_and_a_variable_over_both() {
    let site = Site::with(&[("blueprint.yaml", BLUEPRINT), ("a.yaml", "nodes: 2\n"), ("b.json", "{\"nodes\": 3}")]);
    assert_eq!(nodes(&site, &[]), 1);
    assert_eq!(nodes(&site, &["--var-file", "b.json", "--var-file", "a.yaml"]), 2);
    assert_eq!(nodes(&site, &["--var-file", "a.yaml", "--var-file", "b.json"]), 3);
    assert_eq!(nodes(&site, &["--var", "nodes=4", "--var-file", "b.json"]), 4);
}

#[test]
fn what_is_wrong_points_into_the_file() {
    let site = Site::with(&[("blueprint.yaml", BLUEPRINT), ("a.yaml", "nodes: 0\nnoodes: 1\n")]);
    let ran = site.forge(&["validate", "--format", "plain", "--var-file", "a.yaml"]).with_code(1);
    let places: Vec<_> = ran.stdout.lines().map(|line| line.split(": ").next().unwrap()).collect();
    assert_eq!(places, ["a.yaml:1:8", "a.yaml:2:1"], "{}", ran.stdout);
    let absent = site.forge(&["validate", "--var-file", "c.yaml"]).with_code(1);
    assert!(absent.stderr.starts_with("error: c.yaml cannot be read\n"), "{}", absent.stderr);
}

#[test]
fn up_remembers_it_wherever_the_next_command_is_run() {
    let site =
        Site::with(&[("here/blueprint.yaml", BLUEPRINT), ("here/vars/a.yaml", "nodes: 2\n"), ("b.yaml", "nodes: 3\n")]);
    site.forge(&["up", "--yes", "here/blueprint.yaml", "--var-file", "here/vars/a.yaml"]).with_code(0);
    assert!(site.read("here/.forge/current.json").contains("\"var_files\":[\"vars/a.yaml\"]"), "relative, to be moved");
    assert_eq!(nodes(&site, &["-C", "here"]), 2);
    assert_eq!(nodes(&site, &["-C", "here", "--var-file", "../b.yaml"]), 3);
    std::fs::remove_file(site.path().join("here/vars/a.yaml")).unwrap();
    let lost = site.forge(&["plan", "-C", "here"]).with_code(1);
    assert!(
        lost.stderr.contains("vars/a.yaml cannot be read") && lost.stderr.contains("name others with --var-file"),
        "{}",
        lost.stderr
    );
    site.forge(&["destroy", "-C", "here", "--yes", "--delete-data"]).with_code(0);
}

#[test]
fn up_remembers_what_the_environment_set_but_no_secret() {
    let blueprint = BLUEPRINT
        .replace("vars:\n", "vars:\n  token: { type: string, sensitive: true, default: \"env:TOKEN\" }\n")
        .replace("command:", "env: { TOKEN: \"${vars.token}\" }, command:");
    let site = Site::with(&[("blueprint.yaml", &blueprint)]);
    let mut up = site.command(&["up", "--yes"]);
    up.env("FORGE_VAR_nodes", "2").env("FORGE_VAR_token", "hunter2").env("FORGE_VAR_other", "of another blueprint");
    assert!(up.output().expect("forge runs").status.success());
    let remembered = site.read(".forge/current.json");
    assert!(remembered.contains("\"environment\":{\"nodes\":\"2\"}"), "{remembered}");
    assert_eq!(nodes(&site, &[]), 2);
    let plan = site.command(&["plan", "--json"]).env("FORGE_VAR_nodes", "3").output().expect("forge runs");
    assert!(String::from_utf8_lossy(&plan.stdout).contains("\"nodes\":3"), "what is said now is stronger");
    assert_eq!(nodes(&site, &["--var", "nodes=4"]), 4);
    site.forge(&["destroy", "--yes", "--delete-data"]).with_code(0);
}

#[test]
fn what_is_remembered_of_a_variable_that_is_gone_stops_nobody() {
    let site = Site::with(&[("blueprint.yaml", BLUEPRINT)]);
    site.forge(&["up", "--yes", "--var", "nodes=2"]).with_code(0);
    site.write(
        "blueprint.yaml",
        &BLUEPRINT.replace("nodes: { type", "count: { type").replace("vars.nodes", "vars.count"),
    );
    let plan = site.forge(&["plan"]).with_code(0);
    let said = "warning[unknown-variable]: --var at the last up sets `nodes`, but the blueprint has no such variable";
    assert!(plan.stderr.contains(said), "{}", plan.stderr);
    site.forge(&["plan", "--var", "nodes=2"]).with_code(1);
    site.forge(&["up", "--yes"]).with_code(0);
    assert!(!site.forge(&["plan"]).with_code(0).stderr.contains("unknown-variable"));
    site.forge(&["destroy", "--yes", "--delete-data"]).with_code(0);
}
