//! The format of `module.yaml`.
//!
//! ```yaml
//! module: fsx-lustre
//! description: A Lustre file system on the network of the nodes
//! inputs:
//!   network:      { type: module, module: [vpc], description: Where it stands }
//!   capacity_gib: { type: int, min: 1200, default: 1200 }
//!   bucket:       { type: module, module: [s3], optional: true }
//! data:                                # constants, `data.…` in expressions
//!   throughput: { small: 125, large: 1000 }
//! targets:
//!   local:
//!     lets: { tib: "${inputs.capacity_gib / 1024}" }      # named intermediate values, `lets.…`
//!     resources:
//!       filesystem: { kind: local.directory, with: { capacity_gib: "${inputs.capacity_gib}" } }
//!     outputs: { mount_path: "${filesystem.path}" }
//!     notes:
//!       - say: "A directory stands for ${lets.tib} TiB of Lustre."
//! ```
//!
//! Expressions see `inputs`, `target` (the target's settings), `data`, `lets`, and the entry's resources by name. An input
//! without a `default` is required unless it is `optional`, and then null. An input of type `module` takes the outputs of
//! a module that the blueprint uses; `default: only` passes the blueprint's only one of those that are named.

use crate::expr::refuse_expressions;
use crate::rule::{Rule, Type};
use crate::shape::{Findings, Place, identifier};
use crate::sources::Sources;
use crate::target::Target;
use forge_engine::diag::Diagnostic;
use forge_engine::value::Value;
use std::collections::BTreeMap;

/// A module that blueprints may use.
#[derive(Debug, Clone, Copy)]
pub struct ModuleSource<'a> {
    /// What `use:` says: `vpc`.
    pub name: &'a str,
    /// The name of its document in findings: `modules/vpc/module.yaml`.
    pub document: &'a str,
    /// The text of its `module.yaml`.
    pub text: &'a str,
}

/// A module as its document defines it.
#[derive(Debug)]
pub(crate) struct Definition<'a> {
    pub(crate) inputs: BTreeMap<&'a str, Input<'a>>,
    pub(crate) data: Value,
    pub(crate) targets: BTreeMap<&'a str, Entry<'a>>,
}

/// An input.
#[derive(Debug)]
pub(crate) struct Input<'a> {
    pub(crate) rule: Rule,
    /// The modules whose value it takes, for type module; any when empty.
    pub(crate) modules: Vec<&'a str>,
    pub(crate) default: Default<'a>,
    pub(crate) optional: bool,
    pub(crate) description: Option<&'a str>,
}

/// What an input is when the blueprint does not say.
#[derive(Debug)]
pub(crate) enum Default<'a> {
    /// Nothing.
    None,
    /// A value.
    Value(&'a Value),
    /// The blueprint's only module of those that it takes.
    Only,
}

/// What a module is on one target.
#[derive(Debug)]
pub(crate) struct Entry<'a> {
    pub(crate) lets: Vec<(&'a str, Place<'a>)>,
    pub(crate) resources: BTreeMap<&'a str, Declared<'a>>,
    pub(crate) outputs: Vec<(&'a str, Place<'a>)>,
    pub(crate) notes: Vec<Note<'a>>,
}

/// A resource of a module.
#[derive(Debug)]
pub(crate) struct Declared<'a> {
    pub(crate) place: Place<'a>,
    pub(crate) kind: Place<'a>,
    pub(crate) kind_name: &'a str,
    pub(crate) with: Option<Place<'a>>,
    pub(crate) when: Option<Place<'a>>,
    pub(crate) protect: bool,
}

/// Something to tell the user.
#[derive(Debug)]
pub(crate) struct Note<'a> {
    pub(crate) when: Option<Place<'a>>,
    pub(crate) say: Place<'a>,
}

/// Names that expressions in a module have already; resources cannot take them.
const RESERVED: [&str; 4] = ["inputs", "target", "data", "lets"];

