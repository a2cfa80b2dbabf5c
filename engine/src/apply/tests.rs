use super::*;
use crate::kind::ErrorClass;
use crate::plan::DestroyOptions;
use crate::plan::tests::{block_on, blueprint};
use crate::resource::Resource;
use crate::sim::{Site, expected, resource, with};
use crate::state::Call;
use proptest::prelude::*;
use serde_json::json;

pub(super) const EVERYTHING: DestroyOptions = DestroyOptions { delete_data: true, modules: None };

fn stack() -> Vec<Resource> {
    vec![
        resource("net", "net", &[], 1),
        resource("disk", "disk", &["net"], 10),
        resource("node", "node", &["net", "disk"], 2),
        resource("slot", "slot", &["net"], 0),
    ]
}

/// Every action but adopt and forget in one edit.
fn edited() -> Vec<Resource> {
    vec![
        resource("net", "net", &[], 2),
        resource("net", "other", &[], 0),
        with(resource("disk", "disk", &["net"], 10), "zone", json!("b")),
        resource("node", "node", &["other"], 2),
        resource("slot", "late", &["node"], 0),
    ]
}

fn census(site: &Site) -> Vec<(String, String, u64, String)> {
    site.census().into_iter().map(|(address, kind, size, zone)| (address, kind.to_owned(), size, zone)).collect()
}

pub(super) fn run<'a>(site: &'a Site, journal: &'a Journal) -> Run<'a> {
    Run {
        journal,
        kinds: &site.kinds,
        sink: &|_: &Emitted| {},
        cancel: &site.cancel,
        limits: Limits::default(),
        guard: &crate::lock::Unguarded,
        new_operation: &random_operation,
    }
}

