//! Markdown to cases. What cannot be understood is an error: a case that is passed over would pass.

use std::ops::Range;

/// A `##` section.
#[derive(Debug)]
pub(crate) struct Case {
    pub(crate) heading: String,
    /// The heading's line, from 0.
    pub(crate) line: usize,
    /// The blueprint first.
    pub(crate) documents: Vec<Document>,
    pub(crate) target: Option<String>,
    /// Values of variables: name, value, origin.
    pub(crate) set: Vec<(String, String, String)>,
    /// What it has to come to, and the lines of the file that say so.
    pub(crate) results: Vec<(Role, Range<usize>, String)>,
}

/// What a fence says about the result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Plan,
    Notes,
    Jobs,
    Outputs,
    Resolved,
}

/// What a document is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    Blueprint,
    File,
    Values,
}

/// A document of a case, its expectations taken out.
#[derive(Debug)]
pub(crate) struct Document {
    pub(crate) name: String,
    pub(crate) role: Use,
    pub(crate) bytes: Vec<u8>,
    pub(crate) lines: Vec<Line>,
    pub(crate) expected: Vec<Expected>,
    /// Where it stands in the file, without the fence itself.
    pub(crate) lines_of_file: Range<usize>,
}

/// A line of a document.
#[derive(Debug)]
pub(crate) struct Line {
    /// As it stands in the file.
    pub(crate) raw: String,
    /// Its line in the file, from 0.
    pub(crate) line: usize,
    /// The column in the file of each character, and of the end.
    columns: Vec<usize>,
}

/// A place in a case: a line of a document and columns of the file, all from 0; `end` is past the last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) document: String,
    pub(crate) line: usize,
    pub(crate) start: usize,
    pub(crate) end: usize,
}

/// An expectation.
#[derive(Debug)]
pub(crate) struct Expected {
    /// Its line in the file, from 0.
    pub(crate) line: usize,
    /// The line of the document that it stands under.
    pub(crate) after: usize,
    pub(crate) place: Option<Place>,
    pub(crate) tail: Tail,
    /// Its lines as they stand in the file.
    pub(crate) raw: String,
}

/// What an expectation says after its place.
#[derive(Debug)]
pub(crate) enum Tail {
    Finding { severity: String, id: String, text: String, more: Vec<(String, String)> },
    Label(String),
}

impl Case {
    /// Whether a document of that name is one of the case's.
    pub(crate) fn has(&self, document: &str) -> bool {
        self.documents.iter().any(|own| own.name == document)
    }

    /// A place in a document's text (columns in characters) as a place in the file.
    pub(crate) fn in_markdown(&self, place: Place) -> Place {
        let document = self.documents.iter().find(|document| document.name == place.document);
        let line = document.and_then(|document| document.lines.get(place.line));
        let column =
            |at: usize| line.and_then(|line| line.columns.get(at).or(line.columns.last())).copied().unwrap_or(at);
        let (start, end) = (column(place.start), column(place.end));
        // What is empty is shown by one caret.
        Place { start, end: end.max(start + 1), ..place }
    }

    /// The line of the file, from 0, of a place.
    pub(crate) fn line_of(&self, place: &Place) -> Option<usize> {
        let document = self.documents.iter().find(|document| document.name == place.document)?;
        document.lines.get(place.line).map(|line| line.line)
    }
}

impl Document {
    /// The document with expectations: the line that each stands under, its column, its text.
    pub(crate) fn render(&self, mut expected: Vec<(usize, usize, String)>) -> String {
        expected.sort();
        let mut text = String::new();
        let under = |line: usize, text: &mut String| {
            for (_, _, raw) in expected.iter().filter(|(at, ..)| *at == line) {
                text.push_str(raw);
                text.push('\n');
            }
        };
        for (index, line) in self.lines.iter().enumerate() {
            text.push_str(&line.raw);
            text.push('\n');
            under(index, &mut text);
        }
        (self.lines.len()..=self.lines.len() + 1).for_each(|line| under(line, &mut text));
        text
    }
}

