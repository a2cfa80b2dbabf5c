//! Evaluates the expressions in a value.
//!
//! Before an expression runs, every name in it is looked up in the scope, so that a misspelt one is reported with what
//! was meant. The same references give the graph. Then minijinja evaluates it, in expression mode and with undefined
//! values refused; [`crate::unknown`] sees to it that unknown values only pass through. What depends on something that
//! has been reported already stays silent.

use crate::rule::show;
use crate::scan::{self, Piece};
use crate::shape::{Findings, Place, brief, describe};
use crate::sources::Sources;
use crate::suggest;
use crate::unknown::{self, Book, Root};
use forge_engine::diag::{At, Diagnostic};
use forge_engine::value::Value;
use minijinja::{Environment, Expression, UndefinedBehavior, value::Value as Jinja};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Steps that one expression may take; real ones take a few dozen.
const FUEL: u64 = 100_000;

/// The longest expression, in bytes. The compiler recurses once for each operator of a chain, so the length bounds its
/// stack; real expressions stay under 200 bytes.
const MAX_SOURCE: usize = 1024;

/// The longest text that an expression may give, in bytes. User data and policies stay under 16 KiB.
const MAX_TEXT: usize = 64 << 10;

/// The names that expressions may use.
#[derive(Debug, Clone, Default)]
pub(crate) struct Scope {
    names: Arc<BTreeMap<String, Arc<Value>>>,
    /// What the parts of a name are called: variables of `vars`, outputs of a module.
    parts: BTreeMap<String, &'static str>,
    /// Dotted names that have no value because of an error that has been reported.
    broken: BTreeSet<String>,
}

impl Scope {
    /// Adds a name; `part` is what its parts are called in messages.
    pub(crate) fn set(&mut self, name: &str, value: Value, part: &'static str) {
        Arc::make_mut(&mut self.names).insert(name.to_owned(), Arc::new(value));
        self.parts.insert(name.to_owned(), part);
    }

    /// Marks a name (`network`) or a part of one (`network.id`) as reported.
    pub(crate) fn set_broken(&mut self, name: impl Into<String>) {
        self.broken.insert(name.into());
    }

    /// Gives a broken name its value.
    pub(crate) fn mend(&mut self, name: &str, value: Value, part: &'static str) {
        self.broken.remove(name);
        self.set(name, value, part);
    }

    /// The value of a name; none when there is no such name or it is broken.
    pub(crate) fn value(&self, name: &str) -> Option<Value> {
        self.names.get(name).filter(|_| !self.is_broken(name)).map(|value| (**value).clone())
    }

    fn is_broken(&self, reference: &str) -> bool {
        let within = |outer: &str, inner: &str| {
            inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        // What is broken, something in it, or something that it is in.
        let mut prefixes = reference.match_indices('.').map(|(end, _)| &reference[..end]);
        self.broken.contains(reference)
            || prefixes.any(|prefix| self.broken.contains(prefix))
            || self.broken.range(reference.to_owned()..).next().is_some_and(|broken| within(reference, broken))
    }

    /// What is wrong with a reference, and what to do.
    fn check(&self, reference: &str) -> Option<(String, Option<String>)> {
        let mut steps = reference.split('.');
        let root = steps.next().unwrap_or_default();
        let Some(value) = self.names.get(root) else {
            return Some((
                format!("there is no `{root}` to refer to"),
                suggest::help(root, self.names.keys().map(String::as_str)),
            ));
        };
        let mut value: &Value = value;
        let mut path = root.to_owned();
        for (depth, step) in steps.enumerate() {
            match value {
                Value::Map(entries) => match entries.get(step) {
                    Some(next) => value = next,
                    None => {
                        let part = match self.parts.get(root) {
                            Some(part) if depth == 0 => part,
                            _ => "part",
                        };
                        let help = match entries.is_empty() {
                            true => Some(format!("`{path}` has no {part}s.")),
                            false => suggest::help(step, entries.keys().map(String::as_str)),
                        };
                        return Some((format!("`{path}` has no {part} `{step}`"), help));
                    }
                },
                // An optional value may be absent; the expression may well test for that.
                Value::Null => return None,
                Value::Output(_) | Value::Concat(_) => return None,
                other => return Some((format!("`{path}` has no parts: it is {}", describe(other)), None)),
            }
            path = format!("{path}.{step}");
        }
        None
    }
}

/// Evaluates expressions.
pub(crate) struct Evaluator {
    environment: Environment<'static>,
    functions: BTreeSet<String>,
}

impl Evaluator {
    pub(crate) fn new() -> Self {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_fuel(Some(FUEL));
        environment.remove_global("debug");
        // They pad to any width they are told: a few characters could ask for gigabytes.
        for filter in ["format", "indent", "pprint", "batch", "slice"] {
            environment.remove_filter(filter);
        }
        let functions = environment.globals().map(|(name, _)| name.to_owned()).collect();
        Self { environment, functions }
    }