#[tokio::test(start_paused = true)]
async fn events_tell_the_whole_story() {
    let site = Site::new();
    site.up(&stack()[..1]).await;
    let events = std::mem::take(&mut *site.events.lock().unwrap());
    let shown: Vec<String> = events.iter().map(|event| serde_json::to_string(event).unwrap()).collect();
    assert_eq!(
        shown,
        [
            r#"{"plan_made":{"counts":{"create":1,"update":0,"replace":0,"delete":0,"adopt":0,"forget":0,"unchanged":0}}}"#,
            r#"{"step_started":{"address":"net","kind":"sim.net","action":"create","call":"create"}}"#,
            r#"{"step_finished":{"address":"net","kind":"sim.net","action":"create","call":"create","id":"sim.net-1","took_ms":0}}"#,
            r#"{"run_finished":{"outcome":{"done":{"create":1,"update":0,"replace":0,"delete":0,"adopt":0,"forget":0,"unchanged":0},"failed":[],"skipped":[],"interrupted":false,"left_behind":null,"warnings":[]}}}"#,
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_failure_stops_its_dependents_only_and_the_next_run_goes_on() {
    let site = Site::new();
    site.world.lock().faults.push(("create", ErrorClass::Terminal));
    let mut desired = stack();
    desired.insert(0, resource("net", "free", &[], 0));
    desired.rotate_left(1);
    let outcome = site.up(&desired).await;
    let failed: Vec<_> = outcome.failed.iter().map(|failure| (failure.address.as_str(), &failure.chain)).collect();
    assert_eq!(failed, [("net", &vec!["injected".to_owned()])]);
    assert_eq!(outcome.failed[0].help.as_deref(), Some("try less"));
    let skipped: Vec<_> = outcome.skipped.iter().map(|skipped| skipped.address.as_str()).collect();
    assert_eq!(skipped, ["disk", "node", "slot"]);
    assert!(outcome.skipped.iter().all(|skipped| skipped.because == Skip::Blocked(Address::new("net"))));
    assert_eq!((outcome.done.create, outcome.interrupted), (1, false));
    // It was refused, so nothing is open.
    assert!(site.journal().state().pending.is_empty());
    assert!(site.up(&desired).await.is_complete());
    assert_eq!(census(&site), expected(&desired));
}

#[tokio::test(start_paused = true)]
async fn what_passes_is_tried_again_and_told() {
    let site = Site::new();
    let classes = [ErrorClass::Throttled, ErrorClass::NotYetVisible];
    site.world.lock().faults.extend(classes.map(|class| ("create", class)));
    site.world.lock().faults.push(("delete", ErrorClass::Transient));
    assert!(site.up(&stack()[..1]).await.is_complete());
    assert!(site.destroy(&EVERYTHING).await.is_complete());
    let events = site.events.lock().unwrap();
    let retries: Vec<_> = events
        .iter()
        .filter_map(|event| match event {
            Event::Retrying { failures, after_ms, class, .. } => Some((*failures, *after_ms, *class)),
            _ => None,
        })
        .collect();
    assert_eq!(
        retries,
        [(1, 200, ErrorClass::Throttled), (2, 500, ErrorClass::NotYetVisible), (1, 200, ErrorClass::Transient)]
    );
}

#[tokio::test(start_paused = true)]
async fn a_lost_reply_does_not_make_two() {
    let site = Site::new();
    // The slot shows itself only seconds after it was made.
    let desired = [resource("slot", "slot", &[], 0), resource("net", "net", &[], 0)];
    site.world.lock().lost_replies = 2;
    assert!(site.up(&desired).await.is_complete());
    assert_eq!(census(&site), expected(&desired));
    assert_eq!(site.world.lock().calls["create"], 2);
}

#[tokio::test(start_paused = true)]
async fn patience_ends() {
    let site = Site::new();
    site.world.lock().faults.extend([("create", ErrorClass::Throttled); 1000]);
    let outcome = site.up(&stack()[..1]).await;
    assert_eq!(outcome.failed.len(), 1);
    assert!(site.journal().state().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_soft_stop_finishes_what_is_in_flight() {
    let site = Site::new();
    let journal = site.journal();
    let plan = site.plan(&journal, &stack()).await.unwrap();
    let sink = |emitted: &Emitted| {
        if matches!(emitted.event, Event::StepStarted { .. }) {
            site.cancel.soft();
        }
    };
    let run = Run { sink: &sink, ..run(&site, &journal) };
    let outcome = apply(&plan, &run).await.unwrap();
    assert!(outcome.interrupted, "{outcome:?}");
    assert_eq!(outcome.done.create, 1);
    assert!(outcome.skipped.iter().all(|skipped| skipped.because == Skip::Cancelled) && outcome.skipped.len() == 3);
    assert!(journal.state().pending.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_hard_stop_returns_with_the_journal_in_order() {
    let site = Site::new();
    site.cancel.hard();
    assert!(site.up(&stack()).await.interrupted);
    let site = Site::new();
    let journal = site.journal();
    let plan = site.plan(&journal, &stack()).await.unwrap();
    let (cancel, world) = (site.cancel.clone(), site.world.clone());
    // The first call hangs for ever.
    world.lock().crash_in = Some(0);
    let outcome = tokio::join!(site.apply(&journal, &plan), async {
        while journal.with_state(|state| state.pending.is_empty()) {
            tokio::task::yield_now().await;
        }
        cancel.raise();
        cancel.raise();
    })
    .0;
    assert!(outcome.interrupted && outcome.done.create == 0);
    assert_eq!(journal.state().pending.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn runs_can_be_spawned() {
    fn spawnable<T: Send>(work: T) -> T {
        work
    }
    let site = Site::new();
    let journal = site.journal();
    let plan = site.plan(&journal, &stack()[..1]).await.unwrap();
    let (state, options, now) = (journal.state(), ObserveOptions::default(), Timestamp::UNIX_EPOCH);
    spawnable(crate::observe::observe(&site.deployment, &state, &site.kinds, now, &options)).await.unwrap();
    spawnable(apply(&plan, &run(&site, &journal))).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_stale_plan_is_refused() {
    let site = Site::new();
    let journal = site.journal();
    let plan = site.plan(&journal, &stack()).await.unwrap();
    site.apply(&journal, &plan).await;
    let refused = apply(&plan, &run(&site, &journal)).await.unwrap_err();
    assert!(matches!(refused, ApplyError::Stale { planned: 0, .. }), "{refused}");
}

#[tokio::test(start_paused = true)]
async fn a_destroy_says_what_it_could_not_remove() {
    let site = Site::new();
    site.up(&stack()[..2]).await;
    site.world.lock().faults.push(("delete", ErrorClass::Terminal));
    let outcome = site.destroy(&EVERYTHING).await;
    let left: Vec<_> = outcome.left_behind.unwrap().into_iter().map(|left| left.address.to_string()).collect();
    assert_eq!(left, ["disk", "net"]);
    assert_eq!((outcome.failed.len(), outcome.skipped.len()), (1, 1));
    let outcome = site.destroy(&EVERYTHING).await;
    assert_eq!(outcome.left_behind, Some(vec![]));
    assert!(outcome.is_complete() && site.journal().state().is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_a_destroy_keeps_is_not_left_behind() {
    let site = Site::new();
    site.up(&stack()).await;
    let outcome = site.destroy(&DestroyOptions::default()).await;
    assert!(outcome.is_complete(), "{outcome:?}");
    assert_eq!(census(&site), expected(&stack()[..2]));
    assert!(site.up(&stack()).await.is_complete());
}

/// After a crash anywhere: the next run converges, the one after has nothing to do, and destroy leaves nothing.
pub(super) async fn recovers(site: &Site, desired: &[Resource]) {
    let outcome = site.up(desired).await;
    assert!(outcome.is_complete(), "{outcome:?}");
    assert_eq!(census(site), expected(desired));
    let journal = site.journal();
    let again = site.plan(&journal, desired).await.unwrap();
    let changed: Vec<_> = again.changed().collect();
    assert!(changed.is_empty(), "{changed:?}");
    let state = journal.state();
    assert!(state.pending.is_empty() && state.superseded.is_empty(), "{state:?}");
}

async fn ends_in_nothing(site: &Site) {
    let outcome = site.destroy(&EVERYTHING).await;
    assert!(outcome.is_complete(), "{outcome:?}");
    assert_eq!(census(site), []);
    assert!(site.journal().state().is_empty());
}

#[test]
fn killed_at_every_point_of_creating_nothing_is_lost() {
    for point in 0.. {
        let survived = block_on(async {
            let site = Site::new();
            let crashed = site.until_crash(point, site.up(&stack())).await;
            if point % 2 == 0 {
                recovers(&site, &stack()).await;
            }
            ends_in_nothing(&site).await;
            !crashed
        });
        if survived {
            // Three points in each creation.
            assert_eq!(point, 3 * stack().len());
            return;
        }
    }
}

#[test]
fn killed_at_every_point_of_an_edit_nothing_is_lost() {
    for point in 0.. {
        let survived = block_on(async {
            let site = Site::new();
            site.up(&stack()).await;
            let crashed = site.until_crash(point, site.up(&edited())).await;
            match point % 3 {
                0 => recovers(&site, &edited()).await,
                // Changing one's mind after a crash is allowed.
                1 => recovers(&site, &stack()).await,
                _ => {}
            }
            ends_in_nothing(&site).await;
            !crashed
        });
        if survived {
            assert!(point > 15, "{point}");
            return;
        }
    }
}

#[test]
fn killed_at_every_point_of_a_destroy_nothing_is_lost() {
    for point in 0.. {
        let survived = block_on(async {
            let site = Site::new();
            site.up(&stack()).await;
            let crashed = site.until_crash(point, site.destroy(&EVERYTHING)).await;
            if point % 2 == 0 {
                recovers(&site, &stack()).await;
            }
            ends_in_nothing(&site).await;
            !crashed
        });
        if survived {
            assert_eq!(point, 2 * stack().len());
            return;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_identifier_is_known_before_the_resource_is_ready() {
    let site = Site::new();
    // Between the identifier and the end of the creation.
    assert!(site.until_crash(2, site.up(&[resource("node", "node", &[], 0)])).await);
    let state = site.journal().state();
    let pending = state.pending.values().next().unwrap();
    assert_eq!((pending.begin.call, pending.identified.as_deref()), (Call::Create, Some("sim.node-1")));
    let journal = site.journal();
    let plan = site.plan(&journal, &[resource("node", "node", &[], 0)]).await.unwrap();
    assert_eq!(plan.steps[0].action, Action::Adopt);
    assert!(site.apply(&journal, &plan).await.is_complete());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    #[test]
    fn kills_failures_and_torn_journals_leave_nothing(
        blueprints in prop::collection::vec(blueprint(6), 1..4),
        points in prop::collection::vec(0..20_usize, 4),
        lost_replies in 0..3_usize,
        faults in prop::collection::vec(prop::sample::select(vec![
            ("create", ErrorClass::Throttled), ("create", ErrorClass::Terminal), ("update", ErrorClass::Transient),
            ("delete", ErrorClass::Terminal), ("read", ErrorClass::Transient), ("list", ErrorClass::Throttled),
        ]), 0..4),
        torn in prop::collection::vec(0..400_usize, 4),
    ) {
        block_on(async {
            let site = Site::new();
            for (n, desired) in blueprints.iter().enumerate() {
                site.world.lock().lost_replies = lost_replies;
                site.world.lock().faults.clone_from(&faults);
                site.until_crash(points[n], site.up(desired)).await;
                tear(&site, torn[n]).await;
            }
            site.world.lock().faults.clear();
            site.world.lock().lost_replies = 0;
            if let Some(last) = blueprints.last() {
                recovers(&site, last).await;
            }
            site.until_crash(points[3], site.destroy(&EVERYTHING)).await;
            tear(&site, torn[3]).await;
            ends_in_nothing(&site).await;
        });
    }
}

/// Cuts bytes off the journal's end, more than a crash could: what is lost must be found by its tags.
async fn tear(site: &Site, bytes: usize) {
    // Without a record nothing says that a provider may be hiding something yet.
    tokio::time::sleep(Duration::from_secs(5)).await;
    let path = site.directory.path().join("journal.jsonl");
    let text = std::fs::read(&path).unwrap();
    let header = text.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    let keep = text.len().saturating_sub(bytes).max(header);
    std::fs::write(&path, &text[..keep]).unwrap();
}
