use super::Setting;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::project::{BlueprintArgs, Project};
use crate::ui::JSON_VERSION;
use forge_blueprints::resolved;
use serde_json::json;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    blueprint: BlueprintArgs,
    /// Say of every value where it comes from
    #[arg(long)]
    origin: bool,
}

pub(crate) fn run(arguments: Arguments, setting: &Setting) -> Result<Exit, Failure> {
    let ui = setting.ui;
    // As JSON, data is one document; what was found is not lost to who reads stderr.
    let (sources, expanded) = Project::find(&setting.directory, &arguments.blueprint)?.expand_from(ui.as_text())?;
    if !ui.json {
        ui.text(&resolved::yaml(&expanded, &sources, arguments.origin));
        return Ok(Exit::Done);
    }
    let mut document = json!({"v": JSON_VERSION, "blueprint": resolved::json(&expanded, &sources)});
    if arguments.origin {
        let variable = |variable: &forge_blueprints::Variable| {
            let value = variable.value.to_json();
            json!({"name": variable.name, "value": value, "origin": variable.origin, "over": variable.over})
        };
        document["variables"] = expanded.variables.iter().map(variable).collect();
    }
    ui.document(&document);
    Ok(Exit::Done)
}
