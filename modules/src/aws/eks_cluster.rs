//! `aws.eks_cluster`: a Kubernetes control plane (EKS CreateCluster). Nodes are let in by access entries (`API`), not
//! by a config map, which the API would choose by itself; add-ons come as [`super::eks_addon`], none by themselves.
//!
//! **Identifier**: its name. **Changes**: EKS makes one at a time, and a call of UpdateClusterConfig may ask for one sort of
//! them only; what has to wait is refused until then.

use super::Tags;
use super::cloud::Cloud;
use super::eks::{NOBODYS, TAKEN, born_with, busy, clusters, issue, of_deployment, retag};
use super::error::Answer;
use super::resource::{Resource, Seen, Stage, deleted, shown};
use super::tags;
use crate::planned::{Planned, replace};
use aws_sdk_eks::types::builders::VpcConfigRequestBuilder;
use aws_sdk_eks::types::{
    AuthenticationMode, Cluster, ClusterStatus, CreateAccessConfigRequest, EncryptionConfig,
    KubernetesNetworkConfigRequest, LogSetup, LogType, Logging, Provider, VpcConfigRequest, VpcConfigResponse,
};
use forge_engine::address::Deployment;
use forge_engine::kind as engine;
use forge_engine::kind::{Effect, ErrorClass, KindError, Observed, OnIdentifier, Readiness, Recovery, Typical};
use futures::future::try_join_all;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

/// What can be chosen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Its name, unique in the region; at most 100 characters.
    pub name: String,
    /// ARN of its role.
    pub role: String,
    /// Minor version of Kubernetes: `1.35`.
    pub version: String,
    /// Identifier of the VPC that its subnets are in. A cluster never moves to another one ("UpdateClusterConfig": subnets
    /// must belong to the VPC that was provided when it was created).
    pub vpc: String,
    /// Identifiers of its subnets: at least two availability zones, six free addresses each.
    pub subnets: BTreeSet<String>,
    /// Identifiers of security groups of the control plane's interfaces, besides the one that EKS makes.
    #[serde(default)]
    pub security_groups: BTreeSet<String>,
    /// Whether its API answers within the VPC.
    #[serde(default = "yes")]
    pub private_endpoint: bool,
    /// Whether its API answers from outside.
    #[serde(default = "yes")]
    pub public_endpoint: bool,
    /// The addresses outside that may reach it; all when empty.
    #[serde(default, deserialize_with = "unless_all")]
    pub public_cidrs: BTreeSet<String>,
    /// Addresses of services; EKS chooses when absent.
    #[serde(default)]
    pub service_cidr: Option<String>,
    /// ARN of the KMS key that encrypts Kubernetes secrets, besides the encryption that EKS does by itself.
    #[serde(default)]
    pub kms_key: Option<String>,
    /// Which logs of the control plane go to CloudWatch: api, audit, authenticator, controllerManager, scheduler.
    #[serde(default)]
    pub logs: BTreeSet<String>,
    /// Whether who creates it administers it.
    #[serde(default = "yes")]
    pub creator_is_admin: bool,
    /// Whether EKS refuses to delete it.
    #[serde(default)]
    pub deletion_protection: bool,

    /// Tags, besides those that forge sets.
    #[serde(default)]
    pub tags: Tags,
}

/// Everywhere.
const ALL: &str = "0.0.0.0/0";

/// EKS says "everywhere" where nothing was said: both are written as nothing.
fn unless_all<'de, D: Deserializer<'de>>(from: D) -> Result<BTreeSet<String>, D::Error> {
    Ok(addresses(BTreeSet::deserialize(from)?))
}

fn addresses(cidrs: BTreeSet<String>) -> BTreeSet<String> {
    if cidrs.contains(ALL) { BTreeSet::new() } else { cidrs }
}

fn yes() -> bool {
    true
}

fn minor(version: &str) -> Option<u32> {
    version.strip_prefix("1.")?.parse().ok()
}

