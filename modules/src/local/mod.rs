//! Target `local`: this machine, nothing to install.
//!
//! Every resource is a directory below the deployment's own, named by kind and address. It appears complete, by a rename,
//! with its tags in `.forge/resource.json`, and those go last when it is deleted; so a crash at any moment leaves it
//! either absent, or present and found by its tags.

mod bucket;
mod directory;
mod fleet;
mod place;

pub use bucket::Bucket;
pub use directory::Directory;
pub use fleet::Fleet;

use forge_engine::kind::Kinds;
use std::ffi::OsString;
use std::path::PathBuf;

/// What the kinds of this target need to know.
#[derive(Debug, Clone)]
pub struct Local {
    /// The deployment's own directory; need not exist yet.
    pub root: PathBuf,
    /// Program and first arguments that lead to the agent's command line.
    pub agent: Vec<OsString>,
}

/// The kinds of this target.
#[must_use]
pub fn kinds(local: &Local) -> Kinds {
    Kinds::default().with(Bucket::new(local)).with(Directory::new(local)).with(Fleet::new(local))
}
