//! What must exist before what.
//!
//! A [`Graph`] is built from the desired resources. Building it finds every mistake that makes an order impossible,
//! all in one go: addresses used twice, references to nothing, and cycles, each printed as the names on it. The order
//! it then gives is stable: among resources that could come next, the one that stands first in the blueprint does, so
//! that the same blueprint always makes the same plan.
//!
//! Nothing here recurses: a chain of ten thousand resources must not need a deep stack.

use crate::address::Address;
use crate::diag::Diagnostic;
use crate::resource::Resource;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap, VecDeque};

/// The dependencies among desired resources, without cycles.
#[derive(Debug, Clone)]
pub struct Graph {
    addresses: Vec<Address>,
    index: HashMap<Address, usize>,
    dependencies: Vec<Vec<usize>>,
    order: Vec<usize>,
}

impl Graph {
    /// The graph of `resources`.
    ///
    /// # Errors
    /// Every address that is used twice, every reference to an address that does not exist, every cycle.
    pub fn build(resources: &[Resource]) -> Result<Self, Vec<Diagnostic>> {
        let mut findings = Vec::new();
        let mut index: HashMap<Address, usize> = HashMap::with_capacity(resources.len());
        for (position, resource) in resources.iter().enumerate() {
            if let Some(&first) = index.get(&resource.address) {
                findings.push(used_twice(resource, &resources[first]));
            } else {
                index.insert(resource.address.clone(), position);
            }
        }
        let mut dependencies = vec![Vec::new(); resources.len()];
        for (position, resource) in resources.iter().enumerate() {
            for dependency in resource.needs() {
                match index.get(dependency) {
                    Some(&target) => dependencies[position].push(target),
                    None => findings.push(refers_to_nothing(resource, dependency)),
                }
            }
        }
        for cycle in cycles(&dependencies) {
            findings.push(goes_in_circles(&cycle, resources));
        }
        if !findings.is_empty() {
            return Err(findings);
        }
        // Without cycles there always is an order.
        let order = order(&dependencies).unwrap_or_default();
        let addresses = resources.iter().map(|resource| resource.address.clone()).collect();
        Ok(Self { addresses, index, dependencies, order })
    }

    /// Every address, each after all that it depends on.
    pub fn order(&self) -> impl DoubleEndedIterator<Item = &Address> {
        self.order.iter().map(|&position| &self.addresses[position])
    }

    /// Positions in the list that the graph was built from, in the same order as [`Graph::order`].
    pub fn positions(&self) -> impl DoubleEndedIterator<Item = usize> {
        self.order.iter().copied()
    }

    /// Where the resource at `address` stands in the list that the graph was built from.
    pub(crate) fn position(&self, address: &Address) -> Option<usize> {
        self.index.get(address).copied()
    }

    /// What `address` depends on directly.
    pub fn dependencies(&self, address: &Address) -> impl Iterator<Item = &Address> {
        let positions = self.index.get(address).map(|&position| self.dependencies[position].as_slice());
        positions.unwrap_or_default().iter().map(|&position| &self.addresses[position])
    }
}

fn used_twice(second: &Resource, first: &Resource) -> Diagnostic {
    let mut finding = Diagnostic::error("duplicate-address", format!("`{}` is defined twice", second.address))
        .help("give one of them another name");
    if let Some(at) = &second.origin {
        finding = finding.at(at.clone(), "defined again here");
    }
    if let Some(at) = &first.origin {
        finding = finding.also(at.clone(), "defined first here");
    }
    finding
}

fn refers_to_nothing(resource: &Resource, missing: &Address) -> Diagnostic {
    let finding = Diagnostic::error(
        "unknown-reference",
        format!("`{}` refers to `{missing}`, which does not exist", resource.address),
    )
    .help("correct the name, or add what it names");
    match &resource.origin {
        Some(at) => finding.at(at.clone(), ""),
        None => finding,
    }
}

