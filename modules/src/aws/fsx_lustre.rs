//! `aws.fsx_lustre`: a Lustre file system (FSx CreateFileSystem), on SSD, encrypted.
//!
//! **Identifier**: that of FSx. **Changes**: one call asks for all of them; FSx works on them for minutes to hours, one at a
//! time, and the file system can be used meanwhile. A change counts as made once the new capacity can be used; FSx goes on
//! spreading data over it (`UPDATED_OPTIMIZING`).

use super::Tags;
use super::cloud::{Cloud, empty};
use super::error::Answer;
use super::fsx::{born_with, pairs, retag};
use super::fsx_sizes::check;
use super::price;
use super::resource::{Resource, Seen, Stage, deleted, in_order, shown};
use super::tags::is_of;
use crate::planned::Planned;
use aws_sdk_fsx::types as sdk;
use aws_sdk_fsx::types::{AdministrativeActionType, FileSystem, FileSystemLifecycle, Status};
use forge_engine::address::Deployment as OfDeployment;
use forge_engine::kind as engine;
use forge_engine::kind::{Effect, ErrorClass, Hourly, KindError, Observed, OnIdentifier, Readiness, Recovery, Typical};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::time::Duration;

/// What can be chosen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Identifier of its subnet.
    pub subnet: String,
    /// Identifiers of the security groups of its interfaces. Lustre needs TCP 988 and 1018 to 1023, both ways; EFA needs
    /// every protocol from and to a group that clients are in.
    pub security_groups: BTreeSet<String>,
    /// Its size in GiB: 1200, 2400, then steps of 2400; larger steps with EFA.
    #[schemars(range(min = 1200))]
    pub capacity_gib: u32,
    /// What it is made for.
    pub deployment: Deployment,
    /// Throughput in MB/s for each TiB (PerUnitStorageThroughput): 50, 100, 200 of persistent-1; 125, 250, 500, 1000 of
    /// persistent-2; none of scratch-2.
    #[serde(default)]
    pub throughput: Option<u32>,
    /// How metadata is served, of persistent-2 only; EFA needs it.
    #[serde(default)]
    pub metadata: Option<Metadata>,
    /// Whether clients may reach it over EFA; persistent-2 only, decided when it is made.
    #[serde(default)]
    pub efa: bool,
    /// Whether data is compressed (LZ4).
    #[serde(default)]
    pub compress: bool,
    /// The version of Lustre. FSx would take 2.10, which clients of Amazon Linux 2023 cannot mount.
    #[serde(default = "lustre")]
    pub lustre: String,
    /// ARN of the KMS key; FSx's own when absent.
    #[serde(default)]
    pub kms_key: Option<String>,
    /// For how many days daily backups are kept, of persistent ones; 0 for none.
    #[serde(default)]
    #[schemars(range(max = 90))]
    pub backup_days: u8,

    /// Tags, besides those that forge sets.
    #[serde(default)]
    pub tags: Tags,
}

/// What a file system is made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Deployment {
    /// Short work: data is not replicated.
    #[serde(rename = "scratch-2")]
    Scratch2,
    /// The older generation of replicated storage.
    #[serde(rename = "persistent-1")]
    Persistent1,
    /// Replicated storage; the only one with EFA.
    #[serde(rename = "persistent-2")]
    Persistent2,
}

/// How metadata is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Metadata {
    /// As many operations per second as fit its size.
    Automatic,
    /// So many operations per second: 1500, 3000, 6000, 12000, then steps of 12000 up to 192000.
    Iops(u32),
}

/// What was asked for; automatic asks for nothing.
fn iops(metadata: &Option<Metadata>) -> u32 {
    match metadata {
        Some(Metadata::Iops(iops)) => *iops,
        Some(Metadata::Automatic) | None => 0,
    }
}

fn lustre() -> String {
    "2.15".to_owned()
}

