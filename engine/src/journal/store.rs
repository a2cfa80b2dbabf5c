//! Where the bytes of a journal are.

use super::JournalError;
use futures::future::BoxFuture;
use std::path::PathBuf;

/// A stretch of a journal as it was read: a file, or an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// What it is called, for messages.
    pub place: PathBuf,
    /// What is in it: whole lines, but for a torn end.
    pub text: Vec<u8>,
}

/// What a store holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Content {
    /// From a header on, in order. Empty when there is no journal.
    pub parts: Vec<Part>,
    /// True when a crash can leave a torn end. Where it cannot, an end that does not verify is damage.
    pub tears: bool,
    /// True when there is something beside it that does not belong to it, and that [`Store::replace`] takes away.
    pub strays: bool,
}

/// Where the bytes of a journal are. It knows nothing of lines: it keeps them in the order in which they come.
///
/// One [`super::Journal`] owns a store and calls it from one place, one call after the other. After an error it calls
/// nothing but `remove`.
pub trait Store: Send {
    /// What it is called, for messages.
    fn place(&self) -> PathBuf;

    /// Everything that is there.
    fn load(&mut self) -> BoxFuture<'_, Result<Content, JournalError>>;

    /// Cuts off what comes after the first `good` bytes of the last part. Only for stores whose content tears.
    fn cut(&mut self, good: u64) -> BoxFuture<'_, Result<(), JournalError>>;

    /// Adds lines: all of them or, in a store that tears, some of their bytes. They survive the death of this process,
    /// and when `durable` is asked for, with everything before them, that of the machine. Without text, only that.
    ///
    /// Answers [`Appended::Overtaken`] when somebody else has added something since it was loaded; a store in which that
    /// cannot be noticed needs a lock that cannot be lost.
    fn append(&mut self, text: Vec<u8>, durable: bool) -> BoxFuture<'_, Result<Appended, JournalError>>;

    /// Puts `text`, which begins with a header, in the place of everything: at any moment either the old or the new is
    /// there, whole. Durable when it returns.
    fn replace(&mut self, text: Vec<u8>) -> BoxFuture<'_, Result<Appended, JournalError>>;

    /// Deletes everything. `empty` is a journal in which nothing is remembered: where everything cannot go at once, that
    /// is what a crash in the middle leaves.
    fn remove(&mut self, empty: Vec<u8>) -> BoxFuture<'_, Result<Appended, JournalError>>;
}

/// What became of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Appended {
    /// It is there.
    Done,
    /// It is not: somebody else was first.
    Overtaken,
}
