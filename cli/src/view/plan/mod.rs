//! A plan for people, and as data.
//!
//! For people: what somebody else has changed, what will be done, what destroys data, what stays, and a count. Alike
//! resources that all come or all go are one line, unless everything is asked for.

mod fold;
mod json;
mod step;

use super::alike;
use super::live::clock;
use crate::ui::{JSON_VERSION, Paint, Palette, Ui};
use crate::view::preflight;
use fold::{Row, fold};
use forge_engine::forecast::{Cost, Forecast};
use forge_engine::plan::{Action, Plan, Purpose, Step};
use forge_modules::preflight::Report;
use serde_json::{Value as Json, json};
use std::fmt::Write as _;
use std::time::Duration;

/// What is over sooner needs no forecast.
const SOON: Duration = Duration::from_secs(10);

/// The most resources of a critical path that are named.
const LONGEST_PATH: usize = 6;

/// The most resources that are named whose price is not known.
const UNKNOWN_NAMES: usize = 5;

/// A plan and how it is to be shown.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shown<'a> {
    pub(crate) plan: &'a Plan,
    /// What modules want said.
    pub(crate) notes: &'a [String],
    /// False when the world was not asked what is there.
    pub(crate) refreshed: bool,
    /// Whether alike resources are shown one by one.
    pub(crate) full: bool,
    /// What it will take and cost.
    pub(crate) forecast: &'a Forecast,
    /// Where the prices are from.
    pub(crate) prices: Option<&'a str>,
    /// What the target says of it.
    pub(crate) preflight: Option<&'a Report>,
}

/// Months have as many hours as AWS bills them with.
const HOURS_PER_MONTH: f64 = 730.0;

/// US dollars a month, of so many an hour.
pub(crate) fn by_month(usd_per_hour: f64) -> f64 {
    usd_per_hour * HOURS_PER_MONTH
}

/// Tells people what modules want said; as data it goes with the plan.
pub(crate) fn tell(ui: Ui, notes: &[String]) {
    if !ui.json {
        for note in notes {
            ui.say(format!("note: {note}"));
        }
    }
}

/// Prints the plan: as data, with what modules want said, or for people.
pub(crate) fn print(ui: Ui, shown: &Shown<'_>) {
    if ui.json { ui.document(&document(shown)) } else { ui.text(&text(shown, ui.colours())) }
}

/// The plan as one document of data.
fn document(shown: &Shown<'_>) -> Json {
    let forecast = shown.forecast;
    let mut document = json!({
        "v": JSON_VERSION, "plan": json::plan(shown.plan), "refreshed": shown.refreshed, "notes": shown.notes,
        "forecast": {
            "seconds": forecast.seconds, "critical_path": forecast.critical_path, "before": cost(&forecast.before),
            "after": cost(&forecast.after), "difference": cost(&forecast.difference), "unknown": forecast.unknown,
            "prices": shown.prices,
        },
    });
    if let Some(report) = shown.preflight {
        document["preflight"] = json!(report);
    }
    document
}

fn cost(cost: &Cost) -> Json {
    let (hour, month) = (cost.usd_per_hour, by_month(cost.usd_per_hour));
    json!({"usd_per_hour": hour, "usd_per_month": month, "unknown": cost.unknown})
}

/// The plan for people.
fn text(shown: &Shown<'_>, palette: Palette) -> String {
    let plan = shown.plan;
    let mut out = String::new();
    let mut line = |text: String| {
        let _ = writeln!(out, "{text}");
    };
    shown.preflight.iter().flat_map(|report| preflight::lines(report, shown.full, palette)).for_each(&mut line);
    if !shown.refreshed {
        line("the world was not asked what is there: this trusts what was recorded".to_owned());
    }
    drift(plan, palette).into_iter().for_each(&mut line);
    line(match (plan.is_empty(), plan.purpose) {
        (true, Purpose::Up) => format!("{}: everything is as it should be", plan.deployment),
        (true, Purpose::Destroy) => format!("{}: there is nothing to delete", plan.deployment),
        (false, _) => format!("{}:", plan.deployment),
    });
    let rows = fold(plan.changed().filter(|step| !step.destroys_data), shown.full);
    let data: Vec<Row<'_>> = plan.destroying_data().map(Row::One).collect();
    let width = rows.iter().chain(&data).map(Row::width).max().unwrap_or_default();
    rows.iter().flat_map(|row| row.lines(width, palette)).for_each(&mut line);
    if !data.is_empty() {
        line(format!("  {}", palette.paint(Paint::Bad, "with the data that they hold:")));
    }
    data.iter().flat_map(|row| row.lines(width, palette)).for_each(&mut line);
    kept(plan).into_iter().for_each(&mut line);
    if !plan.left_out.is_empty() {
        line(format!("  {} left out: this is a plan for a part", resources(plan.left_out.len())));
    }
    line(palette.paint(Paint::Strong, count(plan)));
    forecast(shown.forecast, shown.prices).into_iter().for_each(&mut line);
    out
}

