//! The names that an expression may use, what they stand for, and what to say of one that there is not.

use crate::expr::Evaluator;
use crate::shape::describe;
use crate::suggest;
use forge_engine::value::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

/// The names that expressions may use. Scopes share their names: a clone costs nothing, but the first change to either
/// of the two then copies all of them. So a scope is changed only while it has no clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Scope {
    names: Arc<Names>,
    /// `each`, where something is repeated; it stands apart, so that the instances of thousands share all other names.
    each: Option<Arc<Value>>,
}

#[derive(Debug, Clone, Default)]
struct Names {
    values: BTreeMap<String, Named>,
    /// Dotted names that have no value because of an error that has been reported.
    broken: BTreeSet<String>,
    /// The names that are modules as a whole.
    modules: BTreeMap<String, Arc<Whole>>,
    /// Those that an input may choose by itself, by each type that they may stand for.
    by_type: BTreeMap<String, BTreeSet<String>>,
}

#[derive(Debug, Clone)]
struct Named {
    value: Arc<Value>,
    /// What its parts are called: variables of `vars`, outputs of a module.
    part: &'static str,
}

/// A module as a value.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Whole {
    /// Where it stands: `network`, `gpus["a"].net`.
    pub(crate) address: String,
    /// Its type, and those that it may stand for.
    pub(crate) types: Vec<String>,
}

/// A module as a whole, and what it is called in the scope.
pub(crate) type Passed = (String, Arc<Whole>);

impl Scope {
    /// Adds a name; `part` is what its parts are called in messages.
    pub(crate) fn set(&mut self, name: &str, value: impl Into<Arc<Value>>, part: &'static str) {
        self.names_mut().values.insert(name.to_owned(), Named { value: value.into(), part });
    }

    /// Adds a part to a name that is a mapping.
    pub(crate) fn put(&mut self, name: &str, key: &str, value: Value) {
        let Some(named) = self.names_mut().values.get_mut(name) else { return };
        if let Value::Map(entries) = Arc::make_mut(&mut named.value) {
            entries.insert(key.to_owned(), value);
        }
    }

    /// Says that what is called `path` is a module as a whole, and of which types.
    pub(crate) fn set_module(&mut self, path: impl Into<String>, module: Arc<Whole>) {
        let path = path.into();
        let names = self.names_mut();
        // Instances of several have to be chosen by hand.
        if !path.contains('[') && (!path.contains('.') || path.starts_with("inputs.")) {
            for name in &module.types {
                names.by_type.entry(name.clone()).or_default().insert(path.clone());
            }
        }
        names.modules.insert(path, module);
    }

    /// The module that is called `path`.
    pub(crate) fn module(&self, path: &str) -> Option<&Arc<Whole>> {
        self.names.modules.get(path)
    }

    /// The names of all modules as a whole.
    pub(crate) fn modules(&self) -> impl Iterator<Item = &str> {
        self.names.modules.keys().map(String::as_str)
    }

    /// The first names of modules, other than `own`, that may stand for one of these types, or for any when there are
    /// none; without instances of several. The second is how many there are; of very many and of several types, at least.
    pub(crate) fn modules_of(&self, types: &[&str], own: &str, most: usize) -> (Vec<&str>, usize) {
        let by_type = &self.names.by_type;
        let fits: Vec<&BTreeSet<String>> = match types {
            [] => by_type.values().collect(),
            types => types.iter().filter_map(|name| by_type.get(*name)).collect(),
        };
        let others = |fits: &'_ BTreeSet<String>| fits.len() - usize::from(fits.contains(own));
        match fits.as_slice() {
            [fits] => {
                let names = fits.iter().map(String::as_str).filter(|name| *name != own);
                (names.take(most).collect(), others(fits))
            }
            several => {
                let names = several.iter().flat_map(|fits| fits.iter().take(10 * most)).map(String::as_str);
                let names: BTreeSet<&str> = names.filter(|name| *name != own).collect();
                let count = names.len();
                (names.into_iter().take(most).collect(), count)
            }
        }
    }

    /// Marks a name (`network`) or a part of one (`network.id`) as reported.
    pub(crate) fn set_broken(&mut self, name: impl Into<String>) {
        self.names_mut().broken.insert(name.into());
    }

