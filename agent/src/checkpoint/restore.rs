//! From a committed checkpoint to files that a worker can load, every byte verified.

use super::manifest;
use crate::bucket::directory::digest_file;
use crate::bucket::{Bucket, BucketError, FileDigest, retry};
use crate::wire::{RunId, Shard, StepNumber};
use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

const BUDGET: Duration = Duration::from_secs(60);

/// What a restore did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Restored {
    /// Shards that a local copy served.
    pub local: usize,
    /// Shards that came from the bucket.
    pub fetched: usize,
}

/// Makes `target` hold exactly the checkpoint's files, as `rank-<r>/<path>`.
///
/// `local` are directories that may hold copies, as `step-<n>/rank-<r>/<path>`; a copy whose digest matches is hard-linked,
/// anything else is fetched. Nothing is at `target` until everything has been verified.
///
/// # Errors
/// [`BucketError::Damaged`] or [`BucketError::Missing`] when the checkpoint is not whole: fall back to an older one.
pub async fn restore(
    bucket: &dyn Bucket,
    run: &RunId,
    step: StepNumber,
    local: &[PathBuf],
    target: &Path,
) -> Result<Restored, BucketError> {
    let manifest = retry(BUDGET, || manifest::load(bucket, run, step)).await?;
    let io = |source| BucketError::Io {
        key: target.display().to_string(),
        doing: "writing the restored checkpoint",
        source,
    };
    let partial = target.with_extension("partial");
    remove_directory(&partial).map_err(io)?;
    remove_directory(target).map_err(io)?;
    for rank in 0..manifest.world_size {
        fs::create_dir_all(partial.join(format!("rank-{rank}"))).map_err(io)?;
    }
    let mut restored = Restored::default();
    for shard in &manifest.shards {
        let place = place_of(shard)?;
        let file = partial.join(&place);
        if let Some(parent) = file.parent() {
            fs::create_dir_all(parent).map_err(io)?;
        }
        let copies: Vec<_> =
            local.iter().map(|directory| directory.join(format!("step-{step}")).join(&place)).collect();
        if link_matching(shard, copies, &file).await {
            restored.local += 1;
            continue;
        }
        let digest = retry(BUDGET, || bucket.get_file(&shard.key, file.clone())).await?;
        if !matches(shard, &digest) {
            let what = format!(
                "{} bytes with SHA-256 {}, the manifest says {} bytes with {}",
                digest.bytes, digest.sha256, shard.bytes, shard.sha256
            );
            return Err(BucketError::Damaged { key: shard.key.clone(), what });
        }
        restored.fetched += 1;
    }
    fs::rename(&partial, target).map_err(io)?;
    Ok(restored)
}

fn matches(shard: &Shard, digest: &FileDigest) -> bool {
    digest.bytes == shard.bytes && digest.sha256 == shard.sha256
}

/// `rank-<r>/<path>`; a manifest cannot make a restore write outside its directory.
fn place_of(shard: &Shard) -> Result<PathBuf, BucketError> {
    let path = Path::new(&shard.path);
    if shard.path.is_empty() || path.components().any(|part| !matches!(part, Component::Normal(_))) {
        return Err(BucketError::Damaged { key: shard.key.clone(), what: format!("odd path {:?}", shard.path) });
    }
    Ok(Path::new(&format!("rank-{}", shard.rank)).join(path))
}

async fn link_matching(shard: &Shard, copies: Vec<PathBuf>, file: &Path) -> bool {
    let (shard, file) = (shard.clone(), file.to_owned());
    let linked = tokio::task::spawn_blocking(move || {
        copies.iter().any(|copy| {
            digest_file(copy).is_ok_and(|digest| matches(&shard, &digest)) && fs::hard_link(copy, &file).is_ok()
        })
    });
    linked.await.unwrap_or(false)
}

