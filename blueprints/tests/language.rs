//! The language by examples: each `##` heading of `language/*.md` is a test. [`literate`] says how a case is written.

#![allow(clippy::print_stderr)] // A test without a harness, which says itself what failed.

mod literate;
mod setup;

use libtest_mimic::{Arguments, Failed, Trial};
use literate::parse::{self, Case, Tail, Use};
use setup::Outcome;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

fn main() -> ExitCode {
    let files = files();
    if std::env::var_os("FORGE_UPDATE").is_some() {
        return update(&files);
    }
    if let Some(directory) = std::env::var_os("FORGE_SEEDS") {
        return seeds(&files, Path::new(&directory));
    }
    let mut trials = Vec::new();
    let mut ids = BTreeSet::new();
    for file in files {
        let topic = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let shown = format!("blueprints/tests/language/{topic}.md");
        match read(&file) {
            Ok((_, cases)) => {
                for case in cases {
                    ids.extend(expected_ids(&case));
                    let shown = shown.clone();
                    trials.push(Trial::test(format!("{topic}::{}", case.heading), move || judged(&shown, &case)));
                }
            }
            Err(error) => trials.push(Trial::test(topic, move || Err(Failed::from(format!("{shown}: {error}"))))),
        }
    }
    trials.push(Trial::test("every id of a finding has a case", move || every_id(&ids)));
    for (name, text, complaint) in literate::failing::CASES {
        trials.push(Trial::test(format!("harness::{name}"), move || fails(text, complaint)));
    }
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

fn files() -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/language");
    let entries = std::fs::read_dir(directory).expect("the cases are there");
    let paths = entries.map(|entry| entry.expect("the directory can be read").path());
    let mut files: Vec<PathBuf> = paths.filter(|path| path.extension().is_some_and(|end| end == "md")).collect();
    files.sort();
    assert!(!files.is_empty(), "no cases");
    files
}

fn read(path: &Path) -> Result<(String, Vec<Case>), String> {
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    let cases = parse::cases(&text)?;
    Ok((text, cases))
}

fn expand(case: &Case) -> Outcome {
    let of = |role| case.documents.iter().filter(move |document| document.role == role);
    let files: Vec<(&str, &[u8])> =
        of(Use::File).map(|document| (document.name.as_str(), document.bytes.as_slice())).collect();
    let values: Vec<(&str, &[u8])> =
        of(Use::Values).map(|document| (document.name.as_str(), document.bytes.as_slice())).collect();
    let set: Vec<(&str, &str, &str)> =
        case.set.iter().map(|(name, text, origin)| (name.as_str(), text.as_str(), origin.as_str())).collect();
    let blueprint = of(Use::Blueprint).next().map(|document| document.bytes.as_slice()).unwrap_or_default();
    setup::outcome_beside(blueprint, &set, case.target.as_deref(), &files, &values)
}

fn judged(file: &str, case: &Case) -> Result<(), Failed> {
    let judgement = literate::judge(file, case, &expand);
    if judgement.complaints.is_empty() {
        return Ok(());
    }
    let fences: Vec<String> = judgement.fences.into_iter().map(|(_, text)| format!("```\n{text}```")).collect();
    let complaints = judgement.complaints.join("\n");
    Err(Failed::from(format!("{complaints}\nIt would hold as (FORGE_UPDATE=1 writes it):\n\n{}", fences.join("\n\n"))))
}

/// Writes what is found into the files.
fn update(files: &[PathBuf]) -> ExitCode {
    for file in files {
        let (text, cases) = match read(file) {
            Ok(read) => read,
            Err(error) => {
                // Nothing can be written into what cannot be read; the next test run says so too.
                eprintln!("{}: {error}", file.display());
                return ExitCode::FAILURE;
            }
        };
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        let judged = cases.iter().map(|case| literate::judge("", case, &expand));
        let mut fences: Vec<_> = judged
            .filter(|judgement| !judgement.complaints.is_empty())
            .flat_map(|judgement| judgement.fences)
            .collect();
        fences.sort_by_key(|(range, _)| std::cmp::Reverse(range.start));
        for (range, text) in fences {
            lines.splice(range, text.lines().map(str::to_owned));
        }
        std::fs::write(file, lines.join("\n") + "\n").expect("the file can be written");
    }
    ExitCode::SUCCESS
}

