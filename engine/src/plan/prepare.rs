//! Desired specifications, resolved as far as they can be and brought into their kind's normal form.
//!
//! A kind can only judge a whole specification. Where fields are not known yet, something must stand in for them: this
//! tries a few shapes until the kind accepts one, so that everything else in the specification is still checked and has
//! its defaults filled in before anything is touched.

use crate::kind::{AnyKind, Given};
use crate::value::{Output, Value};
use serde_json::{Map, Value as Json, json};
use std::collections::{BTreeMap, BTreeSet};

/// Tries at finding stand-ins, all unknown fields together. Kinds refer to few unknown fields of few shapes.
const TRIES: usize = 256;

/// A desired specification, ready to be compared.
#[derive(Debug)]
pub(super) enum Prepared<'a> {
    /// It is, in normal form, word for word what is recorded.
    AsRecorded(&'a Json),
    /// All of it is known: its normal form.
    Known(Json),
    /// Some of it is not known yet.
    InPart {
        /// Its fields in normal form, with unknowns where they are.
        fields: BTreeMap<String, Value>,
        /// The same with something in place of the unknowns; none when nothing was found that fits.
        stand_in: Option<Json>,
    },
}

impl Prepared<'_> {
    /// True when nothing in it is unknown and it is the same as `spec`.
    pub(super) fn is(&self, spec: &Json) -> bool {
        match self {
            Self::AsRecorded(own) => std::ptr::eq(*own, spec) || *own == spec,
            Self::Known(own) => own == spec,
            Self::InPart { .. } => false,
        }
    }

    /// All of it, with something in place of the unknowns; none when nothing was found that fits.
    pub(super) fn whole(&self) -> Option<&Json> {
        match self {
            Self::AsRecorded(own) => Some(own),
            Self::Known(own) => Some(own),
            Self::InPart { stand_in, .. } => stand_in.as_ref(),
        }
    }

    /// Its fields in normal form, with unknowns where they are.
    pub(super) fn fields(&self) -> BTreeMap<String, Value> {
        match self {
            Self::AsRecorded(own) => fields(own),
            Self::Known(own) => fields(own),
            Self::InPart { fields, .. } => fields.clone(),
        }
    }

    /// [`Prepared::fields`], when nothing else is needed any more.
    pub(super) fn into_fields(self) -> BTreeMap<String, Value> {
        match self {
            Self::Known(Json::Object(own)) => own.into_iter().map(|(field, value)| (field, value.into())).collect(),
            Self::InPart { fields, .. } => fields,
            other => other.fields(),
        }
    }
}

/// Prepares a specification; `recorded` is what it most likely is.
///
/// # Errors
/// What the kind says when the specification does not fit.
pub(super) fn prepare<'a>(
    kind: &dyn AnyKind,
    given: Given<'_>,
    recorded: Option<&'a Json>,
) -> Result<Prepared<'a>, String> {
    if let Some(recorded) = recorded.filter(|recorded| kind.normalizes_to(given, recorded)) {
        return Ok(Prepared::AsRecorded(recorded));
    }
    let Value::Map(entries) = given.value() else {
        return Err("a specification must be a mapping".to_owned());
    };
    if let Ok(known) = given.resolve() {
        let normal = kind.normalize(&known)?;
        return match normal.is_object() {
            true => Ok(Prepared::Known(normal)),
            false => Err("a specification must be a mapping".to_owned()),
        };
    }
    let lookup = |output: &Output| given.output(output).cloned();
    let entries: BTreeMap<String, Value> =
        entries.iter().map(|(field, value)| (field.clone(), substitute(value, &lookup))).collect();
    let known: Map<String, Json> =
        entries.iter().filter_map(|(field, value)| Some((field.clone(), value.to_json()?))).collect();
    let unknown: Vec<&String> = entries.keys().filter(|field| !known.contains_key(*field)).collect();
    let stand_in = stand_in(kind, &entries, &known, &unknown)?;
    let mut normal = stand_in.as_ref().map(fields).unwrap_or_default();
    let as_given = entries.iter().filter(|(_, value)| stand_in.is_none() || !value.is_known());
    normal.extend(as_given.map(|(field, value)| (field.clone(), value.clone())));
    Ok(Prepared::InPart { fields: normal, stand_in })
}

/// The top-level fields of a specification.
pub(super) fn fields(spec: &Json) -> BTreeMap<String, Value> {
    match spec {
        Json::Object(fields) => {
            fields.iter().map(|(field, value)| (field.clone(), Value::from(value.clone()))).collect()
        }
        _ => BTreeMap::new(),
    }
}

/// The value with every output filled in that is known already.
fn substitute(value: &Value, lookup: &impl Fn(&Output) -> Option<Json>) -> Value {
    match value {
        Value::Output(output) => lookup(output).map_or_else(|| value.clone(), Value::from),
        Value::List(items) => Value::List(items.iter().map(|item| substitute(item, lookup)).collect()),
        Value::Map(entries) => {
            Value::Map(entries.iter().map(|(key, item)| (key.clone(), substitute(item, lookup))).collect())
        }
        Value::Concat(parts) => {
            let parts = Value::Concat(parts.iter().map(|part| substitute(part, lookup)).collect());
            parts.to_json().map_or(parts, Value::from)
        }
        known => known.clone(),
    }
}

/// # Errors
/// What the kind says when it would refuse the specification whatever the unknowns turn out to be.
fn stand_in(
    kind: &dyn AnyKind,
    given: &BTreeMap<String, Value>,
    known: &Map<String, Json>,
    unknown: &[&String],
) -> Result<Option<Json>, String> {
    let shapes = [json!("(known after apply)"), json!(1), json!([]), json!({}), json!(true), json!(null)];
    let mut refusals = BTreeSet::new();
    for combination in 0..TRIES {
        // Counts through the combinations, the shape of the first field changing fastest.
        let (mut rest, mut spec) = (combination, known.clone());
        for field in unknown {
            let shape = &shapes[rest % shapes.len()];
            rest /= shapes.len();
            if let Ok(value) = given[*field].resolve(&|_: &Output| Some(shape.clone())) {
                spec.insert((*field).clone(), value);
            }
        }
        if rest > 0 {
            break;
        }
        match kind.normalize(&Json::Object(spec)) {
            Ok(normal) => return Ok(Some(normal)),
            Err(why) => refusals.insert(why),
        };
    }
    // A stand-in of the wrong shape makes the kind complain of that shape, and has no fields to complain of. So what it
    // says of every one of them alike, or of a field, it says of what is known.
    let of_a_field = refusals.iter().find(|why| why.starts_with("unknown field"));
    match of_a_field.or(refusals.first().filter(|_| refusals.len() == 1)) {
        Some(why) => Err(why.clone()),
        None => Ok(None),
    }
}
