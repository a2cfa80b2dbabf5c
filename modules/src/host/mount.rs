//! `host.mount`: a path of a machine where a shared file system must be mounted; with a source, it is mounted.

use crate::planned::Planned;
use forge_engine::kind::{Effect, Typical};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What can be chosen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Identifier of the machine.
    pub machine: String,
    /// Where it is mounted.
    pub path: String,
    /// What is mounted there: `server:/export`; whatever is there already when absent.
    #[serde(default)]
    pub source: Option<String>,
    /// Type of the file system: `nfs4`, `lustre`; needed with a source.
    #[serde(default)]
    pub form: Option<String>,
    /// Options of mount(8).
    #[serde(default)]
    pub options: Vec<String>,
}

impl Planned for Spec {
    const NAME: &'static str = "host.mount";
    const OUTPUTS: &'static [&'static str] = &["path"];
    const SERVICE: &'static str = "ssh";
    /// Estimate: one command over SSH.
    const TYPICAL: Typical = Typical::seconds(2, 2, 2);

    /// Options can be changed by mounting again.
    fn effect(field: &str, before: &Self, after: &Self) -> Effect {
        match field {
            "options" => Effect::InPlace,
            _ if (&before.machine, &before.path) != (&after.machine, &after.path) => Effect::ReplaceCreateFirst,
            _ => Effect::ReplaceDeleteFirst,
        }
    }
}
