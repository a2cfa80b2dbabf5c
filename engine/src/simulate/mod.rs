//! A cloud that is not there: any kinds, acting on a world in memory, in virtual time.
//!
//! [`Cloud`] holds the world. A [`Client`] of it is one process that calls it; [`Client::kinds`] takes real kinds and
//! returns the same kinds with their calls ending here. Names, outputs, schemas, normal forms, effects, visibility
//! windows, what makes creating safe to repeat and how long things take all come from the real kind; only what it would
//! say to its provider is played.
//!
//! **Time** is tokio's, so that a paused clock makes hours pass in microseconds. A cloud must be made within the runtime
//! whose clock it is to follow. Everything else follows from the [`Weather`] and its seed; as long as one thread runs
//! it, the same seed always gives the same story.
//!
//! **What it plays.** A call takes a latency. It is counted against its service, which throttles when there are too many.
//! It may fail before its effect or after it, or between the calls that it would consist of, or never answer; an update may
//! be taken back, and is refused while an earlier change goes on. Something that was made shows itself after a while, at
//! most its kind's visibility window after the call was sent, and is ready when its kind's usual time is over. Something
//! that is deleted takes its time, and may show for a while when it is gone. Nothing can be made that names what is not
//! there, and nothing can go that something else stands on: a specification that names it in a field that cannot be
//! pointed elsewhere in place. A kind with tokens answers a repeated creation with what the first one has made; one with
//! tags makes a second; one with neither is identified by its specification, carries no tags, and goes with that of
//! whose identifier its own is made.
//!
//! **Processes die.** [`Client::dies_after`] kills a client at one of the points where dying matters: before a call that
//! changes something is sent, after it has had its effect, after the identifier is known, and, when its journal is kept
//! in [`Client::store`], around each write. A request that was on its way when its sender died arrives at once or never,
//! whichever the seed says: nothing has an effect later than that.
//!
//! **Processes sleep**, at the same points, for as long as it pleases whoever plays with them ([`Client::sleeps_after`]):
//! then everything that it has sent has arrived, and nothing else of it happens until it wakes up.
//!
//! The cloud also keeps [`Deed`]s, counts calls, and notices what no engine may do.

mod client;
#[cfg(test)]
pub(crate) mod flavors;
mod kind;
mod objects;
mod outputs;
mod random;
pub mod rehearsal;
#[cfg(test)]
mod scenario;
mod store;
mod weather;
mod world;

use crate::journal::Clock;
use crate::kind::{AnyKind, ErrorClass, KindError, Recovery, Tags};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value as Json;
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;
use world::World;

pub use client::Client;
pub use random::Random;
pub use store::MortalStore;
pub use weather::{Rate, Weather};
pub use world::{Deed, Object};

/// The calls that a service got.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Calls {
    /// By name: `create`, `read`, `update`, `delete`, `list`.
    pub by_name: BTreeMap<&'static str, u64>,
    /// How many of them it refused because there were too many.
    pub throttled: u64,
    /// How many failed because of the weather.
    pub failed: u64,
}

impl Calls {
    /// All of them.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.by_name.values().sum()
    }
}

/// A token bucket: what is left of a burst, and when that was so.
#[derive(Debug, Clone, Copy)]
struct Allowance {
    left: f64,
    at: Duration,
}

/// What the weather does to a call.
enum Fate {
    Works,
    IsStillborn,
    /// Of a creation, it fails after its first effect; an update is taken back.
    StopsPartWay(KindError),
    Fails(KindError),
    LosesReply(KindError),
    Hangs,
}

struct Inner {
    world: World,
    weather: Weather,
    chance: Random,
    buckets: BTreeMap<&'static str, Allowance>,
    calls: BTreeMap<&'static str, Calls>,
    scripted: VecDeque<(&'static str, ErrorClass)>,
    lost_replies: u64,
    clients: u64,
}

/// See the module. Clones are the same cloud.
#[derive(Clone)]
pub struct Cloud {
    inner: Arc<Mutex<Inner>>,
    birth: Instant,
}

impl fmt::Debug for Cloud {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.lock().world.all()).finish()
    }
}

/// The time at which every cloud begins. Any would do; this one is easy to see in a journal.
const BEGINNING: Timestamp = Timestamp::constant(1_767_225_600, 0);