impl Planned for Spec {
    const NAME: &'static str = "aws.fsx_lustre";
    const OUTPUTS: &'static [&'static str] = &["id", "arn", "dns_name", "mount_name"];
    const SERVICE: &'static str = "fsx";
    /// Estimate: 5 to 15 minutes are usual.
    const TYPICAL: Typical = Typical::seconds(600, 600, 300);
    const HOLDS_DATA: bool = true;
    /// The SDK has no waiter; 5 to 15 minutes are usual, and large ones take longer.
    const READY_DEADLINE: Duration = Duration::from_secs(60 * 60);

    /// UpdateFileSystem only lets it grow.
    fn effect(field: &str, before: &Self, after: &Self) -> Effect {
        match field {
            "subnet" | "security_groups" | "deployment" | "efa" | "kms_key" => Effect::ReplaceCreateFirst,
            "capacity_gib" if after.capacity_gib < before.capacity_gib => Effect::ReplaceCreateFirst,
            "throughput" if before.efa => Effect::ReplaceCreateFirst,
            "metadata" if iops(&after.metadata) < iops(&before.metadata) => Effect::ReplaceCreateFirst,
            "lustre" if after.lustre < before.lustre => Effect::Forbidden("FSx never goes back to an older Lustre"),
            _ => Effect::InPlace,
        }
    }

    /// Without backups and metadata beyond what is included.
    fn hourly(&self, region: Option<&str>) -> Option<Hourly> {
        if self.backup_days > 0 || self.metadata.is_some() {
            return None;
        }
        match (self.deployment, self.throughput) {
            (Deployment::Scratch2, _) => price::storage(region, self.capacity_gib, price::FSX_SCRATCH),
            (Deployment::Persistent2, Some(125)) => {
                price::storage(region, self.capacity_gib, price::FSX_PERSISTENT_125)
            }
            _ => None,
        }
    }
}

impl Deployment {
    /// As the specification says it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Scratch2 => "scratch-2",
            Self::Persistent1 => "persistent-1",
            Self::Persistent2 => "persistent-2",
        }
    }

    fn to_sdk(self) -> sdk::LustreDeploymentType {
        match self {
            Self::Scratch2 => sdk::LustreDeploymentType::Scratch2,
            Self::Persistent1 => sdk::LustreDeploymentType::Persistent1,
            Self::Persistent2 => sdk::LustreDeploymentType::Persistent2,
        }
    }

    fn from_sdk(deployment: &sdk::LustreDeploymentType) -> Option<Self> {
        [Self::Scratch2, Self::Persistent1, Self::Persistent2].into_iter().find(|one| one.to_sdk() == *deployment)
    }
}

