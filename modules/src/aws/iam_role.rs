//! `aws.iam_role`: an identity with its permissions (IAM CreateRole, AttachRolePolicy, PutRolePolicy). What is attached
//! and not listed is detached. Its identifier is its name; it stands under the path of its deployment (`iam.rs`).

use super::Tags;
use super::cloud::{Cloud, empty};
use super::error::Answer;
use super::iam::{IAM_VISIBILITY, TAKEN, born_with, by_key, changes, partition, path};
use super::policy::{allowed, allowing, trusted, trusting};
use super::resource::{Resource, Seen, not_shown, shown};
use super::tags::{is_of, same_creation};
use crate::planned::{FREE, Planned};
use forge_engine::address::Deployment;
use forge_engine::kind as engine;
use forge_engine::kind::{Effect, ErrorClass, Hourly, KindError, Observed, OnIdentifier, Recovery, Typical};
use futures::future::{try_join, try_join_all};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// What can be chosen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Its name, unique in the account; at most 64 characters.
    pub name: String,
    /// Services that may take it on: `ec2.amazonaws.com`. `pods.eks.amazonaws.com` may tag its sessions too, as Pod Identity
    /// needs.
    pub trusts: BTreeSet<String>,
    /// Policies of AWS by name, with its path where it has one (`AmazonEKSWorkerNodePolicy`,
    /// `service-role/AmazonEBSCSIDriverPolicy`), others by ARN.
    #[serde(default, deserialize_with = "by_name")]
    pub managed_policies: BTreeSet<String>,
    /// Its own policies by name: what each allows.
    #[serde(default)]
    pub policies: BTreeMap<String, Vec<Statement>>,
    /// ARN of the policy beyond which no permission goes.
    #[serde(default)]
    pub boundary: Option<String>,

    /// Tags, besides those that forge sets.
    #[serde(default)]
    pub tags: Tags,
}

/// Something that a policy allows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Statement {
    /// Actions: `s3:GetObject`.
    pub actions: BTreeSet<String>,
    /// ARNs that they may be done to.
    pub resources: BTreeSet<String>,
}

impl Planned for Spec {
    const NAME: &'static str = "aws.iam_role";
    const OUTPUTS: &'static [&'static str] = &["arn", "name"];
    const SERVICE: &'static str = "iam";
    /// Estimate: several calls, one for each policy.
    const TYPICAL: Typical = Typical::seconds(2, 2, 2);

    fn effect(field: &str, _before: &Self, _after: &Self) -> Effect {
        match field {
            "name" => Effect::ReplaceCreateFirst,
            _ => Effect::InPlace,
        }
    }

    fn hourly(&self, _region: Option<&str>) -> Option<Hourly> {
        FREE
    }
}

/// Policies of AWS, which every account has: `arn:aws:iam::aws:policy/AmazonEKSClusterPolicy`, in other partitions
/// `arn:aws-cn:…`.
const OF_AWS: &str = ":iam::aws:policy/";

/// A policy as specifications name it.
fn name_of(policy: &str) -> &str {
    match policy.split_once(OF_AWS) {
        Some((arn, name)) if arn.starts_with("arn:") => name,
        _ => policy,
    }
}

fn by_name<'de, D: Deserializer<'de>>(policies: D) -> Result<BTreeSet<String>, D::Error> {
    let policies = BTreeSet::<String>::deserialize(policies)?;
    Ok(policies.iter().map(|policy| name_of(policy).to_owned()).collect())
}

/// The ARN of a policy, for a role in this partition.
fn arn_of(policy: &str, partition: &str) -> String {
    if policy.starts_with("arn:") { policy.to_owned() } else { format!("arn:{partition}{OF_AWS}{policy}") }
}

/// A role as IAM has it.
struct Held {
    arn: String,
    trusts: BTreeSet<String>,
    managed_policies: BTreeSet<String>,
    policies: BTreeMap<String, Vec<Statement>>,
    boundary: Option<String>,
    tags: BTreeMap<String, String>,
}

