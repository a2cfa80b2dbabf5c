//! How often to try, how often to look, and for how long.
//!
//! There is no jitter anywhere: forge is one client, whose calls are spread out by the graph and by rate limits
//! (its module is `limiter`), and without it a run can be replayed.

use crate::kind::{ErrorClass, KindError};
use std::time::Duration;
use tokio::time::Instant;

/// Pauses that double up to a cap, within a budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// The first pause.
    pub first: Duration,
    /// No pause is longer.
    pub cap: Duration,
    /// All pauses together are not longer.
    pub budget: Duration,
}

impl Pace {
    /// The `n`th pause, from 0.
    #[must_use]
    pub fn pause(&self, n: u32) -> Duration {
        self.first.saturating_mul(2_u32.saturating_pow(n)).min(self.cap)
    }
}

/// How a call that failed is repeated, by the class of its error. Each class has a budget of its own: a call that was
/// throttled for minutes still has all its tries left when the connection breaks.
///
/// Capacity is not among them: a provider that has no machines has none a minute later either, and whoever waits for
/// some does better to ask elsewhere. Nor is what is terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retries {
    /// The provider said: slower. The rate limit of the service does the slowing down, for all calls alike, so that the
    /// pause of the one that was hit need not be long. The budget outlasts any limit that is counted in minutes.
    pub throttled: Pace,
    /// A fault that passes. Five minutes of trying outlast a failover and still end before the user gives up.
    pub transient: Pace,
    /// What was made a moment ago is not known everywhere yet. A role of IAM takes seconds, rarely a minute, to be known
    /// by other services; after two it is not late but missing.
    pub not_yet_visible: Pace,
}

/// See [`Retries`].
pub const RETRIES: Retries = Retries {
    throttled: Pace {
        first: Duration::from_millis(200),
        cap: Duration::from_secs(5),
        budget: Duration::from_secs(600),
    },
    transient: Pace {
        first: Duration::from_millis(200),
        cap: Duration::from_secs(15),
        budget: Duration::from_secs(300),
    },
    not_yet_visible: Pace {
        first: Duration::from_millis(500),
        cap: Duration::from_secs(5),
        budget: Duration::from_secs(120),
    },
};

impl Retries {
    /// The same, but nothing is repeated for longer than this.
    #[must_use]
    pub fn within(self, budget: Duration) -> Self {
        let within = |pace: Pace| Pace { budget: pace.budget.min(budget), ..pace };
        Self {
            throttled: within(self.throttled),
            transient: within(self.transient),
            not_yet_visible: within(self.not_yet_visible),
        }
    }

    fn of(&self, class: ErrorClass) -> Option<&Pace> {
        match class {
            ErrorClass::Throttled => Some(&self.throttled),
            // What only looks is never told to wait for a change; whoever says so all the same is asked again for a while.
            ErrorClass::Transient | ErrorClass::Busy => Some(&self.transient),
            ErrorClass::NotYetVisible => Some(&self.not_yet_visible),
            ErrorClass::Capacity | ErrorClass::Terminal => None,
        }
    }
}

/// For calling again what was refused because of an earlier change, of which nothing can be seen: a provider may call
/// something ready a moment before it takes a change again. The time for which an earlier change may last bounds it.
pub const BUSY: Pace = Pace { first: Duration::from_secs(1), cap: Duration::from_secs(15), budget: Duration::MAX };

/// No call goes out later than this after the time at which it says in the journal that it begins: a window that is counted
/// from there would otherwise close too early, after a process was stopped between the two. Writing takes milliseconds, and
/// tens of them in a bucket.
pub const STALE: Duration = Duration::from_secs(2);

/// For looking again whether something shows that the provider may hide yet. The first looks are close together because
/// most things show at once, the later ones apart because clouds count calls. The window bounds it.
pub const POLL: Pace = Pace { first: Duration::from_millis(20), cap: Duration::from_secs(5), budget: Duration::MAX };

/// When to look whether something is ready, knowing how long it usually takes.
///
/// A look too many costs a call, a look too late costs the user time, and all that waits for it. So looks are rare while
/// it is not due: they begin close together, because local things take milliseconds whatever is usual, and then stay a
/// twentieth of the usual time apart, which is what is lost when it is early. Around the usual time they are a hundredth
/// of it apart. When it is late, nobody knows how late: then pauses grow in proportion to the time waited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Polling {
    /// The first pause.
    pub first: Duration,
    /// No pause while it is due is longer, however long the thing usually takes.
    pub due_cap: Duration,
    /// No pause at all is longer.
    pub cap: Duration,
}

/// See [`Polling`]. Five seconds while it is due: of a control plane's ten minutes that is less than a hundredth, and
/// twelve batched reads a minute are far below any limit.
pub const POLLING: Polling =
    Polling { first: Duration::from_millis(20), due_cap: Duration::from_secs(5), cap: Duration::from_secs(15) };

