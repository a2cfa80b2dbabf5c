//! How plan, apply and destroy grow with the number of resources, on a simulated cloud. `cargo bench -p forge-engine
//! --features simulate`; nothing is judged here.
//!
//! Figures are milliseconds of this process on a processor, so that they mean the same on a machine that is busy; one that
//! is not shows the same by the clock. Every size runs in a process of its own, so that what one leaves in memory is not counted for the next. The world, its
//! clock and its services are simulated and answer at once; what is measured is what forge itself does, together with
//! what the simulation costs. `-- SIZE TIMES` does nothing but look, so many times: for a profiler. The resources are networks of AWS: a VPC, four subnets and five security groups each.

#![allow(clippy::print_stdout, reason = "figures are what it is for")]

#[allow(dead_code, missing_docs, unreachable_pub)]
#[path = "../../modules/src/aws/mod.rs"]
mod aws;
#[allow(dead_code, missing_docs, unreachable_pub)]
#[path = "../../modules/src/planned.rs"]
mod planned;

use forge_engine::address::{Address, Deployment, OperationId};
use forge_engine::apply::{Cancel, Limits, Outcome, Run, apply};
use forge_engine::event::Emitted;
use forge_engine::journal::{Journal, MemoryStore};
use forge_engine::kind::Kinds;
use forge_engine::lock::Unguarded;
use forge_engine::observe::{ObserveOptions, observe};
use forge_engine::plan::{DestroyOptions, Plan, PlanOptions, plan, plan_destroy};
use forge_engine::resource::{Desired, Resource};
use forge_engine::simulate::{Cloud, Rate, Weather};
use forge_engine::value::{Output, Value};
use serde_json::json;
use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// That of the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const SIZES: [usize; 5] = [100, 1_000, 2_000, 5_000, 10_000];

fn main() {
    let mut numbers = std::env::args().skip(1).filter_map(|argument| argument.parse().ok());
    if let Some(size) = numbers.next() {
        let times = numbers.next();
        tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime")
            .block_on(measure(size, times));
        return;
    }
    println!("Nothing to do: the journal is loaded, the world is looked at, a plan is made.");
    println!(
        "{:>9} {:>9} {:>9} {:>9} {:>9} {:>10} {:>9} {:>9} | {:>9} {:>9}",
        "resources", "load", "look", "plan", "together", "each", "more RSS", "peak RSS", "up", "destroy"
    );
    let program = std::env::current_exe().expect("this program has a path");
    for size in SIZES {
        let done = Command::new(&program).arg(size.to_string()).status().expect("it can be run again");
        assert!(done.success(), "{size} resources");
    }
}

/// Everything is measured with the world full: of `size` resources.
async fn measure(size: usize, times: Option<usize>) {
    let cloud = Cloud::new(Weather { rate: Rate { per_second: 1 << 40, burst: 1 << 40 }, ..Weather::fair() });
    let (deployment, desired) = (Deployment("scale".to_owned()), desired(size));
    let kinds = cloud.client().kinds(&aws::kinds());
    let store = MemoryStore::new();

    let up = on_processor();
    {
        let journal = open(&store, &deployment, &cloud).await;
        let (state, seen) = (journal.state(), Default::default());
        let plan = plan(&desired, &state, &seen, &kinds, &PlanOptions::default()).expect("a plan");
        assert!(carry_out(&journal, &kinds, &plan).await.is_complete());
    }
    let up = on_processor() - up;
    let directory = tempfile::tempdir().expect("a directory");
    std::fs::write(directory.path().join("journal.jsonl"), store.bytes().expect("a journal")).expect("it is written");
    tokio::time::sleep(Duration::from_secs(3600)).await;

    let figures = nothing_to_do(directory.path(), &desired, &cloud, &kinds).await;
    for _ in 0..times.unwrap_or_default() {
        let [load, look, plan] =
            nothing_to_do(directory.path(), &desired, &cloud, &kinds).await.times.map(milliseconds);
        println!("{size:>9} {load:>6.1} ms {look:>6.1} ms {plan:>6.1} ms {:>6.1} ms", load + look + plan);
    }
    if times.is_some() {
        return;
    }

    let destroy = on_processor();
    let journal = open(&store, &deployment, &cloud).await;
    let state = journal.state();
    let seen = observe(&deployment, &state, &kinds, cloud.now(), &ObserveOptions::default()).await.expect("a look");
    let all = DestroyOptions { delete_data: true, modules: None };
    let plan = plan_destroy(&deployment, &state, &seen, &kinds, &all).expect("a plan");
    assert!(carry_out(&journal, &kinds, &plan).await.is_complete());
    let destroy = on_processor() - destroy;
    assert!(cloud.objects().is_empty());

    let [load, look, plan] = figures.times;
    let together = load + look + plan;
    println!(
        "{size:>9} {:>6.1} ms {:>6.1} ms {:>6.1} ms {:>6.1} ms {:>7} ns {:>5.1} MiB {:>5.1} MiB | {:>6.2} s {:>7.2} s",
        milliseconds(load),
        milliseconds(look),
        milliseconds(plan),
        milliseconds(together),
        together.as_nanos() / size as u128,
        figures.more_mib,
        figures.peak_mib,
        up.as_secs_f64(),
        destroy.as_secs_f64(),
    );
}

