use super::Setting;
use crate::bus::Bus;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::site::runtime;
use crate::ui::JSON_VERSION;
use forge_agent::wire::Request;
use serde_json::json;
use std::time::{Duration, Instant};

/// The leader writes the end before workers have stopped; this is for a leader that dies in this moment.
const OVER_WITHIN: Duration = Duration::from_secs(20);

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The run [default: the newest]
    run: Option<String>,
}

pub(crate) fn run(arguments: Arguments, setting: &Setting) -> Result<Exit, Failure> {
    let bus = Bus::of(&setting.directory)?;
    let ui = setting.ui;
    runtime()?.block_on(async {
        let view = bus.pick(arguments.run.as_deref()).await?;
        let run = view.spec.run;
        let mut phase = view.state.phase;
        if !phase.is_over() {
            bus.request(&Request::Cancel { run: run.clone() }).await?;
            let start = Instant::now();
            while !phase.is_over() && start.elapsed() < OVER_WITHIN {
                tokio::time::sleep(Duration::from_millis(100)).await;
                phase = bus.state(&run).await?.phase;
            }
        }
        if ui.json {
            ui.document(&json!({"v": JSON_VERSION, "run": run, "phase": phase}));
        } else {
            ui.data(format!("{run}: {phase}"));
        }
        Ok(if phase.is_over() { Exit::Done } else { Exit::Unhealthy })
    })
}
