//! `forge up --simulate`: a rehearsal of a whole life, whatever the target, that leaves nothing behind.

use forge_tests::{CLUSTER, Site, repository};

const SMALL: &str = "forge: v1
name: desk
target: local
modules:
  network: { use: vpc }
  data: { use: s3 }
  scratch: { use: fsx-lustre, with: { network: \"${network}\" } }
";

fn reference() -> String {
    std::fs::read_to_string(repository().join("blueprints/reference.yaml")).expect("it is shipped")
}

#[test]
fn a_small_blueprint_is_shown_whole() {
    let site = Site::with(&[("blueprint.yaml", SMALL)]);
    let ran = site.forge(&["up", "--simulate"]).with_code(0);
    insta::assert_snapshot!(format!("{}\n{}", ran.stdout, ran.stderr));
    assert_eq!(site.files(), ["blueprint.yaml"]);
}

#[test]
fn the_same_rehearsal_goes_the_same_way() {
    let site = Site::with(&[("blueprint.yaml", CLUSTER)]);
    for weather in ["--simulate", "--simulate=rough:7"] {
        let (one, two) = (site.forge(&["up", weather]), site.forge(&["up", weather]));
        assert_eq!((one.stdout, one.stderr, one.code), (two.stdout, two.stderr, two.code));
    }
    assert_eq!(site.files(), ["blueprint.yaml"]);
}

#[test]
fn the_reference_cluster_can_be_rehearsed() {
    let site = Site::with(&[("blueprint.yaml", &reference())]);
    let ran = site.forge(&["up", "--simulate"]).with_code(0);
    let summary = ran.stdout.lines().skip_while(|line| !line.starts_with("up: ")).collect::<Vec<_>>().join("\n");
    insta::assert_snapshot!(format!("{summary}\n{}", ran.stderr));
    assert_eq!(site.files(), ["blueprint.yaml"]);
}

#[test]
fn a_rehearsal_as_data() {
    // Without warnings, which would be documents as well.
    let site = Site::with(&[("blueprint.yaml", CLUSTER)]);
    let documents = site.forge(&["up", "--simulate", "--json"]).with_code(0).json();
    let rehearsal = &documents[1]["rehearsal"];
    assert_eq!((documents.len(), documents[1]["v"].as_u64()), (2, Some(1)));
    assert_eq!(rehearsal["goes_well"], true);
    assert_eq!(rehearsal["left_behind"].as_array().map(Vec::len), Some(0));
    assert_eq!(rehearsal["up"]["outcome"]["failed"].as_array().map(Vec::len), Some(0));
    let last = rehearsal["up"]["timeline"].as_array().and_then(|timeline| timeline.last()).unwrap();
    assert_eq!(last["elapsed_ms"], rehearsal["up"]["took_ms"]);
}

#[test]
fn weather_that_there_is_not() {
    let site = Site::with(&[("blueprint.yaml", SMALL)]);
    let ran = site.forge(&["up", "--simulate=wet"]).with_code(2);
    assert!(ran.stderr.contains("weather is fair, rough, or rough:SEED"), "{}", ran.stderr);
    let ran = site.forge(&["up", "--simulate=rough:x"]).with_code(2);
    assert!(ran.stderr.contains("the seed \"x\" is no number"), "{}", ran.stderr);
}
