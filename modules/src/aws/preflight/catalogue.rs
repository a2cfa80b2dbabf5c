//! Whether what forge was made with still holds of the instance types: vCPUs, accelerators, EFA interfaces.

use super::ask::Answers;
use super::said;
use super::wants::Wants;
use crate::aws::Cloud;
use crate::instance_types::InstanceType;
use crate::preflight::{Finding, Verdict};
use forge_engine::kind::KindError;
use std::collections::{BTreeMap, BTreeSet};

const CHECK: &str = "catalogue";

/// What EC2 says of the types.
pub(super) async fn ask(cloud: &Cloud, types: &BTreeSet<&str>) -> Result<BTreeMap<String, InstanceType>, KindError> {
    let names: Vec<String> = types.iter().map(|name| (*name).to_owned()).collect();
    Ok(cloud.instance_types(&names).await?.into_iter().map(|told| (told.name.clone(), told)).collect())
}

pub(super) fn check(wants: &Wants, answers: &Answers) -> Vec<Finding> {
    let mut findings = Vec::new();
    let what = "what EC2 says of the instance types could not be asked";
    let Some(told) = said(CHECK, what, &answers.types, &mut findings) else { return findings };
    let mut same = Vec::new();
    for name in wants.types() {
        let (Some(told), Some(bundled)) = (told.get(name), InstanceType::find(name)) else { continue };
        let parts = [
            ("vCPUs", bundled.vcpus, told.vcpus),
            ("accelerators", bundled.accelerator_count(), told.accelerator_count()),
            ("EFA interfaces", bundled.network.efa, told.network.efa),
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
