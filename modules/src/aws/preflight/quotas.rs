//! Whether the account may have as many networks, addresses, gateways, clusters and placement groups.

use super::ask::{Answers, Said, patiently, quota};
use super::instances;
use super::wants::{Added, Wants};
use crate::aws::Cloud;
use crate::aws::error::Answer;
use crate::preflight::{Finding, Verdict};
use forge_engine::kind::KindError;
use futures::future::{BoxFuture, join_all};
use std::collections::BTreeMap;

const CHECK: &str = "quotas";

/// Of what an account may have so many.
struct Counted {
    kind: &'static str,
    service: &'static str,
    /// The quota's code; none where it cannot be asked.
    code: Option<&'static str>,
    name: &'static str,
    /// What an account has that never asked for more.
    usual: f64,
    /// Whether it counts in each zone.
    by_zone: bool,
}

/// Amazon VPC User Guide, "Amazon VPC quotas"; EKS User Guide, "Service quotas"; EC2 User Guide, "Placement groups": 500 for
/// each account and region, which cannot be raised.
const COUNTED: &[Counted] = &[
    Counted {
        kind: "aws.vpc",
        service: "vpc",
        code: Some("L-F678F1CE"),
        name: "VPCs per Region",
        usual: 5.0,
        by_zone: false,
    },
    Counted {
        kind: "aws.elastic_ip",
        service: "ec2",
        code: Some("L-0263D0A3"),
        name: "EC2-VPC Elastic IPs",
        usual: 5.0,
        by_zone: false,
    },
    Counted {
        kind: "aws.nat_gateway",
        service: "vpc",
        code: Some("L-FE5A380F"),
        name: "NAT gateways per Availability Zone",
        usual: 5.0,
        by_zone: true,
    },
    Counted {
        kind: "aws.internet_gateway",
        service: "vpc",
        code: Some("L-A4707A72"),
        name: "Internet gateways per Region",
        usual: 5.0,
        by_zone: false,
    },
    Counted {
        kind: "aws.eks_cluster",
        service: "eks",
        code: Some("L-1194D53C"),
        name: "Clusters",
        usual: 100.0,
        by_zone: false,
    },
    Counted {
        kind: "aws.placement_group",
        service: "ec2",
        code: None,
        name: "Placement groups per Region",
        usual: 500.0,
        by_zone: false,
    },
];

/// How many there are: in all, or in each zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Held {
    All(usize),
    /// By the subnet that they stand in.
    InSubnets(BTreeMap<String, usize>),
}

fn counted(wants: &Wants) -> impl Iterator<Item = &'static Counted> {
    COUNTED.iter().filter(|counted| wants.added.contains_key(counted.kind))
}

/// The quotas that matter, by code.
pub(super) async fn limits(cloud: &Cloud, wants: &Wants) -> BTreeMap<&'static str, Said<f64>> {
    let vcpus = instances::codes(wants).into_iter().map(|code| ("ec2", code));
    let counted = counted(wants).filter_map(|counted| Some((counted.service, counted.code?)));
    let ask = |(service, code)| async move { (code, patiently(|| quota(cloud, service, code)).await) };
    join_all(vcpus.chain(counted).map(ask)).await.into_iter().collect()
}

/// What there is already, by kind.
pub(super) async fn held(cloud: &Cloud, wants: &Wants) -> BTreeMap<&'static str, Said<Held>> {
    let ask =
        |counted: &'static Counted| async move { (counted.kind, patiently(|| there_is(cloud, counted.kind)).await) };
    join_all(counted(wants).map(ask)).await.into_iter().collect()
}

fn there_is<'a>(cloud: &'a Cloud, kind: &'static str) -> BoxFuture<'a, Result<Held, KindError>> {
    match kind {
        "aws.vpc" => Box::pin(vpcs(cloud)),
        "aws.elastic_ip" => Box::pin(addresses(cloud)),
        "aws.nat_gateway" => Box::pin(nat_gateways(cloud)),
        "aws.internet_gateway" => Box::pin(internet_gateways(cloud)),
        "aws.eks_cluster" => Box::pin(clusters(cloud)),
        _ => Box::pin(placement_groups(cloud)),
    }
}

async fn vpcs(cloud: &Cloud) -> Result<Held, KindError> {
    let mut pages = cloud.ec2().await.describe_vpcs().into_paginator().items().send();
    let mut count = 0;
    while let Some(vpc) = pages.next().await {
        vpc.of(cloud, "ec2:DescribeVpcs")?;
        count += 1;
    }
    Ok(Held::All(count))
}

async fn addresses(cloud: &Cloud) -> Result<Held, KindError> {
    let answer = cloud.ec2().await.describe_addresses().send().await.of(cloud, "ec2:DescribeAddresses")?;
    Ok(Held::All(answer.addresses().len()))
}

