//! Who may call next.
//!
//! Every call to a provider goes through the gate. It has a number of slots, one for each call in flight, and a rate
//! limit for each service ([`crate::limiter`]), which all calls to that service share, whoever makes them. Whoever waits
//! here holds nothing. When a slot is free, it goes to the most urgent call whose service may be called now; a service
//! that must wait keeps no other from being called.
//!
//! There is no task behind it: those that wait wake each other, and the first of each service sets the timer for its
//! rate. A queue moves at least at the limiter's floor, and every call has a deadline, so that nothing waits for ever.

use crate::kind::{AnyKind, ErrorClass, KindError};
use crate::limiter::Limiter;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};

/// How urgent a call is: how long everything that waits for it will take at least.
pub(crate) type Urgency = Duration;

/// The most urgent first; among equals, whoever came first.
type Rank = (Reverse<Urgency>, u64);

#[derive(Debug)]
pub(crate) struct Gate {
    opened: Instant,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    free: usize,
    arrivals: u64,
    services: BTreeMap<&'static str, Service>,
}

#[derive(Debug, Default)]
struct Service {
    limiter: Limiter,
    waiting: BTreeMap<Rank, Arc<Notify>>,
}

/// The right to make one call. Its slot is free again when this is dropped.
#[derive(Debug)]
pub(crate) struct Pass<'g> {
    gate: &'g Gate,
    service: &'static str,
    began: Duration,
}

/// A place in a queue; left when this is dropped.
struct Place<'g> {
    gate: &'g Gate,
    service: &'static str,
    rank: Rank,
    woken: Arc<Notify>,
}

impl Gate {
    /// A gate with that many slots.
    pub(crate) fn new(slots: usize) -> Self {
        let inner = Inner { free: slots.max(1), arrivals: 0, services: BTreeMap::new() };
        Self { opened: Instant::now(), inner: Mutex::new(inner) }
    }

