//! A plan for people.

use crate::ui::{JSON_VERSION, Paint, Ui};
use forge_engine::plan::{Action, Means, Plan, Purpose, Step};
use forge_engine::value::Value;
use serde_json::{Value as Json, json};

/// Longest value that is shown whole.
const LONGEST: usize = 60;

/// Tells people what modules want said; as data it goes with the plan.
pub(crate) fn tell(ui: Ui, notes: &[String]) {
    if !ui.json {
        for note in notes {
            ui.say(format!("note: {note}"));
        }
    }
}

/// Prints the plan: as data, with what modules want said, or for people.
pub(crate) fn print(ui: Ui, plan: &Plan, notes: &[String]) {
    if ui.json {
        return ui.document(&json!({"v": JSON_VERSION, "plan": json(plan), "notes": notes}));
    }
    show(ui, plan);
}

/// Prints the plan: the changed resources with their changed fields, what destroys data on its own, what stays, a count.
fn show(ui: Ui, plan: &Plan) {
    if plan.is_empty() {
        ui.data(match plan.purpose {
            Purpose::Up => format!("{}: everything is as it should be", plan.deployment),
            Purpose::Destroy => format!("{}: there is nothing to delete", plan.deployment),
        });
    } else {
        ui.data(format!("{}:", plan.deployment));
        let width = plan.changed().map(|step| step.address.as_str().len()).max().unwrap_or_default();
        for step in plan.changed().filter(|step| !step.destroys_data) {
            show_step(ui, step, width);
        }
        if plan.destroying_data().next().is_some() {
            ui.data("  with the data that they hold:");
        }
        for step in plan.destroying_data() {
            show_step(ui, step, width);
        }
    }
    for kept in &plan.kept {
        ui.data(format!("  = {}  {}  stays: {}", kept.address, kept.kind, kept.reason));
    }
    ui.data(count(plan));
}

fn show_step(ui: Ui, step: &Step, width: usize) {
    let paint = match step.action {
        Action::Create | Action::Adopt => Paint::Good,
        Action::Delete | Action::ReplaceCreateFirst | Action::ReplaceDeleteFirst => Paint::Bad,
        Action::Update | Action::Forget | Action::NoOp => Paint::Change,
    };
    let symbol = ui.paint(paint, format!("{:>3}", step.action.symbol()));
    ui.data(format!("{symbol} {:width$}  {}{}", step.address, step.kind, reasons(step)));
    for drift in &step.drift {
        let (recorded, observed) = (value(&drift.recorded), value(&drift.observed));
        ui.data(format!("      {}: was {recorded}, somebody made it {observed}", drift.field));
    }
    for change in &step.changes {
        let before = change.before.as_ref().map(value);
        let after = change.after.as_ref().map_or_else(|| "none".to_owned(), value);
        let forces = if change.means == Means::InPlace { "" } else { "  # forces a replacement" };
        ui.data(match before {
            Some(before) => format!("      {}: {before} -> {after}{forces}", change.field),
            None => format!("      {}: {after}{forces}", change.field),
        });
    }
    if let (Action::Create, Some(Value::Map(fields))) = (step.action, &step.desired) {
        for (field, wanted) in fields.iter().filter(|(_, wanted)| **wanted != Value::Null) {
            ui.data(format!("      {field}: {}", value(wanted)));
        }
    }
}

fn reasons(step: &Step) -> String {
    if step.reasons.is_empty() { String::new() } else { format!("  ({})", step.reasons.join("; ")) }
}

/// The plan as data: values as plain JSON, what is not known yet as `{"known_after_apply": …}`.
fn json(plan: &Plan) -> Json {
    let steps = plan.steps.iter().map(|step| {
        let changes = step.changes.iter().map(|change| {
            json!({
                "field": change.field, "before": change.before.as_ref().map(plain),
                "after": change.after.as_ref().map(plain), "means": change.means,
            })
        });
        let drift = step.drift.iter().map(|drift| {
            json!({"field": drift.field, "recorded": plain(&drift.recorded), "observed": plain(&drift.observed)})
        });
        json!({
            "address": step.address, "kind": step.kind, "action": step.action, "id": step.id,
            "changes": changes.collect::<Vec<_>>(), "drift": drift.collect::<Vec<_>>(), "reasons": step.reasons,
            "destroys_data": step.destroys_data, "desired": step.desired.as_ref().map(plain),
        })
    });
    json!({
        "deployment": plan.deployment, "purpose": plan.purpose, "changes": plan.has_changes(),
        "counts": plan.counts(), "steps": steps.collect::<Vec<_>>(), "kept": plan.kept,
    })
}

fn plain(value: &Value) -> Json {
    match value {
        Value::Output(output) => json!({"known_after_apply": output.to_string()}),
        Value::Concat(parts) => json!({"known_after_apply": parts.iter().map(plain).collect::<Vec<_>>()}),
        Value::List(items) => items.iter().map(plain).collect(),
        Value::Map(entries) => Json::Object(entries.iter().map(|(key, item)| (key.clone(), plain(item))).collect()),
        known => known.to_json().unwrap_or_default(),
    }
}

/// A value on one line; what is known only after apply is shown as what it will be.
fn value(value: &Value) -> String {
    let text = match value {
        Value::Null => "none".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Number(value) => value.to_string(),
        Value::String(value) => value.clone(),
        Value::Output(output) => return format!("(known after apply: {output})"),
        Value::Concat(_) => return "(known after apply)".to_owned(),
        Value::Secret(secret) => return secret.to_string(),
        Value::List(items) => format!("[{}]", items.iter().map(self::value).collect::<Vec<_>>().join(", ")),
        Value::Map(entries) => {
            let entries = entries.iter().map(|(key, item)| format!("{key}: {}", self::value(item)));
            format!("{{{}}}", entries.collect::<Vec<_>>().join(", "))
        }
    };
    if text.chars().count() <= LONGEST {
        return text;
    }
    // The end of a path says more than its beginning.
    let end: String = text.chars().skip(text.chars().count() - (LONGEST - 1)).collect();
    format!("…{end}")
}

fn count(plan: &Plan) -> String {
    let counts = plan.counts();
    let parts = [
        (counts.create, "to create"),
        (counts.adopt, "to adopt"),
        (counts.update, "to update"),
        (counts.replace, "to replace"),
        (counts.delete, "to delete"),
        (counts.forget, "to forget"),
        (counts.unchanged, "unchanged"),
        (plan.kept.len(), "kept"),
    ];
    let parts: Vec<_> = parts.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")).collect();
    if parts.is_empty() { "0 to change".to_owned() } else { parts.join(", ") }
}
