//! Trees as YAML text that any reader of YAML takes for what they are.
//!
//! Text stands plain where no reader, of YAML 1.1 either, could take it for something else; in single quotes where double
//! ones would need escapes; over several lines as it is where it can be. Short lists stand on one line. The layout is that
//! of `forge fmt`.

use crate::yaml;
use forge_engine::value::Value;
use std::fmt::Write as _;

/// A list on one line is no longer than this, in characters.
const WIDTH: usize = 100;

/// What is to be written.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Tree {
    Map(Vec<Entry>),
    List(Vec<Tree>),
    /// Null, a bool, a number or text.
    Scalar(Value),
}

/// An entry of a mapping.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) value: Tree,
    /// A comment at the end of the line.
    pub(crate) comment: Option<String>,
}

impl Entry {
    pub(crate) fn new(key: impl Into<String>, value: Tree) -> Self {
        Self { key: key.into(), value, comment: None }
    }
}

impl Tree {
    pub(crate) fn text(text: impl Into<String>) -> Self {
        Self::Scalar(Value::String(text.into()))
    }

    /// The same as JSON, without comments.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        match self {
            Self::Map(entries) => entries.iter().map(|entry| (entry.key.clone(), entry.value.to_json())).collect(),
            Self::List(items) => items.iter().map(Self::to_json).collect(),
            Self::Scalar(value) => value.to_json().unwrap_or_default(),
        }
    }
}

/// The entries as a document, with an empty line before each that `apart` tells.
pub(crate) fn document(entries: &[Entry], apart: impl Fn(&str) -> bool) -> String {
    let mut out = String::new();
    for entry in entries {
        if apart(&entry.key) && !out.is_empty() {
            out.push('\n');
        }
        write(entry, 0, &mut out);
    }
    out
}

fn write(entry: &Entry, depth: usize, out: &mut String) {
    indent(depth, out);
    out.push_str(&scalar_text(&entry.key, false));
    out.push(':');
    value(&entry.value, depth, entry.comment.as_deref(), out);
}

/// What follows a key or a dash, from the space to the line's end.
fn value(tree: &Tree, depth: usize, comment: Option<&str>, out: &mut String) {
    let end = |out: &mut String| {
        if let Some(comment) = comment {
            let _ = write!(out, " # {}", one_line(comment));
        }
        out.push('\n');
    };
    match tree {
        Tree::Map(entries) if !entries.is_empty() => {
            end(out);
            entries.iter().for_each(|entry| write(entry, depth + 1, out));
        }
        Tree::Scalar(Value::String(text)) if let Some(chomping) = literal(text) => {
            let _ = write!(out, " |{chomping}");
            end(out);
            for line in text.strip_suffix('\n').unwrap_or(text).split('\n') {
                if !line.is_empty() {
                    indent(depth + 1, out);
                    out.push_str(line);
                }
                out.push('\n');
            }
        }
        Tree::List(items) if on_one_line(items).is_none() => {
            end(out);
            for item in items {
                indent(depth + 1, out);
                out.push('-');
                match item {
                    // The first entry stands beside the dash.
                    Tree::Map(entries) if !entries.is_empty() => {
                        let mut inner = String::new();
                        entries.iter().for_each(|entry| write(entry, depth + 2, &mut inner));
                        out.push(' ');
                        out.push_str(inner.trim_start());
                    }
                    // A list in a list would have to begin beside the dash as well: on one line it has no lines to align.
                    Tree::List(items) => {
                        out.push(' ');
                        out.push_str(&flow(items));
                        out.push('\n');
                    }
                    other => value(other, depth + 1, None, out),
                }
            }
        }
        other => {
            out.push(' ');
            out.push_str(&inline(other, false));
            end(out);
        }
    }
}

/// Text without anything that could end its line.
pub(crate) fn one_line(text: &str) -> String {
    text.chars().map(|c| if is_printable(c) { c } else { ' ' }).collect()
}

fn indent(depth: usize, out: &mut String) {
    out.extend(std::iter::repeat_n("  ", depth));
}

/// A list of scalars that is short.
fn on_one_line(items: &[Tree]) -> Option<String> {
    let simple = |item: &Tree| match item {
        Tree::Scalar(Value::String(text)) => !text.contains('\n'),
        Tree::Scalar(_) => true,
        _ => false,
    };
    let line = items.iter().all(simple).then(|| flow(items))?;
    (line.chars().count() <= WIDTH).then_some(line)
}

fn flow(items: &[Tree]) -> String {
    let items: Vec<String> = items.iter().map(|item| inline(item, true)).collect();
    format!("[{}]", items.join(", "))
}

/// A tree on one line; `flow` when it stands inside brackets.
fn inline(tree: &Tree, flow_: bool) -> String {
    match tree {
        Tree::Map(entries) if entries.is_empty() => "{}".to_owned(),
        Tree::Map(entries) => {
            let entry = |entry: &Entry| format!("{}: {}", scalar_text(&entry.key, true), inline(&entry.value, true));
            format!("{{ {} }}", entries.iter().map(entry).collect::<Vec<_>>().join(", "))
        }
        Tree::List(items) => flow(items),
        Tree::Scalar(Value::String(text)) => scalar_text(text, flow_),
        Tree::Scalar(other) => other.to_json().unwrap_or_default().to_string(),
    }
}

/// How a block of text ends, when text can be one: over several lines, every character as it is.
fn literal(text: &str) -> Option<&'static str> {
    let body = text.strip_suffix('\n').unwrap_or(text);
    let fits = body.contains('\n')
        && !body.starts_with([' ', '\n'])
        && !body.ends_with('\n')
        && body.chars().all(|c| c == '\n' || is_printable(c))
        && body.split('\n').all(|line| line.is_empty() || line.trim_end() == line);
    fits.then_some(if text.ends_with('\n') { "" } else { "-" })
}

