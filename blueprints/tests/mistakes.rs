//! Thirty mistakes as people make them (`mistakes/mistakes.md`): each is found at its place, its help says what to do, and
//! doing it mends the blueprint.

mod setup;

use forge_engine::diag::{Diagnostic, Severity};
use setup::{Outcome, outcome_beside};
use std::path::Path;

/// An entry of the table.
#[derive(Debug, Default)]
struct Mistake {
    title: String,
    file: String,
    broken: (String, String),
    mended: (String, String),
    place: String,
    id: String,
    /// A part of the help, where the fix has no word that could be in it.
    says: Option<String>,
}

fn directory() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/mistakes")
}

fn read(path: &str) -> String {
    std::fs::read_to_string(directory().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn table() -> Vec<Mistake> {
    let text = read("mistakes.md");
    let mut table: Vec<Mistake> = Vec::new();
    for line in text.lines() {
        if let Some(title) = line.strip_prefix("## ") {
            table.push(Mistake { title: title.to_owned(), ..Mistake::default() });
            continue;
        }
        let Some(mistake) = table.last_mut() else { continue };
        let edit = if mistake.id.is_empty() { &mut mistake.broken } else { &mut mistake.mended };
        // An edit over several lines has them joined by \n; \t is a tab.
        let plain = |text: &str| text.replace("\\n", "\n").replace("\\t", "\t");
        match (line.chars().next(), line.get(1..).unwrap_or_default()) {
            (Some('-'), old) => edit.0 = plain(old),
            (Some('+'), new) => edit.1 = plain(new),
            (None, _) => {}
            _ => match line.split_whitespace().collect::<Vec<_>>().as_slice() {
                ["in", file] => mistake.file = (*file).to_owned(),
                ["says", ..] => mistake.says = line.strip_prefix("says ").map(str::to_owned),
                ["at", place, id] => (mistake.place, mistake.id) = ((*place).to_owned(), (*id).to_owned()),
                _ => panic!("not understood: {line}"),
            },
        }
    }
    table
}

fn expand(text: &str) -> Outcome {
    let modules: Vec<(String, String)> = ["cache", "shard", "tracker"]
        .map(|name| (format!("{name}/module.yaml"), read(&format!("{name}/module.yaml"))))
        .into();
    let files: Vec<(&str, &[u8])> = modules.iter().map(|(path, text)| (path.as_str(), text.as_bytes())).collect();
    outcome_beside(text.as_bytes(), &[], None, &files, &[])
}

/// Replaces what must stand there exactly once.
fn edit(text: &str, (old, new): &(String, String), title: &str) -> String {
    assert_eq!(text.matches(old.as_str()).count(), 1, "{title}: {old:?} must stand there once");
    text.replacen(old.as_str(), new, 1)
}

/// What a finding says beside its place.
fn said(finding: &Diagnostic) -> String {
    [Some(&finding.summary), finding.why.as_ref(), finding.help.as_ref()]
        .into_iter()
        .flatten()
        .cloned()
        .collect::<Vec<_>>()
        .join("\n")
}

/// What is wrong with how a mistake is treated; nothing when all is well.
fn faults(mistake: &Mistake, text: &str) -> Vec<String> {
    let mut faults = Vec::new();
    let broken = edit(text, &mistake.broken, &mistake.title);
    let outcome = expand(&broken);
    let [finding] = outcome.findings.as_slice() else {
        return vec![format!("{} findings, not one:\n{}", outcome.findings.len(), outcome.text())];
    };
    let place = setup::place(finding, &outcome.sources).unwrap_or_default();
    let place = place.strip_prefix("blueprint.yaml:").unwrap_or(&place);
    if (place, finding.id) != (mistake.place.as_str(), mistake.id.as_str()) {
        faults.push(format!("at {place} {}\n{}", finding.id, outcome.text()));
    }
    let wanted = if mistake.id.starts_with("unused") { Severity::Warning } else { Severity::Error };
    if finding.severity != wanted {
        faults.push(format!("it is of severity {:?}", finding.severity));
    }
    // What the fix brings in must be something that was said.
    let words = |text: &str| -> Vec<String> {
        text.split(|c: char| !c.is_alphanumeric() && c != '_' && c != '-')
            .map(str::to_owned)
            .filter(|word| !word.is_empty())
            .collect()
    };
    let (old, new, said) = (words(&mistake.mended.0), words(&mistake.mended.1), words(&said(finding)));
    let brought: Vec<&String> = new.iter().filter(|word| !old.contains(word)).collect();
    if let Some(part) = &mistake.says {
        if !finding.help.as_ref().is_some_and(|help| help.contains(part.as_str())) {
            faults.push(format!("the help does not say {part:?}\n{}", outcome.text()));
        }
    } else if !brought.is_empty() && !brought.iter().any(|word| said.contains(word)) {
        faults.push(format!("nothing of {brought:?} is said\n{}", outcome.text()));
    }
    let mended = expand(&edit(&broken, &mistake.mended, &mistake.title));
    if !mended.findings.is_empty() {
        faults.push(format!("what it says does not mend it:\n{}", mended.text()));
    }
    faults
}

#[test]
fn the_blueprints_have_no_findings() {
    for file in ["pretrain", "finetune", "shards", "sweep", "inference"] {
        let text = read(&format!("{file}.yaml"));
        assert!((40..=80).contains(&text.lines().count()), "{file}: {} lines", text.lines().count());
        let outcome = expand(&text);
        assert_eq!(outcome.text(), "", "{file}");
        assert!(outcome.expanded.is_some_and(|expanded| !expanded.jobs.is_empty()));
    }
}

#[test]
fn thirty_mistakes() {
    let table = table();
    assert_eq!(table.len(), 30);
    let mut wrong = Vec::new();
    println!("| # | mistake | file | place | id |\n| --- | --- | --- | --- | --- |");
    for (index, mistake) in table.iter().enumerate() {
        let faults = faults(mistake, &read(&mistake.file));
        let verdict = if faults.is_empty() { "" } else { " FAULT" };
        println!(
            "| {} | {} | {} | {} | {}{verdict} |",
            index + 1,
            mistake.title,
            mistake.file,
            mistake.place,
            mistake.id
        );
        wrong.extend(faults.into_iter().map(|fault| format!("## {}\n{fault}", mistake.title)));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}
