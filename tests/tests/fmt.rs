//! `forge fmt` on files: what is written, what is only listed, and what is left alone.

use forge_tests::Site;
use std::io::Write;
use std::process::Stdio;

const UNTIDY: &str = "forge:   v1  # the language\nname: a\ntarget: local\nmodules:\n    data: {use: s3}\n";
const TIDY: &str = "forge: v1 # the language\nname: a\ntarget: local\nmodules:\n  data: { use: s3 }\n";

#[test]
fn a_file_is_rewritten_once() {
    let site = Site::with(&[("blueprint.yaml", UNTIDY)]);
    let listed = site.forge(&["fmt", "--check"]).with_code(1);
    assert_eq!((listed.stdout.as_str(), listed.stderr.as_str()), ("blueprint.yaml\n", ""));
    assert_eq!(site.read("blueprint.yaml"), UNTIDY);
    assert_eq!(site.forge(&["fmt"]).with_code(0).stdout, "blueprint.yaml\n");
    assert_eq!(site.read("blueprint.yaml"), TIDY);
    assert_eq!(site.forge(&["fmt"]).with_code(0).stdout, "");
    assert_eq!(site.forge(&["fmt", "--check"]).with_code(0).stdout, "");
    assert_eq!(site.files(), ["blueprint.yaml"]);
}

#[test]
fn what_cannot_be_read_keeps_no_other_file_from_it() {
    let site = Site::with(&[("broken.yaml", "a: [\n"), ("blueprint.yaml", UNTIDY)]);
    let ran = site.forge(&["fmt", "--json", "broken.yaml", "absent.yaml", "blueprint.yaml"]).with_code(1);
    let lines = ran.json();
    assert_eq!(lines[0]["finding"]["id"], "yaml-syntax");
    assert_eq!(lines[0]["place"], "broken.yaml:1:4");
    assert_eq!(lines[1]["failure"]["chain"][0], "absent.yaml cannot be read");
    assert_eq!(lines[2]["formatted"], serde_json::json!({"file": "blueprint.yaml", "changed": true, "written": true}));
    assert_eq!(site.read("broken.yaml"), "a: [\n");
    assert_eq!(site.read("blueprint.yaml"), TIDY);
}

#[test]
fn links_and_permissions_stay() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let site = Site::with(&[("real.yaml", UNTIDY)]);
    let (real, link) = (site.path().join("real.yaml"), site.path().join("blueprint.yaml"));
    std::fs::set_permissions(&real, std::fs::Permissions::from_mode(0o640)).unwrap();
    symlink("real.yaml", &link).unwrap();
    site.forge(&["fmt"]).with_code(0);
    assert_eq!(site.read("real.yaml"), TIDY);
    assert!(link.symlink_metadata().unwrap().is_symlink());
    assert_eq!(real.metadata().unwrap().permissions().mode() & 0o777, 0o640);
}

#[test]
fn a_stream_goes_through() {
    let site = Site::empty();
    let mut command = site.command(&["fmt", "-"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(UNTIDY.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), TIDY);
}
