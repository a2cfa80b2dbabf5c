//! How close a run comes to its critical path: the reference cluster on a simulated cloud whose calls and services take as
//! long as the real ones usually do, in virtual time. `cargo bench -p forge-tests --bench reference`; nothing is judged here.
//!
//! Everything takes exactly what it usually takes, and services throttle as EC2 does.

#![allow(clippy::print_stdout, reason = "figures are what it is for")]

use forge_blueprints::{Facts, ModuleSource, Request, expand};
use forge_engine::address::OperationId;
use forge_engine::apply::{Cancel, Limits, Run, apply};
use forge_engine::event::Emitted;
use forge_engine::forecast::forecast;
use forge_engine::journal::{Journal, MemoryStore};
use forge_engine::kind::Kinds;
use forge_engine::lock::Unguarded;
use forge_engine::observe::{Observations, ObserveOptions, look_and_plan};
use forge_engine::plan::{DestroyOptions, Plan, PlanOptions, plan, plan_destroy};
use forge_engine::resource::Desired;
use forge_engine::simulate::{Cloud, Weather};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const REFERENCE: &[u8] = include_bytes!("../../blueprints/reference.yaml");

fn main() {
    let desired = reference();
    println!("{} resources", desired.resources.len());
    println!("{:>8} {:>12} {:>12} {:>6}   retries", "", "foreseen", "took", "ratio");
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime")
        .block_on(there_and_back(&desired));
}

async fn there_and_back(desired: &Desired) {
    let cloud = Cloud::new(Weather::fair());
    let kinds = cloud.client().kinds(&forge_modules::aws::kinds());
    let store = MemoryStore::new();
    let journal =
        Journal::over(store, &desired.deployment, cloud.clock(), Arc::new(Unguarded)).await.expect("a journal");
    let state = journal.state();
    let up = |seen: &Observations| plan(desired, &state, seen, &kinds, &PlanOptions::default());
    let options = ObserveOptions::default();
    let made = look_and_plan(&desired.deployment, &state, &kinds, cloud.now(), &options, up).await.expect("a plan");
    carry_out("up", &journal, &kinds, &made).await;
    // As late as anybody would destroy it: nothing is hidden any more.
    tokio::time::sleep(Duration::from_secs(3600)).await;
    let state = journal.state();
    let all = DestroyOptions { delete_data: true, modules: None };
    let destroy = |seen: &Observations| plan_destroy(&desired.deployment, &state, seen, &kinds, &all);
    let made =
        look_and_plan(&desired.deployment, &state, &kinds, cloud.now(), &options, destroy).await.expect("a plan");
    carry_out("destroy", &journal, &kinds, &made).await;
    assert!(cloud.objects().is_empty());
}

async fn carry_out(name: &str, journal: &Journal, kinds: &Kinds, plan: &Plan) {
    let foreseen = forecast(plan, kinds);
    let made = AtomicU64::new(journal.with_state(|state| state.serial));
    let retries = AtomicU64::new(0);
    let run = Run {
        journal,
        kinds,
        sink: &|emitted: &Emitted| {
            if matches!(emitted.event, forge_engine::event::Event::Retrying { .. }) {
                retries.fetch_add(1, Ordering::Relaxed);
            }
        },
        cancel: &Cancel::new(),
        limits: Limits::default(),
        guard: &Unguarded,
        new_operation: &|| OperationId(format!("{:032x}", made.fetch_add(1, Ordering::Relaxed))),
    };
    let start = tokio::time::Instant::now();
    let outcome = apply(plan, &run).await.expect("it is begun");
    let took = start.elapsed().as_secs_f64();
    assert!(outcome.is_complete(), "{outcome:?}");
    #[allow(clippy::cast_precision_loss, reason = "some thousand seconds")]
    let usual = foreseen.seconds as f64;
    let retries = retries.into_inner();
    println!("{name:>8} {usual:>10.1} s {took:>10.1} s {:>6.3}   {retries}", took / usual);
    let path = foreseen.critical_path.iter().map(|leg| format!("{} {} s", leg.address, leg.seconds));
    println!("         {}", path.collect::<Vec<_>>().join(", "));
}

/// What forge itself knows, and an agent for every architecture.
#[derive(Debug)]
struct Known;

impl Facts for Known {
    fn instance_type(&self, name: &str) -> Option<serde_json::Value> {
        forge_modules::instance_types::InstanceType::find(name).map(|known| known.facts())
    }

    fn agent_digest(&self, _architecture: &str) -> Option<String> {
        Some("0".repeat(64))
    }
}

fn reference() -> Desired {
    let modules: Vec<ModuleSource<'_>> = forge_modules::MODULES
        .iter()
        .map(|module| ModuleSource { name: module.name, document: module.document, text: module.text })
        .collect();
    let facts: Arc<dyn Facts> = Arc::new(Known);
    let request = Request {
        name: "reference.yaml",
        bytes: REFERENCE,
        environment: &[],
        var_files: &[],
        overrides: &[],
        target: None,
        modules: &modules,
        files: &|path| Err(format!("there is no {path}")),
        kinds: &|_, _| forge_modules::aws::kinds(),
        facts: &facts,
    };
    let (_, expanded, findings) = expand(&request);
    expanded.unwrap_or_else(|| panic!("{findings:?}")).desired
}
