//! `aws.fsx_association`: a bucket that shows as a directory of a Lustre file system (FSx
//! CreateDataRepositoryAssociation). At most eight of one file system, their paths apart from each other.
//!
//! **Identifier**: that of FSx. What is in the bucket already shows at once (`BatchImportMetaDataOnCreate`); what is in the file
//! system stays there when the association goes.

use super::Tags;
use super::cloud::{Cloud, empty};
use super::error::Answer;
use super::fsx::{born_with, pairs, retag};
use super::resource::{Resource, Seen, Stage, deleted, in_order, shown};
use super::tags::is_of;
use crate::planned::{FREE, Planned, replace};
use aws_sdk_fsx::types as sdk;
use aws_sdk_fsx::types::{DataRepositoryAssociation, DataRepositoryLifecycle};
use forge_engine::address::Deployment;
use forge_engine::kind as engine;
use forge_engine::kind::{Effect, Hourly, KindError, Observed, OnIdentifier, Readiness, Recovery, Typical};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use std::collections::BTreeSet;
use std::time::Duration;

/// What can be chosen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Identifier of the file system.
    pub file_system: String,
    /// Where it shows: `/data`.
    #[serde(deserialize_with = "without_slash")]
    pub path: String,
    /// What shows there: `s3://bucket/prefix`.
    #[serde(deserialize_with = "without_slash")]
    pub source: String,
    /// Which changes of the bucket show in the file system.
    #[serde(default = "every")]
    pub import: BTreeSet<Event>,
    /// Which changes of the file system go to the bucket.
    #[serde(default = "every")]
    pub export: BTreeSet<Event>,
    /// Most of an object in MiB on one disk of the file system.
    #[serde(default = "chunk")]
    #[schemars(range(min = 1, max = 512_000))]
    pub chunk_mib: u32,

    /// Tags, besides those that forge sets.
    #[serde(default)]
    pub tags: Tags,
}

/// What happens to a file or an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// It is new.
    New,
    /// It has changed.
    Changed,
    /// It is gone.
    Deleted,
}

/// With a slash at the end or without one, both mean the same, and FSx takes both.
fn without_slash<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    Ok(trimmed(&String::deserialize(from)?))
}

fn trimmed(path: &str) -> String {
    let trimmed = path.trim_end_matches('/');
    if trimmed.is_empty() { "/".to_owned() } else { trimmed.to_owned() }
}

fn every() -> BTreeSet<Event> {
    BTreeSet::from([Event::New, Event::Changed, Event::Deleted])
}

fn chunk() -> u32 {
    1024
}

impl Planned for Spec {
    const NAME: &'static str = "aws.fsx_association";
    const OUTPUTS: &'static [&'static str] = &["id", "arn"];
    const SERVICE: &'static str = "fsx";
    /// Estimate.
    const TYPICAL: Typical = Typical::seconds(300, 60, 120);
    const READY_DEADLINE: Duration = Duration::from_secs(30 * 60);

    /// Two of one file system cannot have the same path.
    fn effect(field: &str, before: &Self, after: &Self) -> Effect {
        match field {
            "file_system" | "path" | "source" => replace(before.file_system != after.file_system),
            _ => Effect::InPlace,
        }
    }

    fn hourly(&self, _region: Option<&str>) -> Option<Hourly> {
        FREE
    }
}

impl Event {
    const ALL: [Self; 3] = [Self::New, Self::Changed, Self::Deleted];

    fn to_sdk(self) -> sdk::EventType {
        match self {
            Self::New => sdk::EventType::New,
            Self::Changed => sdk::EventType::Changed,
            Self::Deleted => sdk::EventType::Deleted,
        }
    }
}

