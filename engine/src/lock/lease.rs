//! The lock of a deployment whose state lies in a bucket: a lease.
//!
//! It is one object, `lock.json`: who holds it, for how long at a time, a *beat* that its owner raises three times in that
//! span, and an *epoch* that every change of owner raises. Every write of it has the condition that nobody else has written
//! since, so of all that want it one gets it.
//!
//! **Expiry** is nobody's clock against another's. An owner may act until a span after the moment *before* it sent its
//! last beat, less a margin, by its own clock. Somebody else takes over only when it has seen the very same object for a
//! whole span by its own clock, and that began *after* the beat took effect. The clocks need not agree on the time, only
//! on how fast it passes, to within the margin; and they must not stop while a machine sleeps (`CLOCK_BOOTTIME`).
//!
//! **An owner that was stopped**, for longer than the span, finds that out from its clock before it does anything else, and
//! is fenced for good. What it had begun to write when it was stopped fails at the bucket: see [`crate::journal`].
//!
//! **Lost replies.** A write that took effect and said that it failed shows when it is repeated: the object then has this
//! owner's name and the beat that was being written.

use super::{Fenced, Guard, Holder};
use crate::bucket::{Bucket, BucketError, Condition, ETag};
use crate::sabotage::{Sabotage, broken};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::sleep;

/// The object's name, below the deployment's prefix.
const KEY: &str = "lock.json";
/// The version of the document that this forge writes and reads.
const VERSION: u32 = 1;
/// Beats in a span: one may get lost, and the next still comes in time.
const BEATS: u32 = 3;
/// The part of the span that an owner gives up: clocks that pass differently, and calls that are just being sent.
const MARGIN: u32 = 5;
/// How soon a beat that failed is tried again, as a part of the span.
const RETRY: u32 = 20;
/// How often to try again when somebody writes in between. Who holds a lease writes a few times in a span.
const TRIES: usize = 10;

/// How long has passed since some moment, asleep or awake; it never goes back. The wall clock will not do.
pub type Ticks = Arc<dyn Fn() -> Duration + Send + Sync>;

