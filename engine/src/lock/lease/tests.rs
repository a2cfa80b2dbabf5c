use super::*;
use crate::address::{Address, Deployment, OperationId};
use crate::bucket::memory::{Fault, MemoryBucket};
use crate::journal::{BucketStore, Journal, JournalError};
use crate::sim::clock;
use crate::state::{Begin, Call};
use std::collections::BTreeSet;
use tokio::time::Instant;

const TTL: Duration = Duration::from_secs(30);

fn holder(pid: u32) -> Holder {
    let since = "1970-01-01T00:00:07Z".parse().unwrap();
    Holder { pid, host: "desk".to_owned(), since, command: "forge up".to_owned() }
}

/// The clock of the paused runtime.
fn ticks() -> Ticks {
    let start = Instant::now();
    Arc::new(move || start.elapsed())
}

fn place(bucket: &MemoryBucket) -> Place {
    Place::new(Arc::new(bucket.clone()), "d/")
}

fn contender(bucket: &MemoryBucket, pid: u32) -> Contender {
    Contender::new(place(bucket), holder(pid), format!("owner-{pid}"), TTL, ticks())
}

async fn taken(contender: &mut Contender) -> Lease {
    match contender.attempt().await.unwrap() {
        Attempt::Taken(lease) => lease,
        Attempt::Held(seen, left) => panic!("{seen:?} for {left:?}"),
    }
}

async fn held(contender: &mut Contender) -> (u32, Duration) {
    match contender.attempt().await.unwrap() {
        Attempt::Held(seen, left) => (seen.holder.pid, left),
        Attempt::Taken(lease) => panic!("{lease:?}"),
    }
}

async fn journal(bucket: &MemoryBucket, lease: &Lease) -> Result<Journal, JournalError> {
    let store = BucketStore::new(Arc::new(bucket.clone()), "d/");
    Journal::over(store, &Deployment("d".to_owned()), clock(), lease.guard()).await
}

