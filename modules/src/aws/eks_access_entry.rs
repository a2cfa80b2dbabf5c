//! `aws.eks_access_entry`: who may do what in a cluster (EKS CreateAccessEntry, AssociateAccessPolicy).
//!
//! **Identifier**: `cluster/arn-of-the-principal`. EKS makes entries by itself for whoever created the cluster and for the
//! roles of managed node groups; those are not forge's.

use super::Tags;
use super::cloud::Cloud;
use super::eks::{NOBODYS, TAKEN, apart, born_with, in_clusters, of_deployment, retag, within};
use super::error::Answer;
use super::resource::{Resource, Seen, shown};
use super::tags;
use crate::planned::{FREE, Planned, replace};
use aws_sdk_eks::types::{AccessEntry, AccessScope, AccessScopeType, AssociatedAccessPolicy};
use forge_engine::address::Deployment;
use forge_engine::kind as engine;
use forge_engine::kind::{Effect, Hourly, KindError, Observed, OnIdentifier, Recovery, Typical};
use futures::future::try_join_all;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::time::Duration;

/// What can be chosen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Name of the cluster.
    pub cluster: String,
    /// ARN of the user or role.
    pub principal: String,
    /// What the principal is; nodes can be given no policies.
    #[serde(default)]
    pub form: Form,
    /// Kubernetes groups that it belongs to.
    #[serde(default)]
    pub groups: BTreeSet<String>,
    /// What it may do.
    #[serde(default)]
    pub policies: BTreeSet<Policy>,

    /// Tags, besides those that forge sets.
    #[serde(default)]
    pub tags: Tags,
}

/// What a principal is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// A person or a program.
    #[default]
    Standard,
    /// Linux nodes that EKS does not manage.
    Ec2Linux,
}

/// A policy of EKS and where it holds.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// Its name: `AmazonEKSClusterAdminPolicy`.
    pub name: String,
    /// Kubernetes namespaces that it holds in; the whole cluster when empty.
    #[serde(default)]
    pub namespaces: BTreeSet<String>,
}

impl Planned for Spec {
    const NAME: &'static str = "aws.eks_access_entry";
    const OUTPUTS: &'static [&'static str] = &["arn"];
    const SERVICE: &'static str = "eks";
    /// Estimate: done when the call returns.
    const TYPICAL: Typical = Typical::seconds(1, 1, 1);

    fn effect(field: &str, before: &Self, after: &Self) -> Effect {
        match field {
            "cluster" | "principal" | "form" => {
                replace((&before.cluster, &before.principal) != (&after.cluster, &after.principal))
            }
            _ => Effect::InPlace,
        }
    }

    fn hourly(&self, _region: Option<&str>) -> Option<Hourly> {
        FREE
    }
}

impl Form {
    fn name(self) -> &'static str {
        match self {
            Self::Standard => "STANDARD",
            Self::Ec2Linux => "EC2_LINUX",
        }
    }

    fn read(name: &str) -> Option<Self> {
        [Self::Standard, Self::Ec2Linux].into_iter().find(|form| form.name() == name)
    }
}

