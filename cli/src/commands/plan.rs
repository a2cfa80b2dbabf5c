use super::Setting;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::planning::{Intent, PlanArgs};
use crate::project::{BlueprintArgs, Project};
use crate::targets::{self, Account, World};
use crate::saved::Saved;
use crate::site::{look_and_plan, read_state, runtime};
use crate::view;
use crate::view::plan::Shown;
use forge_engine::forecast::forecast_at;
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    blueprint: BlueprintArgs,
    #[command(flatten)]
    plan: PlanArgs,
    /// End with exit code 3 when there is something to do
    #[arg(long)]
    check: bool,
    /// Ask the world what is there, instead of trusting what was recorded
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set, value_name = "BOOL")]
    refresh: bool,
    /// Save the plan, for `forge up --plan`
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

pub(crate) fn run(arguments: Arguments, setting: &Setting) -> Result<Exit, Failure> {
    let ui = setting.ui;
    let project = Project::find(&setting.directory, &arguments.blueprint)?;
    let (sources, expanded) = project.expand_from(ui)?;
    let home = project.home(&expanded);
    let state = read_state(&home, &expanded.name)?;
    let runtime = runtime()?;
    let (target, account) = (expanded.target, &Account::of(&expanded));
    // Without credentials a blueprint can still be planned, as long as nothing of it is there.
    let world = World::of(target, account);
    let asks = arguments.refresh && world.can_be_asked(&runtime);
    let kinds = if asks || !state.is_empty() {
        world.kinds(&home)
    } else {
        targets::kinds(target, account, &home)
    };
    let intent = Intent::of(&project, (&sources, &expanded), &state, &arguments.plan)?;
    let (name, planned) = (&intent.desired.deployment, |seen: &_| intent.plan(&state, seen, &kinds));
    let meeting = async { if asks { world.meet().await } };
    let looking = look_and_plan(name, &state, &kinds, arguments.refresh, planned);
    let (plan, ()) = runtime.block_on(async { tokio::join!(Box::pin(looking), Box::pin(meeting)) });
    let plan = plan?;
    view::plan::tell(ui, &expanded.notes);
    if !asks && arguments.refresh && state.is_empty() {
        ui.say(format!("target {target} was not asked what is there: {}; planned as for an empty one", targets::silence(target)));
    }
    let (notes, refreshed, full) = (&expanded.notes, arguments.refresh, arguments.plan.full);
    let (report, prices) = runtime.block_on(async {
        let report = async { if asks { world.preflight(&plan, expanded.state.as_deref()).await } else { None } };
        tokio::join!(Box::pin(report), Box::pin(world.prices(&kinds, &plan, asks)))
    });
    let (forecast, prices) = (&forecast_at(&plan, &kinds, &*prices.tariff), prices.source.as_deref());
    let preflight = report.as_ref();
    view::plan::print(ui, &Shown { plan: &plan, notes, refreshed, full, forecast, prices, preflight });
    let exit = if arguments.check && plan.has_changes() { Exit::Changes } else { Exit::Done };
    if let Some(file) = &arguments.out {
        Saved::new(intent, plan).write(&setting.directory.join(file))?;
        ui.say(format!("saved; carry it out with: forge up --plan {}", file.display()));
    }
    Ok(exit)
}
