//! A directory as a bucket, which may be one that several machines share.
//!
//! An object is a file; its key is its path; its version is the digest of its content. A writer puts a complete file,
//! already durable, beside the objects. Where there must be no object yet, it is *linked* to its place, which fails if
//! something is there. Otherwise check and rename must be one step, for which all writers take an advisory lock; the
//! kernel drops it when its holder dies. A process that is stopped in the microseconds inside holds the others up: they
//! give up after `LOCK_PATIENCE` and try again.
//!
//! With its last object the bucket's directory goes, and everything of its own in it. Its parent is never made: what was
//! to be mounted there and is not must not be mistaken for an empty bucket.

use super::{Bucket, BucketError, Condition, ETag, Object};
use crate::lock::os::leads_to;
use futures::future::BoxFuture;
use sha2::{Digest, Sha256};
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Long beyond any check and rename, short beside a lease.
const LOCK_PATIENCE: Duration = Duration::from_secs(1);
/// Where what is no object lies: the lock, and files that are not in their place yet.
const PRIVATE: &str = ".forge";
/// Every failed try means that the directory went with its last object in between.
const TRIES: usize = 20;

static DRAFTS: AtomicU64 = AtomicU64::new(0);

/// See the module.
#[derive(Debug, Clone)]
pub struct Directory {
    root: PathBuf,
}

impl Directory {
    /// The bucket that is this directory. It is made with the first object, its parent must exist.
    #[must_use]
    pub fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    fn path(&self, key: &str) -> Result<PathBuf, BucketError> {
        let fine = key.len() <= 1024
            && key.split('/').all(|part| !part.is_empty() && part != "." && part != ".." && part != PRIVATE)
            && !key.contains(['\0', '\n']);
        if fine { Ok(self.root.join(key)) } else { Err(BucketError::BadKey { key: key.to_owned() }) }
    }

    fn private(&self) -> io::Result<PathBuf> {
        let private = self.root.join(PRIVATE);
        for directory in [&self.root, &private] {
            match DirBuilder::new().mode(0o700).create(directory) {
                Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
                _ => {}
            }
        }
        Ok(private)
    }

