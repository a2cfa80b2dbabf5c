//! What exists, as far as forge knows: the fold of the journal.
//!
//! Every line of the journal is one [`Entry`]. [`State::fold`] takes them one after the other, and is the only way in
//! which state changes. Two things make up the state: *records*, the resources whose last operation has ended, and
//! *pending* operations, which began and of whose end nothing is known. After a crash the pending ones are exactly what
//! must be looked up in the world ([`crate::observe`]) before a plan can be made.
//!
//! A create that ends at an address with a living record does not overwrite it: the old one is *superseded* and waits
//! for its deletion. So a replacement that creates first can stop anywhere and nothing is forgotten.

use crate::address::{Address, OperationId};
use crate::lock::Holder;
use crate::sabotage::{Sabotage, broken};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use sha2::{Digest, Sha256};
use std::collections::btree_map::Entry as BTreeEntry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A call that changes the world.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Call {
    /// A new resource comes.
    Create,
    /// A living one is changed in place.
    Update,
    /// A living one goes.
    Delete,
}

/// Outputs by name.
pub type Outputs = BTreeMap<String, Json>;

/// A resource that exists as far as the journal knows. What is large in it is shared by its clones.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Its kind.
    pub kind: String,
    /// The provider's identifier.
    pub id: String,
    /// Its specification as it was last applied, resolved and in normal form; null when that is not known, because the
    /// record was rebuilt from the world and not all of it could be read back.
    pub spec: Arc<Json>,
    /// Its outputs by name.
    pub outputs: Arc<Outputs>,
    /// What it depended on when it was last applied.
    pub dependencies: BTreeSet<Address>,
    /// True when no plan may delete or replace it.
    pub protect: bool,
    /// The operation that created it, and which its tags carry.
    pub operation: OperationId,
    /// When it was last written. The fold sets it from the entry that carries the record.
    #[serde(default)]
    pub since: Timestamp,
    /// The number of the entry that last wrote it. The fold sets it.
    #[serde(default)]
    pub serial: u64,
}

/// A resource whose address now belongs to its successor, and which is still to be deleted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Superseded {
    /// Where it stood.
    pub address: Address,
    /// What was known of it.
    pub record: Record,
}

/// The start of an operation; durable before the call that it announces.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Begin {
    /// The operation.
    pub operation: OperationId,
    /// The resource's address.
    pub address: Address,
    /// Its kind.
    pub kind: String,
    /// What is about to be called.
    pub call: Call,
    /// The identifier, for updates and deletions.
    pub id: Option<String>,
    /// The resolved specification, for creations and updates.
    pub spec: Option<Json>,
    /// SHA-256 of the specification's JSON, in hex: what was asked for, even where the specification is not kept.
    pub spec_hash: Option<String>,
    /// What it depends on.
    pub dependencies: BTreeSet<Address>,
    /// Whether it is to be protected.
    pub protect: bool,
}

/// An operation that began and of whose end nothing is known.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Pending {
    /// How it began.
    pub begin: Begin,
    /// The identifier that the provider has given out since.
    pub identified: Option<String>,
    /// When its last attempt began, or had its identifier: from then on counts the time that the provider may hide what it
    /// made.
    pub attempted: Timestamp,
    /// The number of the entry with which it began.
    pub serial: u64,
}

