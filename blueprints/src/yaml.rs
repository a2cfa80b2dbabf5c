//! YAML text to a tree of typed nodes that know where they stand. The only file that knows the YAML library.
//!
//! The library's event parser gives scalars and brackets with byte positions; a stack of open collections folds them
//! into [`Node`]s. Scalars are typed by the core schema of YAML 1.2 (so `no` is text, not false). What the language
//! leaves out on purpose (anchors, merge keys, tags, several documents) is refused with the reason, and every finding
//! of this stage points at bytes, because paths are ambiguous until the tree stands. Parsing never panics, never
//! recurses on input, and is bounded: by [`MAX_BYTES`] and [`MAX_DEPTH`].

use forge_engine::diag::{At, Diagnostic, DocumentId};
use forge_engine::value::Value;
use serde_saphyr::granit_parser::{ErrorKind, Event, Options, Parser, ScalarStyle, ScanError, Span};
use std::collections::{BTreeMap, HashMap};
use std::ops::{Deref, Range};

/// The longest document read, in bytes. A blueprint of 2,000 modules is about 200 KiB.
pub const MAX_BYTES: usize = 1 << 20;

/// The deepest nesting read. Real blueprints reach 8; everything after this stage may recurse over the tree.
pub const MAX_DEPTH: usize = 64;

/// A node of a document.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Its bytes in the document's text.
    pub span: Range<usize>,
    /// What stands there.
    pub data: Data,
    /// For text that stands in the source as it is read (no escapes, one line): where it starts within `span`.
    pub verbatim: Option<usize>,
}

/// What a node is.
#[derive(Debug, Clone, PartialEq)]
pub enum Data {
    /// Null, a bool, a number or text.
    Scalar(Value),
    /// A sequence.
    List(Vec<Node>),
    /// A mapping.
    Map(Entries),
}

/// The entries of a mapping in the order of the text; no key twice.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Entries {
    entries: Vec<Entry>,
    /// Where each stands in `entries`, in the order of the keys: a mapping may have 100,000 of them, and each may be what
    /// a finding is about.
    by_key: Vec<usize>,
}

impl Entries {
    fn new(entries: Vec<Entry>) -> Self {
        let mut by_key: Vec<usize> = (0..entries.len()).collect();
        by_key.sort_unstable_by(|a, b| entries[*a].key.cmp(&entries[*b].key));
        Self { entries, by_key }
    }

    /// The entry of that key.
    #[must_use]
    pub fn of(&self, key: &str) -> Option<&Entry> {
        let found = self.by_key.binary_search_by(|index| self.entries[*index].key.as_str().cmp(key));
        found.ok().map(|position| &self.entries[self.by_key[position]])
    }
}

impl Deref for Entries {
    type Target = [Entry];

    fn deref(&self) -> &[Entry] {
        &self.entries
    }
}

impl IntoIterator for Entries {
    type Item = Entry;
    type IntoIter = std::vec::IntoIter<Entry>;

    fn into_iter(self) -> Self::IntoIter {
        self.entries.into_iter()
    }
}

impl<'a> IntoIterator for &'a Entries {
    type Item = &'a Entry;
    type IntoIter = std::slice::Iter<'a, Entry>;

    fn into_iter(self) -> Self::IntoIter {
        self.entries.iter()
    }
}

/// An entry of a mapping.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// The key's bytes in the document's text.
    pub key_span: Range<usize>,
    /// The value.
    pub value: Node,
}

impl Node {
    /// The node without its positions.
    #[must_use]
    pub fn to_value(&self) -> Value {
        match &self.data {
            Data::Scalar(value) => value.clone(),
            Data::List(items) => Value::List(items.iter().map(Self::to_value).collect()),
            Data::Map(entries) => Value::Map(
                entries.iter().map(|entry| (entry.key.clone(), entry.value.to_value())).collect::<BTreeMap<_, _>>(),
            ),
        }
    }
}

