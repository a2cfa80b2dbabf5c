//! Records made anew from the tags of what exists, for when the journal is lost or damaged. The journal that was there is
//! kept beside the new one.

use crate::commands::Setting;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::project::{Current, deployment};
use crate::turn::Turn;
use crate::site::{Site, look, read_state, runtime};
use crate::ui::{JSON_VERSION, Ui};
use forge_engine::address::Address;
use forge_engine::plan::{Rebuilt, rebuild};
use forge_engine::state::{Entry, State};
use jiff::Timestamp;
use serde_json::json;

pub(super) fn run(setting: &Setting, current: &Current, yes: bool) -> Result<Exit, Failure> {
    let (ui, name) = (setting.ui, &current.deployment);
    let home = current.home(&setting.directory);
    let kinds = current.kinds(&home)?;
    if home.bucket()?.is_some() {
        return Err(Failure::new(format!("this version cannot rebuild the state of {name} where it lies, in a shared directory"))
            .help("Move its `journal` away; the next `forge up` finds by their tags what exists."));
    }
    let owned = Turn::of("forge state rebuild", ui).take(&home)?;
    let runtime = runtime()?;
    // Nothing that is recorded counts, so everything is looked for by its tags.
    let found = runtime.block_on(look(&deployment(name), &kinds))?;
    let mut rebuilt = rebuild(&found, &kinds);
    rebuilt.state.records.values_mut().for_each(|record| record.since = Timestamp::now());
    show(ui, &rebuilt, read_state(&home, name));
    if !yes && !ui.confirm(&format!("Record this, and nothing else, of {name}?"))? {
        ui.say("nothing was done");
        return Ok(Exit::Fixable);
    }
    let (site, backup) = Site::anew(&home, name, kinds, owned)?;
    runtime.block_on(site.journal.append_durably(Entry::Snapshot(Box::new(rebuilt.state))))?;
    if let Some(backup) = backup {
        ui.say(format!("the journal that was there is kept as {}", backup.display()));
    }
    Ok(Exit::Done)
}

/// Says what was found, what stays unrecorded, and what is recorded now and was not found.
fn show(ui: Ui, rebuilt: &Rebuilt, before: Result<State, Failure>) {
    let records = &rebuilt.state.records;
    let is_found = |id: &str| {
        records.values().any(|record| record.id == id) || rebuilt.doubles.iter().any(|double| double.observed.id == id)
    };
    let lost: Vec<(Address, String, String)> = before.as_ref().map_or_else(
        |_| Vec::new(),
        |before| {
            let recorded = before.records.iter().filter(|(_, record)| !is_found(&record.id));
            recorded.map(|(address, record)| (address.clone(), record.kind.clone(), record.id.clone())).collect()
        },
    );
    if ui.json {
        let found: Vec<_> = records
            .iter()
            .map(|(address, record)| json!({"address": address, "kind": record.kind, "id": record.id}))
            .collect();
        let doubles: Vec<_> =
            rebuilt.doubles.iter().map(|double| json!({"kind": double.kind, "id": double.observed.id})).collect();
        let lost: Vec<_> =
            lost.iter().map(|(address, kind, id)| json!({"address": address, "kind": kind, "id": id})).collect();
        ui.document(&json!({"v": JSON_VERSION, "rebuilt": {"found": found, "doubles": doubles, "not_found": lost}}));
        return;
    }
    if let Err(failure) = before {
        ui.say(format!("the journal that is there cannot be read: {}", failure.chain.join(": ")));
    }
    let row = |(address, record): (&Address, &forge_engine::state::Record)| {
        vec![address.to_string(), record.kind.clone(), record.id.clone()]
    };
    ui.table(&records.iter().map(row).collect::<Vec<_>>());
    for double in &rebuilt.doubles {
        let address = double.observed.tags.as_ref().map(|tags| tags.address.to_string()).unwrap_or_default();
        let what = "stays unrecorded, for it has the same address; the next `forge up` deletes it";
        ui.data(format!("{address}  {}  {}  {what}", double.kind, double.observed.id));
    }
    for (address, kind, id) in lost {
        ui.data(format!("{address}  {kind}  {id}  is recorded now and was not found: it will be forgotten"));
    }
    let n = records.len();
    ui.data(format!("{n} found by {} tags", if n == 1 { "its" } else { "their" }));
}