    /// The dotted names that the expressions in a value refer to. What does not parse refers to nothing.
    pub(crate) fn references(&self, value: &Value) -> BTreeSet<String> {
        match value {
            Value::String(text) => scan::pieces(text)
                .unwrap_or_default()
                .iter()
                .filter_map(|piece| match piece {
                    Piece::Expression(source, _) => self.compile(source).ok(),
                    Piece::Text(_) => None,
                })
                .flat_map(|expression| self.names_of(expression.undeclared_variables(true)))
                .collect(),
            Value::List(items) => items.iter().flat_map(|item| self.references(item)).collect(),
            Value::Map(entries) => entries.values().flat_map(|item| self.references(item)).collect(),
            _ => BTreeSet::new(),
        }
    }

    fn compile(&self, source: &str) -> Result<Expression<'_, 'static>, String> {
        if source.len() > MAX_SOURCE {
            return Err(format!("it is {} bytes long; {MAX_SOURCE} are the most", source.len()));
        }
        let compiled = self.environment.compile_expression_owned(source.to_owned());
        compiled.map_err(|error| error.detail().map_or_else(|| error.kind().to_string(), str::to_owned))
    }

    fn names_of(&self, names: impl IntoIterator<Item = String>) -> BTreeSet<String> {
        names.into_iter().filter(|name| !self.functions.contains(name)).collect()
    }

    /// The value with its expressions evaluated; none when something in it has no value, which has then been reported.
    pub(crate) fn evaluate(
        &self,
        place: &Place<'_>,
        scope: &Scope,
        sources: &Sources,
        out: &mut Findings,
    ) -> Option<Value> {
        match place.value {
            Value::String(text) => self.scalar(text, place, scope, sources, out),
            Value::List(items) => {
                let evaluated: Vec<Option<Value>> = items
                    .iter()
                    .enumerate()
                    .map(|(index, value)| {
                        let item = Place { document: place.document, path: place.path.index(index), value };
                        self.evaluate(&item, scope, sources, out)
                    })
                    .collect();
                evaluated.into_iter().collect::<Option<Vec<_>>>().map(Value::List)
            }
            Value::Map(_) => {
                let evaluated: Vec<(String, Option<Value>)> = place
                    .entries()
                    .into_iter()
                    .map(|(key, item)| (key.to_owned(), self.evaluate(&item, scope, sources, out)))
                    .collect();
                let entries = evaluated.into_iter().map(|(key, value)| Some((key, value?)));
                entries.collect::<Option<BTreeMap<_, _>>>().map(Value::Map)
            }
            other => Some(other.clone()),
        }
    }

    fn scalar(
        &self,
        text: &str,
        place: &Place<'_>,
        scope: &Scope,
        sources: &Sources,
        out: &mut Findings,
    ) -> Option<Value> {
        let at = |range| sources.within(place.document, &place.path, range);
        let pieces = match scan::pieces(text) {
            Ok(pieces) => pieces,
            Err(range) => {
                let finding = Diagnostic::error("expression-syntax", "nothing closes this expression")
                    .at(at(range), "starts here")
                    .help("Close it with }, or write $${ if a literal ${ is meant.");
                out.push(finding);
                return None;
            }
        };
        if let [Piece::Expression(source, range)] = pieces.as_slice() {
            return self.expression(source, &|| at(range.clone()), scope, out);
        }
        let mut parts = Vec::new();
        let mut complete = true;
        for piece in pieces {
            match piece {
                Piece::Text(text) => push(&mut parts, Value::String(text.to_owned())),
                Piece::Expression(source, range) => match self.expression(source, &|| at(range.clone()), scope, out) {
                    Some(value @ (Value::Null | Value::List(_) | Value::Map(_))) => {
                        let summary =
                            format!("`{}` is {}, which text cannot hold", brief(source.trim()), describe(&value));
                        out.push(Diagnostic::error("wrong-type", summary).at(at(range), "expected text or a number"));
                        complete = false;
                    }
                    Some(value) => push(&mut parts, value),
                    None => complete = false,
                },
            }
        }
        if !complete {
            return None;
        }
        Some(match parts.as_slice() {
            [] => Value::String(String::new()),
            [Value::String(text)] => Value::String(text.clone()),
            _ => Value::Concat(parts),
        })
    }

