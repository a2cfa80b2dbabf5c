//! A resource's specification against its kind.
//!
//! The kind's JSON Schema says what each field may be, and so where a specification is wrong and what would be right: all
//! of it at once, and before everything in it is known. What only the kind itself can tell it is asked last.

use crate::shape::{advice, describe, written};
use crate::suggest;
use forge_engine::diag::{Path, Step};
use forge_engine::kind::AnyKind;
use forge_engine::value::Value;
use serde_json::Value as Json;

/// What is wrong with a specification.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Misfit {
    /// What.
    pub(crate) summary: String,
    /// Where in the specification.
    pub(crate) steps: Vec<Step>,
    /// Whether it is about the key there and not about the value.
    pub(crate) key: bool,
    /// What to do.
    pub(crate) help: Option<String>,
}

/// The fields of a kind's specification. Making its schema is slow, so that it is asked once.
#[derive(Debug)]
pub(crate) struct Shape {
    schema: Json,
}

impl Shape {
    /// The shape of a kind.
    pub(crate) fn of(kind: &dyn AnyKind) -> Self {
        let mut schema = kind.schema();
        // A kind without fields takes none.
        if schema.get("properties").is_none() && schema.get("additionalProperties").is_none() && schema.is_object() {
            schema["additionalProperties"] = Json::Bool(false);
        }
        Self { schema }
    }

    /// Whether there is such a field.
    pub(crate) fn has(&self, field: &str) -> bool {
        self.schema.get("properties").is_some_and(|properties| properties.get(field).is_some())
    }
}

/// The specification in its kind's normal form when all of it is known; else as it is.
pub(crate) fn normal(kind: &dyn AnyKind, shape: &Shape, spec: Value) -> Result<Value, Vec<Misfit>> {
    let mut walk = Walk { kind: kind.name(), root: &shape.schema, steps: Vec::new(), depth: 0 };
    let misfits = walk.misfits(&shape.schema, &spec);
    if !misfits.is_empty() {
        return Err(misfits);
    }
    let Some(json) = spec.to_json() else { return Ok(spec) };
    match kind.normalize(&json) {
        // What is secret stays a secret, and does not become a mapping that looks like one.
        Ok(normal) => Ok(if has_secret(&spec) { spec } else { Value::from(normal) }),
        Err(error) => {
            let summary = format!("{} does not accept this: {error}", kind.name());
            Err(vec![Misfit { summary, steps: Vec::new(), key: true, help: None }])
        }
    }
}

fn has_secret(value: &Value) -> bool {
    match value {
        Value::Secret(_) => true,
        Value::List(items) | Value::Concat(items) => items.iter().any(has_secret),
        Value::Map(entries) => entries.values().any(has_secret),
        _ => false,
    }
}

/// The most schemas one inside the other; those of kinds reach 10. One that leads to itself would have no end.
const MAX_DEPTH: usize = 100;

/// A walk through a value beside its schema.
struct Walk<'a> {
    kind: &'a str,
    root: &'a Json,
    /// Where the walk is.
    steps: Vec<Step>,
    depth: usize,
}

impl<'a> Walk<'a> {
    fn misfits(&mut self, schema: &'a Json, value: &Value) -> Vec<Misfit> {
        self.depth += 1;
        let found = if self.depth > MAX_DEPTH { Vec::new() } else { self.compare(schema, value) };
        self.depth -= 1;
        found
    }

    /// Whether a secret's reference may stand there: what reads the value knows of secrets.
    fn takes_secret(&self, schema: &Json, depth: usize) -> bool {
        if depth == 0 {
            return false;
        }
        if let Some(definition) = schema.get("$ref").and_then(Json::as_str) {
            let found = definition.strip_prefix('#').and_then(|pointer| self.root.pointer(pointer));
            return found.is_some_and(|schema| self.takes_secret(schema, depth - 1));
        }
        match schema.get("anyOf").or(schema.get("oneOf")).and_then(Json::as_array) {
            Some(choices) => choices.iter().any(|choice| self.takes_secret(choice, depth - 1)),
            // What takes anything takes a reference as well.
            None if schema.get("type").is_none() && words(schema).is_none() => true,
            None => schema.pointer("/properties/secret").is_some(),
        }
    }