fn begin(n: u64) -> Begin {
    Begin {
        operation: OperationId(format!("op{n}")),
        address: Address::new("a"),
        kind: "test.thing".to_owned(),
        call: Call::Create,
        id: None,
        spec: None,
        spec_hash: None,
        dependencies: BTreeSet::new(),
        protect: false,
    }
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_is_renewed_is_never_taken_over() {
    let bucket = MemoryBucket::new();
    let lease = taken(&mut contender(&bucket, 1)).await.kept();
    let mut other = contender(&bucket, 2);
    for _ in 0..100 {
        assert_eq!(held(&mut other).await.0, 1);
        assert!(lease.guard().may_act().is_ok());
        sleep(TTL / 7).await;
    }
    lease.release().await.unwrap();
    assert_eq!(place(&bucket).look().await.unwrap(), None);
    let next = taken(&mut other).await;
    assert_eq!(next.guard().epoch(), 8, "the epoch grows with every owner");
}

#[tokio::test(start_paused = true)]
async fn an_owner_that_is_silent_is_taken_over_after_a_whole_span_of_watching_and_no_earlier() {
    let bucket = MemoryBucket::new();
    let dead = taken(&mut contender(&bucket, 1)).await;
    // However long it has been silent: nobody has seen that yet.
    sleep(TTL * 10).await;
    let mut other = contender(&bucket, 2);
    assert_eq!(held(&mut other).await, (1, TTL));
    sleep(TTL - Duration::from_millis(1)).await;
    assert_eq!(held(&mut other).await, (1, Duration::from_millis(1)));
    sleep(Duration::from_millis(1)).await;
    let lease = taken(&mut other).await;
    assert!(lease.guard().epoch() > dead.guard().epoch());
    assert_eq!(dead.guard().may_act(), Err(Fenced::Expired));
}

#[tokio::test(start_paused = true)]
async fn an_owner_stops_before_anybody_can_take_over() {
    let bucket = MemoryBucket::new();
    let lease = taken(&mut contender(&bucket, 1)).await;
    let mut other = contender(&bucket, 2);
    while let Attempt::Held(..) = other.attempt().await.unwrap() {
        sleep(Duration::from_millis(500)).await;
    }
    assert_eq!(lease.guard().may_act(), Err(Fenced::Expired));
    let bucket = MemoryBucket::new();
    let lease = taken(&mut contender(&bucket, 1)).await;
    sleep(TTL - TTL / MARGIN).await;
    assert_eq!(lease.guard().may_act(), Err(Fenced::Expired), "with a margin");
}

#[tokio::test(start_paused = true)]
async fn of_two_that_want_it_one_gets_it() {
    for dead in [false, true] {
        let bucket = MemoryBucket::new();
        bucket.set_latency(Duration::from_millis(20));
        let (mut one, mut two) = (contender(&bucket, 1), contender(&bucket, 2));
        if dead {
            drop(taken(&mut contender(&bucket, 9)).await);
            held(&mut one).await;
            held(&mut two).await;
            sleep(TTL).await;
        }
        let (one, two) = tokio::join!(one.attempt(), two.attempt());
        let won = [one.unwrap(), two.unwrap()].iter().filter(|attempt| matches!(attempt, Attempt::Taken(_))).count();
        assert_eq!(won, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn an_owner_that_wakes_up_too_late_can_neither_write_nor_act() {
    let bucket = MemoryBucket::new();
    let old = taken(&mut contender(&bucket, 1)).await;
    let old_journal = journal(&bucket, &old).await.unwrap();
    old_journal.begin(begin(1)).await.unwrap();
    let mut other = contender(&bucket, 2);
    held(&mut other).await;
    sleep(TTL).await;
    let new = taken(&mut other).await.kept();
    let new_journal = journal(&bucket, &new).await.unwrap();
    assert_eq!(new_journal.state().pending.len(), 1);
    // It wakes up.
    let old = old.kept();
    let refused = old_journal.begin(begin(2)).await.unwrap_err().to_string();
    assert_eq!(
        refused,
        "this forge was fenced: its lease has run out, and another forge may be at work on this deployment"
    );
    assert!(old.guard().may_act().is_err());
    new_journal.begin(begin(3)).await.unwrap();
    sleep(TTL * 3).await;
    assert_eq!(new.guard().may_act(), Ok(()), "the old one's heartbeat does not disturb it");
    old.release().await.unwrap();
    assert_eq!(place(&bucket).look().await.unwrap().unwrap().holder.pid, 2, "nor does it give back what it has lost");
}

#[tokio::test(start_paused = true)]
async fn even_with_a_clock_that_stands_still_nothing_is_written_once_another_has_begun() {
    let bucket = MemoryBucket::new();
    let stopped: Ticks = Arc::new(|| Duration::ZERO);
    let mut old = Contender::new(place(&bucket), holder(1), "owner-1".to_owned(), TTL, stopped);
    let old = taken(&mut old).await;
    let old_journal = journal(&bucket, &old).await.unwrap();
    let mut other = contender(&bucket, 2);
    held(&mut other).await;
    sleep(TTL).await;
    let new = taken(&mut other).await;
    assert!(old.guard().may_act().is_ok());
    let new_journal = journal(&bucket, &new).await.unwrap();
    new_journal.begin(begin(1)).await.unwrap();
    // Compaction deletes what was there before, but not what keeps the old owner out.
    for n in 2..200 {
        new_journal.begin(begin(n)).await.unwrap();
        let failed = crate::state::Entry::Failed { operation: OperationId(format!("op{n}")), reason: String::new() };
        new_journal.append(failed).await.unwrap();
    }
    new_journal.compact().await.unwrap();
    assert!(bucket.objects().len() < 5, "{:?}", bucket.objects().keys());
    let refused = old_journal.begin(begin(1000)).await.unwrap_err().to_string();
    assert_eq!(refused, "this forge was fenced: another forge has written to the journal");
    assert_eq!(old.guard().may_act(), Err(Fenced::Overtaken), "and it acts no more");
    let state = new_journal.state();
    drop(new_journal);
    assert_eq!(journal(&bucket, &new).await.unwrap().state(), state);
}

#[tokio::test(start_paused = true)]
async fn a_reply_that_got_lost_is_recognised() {
    let bucket = MemoryBucket::new();
    bucket.fail("lock", Fault::LostReply);
    let lease = taken(&mut contender(&bucket, 1)).await.kept();
    for fault in [Fault::LostReply, Fault::Throttled, Fault::LostReply] {
        bucket.fail("lock", fault);
        bucket.fail("lock", fault);
        sleep(TTL).await;
        assert_eq!(lease.guard().may_act(), Ok(()), "{fault:?}");
    }
    bucket.fail("lock", Fault::LostReply);
    lease.release().await.unwrap();
    assert_eq!(place(&bucket).look().await.unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn a_bucket_that_is_away_for_too_long_ends_the_lease() {
    let bucket = MemoryBucket::new();
    let lease = taken(&mut contender(&bucket, 1)).await.kept();
    for _ in 0..100 {
        bucket.fail("lock", Fault::Broken);
    }
    sleep(TTL).await;
    assert_eq!(lease.guard().may_act(), Err(Fenced::Expired));
    sleep(TTL * 10).await;
    assert_eq!(lease.guard().may_act(), Err(Fenced::Expired), "for good");
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_is_broken_open_fences_its_owner() {
    let bucket = MemoryBucket::new();
    let old = taken(&mut contender(&bucket, 1)).await.kept();
    let seen = place(&bucket).break_open().await.unwrap().unwrap();
    assert_eq!((seen.holder.pid, seen.ttl), (1, TTL));
    assert_eq!(place(&bucket).break_open().await.unwrap(), None);
    let new = taken(&mut contender(&bucket, 2)).await;
    assert!(new.guard().epoch() > seen.epoch + 1);
    sleep(TTL / 2).await;
    assert_eq!(old.guard().may_act(), Err(Fenced::Taken(holder(2))));
    let before = bucket.objects();
    old.remove().await.unwrap();
    assert_eq!(bucket.objects(), before);
    new.remove().await.unwrap();
    assert!(bucket.objects().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_lock_that_cannot_be_understood_says_why() {
    let bucket = MemoryBucket::new();
    bucket.set("d/lock.json", Some(br#"{"v":2,"new":1}"#.to_vec()));
    let newer = contender(&bucket, 1).attempt().await.unwrap_err().to_string();
    assert_eq!(newer, "d/lock.json is in version 2 of its format; this forge reads version 1: use a newer one");
    bucket.set("d/lock.json", Some(b"{".to_vec()));
    let damaged = contender(&bucket, 1).attempt().await.unwrap_err().to_string();
    assert!(damaged.starts_with("d/lock.json is damaged: "), "{damaged}");
}
