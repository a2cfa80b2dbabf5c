//! One writer per deployment.
//!
//! Where the state lies in a directory of this machine, the writer holds a lock of the operating system ([`os`]): it is
//! gone the moment its owner is.
//!
//! Whoever is at work carries a [`Guard`] and asks it before every call that reaches the world and before everything that
//! it writes down: *may I still act?* A lock of the operating system cannot be lost, so its guard always says yes. A
//! [`lease`], which is the lock of a deployment whose state lies in a bucket, can: its owner may have been stopped for longer than it lasts, and somebody else may be at work by now. Then the guard
//! says no, and goes on saying so, and the owner is *fenced*.

pub mod lease;
pub mod os;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::fmt;

pub use os::{Lock, LockError};

/// Who holds a lock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Its process.
    pub pid: u32,
    /// The machine.
    pub host: String,
    /// Since when.
    pub since: Timestamp,
    /// What it is doing, as the user would type it: `forge up`.
    pub command: String,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is held by pid {} on {} since {:.0}", self.command, self.pid, self.host, self.since)
    }
}

/// Why an owner may not go on: somebody else is, or may be, at work by now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum Fenced {
    /// The lease was not renewed in time, by the owner's own clock.
    #[error("its lease has run out, and another forge may be at work on this deployment")]
    Expired,
    /// The lease is somebody else's.
    #[error("its lease has gone to another forge: {0}")]
    Taken(Holder),
    /// The lease is nobody's: it was broken by `forge unlock`, or its bucket was emptied.
    #[error("its lease was taken away")]
    Broken,
    /// Somebody else has written to the journal.
    #[error("another forge has written to the journal")]
    Overtaken,
}

/// Whether its owner is still the only one at work.
pub trait Guard: Send + Sync + fmt::Debug {
    /// Asked before every call and every write.
    ///
    /// # Errors
    /// When the owner must stop. Once it has said so it says so for ever.
    fn may_act(&self) -> Result<(), Fenced>;

    /// Told by whoever has found out otherwise that another is at work: from then on the owner may not act.
    fn fence(&self, _why: Fenced) {}

    /// Which ownership this is, counted from 1; every later owner has a higher one. 0 where owners need no number,
    /// because one cannot outlive its lock.
    fn epoch(&self) -> u64 {
        0
    }

    /// Who the owner is, for the journal.
    fn holder(&self) -> Option<Holder> {
        None
    }
}

/// The guard of whoever cannot lose what it holds: a lock of the operating system, or a world that nobody shares.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unguarded;

impl Guard for Unguarded {
    fn may_act(&self) -> Result<(), Fenced> {
        Ok(())
    }
}
