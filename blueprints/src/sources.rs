//! The documents of one run: their text, their trees, and the way from a symbolic place to bytes.

use crate::yaml::{self, Data, Node};
use forge_engine::diag::{At, Diagnostic, DocumentId, Locate, Located, Part, Path, Step};
use forge_engine::value::Value;
use std::ops::Range;

/// Every document read, by the id given out for it.
#[derive(Debug, Default)]
pub struct Sources {
    documents: Vec<Document>,
}

#[derive(Debug)]
struct Document {
    name: String,
    text: String,
    root: Option<Node>,
}

impl Sources {
    /// Reads a document under the name that findings are to show; what is wrong with its text goes to `findings`.
    pub fn add(&mut self, name: &str, bytes: &[u8], findings: &mut Vec<Diagnostic>) -> DocumentId {
        let id = DocumentId(u32::try_from(self.documents.len()).unwrap_or(u32::MAX));
        let (text, refused) = decode(id, bytes);
        let root = match refused {
            Some(finding) => {
                findings.push(finding);
                None
            }
            None => {
                let (root, found) = yaml::parse(id, &text);
                findings.extend(found);
                root
            }
        };
        self.documents.push(Document { name: name.to_owned(), text, root });
        id
    }

    /// The text of a document.
    #[must_use]
    pub fn text(&self, document: DocumentId) -> Option<&str> {
        Some(&self.document(document)?.text)
    }

    /// The name of a document, as findings show it.
    #[must_use]
    pub fn name(&self, document: DocumentId) -> Option<&str> {
        self.document(document).map(|document| document.name.as_str())
    }

    /// The tree of a document; none when its text was refused.
    #[must_use]
    pub fn root(&self, document: DocumentId) -> Option<&Node> {
        self.document(document)?.root.as_ref()
    }

    /// The node at a path, if it is there.
    #[must_use]
    pub fn node(&self, document: DocumentId, path: &Path) -> Option<&Node> {
        let found = find(self.root(document)?, path);
        found.exact.then_some(found.node)
    }

    /// The text of a document that the node at a path stands in.
    #[must_use]
    pub fn source(&self, document: DocumentId, path: &Path) -> Option<&str> {
        self.document(document)?.text.get(self.node(document, path)?.span.clone())
    }

    /// A place within the scalar at a path, where it can be found in the source; else the whole scalar.
    #[must_use]
    pub fn within(&self, document: DocumentId, path: &Path, range: Range<usize>) -> At {
        let within = self.node(document, path).and_then(|node| match node.verbatim {
            Some(offset) => Some(range.start + offset..range.end + offset),
            None => rewritten(node, self.document(document)?.text.get(node.span.clone())?, &range),
        });
        At::Node { document, path: path.clone(), part: Part::Value, within }
    }

    fn document(&self, document: DocumentId) -> Option<&Document> {
        self.documents.get(usize::try_from(document.0).ok()?)
    }
}

/// Where a part of a text stands in a source that writes the text in another way: a block, or with escapes. Such parts
/// are expressions, and the source has as many of these before it as the text.
fn rewritten(node: &Node, source: &str, range: &Range<usize>) -> Option<Range<usize>> {
    let Data::Scalar(Value::String(text)) = &node.data else { return None };
    let part = text.get(range.clone())?;
    let before = text.get(..range.start)?.matches("${").count();
    let (start, _) = source.match_indices("${").nth(before)?;
    // What goes on in the next line is shown as far as this one goes.
    let line = source[start..].lines().next()?.trim_end();
    let same = part.bytes().zip(line.bytes()).take_while(|(one, other)| one == other).count();
    (same == part.len() || same == line.len()).then_some(start..start + same)
}

/// The text of a document, and why it is not read any further.
fn decode(document: DocumentId, bytes: &[u8]) -> (String, Option<Diagnostic>) {
    if bytes.len() > yaml::MAX_BYTES {
        // Enough of it for an excerpt.
        let text = String::from_utf8_lossy(&bytes[..256]).into_owned();
        let summary = format!("the file is longer than {} bytes", yaml::MAX_BYTES);
        let finding = Diagnostic::error("yaml-too-large", summary)
            .at(At::Text { document, range: 0..0 }, "")
            .help("Is it a blueprint? Repetition belongs into variables and modules.");
        return (text, Some(finding));
    }
    match std::str::from_utf8(bytes) {
        Ok(text) => (text.to_owned(), None),
        Err(error) => {
            let start = error.valid_up_to();
            let text = String::from_utf8_lossy(bytes).into_owned();
            let range = start..start + char::REPLACEMENT_CHARACTER.len_utf8();
            let finding = Diagnostic::error("yaml-encoding", "the file is not UTF-8")
                .at(At::Text { document, range }, "these bytes are no character")
                .help("Save the file as UTF-8.");
            (text, Some(finding))
        }
    }
}

struct Found<'a> {
    node: &'a Node,
    key: Option<&'a Range<usize>>,
    exact: bool,
}

fn find<'a>(root: &'a Node, path: &Path) -> Found<'a> {
    let mut found = Found { node: root, key: None, exact: true };
    for step in &path.0 {
        let next = match (&found.node.data, step) {
            (Data::Map(entries), Step::Key(key)) => {
                entries.of(key).map(|entry| Found { node: &entry.value, key: Some(&entry.key_span), exact: true })
            }
            (Data::List(items), Step::Index(index)) => {
                items.get(*index).map(|node| Found { node, key: None, exact: true })
            }
            _ => None,
        };
        match next {
            Some(next) => found = next,
            None => return Found { exact: false, ..found },
        }
    }
    found
}

impl Locate for Sources {
    fn locate(&self, at: &At) -> Option<Located<'_>> {
        let (At::Node { document, .. } | At::Text { document, .. }) = at;
        let document = self.document(*document)?;
        let range = match at {
            At::Text { range, .. } => range.clone(),
            At::Node { path, part, within, .. } => document.root.as_ref().map_or(0..0, |root| {
                let found = find(root, path);
                match (found.key, within) {
                    // What is absent is missed where its parent is named.
                    (Some(key), _) if *part == Part::Key || !found.exact => key.clone(),
                    (_, Some(within)) if found.exact => {
                        let start = found.node.span.start;
                        start + within.start..(start + within.end).min(found.node.span.end)
                    }
                    _ => found.node.span.clone(),
                }
            }),
        };
        let start = yaml::floor(&document.text, range.start);
        let mut end = yaml::floor(&document.text, range.end).max(start);
        if matches!(at, At::Node { .. }) {
            // A whole block is named by its first line.
            end = document.text[start..end].find('\n').map_or(end, |newline| start + newline);
            end = start + document.text[start..end].trim_end().len();
        }
        Some(Located { name: &document.name, text: &document.text, range: start..end })
    }
}
