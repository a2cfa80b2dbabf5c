//! The plan as data: values as plain JSON, what is not known yet as `{"known_after_apply": …}`.

use forge_engine::plan::{Action, Drift, Plan, SCHEMA, Step};
use forge_engine::value::Value;
use serde_json::{Value as Json, json};

/// The plan.
pub(super) fn plan(plan: &Plan) -> Json {
    json!({
        "schema": SCHEMA, "deployment": plan.deployment, "purpose": plan.purpose, "changes": plan.has_changes(),
        "counts": plan.counts(), "drift": drift(plan), "steps": plan.steps.iter().map(step).collect::<Vec<_>>(),
        "kept": plan.kept, "left_out": plan.left_out,
    })
}

fn step(step: &Step) -> Json {
    let changes = step.changes.iter().map(|change| {
        json!({
            "field": change.field, "before": change.before.as_ref().map(plain),
            "after": change.after.as_ref().map(plain), "means": change.means,
        })
    });
    // What stays as it is, is to be what it is.
    let stays = || step.before.as_deref().filter(|_| step.action == Action::NoOp).cloned();
    let desired = step.desired.as_ref().map(plain).or_else(stays);
    json!({
        "address": step.address, "kind": step.kind, "action": step.action, "id": step.id,
        "moved_from": step.moved_from, "changes": changes.collect::<Vec<_>>(),
        "drift": step.drift.iter().map(field).collect::<Vec<_>>(), "reasons": step.reasons,
        "destroys_data": step.destroys_data, "desired": desired,
    })
}

fn field(drift: &Drift) -> Json {
    json!({"field": drift.field, "recorded": plain(&drift.recorded), "observed": plain(&drift.observed)})
}

/// What is not as it was recorded: changed by somebody else, or gone.
fn drift(plan: &Plan) -> Vec<Json> {
    let changed = plan.steps.iter().filter(|step| !step.drift.is_empty()).map(|step| {
        let fields: Vec<Json> = step.drift.iter().map(field).collect();
        json!({"address": step.address, "kind": step.kind, "id": step.id, "gone": false, "fields": fields})
    });
    let gone = plan.steps.iter().flat_map(|step| {
        let gone = |gone: &forge_engine::plan::Gone| {
            json!({"address": step.address, "kind": gone.kind, "id": gone.id, "gone": true, "fields": []})
        };
        step.gone.iter().map(gone).collect::<Vec<_>>()
    });
    changed.chain(gone).collect()
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
