//! `aws.security_group`: who may talk to the network interfaces in it (EC2 CreateSecurityGroup,
//! AuthorizeSecurityGroupIngress and -Egress). Its rules are part of it: what is not listed is revoked, and so is the
//! rule that AWS adds by itself (out to everywhere). EFA needs two rules with the peer `{group: self}` and every
//! protocol, one each way; a rule for 0.0.0.0/0 does not do.
//!
//! A creation takes one request, one more for each direction that has rules, and one to revoke AWS's own rule, unless that
//! is among those wanted. Nothing is read: what a new group has is known. Where the VPC has IPv6 addresses, which forge
//! gives to none, AWS adds a second rule (out to ::/0); the next plan shows it.

use super::Tags;
use super::cloud::{Cloud, empty};
use super::ec2::{FILTER_VALUES, PAGE, born_with, clear_the_way, filter, of_deployment, pairs, retag};
use super::error::Answer;
use super::resource::{EC2_VISIBILITY, Resource, Seen, in_order, not_shown};
use super::security_rules::{Rules, Way};
use super::tags::{hidden_namesake, same_creation};
use crate::planned::{FREE, Planned, replace};
use aws_sdk_ec2::types::{Filter, ResourceType, SecurityGroup};
use forge_engine::address::Deployment;
use forge_engine::kind as engine;
use forge_engine::kind::{Effect, Hourly, KindError, Observed, OnIdentifier, Recovery, Typical};
use schemars::JsonSchema;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};
use std::collections::BTreeSet;
use std::time::Duration;

/// What can be chosen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Its name, unique in the VPC; at most 255 characters.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// Identifier of its VPC.
    pub vpc: String,
    /// Who may connect to its members.
    #[serde(default, deserialize_with = "rules")]
    pub ingress: BTreeSet<Rule>,
    /// Whom its members may connect to.
    #[serde(default, deserialize_with = "rules")]
    pub egress: BTreeSet<Rule>,

    /// Tags, besides those that forge sets.
    #[serde(default)]
    pub tags: Tags,
}

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// The other side.
    pub peer: Peer,
    /// The protocol.
    #[serde(default)]
    pub protocol: Protocol,
    /// The ports, of tcp and udp; all of them when absent.
    #[serde(default)]
    pub ports: Option<Ports>,
}

/// The other side of a rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Peer {
    /// Members of a security group, by identifier; `self` is this one.
    Group(String),
    /// IPv4 addresses.
    Cidr(String),
    /// Something else, that somebody else has let in or out: it can be seen, and goes; it cannot be asked for.
    #[schemars(skip)]
    Other(String),
}

/// The protocol of a rule.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// Every protocol (`-1`), EFA's among them.
    #[default]
    All,
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

/// Ports, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Ports {
    /// The first.
    pub from: u16,
    /// The last.
    pub to: u16,
}

/// Rules the way AWS writes them.
///
/// # Errors
/// Where AWS would leave out part of a rule, or refuse it.
fn rules<'de, D: Deserializer<'de>>(field: D) -> Result<BTreeSet<Rule>, D::Error> {
    let normal = |mut rule: Rule| {
        if let Peer::Cidr(cidr) = &mut rule.peer {
            *cidr = super::ec2::normal_cidr(cidr);
        }
        match rule.ports {
            Some(_) if rule.protocol == Protocol::All => {
                return Err(D::Error::custom("ports go with the protocol tcp or udp"));
            }
            Some(Ports { from, to }) if from > to => {
                return Err(D::Error::custom(format!("ports from {from} to {to}: the first is above the last")));
            }
            Some(Ports { from: 0, to: u16::MAX }) => rule.ports = None,
            _ => {}
        }
        Ok(rule)
    };
    BTreeSet::<Rule>::deserialize(field)?.into_iter().map(normal).collect()
}

impl Planned for Spec {
    const NAME: &'static str = "aws.security_group";
    const OUTPUTS: &'static [&'static str] = &["id"];
    const SERVICE: &'static str = "ec2";
    /// Estimate: several calls, one for each direction of rules.
    const TYPICAL: Typical = Typical::seconds(2, 2, 1);

    fn effect(field: &str, before: &Self, after: &Self) -> Effect {
        match field {
            "name" | "description" | "vpc" => replace((&before.name, &before.vpc) != (&after.name, &after.vpc)),
            _ => Effect::InPlace,
        }
    }

    fn hourly(&self, _region: Option<&str>) -> Option<Hourly> {
        FREE
    }
}

