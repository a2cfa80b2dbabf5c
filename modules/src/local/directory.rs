//! `local.directory`: a directory that stands for a shared file system such as FSx for Lustre.

use super::Local;
use super::place::{Place, Record, present};
use forge_engine::address::Deployment;
use forge_engine::kind::{Effect, Kind, KindError, Observed, OnIdentifier, Readiness, Tags};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::path::{Path, PathBuf};

/// What can be chosen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Size in GiB of the file system that this stands for; nothing enforces it here.
    pub capacity_gib: u64,
}

/// See the module.
#[derive(Debug)]
pub struct Directory {
    place: Place,
}

impl Directory {
    /// The kind on this machine.
    #[must_use]
    pub fn new(local: &Local) -> Self {
        Self { place: Place::new(&local.root, "directories") }
    }

    fn observe(path: &Path) -> Result<Option<Observed>, KindError> {
        let record = Place::read::<Spec>(path)?;
        Ok(record.map(|record| {
            let text = path.display().to_string();
            Observed {
                id: text.clone(),
                outputs: [("id".to_owned(), json!(text)), ("path".to_owned(), json!(text))].into(),
                spec: [("capacity_gib".to_owned(), json!(record.spec.capacity_gib))].into(),
                readiness: Readiness::Ready,
                tags: Some(record.tags),
            }
        }))
    }
}

impl Kind for Directory {
    type Spec = Spec;
    const NAME: &'static str = "local.directory";
    const OUTPUTS: &'static [&'static str] = &["id", "path"];
    const HOLDS_DATA: bool = true;

    fn effect(&self, _field: &str, _before: &Spec, _after: &Spec) -> Effect {
        Effect::InPlace
    }

    async fn read(&self, id: &str) -> Result<Option<Observed>, KindError> {
        Self::observe(Path::new(id))
    }

    async fn create(&self, spec: &Spec, tags: &Tags, on_identifier: OnIdentifier<'_>) -> Result<Observed, KindError> {
        let path = self.place.create(&Record { tags: tags.clone(), spec: spec.clone() }, |_| Ok(()))?;
        on_identifier(&path.display().to_string());
        present(Self::observe(&path)?, &path)
    }

    async fn update(&self, id: &str, _before: Option<&Spec>, spec: &Spec, tags: &Tags) -> Result<Observed, KindError> {
        let path = PathBuf::from(id);
        Place::rewrite(&path, &Record { tags: tags.clone(), spec: spec.clone() })?;
        present(Self::observe(&path)?, &path)
    }

    async fn delete(&self, id: &str) -> Result<(), KindError> {
        self.place.delete(Path::new(id))
    }

    async fn list(&self, deployment: &Deployment) -> Result<Vec<Observed>, KindError> {
        let paths = self.place.list(deployment)?;
        paths.iter().filter_map(|path| Self::observe(path).transpose()).collect()
    }
}
