//! `aws.elastic_ip`: a public IPv4 address that stays (EC2 AllocateAddress). Its identifier is that of the
//! allocation.

use super::Tags;
use super::cloud::{Cloud, empty};
use super::ec2::{FILTER_VALUES, born_with, filter, of_deployment, pairs, retag};
use super::error::Answer;
use super::resource::{EC2_VISIBILITY, Resource, Seen, in_order, shown};
use crate::planned::Planned;
use aws_sdk_ec2::types::{Address, DomainType, Filter, ResourceType};
use forge_engine::address::Deployment;
use forge_engine::kind as engine;
use forge_engine::kind::{Effect, ErrorClass, KindError, Observed, OnIdentifier, Recovery, Typical};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What can be chosen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Tags, besides those that forge sets.
    #[serde(default)]
    pub tags: Tags,
}

impl Planned for Spec {
    const NAME: &'static str = "aws.elastic_ip";
    const OUTPUTS: &'static [&'static str] = &["id", "address"];
    const SERVICE: &'static str = "ec2";
    /// Estimate: done when the call returns.
    const TYPICAL: Typical = Typical::seconds(1, 1, 1);

    fn effect(_field: &str, _before: &Self, _after: &Self) -> Effect {
        Effect::InPlace
    }
}

impl Resource for Spec {
    const RECOVERY: Recovery = Recovery::Tags;
    const VISIBILITY: Duration = EC2_VISIBILITY;
    const READ_BATCH: usize = FILTER_VALUES;
    const ACTIONS: &'static [&'static str] = &[
        "ec2:AllocateAddress",
        "ec2:DescribeAddresses",
        "ec2:ReleaseAddress",
        "ec2:DescribeTags",
        "ec2:CreateTags",
        "ec2:DeleteTags",
    ];

    async fn read_many(cloud: &Cloud, ids: &[String]) -> Result<Vec<Option<Observed>>, KindError> {
        let addresses = addresses(cloud, filter("allocation-id", ids)).await?;
        Ok(in_order(ids, addresses.into_iter().filter_map(observed).collect()))
    }

    async fn create(
        &self,
        cloud: &Cloud,
        tags: &engine::Tags,
        on_identifier: OnIdentifier<'_>,
    ) -> Result<Observed, KindError> {
        const CALL: &str = "ec2:AllocateAddress";
        let call = cloud.ec2().await.allocate_address().domain(DomainType::Vpc);
        let call = call.tag_specifications(born_with(ResourceType::ElasticIp, tags, &self.tags));
        let answer = call.send().await.of(cloud, CALL)?;
        let id = answer.allocation_id.ok_or_else(|| empty(CALL))?;
        on_identifier(&id);
        let address = answer.public_ip.ok_or_else(|| empty(CALL))?;
        let made = Seen::made(id.clone(), self, tags, &self.tags);
        Ok(made.output("id", id).output("address", address).done())
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

    async fn delete(cloud: &Cloud, id: &str) -> Result<(), KindError> {
        let gone = cloud.ec2().await.release_address().allocation_id(id).send().await;
        match gone.of_present(cloud, "ec2:ReleaseAddress") {
            Ok(_) => Ok(()),
            Err(refused) => Err(still_in_use(cloud, id, refused).await),
        }
    }

    async fn list(cloud: &Cloud, deployment: &Deployment) -> Result<Vec<Observed>, KindError> {
        Ok(addresses(cloud, of_deployment(deployment)).await?.into_iter().filter_map(observed).collect())
    }
}

async fn addresses(cloud: &Cloud, which: Filter) -> Result<Vec<Address>, KindError> {
    let answer = cloud.ec2().await.describe_addresses().filters(which).send().await;
    Ok(answer.of(cloud, "ec2:DescribeAddresses")?.addresses.unwrap_or_default())
}

fn observed(address: Address) -> Option<Observed> {
    let id = address.allocation_id?;
    let seen = Seen::new(id.clone(), pairs(address.tags)).output("id", id);
    Some(seen.output("address", address.public_ip?).done())
}

/// Of an address that a NAT gateway has, AWS says that one may not release it (`AuthFailure`), not that it is in use.
async fn still_in_use(cloud: &Cloud, id: &str, refused: KindError) -> KindError {
    if !matches!(refused.class, ErrorClass::Terminal | ErrorClass::NotYetVisible) {
        return refused;
    }
    let address = addresses(cloud, filter("allocation-id", [id])).await.ok().and_then(|mut found| found.pop());
    match address {
        Some(Address { association_id: Some(_), network_interface_id, instance_id, .. }) => {
            let user = network_interface_id.or(instance_id).unwrap_or_else(|| "something".to_owned());
            let help = "What uses it has to go first. If it is not forge's own, delete it, then run the same command again.";
            let message = format!("{}; {user} uses it", refused.message);
            KindError { class: ErrorClass::NotYetVisible, message, help: Some(help.to_owned()), source: refused.source }
        }
        _ => refused,
    }
}
