//! Where a deployment's files and its state are.
//!
//! What runs here on target `local` always lies in `.forge/<name>` beside the blueprint. The state does too, with a lock
//! of the operating system, unless the blueprint names a bucket: then journal and lease lie there, below the deployment's
//! name.

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
