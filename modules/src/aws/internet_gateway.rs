//! `aws.internet_gateway`: a gateway between a VPC and the internet, attached (EC2 CreateInternetGateway,
//! AttachInternetGateway).

use super::Tags;
use super::cloud::{Cloud, empty};
use super::ec2::{FILTER_VALUES, PAGE, born_with, filter, of_deployment, pairs, retag};
use super::error::Answer;
use super::obstacles::{interface_name, interfaces, named};
use super::resource::{EC2_VISIBILITY, Resource, Seen, in_order, not_shown};
use crate::planned::{FREE, Planned};
use aws_sdk_ec2::types::{AttachmentStatus, Filter, InternetGateway, ResourceType};
use forge_engine::address::Deployment;
use forge_engine::kind as engine;
use forge_engine::kind::{Effect, ErrorClass, Hourly, KindError, Observed, OnIdentifier, Recovery, Typical};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What can be chosen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Identifier of the VPC that it is attached to.
    pub vpc: String,

    /// Tags, besides those that forge sets.
    #[serde(default)]
    pub tags: Tags,
}

impl Planned for Spec {
    const NAME: &'static str = "aws.internet_gateway";
    const OUTPUTS: &'static [&'static str] = &["id"];
    const SERVICE: &'static str = "ec2";
    /// Estimate: two calls, one to attach it.
    const TYPICAL: Typical = Typical::seconds(2, 1, 2);

    /// Moving it would fail for as long as public addresses of the old VPC are in use. One that is attached to nothing has
    /// the VPC "".
    fn effect(field: &str, before: &Self, _after: &Self) -> Effect {
        match field {
            "vpc" if !before.vpc.is_empty() => Effect::ReplaceCreateFirst,
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
        "ec2:CreateInternetGateway",
        "ec2:AttachInternetGateway",
        "ec2:DescribeInternetGateways",
        "ec2:DetachInternetGateway",
        "ec2:DeleteInternetGateway",
        "ec2:DescribeTags",
        "ec2:CreateTags",
        "ec2:DeleteTags",
        "ec2:DescribeNetworkInterfaces",
    ];

    async fn read_many(cloud: &Cloud, ids: &[String]) -> Result<Vec<Option<Observed>>, KindError> {
        let gateways = gateways(cloud, filter("internet-gateway-id", ids)).await?;
        Ok(in_order(ids, gateways.into_iter().filter_map(observed).collect()))
    }

    async fn create(
        &self,
        cloud: &Cloud,
        tags: &engine::Tags,
        on_identifier: OnIdentifier<'_>,
    ) -> Result<Observed, KindError> {
        const CALL: &str = "ec2:CreateInternetGateway";
        let call = cloud.ec2().await.create_internet_gateway();
        let call = call.tag_specifications(born_with(ResourceType::InternetGateway, tags, &self.tags));
        let gateway = call.send().await.of(cloud, CALL)?.internet_gateway;
        let id = gateway.and_then(|gateway| gateway.internet_gateway_id).ok_or_else(|| empty(CALL))?;
        on_identifier(&id);
        self.attach(cloud, &id).await?;
        Ok(Seen::made(id.clone(), self, tags, &self.tags).output("id", id).done())
    }

    async fn update(
        &self,
        cloud: &Cloud,
        id: &str,
        _before: Option<&Self>,
        tags: &engine::Tags,
    ) -> Result<Observed, KindError> {
        retag(cloud, id, tags, &self.tags).await?;
        let gateway = gateways(cloud, filter("internet-gateway-id", [id])).await?.pop().ok_or_else(|| not_shown(id))?;
        if !attached_to(&gateway).contains(&self.vpc) {
            self.attach(cloud, id).await?;
        }
        Ok(Seen::made(id, self, tags, &self.tags).output("id", id).done())
    }

    /// A gateway cannot go while it is attached.
    async fn delete(cloud: &Cloud, id: &str) -> Result<(), KindError> {
        let ec2 = cloud.ec2().await;
        let Some(gateway) = gateways(cloud, filter("internet-gateway-id", [id])).await?.pop() else { return Ok(()) };
        for vpc in attached_to(&gateway) {
            let call = ec2.detach_internet_gateway().internet_gateway_id(id).vpc_id(&vpc);
            if let Err(refused) = call.send().await.unless(DETACHED, cloud, "ec2:DetachInternetGateway") {
                return Err(public_addresses(cloud, &vpc, refused).await);
            }
        }
        let gone = ec2.delete_internet_gateway().internet_gateway_id(id).send().await;
        gone.of_present(cloud, "ec2:DeleteInternetGateway").map(drop)
    }

    async fn list(cloud: &Cloud, deployment: &Deployment) -> Result<Vec<Observed>, KindError> {
        Ok(gateways(cloud, of_deployment(deployment)).await?.into_iter().filter_map(observed).collect())
    }
}

/// What AWS says when there is nothing to detach any more.
const DETACHED: &[&str] = &["Gateway.NotAttached", "InvalidInternetGatewayID.NotFound", "InvalidVpcID.NotFound"];

impl Spec {
    async fn attach(&self, cloud: &Cloud, id: &str) -> Result<(), KindError> {
        let call = cloud.ec2().await.attach_internet_gateway().internet_gateway_id(id).vpc_id(&self.vpc);
        call.send().await.of(cloud, "ec2:AttachInternetGateway").map(drop)
    }
}

async fn gateways(cloud: &Cloud, which: Filter) -> Result<Vec<InternetGateway>, KindError> {
    let mut gateways = Vec::new();
    let call = cloud.ec2().await.describe_internet_gateways().filters(which);
    let mut pages = call.into_paginator().page_size(PAGE).items().send();
    while let Some(gateway) = pages.next().await {
        gateways.push(gateway.of(cloud, "ec2:DescribeInternetGateways")?);
    }
    Ok(gateways)
}

/// The VPCs that a gateway is attached to: none or one. AWS calls an attached one `available`, which the type does not know.
fn attached_to(gateway: &InternetGateway) -> Vec<String> {
    let there = gateway.attachments().iter().filter(|attachment| {
        !matches!(attachment.state(), Some(AttachmentStatus::Detached | AttachmentStatus::Detaching))
    });
    there.filter_map(|attachment| attachment.vpc_id.clone()).collect()
}

/// One that is attached to nothing, because its creation was cut off, has the VPC "", which an update mends.
fn observed(gateway: InternetGateway) -> Option<Observed> {
    let vpc = attached_to(&gateway).pop().unwrap_or_default();
    let id = gateway.internet_gateway_id?;
    Some(Seen::new(id.clone(), pairs(gateway.tags)).field("vpc", vpc).output("id", id).done())
}

/// A gateway stays for as long as something in its VPC has a public address; this names what has.
async fn public_addresses(cloud: &Cloud, vpc: &str, refused: KindError) -> KindError {
    if refused.class != ErrorClass::NotYetVisible {
        return refused;
    }
    let mut there = interfaces(cloud, filter("vpc-id", [vpc])).await.unwrap_or_default();
    there.retain(|interface| interface.association().is_some_and(|public| public.public_ip().is_some()));
    named(refused, there.iter().map(interface_name).collect())
}
