//! Checkpoints: committed or not there.
//!
//! A worker writes its files into `step-<n>/rank-<r>.tmp/` and renames that to `rank-<r>`: done. Its agent uploads them
//! ([`upload`]) under keys that carry the generation and tells the leader their digests. When every rank's shards are
//! durable the leader writes the [`manifest`] with a create-only write: that is the commit. Restore ([`restore`]) reads
//! manifests only, verifies every digest and uses local copies that match. [`retain`] decides what may go; the
//! manifest goes first, so a checkpoint that lost its shards is never offered.

pub mod manifest;
pub mod restore;
pub mod retain;
pub mod upload;
