//! The rules of a module, and where findings in a module are shown: at the place where it is used, with the place in the
//! module beside it.

use super::World;
use crate::expr::root_of;
use crate::module::{Body, Check};
use crate::scope::Scope;
use crate::shape::{Findings, Place, describe};
use crate::uses::Used;
use forge_engine::diag::{At, Diagnostic, Label, Severity, Step};
use forge_engine::value::Value;
use std::collections::BTreeSet;

/// The most references that are followed to find out where an unknown value comes from; modules have a few dozen lets.
const MAX_REFERENCES: usize = 1000;

/// An input that is unknown where a module computes with it.
pub(super) struct UnknownInput<'u> {
    pub(super) input: &'u str,
    secret: bool,
}

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
        // An unknown value that no input is was made by the module itself.
        let passed = named.or_else(|| {
            if finding.id == "unknown-value" {
                return None;
            }
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

    /// The input that is unknown where the module computes with it: who passes it can act, whatever the expression was.
    pub(super) fn unknown_input<'u>(
        &self,
        finding: &Diagnostic,
        used: &'u Used<'_>,
        body: &Body<'_>,
        scope: &Scope,
    ) -> Option<UnknownInput<'u>> {
        let label = finding.primary.as_ref().filter(|_| finding.id == "unknown-value")?;
        let mut waiting: Vec<String> = self.references_at(&label.at).into_iter().rev().collect();
        let mut seen = BTreeSet::new();
        while let Some(reference) = waiting.pop().filter(|_| seen.len() < MAX_REFERENCES) {
            if !seen.insert(reference.clone()) {
                continue;
            }
            if let Some(let_) = reference.strip_prefix("lets.").and_then(|rest| body.lets.get(root_of(rest))) {
                waiting.extend(self.evaluator.references(let_.value));
            }
            // What a module that is passed as a whole says is always unknown: that its user cannot change.
            let input = reference.strip_prefix("inputs.").map(root_of);
            let input = input.filter(|input| scope.module(&format!("inputs.{input}")).is_none());
            let passed = input.and_then(|input| used.with.get_key_value(input));
            let Some((input, value)) = passed.and_then(|(input, _)| Some((*input, scope.look_up(&reference)?))) else {
                continue;
            };
            let secret = matches!(value, Value::Secret(_));
            if secret || !value.is_known() {
                return Some(UnknownInput { input, secret });
            }
        }
        None
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

impl UnknownInput<'_> {
    /// What there is to say to who passes it.
    pub(super) fn finding(&self, finding: Diagnostic) -> Diagnostic {
        let input = self.input;
        let (summary, why, help) = match self.secret {
            true => (
                format!("`{input}` cannot be a secret"),
                "The module computes with it, and a secret is read last, by whoever uses it.",
                "Pass text that may be shown and stored.",
            ),
            false => (
                format!("`{input}` must be known before apply"),
                "The module computes with it, and a plan must be complete before anything is touched.",
                "Pass a value that the blueprint knows: write it out, or refer to a variable.",
            ),
        };
        Diagnostic { summary, why: Some(why.to_owned()), help: Some(help.to_owned()), ..finding }
    }
}
