//! Blueprints in Markdown, with the findings that they give written under the lines that they are about.
//!
//! Each `##` heading is a case. Its fences hold documents and what comes of them:
//!
//! - ` ```yaml` is the blueprint; after it may stand `target=aws`, `var nodes=3`, `env nodes=3` (a value of a variable from
//!   the command line, from the environment; quote it with '…' if it has spaces) and `escapes` (`\t`, `\r`, `\0`, `\xE9`
//!   in the text become those bytes).
//! - ` ```yaml file=./net/module.yaml` is another document, ` ```yaml vars=dev.yaml` a file of values (`--var-file`).
//! - ` ```text plan` is what the blueprint comes to, a resource a line; ` ```text notes`, ` ```text jobs` and
//!   ` ```text outputs` the same for those.
//! - ` ```yaml resolved` is what `forge expand` prints.
//!
//! What is expected stands in the documents, under the line that it is about, and is taken out before they are read:
//!
//! ```text
//! target: lokal
//!         ^^^^^ error[unknown-target] there is no target `lokal`
//!         = help: Did you mean `local`?
//! ```
//!
//! The carets stand under the first to the last character of the place. `^^^ - text` is a further label of a finding,
//! `! error[id] text` a finding that has no place in the case's documents; `= help:` and `= why:` are about the finding
//! before them. Texts need only be a part of what is said. Otherwise everything is exact: each finding is expected and
//! each expectation found. A case that expects nothing is a blueprint without findings.
//!
//! `FORGE_UPDATE=1 cargo test -p forge-blueprints --test language` writes what is found into the files.

pub(crate) mod failing;
pub(crate) mod parse;
pub(crate) mod reference;

use crate::setup::Outcome;
use forge_blueprints::{Expanded, Sources};
use forge_engine::diag::{At, Diagnostic, Locate, Severity};
use forge_engine::value::{Output, Value};
use parse::{Case, Document, Expected, Place, Role, Tail};
use serde_json::Value as Json;
use std::fmt::Write as _;

/// A finding and where it stands in the case's documents.
struct Found<'a> {
    finding: &'a Diagnostic,
    place: Option<Place>,
    labels: Vec<(Option<Place>, &'a str)>,
}

/// What a case comes to, against what it says.
pub(crate) struct Judgement {
    /// What does not hold, each with its line of the file; empty when the case passes.
    pub(crate) complaints: Vec<String>,
    /// The fences as they would have to be: the lines that they replace, and their text.
    pub(crate) fences: Vec<(std::ops::Range<usize>, String)>,
}

/// Expands a case and compares.
pub(crate) fn judge(file: &str, case: &Case, expand: &dyn Fn(&Case) -> Outcome) -> Judgement {
    let outcome = expand(case);
    let found = found(case, &outcome);
    let mut complaints = Vec::new();
    let mut fences = Vec::new();
    let mut used = vec![false; found.len()];
    for document in &case.documents {
        let mut kept: Vec<(usize, usize, String)> = Vec::new();
        for expected in &document.expected {
            let held = match &expected.tail {
                Tail::Finding { .. } => {
                    let held = found.iter().zip(&used).position(|(found, used)| !used && holds(expected, found));
                    held.map(|index| used[index] = true)
                }
                Tail::Label(text) => found
                    .iter()
                    .flat_map(|found| &found.labels)
                    .any(|(place, label)| *place == expected.place && label.contains(text.as_str()))
                    .then_some(()),
            };
            match held {
                Some(()) => {
                    let (line, column) = expected.place.as_ref().map_or((expected.after, 0), |p| (p.line, p.start));
                    kept.push((line, column, expected.raw.clone()));
                }
                None => complaints.push(format!("{file}:{}: not found: {}", expected.line + 1, expected.raw.trim())),
            }
        }
        fences.push((document, kept));
    }
    let missed: Vec<&Found<'_>> = found.iter().zip(&used).filter(|(_, used)| !**used).map(|(found, _)| found).collect();
    for found in &missed {
        let line = found.place.as_ref().and_then(|place| case.line_of(place)).unwrap_or(case.line);
        complaints.push(format!("{file}:{}: not expected: {}", line + 1, head(found.finding)));
    }
    let mut replaced: Vec<(std::ops::Range<usize>, String)> = fences
        .into_iter()
        .map(|(document, mut kept)| {
            for found in &missed {
                for line in fresh(document, found, &case.documents) {
                    // A label is written once, whoever has it.
                    let label = |text: &str| text.split_once("^ - ").map(|(_, label)| label.to_owned());
                    let new = label(&line.2);
                    let there = |(at, column, text): &(usize, usize, String)| {
                        let old = label(text);
                        (*at, *column) == (line.0, line.1)
                            && old.zip(new.clone()).is_some_and(|(old, new)| new.contains(&old))
                    };
                    if new.is_none() || !kept.iter().any(there) {
                        kept.push(line);
                    }
                }
            }
            (document.lines_of_file.clone(), document.render(kept))
        })
        .collect();
    for (role, range, text) in &case.results {
        let is = result(*role, &outcome);
        if is.trim_end() != text.trim_end() {
            complaints.push(format!("{file}:{}: comes to something else", range.start));
            replaced.push((range.clone(), is));
        }
    }
    if !complaints.is_empty() {
        for finding in &outcome.findings {
            // The whole of it helps more than its first line.
            complaints.push(crate::setup::render::render(std::slice::from_ref(finding), &outcome.sources, false));
        }
    }
    Judgement { complaints, fences: replaced }
}

fn found<'a>(case: &Case, outcome: &'a Outcome) -> Vec<Found<'a>> {
    let place = |at| place(&outcome.sources, at).filter(|place| case.has(&place.document)).map(|p| case.in_markdown(p));
    let found = outcome.findings.iter().map(|finding| Found {
        finding,
        place: finding.primary.as_ref().and_then(|label| place(&label.at)),
        labels: finding.secondary.iter().map(|label| (place(&label.at), label.text.as_str())).collect(),
    });
    found.collect()
}

