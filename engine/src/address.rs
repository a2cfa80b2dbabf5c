//! Identifiers: of resources, deployments and operations.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

/// Where a resource stands in its deployment: `network.private[0]`, the module path and the resource's own name. Clones share
/// the text.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Address(Arc<str>);

impl Address {
    /// An address from its text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into().into())
    }

    /// Its text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// True when it is what `name` names, or a part of it: `network.private[0]` is within `network`, `network.private` and
    /// itself, and not within `network.priv`.
    #[must_use]
    pub fn is_within(&self, name: &str) -> bool {
        self.0.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
    }

    /// The first module of its path: `network` of `network.private[0]`.
    #[must_use]
    pub fn module(&self) -> &str {
        self.0.split(['.', '[']).next().unwrap_or_default()
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// A blueprint's name on a target. It owns the state, and every resource carries it as a tag.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Deployment(pub String);

impl fmt::Display for Deployment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// One attempt to change one resource; unique for all time. It is the client token where an API takes one and the tag
/// `forge:operation` where it does not.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OperationId(pub String);

impl fmt::Display for OperationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}