/// Parses a document. No node when the text is not YAML; the findings then say why.
#[must_use]
pub fn parse(document: DocumentId, text: &str) -> (Option<Node>, Vec<Diagnostic>) {
    let mut builder = Builder { document, text, stack: Vec::new(), root: None, findings: Vec::new() };
    if let Some(offset) = text.find('\0') {
        // The parser takes NUL for the end of the text and would drop the rest in silence.
        builder.refuse("yaml-syntax", offset..offset + 1, "a NUL character stands in the text", "YAML text has none.");
        return (None, builder.findings);
    }
    let mut options = Options::default();
    options.emit_unresolved_aliases = true;
    options.set_emit_comments(false);
    let mut documents = 0;
    for next in Parser::new_from_str_with_options(text, options) {
        let (event, span) = match next {
            Ok(next) => next,
            Err(error) => {
                builder.syntax(&error);
                return (None, builder.findings);
            }
        };
        if let Event::DocumentStart(..) = event {
            documents += 1;
            builder.directives(&span);
            if documents > 1 {
                builder.several_documents(&span);
                break;
            }
        }
        if builder.event(event, &span).is_none() {
            return (None, builder.findings);
        }
    }
    let root = builder.root.take().unwrap_or(Node { span: 0..0, data: Data::Scalar(Value::Null), verbatim: None });
    (Some(root), builder.findings)
}

/// The comments of a text that [`parse`] accepts, in order, each without its `#` and without the blanks at its end.
#[must_use]
pub fn comments(text: &str) -> Vec<String> {
    let mut options = Options::default();
    options.set_emit_comments(true);
    // Bounded by the text itself, which MAX_BYTES bounds.
    options.max_buffered_comment_events = usize::MAX;
    let comment = |(event, span): (Event<'_>, Span)| match event {
        Event::Comment(text, _) => Some((span.byte_range()?.start, text.trim_end().to_owned())),
        _ => None,
    };
    let mut found: Vec<_> =
        Parser::new_from_str_with_options(text, options).map_while(Result::ok).filter_map(comment).collect();
    // Some are given out only after the node that they stand before.
    found.sort_by_key(|(start, _)| *start);
    found.into_iter().map(|(_, text)| text).collect()
}

enum Frame {
    List { start: usize, items: Vec<Node> },
    Map { start: usize, entries: Vec<Entry>, seen: HashMap<String, Range<usize>>, key: Option<Key> },
}

/// A key that waits for its value.
struct Key {
    text: String,
    span: Range<usize>,
    /// False when the entry has been refused and is only read over.
    keep: bool,
}

struct Builder<'a> {
    document: DocumentId,
    text: &'a str,
    stack: Vec<Frame>,
    root: Option<Node>,
    findings: Vec<Diagnostic>,
}

