//! The append-only log that is the only truth about what exists.
//!
//! Lines of JSON, in a [`Store`]. The first line is the header: format, version, deployment. Every other line is
//! `{"sum":"…","body":{"n":…,"at":…,"epoch":…,"entry":…}}`: the CRC-32 of the body's bytes as they stand there, a number
//! that grows by one, the time, the epoch of whoever wrote it, and one [`Entry`].
//!
//! **Stores.** A [`FileStore`] keeps the lines in the deployment's directory on this machine, a [`BucketStore`] in a
//! bucket, one object for each append, a [`MemoryStore`] in memory, for simulations.
//!
//! **Durability.** One writer owns the store: a thread ([`Journal::open`]) or, where there must be no other thread, a task
//! of the runtime ([`Journal::over`]). It takes everything that is queued, writes it with one append and makes it
//! durable at once: a hundred steps that start together pay for one. [`Journal::begin`] returns once that is
//! done; ends are only written, because whatever is begun on their strength is made durable after them, in the same
//! store. After a failed write nothing more is accepted: what the store then holds is not known.
//!
//! **Torn ends.** A crash can leave lines at the end that do not verify. Nobody was told that they are durable, so they
//! are ignored, and cut off by the next writer. A line that does not verify with a good one after it is another matter:
//! the journal was damaged, and is refused with the number of the line.
//!
//! **Compaction** puts header and one snapshot in the place of everything, by a rename or as one new object. Nothing is
//! ever rewritten in place, so there is no moment at which a crash could lose it.
//!
//! **Fencing.** Before every write the owner's [`Guard`] is asked. In a bucket that is not all: every append is an object
//! under the next number, created only if there is none, so of two that believe to own the deployment one fails. A new
//! owner takes a number before it does anything else, which makes the old one fail from then on, whatever its clock says.

mod bucketed;
mod file;
mod line;
#[cfg(any(test, feature = "simulate"))]
mod memory;
mod store;
mod version;
mod writer;

use crate::address::Deployment;
use crate::bucket::BucketError;
use crate::lock::{Fenced, Guard, Unguarded};
use crate::state::{Begin, Entry, State};
use crate::value::Output;
use jiff::Timestamp;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use tokio::sync::{mpsc, oneshot};
use writer::{Log, Owner, Request, Work};

pub use bucketed::BucketStore;
pub use file::{FileStore, NAME as FILE};
#[cfg(any(test, feature = "simulate"))]
pub use memory::MemoryStore;
pub use store::{Appended, Content, Part, Store};
pub use version::VERSION;

/// Says what time it is.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

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
    /// The bucket failed.
    #[error("cannot {doing} the journal in the bucket")]
    Bucket {
        /// What was tried, as it follows "cannot".
        doing: &'static str,
        /// Why not.
        #[source]
        source: Arc<BucketError>,
    },
    /// Its owner may not write any more.
    #[error("this forge was fenced: {0}")]
    Fenced(Fenced),
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
    /// A newer forge wrote it.
    #[error(
        "{} is in format version {found}; this forge, {}, reads up to version {VERSION}: use {}",
        path.display(),
        env!("CARGO_PKG_VERSION"),
        forge.as_ref().map_or_else(|| "a newer one".to_owned(), |forge| format!("forge {forge} or a newer one"))
    )]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// The forge that wrote it, if it says so.
        forge: Option<String>,
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

