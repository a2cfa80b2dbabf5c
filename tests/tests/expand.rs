//! `forge expand`: what it prints is a blueprint that comes to the same.

use forge_tests::{CLUSTER, Site};
use serde_json::json;

#[test]
fn the_output_is_a_blueprint() {
    let site = Site::with(&[("blueprint.yaml", CLUSTER)]);
    let first = site.forge(&["expand"]).with_code(0);
    site.write("resolved.yaml", &first.stdout);
    assert_eq!(site.forge(&["expand", "resolved.yaml"]).with_code(0).stdout, first.stdout);
    assert_eq!(site.forge(&["validate", "--strict", "resolved.yaml"]).with_code(0).stderr, "");
    site.forge(&["fmt", "--check", "resolved.yaml"]).with_code(0);
    let plan = site.forge(&["plan", "--json"]).with_code(0);
    assert_eq!(site.forge(&["plan", "--json", "resolved.yaml"]).with_code(0).stdout, plan.stdout);
}

#[test]
fn origins_and_json() {
    let vars = CLUSTER
        .replace("modules:", "vars:\n  team: { type: string, default: a }\ntags: { team: \"${vars.team}\" }\nmodules:");
    let site = Site::with(&[("blueprint.yaml", &vars), ("prod.yaml", "team: b\n")]);
    let set = ["--var", "team=c", "--var-file", "prod.yaml"];
    let said = site.forge(&[&["expand", "--origin"], &set[..]].concat()).with_code(0).stdout;
    assert!(
        said.starts_with("# Variables, the strongest origin first:\n#   team = \"c\": --var, prod.yaml, default\n"),
        "{said}"
    );
    let json = site.forge(&[&["expand", "--origin", "--json"], &set[..]].concat()).with_code(0).json();
    assert_eq!(json.len(), 1);
    assert_eq!(json[0]["blueprint"]["tags"], json!({"team": "c"}));
    let over = json!([{"name": "team", "value": "c", "origin": "--var", "over": ["prod.yaml", "default"]}]);
    assert_eq!(json[0]["variables"], over);
}

#[test]
fn what_is_wrong_is_said_instead() {
    let site = Site::with(&[("blueprint.yaml", "forge: v1\nname: a\ntarget: local\nmodules: { b: { use: s4 } }\n")]);
    let ran = site.forge(&["expand"]).with_code(1);
    assert_eq!(ran.stdout, "");
    assert!(ran.stderr.contains("unknown-module"), "{}", ran.stderr);
}