/// The cases of a file.
pub(crate) fn cases(text: &str) -> Result<Vec<Case>, String> {
    let lines: Vec<&str> = text.lines().collect();
    let mut cases: Vec<Case> = Vec::new();
    let mut at = 0;
    while let Some(line) = lines.get(at) {
        if let Some(heading) = line.strip_prefix("## ") {
            if cases.iter().any(|case| case.heading == heading) {
                return Err(format!("line {}: a second case is called {heading:?}", at + 1));
            }
            let (documents, set, results) = (Vec::new(), Vec::new(), Vec::new());
            cases.push(Case { heading: heading.to_owned(), line: at, documents, target: None, set, results });
        } else if line.trim_start().starts_with("~~~")
            || (line.starts_with(' ') && line.trim_start().starts_with("```"))
        {
            return Err(format!("line {}: write a fence as ``` at the start of a line", at + 1));
        } else if let Some(info) = line.strip_prefix("```") {
            let case = cases.last_mut().ok_or_else(|| format!("line {}: a fence before the first case", at + 1))?;
            let length = lines[at + 1..].iter().position(|line| *line == "```");
            let end = at + 1 + length.ok_or_else(|| format!("line {}: nothing closes this fence", at + 1))?;
            fence(case, info, at + 1..end, &lines).map_err(|error| format!("line {}: {error}", at + 1))?;
            at = end;
        } else if line.starts_with('#') && !cases.is_empty() {
            return Err(format!("line {}: cases have headings of level 2", at + 1));
        }
        at += 1;
    }
    for case in &mut cases {
        case.documents.sort_by_key(|document| document.role != Use::Blueprint);
        let blueprints = case.documents.iter().filter(|document| document.role == Use::Blueprint).count();
        if blueprints != 1 {
            return Err(format!("line {}: {:?} has {blueprints} blueprints", case.line + 1, case.heading));
        }
    }
    if cases.is_empty() {
        return Err("there are no cases".to_owned());
    }
    Ok(cases)
}

fn fence(case: &mut Case, info: &str, range: Range<usize>, lines: &[&str]) -> Result<(), String> {
    let words = words(info)?;
    let mut words = words.iter().map(String::as_str);
    let language = words.next().unwrap_or_default();
    let result = match (language, words.clone().collect::<Vec<_>>().as_slice()) {
        ("text", ["plan"]) => Some(Role::Plan),
        ("text", ["notes"]) => Some(Role::Notes),
        ("text", ["jobs"]) => Some(Role::Jobs),
        ("text", ["outputs"]) => Some(Role::Outputs),
        ("yaml", ["resolved"]) => Some(Role::Resolved),
        ("yaml", _) => None,
        _ => return Err(format!("no fence is known as {info:?}")),
    };
    if let Some(role) = result {
        case.results.push((role, range.clone(), lines[range].join("\n")));
        return Ok(());
    }
    let (mut name, mut role, mut escapes) = ("blueprint.yaml".to_owned(), Use::Blueprint, false);
    while let Some(word) = words.next() {
        match word.split_once('=') {
            None if word == "escapes" => escapes = true,
            None if word == "var" || word == "env" => {
                let setting = words.next().and_then(|setting| setting.split_once('='));
                let (variable, value) = setting.ok_or_else(|| format!("`{word}` wants NAME=VALUE"))?;
                let origin = if word == "var" { "--var".to_owned() } else { format!("FORGE_VAR_{variable}") };
                case.set.push((variable.to_owned(), value.to_owned(), origin));
            }
            Some(("target", target)) => case.target = Some(target.to_owned()),
            Some(("file", path)) => (name, role) = (path.trim_start_matches("./").to_owned(), Use::File),
            Some(("vars", path)) => (name, role) = (path.to_owned(), Use::Values),
            _ => return Err(format!("no fence is known with {word:?}")),
        }
    }
    if case.documents.iter().any(|document| document.name == name) {
        return Err(format!("a second document is called {name}"));
    }
    case.documents.push(document(name, role, escapes, range, lines)?);
    Ok(())
}

/// Words between spaces; '…' keeps them together.
fn words(info: &str) -> Result<Vec<String>, String> {
    let mut words = vec![String::new()];
    for (index, part) in info.split('\'').enumerate() {
        for (piece, text) in part.split(' ').enumerate() {
            if index % 2 == 0 && piece > 0 {
                words.push(String::new());
            } else if piece > 0 {
                words.last_mut().ok_or("no word")?.push(' ');
            }
            words.last_mut().ok_or("no word")?.push_str(text);
        }
    }
    words.retain(|word| !word.is_empty());
    info.matches('\'').count().is_multiple_of(2).then_some(words).ok_or_else(|| "nothing closes the quote".to_owned())
}

