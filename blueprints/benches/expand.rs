//! How long expansion takes, and how much memory. `cargo bench -p forge-blueprints`; nothing is judged here.

#![allow(clippy::print_stdout, reason = "figures are what it is for")]

#[path = "../tests/setup/mod.rs"]
mod setup;

#[allow(dead_code, missing_docs, unreachable_pub)]
#[path = "../../modules/src/aws/mod.rs"]
mod aws;
#[allow(dead_code, missing_docs, unreachable_pub)]
#[path = "../../modules/src/host/mod.rs"]
mod host;
#[allow(dead_code, missing_docs, unreachable_pub)]
#[path = "../../modules/src/planned.rs"]
mod planned;

use forge_blueprints::Target;
use forge_engine::kind::Kinds;
use setup::{Outcome, outcome_among};
use std::time::{Duration, Instant};

/// The blueprints that forge ships.
const SHIPPED: [(&str, &str); 3] = [
    ("local.yaml", include_str!("../local.yaml")),
    ("p5.yaml", include_str!("../p5.yaml")),
    ("reference.yaml", include_str!("../reference.yaml")),
];

/// A module of the user's own with one resource for each item.
const SHARDS: &str = "module: shards\ninputs: { count: { type: int } }\ntargets:\n  local:\n    resources:\n      \
    shard: { kind: local.item, for_each: \"${range(inputs.count)}\", with: { name: \"part-${each.key}\" } }\n      \
    index: { kind: local.item, with: { value: \"${shard | map(attribute='id') | list}\" } }\n";

fn main() {
    match std::env::args().nth(1).as_deref() {
        Some(case) if case.starts_with("refuse:") => refuse(&case["refuse:".len()..]),
        _ => all(),
    }
}

fn all() {
    println!("A blueprint that forge ships");
    for (name, text) in SHIPPED {
        let (time, outcome) = median(21, || expand(text));
        report(name, time, &outcome);
    }
    println!("\nMany modules: a bucket and a file system of it for each two resources");
    for count in [100, 200, 500, 1000, 2000, 5000] {
        let text = by_modules(count);
        let (time, outcome) = median(runs(count), || expand(&text));
        report(&format!("{} KiB", text.len() >> 10), time, &outcome);
    }
    println!("\nOne module, repeated inside");
    for count in [100, 200, 500, 1000, 2000, 5000] {
        let text = by_repetition(count);
        let (time, outcome) = median(runs(count), || expand(&text));
        report(&format!("{} bytes", text.len()), time, &outcome);
    }
    println!("\nWhat is refused (each in a process of its own; VmHWM of all of it, and of one that reads nothing)");
    let program = std::env::current_exe().expect("the program is somewhere");
    for (case, _) in REFUSED {
        let output = std::process::Command::new(&program).arg(format!("refuse:{case}")).output().expect("it runs");
        print!("{}", String::from_utf8_lossy(&output.stdout));
    }
}

fn runs(count: usize) -> usize {
    (5000 / count).clamp(3, 21)
}

fn kinds(target: Target) -> Kinds {
    match target {
        Target::Aws => aws::kinds(),
        Target::Hosts => host::kinds(),
        Target::Local => setup::kinds(target),
    }
}

fn expand(text: &str) -> Outcome {
    outcome_among(&kinds, text.as_bytes(), &[], None, &[("shards/module.yaml", SHARDS.as_bytes())], &[])
}

fn median(runs: usize, run: impl Fn() -> Outcome) -> (Duration, Outcome) {
    let outcome = run();
    let mut times: Vec<Duration> = (0..runs)
        .map(|_| {
            let start = Instant::now();
            std::hint::black_box(run());
            start.elapsed()
        })
        .collect();
    times.sort_unstable();
    (times[runs / 2], outcome)
}

fn report(name: &str, time: Duration, outcome: &Outcome) {
    let Some(expanded) = &outcome.expanded else {
        println!("  {name}: does not expand\n{}", outcome.text());
        return;
    };
    let count = expanded.desired.resources.len();
    let each = time.as_secs_f64() * 1e6 / count.max(1) as f64;
    println!("  {count:>5} resources  {:>9.2} ms  {each:>7.1} µs each  {name}", time.as_secs_f64() * 1e3);
}

fn by_modules(count: usize) -> String {
    let mut text = "forge: v1\nname: many\ntarget: local\nmodules:\n  net: { use: vpc }\n".to_owned();
    for index in 0..count / 2 {
        text.push_str(&format!(
            "  b{index}: {{ use: s3 }}\n  f{index}: {{ use: fsx-lustre, with: {{ network: \"${{net}}\", bucket: \"${{b{index}}}\" }} }}\n"
        ));
    }
    text
}

fn by_repetition(count: usize) -> String {
    format!(
        "forge: v1\nname: many\ntarget: local\nmodules:\n  m: {{ use: ./shards, with: {{ count: {} }} }}\n",
        count - 1
    )
}

type Input = fn() -> Vec<u8>;

const REFUSED: [(&str, Input); 9] = [
    ("nothing", Vec::new),
    ("10 MB of entries", || b"  key: { use: s3 }\n".repeat(10_000_000 / 19)),
    ("10 MB of one scalar", || vec![b'x'; 10_000_000]),
    ("1 MiB of entries", || {
        let mut bytes = b"modules:\n".to_vec();
        (0..60_000).for_each(|index| bytes.extend(format!("  k{index}: {{}}\n").into_bytes()));
        bytes.truncate(1 << 20);
        bytes
    }),
    ("100,000 brackets", || vec![b'['; 100_000]),
    ("blocks 2,000 deep", || (0..400).flat_map(|depth| format!("{}a:\n", " ".repeat(depth)).into_bytes()).collect()),
    ("1 MiB that is not UTF-8", || vec![0xFF; 1 << 20]),
    ("a billion laughs", || {
        let mut text = "a0: &a0 [lol]\n".to_owned();
        (1..40).for_each(|level| {
            let items = vec![format!("*a{}", level - 1); 10].join(", ");
            text.push_str(&format!("a{level}: &a{level} [{items}]\n"));
        });
        text.into_bytes()
    }),
    ("for_each of 100,000", || by_repetition(100_000).into_bytes()),
];

fn refuse(case: &str) {
    let Some((_, input)) = REFUSED.iter().find(|(name, _)| *name == case) else { return };
    let bytes = input();
    let start = Instant::now();
    let outcome = outcome_among(&kinds, &bytes, &[], None, &[("shards/module.yaml", SHARDS.as_bytes())], &[]);
    let expanded = start.elapsed();
    let text = outcome.text();
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or("not known").trim().to_owned();
    let ids: std::collections::BTreeSet<&str> = outcome.findings.iter().map(|finding| finding.id).collect();
    println!(
        "  {case:<24} {:>10} bytes  {:>8.2} ms (and {:.2} ms to show {} findings: {})  peak {peak}",
        bytes.len(),
        expanded.as_secs_f64() * 1e3,
        (start.elapsed() - expanded).as_secs_f64() * 1e3,
        outcome.findings.len(),
        ids.into_iter().collect::<Vec<_>>().join(" "),
    );
    assert!(!text.is_empty());
}
