//! Plan and apply. Knows no cloud.
//!
//! Planning decides, applying does, and events are what is shown. The journal is the only truth
//! about what exists; the state is its fold.

pub mod address;
pub mod diag;
pub mod kind;
pub mod resource;
pub mod value;