impl Resource for Spec {
    const RECOVERY: Recovery = Recovery::Token;
    const VISIBILITY: Duration = IAM_VISIBILITY;
    const ACTIONS: &'static [&'static str] = &[
        "iam:CreateRole",
        "iam:GetRole",
        "iam:ListRoles",
        "iam:DeleteRole",
        "iam:TagRole",
        "iam:UntagRole",
        "iam:UpdateAssumeRolePolicy",
        "iam:PutRolePermissionsBoundary",
        "iam:DeleteRolePermissionsBoundary",
        "iam:ListAttachedRolePolicies",
        "iam:AttachRolePolicy",
        "iam:DetachRolePolicy",
        "iam:ListRolePolicies",
        "iam:GetRolePolicy",
        "iam:PutRolePolicy",
        "iam:DeleteRolePolicy",
        "iam:ListInstanceProfilesForRole",
    ];

    async fn read_many(cloud: &Cloud, ids: &[String]) -> Result<Vec<Option<Observed>>, KindError> {
        let looks = ids.iter().map(|name| async move {
            let held = look(cloud, name).await?;
            Ok(held.map(|held| held.observed(name)))
        });
        try_join_all(looks).await
    }

    async fn create(
        &self,
        cloud: &Cloud,
        tags: &engine::Tags,
        on_identifier: OnIdentifier<'_>,
    ) -> Result<Observed, KindError> {
        const CALL: &str = "iam:CreateRole";
        let call = cloud.iam().await.create_role().role_name(&self.name).path(path(&tags.deployment));
        let call = call.assume_role_policy_document(trusting(&self.trusts));
        let call = call.set_permissions_boundary(self.boundary.clone());
        let call = call.set_tags(Some(born_with(tags, &self.tags)));
        let held = match call.send().await.unless(&[TAKEN], cloud, CALL)? {
            Some(answer) => {
                on_identifier(&self.name);
                self.fresh(answer.role.ok_or_else(|| empty(CALL))?.arn)
            }
            None => {
                let held = self.present(cloud, &self.name).await?;
                let what = format!("IAM role {}", self.name);
                same_creation(&what, held.observed(&self.name).tags.as_ref(), tags)?;
                on_identifier(&self.name);
                held
            }
        };
        self.settle(cloud, &self.name, &held).await
    }

    async fn update(
        &self,
        cloud: &Cloud,
        id: &str,
        _before: Option<&Self>,
        tags: &engine::Tags,
    ) -> Result<Observed, KindError> {
        let held = self.present(cloud, id).await?;
        let iam = cloud.iam().await;
        let (set, gone) = changes(&held.tags, tags, &self.tags);
        if set.is_some() {
            iam.tag_role().role_name(id).set_tags(set).send().await.of(cloud, "iam:TagRole")?;
        }
        if gone.is_some() {
            iam.untag_role().role_name(id).set_tag_keys(gone).send().await.of(cloud, "iam:UntagRole")?;
        }
        self.settle(cloud, id, &held).await
    }

    /// What is attached goes first: IAM refuses otherwise.
    async fn delete(cloud: &Cloud, id: &str) -> Result<(), KindError> {
        let Some(held) = look(cloud, id).await? else { return Ok(()) };
        for policy in &held.managed_policies {
            detach(cloud, id, &arn_of(policy, partition(&held.arn))).await?;
        }
        for policy in held.policies.keys() {
            erase(cloud, id, policy).await?;
        }
        let gone = cloud.iam().await.delete_role().role_name(id).send().await.of_present(cloud, "iam:DeleteRole");
        match gone {
            Ok(_) => Ok(()),
            Err(refused) => Err(naming_profiles(cloud, id, refused).await),
        }
    }

    async fn list(cloud: &Cloud, deployment: &Deployment) -> Result<Vec<Observed>, KindError> {
        let iam = cloud.iam().await;
        let mut pages = iam.list_roles().path_prefix(path(deployment)).into_paginator().items().send();
        let mut names = Vec::new();
        while let Some(role) = pages.next().await {
            names.push(role.of(cloud, "iam:ListRoles")?.role_name);
        }
        let found = Self::read_many(cloud, &names).await?.into_iter().flatten();
        Ok(found.filter(|seen| is_of(seen, deployment)).collect())
    }
}

