//! A module's page, in Markdown, from its document: what it is, what it takes, what it gives and makes on each target.

use crate::scan::{Piece, pieces};
use crate::schema::{get, is_required, json, read, text};
use crate::yaml::{self, Data, Entries, Node};
use crate::{ModuleSource, Target};
use forge_engine::diag::DocumentId;
use forge_engine::value::Value;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Says at the head of a page where it comes from.
const ORIGIN: &str = "<!-- `forge docs` writes this page from module.yaml. -->";

/// What a module is, on one line.
#[must_use]
pub fn description(source: &ModuleSource<'_>) -> String {
    text(&read(source), "description").unwrap_or_default().to_owned()
}

/// The page of a module.
#[must_use]
pub fn page(source: &ModuleSource<'_>) -> String {
    let document = read(source);
    let mut page = format!("{ORIGIN}\n\n# {}\n", text(&document, "module").unwrap_or(source.name));
    if let Some(description) = text(&document, "description") {
        let _ = write!(page, "\n{description}.\n");
    }
    let _ = write!(page, "{}", standing(&document));
    if let Some(example) = text(&document, "example") {
        let _ = write!(page, "\n```yaml\n{}\n```\n", example.trim_end());
    }
    page.push_str(&inputs(&document, &order(source)));
    page.push_str(&checks(&document, "## What must hold"));
    for target in Target::ALL {
        if let Some(entry) = get(&document, "targets").and_then(|targets| get(targets, target.name())) {
            page.push_str(&on_target(target, entry));
        }
    }
    page
}

/// How it stands to other modules.
fn standing(document: &Value) -> String {
    let mut lines = String::new();
    let stands_for: Vec<String> = match get(document, "implements") {
        Some(Value::List(names)) => names.iter().filter_map(words).collect(),
        Some(Value::String(name)) => vec![name.clone()],
        _ => Vec::new(),
    };
    if !stands_for.is_empty() {
        let _ = write!(lines, "\nIt can be passed wherever {} is wanted.\n", code_list(&stands_for));
    }
    if get(document, "supporting") == Some(&Value::Bool(true)) {
        lines.push_str("\nIt only serves other modules: when none uses it, that is a finding.\n");
    }
    lines
}

fn inputs(document: &Value, order: &[String]) -> String {
    let mut inputs = entries(document, "inputs");
    if inputs.is_empty() {
        return "\nIt has no inputs.\n".to_owned();
    }
    inputs.sort_by_key(|(name, rule)| (!is_required(rule), order.iter().position(|other| other == name)));
    let mut table = "\n## Inputs\n\n| name | type | default | what |\n| --- | --- | --- | --- |\n".to_owned();
    for (name, rule) in inputs {
        let about = text(rule, "description").unwrap_or_default();
        let cells = [format!("`{name}`"), type_of(rule), default(rule), about.to_owned()];
        let _ = writeln!(table, "| {} |", cells.map(|cell| cell.replace('|', "\\|")).join(" | "));
    }
    table
}

/// The inputs as the document lists them: what belongs together stands together there.
fn order(source: &ModuleSource<'_>) -> Vec<String> {
    let map = |node: Node| match node.data {
        Data::Map(entries) => entries,
        _ => Entries::default(),
    };
    let top = yaml::parse(DocumentId(0), source.text).0.map(map).unwrap_or_default();
    let inputs = top.into_iter().find(|entry| entry.key == "inputs").map(|entry| map(entry.value));
    inputs.unwrap_or_default().into_iter().map(|entry| entry.key).collect()
}

