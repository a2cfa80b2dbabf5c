//! How fast a service may be called, learnt from what it says. Pure: time comes in as an argument.
//!
//! A service is called as fast as there is work until it first says that this is too fast. From then on a token bucket
//! paces the calls. Its rate is halved whenever the service complains again, and grows with success along a cubic curve:
//! quickly back to just below the rate at which it complained, slowly past it, then faster again, to find out whether
//! more is allowed by now (CUBIC, RFC 9438; the adaptive mode of AWS's own clients does the same). So an allowance that
//! nobody documents is found within seconds, and one that is shared with others is followed as it changes.

use std::time::Duration;

/// No service is called more slowly, in calls per second: the lowest rate that EC2 documents for any call is two a second
/// (RunInstances), and others are not known to be lower. It bounds how long a queue can take whatever happens. A call that is
/// refused at this rate still waits longer from try to try ([`crate::pace::Retries`]), which slows it further.
const FLOOR: f64 = 2.0;

/// No service is called faster once it has complained, in calls per second: at the 50 ms that a call takes at least, 64
/// calls in flight come to no more.
const CEILING: f64 = 1000.0;

/// What remains of the rate after a complaint. Services count over seconds, and refuse all that is beyond: halving makes
/// room for what is refused by then to be repeated.
const REMAINS: f64 = 0.5;

/// After how many seconds the rate is back where the service complained; after twice as many, as far above as it fell
/// below. It is the same for fast and slow services, so that all refuse about as large a part of the calls.
const BACK: f64 = 5.0;

/// While success brings no more calls than this times those made, the rate does not grow: an allowance that is not used
/// has not been tried.
const USED: f64 = 2.0;

/// The limit of one service.
#[derive(Debug, Default)]
pub(crate) struct Limiter {
    /// Set by the first complaint.
    paced: Option<Paced>,
    meter: Meter,
}

#[derive(Debug)]
struct Paced {
    /// Calls per second.
    rate: f64,
    /// At most one: calls are spaced evenly, for a burst is what services refuse first.
    token: f64,
    refilled: Duration,
    /// The rate at the last complaint, and when that was.
    peak: f64,
    complained: Duration,
}

/// Counts calls by the second.
#[derive(Debug, Default)]
struct Meter {
    second: u64,
    now: u32,
    before: u32,
}

impl Meter {
    fn roll(&mut self, now: Duration) {
        let second = now.as_secs();
        if second != self.second {
            self.before = if second == self.second + 1 { self.now } else { 0 };
            (self.second, self.now) = (second, 0);
        }
    }

    /// Calls per second, of this second or the last, whichever saw more.
    fn rate(&mut self, now: Duration) -> f64 {
        self.roll(now);
        f64::from(self.now.max(self.before))
    }
}

impl Limiter {
    /// How long the next call must wait.
    pub(crate) fn wait(&self, now: Duration) -> Duration {
        let Some(paced) = &self.paced else { return Duration::ZERO };
        let token = paced.token_at(now);
        if token >= 1.0 { Duration::ZERO } else { seconds((1.0 - token) / paced.rate) }
    }

    /// A call begins.
    pub(crate) fn begin(&mut self, now: Duration) {
        self.meter.roll(now);
        self.meter.now += 1;
        if let Some(paced) = &mut self.paced {
            paced.token = (paced.token_at(now) - 1.0).max(0.0);
            paced.refilled = now;
        }
    }

    /// The service complained of a call that began at `began`.
    pub(crate) fn throttled(&mut self, began: Duration, now: Duration) {
        let measured = self.meter.rate(now).max(1.0);
        let peak = match &self.paced {
            // It was on its way when the last complaint came: that one has been heard already.
            Some(paced) if began < paced.complained => return,
            Some(paced) => paced.rate,
            None => measured,
        };
        let rate = (peak * REMAINS).clamp(FLOOR, CEILING);
        self.paced = Some(Paced { rate, token: 0.0, refilled: now, peak, complained: now });
    }

    /// The service took a call.
    pub(crate) fn succeeded(&mut self, now: Duration) {
        let used = self.meter.rate(now) * USED;
        let Some(paced) = &mut self.paced else { return };
        paced.token = paced.token_at(now);
        paced.refilled = now;
        let passed = now.saturating_sub(paced.complained).as_secs_f64();
        let curve = paced.peak * (1.0 + (1.0 - REMAINS) * (passed / BACK - 1.0).powi(3));
        paced.rate = curve.min(used).max(paced.rate).min(CEILING);
    }