fn document(name: String, role: Use, escapes: bool, range: Range<usize>, lines: &[&str]) -> Result<Document, String> {
    let mut document = Document {
        name,
        role,
        bytes: Vec::new(),
        lines: Vec::new(),
        expected: Vec::new(),
        lines_of_file: range.clone(),
    };
    for line in range {
        let raw = lines[line];
        if let Some(mut expected) = expectation(raw, &document)? {
            expected.line = line;
            document.expected.push(expected);
        } else if let Some((key, text)) = continuation(raw) {
            let last = document.expected.last_mut().ok_or("`= …` follows no expectation")?;
            let Tail::Finding { more, .. } = &mut last.tail else { return Err("`= …` follows a label".to_owned()) };
            more.push((key.to_owned(), text.to_owned()));
            last.raw.push_str(&format!("\n{raw}"));
        } else {
            let (bytes, columns) = unescape(raw, escapes)?;
            document.bytes.extend(bytes);
            document.bytes.push(b'\n');
            document.lines.push(Line { raw: raw.to_owned(), line, columns });
        }
    }
    Ok(document)
}

/// `    ^^^ error[id] text`, `    ^^^ - text`, `! error[id] text`.
fn expectation(raw: &str, document: &Document) -> Result<Option<Expected>, String> {
    let trimmed = raw.trim_start_matches(' ');
    let start = raw.len() - trimmed.len();
    let after = document.lines.len().saturating_sub(1);
    let carets = trimmed.len() - trimmed.trim_start_matches('^').len();
    let (place, tail) = match trimmed.strip_prefix("! ") {
        Some(rest) => match finding(rest) {
            Some(tail) => (None, tail),
            // A tag of YAML, or a misspelt expectation: the latter must not pass for the former.
            None if rest.contains('[') => return Err(format!("not understood: {raw}")),
            None => return Ok(None),
        },
        None if carets > 0 => {
            let rest = trimmed[carets..].trim_start();
            let label = || rest.strip_prefix("- ").map(|text| Tail::Label(text.to_owned()));
            let tail = finding(rest).or_else(label).ok_or_else(|| format!("not understood: {raw}"))?;
            (Some(Place { document: document.name.clone(), line: after, start, end: start + carets }), tail)
        }
        None => return Ok(None),
    };
    Ok(Some(Expected { line: 0, after, place, tail, raw: raw.to_owned() }))
}

fn finding(text: &str) -> Option<Tail> {
    let (severity, rest) = text.split_once('[')?;
    let (id, text) = rest.split_once("] ")?;
    let known = ["error", "warning", "note"].contains(&severity) && !text.trim().is_empty();
    let (severity, id, text) = (severity.to_owned(), id.to_owned(), text.to_owned());
    known.then_some(Tail::Finding { severity, id, text, more: Vec::new() })
}

fn continuation(raw: &str) -> Option<(&str, &str)> {
    let (key, text) = raw.trim_start().strip_prefix("= ")?.split_once(": ")?;
    ["help", "why"].contains(&key).then_some((key, text))
}

/// The bytes of a line, and the column of each character of it.
fn unescape(raw: &str, escapes: bool) -> Result<(Vec<u8>, Vec<usize>), String> {
    let (mut bytes, mut columns) = (Vec::new(), Vec::new());
    let mut characters = raw.chars().enumerate();
    while let Some((column, character)) = characters.next() {
        columns.push(column);
        if character != '\\' || !escapes {
            bytes.extend(character.encode_utf8(&mut [0; 4]).bytes());
            continue;
        }
        match characters.next().map(|(_, next)| next) {
            Some('t') => bytes.push(b'\t'),
            Some('r') => bytes.push(b'\r'),
            Some('0') => bytes.push(0),
            Some('\\') => bytes.push(b'\\'),
            Some('x') => {
                let digits: String = characters.by_ref().take(2).map(|(_, digit)| digit).collect();
                bytes.push(u8::from_str_radix(&digits, 16).map_err(|_| format!("no byte: \\x{digits}"))?);
            }
            _ => return Err(format!("no such escape in {raw:?}")),
        }
    }
    columns.push(raw.chars().count());
    Ok((bytes, columns))
}
