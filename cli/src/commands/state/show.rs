//! Looking at records. Nothing is locked: another forge may be at work meanwhile.

use super::{record, state};
use crate::commands::Setting;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::project::Current;
use crate::ui::JSON_VERSION;
use forge_engine::address::Address;
use forge_engine::state::{Call, Record, State};
use serde_json::{Value as Json, json};

/// Every record, what is still to be deleted, and what was cut off.
pub(super) fn list(setting: &Setting, current: &Current) -> Result<Exit, Failure> {
    let ui = setting.ui;
    let state = state(setting, current)?;
    if ui.json {
        let record = |(address, record): (&Address, &Record)| {
            json!({"address": address, "kind": record.kind, "id": record.id, "protect": record.protect})
        };
        let superseded = state.superseded.iter().map(|old| record((&old.address, &old.record)));
        ui.document(&json!({"v": JSON_VERSION, "records": {
            "deployment": current.deployment, "serial": state.serial,
            "recorded": state.records.iter().map(record).collect::<Vec<_>>(),
            "superseded": superseded.collect::<Vec<_>>(),
            "cut_off": state.pending.values().map(|pending| &pending.begin).collect::<Vec<_>>(),
        }}));
        return Ok(Exit::Done);
    }
    let row = |(address, record): (&Address, &Record)| vec![address.to_string(), record.kind.clone(), record.id.clone()];
    ui.table(&state.records.iter().map(row).collect::<Vec<_>>());
    for old in &state.superseded {
        let (address, record) = (&old.address, &old.record);
        ui.data(format!("{address}  {}  {}  has a successor and is still to be deleted", record.kind, record.id));
    }
    for pending in state.pending.values() {
        ui.data(format!("{}  {}  cut off while {}", pending.begin.address, pending.begin.kind, doing(pending.begin.call)));
    }
    if state.is_empty() {
        ui.say(format!("nothing of {} is recorded", current.deployment));
    }
    Ok(Exit::Done)
}

fn doing(call: Call) -> &'static str {
    match call {
        Call::Create => "creating it",
        Call::Update => "updating it",
        Call::Delete => "deleting it",
    }
}

/// All that is recorded of one resource.
pub(super) fn one(setting: &Setting, current: &Current, address: &str) -> Result<Exit, Failure> {
    let ui = setting.ui;
    let state = state(setting, current)?;
    let (address, record) = record(&state, address)?;
    let above = dependents(&state, address);
    if ui.json {
        ui.document(&json!({"v": JSON_VERSION, "record": {"address": address, "record": record, "dependents": above}}));
        return Ok(Exit::Done);
    }
    let names = |names: &mut dyn Iterator<Item = &Address>| {
        let names: Vec<&str> = names.map(Address::as_str).collect();
        if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }
    };
    ui.data(format!("{address}  {}", record.kind));
    ui.data(format!("  id: {}", record.id));
    ui.data(format!("  written: {}", record.since.strftime("%Y-%m-%dT%H:%M:%SZ")));
    ui.data(format!("  made by operation: {}", record.operation));
    ui.data(format!("  protected: {}", if record.protect { "yes" } else { "no" }));
    ui.data(format!("  stands on: {}", names(&mut record.dependencies.iter())));
    ui.data(format!("  under: {}", names(&mut above.into_iter())));
    match &*record.spec {
        Json::Null => ui.data("  specification: not known; the next `forge up` finds out"),
        spec => {
            ui.data("  specification:");
            fields(spec).for_each(|line| ui.data(line));
        }
    }
    ui.data("  outputs:");
    record.outputs.iter().for_each(|(name, value)| ui.data(line(name, value)));
    Ok(Exit::Done)
}

/// What stands on an address.
fn dependents<'s>(state: &'s State, address: &Address) -> Vec<&'s Address> {
    let on_it = |(_, record): &(&Address, &Record)| record.dependencies.contains(address);
    state.records.iter().filter(on_it).map(|(address, _)| address).collect()
}

fn fields(spec: &Json) -> impl Iterator<Item = String> + '_ {
    spec.as_object().into_iter().flatten().map(|(name, value)| line(name, value))
}

fn line(name: &str, value: &Json) -> String {
    match value {
        Json::String(text) => format!("    {name}: {text}"),
        Json::Null => format!("    {name}: none"),
        other => format!("    {name}: {other}"),
    }
}