    fn expression(&self, source: &str, at: &dyn Fn() -> At, scope: &Scope, out: &mut Findings) -> Option<Value> {
        let refuse = |id, summary: String, why: Option<String>, help: Option<String>, out: &mut Findings| {
            let mut finding = Diagnostic::error(id, summary).at(at(), "");
            (finding.why, finding.help) = (why, help);
            out.push(finding);
        };
        let expression = match self.compile(source) {
            Ok(expression) => expression,
            Err(why) => {
                let why = format!("{}.", brief(&why));
                refuse("expression-syntax", "this is no expression".to_owned(), Some(why), None, out);
                return None;
            }
        };
        let references = self.names_of(expression.undeclared_variables(true));
        let wrong: Vec<_> = references
            .iter()
            .filter(|reference| !scope.is_broken(reference))
            .filter_map(|reference| scope.check(reference))
            .collect();
        if !wrong.is_empty() || references.iter().any(|reference| scope.is_broken(reference)) {
            for (summary, help) in wrong {
                refuse("unknown-reference", summary, None, help, out);
            }
            return None;
        }
        let book = Arc::new(Book::default());
        let root = Root { names: Arc::clone(&scope.names), book: Arc::clone(&book) };
        let mut returned = Vec::new();
        let result = expression.eval(Jinja::from_object(root)).map_err(|error| {
            error.detail().map_or_else(|| error.kind().to_string(), |detail| format!("{}: {detail}", error.kind()))
        });
        let result = result.and_then(|result| unknown::leave(&result, &mut returned));
        if let Some(name) = book.missing(&returned) {
            let why = "A plan must be complete before anything is touched, so nothing may be computed from what apply will find out.";
            let help = format!("Pass it on as it is, ${{{}}}, alone or inside text.", first_of(&references));
            let summary = format!("cannot compute with {name}: it is known only after apply");
            refuse("unknown-value", summary, Some(why.to_owned()), Some(help), out);
            return None;
        }
        match result {
            Ok(Value::String(text)) if text.len() > MAX_TEXT => {
                let summary = format!("the result is {} bytes long; {MAX_TEXT} are the most", text.len());
                refuse("expression", summary, None, None, out);
                None
            }
            Ok(value) => Some(value),
            Err(why) => {
                refuse(
                    "expression",
                    format!("`{}` has no result", brief(source.trim())),
                    Some(format!("{}.", brief(&why))),
                    None,
                    out,
                );
                None
            }
        }
    }
}

fn first_of(references: &BTreeSet<String>) -> &str {
    references.first().map_or("", String::as_str)
}

/// Appends to text, joining what is known.
fn push(parts: &mut Vec<Value>, value: Value) {
    match (parts.last_mut(), value) {
        (_, Value::Concat(inner)) => inner.into_iter().for_each(|part| push(parts, part)),
        (_, value @ Value::Output(_)) => parts.push(value),
        (Some(Value::String(text)), value) => text.push_str(&show(&value)),
        (_, value) => parts.push(Value::String(show(&value))),
    }
}

/// Reports expressions where none are evaluated.
pub(crate) fn refuse_expressions(place: &Place<'_>, sources: &Sources, out: &mut Findings) {
    match place.value {
        Value::String(text) => {
            let range = match scan::pieces(text) {
                Ok(pieces) => pieces.into_iter().find_map(|piece| match piece {
                    Piece::Expression(_, range) => Some(range),
                    Piece::Text(_) => None,
                }),
                Err(range) => Some(range),
            };
            if let Some(range) = range {
                let finding = Diagnostic::error("expression-not-here", "no expression can stand here")
                    .at(sources.within(place.document, &place.path, range), "")
                    .why("This is read before anything that an expression could refer to.")
                    .help("Write the value itself, or $${ if a literal ${ is meant.");
                out.push(finding);
            }
        }
        Value::List(items) => {
            for (index, value) in items.iter().enumerate() {
                let item = Place { document: place.document, path: place.path.index(index), value };
                refuse_expressions(&item, sources, out);
            }
        }
        Value::Map(_) => place.entries().iter().for_each(|(_, item)| refuse_expressions(item, sources, out)),
        _ => {}
    }
}

/// The name that a value refers to when it is nothing but that: `network` of `${network}`.
pub(crate) fn sole_name(value: &Value) -> Option<&str> {
    let Value::String(text) = value else { return None };
    match scan::pieces(text).ok()?.as_slice() {
        [Piece::Expression(source, _)] => {
            let name = source.trim();
            let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
            (plain && !name.is_empty()).then_some(name)
        }
        _ => None,
    }
}

/// The name of a module that a path in a document passes through: `gpus` of `modules.gpus.with.count`.
pub(crate) fn root_of(reference: &str) -> &str {
    reference.split('.').next().unwrap_or_default()
}
