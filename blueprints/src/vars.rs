//! Variables: what a blueprint leaves open, and what the caller fills in.
//!
//! The value of a variable comes from the strongest of these that has one: the blueprint's `default`, the environment,
//! variable files (the last one given wins), and values set one by one. Of a sensitive variable only a reference is ever
//! taken, and where the environment sets it, the reference is to that.

use crate::expr::{holds_expression, refuse_expressions};
use crate::language;
use crate::rule::{Misfit, Rule, Type};
use crate::scope::Scope;
use crate::shape::{Findings, Place, identifier};
use crate::sources::Sources;
use crate::suggest;
use crate::{Override, Variable};
use forge_engine::diag::{At, Diagnostic, Locate};
use forge_engine::value::{Secret, Value};
use std::collections::BTreeMap;

/// The words with which a secret's reference starts, and what each leads to.
pub(crate) const SCHEMES: [(&str, &str); 4] = [
    ("env", "an environment variable"),
    ("file", "a file"),
    ("aws-sm", "a secret of AWS Secrets Manager"),
    ("ssm", "a parameter of AWS Systems Manager"),
];

/// Values from outside the blueprint.
pub(crate) struct Given<'a> {
    pub(crate) environment: &'a [Override<'a>],
    /// The roots of variable files, the weakest first.
    pub(crate) files: &'a [Place<'a>],
    pub(crate) overrides: &'a [Override<'a>],
}

/// One value from outside.
enum From<'g> {
    Text(&'g Override<'g>, bool),
    File(Place<'g>),
}

/// Reads the variables and their values into a scope.
pub(crate) fn scope(
    blueprint: &Place<'_>,
    given: &Given<'_>,
    sources: &Sources,
    out: &mut Findings,
) -> (Scope, Vec<Variable>) {
    let mut scope = Scope::default();
    let mut values = BTreeMap::new();
    let mut variables = Vec::new();
    let declared = match blueprint.get("vars") {
        Some(vars) if vars.map(out) => vars.entries(),
        _ => Vec::new(),
    };
    for (name, place) in &declared {
        identifier(name, place, &|_| false, out);
        refuse_expressions(place, sources, out);
        match value(name, place, given, sources, out) {
            Some(variable) => {
                values.insert((*name).to_owned(), variable.value.clone());
                variables.push(variable);
            }
            None => {
                scope.set_broken(format!("vars.{name}"));
                values.insert((*name).to_owned(), Value::Null);
            }
        }
    }
    strangers(given, &values, out);
    scope.set("vars", Value::Map(values), "variable");
    (scope, variables)
}

/// Values for variables that there are not.
fn strangers(given: &Given<'_>, values: &BTreeMap<String, Value>, out: &mut Findings) {
    let help = |name: &str| {
        suggest::help(name, values.keys().map(String::as_str))
            .or_else(|| Some("The blueprint declares no variables.".to_owned()))
    };
    for (texts, harmless) in [(given.environment, true), (given.overrides, false)] {
        for text in texts.iter().filter(|text| !values.contains_key(text.name)) {
            let summary = format!("{} sets `{}`, but the blueprint has no such variable", text.origin, text.name);
            // The environment may be set for another blueprint as well; what is remembered, the user cannot take back.
            let mut finding = match harmless || text.remembered {
                true => Diagnostic::warning("unknown-variable", summary),
                false => Diagnostic::error("unknown-variable", summary),
            };
            finding.help = help(text.name);
            out.push(finding);
        }
    }
    for file in given.files {
        if !file.map(out) {
            continue;
        }
        for (name, place) in file.entries().into_iter().filter(|(name, _)| !values.contains_key(*name)) {
            let summary = format!("this sets `{name}`, but the blueprint has no such variable");
            let mut finding = Diagnostic::error("unknown-variable", summary).at(place.key_at(), "");
            finding.help = help(name);
            out.push(finding);
        }
    }
}