/// Why a lease cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum LeaseError {
    /// The bucket failed.
    #[error("the bucket with the lock cannot be used")]
    Bucket(#[from] BucketError),
    /// It cannot be understood.
    #[error("{key} is damaged: {why}")]
    Damaged {
        /// The object.
        key: String,
        /// In what way.
        why: String,
    },
    /// A newer forge wrote it.
    #[error("{key} is in version {version} of its format; this forge reads version {VERSION}: use a newer one")]
    Newer {
        /// The object.
        key: String,
        /// Its version.
        version: u32,
    },
    /// Everybody writes it all the time.
    #[error("{key} keeps changing")]
    Restless {
        /// The object.
        key: String,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Document {
    v: u32,
    /// None when nobody holds it.
    holder: Option<Holder>,
    /// Tells this owner from every other that has ever been.
    owner: String,
    epoch: u64,
    /// The epoch in which this object was made: all that has a lower one is of a life of the deployment that has ended. 0
    /// where it was made by a forge that did not say.
    #[serde(default)]
    first: u64,
    ttl_ms: u64,
    beat: u64,
}

#[derive(Deserialize)]
struct Versioned {
    v: u32,
}

/// What a lease looks like from outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Who holds it.
    pub holder: Holder,
    /// For how long it lasts if it is not renewed.
    pub ttl: Duration,
    /// The owner's number.
    pub epoch: u64,
}

/// Where a lease lies.
#[derive(Debug, Clone)]
pub struct Place {
    bucket: Arc<dyn Bucket>,
    key: String,
}

impl Place {
    /// The lease in `bucket` below `prefix`, which is empty or ends in a slash.
    #[must_use]
    pub fn new(bucket: Arc<dyn Bucket>, prefix: &str) -> Self {
        Self { bucket, key: format!("{prefix}{KEY}") }
    }

    /// Who holds it, if anybody; that one may be dead already.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn look(&self) -> Result<Option<Seen>, LeaseError> {
        Ok(self.read().await?.and_then(|(document, _)| document.seen()))
    }

    /// The epoch since which there has been a lease. None when there is no lease, and so nobody since the last one was
    /// removed; 0 when nobody knows.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(crate) async fn first_epoch(&self) -> Result<Option<u64>, LeaseError> {
        Ok(self.read().await?.map(|(document, _)| document.first))
    }

    /// Takes it from whoever holds it, at once; returns who that was. The old owner is fenced at its next beat, and
    /// at the latest when somebody else has taken the lease and opened the journal. Until then it may still act: only
    /// for owners that are dead and whose lease is not to be waited for.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn break_open(&self) -> Result<Option<Seen>, LeaseError> {
        for _ in 0..TRIES {
            let Some((document, etag)) = self.read().await? else { return Ok(None) };
            let Some(seen) = document.seen() else { return Ok(None) };
            let free = Document { holder: None, epoch: document.epoch + 1, beat: document.beat + 1, ..document };
            match self.write(&free, Condition::Matches(etag)).await {
                Ok(_) => return Ok(Some(seen)),
                Err(BucketError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(LeaseError::Restless { key: self.key.clone() })
    }

    async fn read(&self) -> Result<Option<(Document, ETag)>, LeaseError> {
        let Some(object) = self.bucket.get(&self.key).await? else { return Ok(None) };
        let damaged = |why: serde_json::Error| LeaseError::Damaged { key: self.key.clone(), why: why.to_string() };
        let Versioned { v: version } = serde_json::from_slice(&object.bytes).map_err(damaged)?;
        if version > VERSION {
            return Err(LeaseError::Newer { key: self.key.clone(), version });
        }
        Ok(Some((serde_json::from_slice(&object.bytes).map_err(damaged)?, object.etag)))
    }

    async fn write(&self, document: &Document, condition: Condition) -> Result<ETag, BucketError> {
        self.bucket.put(&self.key, serde_json::to_vec(document).unwrap_or_default(), condition).await
    }
}

impl Document {
    fn ttl(&self) -> Duration {
        Duration::from_millis(self.ttl_ms)
    }

    fn seen(&self) -> Option<Seen> {
        Some(Seen { holder: self.holder.clone()?, ttl: self.ttl(), epoch: self.epoch })
    }
}

/// Somebody who wants the lease.
pub struct Contender {
    place: Place,
    holder: Holder,
    owner: String,
    ttl: Duration,
    ticks: Ticks,
    /// The version that is there, and since when it has been.
    watched: Option<(ETag, Duration)>,
}

/// What a try came to.
#[derive(Debug)]
pub enum Attempt {
    /// The lease is ours.
    Taken(Lease),
    /// Somebody else has it, and it can be taken after this long if it is not renewed.
    Held(Seen, Duration),
}

impl Contender {
    /// `owner` tells this one from every other that has ever been: [`crate::apply::random_operation`] outside tests.
    /// `ttl` is how long the lease lasts without a beat.
    #[must_use]
    pub fn new(place: Place, holder: Holder, owner: String, ttl: Duration, ticks: Ticks) -> Self {
        Self { place, holder, owner, ttl, ticks, watched: None }
    }

    /// Looks once, and takes the lease if it can be taken: when nobody holds it, or its holder has not renewed it for as
    /// long as it lasts, watched from the first of these looks on.
    ///
    /// # Errors
    /// When the bucket cannot be used.
    pub async fn attempt(&mut self) -> Result<Attempt, LeaseError> {
        for _ in 0..TRIES {
            let found = self.place.read().await?;
            let (document, condition) = match found {
                // A number that no earlier lease had, should the object have been deleted: later than any of them.
                None => {
                    let first = u64::try_from(self.holder.since.as_second()).unwrap_or_default().max(1);
                    (self.document(first, first), Condition::Absent)
                }
                // An earlier try of ours took effect and said that it did not. When that was is not known, so that only a
                // beat from now on tells how long it lasts.
                Some((document, etag)) if document.owner == self.owner && document.holder.is_some() => {
                    (Document { beat: document.beat + 1, ..document }, Condition::Matches(etag))
                }
                Some((document, etag)) => match document.seen() {
                    None => (self.document(document.epoch + 1, document.first), Condition::Matches(etag)),
                    Some(seen) => {
                        let left = self.left(&etag, seen.ttl);
                        if !left.is_zero() {
                            return Ok(Attempt::Held(seen, left));
                        }
                        (self.document(document.epoch + 1, document.first), Condition::Matches(etag))
                    }
                },
            };
            let sent = (self.ticks)();
            match self.place.write(&document, condition).await {
                Ok(etag) => return Ok(Attempt::Taken(self.begin(document, etag, sent))),
                // Somebody was faster, or this is the reply that was lost: look again.
                Err(BucketError::Conflict { .. }) => {}
                Err(BucketError::Failed { passing: true, .. }) => sleep(self.ttl / RETRY).await,
                Err(error) => return Err(error.into()),
            }
        }
        Err(LeaseError::Restless { key: self.place.key.clone() })
    }

    fn document(&self, epoch: u64, first: u64) -> Document {
        let (holder, owner) = (Some(self.holder.clone()), self.owner.clone());
        let ttl_ms = u64::try_from(self.ttl.as_millis()).unwrap_or(u64::MAX);
        Document { v: VERSION, holder, owner, epoch, first, ttl_ms, beat: 0 }
    }

    /// For how long this version must still be seen.
    fn left(&mut self, etag: &ETag, ttl: Duration) -> Duration {
        // Asked after the read has returned: what was seen was there by then at the latest.
        let now = (self.ticks)();
        match &self.watched {
            Some((watched, since)) if watched == etag => (*since + ttl).saturating_sub(now),
            _ => {
                self.watched = Some((etag.clone(), now));
                ttl
            }
        }
    }

    /// `sent` is a moment before the write that made it ours took effect.
    fn begin(&self, document: Document, etag: ETag, sent: Duration) -> Lease {
        let valid_until = sent + lasting(self.ttl);
        let now = Now { document, etag, valid_until, fenced: None };
        let keeper = Arc::new(Keeper { now: Mutex::new(now), ttl: self.ttl, ticks: Arc::clone(&self.ticks) });
        Lease { place: self.place.clone(), keeper, heartbeat: None }
    }
}

/// For how long an owner believes that it may act.
fn lasting(ttl: Duration) -> Duration {
    ttl - ttl / MARGIN
}

/// A lease that is held. Dropped, it is not renewed any more, and runs out.
#[derive(Debug)]
pub struct Lease {
    place: Place,
    keeper: Arc<Keeper>,
    heartbeat: Option<JoinHandle<()>>,
}

impl Lease {
    /// Renews it from now on, in a task of this runtime, which must not be kept from running.
    #[must_use]
    pub fn kept(mut self) -> Self {
        let (place, keeper) = (self.place.clone(), Arc::clone(&self.keeper));
        self.heartbeat = Some(tokio::spawn(async move {
            while keeper.may_act().is_ok() {
                sleep(keeper.ttl / BEATS).await;
                keeper.beat(&place).await;
            }
        }));
        self
    }

    /// Its guard, which outlives it: then it says no as soon as the lease has run out.
    #[must_use]
    pub fn guard(&self) -> Arc<dyn Guard> {
        Arc::clone(&self.keeper) as Arc<dyn Guard>
    }

    /// Gives it back, for the next one to take at once.
    ///
    /// # Errors
    /// When the bucket cannot be written. It runs out by itself then.
    pub async fn release(mut self) -> Result<(), LeaseError> {
        self.stop().await;
        self.leave(|place, document, etag| {
            Box::pin(async move {
                let free = Document { holder: None, beat: document.beat + 1, ..document };
                place.write(&free, Condition::Matches(etag)).await.map(drop)
            })
        })
        .await
    }

    /// Gives it back and leaves no object behind: for a deployment of which nothing is left.
    ///
    /// # Errors
    /// When the bucket cannot be written.
    pub async fn remove(mut self) -> Result<(), LeaseError> {
        self.stop().await;
        self.leave(|place, _, etag| place.bucket.delete(&place.key, Condition::Matches(etag))).await
    }

    async fn stop(&mut self) {
        if let Some(task) = self.heartbeat.take() {
            task.abort();
            let _ = task.await;
        }
    }

    /// Ends the ownership by a last write. From before it on the owner may not act.
    async fn leave<'a>(
        &'a self,
        write: impl Fn(&'a Place, Document, ETag) -> futures::future::BoxFuture<'a, Result<(), BucketError>>,
    ) -> Result<(), LeaseError> {
        let was_ours = self.keeper.may_act().is_ok();
        self.keeper.fence(Fenced::Broken);
        for _ in 0..TRIES {
            // A beat may have taken effect without being noticed.
            match self.place.read().await? {
                Some((document, etag)) if was_ours && self.keeper.owns(&document) => {
                    match write(&self.place, document, etag).await {
                        Ok(()) => return Ok(()),
                        Err(BucketError::Conflict { .. }) => {}
                        Err(BucketError::Failed { passing: true, .. }) => sleep(self.keeper.ttl / RETRY).await,
                        Err(error) => return Err(error.into()),
                    }
                }
                // Somebody else's, or nobody's.
                _ => return Ok(()),
            }
        }
        Err(LeaseError::Restless { key: self.place.key.clone() })
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(task) = self.heartbeat.take() {
            task.abort();
        }
    }
}

/// What the owner, its heartbeat and its guard know.
struct Keeper {
    now: Mutex<Now>,
    ttl: Duration,
    ticks: Ticks,
}

#[derive(Debug)]
struct Now {
    document: Document,
    etag: ETag,
    valid_until: Duration,
    fenced: Option<Fenced>,
}

impl fmt::Debug for Keeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.now().fmt(f)
    }
}

