//! The shape of a blueprint.

use crate::language;
use crate::shape::{Findings, Place, describe, label, written};
use crate::uses::{self, Used};
use forge_engine::diag::Diagnostic;
use forge_engine::value::Value;
use regex_lite::Regex;
use std::collections::BTreeMap;

/// The most tags; AWS allows 50 and forge sets some of its own.
const MAX_TAGS: usize = 40;

/// What a blueprint's shape gives.
#[derive(Debug, Default)]
pub(crate) struct Blueprint<'a> {
    pub(crate) name: Option<&'a str>,
    /// Address of the bucket with the state.
    pub(crate) state: Option<&'a str>,
    /// By key, which may name one instance of several.
    pub(crate) modules: BTreeMap<&'a str, Used<'a>>,
    /// Modules too broken to be used, so that references to them stay silent.
    pub(crate) broken: Vec<&'a str>,
    pub(crate) jobs: Vec<(&'a str, Place<'a>)>,
}

/// Reads a blueprint's shape.
pub(crate) fn read<'a>(root: &Place<'a>, reserved: &dyn Fn(&str) -> bool, out: &mut Findings) -> Blueprint<'a> {
    let mut blueprint = Blueprint::default();
    if !root.shape(&language::BLUEPRINT.names(), out) {
        return blueprint;
    }
    version(root, out);
    blueprint.name = name(root, out);
    blueprint.state = state(root, out);
    (blueprint.modules, blueprint.broken) = uses::read(root, "", reserved, out);
    if let Some(jobs) = root.get("jobs").filter(|jobs| jobs.map(out)) {
        blueprint.jobs = jobs.entries();
    }
    blueprint
}

/// Tags, evaluated before, as text.
pub(crate) fn tags(place: &Place<'_>, out: &mut Findings) -> BTreeMap<String, String> {
    let mut tags = BTreeMap::new();
    if !place.map(out) {
        return tags;
    }
    let entries = place.entries();
    if entries.len() > MAX_TAGS {
        let summary = format!("{} tags are too many; {MAX_TAGS} are the most", entries.len());
        out.push(Diagnostic::error("bad-tag", summary).at(place.key_at(), ""));
    }
    for (name, item) in entries {
        if name.starts_with("forge:") || name.starts_with("aws:") || name.is_empty() || name.chars().count() > 128 {
            let finding = Diagnostic::error("bad-tag", format!("`{}` cannot be a tag's name", name.escape_debug()))
                .at(item.key_at(), "")
                .why("`forge:` and `aws:` are kept for forge and AWS, and a name has 1 to 128 characters.")
                .help("Choose another name.");
            out.push(finding);
            continue;
        }
        match item.value {
            Value::String(text) if text.chars().count() <= 256 => {
                tags.insert(name.to_owned(), text.clone());
            }
            Value::String(_) => {
                let finding = Diagnostic::error("bad-tag", format!("the tag `{name}` is longer than 256 characters"));
                out.push(finding.at(item.value_at(), "").help("Shorten it."));
            }
            other => {
                let summary = format!("the tag `{name}` must be text, not {}", describe(other));
                out.push(Diagnostic::error("wrong-type", summary).at(item.value_at(), "").help("Quote it."));
            }
        }
    }
    tags
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
    let mut found = Findings::new();
    if let Some(version) = place.text(&mut found)
        && version != "v1"
    {
        let summary = format!("there is no version `{}` of the language", written(version));
        found.push(Diagnostic::error("unknown-version", summary).at(place.value_at(), ""));
    }
    out.extend(found.into_iter().map(|finding| finding.help("Write `forge: v1`.")));
}

/// Where the state is kept. A literal: whoever looks for the state must find it without variables.
fn state<'a>(root: &Place<'a>, out: &mut Findings) -> Option<&'a str> {
    let place = root.get("state")?;
    let address = place.text(out)?;
    if Regex::new(&format!("^(?:{})$", language::STATE)).is_ok_and(|regex| regex.is_match(address)) {
        return Some(address);
    }
    let summary = format!("`{}` cannot be where the state is kept", written(address));
    out.push(Diagnostic::error("bad-state", summary).at(place.value_at(), "").help(
        "Write s3://BUCKET/PREFIX or file:///DIRECTORY, or leave `state` out: then it lies beside the blueprint.",
    ));
    None
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
    let finding = Diagnostic::error("bad-name", format!("`{}` cannot be a blueprint's name", written(name)))
        .at(place.value_at(), "")
        .why("It becomes part of resource names and tags.")
        .help("Use at most 40 lower-case letters, digits and -, a letter first.");
    out.push(finding);
    None
}