    fn compare(&mut self, schema: &'a Json, value: &Value) -> Vec<Misfit> {
        match value {
            // What only apply knows, the kind sees when it is known.
            Value::Output(_) | Value::Concat(_) => return Vec::new(),
            Value::Secret(_) if self.takes_secret(schema, MAX_DEPTH) => return Vec::new(),
            Value::Secret(_) => {
                let help = "Only some fields take one, and `env:` of a job does.";
                return vec![self.misfit("takes no secret", false, Some(help.to_owned()))];
            }
            _ => {}
        }
        if let Some(definition) = schema.get("$ref").and_then(Json::as_str) {
            let found = definition.strip_prefix('#').and_then(|pointer| self.root.pointer(pointer));
            return found.map(|schema| self.misfits(schema, value)).unwrap_or_default();
        }
        if let Some(words) = words(schema) {
            return self.word(&words, value);
        }
        if let Some(choices) = schema.get("anyOf").or(schema.get("oneOf")).and_then(Json::as_array) {
            return self.choice(choices, value);
        }
        let types = types(schema);
        if !types.is_empty() && !types.iter().any(|name| is(name, value)) {
            let named = types.iter().find(|name| **name != "null").map_or("nothing", |name| article(name));
            let said = format!("must be {named}, not {}", describe(value));
            return vec![self.misfit(&said, false, advice(value, named))];
        }
        match value {
            Value::Number(_) => self.range(schema, value).into_iter().collect(),
            Value::List(items) => {
                let Some(rule) = schema.get("items") else { return Vec::new() };
                let items = items.iter().enumerate();
                items.flat_map(|(index, item)| self.inside(Step::Index(index), rule, item)).collect()
            }
            Value::Map(entries) => {
                let mut wrong = Vec::new();
                let properties = schema.get("properties").and_then(Json::as_object);
                let others = schema.get("additionalProperties");
                for (key, item) in entries {
                    let rule = properties.and_then(|properties| properties.get(key)).or(others);
                    match rule {
                        Some(Json::Bool(false)) => {
                            let known = properties.into_iter().flat_map(|properties| properties.keys());
                            let known: Vec<&str> = known.map(String::as_str).collect();
                            let help = suggest::help(key, known.iter().copied());
                            let mut misfit = self.misfit(&format!("has no field `{}`", written(key)), true, help);
                            misfit.help = misfit.help.or_else(|| Some("It has no fields.".to_owned()));
                            misfit.steps.push(Step::Key(key.clone()));
                            wrong.push(misfit);
                        }
                        Some(rule) => wrong.extend(self.inside(Step::Key(key.clone()), rule, item)),
                        None => {}
                    }
                }
                let required = schema.get("required").and_then(Json::as_array).into_iter().flatten();
                for field in required.filter_map(Json::as_str).filter(|field| !entries.contains_key(*field)) {
                    wrong.push(self.misfit(
                        &format!("needs the field `{field}`"),
                        true,
                        Some(format!("Add `{field}:`.")),
                    ));
                }
                wrong
            }
            _ => Vec::new(),
        }
    }

    fn inside(&mut self, step: Step, schema: &'a Json, value: &Value) -> Vec<Misfit> {
        self.steps.push(step);
        let found = self.misfits(schema, value);
        self.steps.pop();
        found
    }

    /// A value that may have one of several shapes.
    fn choice(&mut self, choices: &'a [Json], value: &Value) -> Vec<Misfit> {
        // Nothing is no shape that somebody who wrote something meant.
        let meant: Vec<&Json> = choices.iter().filter(|choice| types(choice) != ["null"]).collect();
        if *value == Value::Null && meant.len() < choices.len() {
            return Vec::new();
        }
        let mut tried: Vec<Vec<Misfit>> = meant.into_iter().map(|choice| self.misfits(choice, value)).collect();
        if tried.iter().any(Vec::is_empty) {
            return Vec::new();
        }
        // The one that is right furthest in: what is wrong with it is deepest.
        let depth = |misfits: &Vec<Misfit>| misfits.iter().map(|misfit| misfit.steps.len()).max();
        let best = (0..tried.len()).max_by_key(|index| tried.get(*index).and_then(depth));
        best.map(|index| tried.swap_remove(index)).unwrap_or_default()
    }

    fn word(&self, words: &[&str], value: &Value) -> Vec<Misfit> {
        match value {
            Value::String(text) if words.contains(&text.as_str()) => Vec::new(),
            Value::String(text) => {
                let help = suggest::help(text, words.iter().copied());
                vec![self.misfit(&format!("cannot be {:?}", written(text)), false, help)]
            }
            other => {
                let help = suggest::help("", words.iter().copied());
                vec![self.misfit(&format!("must be a string, not {}", describe(other)), false, help)]
            }
        }
    }

    fn range(&self, schema: &Json, value: &Value) -> Option<Misfit> {
        let Value::Number(number) = value else { return None };
        let bound = |key: &str| schema.get(key).and_then(Json::as_f64);
        let (number, min, max) = (number.as_f64()?, bound("minimum"), bound("maximum"));
        if min.is_some_and(|min| number < min) {
            let min = min?;
            return Some(self.misfit(
                &format!("must be at least {min}, not {number}"),
                false,
                Some(format!("Write {min} or more.")),
            ));
        }
        let max = max.filter(|max| number > *max)?;
        Some(self.misfit(&format!("must be at most {max}, not {number}"), false, Some(format!("Write {max} or less."))))
    }

    fn misfit(&self, said: &str, key: bool, help: Option<String>) -> Misfit {
        let summary = match self.steps.is_empty() {
            true => format!("{} {said}", self.kind),
            false => format!("`{}` of {} {said}", written(&Path(self.steps.clone()).to_string()), self.kind),
        };
        Misfit { summary, steps: self.steps.clone(), key, help }
    }
}

