//! `forge`: parses the command line, runs one command, prints what it failed with.

mod bus;
mod commands;
mod exit;
mod facts;
mod failure;
mod file;
mod findings;
mod follow;
mod home;
mod interrupt;
mod pack;
mod planning;
mod project;
mod render;
mod saved;
mod site;
mod targets;
mod turn;
mod ui;
mod view;

use clap::Parser;
use commands::{Command, Setting};
use exit::Exit;
use failure::Failure;
use std::path::PathBuf;
use std::process::ExitCode;
use ui::{Colour, Ui};

/// Expansion makes and drops many small values; this takes half of the time off that the C library's needs.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Infrastructure as code for AI training clusters.
#[derive(Debug, Parser)]
#[command(name = "forge", version, arg_required_else_help = true, disable_help_subcommand = true)]
struct Cli {
    /// Print data as JSON, one document a line
    #[arg(long, global = true)]
    json: bool,
    /// Use colours: on a terminal, always, never
    #[arg(
        long,
        global = true,
        value_name = "WHEN",
        default_value = "auto",
        hide_default_value = true,
        hide_possible_values = true
    )]
    color: Colour,
    /// The directory to work in
    #[arg(short = 'C', long = "directory", global = true, value_name = "DIRECTORY")]
    directory: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

fn main() -> ExitCode {
    let mut arguments = std::env::args_os();
    // The agent's own command line, for the processes that target `local` starts.
    if std::env::args_os().nth(1).is_some_and(|first| first == "agent") {
        let program = arguments.next().into_iter();
        return forge_agent::command::main(&["agent"], program.chain(arguments.skip(1)));
    }
    std::panic::set_hook(Box::new(|panic| {
        Ui::new(false, Colour::Auto)
            .say(format!("bug in forge: {panic}\nPlease report it with the command that you ran."));
    }));
    match std::panic::catch_unwind(command_line) {
        Ok(exit) => exit,
        Err(_) => Exit::Bug.into(),
    }
}

fn command_line() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // To a closed terminal there is nobody to tell.
            let _ = error.print();
            return if error.use_stderr() { Exit::Usage } else { Exit::Done }.into();
        }
    };
    let ui = Ui::new(cli.json, cli.color);
    let directory = cli.directory.unwrap_or_else(|| PathBuf::from("."));
    let run = || {
        let directory = directory.canonicalize().map_err(|error| {
            Failure::usage(format!("{} is no directory to work in", directory.display())).because(&error)
        })?;
        cli.command.run(&Setting { ui, directory })
    };
    run()
        .unwrap_or_else(|failure| {
            ui.failure(&failure);
            failure.exit
        })
        .into()
}
