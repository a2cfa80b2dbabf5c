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
//! Expressions see `inputs`, `target` (the target's settings), `deployment` (name and target), `module` (its instance's
//! name), `data`, `lets`, `each`, and the entry's resources and modules by name. An input without a `default` is required
//! unless it is `optional`, and then null. An input of type `module` takes the outputs of a module that the blueprint uses;
//! `default: only` passes the blueprint's only one of those that are named. Further keys:
//!
//! - `implements: [vpc]`: it may be passed where one of these is wanted, and has all of their outputs.
//! - `supporting: true`: it only serves other modules; when none uses it, that is a finding.
//! - `checks:` (here, and on a target): rules as data, `{ that, say, help, severity, at }`.
//! - on a target, `modules:` (as in a blueprint), and for resources and modules `for_each`, `when`, `protect` and
//!   `depends_on`.
//! - `{ for_each, value, when }` in place of a value: a list or mapping made by going over another.

use crate::expr::{holds_expression, refuse_expressions};
use crate::language;
use crate::order::Graph;
use crate::rule::{Rule, Type};
use crate::shape::{Findings, Place, identifier, label, written};
use crate::sources::Sources;
use crate::suggest;
use crate::target::Target;
use crate::uses::{self, Used};
use forge_engine::diag::{Diagnostic, Severity};
use forge_engine::value::Value;
use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::sync::Arc;

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
    pub(crate) root: Place<'a>,
    /// Its own name, then what it may stand for.
    pub(crate) types: Vec<String>,
    /// Whether it only serves other modules.
    pub(crate) supporting: bool,
    pub(crate) inputs: BTreeMap<&'a str, Input<'a>>,
    pub(crate) data: Arc<Value>,
    pub(crate) checks: Vec<Check<'a>>,
    pub(crate) targets: BTreeMap<&'a str, Body<'a>>,
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
#[derive(Debug, Default)]
pub(crate) struct Body<'a> {
    pub(crate) lets: BTreeMap<&'a str, Place<'a>>,
    /// By key, which may name one instance of several.
    pub(crate) modules: BTreeMap<&'a str, Used<'a>>,
    /// Modules too broken to be used.
    pub(crate) broken: Vec<&'a str>,
    pub(crate) resources: BTreeMap<&'a str, Declared<'a>>,
    pub(crate) outputs: Vec<(&'a str, Place<'a>)>,
    pub(crate) checks: Vec<Check<'a>>,
    pub(crate) notes: Vec<Note<'a>>,
    /// How these refer to each other: the same for every instance of the module, and worked out once.
    pub(crate) graph: OnceCell<Graph>,
}

/// A resource of a module.
#[derive(Debug)]
pub(crate) struct Declared<'a> {
    pub(crate) place: Place<'a>,
    pub(crate) kind: Place<'a>,
    pub(crate) kind_name: &'a str,
    pub(crate) with: Option<Place<'a>>,
    pub(crate) when: Option<Place<'a>>,
    pub(crate) for_each: Option<Place<'a>>,
    pub(crate) protect: bool,
    pub(crate) depends_on: Vec<(&'a str, Place<'a>)>,
}

/// A rule.
#[derive(Debug)]
pub(crate) struct Check<'a> {
    /// What must hold.
    pub(crate) that: Place<'a>,
    /// What is wrong when it does not.
    pub(crate) say: Place<'a>,
    pub(crate) help: Option<Place<'a>>,
    pub(crate) severity: Severity,
    /// The input that the finding points at.
    pub(crate) at: Option<&'a str>,
}

/// Something to tell the user.
#[derive(Debug)]
pub(crate) struct Note<'a> {
    pub(crate) when: Option<Place<'a>>,
    pub(crate) say: Place<'a>,
}

/// Names that expressions have already; nothing that they refer to by its bare name can take them.
pub(crate) const RESERVED: [&str; 8] = ["vars", "inputs", "target", "deployment", "module", "data", "lets", "each"];

/// How definitions are read.
pub(crate) struct Reader<'a> {
    pub(crate) sources: &'a Sources,
    /// Names that mean something else in expressions.
    pub(crate) reserved: &'a dyn Fn(&str) -> bool,
}

