//! A worker's output on its way to the bucket.
//!
//! The worker appends to a file; this reads on from where it was and writes chunks named by the offset of their first byte.
//! The same chunk written twice is the same object, so nothing needs to be remembered across crashes.

use crate::bucket::{Bucket, BucketError, Condition};
use crate::wire::{Generation, Rank, RunId, key};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// How often new output is shipped: soon enough to follow, rare enough for a store that bills by the request.
const EVERY: Duration = Duration::from_millis(250);
/// Largest chunk.
const CHUNK: u64 = 1024 * 1024;
/// How long the output of a worker that has ended may wait for a store that is out of reach.
const FLUSH_WITHIN: Duration = Duration::from_secs(60);

/// Whose output.
#[derive(Debug, Clone)]
pub struct Source {
    /// The run.
    pub run: RunId,
    /// The formation.
    pub generation: Generation,
    /// The worker.
    pub rank: Rank,
    /// Where it is written.
    pub file: PathBuf,
}

/// Ships until the worker has ended and all its output is in the bucket. True when it all is.
pub async fn ship(bucket: Arc<dyn Bucket>, source: Source, mut ended: watch::Receiver<bool>) -> bool {
    let mut offset = 0;
    let mut give_up = None;
    loop {
        let over = *ended.borrow();
        match ship_new(&*bucket, &source, &mut offset).await {
            Ok(()) if over => return true,
            Ok(()) => {}
            Err(error) => tracing::warn!(%error, rank = source.rank, "output could not be shipped; trying again"),
        }
        let deadline = give_up.get_or_insert_with(|| tokio::time::Instant::now() + FLUSH_WITHIN);
        if !over {
            give_up = None;
        } else if tokio::time::Instant::now() > *deadline {
            return false;
        }
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            changed = ended.changed(), if !over => if changed.is_err() { return false },
        }
    }
}

async fn ship_new(bucket: &dyn Bucket, source: &Source, offset: &mut u64) -> Result<(), BucketError> {
    loop {
        let chunk = read_from(&source.file, *offset).map_err(|error| BucketError::Io {
            key: source.file.display().to_string(),
            doing: "reading a worker's output",
            source: error,
        })?;
        if chunk.is_empty() {
            return Ok(());
        }
        let length = chunk.len() as u64;
        let key = key::log(&source.run, source.generation, source.rank, *offset);
        bucket.put(&key, chunk, Condition::Always).await?;
        *offset += length;
    }
}

fn read_from(file: &Path, offset: u64) -> io::Result<Vec<u8>> {
    let mut file = std::fs::File::open(file)?;
    file.seek(SeekFrom::Start(offset))?;
    let mut chunk = Vec::new();
    file.take(CHUNK).read_to_end(&mut chunk)?;
    Ok(chunk)
}
