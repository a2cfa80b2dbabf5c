//! `aws.nat_gateway`: the way out of private subnets (EC2 CreateNatGateway), in one public subnet.

use super::Tags;
use super::cloud::{Cloud, empty};
use super::ec2::{FILTER_VALUES, PAGE, born_with, disown, filter, of_deployment, pairs, retag};
use super::error::Answer;
use super::resource::{EC2_VISIBILITY, Resource, Seen, in_order, shown};
use super::tags;
use crate::planned::{Planned, replace};
use aws_sdk_ec2::types::{ConnectivityType, Filter, NatGateway, NatGatewayState, ResourceType};
use forge_engine::address::Deployment;
use forge_engine::kind as engine;
use forge_engine::kind::{Effect, KindError, Observed, OnIdentifier, Readiness, Recovery, Typical};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What can be chosen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Identifier of the public subnet that it stands in.
    pub subnet: String,
    /// Identifier (allocation) of its public address.
    pub elastic_ip: String,

    /// Tags, besides those that forge sets.
    #[serde(default)]
    pub tags: Tags,
}

impl Planned for Spec {
    const NAME: &'static str = "aws.nat_gateway";
    const OUTPUTS: &'static [&'static str] = &["id"];
    const SERVICE: &'static str = "ec2";
    /// Estimate; the SDK's waiter `nat_gateway_available` gives it 10 minutes (botocore 1.43.106).
    const TYPICAL: Typical = Typical::seconds(120, 1, 60);
    /// The budget of the SDK's waiter `nat_gateway_available`.
    const READY_DEADLINE: Duration = Duration::from_secs(600);

    /// One public address serves one gateway at a time.
    fn effect(field: &str, before: &Self, after: &Self) -> Effect {
        match field {
            "subnet" | "elastic_ip" => replace(before.elastic_ip != after.elastic_ip),
            _ => Effect::InPlace,
        }
    }
}

impl Resource for Spec {
    const RECOVERY: Recovery = Recovery::Token;
    const VISIBILITY: Duration = EC2_VISIBILITY;
    const READ_BATCH: usize = FILTER_VALUES;
    const ACTIONS: &'static [&'static str] = &[
        "ec2:CreateNatGateway",
        "ec2:DescribeNatGateways",
        "ec2:DeleteNatGateway",
        "ec2:DescribeTags",
        "ec2:CreateTags",
        "ec2:DeleteTags",
    ];

    async fn read_many(cloud: &Cloud, ids: &[String]) -> Result<Vec<Option<Observed>>, KindError> {
        let gateways = gateways(cloud, filter("nat-gateway-id", ids)).await?;
        Ok(in_order(ids, gateways.into_iter().filter_map(observed).collect()))
    }

    async fn create(
        &self,
        cloud: &Cloud,
        tags: &engine::Tags,
        on_identifier: OnIdentifier<'_>,
    ) -> Result<Observed, KindError> {
        const CALL: &str = "ec2:CreateNatGateway";
        let call = cloud.ec2().await.create_nat_gateway().client_token(&tags.operation.0);
        let call = call.connectivity_type(ConnectivityType::Public).subnet_id(&self.subnet);
        let call = call.allocation_id(&self.elastic_ip);
        let call = call.tag_specifications(born_with(ResourceType::Natgateway, tags, &self.tags));
        let gateway = call.send().await.of(cloud, CALL)?.nat_gateway.ok_or_else(|| empty(CALL))?;
        let id = gateway.nat_gateway_id.clone().ok_or_else(|| empty(CALL))?;
        on_identifier(&id);
        let readiness = readiness(&gateway);
        Ok(Seen::made(id.clone(), self, tags, &self.tags).output("id", id).readiness(readiness).done())
    }

    async fn update(
        &self,
        cloud: &Cloud,
        id: &str,
        _before: Option<&Self>,
        tags: &engine::Tags,
    ) -> Result<Observed, KindError> {
        retag(cloud, id, tags, &self.tags).await?;
        shown(id, Self::read_many(cloud, &[id.to_owned()]).await?)
    }

    /// AWS removes a gateway that has failed by itself, but goes on showing it as failed for about an hour, deleted or not.
    /// It holds nothing any more, so forge lets go of it: without forge's tags, it counts as gone.
    async fn delete(cloud: &Cloud, id: &str) -> Result<(), KindError> {
        let Some(gateway) = gateways(cloud, filter("nat-gateway-id", [id])).await?.pop() else { return Ok(()) };
        if gateway.state == Some(NatGatewayState::Failed) {
            disown(cloud, id).await?;
        }
        let gone = cloud.ec2().await.delete_nat_gateway().nat_gateway_id(id).send().await;
        gone.of_present(cloud, "ec2:DeleteNatGateway").map(drop)
    }

    async fn list(cloud: &Cloud, deployment: &Deployment) -> Result<Vec<Observed>, KindError> {
        Ok(gateways(cloud, of_deployment(deployment)).await?.into_iter().filter_map(observed).collect())
    }
}