    /// Calls per second; none while there is no limit.
    #[cfg(test)]
    fn rate(&self) -> Option<f64> {
        self.paced.as_ref().map(|paced| paced.rate)
    }
}

impl Paced {
    fn token_at(&self, now: Duration) -> f64 {
        (self.token + now.saturating_sub(self.refilled).as_secs_f64() * self.rate).min(1.0)
    }
}

/// Rounded up to a whole millisecond: timers are no finer, and a call that comes too early only has to wait again.
fn seconds(seconds: f64) -> Duration {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bounded by 1 / FLOOR seconds")]
    Duration::from_millis((seconds * 1000.0).ceil() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A service with a bucket of `burst` calls that fills with `rate` a second.
    struct Service {
        rate: f64,
        burst: f64,
        tokens: f64,
        seen: Duration,
    }

    impl Service {
        fn new(rate: f64, burst: f64) -> Self {
            Self { rate, burst, tokens: burst, seen: Duration::ZERO }
        }

        fn takes(&mut self, now: Duration) -> bool {
            self.tokens = (self.tokens + (now - self.seen).as_secs_f64() * self.rate).min(self.burst);
            self.seen = now;
            let takes = self.tokens >= 1.0;
            self.tokens -= if takes { 1.0 } else { 0.0 };
            takes
        }
    }

    /// Calls without end for `time`, each answered at once; how many were taken and how many refused.
    fn run(limiter: &mut Limiter, service: &mut Service, from: Duration, time: Duration) -> (u32, u32) {
        let (mut now, mut taken, mut refused) = (from, 0, 0);
        while now < from + time {
            let wait = limiter.wait(now);
            if !wait.is_zero() {
                now += wait;
                continue;
            }
            limiter.begin(now);
            if service.takes(now) {
                taken += 1;
                limiter.succeeded(now);
            } else {
                refused += 1;
                limiter.throttled(now, now);
            }
            // A call takes a moment: without a limit there are a thousand a second.
            now += Duration::from_millis(1);
        }
        (taken, refused)
    }

    #[test]
    fn without_a_complaint_there_is_no_limit() {
        let (mut limiter, mut service) = (Limiter::default(), Service::new(1e9, 1e9));
        assert_eq!(run(&mut limiter, &mut service, Duration::ZERO, Duration::from_secs(2)), (2000, 0));
        assert_eq!(limiter.rate(), None);
    }

    #[test]
    fn what_a_service_allows_is_found_and_used() {
        for (rate, burst) in [(2.0, 5.0), (20.0, 100.0), (100.0, 200.0)] {
            let (mut limiter, mut service) = (Limiter::default(), Service::new(rate, burst));
            let minute = Duration::from_secs(60);
            run(&mut limiter, &mut service, Duration::ZERO, minute);
            let (taken, refused) = run(&mut limiter, &mut service, minute, minute);
            assert!(f64::from(taken) > rate * 60.0 * 0.75, "{rate}: {taken} taken");
            assert!(f64::from(refused) < f64::from(taken) * 0.15, "{rate}: {refused} refused of {taken}");
        }
    }

    #[test]
    fn an_allowance_that_grows_is_followed() {
        let (mut limiter, mut service) = (Limiter::default(), Service::new(5.0, 5.0));
        let minute = Duration::from_secs(60);
        run(&mut limiter, &mut service, Duration::ZERO, minute);
        service.rate = 50.0;
        run(&mut limiter, &mut service, minute, minute);
        let (taken, _) = run(&mut limiter, &mut service, minute * 2, minute);
        assert!(taken > 2000, "{taken}");
    }

    #[test]
    fn complaints_about_calls_that_were_on_their_way_count_once() {
        let mut limiter = Limiter::default();
        let (start, later) = (Duration::from_millis(100), Duration::from_millis(200));
        for _ in 0..64 {
            limiter.begin(start);
        }
        for _ in 0..64 {
            limiter.throttled(start, later);
        }
        assert_eq!(limiter.rate(), Some(32.0));
        limiter.begin(Duration::from_millis(300));
        limiter.throttled(Duration::from_millis(300), Duration::from_millis(400));
        assert_eq!(limiter.rate(), Some(16.0));
    }

    #[test]
    fn the_rate_stays_above_the_floor() {
        let mut limiter = Limiter::default();
        for second in 0..100 {
            let now = Duration::from_secs(second);
            limiter.begin(now);
            limiter.throttled(now, now);
        }
        assert_eq!(limiter.rate(), Some(FLOOR));
        assert_eq!(limiter.wait(Duration::from_secs(99)), Duration::from_millis(500));
    }
}