impl Resource for Spec {
    const RECOVERY: Recovery = Recovery::Token;
    const VISIBILITY: Duration = Duration::from_secs(30);
    /// DescribeFileSystems takes 50 identifiers.
    const READ_BATCH: usize = 50;
    const ACTIONS: &'static [&'static str] = &[
        "fsx:CreateFileSystem",
        "fsx:DescribeFileSystems",
        "fsx:UpdateFileSystem",
        "fsx:DeleteFileSystem",
        "fsx:TagResource",
        "fsx:UntagResource",
        "iam:CreateServiceLinkedRole",
        "ec2:DescribeSubnets",
        "ec2:DescribeSecurityGroups",
        "ec2:CreateNetworkInterface",
        "kms:DescribeKey",
        "kms:CreateGrant",
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
        const CALL: &str = "fsx:CreateFileSystem";
        check(self).map_err(KindError::terminal)?;
        let gib = i32::try_from(self.capacity_gib).unwrap_or(i32::MAX);
        let call = cloud
            .fsx()
            .await
            .create_file_system()
            .client_request_token(&tags.operation.0)
            .file_system_type(sdk::FileSystemType::Lustre)
            .file_system_type_version(&self.lustre)
            .storage_type(sdk::StorageType::Ssd)
            .storage_capacity(gib)
            .subnet_ids(&self.subnet)
            .set_security_group_ids(Some(self.security_groups.iter().cloned().collect()))
            .set_kms_key_id(self.kms_key.clone())
            .lustre_configuration(self.lustre_configuration())
            .set_tags(Some(born_with(tags, &self.tags)));
        let made = call.send().await.of(cloud, CALL)?.file_system.ok_or_else(|| empty(CALL))?;
        let id = made.file_system_id.clone().ok_or_else(|| empty(CALL))?;
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
        check(self).map_err(KindError::terminal)?;
        let there = find(cloud, &[id.to_owned()]).await?.pop();
        let Some(there) = there else { return shown(id, vec![None]) };
        retag(cloud, there.resource_arn(), there.tags.clone(), tags, &self.tags).await?;
        self.change(cloud, id, &there).await?;
        shown(id, Self::read_many(cloud, &[id.to_owned()]).await?)
    }

    /// Without a last backup: consent to deleting the data has been given.
    async fn delete(cloud: &Cloud, id: &str) -> Result<(), KindError> {
        let how = sdk::DeleteFileSystemLustreConfiguration::builder().skip_final_backup(true).build();
        let call = cloud.fsx().await.delete_file_system().file_system_id(id).lustre_configuration(how);
        let asked = call.send().await.of_present(cloud, "fsx:DeleteFileSystem");
        let stage = async {
            Ok(match find(cloud, &[id.to_owned()]).await?.pop().and_then(|there| there.lifecycle) {
                None | Some(FileSystemLifecycle::Deleting) => Stage::Going,
                Some(FileSystemLifecycle::Creating | FileSystemLifecycle::Updating) => Stage::Changing,
                Some(_) => Stage::Staying,
            })
        };
        deleted(asked, stage).await
    }

    async fn list(cloud: &Cloud, deployment: &OfDeployment) -> Result<Vec<Observed>, KindError> {
        let mut found = Vec::new();
        let mut pages = cloud.fsx().await.describe_file_systems().into_paginator().send();
        while let Some(page) = pages.next().await {
            found.extend(page.of(cloud, "fsx:DescribeFileSystems")?.file_systems.unwrap_or_default());
        }
        Ok(found.into_iter().filter_map(seen).filter(|seen| is_of(seen, deployment)).collect())
    }
}

impl Spec {
    fn lustre_configuration(&self) -> sdk::CreateFileSystemLustreConfiguration {
        let number = |number: u32| i32::try_from(number).unwrap_or(i32::MAX);
        let metadata = self.metadata.map(|metadata| {
            let how = sdk::CreateFileSystemLustreMetadataConfiguration::builder();
            match metadata {
                Metadata::Automatic => how.mode(sdk::MetadataConfigurationMode::Automatic).build(),
                Metadata::Iops(iops) => {
                    how.mode(sdk::MetadataConfigurationMode::UserProvisioned).iops(number(iops)).build()
                }
            }
        });
        let is_persistent = self.deployment != Deployment::Scratch2;
        sdk::CreateFileSystemLustreConfiguration::builder()
            .deployment_type(self.deployment.to_sdk())
            .set_per_unit_storage_throughput(self.throughput.map(number))
            .set_efa_enabled(self.efa.then_some(true))
            .data_compression_type(self.compression())
            .set_metadata_configuration(metadata)
            .set_automatic_backup_retention_days(is_persistent.then_some(i32::from(self.backup_days)))
            .build()
    }

    fn compression(&self) -> sdk::DataCompressionType {
        if self.compress { sdk::DataCompressionType::Lz4 } else { sdk::DataCompressionType::None }
    }

    /// What has to be changed, and what it is to be; none when nothing has.
    fn changes(&self, there: &FileSystem) -> Option<Changes> {
        let spec = seen(there.clone())?.spec;
        let wanted = serde_json::to_value(self).unwrap_or_default();
        let differs = |field: &str| spec.get(field).is_some_and(|there| *there != wanted[field]);
        let number = |number: u32| i32::try_from(number).unwrap_or(i32::MAX);
        let changes = Changes {
            capacity: differs("capacity_gib").then_some(number(self.capacity_gib)),
            lustre: differs("lustre").then(|| self.lustre.clone()),
            throughput: self.throughput.filter(|_| differs("throughput")).map(number),
            backup_days: differs("backup_days").then_some(i32::from(self.backup_days)),
            compression: differs("compress").then(|| self.compression()),
            metadata: self.metadata.filter(|_| differs("metadata")),
        };
        (changes != Changes::default()).then_some(changes)
    }

