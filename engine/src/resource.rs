//! What a blueprint asks for.

use crate::address::{Address, Deployment};
use crate::diag::At;
use crate::value::Value;
use std::collections::BTreeSet;

/// One resource that is to exist.
#[derive(Debug, Clone)]
pub struct Resource {
    /// Where it stands in the deployment.
    pub address: Address,
    /// Its kind: `local.bucket`.
    pub kind: String,
    /// Its specification, perhaps with parts that are known only after apply.
    pub spec: Value,
    /// Resources that must exist before it, beyond those that its specification refers to.
    pub depends_on: BTreeSet<Address>,
    /// True when no plan may delete or replace it.
    pub protect: bool,
    /// Where the blueprint asks for it.
    pub origin: Option<At>,
}

impl Resource {
    /// Everything that must exist before it: references and explicit dependencies.
    #[must_use]
    pub fn dependencies(&self) -> BTreeSet<Address> {
        self.spec
            .outputs()
            .into_iter()
            .map(|output| output.address.clone())
            .chain(self.depends_on.iter().cloned())
            .collect()
    }
}

/// Everything that is to exist.
#[derive(Debug, Clone)]
pub struct Desired {
    /// The deployment that owns it.
    pub deployment: Deployment,
    /// The resources, each address once.
    pub resources: Vec<Resource>,
}