fn goes_in_circles(cycle: &[usize], resources: &[Resource]) -> Diagnostic {
    let names: Vec<&str> =
        cycle.iter().chain(cycle.first()).map(|&position| resources[position].address.as_str()).collect();
    let mut finding = Diagnostic::error("dependency-cycle", format!("dependency cycle: {}", names.join(" -> ")))
        .why("each of them would have to exist before itself")
        .help("remove one of these references");
    let mut places = cycle.iter().filter_map(|&position| resources[position].origin.clone().map(|at| (position, at)));
    if let Some((_, at)) = places.next() {
        finding = finding.at(at, "");
    }
    for (position, at) in places {
        finding = finding.also(at, format!("`{}`", resources[position].address));
    }
    finding
}

/// An order in which every node comes after its dependencies, the lowest position first among those possible; none
/// when there is a cycle.
pub(crate) fn order(dependencies: &[Vec<usize>]) -> Option<Vec<usize>> {
    let dependents = reversed(dependencies);
    let mut missing: Vec<usize> = dependencies.iter().map(Vec::len).collect();
    let mut ready: BinaryHeap<Reverse<usize>> =
        missing.iter().enumerate().filter(|(_, count)| **count == 0).map(|(node, _)| Reverse(node)).collect();
    let mut order = Vec::with_capacity(dependencies.len());
    while let Some(Reverse(node)) = ready.pop() {
        order.push(node);
        for &dependent in &dependents[node] {
            missing[dependent] -= 1;
            if missing[dependent] == 0 {
                ready.push(Reverse(dependent));
            }
        }
    }
    (order.len() == dependencies.len()).then_some(order)
}

pub(crate) fn reversed(edges: &[Vec<usize>]) -> Vec<Vec<usize>> {
    let mut reversed = vec![Vec::new(); edges.len()];
    for (from, targets) in edges.iter().enumerate() {
        for &to in targets {
            reversed[to].push(from);
        }
    }
    reversed
}

/// One shortest cycle of every knot, starting at its lowest position.
fn cycles(dependencies: &[Vec<usize>]) -> Vec<Vec<usize>> {
    let mut cycles: Vec<Vec<usize>> = knots(dependencies)
        .into_iter()
        .filter_map(|knot| shortest_cycle(dependencies, *knot.iter().min()?, &knot.into_iter().collect()))
        .collect();
    cycles.sort();
    cycles
}

/// The strongly connected components in which one can go in circles (Kosaraju: finishing order, then backwards).
pub(crate) fn knots(edges: &[Vec<usize>]) -> Vec<Vec<usize>> {
    let mut finished = Vec::with_capacity(edges.len());
    let mut seen = vec![false; edges.len()];
    for root in 0..edges.len() {
        if std::mem::replace(&mut seen[root], true) {
            continue;
        }
        let mut path = vec![(root, 0)];
        while let Some((node, next)) = path.pop() {
            match edges[node].get(next) {
                Some(&target) => {
                    path.push((node, next + 1));
                    if !std::mem::replace(&mut seen[target], true) {
                        path.push((target, 0));
                    }
                }
                None => finished.push(node),
            }
        }
    }
    let backwards = reversed(edges);
    let mut taken = vec![false; edges.len()];
    let mut knots = Vec::new();
    for &root in finished.iter().rev() {
        if std::mem::replace(&mut taken[root], true) {
            continue;
        }
        let (mut knot, mut open) = (Vec::new(), vec![root]);
        while let Some(node) = open.pop() {
            knot.push(node);
            for &next in &backwards[node] {
                if !std::mem::replace(&mut taken[next], true) {
                    open.push(next);
                }
            }
        }
        if knot.len() > 1 || edges[root].contains(&root) {
            knots.push(knot);
        }
    }
    knots
}

