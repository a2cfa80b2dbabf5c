//! Values of a resource's specification, some of which are not known before apply.
//!
//! The plan must be complete before anything is touched, yet an identifier that a cloud will give out is not known by
//! then. [`Value::Output`] stands for it. It is resolved by [`Value::resolve`] when the step that needs it starts; by
//! then every resource that it refers to has finished.

use crate::address::Address;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// A value, perhaps with parts that are known only after apply.
///
/// Mappings are ordered by key so that the same specification always has the same bytes, and hence the same hash.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Value {
    /// No value.
    Null,
    /// True or false.
    Bool(bool),
    /// An integer or a float, as JSON has it.
    Number(serde_json::Number),
    /// Text.
    String(String),
    /// A sequence.
    List(Vec<Value>),
    /// A mapping.
    Map(BTreeMap<String, Value>),
    /// An output of a resource, known once that resource exists.
    Output(Output),
    /// Text with unknown parts, joined without a separator.
    Concat(Vec<Value>),
    /// A secret. Only its reference is ever held here.
    Secret(Secret),
}

/// Where a secret is to be read, by whoever uses it and no earlier: `env:HF_TOKEN`, `file:/run/token`,
/// `aws-sm:NAME`, `ssm:/NAME`. State, journal, plan and logs hold this reference and never what it leads to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Secret {
    /// The reference. In JSON a secret is `{"secret": "env:HF_TOKEN"}`.
    pub secret: String,
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "secret({})", self.secret)
    }
}

/// An output of a resource: `network.vpc` and `id`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Output {
    /// The resource.
    pub address: Address,
    /// The name of its output, one of its kind's.
    pub name: String,
}

impl fmt::Display for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.address, self.name)
    }
}

impl Value {
    /// True when nothing in it waits for apply.
    #[must_use]
    pub fn is_known(&self) -> bool {
        match self {
            Self::Output(_) => false,
            Self::List(items) | Self::Concat(items) => items.iter().all(Self::is_known),
            Self::Map(entries) => entries.values().all(Self::is_known),
            Self::Null | Self::Bool(_) | Self::Number(_) | Self::String(_) | Self::Secret(_) => true,
        }
    }

    /// Every output that it waits for.
    #[must_use]
    pub fn outputs(&self) -> BTreeSet<&Output> {
        let mut found = BTreeSet::new();
        self.each_output(&mut |output| {
            found.insert(output);
        });
        found
    }

    /// Calls `found` with every output that it waits for, as often as it is named.
    pub(crate) fn each_output<'a>(&'a self, found: &mut impl FnMut(&'a Output)) {
        match self {
            Self::Output(output) => found(output),
            Self::List(items) | Self::Concat(items) => items.iter().for_each(|item| item.each_output(found)),
            Self::Map(entries) => entries.values().for_each(|item| item.each_output(found)),
            Self::Null | Self::Bool(_) | Self::Number(_) | Self::String(_) | Self::Secret(_) => {}
        }
    }

    /// The value as JSON, with every unknown replaced by what `lookup` says.
    ///
    /// # Errors
    /// The first output that `lookup` does not know.
    pub fn resolve<F>(&self, lookup: &F) -> Result<serde_json::Value, Output>
    where
        F: Fn(&Output) -> Option<serde_json::Value>,
    {
        use serde_json::Value as Json;
        Ok(match self {
            Self::Null => Json::Null,
            Self::Bool(value) => Json::Bool(*value),
            Self::Number(value) => Json::Number(value.clone()),
            Self::String(value) => Json::String(value.clone()),
            Self::List(items) => Json::Array(items.iter().map(|item| item.resolve(lookup)).collect::<Result<_, _>>()?),
            Self::Map(entries) => Json::Object(
                entries.iter().map(|(key, item)| Ok((key.clone(), item.resolve(lookup)?))).collect::<Result<_, _>>()?,
            ),
            Self::Output(output) => lookup(output).ok_or_else(|| output.clone())?,
            Self::Concat(parts) => {
                let mut text = String::new();
                for part in parts {
                    match part.resolve(lookup)? {
                        Json::String(part) => text.push_str(&part),
                        other => text.push_str(&other.to_string()),
                    }
                }
                Json::String(text)
            }
            Self::Secret(secret) => serde_json::json!({"secret": secret.secret}),
        })
    }

    /// Whether it is known and the same as `json`: what comparing [`Value::to_json`] would say, without making it.
    #[must_use]
    pub fn is(&self, json: &serde_json::Value) -> bool {
        use serde_json::Value as Json;
        match (self, json) {
            (Self::Null, Json::Null) => true,
            (Self::Bool(one), Json::Bool(other)) => one == other,
            (Self::Number(one), Json::Number(other)) => one == other,
            (Self::String(one), Json::String(other)) => one == other,
            (Self::List(items), Json::Array(others)) => {
                items.len() == others.len() && items.iter().zip(others).all(|(item, other)| item.is(other))
            }
            (Self::Map(entries), Json::Object(others)) => {
                entries.len() == others.len()
                    && entries.iter().all(|(key, item)| others.get(key).is_some_and(|other| item.is(other)))
            }
            (Self::Concat(_) | Self::Secret(_), _) => self.to_json().as_ref() == Some(json),
            _ => false,
        }
    }

    /// The value as JSON when nothing in it is unknown.
    #[must_use]
    pub fn to_json(&self) -> Option<serde_json::Value> {
        self.resolve(&|_: &Output| None).ok()
    }
}

impl From<serde_json::Value> for Value {
    fn from(json: serde_json::Value) -> Self {
        use serde_json::Value as Json;
        match json {
            Json::Null => Self::Null,
            Json::Bool(value) => Self::Bool(value),
            Json::Number(value) => Self::Number(value),
            Json::String(value) => Self::String(value),
            Json::Array(items) => Self::List(items.into_iter().map(Self::from).collect()),
            Json::Object(entries) => Self::Map(entries.into_iter().map(|(key, item)| (key, item.into())).collect()),
        }
    }
}

/// Every text within a JSON value: what may be the name of something else.
pub(crate) fn collect_texts<'a>(value: &'a serde_json::Value, texts: &mut BTreeSet<&'a str>) {
    match value {
        serde_json::Value::String(text) => {
            texts.insert(text);
        }
        serde_json::Value::Array(items) => items.iter().for_each(|item| collect_texts(item, texts)),
        serde_json::Value::Object(entries) => entries.values().for_each(|item| collect_texts(item, texts)),
        serde_json::Value::Null | serde_json::Value::Bool(_) | serde_json::Value::Number(_) => {}
    }
}
