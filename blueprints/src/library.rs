//! The documents of the modules that a blueprint uses, those that they use included.
//!
//! Built-in modules go by their name, modules of the user's own by their directory. Each is read once.

use crate::shape::Findings;
use crate::sources::Sources;
use crate::uses::{canonical, is_path};
use crate::{ModuleSource, Request};
use forge_engine::diag::DocumentId;
use forge_engine::value::Value;
use std::collections::BTreeMap;

/// The most modules that one blueprint may lead to.
const MAX_MODULES: usize = 512;

/// A module's document.
#[derive(Debug)]
pub(crate) struct Loaded {
    /// The document, or why it cannot be read.
    pub(crate) document: Result<DocumentId, String>,
    /// What stands in it; none when it could not be parsed.
    pub(crate) value: Option<Value>,
    /// The file, as messages name it.
    pub(crate) file: String,
}

/// Every module that is used, by its canonical name. What is not there does not exist.
pub(crate) type Library = BTreeMap<String, Loaded>;

/// Reads them.
pub(crate) fn load(blueprint: &Value, request: &Request<'_>, sources: &mut Sources, out: &mut Findings) -> Library {
    let mut library = Library::new();
    let mut waiting: Vec<String> =
        used_in(blueprint).into_iter().map(|use_name| canonical("", use_name)).rev().collect();
    while let Some(name) = waiting.pop() {
        if library.contains_key(&name) {
            continue;
        }
        if library.len() >= MAX_MODULES {
            // The first that is not read says so; there is no end of those that it would lead to.
            let why = format!("a blueprint leads to at most {MAX_MODULES} modules");
            let file = format!("{name}/module.yaml");
            library.insert(name, Loaded { document: Err(why), value: None, file });
            break;
        }
        let Some(loaded) = one(&name, request, sources, out) else { continue };
        let base = if is_path(&name) || name.starts_with("..") { name.as_str() } else { "" };
        for target in entries(loaded.value.as_ref().and_then(|value| get(value, "targets"))) {
            waiting.extend(used_in(target).into_iter().map(|use_name| canonical(base, use_name)));
        }
        // What it may stand for has to be known, to see that it has all of its outputs.
        match loaded.value.as_ref().and_then(|value| get(value, "implements")) {
            Some(Value::List(names)) => waiting.extend(names.iter().filter_map(text).map(str::to_owned)),
            Some(name) => waiting.extend(text(name).map(str::to_owned)),
            None => {}
        }
        library.insert(name, loaded);
    }
    library
}

fn one(name: &str, request: &Request<'_>, sources: &mut Sources, out: &mut Findings) -> Option<Loaded> {
    if !is_path(name) {
        let ModuleSource { document, text, .. } = request.modules.iter().find(|source| source.name == name)?;
        let id = sources.add(document, text.as_bytes(), out);
        let value = sources.root(id).map(crate::yaml::Node::to_value);
        return Some(Loaded { document: Ok(id), value, file: (*document).to_owned() });
    }
    let file = format!("{}/module.yaml", name.strip_prefix("./").unwrap_or(name));
    Some(match (request.files)(&file) {
        Ok(bytes) => {
            let id = sources.add(&file, &bytes, out);
            Loaded { document: Ok(id), value: sources.root(id).map(crate::yaml::Node::to_value), file }
        }
        Err(why) => Loaded { document: Err(why), value: None, file },
    })
}

fn get<'a>(value: &'a Value, key: &str) -> Option<&'a Value> {
    match value {
        Value::Map(entries) => entries.get(key),
        _ => None,
    }
}

fn entries(value: Option<&Value>) -> Vec<&Value> {
    match value {
        Some(Value::Map(entries)) => entries.values().collect(),
        _ => Vec::new(),
    }
}

fn text(value: &Value) -> Option<&str> {
    match value {
        Value::String(text) => Some(text),
        _ => None,
    }
}

/// What the `use:` of a blueprint, or of a module's target, say.
fn used_in(body: &Value) -> Vec<&str> {
    entries(get(body, "modules")).into_iter().filter_map(|used| text(get(used, "use")?)).collect()
}
