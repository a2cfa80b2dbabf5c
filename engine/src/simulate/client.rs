//! A process that calls a simulated cloud: it can die, and it can sleep.

use super::kind::Simulated;
use super::store::{MortalBucket, MortalStore};
use super::world::Request;
use super::{Cloud, Inner};
use crate::bucket::Bucket;
use crate::journal::Store;
use crate::kind::{KindError, Kinds, Observed};
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use tokio::sync::Notify;

/// Something that is so or not, and that can be waited for. Those who wait go on in the order in which they came, so that a
/// history can be replayed: tokio's `watch` wakes them in a random one.
#[derive(Debug, Default)]
struct Flag {
    set: AtomicBool,
    changed: Notify,
}

impl Flag {
    fn get(&self) -> bool {
        self.set.load(Ordering::SeqCst)
    }

    fn set(&self, to: bool) {
        self.set.store(to, Ordering::SeqCst);
        self.changed.notify_waiters();
    }

    async fn until(&self, wanted: bool) {
        loop {
            let changed = self.changed.notified();
            if self.get() == wanted {
                return;
            }
            changed.await;
        }
    }
}

#[derive(Default)]
struct Life {
    dead: Flag,
    asleep: Flag,
    points: Mutex<Points>,
    /// Requests on their way.
    under_way: Mutex<Vec<Weak<Mutex<Letter>>>>,
}

/// When it dies or falls asleep, in points from now, and how many it has passed.
#[derive(Default)]
struct Points {
    dies: Option<u64>,
    sleeps: Option<u64>,
    passed: u64,
}

/// A request, until it arrives; then its answer.
enum Letter {
    Sent(Request),
    Arrived(Result<Option<Observed>, KindError>),
    Empty,
}

/// A process that calls a simulated cloud. Clones are the same process.
#[derive(Clone)]
pub struct Client {
    number: u64,
    pub(super) cloud: Cloud,
    life: Arc<Life>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Client({})", if self.is_alive() { "alive" } else { "dead" })
    }
}

impl Client {
    pub(super) fn new(number: u64, cloud: Cloud) -> Self {
        let life = Life::default();
        Self { number, cloud, life: Arc::new(life) }
    }

    /// The same kinds, with their calls ending in the cloud.
    #[must_use]
    pub fn kinds(&self, real: &Kinds) -> Kinds {
        real.map(|kind| Arc::new(Simulated { real: Arc::clone(kind), client: self.clone() }))
    }

    /// The same store, with its writes among the points at which the client may die.
    #[must_use]
    pub fn store<S: Store>(&self, store: S) -> MortalStore<S> {
        MortalStore::new(self.clone(), store)
    }

    /// The same bucket, which it can use only while it is awake.
    #[must_use]
    pub fn bucket(&self, bucket: Arc<dyn Bucket>) -> Arc<dyn Bucket> {
        Arc::new(MortalBucket::new(self.clone(), bucket))
    }

    /// Its number among the clients of the cloud, from 1.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Lets it die after `points` more points.
    pub fn dies_after(&self, points: u64) {
        self.points().dies = Some(points);
    }

    /// Lets it fall asleep after `points` more points, as SIGSTOP does: see [`Client::falls_asleep`].
    pub fn sleeps_after(&self, points: u64) {
        self.points().sleeps = Some(points);
    }

    /// Returns once it is to fall asleep. From then on until [`Client::wakes_up`] its work must not be polled. What it has
    /// sent arrives now: the kernel sends what a process has written, whatever becomes of that.
    pub async fn falls_asleep(&self) {
        self.life.asleep.until(true).await;
        let letters = std::mem::take(&mut *self.life.under_way.lock().unwrap_or_else(PoisonError::into_inner));
        for letter in letters.iter().filter_map(Weak::upgrade) {
            self.deliver(&letter);
        }
    }

    /// Lets it go on.
    pub fn wakes_up(&self) {
        self.life.asleep.set(false);
    }

    /// How many points it has passed by now.
    #[must_use]
    pub fn points_passed(&self) -> u64 {
        self.points().passed
    }

    /// True until it dies.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        !self.life.dead.get()
    }

    /// Kills it.
    pub fn die(&self) {
        self.life.dead.set(true);
    }

    /// Returns once it is dead. What it was doing must then not be polled any more.
    pub async fn died(&self) {
        self.life.dead.until(true).await;
    }

    /// Passes a point at which it may die; false when it does.
    pub(super) fn survives(&self) -> bool {
        if !self.is_alive() {
            return false;
        }
        let mut points = self.points();
        points.passed += 1;
        let dies = due(&mut points.dies);
        let sleeps = due(&mut points.sleeps);
        drop(points);
        if sleeps {
            self.life.asleep.set(true);
        }
        if dies {
            self.die();
        }
        !dies
    }

    pub(super) async fn point(&self) {
        if !self.survives() {
            std::future::pending::<()>().await;
        }
    }

    /// Never returns when it is dead.
    pub(super) async fn alive(&self) {
        if !self.is_alive() {
            std::future::pending::<()>().await;
        }
    }

    /// Returns when it is awake, and never when it is dead.
    pub(super) async fn awake(&self) {
        self.life.asleep.until(false).await;
        self.alive().await;
    }

    fn points(&self) -> MutexGuard<'_, Points> {
        self.life.points.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn send(&self, request: Request) -> Sent {
        let letter = Arc::new(Mutex::new(Letter::Sent(request)));
        let mut under_way = self.life.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        under_way.retain(|letter| letter.strong_count() > 0);
        under_way.push(Arc::downgrade(&letter));
        drop(under_way);
        Sent { client: self.clone(), letter }
    }

    /// Lets a letter arrive if it is still on its way.
    fn deliver(&self, letter: &Mutex<Letter>) {
        let mut letter = letter.lock().unwrap_or_else(PoisonError::into_inner);
        if let Letter::Sent(request) = &*letter {
            let now = self.cloud.elapsed();
            let mut inner = self.cloud.lock();
            let Inner { world, chance, .. } = &mut *inner;
            let answer = world.execute(request, now, chance);
            drop(inner);
            *letter = Letter::Arrived(answer);
        }
    }
}

/// Counts down; true when it is time.
fn due(left: &mut Option<u64>) -> bool {
    match left {
        Some(0) => {
            *left = None;
            true
        }
        Some(more) => {
            *more -= 1;
            false
        }
        None => false,
    }
}

/// A request on its way.
pub(super) struct Sent {
    client: Client,
    letter: Arc<Mutex<Letter>>,
}

impl Sent {
    pub(super) fn arrive(&self) -> Result<Option<Observed>, KindError> {
        self.client.deliver(&self.letter);
        let mut letter = self.letter.lock().unwrap_or_else(PoisonError::into_inner);
        match std::mem::replace(&mut *letter, Letter::Empty) {
            Letter::Arrived(answer) => answer,
            Letter::Sent(_) | Letter::Empty => Ok(None),
        }
    }
}

impl Drop for Sent {
    /// Its sender is dead or waits no longer: it arrives now, or is lost.
    fn drop(&mut self) {
        let on_its_way = matches!(&*self.letter.lock().unwrap_or_else(PoisonError::into_inner), Letter::Sent(_));
        if on_its_way && self.client.cloud.lock().chance.chance(500) {
            self.client.deliver(&self.letter);
        }
    }
}
