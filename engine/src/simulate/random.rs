//! Chance that can be had again.

use std::time::Duration;

/// A stream of numbers that follows from its seed alone (SplitMix64, Steele and others 2014). Good enough to pick faults
/// with, and nothing else.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// The stream of `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        // Streams of neighbouring seeds would otherwise begin alike.
        let mut random = Self(seed ^ 0x5bf0_3635_d1a5_6e2b);
        random.draw();
        random
    }

    /// The next 64 bits.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A stream of its own: what is drawn from one does not shift the other.
    #[must_use]
    pub fn fork(&mut self) -> Self {
        Self::new(self.draw())
    }

    /// A number below `bound`, 0 when that is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        if bound == 0 { 0 } else { self.draw() % bound }
    }

    /// An index into something of that length, 0 when it is empty.
    pub fn index(&mut self, length: usize) -> usize {
        usize::try_from(self.below(length as u64)).unwrap_or_default()
    }

    /// True in `per_mille` of 1000 cases.
    pub fn chance(&mut self, per_mille: u64) -> bool {
        // Nothing is drawn for what never happens, so that fair weather stays the same when a new kind of fault is added.
        per_mille > 0 && self.below(1000) < per_mille
    }

    /// A duration up to and including `longest`, in whole milliseconds.
    pub fn up_to(&mut self, longest: Duration) -> Duration {
        let millis = u64::try_from(longest.as_millis()).unwrap_or(u64::MAX);
        Duration::from_millis(self.below(millis.saturating_add(1)))
    }

    /// A duration that is off by at most `percent`, to either side.
    pub fn around(&mut self, usual: Duration, percent: u64) -> Duration {
        let percent = percent.min(100);
        if percent == 0 || usual.is_zero() {
            return usual;
        }
        let factor = 100 - percent + self.below(2 * percent + 1);
        let millis = u64::try_from(usual.as_millis()).unwrap_or(u64::MAX);
        Duration::from_millis((millis.saturating_mul(factor) / 100).max(1))
    }
}

#[cfg(test)]
#[test]
fn the_same_seed_draws_the_same() {
    let draw = |seed| {
        let mut random = Random::new(seed);
        (0..8).map(|_| random.below(100)).collect::<Vec<_>>()
    };
    assert_eq!(draw(7), draw(7));
    assert_ne!(draw(7), draw(8));
    let mut random = Random::new(0);
    let times = |percent, random: &mut Random| random.around(Duration::from_secs(100), percent).as_secs();
    assert!((0..1000).all(|_| (70..=130).contains(&times(30, &mut random))));
    assert_eq!(times(0, &mut random), 100);
    assert_eq!((0..1000).filter(|_| random.chance(250)).count() / 50, 5);
}