impl Held {
    fn observed(&self, name: &str) -> Observed {
        Seen::new(name, self.tags.clone())
            .field("name", name)
            .field("trusts", &self.trusts)
            .field("managed_policies", &self.managed_policies)
            .field("policies", &self.policies)
            .field("boundary", &self.boundary)
            .output("arn", &self.arn)
            .output("name", name)
            .done()
    }
}

impl Spec {
    /// The role as CreateRole leaves it: nothing is attached.
    fn fresh(&self, arn: String) -> Held {
        let (trusts, boundary) = (self.trusts.clone(), self.boundary.clone());
        let (managed_policies, policies, tags) = Default::default();
        Held { arn, trusts, managed_policies, policies, boundary, tags }
    }

    async fn present(&self, cloud: &Cloud, name: &str) -> Result<Held, KindError> {
        let held = look(cloud, name).await?;
        held.ok_or_else(|| not_shown(&format!("IAM role {name}")))
    }

    /// Gives the role the permissions that it is to have, and no others. One change at a time: IAM refuses changes to the
    /// same role that come together. The boundary is set before anything is allowed, and taken away after.
    async fn settle(&self, cloud: &Cloud, name: &str, held: &Held) -> Result<Observed, KindError> {
        let iam = cloud.iam().await;
        if let Some(boundary) = self.boundary.as_ref().filter(|boundary| held.boundary.as_ref() != Some(boundary)) {
            let call = iam.put_role_permissions_boundary().role_name(name).permissions_boundary(boundary);
            call.send().await.of(cloud, "iam:PutRolePermissionsBoundary")?;
        }
        if self.trusts != held.trusts {
            let call = iam.update_assume_role_policy().role_name(name).policy_document(trusting(&self.trusts));
            call.send().await.of(cloud, "iam:UpdateAssumeRolePolicy")?;
        }
        let arn = |policy: &String| arn_of(policy, partition(&held.arn));
        for policy in held.managed_policies.difference(&self.managed_policies) {
            detach(cloud, name, &arn(policy)).await?;
        }
        for policy in self.managed_policies.difference(&held.managed_policies) {
            let call = iam.attach_role_policy().role_name(name).policy_arn(arn(policy));
            call.send().await.of(cloud, "iam:AttachRolePolicy")?;
        }
        for policy in held.policies.keys().filter(|policy| !self.policies.contains_key(*policy)) {
            erase(cloud, name, policy).await?;
        }
        for (policy, allows) in self.policies.iter().filter(|(policy, allows)| held.policies.get(*policy) != Some(allows)) {
            let call = iam.put_role_policy().role_name(name).policy_name(policy).policy_document(allowing(allows));
            call.send().await.of(cloud, "iam:PutRolePolicy")?;
        }
        if self.boundary.is_none() && held.boundary.is_some() {
            let gone = iam.delete_role_permissions_boundary().role_name(name).send().await;
            gone.of_present(cloud, "iam:DeleteRolePermissionsBoundary")?;
        }
        shown(name, Self::read_many(cloud, &[name.to_owned()]).await?)
    }
}

async fn detach(cloud: &Cloud, role: &str, policy: &str) -> Result<(), KindError> {
    let call = cloud.iam().await.detach_role_policy().role_name(role).policy_arn(policy);
    call.send().await.of_present(cloud, "iam:DetachRolePolicy").map(|_| ())
}

async fn erase(cloud: &Cloud, role: &str, policy: &str) -> Result<(), KindError> {
    let call = cloud.iam().await.delete_role_policy().role_name(role).policy_name(policy);
    call.send().await.of_present(cloud, "iam:DeleteRolePolicy").map(|_| ())
}

