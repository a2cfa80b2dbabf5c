use super::*;
use crate::address::{Address, OperationId};
use crate::bucket::Bucket;
use crate::bucket::memory::{Fault, MemoryBucket};
use crate::lock::Holder;
use crate::lock::lease::{Attempt, Contender, Lease, Place, Ticks};
use crate::sim::clock;
use crate::state::{Call, Record};
use futures::future::join_all;
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;

const FILE: &str = file::NAME;

fn deployment() -> Deployment {
    Deployment("d".to_owned())
}

fn open(directory: &Path) -> Journal {
    Journal::open(directory, &deployment(), clock()).unwrap()
}

fn begin(n: usize) -> Begin {
    Begin {
        operation: OperationId(format!("op{n}")),
        address: Address::new(format!("r{}", n % 7)),
        kind: "test.thing".to_owned(),
        call: Call::Create,
        id: None,
        spec: Some(serde_json::json!({ "size": n, "ratio": 0.1 + n as f64 })),
        spec_hash: None,
        dependencies: BTreeSet::new(),
        protect: false,
    }
}

fn end(n: usize) -> Entry {
    let record = Record {
        kind: "test.thing".to_owned(),
        id: format!("i-{n}"),
        spec: begin(n).spec.unwrap().into(),
        outputs: Arc::default(),
        dependencies: BTreeSet::new(),
        protect: false,
        operation: OperationId(format!("op{n}")),
        since: Timestamp::UNIX_EPOCH,
        serial: 0,
    };
    Entry::End { operation: OperationId(format!("op{n}")), record: Some(Box::new(record)), settles: Vec::new() }
}

fn entries(kinds: &[u8]) -> Vec<Entry> {
    let mut entries = Vec::new();
    for (n, kind) in kinds.iter().enumerate() {
        entries.push(Entry::Begin(Box::new(begin(n))));
        let operation = OperationId(format!("op{n}"));
        match kind % 4 {
            0 => {}
            1 => entries.push(Entry::Identified { operation, id: format!("i-{n}") }),
            2 => entries.push(end(n)),
            _ => entries.push(Entry::Failed { operation, reason: "no \"such\" luck\n".to_owned() }),
        }
    }
    entries
}

fn load(text: &[u8]) -> Result<State, JournalError> {
    let parts = vec![Part { place: FILE.into(), text: text.to_vec() }];
    Ok(line::load(&Content { parts, tears: true, strays: false }, &deployment())?.state)
}

async fn write(directory: &Path, entries: &[Entry]) {
    let journal = open(directory);
    for entry in entries {
        journal.append(entry.clone()).await.unwrap();
    }
}

