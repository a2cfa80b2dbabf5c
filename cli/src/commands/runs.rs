use super::Setting;
use crate::bus::{Bus, RunView};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::site::runtime;
use crate::ui::{JSON_VERSION, Ui};
use forge_agent::wire::key;
use serde_json::json;
use std::path::{Path, PathBuf};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// List runs (what happens without a word)
    List,
    /// Copy what rank 0 left in FORGE_OUTPUT_DIR
    Output {
        /// The run [default: the newest]
        #[arg(long)]
        run: Option<String>,
        /// A directory that does not exist yet
        #[arg(value_name = "DIRECTORY")]
        to: PathBuf,
    },
}

pub(crate) fn run(arguments: Arguments, setting: &Setting) -> Result<Exit, Failure> {
    let bus = Bus::of(&setting.directory)?;
    if let Some(Action::Output { run, to }) = arguments.action {
        return runtime()?.block_on(output(&bus, setting, run.as_deref(), &to));
    }
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

async fn output(bus: &Bus, setting: &Setting, run: Option<&str>, directory: &Path) -> Result<Exit, Failure> {
    let target = setting.directory.join(directory);
    if target.exists() {
        return Err(Failure::new(format!("{} exists already", directory.display())).help("Nothing was overwritten."));
    }
    let run = bus.pick(run).await?.spec.run;
    let prefix = key::output(&run, "");
    let keys = bus.bucket.list(&prefix).await?;
    if keys.is_empty() {
        return Err(Failure::new(format!("{run} has left no output"))
            .help("What rank 0 writes into $FORGE_OUTPUT_DIR is kept when every worker has ended well."));
    }
    for key in &keys {
        let path = target.join(key.strip_prefix(&prefix).unwrap_or(key));
        std::fs::create_dir_all(path.parent().unwrap_or(&target))?;
        bus.bucket.get_file(key, path).await?;
    }
    if setting.ui.json {
        setting.ui.document(&json!({"v": JSON_VERSION, "output": {"run": run, "files": keys.len()}}));
    } else {
        setting.ui.data(format!("output of {run}: {} files in {}", keys.len(), target.display()));
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
