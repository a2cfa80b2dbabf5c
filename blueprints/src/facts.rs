//! What expressions can ask for that no document says: the functions `instance_type` and `agent_digest`.

use serde_json::Value as Json;
use std::fmt;

/// What whoever expands knows of the world. It is asked for while a blueprint is expanded and must answer at once, and the same
/// every time; what it could not answer it may remember, find out, and have the blueprint expanded once more.
pub trait Facts: fmt::Debug + Send + Sync {
    /// What is known of an instance type: a mapping; none when nothing is.
    fn instance_type(&self, name: &str) -> Option<Json>;

    /// The digest of the agent's program for an architecture, SHA-256 in hexadecimal; none when there is no such program.
    fn agent_digest(&self, architecture: &str) -> Option<String>;
}

/// Nothing is known.
impl Facts for () {
    fn instance_type(&self, _name: &str) -> Option<Json> {
        None
    }

    fn agent_digest(&self, _architecture: &str) -> Option<String> {
        None
    }
}
