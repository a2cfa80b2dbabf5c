//! How plan, apply and destroy grow with the number of resources, on a simulated cloud. `cargo bench -p forge-tests
//! --bench scale`; nothing is judged here.
//!
//! A plan without changes is measured in a process that does nothing else: it puts the world there, forgets its peak of
//! memory, and then loads the journal, looks and plans. Its parts are given as time on a processor, so that they mean the
//! same on a busy machine, all of it by the clock as well. The journal comes from another process. Apply and destroy run in
//! a third one, and are counted with what the simulated cloud needs for itself, which at a deletion looks at everything
//! that could stand on what goes. The cloud answers at once. `-- look SIZE DIRECTORY TIMES` looks at a journal that
//! `-- prepare SIZE DIRECTORY` has made, so many times: for a profiler. The resources are networks of AWS: a VPC, four
//! subnets and five security groups each.

#![allow(clippy::print_stdout, reason = "figures are what it is for")]

use forge_engine::address::{Address, Deployment, OperationId};
use forge_engine::apply::{Cancel, Limits, Outcome, Run, apply};
use forge_engine::event::Emitted;
use forge_engine::journal::{Journal, MemoryStore};
use forge_engine::kind::{Kinds, Tags};
use forge_engine::lock::Unguarded;
use forge_engine::observe::{ObserveOptions, observe};
use forge_engine::plan::{DestroyOptions, Plan, PlanOptions, plan, plan_destroy};
use forge_engine::resource::{Desired, Resource};
use forge_engine::simulate::{Cloud, Rate, Weather};
use forge_engine::state::{Entry, Record, State};
use forge_engine::value::{Output, Value};
use forge_modules::aws;
use jiff::Timestamp;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// That of the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const SIZES: [usize; 5] = [100, 1_000, 2_000, 5_000, 10_000];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let number = |at: usize| arguments.get(at).and_then(|argument| argument.parse::<usize>().ok());
    let directory = || Path::new(arguments.get(2).expect("a directory"));
    match (arguments.first().map(String::as_str), number(1)) {
        (Some("prepare"), Some(size)) => block_on(prepare(size, directory())),
        (Some("look"), Some(size)) => block_on(look(size, directory(), number(3).unwrap_or(1))),
        (Some("apply"), Some(size)) => block_on(up_and_down(size)),
        _ => table(),
    }
}

fn block_on(work: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime").block_on(work);
}

fn table() {
    println!("Nothing to do: the journal is loaded, the world is looked at, a plan is made.");
    println!(
        "{:>9} {:>9} {:>9} {:>9} {:>9} {:>10} {:>9} {:>10} | {:>9} {:>9}",
        "resources", "load", "look", "plan", "together", "each", "by clock", "memory", "up", "destroy"
    );
    let program = std::env::current_exe().expect("this program has a path");
    for size in SIZES {
        let directory = tempfile::tempdir().expect("a directory");
        for part in ["prepare", "look", "apply"] {
            let run = Command::new(&program).arg(part).arg(size.to_string()).arg(directory.path()).status();
            assert!(run.expect("it can be run again").success(), "{part} {size}");
        }
    }
}

fn cloud() -> Cloud {
    Cloud::new(Weather { rate: Rate { per_second: 1 << 40, burst: 1 << 40 }, ..Weather::fair() })
}

/// Puts everything there; what depends on what is known from the addresses. The same each time, identifiers included.
fn plant(cloud: &Cloud, desired: &Desired) -> BTreeMap<Address, Record> {
    let (real, mut records) = (aws::kinds(), BTreeMap::<Address, Record>::new());
    for (n, resource) in desired.resources.iter().enumerate() {
        let kind = real.get(&resource.kind).expect("it is of AWS");
        let id = |output: &Output| records.get(&output.address).map(|record| json!(record.id));
        let spec = kind.normalize(&resource.spec.resolve(&id).expect("networks come first")).expect("it fits");
        let operation = OperationId(format!("{n:032x}"));
        let (deployment, address) = (desired.deployment.clone(), resource.address.clone());
        let tags = Tags { deployment, address, operation: operation.clone() };
        let id = cloud.plant(kind, &spec, Some(tags)).expect("it fits");
        let record = Record {
            kind: resource.kind.clone(),
            id,
            spec: Arc::new(spec),
            outputs: Arc::default(),
            dependencies: resource.dependencies(),
            protect: false,
            operation,
            since: Timestamp::UNIX_EPOCH,
            serial: 1,
        };
        records.insert(resource.address.clone(), record);
    }
    records
}