fn value(name: &str, place: &Place<'_>, given: &Given<'_>, sources: &Sources, out: &mut Findings) -> Option<Variable> {
    if !place.shape(&language::VARIABLE.names(), out) {
        return None;
    }
    let rule = Rule::read(place, false, out)?;
    let sensitive = place.get("sensitive").and_then(|place| place.bool(out)).unwrap_or(false);
    if sensitive {
        unreadable(place, &rule, out);
    }
    let default = place.get("default");
    // An expression there has been reported.
    let mut fits = default.as_ref().is_none_or(|default| !holds_expression(default.value));
    let mut hidden = None;
    match default.as_ref().filter(|_| fits) {
        Some(default) if sensitive => match secret(name, default) {
            Ok(reference) => hidden = Some(reference),
            Err(finding) => {
                // An excerpt of the default would show the secret.
                let line = |at: &At| {
                    sources.locate(at).map(|located| located.text[..located.range.start].matches('\n').count())
                };
                let apart = line(&place.key_at()) != line(&default.value_at());
                out.push(if apart { finding.at(place.key_at(), "its default") } else { *finding });
                fits = false;
            }
        },
        Some(default) => {
            let wrong = rule.check(&format!("vars.{name}"), default.value);
            fits = wrong.is_empty();
            out.extend(wrong.into_iter().map(|misfit| misfit.at(default, "the default")));
        }
        None => {}
    }
    let texts = |texts: &'_ [Override<'_>]| texts.iter().rposition(|text| text.name == name);
    let from = if let Some(at) = texts(given.overrides) {
        Some(From::Text(&given.overrides[at], false))
    } else if let Some(item) = given.files.iter().rev().find_map(|file| file.get(name)) {
        Some(From::File(item))
    } else {
        texts(given.environment).map(|at| From::Text(&given.environment[at], true))
    };
    let over: Vec<String> = origins(name, default.is_some(), given, sources).into_iter().skip(1).collect();
    let variable =
        |value: Value, origin: String| Variable { name: name.to_owned(), value, origin, over: over.clone(), sensitive };
    match from {
        Some(From::Text(text, true)) if sensitive => {
            Some(variable(Value::Secret(Secret { secret: format!("env:{}", text.origin) }), text.origin.to_owned()))
        }
        Some(From::Text(text, _)) if sensitive => {
            let value = reference(name, text.text).map_err(|finding| {
                out.push(finding.at(place.key_at(), format!("set by {}, declared here", text.origin)));
            });
            Some(variable(value.ok()?, text.origin.to_owned()))
        }
        Some(From::Text(text, _)) => match rule.parse(name, text.text) {
            Ok(value) => Some(variable(value, text.origin.to_owned())),
            Err(wrong) => {
                let declared = format!("set by {}, declared here", text.origin);
                out.extend(wrong.into_iter().map(|misfit| misfit.finding().at(place.key_at(), declared.clone())));
                None
            }
        },
        Some(From::File(item)) => {
            let file = sources.name(item.document).unwrap_or("a variable file").to_owned();
            if sensitive {
                // An excerpt of the file would show the secret.
                let declared = format!("set by {file}, declared here");
                let value = secret(name, &item).map_err(|finding| out.push(finding.at(place.key_at(), declared)));
                return Some(variable(value.ok()?, file));
            }
            let wrong = rule.check(name, item.value);
            if wrong.is_empty() {
                return Some(variable(item.value.clone(), file));
            }
            let declared = |misfit: Misfit| misfit.at(&item, "").also(place.key_at(), "declared here");
            out.extend(wrong.into_iter().map(declared));
            None
        }
        None => {
            let Some(default) = default else {
                let finding = Diagnostic::error("missing-variable", format!("the variable `{name}` has no value"))
                    .at(place.key_at(), "it has no default")
                    .help(format!("Give one with --var {name}=…, or add a default."));
                out.push(finding);
                return None;
            };
            let value = hidden.unwrap_or_else(|| default.value.clone());
            fits.then(|| variable(value, "default".to_owned()))
        }
    }
}

