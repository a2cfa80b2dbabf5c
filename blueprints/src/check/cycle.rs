//! Things that need each other in a circle.

use crate::expr::{Evaluator, root_of};
use crate::order;
use crate::shape::{Findings, Place};
use forge_engine::diag::{At, Diagnostic};
use std::collections::BTreeMap;

/// Something that others may need: where it stands, and what in it may need others.
#[derive(Debug)]
pub(crate) struct Item<'p, 'a> {
    pub(crate) place: &'p Place<'a>,
    pub(crate) parts: Vec<&'p Place<'a>>,
    /// What it names as coming before it.
    pub(crate) after: Vec<&'p (&'a str, Place<'a>)>,
}

/// Reports each cycle at the reference by which its first member needs its second.
pub(crate) fn report(
    cycles: &[Vec<String>],
    items: &BTreeMap<String, Item<'_, '_>>,
    evaluator: &Evaluator,
    out: &mut Findings,
) {
    for cycle in cycles {
        let mut places = cycle.iter().enumerate().filter_map(|(index, name)| {
            let needs = cycle.get(index + 1).or(cycle.first())?;
            Some((needs, reference(items.get(name)?, needs, evaluator)))
        });
        let summary = match cycle.len() {
            1 => format!("something needs itself: {}", order::show(cycle)),
            _ => format!("these need each other in a circle: {}", order::show(cycle)),
        };
        let Some((needs, at)) = places.next() else { continue };
        let mut finding = Diagnostic::error("cycle", summary).at(at, format!("needs `{needs}`"));
        for (needs, at) in places.take(8) {
            finding = finding.also(at, format!("needs `{needs}`"));
        }
        out.push(finding.why("None of them can be built first.").help("Remove one of these references."));
    }
}

/// The name by which the graph knows what a reference leads to; `lets.` stands for all of them.
pub(crate) fn node_of(reference: &str) -> String {
    match reference.split_once('.') {
        Some(("lets", rest)) => format!("lets.{}", root_of(rest)),
        None if reference == "lets" => "lets.".to_owned(),
        _ => root_of(reference).to_owned(),
    }
}

fn leads(node: &str, needs: &str) -> bool {
    node == needs || node == "lets." && needs.starts_with(node)
}

/// Where an item refers to another: the part that does, or the item itself when the need is not written out.
fn reference(item: &Item<'_, '_>, needs: &str, evaluator: &Evaluator) -> At {
    item.parts
        .iter()
        .find(|part| evaluator.references(part.value).iter().any(|reference| leads(&node_of(reference), needs)))
        .copied()
        .or_else(|| item.after.iter().find(|(name, _)| *name == needs).map(|(_, place)| place))
        .map_or_else(|| item.place.key_at(), Place::value_at)
}