/// Reads a definition. What does not fit is reported and left out.
pub(crate) fn read<'a>(root: &Place<'a>, name: &str, sources: &Sources, out: &mut Findings) -> Option<Definition<'a>> {
    if !root.shape(&["module", "description", "inputs", "data", "targets"], out) {
        return None;
    }
    match root.get("module") {
        Some(place) => {
            if let Some(own) = place.text(out)
                && own != name
            {
                let summary = format!("the module calls itself `{own}`, but it is used as `{name}`");
                out.push(Diagnostic::error("bad-module", summary).at(place.value_at(), ""));
            }
        }
        None => out.push(
            Diagnostic::error("missing-key", "the module has no name")
                .at(root.value_at(), "")
                .help(format!("Add `module: {name}`.")),
        ),
    }
    if let Some(description) = root.get("description") {
        description.text(out);
    }
    let mut inputs = BTreeMap::new();
    for (name, place) in mapping(root, "inputs", out) {
        identifier(name, &place, &[], out);
        refuse_expressions(&place, sources, out);
        inputs.extend(input(&place, out).map(|input| (name, input)));
    }
    let data = root.get("data").map_or(Value::Map(BTreeMap::new()), |data| {
        refuse_expressions(&data, sources, out);
        data.value.clone()
    });
    let mut targets = BTreeMap::new();
    for (name, place) in mapping(root, "targets", out) {
        if Target::parse(name).is_none() {
            crate::shape::unknown_key(name, &place, &Target::ALL.map(Target::name), out);
        }
        targets.extend(entry(&place, out).map(|entry| (name, entry)));
    }
    Some(Definition { inputs, data, targets })
}

fn mapping<'a>(place: &Place<'a>, key: &str, out: &mut Findings) -> Vec<(&'a str, Place<'a>)> {
    match place.get(key) {
        Some(place) if place.map(out) => place.entries(),
        _ => Vec::new(),
    }
}

fn input<'a>(place: &Place<'a>, out: &mut Findings) -> Option<Input<'a>> {
    let mut keys = vec!["default", "optional", "module"];
    keys.extend(Rule::KEYS);
    if !place.shape(&keys, out) {
        return None;
    }
    let rule = Rule::read(place, true, out)?;
    let optional = place.get("optional").and_then(|place| place.bool(out)).unwrap_or(false);
    let modules = place.get("module").and_then(|place| {
        if rule.kind != Type::Module {
            out.push(Diagnostic::error("bad-rule", "`module` is for inputs of type module").at(place.key_at(), ""));
            return None;
        }
        Some(place.list(out)?.iter().filter_map(|item| item.text(out)).collect())
    });
    let default = match place.get("default") {
        None => Default::None,
        Some(default) if rule.kind == Type::Module => match default.value {
            Value::String(word) if word == "only" => Default::Only,
            _ => {
                let finding = Diagnostic::error("bad-rule", "the default of a module can only be `only`");
                out.push(finding.at(default.value_at(), ""));
                Default::None
            }
        },
        Some(default) => {
            if let Err(misfit) = rule.check(&place.name(), default.value) {
                out.push(misfit.finding().at(default.value_at(), "the default"));
            }
            Default::Value(default.value)
        }
    };
    let description = place.get("description").and_then(|place| match place.value {
        Value::String(text) => Some(text.as_str()),
        _ => None,
    });
    Some(Input { rule, modules: modules.unwrap_or_default(), default, optional, description })
}

fn entry<'a>(place: &Place<'a>, out: &mut Findings) -> Option<Entry<'a>> {
    if !place.shape(&["lets", "resources", "outputs", "notes"], out) {
        return None;
    }
    let lets = mapping(place, "lets", out);
    let outputs = mapping(place, "outputs", out);
    for (name, place) in lets.iter().chain(&outputs) {
        identifier(name, place, &[], out);
    }
    let mut resources = BTreeMap::new();
    for (name, place) in mapping(place, "resources", out) {
        identifier(name, &place, &RESERVED, out);
        resources.extend(resource(&place, out).map(|resource| (name, resource)));
    }
    let mut notes = Vec::new();
    for place in place.get("notes").and_then(|place| place.list(out)).unwrap_or_default() {
        if !place.shape(&["when", "say"], out) {
            continue;
        }
        match place.get("say") {
            Some(say) => notes.push(Note { when: place.get("when"), say }),
            None => {
                out.push(Diagnostic::error("missing-key", "the note does not `say` anything").at(place.value_at(), ""));
            }
        }
    }
    Some(Entry { lets, resources, outputs, notes })
}

fn resource<'a>(place: &Place<'a>, out: &mut Findings) -> Option<Declared<'a>> {
    if !place.shape(&["kind", "with", "when", "protect"], out) {
        return None;
    }
    let Some(kind) = place.get("kind") else {
        out.push(Diagnostic::error("missing-key", format!("`{}` has no kind", place.name())).at(place.key_at(), ""));
        return None;
    };
    let kind_name = kind.text(out)?;
    let protect = place.get("protect").and_then(|place| place.bool(out)).unwrap_or(false);
    let with = place.get("with").filter(|with| with.map(out));
    Some(Declared { place: place.clone(), kind, kind_name, with, when: place.get("when"), protect })
}
