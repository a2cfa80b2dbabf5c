//! The rules of security groups between what a specification says and what EC2 says.
//!
//! EC2 gathers rules of one protocol and one range of ports into one permission with many peers. Here each rule stands alone.

use super::cloud::Cloud;
use super::error::Answer;
use super::security_group::{Peer, Ports, Protocol, Rule};
use aws_sdk_ec2::types::builders::IpPermissionBuilder;
use aws_sdk_ec2::types::{IpPermission, IpRange, Ipv6Range, PrefixListId, UserIdGroupPair};
use forge_engine::kind::KindError;
use std::collections::{BTreeMap, BTreeSet};

/// What a specification calls the group itself.
const SELF: &str = "self";

/// The rules of one direction that a group has, each with the permission that it is.
#[derive(Debug, Default, Clone, PartialEq)]
pub(super) struct Rules(BTreeMap<Rule, IpPermission>);

impl Rules {
    /// The rule that AWS gives to each new group (EC2 CreateSecurityGroup).
    pub(super) fn out_to_everywhere() -> Self {
        let range = IpRange::builder().cidr_ip("0.0.0.0/0").build();
        Self::read(&[IpPermission::builder().ip_protocol("-1").ip_ranges(range).build()], "")
    }

    /// The rules of the group `own`.
    pub(super) fn read(permissions: &[IpPermission], own: &str) -> Self {
        Self(permissions.iter().flat_map(|permission| split(permission, own)).collect())
    }

    /// All of them.
    pub(super) fn all(&self) -> BTreeSet<&Rule> {
        self.0.keys().collect()
    }

    /// Those that are wanted and that the group `own` lacks.
    ///
    /// # Errors
    /// When one of them cannot be asked for.
    pub(super) fn lacking(&self, wanted: &BTreeSet<Rule>, own: &str) -> Result<Vec<IpPermission>, KindError> {
        wanted.iter().filter(|rule| !self.0.contains_key(rule)).map(|rule| permission(rule, own)).collect()
    }

    /// Those that nobody wants.
    pub(super) fn beyond(&self, wanted: &BTreeSet<Rule>) -> Vec<IpPermission> {
        self.0.iter().filter(|(rule, _)| !wanted.contains(rule)).map(|(_, permission)| permission.clone()).collect()
    }
}

/// The rules that a permission gathers.
fn split(permission: &IpPermission, own: &str) -> Vec<(Rule, IpPermission)> {
    let bare = || {
        IpPermission::builder()
            .set_ip_protocol(permission.ip_protocol.clone())
            .set_from_port(permission.from_port)
            .set_to_port(permission.to_port)
    };
    let mut rules = Vec::new();
    for pair in permission.user_id_group_pairs() {
        let group = pair.group_id().unwrap_or_default();
        let peer = Peer::Group(if group == own { SELF } else { group }.to_owned());
        // The names and descriptions that come with it take no part.
        let pair = UserIdGroupPair::builder()
            .set_group_id(pair.group_id.clone())
            .set_user_id(pair.user_id.clone())
            .set_vpc_peering_connection_id(pair.vpc_peering_connection_id.clone());
        rules.push((peer, bare().user_id_group_pairs(pair.build()).build()));
    }
    for range in permission.ip_ranges() {
        let cidr = range.cidr_ip().unwrap_or_default();
        let range = IpRange::builder().cidr_ip(cidr).build();
        rules.push((Peer::Cidr(cidr.to_owned()), bare().ip_ranges(range).build()));
    }
    for range in permission.ipv6_ranges() {
        let cidr = range.cidr_ipv6().unwrap_or_default();
        let range = Ipv6Range::builder().cidr_ipv6(cidr).build();
        rules.push((Peer::Other(cidr.to_owned()), bare().ipv6_ranges(range).build()));
    }
    for list in permission.prefix_list_ids() {
        let id = list.prefix_list_id().unwrap_or_default();
        let list = PrefixListId::builder().prefix_list_id(id).build();
        rules.push((Peer::Other(id.to_owned()), bare().prefix_list_ids(list).build()));
    }
    rules.into_iter().map(|(peer, alone)| (rule(peer, permission), alone)).collect()
}

