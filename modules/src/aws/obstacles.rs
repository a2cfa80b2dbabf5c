//! What is in the way when AWS refuses to delete something that other things stand in: a VPC, a subnet, a security group.
//!
//! Kubernetes and EKS make network interfaces and security groups on behalf of a cluster and do not always take them away
//! again. Those of them that carry proof of where they come from, that nothing uses, and that stand in what is being deleted
//! are deleted here (Amazon EKS User Guide, "Delete a cluster"; aws/amazon-vpc-cni-k8s, "leaked ENIs"). Everything else is
//! named and left alone. The deletion itself fails as it did: the engine repeats it.

use super::cloud::Cloud;
use super::ec2::{PAGE, filter};
use super::error::Answer;
use aws_sdk_ec2::types::{Filter, IpPermission, NetworkInterface, NetworkInterfaceStatus, SecurityGroup, Tag};
use forge_engine::kind::{ErrorClass, KindError};
use futures::future::try_join_all;
use std::collections::BTreeSet;

/// So many things in the way are named; more help nobody.
const NAMED: usize = 10;
/// So many interfaces are deleted at once.
const AT_ONCE: usize = 8;

/// After AWS has refused to delete something of ours: deletes what Kubernetes and EKS have left behind in it, and names
/// what else is in the way. `place` is how DescribeNetworkInterfaces filters by it: `vpc-id`, `subnet-id` or `group-id`.
///
/// Needs `ec2:DescribeNetworkInterfaces`, `ec2:DeleteNetworkInterface`; for VPCs and groups besides
/// `ec2:DescribeSecurityGroups`, `ec2:RevokeSecurityGroupIngress`, `ec2:RevokeSecurityGroupEgress`; for VPCs besides
/// `ec2:DeleteSecurityGroup`, `ec2:DescribeSubnets`.
pub(super) async fn clear_the_way(cloud: &Cloud, place: &str, id: &str, refused: KindError) -> KindError {
    if refused.class != ErrorClass::NotYetVisible {
        return refused;
    }
    // What cannot be found out, or not be deleted either, leaves the refusal as it is.
    named(refused, obstacles(cloud, place, id).await.unwrap_or_default())
}

/// The same refusal, with what is in the way.
pub(super) fn named(refused: KindError, mut obstacles: Vec<String>) -> KindError {
    if obstacles.is_empty() {
        return refused;
    }
    let more = obstacles.len().saturating_sub(NAMED);
    obstacles.truncate(NAMED);
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    KindError { message: format!("{}; in the way: {}{more}", refused.message, obstacles.join(", ")), ..refused }
}

async fn obstacles(cloud: &Cloud, place: &str, id: &str) -> Result<Vec<String>, KindError> {
    let (leaked, used): (Vec<_>, Vec<_>) =
        interfaces(cloud, filter(place, [id])).await?.into_iter().partition(is_leaked);
    for some in leaked.chunks(AT_ONCE) {
        try_join_all(some.iter().filter_map(NetworkInterface::network_interface_id).map(|id| discard(cloud, id)))
            .await?;
    }
    let mut obstacles: Vec<String> = used.iter().map(interface_name).collect();
    match place {
        "vpc-id" => {
            obstacles.extend(clear_groups(cloud, id).await?);
            obstacles.extend(subnets(cloud, id).await?);
        }
        "group-id" => obstacles.extend(clear_references(cloud, id).await?),
        _ => {}
    }
    Ok(obstacles)
}

/// Network interfaces. Needs `ec2:DescribeNetworkInterfaces`.
pub(super) async fn interfaces(cloud: &Cloud, which: Filter) -> Result<Vec<NetworkInterface>, KindError> {
    let call = cloud.ec2().await.describe_network_interfaces().filters(which);
    let mut pages = call.into_paginator().page_size(PAGE).items().send();
    let mut interfaces = Vec::new();
    while let Some(interface) = pages.next().await {
        interfaces.push(interface.of(cloud, "ec2:DescribeNetworkInterfaces")?);
    }
    Ok(interfaces)
}

/// What to call an interface: whose it is says more than its identifier.
pub(super) fn interface_name(interface: &NetworkInterface) -> String {
    let of = interface.attachment().and_then(|attached| attached.instance_id()).or(interface.description());
    let of = of.filter(|text| !text.is_empty()).unwrap_or("no description");
    format!("{} ({of})", interface.network_interface_id().unwrap_or("a network interface"))
}

async fn discard(cloud: &Cloud, id: &str) -> Result<(), KindError> {
    let call = cloud.ec2().await.delete_network_interface().network_interface_id(id);
    call.send().await.of_present(cloud, "ec2:DeleteNetworkInterface").map(drop)
}

async fn subnets(cloud: &Cloud, vpc: &str) -> Result<Vec<String>, KindError> {
    let call = cloud.ec2().await.describe_subnets().filters(filter("vpc-id", [vpc]));
    let mut pages = call.into_paginator().page_size(PAGE).items().send();
    let mut subnets = Vec::new();
    while let Some(subnet) = pages.next().await {
        subnets.extend(subnet.of(cloud, "ec2:DescribeSubnets")?.subnet_id);
    }
    Ok(subnets)
}