/// Writes a journal that knows everything.
async fn prepare(size: usize, directory: &Path) {
    let (cloud, desired) = (cloud(), desired(size));
    let mut records = plant(&cloud, &desired);
    for object in cloud.objects() {
        let address = object.tags.expect("it was planted with tags").address;
        records.get_mut(&address).expect("it was planted").outputs = Arc::new(object.outputs);
    }
    let journal = Journal::open(directory, &desired.deployment, cloud.clock()).expect("a journal");
    let state = State { records: records.into_iter().collect(), ..State::default() };
    journal.append_durably(Entry::Snapshot(Box::new(state))).await.expect("it is written");
}

/// Loads the journal, looks and plans.
async fn look(size: usize, directory: &Path, times: usize) {
    let cloud = cloud();
    drop(plant(&cloud, &desired(size)));
    let kinds = cloud.client().kinds(&aws::kinds());
    tokio::time::sleep(Duration::from_secs(3600)).await;
    for _ in 0..times {
        // Makes the kernel forget the peak so far.
        std::fs::write("/proc/self/clear_refs", "5").expect("the peak can be reset");
        let before = memory_mib("VmRSS:");
        // What is desired counts in memory, and not in time: making it is the language's work.
        let desired = desired(size);
        let (clock, start) = (Instant::now(), on_processor());
        let state = Journal::read(directory, &desired.deployment).expect("a journal");
        let loaded = on_processor();
        let options = ObserveOptions::default();
        let seen = observe(&desired.deployment, &state, &kinds, cloud.now(), &options).await.expect("a look");
        let looked = on_processor();
        let plan = plan(&desired, &state, &seen, &kinds, &PlanOptions::default()).expect("a plan");
        let (planned, clock) = (on_processor(), clock.elapsed());
        assert!(plan.is_empty(), "{:?}", plan.changed().next());
        let together = planned - start;
        print!(
            "{size:>9} {:>6.1} ms {:>6.1} ms {:>6.1} ms {:>6.1} ms {:>7} ns {:>6.1} ms {:>6.1} MiB",
            milliseconds(loaded - start),
            milliseconds(looked - loaded),
            milliseconds(planned - looked),
            milliseconds(together),
            together.as_nanos() / size as u128,
            milliseconds(clock),
            memory_mib("VmHWM:") - before,
        );
        if times > 1 {
            println!();
        }
    }
}

/// Makes everything from nothing, and destroys it.
async fn up_and_down(size: usize) {
    let (cloud, desired) = (cloud(), desired(size));
    let (kinds, store) = (cloud.client().kinds(&aws::kinds()), MemoryStore::new());
    let deployment = &desired.deployment;
    let up = on_processor();
    {
        let journal = open(&store, deployment, &cloud).await;
        let (state, seen) = (journal.state(), Default::default());
        let plan = plan(&desired, &state, &seen, &kinds, &PlanOptions::default()).expect("a plan");
        assert!(carry_out(&journal, &kinds, &plan).await.is_complete());
    }
    let up = on_processor() - up;
    let destroy = on_processor();
    let journal = open(&store, deployment, &cloud).await;
    let state = journal.state();
    let seen = observe(deployment, &state, &kinds, cloud.now(), &ObserveOptions::default()).await.expect("a look");
    let all = DestroyOptions { delete_data: true, modules: None };
    let plan = plan_destroy(deployment, &state, &seen, &kinds, &all).expect("a plan");
    assert!(carry_out(&journal, &kinds, &plan).await.is_complete());
    let destroy = on_processor() - destroy;
    assert!(cloud.objects().is_empty());
    println!(" | {:>6.2} s {:>7.2} s", up.as_secs_f64(), destroy.as_secs_f64());
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