    async fn change(&self, cloud: &Cloud, id: &str, there: &FileSystem) -> Result<(), KindError> {
        let Some(mut changes) = self.changes(&as_it_will_be(there)) else { return Ok(()) };
        let busy = |progress: &str| KindError {
            class: ErrorClass::Busy,
            message: format!("FSx makes one change of {id} at a time, and is at one: {progress}"),
            help: Some("Run the same command again: it goes on from here.".to_owned()),
            source: None,
        };
        if let Some(progress) = under_way(there) {
            return Err(busy(&progress));
        }
        // It is not asked to become larger and faster in one call: throughput is that of the larger one, later.
        let later = changes.throughput.filter(|_| changes.capacity.is_some());
        if later.is_some() {
            changes.throughput = None;
        }
        changes.send(cloud, id).await?;
        if later.is_some() { Err(busy("its throughput is changed once it has grown")) } else { Ok(()) }
    }
}

/// What UpdateFileSystem is to be asked for.
#[derive(Debug, Default, PartialEq)]
struct Changes {
    capacity: Option<i32>,
    lustre: Option<String>,
    throughput: Option<i32>,
    backup_days: Option<i32>,
    compression: Option<sdk::DataCompressionType>,
    metadata: Option<Metadata>,
}

impl Changes {
    async fn send(self, cloud: &Cloud, id: &str) -> Result<(), KindError> {
        let metadata = self.metadata.map(|metadata| {
            let how = sdk::UpdateFileSystemLustreMetadataConfiguration::builder();
            match metadata {
                Metadata::Automatic => how.mode(sdk::MetadataConfigurationMode::Automatic).build(),
                Metadata::Iops(iops) => how
                    .mode(sdk::MetadataConfigurationMode::UserProvisioned)
                    .iops(i32::try_from(iops).unwrap_or(i32::MAX))
                    .build(),
            }
        });
        let lustre = sdk::UpdateFileSystemLustreConfiguration::builder()
            .set_per_unit_storage_throughput(self.throughput)
            .set_automatic_backup_retention_days(self.backup_days)
            .set_data_compression_type(self.compression)
            .set_metadata_configuration(metadata)
            .build();
        // The SDK gives it a token of its own: it is decided by what is there.
        let call = cloud.fsx().await.update_file_system().file_system_id(id).lustre_configuration(lustre);
        let call = call.set_storage_capacity(self.capacity).set_file_system_type_version(self.lustre);
        call.send().await.of(cloud, "fsx:UpdateFileSystem")?;
        Ok(())
    }
}

/// Those that there are, in any order. One that is gone makes FSx refuse to tell of the others, so they are then asked for one
/// by one.
async fn find(cloud: &Cloud, ids: &[String]) -> Result<Vec<FileSystem>, KindError> {
    const CALL: &str = "fsx:DescribeFileSystems";
    let fsx = cloud.fsx().await;
    let all = fsx.describe_file_systems().set_file_system_ids(Some(ids.to_vec())).send().await;
    if let Some(all) = all.of_present(cloud, CALL)? {
        return Ok(all.file_systems.unwrap_or_default());
    }
    let mut found = Vec::new();
    for id in ids.iter().filter(|_| ids.len() > 1) {
        let one = fsx.describe_file_systems().file_system_ids(id).send().await.of_present(cloud, CALL)?;
        found.extend(one.and_then(|one| one.file_systems).unwrap_or_default());
    }
    Ok(found)
}

