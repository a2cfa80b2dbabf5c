//! What a blueprint asks for.

use crate::address::{Address, Deployment};
use crate::diag::At;
use crate::value::Value;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// One resource that is to exist.
#[derive(Debug, Clone, Serialize, Deserialize)]
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
    /// Where the blueprint asks for it; a saved one does not remember.
    #[serde(skip)]
    pub origin: Option<At>,
}

impl Resource {
    /// Everything that must exist before it: references and explicit dependencies.
    #[must_use]
    pub fn dependencies(&self) -> BTreeSet<Address> {
        self.needs().into_iter().cloned().collect()
    }

    /// The same, each once and in order.
    pub(crate) fn needs(&self) -> Vec<&Address> {
        let mut needs: Vec<&Address> = self.depends_on.iter().collect();
        self.spec.each_output(&mut |output| needs.push(&output.address));
        needs.sort_unstable();
        needs.dedup();
        needs
    }
}

/// What goes by another address than before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moved {
    /// Where it stood: the address of a resource or of a module, which moves with all that is in it.
    pub from: Address,
    /// Where it stands now.
    pub to: Address,
}

impl Moved {
    /// Where this leads what stands at `address`; none when it is about something else.
    #[must_use]
    pub fn lead(&self, address: &Address) -> Option<Address> {
        let rest = address.as_str().strip_prefix(self.from.as_str())?;
        // What becomes an instance of itself, `gpus` to `gpus[0]`, had no instances before.
        let instances = rest.starts_with('[') && !self.to.is_within(self.from.as_str());
        let moves = rest.is_empty() || rest.starts_with('.') || instances;
        moves.then(|| Address::new(format!("{}{rest}", self.to)))
    }
}

/// Where moves lead what stands at `address`, one after the other, the most exact first; none when they leave it there.
#[must_use]
pub fn destination(moved: &[Moved], address: &Address) -> Option<Address> {
    let next = |address: &Address| {
        let leading = moved.iter().filter_map(|moved| Some((moved.from.as_str().len(), moved.lead(address)?)));
        leading.max_by_key(|(length, _)| *length).map(|(_, to)| to)
    };
    let mut reached = next(address)?;
    // Each takes part once; more would be going in circles, which blueprints are checked for.
    for _ in 1..moved.len() {
        let Some(further) = next(&reached) else { break };
        reached = further;
    }
    Some(reached)
}

/// Everything that is to exist.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Desired {
    /// The deployment that owns it.
    pub deployment: Deployment,
    /// The resources, each address once.
    pub resources: Vec<Resource>,
    /// What goes by another address than before.
    #[serde(default)]
    pub moved: Vec<Moved>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moved(pairs: &[(&str, &str)]) -> Vec<Moved> {
        pairs.iter().map(|(from, to)| Moved { from: Address::new(*from), to: Address::new(*to) }).collect()
    }

    #[test]
    fn moves_lead_resources_modules_and_instances_to_where_they_stand_now() {
        let cases = [
            (vec![("a.x", "b.y")], "a.x", Some("b.y")),
            (vec![("a.x", "b.y")], "a.x[3]", Some("b.y[3]")),
            (vec![("a.x", "b.y")], "a.xy", None),
            (vec![("a", "b")], "a[\"k\"].x", Some("b[\"k\"].x")),
            (vec![("gpus", "gpus[0]")], "gpus.fleet", Some("gpus[0].fleet")),
            (vec![("gpus", "gpus[0]")], "gpus[0].fleet", None),
            (vec![("gpus[0]", "gpus")], "gpus[0].fleet", Some("gpus.fleet")),
            (vec![("a", "b"), ("b", "c")], "a.x", Some("c.x")),
            (vec![("m", "k"), ("m.a", "m.b")], "m.a", Some("k.b")),
            (vec![("a", "b"), ("b", "a")], "a", Some("a")),
        ];
        for (pairs, address, wanted) in cases {
            let reached = destination(&moved(&pairs), &Address::new(address));
            assert_eq!(reached, wanted.map(Address::new), "{pairs:?} {address}");
        }
    }
}
