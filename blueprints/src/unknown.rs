//! Values inside the expression engine, so that what is known only after apply, and what is secret, can pass through it
//! but never be looked at.
//!
//! The engine gets no copy of the scope but [`View`]s that hand out parts on demand. Each time a part is handed out that
//! is unknown, it goes out as a [`Ticket`] with a number of its own. After evaluation every ticket must have come back as
//! (part of) the result. One that did not has been compared, tested, joined or counted: a computation on an unknown
//! value, whatever the result looks like. Where a ticket may decide something and come back all the same, as in `or` and in
//! filters that sort and choose, the book is told.
//!
//! A view also knows which name of the scope it is a part of, so that a result that is a module as a whole is known to
//! be that module, whatever expression chose it.

use crate::facts::Facts;
use crate::scope::Scope;
use forge_engine::diag::Step;
use forge_engine::value::Value;
use minijinja::value::{Enumerator, Object, ObjectRepr, Value as Jinja, ValueKind};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Under this name functions find the [`Book`] of the evaluation that they are called in. No expression can say it.
pub(crate) const BOOK: &str = "\0book";

/// The tickets handed out during one evaluation, and what its functions may ask; a ticket's number is its index.
#[derive(Debug)]
pub(crate) struct Book {
    pages: Mutex<Pages>,
    pub(crate) facts: Arc<dyn Facts>,
}

#[derive(Debug, Default)]
struct Pages {
    tickets: Vec<Value>,
    /// The first that something was decided by; it may have come back all the same.
    looked_at: Option<Value>,
}

impl Book {
    pub(crate) fn new(facts: Arc<dyn Facts>) -> Self {
        Self { pages: Mutex::default(), facts }
    }

    /// Sends a value out as a ticket.
    pub(crate) fn hand_out(self: &Arc<Self>, value: &Value) -> Jinja {
        let tickets = &mut self.pages().tickets;
        tickets.push(value.clone());
        Jinja::from_object(Ticket { number: tickets.len() - 1, value: value.clone(), book: Arc::clone(self) })
    }

    /// The first value that was computed with: something was decided by it, or its ticket is not among these.
    pub(crate) fn missing(&self, returned: &[usize]) -> Option<Value> {
        let pages = self.pages();
        let missing = pages.tickets.iter().enumerate().find(|(number, _)| !returned.contains(number));
        pages.looked_at.clone().or_else(|| missing.map(|(_, value)| value.clone()))
    }

    /// Remembers that something is decided by a value of the engine, if there is anything unknown in it.
    pub(crate) fn look_at(&self, value: &Jinja) {
        if let Some(unknown) = unknown_among(value) {
            self.pages().looked_at.get_or_insert(unknown);
        }
    }

    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The first part of a value that the engine must not look at.
fn unknown_in(value: &Value) -> Option<&Value> {
    match value {
        Value::Output(_) | Value::Concat(_) | Value::Secret(_) => Some(value),
        Value::List(items) => items.iter().find_map(unknown_in),
        Value::Map(entries) => entries.values().find_map(unknown_in),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}

/// The same, of a value of the engine.
fn unknown_among(value: &Jinja) -> Option<Value> {
    if let Some(ticket) = value.downcast_object_ref::<Ticket>() {
        return Some(ticket.value.clone());
    }
    if let Some(view) = value.downcast_object_ref::<View>() {
        return unknown_in(view.value()).cloned();
    }
    match value.kind() {
        ValueKind::Seq => value.try_iter().ok()?.find_map(|item| unknown_among(&item)),
        ValueKind::Map => value.try_iter().ok()?.find_map(|key| unknown_among(&value.get_item(&key).ok()?)),
        _ => None,
    }
}

/// The book as a value of the engine.
#[derive(Debug)]
pub(crate) struct Handle(pub(crate) Arc<Book>);

impl Object for Handle {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }
}

/// Stands for an unknown value.
#[derive(Debug)]
struct Ticket {
    number: usize,
    value: Value,
    book: Arc<Book>,
}

impl Object for Ticket {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn is_true(self: &Arc<Self>) -> bool {
        self.book.pages().looked_at.get_or_insert_with(|| self.value.clone());
        true
    }
}

/// A list or a mapping of the scope: the part of `root` that the steps lead to.
#[derive(Debug)]
struct View {
    name: Arc<str>,
    root: Arc<Value>,
    steps: Vec<Step>,
    book: Arc<Book>,
}

impl View {
    fn value(&self) -> &Value {
        let mut value: &Value = &self.root;
        for step in &self.steps {
            let next = match (value, step) {
                (Value::List(items), Step::Index(index)) => items.get(*index),
                (Value::Map(entries), Step::Key(key)) => entries.get(key),
                _ => None,
            };
            match next {
                Some(next) => value = next,
                None => return &Value::Null,
            }
        }
        value
    }

    fn part(&self, step: Step) -> Self {
        let mut steps = self.steps.clone();
        steps.push(step);
        Self { name: Arc::clone(&self.name), root: Arc::clone(&self.root), steps, book: Arc::clone(&self.book) }
    }

    /// Its name as expressions say it: `network`, `nets[0]`, `inputs.network`.
    fn path(&self) -> String {
        let mut path = self.name.to_string();
        for step in &self.steps {
            let _ = match step {
                Step::Key(key) => write!(path, ".{key}"),
                Step::Index(index) => write!(path, "[{index}]"),
            };
        }
        path
    }
}

impl Object for View {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        match self.value() {
            Value::List(_) => ObjectRepr::Seq,
            _ => ObjectRepr::Map,
        }
    }

