//! `aws.s3_bucket`: a bucket (S3 CreateBucket and the Put calls of its settings): encrypted, never public, reached over
//! TLS only, owned by the account whatever writes to it.
//!
//! **Identifier**: its name. A name is unique in the world and tags are set by CreateBucket itself, so that a creation that
//! is repeated recognises its own work. In us-east-1 S3 answers the creation of a bucket that the account has already with
//! success (API Reference, CreateBucket, BucketAlreadyOwnedByYou); there it is looked at first.
//!
//! **Finding** what a deployment has. S3 has no list by tags, and an account has up to 10,000 buckets. Names that forge makes
//! up begin with the deployment's name where the blueprint's modules say so, and S3 lists by prefix: those are all looked at.
//! Besides, names that somebody has chosen are looked at as long as the region has few of them (`OTHERS`). Beyond that, a
//! bucket with a name of its own is found by that name alone, which the journal has.

use super::Tags;
use super::cloud::Cloud;
use super::error::{Answer, unbuilt};
use super::resource::{Resource, Seen, shown};
use super::s3_empty::empty_bucket;
use super::s3_settings::{check_name, read_rules, rules, tls_only};
use super::tags;
use crate::planned::Planned;
use aws_sdk_s3::types::{
    BucketLocationConstraint, BucketVersioningStatus, CreateBucketConfiguration, ObjectOwnership,
    PublicAccessBlockConfiguration, ServerSideEncryption, ServerSideEncryptionByDefault,
    ServerSideEncryptionConfiguration, ServerSideEncryptionRule, Tag, Tagging, VersioningConfiguration,
};
use forge_engine::address::Deployment;
use forge_engine::kind as engine;
use forge_engine::kind::{Effect, KindError, Observed, OnIdentifier, Recovery, Typical};
use futures::future::{try_join_all, try_join4};
use futures::stream::{self, StreamExt, TryStreamExt};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// How many buckets whose names say nothing are looked at, to find those of a deployment: what one page of a list holds in
/// most accounts, and a second's work.
const OTHERS: usize = 200;
/// How many are looked at at once.
const LOOKS: usize = 16;
/// How much of a deployment's name is at the beginning of every name that is made of it: longer ones are cut there.
const SHARED: usize = 26;

/// What can be chosen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Its name, unique in the world: 3 to 63 of a-z, 0-9, `-` and `.`.
    #[serde(default)]
    pub name: Option<String>,
    /// Where it has no name, the beginning of one, at most 35 characters. The account's number and the region are added:
    /// that is unique, and the same every time.
    #[serde(default)]
    pub prefix: Option<String>,
    /// Whether overwritten and deleted objects are kept.
    #[serde(default)]
    pub versioning: bool,
    /// ARN of the KMS key that encrypts it (SSE-KMS with a bucket key); S3's own key (SSE-S3) when absent.
    #[serde(default)]
    pub kms_key: Option<String>,
    /// What becomes of objects with time. What asks for nothing is left out.
    #[serde(default, deserialize_with = "that_ask")]
    pub lifecycle: Vec<Lifecycle>,
    /// After how many days an upload that was never completed is given up.
    #[serde(default = "one")]
    pub abort_uploads_days: u32,

    /// Tags, besides those that forge sets.
    #[serde(default)]
    pub tags: Tags,
}

/// What becomes of objects with time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Lifecycle {
    /// What the names of the objects begin with; all when empty.
    #[serde(default)]
    pub prefix: String,
    /// After how many days they move to cheaper storage that is still read at once (GLACIER_IR).
    #[serde(default)]
    pub archive_days: Option<u32>,
    /// After how many days they are deleted.
    #[serde(default)]
    pub expire_days: Option<u32>,
    /// For how many days versions that were overwritten or deleted are kept.
    #[serde(default)]
    pub keep_old_versions_days: Option<u32>,
}

fn that_ask<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Lifecycle>, D::Error> {
    let mut asked = Vec::<Lifecycle>::deserialize(from)?;
    asked.retain(|one| one.archive_days.or(one.expire_days).or(one.keep_old_versions_days).is_some());
    Ok(asked)
}

fn one() -> u32 {
    1
}

