//! Evaluates the expressions in a value.
//!
//! Before an expression runs, every name in it is looked up in the scope, so that a misspelt one is reported with what
//! was meant. The same references give the graph. Then minijinja evaluates it, in expression mode and with undefined
//! values refused; [`crate::unknown`] sees to it that unknown values only pass through. What depends on something that
//! has been reported already stays silent.

use crate::facts::Facts;
use crate::filters;
use crate::mentions::mentions;
use crate::rule::show;
use crate::scan::{self, Piece};
use crate::scope::{Items, Key, Passed, Scope};
use crate::shape::{self, Findings, Place, brief, describe};
use crate::sources::Sources;
use crate::unknown::{self, Book, Budget, Root};
use crate::uses::{ODD_KEY, is_plain};
use forge_engine::diag::{At, Diagnostic};
use forge_engine::value::Value;
use minijinja::{Environment, Expression, UndefinedBehavior, value::Value as Jinja};
use std::cell::{Cell, OnceCell, RefCell};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;
use std::sync::{Arc, LazyLock};

/// Steps that one expression may take; real ones take a few dozen.
const FUEL: u64 = 100_000;

/// The longest expression, in bytes. The compiler recurses once for each operator of a chain, so the length bounds its
/// stack; real expressions stay under 200 bytes.
const MAX_SOURCE: usize = 1024;

/// The most values that a blueprint may come to, those of its modules included; 64 bytes of text are one. A cluster of
/// 2,000 resources comes to about 100,000, and a few expressions could ask for billions.
const MAX_VALUES: usize = 2_000_000;

/// What a module, or a resource, counts for in [`MAX_VALUES`].
pub(crate) const INSTANCE: usize = 100;

/// The longest text that an expression may give, in bytes. User data and policies stay under 16 KiB.
const MAX_TEXT: usize = 64 << 10;

/// The language of expressions. It never changes, so compiled expressions may keep to it.
static ENVIRONMENT: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_fuel(Some(FUEL));
    environment.remove_global("debug");
    // They pad to any width they are told: a few characters could ask for gigabytes.
    for filter in ["format", "indent", "pprint", "batch", "slice"] {
        environment.remove_filter(filter);
    }
    // For templates and web pages; `tojson` writes `<` as an escape, `json` does not.
    for filter in ["e", "escape", "safe", "tojson"] {
        environment.remove_filter(filter);
    }
    environment.remove_global("namespace");
    environment.remove_test("safe");
    environment.remove_test("escaped");
    filters::add(&mut environment);
    environment
});

/// An expression, ready to be evaluated.
struct Compiled {
    /// Made when it is needed first; of a name that has a value it seldom is.
    expression: OnceCell<Expression<'static, 'static>>,
    /// The dotted names that it refers to.
    references: BTreeSet<String>,
}

impl Compiled {
    /// The result, or why there is none.
    fn eval(&self, source: &str, root: Jinja) -> Result<Jinja, String> {
        let expression = match self.expression.get() {
            Some(expression) => expression,
            None => {
                let made = made(source)?;
                self.expression.get_or_init(|| made)
            }
        };
        expression.eval(root).map_err(|error| {
            error.detail().map_or_else(|| error.kind().to_string(), |detail| format!("{}: {detail}", error.kind()))
        })
    }
}

/// The engine's form of an expression, or why it is none.
fn made(source: &str) -> Result<Expression<'static, 'static>, String> {
    let made = ENVIRONMENT.compile_expression_owned(source.to_owned());
    made.map_err(|error| error.detail().map_or_else(|| error.kind().to_string(), str::to_owned))
}

/// Whether an expression is a name, perhaps with parts: `inputs.network.id`.
fn is_dotted(source: &str) -> bool {
    source.split('.').all(|step| {
        step.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
            && step.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
            && !shape::WORDS.contains(&step)
    })
}

/// Evaluates expressions.
pub(crate) struct Evaluator {
    functions: BTreeSet<String>,
    facts: Arc<dyn Facts>,
    /// By source; a failure is remembered as well.
    compiled: RefCell<HashMap<String, Result<Rc<Compiled>, String>>>,
    budget: Budget,
    /// Whether it has been said that the budget is used up.
    said: Cell<bool>,
    /// How much advice may still be given.
    advice: Cell<usize>,
}

impl Evaluator {
    pub(crate) fn new(facts: Arc<dyn Facts>) -> Self {
        let functions = ENVIRONMENT.globals().map(|(name, _)| name.to_owned()).collect();
        Self {
            functions,
            facts,
            compiled: RefCell::default(),
            budget: Budget::new(MAX_VALUES),
            said: Cell::new(false),
            advice: Cell::new(MAX_ADVICE),
        }
    }

