//! A finding as JSON: the diagnostic itself, and for each of its places the file and the range.

use super::span::Span;
use crate::ui::JSON_VERSION;
use forge_engine::diag::{Diagnostic, Label, Locate};
use serde_json::{Value, json};

/// `{"v", "finding", "place"}`; `place` is `file:line:column` of what the finding points at.
pub(crate) fn json(finding: &Diagnostic, locate: &dyn Locate) -> Value {
    let place = Span::of(finding, locate).map(|span| span.to_string());
    let mut document = json!({"v": JSON_VERSION, "finding": finding, "place": place});
    if let Some(label) = &finding.primary {
        put(&mut document["finding"]["primary"], label, locate);
    }
    for (index, label) in finding.secondary.iter().enumerate() {
        put(&mut document["finding"]["secondary"][index], label, locate);
    }
    document
}

fn put(into: &mut Value, label: &Label, locate: &dyn Locate) {
    if let Some(span) = Span::locate(&label.at, locate) {
        into["file"] = json!(span.file);
        into["range"] = json!(span.range);
    }
}