/// What is not as it was recorded: changed by somebody else, or gone.
fn drift(plan: &Plan, palette: Palette) -> Vec<String> {
    let changed = |step: &&Step| !step.drift.is_empty() || !step.gone.is_empty();
    let steps: Vec<&Step> = plan.steps.iter().filter(changed).collect();
    if steps.is_empty() {
        return Vec::new();
    }
    let width = steps.iter().map(|step| step.address.as_str().len()).max().unwrap_or_default();
    let mut lines = vec![palette.paint(Paint::Change, "somebody changed this since:")];
    for step in steps {
        for gone in &step.gone {
            lines.push(format!("    {:width$}  {}  is gone; it was {}", step.address, gone.kind, gone.id));
        }
        if step.drift.is_empty() {
            continue;
        }
        lines.push(format!("    {:width$}  {}", step.address, step.kind));
        for drift in &step.drift {
            let (recorded, observed) = (step::value(&drift.recorded), step::value(&drift.observed));
            // What the plan puts back shows among its changes.
            let wanted = !step.changes.iter().any(|change| change.field == drift.field);
            let wanted = if wanted { ", which is what the blueprint asks for now" } else { "" };
            lines.push(format!("      {}: {recorded} -> {observed}{wanted}", drift.field));
        }
    }
    lines.push(String::new());
    lines
}

fn kept(plan: &Plan) -> Vec<String> {
    let width = plan.kept.iter().map(|kept| kept.address.as_str().len()).max().unwrap_or_default();
    let kinds = plan.kept.iter().map(|kept| kept.kind.len()).max().unwrap_or_default();
    let line = |kept: &forge_engine::plan::Kept| {
        format!("  = {:width$}  {:kinds$}  stays: {}", kept.address, kept.kind, kept.reason)
    };
    plan.kept.iter().map(line).collect()
}

/// How long it takes and what it costs, where that is worth a line.
fn forecast(forecast: &Forecast, prices: Option<&str>) -> Vec<String> {
    let mut lines = Vec::new();
    let duration = Duration::from_secs(forecast.seconds);
    if duration >= SOON {
        let mut path: Vec<&str> = forecast.critical_path.iter().map(|leg| leg.address.as_str()).collect();
        // The two halves of a replacement.
        path.dedup();
        let path = match path.as_slice() {
            [] => String::new(),
            [only] => format!(": {only}"),
            // The ends say where it is spent; all of it is in the JSON.
            [first, .., last] if path.len() > LONGEST_PATH => format!(": {first} -> … -> {last}"),
            path => format!(": {}", path.join(" -> ")),
        };
        lines.push(format!("takes about {}{path}", clock(duration)));
    }
    let (before, after) = (forecast.before.usd_per_hour, forecast.after.usd_per_hour);
    if before != 0.0 || after != 0.0 {
        let month = by_month(after);
        lines.push(format!(
            "costs ${before:.2} an hour now and ${after:.2} then, ${month:.2} a month{}",
            unknown(forecast)
        ));
        lines.extend(prices.map(|prices| format!("  by {prices}")));
    }
    lines
}

/// What the sum leaves out.
fn unknown(forecast: &Forecast) -> String {
    let addresses: Vec<&str> = forecast.unknown.iter().map(|address| address.as_str()).collect();
    let mut names = alike::names(&addresses);
    let more = names.len().saturating_sub(UNKNOWN_NAMES);
    names.truncate(UNKNOWN_NAMES);
    let names = names.join(", ");
    let names = if more == 0 { names } else { format!("{names} and {more} more") };
    match forecast.after.unknown {
        0 => String::new(),
        1 => format!("; the price of 1 resource is not known: {names}"),
        n => format!("; the prices of {n} resources are not known: {names}"),
    }
}

fn resources(n: usize) -> String {
    if n == 1 { "1 resource".to_owned() } else { format!("{n} resources") }
}

fn count(plan: &Plan) -> String {
    let counts = plan.counts();
    let moved = |step: &&Step| step.action == Action::Update && step.changes.is_empty() && step.moved_from.is_some();
    let moved = plan.steps.iter().filter(moved).count();
    let parts = [
        (counts.create, "to create"),
        (counts.adopt, "to adopt"),
        (counts.update - moved, "to update"),
        (moved, "moved"),
        (counts.replace, "to replace"),
        (counts.delete, "to delete"),
        (counts.forget, "to forget"),
        (counts.unchanged, "unchanged"),
        (plan.kept.len(), "kept"),
    ];
    let parts: Vec<_> = parts.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")).collect();
    if parts.is_empty() { "0 to change".to_owned() } else { parts.join(", ") }
}

#[cfg(test)]
mod tests;
