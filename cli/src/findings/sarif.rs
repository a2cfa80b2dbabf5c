//! SARIF 2.1.0 (OASIS): what code scanners hand to those who show results.

use super::span::Span;
use super::{level, said};
use forge_engine::diag::{Diagnostic, Label, Locate};
use serde_json::{Value, json};
use std::fmt::Write as _;

const SCHEMA: &str = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json";

/// The whole log: one run, a rule for each id, a result for each finding.
pub(crate) fn sarif(findings: &[Diagnostic], locate: &dyn Locate) -> Value {
    let mut ids: Vec<&str> = Vec::new();
    for finding in findings {
        if !ids.contains(&finding.id) {
            ids.push(finding.id);
        }
    }
    let rule = |id: &&str| json!({"id": id, "shortDescription": {"text": id.replace('-', " ")}});
    let results = findings.iter().map(|finding| result(finding, &ids, locate));
    json!({
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {
                "name": "forge",
                "version": env!("CARGO_PKG_VERSION"),
                "rules": ids.iter().map(rule).collect::<Vec<_>>(),
            }},
            "columnKind": "unicodeCodePoints",
            "results": results.collect::<Vec<_>>(),
        }],
    })
}

fn result(finding: &Diagnostic, ids: &[&str], locate: &dyn Locate) -> Value {
    let places: Vec<Value> = finding.primary.iter().filter_map(|label| physical(label, locate)).collect();
    let related = finding.secondary.iter().enumerate().filter_map(|(index, label)| {
        let mut place = physical(label, locate)?;
        place["id"] = json!(index + 1);
        place["message"] = json!({"text": label.text});
        Some(place)
    });
    json!({
        "ruleId": finding.id,
        "ruleIndex": ids.iter().position(|id| *id == finding.id),
        "level": level(finding.severity),
        "message": {"text": said(finding, "\n")},
        "locations": places,
        "relatedLocations": related.collect::<Vec<_>>(),
    })
}

fn physical(label: &Label, locate: &dyn Locate) -> Option<Value> {
    let Span { file, range } = Span::locate(&label.at, locate)?;
    Some(json!({"physicalLocation": {
        "artifactLocation": {"uri": uri(file)},
        "region": {
            "startLine": range.start.line, "startColumn": range.start.column,
            "endLine": range.end.line, "endColumn": range.end.column,
        },
    }}))
}

/// A path as a URI reference; one that does not begin at the root stays relative.
fn uri(path: &str) -> String {
    let mut uri = if path.starts_with('/') { "file://".to_owned() } else { String::new() };
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte) {
            uri.push(char::from(byte));
        } else {
            let _ = write!(uri, "%{byte:02X}");
        }
    }
    uri
}
