//! What users see of broken blueprints, whole.

mod setup;

use forge_blueprints::{ModuleSource, Override};
use setup::{local, outcome, with_files};

#[test]
fn everything_wrong_with_a_blueprint_is_said_at_once() {
    insta::assert_snapshot!(local(include_str!("broken.yaml")).text());
}

#[test]
fn traps_of_yaml() {
    let cases: [(&str, &[u8]); 14] = [
        ("tab", b"forge: v1\nmodules:\n\tdata: { use: s3 }\n"),
        ("expression in brackets", b"forge: v1\nmodules: { a: { use: s3, with: { network: ${network} } } }\n"),
        ("anchor, alias, merge key", b"vars: &v { a: 1 }\nmodules:\n  <<: *v\n  b: *missing\n"),
        ("documents", b"forge: v1\n---\nforge: v1\n"),
        ("tag", b"name: !secret x\n"),
        ("not UTF-8", b"forge: v1\nname: caf\xe9\n"),
        ("norway", b"forge: v1\nname: n\ntarget: local\nmodules: { d: { use: s3, with: { versioning: no } } }\n"),
        ("number", b"forge: v1\nname: .nan\nvars: { a: { type: int, default: 99999999999999999999 } }\n"),
        ("not a mapping", b"- forge: v1\n"),
        ("empty", b""),
        ("unclosed", b"forge: v1\nname: \"abc\n"),
        ("complex key", b"? [a, b]\n: c\nforge: v1\nname: k\ntarget: local\n"),
        ("nul", b"forge: v1\nname: a\0b\n"),
        ("version", b"forge: 1\nname: Bad_Name\ntarget: lokal\n"),
    ];
    let said: Vec<String> =
        cases.iter().map(|(name, bytes)| format!("# {name}\n\n{}", outcome(bytes, &[], None, &[]).text())).collect();
    insta::assert_snapshot!(said.join("\n"));
}

#[test]
fn documents_too_large_and_too_deep_are_refused() {
    let large = format!("forge: v1 #{}\n", "x".repeat(1 << 20));
    let deep = "[".repeat(100_000);
    let deep_blocks: String = (0..200).map(|depth| format!("{}a:\n", " ".repeat(depth))).collect();
    for (text, id) in [(large, "yaml-too-large"), (deep, "yaml-too-deep"), (deep_blocks, "yaml-too-deep")] {
        let outcome = local(&text);
        assert_eq!(outcome.findings.iter().map(|finding| finding.id).collect::<Vec<_>>(), [id]);
        assert!(outcome.text().len() < 2000, "{}", outcome.text());
    }
}

#[test]
fn of_very_many_findings_the_first_are_shown() {
    // Warnings stand before the errors, and are left out for them.
    let modules: String = (0..150).map(|index| format!("  a{index}: {{ use: s3 }}\n")).collect();
    let broken: String = (0..98).map(|index| format!("  b{index}: {{}}\n")).collect();
    let head = "forge: v1\nname: many\nmodules:\n  shelf: { use: ./m }\n";
    let warning = "module: m\nchecks:\n  - { that: \"${1 > 2}\", say: \"${module.name}\", severity: warning }\ntargets: { local: {} }\n";
    let uses = modules.replace("s3", "./m");
    let outcome = with_files(&format!("{head}{uses}{broken}"), &[("m/module.yaml", warning)]);
    let shown: Vec<&str> = outcome.findings.iter().map(|finding| finding.id).collect();
    assert_eq!(shown.len(), 101);
    assert_eq!((&shown[..2], shown[2], shown[99]), (["check"; 2].as_slice(), "missing-key", "missing-key"));
    assert!(
        outcome.text().ends_with(
            "note[more-findings]: 149 more are not shown, 0 of them errors\n |\n \
         = why: Of errors, warnings and notes, in this order, the first 100 are shown.\n \
         = help: Mend these first; many of the others may have the same cause.\n\n98 errors, 2 warnings\n"
        ),
        "{}",
        outcome.text()
    );

    let outcome = with_files(&format!("{head}{uses}"), &[("m/module.yaml", warning)]);
    assert!(outcome.expanded.is_some());
    assert_eq!(outcome.findings.len(), 101);

    let broken = (0..10_000).map(|index| format!("  b{index}: {{}}\n")).collect::<String>();
    let outcome = local(&format!("forge: v1\nname: many\nmodules:\n{broken}"));
    let places: Vec<String> =
        outcome.findings.iter().filter_map(|finding| setup::place(finding, &outcome.sources)).collect();
    let wanted: Vec<String> = (0..100).map(|index| format!("blueprint.yaml:{}:3", index + 4)).collect();
    assert_eq!(places, wanted);
    assert_eq!(outcome.findings[100].summary, "9900 more are not shown, 9900 of them errors");
}

#[test]
fn a_line_that_no_terminal_can_show_is_only_named() {
    let entries: Vec<String> = (0..20_000).map(|index| format!("a{index}: {{}}")).collect();
    let outcome = local(&format!("forge: v1\nname: long\nmodules: {{ {} }}\n", entries.join(", ")));
    let text = outcome.text();
    assert!(
        text.contains("error[missing-key]: `a0` does not say which module it uses\n--> blueprint.yaml:3:12\n"),
        "{text}"
    );
    assert!(text.len() < 50_000, "{}", text.len());
}