/// EKS goes up one minor version at a time, and never back.
fn upgrade(before: &str, after: &str) -> Effect {
    match (minor(before), minor(after)) {
        (Some(before), Some(after)) if after > before + 1 => {
            Effect::Forbidden("EKS goes up one minor version of Kubernetes at a time")
        }
        (Some(before), Some(after)) if after < before => {
            Effect::Forbidden("EKS never goes back to an older Kubernetes")
        }
        _ => Effect::InPlace,
    }
}

impl Planned for Spec {
    const NAME: &'static str = "aws.eks_cluster";
    const OUTPUTS: &'static [&'static str] =
        &["id", "name", "arn", "version", "endpoint", "certificate_authority", "security_group", "issuer"];
    const SERVICE: &'static str = "eks";
    /// Estimate; AWS says "several minutes", and the SDK's waiters give it 20 (botocore 1.43.106).
    const TYPICAL: Typical = Typical::seconds(600, 600, 300);
    const VOLATILE_OUTPUTS: &'static [&'static str] = &["version"];
    /// The SDK's waiter `cluster_active` gives it 20 minutes; large accounts have been seen to need more.
    const READY_DEADLINE: Duration = Duration::from_secs(30 * 60);

    fn effect(field: &str, before: &Self, after: &Self) -> Effect {
        match field {
            "version" => upgrade(&before.version, &after.version),
            // A key can be given later, and then neither changed nor taken away.
            "kms_key" if before.kms_key.is_none() => Effect::InPlace,
            "name" | "role" | "vpc" | "service_cidr" | "kms_key" => replace(before.name != after.name),
            "creator_is_admin" => Effect::Forbidden(
                "EKS asks who administers a new cluster only when it makes it; give access entries instead",
            ),
            _ => Effect::InPlace,
        }
    }
}

