//! What users see of the command line, whole: what it prints, how it ends, which files and processes are there then.

#[macro_use]
mod seen;

use forge_tests::{CLUSTER, Ran, Site, wait_until};
use seen::{script, shown};
use std::time::Duration;

const HOPE: Duration = Duration::from_secs(60);

/// Unknown key, unknown module, bad reference, wrong type and a cycle.
const BROKEN: &str = r#"forge: v1
name: broken
target: local
regoin: us-west-2
modules:
  network: { use: vpc, with: { zones: "2" } }
  cache: { use: fsx-luster }
  scratch: { use: fsx-lustre, with: { network: "${netwrok}" } }
  a: { use: vpc, with: { cidr: "${b.address}" } }
  b: { use: vpc, with: { cidr: "${a.address}" } }
"#;

fn site() -> Site {
    Site::with(&[("blueprint.yaml", CLUSTER)])
}

fn agents(site: &Site) -> usize {
    site.processes().iter().filter(|process| process.command.contains(" agent run ")).count()
}

#[test]
fn without_arguments_and_with_help() {
    let site = Site::empty();
    let run = |arguments: &[&str]| {
        let ran: Ran = site.command(arguments).env_remove("COLUMNS").output().unwrap().into();
        shown(arguments, &ran)
    };
    assert_seen!(site, [run(&[]), run(&["--help"]), run(&["up", "--help"]), run(&["upp"])].join("\n"));
}

