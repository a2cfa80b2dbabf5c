//! `aws.vpc`: a virtual private cloud (EC2 CreateVpc, ModifyVpcAttribute).

use super::Tags;
use super::cloud::{Cloud, empty};
use super::ec2::{FILTER_VALUES, PAGE, born_with, clear_the_way, filter, of_deployment, pairs, retag};
use super::error::Answer;
use super::resource::{EC2_VISIBILITY, Resource, Seen, in_order, shown};
use crate::planned::{FREE, Planned};
use aws_sdk_ec2::types::{AttributeBooleanValue, Filter, ResourceType, VpcAttributeName, VpcState};
use forge_engine::address::Deployment;
use forge_engine::kind as engine;
use forge_engine::kind::{Effect, Hourly, KindError, Observed, OnIdentifier, Readiness, Recovery, Typical};
use futures::future::{try_join, try_join_all};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use std::time::Duration;

/// What can be chosen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Its IPv4 addresses: from /28 to /16.
    #[serde(deserialize_with = "super::ec2::cidr")]
    pub cidr: String,
    /// Whether AWS's resolver answers in it; EKS needs it.
    #[serde(default = "yes")]
    pub dns_support: bool,
    /// Whether its instances have DNS names; EKS and FSx need it.
    #[serde(default = "yes")]
    pub dns_hostnames: bool,

    /// Tags, besides those that forge sets.
    #[serde(default)]
    pub tags: Tags,
}

fn yes() -> bool {
    true
}

impl Planned for Spec {
    const NAME: &'static str = "aws.vpc";
    const OUTPUTS: &'static [&'static str] = &["id"];
    const SERVICE: &'static str = "ec2";
    /// Estimate: several calls, one for each setting of names.
    const TYPICAL: Typical = Typical::seconds(3, 1, 1);

    fn effect(field: &str, _before: &Self, _after: &Self) -> Effect {
        match field {
            "cidr" => Effect::ReplaceCreateFirst,
            _ => Effect::InPlace,
        }
    }

    fn hourly(&self, _region: Option<&str>) -> Option<Hourly> {
        FREE
    }
}

impl Resource for Spec {
    const RECOVERY: Recovery = Recovery::Tags;
    const VISIBILITY: Duration = EC2_VISIBILITY;
    const READ_BATCH: usize = FILTER_VALUES;
    const ACTIONS: &'static [&'static str] = &[
        "ec2:CreateVpc",
        "ec2:DescribeVpcs",
        "ec2:DescribeVpcAttribute",
        "ec2:ModifyVpcAttribute",
        "ec2:DeleteVpc",
        "ec2:DescribeTags",
        "ec2:CreateTags",
        "ec2:DeleteTags",
        "ec2:DescribeNetworkInterfaces",
        "ec2:DeleteNetworkInterface",
        "ec2:DescribeSubnets",
        "ec2:DescribeSecurityGroups",
        "ec2:RevokeSecurityGroupIngress",
        "ec2:RevokeSecurityGroupEgress",
        "ec2:DeleteSecurityGroup",
    ];

    async fn read_many(cloud: &Cloud, ids: &[String]) -> Result<Vec<Option<Observed>>, KindError> {
        Ok(in_order(ids, seen(cloud, filter("vpc-id", ids)).await?))
    }

    async fn create(&self, cloud: &Cloud, tags: &engine::Tags, on_identifier: OnIdentifier<'_>) -> Result<Observed, KindError> {
        const CALL: &str = "ec2:CreateVpc";
        let call = cloud.ec2().await.create_vpc().cidr_block(&self.cidr);
        let call = call.tag_specifications(born_with(ResourceType::Vpc, tags, &self.tags));
        let id = call.send().await.of(cloud, CALL)?.vpc.and_then(|vpc| vpc.vpc_id).ok_or_else(|| empty(CALL))?;
        on_identifier(&id);
        // What a new VPC has (EC2 ModifyVpcAttribute).
        self.settle(cloud, &id, true, false).await?;
        // It is pending for a moment.
        let waiting = Readiness::Waiting("the VPC is pending".to_owned());
        Ok(Seen::made(id.clone(), self, tags, &self.tags).output("id", id).readiness(waiting).done())
    }

    async fn update(&self, cloud: &Cloud, id: &str, _before: Option<&Self>, tags: &engine::Tags) -> Result<Observed, KindError> {
        retag(cloud, id, tags, &self.tags).await?;
        let seen = shown(id, Self::read_many(cloud, &[id.to_owned()]).await?)?;
        let is = |name: &str| seen.spec.get(name).and_then(Json::as_bool).unwrap_or_default();
        self.settle(cloud, id, is("dns_support"), is("dns_hostnames")).await?;
        let readiness = seen.readiness.clone();
        Ok(Seen::made(id, self, tags, &self.tags).output("id", id).readiness(readiness).done())
    }

    /// EKS leaves the security group of a cluster behind when something is still in it; it is deleted with the VPC.
    async fn delete(cloud: &Cloud, id: &str) -> Result<(), KindError> {
        let gone = cloud.ec2().await.delete_vpc().vpc_id(id).send().await.of_present(cloud, "ec2:DeleteVpc");
        match gone {
            Ok(_) => Ok(()),
            Err(refused) => Err(clear_the_way(cloud, "vpc-id", id, refused).await),
        }
    }

    async fn list(cloud: &Cloud, deployment: &Deployment) -> Result<Vec<Observed>, KindError> {
        seen(cloud, of_deployment(deployment)).await
    }
}

