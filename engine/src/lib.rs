//! Plan and apply. Knows no cloud.
//!
//! Planning decides, applying does, and events are what is shown. The journal is the only truth about what exists; the
//! state is its fold.
//!
//! A run goes like this. The [`lock`] makes sure that this is the only writer. The [`journal`] is opened, which yields
//! the [`state`]: records of what exists, and operations whose end nobody has seen, left by a run that was cut off.
//! [`observe`](mod@observe) asks the world about both. [`plan`](mod@plan) takes the desired [`resource`]s, the state and
//! the observations, and decides everything; it is a pure function, and so the same arguments always make the same plan.
//! [`apply`](mod@apply) walks it and decides nothing. Before each call that changes something, the journal holds the
//! intention, durably; after it, the result. Whoever kills the process at any moment therefore leaves behind a journal
//! that says what to look for, and the next run looks, adopts what it finds, and goes on.
//!
//! What the world is made of is known only to [`kind`]s; what a value is that is not known yet, only to [`value`].
//! Findings are [`diag`]nostics that name places symbolically; what happens is told in [`event`]s, and what a plan will
//! take in a [`mod@forecast`], with a [`mod@bill`] of what each resource costs. How often to try and
//! how long to wait is a [`pace`]. The dependency [`graph`] is where order and cycles come from.
//!
//! With the feature `simulate` all of this also runs against a cloud that is not there, in virtual time, under any faults;
//! see `simulate`. The tests play thousands of random histories in it.

pub mod address;
pub mod apply;
pub mod bill;
pub mod bucket;
pub mod diag;
pub mod event;
pub mod forecast;
mod gate;
pub mod graph;
pub mod journal;
pub mod kind;
mod limiter;
pub mod lock;
pub mod observe;
pub mod pace;
pub mod plan;
pub mod resource;
mod sabotage;
#[cfg(test)]
mod sim;
#[cfg(any(test, feature = "simulate"))]
pub mod simulate;
pub mod state;
pub mod value;