async fn gateways(cloud: &Cloud, which: Filter) -> Result<Vec<NatGateway>, KindError> {
    let mut gateways = Vec::new();
    let call = cloud.ec2().await.describe_nat_gateways().filter(which);
    let mut pages = call.into_paginator().page_size(PAGE).items().send();
    while let Some(gateway) = pages.next().await {
        gateways.push(gateway.of(cloud, "ec2:DescribeNatGateways")?);
    }
    Ok(gateways)
}

/// AWS goes on showing gateways that are gone for about an hour.
fn observed(gateway: NatGateway) -> Option<Observed> {
    let ours = gateway.tags().iter().any(|tag| tag.key() == Some(tags::DEPLOYMENT));
    match gateway.state {
        Some(NatGatewayState::Deleted) => return None,
        Some(NatGatewayState::Failed) if !ours => return None,
        _ => {}
    }
    let readiness = readiness(&gateway);
    let addresses = gateway.nat_gateway_addresses.unwrap_or_default();
    let own = addresses.iter().find(|address| address.is_primary == Some(true)).or(addresses.first());
    let own = own.and_then(|address| address.allocation_id.clone());
    let id = gateway.nat_gateway_id?;
    let seen = Seen::new(id.clone(), pairs(gateway.tags)).known("subnet", gateway.subnet_id).known("elastic_ip", own);
    Some(seen.output("id", id).readiness(readiness).done())
}

fn readiness(gateway: &NatGateway) -> Readiness {
    match &gateway.state {
        Some(NatGatewayState::Available) => Readiness::Ready,
        Some(NatGatewayState::Failed) => {
            let reason = gateway.failure_message().unwrap_or("no reason given");
            Readiness::Failed(match gateway.failure_code() {
                Some(code) => format!("{reason} ({code})"),
                None => reason.to_owned(),
            })
        }
        state => {
            let state = state.as_ref().map_or("pending", NatGatewayState::as_str);
            Readiness::Waiting(format!("the NAT gateway is {state}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_ec2::types::Tag;

    #[test]
    fn a_failed_gateway_says_why_and_counts_as_gone_once_it_is_nobodys() {
        let failed = NatGateway::builder().nat_gateway_id("nat-1").state(NatGatewayState::Failed);
        let failed = failed.failure_code("Gateway.NotAttached").failure_message("Network vpc-1 has no Internet gateway attached");
        assert_eq!(observed(failed.clone().build()), None);
        let ours = failed.tags(Tag::builder().key(tags::DEPLOYMENT).value("d").build()).build();
        assert_eq!(
            observed(ours).unwrap().readiness,
            Readiness::Failed("Network vpc-1 has no Internet gateway attached (Gateway.NotAttached)".to_owned())
        );
        let deleted = NatGateway::builder().nat_gateway_id("nat-1").state(NatGatewayState::Deleted).build();
        assert_eq!(observed(deleted), None);
    }
}
