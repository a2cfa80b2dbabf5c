//! What the kinds of EC2 share: filters, tags, and what is in the way of a deletion.

use super::Tags as Own;
use super::cloud::Cloud;
use super::error::Answer;
use super::tags;
use aws_sdk_ec2::types::{Filter, NetworkInterface, NetworkInterfaceStatus, ResourceType, Tag, TagSpecification};
use forge_engine::address::Deployment;
use forge_engine::kind::{ErrorClass, KindError, Tags};
use std::collections::BTreeMap;

/// A filter of a Describe call. Filters are used for identifiers too: an identifier that is gone is then absent from the
/// answer, and not an error that hides all others. A filter takes 200 values.
pub(super) fn filter(name: &str, values: impl IntoIterator<Item = impl Into<String>>) -> Filter {
    Filter::builder().name(name).set_values(Some(values.into_iter().map(Into::into).collect())).build()
}

/// How many values a filter takes.
pub(super) const FILTER_VALUES: usize = 200;

/// What carries a deployment's tag.
pub(super) fn of_deployment(deployment: &Deployment) -> Filter {
    filter(&format!("tag:{}", tags::DEPLOYMENT), [&deployment.0])
}

fn sdk_tags(tags: BTreeMap<String, String>) -> Vec<Tag> {
    tags.into_iter().map(|(key, value)| Tag::builder().key(key).value(value).build()).collect()
}

/// The tags of something that is about to be made; they are set in the same step.
pub(super) fn born_with(what: ResourceType, tags: &Tags, own: &Own) -> TagSpecification {
    TagSpecification::builder().resource_type(what).set_tags(Some(sdk_tags(tags::all(tags, own)))).build()
}

/// Tags as pairs.
pub(super) fn pairs(tags: Option<Vec<Tag>>) -> impl Iterator<Item = (String, String)> {
    tags.unwrap_or_default().into_iter().filter_map(|tag| Some((tag.key?, tag.value.unwrap_or_default())))
}

/// Gives something the tags that it is to have, and takes away those that nobody asked for. Needs `ec2:DescribeTags`,
/// `ec2:CreateTags`, `ec2:DeleteTags`.
pub(super) async fn retag(cloud: &Cloud, id: &str, tags: &Tags, own: &Own) -> Result<(), KindError> {
    let ec2 = cloud.ec2().await;
    let mut pages = ec2.describe_tags().filters(filter("resource-id", [id])).into_paginator().items().send();
    let mut have = BTreeMap::new();
    while let Some(tag) = pages.next().await {
        let tag = tag.of(cloud, "ec2:DescribeTags")?;
        if let Some(key) = tag.key {
            have.insert(key, tag.value.unwrap_or_default());
        }
    }
    let (set, gone) = tags::changes(&have, &tags::all(tags, own));
    if !set.is_empty() {
        ec2.create_tags().resources(id).set_tags(Some(sdk_tags(set))).send().await.of(cloud, "ec2:CreateTags")?;
    }
    if !gone.is_empty() {
        let gone = gone.into_iter().map(|key| Tag::builder().key(key).build()).collect();
        ec2.delete_tags().resources(id).set_tags(Some(gone)).send().await.of(cloud, "ec2:DeleteTags")?;
    }
    Ok(())
}

/// True of an interface that Kubernetes' network plugin made for pods and left behind when its node ended: it is attached
/// to nothing, and says whose it was.
fn is_leaked(interface: &NetworkInterface) -> bool {
    let tagged = interface.tag_set().iter().any(|tag| {
        tag.key()
            .is_some_and(|key| key == "node.k8s.amazonaws.com/instance_id" || key == "cluster.k8s.amazonaws.com/name")
    });
    let named = interface.description().is_some_and(|text| text.starts_with("aws-K8S-"));
    interface.status() == Some(&NetworkInterfaceStatus::Available) && (tagged || named)
}

/// After AWS has refused to delete something of ours that network interfaces may be in: deletes the interfaces in it that
/// Kubernetes has left behind, and names those that are in the way.
///
/// Needs `ec2:DescribeNetworkInterfaces`, `ec2:DeleteNetworkInterface`. `place` is a filter of DescribeNetworkInterfaces: `subnet-id`, `group-id`, `vpc-id`.
pub(super) async fn clear_the_way(cloud: &Cloud, place: &str, id: &str, refused: KindError) -> KindError {
    if refused.class != ErrorClass::NotYetVisible {
        return refused;
    }
    match blockers(cloud, place, id).await {
        Ok(blockers) if blockers.is_empty() => refused,
        Ok(blockers) => {
            KindError { message: format!("{}; in the way: {}", refused.message, blockers.join(", ")), ..refused }
        }
        Err(_) => refused,
    }
}

async fn blockers(cloud: &Cloud, place: &str, id: &str) -> Result<Vec<String>, KindError> {
    let ec2 = cloud.ec2().await;
    let answer = ec2.describe_network_interfaces().filters(filter(place, [id])).send().await;
    let mut blockers = Vec::new();
    for interface in answer.of(cloud, "ec2:DescribeNetworkInterfaces")?.network_interfaces.unwrap_or_default() {
        let Some(id) = interface.network_interface_id() else { continue };
        if is_leaked(&interface) {
            let gone = ec2.delete_network_interface().network_interface_id(id).send().await;
            gone.of_present(cloud, "ec2:DeleteNetworkInterface")?;
        } else {
            let of = interface.attachment().and_then(|attached| attached.instance_id());
            let of = of.or(interface.description()).filter(|text| !text.is_empty()).unwrap_or("no description");
            blockers.push(format!("{id} ({of})"));
        }
    }
    Ok(blockers)
}
