//! Is this machine fit to train? One check, one file; a check is a function from the [`Node`] to a [`Verdict`].

mod accelerators;

use crate::node::Node;

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// Fit for work.
    Healthy,
    /// Not fit for work.
    Unhealthy,
    /// Could not be found out; never taken for healthy.
    Unknown,
}

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// How it came out.
    pub health: Health,
    /// What is wrong, in one sentence.
    pub reason: String,
    /// What that was seen by.
    pub evidence: String,
}

/// A check.
pub struct Check {
    /// Its name: the same as its file's.
    pub id: &'static str,
    /// The check.
    pub run: fn(&dyn Node, expected: u32) -> Verdict,
}

/// All checks.
pub const CHECKS: &[Check] = &[Check { id: "accelerators", run: accelerators::run }];

/// What makes the node unfit for a gang whose nodes have `expected` accelerators; none when every check says healthy.
#[must_use]
pub fn unfit(node: &dyn Node, expected: u32) -> Option<String> {
    CHECKS.iter().find_map(|check| {
        let verdict = (check.run)(node, expected);
        (verdict.health != Health::Healthy).then(|| format!("{}: {} ({})", check.id, verdict.reason, verdict.evidence))
    })
}