impl Builder<'_> {
    /// Takes one event; none when reading cannot go on.
    fn event(&mut self, event: Event<'_>, span: &Span) -> Option<()> {
        let range = self.range(span);
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                self.properties(anchor != 0, tag.is_some(), &range);
                let node = self.scalar(&text, style, range);
                self.complete(node, Some(&text));
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.properties(anchor != 0, tag.is_some(), &range);
                self.open(Frame::List { start: range.start, items: Vec::new() }, &range)?;
            }
            Event::MappingStart(_, anchor, tag) => {
                self.properties(anchor != 0, tag.is_some(), &range);
                let frame = Frame::Map { start: range.start, entries: Vec::new(), seen: HashMap::new(), key: None };
                self.open(frame, &range)?;
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let node = match self.stack.pop()? {
                    Frame::List { start, items } => {
                        let end = items.last().map_or(range.end, |last| last.span.end.max(range.end));
                        Node { span: start..end, data: Data::List(items), verbatim: None }
                    }
                    Frame::Map { start, entries, .. } => {
                        let end = entries.last().map_or(range.end, |last| last.value.span.end.max(range.end));
                        Node { span: start..end, data: Data::Map(Entries::new(entries)), verbatim: None }
                    }
                };
                self.complete(node, None);
            }
            Event::Alias(_) | Event::UnresolvedAlias(_) => {
                self.alias(range.clone());
                let node = Node { span: range, data: Data::Scalar(Value::Null), verbatim: None };
                self.complete(node, Some(""));
            }
            _ => {}
        }
        Some(())
    }

    fn open(&mut self, frame: Frame, range: &Range<usize>) -> Option<()> {
        if self.stack.len() >= MAX_DEPTH {
            self.too_deep(range.clone());
            return None;
        }
        self.stack.push(frame);
        Some(())
    }

    /// A node is whole: it goes into the collection that is open, as key or as value.
    fn complete(&mut self, node: Node, text: Option<&str>) {
        match self.stack.last_mut() {
            None => self.root = Some(node),
            Some(Frame::List { items, .. }) => items.push(node),
            Some(Frame::Map { entries, key: key @ Some(_), .. }) => {
                if let Some(Key { text, span, keep: true }) = key.take() {
                    entries.push(Entry { key: text, key_span: span, value: node });
                }
            }
            Some(Frame::Map { key: None, .. }) => self.key(&node, text),
        }
    }

    fn key(&mut self, node: &Node, text: Option<&str>) {
        let span = node.span.clone();
        let mut keep = true;
        match text {
            None => {
                keep = false;
                self.refuse("yaml-key", span.clone(), "a key must be text", "Lists and mappings cannot be keys.");
            }
            Some("<<") => {
                keep = false;
                let why =
                    "What a merge key pulls in has no place of its own in the text, so errors could not point at it.";
                self.refuse("yaml-merge-key", span.clone(), "merge keys are not supported", why);
            }
            Some(_) => {}
        }
        let text = text.unwrap_or_default().to_owned();
        let mut twice = None;
        if let Some(Frame::Map { seen, key, .. }) = self.stack.last_mut() {
            if keep {
                twice = seen.get(&text).cloned();
                keep = twice.is_none();
                seen.entry(text.clone()).or_insert_with(|| span.clone());
            }
            *key = Some(Key { text: text.clone(), span: span.clone(), keep });
        }
        if let Some(first) = twice {
            let finding = Diagnostic::error("duplicate-key", format!("the key `{text}` stands twice in one mapping"))
                .at(self.at(span), "here again")
                .also(self.at(first), "first here")
                .help("Remove one of them.");
            self.findings.push(finding);
        }
    }

    fn scalar(&mut self, text: &str, style: ScalarStyle, span: Range<usize>) -> Node {
        let source = self.text.get(span.clone()).unwrap_or_default();
        let verbatim = match style {
            ScalarStyle::Plain => (source == text).then_some(0),
            ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted => {
                (source.get(1..source.len().saturating_sub(1)) == Some(text)).then_some(1)
            }
            ScalarStyle::Literal | ScalarStyle::Folded => None,
        };
        let value = match style {
            ScalarStyle::Plain => core_schema(text).unwrap_or_else(|()| {
                let why = "It is infinite, not a number, or larger than any exact 64-bit number.";
                self.refuse("yaml-number", span.clone(), "this number cannot be used", why);
                Value::Null
            }),
            _ => Value::String(text.to_owned()),
        };
        Node { span, data: Data::Scalar(value), verbatim }
    }

    fn properties(&mut self, anchor: bool, tag: bool, range: &Range<usize>) {
        if anchor {
            let why = "What an alias repeats has no place of its own in the text, so errors could not point at it.";
            self.refuse("yaml-anchor", self.mark(range, '&'), "anchors are not supported", why);
        }
        if tag {
            let why = "The type of a value follows from the key that it stands under.";
            self.refuse("yaml-tag", self.mark(range, '!'), "tags are not supported", why);
        }
    }

    /// The anchor or tag of a node, which stands before it: the parser tells only where the node itself is.
    fn mark(&self, node: &Range<usize>, sign: char) -> Range<usize> {
        let mut before = self.text[..node.start].trim_end();
        // A node has at most one of each.
        for _ in 0..2 {
            let open = |c: char| c.is_whitespace() || "[]{},".contains(c);
            let start =
                before.rfind(open).map_or(0, |found| found + before[found..].chars().next().map_or(0, char::len_utf8));
            if before[start..].starts_with(sign) {
                return start..before.len();
            }
            before = before[..start].trim_end();
        }
        node.clone()
    }

    /// What a document says of itself before it starts: another version of YAML would mean something else.
    fn directives(&mut self, span: &Span) {
        let head = self.range(span).start;
        let mut start = 0;
        for line in self.text[..head].split_inclusive('\n') {
            let range = start..start + line.trim_end().len();
            start += line.len();
            let words: Vec<&str> = line.split_whitespace().take(2).collect();
            if line.starts_with('%') && words != ["%YAML", "1.2"] {
                let why = "forge reads YAML 1.2; nothing else that a document says of itself is heeded.";
                self.refuse("yaml-directive", range, "this directive is not supported", why);
            }
        }
    }

    fn too_deep(&mut self, range: Range<usize>) {
        let why = format!("forge reads at most {MAX_DEPTH} levels, so that no document can exhaust its memory.");
        self.refuse("yaml-too-deep", range, "this is nested too deep", &why);
    }

    fn alias(&mut self, range: Range<usize>) {
        let finding = Diagnostic::error("yaml-alias", "aliases are not supported")
            .at(self.at(range), "")
            .why("What an alias repeats has no place of its own in the text, so errors could not point at it.")
            .help("Declare the value under `vars:` and refer to it as ${vars.NAME}. A value that starts with * must be quoted.");
        self.findings.push(finding);
    }

    fn several_documents(&mut self, span: &Span) {
        let range = self.range(span);
        self.refuse("yaml-documents", range, "a second document starts here", "One file is one document.");
    }

    fn refuse(&mut self, id: &'static str, range: Range<usize>, summary: &str, why: &str) {
        let help = match id {
            "yaml-anchor" | "yaml-merge-key" => {
                Some("Declare the value under `vars:` and refer to it as ${vars.NAME}, or write it out.")
            }
            "yaml-documents" => Some("Remove the `---` and what follows it, or put that into a file of its own."),
            "yaml-tag" => Some("Remove the tag. Text that starts with ! must be quoted."),
            "yaml-number" => Some("Quote it if text is meant."),
            "yaml-directive" => Some("Remove the line."),
            _ => None,
        };
        let mut finding = Diagnostic::error(id, summary).at(self.at(range), "").why(why);
        finding.help = help.map(str::to_owned);
        self.findings.push(finding);
    }

    fn syntax(&mut self, error: &ScanError) {
        let start = floor(self.text, error.marker().byte_offset().unwrap_or(self.text.len()));
        let end = self.text[start..].chars().next().map_or(start, |next| start + next.len_utf8());
        let line = self.text[..start].rfind('\n').map_or(0, |newline| newline + 1);
        let line = self.text[line..].lines().next().unwrap_or_default();
        let tab = matches!(
            error.kind(),
            ErrorKind::TabNotAllowed
                | ErrorKind::TabInBlockIndentation
                | ErrorKind::TabInIndentation
                | ErrorKind::TabAtBlockScalarStart
                | ErrorKind::TabInPlainScalar
        ) || line.trim_start_matches(' ').starts_with('\t');
        if matches!(error.kind(), ErrorKind::RecursionLimitExceeded) {
            self.too_deep(start..end);
            return;
        }
        if let Some(quote) = self.open_quote(start, error.kind()).filter(|_| !tab) {
            let finding = Diagnostic::error("yaml-syntax", "nothing closes this quote").at(self.at(quote.clone()), "");
            let finding = match start < self.text.trim_end().len() && quote.start < start {
                true => finding.also(self.at(start..end), "so this is read as text"),
                false => finding,
            };
            let help = "Close it on its line. Inside \"…\" a quote is written \\\", inside '…' it is doubled.";
            self.findings.push(finding.help(help));
            return;
        }
        let at = self.at(start..end);
        let finding = if tab {
            Diagnostic::error("yaml-tab", "a tab stands where YAML wants spaces")
                .at(at, "")
                .why("YAML measures nesting in spaces and forbids tabs in indentation.")
                .help("Replace the tab by spaces, two per level.")
        } else if line.contains("${") {
            Diagnostic::error("yaml-syntax", "this is not valid YAML")
                .at(at, error.info())
                .help("Inside { } or [ ] an expression must be quoted: \"${...}\".")
        } else {
            Diagnostic::error("yaml-syntax", "this is not valid YAML").at(at, error.info()).help(
                "Check the indentation, the brackets and the quotes up to this place; text with `: ` or ` #` in it must be quoted.",
            )
        };
        self.findings.push(finding);
    }

    /// The quote that went on beyond its line and so made an error at `error`.
    fn open_quote(&self, error: usize, kind: &ErrorKind) -> Option<Range<usize>> {
        let line = self.text[..error].rfind('\n').map_or(0, |newline| newline + 1);
        let own = opened(&self.text[line..error]);
        match kind {
            ErrorKind::UnclosedQuotedScalar => return Some(error..error + 1),
            ErrorKind::InvalidQuotedScalarIndent | ErrorKind::DocumentIndicatorInQuotedScalar => {}
            ErrorKind::UnknownQuotedScalarEscape
            | ErrorKind::InvalidQuotedScalarHexEscape
            | ErrorKind::InvalidLowSurrogateHexEscape
            | ErrorKind::InvalidUnicodeEscape => return None,
            // The quote that seems to open here closes what began before.
            _ if own.is_some() => {}
            _ => return None,
        }
        let mut end = line;
        while end > 0 {
            let start = self.text[..end - 1].rfind('\n').map_or(0, |newline| newline + 1);
            if let Some(at) = opened(&self.text[start..end]) {
                return Some(start + at..start + at + 1);
            }
            end = start;
        }
        None
    }

    fn range(&self, span: &Span) -> Range<usize> {
        let range = span.byte_range().unwrap_or(0..0);
        let start = floor(self.text, range.start);
        start..floor(self.text, range.end).max(start)
    }

    fn at(&self, range: Range<usize>) -> At {
        At::Text { document: self.document, range }
    }
}

