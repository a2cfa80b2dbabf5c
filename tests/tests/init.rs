//! `forge init`: which blueprint is written, and that nothing is overwritten. That the first one works to its end is in
//! cli.rs.

use forge_tests::Site;

#[test]
fn a_template_is_written_under_a_name() {
    let site = Site::empty();
    site.forge(&["init", "local", "--name", "mine"]).with_code(0);
    assert!(site.read("blueprint.yaml").contains("\nname: mine\n"));
    let again = site.forge(&["init"]).with_code(1);
    assert!(again.stderr.contains("It is left as it was."), "{}", again.stderr);
}

#[test]
fn what_cannot_be_is_said_and_nothing_written() {
    let site = Site::empty();
    let absent = site.forge(&["init", "cloud"]).with_code(2);
    assert!(
        absent.stderr.starts_with("error: there is no template `cloud`\n  help: There are: local"),
        "{}",
        absent.stderr
    );
    let named = site.forge(&["init", "--name", "Not a name"]).with_code(2);
    assert!(named.stderr.contains("`Not a name` cannot be a blueprint's name"), "{}", named.stderr);
    assert_eq!(site.files(), [""; 0]);
}

#[test]
fn the_list_is_data() {
    let site = Site::empty();
    let lines = site.forge(&["init", "--list"]).with_code(0).stdout;
    assert!(lines.starts_with("local "), "{lines}");
    let templates = site.forge(&["init", "--list", "--json"]).with_code(0).json();
    assert_eq!(templates.len(), lines.lines().count());
    assert_eq!(templates[0]["template"]["name"], "local");
}
