//! Properties that hold for every input.

mod setup;

use forge_engine::diag::has_errors;
use proptest::prelude::*;
use setup::{EXAMPLE, Outcome, local, outcome, render::render};

/// Whatever comes in, findings come out that can be shown, or a result.
fn holds(outcome: &Outcome) -> Result<(), TestCaseError> {
    let text = render(&outcome.findings, &outcome.sources, true);
    prop_assert_eq!(outcome.expanded.is_none(), has_errors(&outcome.findings));
    prop_assert_eq!(outcome.findings.is_empty(), text.is_empty());
    Ok(())
}

/// The example's `with` entries, modules and keys in another order mean the same.
fn shuffled(order: &[usize]) -> String {
    let (head, rest) = EXAMPLE.split_once("modules:\n").expect("the example has modules");
    let (modules, jobs) = rest.split_once("jobs:\n").expect("the example has jobs");
    let mut blocks: Vec<String> = Vec::new();
    for line in modules.lines() {
        match blocks.last_mut() {
            Some(block) if line.starts_with("    ") => block.push_str(&format!("{line}\n")),
            _ => blocks.push(format!("{line}\n")),
        }
    }
    let mut sections = Vec::new();
    let blocks: String = order.iter().filter_map(|at| blocks.get(*at).cloned()).collect();
    sections.push(format!("modules:\n{blocks}"));
    sections.push(format!("jobs:\n{jobs}"));
    sections.insert(order[0] % 3, head.to_owned());
    sections.concat()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        holds(&outcome(&bytes, &[], None, &[]))?;
    }

    #[test]
    fn any_text(text in "(forge|name|vars|modules|jobs|use|with|s3|vpc|a|[:\\[\\]{}\"'$&*!|>#%@,?~-]|\\$\\{|\\n|  |\t|é|\\PC){0,60}") {
        holds(&local(&text))?;
    }

    #[test]
    fn any_expression(text in "[a-z_.()\\[\\]{}'\"|~+*/%<>=!, 0-9-]{0,40}|(vars|network|data|gpus|scratch)(\\.[a-z]{1,4}|\\[[0-9]\\]| [-+*/~|<>=]{1,2} [a-z0-9]{1,5}){0,4}") {
        let text = EXAMPLE.replace("10.0.0.0/16", &format!("'${{{}}}'", text.replace('\'', "''")));
        holds(&local(&text))?;
    }

    #[test]
    fn a_mutated_blueprint(at in 0..EXAMPLE.len(), len in 0_usize..30, put in "\\PC{0,5}|[\\n\t ]{1,3}|[:{}\\[\\]\"]{1,2}") {
        let end = (at + len).min(EXAMPLE.len());
        holds(&local(&format!("{}{put}{}", &EXAMPLE[..at], &EXAMPLE[end..])))?;
    }
}

proptest! {
    // Each case is two whole expansions, and there are only 120 orders.
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_order_of_keys_does_not_matter(order in Just(vec![0, 1, 2, 3, 4]).prop_shuffle()) {
        let (ours, plain) = (local(&shuffled(&order)), local(EXAMPLE));
        prop_assert_eq!(ours.text(), "");
        prop_assert_eq!(meaning(ours), meaning(plain));
    }
}

/// All of an outcome but the places.
fn meaning(outcome: Outcome) -> String {
    let mut expanded = outcome.expanded.expect("it expands");
    for resource in &mut expanded.desired.resources {
        resource.origin = None;
    }
    format!("{expanded:?}")
}

#[test]
fn two_thousand_modules_are_no_burden() {
    let mut text = "forge: v1\nname: many\ntarget: local\nmodules:\n  net: { use: vpc }\n".to_owned();
    for index in 0..1000 {
        text.push_str(&format!("  b{index}: {{ use: s3 }}\n"));
        text.push_str(&format!(
            "  f{index}: {{ use: fsx-lustre, with: {{ network: \"${{net}}\", bucket: \"${{b{index}}}\" }} }}\n"
        ));
    }
    let start = std::time::Instant::now();
    let outcome = local(&text);
    assert!(outcome.findings.iter().all(|finding| ["unused-module", "more-findings"].contains(&finding.id)));
    assert_eq!(outcome.expanded.unwrap().desired.resources.len(), 2000);
    // Measured, not judged: a budget belongs into a benchmark.
    println!("2,000 resources in {:?}", start.elapsed());
}
