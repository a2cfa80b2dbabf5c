//! What the kinds of EC2 share: filters, tags, addresses in normal form.

use super::Tags as Own;
use super::cloud::Cloud;
use super::error::Answer;
use super::tags;
use aws_sdk_ec2::types::{Filter, ResourceType, Tag, TagSpecification};
use forge_engine::address::Deployment;
use forge_engine::kind::{KindError, Tags};
use serde::{Deserialize, Deserializer};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;

pub(super) use super::obstacles::clear_the_way;

/// A filter of a Describe call. Filters are used for identifiers too: an identifier that is gone is then absent from the
/// answer, and not an error that hides all others. A filter takes 200 values.
pub(super) fn filter(name: &str, values: impl IntoIterator<Item = impl Into<String>>) -> Filter {
    Filter::builder().name(name).set_values(Some(values.into_iter().map(Into::into).collect())).build()
}

/// How many values a filter takes.
pub(super) const FILTER_VALUES: usize = 200;

/// How many things a Describe call answers at once: the most that nearly all take. Unpaged calls are slower, and refused to
/// accounts with very much in them ("Pagination", Amazon EC2 Developer Guide).
pub(super) const PAGE: i32 = 1000;

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

/// Takes forge's own tags off something. Needs `ec2:DeleteTags`.
pub(super) async fn disown(cloud: &Cloud, id: &str) -> Result<(), KindError> {
    let own = [tags::DEPLOYMENT, tags::ADDRESS, tags::OPERATION].map(|key| Tag::builder().key(key).build());
    let call = cloud.ec2().await.delete_tags().resources(id).set_tags(Some(own.to_vec()));
    call.send().await.of_present(cloud, "ec2:DeleteTags").map(drop)
}

/// Addresses the way AWS writes them: it takes `10.0.0.9/16` and makes `10.0.0.0/16` of it (EC2 CreateVpc), and a plan must
/// not take that for a change. What is no such thing stays as it is: AWS says what is wrong with it.
pub(super) fn normal_cidr(text: &str) -> String {
    let parts = text.split_once('/');
    let parts = parts.and_then(|(address, bits)| Some((address.parse::<Ipv4Addr>().ok()?, bits.parse::<u32>().ok()?)));
    match parts {
        Some((address, bits)) if bits <= 32 => {
            let mask = u32::MAX.checked_shl(32 - bits).unwrap_or_default();
            format!("{}/{bits}", Ipv4Addr::from(u32::from(address) & mask))
        }
        _ => text.to_owned(),
    }
}

/// [`normal_cidr`] of a field.
///
/// # Errors
/// When it is no text.
pub(super) fn cidr<'de, D: Deserializer<'de>>(field: D) -> Result<String, D::Error> {
    Ok(normal_cidr(&String::deserialize(field)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_written_as_aws_writes_them() {
        for (given, normal) in [
            ("10.0.0.9/16", "10.0.0.0/16"),
            ("10.0.0.0/16", "10.0.0.0/16"),
            ("100.68.0.18/18", "100.68.0.0/18"),
            ("1.2.3.4/32", "1.2.3.4/32"),
            ("1.2.3.4/0", "0.0.0.0/0"),
            ("1.2.3.4/33", "1.2.3.4/33"),
            ("::/0", "::/0"),
            ("(known after apply)", "(known after apply)"),
        ] {
            assert_eq!(normal_cidr(given), normal);
        }
    }
}
