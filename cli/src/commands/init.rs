use super::Setting;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::project::DEFAULT_BLUEPRINT;
use std::fs::File;
use std::io::{ErrorKind, Write};

/// A cluster that runs on this machine as it is, and a job that shows where to go on.
const TEMPLATE: &str = include_str!("../../templates/blueprint.yaml");

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {}

pub(crate) fn run(_: Arguments, setting: &Setting) -> Result<Exit, Failure> {
    let path = setting.directory.join(DEFAULT_BLUEPRINT);
    let mut file = File::create_new(&path).map_err(|error| {
        let failure = Failure::new(format!("{} cannot be written", path.display())).because(&error);
        if error.kind() == ErrorKind::AlreadyExists { failure.help("It is left as it was.") } else { failure }
    })?;
    file.write_all(TEMPLATE.as_bytes())?;
    setting.ui.say(format!("wrote {DEFAULT_BLUEPRINT}; next: forge up"));
    Ok(Exit::Done)
}
