//! The shape of a blueprint.

use crate::shape::{Findings, Place, identifier, label};
use forge_engine::diag::Diagnostic;
use std::collections::BTreeMap;

/// The keys of a blueprint, in the order in which people write them.
const KEYS: [&str; 9] = ["forge", "name", "target", "aws", "hosts", "local", "vars", "modules", "jobs"];

/// A module as a blueprint uses it.
#[derive(Debug)]
pub(crate) struct Used<'a> {
    pub(crate) place: Place<'a>,
    /// What `use:` says.
    pub(crate) use_name: &'a str,
    pub(crate) use_place: Place<'a>,
    pub(crate) with: BTreeMap<&'a str, Place<'a>>,
}

/// What a blueprint's shape gives.
#[derive(Debug, Default)]
pub(crate) struct Blueprint<'a> {
    pub(crate) name: Option<&'a str>,
    pub(crate) modules: BTreeMap<&'a str, Used<'a>>,
    /// Modules too broken to be used, so that references to them stay silent.
    pub(crate) broken: Vec<&'a str>,
    pub(crate) jobs: Vec<(&'a str, Place<'a>)>,
}

/// Reads a blueprint's shape.
pub(crate) fn read<'a>(root: &Place<'a>, out: &mut Findings) -> Blueprint<'a> {
    let mut blueprint = Blueprint::default();
    if !root.shape(&KEYS, out) {
        return blueprint;
    }
    version(root, out);
    blueprint.name = name(root, out);
    if let Some(modules) = root.get("modules").filter(|modules| modules.map(out)) {
        for (name, place) in modules.entries() {
            identifier(name, &place, &["vars"], out);
            match used(&place, out) {
                Some(used) => {
                    blueprint.modules.insert(name, used);
                }
                None => blueprint.broken.push(name),
            }
        }
    }
    if let Some(jobs) = root.get("jobs").filter(|jobs| jobs.map(out)) {
        blueprint.jobs = jobs.entries();
    }
    blueprint
}

fn version(root: &Place<'_>, out: &mut Findings) {
    let Some(place) = root.get("forge") else {
        let finding =
            Diagnostic::error("missing-key", "the blueprint does not say which version of the language it is in")
                .at(root.value_at(), "")
                .help("Add `forge: v1` as its first line.");
        out.push(finding);
        return;
    };
    if let Some(version) = place.text(out)
        && version != "v1"
    {
        let finding = Diagnostic::error("unknown-version", format!("there is no version `{version}` of the language"))
            .at(place.value_at(), "")
            .help("Write `forge: v1`.");
        out.push(finding);
    }
}

fn name<'a>(root: &Place<'a>, out: &mut Findings) -> Option<&'a str> {
    let Some(place) = root.get("name") else {
        let finding = Diagnostic::error("missing-key", "the blueprint has no name")
            .at(root.value_at(), "")
            .why("The name is the deployment's: its state and every tag carry it.")
            .help("Add `name: my-cluster`.");
        out.push(finding);
        return None;
    };
    let name = place.text(out)?;
    if label(name) {
        return Some(name);
    }
    let finding = Diagnostic::error("bad-name", format!("`{name}` cannot be a blueprint's name"))
        .at(place.value_at(), "")
        .why("It becomes part of resource names and tags.")
        .help("Use at most 40 lower-case letters, digits and -, a letter first.");
    out.push(finding);
    None
}

fn used<'a>(place: &Place<'a>, out: &mut Findings) -> Option<Used<'a>> {
    if !place.shape(&["use", "with"], out) {
        return None;
    }
    let with = match place.get("with") {
        Some(with) if with.map(out) => with.entries(),
        _ => Vec::new(),
    };
    let with = with.into_iter().collect();
    let Some(use_place) = place.get("use") else {
        let finding = Diagnostic::error("missing-key", format!("`{}` does not say which module it uses", place.name()))
            .at(place.key_at(), "")
            .help("Add `use:` and a module, such as `use: s3`.");
        out.push(finding);
        return None;
    };
    Some(Used { place: place.clone(), use_name: use_place.text(out)?, use_place, with })
}
