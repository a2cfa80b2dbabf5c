//! `forge-agent`: see [`forge_agent::command`].

use std::process::ExitCode;

fn main() -> ExitCode {
    forge_agent::command::main(&[], std::env::args_os())
}
