//! A tagged directory: what every resource of this target is, and [`Tagged`], the kinds that are nothing more.

use super::Local;
use forge_engine::address::Deployment;
use forge_engine::kind::{Effect, Hourly, Kind, KindError, Observed, OnIdentifier, Readiness, Tags};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use std::fs;
use std::io::{self, ErrorKind, Write};
use std::marker::PhantomData;
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
        let (path, made) = self.choose(&record.tags)?;
        if made {
            return Ok(path);
        }
        let draft = self.root.join(format!(".new-{}", record.tags.address));
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

    /// The directory of what `tags` name, and whether it is there already. It goes by the address: `data.bucket`, or
    /// `data.bucket-2` where one that was made under that address and has moved since keeps its name. No address ends like
    /// that.
    fn choose(&self, tags: &Tags) -> Result<(PathBuf, bool), KindError> {
        let mut free = None;
        for n in 1.. {
            let name = if n == 1 { tags.address.to_string() } else { format!("{}-{n}", tags.address) };
            let path = self.root.join(name);
            let there = path.exists();
            match Self::read::<serde_json::Value>(&path)? {
                Some(existing) if existing.tags == *tags => return Ok((path, true)),
                Some(_) => {}
                None => free = free.or(Some(path)),
            }
            if !there {
                break;
            }
        }
        free.map(|path| (path, false))
            .ok_or_else(|| KindError::terminal(format!("no name is left for {}", tags.address)))
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

/// A specification whose resource is a tagged directory and nothing more.
pub trait Folder: Serialize + DeserializeOwned + JsonSchema + Clone + Send + Sync + 'static {
    /// The kind's name.
    const NAME: &'static str;
    /// The directory of all resources of the kind.
    const PLURAL: &'static str;
    /// The kind's outputs.
    const OUTPUTS: &'static [&'static str];

    /// An output of the resource at a path; one of [`Self::OUTPUTS`].
    fn output(name: &str, path: &str) -> Json;
}

/// A kind whose resources are tagged directories that hold a user's data.
#[derive(Debug)]
pub struct Tagged<S> {
    place: Place,
    spec: PhantomData<fn() -> S>,
}

impl<S: Folder> Tagged<S> {
    /// The kind on this machine.
    #[must_use]
    pub fn new(local: &Local) -> Self {
        Self { place: Place::new(&local.root, S::PLURAL), spec: PhantomData }
    }

    fn observe(path: &Path) -> Result<Option<Observed>, KindError> {
        let Some(record) = Place::read::<S>(path)? else { return Ok(None) };
        let id = path.display().to_string();
        let spec = serde_json::to_value(&record.spec)
            .map_err(|error| KindError::caused("the specification cannot be shown", error))?;
        Ok(Some(Observed {
            outputs: S::OUTPUTS.iter().map(|name| ((*name).to_owned(), S::output(name, &id))).collect(),
            id,
            spec: spec.as_object().cloned().unwrap_or_default().into_iter().collect(),
            readiness: Readiness::Ready,
            tags: Some(record.tags),
        }))
    }
}

impl<S: Folder> Kind for Tagged<S> {
    type Spec = S;
    const NAME: &'static str = S::NAME;
    const OUTPUTS: &'static [&'static str] = S::OUTPUTS;
    const HOLDS_DATA: bool = true;

    /// This machine is there anyway.
    fn hourly(&self, _spec: &S) -> Option<Hourly> {
        Some(Hourly(0.0))
    }

    fn effect(&self, _field: &str, _before: &S, _after: &S) -> Effect {
        Effect::InPlace
    }

    async fn read(&self, id: &str) -> Result<Option<Observed>, KindError> {
        Self::observe(Path::new(id))
    }

    async fn create(&self, spec: &S, tags: &Tags, on_identifier: OnIdentifier<'_>) -> Result<Observed, KindError> {
        let path = self.place.create(&Record { tags: tags.clone(), spec: spec.clone() }, |_| Ok(()))?;
        on_identifier(&path.display().to_string());
        present(Self::observe(&path)?, &path)
    }

    async fn update(&self, id: &str, _before: Option<&S>, spec: &S, tags: &Tags) -> Result<Observed, KindError> {
        let path = Path::new(id);
        Place::rewrite(path, &Record { tags: tags.clone(), spec: spec.clone() })?;
        present(Self::observe(path)?, path)
    }

    async fn delete(&self, id: &str) -> Result<(), KindError> {
        self.place.delete(Path::new(id))
    }

    async fn list(&self, deployment: &Deployment) -> Result<Vec<Observed>, KindError> {
        let paths = self.place.list(deployment)?;
        paths.iter().filter_map(|path| Self::observe(path).transpose()).collect()
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

#[cfg(test)]
mod tests {
    use super::*;
    use forge_engine::address::{Address, OperationId};

    fn record(address: &str, operation: &str) -> Record<()> {
        let deployment = Deployment("desk".to_owned());
        let tags = Tags { deployment, address: Address::new(address), operation: OperationId(operation.to_owned()) };
        Record { tags, spec: () }
    }

    #[test]
    fn what_comes_to_an_address_does_not_take_the_place_of_what_moved_away() {
        let root = tempfile::tempdir().unwrap();
        let place = Place::new(root.path(), "buckets");
        let name = |path: PathBuf| path.file_name().unwrap().to_string_lossy().into_owned();
        let first = place.create(&record("data.bucket", "1"), |_| Ok(())).unwrap();
        Place::rewrite(&first, &record("store.bucket", "1")).unwrap();
        let create = |operation: &str| name(place.create(&record("data.bucket", operation), |_| Ok(())).unwrap());
        assert_eq!(create("2"), "data.bucket-2");
        // Repeated, it is the same one; another operation makes another.
        assert_eq!(create("2"), "data.bucket-2");
        assert_eq!(create("3"), "data.bucket-3");
        place.delete(&first).unwrap();
        assert_eq!(create("4"), "data.bucket");
    }
}
