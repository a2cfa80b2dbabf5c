//! What is declared and used by nobody: variables, modules that only serve others, and in modules of the user's own their
//! inputs, lets and outputs.

use crate::expr::{Evaluator, root_of};
use crate::module::Definition;
use crate::shape::{Findings, Place};
use crate::uses::{self, Used};
use forge_engine::diag::Diagnostic;
use forge_engine::value::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

/// What is looked through.
pub(crate) struct Context<'a> {
    pub(crate) root: &'a Place<'a>,
    pub(crate) modules: &'a BTreeMap<&'a str, Used<'a>>,
    pub(crate) definitions: &'a BTreeMap<String, Definition<'a>>,
    pub(crate) evaluator: &'a Evaluator,
    /// Modules that were passed without being named.
    pub(crate) picked: &'a BTreeSet<String>,
}

/// Reports it.
pub(crate) fn report(context: &Context<'_>, out: &mut Findings) {
    let references = context.evaluator.references(context.root.value);
    for (name, place) in context.root.get("vars").iter().flat_map(Place::entries) {
        if !refers(&references, "vars", name) {
            let finding = Diagnostic::warning("unused-variable", format!("nothing uses the variable `{name}`"))
                .at(place.key_at(), "")
                .help(format!("Remove it, or refer to it as ${{vars.{name}}}."));
            out.push(finding);
        }
    }
    let mut named: BTreeSet<&str> = references.iter().map(|reference| root_of(reference)).collect();
    named.extend(context.picked.iter().map(String::as_str));
    named.extend(context.modules.values().flat_map(|used| used.depends_on.iter().map(|(name, _)| *name)));
    for used in context.modules.values() {
        let supporting = context.definitions.get(&used.canonical).is_some_and(|definition| definition.supporting);
        if supporting && !named.contains(used.name) {
            let finding = Diagnostic::warning("unused-module", format!("nothing uses the module `{}`", used.name))
                .at(used.place.key_at(), "")
                .why(format!("A module of type {} does nothing by itself; it serves others.", used.use_name))
                .help(format!("Remove it, or pass it to a module that needs it as \"${{{}}}\".", used.name));
            out.push(finding);
        }
    }
    let by_path = || context.definitions.iter().filter(|(canonical, _)| uses::is_path(canonical));
    if by_path().next().is_none() {
        return;
    }
    let modules = context
        .definitions
        .iter()
        .map(|(canonical, definition)| (canonical.as_str(), context.evaluator.references(definition.root.value)));
    let references = References { blueprint: &references, modules: modules.collect() };
    for (canonical, definition) in by_path() {
        own(canonical, definition, context, &references, out);
    }
}

/// Whether any reference leads to a part of a name, or to the name as a whole.
fn refers(references: &BTreeSet<String>, name: &str, part: &str) -> bool {
    references.contains(name) || mentions(references, &format!("{name}.{part}"))
}

/// Whether any reference leads to what is called `path`, or to a part of it.
fn mentions(references: &BTreeSet<String>, path: &str) -> bool {
    let parts = format!("{path}.");
    let from = (Bound::Included(parts.as_str()), Bound::Unbounded);
    references.contains(path)
        || references.range::<str, _>(from).next().is_some_and(|reference| reference.starts_with(&parts))
}

/// What the expressions of each document refer to.
struct References<'a> {
    blueprint: &'a BTreeSet<String>,
    /// By the canonical name of the module.
    modules: BTreeMap<&'a str, BTreeSet<String>>,
}

fn own(
    canonical: &str,
    definition: &Definition<'_>,
    context: &Context<'_>,
    references: &References<'_>,
    out: &mut Findings,
) {
    let Some(inside) = references.modules.get(canonical) else { return };
    let warn = |id, summary: String, place: &Place<'_>, help: &str, out: &mut Findings| {
        out.push(Diagnostic::warning(id, summary).at(place.key_at(), "").help(help));
    };
    for (name, place) in definition.root.get("inputs").iter().flat_map(Place::entries) {
        if !refers(inside, "inputs", name) {
            let help = format!("Remove it, or refer to it as ${{inputs.{name}}}.");
            warn("unused-input", format!("nothing in the module uses the input `{name}`"), &place, &help, out);
        }
    }
    for body in definition.targets.values() {
        for (name, place) in &body.lets {
            if !refers(inside, "lets", name) {
                let help = format!("Remove it, or refer to it as ${{lets.{name}}}.");
                warn("unused-let", format!("nothing uses `lets.{name}`"), place, &help, out);
            }
        }
    }
    // The names by which this module goes, with the references of the document in which it has that name.
    let mut names: Vec<(&Used<'_>, &BTreeSet<String>)> =
        context.modules.values().map(|used| (used, references.blueprint)).collect();
    for (user, definition) in context.definitions {
        let Some(references) = references.modules.get(user.as_str()) else { continue };
        names.extend(definition.targets.values().flat_map(|body| body.modules.values()).map(|used| (used, references)));
    }
    names.retain(|(used, _)| used.canonical == canonical);
    let outputs: BTreeMap<&str, &Place<'_>> =
        definition.targets.values().flat_map(|body| body.outputs.iter().map(|(name, place)| (*name, place))).collect();
    for (output, place) in outputs {
        let used = names.iter().any(|(used, references)| {
            // Of several instances, which one a reference means is known only when it is evaluated.
            let several = used.for_each.is_some() || used.key.is_some();
            several && mentions(references, used.name) || refers(references, used.name, output)
        });
        let passed = names.iter().any(|(used, _)| context.picked.contains(used.name));
        if !used && !passed && *place.value != Value::Null {
            let help = "Remove it, or use it where the module is used.";
            warn("dead-output", format!("nothing uses the output `{output}`"), place, help, out);
        }
    }
}