    /// Gives a broken name its value.
    pub(crate) fn mend(&mut self, name: &str, value: Value, part: &'static str) {
        self.unbreak(name);
        self.set(name, value, part);
    }

    /// A part of a name has its value now.
    pub(crate) fn unbreak(&mut self, name: &str) {
        self.names_mut().broken.remove(name);
    }

    /// The same names, and `each.key` and `each.value`.
    pub(crate) fn with_each(&self, key: &Key, value: Value) -> Self {
        let key = match key {
            Key::Index(index) => Value::Number((*index).into()),
            Key::Name(name) => Value::String(name.clone()),
        };
        let each = Value::Map([("key".to_owned(), key), ("value".to_owned(), value)].into());
        Self { names: Arc::clone(&self.names), each: Some(Arc::new(each)) }
    }

    /// What a name stands for, broken or not.
    pub(crate) fn named(&self, name: &str) -> Option<&Arc<Value>> {
        match &self.each {
            Some(each) if name == "each" => Some(each),
            _ => self.names.values.get(name).map(|named| &named.value),
        }
    }

    /// The value of a name; none when there is no such name or it is broken.
    pub(crate) fn look_up(&self, path: &str) -> Option<&Value> {
        let mut steps = path.split('.');
        let mut value: &Value = self.named(steps.next()?).filter(|_| !self.is_broken(path))?;
        for step in steps {
            let Value::Map(entries) = value else { return None };
            value = entries.get(step)?;
        }
        Some(value)
    }

    fn names_mut(&mut self) -> &mut Names {
        Arc::make_mut(&mut self.names)
    }

    pub(crate) fn is_broken(&self, reference: &str) -> bool {
        let within = |outer: &str, inner: &str| {
            inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        // What is broken, something in it, or something that it is in.
        let broken = &self.names.broken;
        let mut prefixes = reference.match_indices('.').map(|(end, _)| &reference[..end]);
        prefixes.any(|prefix| broken.contains(prefix))
            || broken
                .range::<str, _>((Bound::Included(reference), Bound::Unbounded))
                .next()
                .is_some_and(|broken| within(reference, broken))
    }

    /// What is wrong with a reference, and what to do.
    pub(crate) fn check(&self, reference: &str, evaluator: &Evaluator) -> Option<(String, Option<String>)> {
        let mut steps = reference.split('.');
        let root = steps.next().unwrap_or_default();
        let Some(value) = self.named(root) else {
            let help = || {
                let mut names: Vec<&str> = self.names.values.keys().map(String::as_str).collect();
                names.extend(self.each.as_ref().map(|_| "each"));
                names.sort_unstable();
                suggest::help(root, names.iter().copied())
            };
            return Some((format!("there is no `{root}` to refer to"), evaluator.advise(help)));
        };
        let mut value: &Value = value;
        let mut path = root.to_owned();
        for (depth, step) in steps.enumerate() {
            match value {
                Value::Map(entries) => match entries.get(step) {
                    Some(next) => value = next,
                    None => {
                        let part = match self.names.values.get(root) {
                            Some(named) if depth == 0 => named.part,
                            _ => "part",
                        };
                        let help = match entries.is_empty() {
                            true => Some(format!("`{path}` has no {part}s.")),
                            false => evaluator.advise(|| suggest::help(step, entries.keys().map(String::as_str))),
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

/// What a `for_each` goes over.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Items {
    List(Vec<Value>),
    Map(BTreeMap<String, Value>),
}

/// Which of several instances.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Key {
    /// By position: `[0]`.
    Index(usize),
    /// By name: `["a"]`.
    Name(String),
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Index(index) => write!(f, "[{index}]"),
            Self::Name(name) => write!(f, "[{name:?}]"),
        }
    }
}

impl Items {
    /// The items with what they are told apart by, in order.
    pub(crate) fn each(self) -> Vec<(Key, Value)> {
        match self {
            Self::List(items) => items.into_iter().enumerate().map(|(index, item)| (Key::Index(index), item)).collect(),
            Self::Map(entries) => entries.into_iter().map(|(name, item)| (Key::Name(name), item)).collect(),
        }
    }
}