impl Planned for Spec {
    const NAME: &'static str = "aws.s3_bucket";
    const OUTPUTS: &'static [&'static str] = &["name", "arn", "url"];
    const SERVICE: &'static str = "s3";
    /// Estimate: several calls, one for each setting.
    const TYPICAL: Typical = Typical::seconds(3, 2, 5);
    const HOLDS_DATA: bool = true;

    fn effect(field: &str, _before: &Self, _after: &Self) -> Effect {
        match field {
            "name" | "prefix" => Effect::ReplaceCreateFirst,
            _ => Effect::InPlace,
        }
    }
}

impl Resource for Spec {
    const RECOVERY: Recovery = Recovery::Token;
    /// Buckets show at once since 2020 ("Amazon S3 data consistency model"); lists and settings of new ones may lag.
    const VISIBILITY: Duration = Duration::from_secs(30);
    const ACTIONS: &'static [&'static str] = &[
        "s3:CreateBucket",
        "s3:TagResource",
        "s3:ListAllMyBuckets",
        "s3:GetBucketVersioning",
        "s3:PutBucketVersioning",
        "s3:GetEncryptionConfiguration",
        "s3:PutEncryptionConfiguration",
        "s3:GetLifecycleConfiguration",
        "s3:PutLifecycleConfiguration",
        "s3:PutBucketPublicAccessBlock",
        "s3:PutBucketOwnershipControls",
        "s3:GetBucketPolicy",
        "s3:PutBucketPolicy",
        "s3:GetBucketTagging",
        "s3:PutBucketTagging",
        "s3:ListBucketVersions",
        "s3:DeleteObject",
        "s3:DeleteObjectVersion",
        "s3:ListBucketMultipartUploads",
        "s3:AbortMultipartUpload",
        "s3:DeleteBucket",
    ];

    async fn read_many(cloud: &Cloud, ids: &[String]) -> Result<Vec<Option<Observed>>, KindError> {
        try_join_all(ids.iter().map(|name| seen(cloud, name))).await
    }

    async fn create(
        &self,
        cloud: &Cloud,
        tags: &engine::Tags,
        on_identifier: OnIdentifier<'_>,
    ) -> Result<Observed, KindError> {
        let name = self.name_in(cloud).await?;
        let what = format!("the bucket {name}");
        // There, "created" may mean that it was there before.
        let is_doubtful = cloud.region().await? == US_EAST_1;
        if is_doubtful && let Some(there) = seen(cloud, &name).await? {
            tags::same_creation(&what, there.tags.as_ref(), tags)?;
        }
        let is_new = self.make(cloud, &name, tags).await? && !is_doubtful;
        if is_new {
            on_identifier(&name);
            let there = shown(&name, vec![seen(cloud, &name).await?])?;
            return self.settle(cloud, &name, there).await;
        }
        let there = seen(cloud, &name).await?.ok_or_else(|| tags::hidden_namesake(&what))?;
        tags::same_creation(&what, there.tags.as_ref(), tags)?;
        on_identifier(&name);
        self.settle(cloud, &name, there).await
    }

    async fn update(
        &self,
        cloud: &Cloud,
        id: &str,
        _before: Option<&Self>,
        tags: &engine::Tags,
    ) -> Result<Observed, KindError> {
        self.retag(cloud, id, tags).await?;
        let there = shown(id, Self::read_many(cloud, &[id.to_owned()]).await?)?;
        self.settle(cloud, id, there).await
    }

    /// With everything in it: consent has been given.
    async fn delete(cloud: &Cloud, id: &str) -> Result<(), KindError> {
        empty_bucket(cloud, id).await?;
        cloud.s3().await.delete_bucket().bucket(id).send().await.of_present(cloud, "s3:DeleteBucket")?;
        Ok(())
    }

    async fn list(cloud: &Cloud, deployment: &Deployment) -> Result<Vec<Observed>, KindError> {
        let found: Vec<Option<Observed>> = stream::iter(candidates(names(cloud).await?, &deployment.0))
            .map(|name| async move {
                let whose = whose(cloud, &name).await?.and_then(|tags| tags.into_iter().find(|(key, _)| key == tags::DEPLOYMENT));
                if whose.is_some_and(|(_, whose)| whose == deployment.0) { seen(cloud, &name).await } else { Ok(None) }
            })
            .buffer_unordered(LOOKS)
            .try_collect()
            .await?;
        Ok(found.into_iter().flatten().collect())
    }
}

/// The region whose buckets have no location, and that says nothing of it when a bucket is there already.
const US_EAST_1: &str = "us-east-1";