/// Reads the definition of the module that is loaded as `name`. What does not fit is reported and left out.
pub(crate) fn read<'a>(
    root: &Place<'a>,
    name: &str,
    reader: &Reader<'_>,
    out: &mut Findings,
) -> Option<Definition<'a>> {
    if !root.shape(&language::MODULE.names(), out) {
        return None;
    }
    let mut types: Vec<String> = own_name(root, name, out).into_iter().collect();
    match root.get("implements").map(|place| (place.value, place)) {
        Some((Value::String(word), _)) => types.push(word.clone()),
        Some(_) => types.extend(uses::names(root, "implements", out).iter().map(|(word, _)| (*word).to_owned())),
        None => {}
    }
    for key in ["description", "example"] {
        if let Some(text) = root.get(key) {
            text.text(out);
        }
    }
    let mut inputs = BTreeMap::new();
    for (name, place) in mapping(root, "inputs", out) {
        identifier(name, &place, &|_| false, out);
        refuse_expressions(&place, reader.sources, out);
        inputs.extend(input(&place, out).map(|input| (name, input)));
    }
    let data = root.get("data").map_or(Value::Map(BTreeMap::new()), |data| {
        refuse_expressions(&data, reader.sources, out);
        data.value.clone()
    });
    let base = if uses::is_path(name) { name } else { "" };
    let mut targets = BTreeMap::new();
    for (name, place) in mapping(root, "targets", out) {
        if Target::parse(name).is_none() {
            crate::shape::unknown_key(name, &place, &Target::ALL.map(Target::name), out);
        }
        targets.extend(body(&place, base, &inputs, reader, out).map(|body| (name, body)));
    }
    Some(Definition {
        root: root.clone(),
        types,
        supporting: root.get("supporting").and_then(|place| place.bool(out)).unwrap_or(false),
        checks: checks(root, &inputs, out),
        inputs,
        data: Arc::new(data),
        targets,
    })
}

fn own_name(root: &Place<'_>, name: &str, out: &mut Findings) -> Option<String> {
    let by_path = uses::is_path(name);
    let Some(place) = root.get("module") else {
        let help = if by_path { "Add `module: my-module`.".to_owned() } else { format!("Add `module: {name}`.") };
        out.push(Diagnostic::error("missing-key", "the module has no name").at(root.value_at(), "").help(help));
        return None;
    };
    let own = place.text(out)?;
    if !by_path && own != name {
        let summary = format!("the module calls itself `{own}`, but it is used as `{name}`");
        out.push(Diagnostic::error("bad-module", summary).at(place.value_at(), ""));
    } else if !label(own) {
        let finding = Diagnostic::error("bad-name", format!("`{}` cannot be a module's name", written(own)))
            .at(place.value_at(), "")
            .help("Use at most 40 lower-case letters, digits and -, a letter first.");
        out.push(finding);
    }
    Some(own.to_owned())
}

fn checks<'a>(parent: &Place<'a>, inputs: &BTreeMap<&'a str, Input<'a>>, out: &mut Findings) -> Vec<Check<'a>> {
    let list = parent.get("checks").and_then(|place| place.list(out)).unwrap_or_default();
    list.into_iter().filter_map(|place| check(&place, inputs, out)).collect()
}

fn check<'a>(place: &Place<'a>, inputs: &BTreeMap<&'a str, Input<'a>>, out: &mut Findings) -> Option<Check<'a>> {
    if !place.shape(&language::CHECK.names(), out) {
        return None;
    }
    for (key, what) in [("that", "what must hold"), ("say", "what is wrong when it does not hold")] {
        if place.get(key).is_none() {
            let finding =
                Diagnostic::error("missing-key", format!("the check has no `{key}`")).at(place.value_at(), "");
            out.push(finding.help(format!("Add `{key}:` with {what}.")));
        }
    }
    let severity = match place.get("severity").map(|place| (place.text(out), place)) {
        None | Some((Some("error"), _)) => Severity::Error,
        Some((Some("warning"), _)) => Severity::Warning,
        Some((word, place)) => {
            if let Some(word) = word {
                let mut finding = Diagnostic::error("not-allowed", format!("`severity` cannot be {word}"));
                finding.help = suggest::help(word, ["error", "warning"]);
                out.push(finding.at(place.value_at(), ""));
            }
            Severity::Error
        }
    };
    let at = place.get("at").and_then(|place| {
        let name = place.text(out)?;
        if !inputs.contains_key(name) {
            let mut finding = Diagnostic::error("unknown-reference", format!("there is no input `{name}` to point at"));
            finding.help = suggest::help(name, inputs.keys().copied());
            out.push(finding.at(place.value_at(), ""));
        }
        Some(name)
    });
    Some(Check { that: place.get("that")?, say: place.get("say")?, help: place.get("help"), severity, at })
}

