//! The manifest: which files make up a checkpoint, and what they must digest to.

use crate::bucket::directory::hex;
use crate::bucket::{Bucket, BucketError, Condition, Documents};
use crate::wire::{Generation, Manifest, RunId, Shard, StepNumber, UnixMillis, VERSION, key};
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;

impl Manifest {
    /// A manifest over these shards, with its own digest.
    #[must_use]
    pub fn new(
        run: RunId,
        step: StepNumber,
        generation: Generation,
        world_size: u32,
        mut shards: Vec<Shard>,
        at: UnixMillis,
    ) -> Self {
        shards.sort();
        let mut manifest = Self { v: VERSION, run, step, generation, world_size, shards, at, digest: String::new() };
        manifest.digest = manifest.compute_digest();
        manifest
    }

    fn compute_digest(&self) -> String {
        let bare = Self { digest: String::new(), ..self.clone() };
        // A struct of strings and numbers always serialises; if it did not, the digest would match nothing.
        hex(&Sha256::digest(serde_json::to_vec(&bare).unwrap_or_default()))
    }

    /// True when the document is the one that was committed.
    #[must_use]
    pub fn is_intact(&self) -> bool {
        self.digest == self.compute_digest()
    }

    /// Bytes of all shards.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.shards.iter().map(|shard| shard.bytes).sum()
    }
}

/// Commits: after this, and only then, the checkpoint exists. True when this call did it, false when it had been
/// committed before.
///
/// # Errors
/// When the bucket fails; whether the commit happened is then not known, and calling again tells.
pub async fn commit(bucket: &dyn Bucket, manifest: &Manifest) -> Result<bool, BucketError> {
    match bucket.write(&key::manifest(&manifest.run, manifest.step), manifest, Condition::Absent).await {
        Ok(_) => Ok(true),
        Err(BucketError::Lost { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

/// The committed steps of a run.
///
/// # Errors
/// When the bucket fails.
pub async fn committed(bucket: &dyn Bucket, run: &RunId) -> Result<BTreeSet<StepNumber>, BucketError> {
    let keys = bucket.list(&key::checkpoints(run)).await?;
    Ok(keys.iter().filter_map(|key| key::step_of_manifest(key)).collect())
}

/// The manifest of a committed step, verified against its own digest.
///
/// # Errors
/// [`BucketError::Missing`] when the step is not committed, [`BucketError::Damaged`] when the manifest is not what was
/// written.
pub async fn load(bucket: &dyn Bucket, run: &RunId, step: StepNumber) -> Result<Manifest, BucketError> {
    let key = key::manifest(run, step);
    let Some((manifest, _)) = bucket.read::<Manifest>(&key).await? else {
        return Err(BucketError::Missing { key });
    };
    if manifest.is_intact() && manifest.step == step && manifest.run == *run {
        Ok(manifest)
    } else {
        Err(BucketError::Damaged { key, what: "its digest does not match its content".into() })
    }
}

/// Deletes a checkpoint: the manifest first, so that it is not offered while its shards go.
///
/// # Errors
/// When the bucket fails; calling again finishes the work.
pub async fn remove(bucket: &dyn Bucket, run: &RunId, step: StepNumber) -> Result<(), BucketError> {
    bucket.delete(&key::manifest(run, step)).await?;
    for key in bucket.list(&key::checkpoint(run, step)).await? {
        bucket.delete(&key).await?;
    }
    Ok(())
}
