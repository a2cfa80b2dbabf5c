//! Target `aws`: what AWS resources may say and what changing them takes. They can be checked and planned in this version,
//! not made yet ([`crate::planned`]).
//!
//! The fields are those that forge's modules use, named as the rest of the language names things; each says what it is
//! in AWS's own words where those differ. What AWS would leave insecure by default has no field: volumes, file systems and
//! buckets are always encrypted, instance metadata always needs a session token (IMDSv2), buckets are never public.
//! Effects follow the update calls of botocore 1.43.106. Names of AWS are unique within an account and region (of IAM and
//! S3: beyond it), so a replacement under the same name deletes first.

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

pub mod bucket;
mod cloud;
mod ec2;
mod error;
mod least_privilege;
mod obstacles;
mod preflight;
mod price;
mod resource;
mod security_rules;
mod tags;
mod tariff;

pub use cloud::{Caller, Cloud};
pub use error::lacks_capacity;
pub use least_privilege::{POLICY_CHARACTERS, Wanted, policies};
pub use preflight::{READS, preflight};
pub use resource::{Live, Resource};
pub use tariff::Tariff;

macro_rules! kinds {
    (live: [$($live:ident),* $(,)?], planned: [$($planned:ident),* $(,)?] $(,)?) => {
        $(pub mod $live;)*
        $(pub mod $planned;)*

        /// The kinds of this target without an account, in no region: what has a price that differs by region has none.
        #[must_use]
        pub fn kinds() -> Kinds {
            kinds_in(None)
        }

        /// The kinds of this target without an account, in a region.
        #[must_use]
        pub fn kinds_in(region: Option<&str>) -> Kinds {
            Kinds::default()
                $(.with(PlanOnly::<$live::Spec>::within(region)))*
                $(.with(PlanOnly::<$planned::Spec>::within(region)))*
        }

        /// The kinds of this target in an account; the region is for prices.
        #[must_use]
        pub fn kinds_at(cloud: &Arc<Cloud>, region: Option<&str>) -> Kinds {
            Kinds::default()
                $(.with(Live::<$live::Spec>::new(cloud, region)))*
                $(.with(PlanOnly::<$planned::Spec>::within(region)))*
        }

        /// The IAM actions that the calls of each kind need.
        pub const ACTIONS: &[(&str, &[&str])] = &[$((<$live::Spec as Planned>::NAME, <$live::Spec as Resource>::ACTIONS)),*];
    };
}

kinds! {
    live: [
        elastic_ip,
        internet_gateway,
        nat_gateway,
        placement_group,
        route_table,
        security_group,
        subnet,
        vpc_endpoint,
        vpc,
    ],
    planned: [
        autoscaling_group,
        capacity_block,
        capacity_reservation,
        eks_access_entry,
        eks_addon,
        eks_cluster,
        eks_nodegroup,
        eks_pod_identity,
        fsx_association,
        fsx_lustre,
        iam_role,
        instance_profile,
        launch_template,
        oidc_provider,
        s3_bucket,
    ],
}