/// One line of the journal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Entry {
    /// Everything up to here, in place of all entries before.
    Snapshot(Box<State>),
    /// Somebody has become the owner of the deployment. It changes nothing, and so has the number of the entry before.
    Opened {
        /// Who.
        by: Option<Holder>,
    },
    /// A call is about to be made.
    Begin(Box<Begin>),
    /// The same call is about to be made once more.
    Retried {
        /// The operation.
        operation: OperationId,
    },
    /// The provider has returned an identifier.
    Identified {
        /// The operation.
        operation: OperationId,
        /// The identifier.
        id: String,
    },
    /// A call has done what it was to do.
    End {
        /// The operation.
        operation: OperationId,
        /// What exists now; none after a deletion.
        record: Option<Box<Record>>,
        /// Older operations on the same resource that are thereby over as well.
        settles: Vec<OperationId>,
    },
    /// An operation never took effect.
    Failed {
        /// The operation.
        operation: OperationId,
        /// Why that is known.
        reason: String,
    },
    /// A resource exists as described; no call was needed (adopted, or only its record has changed).
    Recorded {
        /// Its address.
        address: Address,
        /// What exists.
        record: Box<Record>,
        /// Operations that are thereby over.
        settles: Vec<OperationId>,
    },
    /// A recorded resource goes by another address; no call was needed. What stands on it stands there from now on, and its
    /// tags follow with its next update.
    Moved {
        /// Where its record stood.
        from: Address,
        /// Where it stands from now on.
        to: Address,
        /// Its kind.
        kind: String,
        /// Its identifier.
        id: String,
    },
    /// A resource is gone from the world; no call was needed.
    Forgotten {
        /// Its address.
        address: Address,
        /// Its kind.
        kind: String,
        /// Its identifier.
        id: String,
        /// Operations that are thereby over.
        settles: Vec<OperationId>,
    },
}

/// What exists and what is pending.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// The number of the last entry folded in; a plan made from another one is stale.
    pub serial: u64,
    /// The resources by address.
    pub records: BTreeMap<Address, Record>,
    /// Resources that have a successor and are still to be deleted.
    pub superseded: Vec<Superseded>,
    /// Operations without a known end.
    pub pending: BTreeMap<OperationId, Pending>,
}

impl Entry {
    /// Whether it takes a number of its own.
    #[must_use]
    pub fn counts(&self) -> bool {
        !matches!(self, Self::Opened { .. })
    }
}

impl State {
    /// Takes in the entry with the number `serial`, written at `at`.
    ///
    /// # Errors
    /// What is wrong, when the entry speaks of an operation that never began or a record that is not there: such a journal
    /// is corrupt.
    pub fn fold(&mut self, serial: u64, at: Timestamp, entry: &Entry) -> Result<(), String> {
        self.take(serial, at, entry.clone())
    }

    /// [`State::fold`] of an entry that nobody else needs any more.
    pub(crate) fn take(&mut self, serial: u64, at: Timestamp, entry: Entry) -> Result<(), String> {
        match entry {
            Entry::Snapshot(state) => *self = *state,
            Entry::Opened { .. } => {}
            Entry::Begin(begin) => {
                let operation = begin.operation.clone();
                let pending = Pending { begin: *begin, identified: None, attempted: at, serial };
                if self.pending.insert(operation.clone(), pending).is_some() {
                    return Err(format!("operation {operation} begins twice"));
                }
            }
            Entry::Retried { operation } => self.open(&operation)?.attempted = at,
            Entry::Identified { operation, id } => {
                let pending = self.open(&operation)?;
                (pending.identified, pending.attempted) = (Some(id), at);
            }
            Entry::End { operation, record, settles } => {
                let begin = self.close(&operation)?.begin;
                match (record, &begin.id) {
                    (Some(record), _) => self.record(begin.address, *record, serial, at),
                    (None, Some(id)) => self.forget(&begin.address, &begin.kind, id),
                    (None, None) => return Err(format!("operation {operation} ends without a result")),
                }
                self.settle(&settles);
            }
            Entry::Failed { operation, .. } => {
                self.close(&operation)?;
            }
            Entry::Recorded { address, record, settles } => {
                self.record(address, *record, serial, at);
                self.settle(&settles);
            }
            Entry::Moved { from, to, kind, id } => {
                let there = self.records.remove(&from).filter(|record| record.kind == kind && record.id == id);
                let record = there.ok_or_else(|| format!("{kind} {id} moves from {from}, where it is not"))?;
                self.follow(&from, &to);
                self.record(to, record, serial, at);
            }
            Entry::Forgotten { address, kind, id, settles } => {
                self.forget(&address, &kind, &id);
                self.settle(&settles);
            }
        }
        self.serial = serial;
        Ok(())
    }

