//! Target `aws` from end to end: the real `forge` against an emulated AWS, with a proxy between them that counts requests,
//! disturbs them, and kills forge at any one of them.
//!
//! ```text
//! forge ── AWS_ENDPOINT_URL ──> Proxy ──> Emulator
//!   ^                             │ Rules: delay, throttle, fail, drop, answer, expire,
//!   └────────── SIGKILL ──────────┘        kill; before or after the effect
//! ```
//!
//! [`Emulator`] is a process of its own, and knows what exists. [`Proxy`] knows each request's service and action
//! ([`Operation`]) and follows [`Rules`]. [`Site`] is a directory with a blueprint, and runs `forge` there. [`matrix()`] kills it at
//! one request after the other and says what that left.

mod emulator;
pub mod matrix;
mod operation;
mod proxy;
mod refusal;
mod rules;
mod site;

pub use emulator::{Emulator, Held};
pub use matrix::matrix;
pub use operation::{Form, Operation};
pub use proxy::{Proxy, Recorded};
pub use refusal::Refusal;
pub use rules::{Ending, Fate, Killer, Moment, Rule, Rules, Which};
pub use site::{Killed, Site};
