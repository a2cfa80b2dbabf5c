//! Modules that need each other in a circle.

use crate::blueprint::Used;
use crate::expr::{Evaluator, root_of};
use crate::order;
use crate::shape::Findings;
use forge_engine::diag::{At, Diagnostic};
use std::collections::BTreeMap;

/// Reports each cycle at the reference by which its first module needs its second.
pub(crate) fn report(
    cycles: &[Vec<String>],
    modules: &BTreeMap<&str, Used<'_>>,
    evaluator: &Evaluator,
    out: &mut Findings,
) {
    for cycle in cycles {
        let mut places = cycle.iter().enumerate().filter_map(|(index, name)| {
            let needs = cycle.get(index + 1).or(cycle.first())?;
            Some((needs, reference(modules.get(name.as_str())?, needs, evaluator)))
        });
        let summary = match cycle.len() {
            1 => format!("a module needs itself: {}", order::show(cycle)),
            _ => format!("modules need each other in a circle: {}", order::show(cycle)),
        };
        let Some((needs, at)) = places.next() else { continue };
        let mut finding = Diagnostic::error("cycle", summary).at(at, format!("needs `{needs}`"));
        for (needs, at) in places.take(8) {
            finding = finding.also(at, format!("needs `{needs}`"));
        }
        out.push(finding.why("None of them can be built first.").help("Remove one of these references."));
    }
}

/// Where a module refers to another: the entry of `with`, or the module itself when the need is not written out.
fn reference(used: &Used<'_>, needs: &str, evaluator: &Evaluator) -> At {
    used.with
        .iter()
        .find(|(_, place)| evaluator.references(place.value).iter().any(|reference| root_of(reference) == needs))
        .map_or_else(|| used.place.key_at(), |(_, place)| place.value_at())
}
