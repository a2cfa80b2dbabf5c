//! `aws.eks_addon`: an add-on of a cluster that EKS keeps up (EKS CreateAddon). It counts as ready when it is
//! installed; `coredns` then still waits for a node without taints.
//!
//! **Identifier**: `cluster/name`. What others have changed of its objects in the cluster is written over
//! (`resolveConflicts: OVERWRITE`): what is not in the specification is not kept up by anybody.

use super::Tags;
use super::cloud::{Cloud, empty};
use super::eks::{NOBODYS, TAKEN, apart, born_with, busy, in_clusters, issue, of_deployment, retag, within};
use super::error::{Answer, unbuilt};
use super::resource::{Resource, Seen, Stage, deleted, shown};
use super::tags;
use crate::planned::{FREE, Planned};
use aws_sdk_eks::types::{
    Addon, AddonIssueCode, AddonPodIdentityAssociations, AddonStatus, PodIdentityAssociation, ResolveConflicts,
};
use forge_engine::address::Deployment;
use forge_engine::kind as engine;
use forge_engine::kind::{Effect, Hourly, KindError, Observed, OnIdentifier, Readiness, Recovery, Typical};
use futures::future::try_join_all;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// What can be chosen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Name of the cluster.
    pub cluster: String,
    /// Its name: `vpc-cni`.
    pub name: String,
    /// Its version; the default for the cluster's Kubernetes when absent.
    #[serde(default)]
    pub version: Option<String>,
    /// Its configuration, by its own schema (EKS DescribeAddonConfiguration).
    #[serde(default)]
    pub configuration: BTreeMap<String, serde_json::Value>,
    /// Roles of its service accounts by Pod Identity: name of the account to ARN of the role.
    #[serde(default)]
    pub roles: BTreeMap<String, String>,

    /// Tags, besides those that forge sets.
    #[serde(default)]
    pub tags: Tags,
}

impl Planned for Spec {
    const NAME: &'static str = "aws.eks_addon";
    const OUTPUTS: &'static [&'static str] = &["arn", "cluster", "version"];
    const SERVICE: &'static str = "eks";
    /// Estimate; the SDK's waiter `addon_active` gives it 10 minutes (botocore 1.43.106).
    const TYPICAL: Typical = Typical::seconds(60, 60, 30);
    const VOLATILE_OUTPUTS: &'static [&'static str] = &["version"];
    /// The SDK's waiter `addon_active` gives it 10 minutes, and takes a passing DEGRADED for failure.
    const READY_DEADLINE: Duration = Duration::from_secs(30 * 60);

    fn effect(field: &str, _before: &Self, _after: &Self) -> Effect {
        match field {
            "cluster" | "name" => Effect::ReplaceCreateFirst,
            _ => Effect::InPlace,
        }
    }

    fn hourly(&self, _region: Option<&str>) -> Option<Hourly> {
        FREE
    }
}

