//! How long expansion takes, and how much memory. `cargo bench -p forge-blueprints`; nothing is judged here. A word after
//! `--` picks the shapes whose names have it.

#![allow(clippy::print_stdout, reason = "figures are what it is for")]

#[path = "../tests/setup/mod.rs"]
mod setup;

use forge_blueprints::Target;
use forge_engine::kind::Kinds;
use forge_modules::{aws, host};
use setup::{Outcome, outcome_among};
use std::time::{Duration, Instant};

/// That of the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

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

/// A module whose resources stand in modules inside it, two levels deep.
const RACK: &str = "module: rack\ninputs: { count: { type: int } }\ntargets:\n  local:\n    modules:\n      \
    shelf: { use: ../shelf, for_each: \"${range(inputs.count)}\", with: { name: \"shelf-${each.key}\" } }\n    \
    outputs: { ids: \"${shelf | map(attribute='id') | list}\" }\n";
const SHELF: &str = "module: shelf\ninputs: { name: { type: string } }\ntargets:\n  local:\n    modules:\n      \
    disk: { use: ../disk, with: { name: \"${inputs.name}-disk\" } }\n    outputs: { id: \"${disk.id}\" }\n";
const DISK: &str = "module: disk\ninputs: { name: { type: string }, after: { type: string, optional: true } }\ntargets:\n  \
    local:\n    resources:\n      disk: { kind: local.item, with: { name: \"${inputs.name}\", value: \"${inputs.after}\" } }\n    \
    outputs: { id: \"${disk.id}\" }\n";

/// The files beside each blueprint.
const FILES: [(&str, &[u8]); 4] = [
    ("shards/module.yaml", SHARDS.as_bytes()),
    ("rack/module.yaml", RACK.as_bytes()),
    ("shelf/module.yaml", SHELF.as_bytes()),
    ("disk/module.yaml", DISK.as_bytes()),
];

/// A way to ask for a number of resources.
type Shape = fn(usize) -> String;

const SHAPES: [(&str, Shape); 6] = [
    ("many modules: a bucket and a file system of it for each two resources", by_modules),
    ("one module, repeated inside", by_repetition),
    ("one module, repeated where it is used", by_instances),
    ("modules inside modules inside modules, ten to each", by_nesting),
    ("a chain: each module refers to the one before it", by_chain),
    ("clusters of AWS: a network, a bucket, a file system and nodes for each twenty", by_clusters),
];

fn main() {
    let case = std::env::args().skip(1).find(|argument| argument != "--bench");
    match case.as_deref().map(|case| (case, case.strip_prefix("refuse:"))) {
        Some((_, Some(case))) => refuse(case),
        Some((word, None)) => all(word),
        None => all(""),
    }
}

fn all(word: &str) {
    for (name, text) in SHIPPED.into_iter().filter(|(name, _)| name.contains(word)) {
        let (time, outcome) = median(101, || expand(text));
        report(name, time, &outcome);
    }
    for (name, shape) in SHAPES.into_iter().filter(|(name, _)| name.contains(word)) {
        println!("\n{name}");
        for count in [100, 500, 1000, 2000, 5000] {
            let text = shape(count);
            let (time, outcome) = median(runs(count), || expand(&text));
            report(&format!("{} bytes", text.len()), time, &outcome);
        }
    }
    println!("\nWhat is refused (each in a process of its own; VmHWM of all of it, and of one that reads nothing)");
    let program = std::env::current_exe().expect("the program is somewhere");
    for (case, _) in REFUSED.into_iter().filter(|(name, _)| name.contains(word)) {
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
    outcome_among(&kinds, text.as_bytes(), &[], None, &FILES, &[])
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

fn by_instances(count: usize) -> String {
    let disk = "{ use: ./disk, for_each: \"${range(COUNT)}\", with: { name: \"d${each.key}\" } }";
    format!("forge: v1\nname: many\ntarget: local\nmodules:\n  m: {}\n", disk.replace("COUNT", &count.to_string()))
}

fn by_nesting(count: usize) -> String {
    let mut text = "forge: v1\nname: many\ntarget: local\nmodules:\n".to_owned();
    (0..count / 10).for_each(|index| text.push_str(&format!("  r{index}: {{ use: ./rack, with: {{ count: 10 }} }}\n")));
    text
}

fn by_chain(count: usize) -> String {
    let mut text =
        "forge: v1\nname: many\ntarget: local\nmodules:\n  d0: { use: ./disk, with: { name: d } }\n".to_owned();
    for index in 1..count {
        let before = index - 1;
        text.push_str(&format!("  d{index}: {{ use: ./disk, with: {{ name: d, after: \"${{d{before}.id}}\" }} }}\n"));
    }
    text
}

fn by_clusters(count: usize) -> String {
    let mut text = "forge: v1\nname: many\ntarget: aws\naws: { region: us-west-2 }\nmodules:\n".to_owned();
    for index in 0..count / 20 {
        text.push_str(&format!(
            "  net{index}: {{ use: vpc }}\n  data{index}: {{ use: s3 }}\n  \
            fs{index}: {{ use: fsx-lustre, with: {{ network: \"${{net{index}}}\", bucket: \"${{data{index}}}\" }} }}\n  \
            gpus{index}:\n    use: gpu-nodes\n    with:\n      network: \"${{net{index}}}\"\n      \
            bucket: \"${{data{index}}}\"\n      scratch: \"${{fs{index}}}\"\n      \
            instance_type: p5.48xlarge\n      count: 4\n"
        ));
    }
    text
}

type Input = fn() -> Vec<u8>;

const REFUSED: [(&str, Input); 15] = [
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
    ("for_each inside for_each", || {
        let text = by_instances(10_000).replace("./disk", "./shards");
        text.replace("name: \"d${each.key}\"", "count: 10000").into_bytes()
    }),
    ("1 MiB on one line", || {
        let entries: Vec<String> = (0..80_000).map(|index| format!("k{index}: {{}}")).collect();
        format!("modules: {{ {} }}\n", entries.join(", ")).into_bytes()
    }),
    ("12,000 misspelt names", || by_chain(12_001).replace("${d", "${e").into_bytes()),
    ("10,000 circles", || {
        let mut text = "forge: v1\nname: many\ntarget: local\nmodules:\n".to_owned();
        for index in 0..10_000 {
            text.push_str(&format!(
                "  d{index}: {{ use: ./disk, with: {{ name: \"${{d{index}.id}}\", after: \"${{d9999.id}}\" }} }}\n"
            ));
        }
        text.into_bytes()
    }),
    ("20,000 choices", || {
        let mut text = "forge: v1\nname: many\ntarget: local\nmodules:\n".to_owned();
        for index in 0..10_000 {
            text.push_str(&format!("  a{index}: {{ use: s3 }}\n  b{index}: {{ use: gpu-nodes }}\n"));
        }
        text.into_bytes()
    }),
    ("100,000 duplicate keys", || {
        let mut text = "forge: v1\nname: many\n".to_owned();
        (0..100_000).for_each(|_| text.push_str("name: a\n"));
        text.into_bytes()
    }),
];

fn refuse(case: &str) {
    let Some((_, input)) = REFUSED.iter().find(|(name, _)| *name == case) else { return };
    let bytes = input();
    let start = Instant::now();
    let outcome = outcome_among(&kinds, &bytes, &[], None, &FILES, &[]);
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
