//! Exit codes. They are part of what forge promises; README lists them.

use std::process::ExitCode;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    /// Done.
    Done = 0,
    /// Something that the user can fix.
    Fixable = 1,
    /// The command line itself is wrong.
    Usage = 2,
    /// `plan --check` found something to do.
    Changes = 3,
    /// The cluster or the run is not healthy.
    Unhealthy = 4,
    /// Stopped part-way; what was done is saved.
    Partial = 5,
    /// A bug in forge.
    Bug = 70,
    /// Interrupted.
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}
