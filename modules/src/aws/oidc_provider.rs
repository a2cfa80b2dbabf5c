//! `aws.oidc_provider`: the issuer of a cluster's service account tokens, trusted by IAM (CreateOpenIDConnectProvider);
//! for roles of service accounts (IRSA). Its identifier is its ARN, which follows from the address of the issuer.

use super::Tags;
use super::cloud::{Cloud, empty};
use super::error::Answer;
use super::iam::{IAM_VISIBILITY, TAKEN, born_with, by_key, changes, partition};
use super::resource::{Resource, Seen, shown};
use super::tags::{is_of, same_creation};
use crate::planned::{FREE, Planned};
use forge_engine::address::Deployment;
use forge_engine::kind as engine;
use forge_engine::kind::{Effect, Hourly, KindError, Observed, OnIdentifier, Recovery, Typical};
use futures::future::try_join_all;
use futures::stream::{StreamExt, TryStreamExt, iter};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::time::Duration;

/// What can be chosen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Address of the issuer: `https://…`.
    pub url: String,
    /// The audiences that it is trusted for.
    #[serde(default = "sts")]
    pub clients: BTreeSet<String>,

    /// Tags, besides those that forge sets.
    #[serde(default)]
    pub tags: Tags,
}

fn sts() -> BTreeSet<String> {
    BTreeSet::from(["sts.amazonaws.com".to_owned()])
}

impl Planned for Spec {
    const NAME: &'static str = "aws.oidc_provider";
    const OUTPUTS: &'static [&'static str] = &["arn"];
    const SERVICE: &'static str = "iam";
    /// Estimate: done when the call returns.
    const TYPICAL: Typical = Typical::seconds(1, 1, 1);

    fn effect(field: &str, _before: &Self, _after: &Self) -> Effect {
        match field {
            "url" => Effect::ReplaceCreateFirst,
            _ => Effect::InPlace,
        }
    }

    fn hourly(&self, _region: Option<&str>) -> Option<Hourly> {
        FREE
    }
}

/// How many providers are looked at together. An account has at most 100 unless it has asked for more, and each has to be
/// looked at for its tags.
const LOOKS: usize = 8;