impl Resource for Spec {
    const RECOVERY: Recovery = Recovery::Token;
    const VISIBILITY: Duration = Duration::from_secs(30);
    /// DescribeDataRepositoryAssociations takes 50 identifiers, and tells of 25 at a time.
    const READ_BATCH: usize = 25;
    const ACTIONS: &'static [&'static str] = &[
        "fsx:CreateDataRepositoryAssociation",
        "fsx:CreateDataRepositoryTask",
        "fsx:DescribeDataRepositoryAssociations",
        "fsx:UpdateDataRepositoryAssociation",
        "fsx:DeleteDataRepositoryAssociation",
        "fsx:TagResource",
        "fsx:UntagResource",
        "iam:CreateServiceLinkedRole",
        "iam:AttachRolePolicy",
        "iam:PutRolePolicy",
        "s3:GetBucketAcl",
        "s3:GetBucketNotification",
        "s3:PutBucketNotification",
        "s3:ListBucket",
        "s3:GetObject",
        "s3:PutObject",
    ];

    async fn read_many(cloud: &Cloud, ids: &[String]) -> Result<Vec<Option<Observed>>, KindError> {
        let found = find(cloud, ids).await?.into_iter().filter_map(seen).collect();
        Ok(in_order(ids, found))
    }

    async fn create(
        &self,
        cloud: &Cloud,
        tags: &engine::Tags,
        on_identifier: OnIdentifier<'_>,
    ) -> Result<Observed, KindError> {
        const CALL: &str = "fsx:CreateDataRepositoryAssociation";
        let call = cloud
            .fsx()
            .await
            .create_data_repository_association()
            .client_request_token(&tags.operation.0)
            .file_system_id(&self.file_system)
            .file_system_path(&self.path)
            .data_repository_path(&self.source)
            .batch_import_meta_data_on_create(true)
            .imported_file_chunk_size(self.chunk())
            .s3(self.events())
            .set_tags(Some(born_with(tags, &self.tags)));
        let made = call.send().await.of(cloud, CALL)?.association.ok_or_else(|| empty(CALL))?;
        let id = made.association_id.clone().ok_or_else(|| empty(CALL))?;
        on_identifier(&id);
        seen(made).ok_or_else(|| empty(CALL))
    }

    async fn update(
        &self,
        cloud: &Cloud,
        id: &str,
        _before: Option<&Self>,
        tags: &engine::Tags,
    ) -> Result<Observed, KindError> {
        let there = find(cloud, &[id.to_owned()]).await?.pop();
        let Some(there) = there else { return shown(id, vec![None]) };
        retag(cloud, there.resource_arn(), there.tags.clone(), tags, &self.tags).await?;
        let spec = seen(there).map(|seen| seen.spec).unwrap_or_default();
        let wanted = serde_json::to_value(self).unwrap_or_default();
        if ["import", "export", "chunk_mib"].iter().any(|field| spec.get(*field) != wanted.get(*field)) {
            // The SDK gives it a token of its own: it is decided by what is there.
            let call = cloud.fsx().await.update_data_repository_association().association_id(id);
            let call = call.imported_file_chunk_size(self.chunk()).s3(self.events());
            call.send().await.of(cloud, "fsx:UpdateDataRepositoryAssociation")?;
        }
        shown(id, Self::read_many(cloud, &[id.to_owned()]).await?)
    }

    async fn delete(cloud: &Cloud, id: &str) -> Result<(), KindError> {
        let call = cloud.fsx().await.delete_data_repository_association().association_id(id);
        let call = call.delete_data_in_file_system(false);
        let asked = call.send().await.of_present(cloud, "fsx:DeleteDataRepositoryAssociation");
        let stage = async {
            Ok(match find(cloud, &[id.to_owned()]).await?.pop().and_then(|there| there.lifecycle) {
                None | Some(DataRepositoryLifecycle::Deleting) => Stage::Going,
                Some(DataRepositoryLifecycle::Creating | DataRepositoryLifecycle::Updating) => Stage::Changing,
                Some(_) => Stage::Staying,
            })
        };
        deleted(asked, stage).await
    }

    async fn list(cloud: &Cloud, deployment: &Deployment) -> Result<Vec<Observed>, KindError> {
        let mut found = Vec::new();
        let mut pages = cloud.fsx().await.describe_data_repository_associations().into_paginator().send();
        while let Some(page) = pages.next().await {
            found.extend(page.of(cloud, "fsx:DescribeDataRepositoryAssociations")?.associations.unwrap_or_default());
        }
        Ok(found.into_iter().filter_map(seen).filter(|seen| is_of(seen, deployment)).collect())
    }
}

impl Spec {
    fn chunk(&self) -> i32 {
        i32::try_from(self.chunk_mib).unwrap_or(i32::MAX)
    }

