//! A journal in memory, which can crash.
//!
//! Clones are handles to the same bytes: what one journal has written, another opened over a clone reads. It behaves as
//! [`super::FileStore`] does on a machine whose power may fail: what was appended and not made durable can be lost, and
//! the last append can be torn at any byte.

use super::JournalError;
use super::store::{Appended, Content, Part, Store};
use futures::future::{BoxFuture, FutureExt, ready};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

#[derive(Debug, Default)]
struct Disk {
    /// None when there is no journal.
    text: Option<Vec<u8>>,
    /// How many of the bytes no crash can take.
    durable: usize,
    /// Where the last append began.
    last: usize,
    /// The next append writes this many of its bytes and fails, and so does everything after it.
    torn: Option<usize>,
    failed: bool,
    writes: u64,
    syncs: u64,
}

/// See the module.
#[derive(Debug, Clone, Default)]
pub struct MemoryStore(Arc<Mutex<Disk>>);

impl MemoryStore {
    /// Without a journal.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The bytes as a reader finds them; none when there is no journal.
    #[must_use]
    pub fn bytes(&self) -> Option<Vec<u8>> {
        self.disk().text.clone()
    }

    /// Puts other bytes there, durably.
    pub fn set(&self, bytes: Option<Vec<u8>>) {
        let durable = bytes.as_ref().map_or(0, Vec::len);
        *self.disk() = Disk { text: bytes, durable, last: durable, ..Disk::default() };
    }

    /// The power fails: of what was appended since the last time that everything was made durable, the first `keep`
    /// bytes remain. Journals that are open over it must not be used any more.
    pub fn crash(&self, keep: usize) {
        let mut disk = self.disk();
        let kept = disk.durable.saturating_add(keep);
        if let Some(text) = &mut disk.text {
            text.truncate(kept);
        }
        disk.revive();
    }

    /// The process dies in the middle of its last append: the first `keep` bytes of it remain. Unlike [`Self::crash`] it
    /// takes nothing of an append that was made durable.
    pub fn tear(&self, keep: usize) {
        let mut disk = self.disk();
        let kept = disk.last.saturating_add(keep).max(disk.durable);
        if let Some(text) = &mut disk.text {
            text.truncate(kept);
        }
        disk.revive();
    }

    /// Makes the next append write only its first `keep` bytes and fail, as on a full disk, and everything after it
    /// fail, until [`Self::crash`] or [`Self::tear`].
    pub fn fail_next(&self, keep: usize) {
        self.disk().torn = Some(keep);
    }

    /// How many appends and replacements there were since it was made or set.
    #[must_use]
    pub fn writes(&self) -> u64 {
        self.disk().writes
    }

    /// How many of them were made durable.
    #[must_use]
    pub fn syncs(&self) -> u64 {
        self.disk().syncs
    }

    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Disk {
    fn revive(&mut self) {
        let length = self.text.as_ref().map_or(0, Vec::len);
        (self.durable, self.last, self.torn, self.failed) = (length, length, None, false);
    }

    fn append(&mut self, text: &[u8], durable: bool) -> Result<Appended, JournalError> {
        let torn = self.torn.take();
        let Some(all) = self.text.as_mut().filter(|_| !self.failed) else { return Err(failed("write to")) };
        if !text.is_empty() {
            self.last = all.len();
            self.writes += 1;
        }
        all.extend_from_slice(&text[..torn.unwrap_or(text.len()).min(text.len())]);
        if torn.is_some() {
            self.failed = true;
            return Err(failed("write to"));
        }
        if durable {
            self.durable = all.len();
            self.syncs += 1;
        }
        Ok(Appended::Done)
    }

    fn replace(&mut self, text: Option<Vec<u8>>) -> Result<Appended, JournalError> {
        if self.failed || self.torn.take().is_some() {
            self.failed = true;
            return Err(failed("write"));
        }
        let length = text.as_ref().map_or(0, Vec::len);
        (self.durable, self.last, self.text) = (length, length, text);
        self.writes += 1;
        self.syncs += 1;
        Ok(Appended::Done)
    }
}

fn failed(doing: &'static str) -> JournalError {
    JournalError::io(doing, Path::new("memory"))(io::Error::from(io::ErrorKind::StorageFull))
}

impl Store for MemoryStore {
    fn place(&self) -> PathBuf {
        "memory".into()
    }

    fn load(&mut self) -> BoxFuture<'_, Result<Content, JournalError>> {
        let part = |text| Part { place: self.place(), text };
        ready(Ok(Content { parts: self.bytes().map(part).into_iter().collect(), tears: true, strays: false })).boxed()
    }

    fn cut(&mut self, good: u64) -> BoxFuture<'_, Result<(), JournalError>> {
        let mut disk = self.disk();
        if let Some(text) = &mut disk.text {
            text.truncate(usize::try_from(good).unwrap_or(usize::MAX));
        }
        disk.revive();
        ready(Ok(())).boxed()
    }

    fn append(&mut self, text: Vec<u8>, durable: bool) -> BoxFuture<'_, Result<Appended, JournalError>> {
        ready(self.disk().append(&text, durable)).boxed()
    }

    fn replace(&mut self, text: Vec<u8>) -> BoxFuture<'_, Result<Appended, JournalError>> {
        ready(self.disk().replace(Some(text))).boxed()
    }

    fn remove(&mut self, _: Vec<u8>) -> BoxFuture<'_, Result<Appended, JournalError>> {
        ready(self.disk().replace(None)).boxed()
    }
}