/// Deletes the groups of a VPC that a cluster has left behind, and names the others.
async fn clear_groups(cloud: &Cloud, vpc: &str) -> Result<Vec<String>, KindError> {
    let mut groups = groups(cloud, filter("vpc-id", [vpc])).await?;
    // Every VPC has it, and it goes with it.
    groups.retain(|group| group.group_name() != Some("default"));
    let used = used(cloud, &groups).await?;
    let (left, others): (Vec<_>, Vec<_>) = groups.into_iter().partition(|group| is_left_behind(group, &used));
    // None can go while another speaks of it.
    for group in &left {
        forget(cloud, group, |_| true).await?;
    }
    for id in left.iter().filter_map(SecurityGroup::group_id) {
        let gone = cloud.ec2().await.delete_security_group().group_id(id).send().await;
        gone.of_present(cloud, "ec2:DeleteSecurityGroup")?;
    }
    Ok(others.iter().map(group_name).collect())
}

/// Takes a group out of the rules of groups that a cluster has left behind, and names other groups that speak of it.
async fn clear_references(cloud: &Cloud, id: &str) -> Result<Vec<String>, KindError> {
    let mut speaking = groups(cloud, filter("ip-permission.group-id", [id])).await?;
    let outwards = groups(cloud, filter("egress.ip-permission.group-id", [id])).await?;
    let known: BTreeSet<Option<String>> = speaking.iter().map(|group| group.group_id.clone()).collect();
    speaking.extend(outwards.into_iter().filter(|group| !known.contains(&group.group_id)));
    // A group may speak of itself.
    speaking.retain(|group| group.group_id() != Some(id));
    let used = used(cloud, &speaking).await?;
    let mut others = Vec::new();
    for group in &speaking {
        if is_left_behind(group, &used) {
            forget(cloud, group, |peer| peer == id).await?;
        } else {
            others.push(group_name(group));
        }
    }
    Ok(others)
}

async fn groups(cloud: &Cloud, which: Filter) -> Result<Vec<SecurityGroup>, KindError> {
    let call = cloud.ec2().await.describe_security_groups().filters(which);
    let mut pages = call.into_paginator().page_size(PAGE).items().send();
    let mut groups = Vec::new();
    while let Some(group) = pages.next().await {
        groups.push(group.of(cloud, "ec2:DescribeSecurityGroups")?);
    }
    Ok(groups)
}

fn group_name(group: &SecurityGroup) -> String {
    let name = group.group_name().unwrap_or("no name");
    format!("{} ({name})", group.group_id().unwrap_or("a security group"))
}

/// The groups among these that interfaces are in.
async fn used(cloud: &Cloud, groups: &[SecurityGroup]) -> Result<BTreeSet<String>, KindError> {
    let mut used = BTreeSet::new();
    for some in groups.chunks(super::ec2::FILTER_VALUES) {
        let ids = some.iter().filter_map(SecurityGroup::group_id);
        for interface in interfaces(cloud, filter("group-id", ids)).await? {
            used.extend(interface.groups.unwrap_or_default().into_iter().filter_map(|group| group.group_id));
        }
    }
    Ok(used)
}

/// Revokes the rules of a group whose other side is another group.
async fn forget(cloud: &Cloud, group: &SecurityGroup, which: impl Fn(&str) -> bool) -> Result<(), KindError> {
    let Some(id) = group.group_id() else { return Ok(()) };
    let (incoming, outgoing) =
        (speaking_of(group.ip_permissions(), id, &which), speaking_of(group.ip_permissions_egress(), id, &which));
    let ec2 = cloud.ec2().await;
    if !incoming.is_empty() {
        let call = ec2.revoke_security_group_ingress().group_id(id).set_ip_permissions(Some(incoming));
        call.send().await.of_present(cloud, "ec2:RevokeSecurityGroupIngress")?;
    }
    if !outgoing.is_empty() {
        let call = ec2.revoke_security_group_egress().group_id(id).set_ip_permissions(Some(outgoing));
        call.send().await.of_present(cloud, "ec2:RevokeSecurityGroupEgress")?;
    }
    Ok(())
}

fn speaking_of(rules: &[IpPermission], own: &str, which: impl Fn(&str) -> bool) -> Vec<IpPermission> {
    let rules = rules.iter().filter_map(|rule| {
        let mut pairs = rule.user_id_group_pairs().to_vec();
        pairs.retain(|pair| pair.group_id().is_some_and(|peer| peer != own && which(peer)));
        let rule = IpPermission::builder()
            .set_ip_protocol(rule.ip_protocol.clone())
            .set_from_port(rule.from_port)
            .set_to_port(rule.to_port);
        (!pairs.is_empty()).then(|| rule.set_user_id_group_pairs(Some(pairs)).build())
    });
    rules.collect()
}