fn mapping<'a>(place: &Place<'a>, key: &str, out: &mut Findings) -> Vec<(&'a str, Place<'a>)> {
    match place.get(key) {
        Some(place) if place.map(out) => place.entries(),
        _ => Vec::new(),
    }
}

fn input<'a>(place: &Place<'a>, out: &mut Findings) -> Option<Input<'a>> {
    if !place.shape(&language::INPUT.names(), out) {
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
            // An expression there has been reported.
            if !holds_expression(default.value) {
                let wrong = rule.check(&place.name(), default.value).into_iter();
                out.extend(wrong.map(|misfit| misfit.at(&default, "the default")));
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

fn body<'a>(
    place: &Place<'a>,
    base: &str,
    inputs: &BTreeMap<&'a str, Input<'a>>,
    reader: &Reader<'_>,
    out: &mut Findings,
) -> Option<Body<'a>> {
    if !place.shape(&language::ENTRY.names(), out) {
        return None;
    }
    let lets = mapping(place, "lets", out);
    let outputs = mapping(place, "outputs", out);
    for (name, place) in lets.iter().chain(&outputs) {
        identifier(name, place, &|_| false, out);
    }
    let (modules, broken) = uses::read(place, base, reader.reserved, out);
    let mut resources = BTreeMap::new();
    let by_name: BTreeMap<&str, &Used<'_>> = modules.values().rev().map(|module| (module.name, module)).collect();
    for (name, place) in mapping(place, "resources", out) {
        identifier(name, &place, reader.reserved, out);
        if let Some(module) = by_name.get(name) {
            let finding = Diagnostic::error("shadowing", format!("a resource and a module are both called `{name}`"))
                .at(place.key_at(), "the resource")
                .also(module.place.key_at(), "the module")
                .help("Rename one of them.");
            out.push(finding);
        }
        resources.extend(resource(&place, out).map(|resource| (name, resource)));
    }
    let mut notes = Vec::new();
    for place in place.get("notes").and_then(|place| place.list(out)).unwrap_or_default() {
        if !place.shape(&language::NOTE.names(), out) {
            continue;
        }
        match place.get("say") {
            Some(say) => notes.push(Note { when: place.get("when"), say }),
            None => {
                out.push(Diagnostic::error("missing-key", "the note does not `say` anything").at(place.value_at(), ""));
            }
        }
    }
    let checks = checks(place, inputs, out);
    let lets = lets.into_iter().collect();
    Some(Body { lets, modules, broken, resources, outputs, checks, notes, graph: OnceCell::new() })
}

fn resource<'a>(place: &Place<'a>, out: &mut Findings) -> Option<Declared<'a>> {
    if !place.shape(&language::RESOURCE.names(), out) {
        return None;
    }
    let Some(kind) = place.get("kind") else {
        out.push(Diagnostic::error("missing-key", format!("`{}` has no kind", place.name())).at(place.key_at(), ""));
        return None;
    };
    let kind_name = kind.text(out)?;
    let protect = place.get("protect").and_then(|place| place.bool(out)).unwrap_or(false);
    let with = place.get("with").filter(|with| with.map(out));
    Some(Declared {
        place: place.clone(),
        kind,
        kind_name,
        with,
        when: place.get("when"),
        for_each: place.get("for_each"),
        protect,
        depends_on: uses::names(place, "depends_on", out),
    })
}
