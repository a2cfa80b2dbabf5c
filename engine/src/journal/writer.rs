//! What writes: takes what is queued, writes all of it at once, and answers.

use super::store::{Appended, Store};
use super::version::VERSION;
use super::{Clock, JournalError, line};
use crate::address::Deployment;
use crate::lock::{Fenced, Guard};
use crate::state::{Entry, State};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{mpsc, oneshot};

/// Up to this many entries a log is never worth compacting: replaying them takes a fraction of a millisecond.
const SHORT: u64 = 64;
/// A log is long when it has this many entries for each thing that the state remembers. An undisturbed creation of a
/// resource (begin, identified, end) has three, with its specification twice, and every command reads all of them: a
/// snapshot halves that. Since it takes as many new entries as there are things until the next one, writing snapshots
/// costs no more than writing the entries did.
const ENTRIES_PER_THING: u64 = 2;
/// Every failed try to announce a new owner means that the old one has written something in between. It may do so until
/// its calls in flight have ended; this many it has not.
const ANNOUNCEMENTS: usize = 1000;

#[derive(Debug)]
pub(super) enum Work {
    Entry(Box<Entry>),
    Compact,
    Remove,
    Nothing,
}

#[derive(Debug)]
pub(super) struct Request {
    pub(super) work: Work,
    /// Whether the answer must wait until it cannot be lost any more.
    pub(super) durable: bool,
    pub(super) reply: Option<oneshot::Sender<Result<(), JournalError>>>,
}

/// Takes requests until nobody can send any more; everything that is queued at a time is written together.
pub(super) async fn run(mut log: Log, mut inbox: mpsc::UnboundedReceiver<Request>) {
    while let Some(first) = inbox.recv().await {
        let mut batch = vec![first];
        while let Ok(next) = inbox.try_recv() {
            batch.push(next);
        }
        log.commit(batch).await;
    }
    if log.broken.is_none() {
        let _ = log.store.append(Vec::new(), true).await;
    }
}

/// Who writes what, and for whom.
pub(super) struct Owner {
    pub(super) deployment: Deployment,
    pub(super) clock: Clock,
    pub(super) guard: Arc<dyn Guard>,
}

/// A store and what must be known to append to it.
pub(super) struct Log {
    store: Box<dyn Store>,
    owner: Owner,
    state: Arc<Mutex<State>>,
    entries: u64,
    broken: Option<JournalError>,
}

impl Log {
    /// Loads what is there, makes it fit to be appended to, and announces the owner where that fences an earlier one.
    pub(super) async fn open(
        mut store: Box<dyn Store>,
        mut owner: Owner,
        state: Arc<Mutex<State>>,
    ) -> Result<Self, JournalError> {
        for _ in 0..ANNOUNCEMENTS {
            let content = store.load().await?;
            let loaded = line::load(&content, &owner.deployment)?;
            if let Some(good) = loaded.torn {
                store.cut(good).await?;
            }
            let rewrite = content.parts.is_empty() || loaded.version != VERSION || content.strays;
            *state.lock().unwrap_or_else(PoisonError::into_inner) = loaded.state;
            let state = Arc::clone(&state);
            let mut log = Self { store, owner, state, entries: loaded.entries, broken: None };
            let begun = log.announce(rewrite).await?;
            if begun == Appended::Done {
                log.compact().await?;
                return Ok(log);
            }
            Self { store, owner, .. } = log;
        }
        Err(JournalError::Fenced(Fenced::Overtaken))
    }

    /// Writes a beginning where there is none yet, and who the owner is.
    async fn announce(&mut self, rewrite: bool) -> Result<Appended, JournalError> {
        let numbered = self.owner.guard.epoch() > 0;
        self.may_act()?;
        // A deletion of everything may be under way that was cut off, or that its owner has not given up yet. It deletes
        // nothing that is written from here on, so this must not need anything from before.
        if rewrite || (numbered && self.locked(|state| state.is_empty())) {
            let (text, entries) = self.beginning(numbered)?;
            self.entries = entries;
            return self.store.replace(text).await;
        }
        if !numbered {
            return Ok(Appended::Done);
        }
        let text = self.opened()?;
        self.entries += 1;
        self.store.append(text.into_bytes(), true).await
    }