#[test]
fn version_is_that_of_the_workspace() {
    let ran = Site::empty().forge(&["--version"]).with_code(0);
    assert_eq!(ran.stdout, format!("forge {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn everything_wrong_with_a_blueprint_at_once() {
    let site = Site::with(&[("blueprint.yaml", BROKEN)]);
    assert_seen!(site, script(&site, &[&["validate"]]));
    assert_eq!(site.files(), ["blueprint.yaml"]);
}

#[test]
fn everything_wrong_with_a_blueprint_at_once_as_json() {
    let site = Site::with(&[("blueprint.yaml", BROKEN)]);
    let ran = site.forge(&["validate", "--json"]).with_code(1);
    let pretty: Vec<_> = ran.json().iter().map(|line| serde_json::to_string_pretty(line).unwrap()).collect();
    assert_seen!(site, pretty.join("\n"));
}

#[test]
fn a_blueprint_that_is_broken_is_not_planned_put_up_or_trained() {
    let site = Site::with(&[("blueprint.yaml", BROKEN)]);
    let said = site.forge(&["validate"]).with_code(1).stderr;
    for command in [&["plan"][..], &["up", "--yes"]] {
        assert_eq!(site.forge(command).with_code(1).stderr, said, "{command:?}");
    }
    assert_eq!(site.files(), ["blueprint.yaml"]);
}

#[test]
fn a_plan_before_anything_is_up() {
    let site = site();
    assert_seen!(site, script(&site, &[&["validate"], &["plan"]]));
    let check = site.forge(&["plan", "--check"]).with_code(3);
    assert_eq!(check.stdout, site.forge(&["plan"]).with_code(0).stdout);
    assert_eq!(site.files(), ["blueprint.yaml"]);
}

#[test]
fn up_without_a_terminal_and_without_yes_does_nothing() {
    let site = site();
    assert_seen!(site, script(&site, &[&["up"]]));
    assert_eq!(site.files(), ["blueprint.yaml"]);
    assert_eq!(site.processes(), []);
}

#[test]
fn up_then_again_then_larger_then_down() {
    let site = site();
    // Independent resources are made at the same time: which of them begins and ends first is chance.
    let up = site.forge(&["up", "--yes"]).with_code(0);
    let sorted = |ran: &Ran| {
        let (mut talk, mut lines): (Vec<_>, Vec<_>) =
            ran.stderr.lines().map(|line| format!("{line}\n")).partition(|line| !line.starts_with("  "));
        lines.sort();
        talk.extend(lines);
        Ran { stderr: talk.concat(), ..ran.clone() }
    };
    assert_seen!(site, shown(&["up", "--yes"], &sorted(&up)));
    assert_eq!(agents(&site), 3);

    let before = (site.files(), site.processes());
    assert_seen!(site, script(&site, &[&["up", "--yes"], &["up"], &["plan", "--check"]]));
    assert_eq!((site.files(), site.processes()), before, "nothing was to be done, so nothing was");

    site.write("blueprint.yaml", &CLUSTER.replace("nodes: 2", "nodes: 3"));
    assert_seen!(site, script(&site, &[&["plan", "--check"], &["up", "--yes"]]));
    assert_eq!(agents(&site), 4);
    let earlier = before.1.iter().filter(|process| !site.processes().contains(process)).count();
    assert_eq!(earlier, 0, "the nodes that were there are the same");

    assert_seen!(site, script(&site, &[&["destroy"], &["destroy", "--yes"]]));
    assert_eq!(site.processes(), []);
    let data = [".forge/desk/local/buckets/data.bucket/", ".forge/desk/local/directories/scratch.filesystem/"];
    for directory in data {
        assert!(site.files().iter().any(|file| file == directory), "{directory} in {:?}", site.files());
    }

    assert_seen!(site, script(&site, &[&["destroy", "--yes"], &["plan"], &["status"]]));
    assert_seen!(site, {
        let down = site.forge(&["destroy", "--yes", "--delete-data"]);
        shown(&["destroy", "--yes", "--delete-data"], &sorted(&down))
    });
    assert_eq!(site.processes(), []);
    assert_eq!(site.files(), ["blueprint.yaml"]);
    assert_seen!(site, script(&site, &[&["destroy", "--yes"]]));
}

#[test]
fn data_that_destroy_kept_is_there_again_after_up() {
    let site = site();
    site.forge(&["up", "--yes"]).with_code(0);
    let mine = ".forge/desk/local/directories/scratch.filesystem/mine.txt";
    site.write(mine, "a year of work");
    site.forge(&["destroy", "--yes"]).with_code(0);
    site.forge(&["up", "--yes"]).with_code(0);
    assert_eq!(std::fs::read_to_string(site.path().join(mine)).unwrap(), "a year of work");
    site.forge(&["destroy", "--yes", "--delete-data"]).with_code(0);
    assert_eq!(site.files(), ["blueprint.yaml"]);
}

#[test]
fn with_nothing_up_commands_say_what_to_do() {
    let site = site();
    let commands: Vec<&[&str]> = vec![
        &["train"],
        &["runs"],
        &["logs"],
        &["events"],
        &["nodes"],
        &["status"],
        &["checkpoints"],
        &["cancel"],
        &["inject", "kill-leader"],
        &["destroy", "--yes"],
        &["-C", "elsewhere", "status"],
        &["plan", "absent.yaml"],
        &["nodes", "--json"],
    ];
    assert_seen!(site, script(&site, &commands));
    assert_eq!(site.files(), ["blueprint.yaml"]);
}

#[test]
fn what_does_not_exist_is_named_with_what_does() {
    let site = site();
    site.forge(&["up", "--yes"]).with_code(0);
    assert_seen!(
        site,
        script(
            &site,
            &[
                &["train", "nope"],
                &["logs"],
                &["logs", "nope-1"],
                &["cancel", "nope-1"],
                &["inject", "kill-node", "nope"],
                &["inject", "kill-node"],
                &["inject", "kill-worker", "0"],
                &["train", "--detach"],
                &["logs", "nope-1"],
            ]
        )
    );
    wait_until("the run has workers", HOPE, || site.newest_run()["state"]["phase"] == "running");
    assert_seen!(site, script(&site, &[&["inject", "kill-worker", "7"], &["cancel"], &["cancel"]]));
}

#[test]
fn another_name_in_the_same_directory_is_refused_while_one_is_up() {
    let site = site();
    site.forge(&["up", "--yes"]).with_code(0);
    let before = site.processes();
    site.write("blueprint.yaml", &CLUSTER.replace("name: desk", "name: chair"));
    assert_seen!(site, script(&site, &[&["up", "--yes"]]));
    assert_eq!(site.processes(), before);
    site.forge(&["destroy", "--yes", "--delete-data"]).with_code(0);
    assert_eq!(site.files(), ["blueprint.yaml"]);
    assert_eq!(site.processes(), []);
}

#[test]
fn init_writes_a_blueprint_that_works_to_its_end() {
    let site = Site::empty();
    assert_seen!(site, script(&site, &[&["init"], &["validate"]]));
    assert_eq!(site.files(), ["blueprint.yaml"]);
    site.forge(&["up", "--yes"]).with_code(0);
    assert_seen!(site, script(&site, &[&["train"], &["logs", "--rank", "1"]]));
    let mut lines: Vec<_> = site.forge(&["logs"]).with_code(0).stdout.lines().map(str::to_owned).collect();
    lines.sort();
    assert_seen!(site, lines.join("\n"));
    assert_seen!(site, script(&site, &[&["runs"]]));
    let destroyed = site.forge(&["destroy", "--yes", "--delete-data"]).with_code(0);
    assert!(destroyed.stdout.contains("left_behind: []"), "{}", destroyed.stdout);
    assert_eq!(site.processes(), []);
    assert_eq!(site.files(), ["blueprint.yaml"]);
}

#[test]
fn init_overwrites_nothing() {
    let site = Site::with(&[("blueprint.yaml", "# mine\n")]);
    assert_seen!(site, script(&site, &[&["init"]]));
    assert_eq!(std::fs::read_to_string(site.path().join("blueprint.yaml")).unwrap(), "# mine\n");
}
