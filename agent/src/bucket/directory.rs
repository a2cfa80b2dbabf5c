//! A directory as an object store.
//!
//! An object is a file; its key is its path. Writers put a complete, fsynced file beside the directory's objects and
//! rename it into place, so a reader sees the old object or the new one and never half of one. Conditional writes
//! need one thing more: the check and the rename must be one step. All writers of a key take the same advisory lock
//! (one of 64 files, chosen by the key's hash) around it; the kernel drops it when its holder dies. The version is
//! the digest of the content, as S3's is.
//!
//! A process that is *stopped* (not killed) in the microseconds inside the lock would hold up other writers of those
//! keys; they give up after `LOCK_DEADLINE` with an error and try again.

use super::{Bucket, BucketError, Condition, ETag, FileDigest, Object};
use futures::future::BoxFuture;
use sha2::{Digest, Sha256};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Long beyond any write (fsync takes milliseconds), short of a lease.
const LOCK_DEADLINE: Duration = Duration::from_millis(900);
/// Large enough that system calls do not count, small beside the memory budget of an agent.
const COPY_BUFFER: usize = 256 * 1024;
/// Where files that are no objects live: locks and half-written files.
const PRIVATE: &str = ".forge";

/// See the module.
#[derive(Debug, Clone)]
pub struct Directory {
    root: PathBuf,
}

static TEMPORARY: AtomicU64 = AtomicU64::new(0);

impl Directory {
    /// The store in an existing directory. Nothing is touched until the first call.
    #[must_use]
    pub fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    fn path(&self, key: &str) -> Result<PathBuf, BucketError> {
        let fine = !key.is_empty()
            && key.len() <= 1024
            && key.split('/').all(|part| !part.is_empty() && part != "." && part != ".." && part != PRIVATE)
            && !key.contains(['\0', '\n']);
        if fine { Ok(self.root.join(key)) } else { Err(BucketError::BadKey { key: key.to_owned() }) }
    }