impl Spec {
    /// Its name: the one that was chosen, or the one that follows from the prefix, the account and the region.
    fn name_of(&self, account: &str, region: &str) -> Result<String, KindError> {
        let name = match (&self.name, &self.prefix) {
            (Some(name), None) => name.clone(),
            (None, Some(prefix)) => format!("{prefix}-{account}-{region}"),
            _ => {
                return Err(KindError::terminal("a bucket needs either a `name` or a `prefix` of one"));
            }
        };
        check_name(&name).map_err(KindError::terminal)?;
        Ok(name)
    }

    async fn name_in(&self, cloud: &Cloud) -> Result<String, KindError> {
        let region = cloud.region().await?;
        let account = if self.name.is_some() { "" } else { &cloud.caller().await?.account };
        self.name_of(account, region)
    }

    /// Creates it; false when the account has it already.
    async fn make(&self, cloud: &Cloud, name: &str, tags: &engine::Tags) -> Result<bool, KindError> {
        let region = cloud.region().await?;
        let place = (region != US_EAST_1).then(|| BucketLocationConstraint::from(region));
        let born_with = sdk_tags(tags::all(tags, &self.tags))?;
        let how = CreateBucketConfiguration::builder().set_location_constraint(place).set_tags(Some(born_with)).build();
        let call = cloud.s3().await.create_bucket().bucket(name).create_bucket_configuration(how);
        let call = call.object_ownership(ObjectOwnership::BucketOwnerEnforced);
        let made = call.send().await.unless(&["BucketAlreadyOwnedByYou"], cloud, "s3:CreateBucket")?;
        Ok(made.is_some())
    }

    async fn retag(&self, cloud: &Cloud, name: &str, tags: &engine::Tags) -> Result<(), KindError> {
        let answer = cloud.s3().await.get_bucket_tagging().bucket(name).send().await;
        let have = answer.of_present(cloud, "s3:GetBucketTagging")?.map(|answer| answer.tag_set).unwrap_or_default();
        let mut have: BTreeMap<_, _> = have.into_iter().map(|tag| (tag.key, tag.value)).collect();
        let (set, gone) = tags::changes(&have, &tags::all(tags, &self.tags));
        if set.is_empty() && gone.is_empty() {
            return Ok(());
        }
        // The call writes all of them anew, but none of AWS's own.
        have.retain(|key, _| !gone.contains(key) && !key.starts_with("aws:"));
        have.extend(set);
        let all = Tagging::builder().set_tag_set(Some(sdk_tags(have)?)).build().map_err(unbuilt)?;
        let call = cloud.s3().await.put_bucket_tagging().bucket(name).tagging(all);
        call.send().await.of(cloud, "s3:PutBucketTagging")?;
        Ok(())
    }

    /// Sets what CreateBucket does not take. One after the other: S3 refuses two at once (OperationAborted).
    async fn settle(&self, cloud: &Cloud, name: &str, there: Observed) -> Result<Observed, KindError> {
        close(cloud, name).await?;
        require_tls(cloud, name).await?;
        let wants = |field: &str, value: serde_json::Value| there.spec.get(field) != Some(&value);
        if wants("kms_key", serde_json::json!(self.kms_key)) {
            self.encrypt(cloud, name).await?;
        }
        if wants("versioning", self.versioning.into()) {
            let status =
                if self.versioning { BucketVersioningStatus::Enabled } else { BucketVersioningStatus::Suspended };
            let how = VersioningConfiguration::builder().status(status).build();
            let call = cloud.s3().await.put_bucket_versioning().bucket(name).versioning_configuration(how);
            call.send().await.of(cloud, "s3:PutBucketVersioning")?;
        }
        if wants("lifecycle", serde_json::json!(self.lifecycle))
            || wants("abort_uploads_days", self.abort_uploads_days.into())
        {
            let rules = rules(&self.lifecycle, self.abort_uploads_days)?;
            let call = cloud.s3().await.put_bucket_lifecycle_configuration().bucket(name);
            call.lifecycle_configuration(rules).send().await.of(cloud, "s3:PutLifecycleConfiguration")?;
        }
        shown(name, vec![seen(cloud, name).await?])
    }