fn shortest_cycle(edges: &[Vec<usize>], start: usize, within: &BTreeSet<usize>) -> Option<Vec<usize>> {
    let mut came_from: BTreeMap<usize, usize> = BTreeMap::new();
    let mut open = VecDeque::from([start]);
    while let Some(node) = open.pop_front() {
        for &next in edges[node].iter().filter(|next| within.contains(next)) {
            if next == start {
                let mut cycle = vec![node];
                while let Some(&before) = cycle.last().and_then(|last| came_from.get(last)) {
                    cycle.push(before);
                }
                cycle.reverse();
                return Some(cycle);
            }
            if let std::collections::btree_map::Entry::Vacant(entry) = came_from.entry(next) {
                entry.insert(node);
                open.push_back(next);
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::Value;
    use proptest::prelude::*;

    fn resource(address: &str, depends_on: &[&str]) -> Resource {
        Resource {
            address: Address::new(address),
            kind: "test.thing".to_owned(),
            spec: Value::Map(BTreeMap::new()),
            depends_on: depends_on.iter().map(|address| Address::new(*address)).collect(),
            protect: false,
            origin: None,
        }
    }

    fn summaries(resources: &[Resource]) -> Vec<String> {
        Graph::build(resources).unwrap_err().into_iter().map(|finding| finding.summary).collect()
    }

    #[test]
    fn the_blueprint_decides_among_what_could_come_next() {
        let graph =
            Graph::build(&[resource("z", &[]), resource("a", &["m"]), resource("m", &[]), resource("b", &["z"])])
                .unwrap();
        assert_eq!(graph.order().map(Address::as_str).collect::<Vec<_>>(), ["z", "m", "a", "b"]);
    }

    #[test]
    fn all_mistakes_are_found_at_once() {
        let found = summaries(&[
            resource("a", &["b"]),
            resource("b", &["c", "d"]),
            resource("c", &["a"]),
            resource("d", &["nowhere"]),
            resource("e", &["e"]),
            resource("d", &[]),
        ]);
        assert_eq!(
            found,
            [
                "`d` is defined twice",
                "`d` refers to `nowhere`, which does not exist",
                "dependency cycle: a -> b -> c -> a",
                "dependency cycle: e -> e",
            ]
        );
    }

    #[test]
    fn a_long_chain_needs_no_deep_stack() {
        let mut chain: Vec<Resource> =
            (0..20_000_usize).map(|n| resource(&format!("r{n}"), &[&format!("r{}", n + 1)])).collect();
        chain.push(resource("r20000", &["r0"]));
        assert_eq!(summaries(&chain).len(), 1);
        chain.pop();
        chain.push(resource("r20000", &[]));
        assert_eq!(Graph::build(&chain).unwrap().order().next().unwrap().as_str(), "r20000");
    }

    proptest! {
        #[test]
        fn every_resource_comes_once_and_after_its_dependencies(
            edges in prop::collection::vec(prop::collection::vec(any::<prop::sample::Index>(), 0..4), 1..40),
            shuffle in any::<u64>(),
        ) {
            let mut resources: Vec<Resource> = edges.iter().enumerate().map(|(n, picks)| {
                let names: BTreeSet<String> =
                    picks.iter().filter(|_| n > 0).map(|pick| format!("r{}", pick.index(n.max(1)))).collect();
                resource(&format!("r{n}"), &names.iter().map(String::as_str).collect::<Vec<_>>())
            }).collect();
            resources.sort_by_key(|resource| resource.address.as_str().len() as u64 ^ shuffle);
            let rotation = usize::try_from(shuffle % resources.len() as u64).unwrap();
            resources.rotate_left(rotation);
            let graph = Graph::build(&resources).unwrap();
            let mut seen = BTreeSet::new();
            for address in graph.order() {
                prop_assert!(graph.dependencies(address).all(|dependency| seen.contains(dependency)));
                prop_assert!(seen.insert(address.clone()));
            }
            prop_assert_eq!(seen.len(), resources.len());
        }
    }
}
