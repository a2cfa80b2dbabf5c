//! Whether what forge was made with still holds of the instance types: vCPUs, accelerators, EFA interfaces.

use super::ask::{Answers, number};
use super::said;
use super::types::{Facts, bundled};
use super::wants::Wants;
use crate::aws::Cloud;
use crate::aws::ec2::filter;
use crate::aws::error::Answer;
use crate::preflight::{Finding, Verdict};
use aws_sdk_ec2::types::InstanceTypeInfo;
use forge_engine::kind::KindError;
use std::collections::{BTreeMap, BTreeSet};

const CHECK: &str = "catalogue";

/// What EC2 says of the types. A filter, and not their names: one that EC2 does not know would be an error that hides all
/// others.
pub(super) async fn ask(cloud: &Cloud, types: &BTreeSet<&str>) -> Result<BTreeMap<String, Facts>, KindError> {
    let ec2 = cloud.ec2().await;
    let call = ec2.describe_instance_types().filters(filter("instance-type", types.iter().copied()));
    let mut pages = call.into_paginator().items().send();
    let mut known = BTreeMap::new();
    while let Some(info) = pages.next().await {
        let info = info.of(cloud, "ec2:DescribeInstanceTypes")?;
        if let Some(name) = &info.instance_type {
            known.insert(name.as_str().to_owned(), facts(&info));
        }
    }
    Ok(known)
}

fn facts(info: &InstanceTypeInfo) -> Facts {
    let network = info.network_info();
    let gpus = info.gpu_info().map(|gpus| gpus.gpus().iter().map(|gpu| number(gpu.count())).sum()).unwrap_or(0);
    let neuron = info.neuron_info().map(|neuron| neuron.neuron_devices().iter().map(|of| number(of.count())).sum());
    let efa = network.and_then(|network| network.efa_info()).map_or(0, |efa| number(efa.maximum_efa_interfaces()));
    Facts {
        vcpus: number(info.v_cpu_info().and_then(|vcpus| vcpus.default_v_cpus())),
        accelerators: gpus + neuron.unwrap_or(0),
        efa,
        addresses: number(network.and_then(|network| network.ipv4_addresses_per_interface())),
    }
}

pub(super) fn check(wants: &Wants, answers: &Answers) -> Vec<Finding> {
    let mut findings = Vec::new();
    let what = "what EC2 says of the instance types could not be asked";
    let Some(told) = said(CHECK, what, &answers.types, &mut findings) else { return findings };
    let mut same = Vec::new();
    for name in wants.types() {
        let (Some(told), Some(bundled)) = (told.get(name), bundled(name)) else { continue };
        let parts = [
            ("vCPUs", bundled.vcpus, told.vcpus),
            ("accelerators", bundled.accelerators, told.accelerators),
            ("EFA interfaces", bundled.efa, told.efa),
        ];
        let differ = parts.iter().filter(|(_, ours, theirs)| ours != theirs);
        let differ: Vec<String> = differ.map(|(what, ours, theirs)| format!("{theirs} {what}, not {ours}")).collect();
        if differ.is_empty() {
            same.push(name);
            continue;
        }
        let what = format!("{name} is not what this version of forge takes it for: EC2 says {}", differ.join(", "));
        let help =
            "Nodes may get another layout of network interfaces than they could have; a newer forge may know it.";
        findings.push(Finding::new(CHECK, Verdict::Warning, what).help(help));
    }
    if findings.is_empty() && !same.is_empty() {
        findings.push(Finding::new(CHECK, Verdict::Fine, format!("{}: as forge knows them", same.join(", "))));
    }
    findings
}