    /// True when there is nothing to remember.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records.is_empty() && self.superseded.is_empty() && self.pending.is_empty()
    }

    /// The output of a recorded resource.
    #[must_use]
    pub fn output(&self, output: &crate::value::Output) -> Option<&Json> {
        self.records.get(&output.address)?.outputs.get(&output.name)
    }

    fn open(&mut self, operation: &OperationId) -> Result<&mut Pending, String> {
        self.pending.get_mut(operation).ok_or_else(|| format!("operation {operation} never began"))
    }

    fn close(&mut self, operation: &OperationId) -> Result<Pending, String> {
        self.pending.remove(operation).ok_or_else(|| format!("operation {operation} ends but never began"))
    }

    fn settle(&mut self, operations: &[OperationId]) {
        for operation in operations {
            self.pending.remove(operation);
        }
    }

    fn record(&mut self, address: Address, mut record: Record, serial: u64, at: Timestamp) {
        record.since = at;
        record.serial = serial;
        self.superseded.retain(|old| !(old.record.kind == record.kind && old.record.id == record.id));
        match self.records.entry(address) {
            BTreeEntry::Vacant(free) => {
                free.insert(record);
            }
            BTreeEntry::Occupied(mut taken) => {
                let same = (&taken.get().kind, &taken.get().id) == (&record.kind, &record.id);
                let old = taken.insert(record);
                if !same && !broken(Sabotage::ForgetsTheOldHalf) {
                    self.superseded.push(Superseded { address: taken.key().clone(), record: old });
                }
            }
        }
    }

    /// What was written down as standing on `from` stands on `to`: the order of deletions comes from it.
    fn follow(&mut self, from: &Address, to: &Address) {
        let superseded = self.superseded.iter_mut().map(|old| &mut old.record);
        let recorded = self.records.values_mut().chain(superseded).map(|record| &mut record.dependencies);
        let begun = self.pending.values_mut().map(|pending| &mut pending.begin.dependencies);
        for dependencies in recorded.chain(begun) {
            if dependencies.remove(from) {
                dependencies.insert(to.clone());
            }
        }
    }

    fn forget(&mut self, address: &Address, kind: &str, id: &str) {
        if self.records.get(address).is_some_and(|record| record.kind == kind && record.id == id) {
            self.records.remove(address);
        }
        self.superseded.retain(|old| !(old.record.kind == kind && old.record.id == id));
    }
}