/// The role; none when there is none.
async fn look(cloud: &Cloud, name: &str) -> Result<Option<Held>, KindError> {
    const CALL: &str = "iam:GetRole";
    let iam = cloud.iam().await;
    let Some(answer) = iam.get_role().role_name(name).send().await.of_present(cloud, CALL)? else { return Ok(None) };
    let role = answer.role.ok_or_else(|| empty(CALL))?;
    let Some((managed_policies, policies)) = try_join(attached(cloud, name), own(cloud, name))
        .await
        .map(|(attached, own)| attached.zip(own))?
    else {
        return Ok(None);
    };
    Ok(Some(Held {
        arn: role.arn,
        trusts: role.assume_role_policy_document.as_deref().map(trusted).unwrap_or_default(),
        managed_policies,
        policies,
        boundary: role.permissions_boundary.and_then(|boundary| boundary.permissions_boundary_arn),
        tags: by_key(role.tags),
    }))
}

/// The policies that are attached to a role; none when the role is gone.
async fn attached(cloud: &Cloud, role: &str) -> Result<Option<BTreeSet<String>>, KindError> {
    let iam = cloud.iam().await;
    let mut pages = iam.list_attached_role_policies().role_name(role).into_paginator().items().send();
    let mut attached = BTreeSet::new();
    while let Some(policy) = pages.next().await {
        let Some(policy) = policy.of_present(cloud, "iam:ListAttachedRolePolicies")? else { return Ok(None) };
        attached.extend(policy.policy_arn.as_deref().map(name_of).map(str::to_owned));
    }
    Ok(Some(attached))
}

/// A role's own policies; none when the role is gone.
async fn own(cloud: &Cloud, role: &str) -> Result<Option<BTreeMap<String, Vec<Statement>>>, KindError> {
    let iam = cloud.iam().await;
    let mut pages = iam.list_role_policies().role_name(role).into_paginator().items().send();
    let mut names = Vec::new();
    while let Some(name) = pages.next().await {
        let Some(name) = name.of_present(cloud, "iam:ListRolePolicies")? else { return Ok(None) };
        names.push(name);
    }
    let read = names.into_iter().map(|name| async move {
        let call = iam.get_role_policy().role_name(role).policy_name(&name).send().await;
        let answer = call.of_present(cloud, "iam:GetRolePolicy")?;
        Ok(answer.map(|answer| (name, allowed(&answer.policy_document))))
    });
    Ok(Some(try_join_all(read).await?.into_iter().flatten().collect()))
}

/// After IAM has refused to delete a role: names the instance profiles that it is in. EKS makes one for each node group,
/// and deletes it with the node group.
async fn naming_profiles(cloud: &Cloud, role: &str, refused: KindError) -> KindError {
    if refused.class != ErrorClass::NotYetVisible {
        return refused;
    }
    let iam = cloud.iam().await;
    let mut pages = iam.list_instance_profiles_for_role().role_name(role).into_paginator().items().send();
    let mut profiles = Vec::new();
    while let Some(profile) = pages.next().await {
        let Ok(profile) = profile.of(cloud, "iam:ListInstanceProfilesForRole") else { return refused };
        profiles.push(profile.instance_profile_name);
    }
    if profiles.is_empty() {
        return refused;
    }
    KindError { message: format!("{}; in the way: instance profile {}", refused.message, profiles.join(", ")), ..refused }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_of_aws_go_by_name_in_every_partition() {
        for (partition, policy, arn) in [
            ("aws", "AmazonEKSClusterPolicy", "arn:aws:iam::aws:policy/AmazonEKSClusterPolicy"),
            ("aws-cn", "service-role/AmazonEBSCSIDriverPolicy", "arn:aws-cn:iam::aws:policy/service-role/AmazonEBSCSIDriverPolicy"),
            ("aws-us-gov", "arn:aws-us-gov:iam::1:policy/own", "arn:aws-us-gov:iam::1:policy/own"),
        ] {
            assert_eq!(arn_of(policy, partition), arn);
            assert_eq!(name_of(arn), policy);
        }
    }

    #[test]
    fn a_policy_of_aws_by_its_arn_is_the_same_as_by_its_name() {
        let spec = serde_json::json!({
            "name": "r", "trusts": [], "managed_policies": ["arn:aws:iam::aws:policy/ReadOnlyAccess", "ReadOnlyAccess"],
        });
        let spec: Spec = serde_json::from_value(spec).unwrap();
        assert_eq!(spec.managed_policies, BTreeSet::from(["ReadOnlyAccess".to_owned()]));
    }
}