/// Rules of a sensitive variable that nobody could check: forge never reads the secret itself.
fn unreadable(place: &Place<'_>, rule: &Rule, out: &mut Findings) {
    if !matches!(rule.kind, Type::String | Type::Enum) {
        let at = place.get("type").map_or_else(|| place.key_at(), |kind| kind.value_at());
        let finding = Diagnostic::error("bad-rule", "only a string can be sensitive").at(at, "");
        out.push(finding.why("Its value says where a secret is to be read.").help("Write `type: string`."));
    }
    for key in ["pattern", "enum", "min", "max"] {
        if let Some(at) = place.get(key) {
            let finding = Diagnostic::error("bad-rule", format!("`{key}` cannot be checked of a sensitive variable"));
            let finding =
                finding.at(at.key_at(), "").why("Its value says where a secret is to be read; forge never reads it.");
            out.push(finding.help("Remove it."));
        }
    }
}

/// What sets a variable, the strongest first.
fn origins(name: &str, default: bool, given: &Given<'_>, sources: &Sources) -> Vec<String> {
    let of = |texts: &[Override<'_>]| -> Vec<String> {
        let own = texts.iter().rev().filter(|text| text.name == name);
        own.map(|text| text.origin.to_owned()).collect()
    };
    let files = given.files.iter().rev().filter(|file| file.get(name).is_some());
    let files = files.map(|file| sources.name(file.document).unwrap_or("a variable file").to_owned());
    let mut origins = of(given.overrides);
    origins.extend(files);
    origins.extend(of(given.environment));
    origins.extend(default.then(|| "default".to_owned()));
    origins
}

/// A sensitive variable's value: where the secret is to be read.
fn reference(name: &str, text: &str) -> Result<Value, Box<Diagnostic>> {
    match text.split_once(':') {
        Some((scheme, rest)) if !rest.is_empty() && SCHEMES.iter().any(|(known, _)| *known == scheme) => {
            let secret = Secret { secret: text.to_owned() };
            match misread(&secret) {
                Some(finding) => {
                    let summary = format!("`{name}` does not say where the secret is to be read");
                    Err(Box::new(Diagnostic { summary, ..finding }))
                }
                None => Ok(Value::Secret(secret)),
            }
        }
        // Never the text itself: it may well be the secret.
        _ => Err(Box::new(literal(name, "the text given"))),
    }
}

/// The same of a value in a document.
fn secret(name: &str, place: &Place<'_>) -> Result<Value, Box<Diagnostic>> {
    match place.value {
        Value::String(text) => reference(name, text),
        _ => Err(Box::new(literal(name, "the value given"))),
    }
}

fn literal(name: &str, what: &str) -> Diagnostic {
    let first: Vec<&str> = SCHEMES.iter().map(|(scheme, _)| *scheme).collect();
    Diagnostic::error("unknown-secret", format!("`{name}` is sensitive and takes a reference, not {what}"))
        .why("A secret itself would be stored and printed with everything else.")
        .help(format!("Write where it is to be read, such as env:HF_TOKEN; there are {}.", first.join(", ")))
}

/// What is wrong with a secret's reference.
pub(crate) fn misread(secret: &Secret) -> Option<Diagnostic> {
    let (scheme, rest) = secret.secret.split_once(':').unwrap_or((secret.secret.as_str(), ""));
    let known = SCHEMES.map(|(scheme, _)| scheme);
    if known.contains(&scheme) && !rest.is_empty() {
        let (why, help) = match scheme {
            "file" => ("Wherever the secret is read, the whole path leads to the file.", "Write file:/PATH."),
            "ssm" => ("The names of parameters start with a slash here.", "Write ssm:/NAME."),
            _ => return None,
        };
        let finding = Diagnostic::error("unknown-secret", "this does not say where the secret is to be read");
        return (!rest.starts_with('/')).then(|| finding.why(why).help(help));
    }
    let mut finding = Diagnostic::error("unknown-secret", "this does not say where the secret is to be read");
    finding.help = match known.contains(&scheme) {
        true => Some(format!("Name it after the colon: {scheme}:NAME.")),
        false => suggest::help(scheme, known),
    };
    Some(finding.why("A reference is a word, a colon and a name, such as env:HF_TOKEN."))
}
