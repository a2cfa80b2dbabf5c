//! Where a deployment's files and its state are.
//!
//! What runs here on target `local` always lies in `.forge/<name>` beside the blueprint. The state does too, with a lock
//! of the operating system, unless the blueprint names a bucket, a directory that is shared or one of S3: then journal and lease lie there, below the
//! deployment's name.

use crate::failure::Failure;
use forge_engine::bucket::{Bucket, directory::Directory};
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The directory of a deployment's own files, as which it can be used, and where its state is.
#[derive(Debug, Clone)]
pub(crate) struct Home {
    directory: PathBuf,
    deployment: String,
    state: Option<String>,
}

impl Deref for Home {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.directory
    }
}

impl Home {
    /// `state` is the address of a bucket.
    pub(crate) fn new(directory: PathBuf, deployment: &str, state: Option<&str>) -> Self {
        Self { directory, deployment: deployment.to_owned(), state: state.map(str::to_owned) }
    }

    /// The deployment's part of the bucket that holds its state; none when the state lies in the directory.
    pub(crate) fn bucket(&self) -> Result<Option<Arc<dyn Bucket>>, Failure> {
        let Some(address) = &self.state else { return Ok(None) };
        if let Some(place) = address.strip_prefix("s3://") {
            return s3(place, &self.deployment).map(Some);
        }
        let path = address.strip_prefix("file://").filter(|path| path.starts_with('/')).ok_or_else(|| {
            Failure::new(format!("this forge cannot keep state in {address}")).help("Use the forge that put it up.")
        })?;
        let path = Path::new(path);
        if !path.is_dir() {
            let what = format!("the state lies in {address}, and there is no such directory");
            return Err(Failure::new(what).help("Mount it, or make it if nothing has been put up with it yet."));
        }
        Ok(Some(Arc::new(Directory::new(&path.join(&self.deployment)))))
    }
}

/// The part of an S3 bucket that is a deployment's: `name[/prefix][?region=…]`.
#[cfg(feature = "aws")]
fn s3(place: &str, deployment: &str) -> Result<Arc<dyn Bucket>, Failure> {
    use forge_modules::aws::{Cloud, bucket::S3Bucket};
    let (place, region) = match place.split_once("?region=") {
        Some((place, region)) => (place, Some(region)),
        None => (place, None),
    };
    let (name, prefix) = place.split_once('/').unwrap_or((place, ""));
    let prefix = format!("{}/{deployment}", prefix.trim_matches('/'));
    Ok(Arc::new(S3Bucket::new(Cloud::new(region), name, &prefix)?))
}

#[cfg(not(feature = "aws"))]
fn s3(_place: &str, _deployment: &str) -> Result<Arc<dyn Bucket>, Failure> {
    Err(Failure::new("this forge was built without AWS, so it cannot keep state in S3")
        .help("Build it with `cargo build --release`."))
}
