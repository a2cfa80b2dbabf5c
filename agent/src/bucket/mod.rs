//! The object store that is the durable bus between the command line, the leader and the agents.
//!
//! [`Bucket`] is what forge needs of any store: whole objects, create-only and compare-and-swap writes (S3's
//! `If-None-Match: *` and `If-Match`), listing by prefix in key order. The one implementation so far is a
//! [`directory`]. A store without conditional writes cannot be the bus: two leaders could both believe to lead.

pub mod directory;

use crate::wire::VERSION;
use futures::future::BoxFuture;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Version of an object's content; only good for [`Condition::Match`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ETag(pub String);

/// What must hold for a write to happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// Nothing: the last one wins.
    Always,
    /// There is no such object yet.
    Absent,
    /// The object is still the one that was read.
    Match(ETag),
}

/// An object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// Its content.
    pub bytes: Vec<u8>,
    /// Its version.
    pub etag: ETag,
}

/// Size and digest of a file that went up or came down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileDigest {
    /// Bytes.
    pub bytes: u64,
    /// SHA-256 in lower-case hex.
    pub sha256: String,
}

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum BucketError {
    /// Somebody else was first: read again. A normal outcome of a conditional write.
    #[error("{key}: changed by somebody else in the meantime")]
    Lost {
        /// The object.
        key: String,
    },
    /// There is no such object.
    #[error("{key}: no such object")]
    Missing {
        /// The object.
        key: String,
    },
    /// The content is not what it should be.
    #[error("{key}: damaged: {what}")]
    Damaged {
        /// The object.
        key: String,
        /// In what way.
        what: String,
    },
    /// A newer forge wrote it.
    #[error("{key}: written by a newer forge (version {version} of this document, {VERSION} is understood)")]
    Newer {
        /// The object.
        key: String,
        /// The version of its document.
        version: u32,
    },
    /// The key cannot be one.
    #[error("{key:?} cannot be the key of an object")]
    BadKey {
        /// The key.
        key: String,
    },
    /// The address names no store that forge can use.
    #[error("{url:?} is not the address of a bucket: file:///directory is what works so far")]
    BadAddress {
        /// The address.
        url: String,
    },
    /// The store failed.
    #[error("{key}: {doing}")]
    Io {
        /// The object, or the prefix.
        key: String,
        /// What was being done.
        doing: &'static str,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
}

/// What forge needs of an object store. Methods take owned arguments where an implementation must move them to a thread.
pub trait Bucket: Send + Sync {
    /// The object, if there is one.
    fn get(&self, key: &str) -> BoxFuture<'_, Result<Option<Object>, BucketError>>;
    /// Writes the whole object if the condition holds; durable when it returns.
    fn put(&self, key: &str, bytes: Vec<u8>, condition: Condition) -> BoxFuture<'_, Result<ETag, BucketError>>;
    /// Writes an object from a file, digesting what is sent.
    fn put_file(&self, key: &str, file: PathBuf) -> BoxFuture<'_, Result<FileDigest, BucketError>>;
    /// Writes a file from an object, digesting what arrives. The caller compares.
    fn get_file(&self, key: &str, file: PathBuf) -> BoxFuture<'_, Result<FileDigest, BucketError>>;
    /// All keys that begin with `prefix`, in order.
    fn list(&self, prefix: &str) -> BoxFuture<'_, Result<Vec<String>, BucketError>>;
    /// Deletes the object; its absence is no error.
    fn delete(&self, key: &str) -> BoxFuture<'_, Result<(), BucketError>>;
}

/// Opens the bucket at an address: `file:///path/of/a/directory` that exists.
///
/// # Errors
/// When the address is none that forge can use.
pub fn open(url: &str) -> Result<Arc<dyn Bucket>, BucketError> {
    let path = url.strip_prefix("file://").filter(|path| path.starts_with('/'));
    let path = path.ok_or_else(|| BucketError::BadAddress { url: url.to_owned() })?;
    Ok(Arc::new(directory::Directory::new(Path::new(path))))
}

#[derive(Deserialize)]
struct Versioned {
    v: Option<u32>,
}

/// JSON documents in a bucket.
pub trait Documents {
    /// The document and its version, if there is one.
    fn read<T: DeserializeOwned>(
        &self,
        key: &str,
    ) -> impl Future<Output = Result<Option<(T, ETag)>, BucketError>> + Send;
    /// Writes a document.
    fn write<T: Serialize + Sync>(
        &self,
        key: &str,
        document: &T,
        condition: Condition,
    ) -> impl Future<Output = Result<ETag, BucketError>> + Send;
}

impl Documents for dyn Bucket + '_ {
    async fn read<T: DeserializeOwned>(&self, key: &str) -> Result<Option<(T, ETag)>, BucketError> {
        let Some(object) = self.get(key).await? else { return Ok(None) };
        // The version first: a newer document may not even have the fields of ours.
        let versioned: Option<Versioned> = serde_json::from_slice(&object.bytes).ok();
        if let Some(version) = versioned.and_then(|document| document.v).filter(|version| *version > VERSION) {
            return Err(BucketError::Newer { key: key.to_owned(), version });
        }
        match serde_json::from_slice(&object.bytes) {
            Ok(document) => Ok(Some((document, object.etag))),
            Err(error) => Err(BucketError::Damaged { key: key.to_owned(), what: error.to_string() }),
        }
    }

    async fn write<T: Serialize + Sync>(
        &self,
        key: &str,
        document: &T,
        condition: Condition,
    ) -> Result<ETag, BucketError> {
        let bytes = serde_json::to_vec(document)
            .map_err(|error| BucketError::Damaged { key: key.to_owned(), what: error.to_string() })?;
        self.put(key, bytes, condition).await
    }
}

/// Repeats a call that a store's hiccup made fail, with a growing pause, for at most `budget`.
///
/// Outcomes that repeating cannot change (lost, damaged, bad key) come back at once.
///
/// # Errors
/// The last error, once the budget is spent.
pub async fn retry<T, F>(budget: Duration, mut call: impl FnMut() -> F) -> Result<T, BucketError>
where
    F: Future<Output = Result<T, BucketError>>,
{
    let start = tokio::time::Instant::now();
    let mut pause = Duration::from_millis(20);
    loop {
        match call().await {
            Err(BucketError::Io { .. }) if start.elapsed() + pause < budget => {
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(Duration::from_secs(2));
            }
            other => return other,
        }
    }
}
