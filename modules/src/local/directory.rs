//! `local.directory`: a directory that stands for a shared file system such as FSx for Lustre.

use super::place::{Folder, Tagged};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

/// What can be chosen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Size in GiB of the file system that this stands for; nothing enforces it here.
    pub capacity_gib: u64,
}

/// See the module.
pub type Directory = Tagged<Spec>;

impl Folder for Spec {
    const NAME: &'static str = "local.directory";
    const PLURAL: &'static str = "directories";
    const OUTPUTS: &'static [&'static str] = &["id", "path"];

    fn output(_name: &str, path: &str) -> Json {
        json!(path)
    }
}
