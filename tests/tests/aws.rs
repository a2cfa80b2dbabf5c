//! Target aws, end to end: the real `forge` and the AWS SDK against the emulated AWS, through a proxy that kills, throttles and
//! breaks things.

use forge_tests::aws::{Emulator, Ending, Held, Moment, Rule, Rules, Site, Which, Fate, matrix};
use forge_tests::Ran;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

const REFERENCE: &str = include_str!("data/aws/reference.yaml");

fn site(blueprint: &str) -> Site {
    Site::new(blueprint, Arc::new(Emulator::start()))
}

/// What is there, by address: type and identifier. What belongs to nothing of forge is left out.
fn by_address(held: &[Held]) -> BTreeMap<String, Vec<String>> {
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for held in held.iter().filter(|held| held.lives()) {
        if let Some(address) = held.tags.get("forge:address") {
            found.entry(address.clone()).or_default().push(held.kind.clone());
        }
    }
    found
}

/// How many steps of each action a command has planned, as its JSON lines say.
fn planned(ran: &Ran) -> BTreeMap<String, u64> {
    let lines = ran.stdout.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let steps = lines.filter_map(|line| line["plan"]["steps"].as_array().cloned()).flatten();
    let mut counts = BTreeMap::new();
    for step in steps {
        *counts.entry(step["action"].as_str().unwrap_or_default().to_owned()).or_default() += 1;
    }
    counts
}

#[test]
fn the_reference_cluster_goes_up_stays_changes_and_leaves_nothing() {
    let site = site(REFERENCE);
    site.up().with_code(0);
    let there = site.emulator.dump();
    println!("{:#?}", by_address(&there));
    site.plan_check().with_code(0);
    let again = site.up();
    again.with_code(0);
    for (change, arguments) in [
        ("count", ["--var", "gpus=3"]),
        ("instance type", ["--var", "cpu=m5.2xlarge"]),
        ("size of the file system", ["--var", "scratch=2400"]),
    ] {
        let mut plan = vec!["plan", "--check", "--json"];
        plan.extend(arguments);
        let plan = site.run(&plan);
        println!("{change}: {:?}", planned(&plan));
        plan.with_code(3);
        let mut up = vec!["up", "--yes", "--json"];
        up.extend(arguments);
        site.run(&up).with_code(0);
        site.plan_check().with_code(0);
    }
    site.destroy().with_code(0);
    assert_eq!(site.emulator.dump(), []);
}

#[test]
fn whoever_is_killed_at_any_request_goes_on_and_leaves_nothing() {
    let emulator = Arc::new(Emulator::start());
    matrix(|| Site::new(REFERENCE, Arc::clone(&emulator))).assert_holds();
}

#[test]
fn up_and_destroy_get_through_throttles_faults_lost_answers_late_sight_and_expired_credentials() {
    let site = site(REFERENCE);
    site.emulator.settings(&json!({"visibility_seconds": 2}));
    for (seed, phase) in [(1, "up"), (2, "destroy")] {
        let rules = Rules::none()
            .seed(seed)
            .expire(40..=45)
            .rule(Rule::new(Which::all(), Fate::Throttle).chance(0.2))
            .rule(Rule::new(Which::all(), Fate::Fail(Moment::Before)).chance(0.05))
            .rule(Rule::new(Which::all(), Fate::Drop(Moment::After, Ending::Reset)).chance(0.05));
        site.proxy.play(rules);
        let ran = if phase == "up" { site.up() } else { site.destroy() };
        let struck = site.proxy.record().iter().filter(|request| request.struck.is_some()).count();
        println!("{phase}: {struck} of {} requests were struck", site.proxy.record().len());
        ran.with_code(0);
        assert!(matrix::duplicates(&site.emulator.dump()).is_empty());
        site.proxy.play(Rules::none());
        if phase == "up" {
            site.plan_check().with_code(0);
        }
    }
    assert_eq!(site.emulator.dump(), []);
}

#[test]
fn state_that_is_lost_is_found_by_its_tags() {
    let site = site(REFERENCE);
    site.up().with_code(0);
    let before = by_address(&site.emulator.dump());
    std::fs::remove_dir_all(site.directory.path().join(".forge")).unwrap();
    let up = site.up();
    assert_eq!(planned(&up).get("create"), None, "{:?}", planned(&up));
    up.with_code(0);
    assert_eq!(by_address(&site.emulator.dump()), before);
    site.plan_check().with_code(0);
    site.destroy().with_code(0);
    assert_eq!(site.emulator.dump(), []);
}
