//! Whether the instance types are offered where nodes are to stand.

use super::ask::Answers;
use super::said;
use super::wants::{Group, Wants};
use crate::aws::Cloud;
use crate::aws::ec2::filter;
use crate::aws::error::Answer;
use crate::preflight::{Finding, Verdict};
use aws_sdk_ec2::types::LocationType;
use forge_engine::address::Address;
use forge_engine::kind::KindError;
use std::collections::{BTreeMap, BTreeSet};

const CHECK: &str = "offering";

pub(super) async fn ask(
    cloud: &Cloud,
    types: &BTreeSet<&str>,
) -> Result<BTreeMap<String, BTreeSet<String>>, KindError> {
    let ec2 = cloud.ec2().await;
    let call = ec2.describe_instance_type_offerings().location_type(LocationType::AvailabilityZone);
    let call = call.filters(filter("instance-type", types.iter().copied()));
    let mut offered: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut pages = call.into_paginator().items().send();
    while let Some(offering) = pages.next().await {
        let offering = offering.of(cloud, "ec2:DescribeInstanceTypeOfferings")?;
        if let (Some(of), Some(zone)) = (offering.instance_type, offering.location) {
            offered.entry(of.as_str().to_owned()).or_default().insert(zone);
        }
    }
    Ok(offered)
}

pub(super) fn check(wants: &Wants, answers: &Answers) -> Vec<Finding> {
    let mut findings = Vec::new();
    if wants.types().is_empty() {
        return findings;
    }
    let what = "where the instance types are offered could not be asked";
    let Some(offered) = said(CHECK, what, &answers.offerings, &mut findings) else { return findings };
    for group in &wants.groups {
        // A block or a reservation has been found a place already.
        if !group.reserved {
            findings.extend(of_group(group, offered, &answers.region));
        }
    }
    for reserved in &wants.reservations {
        let zones = BTreeSet::from([reserved.zone.as_str()]);
        findings.extend(of(&reserved.address, &reserved.instance_type, &zones, offered, &answers.region));
    }
    if findings.is_empty() {
        let types: Vec<&str> = wants.types().into_iter().collect();
        findings.push(Finding::new(
            CHECK,
            Verdict::Fine,
            format!("{}: offered in the zones of their nodes", types.join(", ")),
        ));
    }
    findings
}

fn of_group(group: &Group, offered: &BTreeMap<String, BTreeSet<String>>, region: &str) -> Option<Finding> {
    let zones: BTreeSet<&str> = group.places.iter().filter_map(|place| place.zone.as_deref()).collect();
    let mut findings = group.types.iter().map(|name| of(&group.address, name, &zones, offered, region));
    // Of several types any will do.
    let first = findings.next()?;
    if findings.any(|finding| finding.is_none()) { None } else { first }
}

fn of(
    address: &Address,
    name: &str,
    zones: &BTreeSet<&str>,
    offered: &BTreeMap<String, BTreeSet<String>>,
    region: &str,
) -> Option<Finding> {
    let none = BTreeSet::new();
    let there = offered.get(name).unwrap_or(&none);
    let missing: Vec<&str> = zones.iter().copied().filter(|zone| !there.contains(*zone)).collect();
    if missing.is_empty() && !there.is_empty() {
        return None;
    }
    let names: Vec<&str> = there.iter().map(String::as_str).collect();
    let names = names.join(", ");
    let finding = if there.is_empty() {
        Finding::new(CHECK, Verdict::Refused, format!("{name} is not offered in {region}"))
            .help("Choose another region (`aws: { region: … }`) or another instance type.")
    } else if missing.len() == zones.len() {
        Finding::new(CHECK, Verdict::Refused, format!("{name} is not offered in {}", missing.join(", ")))
            .why(format!("{region} has it in {names}"))
            .help(format!("Put the network into those zones: `aws: {{ zones: [{names}] }}`; `zone` of the nodes chooses among them."))
    } else {
        Finding::new(
            CHECK,
            Verdict::Warning,
            format!("{name} is not offered in {}, only in {names}", missing.join(", ")),
        )
        .help("Nodes will all stand in the zones that have it.")
    };
    Some(finding.at(address))
}