    /// A header, what is remembered, and who writes.
    fn beginning(&self, announced: bool) -> Result<(Vec<u8>, u64), JournalError> {
        let mut text = line::header(&self.owner.deployment);
        let state = self.locked(State::clone);
        let mut entries = 0;
        if state.serial > 0 {
            let serial = state.serial;
            text.push_str(&self.encode(serial, &Entry::Snapshot(Box::new(state)))?);
            entries += 1;
        }
        if announced {
            text.push_str(&self.opened()?);
            entries += 1;
        }
        Ok((text.into_bytes(), entries))
    }

    fn opened(&self) -> Result<String, JournalError> {
        let by = self.owner.guard.holder();
        self.encode(self.locked(|state| state.serial), &Entry::Opened { by })
    }

    fn encode(&self, serial: u64, entry: &Entry) -> Result<String, JournalError> {
        line::encode(serial, (self.owner.clock)(), self.owner.guard.epoch(), entry)
    }

    fn locked<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn may_act(&self) -> Result<(), JournalError> {
        self.owner.guard.may_act().map_err(JournalError::Fenced)
    }

    /// Writes a batch with one append, durably when any of it must be; then answers all of it.
    pub(super) async fn commit(&mut self, batch: Vec<Request>) {
        let durable = batch.iter().any(|request| request.durable);
        let compact = batch.iter().any(|request| matches!(request.work, Work::Compact));
        let remove = batch.iter().any(|request| matches!(request.work, Work::Remove));
        let mut text = String::new();
        let mut replies = Vec::new();
        for request in batch {
            let result = match &request.work {
                Work::Entry(entry) => self.stage(entry, &mut text),
                Work::Compact | Work::Remove | Work::Nothing => Ok(()),
            };
            replies.extend(request.reply.map(|reply| (reply, result)));
        }
        let mut outcome = match self.broken.clone() {
            Some(broken) => Err(broken),
            None => self.write(text, durable).await,
        };
        if outcome.is_ok() && compact {
            outcome = self.compact().await;
        }
        if outcome.is_ok() && remove {
            outcome = self.remove().await;
        }
        for (reply, staged) in replies {
            let _ = reply.send(staged.and_then(|()| outcome.clone()));
        }
    }

    /// Adds an entry to the batch and to the state. An entry that the state refuses is not written.
    fn stage(&mut self, entry: &Entry, text: &mut String) -> Result<(), JournalError> {
        if let Some(broken) = &self.broken {
            return Err(broken.clone());
        }
        let at = (self.owner.clock)();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let serial = state.serial + u64::from(entry.counts());
        let line = line::encode(serial, at, self.owner.guard.epoch(), entry)?;
        state.fold(serial, at, entry).map_err(JournalError::Refused)?;
        text.push_str(&line);
        self.entries += 1;
        Ok(())
    }

    /// After an error nothing more is accepted: what the store then holds is not known.
    async fn write(&mut self, text: String, durable: bool) -> Result<(), JournalError> {
        let outcome = match self.may_act() {
            Ok(()) => self.store.append(text.into_bytes(), durable).await.and_then(|done| self.not_overtaken(done)),
            Err(fenced) => Err(fenced),
        };
        self.broken = outcome.clone().err();
        outcome
    }

    async fn compact(&mut self) -> Result<(), JournalError> {
        let things = self.locked(|state| state.records.len() + state.superseded.len() + state.pending.len());
        if self.entries <= SHORT.max(things as u64 * ENTRIES_PER_THING) {
            return Ok(());
        }
        self.may_act()?;
        let (text, entries) = self.beginning(false)?;
        let outcome = self.store.replace(text).await.and_then(|done| self.not_overtaken(done));
        self.broken = outcome.clone().err();
        self.entries = entries;
        outcome
    }

    /// Deletes everything; nothing is accepted from then on.
    async fn remove(&mut self) -> Result<(), JournalError> {
        self.may_act()?;
        self.broken = Some(JournalError::Closed);
        let empty = line::header(&self.owner.deployment);
        self.store.remove(empty.into_bytes()).await.and_then(|done| self.not_overtaken(done))
    }

    fn not_overtaken(&self, appended: Appended) -> Result<(), JournalError> {
        match appended {
            // It counts only for an owner: the place may have been free because a later one has tidied up.
            Appended::Done => self.may_act(),
            Appended::Overtaken => {
                self.owner.guard.fence(Fenced::Overtaken);
                Err(JournalError::Fenced(Fenced::Overtaken))
            }
        }
    }
}
