use super::Setting;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::file;
use crate::project::DEFAULT_BLUEPRINT;
use crate::ui::JSON_VERSION;
use forge_blueprints::Sources;
use forge_blueprints::format::{Refused, format};
use serde_json::json;
use std::path::{Path, PathBuf};

/// Stands for stdin and stdout.
const STREAM: &str = "-";

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Blueprints and module.yaml files; - reads stdin and writes stdout [default: blueprint.yaml]
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Write nothing; list the files that are not laid out so, and end with exit code 1 if there are any
    #[arg(long)]
    check: bool,
}

/// What became of a file.
enum Fate {
    AsItWas,
    Changed,
}

pub(crate) fn run(arguments: Arguments, setting: &Setting) -> Result<Exit, Failure> {
    let ui = setting.ui;
    let files = if arguments.files.is_empty() { vec![PathBuf::from(DEFAULT_BLUEPRINT)] } else { arguments.files };
    let mut exit = Exit::Done;
    for file in &files {
        // One that cannot be formatted keeps no other from it.
        match one(file, arguments.check, setting) {
            Ok(Fate::Changed) if arguments.check => exit = worst(exit, Exit::Fixable),
            Ok(_) => {}
            Err(failure) => {
                ui.failure(&failure);
                exit = worst(exit, failure.exit);
            }
        }
    }
    Ok(exit)
}

fn worst(one: Exit, other: Exit) -> Exit {
    if (one as u8) < (other as u8) { other } else { one }
}

fn one(shown: &Path, check: bool, setting: &Setting) -> Result<Fate, Failure> {
    let ui = setting.ui;
    let stream = shown.as_os_str() == STREAM;
    let path = setting.directory.join(shown);
    let bytes = if stream { file::read_stdin()? } else { file::read(&path, shown)? };
    let name = if stream { "<stdin>".into() } else { shown.to_string_lossy() };
    let text = formatted(&name, &bytes)?;
    let fate = if text.as_bytes() == bytes { Fate::AsItWas } else { Fate::Changed };
    if stream && !check {
        ui.text(&text);
        return Ok(fate);
    }
    if matches!(fate, Fate::Changed) && !check {
        file::replace(&path, &text, shown)?;
    }
    if ui.json {
        let changed = matches!(fate, Fate::Changed);
        ui.document(&json!({"v": JSON_VERSION, "formatted": {"file": name, "changed": changed, "written": changed && !check}}));
    } else if matches!(fate, Fate::Changed) {
        ui.data(name);
    }
    Ok(fate)
}

fn formatted(name: &str, bytes: &[u8]) -> Result<String, Failure> {
    let mut sources = Sources::default();
    let mut findings = Vec::new();
    let document = sources.add(name, bytes, &mut findings);
    if !findings.is_empty() {
        return Err(Failure::findings(sources, findings));
    }
    match format(document, sources.text(document).unwrap_or_default()) {
        Ok(text) => Ok(text),
        Err(Refused::Findings(findings)) => Err(Failure::findings(sources, findings)),
        Err(Refused::Damaged(why)) => Err(Failure::new(format!("{name} is left as it was: {why} in the new layout"))
            .help("This is a bug in forge. Please report it with the file.")
            .exit(Exit::Bug)),
    }
}