#[tokio::test]
async fn what_was_written_is_read_again() {
    let directory = tempfile::tempdir().unwrap();
    let journal = open(directory.path());
    for entry in entries(&[0, 1, 2, 3, 2]) {
        journal.append(entry).await.unwrap();
    }
    let state = journal.state();
    drop(journal);
    assert_eq!(open(directory.path()).state(), state);
    assert_eq!(Journal::read(directory.path(), &deployment()).unwrap(), state);
    assert_eq!((state.records.len(), state.pending.len(), state.serial), (2, 2, 9));
    let mode = std::fs::metadata(directory.path().join(FILE)).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

async fn over(store: &MemoryStore) -> Journal {
    Journal::over(store.clone(), &deployment(), clock(), Arc::new(Unguarded)).await.unwrap()
}

#[tokio::test]
async fn everything_that_is_queued_shares_one_sync() {
    let store = MemoryStore::new();
    let journal = over(&store).await;
    let before = (store.writes(), store.syncs());
    let begun = join_all((0..100).map(|n| journal.begin(begin(n)))).await;
    assert!(begun.iter().all(Result::is_ok));
    assert_eq!((store.writes() - before.0, store.syncs() - before.1), (1, 1));
    drop(journal);
    assert_eq!(over(&store).await.state().pending.len(), 100);
}

#[tokio::test]
async fn a_crash_loses_what_was_not_made_durable_and_nothing_else() {
    let store = MemoryStore::new();
    let journal = over(&store).await;
    journal.begin(begin(1)).await.unwrap();
    let durable = store.bytes().unwrap().len();
    journal.append(end(1)).await.unwrap();
    let whole = store.bytes().unwrap().len();
    drop(journal);
    store.crash(whole - durable - 1);
    assert_eq!(over(&store).await.state().pending.len(), 1);
    assert_eq!(store.bytes().unwrap().len(), durable, "the torn end is cut off");
}

#[tokio::test]
async fn after_a_failed_write_nothing_is_accepted() {
    let store = MemoryStore::new();
    let journal = over(&store).await;
    store.fail_next(10);
    let failed = journal.begin(begin(1)).await.unwrap_err().to_string();
    assert_eq!(failed, "cannot write to memory");
    assert_eq!(journal.append(end(1)).await.unwrap_err().to_string(), failed);
    assert_eq!(journal.begin(begin(2)).await.unwrap_err().to_string(), failed);
    drop(journal);
    store.crash(usize::MAX);
    assert!(over(&store).await.state().is_empty());
}

#[tokio::test]
async fn a_journal_with_a_task_ends_where_it_is_dropped() {
    let store = MemoryStore::new();
    let journal = over(&store).await;
    journal.note(Entry::Begin(Box::new(begin(1))));
    drop(journal);
    tokio::task::yield_now().await;
    assert!(over(&store).await.state().is_empty());
    let journal = over(&store).await;
    journal.note(Entry::Begin(Box::new(begin(1))));
    journal.close().await.unwrap();
    assert_eq!(over(&store).await.state().pending.len(), 1);
    over(&store).await.remove().await.unwrap();
    assert_eq!(store.bytes(), None);
}

#[tokio::test]
async fn an_entry_that_makes_no_sense_is_refused_and_not_written() {
    let directory = tempfile::tempdir().unwrap();
    let journal = open(directory.path());
    let refused = journal.append(end(1)).await.unwrap_err();
    assert_eq!(refused.to_string(), "the journal refuses an entry: operation op1 ends but never began");
    journal.begin(begin(1)).await.unwrap();
    drop(journal);
    assert_eq!(open(directory.path()).state().pending.len(), 1);
}

#[tokio::test]
async fn a_long_journal_is_compacted_and_says_the_same() {
    let directory = tempfile::tempdir().unwrap();
    write(directory.path(), &entries(&[2; 100])).await;
    let path = directory.path().join(FILE);
    let long = std::fs::metadata(&path).unwrap().len();
    // Left by a crash while compacting.
    std::fs::write(path.with_extension("new"), "half").unwrap();
    let before = Journal::read(directory.path(), &deployment()).unwrap();
    let journal = open(directory.path());
    // One hundred creations at seven addresses: most are superseded, but nothing is lost.
    assert_eq!(journal.state(), before);
    for n in 0..100 {
        let (address, kind) = (Address::new(format!("r{}", n % 7)), "test.thing".to_owned());
        journal.append(Entry::Forgotten { address, kind, id: format!("i-{n}"), settles: Vec::new() }).await.unwrap();
    }
    journal.compact().await.unwrap();
    assert!(std::fs::metadata(&path).unwrap().len() < long / 10);
    journal.begin(begin(1)).await.unwrap();
    let state = journal.state();
    drop(journal);
    assert_eq!(open(directory.path()).state(), state);
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
}

#[tokio::test]
async fn damage_in_the_middle_is_named_by_line() {
    let directory = tempfile::tempdir().unwrap();
    write(directory.path(), &entries(&[2, 2, 2])).await;
    let path = directory.path().join(FILE);
    let good = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, good.replacen("\"i-0\"", "\"i-9\"", 1)).unwrap();
    let damaged = Journal::open(directory.path(), &deployment(), clock()).unwrap_err().to_string();
    assert_eq!(damaged, format!("the journal is damaged: {}:3: its checksum does not match", path.display()));

    let without: Vec<&str> = good.lines().enumerate().filter(|(n, _)| *n != 2).map(|(_, line)| line).collect();
    std::fs::write(&path, without.join("\n") + "\n").unwrap();
    let damaged = Journal::open(directory.path(), &deployment(), clock()).unwrap_err().to_string();
    assert!(damaged.ends_with(":3: entry 2 is missing: this is entry 3"), "{damaged}");

    std::fs::write(&path, good.replacen("\"deployment\":\"d\"", "\"deployment\":\"e\"", 1)).unwrap();
    let damaged = Journal::open(directory.path(), &deployment(), clock()).unwrap_err().to_string();
    assert_eq!(damaged, format!("the journal is damaged: {}:1: its checksum does not match", path.display()));
    std::fs::write(&path, good).unwrap();
    let other = Journal::read(directory.path(), &Deployment("other".to_owned()));
    assert!(matches!(other, Err(JournalError::OtherDeployment { .. })));
}

