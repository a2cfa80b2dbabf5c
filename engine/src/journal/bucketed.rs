//! A journal in a bucket.
//!
//! Each append is one object, `journal/<number>.jsonl`, created only if there is none with that number. So two writers
//! can never both append: the one that comes second finds the number taken, and knows that it is not alone.
//!
//! An object that begins with a header is a *beginning*: it has everything in it, and what has lower numbers does not
//! matter any more. Compaction writes one and then deletes the others; stopped anywhere, it leaves a journal that says the
//! same, and the next one deletes the rest. Opening reads backwards to the last beginning. From there to the end no number
//! may be missing.
//!
//! **Who deletes what.** An owner that was stopped in the middle of a deletion may go on with it after another has taken
//! over. It deletes only what it has seen there, by version, and all of that lies below a beginning of its own; and where
//! nothing is remembered any more, which is when a whole journal may be being deleted, a new owner writes a beginning.
//! The object with which an owner announced itself stays as long as that owner is there: it has the very number that the
//! one before would take next.
//!
//! **Strays.** Only when everything is deleted, the lease included, is that number free again; an owner that has slept since
//! before then may still write one object. Its entries have an epoch from before there was the lease that is there now, which
//! none of this journal can have. Where that is so, what looks like the end of a journal without its beginning is set aside,
//! and the next owner deletes it.

use super::JournalError;
use super::line;
use super::store::{Appended, Content, Part, Store};
use crate::bucket::{Bucket, BucketError, Condition, ETag, Object, patiently};
use crate::lock::lease::{LeaseError, Place};
use crate::sabotage::{Sabotage, broken};
use futures::future::{BoxFuture, FutureExt};
use futures::stream::{self, StreamExt};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

const DIRECTORY: &str = "journal/";
const EXTENSION: &str = ".jsonl";
const DIGITS: usize = 20;
/// How long to go on against a store that throttles or stumbles: long beyond any hiccup, and a run that cannot write
/// for this long is better stopped.
const PATIENCE: Duration = Duration::from_secs(30);
/// How many objects are read or deleted at a time.
const AT_ONCE: usize = 16;
/// Every time that an object is gone between the listing and the reading, another forge has compacted in between.
const READINGS: usize = 20;

/// See the module.
#[derive(Debug)]
pub struct BucketStore {
    bucket: Arc<dyn Bucket>,
    prefix: String,
    /// What is there, as far as this writer knows; with the version once it was read or written.
    objects: BTreeMap<u64, Option<ETag>>,
    next: u64,
    /// What this owner announced itself with.
    announced: Option<u64>,
    /// What was written by somebody who slept through the end of an earlier journal.
    strays: BTreeMap<u64, ETag>,
    lease: Place,
}

impl BucketStore {
    /// The journal in `bucket` below `prefix`, which is empty or ends in a slash.
    #[must_use]
    pub fn new(bucket: Arc<dyn Bucket>, prefix: &str) -> Self {
        let lease = Place::new(Arc::clone(&bucket), prefix);
        let prefix = format!("{prefix}{DIRECTORY}");
        let (objects, strays) = Default::default();
        Self { bucket, prefix, objects, next: 1, announced: None, strays, lease }
    }

    fn key(&self, number: u64) -> String {
        format!("{}{number:0DIGITS$}{EXTENSION}", self.prefix)
    }

    fn number(&self, key: &str) -> Option<u64> {
        key.strip_prefix(&self.prefix)?.strip_suffix(EXTENSION).filter(|digits| digits.len() == DIGITS)?.parse().ok()
    }

    fn damaged(&self, number: u64, why: &str) -> JournalError {
        JournalError::Corrupt { path: self.key(number).into(), line: 1, why: why.to_owned() }
    }

    async fn get(&self, number: u64) -> Result<Option<Object>, JournalError> {
        let key = self.key(number);
        patiently(PATIENCE, || self.bucket.get(&key)).await.map_err(failed("read"))
    }

    async fn load_now(&mut self) -> Result<Content, JournalError> {
        for _ in 0..READINGS {
            let keys = patiently(PATIENCE, || self.bucket.list(&self.prefix)).await.map_err(failed("list"))?;
            self.objects = keys.iter().filter_map(|key| Some((self.number(key)?, None))).collect();
            self.strays.clear();
            let read = match self.read_back().await {
                Err(damage @ JournalError::Corrupt { .. }) => {
                    if !self.set_strays_aside().await? {
                        return Err(damage);
                    }
                    self.read_back().await?
                }
                read => read?,
            };
            if let Some(parts) = read {
                return Ok(Content { parts, tears: false, strays: !self.strays.is_empty() });
            }
        }
        Err(failed("read")(BucketError::Conflict { key: self.prefix.clone() }))
    }

    /// The objects from the last beginning on. None when one of them is gone: then there is a new list.
    async fn read_back(&mut self) -> Result<Option<Vec<Part>>, JournalError> {
        let numbers: Vec<u64> = self.objects.keys().rev().copied().collect();
        let Some(&last) = numbers.first() else {
            self.next = 1;
            return Ok(Some(Vec::new()));
        };
        let (mut parts, mut etags, mut expected) = (Vec::new(), Vec::new(), last);
        let mut begun = false;
        {
            let this = &*self;
            let reads = stream::iter(numbers.into_iter().map(|number| async move { (number, this.get(number).await) }));
            let mut reads = reads.buffered(AT_ONCE);
            while let Some((number, object)) = reads.next().await {
                let Some(object) = object? else { return Ok(None) };
                if number != expected {
                    return Err(this.damaged(expected, "it is missing"));
                }
                begun = line::is_beginning(&object.bytes);
                parts.push(Part { place: this.key(number).into(), text: object.bytes });
                etags.push((number, Some(object.etag)));
                if begun {
                    break;
                }
                expected = number.wrapping_sub(1);
            }
        }
        if !begun {
            return Err(self.damaged(expected, "it is missing"));
        }
        self.objects.extend(etags);
        self.next = last + 1;
        parts.reverse();
        Ok(Some(parts))
    }