    fn private(&self) -> io::Result<PathBuf> {
        // The root itself is never made: a bucket that was destroyed stays destroyed.
        let private = self.root.join(PRIVATE);
        match fs::DirBuilder::new().mode(0o700).create(&private) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error),
            _ => Ok(private),
        }
    }

    fn temporary(&self) -> io::Result<(PathBuf, File)> {
        let number = TEMPORARY.fetch_add(1, Ordering::Relaxed);
        let path = self.private()?.join(format!("new-{}-{number}", std::process::id()));
        let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path)?;
        Ok((path, file))
    }

    /// The lock that all writers of `key` share; released when the file is dropped.
    fn lock(&self, key: &str) -> io::Result<File> {
        let slot = Sha256::digest(key)[0] % 64;
        let path = self.private()?.join(format!("lock-{slot}"));
        let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)?;
        let start = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(TryLockError::Error(error)) => return Err(error),
                Err(TryLockError::WouldBlock) if start.elapsed() > LOCK_DEADLINE => {
                    return Err(io::Error::new(ErrorKind::TimedOut, "another writer holds this key's lock"));
                }
                Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_micros(200)),
            }
        }
    }

    /// Moves a complete file into place under the lock, if the condition holds.
    fn install(&self, key: &str, temporary: &Path, condition: &Condition) -> Result<(), BucketError> {
        let target = self.path(key)?;
        let io = |doing| move |source| BucketError::Io { key: key.to_owned(), doing, source };
        let parent = target.parent().unwrap_or(&self.root);
        let _lock = self.lock(key).map_err(io("locking it"))?;
        let holds = match condition {
            Condition::Always => true,
            Condition::Absent => !target.exists(),
            Condition::Match(expected) => match fs::read(&target) {
                Ok(bytes) => etag(&bytes) == *expected,
                Err(error) if error.kind() == ErrorKind::NotFound => false,
                Err(error) => return Err(io("reading it")(error)),
            },
        };
        if !holds {
            return Err(BucketError::Lost { key: key.to_owned() });
        }
        // The deletion of a neighbour may remove the directory, empty at that moment, between the two calls.
        let mut tries = 0;
        loop {
            self.create_parents(parent).map_err(io("making its directory"))?;
            match fs::rename(temporary, &target) {
                Err(error) if error.kind() == ErrorKind::NotFound && tries < 5 => tries += 1,
                done => break done.map_err(io("moving it into place"))?,
            }
        }
        File::open(parent).and_then(|directory| directory.sync_all()).map_err(io("making it durable"))
    }

    fn create_parents(&self, parent: &Path) -> io::Result<()> {
        if !self.root.is_dir() {
            return Err(io::Error::new(ErrorKind::NotFound, "the bucket's directory is gone"));
        }
        fs::DirBuilder::new().recursive(true).mode(0o700).create(parent)
    }

    fn get_now(&self, key: &str) -> Result<Option<Object>, BucketError> {
        match fs::read(self.path(key)?) {
            Ok(bytes) => Ok(Some(Object { etag: etag(&bytes), bytes })),
            Err(error) if error.kind() == ErrorKind::NotFound && self.root.is_dir() => Ok(None),
            Err(source) => Err(BucketError::Io { key: key.to_owned(), doing: "reading it", source }),
        }
    }

    fn put_now(&self, key: &str, bytes: &[u8], condition: &Condition) -> Result<ETag, BucketError> {
        self.path(key)?;
        let io = |source| BucketError::Io { key: key.to_owned(), doing: "writing it", source };
        let (temporary, mut file) = self.temporary().map_err(io)?;
        let written = file.write_all(bytes).and_then(|()| file.sync_all()).map_err(io);
        let result = written.and_then(|()| self.install(key, &temporary, condition));
        if result.is_err() {
            // Best effort: what stays is swept with the bucket.
            let _ = fs::remove_file(&temporary);
        }
        result.map(|()| etag(bytes))
    }

    fn put_file_now(&self, key: &str, source: &Path) -> Result<FileDigest, BucketError> {
        self.path(key)?;
        let io = |doing| move |source| BucketError::Io { key: key.to_owned(), doing, source };
        let from = File::open(source).map_err(io("opening the file to send"))?;
        let (temporary, to) = self.temporary().map_err(io("writing it"))?;
        let result = copy(from, &to)
            .and_then(|digest| to.sync_all().map(|()| digest))
            .map_err(io("writing it"))
            .and_then(|digest| self.install(key, &temporary, &Condition::Always).map(|()| digest));
        if result.is_err() {
            let _ = fs::remove_file(&temporary);
        }
        result
    }

    fn get_file_now(&self, key: &str, target: &Path) -> Result<FileDigest, BucketError> {
        let from = match File::open(self.path(key)?) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound && self.root.is_dir() => {
                return Err(BucketError::Missing { key: key.to_owned() });
            }
            Err(source) => return Err(BucketError::Io { key: key.to_owned(), doing: "reading it", source }),
        };
        let io = |source| BucketError::Io { key: key.to_owned(), doing: "writing the local file", source };
        copy(from, &File::create(target).map_err(io)?).map_err(io)
    }

    fn list_now(&self, prefix: &str) -> Result<Vec<String>, BucketError> {
        let io = |source| BucketError::Io { key: prefix.to_owned(), doing: "listing", source };
        if !self.root.is_dir() {
            return Err(io(io::Error::new(ErrorKind::NotFound, "the bucket's directory is gone")));
        }
        // Only the directory that the prefix names can hold matches.
        let directory = prefix.rsplit_once('/').map_or("", |(directory, _)| directory);
        let mut keys = Vec::new();
        let mut pending = vec![self.root.join(directory)];
        while let Some(directory) = pending.pop() {
            let entries = match fs::read_dir(&directory) {
                Ok(entries) => entries,
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                Err(error) => return Err(io(error)),
            };
            for entry in entries {
                let entry = entry.map_err(io)?;
                if entry.file_name() == PRIVATE {
                    continue;
                }
                match entry.file_type() {
                    Ok(kind) if kind.is_dir() => pending.push(entry.path()),
                    // Deleted since the directory was read.
                    Err(error) if error.kind() == ErrorKind::NotFound => {}
                    Err(error) => return Err(io(error)),
                    Ok(_) => {
                        let path = entry.path();
                        let key = path.strip_prefix(&self.root).ok().and_then(Path::to_str);
                        keys.extend(key.filter(|key| key.starts_with(prefix)).map(str::to_owned));
                    }
                }
            }
        }
        keys.sort_unstable();
        Ok(keys)
    }

    fn delete_now(&self, key: &str) -> Result<(), BucketError> {
        let path = self.path(key)?;
        let io = |source| BucketError::Io { key: key.to_owned(), doing: "deleting it", source };
        let _lock = self.lock(key).map_err(io)?;
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(io(error)),
            _ => {}
        }
        // Directories that became empty go too; one that is not empty refuses, which ends the walk.
        let mut parent = path.parent();
        while let Some(directory) = parent.filter(|directory| *directory != self.root) {
            if fs::remove_dir(directory).is_err() {
                break;
            }
            parent = directory.parent();
        }
        Ok(())
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
                Err(error) => {
                    Err(BucketError::Io { key: name, doing: "running the call", source: io::Error::other(error) })
                }
            }
        })
    }
}