    async fn encrypt(&self, cloud: &Cloud, name: &str) -> Result<(), KindError> {
        let how = if self.kms_key.is_some() { ServerSideEncryption::AwsKms } else { ServerSideEncryption::Aes256 };
        let by_default = ServerSideEncryptionByDefault::builder().sse_algorithm(how);
        let by_default = by_default.set_kms_master_key_id(self.kms_key.clone()).build().map_err(unbuilt)?;
        let rule = ServerSideEncryptionRule::builder()
            .apply_server_side_encryption_by_default(by_default)
            .bucket_key_enabled(self.kms_key.is_some())
            .build();
        let all = ServerSideEncryptionConfiguration::builder().rules(rule).build().map_err(unbuilt)?;
        let call = cloud.s3().await.put_bucket_encryption().bucket(name).server_side_encryption_configuration(all);
        call.send().await.of(cloud, "s3:PutEncryptionConfiguration")?;
        Ok(())
    }
}

fn sdk_tags(tags: BTreeMap<String, String>) -> Result<Vec<Tag>, KindError> {
    tags.into_iter().map(|(key, value)| Tag::builder().key(key).value(value).build().map_err(unbuilt)).collect()
}

/// Nothing in it is ever public.
async fn close(cloud: &Cloud, name: &str) -> Result<(), KindError> {
    let never = PublicAccessBlockConfiguration::builder()
        .block_public_acls(true)
        .ignore_public_acls(true)
        .block_public_policy(true)
        .restrict_public_buckets(true)
        .build();
    let call = cloud.s3().await.put_public_access_block().bucket(name).public_access_block_configuration(never);
    call.send().await.of(cloud, "s3:PutBucketPublicAccessBlock")?;
    Ok(())
}

/// Nobody reaches it without TLS.
async fn require_tls(cloud: &Cloud, name: &str) -> Result<(), KindError> {
    let s3 = cloud.s3().await;
    let policy = s3.get_bucket_policy().bucket(name).send().await;
    let policy = policy.unless(&["NoSuchBucketPolicy"], cloud, "s3:GetBucketPolicy")?.and_then(|answer| answer.policy);
    let arn = arn(cloud, name).await?;
    if let Some(policy) = tls_only(policy.as_deref(), &arn)? {
        let call = s3.put_bucket_policy().bucket(name).policy(policy);
        call.send().await.of(cloud, "s3:PutBucketPolicy")?;
    }
    Ok(())
}

async fn arn(cloud: &Cloud, name: &str) -> Result<String, KindError> {
    // aws, aws-cn, aws-us-gov: the part of AWS that the account is in.
    let partition = cloud.caller().await?.arn.split(':').nth(1).unwrap_or("aws");
    Ok(format!("arn:{partition}:s3:::{name}"))
}

/// The names of the buckets in the region.
async fn names(cloud: &Cloud) -> Result<Vec<String>, KindError> {
    let region = cloud.region().await?;
    let call = cloud.s3().await.list_buckets().bucket_region(region).max_buckets(1000);
    let mut names = Vec::new();
    let mut pages = call.into_paginator().items().send();
    while let Some(bucket) = pages.next().await {
        names.extend(bucket.of(cloud, "s3:ListAllMyBuckets")?.name);
    }
    Ok(names)
}

/// Those that may be a deployment's: see the top of this file.
fn candidates(names: Vec<String>, deployment: &str) -> Vec<String> {
    let shared: String = deployment.chars().take(SHARED).collect();
    let (mut likely, others): (Vec<_>, Vec<_>) = names.into_iter().partition(|name| name.starts_with(&shared));
    if others.len() <= OTHERS {
        likely.extend(others);
    }
    likely
}

/// The tags of a bucket; none when it is nobody's business: gone, or not to be looked at.
async fn whose(cloud: &Cloud, name: &str) -> Result<Option<BTreeMap<String, String>>, KindError> {
    let answer = cloud.s3().await.get_bucket_tagging().bucket(name).send().await;
    let nobodys = ["NoSuchTagSet", "NoSuchBucket", "AccessDenied", "PermanentRedirect"];
    let tags = answer.unless(&nobodys, cloud, "s3:GetBucketTagging")?.map(|answer| answer.tag_set);
    Ok(tags.map(|tags| tags.into_iter().map(|tag| (tag.key, tag.value)).collect()))
}

