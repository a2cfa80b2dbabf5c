//! Whether the account may run as many vCPUs: quotas of EC2 are by family of instance types, and of on-demand and spot
//! instances each (EC2 User Guide, "Amazon EC2 instance type quotas").
//!
//! Places that are reserved count as if their instances ran; instances in capacity blocks do not count.

use super::ask::{Answers, number};
use super::wants::{Group, Wants};
use super::{counted, said};
use crate::aws::ec2::filter;
use crate::aws::error::Answer;
use crate::aws::{Cloud, Market};
use crate::instance_types::{InstanceType, quotas_of};
use crate::preflight::{Finding, Verdict};
use aws_sdk_ec2::types::{CapacityReservationType, InstanceLifecycleType};
use forge_engine::kind::KindError;
use std::collections::BTreeMap;

const CHECK: &str = "vcpus";

/// Codes of the quotas, with AWS's names for them, all of service `ec2`, and what a new account has where that is documented (Service
/// Quotas; General Reference, "Amazon EC2 endpoints and quotas").
pub(super) const QUOTAS: &[(&str, &str, Option<f64>)] = &[
    ("L-1216C47A", "Running On-Demand Standard (A, C, D, H, I, M, R, T, Z) instances", Some(5.0)),
    ("L-417A185B", "Running On-Demand P instances", Some(0.0)),
    ("L-DB2E81BA", "Running On-Demand G and VT instances", Some(0.0)),
    ("L-1945791B", "Running On-Demand Inf instances", Some(0.0)),
    ("L-2C3B7624", "Running On-Demand Trn instances", Some(0.0)),
    ("L-34B43A08", "All Standard (A, C, D, H, I, M, R, T, Z) Spot Instance Requests", Some(5.0)),
    ("L-7212CCBC", "All P4, P3 and P2 Spot Instance Requests", Some(0.0)),
    ("L-C4BD4855", "All P5 Spot Instance Requests", Some(0.0)),
    ("L-3819A6DF", "All G and VT Spot Instance Requests", Some(0.0)),
    ("L-B5D1601B", "All Inf Spot Instance Requests", Some(0.0)),
    ("L-6B0D517C", "All Trn Spot Instance Requests", Some(0.0)),
];

/// The quota under which instances of a type run; none when it is not known here.
pub(super) fn code(instance_type: &str, spot: bool) -> Option<&'static str> {
    let quotas = quotas_of(instance_type);
    if spot { quotas.spot } else { quotas.on_demand }
}

/// Instances that run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Running {
    pub(super) instance_type: String,
    pub(super) spot: bool,
    pub(super) vcpus: u32,
}

/// Places that are reserved and free.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Kept {
    pub(super) instance_type: String,
    pub(super) free: u32,
}

pub(super) async fn running(cloud: &Cloud) -> Result<Vec<Running>, KindError> {
    let ec2 = cloud.ec2().await;
    let call = ec2.describe_instances().filters(filter("instance-state-name", ["pending", "running"]));
    let mut pages = call.into_paginator().items().send();
    let mut running = Vec::new();
    while let Some(reservation) = pages.next().await {
        for instance in reservation.of(cloud, "ec2:DescribeInstances")?.instances.unwrap_or_default() {
            let Some(of) = instance.instance_type else { continue };
            let lifecycle = instance.instance_lifecycle;
            if lifecycle == Some(InstanceLifecycleType::CapacityBlock) {
                continue;
            }
            let cores = instance.cpu_options.map(|cpu| number(cpu.core_count) * number(cpu.threads_per_core));
            let vcpus = InstanceType::find(of.as_str()).map(|known| known.vcpus).or(cores).unwrap_or(0);
            let spot = lifecycle == Some(InstanceLifecycleType::Spot);
            running.push(Running { instance_type: of.as_str().to_owned(), spot, vcpus });
        }
    }
    Ok(running)
}

pub(super) async fn reserved(cloud: &Cloud) -> Result<Vec<Kept>, KindError> {
    let ec2 = cloud.ec2().await;
    let call = ec2.describe_capacity_reservations().filters(filter("state", ["active", "pending"]));
    let mut pages = call.into_paginator().items().send();
    let mut kept = Vec::new();
    while let Some(reservation) = pages.next().await {
        let reservation = reservation.of(cloud, "ec2:DescribeCapacityReservations")?;
        let block = reservation.reservation_type == Some(CapacityReservationType::CapacityBlock);
        if let Some(instance_type) = reservation.instance_type.filter(|_| !block) {
            kept.push(Kept { instance_type, free: number(reservation.available_instance_count) });
        }
    }
    Ok(kept)
}

/// What a plan adds under a quota, and what for.
#[derive(Debug, Default)]
struct More {
    vcpus: u64,
    parts: Vec<String>,
    first: Option<forge_engine::address::Address>,
}