/// Files as forges of these versions have written them. They must stay readable for ever: never change one.
const VERSION_1: &str = include_str!("version-1.jsonl");
const VERSION_2: &str = include_str!("version-2.jsonl");

#[tokio::test]
async fn every_version_is_read_and_the_newest_is_written() {
    let store = MemoryStore::new();
    let journal = over(&store).await;
    for entry in entries(&[0, 1, 2, 3]) {
        journal.append(entry).await.unwrap();
    }
    let state = journal.state();
    let written = String::from_utf8(store.bytes().unwrap()).unwrap();
    let lines = |text: &str| text.split_once('\n').unwrap().1.to_owned();
    assert_eq!(lines(&written), lines(VERSION_2), "a change of the format takes a new version, and a step to it");
    for text in [VERSION_1, VERSION_2] {
        let old = MemoryStore::new();
        old.set(Some(text.as_bytes().to_vec()));
        assert_eq!(Journal::look(old, &deployment()).await.unwrap(), state);
    }
}

#[tokio::test]
async fn an_older_version_is_rewritten_by_whoever_opens_it_for_writing() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(FILE);
    std::fs::write(&path, VERSION_1).unwrap();
    let state = Journal::read(directory.path(), &deployment()).unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), VERSION_1, "looking changes nothing");
    let journal = open(directory.path());
    assert_eq!(journal.state(), state);
    journal.begin(begin(9)).await.unwrap();
    let state = journal.state();
    drop(journal);
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.starts_with(r#"{"format":"forge-journal","version":2,"forge":""#), "{text}");
    assert_eq!(text.lines().count(), 3, "header, snapshot, the new entry");
    assert_eq!(open(directory.path()).state(), state);
}

