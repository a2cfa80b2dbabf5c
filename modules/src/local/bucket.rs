//! `local.bucket`: a directory that stands for an S3 bucket, with create-only and compare-and-swap writes (the agent's
//! `bucket::directory`).

use super::place::{Folder, Tagged};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

/// Nothing can be chosen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spec {}

/// See the module.
pub type Bucket = Tagged<Spec>;

impl Folder for Spec {
    const NAME: &'static str = "local.bucket";
    const PLURAL: &'static str = "buckets";
    const OUTPUTS: &'static [&'static str] = &["id", "path", "url"];

    fn output(name: &str, path: &str) -> Json {
        if name == "url" { json!(format!("file://{path}")) } else { json!(path) }
    }
}
