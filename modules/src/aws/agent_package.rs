//! `aws.agent_package`: the agent's program in a bucket, for nodes to fetch when they start (S3 PutObject).
//!
//! Its key holds the digest of what it is, so it is never overwritten: another program is another package, made before the
//! old one goes. S3 itself compares what it receives with the digest. The identifier is `bucket/key`.

use super::cloud::Cloud;
use super::error::Answer;
use super::resource::{Resource, in_order, shown};
use crate::agent_binary;
use crate::instance_types::Architecture;
use crate::planned::{FREE, Planned};
use aws_sdk_s3::operation::head_object::HeadObjectOutput;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::ChecksumMode;
use forge_engine::address::Deployment;
use forge_engine::kind as engine;
use forge_engine::kind::{Effect, Hourly, KindError, Observed, OnIdentifier, Readiness, Recovery, Typical};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::BTreeMap;
use std::path::Path;

/// The metadata of the object that says for which processors it is.
const ARCHITECTURE: &str = "architecture";

/// What can be chosen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Name of the bucket.
    pub bucket: String,
    /// What its key begins with; `gpus/` keeps it apart from those of other nodes.
    #[serde(default)]
    pub prefix: String,
    /// The architecture of the nodes.
    #[schemars(with = "String")]
    pub architecture: Architecture,
    /// Its digest: SHA-256, 64 digits.
    #[schemars(regex(pattern = "^[0-9a-f]{64}$"))]
    pub sha256: String,
}

impl Planned for Spec {
    const NAME: &'static str = "aws.agent_package";
    const OUTPUTS: &'static [&'static str] = &["url"];
    const SERVICE: &'static str = "s3";
    /// Estimate: some tens of megabytes from where forge runs.
    const TYPICAL: Typical = Typical::seconds(10, 1, 1);

    fn effect(_field: &str, _before: &Self, _after: &Self) -> Effect {
        Effect::ReplaceCreateFirst
    }

    fn hourly(&self, _region: Option<&str>) -> Option<Hourly> {
        FREE
    }
}

impl Resource for Spec {
    const RECOVERY: Recovery = Recovery::Identity;
    const ACTIONS: &'static [&'static str] = &["s3:PutObject", "s3:GetObject", "s3:DeleteObject", "s3:ListBucket"];

    async fn read_many(cloud: &Cloud, ids: &[String]) -> Result<Vec<Option<Observed>>, KindError> {
        let mut found = Vec::new();
        for id in ids {
            let Some((bucket, key)) = id.split_once('/') else { continue };
            let call = cloud.s3().await.head_object().bucket(bucket).key(key).checksum_mode(ChecksumMode::Enabled);
            // HeadObject is allowed by the permission to read; without that to list, what is not there is forbidden.
            if let Some(head) = call.send().await.of_present(cloud, "s3:GetObject")? {
                found.extend(seen(id, &head));
            }
        }
        Ok(in_order(ids, found))
    }

    fn identity(&self) -> Option<String> {
        Some(self.id())
    }

    async fn create(&self, cloud: &Cloud, _tags: &engine::Tags, on_identifier: OnIdentifier<'_>) -> Result<Observed, KindError> {
        let path = agent_binary::find(self.architecture).ok_or_else(|| absent(self.architecture))?;
        let body = ByteStream::from_path(&path).await.map_err(|error| unreadable(&path, error))?;
        let digest = base64_of_hex(&self.sha256)
            .ok_or_else(|| KindError::terminal(format!("{} is no SHA-256 in hexadecimal", self.sha256)))?;
        let id = self.id();
        let call = cloud.s3().await.put_object().bucket(&self.bucket).key(self.key()).body(body);
        let call = call.if_none_match("*").checksum_sha256(digest).metadata(ARCHITECTURE, self.architecture.name());
        // Somebody was here before: a creation of which nobody saw the end. The key says that it is the same.
        let sent = call.send().await.unless(&["PreconditionFailed"], cloud, "s3:PutObject");
        sent.map_err(|refused| changed(&path, refused))?;
        on_identifier(&id);
        shown(&id, Self::read_many(cloud, std::slice::from_ref(&id)).await?)
    }

    /// It has no tags and nothing else that could change.
    async fn update(&self, cloud: &Cloud, id: &str, _before: Option<&Self>, _tags: &engine::Tags) -> Result<Observed, KindError> {
        shown(id, Self::read_many(cloud, &[id.to_owned()]).await?)
    }

    async fn delete(cloud: &Cloud, id: &str) -> Result<(), KindError> {
        let Some((bucket, key)) = id.split_once('/') else { return Ok(()) };
        let gone = cloud.s3().await.delete_object().bucket(bucket).key(key).send().await;
        gone.of_present(cloud, "s3:DeleteObject").map(|_| ())
    }

    /// Nothing carries a tag: packages are found by their identity, and lie in a bucket that does.
    async fn list(_cloud: &Cloud, _deployment: &Deployment) -> Result<Vec<Observed>, KindError> {
        Ok(Vec::new())
    }
}

