//! What AWS charges, as far as it has been looked up; what is not here is not known, and is never guessed.
//!
//! On-demand prices are those of us-east-1 on 2026-07-20, as aws/karpenter-provider-aws has them (commit 1d92708). Prices of
//! capacity blocks and of FSx are those of 2026-09-19, from a survey of AWS's price sheets by others, which names no regions
//! for capacity blocks but where they differ: such types are left out. Those of types without accelerators are of 2026-01-19 (the
//! same file of Karpenter's, commit 031e72b). NAT gateways, public addresses and EKS are as several surveys of AWS's price pages
//! had them for us-east-1 between February and April 2026. Spot prices change by the hour and have no place in a table.

use forge_engine::kind::Hourly;

/// The region of the on-demand prices.
const REGION: &str = "us-east-1";

/// US dollars per hour of an instance on demand.
const ON_DEMAND: &[(&str, f64)] = &[
    ("c6i.12xlarge", 2.04),
    ("c6i.16xlarge", 2.72),
    ("c6i.24xlarge", 4.08),
    ("c6i.2xlarge", 0.34),
    ("c6i.32xlarge", 5.44),
    ("c6i.4xlarge", 0.68),
    ("c6i.8xlarge", 1.36),
    ("c6i.large", 0.085),
    ("c6i.xlarge", 0.17),
    ("c7i.12xlarge", 2.142),
    ("c7i.16xlarge", 2.856),
    ("c7i.24xlarge", 4.284),
    ("c7i.2xlarge", 0.357),
    ("c7i.48xlarge", 8.568),
    ("c7i.4xlarge", 0.714),
    ("c7i.8xlarge", 1.428),
    ("c7i.large", 0.08925),
    ("c7i.xlarge", 0.1785),
    ("g5.12xlarge", 5.672),
    ("g5.16xlarge", 4.096),
    ("g5.24xlarge", 8.144),
    ("g5.2xlarge", 1.212),
    ("g5.48xlarge", 16.288),
    ("g5.4xlarge", 1.624),
    ("g5.8xlarge", 2.448),
    ("g5.xlarge", 1.006),
    ("g6.12xlarge", 4.6016),
    ("g6.16xlarge", 3.3968),
    ("g6.24xlarge", 6.6752),
    ("g6.2xlarge", 0.9776),
    ("g6.48xlarge", 13.3504),
    ("g6.4xlarge", 1.3232),
    ("g6.8xlarge", 2.0144),
    ("g6.xlarge", 0.8048),
    ("g6e.12xlarge", 10.49264),
    ("g6e.16xlarge", 7.57719),
    ("g6e.24xlarge", 15.06559),
    ("g6e.2xlarge", 2.24208),
    ("g6e.48xlarge", 30.13118),
    ("g6e.4xlarge", 3.00424),
    ("g6e.8xlarge", 4.52856),
    ("g6e.xlarge", 1.861),
    ("g7e.12xlarge", 8.28608),
    ("g7e.24xlarge", 16.57216),
    ("g7e.2xlarge", 3.36312),
    ("g7e.48xlarge", 33.14432),
    ("g7e.4xlarge", 3.99816),
    ("g7e.8xlarge", 5.26824),
    ("inf2.24xlarge", 6.49063),
    ("inf2.48xlarge", 12.98127),
    ("inf2.8xlarge", 1.96786),
    ("inf2.xlarge", 0.7582),
    ("m5.12xlarge", 2.304),
    ("m5.16xlarge", 3.072),
    ("m5.24xlarge", 4.608),
    ("m5.2xlarge", 0.384),
    ("m5.4xlarge", 0.768),
    ("m5.8xlarge", 1.536),
    ("m5.large", 0.096),
    ("m5.xlarge", 0.192),
    ("m6i.12xlarge", 2.304),
    ("m6i.16xlarge", 3.072),
    ("m6i.24xlarge", 4.608),
    ("m6i.2xlarge", 0.384),
    ("m6i.32xlarge", 6.144),
    ("m6i.4xlarge", 0.768),
    ("m6i.8xlarge", 1.536),
    ("m6i.large", 0.096),
    ("m6i.xlarge", 0.192),
    ("m7g.16xlarge", 2.6112),
    ("m7g.2xlarge", 0.3264),
    ("m7g.4xlarge", 0.6528),
    ("m7g.8xlarge", 1.3056),
    ("m7g.large", 0.0816),
    ("m7g.xlarge", 0.1632),
    ("m7i.12xlarge", 2.4192),
    ("m7i.16xlarge", 3.2256),
    ("m7i.24xlarge", 4.8384),
    ("m7i.2xlarge", 0.4032),
    ("m7i.48xlarge", 9.6768),
    ("m7i.4xlarge", 0.8064),
    ("m7i.8xlarge", 1.6128),
    ("m7i.large", 0.1008),
    ("m7i.xlarge", 0.2016),
    ("p4d.24xlarge", 21.957642),
    ("p4de.24xlarge", 27.44705),
    ("p5.48xlarge", 55.04),
    ("p5.4xlarge", 6.88),
    ("p5en.48xlarge", 63.296),
    ("p6-b200.48xlarge", 113.9328),
    ("p6-b300.48xlarge", 142.416),
    ("r6i.12xlarge", 3.024),
    ("r6i.16xlarge", 4.032),
    ("r6i.24xlarge", 6.048),
    ("r6i.2xlarge", 0.504),
    ("r6i.32xlarge", 8.064),
    ("r6i.4xlarge", 1.008),
    ("r6i.8xlarge", 2.016),
    ("r6i.large", 0.126),
    ("r6i.xlarge", 0.252),
    ("r7i.12xlarge", 3.1752),
    ("r7i.16xlarge", 4.2336),
    ("r7i.24xlarge", 6.3504),
    ("r7i.2xlarge", 0.5292),
    ("r7i.48xlarge", 12.7008),
    ("r7i.4xlarge", 1.0584),
    ("r7i.8xlarge", 2.1168),
    ("r7i.large", 0.1323),
    ("r7i.xlarge", 0.2646),
    ("t3.2xlarge", 0.3328),
    ("t3.large", 0.0832),
    ("t3.medium", 0.0416),
    ("t3.xlarge", 0.1664),
    ("trn1.2xlarge", 1.34375),
    ("trn1.32xlarge", 21.5),
    ("trn1n.32xlarge", 24.78),
];

