//! The order in which things that refer to each other can be worked out, and the cycles that prevent it.

use std::collections::{BTreeMap, BTreeSet};

/// The most cycles that are looked for. Each is a finding, and finding one may lead through everything there is.
const MAX_CYCLES: usize = 100;

/// An order and what stands outside it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Order {
    /// Every name after those that it needs; names within and behind cycles come last.
    pub(crate) names: Vec<String>,
    /// Each cycle as its names in order, the first not repeated at the end; of very many, some.
    pub(crate) cycles: Vec<Vec<String>>,
}

/// What each name needs, and the order that follows from it.
#[derive(Debug)]
pub(crate) struct Graph {
    pub(crate) needs: BTreeMap<String, BTreeSet<String>>,
    pub(crate) order: Order,
}

impl Graph {
    pub(crate) fn of(needs: BTreeMap<String, BTreeSet<String>>) -> Self {
        Self { order: order(&needs), needs }
    }
}

/// Orders names by what each needs; needs that are no names are passed over. Same input, same order.
pub(crate) fn order(needs: &BTreeMap<String, BTreeSet<String>>) -> Order {
    let mut waiting: BTreeMap<&str, usize> = BTreeMap::new();
    let mut needed_by: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (name, needs_of) in needs {
        let known: Vec<&String> = needs_of.iter().filter(|need| needs.contains_key(*need)).collect();
        waiting.insert(name, known.len());
        for need in known {
            needed_by.entry(need).or_default().push(name);
        }
    }
    let mut ready: BTreeSet<&str> = waiting.iter().filter(|(_, count)| **count == 0).map(|(name, _)| *name).collect();
    let mut found = Order::default();
    loop {
        while let Some(name) = ready.pop_first() {
            waiting.remove(name);
            found.names.push(name.to_owned());
            for dependent in needed_by.get(name).into_iter().flatten() {
                if let Some(count) = waiting.get_mut(dependent) {
                    *count = count.saturating_sub(1);
                    if *count == 0 {
                        ready.insert(dependent);
                    }
                }
            }
        }
        // What still waits needs something that still waits: following it runs into a cycle.
        let Some(cycle) = cycle(needs, &waiting).filter(|_| found.cycles.len() < MAX_CYCLES) else {
            found.names.extend(waiting.into_keys().map(str::to_owned));
            return found;
        };
        ready.extend(cycle.iter().copied());
        found.cycles.push(cycle.into_iter().map(str::to_owned).collect());
    }
}

fn cycle<'a>(
    needs: &'a BTreeMap<String, BTreeSet<String>>,
    waiting: &BTreeMap<&'a str, usize>,
) -> Option<Vec<&'a str>> {
    let mut walk: Vec<&str> = vec![waiting.keys().next()?];
    let mut walked: BTreeMap<&str, usize> = walk.iter().map(|name| (*name, 0)).collect();
    loop {
        let last = walk.last()?;
        let next = needs.get(*last)?.iter().map(String::as_str).find(|need| waiting.contains_key(need))?;
        if let Some(start) = walked.insert(next, walk.len()) {
            let mut cycle = walk.split_off(start);
            // The same cycle reads the same wherever the walk came in: it starts at its first name.
            let first = cycle.iter().enumerate().min_by_key(|(_, name)| **name).map_or(0, |(index, _)| index);
            cycle.rotate_left(first);
            return Some(cycle);
        }
        walk.push(next);
    }
}

/// A cycle as people read it: `a -> b -> a`.
pub(crate) fn show(cycle: &[String]) -> String {
    let mut names: Vec<&str> = cycle.iter().map(String::as_str).collect();
    names.extend(cycle.first().map(String::as_str));
    names.join(" -> ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph(edges: &[(&str, &[&str])]) -> BTreeMap<String, BTreeSet<String>> {
        edges.iter().map(|(name, needs)| ((*name).into(), needs.iter().map(|need| (*need).into()).collect())).collect()
    }

    #[test]
    fn names_come_after_what_they_need() {
        let found = order(&graph(&[("a", &["b", "c"]), ("b", &["c"]), ("c", &[])]));
        assert_eq!(found.names, ["c", "b", "a"]);
        assert!(found.cycles.is_empty());
    }

    #[test]
    fn every_cycle_is_named_and_nothing_is_lost() {
        let edges: &[(&str, &[&str])] =
            &[("a", &["b"]), ("b", &["c"]), ("c", &["a"]), ("d", &["a"]), ("x", &["x"]), ("y", &[])];
        let found = order(&graph(edges));
        assert_eq!(found.cycles.iter().map(|cycle| show(cycle)).collect::<Vec<_>>(), ["a -> b -> c -> a", "x -> x"]);
        assert_eq!(found.names.len(), 6);
    }
}
