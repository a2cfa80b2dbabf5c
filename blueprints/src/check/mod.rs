//! The checks that need more than a document's shape. One file each.

pub(crate) mod cycle;
pub(crate) mod inputs;
pub(crate) mod spec;
pub(crate) mod unused;
