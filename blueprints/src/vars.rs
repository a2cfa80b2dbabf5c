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

/// What sets a variable.
enum From<'g> {
    Override(&'g Override<'g>),
    File(Place<'g>),
    Environment(&'g Override<'g>),
    Default,
}

impl From<'_> {
    /// What it is called.
    fn origin(&self, sources: &Sources) -> String {
        match self {
            Self::Override(text) | Self::Environment(text) => text.origin.to_owned(),
            Self::File(item) => sources.name(item.document).unwrap_or("a variable file").to_owned(),
            Self::Default => "default".to_owned(),
        }
    }
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
    let mut from = origins(name, sensitive, default.is_some(), given).into_iter();
    let first = from.next();
    let origin = first.as_ref().map(|from| from.origin(sources)).unwrap_or_default();
    let over: Vec<String> = from.map(|from| from.origin(sources)).collect();
    let variable = |value: Value| Variable { name: name.to_owned(), value, origin: origin.clone(), over, sensitive };
    match first {
        Some(From::Environment(text)) if sensitive => {
            Some(variable(Value::Secret(Secret { secret: format!("env:{}", text.origin) })))
        }
        Some(From::Override(text)) if sensitive => {
            let value = reference(name, text.text).map_err(|finding| {
                out.push(finding.at(place.key_at(), format!("set by {origin}, declared here")));
            });
            Some(variable(value.ok()?))
        }
        Some(From::Override(text) | From::Environment(text)) => match rule.parse(name, text.text) {
            Ok(value) => Some(variable(value)),
            Err(wrong) => {
                let declared = format!("set by {origin}, declared here");
                out.extend(wrong.into_iter().map(|misfit| misfit.finding().at(place.key_at(), declared.clone())));
                None
            }
        },
        Some(From::File(item)) if sensitive => {
            // An excerpt of the file would show the secret.
            let declared = format!("set by {origin}, declared here");
            let value = secret(name, &item).map_err(|finding| out.push(finding.at(place.key_at(), declared)));
            Some(variable(value.ok()?))
        }
        Some(From::File(item)) => {
            let wrong = rule.check(name, item.value);
            if wrong.is_empty() {
                return Some(variable(item.value.clone()));
            }
            let declared = |misfit: Misfit| misfit.at(&item, "").also(place.key_at(), "declared here");
            out.extend(wrong.into_iter().map(declared));
            None
        }
        Some(From::Default) => {
            let value = hidden.or_else(|| default.map(|default| default.value.clone()))?;
            fits.then(|| variable(value))
        }
        None => {
            let finding = Diagnostic::error("missing-variable", format!("the variable `{name}` has no value"))
                .at(place.key_at(), "it has no default")
                .help(format!("Give one with --var {name}=…, or add a default."));
            out.push(finding);
            None
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
fn origins<'g>(name: &str, sensitive: bool, default: bool, given: &Given<'g>) -> Vec<From<'g>> {
    let of = |texts: &'g [Override<'g>]| texts.iter().rev().filter(move |text| text.name == name);
    let mut origins: Vec<From<'_>> = of(given.overrides).map(From::Override).collect();
    origins.extend(given.files.iter().rev().filter_map(|file| file.get(name)).map(From::File));
    // A secret is read from the environment as it is, not as it was.
    origins.extend(of(given.environment).filter(|text| !(sensitive && text.remembered)).map(From::Environment));
    origins.extend(default.then_some(From::Default));
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
