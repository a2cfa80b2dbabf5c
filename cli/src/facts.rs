//! What blueprints may ask for while they are expanded: instance types and the agent's program.
//!
//! Instance types come from forge's own catalogue. What it lacks is remembered; on target aws EC2 is then asked for all of
//! it at once, and the blueprint is expanded once more with the answer.

use forge_agent::bucket::directory::digest_file;
use forge_blueprints::Facts;
use forge_modules::agent_binary;
use forge_modules::instance_types::{Architecture, InstanceType};
use serde_json::Value as Json;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What is known.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// Types that EC2 has described.
    described: BTreeMap<String, InstanceType>,
    asked: Mutex<Asked>,
}

/// What has been asked for.
#[derive(Debug, Default)]
struct Asked {
    /// Types of which nothing is known.
    unknown: BTreeSet<String>,
    /// Digests, worked out once: a program is some tens of megabytes.
    digests: BTreeMap<Architecture, Option<String>>,
}

impl Known {
    /// The catalogue, and these types.
    pub(crate) fn with(described: Vec<InstanceType>) -> Self {
        let described = described.into_iter().map(|found| (found.name.clone(), found)).collect();
        Self { described, ..Self::default() }
    }

    /// The types that have been asked for and are not known.
    pub(crate) fn unknown(&self) -> Vec<String> {
        self.asked().unknown.iter().cloned().collect()
    }

    fn asked(&self) -> MutexGuard<'_, Asked> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Facts for Known {
    fn instance_type(&self, name: &str) -> Option<Json> {
        let known = InstanceType::find(name).or_else(|| self.described.get(name).cloned());
        if known.is_none() {
            self.asked().unknown.insert(name.to_owned());
        }
        known.map(|known| known.facts())
    }

    fn agent_digest(&self, architecture: &str) -> Option<String> {
        let architecture = Architecture::parse(architecture)?;
        // What cannot be read is as good as not there: both need the same done about them.
        let digest = || Some(digest_file(&agent_binary::find(architecture)?).ok()?.sha256);
        self.asked().digests.entry(architecture).or_insert_with(digest).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_and_not_known_is_remembered() {
        let known = Known::default();
        assert_eq!(known.instance_type("p5.48xlarge").map(|facts| facts["efa"].clone()), Some(32.into()));
        assert_eq!((known.instance_type("p9.48xlarge"), known.instance_type("a9.large")), (None, None));
        assert_eq!(known.unknown(), ["a9.large", "p9.48xlarge"]);
        let like = InstanceType::find("p5.48xlarge").expect("it is in the catalogue");
        let known = Known::with(vec![InstanceType { name: "p9.48xlarge".to_owned(), ..like }]);
        assert_eq!(known.instance_type("p9.48xlarge").map(|facts| facts["efa"].clone()), Some(32.into()));
        assert_eq!(known.unknown(), [""; 0]);
        assert_eq!(known.agent_digest("vax"), None);
    }
}