/// The open journal of one deployment. Whoever opens it must own the deployment: [`crate::lock`].
///
/// Dropped, a journal with a thread waits until everything that was handed in is written. One with a task ends at once,
/// as if it were killed: [`Journal::close`] waits.
#[derive(Debug)]
pub struct Journal {
    deployment: Deployment,
    requests: Option<mpsc::UnboundedSender<Request>>,
    writer: Option<Writer>,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
enum Writer {
    Thread(JoinHandle<()>),
    Task(tokio::task::JoinHandle<()>),
}

impl Journal {
    /// Opens the journal in `directory`, creating both if need be; cuts off a torn end, and compacts when it is long.
    ///
    /// Its writer is a thread of its own. The directory's lock must be held: nothing here notices a second writer.
    ///
    /// # Errors
    /// When it cannot be read, is damaged, or belongs to something else.
    pub fn open(directory: &Path, deployment: &Deployment, clock: Clock) -> Result<Self, JournalError> {
        let state = Arc::new(Mutex::new(State::default()));
        let (requests, inbox) = mpsc::unbounded_channel();
        let (opened, answer) = std::sync::mpsc::sync_channel(1);
        let store = Box::new(FileStore::new(directory));
        let owner = Owner { deployment: deployment.clone(), clock, guard: Arc::new(Unguarded) };
        let shared = Arc::clone(&state);
        let work = move || {
            // It has no clock and no network: a file is all that it waits for.
            let runtime = match tokio::runtime::Builder::new_current_thread().build() {
                Ok(runtime) => runtime,
                Err(error) => {
                    return drop(opened.send(Err(JournalError::io("start the writer of", &store.place())(error))));
                }
            };
            match runtime.block_on(Log::open(store, owner, shared)) {
                Ok(log) => {
                    let _ = opened.send(Ok(()));
                    runtime.block_on(writer::run(log, inbox));
                }
                Err(error) => drop(opened.send(Err(error))),
            }
        };
        let path = directory.join(file::NAME);
        let thread = std::thread::Builder::new().name("journal".to_owned()).spawn(work);
        let thread = thread.map_err(JournalError::io("start the writer of", &path))?;
        answer.recv().map_err(|_| JournalError::Closed)??;
        Ok(Self {
            deployment: deployment.clone(),
            requests: Some(requests),
            writer: Some(Writer::Thread(thread)),
            state,
        })
    }

    /// Opens the journal in any store, for the owner that `guard` speaks for.
    ///
    /// Its writer is a task of the runtime in which this is called, and nothing of it runs elsewhere: where that runtime
    /// has one thread and a clock of its own, everything happens in the same order each time.
    ///
    /// # Errors
    /// When it cannot be read or written, is damaged, belongs to something else, or the owner may not act.
    pub async fn over(
        store: impl Store + 'static,
        deployment: &Deployment,
        clock: Clock,
        guard: Arc<dyn Guard>,
    ) -> Result<Self, JournalError> {
        let state = Arc::new(Mutex::new(State::default()));
        let owner = Owner { deployment: deployment.clone(), clock, guard };
        let log = Log::open(Box::new(store), owner, Arc::clone(&state)).await?;
        let (requests, inbox) = mpsc::unbounded_channel();
        let task = tokio::spawn(writer::run(log, inbox));
        Ok(Self { deployment: deployment.clone(), requests: Some(requests), writer: Some(Writer::Task(task)), state })
    }

    /// The state without opening the journal for writing: for commands that only look, while another may be at work.
    ///
    /// # Errors
    /// When it cannot be read or is damaged. A journal that does not exist is an empty state.
    pub fn read(directory: &Path, deployment: &Deployment) -> Result<State, JournalError> {
        Ok(line::load(&FileStore::new(directory).read()?, deployment)?.state)
    }

    /// The same, from any store.
    ///
    /// # Errors
    /// As [`Journal::read`].
    pub async fn look(mut store: impl Store, deployment: &Deployment) -> Result<State, JournalError> {
        Ok(line::load(&store.load().await?, deployment)?.state)
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
    /// When it cannot be deleted.
    pub async fn remove(self) -> Result<(), JournalError> {
        self.ask(Work::Remove, true).await
    }

    /// Waits until everything that was handed in is durable.
    ///
    /// # Errors
    /// When that failed.
    pub async fn close(self) -> Result<(), JournalError> {
        self.sync().await
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
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.requests = None;
        match self.writer.take() {
            Some(Writer::Thread(thread)) => drop(thread.join()),
            Some(Writer::Task(task)) => task.abort(),
            None => {}
        }
    }
}

#[cfg(test)]
mod tests;