/// The rule with this peer.
fn rule(peer: Peer, permission: &IpPermission) -> Rule {
    let ports = match (permission.from_port, permission.to_port) {
        (Some(0), Some(0xFFFF)) => Some(None),
        (Some(from), Some(to)) => {
            u16::try_from(from).ok().zip(u16::try_from(to).ok()).map(|(from, to)| Some(Ports { from, to }))
        }
        _ => None,
    };
    match (permission.ip_protocol().unwrap_or_default(), ports) {
        ("-1", _) => Rule { peer, protocol: Protocol::All, ports: None },
        ("tcp" | "6", Some(ports)) => Rule { peer, protocol: Protocol::Tcp, ports },
        ("udp" | "17", Some(ports)) => Rule { peer, protocol: Protocol::Udp, ports },
        (protocol, _) => {
            let peer = match peer {
                Peer::Group(text) | Peer::Cidr(text) | Peer::Other(text) => text,
            };
            let number = |port: Option<i32>| port.map_or_else(|| "any".to_owned(), |port| port.to_string());
            let (from, to) = (number(permission.from_port), number(permission.to_port));
            let peer = Peer::Other(format!("{peer}, protocol {protocol}, {from} to {to}"));
            Rule { peer, protocol: Protocol::All, ports: None }
        }
    }
}

/// The permission that a rule is; ports say nothing where every protocol is meant.
fn permission(rule: &Rule, own: &str) -> Result<IpPermission, KindError> {
    let ports = rule.ports.unwrap_or(Ports { from: 0, to: u16::MAX });
    let with_ports = |protocol: &str| -> IpPermissionBuilder {
        IpPermission::builder().ip_protocol(protocol).from_port(ports.from.into()).to_port(ports.to.into())
    };
    let permission = match rule.protocol {
        Protocol::All => IpPermission::builder().ip_protocol("-1"),
        Protocol::Tcp => with_ports("tcp"),
        Protocol::Udp => with_ports("udp"),
    };
    let permission = match &rule.peer {
        Peer::Group(group) => {
            let group = if group == SELF { own } else { group };
            permission.user_id_group_pairs(UserIdGroupPair::builder().group_id(group).build())
        }
        Peer::Cidr(cidr) => permission.ip_ranges(IpRange::builder().cidr_ip(cidr).build()),
        Peer::Other(other) => {
            return Err(KindError::terminal(format!("a rule's other side is a group or a cidr, not {other}")));
        }
    };
    Ok(permission.build())
}

/// A direction.
#[derive(Debug, Clone, Copy)]
pub(super) enum Way {
    /// To the members of a group.
    In,
    /// From them.
    Out,
}

impl Way {
    /// Adds rules to a group: all of them in one request. It is refused as a whole when one of them is there already,
    /// because AWS did not show it; then each goes alone.
    pub(super) async fn allow(self, cloud: &Cloud, id: &str, permissions: Vec<IpPermission>) -> Result<(), KindError> {
        if permissions.is_empty() || self.authorized(cloud, id, permissions.clone()).await? {
            return Ok(());
        }
        for permission in permissions {
            self.authorized(cloud, id, vec![permission]).await?;
        }
        Ok(())
    }

    /// Takes rules from a group, likewise.
    pub(super) async fn deny(self, cloud: &Cloud, id: &str, permissions: Vec<IpPermission>) -> Result<(), KindError> {
        if permissions.is_empty() || self.revoked(cloud, id, permissions.clone()).await? {
            return Ok(());
        }
        for permission in permissions {
            self.revoked(cloud, id, vec![permission]).await?;
        }
        Ok(())
    }

    /// False when AWS has refused all of them because one is there.
    async fn authorized(self, cloud: &Cloud, id: &str, rules: Vec<IpPermission>) -> Result<bool, KindError> {
        const THERE: &[&str] = &["InvalidPermission.Duplicate"];
        let (ec2, rules) = (cloud.ec2().await, Some(rules));
        let done = match self {
            Self::In => {
                let call = ec2.authorize_security_group_ingress().group_id(id).set_ip_permissions(rules);
                call.send().await.unless(THERE, cloud, "ec2:AuthorizeSecurityGroupIngress")?.is_some()
            }
            Self::Out => {
                let call = ec2.authorize_security_group_egress().group_id(id).set_ip_permissions(rules);
                call.send().await.unless(THERE, cloud, "ec2:AuthorizeSecurityGroupEgress")?.is_some()
            }
        };
        Ok(done)
    }