impl Resource for Spec {
    const RECOVERY: Recovery = Recovery::Token;
    const VISIBILITY: Duration = Duration::from_secs(30);
    const ACTIONS: &'static [&'static str] = &[
        "eks:CreateAddon",
        "eks:DescribeAddon",
        "eks:ListClusters",
        "eks:ListAddons",
        "eks:UpdateAddon",
        "eks:DeleteAddon",
        "eks:DescribePodIdentityAssociation",
        "eks:CreatePodIdentityAssociation",
        "eks:UpdatePodIdentityAssociation",
        "eks:DeletePodIdentityAssociation",
        "eks:TagResource",
        "eks:UntagResource",
        "iam:PassRole",
        "iam:GetRole",
    ];

    async fn read_many(cloud: &Cloud, ids: &[String]) -> Result<Vec<Option<Observed>>, KindError> {
        try_join_all(ids.iter().map(|id| look(cloud, id))).await
    }

    async fn create(
        &self,
        cloud: &Cloud,
        tags: &engine::Tags,
        on_identifier: OnIdentifier<'_>,
    ) -> Result<Observed, KindError> {
        let id = within(&self.cluster, &self.name);
        let configuration = (!self.configuration.is_empty()).then(|| self.written());
        let roles = self.associations()?;
        let call = cloud
            .eks()
            .await
            .create_addon()
            .client_request_token(&tags.operation.0)
            .cluster_name(&self.cluster)
            .addon_name(&self.name)
            .set_addon_version(self.version.clone())
            .set_configuration_values(configuration)
            .set_pod_identity_associations((!roles.is_empty()).then_some(roles))
            .resolve_conflicts(ResolveConflicts::Overwrite)
            .set_tags(Some(born_with(tags, &self.tags)));
        if let Some(made) = call.send().await.unless(TAKEN, cloud, "eks:CreateAddon")? {
            on_identifier(&id);
            return Ok(seen(&id, made.addon.ok_or_else(|| empty("eks:CreateAddon"))?, &self.roles));
        }
        let what = format!("the add-on {id}");
        let there = look(cloud, &id).await?.ok_or_else(|| tags::hidden_namesake(&what))?;
        tags::same_creation(&what, there.tags.as_ref(), tags)?;
        on_identifier(&id);
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
        let Some(there) = there else { return shown(id, vec![None]) };
        retag(cloud, there.addon_arn(), there.tags(), tags, &self.tags).await?;
        let version = self.version.as_deref();
        let is_other_version = version.is_some() && version != there.addon_version();
        let roles = roles(cloud, id, &there).await?;
        if is_other_version || roles != self.roles || configuration(&there) != self.configuration {
            let call = cloud.eks().await.update_addon().cluster_name(&self.cluster).addon_name(&self.name);
            // An empty list takes away those that it has; the SDK gives the call a token of its own.
            let call = call
                .set_addon_version(self.version.clone())
                .configuration_values(self.written())
                .set_pod_identity_associations(Some(self.associations()?))
                .resolve_conflicts(ResolveConflicts::Overwrite);
            let asked = call.send().await.unless(TAKEN, cloud, "eks:UpdateAddon")?;
            asked.ok_or_else(|| busy(id, "the next one"))?;
        }
        shown(id, Self::read_many(cloud, &[id.to_owned()]).await?)
    }

    async fn delete(cloud: &Cloud, id: &str) -> Result<(), KindError> {
        let (cluster, name) = apart(id)?;
        let call = cloud.eks().await.delete_addon().cluster_name(cluster).addon_name(name);
        let asked = call.send().await.of_present(cloud, "eks:DeleteAddon");
        let stage = async {
            Ok(match describe(cloud, id).await?.map(|addon| addon.status) {
                None | Some(Some(AddonStatus::Deleting)) => Stage::Going,
                Some(Some(AddonStatus::Creating | AddonStatus::Updating)) => Stage::Changing,
                Some(_) => Stage::Staying,
            })
        };
        deleted(asked, stage).await
    }

    async fn list(cloud: &Cloud, deployment: &Deployment) -> Result<Vec<Observed>, KindError> {
        let ids = in_clusters(cloud, |cluster| async move {
            let mut ids = Vec::new();
            let mut pages = cloud.eks().await.list_addons().cluster_name(&cluster).into_paginator().items().send();
            while let Some(name) = pages.next().await {
                let Some(name) = name.unless(NOBODYS, cloud, "eks:ListAddons")? else { break };
                ids.push(within(&cluster, &name));
            }
            Ok(ids)
        });
        of_deployment(ids.await?, deployment, |id| async move { look(cloud, &id).await }).await
    }
}

impl Spec {
    fn written(&self) -> String {
        serde_json::to_string(&self.configuration).unwrap_or_default()
    }

    fn associations(&self) -> Result<Vec<AddonPodIdentityAssociations>, KindError> {
        let one = |(account, role): (&String, &String)| {
            AddonPodIdentityAssociations::builder().service_account(account).role_arn(role).build().map_err(unbuilt)
        };
        self.roles.iter().map(one).collect()
    }
}

async fn describe(cloud: &Cloud, id: &str) -> Result<Option<Addon>, KindError> {
    let (cluster, name) = apart(id)?;
    let call = cloud.eks().await.describe_addon().cluster_name(cluster).addon_name(name);
    Ok(call.send().await.of_present(cloud, "eks:DescribeAddon")?.and_then(|answer| answer.addon))
}

async fn look(cloud: &Cloud, id: &str) -> Result<Option<Observed>, KindError> {
    let Some(addon) = describe(cloud, id).await? else { return Ok(None) };
    let roles = roles(cloud, id, &addon).await?;
    Ok(Some(seen(id, addon, &roles)))
}

/// The roles of its service accounts. It tells only the ARNs of the associations: `…:podidentityassociation/cluster/a-…`.
async fn roles(cloud: &Cloud, id: &str, addon: &Addon) -> Result<BTreeMap<String, String>, KindError> {
    let (cluster, _) = apart(id)?;
    let mut roles = BTreeMap::new();
    for arn in addon.pod_identity_associations() {
        let association = arn.rsplit('/').next().unwrap_or_default();
        let call = cloud.eks().await.describe_pod_identity_association().cluster_name(cluster);
        let answer = call.association_id(association).send().await;
        let answer = answer.of_present(cloud, "eks:DescribePodIdentityAssociation")?;
        if let Some(PodIdentityAssociation { service_account: Some(account), role_arn: Some(role), .. }) =
            answer.and_then(|answer| answer.association)
        {
            roles.insert(account, role);
        }
    }
    Ok(roles)
}

/// What was given to it, as JSON; what others have given as YAML is not understood, and counts as nothing.
fn configuration(addon: &Addon) -> BTreeMap<String, serde_json::Value> {
    addon.configuration_values().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
}

