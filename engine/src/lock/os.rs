//! The lock of a deployment whose state lies on this machine.
//!
//! It is one that the operating system keeps on an open file: it is gone the moment its owner is, however it
//! dies, so that nobody ever has to unlock by hand. The file's content, who holds it and since when, is only for the
//! message that the second one gets.
//!
//! A `destroy` deletes the file at its end. Another process may by then have opened it and be waiting for its turn; what
//! it would get is a lock on a file that no path leads to, while a third one locks a new file at the same path. So
//! whoever has got the lock looks whether the path still leads to what was locked, and starts over if not.

use super::Holder;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

const FILE: &str = "lock";
/// Every failed try means that another process finished in between; this many in a row do not happen by chance.
const TRIES: usize = 100;
/// [`Lock::holder`] has to lock for an instant to find out; that must not look like an owner.
const LOOKS: u32 = 3;
const LOOK: std::time::Duration = std::time::Duration::from_millis(5);

/// Why there is no lock.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Someone else has it.
    #[error("another forge is at work on this deployment: {}", .0.as_ref().map_or_else(|| "it has not said who it is".to_owned(), ToString::to_string))]
    Held(Option<Holder>),
    /// The operating system refused.
    #[error("cannot lock {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

/// The lock on a deployment's directory, held until dropped.
#[derive(Debug)]
pub struct Lock {
    // Closing the file is what unlocks.
    _file: File,
    path: PathBuf,
}

impl Lock {
    /// Locks `directory`, creating it if need be.
    ///
    /// # Errors
    /// [`LockError::Held`] when someone else has it.
    pub fn acquire(directory: &Path, holder: &Holder) -> Result<Self, LockError> {
        let path = directory.join(FILE);
        let failed = |source| LockError::Io { path: path.clone(), source };
        let mut looks = 0;
        for _ in 0..TRIES {
            DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(failed)?;
            let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path);
            let mut file = match opened {
                Ok(file) => file,
                // The directory went with a destroy that has just finished.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(failed(error)),
            };
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) if looks < LOOKS => {
                    looks += 1;
                    std::thread::sleep(LOOK);
                    continue;
                }
                Err(TryLockError::WouldBlock) => return Err(LockError::Held(read_holder(&mut file))),
                Err(TryLockError::Error(error)) => return Err(failed(error)),
            }
            if leads_to(&path, &file).map_err(failed)? {
                write_holder(&mut file, holder).map_err(failed)?;
                return Ok(Self { _file: file, path });
            }
        }
        Err(failed(io::Error::other("the file keeps being deleted")))
    }

    /// Who holds the lock on `directory`, if anyone: for commands that only look.
    #[must_use]
    pub fn holder(directory: &Path) -> Option<Holder> {
        let mut file = File::open(directory.join(FILE)).ok()?;
        match file.try_lock_shared() {
            Err(TryLockError::WouldBlock) => read_holder(&mut file),
            _ => None,
        }
    }

    /// Unlocks and leaves no file behind.
    ///
    /// # Errors
    /// When the file cannot be deleted; it is unlocked all the same.
    pub fn remove(self) -> Result<(), LockError> {
        // Deleted while still locked: nobody else can own what is deleted here.
        fs::remove_file(&self.path).map_err(|source| LockError::Io { path: self.path.clone(), source })
    }
}

pub(crate) fn leads_to(path: &Path, file: &File) -> io::Result<bool> {
    let locked = file.metadata()?;
    match fs::metadata(path) {
        Ok(named) => Ok((named.dev(), named.ino()) == (locked.dev(), locked.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

fn read_holder(file: &mut File) -> Option<Holder> {
    let mut text = String::new();
    file.read_to_string(&mut text).ok()?;
    serde_json::from_str(&text).ok()
}

fn write_holder(file: &mut File, holder: &Holder) -> io::Result<()> {
    file.set_len(0)?;
    file.write_all(serde_json::to_string(holder)?.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holder(pid: u32) -> Holder {
        let since = "2026-11-21T09:30:00Z".parse().unwrap();
        Holder { pid, host: "desk".to_owned(), since, command: "forge up".to_owned() }
    }

    #[test]
    fn the_second_one_is_told_who_has_it() {
        let directory = tempfile::tempdir().unwrap();
        let first = Lock::acquire(directory.path(), &holder(123)).unwrap();
        let refused = Lock::acquire(directory.path(), &holder(456)).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "another forge is at work on this deployment: forge up is held by pid 123 on desk since 2026-11-21T09:30:00Z"
        );
        assert_eq!(Lock::holder(directory.path()), Some(holder(123)));
        drop(first);
        assert_eq!(Lock::holder(directory.path()), None);
        Lock::acquire(directory.path(), &holder(456)).unwrap();
    }

    #[test]
    fn what_a_dead_owner_has_written_locks_nothing() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join(FILE), serde_json::to_string(&holder(1)).unwrap()).unwrap();
        Lock::acquire(directory.path(), &holder(2)).unwrap();
    }

    #[test]
    fn a_lock_on_a_deleted_file_is_none() {
        let directory = tempfile::tempdir().unwrap();
        let first = Lock::acquire(directory.path(), &holder(1)).unwrap();
        let late = File::open(directory.path().join(FILE)).unwrap();
        first.remove().unwrap();
        late.try_lock().unwrap();
        assert!(!leads_to(&directory.path().join(FILE), &late).unwrap());
        let second = Lock::acquire(directory.path(), &holder(2)).unwrap();
        assert!(!leads_to(&directory.path().join(FILE), &late).unwrap());
        drop(second);
    }

    #[test]
    fn many_at_once_and_never_two() {
        use std::sync::atomic::{AtomicUsize, Ordering};
        let directory = tempfile::tempdir().unwrap();
        let (inside, wins) = (AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for pid in 0..8 {
                let (inside, wins, directory) = (&inside, &wins, directory.path());
                scope.spawn(move || {
                    for _ in 0..50 {
                        if let Ok(lock) = Lock::acquire(directory, &holder(pid)) {
                            assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                            wins.fetch_add(1, Ordering::SeqCst);
                            std::thread::yield_now();
                            inside.fetch_sub(1, Ordering::SeqCst);
                            lock.remove().unwrap();
                        }
                    }
                });
            }
        });
        assert!(wins.load(Ordering::SeqCst) > 0);
    }
}
