//! The append-only log that is the only truth about what exists.
//!
//! One file of JSON lines in the deployment's directory. The first line is the header: format, version, deployment.
//! Every other line is `{"sum":"…","body":{"n":…,"at":…,"entry":…}}`: the CRC-32 of the body's bytes as they stand in the
//! file, a number that grows by one, the time, and one [`Entry`].
//!
//! **Durability.** One thread owns the file. It takes everything that is queued, writes it with one call and makes it
//! durable with one `fsync`: a hundred steps that start together pay for one. [`Journal::begin`] returns once that is
//! done; ends are only written, because whatever is begun on their strength is made durable after them, in the same
//! file. After a failed write nothing more is accepted: what the file then holds is not known.
//!
//! **Torn ends.** A crash can leave lines at the end that do not verify. Nobody was told that they are durable, so they
//! are ignored, and cut off by the next writer. A line that does not verify with a good one after it is another matter:
//! the file was damaged, and is refused with the number of the line.
//!
//! **Compaction** writes header and one snapshot to a new file, makes it durable, and renames it over the old one. The
//! file is never rewritten in place, so there is no moment at which a crash could lose it.

mod line;
mod writer;

use crate::address::Deployment;
use crate::state::{Begin, Entry, State};
use crate::value::Output;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::JoinHandle;
use tokio::sync::oneshot;
use writer::{Log, Request, Work};

/// Says what time it is.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// The version of the format that this forge writes, and the only one that it reads.
pub const VERSION: u32 = 1;

/// The name of its file.
pub const FILE: &str = "journal.jsonl";

/// Why the journal cannot be read or written.
#[derive(Debug, Clone, thiserror::Error)]
pub enum JournalError {
    /// The operating system refused.
    #[error("cannot {doing} {}", path.display())]
    Io {
        /// What was tried, as it follows "cannot".
        doing: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// Why not.
        #[source]
        source: Arc<io::Error>,
    },
    /// The file was damaged.
    #[error("the journal is damaged: {}:{line}: {why}", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        why: String,
    },
    /// Another version of forge wrote it.
    #[error("{} has format version {found}; this forge reads version {VERSION}", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
    },
    /// It belongs to another deployment.
    #[error("{} belongs to deployment `{found}`, not to `{expected}`", path.display())]
    OtherDeployment {
        /// The file.
        path: PathBuf,
        /// Whose it is.
        found: Deployment,
        /// Whose it should be.
        expected: Deployment,
    },
    /// An entry that makes no sense after those before it: a bug in forge.
    #[error("the journal refuses an entry: {0}")]
    Refused(String),
    /// The writer is gone.
    #[error("the journal is closed")]
    Closed,
}

impl JournalError {
    fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { doing, path, source: Arc::new(source) }
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Header {
    format: String,
    version: u32,
    deployment: Deployment,
}

/// The open journal of one deployment. Whoever opens it must hold the deployment's [`crate::lock::Lock`].
///
/// Dropping it waits until everything that was handed in is written.
#[derive(Debug)]
pub struct Journal {
    deployment: Deployment,
    path: PathBuf,
    requests: Option<mpsc::Sender<Request>>,
    writer: Option<JoinHandle<()>>,
    state: Arc<Mutex<State>>,
}

impl Journal {
    /// Opens the journal in `directory`, creating both if need be; cuts off a torn end, and compacts when it is long.
    ///
    /// # Errors
    /// When it cannot be read, is damaged, or belongs to something else.
    pub fn open(directory: &Path, deployment: &Deployment, clock: Clock) -> Result<Self, JournalError> {
        let state = Arc::new(Mutex::new(State::default()));
        let log = Log::open(directory, FILE, deployment, clock, Arc::clone(&state))?;
        let (requests, inbox) = mpsc::channel();
        let path = directory.join(FILE);
        let writer = std::thread::Builder::new()
            .name("journal".to_owned())
            .spawn(move || writer::run(log, &inbox))
            .map_err(JournalError::io("start the writer of", &path))?;
        Ok(Self { deployment: deployment.clone(), path, requests: Some(requests), writer: Some(writer), state })
    }