    /// What may have been meant by a name, which takes as long as there are names: nothing once it has been said often.
    pub(crate) fn advise(&self, help: impl FnOnce() -> Option<String>) -> Option<String> {
        let left = self.advice.get();
        self.advice.set(left.saturating_sub(1));
        if left == 0 { None } else { help() }
    }

    /// Whether expressions call a function by this name.
    pub(crate) fn is_function(&self, name: &str) -> bool {
        self.functions.contains(name)
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
                .flat_map(|compiled| compiled.references.clone())
                .collect(),
            Value::List(items) => items.iter().flat_map(|item| self.references(item)).collect(),
            Value::Map(entries) => entries.values().flat_map(|item| self.references(item)).collect(),
            _ => BTreeSet::new(),
        }
    }

    fn compile(&self, source: &str) -> Result<Rc<Compiled>, String> {
        if let Some(found) = self.compiled.borrow().get(source) {
            return found.clone();
        }
        let compiled = self.compile_anew(source).map(Rc::new);
        self.compiled.borrow_mut().insert(source.to_owned(), compiled.clone());
        compiled
    }

    fn compile_anew(&self, source: &str) -> Result<Compiled, String> {
        if source.len() > MAX_SOURCE {
            return Err(format!("it is {} bytes long; {MAX_SOURCE} are the most", source.len()));
        }
        let name = source.trim();
        if is_dotted(name) && !self.functions.contains(name) {
            let references = [name.to_owned()].into();
            return Ok(Compiled { expression: OnceCell::new(), references });
        }
        let expression = OnceCell::from(made(source)?);
        let references = mentions(source).into_iter().filter(|name| !self.functions.contains(name)).collect();
        Ok(Compiled { expression, references })
    }

    /// The value with its expressions evaluated; none when something in it has no value, which has then been reported.
    pub(crate) fn evaluate(
        &self,
        place: &Place<'_>,
        scope: &Scope,
        sources: &Sources,
        out: &mut Findings,
    ) -> Option<Value> {
        if !self.affords(1, &|| place.value_at(), out) {
            return None;
        }
        match place.value {
            Value::String(text) => self.scalar(text, place, scope, sources, out).map(|(value, _)| value),
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
            Value::Map(entries) if is_repetition(entries) => self.repetition(place, scope, sources, out),
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

    /// Takes values from the budget. When it is used up, that is said, once.
    pub(crate) fn affords(&self, values: usize, at: &dyn Fn() -> At, out: &mut Findings) -> bool {
        let affords = self.budget.spend(values);
        if !affords && !self.said.replace(true) {
            let finding = Diagnostic::error("too-large", format!("this comes to more than {MAX_VALUES} values"))
                .at(at(), "here the count is reached")
                .why(format!("So many are the most for a blueprint with all of its modules; each module and each resource counts as {INSTANCE}."))
                .help("Repetition inside repetition multiplies: go over fewer items, or make several blueprints of this one.");
            out.push(finding);
        }
        affords
    }

    /// The value, and the module that it is as a whole, if it is one.
    pub(crate) fn evaluate_whole(
        &self,
        place: &Place<'_>,
        scope: &Scope,
        sources: &Sources,
        out: &mut Findings,
    ) -> Option<(Value, Option<Passed>)> {
        let Value::String(text) = place.value else {
            return self.evaluate(place, scope, sources, out).map(|value| (value, None));
        };
        let (value, path) = self.scalar(text, place, scope, sources, out)?;
        let whole = path.and_then(|path| scope.module(&path).cloned().map(|whole| (path, whole)));
        Some((value, whole))
    }

    /// A list, or a mapping, with an item for each item of another.
    fn repetition(&self, place: &Place<'_>, scope: &Scope, sources: &Sources, out: &mut Findings) -> Option<Value> {
        let items = self.items(&place.get("for_each")?, scope, sources, out)?;
        let value = place.get("value")?;
        let list = matches!(items, Items::List(_));
        let mut results = Vec::new();
        let mut complete = true;
        for (key, item) in items.each() {
            let scope = scope.with_each(&key, item);
            if let Some(when) = place.get("when") {
                match self.holds(&when, &scope, sources, out) {
                    Some(true) => {}
                    Some(false) => continue,
                    None => {
                        complete = false;
                        continue;
                    }
                }
            }
            match self.evaluate(&value, &scope, sources, out) {
                Some(value) => results.push((key, value)),
                None => complete = false,
            }
        }
        let name = |key: Key| match key {
            Key::Index(index) => index.to_string(),
            Key::Name(name) => name,
        };
        complete.then(|| match list {
            true => Value::List(results.into_iter().map(|(_, value)| value).collect()),
            false => Value::Map(results.into_iter().map(|(key, value)| (name(key), value)).collect()),
        })
    }

    /// What a `for_each` goes over.
    pub(crate) fn items(
        &self,
        place: &Place<'_>,
        scope: &Scope,
        sources: &Sources,
        out: &mut Findings,
    ) -> Option<Items> {
        let value = self.evaluate(place, scope, sources, out)?;
        let (id, summary, help) = match value {
            Value::List(items) if items.len() <= MAX_ITEMS => return Some(Items::List(items)),
            Value::Map(entries) if entries.len() <= MAX_ITEMS => return Some(Items::Map(entries)),
            Value::List(_) | Value::Map(_) => {
                ("bad-for-each", format!("`for_each` goes over more than {MAX_ITEMS} items"), None)
            }
            Value::Output(output) => {
                let help = "Go over something that the blueprint knows, such as a list of names.";
                ("unknown-value", format!("cannot repeat over {output}: it is known only after apply"), Some(help))
            }
            other => {
                let help = "Write a list, a mapping, or ${range(3)} for three of them.";
                (
                    "bad-for-each",
                    format!("`for_each` goes over a list or a mapping, not {}", describe(&other)),
                    Some(help),
                )
            }
        };
        let mut finding = Diagnostic::error(id, summary).at(place.value_at(), "");
        finding.help = help.map(str::to_owned);
        out.push(finding);
        None
    }

    /// What the `for_each` of a resource or a module goes over: its keys become parts of addresses.
    pub(crate) fn instances(
        &self,
        place: &Place<'_>,
        scope: &Scope,
        sources: &Sources,
        out: &mut Findings,
    ) -> Option<Items> {
        let items = self.items(place, scope, sources, out)?;
        let Items::Map(entries) = &items else { return Some(items) };
        let Some(odd) = entries.keys().find(|key| !is_plain(key)) else { return Some(items) };
        let written = place.entries().into_iter().find(|(key, _)| key == odd);
        let at = written.map_or_else(|| place.value_at(), |(_, entry)| entry.key_at());
        let summary = format!("`{}` cannot tell an instance from others", brief(&odd.escape_debug().to_string()));
        let finding = Diagnostic::error("bad-for-each", summary).at(at, "").why(ODD_KEY);
        out.push(finding.help("Choose another key, of letters, digits, `-`, `_` and `.`."));
        None
    }

    /// Whether a condition holds; none when it has no value, which has then been reported.
    pub(crate) fn holds(
        &self,
        place: &Place<'_>,
        scope: &Scope,
        sources: &Sources,
        out: &mut Findings,
    ) -> Option<bool> {
        let value = self.evaluate(place, scope, sources, out)?;
        let (id, summary) = match value {
            Value::Bool(holds) => return Some(holds),
            Value::Output(output) => {
                ("unknown-value", format!("cannot branch on {output}: it is known only after apply"))
            }
            other => ("wrong-type", format!("`{}` must be true or false, not {}", place.name(), describe(&other))),
        };
        out.push(Diagnostic::error(id, summary).at(place.value_at(), ""));
        None
    }

    fn scalar(
        &self,
        text: &str,
        place: &Place<'_>,
        scope: &Scope,
        sources: &Sources,
        out: &mut Findings,
    ) -> Option<(Value, Option<String>)> {
        if !text.contains("${") {
            if !self.affords(text.len() / 64, &|| place.value_at(), out) {
                return None;
            }
            return Some((Value::String(text.to_owned()), None));
        }
        let at = |range| sources.within(place.document, &place.path.path(), range);
        // Most expressions are names. What needs no engine gets none, unless something has to be said of it.
        let name = text.strip_prefix("${").and_then(|text| text.strip_suffix('}')).map(str::trim);
        if let Some(name) = name.filter(|name| is_dotted(name))
            && let Some(value) = scope.look_up(name)
            && !matches!(value, Value::Secret(_))
            && !matches!(value, Value::String(text) if text.len() > MAX_TEXT)
        {
            self.budget.spend_on(value);
            let path = matches!(value, Value::List(_) | Value::Map(_)).then(|| name.to_owned());
            return self.affords(0, &|| at(0..text.len()), out).then(|| (value.clone(), path));
        }
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
                    Some((Value::Secret(secret), _)) => {
                        let finding = Diagnostic::error("secret-in-text", format!("{secret} cannot be a part of text"))
                            .at(at(range), "")
                            .why("A secret is read last, by whoever uses it; until then there is only its reference.")
                            .help("Let it stand alone, and put the words around it where it is used.");
                        out.push(finding);
                        complete = false;
                    }
                    Some((value @ (Value::Null | Value::List(_) | Value::Map(_)), _)) => {
                        let summary =
                            format!("`{}` is {}, which text cannot hold", brief(source.trim()), describe(&value));
                        out.push(Diagnostic::error("wrong-type", summary).at(at(range), "expected text or a number"));
                        complete = false;
                    }
                    Some((value, _)) => push(&mut parts, value),
                    None => complete = false,
                },
            }
        }
        if !complete {
            return None;
        }
        let value = match parts.as_slice() {
            [] => Value::String(String::new()),
            [Value::String(text)] => Value::String(text.clone()),
            _ => Value::Concat(parts),
        };
        Some((value, None))
    }

    /// The result, and the name in the scope that it is.
    fn expression(
        &self,
        source: &str,
        at: &dyn Fn() -> At,
        scope: &Scope,
        out: &mut Findings,
    ) -> Option<(Value, Option<String>)> {
        let refuse = |id, summary: String, why: Option<String>, help: Option<String>, out: &mut Findings| {
            let mut finding = Diagnostic::error(id, summary).at(at(), "");
            (finding.why, finding.help) = (why, help);
            out.push(finding);
        };
        let compiled = match self.compile(source) {
            Ok(compiled) => compiled,
            Err(why) => {
                let why = format!("{}.", brief(&why));
                refuse("expression-syntax", "this is no expression".to_owned(), Some(why), None, out);
                return None;
            }
        };
        let references = &compiled.references;
        let wrong: Vec<_> = references
            .iter()
            .filter(|reference| !scope.is_broken(reference))
            .filter_map(|reference| scope.check(reference, self))
            .collect();
        if !wrong.is_empty() || references.iter().any(|reference| scope.is_broken(reference)) {
            for (summary, help) in wrong {
                refuse("unknown-reference", summary, None, help, out);
            }
            return None;
        }
        let book = Arc::new(Book::new(Arc::clone(&self.facts)));
        let root = Root { scope: scope.clone(), book: Arc::clone(&book) };
        let mut returned = Vec::new();
        let result = compiled.eval(source, Jinja::from_object(root));
        let path = result.as_ref().ok().and_then(unknown::path);
        let result = result.and_then(|result| unknown::leave(&result, &mut returned, &self.budget));
        if !self.affords(0, at, out) {
            return None;
        }
        let missing = book.missing(&returned);
        if let Some(Value::Secret(secret)) = &missing {
            let why = "A secret is read last, by whoever uses it; until then there is only its reference.";
            let summary = format!("cannot compute with {secret}");
            refuse("unknown-value", summary, Some(why.to_owned()), Some("Pass it on alone, as it is.".to_owned()), out);
            return None;
        }
        if let Some(missing) = missing {
            let name = missing.outputs().first().map_or_else(String::new, ToString::to_string);
            let why = "A plan must be complete before anything is touched, so nothing may be computed from what apply will find out.";
            let unknown = references.iter().find(|name| scope.look_up(name).is_some_and(|value| !value.is_known()));
            let name_of = unknown.or(references.first()).map_or("", String::as_str);
            let help = format!("Pass it on as it is, ${{{name_of}}}, alone or inside text.");
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
            Ok(value) => {
                if let Value::Secret(secret) = &value
                    && let Some(finding) = crate::vars::misread(secret)
                {
                    out.push(finding.at(at(), ""));
                    return None;
                }
                Some((value, path))
            }
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

/// The most items that one `for_each` goes over. The largest clusters have 10,000 nodes, in far fewer groups.
const MAX_ITEMS: usize = 10_000;

/// How many misspelt names are told what may have been meant. It takes time that grows with the names there are, and of
/// so many mistakes not all are shown.
const MAX_ADVICE: usize = 100;

/// A mapping that stands for a list, or another mapping, made by going over one.
pub(crate) fn is_repetition(entries: &BTreeMap<String, Value>) -> bool {
    let known = |key: &String| ["for_each", "value", "when"].contains(&key.as_str());
    entries.contains_key("for_each") && entries.contains_key("value") && entries.keys().all(known)
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

/// Whether an expression stands anywhere in a value.
pub(crate) fn holds_expression(value: &Value) -> bool {
    match value {
        Value::String(text) => match scan::pieces(text) {
            Ok(pieces) => pieces.iter().any(|piece| matches!(piece, Piece::Expression(..))),
            Err(_) => true,
        },
        Value::List(items) => items.iter().any(holds_expression),
        Value::Map(entries) => entries.values().any(holds_expression),
        _ => false,
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
                    .at(sources.within(place.document, &place.path.path(), range), "")
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

/// The name of a module that a path in a document passes through: `gpus` of `modules.gpus.with.count`.
pub(crate) fn root_of(reference: &str) -> &str {
    reference.split('.').next().unwrap_or_default()
}