    /// Takes strays out of what is there, from the end; false when there are none.
    async fn set_strays_aside(&mut self) -> Result<bool, JournalError> {
        let first = match self.lease.first_epoch().await {
            Ok(first) => first.unwrap_or(u64::MAX),
            Err(LeaseError::Bucket(error)) => return Err(failed("read the lease of")(error)),
            // It tells nothing.
            Err(_) => return Ok(false),
        };
        let numbers: Vec<u64> = self.objects.keys().rev().copied().collect();
        for number in numbers {
            match self.get(number).await? {
                Some(object) if line::is_older(&object.bytes, first) => self.strays.insert(number, object.etag),
                _ => break,
            };
            self.objects.remove(&number);
        }
        Ok(!self.strays.is_empty())
    }

    /// Deletes what was set aside.
    async fn delete_strays(&mut self) -> Result<(), JournalError> {
        for (number, etag) in std::mem::take(&mut self.strays) {
            let key = self.key(number);
            match patiently(PATIENCE, || self.bucket.delete(&key, Condition::Matches(etag.clone()))).await {
                Ok(()) | Err(BucketError::Conflict { .. }) => {}
                Err(error) => return Err(failed("delete what was left in")(error)),
            }
        }
        Ok(())
    }

    /// Writes the next object.
    async fn write(&mut self, text: Vec<u8>) -> Result<Appended, JournalError> {
        let key = self.key(self.next);
        let condition = if broken(Sabotage::NoFencing) { Condition::Any } else { Condition::Absent };
        let put = || self.bucket.put(&key, text.clone(), condition.clone());
        let etag = match patiently(PATIENCE, put).await {
            Ok(etag) => etag,
            // It is ours when an earlier try took effect and said that it did not.
            Err(BucketError::Conflict { .. }) => match self.get(self.next).await? {
                Some(object) if object.bytes == text => object.etag,
                _ => return Ok(Appended::Overtaken),
            },
            Err(error) => return Err(failed("write")(error)),
        };
        self.announced.get_or_insert(self.next);
        self.objects.insert(self.next, Some(etag));
        self.next += 1;
        Ok(Appended::Done)
    }

    /// Deletes those of these objects that are still what this writer knows.
    async fn delete(&mut self, numbers: Vec<u64>) -> Result<(), JournalError> {
        let this = &*self;
        let deletions = numbers.into_iter().map(|number| async move { (number, this.delete_one(number).await) });
        let deleted: Vec<_> = stream::iter(deletions).buffered(AT_ONCE).collect().await;
        for (number, outcome) in deleted {
            outcome?;
            self.objects.remove(&number);
        }
        Ok(())
    }

    async fn delete_one(&self, number: u64) -> Result<(), JournalError> {
        let key = self.key(number);
        let known = self.objects.get(&number).cloned().flatten();
        let etag = match known {
            Some(etag) => etag,
            None => match self.get(number).await? {
                Some(object) => object.etag,
                None => return Ok(()),
            },
        };
        match patiently(PATIENCE, || self.bucket.delete(&key, Condition::Matches(etag.clone()))).await {
            Ok(()) | Err(BucketError::Conflict { .. }) => Ok(()),
            Err(error) => Err(failed("delete old parts of")(error)),
        }
    }

    async fn replace_now(&mut self, text: Vec<u8>) -> Result<Appended, JournalError> {
        // In the place of one of these somebody else would seem to have written.
        self.delete_strays().await?;
        let beginning = self.next;
        if self.write(text).await? == Appended::Overtaken {
            return Ok(Appended::Overtaken);
        }
        let old = self.objects.range(..beginning).map(|(number, _)| *number);
        let old = old.filter(|number| Some(*number) != self.announced).collect();
        // What stays now goes the next time; nobody reads it.
        let _ = self.delete(old).await;
        Ok(Appended::Done)
    }

    async fn remove_now(&mut self, empty: Vec<u8>) -> Result<Appended, JournalError> {
        let beginning = self.next;
        if self.write(empty).await? == Appended::Overtaken {
            return Ok(Appended::Overtaken);
        }
        // The beginning goes last: without it the others would be damage.
        self.delete(self.objects.range(..beginning).map(|(number, _)| *number).collect()).await?;
        self.delete(vec![beginning]).await?;
        Ok(Appended::Done)
    }
}

fn failed(doing: &'static str) -> impl FnOnce(BucketError) -> JournalError {
    move |source| JournalError::Bucket { doing, source: Arc::new(source) }
}

impl Store for BucketStore {
    fn place(&self) -> PathBuf {
        self.prefix.clone().into()
    }

    fn load(&mut self) -> BoxFuture<'_, Result<Content, JournalError>> {
        self.load_now().boxed()
    }

    fn cut(&mut self, _: u64) -> BoxFuture<'_, Result<(), JournalError>> {
        // An object is there whole or not at all.
        async { Ok(()) }.boxed()
    }

    fn append(&mut self, text: Vec<u8>, _: bool) -> BoxFuture<'_, Result<Appended, JournalError>> {
        async move { if text.is_empty() { Ok(Appended::Done) } else { self.write(text).await } }.boxed()
    }

    fn replace(&mut self, text: Vec<u8>) -> BoxFuture<'_, Result<Appended, JournalError>> {
        self.replace_now(text).boxed()
    }

    fn remove(&mut self, empty: Vec<u8>) -> BoxFuture<'_, Result<Appended, JournalError>> {
        self.remove_now(empty).boxed()
    }
}
