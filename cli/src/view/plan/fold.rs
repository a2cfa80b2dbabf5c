//! Alike resources as one row: `fleet.node[0..31]`.
//!
//! Alike are instances of one thing that all come, or all go, for the same reason. The fields shown are those of the first;
//! where another has a different value, that is said. What is changed or destroys data is never folded: there, each one
//! counts.

use super::step;
use crate::ui::{Paint, Palette};
use crate::view::alike::{self, FEWEST, instance};
use forge_engine::plan::{Action, Step};
use std::collections::{BTreeMap, BTreeSet};

/// A row of the plan.
#[derive(Debug)]
pub(super) enum Row<'a> {
    One(&'a Step),
    /// Several alike, by one name.
    Alike {
        name: String,
        steps: Vec<&'a Step>,
    },
}

impl Row<'_> {
    fn name(&self) -> &str {
        match self {
            Self::One(step) => step.address.as_str(),
            Self::Alike { name, .. } => name,
        }
    }

    /// How wide its name is.
    pub(super) fn width(&self) -> usize {
        self.name().chars().count()
    }

    pub(super) fn lines(&self, width: usize, palette: Palette) -> Vec<String> {
        let (step, more, differing) = match self {
            Self::One(step) => (*step, String::new(), BTreeSet::new()),
            Self::Alike { steps, .. } => {
                let doing = if steps[0].action == Action::Delete { "to delete" } else { "to create" };
                let more = palette.paint(Paint::Strong, format!("{} {doing}", steps.len()));
                (steps[0], format!("  {more}"), differing(steps))
            }
        };
        let mut lines = vec![step::head(step, self.name(), &more, width, palette)];
        lines.extend(step::fields(step, &differing, palette));
        lines
    }
}

/// The fields in which not all are like the first.
fn differing<'a>(steps: &[&'a Step]) -> BTreeSet<&'a str> {
    let Some(first) = step::wanted(steps[0]) else { return BTreeSet::new() };
    let unlike = |field: &String| {
        steps[1..].iter().any(|step| step::wanted(step).and_then(|fields| fields.get(field)) != first.get(field))
    };
    first.keys().filter(|field| unlike(field)).map(String::as_str).collect()
}

/// What several steps must have in common to be one row.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Alike<'a> {
    /// The address before and after the last brackets.
    around: (&'a str, &'a str),
    kind: &'a str,
    action: Action,
    reasons: &'a [String],
}

/// The steps as rows, each row where its first step stands.
pub(super) fn fold<'a>(steps: impl Iterator<Item = &'a Step>, full: bool) -> Vec<Row<'a>> {
    let mut groups: Vec<Vec<&Step>> = Vec::new();
    let mut known: BTreeMap<Alike<'_>, usize> = BTreeMap::new();
    for step in steps {
        let plain = !full && step.moved_from.is_none() && matches!(step.action, Action::Create | Action::Delete);
        let Some((before, _, after)) = instance(step.address.as_str()).filter(|_| plain) else {
            groups.push(vec![step]);
            continue;
        };
        let alike =
            Alike { around: (before, after), kind: &step.kind, action: step.action, reasons: step.reasons.as_slice() };
        let position = *known.entry(alike).or_insert(groups.len());
        match groups.get_mut(position) {
            Some(group) => group.push(step),
            None => groups.push(vec![step]),
        }
    }
    groups.into_iter().flat_map(row).collect()
}

fn row(steps: Vec<&Step>) -> Vec<Row<'_>> {
    if steps.len() < FEWEST {
        return steps.into_iter().map(Row::One).collect();
    }
    let addresses: Vec<&str> = steps.iter().map(|step| step.address.as_str()).collect();
    vec![Row::Alike { name: alike::name(&addresses), steps }]
}