#[tokio::test]
async fn a_newer_version_is_refused_and_says_which_forge_can_read_it() {
    let refusal = |header: &str| {
        let store = MemoryStore::new();
        store.set(Some(format!("{header}\n").into_bytes()));
        async { Journal::look(store, &deployment()).await.unwrap_err().to_string() }
    };
    let ours = env!("CARGO_PKG_VERSION");
    assert_eq!(
        refusal(r#"{"format":"forge-journal","version":3,"forge":"0.9.1","deployment":"d","new":[1]}"#).await,
        format!(
            "memory is in format version 3; this forge, {ours}, reads up to version 2: use forge 0.9.1 or a newer one"
        )
    );
    assert_eq!(
        refusal(r#"{"format":"forge-journal","version":4}"#).await,
        format!("memory is in format version 4; this forge, {ours}, reads up to version 2: use a newer one")
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]
    #[test]
    fn cut_off_anywhere_the_state_is_that_of_the_whole_lines(
        kinds in prop::collection::vec(any::<u8>(), 1..6),
        reopened in any::<prop::sample::Index>(),
    ) {
        let directory = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let entries = entries(&kinds);
        runtime.block_on(write(directory.path(), &entries));
        let path = directory.path().join(FILE);
        let whole = std::fs::read(&path).unwrap();
        let header = whole.iter().position(|byte| *byte == b'\n').unwrap() + 1;
        for cut in header..=whole.len() {
            let lines = whole[header..cut].iter().filter(|byte| **byte == b'\n').count();
            let mut expected = State::default();
            for (serial, entry) in (1..).zip(&entries[..lines]) {
                expected.fold(serial, Timestamp::UNIX_EPOCH, entry).unwrap();
            }
            prop_assert_eq!(&load(&whole[..cut]).unwrap(), &expected);
            if cut != header + reopened.index(whole.len() + 1 - header) {
                continue;
            }
            std::fs::write(&path, &whole[..cut]).unwrap();
            let journal = open(directory.path());
            prop_assert_eq!(journal.state(), expected);
            // The torn end is gone for good: what comes next can be read.
            runtime.block_on(journal.begin(begin(1000))).unwrap();
            drop(journal);
            prop_assert!(open(directory.path()).state().pending.contains_key(&OperationId("op1000".to_owned())));
        }
    }
}

async fn in_bucket(bucket: &MemoryBucket) -> Result<Journal, JournalError> {
    let store = BucketStore::new(Arc::new(bucket.clone()), "d/");
    Journal::over(store, &deployment(), clock(), Arc::new(Unguarded)).await
}

fn keys(bucket: &MemoryBucket) -> Vec<String> {
    bucket.objects().into_keys().collect()
}

#[tokio::test(start_paused = true)]
async fn in_a_bucket_every_append_is_an_object_and_what_comes_together_is_one() {
    let bucket = MemoryBucket::new();
    bucket.set_latency(std::time::Duration::from_millis(30));
    let journal = in_bucket(&bucket).await.unwrap();
    join_all((0..50).map(|n| journal.begin(begin(n)))).await;
    // While the first of these is on its way the others queue up.
    join_all((0..50).map(|n| journal.append(Entry::Identified { operation: begin(n).operation, id: "i".to_owned() })))
        .await;
    assert_eq!(bucket.puts(), 3);
    assert_eq!(keys(&bucket)[2], "d/journal/00000000000000000003.jsonl");
    let state = journal.state();
    drop(journal);
    let store = BucketStore::new(Arc::new(bucket.clone()), "d/");
    assert_eq!(Journal::look(store, &deployment()).await.unwrap(), state);
    in_bucket(&bucket).await.unwrap().remove().await.unwrap();
    assert_eq!(keys(&bucket), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn in_a_bucket_a_lost_reply_is_recognised_and_a_hiccup_survived() {
    let bucket = MemoryBucket::new();
    for fault in [Fault::LostReply, Fault::Throttled, Fault::Throttled, Fault::LostReply] {
        bucket.fail("journal", fault);
    }
    let journal = in_bucket(&bucket).await.unwrap();
    journal.begin(begin(1)).await.unwrap();
    bucket.fail("journal", Fault::LostReply);
    journal.append(end(1)).await.unwrap();
    assert_eq!(bucket.puts(), 3);
    bucket.fail("journal", Fault::Broken);
    let failed = journal.begin(begin(2)).await.unwrap_err();
    assert_eq!(crate::apply::chain(&failed).len(), 3);
    assert_eq!(failed.to_string(), "cannot write the journal in the bucket");
    drop(journal);
    assert_eq!(in_bucket(&bucket).await.unwrap().state().records.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn in_a_bucket_the_second_writer_loses_and_neither_journal_is_hurt() {
    let bucket = MemoryBucket::new();
    let (one, two) = (in_bucket(&bucket).await.unwrap(), in_bucket(&bucket).await.unwrap());
    two.begin(begin(2)).await.unwrap();
    for _ in 0..2 {
        let fenced = one.begin(begin(1)).await.unwrap_err();
        assert_eq!(fenced.to_string(), "this forge was fenced: another forge has written to the journal");
    }
    two.append(end(2)).await.unwrap();
    let state = two.state();
    drop((one, two));
    assert_eq!(in_bucket(&bucket).await.unwrap().state(), state);
}

#[tokio::test(start_paused = true)]
async fn in_a_bucket_what_is_missing_or_damaged_is_named() {
    let bucket = MemoryBucket::new();
    let journal = in_bucket(&bucket).await.unwrap();
    for n in 0..4 {
        journal.begin(begin(n)).await.unwrap();
    }
    drop(journal);
    let (whole, keys) = (bucket.objects(), keys(&bucket));
    let refusal = |changed: &str, bytes: Option<Vec<u8>>| {
        for (key, bytes) in &whole {
            bucket.set(key, Some(bytes.clone()));
        }
        bucket.set(changed, bytes);
        async { in_bucket(&bucket).await.unwrap_err().to_string() }
    };
    for missing in &keys[..4] {
        let damaged = format!("the journal is damaged: {missing}:1: it is missing");
        assert_eq!(refusal(missing, None).await, damaged);
    }
    let mut torn = whole[&keys[4]].clone();
    torn.pop();
    let damaged = format!("the journal is damaged: {}:1: it has no end", keys[4]);
    assert_eq!(refusal(&keys[4], Some(torn)).await, damaged);
}

/// A journal in a bucket with more entries than it needs.
async fn long(bucket: &MemoryBucket) -> Journal {
    let journal = in_bucket(bucket).await.unwrap();
    for n in 0..60 {
        journal.begin(begin(n)).await.unwrap();
        let (operation, reason) = (begin(n).operation, String::new());
        journal.append(Entry::Failed { operation, reason }).await.unwrap();
    }
    journal.begin(begin(100)).await.unwrap();
    journal
}

#[tokio::test(start_paused = true)]
async fn in_a_bucket_compaction_and_removal_can_stop_anywhere() {
    let millisecond = std::time::Duration::from_millis(1);
    for point in 0.. {
        let bucket = MemoryBucket::new();
        let journal = long(&bucket).await;
        let state = journal.state();
        // Each call takes one: after so many the process dies.
        bucket.set_latency(millisecond);
        let survived = tokio::time::timeout(millisecond * point, journal.compact()).await.is_ok();
        drop(journal);
        bucket.set_latency(std::time::Duration::ZERO);
        let journal = in_bucket(&bucket).await.unwrap();
        assert_eq!(journal.state(), state);

        bucket.set_latency(millisecond);
        let _ = tokio::time::timeout(millisecond * point, journal.remove()).await;
        bucket.set_latency(std::time::Duration::ZERO);
        let journal = in_bucket(&bucket).await.unwrap();
        assert!(journal.state() == state || journal.state().is_empty());
        journal.append(Entry::Begin(Box::new(begin(200)))).await.unwrap();
        drop(journal);
        let journal = in_bucket(&bucket).await.unwrap();
        assert!(journal.state().pending.contains_key(&begin(200).operation));
        // Whatever was left to delete goes with the rest.
        journal.remove().await.unwrap();
        assert_eq!(keys(&bucket), [""; 0]);
        if survived && point > 10 {
            return;
        }
    }
}

/// Owners one after the other, each with the epoch of its lease.
async fn owned(bucket: &MemoryBucket, since: i64) -> (Lease, Journal) {
    let bucket: Arc<dyn Bucket> = Arc::new(bucket.clone());
    let since = Timestamp::from_second(since).unwrap();
    let holder = Holder { pid: 1, host: "here".to_owned(), since, command: "forge up".to_owned() };
    let start = tokio::time::Instant::now();
    let ticks: Ticks = Arc::new(move || start.elapsed());
    let place = Place::new(Arc::clone(&bucket), "d/");
    let ttl = std::time::Duration::from_secs(30);
    let mut contender = Contender::new(place, holder, format!("owner {since}"), ttl, ticks);
    let lease = loop {
        match contender.attempt().await.unwrap() {
            Attempt::Taken(lease) => break lease,
            Attempt::Held(_, left) => tokio::time::sleep(left).await,
        }
    };
    let store = BucketStore::new(bucket, "d/");
    let journal = Journal::over(store, &deployment(), clock(), lease.guard()).await.unwrap();
    (lease, journal)
}

async fn look(bucket: &MemoryBucket) -> Result<State, JournalError> {
    Journal::look(BucketStore::new(Arc::new(bucket.clone()), "d/"), &deployment()).await
}

/// What an owner writes that sleeps between its guard and its write while others destroy everything.
async fn written_in_sleep(bucket: &MemoryBucket) -> (String, Vec<u8>) {
    let (_lease, journal) = owned(bucket, 1000).await;
    for n in 0..4 {
        journal.begin(begin(n)).await.unwrap();
    }
    let last = bucket.objects().into_iter().rfind(|(key, _)| key.contains("journal/")).unwrap();
    bucket.set(&last.0, None);
    drop(journal);
    let (lease, journal) = owned(bucket, 2000).await;
    journal.remove().await.unwrap();
    lease.remove().await.unwrap();
    assert_eq!(keys(bucket), [""; 0]);
    bucket.set(&last.0, Some(last.1.clone()));
    last
}

#[tokio::test(start_paused = true)]
async fn what_was_written_in_sleep_after_everything_was_destroyed_is_cleared_away() {
    let bucket = MemoryBucket::new();
    let (key, _) = written_in_sleep(&bucket).await;
    assert!(look(&bucket).await.unwrap().is_empty(), "whoever only looks sees nothing");
    assert!(bucket.objects().contains_key(&key), "and touches nothing");
    let (_lease, journal) = owned(&bucket, 3000).await;
    assert!(journal.state().is_empty());
    assert!(!bucket.objects().contains_key(&key));
    for n in 10..20 {
        journal.begin(begin(n)).await.unwrap();
    }
    assert_eq!(look(&bucket).await.unwrap(), journal.state());
}

#[tokio::test(start_paused = true)]
async fn what_was_written_in_sleep_does_not_hurt_the_journal_that_came_after() {
    let bucket = MemoryBucket::new();
    let (key, text) = written_in_sleep(&bucket).await;
    bucket.set(&key, None);
    let (lease, journal) = owned(&bucket, 3000).await;
    journal.begin(begin(10)).await.unwrap();
    let state = journal.state();
    drop(journal);
    bucket.set(&key, Some(text));
    lease.release().await.unwrap();
    let (_lease, journal) = owned(&bucket, 4000).await;
    assert_eq!(journal.state(), state);
    for n in 20..30 {
        journal.begin(begin(n)).await.unwrap();
    }
    assert_eq!(look(&bucket).await.unwrap(), journal.state());
}

#[tokio::test(start_paused = true)]
async fn an_end_without_its_beginning_is_damage_while_its_lease_lives() {
    let bucket = MemoryBucket::new();
    let (lease, journal) = owned(&bucket, 1000).await;
    journal.begin(begin(0)).await.unwrap();
    drop(journal);
    lease.release().await.unwrap();
    let first = bucket.objects().into_keys().find(|key| key.contains("journal/")).unwrap();
    bucket.set(&first, None);
    assert_eq!(
        look(&bucket).await.unwrap_err().to_string(),
        format!("the journal is damaged: {first}:1: it is missing")
    );
}

/// The states after each of the entries, the empty one first.
fn states(entries: &[Entry]) -> Vec<State> {
    let mut states = vec![State::default()];
    for (serial, entry) in (1..).zip(entries) {
        let mut next = states.last().unwrap().clone();
        next.fold(serial, Timestamp::UNIX_EPOCH, entry).unwrap();
        states.push(next);
    }
    states
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2))]
    #[test]
    fn whatever_bit_flips_and_wherever_it_ends_it_is_a_state_that_was_or_it_is_refused(
        kinds in prop::collection::vec(any::<u8>(), 0..4),
        flips in prop::collection::vec((any::<prop::sample::Index>(), 0..8_u32), 2),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let entries = entries(&kinds);
        let store = MemoryStore::new();
        runtime.block_on(async {
            let journal = over(&store).await;
            for entry in &entries {
                journal.append(entry.clone()).await.unwrap();
            }
        });
        let (whole, states) = (store.bytes().unwrap(), states(&entries));
        let old = VERSION_1.as_bytes().to_vec();
        let states_old = self::states(&self::entries(&[0, 1, 2, 3]));
        for (whole, states) in [(&whole, &states), (&old, &states_old)] {
            for position in 0..whole.len() {
                if let Ok(state) = load(&whole[..position]) {
                    prop_assert!(states.contains(&state), "cut at {position}");
                }
                for bit in 0..8 {
                    let mut flipped = whole.clone();
                    flipped[position] ^= 1 << bit;
                    if let Ok(state) = load(&flipped) {
                        prop_assert!(states.contains(&state), "bit {bit} of byte {position}");
                    }
                }
            }
        }
        let mut many = whole;
        for (position, bit) in flips {
            let position = position.index(many.len());
            many[position] ^= 1 << bit;
        }
        if let Ok(state) = load(&many) {
            prop_assert!(states.contains(&state));
        }
    }
}