    /// False when AWS has refused all of them because one is gone.
    async fn revoked(self, cloud: &Cloud, id: &str, rules: Vec<IpPermission>) -> Result<bool, KindError> {
        const GONE: &[&str] = &["InvalidPermission.NotFound"];
        let (ec2, rules) = (cloud.ec2().await, Some(rules));
        let done = match self {
            Self::In => {
                let call = ec2.revoke_security_group_ingress().group_id(id).set_ip_permissions(rules);
                call.send().await.unless(GONE, cloud, "ec2:RevokeSecurityGroupIngress")?.is_some()
            }
            Self::Out => {
                let call = ec2.revoke_security_group_egress().group_id(id).set_ip_permissions(rules);
                call.send().await.unless(GONE, cloud, "ec2:RevokeSecurityGroupEgress")?.is_some()
            }
        };
        Ok(done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(peer: Peer, protocol: Protocol, ports: Option<(u16, u16)>) -> Rule {
        Rule { peer, protocol, ports: ports.map(|(from, to)| Ports { from, to }) }
    }

    fn group(id: &str) -> Peer {
        Peer::Group(id.to_owned())
    }

    #[test]
    fn what_is_asked_for_is_read_back_as_it_was_asked_for() {
        let rules = BTreeSet::from([
            wanted(group("self"), Protocol::All, None),
            wanted(group("sg-2"), Protocol::Tcp, Some((988, 988))),
            wanted(Peer::Cidr("10.0.0.0/16".to_owned()), Protocol::Udp, None),
            wanted(Peer::Cidr("0.0.0.0/0".to_owned()), Protocol::Tcp, Some((0, 0))),
        ]);
        let permissions = Rules::default().lacking(&rules, "sg-1").unwrap();
        assert_eq!(permissions.len(), 4);
        let read = Rules::read(&permissions, "sg-1");
        assert_eq!(read.all(), rules.iter().collect());
        assert!(read.lacking(&rules, "sg-1").unwrap().is_empty());
        assert!(read.beyond(&rules).is_empty());
    }

    #[test]
    fn permissions_of_many_peers_are_as_many_rules() {
        let range = |cidr: &str| IpRange::builder().cidr_ip(cidr).description("x").build();
        let pair = UserIdGroupPair::builder().group_id("sg-1").user_id("1").group_name("n").build();
        let gathered = IpPermission::builder().ip_protocol("tcp").from_port(0).to_port(65535);
        let gathered = gathered.ip_ranges(range("10.0.0.0/8")).ip_ranges(range("0.0.0.0/0")).user_id_group_pairs(pair);
        let rules = Rules::read(&[gathered.build()], "sg-1");
        assert_eq!(rules.0.len(), 3);
        let own = &rules.0[&wanted(group("self"), Protocol::Tcp, None)];
        assert_eq!(own.user_id_group_pairs()[0].group_name(), None);
        assert!(own.ip_ranges().is_empty());
    }

    #[test]
    fn the_rule_of_a_new_group_goes_unless_it_is_wanted() {
        let everywhere = wanted(Peer::Cidr("0.0.0.0/0".to_owned()), Protocol::All, None);
        let fresh = Rules::out_to_everywhere();
        assert_eq!(fresh.beyond(&BTreeSet::new()).len(), 1);
        assert!(fresh.beyond(&BTreeSet::from([everywhere.clone()])).is_empty());
        assert!(fresh.lacking(&BTreeSet::from([everywhere]), "sg-1").unwrap().is_empty());
    }

    #[test]
    fn what_nobody_can_ask_for_is_seen_and_goes() {
        let six = Ipv6Range::builder().cidr_ipv6("::/0").build();
        let open = IpPermission::builder().ip_protocol("-1").ipv6_ranges(six).build();
        let range = IpRange::builder().cidr_ip("0.0.0.0/0").build();
        let ping = IpPermission::builder().ip_protocol("icmp").from_port(8).to_port(-1).ip_ranges(range).build();
        let rules = Rules::read(&[open, ping], "sg-1");
        let names: Vec<&Peer> = rules.all().into_iter().map(|rule| &rule.peer).collect();
        let other = |text: &str| Peer::Other(text.to_owned());
        assert_eq!(names, [&other("0.0.0.0/0, protocol icmp, 8 to -1"), &other("::/0")]);
        assert_eq!(rules.beyond(&BTreeSet::new()).len(), 2);
        let asked = BTreeSet::from([wanted(other("::/0"), Protocol::All, None)]);
        let refused = Rules::default().lacking(&asked, "sg-1").unwrap_err();
        assert_eq!(refused.message, "a rule's other side is a group or a cidr, not ::/0");
    }
}