impl Resource for Spec {
    const RECOVERY: Recovery = Recovery::Token;
    const VISIBILITY: Duration = Duration::from_secs(30);
    const ACTIONS: &'static [&'static str] = &[
        "eks:CreateCluster",
        "eks:DescribeCluster",
        "eks:ListClusters",
        "eks:UpdateClusterConfig",
        "eks:UpdateClusterVersion",
        "eks:AssociateEncryptionConfig",
        "eks:DeleteCluster",
        "eks:ListNodegroups",
        "eks:TagResource",
        "eks:UntagResource",
        "iam:PassRole",
        "iam:CreateServiceLinkedRole",
        "kms:DescribeKey",
        "kms:CreateGrant",
    ];

    async fn read_many(cloud: &Cloud, ids: &[String]) -> Result<Vec<Option<Observed>>, KindError> {
        try_join_all(ids.iter().map(|name| async move { Ok(describe(cloud, name).await?.map(|cluster| seen(name, cluster))) })).await
    }

    async fn create(
        &self,
        cloud: &Cloud,
        tags: &engine::Tags,
        on_identifier: OnIdentifier<'_>,
    ) -> Result<Observed, KindError> {
        let network = self.place(VpcConfigRequest::builder());
        let access = CreateAccessConfigRequest::builder()
            .authentication_mode(AuthenticationMode::Api)
            .bootstrap_cluster_creator_admin_permissions(self.creator_is_admin);
        let services = self.service_cidr.as_ref();
        let services =
            services.map(|cidr| KubernetesNetworkConfigRequest::builder().service_ipv4_cidr(cidr).build());
        let call = cloud
            .eks()
            .await
            .create_cluster()
            .client_request_token(&tags.operation.0)
            .name(&self.name)
            .version(&self.version)
            .role_arn(&self.role)
            .resources_vpc_config(self.reach(network).build())
            .access_config(access.build())
            .set_kubernetes_network_config(services)
            .set_encryption_config(self.kms_key.as_ref().map(|key| encryption(key)))
            .logging(self.logging())
            .bootstrap_self_managed_addons(false)
            .deletion_protection(self.deletion_protection)
            .set_tags(Some(born_with(tags, &self.tags)));
        if let Some(made) = call.send().await.unless(TAKEN, cloud, "eks:CreateCluster")? {
            on_identifier(&self.name);
            if let Some(cluster) = made.cluster {
                return Ok(seen(&self.name, cluster));
            }
        }
        let what = format!("the cluster {}", self.name);
        let there = describe(cloud, &self.name).await?.ok_or_else(|| tags::hidden_namesake(&what))?;
        let there = seen(&self.name, there);
        tags::same_creation(&what, there.tags.as_ref(), tags)?;
        on_identifier(&self.name);
        Ok(there)
    }

    async fn update(
        &self,
        cloud: &Cloud,
        id: &str,
        _before: Option<&Self>,
        tags: &engine::Tags,
    ) -> Result<Observed, KindError> {
        let there = describe(cloud, id).await?;
        let Some(cluster) = there else { return shown(id, vec![None]) };
        retag(cloud, cluster.arn(), cluster.tags(), tags, &self.tags).await?;
        let changes = self.changes(&cluster);
        let mut changes = changes.into_iter();
        if let Some(change) = changes.next() {
            let is_busy = [ClusterStatus::Creating, ClusterStatus::Pending, ClusterStatus::Updating];
            if cluster.status().is_some_and(|status| is_busy.contains(status)) {
                return Err(busy(id, change));
            }
            self.make(cloud, id, change).await?;
        }
        if let Some(next) = changes.next() {
            return Err(busy(id, next));
        }
        shown(id, Self::read_many(cloud, &[id.to_owned()]).await?)
    }

    async fn delete(cloud: &Cloud, id: &str) -> Result<(), KindError> {
        let asked = cloud.eks().await.delete_cluster().name(id).send().await.of_present(cloud, "eks:DeleteCluster");
        let stage = async {
            Ok(match describe(cloud, id).await?.map(|cluster| cluster.status) {
                None | Some(Some(ClusterStatus::Deleting)) => Stage::Going,
                Some(Some(ClusterStatus::Creating | ClusterStatus::Updating)) => Stage::Changing,
                Some(_) => Stage::Staying,
            })
        };
        let Err(refused) = deleted(asked, stage).await else { return Ok(()) };
        if refused.class != ErrorClass::NotYetVisible {
            return Err(refused);
        }
        let mut groups = Vec::new();
        let mut pages = cloud.eks().await.list_nodegroups().cluster_name(id).into_paginator().items().send();
        while let Some(group) = pages.next().await {
            groups.push(group.of(cloud, "eks:ListNodegroups")?);
        }
        if groups.is_empty() {
            return Err(refused);
        }
        let message = format!("{}; in the way: node groups {}", refused.message, groups.join(", "));
        Err(KindError { message, ..refused })
    }

    async fn list(cloud: &Cloud, deployment: &Deployment) -> Result<Vec<Observed>, KindError> {
        let names = clusters(cloud).await?;
        of_deployment(names, deployment, |name| async move {
            let answer = cloud.eks().await.describe_cluster().name(&name).send().await;
            let answer = answer.unless(NOBODYS, cloud, "eks:DescribeCluster")?;
            Ok(answer.and_then(|answer| answer.cluster).map(|cluster| seen(&name, cluster)))
        })
        .await
    }
}

/// A sort of change that EKS makes in one go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    Protection,
    Endpoints,
    Network,
    Logs,
    Key,
    Version,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Protection => "deletion_protection",
            Self::Endpoints => "who reaches its API",
            Self::Network => "its subnets and security groups",
            Self::Logs => "logs",
            Self::Key => "kms_key",
            Self::Version => "version",
        })
    }
}

