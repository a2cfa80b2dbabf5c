//! `aws.fsx_association`: a bucket that shows as a directory of a Lustre file system (FSx
//! CreateDataRepositoryAssociation). At most eight of one file system, their paths apart from each other.

use super::Tags;
use crate::planned::{FREE, Planned, replace};
use forge_engine::kind::{Effect, Hourly, Typical};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::time::Duration;

/// What can be chosen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Identifier of the file system.
    pub file_system: String,
    /// Where it shows: `/data`.
    pub path: String,
    /// What shows there: `s3://bucket/prefix/`.
    pub source: String,
    /// Which changes of the bucket show in the file system.
    #[serde(default = "every")]
    pub import: BTreeSet<Event>,
    /// Which changes of the file system go to the bucket.
    #[serde(default = "every")]
    pub export: BTreeSet<Event>,
    /// Most of an object in MiB on one disk of the file system.
    #[serde(default = "chunk")]
    #[schemars(range(min = 1, max = 512_000))]
    pub chunk_mib: u32,

    /// Tags, besides those that forge sets.
    #[serde(default)]
    pub tags: Tags,
}

/// What happens to a file or an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// It is new.
    New,
    /// It has changed.
    Changed,
    /// It is gone.
    Deleted,
}

fn every() -> BTreeSet<Event> {
    BTreeSet::from([Event::New, Event::Changed, Event::Deleted])
}

fn chunk() -> u32 {
    1024
}

impl Planned for Spec {
    const NAME: &'static str = "aws.fsx_association";
    const OUTPUTS: &'static [&'static str] = &["id", "arn"];
    const SERVICE: &'static str = "fsx";
    /// Estimate.
    const TYPICAL: Typical = Typical::seconds(300, 60, 120);
    const READY_DEADLINE: Duration = Duration::from_secs(30 * 60);

    /// Two of one file system cannot have the same path.
    fn effect(field: &str, before: &Self, after: &Self) -> Effect {
        match field {
            "file_system" | "path" | "source" => replace(before.file_system != after.file_system),
            _ => Effect::InPlace,
        }
    }

    fn hourly(&self, _region: Option<&str>) -> Option<Hourly> {
        FREE
    }
}
