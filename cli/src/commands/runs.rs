use super::Setting;
use crate::bus::{Bus, RunView};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::site::runtime;
use crate::ui::{JSON_VERSION, Ui};
use serde_json::json;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {}

pub(crate) fn run(_: Arguments, setting: &Setting) -> Result<Exit, Failure> {
    let bus = Bus::of(&setting.directory)?;
    let runs = runtime()?.block_on(bus.runs())?;
    if setting.ui.json {
        for run in &runs {
            setting.ui.document(&json!({"v": JSON_VERSION, "run": run}));
        }
    } else {
        table(setting.ui, &runs);
    }
    Ok(Exit::Done)
}

/// The runs as a table.
pub(crate) fn table(ui: Ui, runs: &[RunView]) {
    let head = ["RUN", "PHASE", "STEP", "CHECKPOINT", "RESTARTS", "LOSS", "WHY"].map(str::to_owned).to_vec();
    let rows = runs.iter().map(|RunView { spec, state, progress }| {
        let number = |number: Option<u64>| number.map_or_else(|| "-".to_owned(), |number| number.to_string());
        let loss = progress.as_ref().and_then(|progress| progress.metrics.get("loss"));
        vec![
            spec.run.0.clone(),
            state.phase.to_string(),
            number(progress.as_ref().and_then(|progress| progress.step)),
            number(state.committed),
            state.restarts.len().to_string(),
            loss.map_or_else(|| "-".to_owned(), |loss| format!("{loss:.4}")),
            state.reason.clone(),
        ]
    });
    ui.table(&std::iter::once(head).chain(rows).collect::<Vec<_>>());
}