impl Spec {
    /// What has to be changed, the quickest first.
    fn changes(&self, cluster: &Cluster) -> Vec<Change> {
        let there = seen(&self.name, cluster.clone()).spec;
        let differs = |field: &str, wanted: serde_json::Value| there.get(field).is_some_and(|there| *there != wanted);
        let json = |value: &BTreeSet<String>| serde_json::json!(value);
        let reach = differs("public_endpoint", self.public_endpoint.into())
            || differs("private_endpoint", self.private_endpoint.into())
            || differs("public_cidrs", json(&self.public_cidrs));
        let network =
            differs("subnets", json(&self.subnets)) || differs("security_groups", json(&self.security_groups));
        [
            (Change::Protection, differs("deletion_protection", self.deletion_protection.into())),
            (Change::Endpoints, reach),
            (Change::Network, network),
            (Change::Logs, differs("logs", json(&self.logs))),
            (Change::Key, self.kms_key.is_some() && differs("kms_key", serde_json::json!(self.kms_key))),
            (Change::Version, differs("version", self.version.as_str().into())),
        ]
        .into_iter()
        .filter_map(|(change, differs)| differs.then_some(change))
        .collect()
    }

    /// Asks for one change. The SDK gives each of these calls a token of its own: they are decided by what is there, so that
    /// a repeated one has nothing left to ask for, and a token that were made of the wish would swallow going back and forth.
    async fn make(&self, cloud: &Cloud, id: &str, change: Change) -> Result<(), KindError> {
        const CONFIG: &str = "eks:UpdateClusterConfig";
        let eks = cloud.eks().await;
        let config = eks.update_cluster_config().name(id);
        let config = match change {
            Change::Version => {
                let call = eks.update_cluster_version().name(id).version(&self.version);
                let asked = call.send().await.unless(TAKEN, cloud, "eks:UpdateClusterVersion")?;
                return asked.map(|_| ()).ok_or_else(|| busy(id, change));
            }
            Change::Key => {
                let key = self.kms_key.as_deref().unwrap_or_default();
                let call = eks.associate_encryption_config().cluster_name(id);
                let call = call.set_encryption_config(Some(encryption(key)));
                let asked = call.send().await.unless(TAKEN, cloud, "eks:AssociateEncryptionConfig")?;
                return asked.map(|_| ()).ok_or_else(|| busy(id, change));
            }
            Change::Protection => config.deletion_protection(self.deletion_protection),
            Change::Endpoints => config.resources_vpc_config(self.reach(VpcConfigRequest::builder()).build()),
            Change::Network => config.resources_vpc_config(self.place(VpcConfigRequest::builder()).build()),
            Change::Logs => config.logging(self.logging()),
        };
        let asked = config.send().await.unless(TAKEN, cloud, CONFIG)?;
        asked.map(|_| ()).ok_or_else(|| busy(id, change))
    }

    fn place(&self, network: VpcConfigRequestBuilder) -> VpcConfigRequestBuilder {
        let list = |set: &BTreeSet<String>| Some(set.iter().cloned().collect());
        network.set_subnet_ids(list(&self.subnets)).set_security_group_ids(list(&self.security_groups))
    }

    fn reach(&self, network: VpcConfigRequestBuilder) -> VpcConfigRequestBuilder {
        let network = network.endpoint_public_access(self.public_endpoint).endpoint_private_access(self.private_endpoint);
        let all = || vec![ALL.to_owned()];
        let cidrs = if self.public_cidrs.is_empty() { all() } else { self.public_cidrs.iter().cloned().collect() };
        if self.public_endpoint { network.set_public_access_cidrs(Some(cidrs)) } else { network }
    }

