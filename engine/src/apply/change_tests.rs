//! Changes that are not what they seem: taken back, seen late, or to be waited for.

use crate::apply::tests::{EVERYTHING, recovers};
use crate::event::Event;
use crate::kind::ErrorClass;
use crate::plan::Action;
use crate::resource::Resource;
use crate::sim::{Site, resource};
use serde_json::json;
use std::time::Duration;
use tokio::time::Instant;

fn sized(kind: &str, size: u64) -> [Resource; 1] {
    [resource(kind, "thing", &[], size)]
}

/// A site with one thing of size 1.
async fn site(kind: &str) -> Site {
    let site = Site::new();
    assert!(site.up(&sized(kind, 1)).await.is_complete());
    site
}

fn calls(site: &Site, name: &str) -> usize {
    site.world.lock().calls.get(name).copied().unwrap_or(0)
}

#[tokio::test(start_paused = true)]
async fn an_update_that_did_what_was_wanted_costs_one_call() {
    let site = site("net").await;
    let (reads, start) = (calls(&site, "read"), Instant::now());
    assert!(site.up(&sized("net", 2)).await.is_complete());
    assert_eq!((calls(&site, "update"), calls(&site, "read") - reads), (1, 0));
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn an_update_that_shows_late_is_looked_for_and_not_made_again() {
    let site = site("net").await;
    site.world.lock().shows_late = 3;
    assert!(site.up(&sized("net", 2)).await.is_complete());
    assert_eq!(calls(&site, "update"), 1);
    recovers(&site, &sized("net", 2)).await;
}

#[tokio::test(start_paused = true)]
async fn an_update_that_was_taken_back_is_made_once_more() {
    for kind in ["net", "node"] {
        let site = site(kind).await;
        site.world.lock().taken_back = 1;
        assert!(site.up(&sized(kind, 2)).await.is_complete());
        assert_eq!(calls(&site, "update"), 2);
        recovers(&site, &sized(kind, 2)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_update_that_is_taken_back_again_and_again_fails_and_says_what_is_not_as_wanted() {
    let site = site("net").await;
    site.world.lock().taken_back = 9;
    let outcome = site.up(&sized("net", 2)).await;
    let failure = &outcome.failed[0];
    assert_eq!(
        failure.chain,
        ["two updates returned, and sim.net-1 is still not as wanted: `size` is 1, and 2 was wanted"]
    );
    assert_eq!(failure.help.as_deref(), Some("see why its provider does not take this, then run the command again"));
    assert_eq!(calls(&site, "update"), 2);
    // It is still known what was attempted, and the next plan shows what is left of it.
    let journal = site.journal();
    assert_eq!(journal.state().pending.len(), 1);
    let plan = site.plan(&journal, &sized("net", 2)).await.unwrap();
    assert_eq!((plan.steps[0].action, plan.steps[0].changes[0].field.as_str()), (Action::Update, "size"));
    drop(journal);
    site.world.lock().taken_back = 0;
    recovers(&site, &sized("net", 2)).await;
}

#[tokio::test(start_paused = true)]
async fn what_is_busy_is_waited_for_longer_than_any_fault() {
    let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
    for kind in ["net", "gate"] {
        let site = site(kind).await;
        site.world.lock().busy_until = Some(Instant::now() + minutes(20));
        let start = Instant::now();
        let outcome = site.up(&sized(kind, 2)).await;
        assert!(outcome.is_complete(), "{outcome:?}");
        assert!((minutes(20)..minutes(21)).contains(&start.elapsed()), "{:?}", start.elapsed());
        // It was not called but when it had become ready.
        assert_eq!(calls(&site, "update"), 2);
        let events = site.events.lock().unwrap();
        let told = |event: &Event| match event {
            Event::Retrying { class, failures, .. } => Some((*class, *failures)),
            _ => None,
        };
        assert_eq!(events.iter().filter_map(told).collect::<Vec<_>>(), [(ErrorClass::Busy, 1)]);
        let waits = |event: &&Event| {
            matches!(event, Event::StepProgress { message, .. }
                if message == "busy with an earlier change: an earlier change")
        };
        assert_eq!(events.iter().filter(waits).count(), 1);
    }
    let site = site("net").await;
    site.world.lock().busy_until = Some(Instant::now() + minutes(20));
    let outcome = site.destroy(&EVERYTHING).await;
    assert!(outcome.is_complete(), "{outcome:?}");
}

#[tokio::test(start_paused = true)]
async fn what_is_busy_for_ever_is_given_up_when_its_deadline_is_over() {
    let site = site("net").await;
    site.world.lock().busy_until = Some(Instant::now() + Duration::from_secs(100_000));
    let start = Instant::now();
    let failure = &site.up(&sized("net", 2)).await.failed[0];
    assert_eq!(failure.chain, ["an earlier change is on its way"]);
    assert!(start.elapsed() >= Duration::from_secs(1800) && start.elapsed() < Duration::from_secs(1900));
    // A deletion that was refused each time has certainly not begun.
    assert_eq!(site.destroy(&EVERYTHING).await.failed.len(), 1);
    assert!(site.journal().state().pending.values().all(|pending| pending.begin.call != crate::state::Call::Delete));
}

#[tokio::test(start_paused = true)]
async fn a_creation_that_something_else_is_too_busy_for_is_made_when_that_is_over() {
    let site = Site::new();
    site.world.lock().faults = vec![("create", ErrorClass::Busy); 30];
    let start = Instant::now();
    assert!(site.up(&sized("net", 1)).await.is_complete());
    assert!(start.elapsed() > Duration::from_secs(300), "{:?}", start.elapsed());
    assert_eq!(calls(&site, "create"), 31);
}

#[tokio::test(start_paused = true)]
async fn what_looks_ready_and_is_busy_is_called_now_and_then() {
    let site = site("net").await;
    site.world.lock().faults = vec![("update", ErrorClass::Busy); 30];
    assert!(site.up(&sized("net", 2)).await.is_complete());
    assert_eq!(calls(&site, "update"), 31);
}

#[tokio::test(start_paused = true)]
async fn a_soft_stop_waits_for_no_earlier_change() {
    let site = site("net").await;
    site.world.lock().busy_until = Some(Instant::now() + Duration::from_secs(1200));
    let (start, desired) = (Instant::now(), sized("net", 2));
    let outcome = tokio::join!(site.up(&desired), async {
        tokio::time::sleep(Duration::from_secs(30)).await;
        site.cancel.soft();
    })
    .0;
    assert_eq!(outcome.failed.len(), 1);
    assert_eq!(start.elapsed(), Duration::from_secs(30));
}

#[tokio::test(start_paused = true)]
async fn what_an_update_of_ours_has_left_is_not_told_as_somebodys_change() {
    let site = site("node").await;
    assert!(site.until_crash(1, site.up(&sized("node", 2))).await);
    let journal = site.journal();
    assert_eq!(journal.state().pending.len(), 1);
    let plan = site.plan(&journal, &sized("node", 3)).await.unwrap();
    let step = &plan.steps[0];
    assert_eq!(
        (step.action, step.drift.len(), step.changes[0].before.clone()),
        (Action::Update, 0, Some(json!(2).into()))
    );
}