impl Keeper {
    fn now(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn owns(&self, document: &Document) -> bool {
        let now = self.now();
        document.holder.is_some() && (&document.owner, document.epoch) == (&now.document.owner, now.document.epoch)
    }

    /// Renews the lease, trying again until it has run out.
    async fn beat(&self, place: &Place) {
        let (mut document, mut etag) = {
            let now = self.now();
            (Document { beat: now.document.beat + 1, ..now.document.clone() }, now.etag.clone())
        };
        while self.may_act().is_ok() {
            let sent = (self.ticks)();
            match place.write(&document, Condition::Matches(etag.clone())).await {
                Ok(etag) => return self.renewed(document, etag, sent),
                Err(BucketError::Conflict { .. }) => match place.read().await {
                    // The beat before was written, or this one was: in either case nobody came in between. Another beat
                    // makes another object: an observer counts from there.
                    Ok(Some((found, current))) if self.owns(&found) => {
                        (document.beat, etag) = (found.beat + 1, current);
                    }
                    Ok(Some((Document { holder: Some(holder), .. }, _))) => return self.fence(Fenced::Taken(holder)),
                    Ok(_) => return self.fence(Fenced::Broken),
                    Err(_) => sleep(self.ttl / RETRY).await,
                },
                Err(_) => sleep(self.ttl / RETRY).await,
            }
        }
    }

    fn renewed(&self, document: Document, etag: ETag, sent: Duration) {
        let mut now = self.now();
        (now.document, now.etag, now.valid_until) = (document, etag, sent + lasting(self.ttl));
    }
}

impl Guard for Keeper {
    fn may_act(&self) -> Result<(), Fenced> {
        // Asked under the lock: the answer must not be older than the question.
        let mut now = self.now();
        if broken(Sabotage::NoFencing) {
            return Ok(());
        }
        if now.fenced.is_none() && (self.ticks)() >= now.valid_until {
            now.fenced = Some(Fenced::Expired);
        }
        now.fenced.clone().map_or(Ok(()), Err)
    }

    fn fence(&self, why: Fenced) {
        self.now().fenced.get_or_insert(why);
    }

    fn epoch(&self) -> u64 {
        self.now().document.epoch
    }

    fn holder(&self) -> Option<Holder> {
        self.now().document.holder.clone()
    }
}

#[cfg(test)]
mod tests;
