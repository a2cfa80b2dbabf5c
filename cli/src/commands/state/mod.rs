//! What forge knows of a deployment: looked at, corrected, made anew. Only records are touched here, never what they are
//! about.

mod edit;
mod rebuild;
mod show;

use super::Setting;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::project::Current;
use crate::site::{Site, read_state};
use crate::turn::Turn;
use crate::ui::JSON_VERSION;
use forge_blueprints::did_you_mean;
use forge_engine::address::Address;
use forge_engine::state::{Record, State};
use serde_json::json;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// List what is recorded
    List,
    /// Show all that is recorded of a resource
    Show {
        /// The resource
        address: String,
    },
    /// Forget a resource, which goes on existing
    Rm {
        /// The resource
        address: String,
        /// Do not ask
        #[arg(short, long)]
        yes: bool,
    },
    /// Record a resource, or all of a module, at another address
    Mv {
        /// Where it stands
        from: String,
        /// Where it is to stand
        to: String,
    },
    /// Print everything that is recorded as JSON
    Export,
    /// Make the records anew from the tags of what exists
    Rebuild {
        /// Do not ask
        #[arg(short, long)]
        yes: bool,
    },
}

pub(crate) fn run(arguments: Arguments, setting: &Setting) -> Result<Exit, Failure> {
    let current = Current::require(&setting.directory)?;
    match arguments.command {
        Verb::List => show::list(setting, &current),
        Verb::Show { address } => show::one(setting, &current, &address),
        Verb::Rm { address, yes } => edit::rm(setting, &current, &address, yes),
        Verb::Mv { from, to } => edit::mv(setting, &current, &from, &to),
        Verb::Export => {
            let state = state(setting, &current)?;
            let (deployment, target) = (&current.deployment, &current.target);
            setting.ui.document(
                &json!({"v": JSON_VERSION, "deployment": deployment, "target": target, "state": state}),
            );
            Ok(Exit::Done)
        }
        Verb::Rebuild { yes } => rebuild::run(setting, &current, yes),
    }
}

/// What is recorded, for looking.
fn state(setting: &Setting, current: &Current) -> Result<State, Failure> {
    read_state(&current.home(&setting.directory), &current.deployment)
}

/// The deployment, locked for work.
fn open(setting: &Setting, current: &Current, command: &'static str) -> Result<Site, Failure> {
    let home = current.home(&setting.directory);
    Site::open(&home, &current.deployment, current.kinds(&home)?, &Turn::of(command, setting.ui))
}

/// The record at an address.
fn record<'s>(state: &'s State, address: &str) -> Result<(&'s Address, &'s Record), Failure> {
    state.records.get_key_value(&Address::new(address)).ok_or_else(|| unknown(state, address))
}

fn unknown(state: &State, address: &str) -> Failure {
    let failure = Failure::new(format!("nothing is recorded at `{address}`"));
    match did_you_mean(address, state.records.keys().map(Address::as_str)) {
        Some(help) => failure.help(help),
        None => failure,
    }
}
