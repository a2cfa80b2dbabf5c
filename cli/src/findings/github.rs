//! Workflow commands of GitHub Actions: each becomes an annotation beside its line
//! (docs.github.com, "Workflow commands for GitHub Actions").

use super::said;
use super::span::Span;
use forge_engine::diag::{Diagnostic, Locate, Severity};

/// One command a line.
pub(crate) fn github(findings: &[Diagnostic], locate: &dyn Locate) -> String {
    findings.iter().map(|finding| command(finding, locate)).collect()
}

fn command(finding: &Diagnostic, locate: &dyn Locate) -> String {
    let name = match finding.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Note => "notice",
    };
    let mut properties = vec![format!("title={}", property(finding.id))];
    if let Some(Span { file, range }) = Span::of(finding, locate) {
        let (start, end) = (range.start, range.end);
        properties.push(format!("file={}", property(file)));
        properties.push(format!("line={}", start.line));
        // Columns count only within one line.
        let columns = start.line == end.line;
        properties.extend(columns.then(|| format!("col={}", start.column)));
        properties.push(format!("endLine={}", end.line));
        properties.extend(columns.then(|| format!("endColumn={}", end.column)));
    }
    format!("::{name} {}::{}\n", properties.join(","), message(&said(finding, "\n")))
}

fn message(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn property(text: &str) -> String {
    message(text).replace(':', "%3A").replace(',', "%2C")
}
