//! `aws.s3_bucket`: a bucket (S3 CreateBucket and the Put calls of its settings): encrypted, never public, reached over
//! TLS only, owned by the account whatever writes to it.

use super::Tags;
use crate::planned::Planned;
use forge_engine::kind::{Effect, Typical};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What can be chosen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Its name, unique in the world: 3 to 63 of a-z, 0-9, `-` and `.`.
    #[serde(default)]
    pub name: Option<String>,
    /// Where it has no name, the beginning of one, at most 35 characters. The account's number and the region are added:
    /// that is unique, and the same every time.
    #[serde(default)]
    pub prefix: Option<String>,
    /// Whether overwritten and deleted objects are kept.
    #[serde(default)]
    pub versioning: bool,
    /// ARN of the KMS key that encrypts it (SSE-KMS with a bucket key); S3's own key (SSE-S3) when absent.
    #[serde(default)]
    pub kms_key: Option<String>,
    /// What becomes of objects with time.
    #[serde(default)]
    pub lifecycle: Vec<Lifecycle>,
    /// After how many days an upload that was never completed is given up.
    #[serde(default = "one")]
    pub abort_uploads_days: u32,

    /// Tags, besides those that forge sets.
    #[serde(default)]
    pub tags: Tags,
}

/// What becomes of objects with time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Lifecycle {
    /// What the names of the objects begin with; all when empty.
    #[serde(default)]
    pub prefix: String,
    /// After how many days they move to cheaper storage that is still read at once (GLACIER_IR).
    #[serde(default)]
    pub archive_days: Option<u32>,
    /// After how many days they are deleted.
    #[serde(default)]
    pub expire_days: Option<u32>,
    /// For how many days versions that were overwritten or deleted are kept.
    #[serde(default)]
    pub keep_old_versions_days: Option<u32>,
}

fn one() -> u32 {
    1
}

impl Planned for Spec {
    const NAME: &'static str = "aws.s3_bucket";
    const OUTPUTS: &'static [&'static str] = &["name", "arn", "url"];
    const SERVICE: &'static str = "s3";
    /// Estimate: several calls, one for each setting.
    const TYPICAL: Typical = Typical::seconds(3, 2, 5);
    const HOLDS_DATA: bool = true;

    fn effect(field: &str, _before: &Self, _after: &Self) -> Effect {
        match field {
            "name" | "prefix" => Effect::ReplaceCreateFirst,
            _ => Effect::InPlace,
        }
    }
}