    /// The lock of all writers; released when the file is dropped.
    fn lock(&self) -> io::Result<File> {
        let start = Instant::now();
        loop {
            let path = self.private()?.join("lock");
            let opened = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
            let late = start.elapsed() > LOCK_PATIENCE;
            match opened {
                Ok(file) => match file.try_lock() {
                    Ok(()) if leads_to(&path, &file)? => return Ok(file),
                    Ok(()) => {}
                    Err(TryLockError::Error(error)) => return Err(error),
                    Err(TryLockError::WouldBlock) if late => {
                        return Err(io::Error::new(ErrorKind::TimedOut, "another writer holds its lock"));
                    }
                    Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_micros(200)),
                },
                Err(error) if error.kind() == ErrorKind::NotFound && !late => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// A complete file that is not in its place yet.
    fn draft(&self, bytes: &[u8]) -> io::Result<PathBuf> {
        let number = DRAFTS.fetch_add(1, Ordering::Relaxed);
        // Processes on other machines have the same numbers.
        let path =
            self.private()?.join(format!("new-{}-{}-{number}", std::process::id(), crate::apply::random_operation()));
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        Ok(path)
    }

    /// Moves a draft to its place, if the condition holds.
    fn install(&self, draft: &Path, target: &Path, condition: &Condition) -> io::Result<bool> {
        let parent = target.parent().unwrap_or(&self.root);
        DirBuilder::new().recursive(true).mode(0o700).create(parent)?;
        match condition {
            Condition::Absent => match fs::hard_link(draft, target) {
                // From here on it is there, whatever becomes of the draft: somebody who clears away may be faster.
                Ok(()) => drop(fs::remove_file(draft)),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => return Ok(false),
                Err(error) => return Err(error),
            },
            Condition::Any | Condition::Matches(_) => {
                let _lock = self.lock()?;
                if !holds(target, condition)? {
                    return Ok(false);
                }
                fs::rename(draft, target)?;
            }
        }
        File::open(parent)?.sync_all()?;
        Ok(true)
    }

    fn put_now(&self, key: &str, bytes: &[u8], condition: &Condition) -> Result<ETag, BucketError> {
        let target = self.path(key)?;
        for tries in 1.. {
            let written = self.draft(bytes).and_then(|draft| {
                let installed = self.install(&draft, &target, condition);
                if !matches!(installed, Ok(true)) {
                    // What stays goes with the bucket.
                    let _ = fs::remove_file(&draft);
                }
                installed
            });
            match written {
                Ok(true) => return Ok(etag(bytes)),
                Ok(false) => break,
                Err(error) if error.kind() == ErrorKind::NotFound && tries < TRIES => {}
                Err(error) => return Err(failed(key, "writing it")(error)),
            }
        }
        Err(BucketError::Conflict { key: key.to_owned() })
    }

    fn get_now(&self, key: &str) -> Result<Option<Object>, BucketError> {
        match fs::read(self.path(key)?) {
            Ok(bytes) => Ok(Some(Object { etag: etag(&bytes), bytes })),
            Err(error) if error.kind() == ErrorKind::NotFound => self.mounted(key).map(|()| None),
            Err(error) => Err(failed(key, "reading it")(error)),
        }
    }

    /// That nothing is there is only believed where there is a place for it.
    fn mounted(&self, key: &str) -> Result<(), BucketError> {
        let parent = self.root.parent().unwrap_or(&self.root);
        fs::metadata(parent).map(drop).map_err(failed(key, "looking for the bucket's directory"))
    }

    fn list_now(&self, prefix: &str) -> Result<Vec<String>, BucketError> {
        self.mounted(prefix)?;
        let mut keys = Vec::new();
        let mut pending = vec![self.root.clone()];
        while let Some(directory) = pending.pop() {
            let entries = match fs::read_dir(&directory) {
                Ok(entries) => entries,
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                Err(error) => return Err(failed(prefix, "listing it")(error)),
            };
            for entry in entries {
                let entry = entry.map_err(failed(prefix, "listing it"))?;
                let path = entry.path();
                if entry.file_name() == PRIVATE {
                    continue;
                }
                match entry.file_type() {
                    Ok(kind) if kind.is_dir() => pending.push(path),
                    // Deleted since the directory was read.
                    Err(error) if error.kind() == ErrorKind::NotFound => {}
                    Err(error) => return Err(failed(prefix, "listing it")(error)),
                    Ok(_) => {
                        let key = path.strip_prefix(&self.root).ok().and_then(Path::to_str);
                        keys.extend(key.filter(|key| key.starts_with(prefix)).map(str::to_owned));
                    }
                }
            }
        }
        keys.sort_unstable();
        Ok(keys)
    }

    fn delete_now(&self, key: &str, condition: &Condition) -> Result<(), BucketError> {
        let path = self.path(key)?;
        let io = |error| failed(key, "deleting it")(error);
        if !path.try_exists().map_err(io)? {
            return Ok(());
        }
        let _lock = self.lock().map_err(io)?;
        if !path.try_exists().map_err(io)? {
            return Ok(());
        }
        if !holds(&path, condition).map_err(io)? {
            return Err(BucketError::Conflict { key: key.to_owned() });
        }
        fs::remove_file(&path).map_err(io)?;
        let mut parent = path.parent();
        // One that is not empty refuses, which ends the walk.
        while let Some(directory) = parent.filter(|directory| *directory != self.root) {
            if fs::remove_dir(directory).is_err() {
                return Ok(());
            }
            parent = directory.parent();
        }
        self.clear_away();
        Ok(())
    }

    /// Takes the directory itself away when nothing but what is private is in it. The lock must be held: its file goes,
    /// and whoever waits for it begins again.
    fn clear_away(&self) {
        let private = self.root.join(PRIVATE);
        let only_private = fs::read_dir(&self.root)
            .is_ok_and(|mut entries| entries.all(|entry| entry.is_ok_and(|entry| entry.file_name() == PRIVATE)));
        if only_private {
            let _ = fs::remove_dir_all(&private);
            let _ = fs::remove_dir(&self.root);
        }
    }

    /// Runs a call on a thread that may block.
    fn blocking<T, F>(&self, key: &str, call: F) -> BoxFuture<'_, Result<T, BucketError>>
    where
        T: Send + 'static,
        F: FnOnce(Self, String) -> Result<T, BucketError> + Send + 'static,
    {
        let (this, key) = (self.clone(), key.to_owned());
        Box::pin(async move {
            let name = key.clone();
            match tokio::task::spawn_blocking(move || call(this, key)).await {
                Ok(result) => result,
                Err(error) => Err(failed(&name, "running the call")(io::Error::other(error))),
            }
        })
    }
}

fn failed(key: &str, doing: &'static str) -> impl FnOnce(io::Error) -> BucketError {
    move |source| {
        let passing =
            matches!(source.kind(), ErrorKind::TimedOut | ErrorKind::Interrupted | ErrorKind::StaleNetworkFileHandle);
        BucketError::Failed { key: key.to_owned(), doing, passing, source }
    }
}

fn holds(path: &Path, condition: &Condition) -> io::Result<bool> {
    let found = match fs::read(path) {
        Ok(bytes) => Some(etag(&bytes)),
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    Ok(match condition {
        Condition::Any => true,
        Condition::Absent => found.is_none(),
        Condition::Matches(expected) => found.as_ref() == Some(expected),
    })
}

fn etag(bytes: &[u8]) -> ETag {
    ETag(Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect())
}

impl Bucket for Directory {
    fn get(&self, key: &str) -> BoxFuture<'_, Result<Option<Object>, BucketError>> {
        self.blocking(key, |this, key| this.get_now(&key))
    }

    fn put(&self, key: &str, bytes: Vec<u8>, condition: Condition) -> BoxFuture<'_, Result<ETag, BucketError>> {
        self.blocking(key, move |this, key| this.put_now(&key, &bytes, &condition))
    }

    fn list(&self, prefix: &str) -> BoxFuture<'_, Result<Vec<String>, BucketError>> {
        self.blocking(prefix, |this, prefix| this.list_now(&prefix))
    }

    fn delete(&self, key: &str, condition: Condition) -> BoxFuture<'_, Result<(), BucketError>> {
        self.blocking(key, move |this, key| this.delete_now(&key, &condition))
    }
}

#[cfg(test)]
mod tests;