    fn events(&self) -> sdk::S3DataRepositoryConfiguration {
        let list = |events: &BTreeSet<Event>| Some(events.iter().map(|event| event.to_sdk()).collect());
        let import = sdk::AutoImportPolicy::builder().set_events(list(&self.import)).build();
        let export = sdk::AutoExportPolicy::builder().set_events(list(&self.export)).build();
        sdk::S3DataRepositoryConfiguration::builder().auto_import_policy(import).auto_export_policy(export).build()
    }
}

/// Those that there are, in any order. One that is gone makes FSx refuse to tell of the others, so they are then asked for one
/// by one.
async fn find(cloud: &Cloud, ids: &[String]) -> Result<Vec<DataRepositoryAssociation>, KindError> {
    const CALL: &str = "fsx:DescribeDataRepositoryAssociations";
    let fsx = cloud.fsx().await;
    let all = fsx.describe_data_repository_associations().set_association_ids(Some(ids.to_vec())).send().await;
    if let Some(all) = all.of_present(cloud, CALL)? {
        return Ok(all.associations.unwrap_or_default());
    }
    let mut found = Vec::new();
    for id in ids.iter().filter(|_| ids.len() > 1) {
        let one = fsx.describe_data_repository_associations().association_ids(id).send().await;
        found.extend(one.of_present(cloud, CALL)?.and_then(|one| one.associations).unwrap_or_default());
    }
    Ok(found)
}

fn seen(there: DataRepositoryAssociation) -> Option<Observed> {
    let readiness = readiness(&there);
    let id = there.association_id?;
    let set = |events: Option<Vec<sdk::EventType>>| {
        let events = events.unwrap_or_default();
        Event::ALL.into_iter().filter(|event| events.contains(&event.to_sdk())).collect::<BTreeSet<_>>()
    };
    let (import, export) = there.s3.map(|s3| (s3.auto_import_policy, s3.auto_export_policy)).unwrap_or_default();
    let seen = Seen::new(&id, pairs(there.tags))
        .known("file_system", there.file_system_id)
        .known("path", there.file_system_path.as_deref().map(trimmed))
        .known("source", there.data_repository_path.as_deref().map(trimmed))
        .field("import", set(import.and_then(|policy| policy.events)))
        .field("export", set(export.and_then(|policy| policy.events)))
        .known("chunk_mib", there.imported_file_chunk_size)
        .output("id", &id)
        .gives("arn", there.resource_arn);
    Some(seen.readiness(readiness).done())
}

fn readiness(there: &DataRepositoryAssociation) -> Readiness {
    let failure = there.failure_details().and_then(|details| details.message());
    let told = |otherwise: &str| failure.unwrap_or(otherwise).trim().to_owned();
    match there.lifecycle() {
        Some(DataRepositoryLifecycle::Available) => Readiness::Ready,
        Some(DataRepositoryLifecycle::Failed) => Readiness::Failed(told("FSx gives no reason")),
        Some(DataRepositoryLifecycle::Creating) | None => Readiness::Waiting("the bucket is being read".to_owned()),
        Some(DataRepositoryLifecycle::Updating) => Readiness::Waiting("it is being changed".to_owned()),
        Some(DataRepositoryLifecycle::Deleting) => Readiness::Waiting("it is being deleted".to_owned()),
        // "Until the configuration is corrected, automatic import and automatic export will not work."
        Some(DataRepositoryLifecycle::Misconfigured) => Readiness::Waiting(told("it is misconfigured")),
        Some(other) => Readiness::Waiting(format!("it is {other}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_read_is_what_was_asked_for() {
        let spec: Spec = serde_json::from_value(json!({
            "file_system": "fs-1", "path": "/data/", "source": "s3://bucket/data", "export": [],
        }))
        .unwrap();
        let there = DataRepositoryAssociation::builder()
            .association_id("dra-1")
            .resource_arn("arn:aws:fsx:us-west-2:1:association/fs-1/dra-1")
            .file_system_id("fs-1")
            .file_system_path("/data/")
            .data_repository_path("s3://bucket/data/")
            .imported_file_chunk_size(1024)
            .s3(spec.events())
            .lifecycle(DataRepositoryLifecycle::Available);
        let observed = seen(there.build()).unwrap();
        assert_eq!(serde_json::to_value(&observed.spec).unwrap(), serde_json::to_value(&spec).unwrap());
        assert_eq!(observed.readiness, Readiness::Ready);
        assert_eq!(trimmed("/"), "/");
    }
}