impl Resource for Spec {
    const RECOVERY: Recovery = Recovery::Token;
    const VISIBILITY: Duration = Duration::from_secs(30);
    const ACTIONS: &'static [&'static str] = &[
        "eks:CreateAccessEntry",
        "eks:DescribeAccessEntry",
        "eks:ListClusters",
        "eks:ListAccessEntries",
        "eks:ListAssociatedAccessPolicies",
        "eks:AssociateAccessPolicy",
        "eks:DisassociateAccessPolicy",
        "eks:UpdateAccessEntry",
        "eks:DeleteAccessEntry",
        "eks:TagResource",
        "eks:UntagResource",
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
        self.check().map_err(KindError::terminal)?;
        let id = within(&self.cluster, &self.principal);
        let call = cloud
            .eks()
            .await
            .create_access_entry()
            .client_request_token(&tags.operation.0)
            .cluster_name(&self.cluster)
            .principal_arn(&self.principal)
            .r#type(self.form.name())
            .set_kubernetes_groups((!self.groups.is_empty()).then(|| self.groups.iter().cloned().collect()))
            .set_tags(Some(born_with(tags, &self.tags)));
        let made = call.send().await.unless(TAKEN, cloud, "eks:CreateAccessEntry")?;
        if made.is_some() {
            on_identifier(&id);
        } else {
            let what = format!("an access entry of {} in {}", self.principal, self.cluster);
            let there = look(cloud, &id).await?.ok_or_else(|| tags::hidden_namesake(&what))?;
            tags::same_creation(&what, there.tags.as_ref(), tags)?;
            on_identifier(&id);
        }
        self.settle(cloud, &id).await
    }

    async fn update(
        &self,
        cloud: &Cloud,
        id: &str,
        _before: Option<&Self>,
        tags: &engine::Tags,
    ) -> Result<Observed, KindError> {
        self.check().map_err(KindError::terminal)?;
        let there = describe(cloud, id).await?;
        let Some(there) = there else { return shown(id, vec![None]) };
        retag(cloud, there.access_entry_arn(), there.tags(), tags, &self.tags).await?;
        if there.kubernetes_groups().iter().cloned().collect::<BTreeSet<_>>() != self.groups {
            let call = cloud.eks().await.update_access_entry().cluster_name(&self.cluster);
            let call = call.principal_arn(&self.principal);
            let call = call.set_kubernetes_groups(Some(self.groups.iter().cloned().collect()));
            call.send().await.of(cloud, "eks:UpdateAccessEntry")?;
        }
        self.settle(cloud, id).await
    }

    async fn delete(cloud: &Cloud, id: &str) -> Result<(), KindError> {
        let (cluster, principal) = apart(id)?;
        let call = cloud.eks().await.delete_access_entry().cluster_name(cluster).principal_arn(principal);
        call.send().await.of_present(cloud, "eks:DeleteAccessEntry").map(|_| ())
    }

    async fn list(cloud: &Cloud, deployment: &Deployment) -> Result<Vec<Observed>, KindError> {
        let ids = in_clusters(cloud, |cluster| async move {
            let mut ids = Vec::new();
            let pages = cloud.eks().await.list_access_entries().cluster_name(&cluster).into_paginator();
            let mut pages = pages.items().send();
            // A cluster with a config map only has no entries (InvalidRequestException).
            let none = [NOBODYS, &["InvalidRequestException"]].concat();
            while let Some(principal) = pages.next().await {
                let Some(principal) = principal.unless(&none, cloud, "eks:ListAccessEntries")? else { break };
                ids.push(within(&cluster, &principal));
            }
            Ok(ids)
        });
        of_deployment(ids.await?, deployment, |id| async move {
            // The policies are asked for only of those that are ours.
            let there = describe(cloud, &id).await?.map(|there| seen(&id, there, &[]));
            if there.is_some_and(|there| tags::is_of(&there, deployment)) { look(cloud, &id).await } else { Ok(None) }
        })
        .await
    }
}

impl Spec {
    fn check(&self) -> Result<(), String> {
        if self.form != Form::Standard && !(self.policies.is_empty() && self.groups.is_empty()) {
            return Err(format!("{} are nodes: they have neither policies nor groups", self.principal));
        }
        let names: BTreeSet<&str> = self.policies.iter().map(|policy| policy.name.as_str()).collect();
        if names.len() < self.policies.len() {
            return Err(format!("a policy of {} is there twice: name all its namespaces at once", self.principal));
        }
        Ok(())
    }

    /// The policies that it is to have, and no others.
    async fn settle(&self, cloud: &Cloud, id: &str) -> Result<Observed, KindError> {
        let there = associated(cloud, id).await?;
        let have: BTreeSet<Policy> = there.iter().filter_map(Policy::read).collect();
        let eks = cloud.eks().await;
        for policy in self.policies.difference(&have) {
            let call = eks.associate_access_policy().cluster_name(&self.cluster).principal_arn(&self.principal);
            let call = call.policy_arn(policy.arn(&self.principal)).access_scope(policy.scope());
            call.send().await.of(cloud, "eks:AssociateAccessPolicy")?;
        }
        let wanted: BTreeSet<&str> = self.policies.iter().map(|policy| policy.name.as_str()).collect();
        for policy in have.iter().filter(|policy| !wanted.contains(policy.name.as_str())) {
            let call = eks.disassociate_access_policy().cluster_name(&self.cluster).principal_arn(&self.principal);
            let call = call.policy_arn(policy.arn(&self.principal));
            call.send().await.of_present(cloud, "eks:DisassociateAccessPolicy")?;
        }
        shown(id, Self::read_many(cloud, &[id.to_owned()]).await?)
    }
}

impl Policy {
    /// Its ARN, in the part of AWS that the principal is in.
    fn arn(&self, principal: &str) -> String {
        let partition = principal.split(':').nth(1).unwrap_or("aws");
        format!("arn:{partition}:eks::aws:cluster-access-policy/{}", self.name)
    }

