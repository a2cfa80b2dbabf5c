use super::Setting;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::project::DEFAULT_BLUEPRINT;
use crate::ui::{JSON_VERSION, Ui};
use forge_blueprints::shipped::{SHIPPED, Shipped};
use serde_json::json;
use std::fs::File;
use std::io::{ErrorKind, Write};

/// Needs nothing but this machine.
const FIRST: &Shipped = &SHIPPED[0];
/// Marks in a template what only its user can know.
const TO_DECIDE: &str = "# decide:";

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// What to begin with, of those that --list shows [default: asks, or local where nobody can be asked]
    template: Option<String>,
    /// The deployment's name
    #[arg(long)]
    name: Option<String>,
    /// List what there is to begin with
    #[arg(long)]
    list: bool,
}

pub(crate) fn run(arguments: Arguments, setting: &Setting) -> Result<Exit, Failure> {
    let ui = setting.ui;
    if arguments.list {
        list(ui);
        return Ok(Exit::Done);
    }
    let path = setting.directory.join(DEFAULT_BLUEPRINT);
    let there = || Failure::new(format!("{} is there already", path.display())).help("It is left as it was.");
    if path.symlink_metadata().is_ok() {
        // Before anything is asked.
        return Err(there());
    }
    let template = match &arguments.template {
        Some(name) => find(name)?,
        None if ui.can_ask() => choose(ui)?,
        None => FIRST,
    };
    let text = match &arguments.name {
        Some(name) => template.named(name).ok_or_else(|| {
            Failure::usage(format!("`{name}` cannot be a blueprint's name"))
                .help("Use at most 40 lower-case letters, digits and -, a letter first.")
        })?,
        None => template.text.to_owned(),
    };
    let mut file = File::create_new(&path).map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => there(),
        _ => Failure::new(format!("{} cannot be written", path.display())).because(&error),
    })?;
    file.write_all(text.as_bytes())?;
    if ui.json {
        ui.document(&json!({"v": JSON_VERSION, "written": {"file": DEFAULT_BLUEPRINT, "template": template.name}}));
    } else {
        ui.say(format!("wrote {DEFAULT_BLUEPRINT}; next: {}", next(&text)));
    }
    Ok(Exit::Done)
}

fn next(text: &str) -> String {
    match text.matches(TO_DECIDE).count() {
        0 => "forge up".to_owned(),
        count => format!("decide what is marked `decide` in it ({count}), then forge plan"),
    }
}

fn list(ui: Ui) {
    if ui.json {
        for shipped in SHIPPED {
            let template = json!({"name": shipped.name, "description": shipped.description()});
            ui.document(&json!({"v": JSON_VERSION, "template": template}));
        }
        return;
    }
    let row = |shipped: &Shipped| vec![shipped.name.to_owned(), shipped.description().to_owned()];
    ui.table(&SHIPPED.iter().map(row).collect::<Vec<_>>());
}

fn find(name: &str) -> Result<&'static Shipped, Failure> {
    SHIPPED.iter().find(|shipped| shipped.name == name).ok_or_else(|| {
        let names: Vec<_> = SHIPPED.iter().map(|shipped| shipped.name).collect();
        Failure::usage(format!("there is no template `{name}`")).help(format!("There are: {}.", names.join(", ")))
    })
}

fn choose(ui: Ui) -> Result<&'static Shipped, Failure> {
    let width = SHIPPED.iter().map(|shipped| shipped.name.len()).max().unwrap_or_default();
    for (index, shipped) in SHIPPED.iter().enumerate() {
        ui.say(format!("{:>3}  {:width$}  {}", index + 1, shipped.name, shipped.description()));
    }
    let answer = ui.ask(&format!("Which one? A number or a name [{}]", FIRST.name))?;
    if answer.is_empty() {
        return Ok(FIRST);
    }
    let by_number = answer.parse::<usize>().ok().and_then(|number| SHIPPED.get(number.checked_sub(1)?));
    by_number.map_or_else(|| find(&answer), Ok)
}