/// Writes the cases as inputs of the fuzz target `yaml`.
fn seeds(files: &[PathBuf], directory: &Path) -> ExitCode {
    std::fs::create_dir_all(directory).expect("the directory can be made");
    let cases = files.iter().flat_map(|file| read(file).expect("the cases can be read").1);
    for (index, case) in cases.enumerate() {
        let module = case.documents.iter().find(|document| document.name == "m/module.yaml");
        let seed = setup::fuzzing::seed(&case.documents[0].bytes, module.map(|module| module.bytes.as_slice()));
        std::fs::write(directory.join(format!("{index:03}")), seed).expect("the seed can be written");
    }
    let shipped = std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR"))).expect("the blueprints are there");
    for path in shipped.map(|entry| entry.expect("the directory can be read").path()) {
        if path.extension().is_some_and(|end| end == "yaml") {
            let name = path.file_name().unwrap_or_default().to_owned();
            std::fs::copy(&path, directory.join(name)).expect("the seed can be written");
        }
    }
    ExitCode::SUCCESS
}

fn expected_ids(case: &Case) -> BTreeSet<String> {
    let expected = case.documents.iter().flat_map(|document| &document.expected);
    expected
        .filter_map(|expected| match &expected.tail {
            Tail::Finding { id, .. } => Some(id.clone()),
            Tail::Label(_) => None,
        })
        .collect()
}

/// The ids that the source gives to findings, each with a file that has it.
fn source_ids() -> BTreeMap<String, String> {
    let mut ids = BTreeMap::new();
    let mut directories = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory).expect("the source is there") {
            let path = entry.expect("the directory can be read").path();
            if path.is_dir() {
                directories.push(path);
                continue;
            }
            let text = std::fs::read_to_string(&path).expect("source is text");
            let parts: Vec<&str> = text.split('"').collect();
            for pair in parts.windows(2) {
                let (before, quoted) = (pair[0].trim_end(), pair[1]);
                // Arguments of what makes a finding, fields of what becomes one, and the first of a pair chosen by a match.
                let given = [
                    "error(",
                    "warning(",
                    "warn(",
                    "note(",
                    "refuse(",
                    "finding(",
                    "id:",
                    "=> (",
                    "{\n                (",
                ];
                let kebab = !quoted.is_empty()
                    && quoted.split('-').all(|word| !word.is_empty() && word.chars().all(|c| c.is_ascii_lowercase()));
                if kebab && given.iter().any(|given| before.ends_with(given)) {
                    ids.insert(quoted.to_owned(), path.display().to_string());
                }
            }
        }
    }
    ids
}

fn every_id(expected: &BTreeSet<String>) -> Result<(), Failed> {
    let mut source = source_ids();
    // Words of JSON Schema, not ids.
    source.retain(|_, file| !file.ends_with("schema.rs"));
    let silent: Vec<String> = source
        .iter()
        .filter(|(id, _)| !expected.contains(*id) && !ELSEWHERE.contains(&id.as_str()))
        .map(|(id, file)| format!("{id} ({file})"))
        .collect();
    let gone: Vec<&String> = expected.iter().filter(|id| !source.contains_key(*id)).collect();
    match silent.is_empty() && gone.is_empty() && source.len() > 30 {
        true => Ok(()),
        false => Err(Failed::from(format!(
            "{} ids in the source\nno case expects: {}\nthe source does not have: {gone:?}",
            source.len(),
            silent.join(", ")
        ))),
    }
}

/// Ids that no case can have; `broken.rs` shows them: a document too large to be read by people, more findings than are
/// shown, more instances than are made, and a module that forge ships under another name than its own. And what only `forge fmt` says; `format.rs` shows that.
const ELSEWHERE: [&str; 5] =
    ["bad-module", "format-unsupported", "more-findings", "too-many-instances", "yaml-too-large"];

/// A case that must not pass.
fn fails(text: &str, complaint: &str) -> Result<(), Failed> {
    let said = match parse::cases(text) {
        Err(error) => error,
        Ok(cases) => {
            let judged = cases.iter().flat_map(|case| literate::judge("file", case, &expand).complaints);
            judged.collect::<Vec<_>>().join("\n")
        }
    };
    match said.contains(complaint) {
        true => Ok(()),
        false => Err(Failed::from(format!("it must fail with {complaint:?}, but: {said:?}"))),
    }
}