impl Polling {
    /// How long to pause after the `n`th look (from 0), `waited` after the call, for what usually takes `usual`.
    #[must_use]
    pub fn pause(&self, n: u32, waited: Duration, usual: Duration) -> Duration {
        let starting = self.first.saturating_mul(2_u32.saturating_pow(n));
        let early = usual.mul_f64(0.8);
        let close = (usual / 100).clamp(self.first, self.due_cap.max(self.first));
        if waited < early {
            // Not past the moment from which looks are close together.
            let rare = starting.min(usual / 20).max(self.first).min(self.cap);
            return rare.min((early - waited).max(close));
        }
        if waited < usual.mul_f64(1.3) {
            return starting.min(close);
        }
        starting.min((waited / 50).max(close)).min(self.cap)
    }
}

/// The tries at one call.
#[derive(Debug)]
pub(crate) struct Tries {
    retries: Retries,
    pub(crate) failures: u32,
    /// By class: how often it failed, and how long it was waited for.
    spent: [(u32, Duration); 3],
    /// How often it was refused because of an earlier change, and since when.
    busy: Option<(u32, Instant)>,
}

impl Tries {
    pub(crate) fn new(retries: Retries) -> Self {
        Self { retries, failures: 0, spent: Default::default(), busy: None }
    }

    /// After a call that was refused because of an earlier change, which takes `deadline` at most: how long to pause before
    /// the first look, and how long there is for all of them. None when it is over.
    pub(crate) fn busy(&mut self, deadline: Duration) -> Option<(Duration, Duration)> {
        self.failures += 1;
        let (failures, since) = self.busy.get_or_insert_with(|| (0, Instant::now()));
        let left = deadline.saturating_sub(since.elapsed());
        let pause = BUSY.pause(*failures).min(left);
        *failures += 1;
        (!left.is_zero()).then_some((pause, left))
    }

    /// How long to pause before the next try; none when there must be no other.
    pub(crate) fn again(&mut self, error: &KindError) -> Option<Duration> {
        self.failures += 1;
        let pace = self.retries.of(error.class)?;
        let (failures, spent) = &mut self.spent[match error.class {
            ErrorClass::Throttled => 0,
            ErrorClass::Transient | ErrorClass::Busy => 1,
            _ => 2,
        }];
        let pause = pace.pause(*failures);
        *failures += 1;
        *spent += pause;
        (*spent <= pace.budget).then_some(pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(class: ErrorClass) -> KindError {
        KindError { class, message: String::new(), help: None, source: None }
    }

    #[test]
    fn pauses_double_up_to_the_cap_and_end_with_the_budget_of_their_class() {
        let second = Duration::from_secs;
        let short = Pace { first: second(1), cap: second(4), budget: second(11) };
        let mut tries = Tries::new(Retries { throttled: short, ..RETRIES });
        let pauses: Vec<_> = std::iter::from_fn(|| tries.again(&error(ErrorClass::Throttled))).collect();
        assert_eq!(pauses, [second(1), second(2), second(4), second(4)]);
        // What one class has spent, the others have still.
        assert_eq!(tries.again(&error(ErrorClass::Transient)), Some(RETRIES.transient.first));
        for never in [ErrorClass::Capacity, ErrorClass::Terminal] {
            assert_eq!(Tries::new(RETRIES).again(&error(never)), None);
        }
        assert_eq!(POLL.pause(u32::MAX), POLL.cap);
    }

    /// The number of looks, and how late the last one is, for something that is ready after `ready`.
    fn looks(usual: Duration, ready: Duration) -> (u32, Duration) {
        let mut waited = Duration::ZERO;
        for n in 0.. {
            waited += POLLING.pause(n, waited, usual);
            if waited >= ready {
                return (n + 1, waited - ready);
            }
        }
        unreachable!()
    }

    #[test]
    fn looks_are_rare_and_what_is_ready_is_seen_soon() {
        for usual in [1, 2, 15, 60, 120, 600, 3000] {
            for percent in [30, 60, 81, 99, 100, 101, 120, 200, 400] {
                let (usual, ready) = (Duration::from_secs(usual), Duration::from_secs(usual) * percent / 100);
                let (count, late) = looks(usual, ready);
                let within = if (80..=130).contains(&percent) { ready / 40 } else { ready / 6 };
                assert!(late <= within.max(POLLING.first), "{usual:?} {percent}: {count} looks, {late:?} late");
                assert!(u64::from(count) <= 200 + ready.as_secs() / 10, "{usual:?} {percent}: {count} looks");
            }
        }
        // Something local that takes 30 ms is not waited for as if it took the usual second.
        assert!(looks(Duration::from_secs(1), Duration::from_millis(30)).1 <= Duration::from_millis(30));
    }
}
