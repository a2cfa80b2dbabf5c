use super::Setting;
use crate::bus::{Bus, RunView};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::site::runtime;
use crate::ui::JSON_VERSION;
use forge_agent::wire::{Cluster, Phase, Rank, Request, StepNumber};
use serde_json::json;
use std::time::Duration;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    fault: Fault,
    /// Wait until the newest run has finished this step
    #[arg(long, global = true, value_name = "STEP")]
    at_step: Option<StepNumber>,
}

#[derive(Debug, clap::Subcommand)]
enum Fault {
    /// SIGKILL to the worker of a rank
    KillWorker {
        /// The rank
        rank: Rank,
    },
    /// SIGSTOP to the worker of a rank: it lives and does nothing
    HangWorker {
        /// The rank
        rank: Rank,
    },
    /// SIGKILL to an agent and everything on its node, as if its machine lost power
    KillNode {
        /// The node [default: the last one of the running gang]
        node: Option<String>,
    },
    /// The same for the node whose agent leads
    KillLeader,
}

pub(crate) fn run(arguments: Arguments, setting: &Setting) -> Result<Exit, Failure> {
    let bus = Bus::of(&setting.directory)?;
    let ui = setting.ui;
    runtime()?.block_on(async {
        if let Some(step) = arguments.at_step {
            await_step(&bus, step).await?;
        }
        let cluster = bus.cluster().await?.ok_or_else(|| {
            Failure::new("no node leads").exit(Exit::Unhealthy).help("`forge up` brings back what is gone.")
        })?;
        let running = bus.runs().await?.into_iter().find(|run| run.state.phase == Phase::Running);
        let request = request(&arguments.fault, &cluster, running.as_ref())?;
        bus.request(&request).await?;
        if ui.json {
            ui.document(&json!({"v": JSON_VERSION, "injected": request}));
        } else {
            ui.say(match &request {
                Request::KillWorker { rank } => format!("rank {rank}: killed"),
                Request::HangWorker { rank } => format!("rank {rank}: stopped, not ended"),
                Request::KillNode { node } => format!("{node}: killed"),
                Request::KillLeader => format!("{}, which leads: killed", cluster.leader),
                Request::Cancel { run } => format!("{run}: cancelled"),
            });
        }
        Ok(Exit::Done)
    })
}

/// The fault as a request, if it can strike anything.
fn request(fault: &Fault, cluster: &Cluster, running: Option<&RunView>) -> Result<Request, Failure> {
    let rank_of_run = |rank: Rank| match running {
        None => Err(Failure::new("no run has workers now").help("`forge runs` shows where runs are.")),
        Some(run) if rank >= run.spec.world_size() => {
            let last = run.spec.world_size() - 1;
            Err(Failure::usage(format!("{} has no rank {rank}", run.spec.run)).help(format!("It has 0 to {last}.")))
        }
        Some(_) => Ok(rank),
    };
    match fault {
        Fault::KillWorker { rank } => Ok(Request::KillWorker { rank: rank_of_run(*rank)? }),
        Fault::HangWorker { rank } => Ok(Request::HangWorker { rank: rank_of_run(*rank)? }),
        Fault::KillLeader => Ok(Request::KillLeader),
        Fault::KillNode { node: None } => match running.and_then(|run| run.state.members.last()) {
            Some(node) => Ok(Request::KillNode { node: node.clone() }),
            None => Err(Failure::usage("which node? No run has a gang now").help("`forge nodes` lists them.")),
        },
        Fault::KillNode { node: Some(name) } => {
            let names: Vec<_> = cluster.nodes.iter().map(|node| node.node.0.as_str()).collect();
            if names.contains(&name.as_str()) {
                Ok(Request::KillNode { node: name.as_str().into() })
            } else {
                let there_are = format!("There are: {}.", names.join(", "));
                Err(Failure::usage(format!("there is no node {name}")).help(there_are))
            }
        }
    }
}

/// Waits until the newest run has finished a step; a run that ends before cannot be struck any more.
async fn await_step(bus: &Bus, step: StepNumber) -> Result<(), Failure> {
    loop {
        // A run that has not been handed in yet is waited for as well.
        if let Some(run) = bus.runs().await?.last() {
            let reached = run.progress.as_ref().and_then(|progress| progress.step);
            if run.state.phase.is_over() {
                return Err(Failure::new(format!("{} ended before step {step}", run.spec.run)));
            }
            if run.state.phase == Phase::Running && reached.is_some_and(|reached| reached >= step) {
                return Ok(());
            }
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
