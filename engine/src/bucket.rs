//! What forge needs of an object store to keep state in it.
//!
//! Whole objects; writes and deletions on condition (S3's `If-None-Match: *` and `If-Match`), each of which is one step for
//! everybody; listing by prefix. A store without conditional writes cannot hold state: two writers could both believe
//! that theirs was first.
//!
//! **Lost replies.** A write that reports a failure other than [`BucketError::Conflict`] may have taken effect. Whoever
//! repeats it and then meets a conflict has to look whether what is there is their own.

pub mod directory;
#[cfg(any(test, feature = "simulate"))]
pub mod memory;

use futures::future::BoxFuture;
use std::fmt;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// The first pause before a call is repeated; each is twice as long as the one before, up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// The version of an object's content, only good for [`Condition::Matches`]. Equal content may have equal versions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ETag(pub String);

/// An object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// Its content.
    pub bytes: Vec<u8>,
    /// Its version.
    pub etag: ETag,
}

/// What must hold for a write or a deletion to happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// Nothing: the last one wins.
    Any,
    /// There is no such object.
    Absent,
    /// The object is still the one that was read.
    Matches(ETag),
}

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum BucketError {
    /// The condition does not hold.
    #[error("{key}: somebody else has changed it")]
    Conflict {
        /// The object.
        key: String,
    },
    /// The key cannot be one.
    #[error("{key:?} cannot be the key of an object")]
    BadKey {
        /// The key.
        key: String,
    },
    /// The store failed; the call may have taken effect.
    #[error("{key}: {doing}")]
    Failed {
        /// The object, or the prefix.
        key: String,
        /// What was being done.
        doing: &'static str,
        /// True when the same call may work later.
        passing: bool,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
}

/// An object store, or a part of one.
pub trait Bucket: Send + Sync + fmt::Debug {
    /// The object, if there is one.
    fn get(&self, key: &str) -> BoxFuture<'_, Result<Option<Object>, BucketError>>;
    /// Writes the whole object if the condition holds; durable when it returns.
    fn put(&self, key: &str, bytes: Vec<u8>, condition: Condition) -> BoxFuture<'_, Result<ETag, BucketError>>;
    /// All keys that begin with `prefix`, in order.
    fn list(&self, prefix: &str) -> BoxFuture<'_, Result<Vec<String>, BucketError>>;
    /// Deletes the object if the condition holds. That there is none is no error.
    fn delete(&self, key: &str, condition: Condition) -> BoxFuture<'_, Result<(), BucketError>>;
}

/// Repeats a call that a hiccup of the store made fail, with a growing pause, for about as long as `patience`.
///
/// # Errors
/// The last one; at once what repeating cannot change.
pub async fn patiently<T, F>(patience: Duration, mut call: impl FnMut() -> F) -> Result<T, BucketError>
where
    F: Future<Output = Result<T, BucketError>>,
{
    let start = Instant::now();
    let mut pause = FIRST_PAUSE;
    loop {
        match call().await {
            Err(BucketError::Failed { passing: true, .. }) if start.elapsed() + pause < patience => {
                sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
            outcome => return outcome,
        }
    }
}
