//! `aws.fsx_lustre`: a Lustre file system (FSx CreateFileSystem), on SSD, encrypted.

use super::Tags;
use super::price;
use crate::planned::Planned;
use forge_engine::kind::{Effect, Hourly, Typical};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::time::Duration;

/// What can be chosen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Identifier of its subnet.
    pub subnet: String,
    /// Identifiers of the security groups of its interfaces. Lustre needs TCP 988 and 1018 to 1023, both ways; EFA needs
    /// every protocol from and to a group that clients are in.
    pub security_groups: BTreeSet<String>,
    /// Its size in GiB: 1200, 2400, then steps of 2400; larger steps with EFA.
    #[schemars(range(min = 1200))]
    pub capacity_gib: u32,
    /// What it is made for.
    pub deployment: Deployment,
    /// Throughput in MB/s for each TiB (PerUnitStorageThroughput): 50, 100, 200 of persistent-1; 125, 250, 500, 1000 of
    /// persistent-2; none of scratch-2.
    #[serde(default)]
    pub throughput: Option<u32>,
    /// How metadata is served, of persistent-2 only; EFA needs it.
    #[serde(default)]
    pub metadata: Option<Metadata>,
    /// Whether clients may reach it over EFA; persistent-2 only, decided when it is made.
    #[serde(default)]
    pub efa: bool,
    /// Whether data is compressed (LZ4).
    #[serde(default)]
    pub compress: bool,
    /// The version of Lustre. FSx would take 2.10, which clients of Amazon Linux 2023 cannot mount.
    #[serde(default = "lustre")]
    pub lustre: String,
    /// ARN of the KMS key; FSx's own when absent.
    #[serde(default)]
    pub kms_key: Option<String>,
    /// For how many days daily backups are kept, of persistent ones; 0 for none.
    #[serde(default)]
    #[schemars(range(max = 90))]
    pub backup_days: u8,

    /// Tags, besides those that forge sets.
    #[serde(default)]
    pub tags: Tags,
}

/// What a file system is made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Deployment {
    /// Short work: data is not replicated.
    #[serde(rename = "scratch-2")]
    Scratch2,
    /// The older generation of replicated storage.
    #[serde(rename = "persistent-1")]
    Persistent1,
    /// Replicated storage; the only one with EFA.
    #[serde(rename = "persistent-2")]
    Persistent2,
}

/// How metadata is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Metadata {
    /// As many operations per second as fit its size.
    Automatic,
    /// So many operations per second: 1500, 3000, 6000, 12000, then steps of 12000 up to 192000.
    Iops(u32),
}

/// What was asked for; automatic asks for nothing.
fn iops(metadata: &Option<Metadata>) -> u32 {
    match metadata {
        Some(Metadata::Iops(iops)) => *iops,
        Some(Metadata::Automatic) | None => 0,
    }
}

fn lustre() -> String {
    "2.15".to_owned()
}

impl Planned for Spec {
    const NAME: &'static str = "aws.fsx_lustre";
    const OUTPUTS: &'static [&'static str] = &["id", "arn", "dns_name", "mount_name"];
    const SERVICE: &'static str = "fsx";
    /// Estimate: 5 to 15 minutes are usual.
    const TYPICAL: Typical = Typical::seconds(600, 600, 300);
    const HOLDS_DATA: bool = true;
    /// The SDK has no waiter; 5 to 15 minutes are usual, and large ones take longer.
    const READY_DEADLINE: Duration = Duration::from_secs(60 * 60);

    /// UpdateFileSystem only lets it grow.
    fn effect(field: &str, before: &Self, after: &Self) -> Effect {
        match field {
            "subnet" | "security_groups" | "deployment" | "efa" | "kms_key" => Effect::ReplaceCreateFirst,
            "capacity_gib" if after.capacity_gib < before.capacity_gib => Effect::ReplaceCreateFirst,
            "throughput" if before.efa => Effect::ReplaceCreateFirst,
            "metadata" if iops(&after.metadata) < iops(&before.metadata) => Effect::ReplaceCreateFirst,
            "lustre" if after.lustre < before.lustre => Effect::Forbidden("FSx never goes back to an older Lustre"),
            _ => Effect::InPlace,
        }
    }

    /// Without backups and metadata beyond what is included.
    fn hourly(&self, region: Option<&str>) -> Option<Hourly> {
        if self.backup_days > 0 || self.metadata.is_some() {
            return None;
        }
        match (self.deployment, self.throughput) {
            (Deployment::Scratch2, _) => price::storage(region, self.capacity_gib, price::FSX_SCRATCH),
            (Deployment::Persistent2, Some(125)) => {
                price::storage(region, self.capacity_gib, price::FSX_PERSISTENT_125)
            }
            _ => None,
        }
    }
}
