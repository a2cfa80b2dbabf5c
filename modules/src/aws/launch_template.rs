//! `aws.launch_template`: how an instance is started (EC2 CreateLaunchTemplate, CreateLaunchTemplateVersion). Metadata
//! needs a session token (IMDSv2) and every volume is encrypted, always. It has no subnet: the group that uses it says
//! where, and EKS refuses a template that does.

use super::{Market, Tags};
use crate::planned::{FREE, Planned};
use forge_engine::kind::{Effect, Hourly, Typical};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// What can be chosen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Its name, unique in the region.
    pub name: String,
    /// The instance type; the group that uses it says when absent.
    #[serde(default)]
    pub instance_type: Option<String>,
    /// The machine image: `ami-…`, or `resolve:ssm:/path` to the parameter that names it. EKS chooses when absent.
    #[serde(default)]
    pub image: Option<String>,
    /// What the instance runs when it starts, as text; at most 16 KiB.
    #[serde(default)]
    pub user_data: Option<String>,
    /// Size of the root volume (gp3, encrypted) in GiB.
    #[schemars(range(min = 8))]
    pub disk_gib: u32,
    /// Network interfaces; one plain interface when empty.
    #[serde(default)]
    pub interfaces: Vec<Interface>,
    /// Identifiers of the security groups, of every interface.
    #[serde(default)]
    pub security_groups: BTreeSet<String>,
    /// Name of the placement group.
    #[serde(default)]
    pub placement_group: Option<String>,
    /// What it is paid as. Of spot instances in EKS the node group says so, not the template.
    #[serde(default)]
    pub market: Option<Market>,
    /// Identifier of the capacity reservation or capacity block that it runs in: `cr-…`.
    #[serde(default)]
    pub reservation: Option<String>,
    /// ARN of the instance profile; EKS sets its own and refuses a template that does.
    #[serde(default)]
    pub instance_profile: Option<String>,
    /// How many network hops metadata may travel: 2 when containers read them.
    #[serde(default = "hops")]
    #[schemars(range(min = 1, max = 64))]
    pub metadata_hops: u8,
    /// Tags of the instances and volumes that it starts, besides its own, which they get as well.
    #[serde(default)]
    pub instance_tags: Tags,

    /// Tags, besides those that forge sets.
    #[serde(default)]
    pub tags: Tags,
}

/// A network interface, or several that are alike on different network cards.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Interface {
    /// The network cards that have one, counted from 0.
    pub cards: Vec<u32>,
    /// Its device index on each.
    pub device: u32,
    /// What it carries.
    pub carries: Carries,
}

/// What a network interface carries. The first interface of an instance is always `ip`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Carries {
    /// IP, over ENA (`interface`).
    Ip,
    /// EFA without an address of its own (`efa-only`).
    EfaOnly,
    /// EFA and IP (`efa`).
    Efa,
}

fn hops() -> u8 {
    2
}

impl Planned for Spec {
    const NAME: &'static str = "aws.launch_template";
    const OUTPUTS: &'static [&'static str] = &["id", "name", "latest_version"];
    const SERVICE: &'static str = "ec2";
    /// Estimate: done when the call returns.
    const TYPICAL: Typical = Typical::seconds(1, 1, 1);
    const VOLATILE_OUTPUTS: &'static [&'static str] = &["latest_version"];

    /// Everything but its name makes a new version of it.
    fn effect(field: &str, _before: &Self, _after: &Self) -> Effect {
        match field {
            "name" => Effect::ReplaceCreateFirst,
            _ => Effect::InPlace,
        }
    }

    fn hourly(&self, _region: Option<&str>) -> Option<Hourly> {
        FREE
    }
}