/// The words that a schema admits, when it admits nothing but words.
fn words(schema: &Json) -> Option<Vec<&str>> {
    if let Some(words) = schema.get("enum").and_then(Json::as_array) {
        return words.iter().map(Json::as_str).collect();
    }
    if let Some(word) = schema.get("const") {
        return Some(vec![word.as_str()?]);
    }
    let choices = schema.get("oneOf").and_then(Json::as_array)?;
    Some(choices.iter().map(words).collect::<Option<Vec<_>>>()?.concat())
}

fn types(schema: &Json) -> Vec<&str> {
    match schema.get("type") {
        Some(Json::String(name)) => vec![name],
        Some(Json::Array(names)) => names.iter().filter_map(Json::as_str).collect(),
        _ => Vec::new(),
    }
}

fn is(name: &str, value: &Value) -> bool {
    match name {
        "null" => *value == Value::Null,
        "string" => matches!(value, Value::String(_)),
        "integer" => matches!(value, Value::Number(number) if !number.is_f64()),
        "number" => matches!(value, Value::Number(_)),
        "boolean" => matches!(value, Value::Bool(_)),
        "array" => matches!(value, Value::List(_)),
        "object" => matches!(value, Value::Map(_)),
        _ => true,
    }
}

fn article(name: &str) -> &'static str {
    match name {
        "string" => "a string",
        "integer" => "an int",
        "number" => "a number",
        "boolean" => "true or false",
        "array" => "a list",
        _ => "a mapping",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn said(schema: &Json, value: Json) -> Vec<String> {
        let mut walk = Walk { kind: "k", root: schema, steps: Vec::new(), depth: 0 };
        let misfits = walk.misfits(schema, &Value::from(value));
        misfits
            .into_iter()
            .map(|misfit| format!("{} [{}] {}", misfit.summary, Path(misfit.steps), misfit.help.unwrap_or_default()))
            .collect()
    }

    #[test]
    fn what_is_wrong_is_said_where_it_is() {
        let schema = json!({
            "type": "object",
            "additionalProperties": false,
            "required": ["cards"],
            "properties": {
                "cards": {"type": "array", "items": {"$ref": "#/$defs/card"}},
                "mode": {"anyOf": [{"$ref": "#/$defs/mode"}, {"type": "null"}]},
                "size": {"type": ["integer", "null"], "minimum": 0, "maximum": 9},
                "any": true,
                "tags": {"type": ["object", "null"], "additionalProperties": {"type": "string"}},
                "from": {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]},
            },
            "$defs": {
                "card": {
                    "type": "object", "additionalProperties": false, "required": ["kind"],
                    "properties": {"kind": {"type": "string", "enum": ["efa", "ena"]}, "again": {"$ref": "#/$defs/card"}},
                },
                "mode": {"oneOf": [{"const": "fast", "type": "string"}, {"const": "slow", "type": "string"}]},
            },
        });
        let table: Vec<(Json, &[&str])> = vec![
            (json!({"cards": [], "mode": null, "size": null, "any": [1], "tags": null, "from": ["a"]}), &[]),
            (json!({"cards": [{"kind": "efa", "again": {"kind": "ena"}}], "mode": "slow", "from": "a"}), &[]),
            (json!({}), &["k needs the field `cards` [] Add `cards:`."]),
            (
                json!({"crads": []}),
                &["k has no field `crads` [crads] Did you mean `cards`?", "k needs the field `cards` [] Add `cards:`."],
            ),
            (
                json!({"cards": [{"kind": "eaf"}, {"knd": 1}]}),
                &[
                    "`cards[0].kind` of k cannot be \"eaf\" [cards[0].kind] Did you mean `efa`?",
                    "`cards[1]` of k has no field `knd` [cards[1].knd] Did you mean `kind`?",
                    "`cards[1]` of k needs the field `kind` [cards[1]] Add `kind:`.",
                ],
            ),
            (
                json!({"cards": {}, "mode": "fats", "size": 10, "tags": {"a": 1}, "from": [1]}),
                &[
                    "`cards` of k must be a list, not a mapping [cards] ",
                    "`from[0]` of k must be a string, not the number 1 [from[0]] Quote it.",
                    "`mode` of k cannot be \"fats\" [mode] Did you mean `fast`?",
                    "`size` of k must be at most 9, not 10 [size] Write 9 or less.",
                    "`tags.a` of k must be a string, not the number 1 [tags.a] Quote it.",
                ],
            ),
            (
                json!({"cards": [], "size": -1, "mode": 3}),
                &[
                    "`mode` of k must be a string, not the number 3 [mode] There are `fast`, `slow`.",
                    "`size` of k must be at least 0, not -1 [size] Write 0 or more.",
                ],
            ),
        ];
        for (value, wanted) in table {
            assert_eq!(said(&schema, value.clone()), wanted, "{value}");
        }
    }

    #[test]
    fn a_schema_without_an_end_ends() {
        let schema = json!({"$ref": "#"});
        assert_eq!(said(&schema, json!(1)), Vec::<String>::new());
    }
}
