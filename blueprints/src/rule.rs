//! What a variable or an input may be: its type, its range, its allowed values. One set of rules for both.

use crate::language;
use crate::shape::{Findings, Place, advice, brief, describe, written};
use crate::suggest;
use forge_engine::diag::{Diagnostic, Step};
use forge_engine::value::Value;
use regex_lite::Regex;

/// The type of a variable or an input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Type {
    String,
    Int,
    Number,
    Bool,
    List,
    Map,
    /// The outputs of a module; inputs only.
    Module,
    /// Whatever `enum` lists; the type when none is written.
    Enum,
}

impl Type {
    const ALL: [(&'static str, Self); 7] = [
        ("string", Self::String),
        ("int", Self::Int),
        ("number", Self::Number),
        ("bool", Self::Bool),
        ("list", Self::List),
        ("map", Self::Map),
        ("module", Self::Module),
    ];

    fn article(self) -> &'static str {
        match self {
            Self::String => "a string",
            Self::Int => "an int",
            Self::Number => "a number",
            Self::Bool => "a bool (true or false)",
            Self::List => "a list",
            Self::Map => "a mapping",
            Self::Module => "a module",
            Self::Enum => "one of those listed",
        }
    }

    fn admits(self, value: &Value) -> bool {
        match (self, value) {
            // What is known only after apply is checked by the kind that takes it.
            (_, Value::Output(_)) | (Self::Enum, _) => true,
            (Self::String, Value::Secret(_)) => true,
            (Self::String, Value::String(_) | Value::Concat(_))
            | (Self::Number, Value::Number(_))
            | (Self::Bool, Value::Bool(_))
            | (Self::List, Value::List(_))
            | (Self::Map | Self::Module, Value::Map(_)) => true,
            (Self::Int, Value::Number(number)) => !number.is_f64(),
            _ => false,
        }
    }
}

/// What a value must be.
#[derive(Debug, Clone)]
pub(crate) struct Rule {
    pub(crate) kind: Type,
    min: Option<f64>,
    max: Option<f64>,
    allowed: Option<Vec<Value>>,
    pattern: Option<Regex>,
    /// What every item of a list, or value of a map, must be.
    items: Option<Box<Rule>>,
}

/// What is wrong with a value, said of the thing called `name`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Misfit {
    pub(crate) id: &'static str,
    /// Which item of the value, where it is about one.
    pub(crate) steps: Vec<Step>,
    pub(crate) summary: String,
    pub(crate) help: Option<String>,
}

impl Misfit {
    /// The finding, still without a place.
    pub(crate) fn finding(self) -> Diagnostic {
        let mut finding = Diagnostic::error(self.id, self.summary);
        finding.help = self.help;
        finding
    }

    /// The finding at the value that stands at a place, or at the item of it that it is about.
    pub(crate) fn at(self, place: &Place<'_>, text: &str) -> Diagnostic {
        let at = place.inside(&self.steps).value_at();
        self.finding().at(at, text)
    }
}