/// Its version is not part of what is read: EKS says one where none was asked for.
fn seen(id: &str, addon: Addon, roles: &BTreeMap<String, String>) -> Observed {
    let (readiness, configuration) = (readiness(&addon), configuration(&addon));
    Seen::new(id, addon.tags.unwrap_or_default())
        .known("cluster", addon.cluster_name.as_ref())
        .known("name", addon.addon_name)
        .field("configuration", configuration)
        .field("roles", roles)
        .gives("arn", addon.addon_arn)
        .gives("cluster", addon.cluster_name)
        .gives("version", addon.addon_version)
        .readiness(readiness)
        .done()
}

/// What waits for nothing but nodes is installed: nodes may come much later, or wait for this very add-on.
fn readiness(addon: &Addon) -> Readiness {
    let issues = addon.health().map(|health| health.issues()).unwrap_or_default();
    let only_nodes = !issues.is_empty()
        && issues.iter().all(|one| one.code() == Some(&AddonIssueCode::InsufficientNumberOfReplicas));
    let words = issues.iter().map(|one| issue(one.code().map(AddonIssueCode::as_str), one.message(), one.resource_ids()));
    let words: Vec<String> = words.collect();
    let told = |otherwise: &str| if words.is_empty() { otherwise.to_owned() } else { words.join("; ") };
    match addon.status() {
        Some(AddonStatus::Active) => Readiness::Ready,
        Some(AddonStatus::Creating | AddonStatus::Degraded) if only_nodes => Readiness::Ready,
        Some(AddonStatus::CreateFailed) => Readiness::Failed(told("EKS could not install it")),
        Some(AddonStatus::UpdateFailed) => Readiness::Failed(told("EKS could not change it")),
        Some(AddonStatus::DeleteFailed) => Readiness::Failed(told("EKS could not delete it")),
        Some(AddonStatus::Creating) | None => Readiness::Waiting(told("it is being installed")),
        Some(AddonStatus::Updating) => Readiness::Waiting(told("it is being changed")),
        Some(AddonStatus::Deleting) => Readiness::Waiting("it is being deleted".to_owned()),
        Some(AddonStatus::Degraded) => Readiness::Waiting(told("it is degraded")),
        Some(other) => Readiness::Waiting(format!("it is {other}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_eks::types::{AddonHealth, AddonIssue};
    use serde_json::json;

    fn addon(status: AddonStatus, issues: &[(AddonIssueCode, &str)]) -> Addon {
        let issues = issues.iter().map(|(code, message)| AddonIssue::builder().code(code.clone()).message(*message).build());
        let health = AddonHealth::builder().set_issues(Some(issues.collect())).build();
        let addon = Addon::builder().cluster_name("prod").addon_name("coredns").addon_version("v1.11.4-eksbuild.2");
        let addon = addon.configuration_values(r#"{"replicaCount": 3, "computeType": "ec2"}"#);
        addon.addon_arn("arn:aws:eks:us-west-2:1:addon/prod/coredns/1").status(status).health(health).build()
    }

    #[test]
    fn what_is_read_is_what_was_asked_for() {
        let spec: Spec = serde_json::from_value(json!({
            "cluster": "prod", "name": "coredns", "configuration": { "computeType": "ec2", "replicaCount": 3 },
            "roles": { "coredns": "arn:aws:iam::1:role/dns" },
        }))
        .unwrap();
        let observed = seen("prod/coredns", addon(AddonStatus::Active, &[]), &spec.roles);
        let asked = serde_json::to_value(&spec).unwrap();
        for (field, value) in &observed.spec {
            assert_eq!(*value, asked[field], "{field}");
        }
        assert_eq!(observed.outputs.keys().map(String::as_str).collect::<Vec<_>>(), Spec::OUTPUTS);
    }

    #[test]
    fn what_waits_for_nothing_but_nodes_is_installed() {
        let nodes = (AddonIssueCode::InsufficientNumberOfReplicas, "The add-on is unhealthy");
        let denied = (AddonIssueCode::AccessDenied, "not allowed");
        assert_eq!(readiness(&addon(AddonStatus::Degraded, std::slice::from_ref(&nodes))), Readiness::Ready);
        assert_eq!(readiness(&addon(AddonStatus::Creating, std::slice::from_ref(&nodes))), Readiness::Ready);
        let told = "InsufficientNumberOfReplicas: The add-on is unhealthy; AccessDenied: not allowed";
        let both = [nodes, denied];
        assert_eq!(readiness(&addon(AddonStatus::Degraded, &both)), Readiness::Waiting(told.to_owned()));
        assert_eq!(readiness(&addon(AddonStatus::CreateFailed, &both)), Readiness::Failed(told.to_owned()));
        assert_eq!(
            readiness(&addon(AddonStatus::Creating, &[])),
            Readiness::Waiting("it is being installed".to_owned())
        );
    }
}