#[test]
fn instances_cannot_multiply_without_end() {
    let twice = |inner: &str| {
        let uses = format!("{{ use: {inner} }}");
        format!("module: m\ntargets: {{ local: {{ modules: {{ a: {uses}, b: {uses} }} }} }}\n")
    };
    let files: Vec<(String, String)> =
        (0..40).map(|level| (format!("m{level}/module.yaml"), twice(&format!("../m{}", level + 1)))).collect();
    let mut files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    files.push(("m40/module.yaml", "module: m\ntargets: { local: {} }\n"));
    let many = "module: many\ntargets: { local: { resources: { b: { kind: local.bucket, for_each: \"${range(10000)}\" } } } }\n";
    files.push(("many/module.yaml", many));
    let lets = "module: lets\ntargets:\n  local:\n    lets:\n      all:\n        for_each: ${range(10000)}\n        value: \
        { for_each: \"${range(10000)}\", value: \"${each.key}\" }\n    outputs: { all: \"${lets.all}\" }\n";
    files.push(("lets/module.yaml", lets));
    for used in ["use: ./m0", "use: ./many, for_each: \"${range(10000)}\"", "use: ./lets"] {
        let outcome = with_files(&format!("forge: v1\nname: many\nmodules:\n  top: {{ {used} }}\n"), &files);
        assert!(outcome.expanded.is_none());
        let ids: Vec<&str> = outcome.findings.iter().map(|finding| finding.id).collect();
        assert!(!ids.is_empty() && ids.iter().all(|id| ["too-large"].contains(id)), "{ids:?}");
    }
}

#[test]
fn wrong_values_from_the_command_line() {
    let overrides = [
        Override { name: "nodes", text: "many", origin: "FORGE_VAR_nodes", remembered: false },
        Override { name: "noodes", text: "2", origin: "--var", remembered: false },
    ];
    insta::assert_snapshot!(outcome(setup::EXAMPLE.as_bytes(), &overrides, Some("cloud"), &[]).text());
}

#[test]
fn modules_that_do_not_run_on_the_target() {
    let module = ModuleSource {
        name: "here",
        document: "here/module.yaml",
        text: "module: here\ntargets: { local: { outputs: { name: x } } }\n",
    };
    let blueprint = "forge: v1\nname: far\ntarget: aws\nmodules:\n  a: { use: here }\n  b: { use: here }\n";
    insta::assert_snapshot!(outcome(blueprint.as_bytes(), &[], None, &[module]).text());
}

#[test]
fn findings_inside_a_module_show_both_places() {
    let module = ModuleSource { name: "mine", document: "mine/module.yaml", text: include_str!("broken-module.yaml") };
    let blueprint = "forge: v1\nname: both\ntarget: local\nmodules:\n  data: { use: s3 }\n  m:\n    use: mine\n    with:\n      size: big\n";
    insta::assert_snapshot!(outcome(blueprint.as_bytes(), &[], None, &[module]).text());
}

#[test]
fn a_definition_that_does_not_fit_is_shown_where_it_is_used() {
    let text = "module: other\ninputs:\n  a: { type: strin }\n  b: { type: int, min: x, enum: [1, two] }\n  \
        c: { type: module, default: 5 }\n  d: { type: string, pattern: '(' }\ntargets:\n  locl: {}\n  local: { resorces: {} }\n";
    let module = ModuleSource { name: "mine", document: "mine/module.yaml", text };
    let blueprint = "forge: v1\nname: both\ntarget: local\nmodules: { m: { use: mine } }\n";
    insta::assert_snapshot!(outcome(blueprint.as_bytes(), &[], None, &[module]).text());
}

#[test]
fn expressions_cannot_exhaust_the_machine() {
    let nested = format!("{}1{}", "(".repeat(5000), ")".repeat(5000));
    let long = format!("1{}", " + 1".repeat(200_000));
    let links = ["-", "not ", "+1", ".a", "|f", "[0]", " if 1", "()", "~1", "==1", "[", "{1:", "(", "1 if 1 else "];
    let chain =
        |start: &'static str| links.into_iter().map(move |link| format!("{start}{}1", link.repeat(1000 / link.len())));
    let chains: Vec<String> = chain("").chain(chain("vars")).collect();
    let mut bombs = vec![
        "'x' * 10000000000",
        "('x' * 1000000) * 1000000",
        "[1] * 10000000000",
        "range(100000) | list * 1000000",
        "'%1000000000d' | format(1)",
        "'x' | indent(4000000000)",
        "'x' | center(4000000000)",
        "2 ** 100000",
        "9223372036854775807 * 9223372036854775807 * 9223372036854775807",
        "range(10000000000)",
        "[[[[[[1]*9]*9]*9]*9]*9]*9",
        &nested,
        &long,
    ];
    bombs.extend(chains.iter().map(String::as_str));
    for bomb in bombs {
        let text = setup::EXAMPLE.replace("10.0.0.0/16", &format!("\"${{{bomb}}}\""));
        let outcome = local(&text);
        assert!(outcome.expanded.is_none() || bomb.starts_with('-'), "{bomb}");
        assert!(outcome.findings.iter().all(|finding| finding.summary.len() < 1000));
    }
}
