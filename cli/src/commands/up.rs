use super::Setting;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::project::{BlueprintArgs, Current, Project, is_plan_only, kinds};
use crate::site::{Site, exit_of, runtime};
use crate::ui::Ui;
use crate::view;
use forge_blueprints::Expanded;
use forge_engine::plan::{Action, Plan, PlanOptions, plan};
use forge_engine::state::State;
use forge_engine::value::Value;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    blueprint: BlueprintArgs,
    /// Agree to changes that replace buckets or file systems, with everything in them
    #[arg(long)]
    delete_data: bool,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
}

pub(crate) fn run(arguments: Arguments, setting: &Setting) -> Result<Exit, Failure> {
    let ui = setting.ui;
    let project = Project::find(&setting.directory, &arguments.blueprint)?;
    let expanded = project.expand(ui)?;
    if is_plan_only(expanded.target) {
        let what = format!("target {} can be validated and planned in this version, and not put up yet", expanded.target);
        return Err(Failure::new(what).help("`forge plan` shows what it would be; --target local runs it on this machine."));
    }
    view::plan::tell(ui, &expanded.notes);
    let home = project.home(&expanded);
    let runtime = runtime()?;
    let mut current = project.current(&expanded);
    let earlier = Current::load(&project.directory)?;
    if let Some(other) = earlier.as_ref().filter(|earlier| earlier.deployment != expanded.name) {
        // `forge destroy` would no longer find that one.
        return Err(Failure::new(format!("{} is up here, and this blueprint is named {}", other.deployment, expanded.name))
            .help("Run `forge destroy` first, name it as before, or put the blueprint into a directory of its own."));
    }
    if earlier.is_none() {
        // Before the first file, so that `forge destroy` finds whatever a killed `forge up` leaves.
        current.save(&project.directory)?;
    }
    let site = Site::open(&home, &expanded.name, kinds(expanded.target, &home), "forge up")?;
    let options = PlanOptions::default();
    let planned = site.plan(|state, seen| plan(&expanded.desired, state, seen, &site.kinds, &options));
    let plan = runtime.block_on(planned)?;
    view::plan::print(ui, &plan, &expanded.notes);
    let agreed = agree(&plan, &arguments, ui);
    if !matches!(agreed, Ok(true)) {
        // What was found in the world and is to be adopted holds somebody's data: then every file stays.
        let only_new = plan.changed().all(|step| step.action == Action::Create);
        if earlier.is_none() && site.journal.state().is_empty() && only_new {
            site.close_empty()?;
            Current::forget(&project.directory)?;
        }
        agreed?;
        ui.say("nothing was done");
        return Ok(Exit::Fixable);
    }
    current.bucket = earlier.and_then(|earlier| earlier.bucket);
    current.save(&project.directory)?;
    let outcome = runtime.block_on(site.apply(&plan, ui))?;
    current.bucket = bucket(&expanded, &site.journal.state());
    current.save(&project.directory)?;
    if !ui.json {
        view::progress::summary(ui, &outcome);
        farewell(ui, &expanded, outcome.is_complete());
    }
    Ok(exit_of(&outcome))
}

/// Whether the plan is to be carried out.
fn agree(plan: &Plan, arguments: &Arguments, ui: Ui) -> Result<bool, Failure> {
    if plan.destroying_data().next().is_some() && !arguments.delete_data {
        return Err(Failure::new("this plan destroys data: see above")
            .help("If that is what you want, say --delete-data; otherwise change the blueprint back."));
    }
    if !plan.has_changes() || arguments.yes { Ok(true) } else { ui.confirm("Do it?") }
}

fn farewell(ui: Ui, expanded: &Expanded, complete: bool) {
    match (complete, expanded.jobs.first()) {
        (true, Some(job)) if expanded.jobs.len() == 1 => {
            ui.say(format!("{} is up; next: forge train   (runs {})", expanded.name, job.name));
        }
        (true, _) => ui.say(format!("{} is up", expanded.name)),
        (false, _) => {}
    }
}

/// The bucket through which the nodes of this deployment are reached.
fn bucket(expanded: &Expanded, state: &State) -> Option<String> {
    let outputs = expanded.modules.values().filter(|outputs| outputs.contains_key("workers_per_node"));
    outputs.filter_map(|outputs| outputs.get("bucket")).find_map(|bucket: &Value| {
        let known = bucket.resolve(&|output| state.output(output).cloned()).ok()?;
        known.as_str().map(str::to_owned)
    })
}
