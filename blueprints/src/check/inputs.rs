//! What is passed to a module against what the module takes.

use crate::expr::Evaluator;
use crate::module::{Default, Definition, Input};
use crate::rule::Type;
use crate::scope::{Passed, Scope, Whole};
use crate::shape::{Findings, unknown_key};
use crate::sources::Sources;
use crate::uses::Used;
use forge_engine::diag::Diagnostic;
use forge_engine::value::Value;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The most names that a message offers.
const MAX_CHOICES: usize = 20;

/// What inputs are checked with.
pub(crate) struct Context<'a> {
    pub(crate) scope: &'a Scope,
    pub(crate) evaluator: &'a Evaluator,
    pub(crate) sources: &'a Sources,
}

/// What an input is bound to.
#[derive(Debug, Clone)]
pub(crate) struct Bound {
    pub(crate) value: Value,
    /// The module that it is as a whole, and what it is called where it was passed.
    pub(crate) whole: Option<Passed>,
}

impl Bound {
    fn plain(value: Value) -> Option<Self> {
        Some(Self { value, whole: None })
    }
}

/// What every input is bound to; none for one that has been reported.
pub(crate) fn bind<'a>(
    used: &Used<'_>,
    definition: &Definition<'a>,
    context: &Context<'_>,
    out: &mut Findings,
) -> BTreeMap<&'a str, Option<Bound>> {
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
            None => absent(key, used, input, context, out),
        };
        (*key, value)
    });
    bound.collect()
}

fn given(key: &str, used: &Used<'_>, input: &Input<'_>, context: &Context<'_>, out: &mut Findings) -> Option<Bound> {
    let place = used.with.get(key)?;
    let (value, whole) = context.evaluator.evaluate_whole(place, context.scope, context.sources, out)?;
    if value == Value::Null && input.optional {
        return Bound::plain(value);
    }
    if input.rule.kind != Type::Module {
        let wrong = input.rule.check(key, &value);
        if wrong.is_empty() {
            return Bound::plain(value);
        }
        out.extend(wrong.into_iter().map(|misfit| {
            let finding = misfit.at(place, "");
            Diagnostic { why: input.description.map(|text| format!("`{key}`: {text}.")), ..finding }
        }));
        return None;
    }
    let wanted = types(input);
    let summary = match whole {
        Some(whole) if fits(input, &whole.1) => return Some(Bound { value, whole: Some(whole) }),
        Some((name, whole)) => {
            let own = whole.types.first().map_or("", String::as_str);
            format!("`{key}` takes {wanted}, but `{name}` is a module of type {own}")
        }
        None => format!("`{key}` takes {wanted}, as a whole"),
    };
    let mut finding = Diagnostic::error("wrong-module", summary).at(place.value_at(), "");
    finding.help = Some(match candidates(input, used.name, context.scope).0.as_slice() {
        [] => format!("There is none; add {wanted} under `modules:` and pass it."),
        names => format!("Write {}.", either(names.iter().map(|name| format!("\"${{{name}}}\"")))),
    });
    out.push(finding);
    None
}

fn absent(key: &str, used: &Used<'_>, input: &Input<'_>, context: &Context<'_>, out: &mut Findings) -> Option<Bound> {
    let missing = |summary: String, help: String| {
        let finding = Diagnostic::error("missing-input", summary).at(used.place.key_at(), "");
        let finding = finding.help(help);
        Diagnostic { why: input.description.map(|text| format!("`{key}`: {text}.")), ..finding }
    };
    let name = used.name;
    let wanted = types(input);
    match input.default {
        Default::Value(value) => Bound::plain(value.clone()),
        Default::Only => match candidates(input, used.name, context.scope) {
            (names, _) if names.is_empty() && input.optional => Bound::plain(Value::Null),
            (names, _) if names.is_empty() => {
                let help = format!("Add {wanted} under `modules:`.");
                out.push(missing(format!("`{name}` needs {wanted}, and the blueprint has none"), help));
                None
            }
            (names, 1) => {
                let only = names.first()?;
                let whole = context.scope.module(only).map(|whole| ((*only).to_owned(), Arc::clone(whole)));
                context.scope.look_up(only).map(|value| Bound { value: value.clone(), whole })
            }
            (names, count) => {
                let summary = format!("`{name}` needs {wanted}, and the blueprint has {count}");
                let choices = either(names.iter().map(|name| format!("`{key}: \"${{{name}}}\"`")));
                out.push(missing(summary, format!("Say which: add {choices} to its `with`.")));
                None
            }
        },
        Default::None if input.optional => Bound::plain(Value::Null),
        Default::None => {
            let help = match (input.rule.kind, candidates(input, used.name, context.scope).0.first()) {
                (Type::Module, Some(first)) => format!("Add `{key}: \"${{{first}}}\"` to its `with`."),
                (Type::Module, None) => format!("Add {wanted} under `modules:` and pass it as `{key}`."),
                _ => format!("Add `{key}:` to its `with`."),
            };
            out.push(missing(format!("`{name}` has no `{key}`, which {} needs", used.use_name), help));
            None
        }
    }
}

/// Whether a module of these types is one that the input takes.
fn fits(input: &Input<'_>, whole: &Whole) -> bool {
    input.modules.is_empty() || input.modules.iter().any(|wanted| whole.types.iter().any(|name| name == wanted))
}

/// The names in scope that an input of the module `own` takes.
fn candidates<'a>(input: &Input<'_>, own: &str, scope: &'a Scope) -> (Vec<&'a str>, usize) {
    scope.modules_of(&input.modules, own, MAX_CHOICES)
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