impl Cloud {
    /// An empty one, whose time begins now.
    #[must_use]
    pub fn new(weather: Weather) -> Self {
        let world = World::new(weather.eventual, weather.spread);
        let inner = Inner {
            world,
            chance: Random::new(weather.seed),
            weather,
            buckets: BTreeMap::new(),
            calls: BTreeMap::new(),
            scripted: VecDeque::new(),
            lost_replies: 0,
            clients: 0,
        };
        Self { inner: Arc::new(Mutex::new(inner)), birth: Instant::now() }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // What is behind it is changed in single steps: a panic elsewhere does not make it wrong.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long it has existed.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.birth.elapsed()
    }

    /// The time in it.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        BEGINNING + self.elapsed()
    }

    /// Its clock, for a journal.
    #[must_use]
    pub fn clock(&self) -> Clock {
        let birth = self.birth;
        Arc::new(move || BEGINNING + birth.elapsed())
    }

    /// A process that calls it.
    #[must_use]
    pub fn client(&self) -> Client {
        let mut inner = self.lock();
        inner.clients += 1;
        let number = inner.clients;
        drop(inner);
        Client::new(number, self.clone())
    }

    /// Another weather from now on; chance goes on where it is.
    pub fn set_weather(&self, weather: Weather) {
        let mut inner = self.lock();
        (inner.world.eventual, inner.world.spread) = (weather.eventual, weather.spread);
        inner.weather = weather;
    }

    /// Makes the next call of that name (`create`, `read`, `update`, `delete`, `list`) fail, without an effect.
    pub fn fail_next(&self, call: &'static str, class: ErrorClass) {
        self.lock().scripted.push_back((call, class));
    }

    /// Forgets what [`Cloud::fail_next`] and [`Cloud::lose_replies`] have announced.
    pub fn fail_no_more(&self) {
        let mut inner = self.lock();
        inner.scripted.clear();
        inner.lost_replies = 0;
    }

    /// Makes the next `count` creations work and say that they failed.
    pub fn lose_replies(&self, count: u64) {
        self.lock().lost_replies = count;
    }

    /// Makes a field of a kind one that cannot be read back.
    pub fn conceal(&self, kind: &str, field: &str) {
        self.lock().world.unreadable.insert((kind.to_owned(), field.to_owned()));
    }

    /// Everything that exists, seen or not, by identifier.
    #[must_use]
    pub fn objects(&self) -> Vec<Object> {
        let now = self.elapsed();
        let mut inner = self.lock();
        inner.world.settle(now);
        inner.world.all().cloned().collect()
    }

    /// What was done to it, in order, but for what somebody else did ([`Cloud::plant`], [`Cloud::edit`],
    /// [`Cloud::remove`]).
    #[must_use]
    pub fn deeds(&self) -> Vec<Deed> {
        self.lock().world.deeds.clone()
    }

    /// The same, from the deed of that number on.
    #[must_use]
    pub fn deeds_since(&self, first: usize) -> Vec<Deed> {
        self.lock().world.deeds.iter().skip(first).cloned().collect()
    }

    /// How many deeds there are.
    #[must_use]
    pub fn deeds_done(&self) -> usize {
        self.lock().world.deeds.len()
    }

    /// What was done to it that no engine may do.
    #[must_use]
    pub fn violations(&self) -> Vec<String> {
        self.lock().world.violations.clone()
    }

    /// How many creations were answered with what an earlier attempt had made.
    #[must_use]
    pub fn replays(&self) -> u64 {
        self.lock().world.replays
    }

    /// The calls that each service got.
    #[must_use]
    pub fn calls(&self) -> BTreeMap<&'static str, Calls> {
        self.lock().calls.clone()
    }

    /// Somebody else makes something; returns its identifier.
    ///
    /// # Errors
    /// What the kind says when the specification does not fit.
    pub fn plant(&self, kind: &Arc<dyn AnyKind>, spec: &Json, tags: Option<Tags>) -> Result<String, String> {
        let spec = kind.normalize(spec)?;
        let mut inner = self.lock();
        let Inner { world, chance, .. } = &mut *inner;
        Ok(world.insert(kind, spec, tags, chance))
    }

    /// Somebody else changes a field of something.
    pub fn edit(&self, id: &str, field: &str, value: Json) {
        self.lock().world.edit(id, |spec| spec[field] = value);
    }

    /// Somebody else breaks something: it will never be ready again.
    pub fn wreck(&self, id: &str, why: &str) {
        self.lock().world.wreck(id, why);
    }

    /// Somebody else deletes something, whatever stands on it; it may linger.
    pub fn remove(&self, id: &str) {
        let now = self.elapsed();
        let mut inner = self.lock();
        let Inner { world, chance, weather, .. } = &mut *inner;
        let lingers = |object: &Object| {
            let longest = if weather.eventual { object.kind.visibility() } else { Duration::ZERO };
            chance.up_to(longest)
        };
        world.vanish(id, now, lingers);
    }

    /// Counts a call, and says how long it takes and what becomes of it.
    fn admit(&self, kind: &dyn AnyKind, call: &'static str) -> (Duration, Fate) {
        let now = self.elapsed();
        let mut inner = self.lock();
        let fate = inner.fate(kind, call, now);
        let Inner { chance, weather, calls, .. } = &mut *inner;
        if matches!(fate, Fate::Fails(_) | Fate::LosesReply(_) | Fate::Hangs) {
            calls.entry(kind.service()).or_default().failed += 1;
        }
        (chance.around(weather.latency, weather.spread), fate)
    }
}

