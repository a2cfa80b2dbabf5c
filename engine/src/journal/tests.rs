use super::*;
use crate::address::{Address, OperationId};
use crate::sim::clock;
use crate::state::{Call, Record};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt;

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
        spec: begin(n).spec.unwrap(),
        outputs: BTreeMap::new(),
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

#[test]
fn everything_that_is_queued_shares_one_sync() {
    let directory = tempfile::tempdir().unwrap();
    let state = Arc::new(Mutex::new(State::default()));
    let mut log = Log::open(directory.path(), FILE, &deployment(), clock(), Arc::clone(&state)).unwrap();
    let (mut batch, mut answers) = (Vec::new(), Vec::new());
    for n in 0..100 {
        let (reply, answer) = oneshot::channel();
        let work = Work::Entry(Box::new(Entry::Begin(Box::new(begin(n)))));
        batch.push(Request { work, durable: true, reply: Some(reply) });
        answers.push(answer);
    }
    log.commit(batch);
    assert_eq!(log.syncs, 1);
    assert!(answers.into_iter().all(|mut answer| answer.try_recv().unwrap().is_ok()));
    drop(log);
    assert_eq!(open(directory.path()).state().pending.len(), 100);
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

    std::fs::write(&path, good.replacen("\"version\":1", "\"version\":2", 1)).unwrap();
    assert!(matches!(Journal::read(directory.path(), &deployment()), Err(JournalError::Version { found: 2, .. })));
    std::fs::write(&path, good).unwrap();
    let other = Journal::read(directory.path(), &Deployment("other".to_owned()));
    assert!(matches!(other, Err(JournalError::OtherDeployment { .. })));
}

/// A file as version 1 writes it. It must stay readable.
const VERSION_1: &str = include_str!("version-1.jsonl");

#[tokio::test]
async fn version_1_is_read_and_written() {
    let directory = tempfile::tempdir().unwrap();
    write(directory.path(), &entries(&[0, 1, 2, 3])).await;
    assert_eq!(std::fs::read_to_string(directory.path().join(FILE)).unwrap(), VERSION_1);
    let state = line::load(Path::new(FILE), VERSION_1.as_bytes(), &deployment()).unwrap().state;
    assert_eq!((state.records.len(), state.pending.len()), (1, 2));
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
            prop_assert_eq!(&line::load(&path, &whole[..cut], &deployment()).unwrap().state, &expected);
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
