//! The language by examples: each `##` heading of `language/*.md` is a test, and each section of the reference for users,
//! `LANGUAGE.md`, that has a blueprint. [`literate`] says how a case is written.

#![allow(clippy::print_stderr)] // A test without a harness, which says itself what failed.

mod literate;
mod setup;

use libtest_mimic::{Arguments, Failed, Trial};
use literate::parse::{self, Case, Tail, Use};
use literate::reference;
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
        let directory = if is_reference(&file) { "blueprints" } else { "blueprints/tests/language" };
        let shown = format!("{directory}/{topic}.md");
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
    trials.push(Trial::test("reference::every expression has the value that is said", expressions));
    trials.push(Trial::test("reference::every filter, test and function is named", || {
        reference::names(REFERENCE).map_err(Failed::from)
    }));
    trials.push(Trial::test("reference::every id of a finding is explained", explained));
    trials.push(Trial::test("reference::every key is named", keys));
    trials.push(Trial::test("reference::every limit is that of the source", limits));
    for (name, text, complaint) in literate::failing::CASES {
        trials.push(Trial::test(format!("harness::{name}"), move || fails(text, complaint)));
    }
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// The reference for users.
const REFERENCE: &str = include_str!("../LANGUAGE.md");

fn is_reference(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name == "LANGUAGE.md")
}

fn files() -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/language");
    let entries = std::fs::read_dir(directory).expect("the cases are there");
    let paths = entries.map(|entry| entry.expect("the directory can be read").path());
    let mut files: Vec<PathBuf> = paths.filter(|path| path.extension().is_some_and(|end| end == "md")).collect();
    files.sort();
    assert!(!files.is_empty(), "no cases");
    files.push(Path::new(env!("CARGO_MANIFEST_DIR")).join("LANGUAGE.md"));
    files
}

fn read(path: &Path) -> Result<(String, Vec<Case>), String> {
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    let cases = if is_reference(path) { parse::cases(&reference::cases(&text))? } else { parse::cases(&text)? };
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

fn expressions() -> Result<(), Failed> {
    let faults: Vec<String> = reference::examples(REFERENCE).iter().filter_map(reference::fault).collect();
    if faults.is_empty() { Ok(()) } else { Err(Failed::from(faults.join("\n"))) }
}

/// The table of findings against the ids that the source has.
fn explained() -> Result<(), Failed> {
    let mut source = source_ids();
    source.retain(|_, file| !file.ends_with("schema.rs"));
    let (source, explained) = (source.into_keys().collect::<BTreeSet<_>>(), reference::ids(REFERENCE));
    let silent: Vec<&String> = source.difference(&explained).collect();
    let gone: Vec<&String> = explained.difference(&source).collect();
    match silent.is_empty() && gone.is_empty() {
        true => Ok(()),
        false => Err(Failed::from(format!("without a line: {silent:?}\nthe source does not have: {gone:?}"))),
    }
}

/// Every key of the language stands in the reference, in code.
fn keys() -> Result<(), Failed> {
    let code: BTreeSet<&str> = REFERENCE
        .split('`')
        .skip(1)
        .step_by(2)
        .flat_map(|code| code.split(|c: char| !c.is_ascii_lowercase() && c != '_'))
        .collect();
    let source = include_str!("../src/language.rs");
    let keys: BTreeSet<&str> = source
        .split("key(")
        .skip(1)
        .filter_map(|rest| rest.trim_start().strip_prefix('"')?.split('"').next())
        .collect();
    let silent: Vec<&&str> = keys.iter().filter(|key| !code.contains(**key)).collect();
    match silent.is_empty() && keys.len() > 50 {
        true => Ok(()),
        false => Err(Failed::from(format!("of {} keys these are not named: {silent:?}", keys.len()))),
    }
}

/// Where each limit is in the source, and as the reference says it.
const LIMITS: [(&str, &str, &str); 17] = [
    (include_str!("../src/yaml.rs"), "MAX_BYTES: usize = 1 << 20;", "1 MiB"),
    (include_str!("../src/yaml.rs"), "MAX_DEPTH: usize = 64;", "64 levels of nesting"),
    (include_str!("../src/expr.rs"), "MAX_SOURCE: usize = 1024;", "1,024 bytes"),
    (include_str!("../src/expr.rs"), "FUEL: u64 = 100_000;", "100,000 steps"),
    (include_str!("../src/expr.rs"), "MAX_TEXT: usize = 64 << 10;", "gives | 64 KiB"),
    (include_str!("../src/expr.rs"), "MAX_ITEMS: usize = 10_000;", "`for_each` | 10,000"),
    (include_str!("../src/filters.rs"), "MAX_NETWORKS: u32 = 4096;", "`cidr_subnets` | 4,096"),
    (include_str!("../src/expr.rs"), "MAX_VALUES: usize = 2_000_000;", "as one | 2,000,000"),
    (include_str!("../src/expr.rs"), "INSTANCE: usize = 100;", "each module and resource counts as 100"),
    (include_str!("../src/expand.rs"), "MAX_FINDINGS: usize = 100;", "shown | 100"),
    (include_str!("../src/library.rs"), "MAX_MODULES: usize = 512;", "each counted once | 512"),
    (include_str!("../src/blueprint.rs"), "MAX_TAGS: usize = 40;", "tags | 40"),
    (include_str!("../src/blueprint.rs"), "name.chars().count() > 128", "names of 128 characters"),
    (include_str!("../src/blueprint.rs"), "text.chars().count() <= 256", "values of 256"),
    (include_str!("../src/shape.rs"), "name.len() <= 40", "modules' own | 40 characters"),
    (
        include_str!("../src/shape.rs"),
        "const WORDS: [&str; 10] = [\"and\", \"or\", \"not\", \"in\", \"is\", \"if\", \"else\", \"true\", \"false\", \"none\"];",
        "`and or not in is if else true false none`",
    ),
    (include_str!("../../agent/src/secret.rs"), "MAX_BYTES: u64 = 64 << 10;", "when it is read | 64 KiB"),
];

fn limits() -> Result<(), Failed> {
    let holds = |(source, declared, said): &&(&str, &str, &str)| source.contains(declared) && REFERENCE.contains(said);
    let stale: Vec<String> = LIMITS
        .iter()
        .filter(|limit| !holds(limit))
        .map(|(_, declared, said)| format!("{declared} is {said}?"))
        .collect();
    if stale.is_empty() { Ok(()) } else { Err(Failed::from(stale.join("\n"))) }
}

/// Ids that no case can have; `broken.rs` shows them: a document too large to be read by people, more findings than are
/// shown, and a module that forge ships under another name than its own. And what only `forge fmt` says; `format.rs` shows
/// that.
const ELSEWHERE: [&str; 4] = ["bad-module", "format-unsupported", "more-findings", "yaml-too-large"];

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
