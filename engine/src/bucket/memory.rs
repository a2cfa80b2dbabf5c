//! A bucket in memory, which can fail as real ones do.
//!
//! Clones are handles to the same objects. Every call takes [`MemoryBucket::set_latency`] and then takes effect in one
//! step; a caller that is dropped before has called nothing.

use super::{Bucket, BucketError, Condition, ETag, Object};
use futures::future::BoxFuture;
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What a call is to meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It is refused because there are too many, and has no effect.
    Throttled,
    /// It takes effect and reports a failure.
    LostReply,
    /// It reports a failure that does not pass, and has no effect.
    Broken,
}

#[derive(Debug, Default)]
struct Inner {
    objects: BTreeMap<String, (Vec<u8>, u64)>,
    versions: u64,
    puts: u64,
    latency: Duration,
    /// The key must contain the text; the fault is used up.
    faults: Vec<(String, Fault)>,
}

/// See the module.
#[derive(Debug, Clone, Default)]
pub struct MemoryBucket(Arc<Mutex<Inner>>);

impl MemoryBucket {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The next write of or deletion at a key that contains `part` meets `fault`; of several the first goes first.
    pub fn fail(&self, part: &str, fault: Fault) {
        self.inner().faults.push((part.to_owned(), fault));
    }

    /// How long every call takes before it takes effect.
    pub fn set_latency(&self, latency: Duration) {
        self.inner().latency = latency;
    }

    /// Everything that is there.
    #[must_use]
    pub fn objects(&self) -> BTreeMap<String, Vec<u8>> {
        self.inner().objects.iter().map(|(key, (bytes, _))| (key.clone(), bytes.clone())).collect()
    }

    /// Puts an object there, or takes it away, past all conditions and faults.
    pub fn set(&self, key: &str, bytes: Option<Vec<u8>>) {
        let mut inner = self.inner();
        inner.versions += 1;
        let version = inner.versions;
        match bytes {
            Some(bytes) => inner.objects.insert(key.to_owned(), (bytes, version)),
            None => inner.objects.remove(key),
        };
    }

    /// How many writes have taken effect.
    #[must_use]
    pub fn puts(&self) -> u64 {
        self.inner().puts
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn travel(&self) {
        let latency = self.inner().latency;
        if !latency.is_zero() {
            tokio::time::sleep(latency).await;
        }
    }
}

impl Inner {
    fn fault(&mut self, key: &str) -> Option<Fault> {
        let position = self.faults.iter().position(|(part, _)| key.contains(part.as_str()))?;
        Some(self.faults.remove(position).1)
    }

    fn holds(&self, key: &str, condition: &Condition) -> bool {
        let version = self.objects.get(key).map(|(_, version)| version.to_string());
        match condition {
            Condition::Any => true,
            Condition::Absent => version.is_none(),
            Condition::Matches(etag) => version.as_deref() == Some(&etag.0),
        }
    }

    /// Takes `effect` unless a fault or the condition forbids it.
    fn change<T>(
        &mut self,
        key: &str,
        condition: &Condition,
        effect: impl FnOnce(&mut Self) -> T,
    ) -> Result<T, BucketError> {
        let failed = |doing, passing| {
            let source = io::Error::other("injected");
            Err(BucketError::Failed { key: key.to_owned(), doing, passing, source })
        };
        let fault = self.fault(key);
        match fault {
            Some(Fault::Throttled) => return failed("slow down", true),
            Some(Fault::Broken) => return failed("it is broken", false),
            Some(Fault::LostReply) | None => {}
        }
        if !self.holds(key, condition) {
            return Err(BucketError::Conflict { key: key.to_owned() });
        }
        let done = effect(self);
        if fault == Some(Fault::LostReply) { failed("the connection broke", true) } else { Ok(done) }
    }
}

impl Bucket for MemoryBucket {
    fn get(&self, key: &str) -> BoxFuture<'_, Result<Option<Object>, BucketError>> {
        let key = key.to_owned();
        Box::pin(async move {
            self.travel().await;
            let object =
                |(bytes, version): &(Vec<u8>, u64)| Object { bytes: bytes.clone(), etag: ETag(version.to_string()) };
            Ok(self.inner().objects.get(&key).map(object))
        })
    }

    fn put(&self, key: &str, bytes: Vec<u8>, condition: Condition) -> BoxFuture<'_, Result<ETag, BucketError>> {
        let key = key.to_owned();
        Box::pin(async move {
            self.travel().await;
            let effect = |inner: &mut Inner| {
                inner.versions += 1;
                inner.puts += 1;
                inner.objects.insert(key.clone(), (bytes, inner.versions));
                ETag(inner.versions.to_string())
            };
            self.inner().change(&key, &condition, effect)
        })
    }

    fn list(&self, prefix: &str) -> BoxFuture<'_, Result<Vec<String>, BucketError>> {
        let prefix = prefix.to_owned();
        Box::pin(async move {
            self.travel().await;
            Ok(self.inner().objects.keys().filter(|key| key.starts_with(&prefix)).cloned().collect())
        })
    }

    fn delete(&self, key: &str, condition: Condition) -> BoxFuture<'_, Result<(), BucketError>> {
        let key = key.to_owned();
        Box::pin(async move {
            self.travel().await;
            let mut inner = self.inner();
            if !inner.objects.contains_key(&key) {
                return Ok(());
            }
            inner.change(&key, &condition, |inner| drop(inner.objects.remove(&key)))
        })
    }
}