/// Of security groups and of a key that nobody named FSx does not tell.
fn seen(there: FileSystem) -> Option<Observed> {
    let readiness = readiness(&there);
    let id = there.file_system_id?;
    let lustre = there.lustre_configuration;
    let lustre = lustre.as_ref();
    let number = |number: i32| u32::try_from(number).ok();
    let metadata = lustre.and_then(|lustre| lustre.metadata_configuration()).and_then(|metadata| match metadata.mode() {
        Some(sdk::MetadataConfigurationMode::UserProvisioned) => metadata.iops().and_then(number).map(Metadata::Iops),
        Some(_) => Some(Metadata::Automatic),
        None => None,
    });
    let compressed = lustre.and_then(|lustre| lustre.data_compression_type()) == Some(&sdk::DataCompressionType::Lz4);
    let days = lustre.and_then(|lustre| lustre.automatic_backup_retention_days()).unwrap_or_default();
    let seen = Seen::new(&id, pairs(there.tags))
        .known("subnet", there.subnet_ids.and_then(|subnets| subnets.into_iter().next()))
        .known("capacity_gib", there.storage_capacity.and_then(number))
        .known("deployment", lustre.and_then(|lustre| Deployment::from_sdk(lustre.deployment_type()?)))
        .field("throughput", lustre.and_then(|lustre| lustre.per_unit_storage_throughput()).and_then(number))
        .field("metadata", metadata)
        .field("efa", lustre.and_then(|lustre| lustre.efa_enabled()).unwrap_or_default())
        .field("compress", compressed)
        .known("lustre", there.file_system_type_version)
        .field("backup_days", days)
        .output("id", &id)
        .gives("arn", there.resource_arn)
        .gives("dns_name", there.dns_name)
        .gives("mount_name", lustre.and_then(|lustre| lustre.mount_name()));
    Some(seen.readiness(readiness).done())
}

/// The changes that FSx is making.
fn actions(there: &FileSystem) -> impl Iterator<Item = &sdk::AdministrativeAction> {
    there.administrative_actions().iter().filter(|action| {
        let update = action.administrative_action_type() == Some(&AdministrativeActionType::FileSystemUpdate);
        update && matches!(action.status(), Some(Status::Pending | Status::InProgress))
    })
}

/// The file system once FSx has made the changes that it was asked for: a request that is repeated asks for nothing twice.
fn as_it_will_be(there: &FileSystem) -> FileSystem {
    let mut will_be = there.clone();
    for target in actions(there).filter_map(|action| action.target_file_system_values()) {
        will_be.storage_capacity = target.storage_capacity.or(will_be.storage_capacity);
        let version = target.file_system_type_version.clone();
        will_be.file_system_type_version = version.or(will_be.file_system_type_version);
        if let (Some(lustre), Some(target)) = (&mut will_be.lustre_configuration, target.lustre_configuration.clone()) {
            lustre.per_unit_storage_throughput =
                target.per_unit_storage_throughput.or(lustre.per_unit_storage_throughput);
            lustre.automatic_backup_retention_days =
                target.automatic_backup_retention_days.or(lustre.automatic_backup_retention_days);
            lustre.data_compression_type = target.data_compression_type.or(lustre.data_compression_type.take());
            lustre.metadata_configuration = target.metadata_configuration.or(lustre.metadata_configuration.take());
        }
    }
    will_be
}

/// The change that FSx is making, if any, and how far it is.
fn under_way(there: &FileSystem) -> Option<String> {
    let action = actions(there).next()?;
    Some(match action.progress_percent() {
        Some(percent) => format!("the file system is being changed, {percent} %"),
        None => "the file system is being changed".to_owned(),
    })
}

