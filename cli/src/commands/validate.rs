use super::Setting;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::project::{BlueprintArgs, Project};
use crate::ui::JSON_VERSION;
use serde_json::json;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    blueprint: BlueprintArgs,
}

pub(crate) fn run(arguments: Arguments, setting: &Setting) -> Result<Exit, Failure> {
    let expanded = Project::find(&setting.directory, &arguments.blueprint)?.expand(setting.ui)?;
    let (resources, jobs) = (expanded.desired.resources.len(), expanded.jobs.len());
    if setting.ui.json {
        setting.ui.document(&json!({"v": JSON_VERSION, "valid": {
            "name": expanded.name, "target": expanded.target.name(), "resources": resources, "jobs": jobs,
        }}));
    } else {
        let count = |count: usize, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
        setting.ui.data(format!(
            "{} is valid on target {}: {}, {}",
            expanded.name,
            expanded.target,
            count(resources, "resource"),
            count(jobs, "job")
        ));
    }
    Ok(Exit::Done)
}
