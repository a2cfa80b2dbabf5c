//! The rules of a module, and where findings in a module are shown: at the place where it is used, with the place in the
//! module beside it.

use super::World;
use crate::expr::{Scope, root_of};
use crate::module::Check;
use crate::shape::{Findings, Place, describe};
use crate::uses::Used;
use forge_engine::diag::{At, Diagnostic, Label, Severity, Step};
use forge_engine::value::Value;
use std::collections::BTreeSet;

impl World<'_> {
    /// A rule of a module.
    pub(super) fn check(
        &self,
        check: &Check<'_>,
        used: &Used<'_>,
        scope: &Scope,
        found: &mut Findings,
        homed: &mut Findings,
    ) {
        let mut inner = Findings::new();
        let holds = self.holds(&check.that, scope, &mut inner);
        if let Some(unknown) = inner.iter().find(|finding| finding.id == "unknown-value") {
            let mut finding =
                Diagnostic::warning("check-deferred", "a rule of the module cannot be checked before apply");
            finding.severity = Severity::Note;
            let finding = finding.at(check.that.value_at(), "").why(format!("{}.", unknown.summary));
            homed.push(self.home(finding, used, check.at));
            return;
        }
        found.append(&mut inner);
        if holds != Some(false) {
            return;
        }
        let text = |place: &Place<'_>, found: &mut Findings| match self.evaluate(place, scope, found)? {
            Value::String(text) => Some(text),
            other => {
                let summary = format!("`{}` must be known text, not {}", place.name(), describe(&other));
                found.push(Diagnostic::error("wrong-type", summary).at(place.value_at(), ""));
                None
            }
        };
        let Some(summary) = text(&check.say, found) else { return };
        let mut finding = Diagnostic::error("check", summary).at(check.that.value_at(), "this does not hold");
        finding.severity = check.severity;
        finding.help = check.help.as_ref().and_then(|help| text(help, found));
        homed.push(self.home(finding, used, check.at));
    }

    /// Turns a finding in a module into one where the module is used: at the input that the place in the module uses, or
    /// else at the use itself.
    pub(super) fn home(&self, finding: Diagnostic, used: &Used<'_>, input: Option<&str>) -> Diagnostic {
        let named = input.and_then(|input| used.with.get(input));
        let passed = named.or_else(|| {
            let references = finding.primary.as_ref().map(|label| self.references_at(&label.at)).unwrap_or_default();
            let inputs = references.iter().filter_map(|reference| reference.strip_prefix("inputs."));
            inputs.filter_map(|rest| used.with.get(root_of(rest))).next()
        });
        let (at, here) = match passed {
            Some(passed) => (passed.value_at(), format!("passed to `{}` here", used.name)),
            None => (used.place.key_at(), "used here".to_owned()),
        };
        let mut finding = finding;
        if let Some(Label { at, text }) = finding.primary.take() {
            let text = match text.is_empty() {
                true => format!("in module {}", used.use_name),
                false => format!("in module {}: {text}", used.use_name),
            };
            finding = finding.also(at, text);
        }
        finding.at(at, here)
    }

    /// What the expressions at a place refer to.
    fn references_at(&self, at: &At) -> BTreeSet<String> {
        let At::Node { document, path, .. } = at else { return BTreeSet::new() };
        let mut value = self.documents.get(document).copied();
        for step in &path.0 {
            value = match (value, step) {
                (Some(Value::Map(entries)), Step::Key(key)) => entries.get(key),
                (Some(Value::List(items)), Step::Index(index)) => items.get(*index),
                _ => None,
            };
        }
        value.map(|value| self.evaluator.references(value)).unwrap_or_default()
    }
}
