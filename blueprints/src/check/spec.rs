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

/// The specification in its kind's normal form when all of it is known; else as it is, its field names checked.
pub(crate) fn normal(kind: &dyn AnyKind, spec: Value) -> Result<Value, Vec<Misfit>> {
    let misfits = fields(kind, &spec);
    if !misfits.is_empty() {
        return Err(misfits);
    }
    let Some(json) = spec.to_json() else { return Ok(spec) };
    kind.normalize(&json).map(Value::from).map_err(|error| {
        let summary = format!("{} does not accept this: {error}", kind.name());
        vec![Misfit { summary, field: None, help: None }]
    })
}

/// Fields that the kind does not have, and fields that it needs.
fn fields(kind: &dyn AnyKind, spec: &Value) -> Vec<Misfit> {
    let schema = kind.schema();
    let known: Vec<&str> = match schema.get("properties") {
        Some(Json::Object(properties)) => properties.keys().map(String::as_str).collect(),
        _ => Vec::new(),
    };
    let required = schema.get("required").and_then(Json::as_array).into_iter().flatten().filter_map(Json::as_str);
    let Value::Map(entries) = spec else { return Vec::new() };
    let closed = !known.is_empty() || schema.get("additionalProperties") == Some(&Json::Bool(false));
    let unknown = entries.keys().filter(|field| closed && !known.contains(&field.as_str())).map(|field| Misfit {
        summary: format!("{} has no field `{field}`", kind.name()),
        field: Some(field.clone()),
        help: suggest::help(field, known.iter().copied()).or_else(|| Some("It has no fields.".to_owned())),
    });
    let missing = required.filter(|field| !entries.contains_key(*field)).map(|field| Misfit {
        summary: format!("{} needs the field `{field}`", kind.name()),
        field: None,
        help: None,
    });
    unknown.chain(missing).collect()
}