impl Spec {
    fn key(&self) -> String {
        format!("{}agent/{}/forge-agent", self.prefix, self.sha256)
    }

    /// The identifier, which follows from what can be chosen.
    #[must_use]
    pub fn id(&self) -> String {
        format!("{}/{}", self.bucket, self.key())
    }
}

/// A package as it is; none when its name is not one of ours.
fn seen(id: &str, head: &HeadObjectOutput) -> Option<Observed> {
    let (bucket, key) = id.split_once('/')?;
    let (named, sha256) = key.strip_suffix("/forge-agent")?.rsplit_once('/')?;
    let prefix = named.strip_suffix("agent")?;
    // S3 has checked it when it was written; what somebody else has put there since has another.
    let real = head.checksum_sha256().is_none_or(|found| base64_of_hex(sha256).as_deref() == Some(found));
    let readiness = match real {
        true => Readiness::Ready,
        false => Readiness::Failed(format!("s3://{id} is not the program that its name says: delete it")),
    };
    let mut spec = BTreeMap::from([
        ("bucket".to_owned(), json!(bucket)),
        ("prefix".to_owned(), json!(prefix)),
        ("sha256".to_owned(), json!(sha256)),
    ]);
    if let Some(architecture) = head.metadata().and_then(|metadata| metadata.get(ARCHITECTURE)) {
        spec.insert("architecture".to_owned(), json!(architecture));
    }
    let outputs = BTreeMap::from([("url".to_owned(), json!(format!("s3://{id}")))]);
    Some(Observed { id: id.to_owned(), outputs, spec, readiness, tags: None })
}

fn absent(architecture: Architecture) -> KindError {
    let name = architecture.name();
    let message = format!("there is no forge-agent for {name} beside this forge");
    let variable = agent_binary::variable(architecture);
    KindError::terminal(message).help(format!(
        "Build it with `cargo build --release -p forge-agent`, for {name}, and lay it beside forge as forge-agent-{name}, or say in {variable} where it is."
    ))
}

fn unreadable(path: &Path, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> KindError {
    KindError::caused(format!("{} cannot be read", path.display()), error)
}

/// S3 refuses what has another digest than was planned.
fn changed(path: &Path, refused: KindError) -> KindError {
    let other = ["BadDigest", "XAmzContentChecksumMismatch", "InvalidDigest"];
    if !other.iter().any(|code| refused.message.contains(code)) {
        return refused;
    }
    let message = format!("{} has changed since it was planned", path.display());
    KindError::caused(message, refused).help("Run the same command again: it plans with what is there now.")
}

/// A digest as S3 writes it.
fn base64_of_hex(hex: &str) -> Option<String> {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    if hex.len() != 64 || !hex.is_ascii() {
        return None;
    }
    let bytes = (0..32).map(|index| u8::from_str_radix(&hex[2 * index..2 * index + 2], 16).ok());
    let bytes: Vec<u8> = bytes.collect::<Option<_>>()?;
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let bits = three.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - three.len()));
        for place in 0..4 {
            let digit = (bits >> (18 - 6 * place) & 63) as usize;
            text.push(if place <= three.len() { char::from(DIGITS[digit]) } else { '=' });
        }
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHA256: &str = "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb";

    #[test]
    fn a_digest_is_written_as_s3_does() {
        assert_eq!(base64_of_hex(SHA256).as_deref(), Some("ypeBEsobvcr6wjGzmiPcTaeG7/gUfE5yuYB3ha/uSLs="));
        for wrong in ["", "ca97", &SHA256[1..], &format!("zz{}", &SHA256[2..]), &"é".repeat(32)] {
            assert_eq!(base64_of_hex(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn what_is_read_is_what_was_chosen() {
        let chosen = Spec {
            bucket: "b.c".to_owned(),
            prefix: "gpus/".to_owned(),
            architecture: Architecture::Arm,
            sha256: SHA256.to_owned(),
        };
        let head = |digest: Option<&str>| {
            let head = HeadObjectOutput::builder().metadata(ARCHITECTURE, "arm64");
            head.set_checksum_sha256(digest.map(str::to_owned)).build()
        };
        let right = base64_of_hex(SHA256);
        for digest in [None, right.as_deref()] {
            let observed = seen(&chosen.id(), &head(digest)).expect("it is one of ours");
            assert_eq!(json!(observed.spec), json!(chosen));
            assert_eq!(observed.outputs["url"], json!(format!("s3://b.c/gpus/agent/{SHA256}/forge-agent")));
            assert_eq!(observed.readiness, Readiness::Ready);
        }
        let other = seen(&chosen.id(), &head(Some("AAAA"))).expect("it is one of ours");
        assert!(matches!(other.readiness, Readiness::Failed(_)), "{other:?}");
        assert!(seen("b/other", &head(None)).is_none());
    }
}