/// SHA-256 of a specification's JSON, in hex. Mappings are ordered by key, so equal specifications hash alike.
#[must_use]
pub fn spec_hash(spec: &Json) -> String {
    Sha256::digest(spec.to_string().as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(id: &str) -> Box<Record> {
        Box::new(Record {
            kind: "test.thing".into(),
            id: id.into(),
            spec: Arc::default(),
            outputs: Arc::default(),
            dependencies: BTreeSet::new(),
            protect: false,
            operation: OperationId("made".into()),
            since: Timestamp::UNIX_EPOCH,
            serial: 0,
        })
    }

    fn begin(operation: &str, call: Call, id: Option<&str>) -> Entry {
        Entry::Begin(Box::new(Begin {
            operation: OperationId(operation.into()),
            address: Address::new("a"),
            kind: "test.thing".into(),
            call,
            id: id.map(str::to_owned),
            spec: None,
            spec_hash: None,
            dependencies: BTreeSet::new(),
            protect: false,
        }))
    }

    fn end(operation: &str, record: Option<Box<Record>>) -> Entry {
        Entry::End { operation: OperationId(operation.into()), record, settles: Vec::new() }
    }

    fn fold(entries: &[Entry]) -> Result<State, String> {
        let mut state = State::default();
        for (serial, entry) in (1..).zip(entries) {
            state.fold(serial, Timestamp::UNIX_EPOCH, entry)?;
        }
        Ok(state)
    }

    #[test]
    fn a_successor_does_not_make_the_old_one_forgotten() {
        let mut entries = vec![
            begin("1", Call::Create, None),
            end("1", Some(record("old"))),
            begin("2", Call::Create, None),
            end("2", Some(record("new"))),
        ];
        let state = fold(&entries).unwrap();
        assert_eq!(state.records[&Address::new("a")].id, "new");
        assert_eq!(state.superseded[0].record.id, "old");
        entries.extend([begin("3", Call::Delete, Some("old")), end("3", None)]);
        let state = fold(&entries).unwrap();
        assert_eq!(state.records[&Address::new("a")].id, "new");
        assert!(state.superseded.is_empty() && state.pending.is_empty());
    }

    #[test]
    fn a_record_moves_whole_or_not_at_all() {
        let moved = |id: &str| Entry::Moved {
            from: Address::new("a"),
            to: Address::new("b"),
            kind: "test.thing".into(),
            id: id.into(),
        };
        let made = [begin("1", Call::Create, None), end("1", Some(record("i-1")))];
        let state = fold(&[&made[..], &[moved("i-1")]].concat()).unwrap();
        assert_eq!(state.records.keys().map(Address::as_str).collect::<Vec<_>>(), ["b"]);
        assert_eq!((state.records[&Address::new("b")].serial, state.superseded.len()), (3, 0));
        let refused = fold(&[&made[..], &[moved("i-2")]].concat()).unwrap_err();
        assert_eq!(refused, "test.thing i-2 moves from a, where it is not");
    }

    #[test]
    fn what_stood_on_what_has_moved_stands_on_it_still() {
        let on_it = || {
            let mut begun = begin("2", Call::Create, None);
            if let Entry::Begin(begin) = &mut begun {
                begin.address = Address::new("above");
                begin.dependencies = BTreeSet::from([Address::new("a"), Address::new("c")]);
            }
            begun
        };
        let standing = Record { dependencies: BTreeSet::from([Address::new("a")]), ..*record("i-2") };
        let moved = Entry::Moved {
            from: Address::new("a"),
            to: Address::new("b"),
            kind: "test.thing".into(),
            id: "i-1".into(),
        };
        let made = [begin("1", Call::Create, None), end("1", Some(record("i-1"))), on_it()];
        let begun = fold(&[&made[..], std::slice::from_ref(&moved)].concat()).unwrap();
        let below: Vec<_> = begun.pending[&OperationId("2".into())].begin.dependencies.iter().collect();
        assert_eq!(below, [&Address::new("b"), &Address::new("c")]);
        let done = fold(&[&made[..], &[end("2", Some(Box::new(standing))), moved]].concat()).unwrap();
        assert_eq!(done.records[&Address::new("above")].dependencies, BTreeSet::from([Address::new("b")]));
    }

    #[test]
    fn an_end_without_a_beginning_is_refused() {
        assert_eq!(fold(&[end("7", None)]).unwrap_err(), "operation 7 ends but never began");
    }

    #[test]
    fn an_identifier_survives_without_an_end() {
        let state = fold(&[
            begin("1", Call::Create, None),
            Entry::Identified { operation: OperationId("1".into()), id: "i-1".into() },
        ])
        .unwrap();
        assert_eq!(state.pending[&OperationId("1".into())].identified.as_deref(), Some("i-1"));
        assert!(!state.is_empty());
    }

    #[test]
    fn equal_specifications_hash_alike() {
        let one: Json = serde_json::from_str(r#"{"b":1,"a":[true]}"#).unwrap();
        let two: Json = serde_json::from_str(r#"{ "a": [true], "b": 1 }"#).unwrap();
        assert_eq!(spec_hash(&one), spec_hash(&two));
        assert_eq!(spec_hash(&Json::Null), "74234e98afe7498fb5daf1f36ac2d78acc339464f950703b8c019892f982b90b");
    }
}
