//! What may use what, and that the documents at the top say what is true: the crate graph, the table of dependencies in
//! README.md, the promises of SPECIFICATION.md, and the examples.

use forge_tests::{Site, repository};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::sync::OnceLock;

/// Who may use whom, of ours, in what is shipped and in tests alike. `tests` may use anything.
const MAY_USE: [(&str, &[&str]); 5] = [
    ("forge-agent", &[]),
    ("forge-blueprints", &["forge-engine"]),
    ("forge-cli", &["forge-agent", "forge-blueprints", "forge-engine", "forge-modules"]),
    ("forge-engine", &[]),
    ("forge-modules", &["forge-engine"]),
];
/// Whose tests may use whom besides: blueprints that forge ships are expanded with the kinds that they are for.
const TESTED_WITH: [(&str, &str); 1] = [("forge-blueprints", "forge-modules")];
/// What the agent never links: it stays small enough to copy to ten thousand nodes.
const CONTROL_PLANE: [&str; 4] = ["aws-sdk-ec2", "aws-sdk-eks", "aws-sdk-fsx", "aws-sdk-iam"];
/// What ends the names of files with tests.
const TEST_FILES: [&str; 2] = [".rs", ".py"];

fn metadata() -> &'static Value {
    static METADATA: OnceLock<Value> = OnceLock::new();
    METADATA.get_or_init(|| {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        // What only other platforms need has not been downloaded.
        let platform = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
        let output = Command::new(cargo)
            .args(["metadata", "--format-version", "1", "--locked", "--offline", "--filter-platform", &platform])
            .current_dir(repository())
            .output()
            .expect("cargo starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).expect("cargo metadata prints JSON")
    })
}

fn text<'v>(value: &'v Value, field: &str) -> &'v str {
    value[field].as_str().unwrap_or_else(|| panic!("{field} is no text in {value}"))
}

fn list<'v>(value: &'v Value, field: &str) -> &'v [Value] {
    value[field].as_array().unwrap_or_else(|| panic!("{field} is no list in {value}"))
}

/// The packages of the workspace: name to what cargo says of it.
fn workspace() -> BTreeMap<&'static str, &'static Value> {
    let members = list(metadata(), "workspace_members");
    let packages = list(metadata(), "packages").iter().filter(|package| members.contains(&package["id"]));
    packages.map(|package| (text(package, "name"), package)).collect()
}

/// Direct dependencies of a package: normal, of its tests, of its build.
fn dependencies(package: &Value) -> BTreeSet<&str> {
    list(package, "dependencies").iter().map(|dependency| text(dependency, "name")).collect()
}

/// Names of everything that a package links when it is shipped, itself included.
fn linked(package: &Value) -> BTreeSet<&'static str> {
    let names: BTreeMap<&str, &str> =
        list(metadata(), "packages").iter().map(|package| (text(package, "id"), text(package, "name"))).collect();
    let nodes: BTreeMap<&str, &Value> =
        list(&metadata()["resolve"], "nodes").iter().map(|node| (text(node, "id"), node)).collect();
    let mut pending = vec![text(package, "id")];
    let mut seen = BTreeSet::new();
    while let Some(id) = pending.pop() {
        if seen.insert(id.to_owned()) {
            let normal = |dep: &&Value| list(dep, "dep_kinds").iter().any(|kind| kind["kind"].is_null());
            pending.extend(list(nodes[id], "deps").iter().filter(normal).map(|dep| text(dep, "pkg")));
        }
    }
    seen.iter().map(|id| names[id.as_str()]).collect()
}

