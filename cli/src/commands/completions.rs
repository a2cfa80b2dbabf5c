use super::Setting;
use crate::exit::Exit;
use crate::failure::Failure;
use clap::CommandFactory;
use clap_complete::Shell;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The shell; its own documentation says where the script belongs
    shell: Shell,
}

pub(crate) fn run(arguments: Arguments, setting: &Setting) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut crate::Cli::command(), "forge", &mut script);
    setting.ui.text(&String::from_utf8_lossy(&script));
    Ok(Exit::Done)
}
