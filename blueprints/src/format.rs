//! `forge fmt`: one way to lay out a document, with every comment kept.
//!
//! The tree says what there is, and a cursor walks the text beside it: between two nodes stand only blanks, comments and
//! the signs of YAML (`-`, `:`, `,`, brackets), so that whatever the cursor skips is seen. Scalars are copied as they are
//! written, quotes included; what changes is the space between them. A line break inside brackets stays a line break.
//!
//! A comment at the end of a line stays at the end of its line. One on a line of its own belongs to what follows it, unless
//! it is indented deeper than that: then it ends the block before. The result is read again and compared with what went
//! in, values and comments; a layout that would lose something is never returned.

mod inline;
mod layout;

use crate::yaml::{self, Data, Entry, Node};
use forge_engine::diag::{At, Diagnostic, DocumentId};
use std::ops::Range;

/// Why there is no formatted text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    /// The text is not a document that forge reads; why, and where.
    Findings(Vec<Diagnostic>),
    /// The layout would have changed what the document says: a bug in forge.
    Damaged(&'static str),
}

/// The text in its one layout. Formatting it again changes nothing.
pub fn format(document: DocumentId, text: &str) -> Result<String, Refused> {
    let (root, findings) = yaml::parse(document, text);
    let Some(root) = root.filter(|_| findings.is_empty()) else { return Err(Refused::Findings(findings)) };
    let findings = unsupported(document, text, &root);
    if !findings.is_empty() {
        return Err(Refused::Findings(findings));
    }
    // Positions of findings are those of the text as it was; from here on lines end in one way.
    let unix = text.strip_prefix('\u{feff}').unwrap_or(text).replace("\r\n", "\n").replace('\r', "\n");
    let before = yaml::parse(document, &unix).0.filter(|before| same(&root, before));
    let before = before.ok_or(Refused::Damaged("line endings could not be changed"))?;
    let written = layout::write(&unix, &before)?;
    match yaml::parse(document, &written) {
        (Some(after), findings) if findings.is_empty() && same(&before, &after) => {}
        _ => return Err(Refused::Damaged("the values would not be the same")),
    }
    if yaml::comments(&unix) != yaml::comments(&written) {
        return Err(Refused::Damaged("the comments would not be the same"));
    }
    Ok(written)
}

/// Whether two trees say the same, in the same order.
fn same(a: &Node, b: &Node) -> bool {
    match (&a.data, &b.data) {
        (Data::Scalar(a), Data::Scalar(b)) => a == b,
        (Data::List(a), Data::List(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Data::Map(a), Data::Map(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.key == b.key && same(&a.value, &b.value))
        }
        _ => false,
    }
}

/// What the language reads and nobody writes: not worth a layout of its own.
fn unsupported(document: DocumentId, text: &str, root: &Node) -> Vec<Diagnostic> {
    let mut findings = Vec::new();
    let mut refuse = |range: Range<usize>, summary: &str, help: &str| {
        let finding = Diagnostic::error("format-unsupported", summary).at(At::Text { document, range }, "").help(help);
        findings.push(finding);
    };
    let mut start = 0;
    for line in text[..root.span.start.min(text.len())].split_inclusive('\n') {
        if line.starts_with('%') {
            let range = start..start + line.trim_end().len();
            refuse(range, "a document with directives cannot be formatted", "Remove this line: forge reads YAML 1.2.");
        }
        start += line.len();
    }
    let mut pending = vec![root];
    while let Some(node) = pending.pop() {
        match &node.data {
            Data::Scalar(_) => {}
            Data::List(items) => pending.extend(items),
            Data::Map(entries) => {
                for Entry { key_span, .. } in entries {
                    if key_span.is_empty() || text[key_span.clone()].contains(['\n', '\r']) {
                        let summary = "a key that is empty or longer than a line cannot be formatted";
                        refuse(key_span.clone(), summary, "Write it on one line, in quotes if need be.");
                    }
                }
                pending.extend(entries.iter().map(|entry| &entry.value));
            }
        }
    }
    findings
}