struct Figures {
    times: [Duration; 3],
    /// How far resident memory rose above what it was before.
    more_mib: f64,
    /// How far it rose in all, the simulated world and all that was done before included.
    peak_mib: f64,
}

async fn nothing_to_do(directory: &Path, desired: &Desired, cloud: &Cloud, kinds: &Kinds) -> Figures {
    let before = memory_mib("VmRSS:");
    // Makes the kernel forget the peak so far.
    std::fs::write("/proc/self/clear_refs", "5").expect("the peak can be reset");
    let start = on_processor();
    let state = Journal::read(directory, &desired.deployment).expect("a journal");
    let loaded = on_processor();
    let options = ObserveOptions::default();
    let seen = observe(&desired.deployment, &state, kinds, cloud.now(), &options).await.expect("a look");
    let looked = on_processor();
    let plan = plan(desired, &state, &seen, kinds, &PlanOptions::default()).expect("a plan");
    let times = [loaded - start, looked - loaded, on_processor() - looked];
    assert!(plan.is_empty(), "{:?}", plan.changed().next());
    let peak_mib = memory_mib("VmHWM:");
    Figures { times, more_mib: peak_mib - before, peak_mib }
}

async fn open(store: &MemoryStore, deployment: &Deployment, cloud: &Cloud) -> Journal {
    Journal::over(store.clone(), deployment, cloud.clock(), Arc::new(Unguarded)).await.expect("a journal")
}

async fn carry_out(journal: &Journal, kinds: &Kinds, plan: &Plan) -> Outcome {
    let made = AtomicU64::new(journal.with_state(|state| state.serial));
    let run = Run {
        journal,
        kinds,
        sink: &|_: &Emitted| {},
        cancel: &Cancel::new(),
        limits: Limits::default(),
        guard: &Unguarded,
        new_operation: &|| OperationId(format!("{:032x}", made.fetch_add(1, Ordering::Relaxed))),
    };
    apply(plan, &run).await.expect("it is begun")
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

/// For how long this thread has run, of all there is in it to run.
fn on_processor() -> Duration {
    let statistics = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux");
    Duration::from_nanos(statistics.split(' ').next().expect("the first figure").parse().expect("a number"))
}

/// A line of what Linux says of this process's memory.
fn memory_mib(name: &str) -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("the line");
    let kib: f64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
    kib / 1024.0
}

fn desired(size: usize) -> Desired {
    let resources = (0..size).map(|n| resource(n / 10, n % 10)).collect();
    Desired { deployment: Deployment("scale".to_owned()), resources, moved: Vec::new() }
}

fn resource(network: usize, part: usize) -> Resource {
    let vpc = Value::Output(Output { address: Address::new(format!("net{network}.vpc")), name: "id".to_owned() });
    let (name, kind, spec) = match part {
        0 => ("vpc".to_owned(), "aws.vpc", json!({"cidr": "10.0.0.0/16", "tags": {"team": "scale"}})),
        1..=4 => {
            let spec = json!({"cidr": format!("10.0.{part}.0/24"), "zone": format!("us-east-1{part}")});
            (format!("subnet[{part}]"), "aws.subnet", spec)
        }
        _ => {
            let rules = json!([{"peer": {"group": "self"}}, {"peer": {"cidr": "10.0.0.0/8"}, "protocol": "tcp"}]);
            let spec = json!({"name": format!("sg-{network}-{part}"), "description": "nodes", "ingress": rules});
            (format!("group[{part}]"), "aws.security_group", spec)
        }
    };
    let Value::Map(mut fields) = Value::from(spec) else { unreachable!("a specification is a mapping") };
    if part > 0 {
        fields.insert("vpc".to_owned(), vpc);
    }
    Resource {
        address: Address::new(format!("net{network}.{name}")),
        kind: kind.to_owned(),
        spec: Value::Map(fields),
        depends_on: BTreeSet::new(),
        protect: false,
        origin: None,
    }
}
