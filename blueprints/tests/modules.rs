//! Modules of the user's own: repetition, nesting, rules, and what goes wrong in them.

mod setup;

use forge_blueprints::{Document, Expanded, Override, Request};
use serde_json::json;
use setup::{MODULES, Outcome, kinds, local, outcome_of, with_files};

/// The addresses of the resources with their dependencies, a line each.
fn graph(outcome: &Outcome) -> String {
    let expanded = outcome.expanded.as_ref().expect("it expands");
    let line = |resource: &forge_engine::resource::Resource| {
        let needs: Vec<_> = resource.dependencies().iter().map(ToString::to_string).collect();
        let protect = if resource.protect { " protected" } else { "" };
        format!("{}{protect} <- {}", resource.address, needs.join(", ")).trim_end_matches([' ', '<', '-']).to_owned()
    };
    expanded.desired.resources.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn output<'e>(expanded: &'e Expanded, module: &str, name: &str) -> &'e forge_engine::value::Value {
    &expanded.modules[module][name]
}

const STORES: &str = "\
module: stores
description: Buckets and a directory for each
inputs:
  names: { type: list, items: { type: string, max: 8 }, min: 1, description: One of each }
targets:
  local:
    lets:
      paths: { for_each: \"${bucket}\", value: \"p ${each.key}\", when: \"${each.key != 1}\" }
      sizes: { for_each: \"${ {'a': 1, 'b': 2} }\", value: \"${each.value * 1200}\" }
    resources:
      bucket: { kind: local.bucket, for_each: \"${inputs.names}\", protect: true }
      place:
        kind: local.directory
        for_each: ${lets.sizes}
        when: ${each.key != 'b'}
        depends_on: [bucket]
        with: { capacity_gib: \"${each.value}\" }
      absent: { kind: local.bucket, when: false }
    outputs:
      urls: ${bucket | map(attribute='url') | list}
      first: ${bucket[0].url}
      paths: ${lets.paths}
      place: ${place.a.path}
      absent: ${absent is none}
";

#[test]
fn resources_repeat_over_lists_and_mappings() {
    let blueprint = "forge: v1\nname: r\ntarget: local\nmodules:\n  s: { use: ./stores, with: { names: [x, y, z] } }\n  \
        n: { use: vpc, with: { cidr: \"10.${s.paths | length}.0.0/16\" } }\n  o: { use: ./takes, with: { all: \"${s}\" } }\n";
    let takes = "module: takes\ninputs: { all: { type: module } }\ntargets:\n  local:\n    outputs: { x: \"${inputs.all.urls}\" }\n";
    let outcome = with_files(blueprint, &[("stores/module.yaml", STORES), ("takes/module.yaml", takes)]);
    let ids: Vec<_> = outcome.findings.iter().map(|finding| finding.id).collect();
    // Nobody uses the network or what the second module puts out; that is worth a warning and no more.
    assert_eq!(ids, ["unused-module", "dead-output"], "{}", outcome.text());
    insta::assert_snapshot!(graph(&outcome));
    let expanded = outcome.expanded.unwrap();
    assert_eq!(output(&expanded, "s", "paths").to_json(), Some(json!(["p 0", "p 2"])));
    assert_eq!(output(&expanded, "s", "absent").to_json(), Some(json!(true)));
    assert_eq!(output(&expanded, "s", "urls").outputs().len(), 3);
    assert_eq!(output(&expanded, "s", "place").outputs().len(), 1);
}

const OUTER: &str = "\
module: outer
inputs:
  network: { type: module, module: [vpc], description: Where it stands }
  count: { type: int, description: How many }
checks:
  - that: ${inputs.count % 2 == 0}
    say: count is ${inputs.count}; pairs are wanted
    help: Write an even number.
  - that: ${inputs.count < 10}
    say: ${inputs.count} is a lot
    severity: warning
targets:
  local:
    modules:
      store: { use: s3, for_each: \"${range(inputs.count)}\" }
      scratch: { use: fsx-lustre, with: { network: \"${inputs.network}\", bucket: \"${data_of}\" }, when: \"${inputs.count > 100}\" }
      inner: { use: ../inner, with: { network: \"${inputs.network}\", bucket: \"${bucket_of[0]}\" }, protect: true, depends_on: [store] }
    outputs: { urls: \"${store | pluck('url')}\" }
";

const INNER: &str = "\
module: inner
inputs:
  network: { type: module, module: [vpc] }
  bucket: { type: module, module: [s3] }
targets:
  local:
    resources:
      place: { kind: local.directory, with: { capacity_gib: 1200 } }
    checks:
      - { that: \"${inputs.network.address == '127.0.0.1'}\", say: not here }
      - { that: \"${inputs.bucket.url == 'x'}\", say: not there }
";

fn nested(count: u32) -> Outcome {
    let blueprint = format!(
        "forge: v1\nname: n\ntarget: local\nmodules:\n  net: {{ use: vpc }}\n  out:\n    use: ./outer\n    for_each: {{ a: {count}, b: 2 }}\n    \
        with: {{ network: \"${{net}}\", count: \"${{each.value}}\" }}\n  more: {{ use: ./last, with: {{ urls: \"${{out.a.urls}}\" }} }}\n"
    );
    let outer = OUTER.replace("${data_of}", "${store[0]}").replace("${bucket_of[0]}", "${store[0]}");
    let last = "module: last\ninputs: { urls: { type: list, items: { type: string } } }\ntargets:\n  local:\n    \
        resources: { b: { kind: local.directory, with: { capacity_gib: \"${inputs.urls | length}\" } } }\n";
    let files = [("outer/module.yaml", outer.as_str()), ("inner/module.yaml", INNER), ("last/module.yaml", last)];
    with_files(&blueprint, &files)
}

#[test]
fn modules_stand_in_modules_and_repeat() {
    let outcome = nested(2);
    insta::assert_snapshot!(outcome.text());
    insta::assert_snapshot!(graph(&outcome));
}

#[test]
fn a_rule_of_a_module_points_at_what_was_passed() {
    insta::assert_snapshot!(nested(11).text());
}

#[test]
fn what_is_wrong_with_uses_and_definitions() {
    let blueprint = "forge: v1\nname: w\ntarget: local\nmodules:\n  a: { use: ./gone }\n  b: { use: net/vpc }\n  c: { use: ./loop }\n  \
        range: { use: s3 }\n  d: { use: s3, for_each: 3 }\n  e: { use: s3, for_each: \"${f.url}\" }\n  f: { use: s3, depends_on: [g] }\n  \
        h: { use: fsx-lustre, with: { network: \"${i}\" } }\n  i: { use: ./net }\n  j: { use: ./both }\n";
    let looped = "module: loop\ntargets: { local: { modules: { again: { use: ../loop } } } }\n";
    let net = "module: net\nimplements: [vpc, vpcc]\ntargets: { local: { outputs: { interface: lo } } }\n";
    let both = "module: both\ninputs: { x: { type: int, optional: true } }\nchecks:\n  - { that: true }\n  \
        - { that: true, say: x, severity: fatal, at: y }\ntargets:\n  local:\n    modules: { a: { use: s3 } }\n    resources: { a: { kind: local.bucket }, target: { kind: local.bucket } }\n";
    let files = [("loop/module.yaml", looped), ("net/module.yaml", net), ("both/module.yaml", both)];
    insta::assert_snapshot!(with_files(blueprint, &files).text());
}

#[test]
fn a_module_of_ones_own_may_stand_for_a_built_in_one() {
    let blueprint = "forge: v1\nname: i\ntarget: local\nmodules:\n  own: { use: ./net }\n  data: { use: s3 }\n  \
        scratch: { use: fsx-lustre, with: { network: \"${own}\", bucket: \"${data if 1 == 1 else own}\" } }\n  \
        gpus: { use: gpu-nodes, with: { instance_type: g6e.xlarge, count: 1, scratch: \"${scratch}\" } }\n";
    let net = "module: net\nimplements: vpc\ntargets: { local: { outputs: { interface: lo, address: 127.0.0.1 } } }\n";
    assert_eq!(with_files(blueprint, &[("net/module.yaml", net)]).text(), "");
}

#[test]
fn instances_may_be_written_out() {
    let blueprint = "forge: v1\nname: i\ntarget: local\nmodules:\n  b[0]: { use: s3 }\n  b[1]: { use: s3 }\n  'c[\"x y\"]': { use: s3 }\n  \
        n: { use: vpc }\n  f: { use: fsx-lustre, with: { network: \"${n}\", bucket: \"${b[1]}\" } }\n  g: { use: fsx-lustre, with: { network: \"${n}\", bucket: \"${c['x y']}\" } }\n  \
        gpus: { use: gpu-nodes, with: { instance_type: g6e.xlarge, count: 1, bucket: \"${b[0]}\" } }\n";
    let outcome = local(blueprint);
    assert!(outcome.findings.iter().all(|finding| finding.id == "unused-module"), "{}", outcome.text());
    let addresses: Vec<_> =
        outcome.expanded.as_ref().unwrap().desired.resources.iter().map(|r| r.address.to_string()).collect();
    assert_eq!(
        addresses,
        ["b[0].bucket", "b[1].bucket", "c[\"x y\"].bucket", "f.filesystem", "g.filesystem", "gpus.fleet"]
    );
}

#[test]
fn variables_come_from_everywhere_and_the_strongest_wins() {
    let blueprint = "forge: v1\nname: v\ntarget: local\nvars:\n  a: { type: int, default: 1 }\n  b: { type: int, default: 1 }\n  \
        c: { type: int, default: 1 }\n  d: { type: int, default: 1 }\n  size: { enum: [small, 2], default: small }\n  \
        token: { type: string, sensitive: true, default: \"env:HF_TOKEN\" }\n  other: { type: string, sensitive: true }\nmodules:\n  \
        s: { use: s3 }\n  g: { use: gpu-nodes, with: { instance_type: g6e.xlarge, count: 1 } }\njobs:\n  t:\n    nodes: ${g}\n    \
        command: [x, \"${vars.a}\", \"${vars.b}\", \"${vars.c}\", \"${vars.d}\", \"${vars.size}\"]\n    \
        env: { T: \"${vars.token}\", O: \"${vars.other}\", S: \"${secret('file:/run/s')}\" }\n";
    let set = |name, text, origin| Override { name, text, origin, remembered: false };
    let expand = |environment: &[Override<'_>], files: &[Document<'_>], overrides: &[Override<'_>]| {
        outcome_of(&Request {
            name: "blueprint.yaml",
            bytes: blueprint.as_bytes(),
            environment,
            var_files: files,
            overrides,
            target: None,
            modules: &MODULES,
            files: &|path| Err(path.to_owned()),
            kinds: &|target, _| kinds(target),
            facts: &setup::facts(),
        })
    };
    let environment = [
        set("b", "2", "FORGE_VAR_b"),
        set("c", "2", "FORGE_VAR_c"),
        set("other", "hf_123", "FORGE_VAR_other"),
        set("gone", "1", "FORGE_VAR_gone"),
    ];
    let files = [
        Document { name: "one.yaml", bytes: b"c: 3\nd: 3\nsize: 2\n" },
        Document { name: "two.yaml", bytes: b"{\"d\": 4}" },
    ];
    let outcome = expand(&environment, &files, &[set("d", "5", "--var")]);
    assert_eq!(outcome.findings.iter().map(|finding| finding.id).collect::<Vec<_>>(), ["unknown-variable"]);
    assert!(!outcome.text().contains("hf_123") && !format!("{:?}", outcome.expanded).contains("hf_123"));
    let expanded = outcome.expanded.unwrap();
    assert_eq!(expanded.jobs[0].command, ["x", "1", "2", "3", "5", "2"]);
    let secrets: Vec<_> =
        expanded.jobs[0].secrets.iter().map(|(name, secret)| format!("{name}={}", secret.secret)).collect();
    assert_eq!(secrets, ["O=env:FORGE_VAR_other", "S=file:/run/s", "T=env:HF_TOKEN"]);
    let origins: Vec<_> = expanded.variables.iter().map(|variable| variable.origin.as_str()).collect();
    assert_eq!(origins, ["default", "FORGE_VAR_b", "one.yaml", "--var", "FORGE_VAR_other", "one.yaml", "default"]);

    let files = [Document { name: "bad.yaml", bytes: b"a: many\nx: 1\ntoken: hf_456\n" }];
    let outcome = expand(&environment[..3], &files, &[set("size", "large", "--var"), set("other", "hf_789", "--var")]);
    assert!(!outcome.text().contains("hf_"), "{}", outcome.text());
    insta::assert_snapshot!(outcome.text());
}

#[test]
fn secrets_pass_through_and_nothing_else() {
    let case = |env: &str| {
        local(&format!(
            "forge: v1\nname: s\ntarget: local\nmodules:\n  s: {{ use: s3 }}\n  g: {{ use: gpu-nodes, with: {{ instance_type: g6e.xlarge, count: 1 }} }}\n\
            jobs:\n  t: {{ nodes: \"${{g}}\", command: [x], env: {{ A: \"{env}\" }} }}\n"
        ))
    };
    assert_eq!(case("${secret('env:X')}").text(), "");
    for (env, id) in [
        ("a ${secret('env:X')}", "secret-in-text"),
        ("${secret('env:X') ~ 'b'}", "unknown-value"),
        ("${secret('env:X') == 'b'}", "unknown-value"),
        ("${secret('vault:X')}", "unknown-secret"),
        ("${secret('env:')}", "unknown-secret"),
        ("${secret('aws-sm:x')}", "unknown-secret"),
        ("${secret(3)}", "unknown-secret"),
    ] {
        let outcome = case(env);
        assert_eq!(outcome.findings.iter().map(|f| f.id).collect::<Vec<_>>(), [id], "{env}\n{}", outcome.text());
    }
}

#[test]
fn networks_and_the_other_filters() {
    let cases = [
        ("'10.0.0.0/16' | cidr_subnet(8, 101)", json!("10.0.101.0/24")),
        ("'10.0.0.0/16' | cidr_subnets(8, 2)", json!(["10.0.0.0/24", "10.0.1.0/24"])),
        ("'fd00::/48' | cidr_subnet(16, 10)", json!("fd00:0:0:a::/64")),
        ("'10.0.1.0/24' | cidr_host(5)", json!("10.0.1.5")),
        ("'10.0.1.0/24' | cidr_host(-1)", json!("10.0.1.255")),
        ("'10.0.1.0/24' | cidr_size", json!(256)),
        ("'10.0.0.0/16' | cidr_contains('10.0.3.0/24')", json!(true)),
        ("'10.0.3.0/24' | cidr_contains('10.0.0.0/16')", json!(false)),
        ("'10.0.0.0/16' | cidr_overlaps('10.1.0.0/16')", json!(false)),
        ("'0.0.0.0/0' | cidr_overlaps('10.1.0.0/16')", json!(true)),
        ("'abc' | sha256", json!("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")),
        ("{'b': 1, 'a': [true, none]} | json", json!("{\"a\":[true,null],\"b\":1}")),
        ("'[1, {\"x\": 2.5}]' | from_json", json!([1, {"x": 2.5}])),
        ("{'a': 1} | merge({'b': 2}, {'a': 3})", json!({"a": 3, "b": 2})),
        ("[[1], [2, 3], 4] | flatten", json!([1, 2, 3, 4])),
        ("{'b': 1, 'a': 2} | keys", json!(["a", "b"])),
        ("{'b': 1, 'a': 2} | values", json!([2, 1])),
        ("(5 / 2) | ceil", json!(3)),
        ("(5 / 2) | floor", json!(2)),
        ("[{'x': 1}, {'x': 2}] | pluck('x')", json!([1, 2])),
    ];
    for (expression, wanted) in cases {
        let module = format!("module: m\ntargets:\n  local:\n    outputs:\n      x: >-\n        ${{{expression}}}\n");
        let blueprint = "forge: v1\nname: f\ntarget: local\nmodules: { m: { use: ./m } }\n";
        let outcome = with_files(blueprint, &[("m/module.yaml", &module)]);
        let text = outcome.text();
        let expanded = outcome.expanded.unwrap_or_else(|| panic!("{expression}\n{text}"));
        assert_eq!(output(&expanded, "m", "x").to_json(), Some(wanted), "{expression}");
    }
    for wrong in [
        "'10.0.0.0/33' | cidr_size",
        "'10.0.0.0' | cidr_size",
        "'10.0.0.0/16' | cidr_subnet(17, 0)",
        "'10.0.0.0/16' | cidr_subnet(1, 2)",
        "'10.0.0.0/8' | cidr_subnets(24, 100000)",
        "'10.0.0.0/30' | cidr_host(4)",
        "'10.0.0.0/30' | cidr_host(-5)",
        "'::/0' | cidr_size",
        "'{' | from_json",
        "[{'y': 1}] | pluck('x')",
    ] {
        let text = setup::EXAMPLE.replace("10.0.0.0/16", &format!("\"${{{wrong}}}\"").replace("'{'", "'\\\\{'"));
        assert!(local(&text).expanded.is_none(), "{wrong}");
    }
}

#[test]
fn tags_are_checked() {
    let tags: String = (0..41).map(|index| format!("  t{index}: x\n")).collect();
    let text =
        format!("forge: v1\nname: t\ntarget: local\ntags:\n  aws:x: y\n  n: 3\n  long: {}\n{tags}", "x".repeat(257));
    let ids: Vec<_> = local(&text).findings.iter().map(|finding| finding.id).collect();
    assert_eq!(ids, ["bad-tag", "bad-tag", "wrong-type", "bad-tag"]);
}
