//! `aws.eks_pod_identity`: the role of a service account's pods (EKS CreatePodIdentityAssociation); needs the add-on
//! `eks-pod-identity-agent`.
//!
//! **Identifier**: `cluster/a-…`, of which the second part is EKS's own.

use super::Tags;
use super::cloud::{Cloud, empty};
use super::eks::{NOBODYS, TAKEN, apart, born_with, in_clusters, of_deployment, retag, within};
use super::error::Answer;
use super::resource::{Resource, Seen, shown};
use super::tags;
use crate::planned::{FREE, Planned};
use aws_sdk_eks::types::PodIdentityAssociation;
use forge_engine::address::Deployment;
use forge_engine::kind as engine;
use forge_engine::kind::{Effect, Hourly, KindError, Observed, OnIdentifier, Recovery, Typical};
use futures::future::try_join_all;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What can be chosen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Name of the cluster.
    pub cluster: String,
    /// Kubernetes namespace of the service account.
    pub namespace: String,
    /// Name of the service account.
    pub service_account: String,
    /// ARN of the role.
    pub role: String,

    /// Tags, besides those that forge sets.
    #[serde(default)]
    pub tags: Tags,
}

impl Planned for Spec {
    const NAME: &'static str = "aws.eks_pod_identity";
    const OUTPUTS: &'static [&'static str] = &["id", "arn"];
    const SERVICE: &'static str = "eks";
    /// Estimate: done when the call returns.
    const TYPICAL: Typical = Typical::seconds(1, 1, 1);

    fn effect(field: &str, _before: &Self, _after: &Self) -> Effect {
        match field {
            "cluster" | "namespace" | "service_account" => Effect::ReplaceCreateFirst,
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
        "eks:CreatePodIdentityAssociation",
        "eks:DescribePodIdentityAssociation",
        "eks:ListClusters",
        "eks:ListPodIdentityAssociations",
        "eks:UpdatePodIdentityAssociation",
        "eks:DeletePodIdentityAssociation",
        "eks:TagResource",
        "eks:UntagResource",
        "iam:PassRole",
        "iam:GetRole",
    ];

    async fn read_many(cloud: &Cloud, ids: &[String]) -> Result<Vec<Option<Observed>>, KindError> {
        try_join_all(ids.iter().map(|id| async move { Ok(describe(cloud, id).await?.map(|there| seen(id, there))) })).await
    }

    async fn create(
        &self,
        cloud: &Cloud,
        tags: &engine::Tags,
        on_identifier: OnIdentifier<'_>,
    ) -> Result<Observed, KindError> {
        const CALL: &str = "eks:CreatePodIdentityAssociation";
        let call = cloud
            .eks()
            .await
            .create_pod_identity_association()
            .client_request_token(&tags.operation.0)
            .cluster_name(&self.cluster)
            .namespace(&self.namespace)
            .service_account(&self.service_account)
            .role_arn(&self.role)
            .set_tags(Some(born_with(tags, &self.tags)));
        if let Some(made) = call.send().await.unless(TAKEN, cloud, CALL)? {
            let made = made.association.ok_or_else(|| empty(CALL))?;
            let id = within(&self.cluster, made.association_id().ok_or_else(|| empty(CALL))?);
            on_identifier(&id);
            return Ok(seen(&id, made));
        }
        let what = format!("a role for {}/{} in {}", self.namespace, self.service_account, self.cluster);
        let id = self.taken(cloud).await?.ok_or_else(|| tags::hidden_namesake(&what))?;
        let there = describe(cloud, &id).await?.ok_or_else(|| tags::hidden_namesake(&what))?;
        let there = seen(&id, there);
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
        retag(cloud, there.association_arn(), there.tags(), tags, &self.tags).await?;
        if there.role_arn() != Some(&self.role) {
            let (cluster, association) = apart(id)?;
            let call = cloud.eks().await.update_pod_identity_association().cluster_name(cluster);
            let call = call.association_id(association).role_arn(&self.role);
            call.send().await.of(cloud, "eks:UpdatePodIdentityAssociation")?;
        }
        shown(id, Self::read_many(cloud, &[id.to_owned()]).await?)
    }

    async fn delete(cloud: &Cloud, id: &str) -> Result<(), KindError> {
        let (cluster, association) = apart(id)?;
        let call = cloud.eks().await.delete_pod_identity_association().cluster_name(cluster);
        let gone = call.association_id(association).send().await;
        gone.of_present(cloud, "eks:DeletePodIdentityAssociation").map(|_| ())
    }

    async fn list(cloud: &Cloud, deployment: &Deployment) -> Result<Vec<Observed>, KindError> {
        let ids = in_clusters(cloud, |cluster| async move {
            let mut ids = Vec::new();
            let pages = cloud.eks().await.list_pod_identity_associations().cluster_name(&cluster).into_paginator();
            let mut pages = pages.items().send();
            while let Some(one) = pages.next().await {
                let Some(one) = one.unless(NOBODYS, cloud, "eks:ListPodIdentityAssociations")? else { break };
                // Those that an add-on has made are its own.
                let free = one.association_id.filter(|_| one.owner_arn.is_none());
                ids.extend(free.map(|association| within(&cluster, &association)));
            }
            Ok(ids)
        });
        of_deployment(ids.await?, deployment, |id| async move {
            Ok(describe(cloud, &id).await?.map(|there| seen(&id, there)))
        })
        .await
    }
}

impl Spec {
    /// The identifier of the association that the service account has.
    async fn taken(&self, cloud: &Cloud) -> Result<Option<String>, KindError> {
        let call = cloud.eks().await.list_pod_identity_associations().cluster_name(&self.cluster);
        let call = call.namespace(&self.namespace).service_account(&self.service_account);
        let answer = call.send().await.of(cloud, "eks:ListPodIdentityAssociations")?;
        let mut found = answer.associations.unwrap_or_default().into_iter().filter_map(|one| one.association_id);
        Ok(found.next().map(|association| within(&self.cluster, &association)))
    }
}

async fn describe(cloud: &Cloud, id: &str) -> Result<Option<PodIdentityAssociation>, KindError> {
    let (cluster, association) = apart(id)?;
    let call = cloud.eks().await.describe_pod_identity_association().cluster_name(cluster);
    let answer = call.association_id(association).send().await;
    Ok(answer.of_present(cloud, "eks:DescribePodIdentityAssociation")?.and_then(|answer| answer.association))
}

fn seen(id: &str, there: PodIdentityAssociation) -> Observed {
    Seen::new(id, there.tags.unwrap_or_default())
        .known("cluster", there.cluster_name)
        .known("namespace", there.namespace)
        .known("service_account", there.service_account)
        .known("role", there.role_arn)
        .gives("id", there.association_id)
        .gives("arn", there.association_arn)
        .done()
}
