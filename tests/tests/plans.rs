//! Plans, what comes of them, and the records that they are made from, as users see them on this machine.

#[macro_use]
mod seen;

use forge_tests::{CLUSTER, Ran, Site};
use seen::{script, shown};
use std::os::unix::fs::PermissionsExt;

/// A bucket, a file system, and nothing that runs.
const STORE: &str = r#"forge: v1
name: desk
target: local
modules:
  data: { use: ./bucket }
  scratch: { use: ./shared }
"#;

/// The modules that it is made of.
const BUCKET: &str = r"module: bucket
targets:
  local:
    resources:
      bucket: { kind: local.bucket }
";
const SHARED: &str = r#"module: shared
inputs:
  gib: { type: int, default: 1200 }
targets:
  local:
    resources:
      filesystem: { kind: local.directory, with: { capacity_gib: "${inputs.gib}" } }
"#;

/// What a directory with it holds and forge did not make.
const OWN: [&str; 5] = ["blueprint.yaml", "bucket/", "bucket/module.yaml", "shared/", "shared/module.yaml"];

fn site() -> Site {
    Site::with(&[("blueprint.yaml", STORE), ("bucket/module.yaml", BUCKET), ("shared/module.yaml", SHARED)])
}

fn up() -> Site {
    let site = site();
    site.forge(&["up", "--yes"]).with_code(0);
    site
}

/// A command whose talk has no order: independent work is done at the same time.
fn sorted(site: &Site, arguments: &[&str]) -> String {
    let ran = site.forge(arguments);
    let of_a_step = |line: &str| {
        let address = line.strip_prefix("  ").and_then(|line| line.split_once(": ")).map(|(address, _)| address);
        address.is_some_and(|address| address.contains('.') && !address.contains(' '))
    };
    let (mut talk, mut rest): (Vec<&str>, Vec<&str>) = ran.stderr.lines().partition(|line| of_a_step(line));
    talk.sort_unstable();
    rest.extend(talk);
    shown(arguments, &Ran { stderr: rest.iter().map(|line| format!("{line}\n")).collect(), ..ran })
}

/// The lines of JSON, laid out.
fn pretty(ran: &Ran) -> String {
    let lines: Vec<_> = ran.json().iter().map(|line| serde_json::to_string_pretty(line).expect("JSON")).collect();
    lines.join("\n")
}

#[test]
fn a_plan_an_apply_and_a_destroy_in_colour() {
    let site = site();
    let coloured = |arguments: &[&str]| sorted(&site, arguments).replace('\x1b', "␛");
    let seen = [
        coloured(&["--color", "always", "plan"]),
        coloured(&["--color", "always", "up", "--yes"]),
        coloured(&["--color", "always", "destroy", "--yes", "--delete-data"]),
    ];
    assert_seen!(site, seen.join("\n"));
    let forced: Ran =
        site.command(&["plan"]).env_remove("NO_COLOR").env("CLICOLOR_FORCE", "1").output().unwrap().into();
    assert_eq!(forced.stdout, site.forge(&["--color", "always", "plan"]).stdout);
    let plain: Ran = site.command(&["plan"]).env("CLICOLOR_FORCE", "1").output().unwrap().into();
    assert!(!plain.stdout.contains('\x1b'), "NO_COLOR is stronger");
}

#[test]
fn a_plan_an_apply_and_a_destroy_as_json() {
    let site = site();
    site.write("blueprint.yaml", &STORE.replace("  scratch: { use: ./shared }\n", ""));
    let run = |arguments: &[&str]| pretty(&site.forge(arguments).with_code(0));
    let seen = [
        run(&["plan", "--json"]),
        run(&["up", "--yes", "--json"]),
        run(&["destroy", "--yes", "--delete-data", "--json"]),
    ];
    assert_seen!(site, seen.join("\n\n"));
}

