//! What a blueprint passes to a module against what the module takes.

use crate::blueprint::Used;
use crate::expr::{Evaluator, Scope, sole_name};
use crate::module::{Default, Definition, Input};
use crate::rule::Type;
use crate::shape::{Findings, unknown_key};
use crate::sources::Sources;
use forge_engine::diag::Diagnostic;
use forge_engine::value::Value;
use std::collections::BTreeMap;

/// What inputs are checked with.
pub(crate) struct Context<'a> {
    pub(crate) modules: &'a BTreeMap<&'a str, Used<'a>>,
    pub(crate) scope: &'a Scope,
    pub(crate) evaluator: &'a Evaluator,
    pub(crate) sources: &'a Sources,
}

/// The value of every input; none for one that has been reported.
pub(crate) fn bind<'a>(
    name: &str,
    used: &Used<'a>,
    definition: &Definition<'a>,
    context: &Context<'_>,
    out: &mut Findings,
) -> BTreeMap<&'a str, Option<Value>> {
    let known: Vec<&str> = definition.inputs.keys().copied().collect();
    for (key, place) in &used.with {
        if !known.contains(key) {
            unknown_key(key, place, &known, out);
            // Its expressions are looked at all the same: all findings at once.
            context.evaluator.evaluate(place, context.scope, context.sources, out);
        }
    }
    let bound = definition.inputs.iter().map(|(key, input)| {
        // An entry that is null is as good as absent.
        let value = match used.with.get(key).filter(|place| *place.value != Value::Null) {
            Some(_) => given(key, used, input, context, out),
            None => absent(name, key, used, input, context, out),
        };
        (*key, value)
    });
    bound.collect()
}

fn given(key: &str, used: &Used<'_>, input: &Input<'_>, context: &Context<'_>, out: &mut Findings) -> Option<Value> {
    let place = used.with.get(key)?;
    let value = context.evaluator.evaluate(place, context.scope, context.sources, out)?;
    if input.rule.kind != Type::Module {
        return match input.rule.check(key, &value) {
            Ok(()) => Some(value),
            Err(misfit) => {
                let mut finding = misfit.finding().at(place.value_at(), "");
                finding.why = input.description.map(|text| format!("`{key}`: {text}."));
                out.push(finding);
                None
            }
        };
    }
    let wanted = types(input);
    let (summary, help) = match sole_name(place.value).and_then(|name| Some((name, context.modules.get(name)?))) {
        Some((_, module)) if input.modules.is_empty() || input.modules.contains(&module.use_name) => {
            return Some(value);
        }
        Some((name, module)) => {
            (format!("`{key}` takes {wanted}, but `{name}` is a module of type {}", module.use_name), None)
        }
        None => (format!("`{key}` takes {wanted}, as a whole"), Some(())),
    };
    let candidates = candidates(input, context);
    let mut finding = Diagnostic::error("wrong-module", summary).at(place.value_at(), "");
    finding.help = match (candidates.as_slice(), help) {
        ([], _) => Some(format!("The blueprint has none; add {wanted} under `modules:` and pass it.")),
        (names, _) => Some(format!("Write {}.", either(names.iter().map(|name| format!("\"${{{name}}}\""))))),
    };
    out.push(finding);
    None
}

fn absent(
    name: &str,
    key: &str,
    used: &Used<'_>,
    input: &Input<'_>,
    context: &Context<'_>,
    out: &mut Findings,
) -> Option<Value> {
    let missing = |summary: String, help: String| {
        let finding = Diagnostic::error("missing-input", summary).at(used.place.key_at(), "");
        let finding = finding.help(help);
        Diagnostic { why: input.description.map(|text| format!("`{key}`: {text}.")), ..finding }
    };
    let wanted = types(input);
    match input.default {
        Default::Value(value) => Some(value.clone()),
        Default::Only => match candidates(input, context).as_slice() {
            [] if input.optional => Some(Value::Null),
            [] => {
                let help = format!("Add {wanted} under `modules:`.");
                out.push(missing(format!("`{name}` needs {wanted}, and the blueprint has none"), help));
                None
            }
            [only] => context.scope.value(only),
            several => {
                let summary = format!("`{name}` needs {wanted}, and the blueprint has {}", several.len());
                let choices = either(several.iter().map(|name| format!("`{key}: \"${{{name}}}\"`")));
                out.push(missing(summary, format!("Say which: add {choices} to its `with`.")));
                None
            }
        },
        Default::None if input.optional => Some(Value::Null),
        Default::None => {
            let help = match (input.rule.kind, candidates(input, context).first()) {
                (Type::Module, Some(first)) => format!("Add `{key}: \"${{{first}}}\"` to its `with`."),
                (Type::Module, None) => format!("Add {wanted} under `modules:` and pass it as `{key}`."),
                _ => format!("Add `{key}:` to its `with`."),
            };
            out.push(missing(format!("`{name}` has no `{key}`, which {} needs", used.use_name), help));
            None
        }
    }
}

/// The blueprint's modules that an input takes.
pub(crate) fn candidates<'a>(input: &Input<'_>, context: &Context<'a>) -> Vec<&'a str> {
    let fits = |used: &Used<'_>| input.modules.contains(&used.use_name);
    context.modules.iter().filter(|(_, used)| fits(used)).map(|(name, _)| *name).collect()
}

fn types(input: &Input<'_>) -> String {
    match input.modules.as_slice() {
        [] => "a module".to_owned(),
        names => format!("a module of type {}", either(names.iter().map(ToString::to_string))),
    }
}

fn either(names: impl Iterator<Item = String>) -> String {
    names.collect::<Vec<_>>().join(" or ")
}
