//! Correcting records: forgetting one, and recording one elsewhere.

use super::{open, record, unknown};
use crate::commands::Setting;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::project::Current;
use crate::site::runtime;
use crate::ui::JSON_VERSION;
use forge_blueprints::is_address;
use forge_engine::address::Address;
use forge_engine::kind::Recovery;
use forge_engine::resource::Moved;
use forge_engine::state::Entry;
use serde_json::json;

/// Forgets a record.
pub(super) fn rm(setting: &Setting, current: &Current, address: &str, yes: bool) -> Result<Exit, Failure> {
    let (ui, name) = (setting.ui, &current.deployment);
    let site = open(setting, current, "forge state rm")?;
    let state = site.journal.state();
    let (address, record) = record(&state, address)?;
    let tagged = site.kinds.get(&record.kind).is_none_or(|kind| kind.recovery() != Recovery::Identity);
    if !tagged {
        ui.say(format!("{address} carries no tags: once forgotten, nothing says that it belongs to {name}"));
        if !yes && !ui.confirm("Forget it?")? {
            ui.say("nothing was done");
            return Ok(Exit::Fixable);
        }
    }
    let of_it = |pending: &&forge_engine::state::Pending| {
        pending.begin.kind == record.kind && pending.begin.id.as_ref() == Some(&record.id)
    };
    let settles = state.pending.values().filter(of_it).map(|pending| pending.begin.operation.clone()).collect();
    let (kind, id) = (record.kind.clone(), record.id.clone());
    let entry = Entry::Forgotten { address: address.clone(), kind, id, settles };
    runtime()?.block_on(site.journal.append_durably(entry))?;
    if ui.json {
        let (kind, id) = (&record.kind, &record.id);
        ui.document(&json!({"v": JSON_VERSION, "forgotten": {"address": address, "kind": kind, "id": id, "tagged": tagged}}));
        return Ok(Exit::Done);
    }
    ui.data(format!("forgot {address}, which is {} {}", record.kind, record.id));
    if tagged {
        ui.say(format!("it goes on existing, and its tags still bind it to {name}:"));
        ui.say(format!("the next `forge up` takes it over again while the blueprint asks for {address}, else deletes it"));
    }
    Ok(Exit::Done)
}

/// Records what stands at an address, or in a module, elsewhere.
pub(super) fn mv(setting: &Setting, current: &Current, from: &str, to: &str) -> Result<Exit, Failure> {
    let ui = setting.ui;
    if !is_address(to) {
        return Err(Failure::usage(format!("`{to}` is no address")).help("Write one as `forge plan` does: gpus[0].fleet."));
    }
    let moved = Moved { from: Address::new(from), to: Address::new(to) };
    let site = open(setting, current, "forge state mv")?;
    let state = site.journal.state();
    let moves: Vec<(&Address, Address)> =
        state.records.keys().filter_map(|address| Some((address, moved.lead(address)?))).collect();
    if moves.is_empty() {
        return Err(unknown(&state, from));
    }
    if let Some((address, taken)) = moves.iter().find(|(_, to)| state.records.contains_key(to)) {
        return Err(Failure::new(format!("`{address}` cannot move to `{taken}`: something is recorded there"))
            .help("Move that one away first, or forget it with `forge state rm`."));
    }
    runtime()?.block_on(async {
        for (from, to) in &moves {
            let (kind, id) = (state.records[*from].kind.clone(), state.records[*from].id.clone());
            site.journal.append(Entry::Moved { from: (*from).clone(), to: to.clone(), kind, id }).await?;
        }
        site.journal.sync().await
    })?;
    if ui.json {
        let moves: Vec<_> = moves.iter().map(|(from, to)| json!({"from": from, "to": to})).collect();
        ui.document(&json!({"v": JSON_VERSION, "moved": moves}));
        return Ok(Exit::Done);
    }
    for (from, to) in &moves {
        ui.data(format!("{from} -> {to}"));
    }
    ui.say("only the record has moved; the next `forge up` makes the tags follow, if the blueprint asks for the new address");
    Ok(Exit::Done)
}
