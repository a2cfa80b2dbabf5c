//! A tagged directory: what every resource of this target is.

use forge_engine::address::Deployment;
use forge_engine::kind::{KindError, Observed, Tags};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::fs;
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

const PRIVATE: &str = ".forge";
const RECORD: &str = "resource.json";

/// What is written with a resource.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Record<S> {
    /// Whose it is.
    pub(super) tags: Tags,
    /// What was asked for.
    pub(super) spec: S,
}

/// Where the resources of one kind are.
#[derive(Debug, Clone)]
pub(super) struct Place {
    root: PathBuf,
}

fn failed(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> KindError {
    let path = path.display().to_string();
    move |error| KindError::caused(format!("{what} {path}"), error)
}

impl Place {
    pub(super) fn new(root: &Path, plural: &str) -> Self {
        Self { root: root.join(plural) }
    }

    /// Makes the directory of a resource, complete or not at all. `fill` may put more into it first. One that is there
    /// already, from the same operation, is returned as it is.
    pub(super) fn create<S: Serialize>(
        &self,
        record: &Record<S>,
        fill: impl FnOnce(&Path) -> io::Result<()>,
    ) -> Result<PathBuf, KindError> {
        let name = record.tags.address.as_str();
        let (path, draft) = (self.root.join(name), self.root.join(format!(".new-{name}")));
        if let Some(existing) = Self::read::<serde_json::Value>(&path)? {
            if existing.tags == record.tags {
                return Ok(path);
            }
            let whose = format!("{} by {}", existing.tags.deployment, existing.tags.operation);
            return Err(KindError::terminal(format!("{} exists already, made for {whose}", path.display())));
        }
        let build = || {
            let builder = &mut fs::DirBuilder::new();
            builder.recursive(true).mode(0o700);
            remove_all(&draft)?;
            // Without a record it is what a deletion that was cut off has left.
            remove_all(&path)?;
            builder.create(draft.join(PRIVATE))?;
            write_durably(&draft.join(PRIVATE).join(RECORD), record)?;
            fill(&draft)?;
            fs::rename(&draft, &path)?;
            fs::File::open(&self.root)?.sync_all()
        };
        build().map_err(failed("cannot make", &path))?;
        Ok(path)
    }

    /// Replaces the record of a resource.
    pub(super) fn rewrite<S: Serialize>(path: &Path, record: &Record<S>) -> Result<(), KindError> {
        write_durably(&path.join(PRIVATE).join(RECORD), record).map_err(failed("cannot change", path))
    }

    /// The record of the resource at a path; none when there is no such resource.
    pub(super) fn read<S: DeserializeOwned>(path: &Path) -> Result<Option<Record<S>>, KindError> {
        let file = path.join(PRIVATE).join(RECORD);
        match fs::read(&file) {
            Ok(text) => serde_json::from_slice(&text)
                .map(Some)
                .map_err(|error| KindError::caused(format!("{} cannot be understood", file.display()), error)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed("cannot read", &file)(error)),
        }
    }

    /// The resources that carry the deployment's tag.
    pub(super) fn list(&self, deployment: &Deployment) -> Result<Vec<PathBuf>, KindError> {
        let entries = match fs::read_dir(&self.root) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(failed("cannot list", &self.root)(error)),
        };
        let mut found = Vec::new();
        for entry in entries {
            let path = entry.map_err(failed("cannot list", &self.root))?.path();
            let draft = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b".new-"));
            let record = if draft { None } else { Self::read::<serde_json::Value>(&path)? };
            if record.is_some_and(|record| record.tags.deployment == *deployment) {
                found.push(path);
            }
        }
        found.sort();
        Ok(found)
    }

    /// Deletes the resource's content, then its record; calling again after a crash finishes the work.
    pub(super) fn delete(&self, path: &Path) -> Result<(), KindError> {
        let remove = || {
            let entries = match fs::read_dir(path) {
                Ok(entries) => entries,
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
                Err(error) => return Err(error),
            };
            for entry in entries {
                let entry = entry?;
                if entry.file_name() == PRIVATE {
                    continue;
                }
                if entry.file_type()?.is_dir() { remove_all(&entry.path())? } else { fs::remove_file(entry.path())? }
            }
            remove_all(path)?;
            // The kind's own directory goes with its last resource.
            let _ = fs::remove_dir(&self.root);
            Ok(())
        };
        remove().map_err(failed("cannot delete", path))
    }
}

fn remove_all(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// A resource that was written a moment ago must be there.
pub(super) fn present(observed: Option<Observed>, path: &Path) -> Result<Observed, KindError> {
    observed.ok_or_else(|| KindError::terminal(format!("{} vanished while it was made", path.display())))
}

pub(super) fn write_durably(path: &Path, document: &impl Serialize) -> io::Result<()> {
    let temporary = path.with_extension("new");
    let mut file = fs::File::create(&temporary)?;
    file.write_all(&serde_json::to_vec(document).map_err(io::Error::other)?)?;
    file.sync_all()?;
    fs::rename(&temporary, path)
}
