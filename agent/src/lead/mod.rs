//! Leading: one agent at a time decides for all.
//!
//! [`election`] finds that one agent, [`decide`](mod@decide) is all of its thinking (pure: no clock, no I/O), [`server`] is
//! where the other agents talk to it, and [`leader`] is the single writer that ties them together: it feeds what it hears
//! to `decide`, carries the decision out, and asks again until there is nothing to do.

pub mod decide;
pub mod election;
pub mod leader;
pub mod server;
