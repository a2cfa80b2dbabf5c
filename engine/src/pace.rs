//! How often to try, and for how long.

use crate::kind::{ErrorClass, KindError};
use std::time::Duration;

/// Pauses that double up to a cap, within a budget. There is no jitter: forge is one client, whose calls are already
/// spread out by the graph, and without it a run can be replayed.
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

/// For repeating calls that failed. Clouds throttle for seconds, rarely for minutes; five minutes of trying outlasts a
/// failover and still ends before its user gives up.
pub const RETRY: Pace =
    Pace { first: Duration::from_millis(200), cap: Duration::from_secs(15), budget: Duration::from_secs(300) };

/// For looking whether something is ready. The first looks are close together because local resources take
/// milliseconds, the later ones apart because clouds count calls. What is waited for has its own deadline.
pub const POLL: Pace = Pace { first: Duration::from_millis(20), cap: Duration::from_secs(5), budget: Duration::MAX };

/// The tries at one call.
#[derive(Debug)]
pub(crate) struct Tries {
    pace: Pace,
    pub(crate) failures: u32,
    spent: Duration,
}

impl Tries {
    pub(crate) fn new(pace: Pace) -> Self {
        Self { pace, failures: 0, spent: Duration::ZERO }
    }

    /// How long to pause before the next try; none when there must be no other.
    pub(crate) fn again(&mut self, error: &KindError) -> Option<Duration> {
        let passes = match error.class {
            ErrorClass::Throttled | ErrorClass::Transient | ErrorClass::NotYetVisible => true,
            ErrorClass::Capacity | ErrorClass::Terminal => false,
        };
        let pause = self.pace.pause(self.failures);
        self.failures += 1;
        self.spent += pause;
        (passes && self.spent <= self.pace.budget).then_some(pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_cap_and_end_with_the_budget() {
        let second = Duration::from_secs;
        let mut tries = Tries::new(Pace { first: second(1), cap: second(4), budget: second(11) });
        let error = KindError { class: ErrorClass::Throttled, message: String::new(), help: None, source: None };
        let pauses: Vec<_> = std::iter::from_fn(|| tries.again(&error)).collect();
        assert_eq!(pauses, [second(1), second(2), second(4), second(4)]);
        assert_eq!(Tries::new(RETRY).again(&KindError::terminal("no")), None);
        assert_eq!(POLL.pause(u32::MAX), POLL.cap);
    }
}