#[test]
fn what_fails_is_said_with_its_cause_and_with_what_waits_for_it() {
    let site = Site::with(&[("blueprint.yaml", CLUSTER)]);
    // A file where the bucket is to be put together.
    site.write(".forge/desk/local/buckets/.new-data.bucket", "in the way");
    assert_seen!(site, sorted(&site, &["up", "--yes"]));
    assert_seen!(site, sorted(&site, &["--color", "always", "up", "--yes"]).replace('\x1b', "␛"));
    assert_seen!(site, pretty(&site.forge(&["up", "--yes", "--json"]).with_code(5)));
    std::fs::remove_file(site.path().join(".forge/desk/local/buckets/.new-data.bucket")).unwrap();
    site.forge(&["up", "--yes"]).with_code(0);
    site.forge(&["destroy", "--yes", "--delete-data"]).with_code(0);
    assert_eq!(site.files(), ["blueprint.yaml"]);
}

#[test]
fn what_somebody_else_has_changed_stands_before_the_changes() {
    let site = up();
    let record = ".forge/desk/local/directories/scratch.filesystem/.forge/resource.json";
    site.write(record, &site.read(record).replace("1200", "2400"));
    std::fs::remove_dir_all(site.path().join(".forge/desk/local/buckets/data.bucket")).unwrap();
    assert_seen!(site, script(&site, &[&["plan"], &["plan", "--refresh", "false"]]));
    let plan = &site.forge(&["plan", "--json"]).with_code(0).json()[0];
    assert_eq!(plan["plan"]["drift"].as_array().unwrap().len(), 2, "{plan}");
    assert_eq!(site.forge(&["plan", "--refresh", "false", "--json"]).with_code(0).json()[0]["refreshed"], false);
    site.forge(&["up", "--yes"]).with_code(0);
    assert!(site.forge(&["plan", "--check"]).with_code(0).stdout.contains("everything is as it should be"));
}

#[test]
fn a_saved_plan_is_carried_out_once() {
    let site = site();
    let plan = |arguments: &[&str]| sorted(&site, arguments);
    let saved = plan(&["plan", "--out", "desk.plan"]);
    assert_eq!(std::fs::metadata(site.path().join("desk.plan")).unwrap().permissions().mode() & 0o777, 0o600);
    let seen = [
        saved,
        plan(&["up", "--plan", "desk.plan"]),
        plan(&["up", "--plan", "desk.plan", "--yes"]),
        plan(&["up", "--plan", "desk.plan", "--yes"]),
        plan(&["up", "--plan", "desk.plan", "--only", "data"]),
        plan(&["up", "--plan", "blueprint.yaml"]),
    ];
    assert_seen!(site, seen.join("\n"));
}

#[test]
fn a_saved_plan_is_refused_when_the_world_has_changed() {
    let site = up();
    site.write("blueprint.yaml", &STORE.replace("./shared }", "./shared, with: { gib: 2400 } }"));
    site.forge(&["plan", "--out", "desk.plan"]).with_code(0);
    std::fs::remove_dir_all(site.path().join(".forge/desk/local/buckets/data.bucket")).unwrap();
    let refused = site.forge(&["up", "--plan", "desk.plan", "--yes"]).with_code(1);
    assert_seen!(site, refused.stderr);
    // One of another version says so.
    site.write("desk.plan", &site.read("desk.plan").replacen("\"v\":1", "\"v\":9", 1));
    let refused = site.forge(&["up", "--plan", "desk.plan", "--yes"]).with_code(1);
    assert_seen!(site, refused.stderr);
}

#[test]
fn a_saved_plan_holds_no_secret() {
    let site = Site::with(&[(
        "blueprint.yaml",
        &format!(
            "{CLUSTER}    env: {{ TOKEN: \"${{vars.token}}\" }}\nvars: {{ token: {{ type: string, sensitive: true }} }}\n"
        ),
    )]);
    let mut plan = site.command(&["plan", "--out", "desk.plan", "--var", "token=env:TOKEN"]);
    let ran: Ran = plan.env("TOKEN", "hunter2").output().unwrap().into();
    ran.with_code(0);
    assert!(!site.read("desk.plan").contains("hunter2"));
}

#[test]
fn a_plan_for_a_part_leaves_the_rest_alone() {
    let site = site();
    let seen = [
        sorted(&site, &["up", "--yes", "--only", "data"]),
        script(&site, &[&["plan", "--only", "dta"], &["plan", "--replace", "data.buckt"]]),
        script(&site, &[&["plan"], &["plan", "--only", "data", "--replace", "data.bucket"]]),
    ];
    assert_seen!(site, seen.join("\n"));
}

