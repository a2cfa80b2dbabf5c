//! Changes that are not what they seem: taken back, or seen late.

use crate::apply::tests::recovers;
use crate::plan::Action;
use crate::resource::Resource;
use crate::sim::{Site, resource};
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
