//! What AWS charges, as far as it has been looked up; what is not here is not known, and is never guessed.
//!
//! On-demand prices are those of us-east-1 on 2026-07-20, as aws/karpenter-provider-aws has them (commit 1d92708). Prices of
//! capacity blocks and of FSx are those of 2026-09-19, from a survey of AWS's price sheets by others, which names no regions
//! for capacity blocks but where they differ: such types are left out. Spot prices change by the hour and have no place in a table.

use forge_engine::kind::Hourly;

/// The region of the on-demand prices.
const REGION: &str = "us-east-1";

/// US dollars per hour of an instance on demand.
const ON_DEMAND: &[(&str, f64)] = &[
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
    ("p4d.24xlarge", 21.957642),
    ("p4de.24xlarge", 27.44705),
    ("p5.48xlarge", 55.04),
    ("p5.4xlarge", 6.88),
    ("p5en.48xlarge", 63.296),
    ("p6-b200.48xlarge", 113.9328),
    ("p6-b300.48xlarge", 142.416),
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

/// AWS bills months as 730 hours.
const HOURS_PER_MONTH: f64 = 730.0;

/// So many instances on demand.
pub(super) fn on_demand(region: Option<&str>, instance_type: &str, count: u32) -> Option<Hourly> {
    let known = region == Some(REGION);
    let (_, each) = ON_DEMAND.iter().find(|(name, _)| known && *name == instance_type)?;
    Some(Hourly(each * f64::from(count)))
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
