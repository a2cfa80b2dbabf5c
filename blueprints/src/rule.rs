//! What a variable or an input may be: its type, its range, its allowed values. One set of rules for both.

use crate::language;
use crate::shape::{Findings, Place, advice, brief, describe};
use crate::suggest;
use forge_engine::diag::Diagnostic;
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
            out.push(Diagnostic::error("bad-rule", summary).at(bound.value_at(), ""));
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

    /// Whether a value fits.
    pub(crate) fn check(&self, name: &str, value: &Value) -> Result<(), Misfit> {
        if !self.kind.admits(value) {
            let wanted = self.kind.article();
            let summary = format!("`{name}` must be {wanted}, not {}", describe(value));
            return Err(Misfit { id: "wrong-type", summary, help: advice(value, wanted) });
        }
        let (measure, unit) = match value {
            Value::Number(number) => (number.as_f64(), ""),
            Value::String(text) => (Some(text.chars().count() as f64), " characters"),
            Value::List(items) => (Some(items.len() as f64), " items"),
            Value::Map(entries) => (Some(entries.len() as f64), " entries"),
            _ => (None, ""),
        };
        let low = measure.is_some_and(|measure| self.min.is_some_and(|min| measure < min));
        let high = measure.is_some_and(|measure| self.max.is_some_and(|max| measure > max));
        if let (true, Some(measure)) = (low || high, measure) {
            let range = match (self.min, self.max) {
                (Some(min), Some(max)) => format!("from {min} to {max}"),
                (Some(min), None) => format!("at least {min}"),
                (None, Some(max)) => format!("at most {max}"),
                (None, None) => String::new(),
            };
            let summary = match unit {
                "" => format!("`{name}` must be {range}, not {}", show(value)),
                _ => format!("`{name}` must have {range}{unit}, not {measure}"),
            };
            return Err(Misfit { id: "out-of-range", summary, help: None });
        }
        if let Some(rule) = &self.items {
            let items: Vec<(String, &Value)> = match value {
                Value::List(items) => {
                    items.iter().enumerate().map(|(index, item)| (format!("{name}[{index}]"), item)).collect()
                }
                Value::Map(entries) => entries.iter().map(|(key, item)| (format!("{name}.{key}"), item)).collect(),
                _ => Vec::new(),
            };
            for (name, item) in items {
                rule.check(&name, item)?;
            }
        }
        if let Some(allowed) = &self.allowed
            && value.is_known()
            && !allowed.contains(value)
        {
            let words: Vec<String> = allowed.iter().map(show).collect();
            let help = suggest::help(&show(value), words.iter().map(String::as_str));
            return Err(Misfit {
                id: "not-allowed",
                summary: format!("`{name}` cannot be {}", brief(&show(value))),
                help,
            });
        }
        if let (Some(pattern), Value::String(text)) = (&self.pattern, value)
            && !pattern.is_match(text)
        {
            let expression = pattern.as_str();
            let expression = expression.strip_prefix("^(?:").and_then(|rest| rest.strip_suffix(")$"));
            let help = expression.map(|expression| format!("It must match the regular expression {expression}"));
            let summary = format!("`{name}` cannot be {:?}", brief(text));
            return Err(Misfit { id: "not-allowed", summary, help });
        }
        Ok(())
    }

    /// A value from text that came without a type: `--var nodes=4`. Lists and maps are JSON.
    pub(crate) fn parse(&self, name: &str, text: &str) -> Result<Value, Misfit> {
        let parsed = match self.kind {
            Type::String => Some(Value::String(text.to_owned())),
            Type::Bool => text.parse().ok().map(Value::Bool),
            Type::Enum => self.allowed.iter().flatten().find(|value| show(value) == text).cloned(),
            _ => serde_json::from_str::<serde_json::Value>(text).ok().map(Value::from),
        };
        let value = parsed.unwrap_or_else(|| Value::String(text.to_owned()));
        self.check(name, &value).map(|()| value).map_err(|misfit| match self.kind {
            Type::List | Type::Map if misfit.id == "wrong-type" => {
                Misfit { help: Some("Write lists and maps as JSON.".to_owned()), ..misfit }
            }
            // Text from outside has no quotes to remove.
            _ if misfit.id == "wrong-type" => Misfit { help: None, ..misfit },
            _ => misfit,
        })
    }
}

/// A known value as people read it.
pub(crate) fn show(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_json().map_or_else(|| describe(other), |json| json.to_string()),
    }
}
