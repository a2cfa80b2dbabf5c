//! Runs of scenarios.
//!
//! `FORGE_SEEDS=0..100000` plays that range on all cores and prints the rate and what happened; `FORGE_SEED=7` plays one
//! and tells its story:
//!
//! ```sh
//! FORGE_SEEDS=0..100000 cargo test --profile simulation -p forge-engine --lib simulation -- --nocapture
//! ```

use super::{Tally, Violation, play, print};
use crate::sabotage::{Sabotage, sabotage};
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// How many scenarios a normal run of the tests plays.
const USUAL: Range<u64> = 0..2_000;

fn replay(seed: u64) -> String {
    format!("FORGE_SEED={seed} cargo test -p forge-engine --lib simulation -- --nocapture")
}

/// Plays all of them on all cores, up to the first few that fail.
fn play_all(seeds: Range<u64>) -> (Tally, Vec<(u64, Violation)>) {
    let next = AtomicU64::new(seeds.start);
    let found: Mutex<(Tally, Vec<(u64, Violation)>)> = Mutex::default();
    let work = || {
        let (mut tally, mut failed) = (Tally::default(), Vec::new());
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end || failed.len() >= 5 {
                break;
            }
            let (played, result) = play(seed, false);
            tally.merge(&played);
            failed.extend(result.err().map(|violation| (seed, violation)));
        }
        let mut found = found.lock().unwrap();
        found.0.merge(&tally);
        found.1.extend(failed);
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
    let (tally, mut failed) = found.into_inner().unwrap();
    failed.sort_by_key(|(seed, _)| *seed);
    (tally, failed)
}

#[test]
fn simulation() {
    if let Ok(seed) = std::env::var("FORGE_SEED") {
        let (_, result) = play(seed.parse().unwrap(), true);
        print(&format!("{result:?}"));
        assert_eq!(result, Ok(()));
        return;
    }
    let seeds = std::env::var("FORGE_SEEDS").map_or(USUAL, |range| {
        let (from, to) = range.split_once("..").unwrap();
        from.parse().unwrap()..to.parse().unwrap()
    });
    let start = Instant::now();
    let (tally, failed) = play_all(seeds.clone());
    let played = seeds.end - seeds.start;
    let rate = played as f64 / start.elapsed().as_secs_f64();
    print(&format!("{played} scenarios, seeds {seeds:?}, {rate:.0} per second, {} violations", failed.len()));
    for (what, times) in &tally.0 {
        print(&format!("  {what:<24} {times:>10}"));
    }
    for (seed, Violation(what)) in &failed {
        print(&format!("seed {seed}: {what}\n  replay: {}", replay(*seed)));
    }
    assert!(failed.is_empty(), "see above");
}

/// A broken engine is noticed within so many seeds, all of which the sound one passes.
fn is_noticed(by: Sabotage, within: u64) {
    let noticed = (0..within).find_map(|seed| {
        sabotage(Some(by));
        let (_, result) = play(seed, false);
        sabotage(None);
        result.err().map(|violation| (seed, violation))
    });
    let Some((seed, Violation(what))) = noticed else {
        panic!("{by:?} is not noticed within {within} seeds");
    };
    print(&format!("{by:?} is noticed at seed {seed}: {}", what.chars().take(200).collect::<String>()));
    assert_eq!(play(seed, false).1, Ok(()), "the sound engine, at seed {seed}");
}

macro_rules! broken_engines {
    ($($name:ident: $by:ident within $within:literal;)*) => {
        $(#[test]
        fn $name() {
            is_noticed(Sabotage::$by, $within);
        })*
    };
}

broken_engines! {
    an_announcement_that_is_not_durable_is_noticed: BeginsNotDurably within 2000;
    a_missing_visibility_window_is_noticed: NoVisibilityWindow within 2000;
    a_missing_fence_is_noticed: NoFencing within 2000;
    deletion_in_creation_order_is_noticed: DeletesInCreationOrder within 2000;
    a_new_token_for_each_try_is_noticed: NewTokenForEachTry within 2000;
    forgotten_identifiers_are_noticed: ForgetsIdentifiers within 2000;
    adopting_what_is_foreign_is_noticed: AdoptsForeign within 2000;
    deleting_data_unasked_is_noticed: DeletesDataUnasked within 2000;
    forgetting_the_old_half_is_noticed: ForgetsTheOldHalf within 6000;
    taking_a_part_for_the_whole_is_noticed: TakesPartForWhole within 2000;
    trusting_updates_is_noticed: TrustsUpdates within 2000;
}

#[test]
fn the_same_seed_tells_the_same_story() {
    for seed in 0..20 {
        assert_eq!(play(seed, false), play(seed, false), "seed {seed}");
    }
}
