//! What a target says before anything is created: who asks, and whether what a plan wants can be had there.
//!
//! A target that cannot be asked says so: what is unknown stops nothing. What is refused would fail anyway, after minutes
//! and with a part of it made; so it stops before the first creation, and everything that is refused is said at once.

use forge_engine::address::Address;
use serde::Serialize;

/// Everything that a target says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Who asks, and where; none when the target does not say.
    pub identity: Option<Identity>,
    /// What was found, the worst first.
    pub findings: Vec<Finding>,
}

/// Who asks, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Identity {
    /// The account.
    pub account: String,
    /// Who it is in that account.
    pub name: String,
    /// The region.
    pub region: String,
}

/// What came of a check, the worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It would fail.
    Refused,
    /// It may fail, or not be what was meant.
    Warning,
    /// It could not be asked.
    Unknown,
    /// It is as it should be.
    Fine,
}

/// What a check has found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The check.
    pub check: &'static str,
    /// What came of it.
    pub verdict: Verdict,
    /// What was found.
    pub what: String,
    /// Why it is so, or why it could not be asked.
    pub why: Option<String>,
    /// What to do.
    pub help: Option<String>,
    /// The resource that it is about.
    pub address: Option<Address>,
}

impl Finding {
    /// What a check has found.
    #[must_use]
    pub fn new(check: &'static str, verdict: Verdict, what: impl Into<String>) -> Self {
        Self { check, verdict, what: what.into(), why: None, help: None, address: None }
    }

    /// With why it is so.
    #[must_use]
    pub fn why(mut self, why: impl Into<String>) -> Self {
        self.why = Some(why.into());
        self
    }

    /// With what to do.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// About a resource.
    #[must_use]
    pub fn at(mut self, address: &Address) -> Self {
        self.address = Some(address.clone());
        self
    }
}

impl Report {
    /// A report of these findings.
    #[must_use]
    pub fn new(identity: Option<Identity>, mut findings: Vec<Finding>) -> Self {
        findings.sort_by_key(|finding| finding.verdict);
        Self { identity, findings }
    }

    /// How many findings have this verdict.
    #[must_use]
    pub fn count(&self, verdict: Verdict) -> usize {
        self.findings.iter().filter(|finding| finding.verdict == verdict).count()
    }

    /// True when something is refused.
    #[must_use]
    pub fn refuses(&self) -> bool {
        self.count(Verdict::Refused) > 0
    }
}
