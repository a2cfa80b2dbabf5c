//! The agent's own command line: `forge-agent …`, and `forge agent …`, which is the same.

use crate::agent::{self, Settings};
use crate::fault::chain;
use crate::fleet;
use crate::supervise::{Program, die_with, exec};
use clap::{Args, Parser, Subcommand};
use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

/// The program of a worker could not be started; as shells have it.
const NOT_FOUND: u8 = 127;

#[derive(Debug, Parser)]
#[command(name = "forge-agent", version, about = "Runs on every node of a forge cluster")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Be the agent of a node.
    Run(Run),
    /// Keep the agents of target `local` alive.
    Fleet {
        #[command(subcommand)]
        command: Fleet,
    },
    /// Become a worker's program (used by the agent itself).
    #[command(hide = true)]
    Exec {
        /// Process id of the agent.
        #[arg(long)]
        parent: u32,
        /// Program and arguments.
        #[arg(last = true, required = true)]
        command: Vec<OsString>,
    },
}

#[derive(Debug, Args)]
struct Run {
    /// Name of the node.
    #[arg(long)]
    name: String,
    /// Directory of its own.
    #[arg(long)]
    dir: PathBuf,
    /// Address of the bucket: file:///directory.
    #[arg(long)]
    bucket: String,
    /// Where peers reach this node.
    #[arg(long, default_value = "127.0.0.1")]
    address: String,
    /// Simulated accelerators.
    #[arg(long, default_value_t = 1)]
    accelerators: u32,
    /// End when this process does.
    #[arg(long)]
    parent: Option<u32>,
}

#[derive(Debug, Subcommand)]
enum Fleet {
    /// Be the fleet; ends at SIGTERM.
    Run {
        /// Directory of the fleet.
        #[arg(long)]
        dir: PathBuf,
    },
    /// End the fleet and everything that it started.
    Stop {
        /// Directory of the fleet.
        #[arg(long)]
        dir: PathBuf,
    },
    /// Print as JSON how the fleet is.
    Status {
        /// Directory of the fleet.
        #[arg(long)]
        dir: PathBuf,
    },
}

impl Settings {
    /// The arguments of `run` that mean these settings.
    #[must_use]
    pub fn arguments(&self) -> Vec<OsString> {
        let mut arguments: Vec<OsString> = Vec::new();
        let mut add = |name: &str, value: OsString| arguments.extend([OsString::from(name), value]);
        add("--name", self.name.0.clone().into());
        add("--dir", self.directory.clone().into());
        add("--bucket", self.bucket.clone().into());
        add("--address", self.address.clone().into());
        add("--accelerators", self.accelerators.to_string().into());
        arguments
    }
}

/// Runs the command line. `prefix` is what must stand before these arguments when the program starts itself again; the first
/// of `arguments` is the program's name.
#[must_use]
pub fn main(prefix: &[&str], arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            // To a closed terminal there is nobody to tell.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { 2 } else { 0 });
        }
    };
    match execute(cli.command, prefix) {
        Ok(code) => code,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "forge-agent: {}", chain(&*error));
            ExitCode::FAILURE
        }
    }
}

fn execute(command: Command, prefix: &[&str]) -> Result<ExitCode, Box<dyn std::error::Error>> {
    match command {
        Command::Exec { parent, command } => {
            let error = exec(parent, &command);
            let name = command.first().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            let _ = writeln!(std::io::stderr(), "forge-agent: {name} cannot be started: {error}");
            return Ok(ExitCode::from(NOT_FOUND));
        }
        Command::Run(run) => {
            if let Some(parent) = run.parent
                && !die_with(parent)?
            {
                return Err("the fleet has ended".into());
            }
            let settings = Settings {
                name: run.name.as_str().into(),
                directory: run.dir,
                bucket: run.bucket,
                address: run.address,
                accelerators: run.accelerators,
            };
            let program = Program::current(prefix)?;
            runtime()?.block_on(agent::run(settings, program))?;
        }
        Command::Fleet { command: Fleet::Run { dir } } => {
            let program = Program::current(prefix)?;
            runtime()?.block_on(fleet::run(&dir, program))?;
        }
        Command::Fleet { command: Fleet::Stop { dir } } => fleet::stop(&dir)?,
        Command::Fleet { command: Fleet::Status { dir } } => {
            let status = runtime()?.block_on(fleet::status(&dir))?;
            writeln!(std::io::stdout(), "{}", serde_json::to_string(&status)?)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// One thread. The kernel's promise to kill a child with its parent is bound to the *thread* that started the child;
/// with one thread that is the process.
fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    let level = tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(false).with_target(false);
    // A second call in one process keeps the first subscriber.
    let _ = level.try_init();
    tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(16).build()
}
