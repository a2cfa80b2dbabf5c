//! Target `aws`: what AWS resources may say, what changing them takes, and the calls that make them. Planning needs no account
//! ([`kinds_in`]); work does ([`kinds_at`]).
//!
//! The fields are those that forge's modules use, named as the rest of the language names things; each says what it is
//! in AWS's own words where those differ. What AWS would leave insecure by default has no field: volumes, file systems and
//! buckets are always encrypted, instance metadata always needs a session token (IMDSv2), buckets are never public.
//! Effects follow the update calls of botocore 1.43.106. Names of AWS are unique within an account and region (of IAM and
//! S3: beyond it), so a replacement under the same name deletes first.

#![allow(clippy::large_futures, reason = "futures of the SDK are large, and the engine boxes those of kinds once")]

use crate::planned::{PlanOnly, Planned};
use forge_engine::kind::Kinds;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Tags of a resource, besides those that forge sets itself.
pub type Tags = BTreeMap<String, String>;

/// What instances are paid as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Market {
    /// At the listed price, for as long as wanted; an open or targeted reservation is used the same way.
    OnDemand,
    /// Spare capacity that AWS may take back with two minutes' notice.
    Spot,
    /// A capacity block that has been bought.
    CapacityBlock,
}

mod activity;
pub mod bucket;
mod capacity;
mod cloud;
mod describe_types;
mod ec2;
mod eks;
mod error;
mod fsx;
mod fsx_sizes;
mod iam;
mod least_privilege;
mod obstacles;
mod policy;
mod preflight;
mod price;
mod repeat;
mod resource;
mod s3_empty;
mod s3_settings;
mod security_rules;
mod tags;
mod tariff;
mod template;

pub use cloud::{Caller, Cloud};
pub use error::lacks_capacity;
pub use least_privilege::{POLICY_CHARACTERS, Wanted, policies};
pub use preflight::{READS, preflight};
pub use resource::{Live, Resource};
pub use tariff::Tariff;

macro_rules! kinds {
    ($($name:ident),* $(,)?) => {
        $(pub mod $name;)*

        /// The kinds of this target without an account, in no region: what has a price that differs by region has none.
        #[must_use]
        pub fn kinds() -> Kinds {
            kinds_in(None)
        }

        /// The kinds of this target without an account, in a region.
        #[must_use]
        pub fn kinds_in(region: Option<&str>) -> Kinds {
            Kinds::default()$(.with(PlanOnly::<$name::Spec>::within(region)))*
        }

        /// The kinds of this target in an account; the region is for prices.
        #[must_use]
        pub fn kinds_at(cloud: &Arc<Cloud>, region: Option<&str>) -> Kinds {
            Kinds::default()$(.with(Live::<$name::Spec>::new(cloud, region)))*
        }

        /// The IAM actions that the calls of each kind need.
        pub const ACTIONS: &[(&str, &[&str])] =
            &[$((<$name::Spec as Planned>::NAME, <$name::Spec as Resource>::ACTIONS)),*];
    };
}

kinds![
    agent_package,
    autoscaling_group,
    capacity_block,
    capacity_reservation,
    eks_access_entry,
    eks_addon,
    eks_cluster,
    eks_nodegroup,
    eks_pod_identity,
    elastic_ip,
    fsx_association,
    fsx_lustre,
    iam_role,
    instance,
    instance_profile,
    internet_gateway,
    launch_template,
    nat_gateway,
    oidc_provider,
    placement_group,
    route_table,
    s3_bucket,
    security_group,
    subnet,
    vpc,
    vpc_endpoint,
];
