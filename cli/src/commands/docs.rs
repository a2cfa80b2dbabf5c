use super::Setting;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::file;
use crate::project::modules;
use crate::ui::{JSON_VERSION, Ui};
use forge_blueprints::{ModuleSource, Sources, reference};
use forge_engine::diag::has_errors;
use serde_json::json;
use std::path::{Path, PathBuf};

/// The page of a module, beside its `module.yaml`.
const PAGE: &str = "README.md";

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The module: the name of one that forge ships, or a directory with module.yaml [default: list them]
    module: Option<String>,
    /// Write the page of every module that forge ships to DIRECTORY/MODULE/README.md
    #[arg(long, value_name = "DIRECTORY", conflicts_with = "module")]
    write: Option<PathBuf>,
}

pub(crate) fn run(arguments: Arguments, setting: &Setting) -> Result<Exit, Failure> {
    let ui = setting.ui;
    if let Some(directory) = &arguments.write {
        write(&setting.directory.join(directory))?;
        return Ok(Exit::Done);
    }
    match &arguments.module {
        None => list(ui),
        Some(name) if name.contains('/') => own(name, setting)?,
        Some(name) => {
            let modules = modules();
            let source = modules.iter().find(|source| source.name == name).ok_or_else(|| {
                let names: Vec<_> = modules.iter().map(|source| source.name).collect();
                Failure::usage(format!("there is no module `{name}`"))
                    .help(format!("There are: {}. Write ./{name} for a directory.", names.join(", ")))
            })?;
            show(ui, source);
        }
    }
    Ok(Exit::Done)
}

fn list(ui: Ui) {
    let row = |source: &ModuleSource<'_>| vec![source.name.to_owned(), reference::description(source)];
    let rows: Vec<_> = modules().iter().map(row).collect();
    if ui.json {
        for row in rows {
            ui.document(&json!({"v": JSON_VERSION, "module": {"name": row[0], "description": row[1]}}));
        }
    } else {
        ui.table(&rows);
    }
}

fn show(ui: Ui, source: &ModuleSource<'_>) {
    let page = reference::page(source);
    if ui.json {
        ui.document(&json!({"v": JSON_VERSION, "page": {"module": source.name, "markdown": page}}));
    } else {
        ui.text(&page);
    }
}

/// A module of the user's own.
fn own(name: &str, setting: &Setting) -> Result<(), Failure> {
    let shown = Path::new(name).join("module.yaml");
    let bytes = file::read(&setting.directory.join(&shown), &shown)?;
    let (mut sources, mut findings) = (Sources::default(), Vec::new());
    let document = shown.to_string_lossy();
    let id = sources.add(&document, &bytes, &mut findings);
    if has_errors(&findings) {
        return Err(Failure::findings(sources, findings));
    }
    let text = sources.text(id).unwrap_or_default();
    show(setting.ui, &ModuleSource { name, document: &document, text });
    Ok(())
}

fn write(directory: &Path) -> Result<(), Failure> {
    for source in modules() {
        let path = directory.join(source.name).join(PAGE);
        std::fs::write(&path, reference::page(&source))
            .map_err(|error| Failure::new(format!("{} cannot be written", path.display())).because(&error))?;
    }
    Ok(())
}