fn failure(class: ErrorClass, message: &str) -> KindError {
    KindError { class, message: message.to_owned(), help: None, source: None }
}

impl Inner {
    fn fate(&mut self, kind: &dyn AnyKind, call: &'static str, now: Duration) -> Fate {
        let calls = self.calls.entry(kind.service()).or_default();
        *calls.by_name.entry(call).or_default() += 1;
        if !self.within_rate(kind.service(), now) {
            self.calls.entry(kind.service()).or_default().throttled += 1;
            return Fate::Fails(failure(ErrorClass::Throttled, "too many requests"));
        }
        if let Some(position) = self.scripted.iter().position(|(name, _)| *name == call)
            && let Some((_, class)) = self.scripted.remove(position)
        {
            return Fate::Fails(KindError { help: Some("try less".to_owned()), ..failure(class, "injected") });
        }
        if call == "create" && self.lost_replies > 0 {
            self.lost_replies -= 1;
            return Fate::LosesReply(failure(ErrorClass::Transient, "the connection broke"));
        }
        let Self { weather, chance, .. } = self;
        let changes = !matches!(call, "read" | "list");
        if chance.chance(weather.lost_requests) {
            Fate::Fails(failure(ErrorClass::Transient, "the service is not available"))
        } else if changes && chance.chance(weather.lost_replies) {
            Fate::LosesReply(failure(ErrorClass::Transient, "the connection broke"))
        } else if changes && chance.chance(weather.hangs) {
            Fate::Hangs
        } else if changes && chance.chance(weather.refusals) {
            Fate::Fails(failure(ErrorClass::Terminal, "the service refused"))
        } else if call == "create" && chance.chance(weather.no_capacity) {
            Fate::Fails(failure(ErrorClass::Capacity, "there is no capacity for it"))
        } else if call == "create" && chance.chance(weather.stillborn) {
            Fate::IsStillborn
        } else if call == "create" && kind.recovery() == Recovery::Tags && chance.chance(weather.part_way) {
            let class = if chance.chance(500) { ErrorClass::Transient } else { ErrorClass::NotYetVisible };
            Fate::StopsPartWay(failure(class, "what was just made is not known everywhere yet"))
        } else if call == "update" && chance.chance(weather.taken_back) {
            Fate::StopsPartWay(failure(ErrorClass::Transient, "it was taken back"))
        } else {
            Fate::Works
        }
    }

    #[allow(clippy::cast_precision_loss, reason = "rates are small numbers")]
    fn within_rate(&mut self, service: &'static str, now: Duration) -> bool {
        let Rate { per_second, burst } = self.weather.rate;
        let bucket = self.buckets.entry(service).or_insert(Allowance { left: burst as f64, at: now });
        let refilled = bucket.left + now.saturating_sub(bucket.at).as_secs_f64() * per_second as f64;
        *bucket = Allowance { left: refilled.min(burst as f64), at: now };
        let admitted = bucket.left >= 1.0;
        if admitted {
            bucket.left -= 1.0;
        }
        admitted
    }
}
