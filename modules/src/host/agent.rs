//! `host.agent`: the agent on a machine, installed and kept running.

use crate::planned::Planned;
use forge_engine::kind::{Effect, Typical};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What can be chosen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Identifier of the machine that it runs on.
    pub machine: String,
    /// Address of the deployment's bucket: `s3://name` or `file:///shared/directory`.
    pub bucket: String,
    /// URL of the S3-compatible server that has the bucket; AWS when absent.
    #[serde(default)]
    pub endpoint: Option<String>,
    /// The group of nodes that it belongs to: the module's name.
    pub pool: String,
    /// How many nodes of the group train.
    #[schemars(range(min = 1))]
    pub nodes: u32,
    /// Workers of each node.
    #[schemars(range(min = 1))]
    pub workers_per_node: u32,
    /// Path of the file system that all machines share.
    #[serde(default)]
    pub scratch: Option<String>,
}

impl Planned for Spec {
    const NAME: &'static str = "host.agent";
    const OUTPUTS: &'static [&'static str] = &["id"];
    const SERVICE: &'static str = "ssh";
    /// Estimate: tens of megabytes over SSH, and the first sign of life.
    const TYPICAL: Typical = Typical::seconds(15, 5, 5);
    /// To copy it over a slow line and to see its first sign of life in the bucket.
    const READY_DEADLINE: Duration = Duration::from_secs(300);

    /// One agent per machine and pool: the old one goes first. The rest it learns while it runs.
    fn effect(field: &str, _before: &Self, _after: &Self) -> Effect {
        match field {
            "machine" | "pool" | "bucket" | "endpoint" => Effect::ReplaceDeleteFirst,
            _ => Effect::InPlace,
        }
    }
}
