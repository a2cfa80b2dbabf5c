use super::Setting;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::project::{BlueprintArgs, Project, is_plan_only, kinds};
use crate::site::{look_and_plan, read_state, runtime};
use crate::view;
use forge_engine::observe::Observations;
use forge_engine::plan::{PlanOptions, plan};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    blueprint: BlueprintArgs,
    /// End with exit code 3 when there is something to do
    #[arg(long)]
    check: bool,
    /// Ask the world what is there, instead of trusting what was recorded
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set, value_name = "BOOL")]
    refresh: bool,
}

pub(crate) fn run(arguments: Arguments, setting: &Setting) -> Result<Exit, Failure> {
    let ui = setting.ui;
    let project = Project::find(&setting.directory, &arguments.blueprint)?;
    let expanded = project.expand(ui)?;
    let home = project.home(&expanded);
    let kinds = kinds(expanded.target, &home);
    let state = read_state(&home, &expanded.name)?;
    let desired = &expanded.desired;
    let options = PlanOptions::default();
    let planned = |seen: &Observations| plan(desired, &state, seen, &kinds, &options);
    let plan =
        runtime()?.block_on(look_and_plan(&desired.deployment, &state, &kinds, arguments.refresh, planned))?;
    view::plan::tell(ui, &expanded.notes);
    if is_plan_only(expanded.target) {
        let target = expanded.target;
        ui.say(format!("target {target} was not asked what is there: this version plans for it as for an empty one"));
    }
    view::plan::print(ui, &plan, &expanded.notes);
    Ok(if arguments.check && plan.has_changes() { Exit::Changes } else { Exit::Done })
}