impl Resource for Spec {
    const RECOVERY: Recovery = Recovery::Token;
    const VISIBILITY: Duration = IAM_VISIBILITY;
    const ACTIONS: &'static [&'static str] = &[
        "iam:CreateOpenIDConnectProvider",
        "iam:GetOpenIDConnectProvider",
        "iam:ListOpenIDConnectProviders",
        "iam:DeleteOpenIDConnectProvider",
        "iam:TagOpenIDConnectProvider",
        "iam:UntagOpenIDConnectProvider",
        "iam:AddClientIDToOpenIDConnectProvider",
        "iam:RemoveClientIDFromOpenIDConnectProvider",
        "sts:GetCallerIdentity",
    ];

    async fn read_many(cloud: &Cloud, ids: &[String]) -> Result<Vec<Option<Observed>>, KindError> {
        try_join_all(ids.iter().map(|arn| look(cloud, arn))).await
    }

    /// IAM takes the fingerprint of the issuer's certificate by itself.
    async fn create(
        &self,
        cloud: &Cloud,
        tags: &engine::Tags,
        on_identifier: OnIdentifier<'_>,
    ) -> Result<Observed, KindError> {
        const CALL: &str = "iam:CreateOpenIDConnectProvider";
        let call = cloud.iam().await.create_open_id_connect_provider().url(&self.url);
        let call = call.set_client_id_list(Some(self.clients.iter().cloned().collect()));
        let call = call.set_tags(Some(born_with(tags, &self.tags)));
        if let Some(answer) = call.send().await.unless(&[TAKEN], cloud, CALL)? {
            let arn = answer.open_id_connect_provider_arn.ok_or_else(|| empty(CALL))?;
            on_identifier(&arn);
            return shown(&arn, Self::read_many(cloud, std::slice::from_ref(&arn)).await?);
        }
        let caller = cloud.caller().await?;
        let arn = arn_of(&self.url, partition(&caller.arn), &caller.account);
        let found = shown(&arn, Self::read_many(cloud, std::slice::from_ref(&arn)).await?)?;
        same_creation(&format!("OIDC provider of {}", self.url), found.tags.as_ref(), tags)?;
        on_identifier(&arn);
        Ok(found)
    }

    async fn update(
        &self,
        cloud: &Cloud,
        id: &str,
        _before: Option<&Self>,
        tags: &engine::Tags,
    ) -> Result<Observed, KindError> {
        const CALL: &str = "iam:GetOpenIDConnectProvider";
        let iam = cloud.iam().await;
        let answer = iam.get_open_id_connect_provider().open_id_connect_provider_arn(id).send().await.of(cloud, CALL)?;
        let (set, gone) = changes(&by_key(answer.tags), tags, &self.tags);
        if set.is_some() {
            let call = iam.tag_open_id_connect_provider().open_id_connect_provider_arn(id).set_tags(set);
            call.send().await.of(cloud, "iam:TagOpenIDConnectProvider")?;
        }
        if gone.is_some() {
            let call = iam.untag_open_id_connect_provider().open_id_connect_provider_arn(id).set_tag_keys(gone);
            call.send().await.of(cloud, "iam:UntagOpenIDConnectProvider")?;
        }
        let have: BTreeSet<String> = answer.client_id_list.unwrap_or_default().into_iter().collect();
        for client in self.clients.difference(&have) {
            let call = iam.add_client_id_to_open_id_connect_provider().open_id_connect_provider_arn(id);
            call.client_id(client).send().await.of(cloud, "iam:AddClientIDToOpenIDConnectProvider")?;
        }
        for client in have.difference(&self.clients) {
            let call = iam.remove_client_id_from_open_id_connect_provider().open_id_connect_provider_arn(id);
            call.client_id(client).send().await.of_present(cloud, "iam:RemoveClientIDFromOpenIDConnectProvider")?;
        }
        shown(id, Self::read_many(cloud, &[id.to_owned()]).await?)
    }

    async fn delete(cloud: &Cloud, id: &str) -> Result<(), KindError> {
        let call = cloud.iam().await.delete_open_id_connect_provider().open_id_connect_provider_arn(id);
        call.send().await.of_present(cloud, "iam:DeleteOpenIDConnectProvider").map(|_| ())
    }

    async fn list(cloud: &Cloud, deployment: &Deployment) -> Result<Vec<Observed>, KindError> {
        let answer = cloud.iam().await.list_open_id_connect_providers().send().await;
        let listed = answer.of(cloud, "iam:ListOpenIDConnectProviders")?.open_id_connect_provider_list;
        let arns: Vec<String> = listed.unwrap_or_default().into_iter().filter_map(|listed| listed.arn).collect();
        let looks = iter(arns).map(|arn| async move { look(cloud, &arn).await }).buffered(LOOKS);
        let found: Vec<Option<Observed>> = looks.try_collect().await?;
        Ok(found.into_iter().flatten().filter(|seen| is_of(seen, deployment)).collect())
    }
}

const SCHEME: &str = "https://";

fn arn_of(url: &str, partition: &str, account: &str) -> String {
    format!("arn:{partition}:iam::{account}:oidc-provider/{}", url.strip_prefix(SCHEME).unwrap_or(url))
}

async fn look(cloud: &Cloud, arn: &str) -> Result<Option<Observed>, KindError> {
    let answer = cloud.iam().await.get_open_id_connect_provider().open_id_connect_provider_arn(arn).send().await;
    let Some(provider) = answer.of_present(cloud, "iam:GetOpenIDConnectProvider")? else { return Ok(None) };
    // IAM leaves the scheme out.
    let url = provider.url.map(|url| if url.starts_with(SCHEME) { url } else { format!("{SCHEME}{url}") });
    let clients: BTreeSet<String> = provider.client_id_list.unwrap_or_default().into_iter().collect();
    let seen = Seen::new(arn, by_key(provider.tags)).known("url", url).field("clients", clients).output("arn", arn);
    Ok(Some(seen.done()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_issuer_has_one_arn() {
        assert_eq!(
            arn_of("https://oidc.eks.cn-north-1.amazonaws.com.cn/id/AB", "aws-cn", "123456789012"),
            "arn:aws-cn:iam::123456789012:oidc-provider/oidc.eks.cn-north-1.amazonaws.com.cn/id/AB"
        );
    }
}