fn etag(bytes: &[u8]) -> ETag {
    ETag(sha256(bytes))
}

/// SHA-256 in lower-case hex.
#[must_use]
pub fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// Lower-case hex.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn copy(mut from: File, mut to: impl Write) -> io::Result<FileDigest> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; COPY_BUFFER];
    let mut bytes = 0;
    loop {
        let read = from.read(&mut buffer)?;
        if read == 0 {
            return Ok(FileDigest { bytes, sha256: hex(&hasher.finalize()) });
        }
        hasher.update(&buffer[..read]);
        to.write_all(&buffer[..read])?;
        bytes += read as u64;
    }
}

/// Size and digest of a local file.
///
/// # Errors
/// When it cannot be read.
pub fn digest_file(path: &Path) -> io::Result<FileDigest> {
    copy(File::open(path)?, io::sink())
}

impl Bucket for Directory {
    fn get(&self, key: &str) -> BoxFuture<'_, Result<Option<Object>, BucketError>> {
        self.blocking(key, |this, key| this.get_now(&key))
    }

    fn put(&self, key: &str, bytes: Vec<u8>, condition: Condition) -> BoxFuture<'_, Result<ETag, BucketError>> {
        self.blocking(key, move |this, key| this.put_now(&key, &bytes, &condition))
    }

    fn put_file(&self, key: &str, file: PathBuf) -> BoxFuture<'_, Result<FileDigest, BucketError>> {
        self.blocking(key, move |this, key| this.put_file_now(&key, &file))
    }

    fn get_file(&self, key: &str, file: PathBuf) -> BoxFuture<'_, Result<FileDigest, BucketError>> {
        self.blocking(key, move |this, key| this.get_file_now(&key, &file))
    }

    fn list(&self, prefix: &str) -> BoxFuture<'_, Result<Vec<String>, BucketError>> {
        self.blocking(prefix, |this, prefix| this.list_now(&prefix))
    }

    fn delete(&self, key: &str) -> BoxFuture<'_, Result<(), BucketError>> {
        self.blocking(key, |this, key| this.delete_now(&key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> (tempfile::TempDir, Directory) {
        let root = tempfile::tempdir().unwrap();
        let store = Directory::new(root.path());
        (root, store)
    }

    #[test]
    fn create_only_has_one_winner_among_threads() {
        let (_root, store) = store();
        let winners: usize = std::thread::scope(|scope| {
            let attempts: Vec<_> = (0..12u8)
                .map(|n| {
                    let store = &store;
                    scope.spawn(move || store.put_now("a/b", &[n], &Condition::Absent).is_ok())
                })
                .collect();
            attempts.into_iter().map(|attempt| usize::from(attempt.join().unwrap())).sum()
        });
        assert_eq!(winners, 1);
    }

    #[test]
    fn compare_and_swap_counts_every_increment() {
        let (_root, store) = store();
        store.put_now("n", b"0", &Condition::Absent).unwrap();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..25 {
                        loop {
                            let object = store.get_now("n").unwrap().unwrap();
                            let n: u64 = String::from_utf8(object.bytes).unwrap().parse().unwrap();
                            let next = (n + 1).to_string().into_bytes();
                            match store.put_now("n", &next, &Condition::Match(object.etag)) {
                                Ok(_) => break,
                                Err(BucketError::Lost { .. }) => {}
                                Err(error) => panic!("{error}"),
                            }
                        }
                    }
                });
            }
        });
        assert_eq!(store.get_now("n").unwrap().unwrap().bytes, b"100");
    }

    #[test]
    fn a_match_on_a_missing_object_is_lost() {
        let (_root, store) = store();
        let stale = Condition::Match(ETag("x".into()));
        assert!(matches!(store.put_now("n", b"", &stale), Err(BucketError::Lost { .. })));
    }

    #[test]
    fn lists_in_key_order_and_by_prefix_and_deletes_empty_directories() {
        let (root, store) = store();
        for key in ["runs/b/2", "runs/b/1", "runs/a", "other"] {
            store.put_now(key, b"x", &Condition::Always).unwrap();
        }
        assert_eq!(store.list_now("runs/").unwrap(), ["runs/a", "runs/b/1", "runs/b/2"]);
        assert_eq!(store.list_now("runs/b").unwrap(), ["runs/b/1", "runs/b/2"]);
        assert_eq!(store.list_now("absent/").unwrap(), [""; 0]);
        store.delete_now("runs/b/1").unwrap();
        store.delete_now("runs/b/2").unwrap();
        store.delete_now("runs/b/2").unwrap();
        assert!(!root.path().join("runs/b").exists());
        assert!(root.path().join("runs/a").exists());
    }

    #[test]
    fn refuses_keys_that_leave_the_bucket() {
        let (_root, store) = store();
        for key in ["", "/etc/passwd", "../x", "a/../b", "a//b", "./a", ".forge/lock-1", "a\nb"] {
            assert!(matches!(store.put_now(key, b"", &Condition::Always), Err(BucketError::BadKey { .. })), "{key:?}");
        }
    }

    #[test]
    fn a_destroyed_bucket_stays_destroyed() {
        let (root, store) = store();
        fs::remove_dir_all(root.path()).unwrap();
        assert!(matches!(store.put_now("a", b"", &Condition::Always), Err(BucketError::Io { .. })));
        assert!(matches!(store.get_now("a"), Err(BucketError::Io { .. })));
        assert!(matches!(store.list_now(""), Err(BucketError::Io { .. })));
        assert!(!root.path().exists());
    }

    #[tokio::test]
    async fn a_document_of_a_newer_forge_is_refused_by_its_version() {
        use crate::bucket::Documents;
        let (_root, store) = store();
        store.put_now("a", br#"{"v":2,"new":"shape"}"#, &Condition::Always).unwrap();
        let read = (&store as &dyn Bucket).read::<crate::wire::Lease>("a").await;
        let message = "a: written by a newer forge (version 2 of this document, 1 is understood)";
        assert_eq!(read.unwrap_err().to_string(), message);
    }

    #[test]
    fn files_go_up_and_come_down_with_their_digest() {
        let (root, store) = store();
        let (source, target) = (root.path().join("source"), root.path().join("target"));
        fs::write(&source, vec![7; 600_000]).unwrap();
        let up = store.put_file_now("shard", &source).unwrap();
        let down = store.get_file_now("shard", &target).unwrap();
        assert_eq!((up.bytes, &up), (600_000, &down));
        assert_eq!(digest_file(&target).unwrap(), up);
        assert!(matches!(store.get_file_now("absent", &target), Err(BucketError::Missing { .. })));
    }
}
