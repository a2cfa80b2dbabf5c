//! Shows findings to people: the one place where a symbolic place becomes `file:line:column` and an excerpt.

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{Annotation, AnnotationKind, Group, Level, Renderer, Snippet};
use forge_engine::diag::{Diagnostic, Label, Locate, Located, Severity};
use std::fmt::Write as _;

/// Wide enough for a line of prose beside an excerpt; terminals wrap what is longer.
const WIDTH: usize = 120;

/// How far apart, in bytes, the places may lie that share an excerpt. The lines between are folded away, but all of them
/// are gone through first.
const MAX_EXCERPT: usize = 64 << 10;

/// Lines of source shown around what is meant.
const CONTEXT_LINES: usize = 1;

/// The findings as text, each with its excerpts, and a line that counts them.
#[must_use]
pub(crate) fn render(findings: &[Diagnostic], locate: &dyn Locate, colour: bool) -> String {
    let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
    let renderer = renderer.term_width(WIDTH).decor_style(DecorStyle::Ascii);
    let mut text = String::new();
    for finding in findings {
        let _ = writeln!(text, "{}\n", renderer.render(&[group(finding, locate)]));
    }
    text.push_str(&count(findings));
    text
}

fn group<'a>(finding: &'a Diagnostic, locate: &'a dyn Locate) -> Group<'a> {
    let level = match finding.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
        Severity::Note => Level::NOTE,
    };
    let mut group = Group::with_title(level.primary_title(finding.summary.as_str()).id(finding.id));
    for snippet in snippets(finding, locate) {
        group = group.element(snippet);
    }
    if let Some(why) = &finding.why {
        group = group.element(Level::NOTE.with_name("why").message(why.as_str()));
    }
    if let Some(help) = &finding.help {
        group = group.element(Level::HELP.message(help.as_str()));
    }
    group
}

/// One excerpt for each document, or for each place where they lie far apart; that of the primary place first.
fn snippets<'a>(finding: &'a Diagnostic, locate: &'a dyn Locate) -> Vec<Snippet<'a, Annotation<'a>>> {
    let primary = finding.primary.iter().map(|label| (AnnotationKind::Primary, label));
    let secondary = finding.secondary.iter().map(|label| (AnnotationKind::Context, label));
    let mut documents: Vec<Vec<(AnnotationKind, &Label, Located<'_>)>> = Vec::new();
    for (kind, label) in primary.chain(secondary) {
        let Some(located) = locate.locate(&label.at) else { continue };
        // Texts are the same when they are the same memory; names may repeat.
        let near = |labels: &[(AnnotationKind, &Label, Located<'_>)]| {
            let (first, here) = (&labels[0].2, &located);
            std::ptr::eq(first.text, here.text) && first.range.start.abs_diff(here.range.start) < MAX_EXCERPT
        };
        match documents.iter_mut().find(|labels| near(labels)) {
            Some(labels) => labels.push((kind, label, located)),
            None => documents.push(vec![(kind, label, located)]),
        }
    }
    documents.into_iter().map(|labels| snippet(&labels)).collect()
}

fn snippet<'a>(labels: &[(AnnotationKind, &'a Label, Located<'a>)]) -> Snippet<'a, Annotation<'a>> {
    let (name, text) = (labels[0].2.name, labels[0].2.text);
    let first = labels.iter().map(|(_, _, located)| located.range.start).min().unwrap_or_default();
    let last = labels.iter().map(|(_, _, located)| located.range.end).max().unwrap_or_default();
    // Only the lines in question: the whole text would be searched again for every finding.
    let start = (0..=CONTEXT_LINES).fold(first + 1, |at, _| line_start(text, at.saturating_sub(1)));
    let end = (0..=CONTEXT_LINES).fold(last, |at, _| line_end(text, at));
    let line = text.as_bytes()[..start].iter().filter(|byte| **byte == b'\n').count() + 1;
    let mut snippet = Snippet::source(&text[start..end]).path(name).line_start(line);
    for (kind, label, located) in labels {
        let annotation = kind.span(located.range.start - start..located.range.end - start);
        snippet = snippet.annotation(match label.text.as_str() {
            "" => annotation,
            text => annotation.label(text),
        });
    }
    snippet
}

fn line_start(text: &str, at: usize) -> usize {
    text[..at].rfind('\n').map_or(0, |newline| newline + 1)
}

/// The end of the line at `at`, its newline included, so that the next call takes the next line.
fn line_end(text: &str, at: usize) -> usize {
    text[at..].find('\n').map_or(text.len(), |newline| at + newline + 1)
}

fn count(findings: &[Diagnostic]) -> String {
    let of = |severity| findings.iter().filter(|finding| finding.severity == severity).count();
    let say = |count: usize, one: &str| match count {
        0 => None,
        1 => Some(format!("1 {one}")),
        _ => Some(format!("{count} {one}s")),
    };
    let parts = [say(of(Severity::Error), "error"), say(of(Severity::Warning), "warning")];
    let said: Vec<String> = parts.into_iter().flatten().collect();
    if said.is_empty() { String::new() } else { format!("{}\n", said.join(", ")) }
}
