//! The agent on every node: joins the cluster through the bucket, checks the hardware, runs the workers, keeps the
//! checkpoints, and leads when it is its turn.
//!
//! Start reading at [`agent`], which names the parts, or at [`wire`], which holds every message. It links no control-plane
//! SDK and nothing else of forge: it stays small enough to copy to ten thousand nodes.

pub mod agent;
pub mod bucket;
pub mod checkpoint;
pub mod checks;
pub mod clock;
pub mod command;
mod durable;
mod fault;
pub mod fleet;
pub mod gang;
pub mod lead;
pub mod logs;
pub mod membership;
pub mod node;
pub mod secret;
mod stage;
pub mod supervise;
pub mod wire;
