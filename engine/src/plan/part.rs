//! A plan for a part of a deployment.
//!
//! The part is what the named modules hold and everything that they depend on. The rest is left alone as if it did not
//! exist, but for one thing: what it stands on cannot be taken away from under it.

use super::survey::Thing;
use super::{Action, Step};
use crate::address::Address;
use crate::diag::Diagnostic;
use crate::graph::Graph;
use crate::resource::Desired;
use std::collections::{BTreeMap, BTreeSet};

/// The part of a deployment that a plan is about.
#[derive(Debug)]
pub(super) struct Part<'a> {
    /// The modules that were named; none means everything.
    names: Option<&'a BTreeSet<String>>,
    /// The desired resources in it, where any were named.
    desired: BTreeSet<&'a Address>,
}

impl<'a> Part<'a> {
    pub(super) fn of(desired: &'a Desired, graph: &Graph, names: Option<&'a BTreeSet<String>>) -> Self {
        let addresses = desired.resources.iter().map(|resource| &resource.address);
        let Some(named) = names else { return Self { names, desired: BTreeSet::new() } };
        let mut part: BTreeSet<&Address> = addresses.filter(|address| is_named(named, address)).collect();
        let known: BTreeSet<&Address> = desired.resources.iter().map(|resource| &resource.address).collect();
        let mut open: Vec<&Address> = part.iter().copied().collect();
        while let Some(address) = open.pop() {
            for dependency in graph.dependencies(address).filter_map(|dependency| known.get(dependency)) {
                if part.insert(dependency) {
                    open.push(dependency);
                }
            }
        }
        Self { names, desired: part }
    }

    /// Whether a desired resource is in it.
    pub(super) fn has(&self, address: &Address) -> bool {
        self.names.is_none() || self.desired.contains(address)
    }

    /// Whether what nobody desires at an address is in it.
    pub(super) fn had(&self, address: &Address) -> bool {
        self.names.is_none_or(|named| is_named(named, address))
    }
}

pub(super) fn is_named(names: &BTreeSet<String>, address: &Address) -> bool {
    names.iter().any(|name| address.is_within(name))
}

/// What is left alone but stands on something that the plan would take away.
pub(super) fn pulled_away(steps: &[Step], left: &[Thing<'_>]) -> Vec<Diagnostic> {
    let going = steps.iter().filter(|step| step.action.deletes());
    let going: BTreeMap<&Address, Action> = going.map(|step| (&step.address, step.action)).collect();
    let mut findings = Vec::new();
    for thing in left.iter().filter(|thing| !thing.gone) {
        for (below, action) in thing.dependencies.iter().filter_map(|below| going.get_key_value(below)) {
            let summary = format!("`{}` stands on `{below}`, which this plan would {action}", thing.address);
            let why = format!("`{}` is left out of the plan, so it cannot let go first.", thing.address);
            let help = format!("name `{}` as well, or plan for everything", thing.address.module());
            findings.push(Diagnostic::error("left-out", summary).why(why).help(help));
        }
    }
    findings
}