/// Where a quote opens on a line that does not close it.
fn opened(line: &str) -> Option<usize> {
    let mut open: Option<(usize, char)> = None;
    let mut before = ' ';
    let mut chars = line.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        match open {
            Some((_, '"')) if c == '\\' => {
                chars.next();
            }
            Some((_, quote)) if c == quote => match chars.peek() {
                Some((_, '\'')) if quote == '\'' => {
                    chars.next();
                }
                _ => open = None,
            },
            Some(_) => {}
            None if c == '#' && before.is_whitespace() => return None,
            // Inside a word a quote is a character like any other.
            None if matches!(c, '"' | '\'') && (before.is_whitespace() || "[{,".contains(before)) => {
                open = Some((at, c));
            }
            None => {}
        }
        before = c;
    }
    open.map(|(at, _)| at)
}

/// The nearest character boundary at or before `offset`.
pub(crate) fn floor(text: &str, offset: usize) -> usize {
    let mut offset = offset.min(text.len());
    while !text.is_char_boundary(offset) {
        offset -= 1;
    }
    offset
}

/// A plain scalar's value by the core schema (YAML 1.2.2, section 10.3.2); an error for a number that JSON has not.
pub(crate) fn core_schema(text: &str) -> Result<Value, ()> {
    Ok(match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        _ => match text.trim_start_matches(['-', '+']) {
            ".inf" | ".Inf" | ".INF" | ".nan" | ".NaN" | ".NAN" => return Err(()),
            _ => number(text)?.map_or_else(|| Value::String(text.to_owned()), Value::Number),
        },
    })
}