/// Where a finding points: columns in characters, on the first of its lines.
fn place(sources: &Sources, at: &At) -> Option<Place> {
    let located = sources.locate(at)?;
    // The end of the text is the end of its last line.
    let text = located.text.strip_suffix('\n').unwrap_or(located.text);
    let start = located.range.start.min(text.len());
    let first = text[..start].rfind('\n').map_or(0, |newline| newline + 1);
    let last = text[start..].find('\n').map_or(text.len(), |newline| start + newline);
    let end = located.range.end.clamp(start, last);
    Some(Place {
        document: located.name.to_owned(),
        line: text[..start].matches('\n').count(),
        start: text[first..start].chars().count(),
        end: text[first..end].chars().count(),
    })
}

fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Note => "note",
        Severity::Warning => "warning",
        Severity::Error => "error",
    }
}

fn head(finding: &Diagnostic) -> String {
    // A summary is one line; should one be none, its first is enough here.
    let summary = finding.summary.lines().next().unwrap_or_default();
    format!("{}[{}] {summary}", severity(finding.severity), finding.id)
}

fn holds(expected: &Expected, found: &Found<'_>) -> bool {
    let Tail::Finding { severity: level, id, text, more } = &expected.tail else { return false };
    let said = |text: &Option<String>, part: &str| text.as_ref().is_some_and(|text| text.contains(part));
    found.place == expected.place
        && severity(found.finding.severity) == level
        && found.finding.id == id
        && found.finding.summary.contains(text.as_str())
        && more.iter().all(|(key, part)| match key.as_str() {
            "help" => said(&found.finding.help, part),
            _ => said(&found.finding.why, part),
        })
}

/// A finding in the notation, for a document that it is about.
fn fresh(document: &Document, found: &Found<'_>, all: &[Document]) -> Vec<(usize, usize, String)> {
    let mut lines = Vec::new();
    let more = |indent: usize| {
        let mut text = String::new();
        for (key, said) in [("why", &found.finding.why), ("help", &found.finding.help)] {
            if let Some(said) = said {
                let _ = write!(text, "\n{:indent$}= {key}: {}", "", said.replace('\n', " "));
            }
        }
        text
    };
    let carets = |place: &Place| format!("{:start$}{}", "", "^".repeat(place.end - place.start), start = place.start);
    match &found.place {
        Some(place) if place.document == document.name => {
            let text = format!("{} {}{}", carets(place), head(found.finding), more(place.start));
            lines.push((place.line, place.start, text));
        }
        None if std::ptr::eq(document, &all[0]) => {
            let text = format!("! {}{}", head(found.finding), more(0));
            lines.push((document.lines.len(), 0, text));
        }
        _ => {}
    }
    for (place, label) in &found.labels {
        if let Some(place) = place.as_ref().filter(|place| place.document == document.name) {
            lines.push((place.line, place.start, format!("{} - {label}", carets(place))));
        }
    }
    lines
}

fn result(role: Role, outcome: &Outcome) -> String {
    let Some(expanded) = &outcome.expanded else { return "nothing: there are errors".to_owned() };
    let mut text = String::new();
    match role {
        Role::Plan => plan(expanded, &mut text),
        Role::Notes => expanded.notes.iter().for_each(|note| text.push_str(&format!("{note}\n"))),
        Role::Jobs => jobs(expanded, &mut text),
        Role::Outputs => {
            for (module, outputs) in &expanded.modules {
                for (name, value) in outputs {
                    let _ = writeln!(text, "{module}.{name} = {}", json(value));
                }
            }
        }
        Role::Resolved => text.push_str(&outcome.resolved()),
    }
    text
}

fn plan(expanded: &Expanded, text: &mut String) {
    for resource in &expanded.desired.resources {
        let _ = write!(text, "{} {} {}", resource.address, resource.kind, json(&resource.spec));
        if !resource.depends_on.is_empty() {
            let after: Vec<&str> = resource.depends_on.iter().map(|address| address.as_str()).collect();
            let _ = write!(text, " after {}", after.join(", "));
        }
        text.push_str(if resource.protect { " protected\n" } else { "\n" });
    }
}

fn jobs(expanded: &Expanded, text: &mut String) {
    for job in &expanded.jobs {
        let _ = writeln!(text, "{} on {}: {:?}", job.name, job.module, job.command);
        for (name, value) in &job.env {
            let _ = writeln!(text, "  env {name}={value:?}");
        }
        if let Some(workdir) = &job.workdir {
            let _ = writeln!(text, "  workdir {workdir:?}");
        }
        let keep = &job.checkpoint.keep;
        let _ = match job.checkpoint.every_steps {
            Some(every) => writeln!(
                text,
                "  checkpoint every {every} steps, keep last {} and {}",
                keep.last,
                if keep.powers_of_two { "powers of two" } else { "no others" }
            ),
            None => writeln!(text, "  no checkpoints"),
        };
        let window = job.restarts.window;
        let _ = writeln!(text, "  restarts {} in {window:?}, hung after {:?}", job.restarts.max, job.hang_after);
    }
}

/// A value on one line; what only apply knows as the expression that says it, absent fields left out.
pub(crate) fn json(value: &Value) -> String {
    let lookup = |output: &Output| Some(Json::String(format!("${{{output}}}")));
    let mut json = value.resolve(&lookup).expect("every output has a name");
    prune(&mut json);
    json.to_string()
}

fn prune(json: &mut Json) {
    if let Json::Object(entries) = json {
        entries.retain(|_, value| !value.is_null());
    }
}