    /// All logs: those that are wanted, and those that are not.
    fn logging(&self) -> Logging {
        let set = |types: Vec<LogType>, enabled: bool| {
            (!types.is_empty()).then(|| LogSetup::builder().set_types(Some(types)).enabled(enabled).build())
        };
        let wanted = self.logs.iter().map(|log| LogType::from(log.as_str())).collect();
        let rest = LogType::values().iter().filter(|log| !self.logs.contains(**log)).map(|log| LogType::from(*log));
        let setup = [set(wanted, true), set(rest.collect(), false)].into_iter().flatten().collect();
        Logging::builder().set_cluster_logging(Some(setup)).build()
    }
}

#[allow(deprecated, reason = "what EKS encrypts does not depend on `resources` any more, but it asked for them once")]
fn encryption(key: &str) -> Vec<EncryptionConfig> {
    let provider = Provider::builder().key_arn(key).build();
    vec![EncryptionConfig::builder().resources("secrets").provider(provider).build()]
}

async fn describe(cloud: &Cloud, name: &str) -> Result<Option<Cluster>, KindError> {
    let answer = cloud.eks().await.describe_cluster().name(name).send().await;
    Ok(answer.of_present(cloud, "eks:DescribeCluster")?.and_then(|answer| answer.cluster))
}

fn seen(name: &str, cluster: Cluster) -> Observed {
    let readiness = readiness(&cluster);
    let logs = cluster.logging.and_then(|logging| logging.cluster_logging).unwrap_or_default();
    let logs: BTreeSet<String> = logs
        .into_iter()
        .filter(|setup| setup.enabled == Some(true))
        .flat_map(|setup| setup.types.unwrap_or_default())
        .map(|log| log.as_str().to_owned())
        .collect();
    let keys = cluster.encryption_config.unwrap_or_default();
    let key = keys.into_iter().find_map(|config| config.provider?.key_arn);
    let access = cluster.access_config.and_then(|access| access.bootstrap_cluster_creator_admin_permissions);
    let issuer = cluster.identity.and_then(|identity| identity.oidc?.issuer);
    let mut seen = Seen::new(name, cluster.tags.unwrap_or_default())
        .field("name", name)
        .known("role", cluster.role_arn)
        .known("version", cluster.version.as_ref())
        .field("logs", logs)
        .field("kms_key", key)
        .known("creator_is_admin", access)
        .field("deletion_protection", cluster.deletion_protection.unwrap_or_default())
        .output("id", name)
        .output("name", name)
        .gives("arn", cluster.arn)
        .gives("version", cluster.version)
        .gives("endpoint", cluster.endpoint)
        .gives("certificate_authority", cluster.certificate_authority.and_then(|authority| authority.data))
        .gives("issuer", issuer);
    if let Some(network) = cluster.resources_vpc_config {
        seen = seen_network(seen, network);
    }
    seen.readiness(readiness).done()
}

fn seen_network(seen: Seen, network: VpcConfigResponse) -> Seen {
    let set = |list: Option<Vec<String>>| list.unwrap_or_default().into_iter().collect::<BTreeSet<String>>();
    // Who may reach an API that does not answer is not told, or told as it was before.
    let cidrs = network.endpoint_public_access.then(|| addresses(set(network.public_access_cidrs)));
    seen.known("vpc", network.vpc_id)
        .field("subnets", set(network.subnet_ids))
        .field("security_groups", set(network.security_group_ids))
        .field("public_endpoint", network.endpoint_public_access)
        .field("private_endpoint", network.endpoint_private_access)
        .known("public_cidrs", cidrs)
        .gives("security_group", network.cluster_security_group_id)
}