    fn scope(&self) -> AccessScope {
        if self.namespaces.is_empty() {
            return AccessScope::builder().r#type(AccessScopeType::Cluster).build();
        }
        let namespaces = self.namespaces.iter().cloned().collect();
        AccessScope::builder().r#type(AccessScopeType::Namespace).set_namespaces(Some(namespaces)).build()
    }

    fn read(associated: &AssociatedAccessPolicy) -> Option<Self> {
        let name = associated.policy_arn()?.rsplit('/').next()?.to_owned();
        let namespaces = associated.access_scope().map(|scope| scope.namespaces()).unwrap_or_default();
        Some(Self { name, namespaces: namespaces.iter().cloned().collect() })
    }
}

async fn describe(cloud: &Cloud, id: &str) -> Result<Option<AccessEntry>, KindError> {
    let (cluster, principal) = apart(id)?;
    let call = cloud.eks().await.describe_access_entry().cluster_name(cluster).principal_arn(principal);
    Ok(call.send().await.of_present(cloud, "eks:DescribeAccessEntry")?.and_then(|answer| answer.access_entry))
}

async fn associated(cloud: &Cloud, id: &str) -> Result<Vec<AssociatedAccessPolicy>, KindError> {
    let (cluster, principal) = apart(id)?;
    let call = cloud.eks().await.list_associated_access_policies().cluster_name(cluster).principal_arn(principal);
    let mut found = Vec::new();
    let mut pages = call.into_paginator().items().send();
    while let Some(policy) = pages.next().await {
        let Some(policy) = policy.of_present(cloud, "eks:ListAssociatedAccessPolicies")? else { break };
        found.push(policy);
    }
    Ok(found)
}

async fn look(cloud: &Cloud, id: &str) -> Result<Option<Observed>, KindError> {
    let Some(there) = describe(cloud, id).await? else { return Ok(None) };
    Ok(Some(seen(id, there, &associated(cloud, id).await?)))
}

fn seen(id: &str, there: AccessEntry, policies: &[AssociatedAccessPolicy]) -> Observed {
    let groups: BTreeSet<String> = there.kubernetes_groups.unwrap_or_default().into_iter().collect();
    let form = there.r#type.as_deref().and_then(Form::read);
    // EKS puts nodes into its own groups.
    let groups = if form == Some(Form::Ec2Linux) { BTreeSet::new() } else { groups };
    Seen::new(id, there.tags.unwrap_or_default())
        .known("cluster", there.cluster_name)
        .known("principal", there.principal_arn)
        .known("form", form)
        .field("groups", groups)
        .field("policies", policies.iter().filter_map(Policy::read).collect::<BTreeSet<_>>())
        .gives("arn", there.access_entry_arn)
        .done()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn spec(more: serde_json::Value) -> Spec {
        let mut spec = json!({ "cluster": "prod", "principal": "arn:aws-us-gov:iam::1:role/admin" });
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        serde_json::from_value(spec).unwrap()
    }

    #[test]
    fn policies_are_read_as_they_were_written() {
        let policies = json!([
            { "name": "AmazonEKSClusterAdminPolicy" },
            { "name": "AmazonEKSEditPolicy", "namespaces": ["b", "a"] },
        ]);
        let spec = spec(json!({ "policies": policies }));
        for policy in &spec.policies {
            let arn = policy.arn(&spec.principal);
            assert!(arn.starts_with("arn:aws-us-gov:eks::aws:cluster-access-policy/AmazonEKS"), "{arn}");
            let there = AssociatedAccessPolicy::builder().policy_arn(arn).access_scope(policy.scope()).build();
            assert_eq!(Policy::read(&there).as_ref(), Some(policy));
        }
        assert_eq!(spec.check(), Ok(()));
    }

    #[test]
    fn what_eks_would_refuse_later_is_refused_first() {
        let nodes = spec(json!({ "form": "ec2_linux", "groups": ["nodes"] }));
        assert!(nodes.check().unwrap_err().contains("they have neither policies nor groups"));
        let twice = spec(json!({ "policies": [
            { "name": "AmazonEKSEditPolicy", "namespaces": ["a"] }, { "name": "AmazonEKSEditPolicy", "namespaces": ["b"] },
        ] }));
        assert!(twice.check().unwrap_err().contains("name all its namespaces at once"));
    }
}
