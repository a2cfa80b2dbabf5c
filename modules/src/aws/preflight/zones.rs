//! Whether the zones of a plan are there, and can have what is to stand in them.

use super::ask::Answers;
use super::said;
use super::wants::Wants;
use crate::aws::Cloud;
use crate::aws::error::Answer;
use crate::preflight::{Finding, Verdict};
use aws_sdk_ec2::types::AvailabilityZoneOptInStatus;
use forge_engine::kind::KindError;
use std::collections::BTreeMap;

const CHECK: &str = "zones";

/// Zones, by their identifiers, in which EKS cannot put its interfaces ("Amazon EKS networking requirements").
const WITHOUT_EKS: &[&str] = &["use1-az3", "usw1-az2", "cac1-az3"];

/// A zone of the region.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Zone {
    /// The same for every account, unlike its name.
    pub(super) id: String,
    pub(super) opted_in: bool,
}

pub(super) async fn ask(cloud: &Cloud) -> Result<BTreeMap<String, Zone>, KindError> {
    let answer = cloud.ec2().await.describe_availability_zones().all_availability_zones(true).send().await;
    let zones = answer.of(cloud, "ec2:DescribeAvailabilityZones")?.availability_zones.unwrap_or_default();
    let zone = |zone: aws_sdk_ec2::types::AvailabilityZone| {
        let opted_in = zone.opt_in_status != Some(AvailabilityZoneOptInStatus::NotOptedIn);
        Some((zone.zone_name?, Zone { id: zone.zone_id.unwrap_or_default(), opted_in }))
    };
    Ok(zones.into_iter().filter_map(zone).collect())
}

pub(super) fn check(wants: &Wants, answers: &Answers) -> Vec<Finding> {
    let mut findings = Vec::new();
    if wants.zones.is_empty() && wants.cluster_zones.is_empty() {
        return findings;
    }
    let what = "whether the availability zones are there could not be asked";
    let Some(zones) = said(CHECK, what, &answers.zones, &mut findings) else { return findings };
    let names = || zones.iter().filter(|(_, zone)| zone.opted_in).map(|(name, _)| name.as_str()).collect::<Vec<_>>();
    for (name, address) in &wants.zones {
        let refused = |what: String| Finding::new(CHECK, Verdict::Refused, what).at(address);
        match zones.get(name) {
            None => {
                let there = names().join(", ");
                findings.push(
                    refused(format!("there is no availability zone {name} in {}", answers.region))
                        .help(format!("This account has {there}; name those to use: `aws: {{ zones: [{there}] }}`.")),
                );
            }
            Some(zone) if !zone.opted_in => findings
                .push(refused(format!("the account has not opted in to {name}")).help(
                    "Opt in to its zone group (EC2 console, Zones), or name other zones: `aws: { zones: […] }`.",
                )),
            Some(_) => {}
        }
    }
    for (name, address) in &wants.cluster_zones {
        let Some(zone) = zones.get(name).filter(|zone| WITHOUT_EKS.contains(&zone.id.as_str())) else { continue };
        let others = zones.iter().filter(|(_, zone)| zone.opted_in && !WITHOUT_EKS.contains(&zone.id.as_str()));
        let others = others.map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ");
        let what = format!("EKS cannot stand in {name}, which is {} in every account", zone.id);
        let help = format!("Name others: `aws: {{ zones: [{others}] }}`.");
        findings.push(Finding::new(CHECK, Verdict::Refused, what).help(help).at(address));
    }
    if findings.is_empty() {
        let names: Vec<&str> = wants.zones.keys().chain(wants.cluster_zones.keys()).map(String::as_str).collect();
        let names: std::collections::BTreeSet<&str> = names.into_iter().collect();
        let names = names.into_iter().collect::<Vec<_>>().join(", ");
        findings.push(Finding::new(CHECK, Verdict::Fine, format!("{names}: there, and usable")));
    }
    findings
}
