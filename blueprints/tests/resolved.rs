//! What `forge expand` prints: it comes to the same, it does not change any more, and `forge fmt` has nothing to add.

mod setup;

use forge_blueprints::{Target, format, resolved};
use forge_engine::diag::DocumentId;
use forge_engine::kind::Kinds;
use forge_modules::{aws, host};
use setup::fuzzing::again;
use setup::{outcome_among, outcome_beside};

fn kinds(target: Target) -> Kinds {
    match target {
        Target::Aws => aws::kinds(),
        Target::Hosts => host::kinds(),
        Target::Local => setup::kinds(target),
    }
}

#[test]
fn shipped_blueprints_come_to_the_same() {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/.");
    let mut count = 0;
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "yaml") {
            continue;
        }
        let bytes = std::fs::read(&path).unwrap();
        for target in Target::ALL {
            let outcome = outcome_among(&kinds, &bytes, &[], Some(target.name()), &[], &[]);
            // Those that name no machines, or no region, are not for that target.
            if outcome.expanded.is_none() && target != Target::Local {
                continue;
            }
            again(&kinds, &outcome, target, &[]);
            let text = outcome.resolved();
            assert!(!text.is_empty(), "{} on {target}\n{}", path.display(), outcome.text());
            assert_eq!(format::format(DocumentId(0), &text), Ok(text));
            count += 1;
        }
    }
    assert!(count >= 19, "{count}");
}

/// Everything that has to be said in another way: instances, gaps, what only apply knows, secrets, literal dollars.
const ALL: &str = r#"forge: v1
name: all
target: local
tags: { team: "${vars.team}" }
local: { nodes: 2 }
vars:
  team: { type: string, default: research }
  zones: { type: list, items: { type: string }, default: [a, b, c] }
  token: { type: string, sensitive: true, default: "env:TOKEN" }
  odd: { type: map, default: { for_each: [1], value: x } }
modules:
  other: { use: ./part, for_each: "${vars.zones}", when: "${each.value != 'b'}", with: { of: "${each.value}" } }
  named: { use: ./part, for_each: { x y: 1, z: 2 }, with: { of: "${each.key}", many: "${other | map(attribute='ids') | list}" } }
  absent: { use: ./part, when: "${1 > 2}", with: { of: nothing } }
  data: { use: s3 }
  last:
    use: ./part
    depends_on: [absent, other]
    protect: true
    with:
      of: "cost: 5$${each}"
      part: ${other[1]}
      given: ["${named['x y'].id}", "a${'$$'}${other[0].id}$$${x}", "a$", { b: "${other[0].inner}" }, "${other[0].ids}", "${other[0].ids[1]}"]
      odd: ${vars.odd}
  gpus: { use: gpu-nodes, with: { cluster: "${cluster}", instance_type: p5.48xlarge, count: 2 } }
  cluster: { use: eks, with: { network: "${network}" } }
  network: { use: vpc }
jobs:
  second: { nodes: "${gpus}", command: [sh, -c, "echo a\necho b\n"], hang_after: 90m, checkpoint: { every_steps: 5 } }
  first: { nodes: "${gpus}", command: ["a b", "-1", 1e-3, "$${HOME}"], env: { TOKEN: "${vars.token}", N: 0x10 } }
"#;

const PART: &str = r#"module: part
inputs:
  of: { type: string }
  many: { type: list, default: [] }
  part: { type: module, optional: true }
  given: { type: list, default: [x] }
  odd: { type: map, default: {} }
targets:
  local:
    resources:
      item: { kind: local.item, with: { name: "${inputs.of}", value: "${[inputs.many, inputs.given, inputs.odd, inputs.part.id if inputs.part else 0]}" } }
      more: { kind: local.item, for_each: "${range(2)}" }
    outputs: { id: "${item.id}", ids: "${more | map(attribute='id') | list}" , inner: "${item.url}/${item.id}" }
"#;

const FILES: &[(&str, &[u8])] = &[("part/module.yaml", PART.as_bytes())];

#[test]
fn everything_that_must_be_said_in_another_way() {
    let outcome = outcome_beside(ALL.as_bytes(), &[], None, FILES, &[]);
    let text = outcome.resolved();
    assert!(!text.is_empty(), "{}", outcome.text());
    insta::assert_snapshot!(text);
    again(&setup::kinds, &outcome, Target::Local, FILES);
    assert_eq!(format::format(DocumentId(0), &text), Ok(text));
}

#[test]
fn origins_are_said() {
    let set = [("team", "ops", "FORGE_VAR_team"), ("team", "infra", "--var"), ("token", "hunter2", "FORGE_VAR_token")];
    let values: &[(&str, &[u8])] = &[("prod.yaml", b"team: prod\nzones: [a, b, \"c\\nd\"]\n")];
    let outcome = outcome_beside(ALL.as_bytes(), &set, None, FILES, values);
    let expanded = outcome.expanded.as_ref().unwrap_or_else(|| panic!("{}", outcome.text()));
    let text = resolved::yaml(expanded, &outcome.sources, true);
    assert!(!text.contains("hunter2"));
    insta::assert_snapshot!(text);
    // Comments change nothing.
    assert_eq!(outcome_beside(text.as_bytes(), &[], None, FILES, &[]).resolved(), outcome.resolved());
}

#[test]
fn an_output_that_there_is_not_is_a_finding() {
    let text = |reference: &str| {
        let given = format!("of: \"${{output({reference})}}\"");
        outcome_beside(ALL.replace("of: \"cost: 5$${each}\"", &given).as_bytes(), &[], None, FILES, &[]).text()
    };
    insta::assert_snapshot!(text("'network.tpv', 'id'") + &text("'other[0].item', 'ids'"));
}