/// The quotas under which something comes.
pub(super) fn codes(wants: &Wants) -> Vec<&'static str> {
    let groups = wants.groups.iter().filter(|group| counts(group));
    let groups =
        groups.flat_map(|group| group.types.iter().filter_map(|name| code(name, group.market == Market::Spot)));
    let reserved = wants.reservations.iter().filter_map(|reserved| code(&reserved.instance_type, false));
    let codes: std::collections::BTreeSet<&'static str> = groups.chain(reserved).collect();
    codes.into_iter().collect()
}

/// Whether the instances of a group count by themselves. In a reservation they take places that count already.
fn counts(group: &Group) -> bool {
    !group.reserved && group.market != Market::CapacityBlock
}

fn vcpus(name: &str, answers: &Answers) -> Option<u32> {
    let told = answers.types.as_ref().and_then(|types| types.as_ref().ok()).and_then(|types| types.get(name));
    told.map(|told| told.vcpus).or_else(|| InstanceType::find(name).map(|known| known.vcpus))
}

pub(super) fn check(wants: &Wants, answers: &Answers) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut more: BTreeMap<&'static str, More> = BTreeMap::new();
    for group in wants.groups.iter().filter(|group| counts(group)) {
        // Of several types the first is what AWS tries first.
        let Some(name) = group.types.first() else { continue };
        let spot = group.market == Market::Spot;
        add(&mut more, &mut findings, &group.address, name, spot, group.more, answers);
    }
    for reserved in &wants.reservations {
        add(&mut more, &mut findings, &reserved.address, &reserved.instance_type, false, reserved.more, answers);
    }
    let what = "how many vCPUs are in use could not be asked";
    let running = said(CHECK, what, &answers.running, &mut findings);
    let what = "how many vCPUs are reserved could not be asked";
    let kept = said(CHECK, what, &answers.reserved, &mut findings);
    for (code, more) in &more {
        let used = |running: &Vec<Running>| {
            running
                .iter()
                .filter(|one| self::code(&one.instance_type, one.spot) == Some(code))
                .map(|one| u64::from(one.vcpus))
                .sum::<u64>()
        };
        let free = |kept: &Vec<Kept>| {
            let of = kept.iter().filter(|one| self::code(&one.instance_type, false) == Some(code));
            of.map(|one| u64::from(one.free) * u64::from(vcpus(&one.instance_type, answers).unwrap_or(0))).sum::<u64>()
        };
        let in_use = running.map(used).unwrap_or(0) + kept.map(free).unwrap_or(0);
        findings.push(verdict(code, more, in_use, answers));
    }
    findings
}

fn add(
    more: &mut BTreeMap<&'static str, More>,
    findings: &mut Vec<Finding>,
    address: &forge_engine::address::Address,
    name: &str,
    spot: bool,
    count: u32,
    answers: &Answers,
) {
    let market = if spot { "spot" } else { "on-demand" };
    let unknown = |why: String| {
        let what = format!("whether {} of {name} fit the quotas is not known", counted(u64::from(count), "node"));
        Finding::new(CHECK, Verdict::Unknown, what).why(why).at(address)
    };
    let Some(code) = code(name, spot) else {
        findings.push(unknown(format!("no quota for {market} instances of {name} is documented")));
        return;
    };
    let Some(vcpus) = vcpus(name, answers) else {
        findings.push(unknown(format!("nobody says how many vCPUs {name} has")));
        return;
    };
    let of = more.entry(code).or_default();
    of.vcpus += u64::from(vcpus) * u64::from(count);
    of.parts.push(format!("{address}: {count} x {name} of {vcpus} vCPUs"));
    of.first.get_or_insert_with(|| address.clone());
}

fn verdict(code: &'static str, more: &More, in_use: u64, answers: &Answers) -> Finding {
    let (_, name, usual) = QUOTAS.iter().find(|(known, ..)| *known == code).copied().unwrap_or((code, "vCPUs", None));
    let needed = in_use + more.vcpus;
    let quota = match answers.quotas.get(code) {
        Some(Ok(quota)) => *quota,
        other => {
            let why = other.and_then(|said| said.as_ref().err().cloned()).unwrap_or_default();
            let usual = usual.map(|usual| format!("; a new account has {usual}")).unwrap_or_default();
            let what = format!("whether {needed} vCPUs fit the quota \"{name}\" ({code}) could not be asked{usual}");
            return Finding::new(CHECK, Verdict::Unknown, what).why(why);
        }
    };
    let sum = format!("{quota} vCPUs, {in_use} in use or reserved, {} to come", more.vcpus);
    if needed as f64 <= quota {
        return Finding::new(CHECK, Verdict::Fine, format!("\"{name}\" ({code}): {sum}"));
    }
    let help = format!(
        "Ask for {needed} in {}: aws service-quotas request-service-quota-increase --service-code ec2 --quota-code {code} --desired-value {needed}; or ask for fewer nodes.",
        answers.region
    );
    let what = format!("the quota \"{name}\" ({code}) is too small: {sum}");
    let finding = Finding::new(CHECK, Verdict::Refused, what).why(more.parts.join("; ")).help(help);
    match &more.first {
        Some(address) => finding.at(address),
        None => finding,
    }
}
