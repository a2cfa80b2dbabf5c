//! From a worker's finished directory to durable shards.

use crate::bucket::{Bucket, BucketError, retry};
use crate::wire::{Generation, Rank, RunId, Shard, StepNumber, Upload, key};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long a store may be out of reach before an upload counts as failed. Training goes on meanwhile.
const BUDGET: Duration = Duration::from_secs(300);

/// Finished rank directories below a checkpoint directory: `step-<n>/rank-<r>`.
///
/// # Errors
/// When the directory cannot be read; its absence is an empty list.
pub fn finished(directory: &Path) -> io::Result<Vec<(StepNumber, Rank, PathBuf)>> {
    let mut found = Vec::new();
    for step in entries(directory)? {
        let Some(number) = number_after(&step, "step-") else { continue };
        for rank in entries(&step)? {
            if let Some(rank_number) = number_after(&rank, "rank-").and_then(|rank| Rank::try_from(rank).ok()) {
                found.push((number, rank_number, rank));
            }
        }
    }
    found.sort();
    Ok(found)
}

fn entries(directory: &Path) -> io::Result<Vec<PathBuf>> {
    match std::fs::read_dir(directory) {
        Ok(entries) => entries.map(|entry| entry.map(|entry| entry.path())).collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

fn number_after(path: &Path, prefix: &str) -> Option<u64> {
    path.file_name()?.to_str()?.strip_prefix(prefix)?.parse().ok()
}

/// Every regular file below a directory, by relative path, in order.
///
/// # Errors
/// When a directory cannot be read, or a name is not UTF-8.
pub fn files(directory: &Path) -> io::Result<Vec<String>> {
    let mut found = Vec::new();
    let mut pending = vec![directory.to_owned()];
    while let Some(next) = pending.pop() {
        for entry in std::fs::read_dir(&next)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                pending.push(entry.path());
                continue;
            }
            let path = entry.path();
            let relative = path.strip_prefix(directory).ok().and_then(Path::to_str);
            let relative =
                relative.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, format!("{path:?} is not UTF-8")))?;
            found.push(relative.to_owned());
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// Uploads the files of one finished rank directory.
///
/// # Errors
/// When a file cannot be read or the store stays out of reach.
pub async fn upload(
    bucket: &dyn Bucket,
    run: &RunId,
    generation: Generation,
    (step, rank, directory): (StepNumber, Rank, PathBuf),
) -> Result<Upload, BucketError> {
    let listed = files(&directory).map_err(|source| BucketError::Io {
        key: directory.display().to_string(),
        doing: "listing the shards of a worker",
        source,
    })?;
    let mut shards = Vec::with_capacity(listed.len());
    for path in listed {
        let key = key::shard(run, step, generation, rank, &path);
        let file = directory.join(&path);
        let digest = retry(BUDGET, || bucket.put_file(&key, file.clone())).await?;
        shards.push(Shard { rank, path, key, bytes: digest.bytes, sha256: digest.sha256 });
    }
    Ok(Upload { step, rank, shards })
}