impl Spec {
    /// Sets what CreateVpc does not take, where it is not so yet.
    async fn settle(&self, cloud: &Cloud, id: &str, support: bool, hostnames: bool) -> Result<(), KindError> {
        let ec2 = cloud.ec2().await;
        let value = |value| AttributeBooleanValue::builder().value(value).build();
        // Names need the resolver, so it comes first on the way up and goes last on the way down; one attribute a call.
        let mut calls = Vec::new();
        if support != self.dns_support {
            calls.push(ec2.modify_vpc_attribute().vpc_id(id).enable_dns_support(value(self.dns_support)));
        }
        if hostnames != self.dns_hostnames {
            calls.push(ec2.modify_vpc_attribute().vpc_id(id).enable_dns_hostnames(value(self.dns_hostnames)));
        }
        if !self.dns_support {
            calls.reverse();
        }
        for call in calls {
            call.send().await.of(cloud, "ec2:ModifyVpcAttribute")?;
        }
        Ok(())
    }
}

async fn seen(cloud: &Cloud, which: Filter) -> Result<Vec<Observed>, KindError> {
    let mut vpcs = Vec::new();
    let mut pages = cloud.ec2().await.describe_vpcs().filters(which).into_paginator().page_size(PAGE).items().send();
    while let Some(vpc) = pages.next().await {
        vpcs.push(vpc.of(cloud, "ec2:DescribeVpcs")?);
    }
    let found = try_join_all(vpcs.into_iter().map(|vpc| async move {
        let Some(id) = vpc.vpc_id else { return Ok(None) };
        let asked = |name| is_set(cloud, &id, name);
        // The two settings have a call of their own, one each.
        let Some((support, hostnames)) = try_join(
            asked(VpcAttributeName::EnableDnsSupport),
            asked(VpcAttributeName::EnableDnsHostnames),
        )
        .await
        .map(|(support, hostnames)| support.zip(hostnames))?
        else {
            return Ok(None);
        };
        let readiness = match vpc.state {
            Some(VpcState::Available) | None => Readiness::Ready,
            Some(state) => Readiness::Waiting(format!("the VPC is {state}")),
        };
        let seen = Seen::new(id.clone(), pairs(vpc.tags))
            .known("cidr", vpc.cidr_block)
            .field("dns_support", support)
            .field("dns_hostnames", hostnames)
            .output("id", id)
            .readiness(readiness);
        Ok(Some(seen.done()))
    }));
    Ok(found.await?.into_iter().flatten().collect())
}

/// Whether an attribute of a VPC is set; none when the VPC is gone.
async fn is_set(cloud: &Cloud, id: &str, name: VpcAttributeName) -> Result<Option<bool>, KindError> {
    let call = cloud.ec2().await.describe_vpc_attribute().vpc_id(id).attribute(name.clone());
    let Some(answer) = call.send().await.of_present(cloud, "ec2:DescribeVpcAttribute")? else { return Ok(None) };
    let value = match name {
        VpcAttributeName::EnableDnsSupport => answer.enable_dns_support,
        _ => answer.enable_dns_hostnames,
    };
    Ok(Some(value.and_then(|value| value.value).unwrap_or_default()))
}