impl Rule {
    /// Reads a rule; none without a type that exists.
    pub(crate) fn read(place: &Place<'_>, modules_too: bool, out: &mut Findings) -> Option<Self> {
        let kind = Self::kind(place, modules_too, out);
        if let Some(description) = place.get("description") {
            description.text(out);
        }
        let mut rule = Self { kind: kind?, min: None, max: None, allowed: None, pattern: None, items: None };
        let measured = !matches!(rule.kind, Type::Bool | Type::Module | Type::Enum);
        for (key, slot) in [("min", &mut rule.min), ("max", &mut rule.max)] {
            let Some(bound) = place.get(key) else { continue };
            match bound.value {
                Value::Number(number) if measured => *slot = number.as_f64(),
                _ => {
                    let summary = if measured {
                        format!("`{key}` must be a number, not {}", describe(bound.value))
                    } else {
                        format!("`{key}` is for numbers, and for the length of strings, lists and maps")
                    };
                    out.push(Diagnostic::error("bad-rule", summary).at(bound.value_at(), ""));
                }
            }
        }
        if let (Some(min), Some(max)) = (rule.min, rule.max)
            && min > max
            && let Some(bound) = place.get("min")
        {
            let summary = format!("nothing is at least {min} and at most {max}");
            let finding = Diagnostic::error("bad-rule", summary).at(bound.value_at(), "");
            out.push(finding.help("Swap the two, or change one."));
            // Every value would be out of this range.
            (rule.min, rule.max) = (None, None);
        }
        if let Some(items) = place.get("items") {
            if !matches!(rule.kind, Type::List | Type::Map) {
                out.push(Diagnostic::error("bad-rule", "`items` is for lists and maps").at(items.key_at(), ""));
            } else if items.shape(&language::RULE.names(), out) {
                rule.items = Self::read(&items, false, out).map(Box::new);
            }
        }
        if let Some(allowed) = place.get("enum")
            && let Some(items) = allowed.list(out)
        {
            for item in &items {
                if !rule.kind.admits(item.value) {
                    let summary =
                        format!("`enum` lists {}, which is not {}", describe(item.value), rule.kind.article());
                    out.push(Diagnostic::error("bad-rule", summary).at(item.value_at(), ""));
                }
            }
            rule.allowed = Some(items.iter().map(|item| item.value.clone()).collect());
        }
        rule.pattern = Self::pattern(place, rule.kind, out);
        Some(rule)
    }

    fn kind(place: &Place<'_>, modules_too: bool, out: &mut Findings) -> Option<Type> {
        let Some(at) = place.get("type") else {
            if place.get("enum").is_some() {
                return Some(Type::Enum);
            }
            let finding = Diagnostic::error("missing-key", format!("`{}` has no type", place.name()))
                .at(place.key_at(), "")
                .help("Add `type:` with string, int, number, bool, list or map, or list the values under `enum:`.");
            out.push(finding);
            return None;
        };
        let word = at.text(out)?;
        if word == "enum" && place.get("enum").is_some() {
            return Some(Type::Enum);
        }
        let names = Type::ALL.iter().filter(|(_, kind)| modules_too || *kind != Type::Module);
        let found = names.clone().find(|(name, _)| *name == word);
        if found.is_none() {
            let mut finding =
                Diagnostic::error("unknown-type", format!("there is no type `{word}`")).at(at.value_at(), "");
            finding.help = suggest::help(word, names.map(|(name, _)| *name));
            out.push(finding);
        }
        found.map(|(_, kind)| *kind)
    }

    fn pattern(place: &Place<'_>, kind: Type, out: &mut Findings) -> Option<Regex> {
        let at = place.get("pattern")?;
        if kind != Type::String {
            out.push(Diagnostic::error("bad-rule", "`pattern` is for strings only").at(at.value_at(), ""));
            return None;
        }
        match Regex::new(&format!("^(?:{})$", at.text(out)?)) {
            Ok(regex) => Some(regex),
            Err(error) => {
                let finding = Diagnostic::error("bad-rule", "`pattern` is not a regular expression")
                    .at(at.value_at(), "")
                    .why(format!("{error}."));
                out.push(finding);
                None
            }
        }
    }

