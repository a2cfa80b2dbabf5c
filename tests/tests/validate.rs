//! `forge validate` for programs: each format whole, and its exit codes.

use forge_tests::{CLUSTER, Site};

const BROKEN: &str = "forge: v1\nname: broken\ntarget: local\nregoin: us-west-2\nmodules:\n  cache: { use: fsx-luster }\n  a: { use: vpc, with: { zones: \"${nodez}\" } }\n";

#[test]
fn every_format_whole() {
    let site = Site::with(&[("blueprint.yaml", BROKEN)]);
    let mut settings = insta::Settings::clone_current();
    settings.add_filter(env!("CARGO_PKG_VERSION"), "[VERSION]");
    for format in ["plain", "github", "sarif", "json"] {
        let ran = site.forge(&["validate", "--format", format]).with_code(1);
        let text = match format {
            "sarif" => serde_json::to_string_pretty(&ran.json()[0]).unwrap(),
            _ => ran.stdout,
        };
        settings.bind(|| insta::assert_snapshot!(format, text));
    }
}

#[test]
fn a_valid_blueprint_is_no_result() {
    let site = Site::with(&[("blueprint.yaml", CLUSTER)]);
    let said = "desk is valid on target local: 3 resources, 1 job\n";
    assert_eq!(site.forge(&["validate", "--strict"]).with_code(0).stdout, said);
    for format in ["plain", "github"] {
        let ran = site.forge(&["validate", "--strict", "--format", format]).with_code(0);
        assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("", said));
    }
    let sarif = &site.forge(&["validate", "--format", "sarif"]).with_code(0).json()[0];
    assert_eq!(sarif["runs"][0]["results"], serde_json::json!([]));
    let json = site.forge(&["validate", "--json"]).with_code(0);
    assert_eq!(json.stdout, site.forge(&["validate", "--format", "json"]).with_code(0).stdout);
    site.forge(&["validate", "--json", "--format", "sarif"]).with_code(2);
}

#[test]
fn warnings_fail_only_when_asked_to() {
    let unused = CLUSTER.replace("modules:", "vars:\n  spare: { type: int, default: 1 }\nmodules:");
    let site = Site::with(&[("blueprint.yaml", &unused)]);
    let loose = site.forge(&["validate", "--format", "plain"]).with_code(0);
    assert!(loose.stdout.starts_with("blueprint.yaml:6:3: warning[unused-variable]: "), "{}", loose.stdout);
    assert_eq!(site.forge(&["validate", "--format", "plain", "--strict"]).with_code(1).stdout, loose.stdout);
}
