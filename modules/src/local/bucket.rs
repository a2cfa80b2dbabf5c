//! `local.bucket`: a directory that stands for an S3 bucket, with create-only and compare-and-swap writes (the agent's
//! `bucket::directory`).

use super::Local;
use super::place::{Place, Record, present};
use forge_engine::address::Deployment;
use forge_engine::kind::{Effect, Kind, KindError, Observed, OnIdentifier, Readiness, Tags};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::path::{Path, PathBuf};

/// Nothing can be chosen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spec {}

/// See the module.
#[derive(Debug)]
pub struct Bucket {
    place: Place,
}

impl Bucket {
    /// The kind on this machine.
    #[must_use]
    pub fn new(local: &Local) -> Self {
        Self { place: Place::new(&local.root, "buckets") }
    }

    fn observe(path: &Path) -> Result<Option<Observed>, KindError> {
        let record = Place::read::<Spec>(path)?;
        Ok(record.map(|record| {
            let text = path.display().to_string();
            Observed {
                id: text.clone(),
                outputs: [
                    ("id".to_owned(), json!(text)),
                    ("path".to_owned(), json!(text)),
                    ("url".to_owned(), json!(format!("file://{text}"))),
                ]
                .into(),
                spec: [].into(),
                readiness: Readiness::Ready,
                tags: Some(record.tags),
            }
        }))
    }
}

impl Kind for Bucket {
    type Spec = Spec;
    const NAME: &'static str = "local.bucket";
    const OUTPUTS: &'static [&'static str] = &["id", "path", "url"];
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
