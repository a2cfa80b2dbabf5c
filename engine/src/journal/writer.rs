//! The thread that owns the file.

use super::{Clock, JournalError, line};
use crate::address::Deployment;
use crate::state::{Entry, State};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use tokio::sync::oneshot;

/// Up to this many entries a log is never worth compacting: replaying them takes a fraction of a millisecond.
const SHORT: u64 = 64;
/// A log is long when it has this many entries for each thing that the state remembers. An undisturbed life of a
/// resource (begin, identified, end) has three.
const ENTRIES_PER_THING: u64 = 8;

#[derive(Debug)]
pub(super) enum Work {
    Entry(Box<Entry>),
    Compact,
    Nothing,
}

#[derive(Debug)]
pub(super) struct Request {
    pub(super) work: Work,
    /// Whether the answer must wait until it cannot be lost any more.
    pub(super) durable: bool,
    pub(super) reply: Option<oneshot::Sender<Result<(), JournalError>>>,
}

/// Takes requests until nobody can send any more; everything that is queued at a time goes to the disk together.
pub(super) fn run(mut log: Log, inbox: &mpsc::Receiver<Request>) {
    while let Ok(first) = inbox.recv() {
        let batch: Vec<Request> = std::iter::once(first).chain(inbox.try_iter()).collect();
        log.commit(batch);
    }
    let _ = log.file.sync_data();
}

/// The file and what must be known to append to it.
pub(super) struct Log {
    file: File,
    path: PathBuf,
    deployment: Deployment,
    clock: Clock,
    state: Arc<Mutex<State>>,
    entries: u64,
    broken: Option<JournalError>,
    /// How often the disk was waited for.
    pub(super) syncs: u64,
}

impl Log {
    pub(super) fn open(
        directory: &Path,
        name: &str,
        deployment: &Deployment,
        clock: Clock,
        state: Arc<Mutex<State>>,
    ) -> Result<Self, JournalError> {
        let path = directory.join(name);
        let create = || DirBuilder::new().recursive(true).mode(0o700).create(directory);
        create().map_err(JournalError::io("create", directory))?;
        if !path.try_exists().map_err(JournalError::io("look for", &path))? {
            replace(&path, &line::header(deployment)).map_err(JournalError::io("create", &path))?;
        }
        let text = fs::read(&path).map_err(JournalError::io("read", &path))?;
        let loaded = line::load(&path, &text, deployment)?;
        let file = OpenOptions::new().append(true).open(&path).map_err(JournalError::io("open", &path))?;
        if loaded.good < text.len() as u64 {
            let cut = || file.set_len(loaded.good).and_then(|()| file.sync_all());
            cut().map_err(JournalError::io("cut the torn end off", &path))?;
        }
        *state.lock().unwrap_or_else(PoisonError::into_inner) = loaded.state;
        let deployment = deployment.clone();
        let mut log = Self { file, path, deployment, clock, state, entries: loaded.entries, broken: None, syncs: 0 };
        log.compact()?;
        Ok(log)
    }

    /// Writes a batch with one write and, when any of it must be durable, one sync; then answers all of it.
    pub(super) fn commit(&mut self, batch: Vec<Request>) {
        let durable = batch.iter().any(|request| request.durable);
        let compact = batch.iter().any(|request| matches!(request.work, Work::Compact));
        let mut text = String::new();
        let mut replies = Vec::new();
        for request in batch {
            let result = match &request.work {
                Work::Entry(entry) => self.stage(entry, &mut text),
                Work::Compact | Work::Nothing => Ok(()),
            };
            replies.extend(request.reply.map(|reply| (reply, result)));
        }
        let mut outcome = self.broken.clone().map_or(Ok(()), Err);
        if outcome.is_ok() {
            outcome = self.write(&text, durable);
            self.broken = outcome.clone().err();
        }
        if outcome.is_ok() && compact {
            outcome = self.compact();
        }
        for (reply, staged) in replies {
            let _ = reply.send(staged.and_then(|()| outcome.clone()));
        }
    }

    /// Adds an entry to the batch and to the state. An entry that the state refuses is not written.
    fn stage(&mut self, entry: &Entry, text: &mut String) -> Result<(), JournalError> {
        let at = (self.clock)();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let serial = state.serial + 1;
        let line = line::encode(serial, at, entry)?;
        state.fold(serial, at, entry).map_err(JournalError::Refused)?;
        text.push_str(&line);
        self.entries += 1;
        Ok(())
    }

    fn write(&mut self, text: &str, durable: bool) -> Result<(), JournalError> {
        self.file.write_all(text.as_bytes()).map_err(JournalError::io("write to", &self.path))?;
        if durable {
            self.file.sync_data().map_err(JournalError::io("make durable", &self.path))?;
            self.syncs += 1;
        }
        Ok(())
    }

    fn compact(&mut self) -> Result<(), JournalError> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let things = state.records.len() + state.superseded.len() + state.pending.len();
        if self.entries <= SHORT.max(things as u64 * ENTRIES_PER_THING) {
            return Ok(());
        }
        let serial = state.serial;
        let mut text = line::header(&self.deployment);
        text.push_str(&line::encode(serial, (self.clock)(), &Entry::Snapshot(Box::new(state)))?);
        replace(&self.path, &text).map_err(JournalError::io("compact", &self.path))?;
        self.file = OpenOptions::new().append(true).open(&self.path).map_err(JournalError::io("open", &self.path))?;
        self.entries = 1;
        Ok(())
    }
}

/// Puts a new file with `text` in the place of whatever is there: either the old one or the new one exists, whole, at
/// any moment.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let fresh = path.with_extension("new");
    // One that is there already is left from a crash, and by the lock nobody else is writing it.
    match fs::remove_file(&fresh) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&fresh, path)?;
    path.parent().map_or(Ok(()), |directory| File::open(directory)?.sync_all())
}
