use super::Setting;
use crate::bus::Bus;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::site::runtime;
use crate::ui::{JSON_VERSION, Ui};
use crate::view;
use forge_agent::bucket::BucketError;
use forge_agent::checkpoint::{manifest, restore};
use forge_agent::wire::{RunId, StepNumber};
use serde_json::json;
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The run [default: the newest]
    #[arg(long, global = true)]
    run: Option<String>,
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// List committed checkpoints (what happens without a word)
    List,
    /// Read every shard and compare it with its digest
    Verify,
    /// Copy a verified checkpoint into a directory, as rank-R/FILE
    Export {
        /// The step [default: the newest]
        #[arg(long)]
        step: Option<StepNumber>,
        /// A directory that does not exist yet
        #[arg(value_name = "DIRECTORY")]
        to: PathBuf,
    },
}

pub(crate) fn run(arguments: Arguments, setting: &Setting) -> Result<Exit, Failure> {
    let bus = Bus::of(&setting.directory)?;
    let ui = setting.ui;
    runtime()?.block_on(async {
        let run = bus.pick(arguments.run.as_deref()).await?.spec.run;
        match arguments.action.unwrap_or(Action::List) {
            Action::List => list(&bus, ui, &run).await,
            Action::Verify => verify(&bus, ui, &run).await,
            Action::Export { step, to } => {
                export(&bus, ui, &run, step, &setting.directory.join(to)).await
            }
        }
    })
}

async fn list(bus: &Bus, ui: Ui, run: &RunId) -> Result<Exit, Failure> {
    let mut rows = vec![["STEP", "BYTES", "SHARDS", "RANKS", "GENERATION", "COMMITTED"].map(str::to_owned).to_vec()];
    for step in manifest::committed(&*bus.bucket, run).await? {
        let manifest = manifest::load(&*bus.bucket, run, step).await?;
        if ui.json {
            ui.document(&json!({"v": JSON_VERSION, "checkpoint": manifest}));
        }
        rows.push(vec![
            step.to_string(),
            view::bytes(manifest.bytes()),
            manifest.shards.len().to_string(),
            manifest.world_size.to_string(),
            manifest.generation.to_string(),
            view::time(manifest.at),
        ]);
    }
    if !ui.json {
        ui.table(&rows);
    }
    Ok(Exit::Done)
}

async fn verify(bus: &Bus, ui: Ui, run: &RunId) -> Result<Exit, Failure> {
    let mut exit = Exit::Done;
    for step in manifest::committed(&*bus.bucket, run).await? {
        let scratch = std::env::temp_dir().join(format!("forge-verify-{}-{step}", std::process::id()));
        let result = restore::restore(&*bus.bucket, run, step, &[], &scratch).await;
        // The copy has done its work; what the system clears away later does no harm.
        let _ = std::fs::remove_dir_all(&scratch);
        let _ = std::fs::remove_dir_all(scratch.with_extension("partial"));
        let verdict = match &result {
            Ok(_) => "whole".to_owned(),
            Err(error @ (BucketError::Damaged { .. } | BucketError::Missing { .. })) => {
                exit = Exit::Unhealthy;
                error.to_string()
            }
            Err(_) => {
                result?;
                continue;
            }
        };
        if ui.json {
            ui.document(&json!({"v": JSON_VERSION, "step": step, "whole": result.is_ok(), "verdict": verdict}));
        } else {
            ui.data(format!("step {step}: {verdict}"));
        }
    }
    Ok(exit)
}

async fn export(
    bus: &Bus,
    ui: Ui,
    run: &RunId,
    step: Option<StepNumber>,
    directory: &std::path::Path,
) -> Result<Exit, Failure> {
    if directory.exists() {
        return Err(Failure::new(format!("{} exists already", directory.display())).help("Nothing was overwritten."));
    }
    let committed = manifest::committed(&*bus.bucket, run).await?;
    let step = step.or_else(|| committed.last().copied());
    let step = step.ok_or_else(|| Failure::new(format!("{run} has no checkpoint")))?;
    restore::restore(&*bus.bucket, run, step, &[], directory).await?;
    let manifest = manifest::load(&*bus.bucket, run, step).await?;
    if ui.json {
        ui.document(&json!({"v": JSON_VERSION, "exported": {"step": step, "directory": directory}}));
    } else {
        let size = view::bytes(manifest.bytes());
        ui.data(format!("step {step} of {run}: {size}, verified, in {}", directory.display()));
    }
    Ok(Exit::Done)
}
