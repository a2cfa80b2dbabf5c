//! A resource's specification against its kind.

use crate::suggest;
use forge_engine::kind::AnyKind;
use forge_engine::value::Value;
use serde_json::Value as Json;

/// What is wrong with a specification.
#[derive(Debug)]
pub(crate) struct Misfit {
    /// What.
    pub(crate) summary: String,
    /// The field that is wrong, where that is known.
    pub(crate) field: Option<String>,
    /// What to do.
    pub(crate) help: Option<String>,
}

/// The fields of a kind's specification. Making its schema is slow, so that it is asked once.
#[derive(Debug)]
pub(crate) struct Shape {
    fields: Vec<String>,
    required: Vec<String>,
    closed: bool,
}

impl Shape {
    /// The shape of a kind.
    pub(crate) fn of(kind: &dyn AnyKind) -> Self {
        let schema = kind.schema();
        let fields: Vec<String> = match schema.get("properties") {
            Some(Json::Object(properties)) => properties.keys().cloned().collect(),
            _ => Vec::new(),
        };
        let required = schema.get("required").and_then(Json::as_array).into_iter().flatten();
        let required = required.filter_map(Json::as_str).map(str::to_owned).collect();
        let closed = !fields.is_empty() || schema.get("additionalProperties") == Some(&Json::Bool(false));
        Self { fields, required, closed }
    }

    /// Whether there is such a field.
    pub(crate) fn has(&self, field: &str) -> bool {
        self.fields.iter().any(|known| known == field)
    }
}

/// The specification in its kind's normal form when all of it is known; else as it is, its field names checked.
pub(crate) fn normal(kind: &dyn AnyKind, shape: &Shape, spec: Value) -> Result<Value, Vec<Misfit>> {
    let misfits = fields(kind, shape, &spec);
    if !misfits.is_empty() {
        return Err(misfits);
    }
    let Some(json) = spec.to_json() else { return Ok(spec) };
    match kind.normalize(&json) {
        // What is secret stays a secret, and does not become a mapping that looks like one.
        Ok(normal) => Ok(if has_secret(&spec) { spec } else { Value::from(normal) }),
        Err(error) => {
            let summary = format!("{} does not accept this: {error}", kind.name());
            Err(vec![Misfit { summary, field: None, help: None }])
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

/// Fields that the kind does not have, and fields that it needs.
fn fields(kind: &dyn AnyKind, shape: &Shape, spec: &Value) -> Vec<Misfit> {
    let Value::Map(entries) = spec else { return Vec::new() };
    let unknown = entries.keys().filter(|field| shape.closed && !shape.has(field)).map(|field| Misfit {
        summary: format!("{} has no field `{field}`", kind.name()),
        field: Some(field.clone()),
        help: suggest::help(field, shape.fields.iter().map(String::as_str))
            .or_else(|| Some("It has no fields.".to_owned())),
    });
    let missing = shape.required.iter().filter(|field| !entries.contains_key(*field)).map(|field| Misfit {
        summary: format!("{} needs the field `{field}`", kind.name()),
        field: None,
        help: None,
    });
    unknown.chain(missing).collect()
}