/// The type of an input with what limits it.
fn type_of(rule: &Value) -> String {
    let of_modules = match get(rule, "module") {
        Some(Value::List(names)) => names.iter().filter_map(words).collect(),
        _ => Vec::new(),
    };
    let mut kind = match (text(rule, "type"), get(rule, "items")) {
        (Some("module"), _) if of_modules.is_empty() => "a module".to_owned(),
        (Some("module"), _) => format!("module {}", code_list(&of_modules)),
        (Some(word @ ("list" | "map")), Some(items)) => format!("{word} of {}", type_of(items)),
        (Some(word), _) => word.to_owned(),
        (None, _) => String::new(),
    };
    if let Some(Value::List(allowed)) = get(rule, "enum") {
        let allowed: Vec<String> = allowed.iter().filter_map(words).collect();
        let _ = write!(kind, "{}one of {}", if kind.is_empty() { "" } else { ", " }, code_list(&allowed));
    }
    let measure = match text(rule, "type") {
        Some("string") => " characters",
        Some("list" | "map") => " items",
        _ => "",
    };
    match (get(rule, "min").and_then(words), get(rule, "max").and_then(words)) {
        (Some(min), Some(max)) => drop(write!(kind, ", {min} to {max}{measure}")),
        (Some(min), None) => drop(write!(kind, ", at least {min}{measure}")),
        (None, Some(max)) => drop(write!(kind, ", at most {max}{measure}")),
        (None, None) => {}
    }
    if let Some(pattern) = text(rule, "pattern") {
        let _ = write!(kind, ", matching `{pattern}`");
    }
    kind
}

fn default(rule: &Value) -> String {
    match (get(rule, "default"), get(rule, "optional") == Some(&Value::Bool(true))) {
        (Some(_), _) if text(rule, "type") == Some("module") => "the only one there is".to_owned(),
        (Some(default), _) => format!("`{}`", words(default).unwrap_or_default()),
        (None, true) => "none".to_owned(),
        (None, false) => "**required**".to_owned(),
    }
}

fn on_target(target: Target, entry: &Value) -> String {
    let mut section = format!("\n## On {target}\n");
    let mut parts = String::new();
    for (name, used) in entries(entry, "modules") {
        let _ = writeln!(parts, "| `{name}` | module `{}` | {} |", text(used, "use").unwrap_or_default(), often(used));
    }
    for (name, resource) in entries(entry, "resources") {
        let _ =
            writeln!(parts, "| `{name}` | `{}` | {} |", text(resource, "kind").unwrap_or_default(), often(resource));
    }
    if parts.is_empty() {
        section.push_str("\nNothing is made.\n");
    } else {
        let _ = write!(section, "\n| made | kind | how many |\n| --- | --- | --- |\n{parts}");
    }
    let outputs: Vec<String> = entries(entry, "outputs").into_iter().map(|(name, _)| name.to_owned()).collect();
    if !outputs.is_empty() {
        let _ = write!(section, "\nOutputs: {}.\n", code_list(&outputs));
    }
    section.push_str(&checks(entry, "### What must hold"));
    section
}

/// How many there are of something that is made.
fn often(made: &Value) -> String {
    let mut often = match get(made, "for_each") {
        Some(_) => "any number".to_owned(),
        None if get(made, "when").is_some() => "none or one".to_owned(),
        None => "one".to_owned(),
    };
    if get(made, "protect") == Some(&Value::Bool(true)) {
        often.push_str(", never deleted");
    }
    often
}

fn checks(of: &Value, heading: &str) -> String {
    let Some(Value::List(checks)) = get(of, "checks") else { return String::new() };
    let mut list = format!("\n{heading}\n\n");
    for check in checks {
        let severity = text(check, "severity").unwrap_or("error");
        let say = text(check, "say").unwrap_or_default();
        let help = text(check, "help").map_or_else(String::new, |help| format!(". {help}"));
        let line = format!("{say}{help}").replace('\n', " ");
        let _ = writeln!(list, "- {severity}: {}", in_code(&line));
    }
    list
}

/// Text with its expressions as code.
fn in_code(text: &str) -> String {
    let Ok(pieces) = pieces(text) else { return text.to_owned() };
    let show = |piece: &Piece<'_>| match piece {
        Piece::Text(text) => (*text).to_owned(),
        Piece::Expression(expression, _) => format!("`${{{expression}}}`"),
    };
    pieces.iter().map(show).collect()
}

fn entries<'v>(of: &'v Value, key: &str) -> Vec<(&'v str, &'v Value)> {
    static NONE: BTreeMap<String, Value> = BTreeMap::new();
    let entries = match get(of, key) {
        Some(Value::Map(entries)) => entries,
        _ => &NONE,
    };
    entries.iter().map(|(name, value)| (name.as_str(), value)).collect()
}

fn words(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        other => Some(json(other).to_string()),
    }
}

fn code_list(words: &[String]) -> String {
    words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}