    fn get_value(self: &Arc<Self>, key: &Jinja) -> Option<Jinja> {
        let (step, part) = match self.value() {
            Value::List(items) => {
                let index = key.as_usize()?;
                (Step::Index(index), items.get(index)?)
            }
            Value::Map(entries) => {
                let key = key.as_str()?;
                (Step::Key(key.to_owned()), entries.get(key)?)
            }
            _ => return None,
        };
        Some(match part {
            Value::List(_) | Value::Map(_) => Jinja::from_object(self.part(step)),
            plain => enter(plain, &self.book),
        })
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        match self.value() {
            Value::List(items) => Enumerator::Seq(items.len()),
            Value::Map(entries) => Enumerator::Values(entries.keys().map(Jinja::from).collect()),
            _ => Enumerator::Empty,
        }
    }
}

/// The names that an expression can start with.
#[derive(Debug)]
pub(crate) struct Root {
    pub(crate) scope: Scope,
    pub(crate) book: Arc<Book>,
}

impl Object for Root {
    fn get_value(self: &Arc<Self>, key: &Jinja) -> Option<Jinja> {
        let name = key.as_str()?;
        if name == BOOK {
            return Some(Jinja::from_object(Handle(Arc::clone(&self.book))));
        }
        let value = self.scope.named(name)?;
        Some(match **value {
            Value::List(_) | Value::Map(_) => Jinja::from_object(View {
                name: name.into(),
                root: Arc::clone(value),
                steps: Vec::new(),
                book: Arc::clone(&self.book),
            }),
            _ => enter(value, &self.book),
        })
    }
}

/// A value that is no collection on its way into the engine.
fn enter(value: &Value, book: &Arc<Book>) -> Jinja {
    match value {
        Value::Bool(value) => Jinja::from(*value),
        Value::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(number), _) => Jinja::from(number),
            (None, Some(number)) => Jinja::from(number),
            (None, None) => Jinja::from(number.as_f64().unwrap_or_default()),
        },
        Value::String(text) => Jinja::from(text.as_str()),
        Value::Output(_) | Value::Concat(_) | Value::Secret(_) => book.hand_out(value),
        Value::Null | Value::List(_) | Value::Map(_) => Jinja::from(()),
    }
}

/// What a result is called in the scope, when it is a collection of the scope as it stands there.
pub(crate) fn path(result: &Jinja) -> Option<String> {
    result.downcast_object_ref::<View>().map(View::path)
}

/// How much more may come back, in values; 64 bytes of text are one.
#[derive(Debug)]
pub(crate) struct Budget(Cell<Option<usize>>);

impl Budget {
    pub(crate) fn new(values: usize) -> Self {
        Self(Cell::new(Some(values)))
    }

    /// Takes so many values. When there are not as many, nothing can be taken any more.
    pub(crate) fn spend(&self, values: usize) -> bool {
        self.0.set(self.0.get().and_then(|left| left.checked_sub(values)));
        self.0.get().is_some()
    }

    /// Takes what a value comes to.
    pub(crate) fn spend_on(&self, value: &Value) -> bool {
        match value {
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Output(_) | Value::Secret(_) => self.spend(1),
            Value::String(text) => self.spend(1 + text.len() / 64),
            Value::List(items) | Value::Concat(items) => self.spend(1) && items.iter().all(|item| self.spend_on(item)),
            Value::Map(entries) => self.spend(1) && entries.values().all(|item| self.spend_on(item)),
        }
    }
}

/// A result on its way back; `returned` collects the tickets in it. The error says what it is that is no value.
pub(crate) fn leave(result: &Jinja, returned: &mut Vec<usize>, budget: &Budget) -> Result<Value, String> {
    let within = |value: &Value| match budget.spend_on(value) {
        true => Ok(value.clone()),
        false => Err("it is too large".to_owned()),
    };
    if let Some(ticket) = result.downcast_object_ref::<Ticket>() {
        returned.push(ticket.number);
        return within(&ticket.value);
    }
    if let Some(view) = result.downcast_object_ref::<View>() {
        return within(view.value());
    }
    Ok(match result.kind() {
        ValueKind::None => within(&Value::Null)?,
        ValueKind::Bool => within(&Value::Bool(result.is_true()))?,
        ValueKind::Number => within(&Value::Number(number(result)?))?,
        ValueKind::String => within(&Value::String(result.as_str().unwrap_or_default().to_owned()))?,
        ValueKind::Seq | ValueKind::Iterable => {
            within(&Value::Null)?;
            let items = result.try_iter().map_err(|error| error.to_string())?;
            Value::List(items.map(|item| leave(&item, returned, budget)).collect::<Result<_, _>>()?)
        }
        ValueKind::Map => {
            within(&Value::Null)?;
            let mut entries = BTreeMap::new();
            for key in result.try_iter().map_err(|error| error.to_string())? {
                let item = result.get_item(&key).map_err(|error| error.to_string())?;
                let name = key.as_str().map_or_else(|| key.to_string(), str::to_owned);
                entries.insert(name, leave(&item, returned, budget)?);
            }
            Value::Map(entries)
        }
        ValueKind::Undefined => return Err("it has no value".to_owned()),
        _ => return Err("it is neither text, a number, a bool, a list nor a mapping".to_owned()),
    })
}

fn number(result: &Jinja) -> Result<serde_json::Number, String> {
    if result.is_integer() {
        return i64::try_from(result.clone())
            .map(Into::into)
            .or_else(|_| u64::try_from(result.clone()).map(Into::into))
            .map_err(|_| format!("{result} does not fit 64 bits"));
    }
    f64::try_from(result.clone())
        .ok()
        .and_then(serde_json::Number::from_f64)
        .ok_or_else(|| format!("{result} is no finite number"))
}