impl Resource for Spec {
    /// Names are unique in a VPC.
    const RECOVERY: Recovery = Recovery::Token;
    const VISIBILITY: Duration = EC2_VISIBILITY;
    const READ_BATCH: usize = FILTER_VALUES;
    const ACTIONS: &'static [&'static str] = &[
        "ec2:CreateSecurityGroup",
        "ec2:DescribeSecurityGroups",
        "ec2:AuthorizeSecurityGroupIngress",
        "ec2:AuthorizeSecurityGroupEgress",
        "ec2:RevokeSecurityGroupIngress",
        "ec2:RevokeSecurityGroupEgress",
        "ec2:DeleteSecurityGroup",
        "ec2:DescribeTags",
        "ec2:CreateTags",
        "ec2:DeleteTags",
        "ec2:DescribeNetworkInterfaces",
        "ec2:DeleteNetworkInterface",
    ];

    async fn read_many(cloud: &Cloud, ids: &[String]) -> Result<Vec<Option<Observed>>, KindError> {
        let groups = groups(cloud, vec![filter("group-id", ids)]).await?;
        Ok(in_order(ids, groups.into_iter().filter_map(observed).collect()))
    }

    async fn create(
        &self,
        cloud: &Cloud,
        tags: &engine::Tags,
        on_identifier: OnIdentifier<'_>,
    ) -> Result<Observed, KindError> {
        const CALL: &str = "ec2:CreateSecurityGroup";
        let call = cloud.ec2().await.create_security_group().group_name(&self.name).description(&self.description);
        let call = call.vpc_id(&self.vpc);
        let call = call.tag_specifications(born_with(ResourceType::SecurityGroup, tags, &self.tags));
        let (id, incoming, outgoing) = match call.send().await.unless(&["InvalidGroup.Duplicate"], cloud, CALL)? {
            Some(answer) => {
                let id = answer.group_id.ok_or_else(|| empty(CALL))?;
                (id, Rules::default(), Rules::out_to_everywhere())
            }
            None => self.made_before(cloud, tags).await?,
        };
        on_identifier(&id);
        self.settle(cloud, &id, &incoming, &outgoing).await?;
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
        let group = groups(cloud, vec![filter("group-id", [id])]).await?.pop().ok_or_else(|| not_shown(id))?;
        let (incoming, outgoing) = rules_of(&group);
        self.settle(cloud, id, &incoming, &outgoing).await?;
        Ok(Seen::made(id, self, tags, &self.tags).output("id", id).done())
    }

    async fn delete(cloud: &Cloud, id: &str) -> Result<(), KindError> {
        let gone = cloud.ec2().await.delete_security_group().group_id(id).send().await;
        match gone.of_present(cloud, "ec2:DeleteSecurityGroup") {
            Ok(_) => Ok(()),
            Err(refused) => Err(clear_the_way(cloud, "group-id", id, refused).await),
        }
    }

    async fn list(cloud: &Cloud, deployment: &Deployment) -> Result<Vec<Observed>, KindError> {
        Ok(groups(cloud, vec![of_deployment(deployment)]).await?.into_iter().filter_map(observed).collect())
    }
}

impl Spec {
    /// What this very creation has made before, and its rules.
    async fn made_before(&self, cloud: &Cloud, tags: &engine::Tags) -> Result<(String, Rules, Rules), KindError> {
        let what = format!("security group {}", self.name);
        let which = vec![filter("vpc-id", [&self.vpc]), filter("group-name", [&self.name])];
        let group = groups(cloud, which).await?.pop().ok_or_else(|| hidden_namesake(&what))?;
        let (incoming, outgoing) = rules_of(&group);
        let found = observed(group).ok_or_else(|| hidden_namesake(&what))?;
        same_creation(&what, found.tags.as_ref(), tags)?;
        Ok((found.id, incoming, outgoing))
    }

    /// Brings about the rules: what is wanted comes before what is not wanted goes.
    async fn settle(&self, cloud: &Cloud, id: &str, incoming: &Rules, outgoing: &Rules) -> Result<(), KindError> {
        Way::In.allow(cloud, id, incoming.lacking(&self.ingress, id)?).await?;
        Way::Out.allow(cloud, id, outgoing.lacking(&self.egress, id)?).await?;
        Way::In.deny(cloud, id, incoming.beyond(&self.ingress)).await?;
        Way::Out.deny(cloud, id, outgoing.beyond(&self.egress)).await
    }
}

async fn groups(cloud: &Cloud, which: Vec<Filter>) -> Result<Vec<SecurityGroup>, KindError> {
    let call = cloud.ec2().await.describe_security_groups().set_filters(Some(which));
    let mut pages = call.into_paginator().page_size(PAGE).items().send();
    let mut groups = Vec::new();
    while let Some(group) = pages.next().await {
        groups.push(group.of(cloud, "ec2:DescribeSecurityGroups")?);
    }
    Ok(groups)
}

fn rules_of(group: &SecurityGroup) -> (Rules, Rules) {
    let id = group.group_id().unwrap_or_default();
    (Rules::read(group.ip_permissions(), id), Rules::read(group.ip_permissions_egress(), id))
}

fn observed(group: SecurityGroup) -> Option<Observed> {
    let (incoming, outgoing) = rules_of(&group);
    let id = group.group_id?;
    let seen = Seen::new(id.clone(), pairs(group.tags))
        .known("name", group.group_name)
        .known("description", group.description)
        .known("vpc", group.vpc_id)
        .field("ingress", incoming.all())
        .field("egress", outgoing.all())
        .output("id", id);
    Some(seen.done())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn rules_are_written_as_aws_writes_them() {
        let spec = |rule: serde_json::Value| {
            let spec = json!({"name": "n", "description": "d", "vpc": "v", "ingress": [rule]});
            Spec::deserialize(spec).map(|spec| serde_json::to_value(spec.ingress).unwrap())
        };
        let all_tcp = json!({"peer": {"cidr": "10.1.2.3/8"}, "protocol": "tcp", "ports": {"from": 0, "to": 65535}});
        let normal = json!([{"peer": {"cidr": "10.0.0.0/8"}, "protocol": "tcp", "ports": null}]);
        assert_eq!(spec(all_tcp).unwrap(), normal);
        let vague = spec(json!({"peer": {"group": "self"}, "ports": {"from": 1, "to": 2}}));
        assert_eq!(vague.unwrap_err().to_string(), "ports go with the protocol tcp or udp");
        let backwards = spec(json!({"peer": {"group": "self"}, "protocol": "udp", "ports": {"from": 2, "to": 1}}));
        assert_eq!(backwards.unwrap_err().to_string(), "ports from 2 to 1: the first is above the last");
    }
}
