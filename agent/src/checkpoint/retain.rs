//! Which checkpoints to keep: the last K, and every power of two.

use crate::wire::{CheckpointPolicy, StepNumber};
use std::collections::BTreeSet;

/// The committed steps that may go.
///
/// A step is kept when it is among the last `keep_last` (at least one), or when `keep_powers_of_two` holds and it is the
/// 1st, 2nd, 4th, 8th, … checkpoint of the run: step / every_steps is a power of two. `in_use` (a gang may be restoring it)
/// is kept in any case.
#[must_use]
pub fn expendable(
    committed: &BTreeSet<StepNumber>,
    policy: &CheckpointPolicy,
    in_use: Option<StepNumber>,
) -> Vec<StepNumber> {
    let last = policy.keep_last.max(1) as usize;
    let recent: BTreeSet<_> = committed.iter().rev().take(last).copied().collect();
    let every = policy.every_steps.unwrap_or(1).max(1);
    let milestone =
        |step: StepNumber| policy.keep_powers_of_two && step.is_multiple_of(every) && (step / every).is_power_of_two();
    committed
        .iter()
        .copied()
        .filter(|step| !recent.contains(step) && !milestone(*step) && in_use != Some(*step))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn policy(keep_last: u32, keep_powers_of_two: bool) -> CheckpointPolicy {
        CheckpointPolicy { every_steps: Some(20), keep_last, keep_powers_of_two }
    }

    #[test]
    fn keeps_the_last_two_and_powers_of_two() {
        let steps = (1..=11).map(|n| n * 20).collect();
        assert_eq!(expendable(&steps, &policy(2, true), None), [60, 100, 120, 140, 180]);
        assert_eq!(expendable(&steps, &policy(2, false), Some(40)), [20, 60, 80, 100, 120, 140, 160, 180]);
    }

    proptest! {
        #[test]
        fn never_drops_the_newest_nor_one_in_use(
            steps in proptest::collection::btree_set(0u64..2000, 1..60),
            keep in 0u32..5,
            powers: bool,
            used in 0usize..60,
        ) {
            let used = steps.iter().nth(used).copied();
            let gone = expendable(&steps, &policy(keep, powers), used);
            prop_assert!(!gone.contains(steps.last().unwrap()));
            prop_assert!(used.is_none_or(|used| !gone.contains(&used)));
            prop_assert!(gone.iter().all(|step| steps.contains(step)));
            // Deciding again after deleting changes nothing.
            let rest: BTreeSet<_> = steps.iter().copied().filter(|step| !gone.contains(step)).collect();
            prop_assert_eq!(expendable(&rest, &policy(keep, powers), used), Vec::<u64>::new());
        }
    }
}