/// What there is with this name.
async fn seen(cloud: &Cloud, name: &str) -> Result<Option<Observed>, KindError> {
    let s3 = cloud.s3().await;
    let versioning = async {
        let answer = s3.get_bucket_versioning().bucket(name).send().await;
        // Every bucket answers this one: whatever else is not there, is a setting that was never made.
        answer.of_present(cloud, "s3:GetBucketVersioning")
    };
    let encryption = async {
        let answer = s3.get_bucket_encryption().bucket(name).send().await;
        answer.of_present(cloud, "s3:GetEncryptionConfiguration")
    };
    let lifecycle = async {
        let answer = s3.get_bucket_lifecycle_configuration().bucket(name).send().await;
        answer.of_present(cloud, "s3:GetLifecycleConfiguration")
    };
    let tags = async {
        let answer = s3.get_bucket_tagging().bucket(name).send().await;
        answer.of_present(cloud, "s3:GetBucketTagging")
    };
    let (versioning, encryption, lifecycle, tags) = try_join4(versioning, encryption, lifecycle, tags).await?;
    let Some(versioning) = versioning else { return Ok(None) };
    let tags = tags.map(|answer| answer.tag_set).unwrap_or_default().into_iter().map(|tag| (tag.key, tag.value));
    let rules = lifecycle.and_then(|answer| answer.rules).unwrap_or_default();
    let (lifecycle, uploads) = read_rules(rules);
    let seen = Seen::new(name, tags)
        .field("versioning", versioning.status == Some(BucketVersioningStatus::Enabled))
        .field("kms_key", encryption.and_then(|answer| key_of(answer.server_side_encryption_configuration?)))
        .field("lifecycle", lifecycle)
        .field("abort_uploads_days", uploads)
        .output("name", name)
        .output("arn", arn(cloud, name).await?)
        .output("url", format!("s3://{name}"));
    Ok(Some(seen.done()))
}

/// The key that a bucket is encrypted with, unless it is S3's own.
fn key_of(how: ServerSideEncryptionConfiguration) -> Option<String> {
    let by_default = how.rules.into_iter().find_map(|rule| rule.apply_server_side_encryption_by_default)?;
    if by_default.sse_algorithm == ServerSideEncryption::Aes256 {
        return None;
    }
    Some(by_default.kms_master_key_id.unwrap_or_else(|| "alias/aws/s3".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::super::error::classify;
    use super::*;

    fn spec(json: serde_json::Value) -> Spec {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn a_name_follows_from_prefix_account_and_region() {
        let named = |json| spec(json).name_of("123456789012", "us-west-2").map_err(|error| error.message);
        assert_eq!(named(serde_json::json!({ "prefix": "p-data" })).unwrap(), "p-data-123456789012-us-west-2");
        assert_eq!(named(serde_json::json!({ "name": "mine" })).unwrap(), "mine");
        let neither = "a bucket needs either a `name` or a `prefix` of one";
        assert_eq!(named(serde_json::json!({})).unwrap_err(), neither);
        assert_eq!(named(serde_json::json!({ "name": "mine", "prefix": "p" })).unwrap_err(), neither);
        assert!(named(serde_json::json!({ "name": "Mine" })).unwrap_err().contains("'M' is not allowed"));
    }

    #[test]
    fn codes_of_buckets_have_their_class_and_advice() {
        for (code, class, advice) in [
            ("PermanentRedirect", engine::ErrorClass::Terminal, "in another region"),
            ("IllegalLocationConstraintException", engine::ErrorClass::Terminal, "in another region"),
            ("BucketAlreadyExists", engine::ErrorClass::Terminal, "choose another `name`"),
            ("BucketNotEmpty", engine::ErrorClass::NotYetVisible, "still needs it"),
            ("OperationAborted", engine::ErrorClass::Transient, ""),
            ("SlowDown", engine::ErrorClass::Throttled, ""),
        ] {
            let (found, help) = classify("s3:CreateBucket", code, "", None);
            assert_eq!(found, class, "{code}");
            assert!(help.unwrap_or_default().contains(advice), "{code}");
        }
    }

    #[test]
    fn what_asks_for_nothing_is_no_rule() {
        let spec = spec(serde_json::json!({ "name": "mine", "lifecycle": [{ "prefix": "a/" }, { "expire_days": 1 }] }));
        assert_eq!(spec.lifecycle.len(), 1);
    }

    #[test]
    fn buckets_of_others_are_looked_at_only_where_they_are_few() {
        let names = |n: usize| (0..n).map(|n| format!("other-{n}")).chain(["prod-data-1-r".to_owned()]).collect();
        assert_eq!(candidates(names(3), "prod").len(), 4);
        assert_eq!(candidates(names(10_000), "prod"), ["prod-data-1-r"]);
        let long = "a-deployment-with-a-very-long-name";
        assert_eq!(candidates(vec!["a-deployment-with-a-very-l-0a1b2c3d-1-r".to_owned()], long).len(), 1);
    }
}