fn scalar_text(text: &str, flow: bool) -> String {
    if is_plain(text, flow) {
        return text.to_owned();
    }
    let printable = text.chars().all(is_printable);
    if printable && text.contains(['"', '\\']) && !text.contains('\'') {
        return format!("'{text}'");
    }
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => {
                quoted.push('\\');
                quoted.push(c);
            }
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            c if is_printable(c) => quoted.push(c),
            c => {
                let code = u32::from(c);
                let _ = if code > 0xFFFF { write!(quoted, "\\U{code:08x}") } else { write!(quoted, "\\u{code:04x}") };
            }
        }
    }
    quoted.push('"');
    quoted
}

/// Characters that stand in YAML as they are, on one line (YAML 1.2.2, section 5.1, without the line breaks of 1.1).
fn is_printable(c: char) -> bool {
    matches!(c, ' '..='~' | '\u{a0}'..='\u{2027}' | '\u{202a}'..='\u{d7ff}' | '\u{e000}'..='\u{fefe}' | '\u{ff00}'..='\u{fffd}' | '\u{10000}'..)
}

/// Whether text needs no quotes.
fn is_plain(text: &str, flow: bool) -> bool {
    // Words and numbers of YAML 1.1, which other tools may read this with: yes, 1:30, 1_000, 2026-11-21.
    const WORDS: [&str; 8] = ["y", "n", "yes", "no", "on", "off", "=", "<<"];
    // An option's dashes are none of YAML's when a letter follows them.
    let first = text.strip_prefix("--").or_else(|| text.strip_prefix('-')).unwrap_or(text);
    let starts = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '_' | '.') || (c == '$' && !flow);
    if text.starts_with("...") || (flow && text.contains([',', '[', ']', '{', '}'])) {
        return false;
    }
    first.starts_with(starts)
        && text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic())
        && !text.ends_with([' ', ':'])
        && ![": ", " #"].iter().any(|sign| text.contains(sign))
        && !(text.contains(|c: char| c.is_ascii_digit())
            && text.starts_with(|c: char| !c.is_ascii_alphabetic())
            && text.bytes().all(|byte| byte.is_ascii_hexdigit() || b".:_-+xXoO".contains(&byte)))
        && !WORDS.iter().any(|word| text.eq_ignore_ascii_case(word))
        && matches!(yaml::core_schema(text), Ok(Value::String(_)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format;
    use forge_engine::diag::DocumentId;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn tree(value: &Value) -> Tree {
        match value {
            Value::Map(entries) => {
                Tree::Map(entries.iter().map(|(key, value)| Entry::new(key.as_str(), tree(value))).collect())
            }
            Value::List(items) => Tree::List(items.iter().map(tree).collect()),
            other => Tree::Scalar(other.clone()),
        }
    }

    fn text() -> impl Strategy<Value = String> {
        prop_oneof![
            "[a-z]{1,6}",
            "[ -~]{0,12}",
            any::<String>(),
            "[ \t\na#:'\"-]{0,6}",
            "([a-z ]{0,4}\n){1,4}[a-z]{0,3}",
            "[$]{0,3}[{]?[a-z.]{0,3}[}]?",
            prop::sample::select(vec![
                "yes", "NULL", "0x1F", "1e3", "...", "---", "- a", "? b", "1:30", "<<", "!a", "&a"
            ])
            .prop_map(str::to_owned),
        ]
    }

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Bool),
            any::<i64>().prop_map(|number| Value::Number(number.into())),
            any::<f64>().prop_filter_map("finite", |number| serde_json::Number::from_f64(number).map(Value::Number)),
            text().prop_map(Value::String),
        ];
        leaf.prop_recursive(4, 32, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::List),
                prop::collection::btree_map(text().prop_filter("read as merge key", |key| key != "<<"), inner, 0..5)
                    .prop_map(Value::Map),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn what_is_written_reads_back(entries in prop::collection::btree_map(text().prop_filter("read as merge key", |key| key != "<<"), values(), 1..5)) {
            let value = Value::Map(entries);
            let Tree::Map(entries) = tree(&value) else { unreachable!() };
            let written = document(&entries, |_| false);
            let (node, findings) = yaml::parse(DocumentId(0), &written);
            prop_assert_eq!(&findings, &[], "{}", written);
            prop_assert_eq!(node.map(|node| node.to_value()), Some(value), "{}", written);
        }
    }

    #[test]
    fn the_layout_is_that_of_fmt() {
        let json = serde_json::json!({
            "a": {"b": [1, "two", null], "c": {}, "d": [], "e": [{"f": 1, "g": [[1], [2]]}, {}], "long": vec!["word"; 40]},
            "script": "set -e\n\necho a # b\n", "quotes": "say \"a\" 'b'\u{7f}", "windows": "c:\\d", "off": "off",
            "address": "10.0.0.4", "network": "10.0.0.0/16", "whole": "${output(\"a.b\", \"id\")}",
            "in brackets": ["${a}", "x"], "version": "1.30",
        });
        let Value::Map(map) = Value::from(json) else { unreachable!() };
        let map: BTreeMap<String, Value> = map;
        let Tree::Map(entries) = tree(&Value::Map(map)) else { unreachable!() };
        let written = document(&entries, |key| key == "script");
        insta::assert_snapshot!(written);
        assert_eq!(format::format(DocumentId(0), &written), Ok(written));
    }
}
