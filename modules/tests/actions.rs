//! The IAM actions that kinds say they need are those that their sources name.

use forge_modules::aws::{ACTIONS, READS};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// What the bucket of a state needs, which is no kind's.
const STATE: &[&str] = &["s3:DeleteObject", "s3:GetObject", "s3:ListBucket", "s3:PutObject"];

/// Files that name actions in order to sort them, to explain them or to allow them to others, not to make them.
const ABOUT: &[&str] = &["error.rs", "policy.rs", "scope.rs", "tests.rs"];

fn is_action(text: &str) -> bool {
    let Some((service, verb)) = text.split_once(':') else { return false };
    // Condition keys of policies look alike.
    !service.is_empty()
        && service != "aws"
        && service.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
        && verb.starts_with(|c: char| c.is_ascii_uppercase())
        && verb.chars().all(|c| c.is_ascii_alphanumeric())
}

/// The actions that a source names, tests apart.
fn named(path: &Path) -> BTreeSet<String> {
    let text = fs::read_to_string(path).unwrap();
    let text = text.split("#[cfg(test)]").next().unwrap();
    let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    let quoted = code.flat_map(|line| line.split('"').skip(1).step_by(2));
    quoted.filter(|text| is_action(text)).map(str::to_owned).collect()
}

fn sources(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn every_action_that_a_source_names_is_one_that_its_kind_needs() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/aws");
    let kinds: BTreeMap<&str, BTreeSet<&str>> =
        ACTIONS.iter().map(|(kind, actions)| (*kind, actions.iter().copied().collect())).collect();
    let all: BTreeSet<&str> =
        kinds.values().flatten().copied().chain(READS.iter().copied()).chain(STATE.iter().copied()).collect();
    let mut found = Vec::new();
    sources(&directory, &mut found);
    let mut missing = Vec::new();
    for path in found {
        let file = path.file_name().unwrap().to_str().unwrap();
        if ABOUT.contains(&file) {
            continue;
        }
        // What is shared is some kind's; what a kind names itself is its own.
        let own = kinds.get(format!("aws.{}", file.trim_end_matches(".rs")).as_str());
        for action in named(&path) {
            if !own.unwrap_or(&all).contains(action.as_str()) {
                missing.push(format!("{}: {action}", path.display()));
            }
        }
    }
    assert!(missing.is_empty(), "not in ACTIONS:\n{}", missing.join("\n"));
}

#[test]
fn actions_are_written_as_iam_writes_them() {
    for (kind, actions) in ACTIONS {
        assert!(!actions.is_empty(), "{kind}");
        for action in *actions {
            assert!(is_action(action), "{kind}: {action}");
        }
        let each: BTreeSet<&&str> = actions.iter().collect();
        assert_eq!(each.len(), actions.len(), "{kind} names one twice");
    }
    assert!(READS.iter().all(|action| is_action(action)));
    assert!(READS.is_sorted());
}