fn remove_directory(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bucket::directory::Directory;
    use crate::checkpoint::upload::{finished, upload};
    use crate::wire::{Manifest, key};

    struct Bench {
        root: tempfile::TempDir,
        bucket: Directory,
        run: RunId,
    }

    impl Bench {
        /// Two ranks wrote step 20; rank 1 a nested file as well; then it was committed.
        async fn committed() -> Self {
            let root = tempfile::tempdir().unwrap();
            fs::create_dir_all(root.path().join("bucket")).unwrap();
            let bench = Self { bucket: Directory::new(&root.path().join("bucket")), run: "train-1".into(), root };
            for (path, content) in [("rank-0/a", "zero"), ("rank-1/a", "one"), ("rank-1/deep/b", "")] {
                let file = bench.worker().join("step-20").join(path);
                fs::create_dir_all(file.parent().unwrap()).unwrap();
                fs::write(file, content).unwrap();
            }
            fs::create_dir_all(bench.worker().join("step-40/rank-0.tmp")).unwrap();
            let done = finished(&bench.worker()).unwrap();
            assert_eq!(done.len(), 2, "the unfinished rank-0.tmp is not among them");
            let mut shards = Vec::new();
            for rank in done {
                shards.extend(upload(&bench.bucket, &bench.run, 3, rank).await.unwrap().shards);
            }
            let manifest = Manifest::new(bench.run.clone(), 20, 3, 2, shards, 0);
            assert!(manifest::commit(&bench.bucket, &manifest).await.unwrap());
            assert!(!manifest::commit(&bench.bucket, &manifest).await.unwrap(), "once");
            bench
        }

        fn worker(&self) -> PathBuf {
            self.root.path().join("worker")
        }

        async fn restore(&self, local: &[PathBuf]) -> Result<Restored, BucketError> {
            restore(&self.bucket, &self.run, 20, local, &self.root.path().join("resume")).await
        }

        fn shard(&self, rank: u32) -> PathBuf {
            self.root.path().join("bucket").join(key::shard(&self.run, 20, 3, rank, "a"))
        }

        fn restored(&self, path: &str) -> String {
            fs::read_to_string(self.root.path().join("resume").join(path)).unwrap()
        }
    }

    #[tokio::test]
    async fn restores_from_the_bucket_and_from_matching_local_copies() {
        let bench = Bench::committed().await;
        assert_eq!(bench.restore(&[]).await.unwrap(), Restored { local: 0, fetched: 3 });
        assert_eq!((bench.restored("rank-0/a"), bench.restored("rank-1/deep/b")), ("zero".into(), String::new()));
        // A local copy that was changed is not used.
        fs::write(bench.worker().join("step-20/rank-0/a"), "ZERO").unwrap();
        let worker = [bench.worker()];
        assert_eq!(bench.restore(&worker).await.unwrap(), Restored { local: 2, fetched: 1 });
        assert_eq!(bench.restored("rank-0/a"), "zero");
    }

    #[tokio::test]
    async fn a_damaged_or_missing_shard_or_manifest_is_never_loaded() {
        let bench = Bench::committed().await;
        fs::write(bench.shard(0), "zerO").unwrap();
        assert!(matches!(bench.restore(&[]).await, Err(BucketError::Damaged { .. })));
        assert!(!bench.root.path().join("resume").exists());
        fs::remove_file(bench.shard(1)).unwrap();
        fs::write(bench.shard(0), "zero").unwrap();
        assert!(matches!(bench.restore(&[]).await, Err(BucketError::Missing { .. })));
        let manifest = bench.root.path().join("bucket").join(key::manifest(&bench.run, 20));
        let text = fs::read_to_string(&manifest).unwrap();
        fs::write(&manifest, text.replace("\"world_size\":2", "\"world_size\":1")).unwrap();
        assert!(matches!(bench.restore(&[]).await, Err(BucketError::Damaged { .. })));
    }

    #[tokio::test]
    async fn a_removed_checkpoint_leaves_nothing() {
        let bench = Bench::committed().await;
        assert_eq!(manifest::committed(&bench.bucket, &bench.run).await.unwrap().len(), 1);
        manifest::remove(&bench.bucket, &bench.run, 20).await.unwrap();
        assert!(manifest::committed(&bench.bucket, &bench.run).await.unwrap().is_empty());
        assert!(bench.bucket.list("").await.unwrap().is_empty());
    }
}
