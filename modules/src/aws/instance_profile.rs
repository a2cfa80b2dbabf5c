//! `aws.instance_profile`: the role of EC2 instances outside EKS (IAM CreateInstanceProfile, AddRoleToInstanceProfile). Its
//! identifier is its name; it stands under the path of its deployment (`iam.rs`).

use super::Tags;
use super::cloud::{Cloud, empty};
use super::error::Answer;
use super::iam::{IAM_VISIBILITY, TAKEN, born_with, by_key, changes, path};
use super::resource::{Resource, Seen, not_shown, shown};
use super::tags::{is_of, same_creation};
use crate::planned::{FREE, Planned};
use aws_sdk_iam::types::InstanceProfile;
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
    /// Its name, unique in the account; at most 128 characters.
    pub name: String,
    /// Name of its role.
    pub role: String,

    /// Tags, besides those that forge sets.
    #[serde(default)]
    pub tags: Tags,
}

impl Planned for Spec {
    const NAME: &'static str = "aws.instance_profile";
    const OUTPUTS: &'static [&'static str] = &["arn", "name"];
    const SERVICE: &'static str = "iam";
    /// Estimate: two calls, one for the role in it.
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

impl Resource for Spec {
    const RECOVERY: Recovery = Recovery::Token;
    const VISIBILITY: Duration = IAM_VISIBILITY;
    const ACTIONS: &'static [&'static str] = &[
        "iam:CreateInstanceProfile",
        "iam:GetInstanceProfile",
        "iam:ListInstanceProfiles",
        "iam:DeleteInstanceProfile",
        "iam:TagInstanceProfile",
        "iam:UntagInstanceProfile",
        "iam:AddRoleToInstanceProfile",
        "iam:RemoveRoleFromInstanceProfile",
        "iam:PassRole",
    ];

    async fn read_many(cloud: &Cloud, ids: &[String]) -> Result<Vec<Option<Observed>>, KindError> {
        let looks = ids.iter().map(|name| async move { Ok(look(cloud, name).await?.map(observed)) });
        try_join_all(looks).await
    }

    async fn create(
        &self,
        cloud: &Cloud,
        tags: &engine::Tags,
        on_identifier: OnIdentifier<'_>,
    ) -> Result<Observed, KindError> {
        const CALL: &str = "iam:CreateInstanceProfile";
        let call = cloud.iam().await.create_instance_profile().instance_profile_name(&self.name);
        let call = call.path(path(&tags.deployment)).set_tags(Some(born_with(tags, &self.tags)));
        let profile = match call.send().await.unless(&[TAKEN], cloud, CALL)? {
            Some(answer) => answer.instance_profile.ok_or_else(|| empty(CALL))?,
            None => {
                let profile = present(cloud, &self.name).await?;
                let what = format!("instance profile {}", self.name);
                same_creation(&what, observed(profile.clone()).tags.as_ref(), tags)?;
                profile
            }
        };
        on_identifier(&self.name);
        self.settle(cloud, profile).await
    }

    async fn update(
        &self,
        cloud: &Cloud,
        id: &str,
        _before: Option<&Self>,
        tags: &engine::Tags,
    ) -> Result<Observed, KindError> {
        let profile = present(cloud, id).await?;
        let iam = cloud.iam().await;
        let (set, gone) = changes(&by_key(profile.tags.clone()), tags, &self.tags);
        if set.is_some() {
            let call = iam.tag_instance_profile().instance_profile_name(id).set_tags(set);
            call.send().await.of(cloud, "iam:TagInstanceProfile")?;
        }
        if gone.is_some() {
            let call = iam.untag_instance_profile().instance_profile_name(id).set_tag_keys(gone);
            call.send().await.of(cloud, "iam:UntagInstanceProfile")?;
        }
        self.settle(cloud, profile).await
    }

    /// The role leaves it first: IAM refuses otherwise.
    async fn delete(cloud: &Cloud, id: &str) -> Result<(), KindError> {
        let Some(profile) = look(cloud, id).await? else { return Ok(()) };
        for role in &profile.roles {
            leave(cloud, id, &role.role_name).await?;
        }
        let call = cloud.iam().await.delete_instance_profile().instance_profile_name(id);
        call.send().await.of_present(cloud, "iam:DeleteInstanceProfile").map(|_| ())
    }

    async fn list(cloud: &Cloud, deployment: &Deployment) -> Result<Vec<Observed>, KindError> {
        let iam = cloud.iam().await;
        let mut pages = iam.list_instance_profiles().path_prefix(path(deployment)).into_paginator().items().send();
        let mut names = Vec::new();
        while let Some(profile) = pages.next().await {
            names.push(profile.of(cloud, "iam:ListInstanceProfiles")?.instance_profile_name);
        }
        let found = Self::read_many(cloud, &names).await?.into_iter().flatten();
        Ok(found.filter(|seen| is_of(seen, deployment)).collect())
    }
}

impl Spec {
    /// Puts the role into it, in place of another one: it takes one at a time.
    async fn settle(&self, cloud: &Cloud, profile: InstanceProfile) -> Result<Observed, KindError> {
        let name = profile.instance_profile_name.as_str();
        for role in profile.roles.iter().filter(|role| role.role_name != self.role) {
            leave(cloud, name, &role.role_name).await?;
        }
        if !profile.roles.iter().any(|role| role.role_name == self.role) {
            let call = cloud.iam().await.add_role_to_instance_profile().instance_profile_name(name);
            let call = call.role_name(&self.role).send().await;
            // It is full when the role is in it already and IAM does not show that yet.
            call.unless(&["LimitExceeded"], cloud, "iam:AddRoleToInstanceProfile")?;
        }
        shown(name, Self::read_many(cloud, &[name.to_owned()]).await?)
    }
}

async fn look(cloud: &Cloud, name: &str) -> Result<Option<InstanceProfile>, KindError> {
    const CALL: &str = "iam:GetInstanceProfile";
    let answer = cloud.iam().await.get_instance_profile().instance_profile_name(name).send().await;
    let Some(answer) = answer.of_present(cloud, CALL)? else { return Ok(None) };
    answer.instance_profile.map(Some).ok_or_else(|| empty(CALL))
}

async fn present(cloud: &Cloud, name: &str) -> Result<InstanceProfile, KindError> {
    look(cloud, name).await?.ok_or_else(|| not_shown(&format!("instance profile {name}")))
}

async fn leave(cloud: &Cloud, profile: &str, role: &str) -> Result<(), KindError> {
    let call = cloud.iam().await.remove_role_from_instance_profile().instance_profile_name(profile).role_name(role);
    call.send().await.of_present(cloud, "iam:RemoveRoleFromInstanceProfile").map(|_| ())
}

fn observed(profile: InstanceProfile) -> Observed {
    let name = profile.instance_profile_name;
    let role = profile.roles.into_iter().next().map(|role| role.role_name).unwrap_or_default();
    Seen::new(name.clone(), by_key(profile.tags))
        .field("name", &name)
        .field("role", role)
        .output("arn", profile.arn)
        .output("name", name)
        .done()
}
