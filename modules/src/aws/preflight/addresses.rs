//! Whether subnets have addresses for what is to stand in them: nodes with an address for each plain interface, file systems
//! with one for each server, clusters with six in each subnet, gateways and endpoints with one.

use super::ask::{Answers, number};
use super::wants::{CLUSTER_ADDRESSES, Group, Place, Wants};
use super::{counted, said};
use crate::aws::Cloud;
use crate::aws::error::Answer;
use crate::preflight::{Finding, Verdict};
use forge_engine::address::Address;
use forge_engine::kind::KindError;
use std::collections::BTreeMap;

const CHECK: &str = "addresses";

/// Addresses of each subnet that AWS keeps (VPC User Guide, "Subnet CIDR blocks").
const KEPT: u64 = 5;

/// A subnet of the account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Subnet {
    pub(super) zone: String,
    pub(super) free: u32,
}

pub(super) async fn ask(cloud: &Cloud) -> Result<BTreeMap<String, Subnet>, KindError> {
    let mut pages = cloud.ec2().await.describe_subnets().into_paginator().items().send();
    let mut subnets = BTreeMap::new();
    while let Some(subnet) = pages.next().await {
        let subnet = subnet.of(cloud, "ec2:DescribeSubnets")?;
        if let Some(id) = subnet.subnet_id {
            let zone = subnet.availability_zone.unwrap_or_default();
            subnets.insert(id, Subnet { zone, free: number(subnet.available_ip_address_count) });
        }
    }
    Ok(subnets)
}

/// What is left of a subnet.
struct Room<'a> {
    free: u64,
    /// Who stands there, in the order in which addresses are counted.
    by: Vec<(&'a Address, u64)>,
}

pub(super) fn check(wants: &Wants, answers: &Answers) -> Vec<Finding> {
    let mut findings = Vec::new();
    let what = "how many addresses are free could not be asked";
    let subnets = said(CHECK, what, &answers.subnets, &mut findings);
    let mut rooms: BTreeMap<&str, Room<'_>> = BTreeMap::new();
    let groups = wants.groups.iter().flat_map(|group| &group.places);
    for place in groups.chain(wants.addresses.iter().map(|taken| &taken.place)) {
        if let Some(free) = free(place, subnets) {
            rooms.entry(&place.name).or_insert(Room { free, by: Vec::new() });
        }
    }
    for taken in &wants.addresses {
        if let Some(room) = rooms.get_mut(taken.place.name.as_str()) {
            room.by.push((&taken.address, u64::from(taken.count)));
        }
    }
    let alone = findings.len();
    for (name, room) in &rooms {
        findings.extend(full(name, room));
    }
    for group in &wants.groups {
        findings.extend(of_group(group, &mut rooms, answers));
    }
    if findings.len() == alone && !rooms.is_empty() {
        let what = format!("{} have addresses for all that is to stand in them", counted(rooms.len() as u64, "subnet"));
        findings.push(Finding::new(CHECK, Verdict::Fine, what));
    }
    findings
}

/// The free addresses of a subnet; none when nobody says.
fn free(place: &Place, subnets: Option<&BTreeMap<String, Subnet>>) -> Option<u64> {
    if let Some(cidr) = &place.cidr {
        let bits: u32 = cidr.split_once('/')?.1.parse().ok()?;
        return Some((1u64 << 32u32.checked_sub(bits)?).saturating_sub(KEPT));
    }
    subnets?.get(place.id.as_deref()?).map(|subnet| u64::from(subnet.free))
}

fn full(name: &str, room: &Room<'_>) -> Option<Finding> {
    let needed: u64 = room.by.iter().map(|(_, count)| count).sum();
    if needed <= room.free {
        return None;
    }
    let parts: Vec<String> = room.by.iter().map(|(address, count)| format!("{address}: {count}")).collect();
    let what = format!("{name} has {}, and {needed} are needed", counted_addresses(room.free));
    let help =
        format!("Give it a larger CIDR; EKS needs {CLUSTER_ADDRESSES} in each subnet of a cluster, and 16 are better.");
    let finding = Finding::new(CHECK, Verdict::Refused, what).why(parts.join("; ")).help(help);
    room.by.first().map(|(address, _)| finding.at(address))
}

fn of_group<'a>(group: &'a Group, rooms: &mut BTreeMap<&str, Room<'a>>, answers: &Answers) -> Option<Finding> {
    let mine = || group.places.iter().map(|place| place.name.as_str());
    if !mine().all(|name| rooms.contains_key(name)) || group.places.is_empty() {
        return None;
    }
    let left = |room: &Room<'_>| room.free.saturating_sub(room.by.iter().map(|(_, count)| count).sum());
    let free: u64 = mine().filter_map(|name| rooms.get(name)).map(left).sum();
    let each = u64::from(group.interfaces);
    let needed = u64::from(group.more) * each;
    // Spread evenly, as Auto Scaling does.
    let share = needed.div_ceil(group.places.len() as u64);
    for name in mine() {
        if let Some(room) = rooms.get_mut(name) {
            room.by.push((&group.address, share));
        }
    }
    let places = mine().collect::<Vec<_>>().join(", ");
    let nodes = counted(u64::from(group.more), "node");
    if needed > free {
        let what = format!("{places}: {} left, and {nodes} with {each} each need {needed}", counted_addresses(free));
        let help = "Give the subnets larger CIDRs (`private_cidrs` of the network), or ask for fewer nodes.";
        return Some(Finding::new(CHECK, Verdict::Refused, what).help(help).at(&group.address));
    }
    // Kubernetes' network plugin takes as many as an interface can have, for pods to come.
    let types = answers.types.as_ref().and_then(|types| types.as_ref().ok())?;
    let each = u64::from(types.get(group.types.first()?)?.network.addresses_per_interface?) * each;
    let wanted = u64::from(group.more) * each;
    if !group.kubernetes || each == 0 || wanted <= free {
        return None;
    }
    let what = format!(
        "{places}: {} left, and with {each} for the pods of each, {nodes} may take {wanted}",
        counted_addresses(free)
    );
    let help = "Give the subnets larger CIDRs, or bound what the add-on vpc-cni keeps ready (WARM_IP_TARGET).";
    Some(Finding::new(CHECK, Verdict::Warning, what).help(help).at(&group.address))
}

fn counted_addresses(count: u64) -> String {
    if count == 1 { "1 free address".to_owned() } else { format!("{count} free addresses") }
}