fn has(tags: &[Tag], wanted: impl Fn(&str, &str) -> bool) -> bool {
    tags.iter().any(|tag| wanted(tag.key().unwrap_or_default(), tag.value().unwrap_or_default()))
}

/// True of an interface that Kubernetes' network plugin made for pods and left behind when its node ended: it is attached
/// to nothing, and says whose it was.
fn is_leaked(interface: &NetworkInterface) -> bool {
    let tagged = has(interface.tag_set(), |key, _| {
        matches!(key, "node.k8s.amazonaws.com/instance_id" | "cluster.k8s.amazonaws.com/name")
    });
    let named = interface.description().is_some_and(|text| text.starts_with("aws-K8S-"));
    interface.status() == Some(&NetworkInterfaceStatus::Available) && (tagged || named)
}

/// True of a group that EKS, or a controller in a cluster, made for the cluster, and that no interface is in any more. EKS
/// tags its own with `aws:eks:cluster-name`, which nobody else can; controllers tag theirs as owned by the cluster
/// (kubernetes/cloud-provider-aws) or name it (kubernetes-sigs/aws-load-balancer-controller).
fn is_left_behind(group: &SecurityGroup, used: &BTreeSet<String>) -> bool {
    let made_for_cluster = has(group.tags(), |key, value| {
        matches!(key, "aws:eks:cluster-name" | "elbv2.k8s.aws/cluster")
            || key.starts_with("kubernetes.io/cluster/") && value == "owned"
    });
    let ours = has(group.tags(), |key, _| key == super::tags::DEPLOYMENT);
    made_for_cluster && !ours && group.group_id().is_some_and(|id| !used.contains(id))
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_ec2::types::UserIdGroupPair;

    fn group(tags: &[(&str, &str)]) -> SecurityGroup {
        let tags = tags.iter().map(|(key, value)| Tag::builder().key(*key).value(*value).build()).collect();
        SecurityGroup::builder().group_id("sg-1").group_name("g").set_tags(Some(tags)).build()
    }

    #[test]
    fn only_groups_that_prove_whose_they_are_and_that_nothing_uses_count_as_left_behind() {
        let unused = BTreeSet::new();
        for (tags, left) in [
            (&[("aws:eks:cluster-name", "train")][..], true),
            (&[("kubernetes.io/cluster/train", "owned")], true),
            (&[("elbv2.k8s.aws/cluster", "train")], true),
            (&[("kubernetes.io/cluster/train", "shared")], false),
            (&[("kubernetes.io/cluster/train", "owned"), ("forge:deployment", "d")], false),
            (&[("Name", "eks-cluster-sg-train")], false),
        ] {
            assert_eq!(is_left_behind(&group(tags), &unused), left, "{tags:?}");
            assert!(!is_left_behind(&group(tags), &BTreeSet::from(["sg-1".to_owned()])), "{tags:?}");
        }
    }

    #[test]
    fn only_interfaces_of_ended_nodes_count_as_leaked() {
        let interface = |status: NetworkInterfaceStatus, text: &str| {
            NetworkInterface::builder().status(status).description(text).build()
        };
        assert!(is_leaked(&interface(NetworkInterfaceStatus::Available, "aws-K8S-i-0abc")));
        assert!(!is_leaked(&interface(NetworkInterfaceStatus::InUse, "aws-K8S-i-0abc")));
        assert!(!is_leaked(&interface(NetworkInterfaceStatus::Available, "Amazon EKS train")));
    }

    #[test]
    fn rules_are_forgotten_as_far_as_they_speak_of_another_group() {
        let pair = |id: &str| UserIdGroupPair::builder().group_id(id).build();
        let rule = IpPermission::builder().ip_protocol("tcp").from_port(1).to_port(2);
        let rule = rule.user_id_group_pairs(pair("sg-1")).user_id_group_pairs(pair("sg-2"));
        let rule = rule.user_id_group_pairs(pair("sg-3")).build();
        let others = speaking_of(std::slice::from_ref(&rule), "sg-1", |_| true);
        assert_eq!(others.len(), 1);
        assert_eq!(others[0].user_id_group_pairs(), [pair("sg-2"), pair("sg-3")]);
        assert_eq!(others[0].from_port(), Some(1));
        assert!(speaking_of(&[rule], "sg-1", |peer| peer == "sg-9").is_empty());
    }

    #[test]
    fn what_is_in_the_way_is_named_and_counted_beyond_ten() {
        let refused = || KindError::terminal("ec2:DeleteVpc: it has dependencies (DependencyViolation)");
        let some = |count: usize| (0..count).map(|i| format!("eni-{i} (x)")).collect::<Vec<_>>();
        assert_eq!(named(refused(), some(0)).message, refused().message);
        assert_eq!(
            named(refused(), some(2)).message,
            "ec2:DeleteVpc: it has dependencies (DependencyViolation); in the way: eni-0 (x), eni-1 (x)"
        );
        assert!(named(refused(), some(12)).message.ends_with("eni-9 (x) and 2 more"));
    }
}