fn read(file: &str) -> String {
    std::fs::read_to_string(repository().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// What stands in backticks in a text.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

#[test]
fn every_crate_uses_only_those_of_ours_that_it_may() {
    let workspace = workspace();
    let mut names: Vec<_> = MAY_USE.iter().map(|(name, _)| *name).collect();
    names.push("forge-tests");
    assert_eq!(workspace.keys().copied().collect::<Vec<_>>(), names, "a crate that this test does not know");
    for (name, may_use) in MAY_USE {
        let ours =
            list(workspace[name], "dependencies").iter().filter(|used| workspace.contains_key(text(used, "name")));
        let forbidden = ours.filter(|used| {
            let tested = used["kind"] == "dev" && TESTED_WITH.contains(&(name, text(used, "name")));
            !may_use.contains(&text(used, "name")) && !tested
        });
        let forbidden: Vec<_> = forbidden.map(|used| text(used, "name")).collect();
        assert_eq!(forbidden, [""; 0], "{name} must not use these");
    }
}

#[test]
fn the_agent_links_no_control_plane() {
    let linked = linked(workspace()["forge-agent"]);
    assert!(linked.contains("tokio") && linked.contains("forge-agent"), "the walk finds what is there: {linked:?}");
    assert!(!linked.contains("proptest"), "what only tests need is not linked");
    let found: Vec<_> = CONTROL_PLANE.iter().filter(|name| linked.contains(**name)).collect();
    assert_eq!(found, [&""; 0]);
}

#[test]
fn every_crate_has_the_lints_of_the_workspace() {
    for (name, package) in workspace() {
        let manifest = std::fs::read_to_string(text(package, "manifest_path")).expect("a manifest");
        let mut lines = manifest.lines().map(str::trim).skip_while(|line| *line != "[lints]").skip(1);
        assert_eq!(lines.next(), Some("workspace = true"), "{name}: [lints] of its Cargo.toml");
    }
}

/// The first column of README.md's table of dependencies.
fn explained() -> BTreeSet<String> {
    let readme = read("README.md");
    let mut in_table = false;
    let mut names = BTreeSet::new();
    for line in readme.lines() {
        let Some(first) = line.strip_prefix('|').and_then(|row| row.split('|').next()) else {
            in_table = false;
            continue;
        };
        if matches!(first.trim().to_lowercase().as_str(), "crate" | "crates" | "dependency") {
            in_table = true;
        } else if in_table {
            names.extend(quoted(first).map(str::to_owned));
        }
    }
    assert!(!names.is_empty(), "README.md has no table with a first column `crate`");
    names
}

#[test]
fn every_dependency_has_its_reason_in_the_readme_and_no_reason_is_for_nothing() {
    let workspace = workspace();
    let all = workspace.values().flat_map(|package| dependencies(package));
    let used: BTreeSet<_> = all.filter(|name| !workspace.contains_key(name)).map(str::to_owned).collect();
    let explained = explained();
    let silent: Vec<_> = used.difference(&explained).collect();
    assert_eq!(silent, [""; 0], "dependencies without a line in README.md's table");
    let stale: Vec<_> = explained.difference(&used).collect();
    assert_eq!(stale, [""; 0], "lines of README.md's table that no crate depends on");
}

/// A promise begins with its number: `1. …`, `## 1. …`, `| 1 | …`.
fn number_of_promise(line: &str) -> Option<u32> {
    let line = line.trim_start_matches(['#', '|', ' ', '*']);
    let digits = line.find(|c: char| !c.is_ascii_digit())?;
    let ends = line[digits..].starts_with(['.', ')', ' ', '*']);
    line[..digits].parse().ok().filter(|_| ends)
}

/// What is wrong with a reference to a test, `path` or `path::name`.
fn fault(reference: &str) -> Option<String> {
    let (path, name) = match reference.split_once("::") {
        Some((path, name)) => (path, Some(name)),
        None => (reference, None),
    };
    let Ok(content) = std::fs::read_to_string(repository().join(path)) else {
        return Some(format!("{reference}: there is no file {path}"));
    };
    // The last word is the test's own name; those before it are modules.
    let name = name?.rsplit("::").next().unwrap_or_default();
    let there = ["fn ", "def "].iter().any(|word| content.contains(&format!("{word}{name}(")));
    (!there).then(|| format!("{reference}: {path} has no test {name}"))
}

fn is_test(word: &&str) -> bool {
    let path = word.split("::").next().unwrap_or_default();
    path.contains('/') && TEST_FILES.iter().any(|end| path.ends_with(end))
}

#[test]
fn every_promise_names_a_test_that_exists_or_says_that_it_is_pending() {
    let specification = read("SPECIFICATION.md");
    let mut promises: Vec<String> = Vec::new();
    for line in specification.lines() {
        if number_of_promise(line).is_some() {
            promises.push(String::new());
        }
        if let Some(promise) = promises.last_mut() {
            promise.push_str(line);
            promise.push('\n');
        }
    }
    assert!(promises.len() >= 7, "DESIGN makes seven promises; here are {}", promises.len());
    let kept = |promise: &String| quoted(promise).any(|word| is_test(&word)) || promise.contains("pending");
    let silent: Vec<_> = promises.iter().filter(|promise| !kept(promise)).collect();
    assert_eq!(silent, [""; 0], "promises that name no test and do not say that they are pending");
    let faults: Vec<_> = quoted(&specification).filter(is_test).filter_map(fault).collect();
    assert_eq!(faults, [""; 0], "references of SPECIFICATION.md that lead nowhere");
}

#[test]
fn every_example_is_valid_and_plans_on_this_machine() {
    let entries = std::fs::read_dir(repository().join("examples")).unwrap();
    let names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert!(names.iter().any(|name| name == "quickstart"), "{names:?}");
    for name in names {
        let site = Site::of_example(&name);
        let before = site.files();
        assert!(before.iter().any(|file| file == "blueprint.yaml"), "examples/{name} has no blueprint.yaml");
        println!("examples/{name}");
        let valid = site.forge(&["validate", "blueprint.yaml", "--target", "local"]).with_code(0);
        assert!(valid.stdout.contains("is valid on target local"), "{}", valid.stdout);
        let plan = site.forge(&["plan", "blueprint.yaml", "--target", "local", "--json"]).with_code(0).json();
        let steps = list(&plan[0]["plan"], "steps");
        assert!(!steps.is_empty() && steps.iter().all(|step| step["action"] == "create"), "{steps:?}");
        assert_eq!(site.files(), before, "validate and plan write nothing");
    }
}
