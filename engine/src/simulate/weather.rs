//! How a simulated cloud behaves.

use std::time::Duration;

/// How many calls a service takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Calls per second, for ever.
    pub per_second: u64,
    /// Calls at once, after a pause.
    pub burst: u64,
}

/// How a simulated cloud behaves. Chances are per mille of the calls concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Weather {
    /// What all chance follows from.
    pub seed: u64,
    /// What a call takes that only changes a database.
    pub latency: Duration,
    /// How far durations are off from the usual ones, in percent.
    pub spread: u64,
    /// What each service takes before it throttles.
    pub rate: Rate,
    /// Whether things that were made show themselves late, and things that were deleted linger, by up to the kind's
    /// visibility window. Otherwise everybody sees everything at once.
    pub eventual: bool,
    /// Calls that fail in a way that passes, without an effect.
    pub lost_requests: u64,
    /// Calls that fail in a way that passes, after their effect.
    pub lost_replies: u64,
    /// Calls that never answer; half of them have had their effect.
    pub hangs: u64,
    /// Creations for which there is no capacity.
    pub no_capacity: u64,
    /// Calls that are refused for good.
    pub refusals: u64,
    /// Creations of things that will never be ready.
    pub stillborn: u64,
    /// Creations that stop once there is an identifier: what can be set later, and read back, is not set. Only where a
    /// creation is known by its tags; with a token, or where it is identified by its specification, it is one call made again.
    pub part_way: u64,
    /// Updates that are taken back by the time that they have returned, as far as it can be read back.
    pub taken_back: u64,
    /// Lists that show what carries another deployment's tags as well.
    pub stray_lists: u64,
}

impl Weather {
    /// Nothing fails, everything takes as long as usual, and services throttle only a client that does not care: 20
    /// calls per second with bursts of 100 is the lower end of what EC2 grants an account per API.
    #[must_use]
    pub fn fair() -> Self {
        Self {
            seed: 0,
            latency: Duration::from_millis(250),
            spread: 0,
            rate: Rate { per_second: 20, burst: 100 },
            eventual: true,
            lost_requests: 0,
            lost_replies: 0,
            hangs: 0,
            no_capacity: 0,
            refusals: 0,
            stillborn: 0,
            part_way: 0,
            taken_back: 0,
            stray_lists: 0,
        }
    }

    /// A bad day at the provider: durations off by half, a tight rate limit, one call in fifty lost, now and then no
    /// capacity. Nothing in it is beyond what a run should survive, but for capacity.
    #[must_use]
    pub fn rough(seed: u64) -> Self {
        Self {
            seed,
            spread: 50,
            rate: Rate { per_second: 5, burst: 20 },
            lost_requests: 20,
            lost_replies: 20,
            no_capacity: 10,
            ..Self::fair()
        }
    }
}
