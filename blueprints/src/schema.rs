//! JSON Schema (draft 2020-12) of blueprints and of `module.yaml`, for editors.
//!
//! The keys come from the tables in `language`, the inputs of built-in modules from their own documents. Wherever a
//! value may be an expression, a string with `${…}` in it fits too: what it comes to only forge knows. Null is refused,
//! although forge reads it as absent: a key that was not finished should show.

use crate::language::{
    BLUEPRINT, DURATION, IDENTIFIER, INSTANCE, Key, LABEL, MODULE, MODULE_PATH, Shape, Table, USE, VARIABLE,
};
use crate::module::ModuleSource;
use crate::yaml::{self, Node};
use forge_engine::diag::DocumentId;
use forge_engine::value::Value;
use serde_json::{Map, Value as Json, json};
use std::collections::BTreeMap;

/// The schema of blueprints that may use these modules.
#[must_use]
pub fn blueprint(modules: &[ModuleSource<'_>]) -> Json {
    document(&BLUEPRINT, "A blueprint of forge", modules)
}

/// The schema of `module.yaml`, where modules may be made of these modules.
#[must_use]
pub fn module(modules: &[ModuleSource<'_>]) -> Json {
    document(&MODULE, "A module of forge", modules)
}

fn document(table: &'static Table, about: &str, modules: &[ModuleSource<'_>]) -> Json {
    let mut writer = Writer { defs: BTreeMap::new() };
    let mut schema = writer.table(table);
    if let Json::Object(uses) = writer.table(&USE) {
        writer.defs.insert(USE.name, Json::Object(with_modules(uses, modules)));
    }
    if let Some(variable) = writer.defs.get_mut(VARIABLE.name) {
        // Of a secret there is only its reference, which no rule is about.
        let never = ["pattern", "enum", "min", "max", "items"].map(|key| (key.to_owned(), Json::Bool(false)));
        let mut properties = Map::from_iter(never);
        properties.insert("type".to_owned(), json!({"const": "string"}));
        variable["if"] = json!({"properties": {"sensitive": {"const": true}}, "required": ["sensitive"]});
        variable["then"] = json!({"properties": properties, "required": ["type"]});
    }
    writer.defs.insert("expression", json!({"type": "string", "pattern": r"\$\{"}));
    schema["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    // No title: editors would show it at every hover.
    schema["description"] = json!(about);
    schema["$defs"] = json!(writer.defs);
    schema
}

struct Writer {
    defs: BTreeMap<&'static str, Json>,
}

impl Writer {
    fn table(&mut self, table: &'static Table) -> Json {
        let properties: Map<String, Json> =
            table.keys().map(|key| (key.name.to_owned(), self.key(key, table.open))).collect();
        let required: Vec<_> = table.keys().filter(|key| key.required).map(|key| key.name).collect();
        let mut schema = json!({"type": "object", "additionalProperties": false, "properties": properties});
        if !required.is_empty() {
            schema["required"] = json!(required);
        }
        schema
    }

    fn key(&mut self, key: &Key, open: bool) -> Json {
        let mut schema = self.shape(&key.shape, open);
        schema["description"] = json!(key.description);
        if let Some(default) = key.default {
            schema["default"] = serde_json::from_str(default).unwrap_or_default();
        }
        schema
    }

    fn shape(&mut self, shape: &Shape, open: bool) -> Json {
        let closed = match shape {
            Shape::Any => return json!({}),
            Shape::Text => return json!({"type": "string"}),
            Shape::Word => return json!({"type": ["string", "number", "boolean"]}),
            Shape::Expression => return expression(),
            Shape::Pattern(pattern) => json!({"type": "string", "pattern": whole(pattern)}),
            Shape::Duration => json!({"type": "string", "pattern": whole(DURATION)}),
            Shape::Bool => json!({"type": "boolean"}),
            Shape::Number => json!({"type": "number"}),
            Shape::Count(min) => json!({"type": "integer", "minimum": min}),
            Shape::Port => json!({"type": "integer", "minimum": 1, "maximum": u16::MAX}),
            Shape::Choice(words) => json!({"type": "string", "enum": words}),
            Shape::List(items) => json!({"type": "array", "items": self.shape(items, open)}),
            Shape::Map(values) => json!({"type": "object", "additionalProperties": self.shape(values, open)}),
            Shape::Named(values) => self.named(IDENTIFIER, values, open),
            Shape::Labelled(values) => self.named(LABEL, values, open),
            Shape::Uses => json!({
                "type": "object", "additionalProperties": false,
                "patternProperties": {whole(INSTANCE): {"$ref": format!("#/$defs/{}", USE.name)}},
            }),
            Shape::Tags => json!({
                "type": "object", "maxProperties": 40, "additionalProperties": {"type": "string"},
                "propertyNames": {"not": {"pattern": "^(forge|aws):"}},
            }),
            Shape::Keys(table) => self.reference(table),
            Shape::Either(shapes) => {
                let any: Vec<Json> = shapes.iter().map(|shape| self.shape(shape, false)).collect();
                return json!({"anyOf": any.into_iter().chain(open.then(expression)).collect::<Vec<_>>()});
            }
        };
        if open { or_expression(closed) } else { closed }
    }

    fn named(&mut self, names: &str, values: &Shape, open: bool) -> Json {
        json!({
            "type": "object", "additionalProperties": false,
            "patternProperties": {whole(names): self.shape(values, open)},
        })
    }

    fn reference(&mut self, table: &'static Table) -> Json {
        if !self.defs.contains_key(table.name) {
            // First a place for it: tables may hold themselves.
            self.defs.insert(table.name, Json::Null);
            let schema = self.table(table);
            self.defs.insert(table.name, schema);
        }
        json!({"$ref": format!("#/$defs/{}", table.name)})
    }
}

fn expression() -> Json {
    json!({"$ref": "#/$defs/expression"})
}

fn or_expression(schema: Json) -> Json {
    json!({"anyOf": [schema, expression()]})
}

fn whole(pattern: &str) -> String {
    format!("^(?:{pattern})$")
}

/// A use of a module: which there are, and for each what `with` may hold.
fn with_modules(mut uses: Map<String, Json>, modules: &[ModuleSource<'_>]) -> Map<String, Json> {
    let documents: Vec<(&str, Value)> = modules.iter().map(|source| (source.name, read(source))).collect();
    let names: Vec<&str> = documents.iter().map(|(name, _)| *name).collect();
    let about = documents.iter().map(|(_, document)| text(document, "description").unwrap_or_default());
    let description = uses["properties"]["use"]["description"].take();
    uses["properties"]["use"] = json!({
        "description": description,
        "anyOf": [
            {"type": "string", "enum": names, "enumDescriptions": about.collect::<Vec<_>>()},
            {"type": "string", "pattern": whole(MODULE_PATH)},
        ],
    });
    let branches = documents.iter().map(|(name, document)| {
        json!({
            "if": {"properties": {"use": {"const": name}}, "required": ["use"]},
            "then": inputs(document),
        })
    });
    uses.insert("allOf".to_owned(), branches.collect());
    uses
}

/// What holds of a use of a module: its inputs.
fn inputs(document: &Value) -> Json {
    let inputs = match get(document, "inputs") {
        Some(Value::Map(inputs)) => inputs.clone(),
        _ => BTreeMap::new(),
    };
    let properties: Map<String, Json> = inputs.iter().map(|(name, rule)| (name.clone(), input(rule))).collect();
    let required: Vec<&str> =
        inputs.iter().filter(|(_, rule)| is_required(rule)).map(|(name, _)| name.as_str()).collect();
    let mut with = json!({"type": "object", "additionalProperties": false, "properties": properties});
    let mut schema = json!({});
    if !required.is_empty() {
        with["required"] = json!(required);
        schema["required"] = json!(["with"]);
    }
    schema["properties"] = json!({"with": with});
    schema
}

fn input(rule: &Value) -> Json {
    let mut schema = match text(rule, "type") {
        Some("module") => expression(),
        _ => or_expression(fits(rule)),
    };
    let about = [text(rule, "description").map(str::to_owned), modules_taken(rule)];
    schema["description"] = json!(about.into_iter().flatten().collect::<Vec<_>>().join(". "));
    if let Some(default) = get(rule, "default").filter(|_| text(rule, "type") != Some("module")) {
        schema["default"] = json(default);
    }
    schema
}

/// Whether a use of the module must say an input.
pub(crate) fn is_required(rule: &Value) -> bool {
    get(rule, "default").is_none() && get(rule, "optional") != Some(&Value::Bool(true))
}

fn modules_taken(rule: &Value) -> Option<String> {
    let Some(Value::List(names)) = get(rule, "module") else { return None };
    let names: Vec<&str> = names.iter().filter_map(string).collect();
    Some(format!("A module: {}", names.join(" or ")))
}

/// The schema of a value that a rule of the language asks for.
fn fits(rule: &Value) -> Json {
    let (name, sizes) = match text(rule, "type") {
        Some("string") => ("string", ("minLength", "maxLength")),
        Some("int") => ("integer", ("minimum", "maximum")),
        Some("number") => ("number", ("minimum", "maximum")),
        Some("bool") => ("boolean", ("", "")),
        Some("list") => ("array", ("minItems", "maxItems")),
        Some("map") => ("object", ("minProperties", "maxProperties")),
        _ => ("", ("", "")),
    };
    let mut schema = Map::new();
    let mut put = |key: &str, value: Option<Json>| {
        if let Some(value) = value.filter(|_| !key.is_empty()) {
            schema.insert(key.to_owned(), value);
        }
    };
    put("type", (!name.is_empty()).then(|| json!(name)));
    put(sizes.0, get(rule, "min").map(json));
    put(sizes.1, get(rule, "max").map(json));
    put("enum", get(rule, "enum").map(json));
    put("pattern", text(rule, "pattern").map(|pattern| json!(whole(pattern))));
    let each = if name == "object" { "additionalProperties" } else { "items" };
    put(each, get(rule, "items").map(|items| or_expression(fits(items))));
    Json::Object(schema)
}

pub(crate) fn read(source: &ModuleSource<'_>) -> Value {
    yaml::parse(DocumentId(0), source.text).0.as_ref().map_or(Value::Null, Node::to_value)
}

pub(crate) fn get<'v>(value: &'v Value, key: &str) -> Option<&'v Value> {
    match value {
        Value::Map(entries) => entries.get(key).filter(|value| **value != Value::Null),
        _ => None,
    }
}

pub(crate) fn text<'v>(value: &'v Value, key: &str) -> Option<&'v str> {
    get(value, key).and_then(string)
}

fn string(value: &Value) -> Option<&str> {
    match value {
        Value::String(text) => Some(text),
        _ => None,
    }
}

pub(crate) fn json(value: &Value) -> Json {
    value.to_json().unwrap_or_default()
}
