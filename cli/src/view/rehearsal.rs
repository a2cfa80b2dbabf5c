//! A rehearsal, for people and as data: what happened when, how long it took against what is possible, who was called
//! how often, and whether nothing is left in the end.

use super::{outcome, progress};
use crate::ui::{JSON_VERSION, Paint, Ui};
use forge_engine::event::{Emitted, Event};
use forge_engine::plan::Counts;
use forge_engine::simulate::Calls;
use forge_engine::simulate::rehearsal::{Act, Rehearsal};
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;

/// Prints it; the plan has been shown.
pub(crate) fn print(ui: Ui, rehearsal: &Rehearsal, places: &BTreeMap<String, String>, weather: &str) {
    if ui.json {
        return ui.document(&document(rehearsal, weather));
    }
    ui.data(format!("in a simulated cloud, in {weather} weather:"));
    timeline(ui, &rehearsal.up);
    ui.text(&outcome::text(&rehearsal.up.outcome, places, ui.colours()));
    summary(ui, rehearsal, places);
}

fn document(rehearsal: &Rehearsal, weather: &str) -> Json {
    json!({"v": JSON_VERSION, "rehearsal": {
        "weather": weather, "up": rehearsal.up, "critical_path_ms": millis(rehearsal), "calls": rehearsal.calls,
        "left_to_do": rehearsal.left_to_do, "destroy": rehearsal.destroy, "left_behind": rehearsal.left_behind,
        "goes_well": rehearsal.goes_well(),
    }})
}

fn millis(rehearsal: &Rehearsal) -> u64 {
    u64::try_from(rehearsal.critical_path.as_millis()).unwrap_or(u64::MAX)
}

fn timeline(ui: Ui, act: &Act) {
    for Emitted { elapsed_ms, event, .. } in &act.timeline {
        // What waits is seen from when it ends.
        if matches!(event, Event::StepProgress { .. }) {
            continue;
        }
        if let Some(line) = progress::line(event, ui.colours()) {
            ui.data(format!("  {}{line}", ui.colours().paint(Paint::Faint, stamp(*elapsed_ms))));
        }
    }
}

/// `0:31:12.3`
fn stamp(ms: u64) -> String {
    let (tenths, seconds) = (ms / 100 % 10, ms / 1000);
    format!("{}:{:02}:{:02}.{tenths}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

fn summary(ui: Ui, rehearsal: &Rehearsal, places: &BTreeMap<String, String>) {
    let Rehearsal { up, destroy, .. } = rehearsal;
    let critical = millis(rehearsal);
    let times = if critical == 0 {
        String::new()
    } else {
        format!(", {:.2} times the critical path of {}", up.took_ms as f64 / critical as f64, stamp(critical))
    };
    ui.data(format!("up: {} in {}{times}", changed(&up.outcome.done), stamp(up.took_ms)));
    for (service, calls) in &rehearsal.calls {
        ui.data(format!("  {service}: {}", told(calls)));
    }
    ui.data(match rehearsal.left_to_do {
        0 => "again: nothing to do".to_owned(),
        left => format!("again: {left} to do"),
    });
    ui.data(format!("destroy: {} in {}", changed(&destroy.outcome.done), stamp(destroy.took_ms)));
    ui.text(&outcome::text(&destroy.outcome, places, ui.colours()));
    ui.data(format!("left_behind: [{}]", rehearsal.left_behind.join(", ")));
    ui.say(if rehearsal.goes_well() {
        "all went well; nothing was touched"
    } else {
        "not everything went well; nothing was touched"
    });
}

fn changed(done: &Counts) -> String {
    let counts =
        [(done.create, "created"), (done.update, "updated"), (done.replace, "replaced"), (done.delete, "deleted")];
    let told: Vec<String> =
        counts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect();
    if told.is_empty() { "nothing done".to_owned() } else { told.join(", ") }
}

fn told(calls: &Calls) -> String {
    let by_name: Vec<String> = calls.by_name.iter().map(|(name, count)| format!("{count} {name}")).collect();
    let mut told = format!("{} calls ({})", calls.total(), by_name.join(", "));
    for (count, what) in [(calls.throttled, "throttled"), (calls.failed, "failed in passing")] {
        if count > 0 {
            told.push_str(&format!(", {count} {what}"));
        }
    }
    told
}

#[cfg(test)]
mod tests {
    #[test]
    fn stamps_are_hours_minutes_seconds() {
        assert_eq!(super::stamp(1_872_345), "0:31:12.3");
    }
}