    /// Waits for the right to call a kind.
    pub(crate) async fn enter(&self, kind: &dyn AnyKind, urgency: Urgency) -> Pass<'_> {
        let place = self.queue(kind.service(), urgency);
        loop {
            match self.admit(&place) {
                Ok(pass) => return pass,
                Err(Some(wait)) => {
                    tokio::select! {
                        biased;
                        () = place.woken.notified() => {}
                        () = sleep(wait) => {}
                    }
                }
                Err(None) => place.woken.notified().await,
            }
        }
    }

    fn queue(&self, service: &'static str, urgency: Urgency) -> Place<'_> {
        let mut inner = self.locked();
        inner.arrivals += 1;
        let (rank, woken) = ((Reverse(urgency), inner.arrivals), Arc::new(Notify::new()));
        inner.services.entry(service).or_default().waiting.insert(rank, Arc::clone(&woken));
        Place { gate: self, service, rank, woken }
    }

    /// The pass, or for how long to wait unless woken before.
    fn admit(&self, place: &Place<'_>) -> Result<Pass<'_>, Option<Duration>> {
        let now = self.opened.elapsed();
        let mut inner = self.locked();
        let first = inner.services.get(place.service).and_then(|service| service.waiting.first_key_value());
        if first.is_none_or(|(rank, _)| *rank != place.rank) || inner.free == 0 {
            return Err(None);
        }
        let wait = inner.services.get(place.service).map_or(Duration::ZERO, |service| service.limiter.wait(now));
        if !wait.is_zero() {
            return Err(Some(wait));
        }
        if inner.most_urgent(now).is_some_and(|rank| rank < place.rank) {
            // It has been woken and takes the slot; then this one is woken.
            return Err(None);
        }
        inner.free -= 1;
        if let Some(service) = inner.services.get_mut(place.service) {
            service.waiting.remove(&place.rank);
            service.limiter.begin(now);
        }
        inner.wake();
        Ok(Pass { gate: self, service: place.service, began: now })
    }

    fn locked(&self) -> MutexGuard<'_, Inner> {
        // Nothing in here panics half-way.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// The most urgent of those that may go now.
    fn most_urgent(&self, now: Duration) -> Option<Rank> {
        let heads = self.services.values().filter(|service| service.limiter.wait(now).is_zero());
        heads.filter_map(|service| service.waiting.first_key_value()).map(|(rank, _)| *rank).min()
    }

    /// Wakes the first of each service.
    fn wake(&self) {
        for service in self.services.values() {
            if let Some((_, woken)) = service.waiting.first_key_value() {
                woken.notify_one();
            }
        }
    }
}

impl Pass<'_> {
    /// Makes the call, which counts as lost when it takes longer than `deadline`, and learns from its result.
    pub(crate) async fn call<T>(
        self,
        deadline: Duration,
        call: impl Future<Output = Result<T, KindError>>,
    ) -> Result<T, KindError> {
        let result = timeout(deadline, call).await.unwrap_or_else(|_| {
            let message = format!("there was no answer within {} s", deadline.as_secs());
            Err(KindError { class: ErrorClass::Transient, message, help: None, source: None })
        });
        let now = self.gate.opened.elapsed();
        if let Some(service) = self.gate.locked().services.get_mut(self.service) {
            match &result {
                Err(error) if error.class == ErrorClass::Throttled => service.limiter.throttled(self.began, now),
                // A fault may be a limit that does not say so: it teaches nothing.
                Err(error) if error.class == ErrorClass::Transient => {}
                _ => service.limiter.succeeded(now),
            }
        }
        result
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        let mut inner = self.gate.locked();
        inner.free += 1;
        inner.wake();
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut inner = self.gate.locked();
        // Nothing is there any more once it was admitted.
        if inner.services.get_mut(self.service).is_some_and(|service| service.waiting.remove(&self.rank).is_some()) {
            inner.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::Site;
    use futures::stream::{FuturesUnordered, StreamExt};
    use std::cell::RefCell;

    async fn call(gate: &Gate, site: &Site, name: &str, urgency: u64, order: &RefCell<Vec<(String, u64)>>) {
        let kind = site.kinds.get("sim.net").unwrap();
        let pass = gate.enter(kind.as_ref(), Duration::from_secs(urgency)).await;
        order.borrow_mut().push((name.to_owned(), gate.opened.elapsed().as_millis().try_into().unwrap()));
        let work = async {
            sleep(Duration::from_millis(100)).await;
            Ok(())
        };
        pass.call(Duration::from_secs(60), work).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_free_slot_goes_to_the_most_urgent() {
        let (site, gate, order) = (Site::new(), Gate::new(2), RefCell::default());
        let calls: FuturesUnordered<_> = [("a", 1), ("b", 1), ("c", 2), ("d", 9), ("e", 2)]
            .into_iter()
            .map(|(name, urgency)| call(&gate, &site, name, urgency, &order))
            .collect();
        calls.collect::<Vec<_>>().await;
        let order: Vec<_> = order.borrow().iter().map(|(name, at)| format!("{name} {at}")).collect();
        assert_eq!(order, ["a 0", "b 0", "d 100", "c 100", "e 200"]);
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_gives_up_lets_the_next_one_through() {
        let (site, gate, order) = (Site::new(), Gate::new(1), RefCell::default());
        let kind = site.kinds.get("sim.net").unwrap();
        let held = gate.enter(kind.as_ref(), Duration::ZERO).await;
        let given_up = timeout(Duration::from_millis(10), gate.enter(kind.as_ref(), Duration::from_secs(9))).await;
        assert!(given_up.is_err());
        let (_, ()) = tokio::join!(call(&gate, &site, "a", 1, &order), async { drop(held) });
        assert_eq!(*order.borrow(), [("a".to_owned(), 10)]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_service_that_complains_is_called_at_a_pace_and_holds_no_slot_meanwhile() {
        let (site, gate, order) = (Site::new(), Gate::new(2), RefCell::default());
        let kind = site.kinds.get("sim.net").unwrap();
        let pass = gate.enter(kind.as_ref(), Duration::ZERO).await;
        let complaint = KindError { class: ErrorClass::Throttled, message: String::new(), help: None, source: None };
        let refused: Result<(), _> = pass.call(Duration::from_secs(60), async { Err(complaint) }).await;
        assert!(refused.is_err());
        let calls: FuturesUnordered<_> =
            ["a", "b", "c"].into_iter().map(|name| call(&gate, &site, name, 0, &order)).collect();
        calls.collect::<Vec<_>>().await;
        // One call in the second of the complaint: from then on two in a second, as the floor has it.
        let order: Vec<_> = order.borrow().iter().map(|(name, at)| format!("{name} {at}")).collect();
        assert_eq!(order[0], "a 500");
        assert_eq!(gate.locked().free, 2);
    }
}