/// Accelerators of an instance, and US dollars per hour of each in a capacity block. Types whose price depends on the
/// region are left out.
const CAPACITY_BLOCK: &[(&str, f64, f64)] = &[
    ("p4d.24xlarge", 8.0, 1.475),
    ("p4de.24xlarge", 8.0, 2.214),
    ("p5.48xlarge", 8.0, 5.191),
    ("p5e.48xlarge", 8.0, 5.97),
    ("p6-b200.48xlarge", 8.0, 12.355),
    ("p6-b300.48xlarge", 8.0, 14.04),
    ("p6e-gb200.36xlarge", 4.0, 10.582),
];

/// US dollars per GiB and month of a file system in us-east-1: scratch-2, and persistent-2 with 125 MB/s for each TiB.
pub(super) const FSX_SCRATCH: f64 = 0.14;
pub(super) const FSX_PERSISTENT_125: f64 = 0.145;

/// Where the figures of this file are from, for people.
pub(super) const SOURCE: &str = "the prices that this forge was made with, of us-east-1 in 2026 (accelerated instances: 20 July; others: 19 January)";

/// US dollars per hour in us-east-1: a NAT gateway, without what it processes; a public IPv4 address; a control plane of EKS
/// in standard support.
const NAT_GATEWAY: f64 = 0.045;
const PUBLIC_ADDRESS: f64 = 0.005;
const CLUSTER: f64 = 0.10;

/// Versions of Kubernetes that are in standard support for longer than these figures are likely to be used, until March 2027.
/// In extended support a cluster costs six times as much.
const IN_SUPPORT: &[&str] = &["1.35"];

/// AWS bills months as 730 hours.
const HOURS_PER_MONTH: f64 = 730.0;

/// One instance on demand.
pub(super) fn each_on_demand(region: Option<&str>, instance_type: &str) -> Option<f64> {
    let known = region == Some(REGION);
    ON_DEMAND.iter().find(|(name, _)| known && *name == instance_type).map(|(_, each)| *each)
}

/// So many instances on demand.
pub(super) fn on_demand(region: Option<&str>, instance_type: &str, count: u32) -> Option<Hourly> {
    Some(Hourly(each_on_demand(region, instance_type)? * f64::from(count)))
}

/// What costs the same whatever is done with it.
pub(super) fn flat(region: Option<&str>, kind: &str, version: Option<&str>) -> Option<Hourly> {
    let price = match kind {
        "aws.nat_gateway" => NAT_GATEWAY,
        "aws.elastic_ip" => PUBLIC_ADDRESS,
        "aws.eks_cluster" if version.is_some_and(|version| IN_SUPPORT.contains(&version)) => CLUSTER,
        _ => return None,
    };
    (region == Some(REGION)).then_some(Hourly(price))
}

/// So many instances in a capacity block, which is paid for as a whole when it is bought.
pub(super) fn capacity_block(instance_type: &str, count: u32) -> Option<Hourly> {
    let (_, accelerators, each) = CAPACITY_BLOCK.iter().find(|(name, ..)| *name == instance_type)?;
    Some(Hourly(accelerators * each * f64::from(count)))
}

/// So many GiB at a price for the month.
pub(super) fn storage(region: Option<&str>, gib: u32, per_month: f64) -> Option<Hourly> {
    (region == Some(REGION)).then(|| Hourly(f64::from(gib) * per_month / HOURS_PER_MONTH))
}