fn readiness(there: &FileSystem) -> Readiness {
    let failure = there.failure_details().and_then(|details| details.message());
    let told = |otherwise: &str| failure.unwrap_or(otherwise).trim().to_owned();
    match there.lifecycle() {
        Some(FileSystemLifecycle::Available) => under_way(there).map_or(Readiness::Ready, Readiness::Waiting),
        Some(FileSystemLifecycle::Failed) => Readiness::Failed(told("FSx gives no reason")),
        Some(FileSystemLifecycle::Creating) | None => {
            Readiness::Waiting("the file system is being made".to_owned())
        }
        Some(FileSystemLifecycle::Updating) => {
            Readiness::Waiting(under_way(there).unwrap_or_else(|| "the file system is being changed".to_owned()))
        }
        Some(FileSystemLifecycle::Deleting) => Readiness::Waiting("the file system is being deleted".to_owned()),
        // "In a failed but recoverable state": what is in it is there.
        Some(FileSystemLifecycle::Misconfigured) => Readiness::Waiting(told("the file system is misconfigured")),
        Some(other) => Readiness::Waiting(format!("the file system is {other}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn spec() -> Spec {
        serde_json::from_value(json!({
            "subnet": "subnet-a", "security_groups": ["sg-a"], "capacity_gib": 4800, "deployment": "persistent-2",
            "throughput": 1000, "metadata": "automatic", "efa": true, "compress": true,
        }))
        .unwrap()
    }

    fn there() -> sdk::builders::FileSystemBuilder {
        let automatic = sdk::MetadataConfigurationMode::Automatic;
        let metadata = sdk::FileSystemLustreMetadataConfiguration::builder().mode(automatic).iops(6000).build();
        let lustre = sdk::LustreFileSystemConfiguration::builder()
            .deployment_type(sdk::LustreDeploymentType::Persistent2)
            .per_unit_storage_throughput(1000)
            .mount_name("abcd")
            .efa_enabled(true)
            .data_compression_type(sdk::DataCompressionType::Lz4)
            .metadata_configuration(metadata);
        FileSystem::builder()
            .file_system_id("fs-1")
            .resource_arn("arn:aws:fsx:us-west-2:1:file-system/fs-1")
            .dns_name("fs-1.fsx.us-west-2.amazonaws.com")
            .subnet_ids("subnet-a")
            .storage_capacity(4800)
            .file_system_type_version("2.15")
            .lustre_configuration(lustre.build())
            .lifecycle(FileSystemLifecycle::Available)
    }

    #[test]
    fn what_is_read_is_what_was_asked_for() {
        let observed = seen(there().build()).unwrap();
        let asked = serde_json::to_value(spec()).unwrap();
        for (field, value) in &observed.spec {
            assert_eq!(*value, asked[field], "{field}");
        }
        let unread = ["kms_key", "security_groups"];
        let all: BTreeSet<&str> = observed.spec.keys().map(String::as_str).chain(unread).collect();
        assert_eq!(all, asked.as_object().unwrap().keys().map(String::as_str).collect());
        let outputs: BTreeSet<_> = observed.outputs.keys().map(String::as_str).collect();
        assert_eq!(outputs, Spec::OUTPUTS.iter().copied().collect());
        assert_eq!(spec().changes(&there().build()), None);
    }

    #[test]
    fn only_what_differs_is_asked_for() {
        let mut after = spec();
        after.capacity_gib = 9600;
        after.metadata = Some(Metadata::Iops(12_000));
        let asked = Changes { capacity: Some(9600), metadata: after.metadata, ..Changes::default() };
        assert_eq!(after.changes(&there().build()), Some(asked));
        let target = FileSystem::builder().storage_capacity(9600).build();
        let update = sdk::AdministrativeAction::builder().status(Status::Pending).target_file_system_values(target);
        let update = update.administrative_action_type(AdministrativeActionType::FileSystemUpdate).build();
        let asked = Changes { metadata: after.metadata, ..Changes::default() };
        assert_eq!(after.changes(&as_it_will_be(&there().administrative_actions(update).build())), Some(asked));
    }

    #[test]
    fn a_change_counts_once_what_it_brings_can_be_used() {
        let action = |status| {
            let update = sdk::AdministrativeAction::builder();
            let update = update.administrative_action_type(AdministrativeActionType::FileSystemUpdate).status(status);
            there().administrative_actions(update.progress_percent(10).build()).build()
        };
        let waits = Readiness::Waiting("the file system is being changed, 10 %".to_owned());
        assert_eq!(readiness(&action(Status::InProgress)), waits);
        assert_eq!(readiness(&action(Status::UpdatedOptimizing)), Readiness::Ready);
        assert_eq!(readiness(&action(Status::Completed)), Readiness::Ready);
    }

    #[test]
    fn failures_are_told_in_the_words_of_aws() {
        let why = "The file system cannot be created because the default security group in the subnet provided or the \
                   provided security groups do not permit Lustre LNET network traffic on port 988";
        let details = sdk::FileSystemFailureDetails::builder().message(why).build();
        let failed = there().lifecycle(FileSystemLifecycle::Failed).failure_details(details).build();
        assert_eq!(readiness(&failed), Readiness::Failed(why.to_owned()));
    }
}
