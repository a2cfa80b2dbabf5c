//! Variables: what a blueprint leaves open, and what the caller fills in.

use crate::Override;
use crate::expr::{Scope, refuse_expressions};
use crate::rule::Rule;
use crate::shape::{Findings, Place, identifier};
use crate::sources::Sources;
use crate::suggest;
use forge_engine::diag::Diagnostic;
use forge_engine::value::Value;
use std::collections::BTreeMap;

/// Reads the variables and their values into a scope.
pub(crate) fn scope(blueprint: &Place<'_>, overrides: &[Override<'_>], sources: &Sources, out: &mut Findings) -> Scope {
    let mut scope = Scope::default();
    let mut values = BTreeMap::new();
    let declared = match blueprint.get("vars") {
        Some(vars) if vars.map(out) => vars.entries(),
        _ => Vec::new(),
    };
    for (name, place) in &declared {
        identifier(name, place, &[], out);
        refuse_expressions(place, sources, out);
        match value(name, place, overrides, out) {
            Some(value) => values.insert((*name).to_owned(), value),
            None => {
                scope.set_broken(format!("vars.{name}"));
                values.insert((*name).to_owned(), Value::Null)
            }
        };
    }
    for given in overrides {
        if !values.contains_key(given.name) {
            let summary = format!("{} sets `{}`, but the blueprint has no such variable", given.origin, given.name);
            let mut finding = Diagnostic::error("unknown-variable", summary);
            finding.help = suggest::help(given.name, values.keys().map(String::as_str))
                .or_else(|| Some("The blueprint declares no variables.".to_owned()));
            out.push(finding);
        }
    }
    scope.set("vars", Value::Map(values), "variable");
    scope
}

fn value(name: &str, place: &Place<'_>, overrides: &[Override<'_>], out: &mut Findings) -> Option<Value> {
    let mut keys = vec!["default"];
    keys.extend(Rule::KEYS);
    if !place.shape(&keys, out) {
        return None;
    }
    let rule = Rule::read(place, false, out)?;
    let default = place.get("default");
    let mut fits = true;
    if let Some(default) = &default
        && let Err(misfit) = rule.check(&format!("vars.{name}"), default.value)
    {
        out.push(misfit.finding().at(default.value_at(), "the default"));
        fits = false;
    }
    // The last one wins: callers list the environment before the command line.
    if let Some(given) = overrides.iter().rev().find(|given| given.name == name) {
        return match rule.parse(name, given.text) {
            Ok(value) => Some(value),
            Err(misfit) => {
                let declared = format!("set by {}, declared here", given.origin);
                out.push(misfit.finding().at(place.key_at(), declared));
                None
            }
        };
    }
    if default.is_none() {
        let finding = Diagnostic::error("missing-variable", format!("the variable `{name}` has no value"))
            .at(place.key_at(), "it has no default")
            .help(format!("Give one with --var {name}=…, or add a default."));
        out.push(finding);
    }
    default.filter(|_| fits).map(|default| default.value.clone())
}
