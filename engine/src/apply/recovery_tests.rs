//! What becomes of creations whose end nobody saw, where a kind makes it safe to repeat them.

use crate::address::Deployment;
use crate::apply::ApplyError;
use crate::apply::tests::{EVERYTHING, recovers, run};
use crate::journal::{Appended, Content, Journal, JournalError, MemoryStore, Store};
use crate::kind::ErrorClass;
use crate::lock::Unguarded;
use crate::plan::tests::block_on;
use crate::plan::{Action, PlanOptions, plan};
use crate::resource::Resource;
use crate::sim::{Site, clock, resource, with};
use futures::future::{BoxFuture, FutureExt};
use serde_json::json;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::time::Instant;

fn door() -> Vec<Resource> {
    vec![resource("net", "net", &[], 1), resource("gate", "door", &["net"], 2)]
}

fn way() -> Vec<Resource> {
    vec![resource("net", "net", &[], 1), resource("entry", "way", &["net"], 2)]
}

/// A site on which the creation of the second of two resources was cut off after it had taken effect.
async fn cut_off(desired: &[Resource]) -> Site {
    let site = Site::new();
    assert!(site.until_crash(4, site.up(desired)).await);
    assert_eq!(site.journal().state().pending.len(), 1);
    site
}

#[tokio::test(start_paused = true)]
async fn a_creation_with_a_token_is_repeated_under_the_same_operation_without_waiting() {
    let site = cut_off(&door()).await;
    let journal = site.journal();
    let begun = journal.state().pending.keys().next().unwrap().clone();
    let start = Instant::now();
    let plan = site.plan(&journal, &door()).await.unwrap();
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    let step = &plan.steps[1];
    assert_eq!((step.action, step.repeats.as_ref()), (Action::Create, Some(&begun)));
    assert_eq!(step.reasons, ["an earlier run was cut off while creating it: the same request is made again"]);
    assert!(site.apply(&journal, &plan).await.is_complete());
    assert_eq!(journal.state().records[&step.address].operation, begun);
    drop(journal);
    assert_eq!(site.census().len(), 2);
    assert_eq!(site.world.lock().calls["create"], 3);
    tokio::time::sleep(Duration::from_secs(60)).await;
    recovers(&site, &door()).await;
}