    /// The state without opening the journal for writing: for commands that only look, while another may be at work.
    ///
    /// # Errors
    /// When it cannot be read or is damaged. A journal that does not exist is an empty state.
    pub fn read(directory: &Path, deployment: &Deployment) -> Result<State, JournalError> {
        let path = directory.join(FILE);
        match std::fs::read(&path) {
            Ok(text) => Ok(line::load(&path, &text, deployment)?.state),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(State::default()),
            Err(error) => Err(JournalError::io("read", &path)(error)),
        }
    }

    /// Whose journal it is.
    #[must_use]
    pub fn deployment(&self) -> &Deployment {
        &self.deployment
    }

    /// Everything known by now.
    #[must_use]
    pub fn state(&self) -> State {
        self.locked().clone()
    }

    /// An output of a recorded resource.
    #[must_use]
    pub fn output(&self, output: &Output) -> Option<serde_json::Value> {
        self.locked().output(output).cloned()
    }

    /// Looks at the state without copying it.
    pub fn with_state<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.locked())
    }

    /// Announces a call. Once this returns the announcement is durable and the call may be made.
    ///
    /// # Errors
    /// When it could not be made durable: then the call must not be made.
    pub async fn begin(&self, begin: Begin) -> Result<(), JournalError> {
        self.ask(Work::Entry(Box::new(Entry::Begin(Box::new(begin)))), true).await
    }

    /// Appends an entry and makes it durable.
    ///
    /// # Errors
    /// When that failed.
    pub async fn append_durably(&self, entry: Entry) -> Result<(), JournalError> {
        self.ask(Work::Entry(Box::new(entry)), true).await
    }

    /// Appends an entry. It survives the death of this process, and becomes durable with the next one that must be.
    ///
    /// # Errors
    /// When it could not be written.
    pub async fn append(&self, entry: Entry) -> Result<(), JournalError> {
        self.ask(Work::Entry(Box::new(entry)), false).await
    }

    /// Hands in an entry that must become durable soon, without waiting for it. A failure shows at the next call.
    pub fn note(&self, entry: Entry) {
        if let Some(requests) = &self.requests {
            // The writer only ends before us when it has failed, and then everything that waits says so.
            let _ = requests.send(Request { work: Work::Entry(Box::new(entry)), durable: true, reply: None });
        }
    }

    /// Makes durable what has been appended.
    ///
    /// # Errors
    /// When that failed.
    pub async fn sync(&self) -> Result<(), JournalError> {
        self.ask(Work::Nothing, true).await
    }

    /// Replaces the log by a snapshot when that makes it much shorter.
    ///
    /// # Errors
    /// When the new file could not be written; the old one then still stands.
    pub async fn compact(&self) -> Result<(), JournalError> {
        self.ask(Work::Compact, true).await
    }

    /// Deletes the journal: nothing is left to remember. The directory stays, for the lock that lies in it.
    ///
    /// # Errors
    /// When the file cannot be deleted.
    pub fn remove(mut self) -> Result<(), JournalError> {
        self.finish();
        std::fs::remove_file(&self.path).map_err(JournalError::io("delete", &self.path))
    }

    async fn ask(&self, work: Work, durable: bool) -> Result<(), JournalError> {
        let (reply, answer) = oneshot::channel();
        let requests = self.requests.as_ref().ok_or(JournalError::Closed)?;
        requests.send(Request { work, durable, reply: Some(reply) }).map_err(|_| JournalError::Closed)?;
        answer.await.map_err(|_| JournalError::Closed)?
    }

    fn locked(&self) -> MutexGuard<'_, State> {
        // The fold cannot leave half a change behind: a panic elsewhere does not make the state wrong.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn finish(&mut self) {
        self.requests = None;
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.finish();
    }
}

#[cfg(test)]
mod tests;
