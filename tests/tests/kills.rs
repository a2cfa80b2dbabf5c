//! SPECIFICATION 1, by enumeration: `forge` gets SIGKILL at each of its effects on the world, not at instants that happen to
//! be hit. Every write to the journal, every fsync, every entry made, renamed or deleted, every process started is one.
//!
//! After each kill one of two things is done, and over the enumeration both are done at every effect where time allows:
//! the same command again (with the journal, or without it), then a plan that finds nothing to do, then a destroy; or a destroy at once. Either must leave the
//! directory as it was before forge came, and no process.
//!
//! Where a fleet is involved each kill costs seconds, so that the two take turns; another `FORGE_TEST_SEED` turns them round.

use forge_tests::trace::run_until;
use forge_tests::{CLUSTER, Site};
use std::fmt::Write as _;

/// Things that hold data, on a network; three journalled operations and no process.
const STORES: &str = r#"forge: v1
name: desk
target: local
modules:
  network: { use: vpc }
  data: { use: s3 }
  scratch: { use: fsx-lustre, with: { network: "${network}" } }
"#;

/// One of them changed in place, one gone, one new.
const OTHER_STORES: &str = r#"forge: v1
name: desk
target: local
modules:
  network: { use: vpc }
  more: { use: s3 }
  scratch: { use: fsx-lustre, with: { network: "${network}", capacity_gib: 2400 } }
"#;

/// [`CLUSTER`] with more nodes, none of them spare.
const LARGER_CLUSTER: &str = r#"forge: v1
name: desk
target: local
local: { nodes: 3, workers_per_node: 1 }
modules:
  network: { use: vpc }
  data: { use: s3 }
  scratch: { use: fsx-lustre, with: { network: "${network}" } }
  gpus:
    use: gpu-nodes
    with: { instance_type: p5.48xlarge, count: 3, spares: 0, scratch: "${scratch}" }
jobs:
  wait:
    nodes: ${gpus}
    command: [sleep, "1000"]
"#;

const UP: &[&str] = &["up", "--yes"];
const DESTROY: &[&str] = &["destroy", "--yes", "--delete-data"];

/// What is done to a deployment, and killed on the way.
struct Case {
    /// What is up before; none when nothing is.
    before: Option<&'static str>,
    blueprint: &'static str,
    command: &'static [&'static str],
}

#[derive(Debug, Clone, Copy)]
enum Then {
    TheSameAgain,
    /// The same, but the journal is gone as well.
    TheSameWithoutState,
    Destroy,
}

#[allow(clippy::print_stdout, reason = "a failure shows at which effect it was")]
impl Case {
    /// Kills it at effect number `fatal`; true when it has as many. Appends a line to the table.
    fn killed_at(&self, fatal: usize, then: Then, table: &mut String) -> bool {
        let site = Site::with(&[("blueprint.yaml", self.blueprint)]);
        if let Some(before) = self.before {
            site.write("blueprint.yaml", before);
            site.forge(UP).with_code(0);
            site.write("blueprint.yaml", self.blueprint);
        }
        let traced = run_until(&site.command(self.command), fatal);
        if traced.effects.len() < fatal {
            assert_eq!(traced.code, Some(0), "undisturbed it works");
            return false;
        }
        assert_eq!(traced.code, None, "it was killed");
        let effect = traced.effects[fatal - 1].replace(&site.path().display().to_string(), "");
        let _ = writeln!(table, "{fatal:4}  {effect}, then {then:?}");
        println!("killed before effect {fatal}, {effect}, then {then:?}");
        if let Then::TheSameWithoutState = then {
            // It may have been killed before there was one, or after it went.
            let _ = std::fs::remove_file(site.path().join(".forge/desk/journal.jsonl"));
        }
        if let Then::TheSameAgain | Then::TheSameWithoutState = then {
            site.forge(self.command).with_code(0);
            site.forge(UP).with_code(0);
            site.forge(&["plan", "--check"]).with_code(0);
        }
        let destroyed = site.forge(DESTROY).with_code(0);
        let nothing_was_up = destroyed.stderr.contains("nothing is up");
        assert!(nothing_was_up || destroyed.stdout.contains("left_behind: []"), "{}", destroyed.stdout);
        assert_eq!(site.processes(), [], "processes");
        assert_eq!(site.files(), ["blueprint.yaml"], "files");
        true
    }

    /// Kills it at every effect, each followed by `thens` of its number.
    fn enumerate<const N: usize>(&self, thens: impl Fn(usize) -> [Then; N]) {
        let mut table = String::new();
        let mut last = 0;
        for fatal in 1.. {
            let mut reached = false;
            for then in thens(fatal) {
                reached |= self.killed_at(fatal, then, &mut table);
            }
            if !reached {
                break;
            }
            last = fatal;
        }
        println!("{table}{last} effects");
        assert!(last >= 20, "so few effects would mean that they are not seen: {last}");
    }
}

/// Each, at every effect.
fn each(_: usize) -> [Then; 3] {
    [Then::TheSameAgain, Then::TheSameWithoutState, Then::Destroy]
}

/// The same again or a destroy, in turn.
fn in_turn(effect: usize) -> [Then; 1] {
    let seed: usize = std::env::var("FORGE_TEST_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    [if (effect + seed).is_multiple_of(2) { Then::TheSameAgain } else { Then::Destroy }]
}

#[test]
fn an_up_of_stores_killed_at_every_effect_leaves_nothing() {
    Case { before: None, blueprint: STORES, command: UP }.enumerate(each);
}

#[test]
fn a_change_of_stores_killed_at_every_effect_leaves_nothing() {
    let command = &["up", "--yes", "--delete-data"];
    Case { before: Some(STORES), blueprint: OTHER_STORES, command }.enumerate(each);
}

#[test]
fn a_destroy_of_stores_killed_at_every_effect_leaves_nothing() {
    Case { before: Some(STORES), blueprint: STORES, command: DESTROY }.enumerate(each);
}

#[test]
fn an_up_of_a_fleet_killed_at_every_effect_leaves_nothing() {
    Case { before: None, blueprint: CLUSTER, command: UP }.enumerate(in_turn);
}

#[test]
fn a_change_of_a_fleet_killed_at_every_effect_leaves_nothing() {
    Case { before: Some(CLUSTER), blueprint: LARGER_CLUSTER, command: UP }.enumerate(in_turn);
}

#[test]
fn a_destroy_of_a_fleet_killed_at_every_effect_leaves_nothing() {
    Case { before: Some(CLUSTER), blueprint: CLUSTER, command: DESTROY }.enumerate(in_turn);
}
