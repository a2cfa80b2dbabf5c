//! SPECIFICATION 1: kill `forge` with SIGKILL at any instant of `up` or `destroy`; the next `up` converges, `destroy` leaves
//! nothing.

use forge_tests::{CLUSTER, Site};
use std::time::Duration;

fn nothing_is_left(site: &Site) {
    assert_eq!(site.processes(), [], "processes");
    assert_eq!(site.files(), ["blueprint.yaml"], "files");
}

/// Delays in microseconds, spread over what an `up` takes (about 700 ms); the seed is printed by a failure.
fn delays(seed: u64, count: usize, longest: u64) -> Vec<u64> {
    let mut state = seed;
    let mut next = || {
        // Steele, Lea and Flood's SplitMix64: every seed gives other delays, the same seed the same.
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    };
    (0..count).map(|_| next() % longest).collect()
}

fn kill_after(site: &Site, arguments: &[&str], micros: u64) {
    let mut child = site.start(arguments);
    std::thread::sleep(Duration::from_micros(micros));
    // It may have ended by itself; then this kill comes after the last instant, which is one as well.
    let _ = child.kill();
    let _ = child.wait();
}

#[test]
fn ten_kills_of_up_in_a_row_then_up_and_destroy_leave_nothing() {
    let site = Site::with(&[("blueprint.yaml", CLUSTER)]);
    let seed = std::env::var("FORGE_TEST_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    for micros in delays(seed, 10, 800_000) {
        println!("seed {seed}: SIGKILL to `forge up` after {micros} us");
        kill_after(&site, &["up", "--yes"], micros);
    }
    let up = site.forge(&["up", "--yes"]).with_code(0);
    assert!(!up.stderr.contains("is held by"), "a stale lock:\n{}", up.stderr);
    let plan = site.forge(&["plan", "--check"]).with_code(0);
    assert!(plan.stdout.contains("3 unchanged"), "{}", plan.stdout);
    let fleets = site.processes().iter().filter(|process| process.command.contains("fleet run")).count();
    assert_eq!(fleets, 1, "{:?}", site.processes());
    site.forge(&["destroy", "--yes", "--delete-data"]).with_code(0);
    nothing_is_left(&site);
}

#[test]
fn destroy_alone_clears_away_what_killed_ups_left() {
    for micros in delays(2, 5, 600_000) {
        let site = Site::with(&[("blueprint.yaml", CLUSTER)]);
        kill_after(&site, &["up", "--yes"], micros);
        println!("SIGKILL to `forge up` after {micros} us, then destroy");
        let destroyed = site.forge(&["destroy", "--yes", "--delete-data"]).with_code(0);
        let early = destroyed.stderr.contains("nothing is up");
        assert!(early || destroyed.stdout.contains("left_behind: []"), "{}", destroyed.stdout);
        nothing_is_left(&site);
    }
}

#[test]
fn kills_of_destroy_do_no_harm_either() {
    let site = Site::with(&[("blueprint.yaml", CLUSTER)]);
    for micros in delays(3, 5, 150_000) {
        site.forge(&["up", "--yes"]).with_code(0);
        println!("SIGKILL to `forge destroy` after {micros} us");
        kill_after(&site, &["destroy", "--yes", "--delete-data"], micros);
    }
    site.forge(&["destroy", "--yes", "--delete-data"]).with_code(0);
    nothing_is_left(&site);
}