fn readiness(cluster: &Cluster) -> Readiness {
    let issues = cluster.health().map(|health| health.issues()).unwrap_or_default().iter();
    let issues: Vec<String> =
        issues.map(|one| issue(one.code().map(|code| code.as_str()), one.message(), one.resource_ids())).collect();
    let told = |otherwise: &str| if issues.is_empty() { otherwise.to_owned() } else { issues.join("; ") };
    match cluster.status() {
        Some(ClusterStatus::Active) => Readiness::Ready,
        Some(ClusterStatus::Failed) => Readiness::Failed(told("EKS could not make the control plane")),
        Some(ClusterStatus::Creating | ClusterStatus::Pending) | None => {
            Readiness::Waiting(told("the control plane is being made"))
        }
        Some(ClusterStatus::Updating) => Readiness::Waiting(told("the control plane is being changed")),
        Some(ClusterStatus::Deleting) => Readiness::Waiting("the control plane is being deleted".to_owned()),
        Some(other) => Readiness::Waiting(format!("the cluster is {other}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_eks::types::{Certificate, ClusterHealth, ClusterIssue, ClusterIssueCode, Identity, Oidc};
    use serde_json::json;

    fn spec() -> Spec {
        serde_json::from_value(json!({
            "name": "prod", "role": "arn:aws:iam::1:role/prod", "version": "1.35", "vpc": "vpc-1", "subnets": ["subnet-b", "subnet-a"],
            "public_cidrs": ["0.0.0.0/0"], "logs": ["audit"],
        }))
        .unwrap()
    }

    fn cluster() -> aws_sdk_eks::types::builders::ClusterBuilder {
        let network = VpcConfigResponse::builder()
            .set_subnet_ids(Some(vec!["subnet-b".to_owned(), "subnet-a".to_owned()]))
            .vpc_id("vpc-1")
            .cluster_security_group_id("sg-eks")
            .endpoint_public_access(true)
            .endpoint_private_access(true)
            .public_access_cidrs(ALL);
        Cluster::builder()
            .name("prod")
            .arn("arn:aws:eks:us-west-2:1:cluster/prod")
            .role_arn("arn:aws:iam::1:role/prod")
            .version("1.35")
            .status(ClusterStatus::Active)
            .endpoint("https://prod")
            .certificate_authority(Certificate::builder().data("Y2E=").build())
            .identity(Identity::builder().oidc(Oidc::builder().issuer("https://oidc").build()).build())
            .logging(spec().logging())
            .resources_vpc_config(network.build())
    }

    #[test]
    fn what_is_read_is_what_was_asked_for() {
        let observed = seen("prod", cluster().build());
        let asked = serde_json::to_value(spec()).unwrap();
        for (field, value) in &observed.spec {
            assert_eq!(*value, asked[field], "{field}");
        }
        let unread = ["creator_is_admin", "service_cidr"];
        let all: BTreeSet<&str> = observed.spec.keys().map(String::as_str).chain(unread).collect();
        assert_eq!(all, asked.as_object().unwrap().keys().map(String::as_str).collect());
        assert_eq!(observed.outputs.keys().map(String::as_str).collect::<BTreeSet<_>>(), BTreeSet::from_iter(Spec::OUTPUTS.iter().copied()));
        assert_eq!(observed.readiness, Readiness::Ready);
        assert_eq!(spec().changes(&cluster().build()), []);
    }

    #[test]
    fn changes_of_different_sorts_are_asked_for_apart() {
        let mut after = spec();
        after.version = "1.36".to_owned();
        after.public_endpoint = false;
        after.logs = BTreeSet::new();
        assert_eq!(after.changes(&cluster().build()), [Change::Endpoints, Change::Logs, Change::Version]);
    }

    #[test]
    fn failures_are_told_in_the_words_of_aws() {
        let issue = ClusterIssue::builder().code(ClusterIssueCode::Ec2SubnetNotFound).message("subnet-a is gone");
        let health = ClusterHealth::builder().issues(issue.build()).build();
        let failed = cluster().status(ClusterStatus::Failed).health(health).build();
        assert_eq!(readiness(&failed), Readiness::Failed("Ec2SubnetNotFound: subnet-a is gone".to_owned()));
        let fresh = cluster().status(ClusterStatus::Creating).build();
        assert_eq!(readiness(&fresh), Readiness::Waiting("the control plane is being made".to_owned()));
    }
}
