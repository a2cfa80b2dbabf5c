//! `host.machine`: a machine of the inventory, reached by SSH and taken into use by this deployment alone.

use crate::planned::Planned;
use forge_engine::kind::{Effect, Typical};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What can be chosen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Its name or IP address.
    pub address: String,
    /// The user to log in as; who runs forge when absent.
    #[serde(default)]
    pub user: Option<String>,
    /// The port of its SSH server.
    #[serde(default = "ssh")]
    pub port: u16,
    /// Path of the private key on the machine that forge runs on; the SSH agent's keys when absent.
    #[serde(default)]
    pub key: Option<String>,
    /// The machine to go through: `user@address:port`.
    #[serde(default)]
    pub jump: Option<String>,
}

fn ssh() -> u16 {
    22
}

impl Planned for Spec {
    const NAME: &'static str = "host.machine";
    const OUTPUTS: &'static [&'static str] = &["id", "address"];
    const SERVICE: &'static str = "ssh";
    /// Estimate: a connection, and what it takes to look around and leave a mark.
    const TYPICAL: Typical = Typical::seconds(3, 2, 2);

    /// Another address is another machine; the rest is how to get there.
    fn effect(field: &str, _before: &Self, _after: &Self) -> Effect {
        match field {
            "address" => Effect::ReplaceCreateFirst,
            _ => Effect::InPlace,
        }
    }
}