fn number(text: &str) -> Result<Option<serde_json::Number>, ()> {
    let radix = |digits: &str, radix: u32| {
        let valid = !digits.is_empty() && digits.chars().all(|digit| digit.is_digit(radix));
        valid.then(|| u64::from_str_radix(digits, radix).map(Into::into).map_err(|_| ())).transpose()
    };
    if let Some(digits) = text.strip_prefix("0x") {
        return radix(digits, 16);
    }
    if let Some(digits) = text.strip_prefix("0o") {
        return radix(digits, 8);
    }
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    if !unsigned.is_empty() && unsigned.bytes().all(|byte| byte.is_ascii_digit()) {
        let exact = match text.parse::<i64>() {
            Ok(number) => Some(number.into()),
            Err(_) => text.parse::<u64>().ok().map(Into::into),
        };
        return exact.map(Some).ok_or(());
    }
    if !is_float(unsigned) {
        return Ok(None);
    }
    let parsed = text.parse::<f64>().map_err(|_| ())?;
    serde_json::Number::from_f64(parsed).map(Some).ok_or(())
}

/// `(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?`
fn is_float(unsigned: &str) -> bool {
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent.strip_prefix(['-', '+']).unwrap_or(exponent))),
        None => (unsigned, None),
    };
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let mantissa = digits(whole) && digits(fraction) && !(whole.is_empty() && fraction.is_empty());
    mantissa && exponent.is_none_or(|exponent| !exponent.is_empty() && digits(exponent))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn plain_scalars_follow_the_core_schema() {
        let text = "[~, null, '', true, False, no, on, 1, -2, +3, 010, 0x1F, 0o17, 1.5, .5, 1., 1e3, -1.5E-2, 1_000, 1:30, 'x', 1.2.3, +, ., e5]";
        let (node, findings) = parse(DocumentId(0), text);
        assert_eq!(findings, []);
        let wanted = json!([
            null, null, "", true, false, "no", "on", 1, -2, 3, 10, 31, 15, 1.5, 0.5, 1.0, 1000.0, -0.015, "1_000",
            "1:30", "x", "1.2.3", "+", ".", "e5"
        ]);
        assert_eq!(node.unwrap().to_value().to_json(), Some(wanted));
    }

    #[test]
    fn nodes_know_where_they_stand() {
        let text = "a:\n  b: ['x', \"é\\n\", z z]\n";
        let (node, _) = parse(DocumentId(0), text);
        let Data::Map(entries) = node.unwrap().data else { panic!() };
        let Data::Map(entries) = &entries[0].value.data else { panic!() };
        assert_eq!(&text[entries[0].key_span.clone()], "b");
        let Data::List(items) = &entries[0].value.data else { panic!() };
        let found: Vec<_> = items.iter().map(|item| (&text[item.span.clone()], item.verbatim)).collect();
        assert_eq!(found, [("'x'", Some(1)), ("\"é\\n\"", None), ("z z", Some(0))]);
    }
}