    /// What is wrong with a value, each wrong item of it included.
    pub(crate) fn check(&self, name: &str, value: &Value) -> Vec<Misfit> {
        let misfit = |id, summary, help| Misfit { id, steps: Vec::new(), summary, help };
        if !self.kind.admits(value) {
            let wanted = self.kind.article();
            let summary = format!("`{name}` must be {wanted}, not {}", describe(value));
            return vec![misfit("wrong-type", summary, advice(value, wanted))];
        }
        if let Some((summary, help)) = self.measure(name, value) {
            return vec![misfit("out-of-range", summary, Some(help))];
        }
        let mut wrong: Vec<Misfit> = Vec::new();
        if let Some(rule) = &self.items {
            let items: Vec<(String, Step, &Value)> = match value {
                Value::List(items) => items
                    .iter()
                    .enumerate()
                    .map(|(index, item)| (format!("{name}[{index}]"), Step::Index(index), item))
                    .collect(),
                Value::Map(entries) => entries
                    .iter()
                    .map(|(key, item)| (format!("{name}.{}", written(key)), Step::Key(key.clone()), item))
                    .collect(),
                _ => Vec::new(),
            };
            for (name, step, item) in items {
                wrong.extend(rule.check(&name, item).into_iter().map(|mut misfit| {
                    misfit.steps.insert(0, step.clone());
                    misfit
                }));
            }
        }
        if let Some(allowed) = &self.allowed
            && value.is_known()
            && !allowed.contains(value)
        {
            let words: Vec<String> = allowed.iter().map(show).collect();
            let help = suggest::help(&show(value), words.iter().map(String::as_str));
            wrong.push(misfit("not-allowed", format!("`{name}` cannot be {}", written(&show(value))), help));
        } else if let (Some(pattern), Value::String(text)) = (&self.pattern, value)
            && !pattern.is_match(text)
        {
            let expression = pattern.as_str();
            let expression = expression.strip_prefix("^(?:").and_then(|rest| rest.strip_suffix(")$"));
            let help = expression.map(|expression| format!("It must match the regular expression {expression}"));
            wrong.push(misfit("not-allowed", format!("`{name}` cannot be {:?}", brief(text)), help));
        }
        wrong
    }

    /// What is wrong with the size of a value, and what to do.
    fn measure(&self, name: &str, value: &Value) -> Option<(String, String)> {
        let (measure, one, many) = match value {
            Value::Number(number) => (number.as_f64()?, "", ""),
            Value::String(text) => (text.chars().count() as f64, " character", " characters"),
            Value::List(items) => (items.len() as f64, " item", " items"),
            Value::Map(entries) => (entries.len() as f64, " entry", " entries"),
            _ => return None,
        };
        if self.min.is_none_or(|min| measure >= min) && self.max.is_none_or(|max| measure <= max) {
            return None;
        }
        let (range, more, last) = match (self.min, self.max) {
            (Some(min), Some(max)) => (format!("from {min} to {max}"), format!("a number from {min} to {max}"), max),
            (Some(min), None) => (format!("at least {min}"), format!("{min} or more"), min),
            (None, Some(max)) => (format!("at most {max}"), format!("{max} or less"), max),
            (None, None) => return None,
        };
        if many.is_empty() {
            return Some((format!("`{name}` must be {range}, not {}", show(value)), format!("Write {more}.")));
        }
        let unit = if last == 1.0 { one } else { many };
        Some((format!("`{name}` must have {range}{unit}, not {measure}"), format!("Write {range}{unit}.")))
    }

    /// A value from text that came without a type: `--var nodes=4`. Lists and maps are JSON.
    pub(crate) fn parse(&self, name: &str, text: &str) -> Result<Value, Vec<Misfit>> {
        let parsed = match self.kind {
            Type::String => Some(Value::String(text.to_owned())),
            Type::Bool => text.parse().ok().map(Value::Bool),
            Type::Enum => self.allowed.iter().flatten().find(|value| show(value) == text).cloned(),
            _ => serde_json::from_str::<serde_json::Value>(text).ok().map(Value::from),
        };
        let value = parsed.unwrap_or_else(|| Value::String(text.to_owned()));
        let wrong = self.check(name, &value);
        if wrong.is_empty() {
            return Ok(value);
        }
        let told = wrong.into_iter().map(|misfit| match self.kind {
            _ if misfit.id != "wrong-type" || !misfit.steps.is_empty() => misfit,
            Type::List | Type::Map => Misfit { help: Some("Write lists and maps as JSON.".to_owned()), ..misfit },
            // Text from outside has no quotes to remove.
            _ => Misfit { help: None, ..misfit },
        });
        Err(told.collect())
    }
}

/// A known value as people read it.
pub(crate) fn show(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_json().map_or_else(|| describe(other), |json| json.to_string()),
    }
}