#[tokio::test(start_paused = true)]
async fn a_creation_with_a_token_that_would_not_be_the_same_is_waited_for() {
    let site = cut_off(&door()).await;
    let journal = site.journal();
    let mut desired = door();
    desired[1] = resource("gate", "door", &["net"], 3);
    let seen = site.look(&journal).await;
    let hasty = plan(&site.desired(&desired), &journal.state(), &seen, &site.kinds, &PlanOptions::default()).unwrap();
    assert_eq!(hasty.undecided.len(), 1);
    let refused = crate::apply::apply(&hasty, &run(&site, &journal)).await.unwrap_err();
    assert!(matches!(refused, ApplyError::Undecided(_)));
    assert_eq!(refused.to_string(), "the plan does not know what became of an operation of an earlier run");

    let start = Instant::now();
    let plan = site.plan(&journal, &desired).await.unwrap();
    assert!(start.elapsed() > Duration::from_secs(30));
    // It was found, and only its size is changed.
    assert_eq!((plan.steps[1].action, plan.steps[1].adopts), (Action::Update, true));
    assert!(site.apply(&journal, &plan).await.is_complete());
    assert_eq!(site.census().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_destroy_waits_for_what_may_still_show() {
    for desired in [door(), way()] {
        let site = cut_off(&desired).await;
        let outcome = site.destroy(&EVERYTHING).await;
        assert!(outcome.is_complete(), "{outcome:?}");
        assert_eq!(site.census(), []);
        assert!(site.journal().state().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn when_a_repetition_is_refused_what_the_first_try_made_is_looked_for() {
    let site = cut_off(&door()).await;
    site.world.lock().faults.push(("create", ErrorClass::Terminal));
    let creations = site.world.lock().calls["create"];
    assert!(site.up(&door()).await.is_complete());
    // The refused one was the last.
    assert_eq!(site.world.lock().calls["create"], creations + 1);
    assert!(site.journal().state().pending.is_empty());
    recovers(&site, &door()).await;
}

#[tokio::test(start_paused = true)]
async fn when_what_the_first_try_made_is_gone_another_is_made() {
    let site = cut_off(&door()).await;
    // As when it was deleted, and the provider remembers its token.
    let made = site.census().len();
    site.world.lock().objects.retain(|_, object| object.kind != "sim.gate");
    assert_eq!(site.census().len(), made - 1);
    site.world.lock().faults.push(("create", ErrorClass::Terminal));
    assert!(site.up(&door()).await.is_complete());
    assert_eq!(site.census().len(), made);
    recovers(&site, &door()).await;
}

#[tokio::test(start_paused = true)]
async fn lost_replies_are_repeated_at_once_where_that_is_safe() {
    for desired in [door(), way()] {
        let site = Site::new();
        site.up(&desired[..1]).await;
        site.world.lock().lost_replies = 2;
        let start = Instant::now();
        assert!(site.up(&desired).await.is_complete());
        // Nobody looked for what the provider hides for 40 seconds, but for the wait until it can be used.
        assert_eq!(site.world.lock().calls["create"], 4);
        assert!(start.elapsed() < Duration::from_secs(60));
        assert_eq!(site.census().len(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn what_has_no_tags_is_put_there_again() {
    let site = cut_off(&way()).await;
    let journal = site.journal();
    let plan = site.plan(&journal, &way()).await.unwrap();
    assert!(plan.steps[1].repeats.is_some());
    assert!(site.apply(&journal, &plan).await.is_complete());
    // With the state lost it is put there once more, and all is as it was.
    tokio::time::sleep(Duration::from_secs(60)).await;
    journal.remove().await.unwrap();
    let outcome = site.up(&way()).await;
    assert!(outcome.is_complete() && outcome.done.create == 1, "{outcome:?}");
    assert_eq!(site.census().len(), 2);
    // It goes with what it is in, also where nobody knows of it any more.
    site.journal().remove().await.unwrap();
    let outcome = site.destroy(&EVERYTHING).await;
    assert!(outcome.is_complete() && outcome.done.delete == 1, "{outcome:?}");
    assert_eq!(site.census(), []);
}

#[tokio::test(start_paused = true)]
async fn what_has_no_tags_is_found_where_it_must_be() {
    let site = cut_off(&way()).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    let mut desired = way();
    desired[1] = with(desired[1].clone(), "size", json!(7));
    let plan = site.plan(&site.journal(), &desired).await.unwrap();
    assert_eq!((plan.steps[1].action, plan.steps[1].id.as_deref()), (Action::Update, Some("sim.net-1/sim.entry")));
    assert!(site.up(&desired).await.is_complete());
    assert_eq!(site.census().len(), 2);
}

#[test]
fn killed_at_every_point_nothing_is_made_twice() {
    let stack = || {
        let mut stack = door();
        stack.push(resource("entry", "way", &["net", "door"], 0));
        stack.push(resource("gate", "inner", &["door"], 0));
        stack
    };
    for point in 0.. {
        let survived = block_on(async {
            let site = Site::new();
            let crashed = site.until_crash(point, site.up(&stack())).await;
            match point % 3 {
                0 => recovers(&site, &stack()).await,
                1 => recovers(&site, &door()).await,
                _ => {}
            }
            let outcome = site.destroy(&EVERYTHING).await;
            assert!(outcome.is_complete(), "{point}: {outcome:?}");
            assert_eq!(site.census(), []);
            !crashed
        });
        if survived {
            assert_eq!(point, 3 * stack().len());
            return;
        }
    }
}

/// Of each class with which a creation can stop after its first call.
const PASSING: [ErrorClass; 3] = [ErrorClass::NotYetVisible, ErrorClass::Transient, ErrorClass::Throttled];

#[tokio::test(start_paused = true)]
async fn what_a_creation_that_stopped_part_way_has_left_undone_is_done() {
    for class in PASSING {
        // A slot is hidden at first, and a node is not ready.
        for kind in ["net", "slot", "node"] {
            let site = Site::new();
            site.world.lock().part_way = vec![class];
            let desired = [resource(kind, "thing", &[], 3)];
            let outcome = site.up(&desired).await;
            assert!(outcome.is_complete() && outcome.done.create == 1, "{outcome:?}");
            let calls = site.world.lock().calls.clone();
            assert_eq!((calls["create"], calls["update"]), (1, 1), "{kind} {class:?}");
            recovers(&site, &desired).await;
        }
        // With a token the creation itself is repeated, and does what it has left undone.
        let site = Site::new();
        site.world.lock().part_way = vec![class];
        let desired = [resource("gate", "door", &[], 3)];
        assert!(site.up(&desired).await.is_complete());
        assert_eq!(site.world.lock().calls["create"], 2);
        assert!(!site.world.lock().calls.contains_key("update"));
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_done_and_only_not_answered_needs_no_more() {
    let site = Site::new();
    site.world.lock().lost_replies = 1;
    assert!(site.up(&[resource("slot", "slot", &[], 3)]).await.is_complete());
    assert!(!site.world.lock().calls.contains_key("update"));
}

#[tokio::test(start_paused = true)]
async fn the_plan_shows_what_a_creation_of_an_earlier_run_has_left_undone() {
    let site = Site::new();
    site.world.lock().part_way = vec![ErrorClass::Terminal];
    let desired = [resource("net", "net", &[], 3)];
    assert_eq!(site.up(&desired).await.failed[0].chain, ["stopped part-way"]);
    let journal = site.journal();
    let plan = site.plan(&journal, &desired).await.unwrap();
    let step = &plan.steps[0];
    assert_eq!((step.action, step.adopts, step.changes[0].field.as_str()), (Action::Update, true, "size"));
    assert_eq!(step.reasons, ["an earlier run was cut off while creating it"]);
    assert!(site.apply(&journal, &plan).await.is_complete());
    drop(journal);
    recovers(&site, &desired).await;
}

#[test]
fn killed_at_every_point_of_finishing_a_creation_nothing_is_left_undone() {
    for kind in ["net", "slot", "node"] {
        let desired = [resource(kind, "thing", &[], 3), resource("net", "after", &["thing"], 0)];
        for point in 0.. {
            let survived = block_on(async {
                let site = Site::new();
                site.world.lock().part_way = vec![ErrorClass::Transient];
                let crashed = site.until_crash(point, site.up(&desired)).await;
                // Between an update that was refused and another, the creation is still known to be unfinished.
                if point % 2 == 0 {
                    site.world.lock().faults.push(("update", ErrorClass::Terminal));
                    site.up(&desired).await;
                    site.world.lock().faults.clear();
                }
                recovers(&site, &desired).await;
                let outcome = site.destroy(&EVERYTHING).await;
                assert!(outcome.is_complete(), "{point}: {outcome:?}");
                assert_eq!(site.census(), []);
                !crashed
            });
            if survived {
                // Three in each creation, and two in the update.
                assert_eq!(point, 8);
                break;
            }
        }
    }
}

fn store(size: u64) -> Vec<Resource> {
    vec![resource("net", "net", &[], 1), resource("bucket", "store", &["net"], size)]
}

#[tokio::test(start_paused = true)]
async fn what_is_named_by_its_specification_is_found_before_lists_show_it() {
    // As it was, and changed meanwhile.
    for (size, action) in [(2, Action::Adopt), (3, Action::Update)] {
        let site = cut_off(&store(2)).await;
        let journal = site.journal();
        assert_eq!(journal.state().pending.values().next().unwrap().identified, None);
        let start = Instant::now();
        let plan = site.plan(&journal, &store(size)).await.unwrap();
        assert_eq!(start.elapsed(), Duration::ZERO);
        let step = &plan.steps[1];
        assert_eq!((step.action, step.id.as_deref(), step.adopts), (action, Some("sim.bucket-a"), true));
        assert!(site.apply(&journal, &plan).await.is_complete());
        assert_eq!(site.world.lock().calls["create"], 2);
        drop(journal);
        recovers(&site, &store(size)).await;
    }
    let site = cut_off(&store(2)).await;
    assert!(site.destroy(&EVERYTHING).await.is_complete());
    assert_eq!(site.census(), []);
}

#[tokio::test(start_paused = true)]
async fn what_somebody_else_has_by_that_name_is_left_alone() {
    let site = Site::new();
    // Stopped before the second creation had any effect.
    assert!(site.until_crash(3, site.up(&store(2))).await);
    let (other, theirs) = (Site::new(), [resource("bucket", "theirs", &[], 7)]);
    assert!(other.up(&theirs).await.is_complete());
    let mut bucket = other.world.lock().objects["sim.bucket-a"].clone();
    bucket.tags.deployment = Deployment("theirs".to_owned());
    site.world.lock().objects.insert("sim.bucket-a".to_owned(), bucket);
    let outcome = site.up(&store(2)).await;
    assert_eq!(outcome.failed[0].chain, ["its name is taken"], "{outcome:?}");
    let outcome = site.destroy(&EVERYTHING).await;
    assert!(outcome.is_complete(), "{outcome:?}");
    assert_eq!(site.world.lock().objects["sim.bucket-a"].tags.address.as_str(), "theirs");
    assert!(site.journal().state().is_empty());
}

/// A store that takes ten seconds for some of what is made durable in it, as one does whose process is stopped meanwhile.
struct Slow {
    store: MemoryStore,
    slow: Arc<AtomicU32>,
}

impl Store for Slow {
    fn place(&self) -> PathBuf {
        self.store.place()
    }

    fn load(&mut self) -> BoxFuture<'_, Result<Content, JournalError>> {
        self.store.load()
    }

    fn cut(&mut self, good: u64) -> BoxFuture<'_, Result<(), JournalError>> {
        self.store.cut(good)
    }

    fn append(&mut self, text: Vec<u8>, durable: bool) -> BoxFuture<'_, Result<Appended, JournalError>> {
        let is_announcement = |text: &[u8]| {
            let text = String::from_utf8_lossy(text);
            text.contains("\"begin\"") || text.contains("\"retried\"")
        };
        let slow = |left: u32| left.checked_sub(1);
        let slow = is_announcement(&text) && self.slow.fetch_update(Ordering::SeqCst, Ordering::SeqCst, slow).is_ok();
        async move {
            let appended = self.store.append(text, durable).await;
            if slow {
                tokio::time::sleep(Duration::from_secs(10)).await;
            }
            appended
        }
        .boxed()
    }

    fn replace(&mut self, text: Vec<u8>) -> BoxFuture<'_, Result<Appended, JournalError>> {
        self.store.replace(text)
    }

    fn remove(&mut self, empty: Vec<u8>) -> BoxFuture<'_, Result<Appended, JournalError>> {
        self.store.remove(empty)
    }
}

#[tokio::test(start_paused = true)]
async fn an_announcement_that_was_long_before_its_call_is_made_again() {
    for (slow, announced, made) in [(0, 1, 1), (2, 3, 1), (100, 5, 0)] {
        let site = Site::new();
        let store = MemoryStore::new();
        let deployment = Deployment("site".to_owned());
        let slow = Slow { store: store.clone(), slow: Arc::new(AtomicU32::new(slow)) };
        let journal = Journal::over(slow, &deployment, clock(), Arc::new(Unguarded)).await.unwrap();
        let plan = site.plan(&journal, &[resource("net", "net", &[], 1)]).await.unwrap();
        let outcome = site.apply(&journal, &plan).await;
        assert_eq!(site.census().len(), made, "{outcome:?}");
        let written = String::from_utf8(store.bytes().unwrap()).unwrap();
        assert_eq!(
            written.matches("\"begin\"").count() + written.matches("\"retried\"").count(),
            announced,
            "{written}"
        );
        if made == 0 {
            let told = &outcome.failed[0];
            let message = "writing down that it is about to begin has taken longer than 2 s, 5 times";
            assert_eq!(told.chain, [message]);
            assert!(told.help.as_deref().is_some_and(|help| help.starts_with("nothing was called")));
        }
    }
}