/// Those that are coming or going count as well.
async fn nat_gateways(cloud: &Cloud) -> Result<Held, KindError> {
    let filter = crate::aws::ec2::filter("state", ["pending", "available", "deleting"]);
    let mut pages = cloud.ec2().await.describe_nat_gateways().filter(filter).into_paginator().items().send();
    let mut subnets: BTreeMap<String, usize> = BTreeMap::new();
    while let Some(gateway) = pages.next().await {
        if let Some(subnet) = gateway.of(cloud, "ec2:DescribeNatGateways")?.subnet_id {
            *subnets.entry(subnet).or_default() += 1;
        }
    }
    Ok(Held::InSubnets(subnets))
}

async fn internet_gateways(cloud: &Cloud) -> Result<Held, KindError> {
    let mut pages = cloud.ec2().await.describe_internet_gateways().into_paginator().items().send();
    let mut count = 0;
    while let Some(gateway) = pages.next().await {
        gateway.of(cloud, "ec2:DescribeInternetGateways")?;
        count += 1;
    }
    Ok(Held::All(count))
}

async fn clusters(cloud: &Cloud) -> Result<Held, KindError> {
    let mut pages = cloud.eks().await.list_clusters().into_paginator().items().send();
    let mut count = 0;
    while let Some(cluster) = pages.next().await {
        cluster.of(cloud, "eks:ListClusters")?;
        count += 1;
    }
    Ok(Held::All(count))
}

async fn placement_groups(cloud: &Cloud) -> Result<Held, KindError> {
    let answer = cloud.ec2().await.describe_placement_groups().send().await.of(cloud, "ec2:DescribePlacementGroups")?;
    Ok(Held::All(answer.placement_groups().len()))
}

pub(super) fn check(wants: &Wants, answers: &Answers) -> Vec<Finding> {
    let mut findings = Vec::new();
    for counted in counted(wants) {
        let Some(added) = wants.added.get(counted.kind) else { continue };
        match answers.held.get(counted.kind) {
            Some(Ok(held)) => {
                for (zone, added) in places(counted, added) {
                    findings.push(verdict(counted, zone, &added, held, answers));
                }
            }
            other => {
                let why = other.and_then(|said| said.as_ref().err().cloned()).unwrap_or_default();
                let what = format!("how many of \"{}\" there are could not be asked", counted.name);
                findings.push(Finding::new(CHECK, Verdict::Unknown, what).why(why));
            }
        }
    }
    findings
}

/// What comes, in each place where it counts.
fn places<'a>(counted: &Counted, added: &'a [Added]) -> Vec<(Option<&'a str>, Vec<&'a Added>)> {
    let mut places: BTreeMap<Option<&str>, Vec<&Added>> = BTreeMap::new();
    for added in added {
        places.entry(added.zone.as_deref().filter(|_| counted.by_zone)).or_default().push(added);
    }
    places.into_iter().collect()
}

fn there_are(held: &Held, zone: Option<&str>, answers: &Answers) -> usize {
    match held {
        Held::All(count) => *count,
        Held::InSubnets(subnets) => {
            let known = answers.subnets.as_ref().and_then(|subnets| subnets.as_ref().ok());
            let here = |id: &str| {
                zone.is_none_or(|zone| known.and_then(|known| known.get(id)).is_some_and(|subnet| subnet.zone == zone))
            };
            subnets.iter().filter(|(id, _)| here(id)).map(|(_, count)| count).sum()
        }
    }
}

fn verdict(counted: &Counted, zone: Option<&str>, added: &[&Added], held: &Held, answers: &Answers) -> Finding {
    let there = there_are(held, zone, answers);
    let needed = there + added.len();
    let at = zone.map(|zone| format!(" in {zone}")).unwrap_or_default();
    let name = match counted.code {
        Some(code) => format!("\"{}\" ({code})", counted.name),
        None => format!("\"{}\"", counted.name),
    };
    let sum = format!("there are {there}{at}, and {} to come", added.len());
    let (quota, asked) = match counted.code.map(|code| answers.quotas.get(code)) {
        None => (counted.usual, Ok(())),
        Some(Some(Ok(quota))) => (*quota, Ok(())),
        Some(other) => (counted.usual, Err(other.and_then(|said| said.as_ref().err().cloned()).unwrap_or_default())),
    };
    if let Err(why) = asked {
        let what = format!("the quota {name} could not be asked; it is {quota} unless it was raised, {sum}");
        return Finding::new(CHECK, Verdict::Unknown, what).why(why);
    }
    if needed as f64 <= quota {
        return Finding::new(CHECK, Verdict::Fine, format!("{name}: {quota}, {sum}"));
    }
    let what = format!("the quota {name} is full: it is {quota}, {sum}");
    let more = match counted.code {
        Some(code) => format!(
            "Ask for {needed} in {}: aws service-quotas request-service-quota-increase --service-code {} --quota-code {code} --desired-value {needed}; or delete what is not needed any more.",
            answers.region, counted.service
        ),
        None => "Delete what is not needed any more; it cannot be raised.".to_owned(),
    };
    let finding = Finding::new(CHECK, Verdict::Refused, what).help(more);
    match added.first() {
        Some(first) => finding.at(&first.address),
        None => finding,
    }
}
