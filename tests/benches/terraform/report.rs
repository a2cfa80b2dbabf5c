//! The tables.

use crate::measure::Cost;
use crate::stacks::Stack;
use crate::tools::{NO_OP, PHASES, Tool};

/// How many times less forge may take than Terraform, as the design has it.
#[derive(Debug, Clone, Copy)]
struct Budget {
    wall: f64,
    cpu: Option<f64>,
    mib: Option<f64>,
}

/// Of a plan that changes nothing, of the whole reference cluster.
const NO_OP_BUDGET: Budget = Budget { wall: 10.0, cpu: Some(20.0), mib: Some(10.0) };
/// Of every phase of 1,000 resources.
const MANY_BUDGET: Budget = Budget { wall: 5.0, cpu: None, mib: None };
const MANY: usize = 1000;

/// All measurements of one stack.
pub(crate) struct Series {
    pub(crate) stack: Stack,
    /// By tool and phase.
    costs: [[Vec<Cost>; PHASES.len()]; 2],
    failures: [[usize; PHASES.len()]; 2],
}

impl Series {
    pub(crate) fn new(stack: Stack) -> Self {
        Self { stack, costs: Default::default(), failures: Default::default() }
    }

    pub(crate) fn add(&mut self, tool: Tool, phase: usize, cost: Cost) {
        self.costs[tool as usize][phase].push(cost);
    }

    pub(crate) fn failed(&mut self, tool: Tool, phase: usize) {
        self.failures[tool as usize][phase] += 1;
    }

    /// The median; none when nothing was measured.
    pub(crate) fn median(&self, tool: Tool, phase: usize, of: fn(&Cost) -> f64) -> Option<f64> {
        let mut values: Vec<f64> = self.costs[tool as usize][phase].iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        let (low, high) = (values.get(values.len().saturating_sub(1) / 2)?, values.get(values.len() / 2)?);
        Some(f64::midpoint(*low, *high))
    }

    /// How many times as much Terraform takes.
    fn ratio(&self, phase: usize, of: fn(&Cost) -> f64) -> Option<f64> {
        Some(self.median(Tool::Terraform, phase, of)? / self.median(Tool::Forge, phase, of)?)
    }

    fn cell(&self, tool: Tool, phase: usize, of: fn(&Cost) -> f64, places: usize) -> String {
        let failures = self.failures[tool as usize][phase];
        let failed = if failures > 0 { format!(" ({failures} failed)") } else { String::new() };
        let value = self.median(tool, phase, of).map_or_else(|| "-".to_owned(), |value| format!("{value:.places$}"));
        format!("{value}{failed}")
    }

    fn pair(&self, phase: usize, of: fn(&Cost) -> f64, places: usize) -> String {
        let of = |tool| self.cell(tool, phase, of, places);
        format!("{} / {}", of(Tool::Forge), of(Tool::Terraform))
    }

    fn compared(&self, phase: usize, of: fn(&Cost) -> f64, places: usize) -> String {
        let ratio = self.ratio(phase, of).map_or_else(String::new, |ratio| format!(" ({})", times(ratio)));
        format!("{}{ratio}", self.pair(phase, of, places))
    }

    fn budget(&self, phase: usize) -> Option<Budget> {
        match self.stack {
            Stack::Reference if phase == NO_OP => Some(NO_OP_BUDGET),
            Stack::Groups(MANY) => Some(MANY_BUDGET),
            _ => None,
        }
    }

    fn judged(&self, phase: usize) -> String {
        let Some(Budget { wall, cpu, mib }) = self.budget(phase) else { return String::new() };
        let judge = |name: &str, wanted: Option<f64>, of: fn(&Cost) -> f64| {
            let wanted = wanted?;
            let verdict = match self.ratio(phase, of) {
                Some(ratio) if ratio >= wanted => "met",
                Some(_) => "**missed**",
                None => "not measured",
            };
            Some(format!("{name} {} {verdict}", times(wanted)))
        };
        let all = [judge("s", Some(wall), |c| c.wall), judge("CPU", cpu, |c| c.cpu), judge("MiB", mib, |c| c.mib)];
        all.into_iter().flatten().collect::<Vec<_>>().join(", ")
    }

    fn rows(&self, first: &str) {
        for (phase, name) in PHASES.iter().enumerate() {
            println!(
                "| {first}{name} | {} | {} | {} | {} | {} | {} |",
                self.compared(phase, |cost| cost.wall, 2),
                self.compared(phase, |cost| cost.cpu, 2),
                self.compared(phase, |cost| cost.mib, 0),
                self.pair(phase, |cost| cost.requests, 0),
                self.pair(phase, |cost| cost.emulator, 2),
                self.judged(phase),
            );
        }
    }
}

fn times(ratio: f64) -> String {
    if ratio < 10.0 { format!("{ratio:.1}x") } else { format!("{ratio:.0}x") }
}

/// Every table that there are measurements for.
pub(crate) fn show(all: &[Series]) {
    println!("\nEach cell: forge / Terraform (how many times as much Terraform takes).");
    for series in all.iter().filter(|series| !matches!(series.stack, Stack::Groups(_))) {
        let title = match series.stack {
            Stack::WithoutWaits => {
                "The same without FSx, its association and the lifecycle of the bucket (which forge's bucket keeps):\n\
                 what Terraform's provider waits for by the clock is left out"
            }
            _ => "The reference cluster",
        };
        println!("\n{title}\n\n| phase {HEADINGS}\n| --- {LINE}");
        series.rows("");
    }
    waits(all);
    let groups: Vec<_> = all.iter().filter(|series| matches!(series.stack, Stack::Groups(_))).collect();
    if groups.is_empty() {
        return;
    }
    println!(
        "\nSecurity groups with a rule each way, in one network\n\n| groups | phase {HEADINGS}\n| --- | --- {LINE}"
    );
    for series in &groups {
        let Stack::Groups(count) = series.stack else { continue };
        series.rows(&format!("{count} | "));
    }
    println!("\nCPU milliseconds for each group\n\n| groups | phase | forge | Terraform |\n| --- | --- | --- | --- |");
    for series in &groups {
        let Stack::Groups(count) = series.stack else { continue };
        for (phase, name) in PHASES.iter().enumerate() {
            let each = |tool| {
                let cpu = series.median(tool, phase, |cost| cost.cpu);
                cpu.map_or_else(|| "-".to_owned(), |cpu| format!("{:.2}", cpu * 1e3 / count as f64))
            };
            println!("| {count} | {name} | {} | {} |", each(Tool::Forge), each(Tool::Terraform));
        }
    }
}

const HEADINGS: &str = "| s | CPU s | MiB | requests | emulator's CPU s | budget |";
const LINE: &str = "| --- | --- | --- | --- | --- | --- |";

/// How much of Terraform's time goes by in waits that no server shortens.
fn waits(all: &[Series]) {
    let of = |stack: Stack| all.iter().find(|series| series.stack == stack);
    let (Some(whole), Some(rest)) = (of(Stack::Reference), of(Stack::WithoutWaits)) else { return };
    for phase in [1, 3] {
        let median = |series: &Series| series.median(Tool::Terraform, phase, |cost| cost.wall);
        if let (Some(whole), Some(rest)) = (median(whole), median(rest)) {
            let waits = whole - rest;
            println!(
                "\nOf Terraform's {} of the reference cluster ({whole:.0} s) {waits:.0} s ({:.0} %) are for what is left out.",
                PHASES[phase],
                100.0 * waits / whole
            );
        }
    }
}
