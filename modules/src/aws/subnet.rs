//! `aws.subnet`: a subnet of a VPC, in one availability zone (EC2 CreateSubnet,
//! ModifySubnetAttribute).

use super::Tags;
use super::cloud::{Cloud, empty};
use super::ec2::{FILTER_VALUES, PAGE, born_with, clear_the_way, filter, of_deployment, pairs, retag};
use super::error::Answer;
use super::resource::{EC2_VISIBILITY, Resource, Seen, in_order, shown};
use crate::planned::{FREE, Planned, replace};
use aws_sdk_ec2::types::{AttributeBooleanValue, Filter, ResourceType, Subnet, SubnetState};
use forge_engine::address::Deployment;
use forge_engine::kind as engine;
use forge_engine::kind::{Effect, Hourly, KindError, Observed, OnIdentifier, Readiness, Recovery, Typical};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What can be chosen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Identifier of its VPC.
    pub vpc: String,
    /// Its IPv4 addresses, /28 to /16, part of the VPC's; AWS keeps five of them.
    #[serde(deserialize_with = "super::ec2::cidr")]
    pub cidr: String,
    /// Name of its availability zone: `us-west-2a`.
    pub zone: String,
    /// Whether instances in it get a public address.
    #[serde(default)]
    pub public_addresses: bool,

    /// Tags, besides those that forge sets.
    #[serde(default)]
    pub tags: Tags,
}

impl Planned for Spec {
    const NAME: &'static str = "aws.subnet";
    const OUTPUTS: &'static [&'static str] = &["id"];
    const SERVICE: &'static str = "ec2";
    /// Estimate.
    const TYPICAL: Typical = Typical::seconds(2, 1, 1);

    /// Two subnets of one VPC cannot have the same addresses.
    fn effect(field: &str, before: &Self, after: &Self) -> Effect {
        match field {
            "vpc" | "cidr" | "zone" => replace(before.vpc != after.vpc),
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
        "ec2:CreateSubnet",
        "ec2:DescribeSubnets",
        "ec2:ModifySubnetAttribute",
        "ec2:DeleteSubnet",
        "ec2:DescribeTags",
        "ec2:CreateTags",
        "ec2:DeleteTags",
        "ec2:DescribeNetworkInterfaces",
        "ec2:DeleteNetworkInterface",
    ];

    async fn read_many(cloud: &Cloud, ids: &[String]) -> Result<Vec<Option<Observed>>, KindError> {
        Ok(in_order(ids, seen(cloud, filter("subnet-id", ids)).await?))
    }

    async fn create(
        &self,
        cloud: &Cloud,
        tags: &engine::Tags,
        on_identifier: OnIdentifier<'_>,
    ) -> Result<Observed, KindError> {
        const CALL: &str = "ec2:CreateSubnet";
        let call = cloud.ec2().await.create_subnet().vpc_id(&self.vpc).cidr_block(&self.cidr);
        let call = call.availability_zone(&self.zone);
        let call = call.tag_specifications(born_with(ResourceType::Subnet, tags, &self.tags));
        let subnet = call.send().await.of(cloud, CALL)?.subnet.ok_or_else(|| empty(CALL))?;
        let id = subnet.subnet_id.clone().ok_or_else(|| empty(CALL))?;
        on_identifier(&id);
        self.settle(cloud, &id, subnet.map_public_ip_on_launch == Some(true)).await?;
        let made = Seen::made(id.clone(), self, tags, &self.tags);
        Ok(made.output("id", id).readiness(readiness(subnet.state)).done())
    }

    async fn update(
        &self,
        cloud: &Cloud,
        id: &str,
        _before: Option<&Self>,
        tags: &engine::Tags,
    ) -> Result<Observed, KindError> {
        retag(cloud, id, tags, &self.tags).await?;
        let seen = shown(id, Self::read_many(cloud, &[id.to_owned()]).await?)?;
        self.settle(cloud, id, seen.spec.get("public_addresses") == Some(&true.into())).await?;
        Ok(Seen::made(id, self, tags, &self.tags).output("id", id).readiness(seen.readiness).done())
    }

    async fn delete(cloud: &Cloud, id: &str) -> Result<(), KindError> {
        match cloud.ec2().await.delete_subnet().subnet_id(id).send().await.of_present(cloud, "ec2:DeleteSubnet") {
            Ok(_) => Ok(()),
            Err(refused) => Err(clear_the_way(cloud, "subnet-id", id, refused).await),
        }
    }

    async fn list(cloud: &Cloud, deployment: &Deployment) -> Result<Vec<Observed>, KindError> {
        seen(cloud, of_deployment(deployment)).await
    }
}

impl Spec {
    /// Sets what CreateSubnet does not take, where it is not so yet.
    async fn settle(&self, cloud: &Cloud, id: &str, public_addresses: bool) -> Result<(), KindError> {
        if public_addresses == self.public_addresses {
            return Ok(());
        }
        let value = AttributeBooleanValue::builder().value(self.public_addresses).build();
        let call = cloud.ec2().await.modify_subnet_attribute().subnet_id(id).map_public_ip_on_launch(value);
        call.send().await.of(cloud, "ec2:ModifySubnetAttribute").map(drop)
    }
}

async fn seen(cloud: &Cloud, which: Filter) -> Result<Vec<Observed>, KindError> {
    let mut seen = Vec::new();
    let call = cloud.ec2().await.describe_subnets().filters(which);
    let mut pages = call.into_paginator().page_size(PAGE).items().send();
    while let Some(subnet) = pages.next().await {
        seen.extend(observed(subnet.of(cloud, "ec2:DescribeSubnets")?));
    }
    Ok(seen)
}

fn observed(subnet: Subnet) -> Option<Observed> {
    let id = subnet.subnet_id?;
    let seen = Seen::new(id.clone(), pairs(subnet.tags))
        .known("vpc", subnet.vpc_id)
        .known("cidr", subnet.cidr_block)
        .known("zone", subnet.availability_zone)
        .field("public_addresses", subnet.map_public_ip_on_launch == Some(true))
        .output("id", id)
        .readiness(readiness(subnet.state));
    Some(seen.done())
}

fn readiness(state: Option<SubnetState>) -> Readiness {
    match state {
        Some(SubnetState::Available) | None => Readiness::Ready,
        Some(state @ (SubnetState::Failed | SubnetState::FailedInsufficientCapacity)) => {
            Readiness::Failed(format!("the subnet is {state}"))
        }
        Some(state) => Readiness::Waiting(format!("the subnet is {state}")),
    }
}
