//! forge beside Terraform: the same stacks on the same emulated AWS, in turn, in one run.
//!
//! `cargo bench -p forge-tests --bench terraform -- [N] [whole=K] [speed=S] [only=reference,without-waits,groups]` measures
//! each N times (3), Terraform with the whole reference cluster K times (1, since its provider waits ten minutes for a file
//! system that goes), and prints medians. Nothing is judged here but in the tables, by the budgets of the design.
//!
//! Each run begins with a fresh account and an empty directory: plan, apply, plan again (which must find nothing to do),
//! destroy (which must leave nothing). Both keep their state in files. Nothing lies between them and the emulator, which
//! counts requests. Its states take no time (`speed=0`), so that what is measured is the tools and the emulator's
//! own work; that is shown beside.
//!
//! Terraform and its AWS provider are taken from this machine and never downloaded; without them forge is measured
//! alone. `$FORGE_TERRAFORM_PLUGINS` names the directory of the provider (the one with `registry.terraform.io` in it),
//! `$FORGE_BENCH_BINARY` another forge than the one that is built here, `$FORGE_BENCH_PYTHON` another Python for the
//! emulator than that of `.venv`.

#![allow(clippy::print_stdout, reason = "figures are what it is for")]

mod measure;
mod report;
mod stacks;
mod tools;

use forge_tests::aws::Emulator;
use measure::measure;
use report::Series;
use stacks::Stack;
use std::path::PathBuf;
use std::process::Command;
use tools::{PHASES, Tool, Tools};

/// What is asked for on the command line.
struct Asked {
    count: usize,
    whole: usize,
    speed: f64,
    only: Option<String>,
}

impl Asked {
    fn of(arguments: &[String]) -> Self {
        let value = |name: &str| arguments.iter().find_map(|argument| argument.strip_prefix(name)?.strip_prefix('='));
        let number =
            |name: &str| value(name).map(|text| text.parse().unwrap_or_else(|_| panic!("{name}={text}: no number")));
        Self {
            count: arguments.iter().find_map(|argument| argument.parse().ok()).unwrap_or(3),
            whole: number("whole").map_or(1, |whole: f64| whole as usize),
            speed: number("speed").unwrap_or(0.0),
            only: value("only").map(str::to_owned),
        }
    }

    fn stacks(&self) -> Vec<Stack> {
        let wants = |name: &str| self.only.as_ref().is_none_or(|only| only.split(',').any(|one| one == name));
        let mut stacks = Vec::new();
        stacks.extend(wants("reference").then_some(Stack::Reference));
        stacks.extend(wants("without-waits").then_some(Stack::WithoutWaits));
        if wants("groups") {
            stacks.extend([100, 500, 1000].map(Stack::Groups));
        }
        stacks
    }

    fn times(&self, tool: Tool, stack: Stack) -> usize {
        if (tool, stack) == (Tool::Terraform, Stack::Reference) { self.whole.min(self.count) } else { self.count }
    }
}

fn emulator(speed: f64) -> Emulator {
    let python = std::env::var_os("FORGE_BENCH_PYTHON").map_or_else(forge_tests::python, PathBuf::from);
    let mut command = Command::new(python);
    command.arg(Emulator::program()).args(["--port", "0", "--until-stdin-closes", "--speed", &speed.to_string()]);
    Emulator::of(command)
}

/// One run, from nothing to nothing.
fn run(tools: &Tools, emulator: &Emulator, tool: Tool, series: &mut Series) {
    emulator.reset();
    let stack = series.stack;
    let place = match tools.place(tool, stack) {
        Ok(place) => place,
        Err(reason) => return println!("{tool:?}, {}: {reason}", stack.name()),
    };
    for (phase, name) in PHASES.iter().enumerate() {
        let (command, code) = place.phase(phase);
        match measure(command, emulator, code) {
            Ok(cost) => {
                println!("{tool:?}, {}, {name}: {cost:.2?}", stack.name());
                series.add(tool, phase, cost);
            }
            Err(reason) => {
                println!("{tool:?}, {}, {name}: {reason}", stack.name());
                return series.failed(tool, phase);
            }
        }
    }
    let left: Vec<_> = emulator.dump().into_iter().filter(|held| held.lives()).collect();
    if !left.is_empty() {
        println!("{tool:?}, {}: left behind: {left:?}", stack.name());
    }
}

fn load() -> String {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    load.split(' ').take(2).collect::<Vec<_>>().join(" ")
}

fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    if !arguments.iter().any(|argument| argument == "--bench") {
        return println!("measures only under `cargo bench`");
    }
    let asked = Asked::of(&arguments);
    let emulator = emulator(asked.speed);
    let tools = Tools::find(format!("http://{}", emulator.address()));
    let peer = tools.mirror.clone().and_then(|_| Ok(tools.place(Tool::Terraform, Stack::Groups(1))?.versions()));
    if let Err(reason) = &peer {
        println!("skipped: Terraform: {reason}");
    }
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let begin = load();
    let mut all = Vec::new();
    for stack in asked.stacks() {
        let mut series = Series::new(stack);
        for turn in 0..asked.count {
            for tool in [Tool::Forge, Tool::Terraform] {
                if turn < asked.times(tool, stack) && (tool == Tool::Forge || peer.is_ok()) {
                    run(&tools, &emulator, tool, &mut series);
                }
            }
        }
        all.push(series);
    }
    println!("\n{}; {}; {cores} cores", tools.forge_version(), peer.unwrap_or_else(|_| "no Terraform".to_owned()));
    println!(
        "medians of {}, Terraform with the whole reference cluster {}; speed {} of states; state in files; load {begin}, at \
         the end {} (1, 5 minutes)",
        asked.count,
        asked.whole.min(asked.count),
        asked.speed,
        load()
    );
    println!("what nodes fetch to start with: {}", tools.agent.display());
    report::show(&all);
}