#[test]
fn what_is_called_differently_lives_on() {
    let site = up();
    let mine = ".forge/desk/local/directories/scratch.filesystem/mine.txt";
    site.write(mine, "a year of work");
    let renamed = STORE.replace("scratch:", "store:") + "moved:\n  - { from: scratch, to: store }\n";
    site.write("blueprint.yaml", &renamed);
    let seen = script(&site, &[&["plan"], &["up", "--yes"], &["up", "--yes"], &["state", "list"]]);
    assert_seen!(site, seen);
    assert_eq!(site.read(mine), "a year of work");
    // What comes to the old name is another one.
    site.write("blueprint.yaml", &(STORE.to_owned() + "  store: { use: ./shared }\n"));
    site.forge(&["up", "--yes"]).with_code(0);
    assert_eq!(site.read(mine), "a year of work");
    assert!(site.files().contains(&".forge/desk/local/directories/scratch.filesystem-2/".to_owned()));
    site.forge(&["destroy", "--yes", "--delete-data"]).with_code(0);
    assert_eq!(site.files(), OWN);
}

#[test]
fn records_are_shown_corrected_and_made_anew() {
    let site = up();
    let seen = script(
        &site,
        &[
            &["state", "list"],
            &["state", "show", "data.bucket"],
            &["state", "show", "data.buckt"],
            &["state", "rm", "data.bucket"],
            &["plan"],
            &["state", "rebuild"],
            &["state", "rebuild", "--yes"],
            &["plan"],
            &["state", "mv", "scrtch", "store"],
            &["state", "mv", "scratch", "sto-re"],
            &["state", "mv", "scratch.filesystem", "data.bucket"],
            &["state", "mv", "scratch", "store"],
            &["plan"],
            &["state", "mv", "store", "scratch"],
            &["plan", "--check"],
        ],
    );
    assert_seen!(site, seen);
    let exported = &site.forge(&["state", "export"]).with_code(0).json()[0];
    assert_eq!((&exported["v"], &exported["deployment"]), (&1.into(), &"desk".into()));
    assert_eq!(exported["state"]["records"]["data.bucket"]["kind"], "local.bucket");
    // A damaged journal stops everything but this.
    let journal = ".forge/desk/journal.jsonl";
    site.write(journal, &site.read(journal).replacen("entry", "entyr", 1));
    site.forge(&["up", "--yes"]).with_code(1);
    let rebuilt = site.forge(&["state", "rebuild", "--yes"]).with_code(0);
    assert!(rebuilt.stderr.starts_with("the journal that is there cannot be read"), "{}", rebuilt.stderr);
    assert!(rebuilt.stderr.ends_with(".forge/desk/journal.old-2\n"), "{}", rebuilt.stderr);
    site.forge(&["plan", "--check"]).with_code(0);
    site.forge(&["destroy", "--yes", "--delete-data"]).with_code(0);
    assert_eq!(site.files(), OWN);
}

#[test]
fn destroying_a_part_shows_what_goes_along_and_why() {
    let site = Site::with(&[("blueprint.yaml", CLUSTER)]);
    site.forge(&["up", "--yes"]).with_code(0);
    let seen = script(
        &site,
        &[
            &["destroy", "dta"],
            &["destroy", "data"],
            &["destroy", "--yes", "--delete-data", "data"],
            &["state", "list"],
        ],
    );
    assert_seen!(site, seen);
    assert_eq!(site.processes(), []);
}

#[test]
fn a_graph_of_resources_and_of_modules() {
    let site = Site::with(&[("blueprint.yaml", CLUSTER)]);
    let data = |arguments: &[&str]| site.forge(arguments).with_code(0).stdout;
    let seen = [
        data(&["graph"]),
        data(&["graph", "--format", "mermaid"]),
        data(&["graph", "--modules"]),
        data(&["graph", "--modules", "--format", "mermaid"]),
        data(&["graph", "--json"]),
        data(&["graph", "--modules", "--json"]),
    ];
    assert_seen!(site, seen.join("\n"));
}
