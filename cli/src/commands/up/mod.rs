mod elsewhere;

use super::Setting;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::planning::{Intent, PlanArgs};
use crate::project::{BlueprintArgs, Current, Project, target};
use crate::targets::{self, Account, World};
use crate::saved::Saved;
use crate::turn::TurnArgs;
use crate::site::{Site, exit_of, read_state, runtime};
use crate::ui::{JSON_VERSION, Ui};
use crate::view;
use crate::view::plan::Shown;
use forge_blueprints::Sources;
use forge_engine::forecast::forecast_at;
use forge_engine::plan::{Action, Plan};
use forge_engine::simulate::{Weather, rehearsal};
use forge_engine::state::State;
use forge_modules::preflight::{Report, Verdict};
use serde_json::json;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    blueprint: BlueprintArgs,
    #[command(flatten)]
    plan: PlanArgs,
    /// Carry out a plan that `forge plan --out` saved
    #[arg(
        long = "plan",
        value_name = "FILE",
        conflicts_with_all = ["blueprint", "target", "vars", "files", "only", "replace"]
    )]
    saved: Option<PathBuf>,
    /// Agree to changes that replace buckets or file systems, with everything in them
    #[arg(long)]
    delete_data: bool,
    #[command(flatten)]
    turn: TurnArgs,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
    /// Rehearse it in a simulated cloud, up and down again, touching nothing; in fair weather, or `rough` or `rough:SEED`
    #[arg(long, value_name = "WEATHER", num_args = 0..=1, require_equals = true, default_missing_value = "fair",
        conflicts_with_all = ["saved", "yes", "delete_data"])]
    simulate: Option<Sky>,
    /// Print the least that whoever does this must be allowed, as a policy for IAM, and do nothing
    #[arg(long, conflicts_with_all = ["saved", "yes", "delete_data", "simulate"])]
    print_policy: bool,
}

/// The weather in which a rehearsal takes place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sky {
    Fair,
    Rough(u64),
}

impl FromStr for Sky {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':').unwrap_or((text, "1")) {
            ("fair", _) if text == "fair" => Ok(Self::Fair),
            ("rough", seed) => seed.parse().map(Self::Rough).map_err(|_| format!("the seed {seed:?} is no number")),
            _ => Err("weather is fair, rough, or rough:SEED".to_owned()),
        }
    }
}

impl fmt::Display for Sky {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fair => f.write_str("fair"),
            Self::Rough(seed) => write!(f, "rough:{seed}"),
        }
    }
}

impl Sky {
    fn weather(self) -> Weather {
        match self {
            Self::Fair => Weather::fair(),
            Self::Rough(seed) => Weather::rough(seed),
        }
    }
}

/// What to put up, and where.
struct Work {
    directory: PathBuf,
    intent: Intent,
    /// The plan that was agreed to before, when there is one.
    saved: Option<Saved>,
    /// What to plan from when something of it cannot be had; none of a plan that was agreed to as it is.
    project: Option<Project>,
}

pub(crate) fn run(arguments: Arguments, setting: &Setting) -> Result<Exit, Failure> {
    let ui = setting.ui;
    if let Some(sky) = &arguments.simulate {
        return rehearse(&arguments, sky, setting);
    }
    if arguments.print_policy {
        return print_policy(&arguments, setting);
    }
    let Work { directory, mut intent, saved, mut project } = match &arguments.saved {
        Some(file) => from_file(&setting.directory, file)?,
        None => from_blueprint(&arguments, setting)?,
    };
    view::plan::tell(ui, &intent.notes);
    let home = intent.current.home(&directory);
    let runtime = runtime()?;
    let mut current = intent.current.clone();
    let earlier = Current::load(&directory)?;
    if let Some(other) = earlier.as_ref().filter(|earlier| earlier.deployment != current.deployment) {
        // `forge destroy` would no longer find that one.
        let (up, named) = (&other.deployment, &current.deployment);
        return Err(Failure::new(format!("{up} is up here, and this blueprint is named {named}"))
            .help("Run `forge destroy` first, name it as before, or put the blueprint into a directory of its own."));
    }
    if let Some(other) = earlier.as_ref().filter(|earlier| earlier.state != current.state) {
        let place = |state: &Option<String>| state.clone().unwrap_or_else(|| "the directory of its blueprint".to_owned());
        let (there, here) = (place(&other.state), place(&current.state));
        return Err(Failure::new(format!("the state of {} lies in {there}, and `state` now says {here}", other.deployment))
            .help("Put `state` back as it was, or run `forge destroy` first."));
    }
    if earlier.is_none() {
        // Before the first file, so that `forge destroy` finds whatever a killed `forge up` leaves.
        current.save(&directory)?;
    }
    let target = target(&current.target)?;
    targets::is_built_in(target)?;
    let world = World::of(target, &current.account);
    let site = Site::open(&home, &current.deployment, world.kinds(&home), &arguments.turn.asking("forge up", ui))?;
    let (plan, ()) = runtime.block_on(async {
        tokio::join!(Box::pin(site.plan(|state, seen| intent.plan(state, seen, &site.kinds))), Box::pin(world.meet()))
    });
    let plan = plan?;
    let report = runtime.block_on(ask_and_show(&world, &site, &intent, &plan, arguments.plan.full, ui));
    let holds = saved.map_or(Ok(()), |saved| saved.still_holds(&plan));
    let agreed = holds.and_then(|()| can_be_had(report.as_ref())).and_then(|()| agree(&plan, &arguments, ui));
    if !matches!(agreed, Ok(true)) {
        // What was found in the world and is to be adopted holds somebody's data: then every file stays.
        let only_new = plan.changed().all(|step| step.action == Action::Create);
        if earlier.is_none() && site.journal.state().is_empty() && only_new {
            site.close_empty()?;
            Current::forget(&directory)?;
        }
        agreed?;
        ui.say("nothing was done");
        return Ok(Exit::Fixable);
    }
    current.bucket = earlier.and_then(|earlier| earlier.bucket);
    current.save(&directory)?;
    let mut outcome = runtime.block_on(site.apply(&plan, ui))?;
    while let Some(next) = elsewhere::next(project.as_ref(), &outcome, &site.journal.state(), &arguments.plan, ui)? {
        if !ui.json {
            ui.tell(&view::outcome::text(&outcome, &intent.places, ui.talk_colours()));
        }
        ui.say(&next.why);
        let bucket = current.bucket.take();
        current = Current { bucket, ..next.intent.current.clone() };
        // Before anything is made by it: a killed forge goes on there, too.
        current.save(&directory)?;
        (intent, project) = (next.intent, Some(next.project));
        let plan = runtime.block_on(site.plan(|state, seen| intent.plan(state, seen, &site.kinds)))?;
        let report = runtime.block_on(ask_and_show(&world, &site, &intent, &plan, arguments.plan.full, ui));
        if !can_be_had(report.as_ref()).and_then(|()| agree(&plan, &arguments, ui))? {
            break;
        }
        outcome = runtime.block_on(site.apply(&plan, ui))?;
    }
    // What another has written down by now is not ours to change.
    if outcome.fenced.is_none() {
        current.bucket = bucket(&intent, &site.journal.state());
        current.save(&directory)?;
    }
    if !ui.json {
        ui.tell(&view::outcome::text(&outcome, &intent.places, ui.talk_colours()));
        farewell(ui, &intent, outcome.is_complete());
    }
    Ok(exit_of(&outcome))
}

/// Asks the target whether the plan can be had and what it costs, and shows all of it.
async fn ask_and_show(world: &World, site: &Site, intent: &Intent, plan: &Plan, full: bool, ui: Ui) -> Option<Report> {
    let (report, prices) = tokio::join!(
        Box::pin(world.preflight(plan, intent.current.state.as_deref())),
        Box::pin(world.prices(&site.kinds, plan, true)),
    );
    let (forecast, prices) = (&forecast_at(plan, &site.kinds, &*prices.tariff), prices.source.as_deref());
    let (notes, preflight) = (&intent.notes, report.as_ref());
    view::plan::print(ui, &Shown { plan, notes, refreshed: true, full, forecast, prices, preflight });
    report
}

/// Refuses what the target would refuse, all of it at once and before anything is made.
fn can_be_had(report: Option<&Report>) -> Result<(), Failure> {
    let refused = report.map_or(0, |report| report.count(Verdict::Refused));
    let what = match refused {
        0 => return Ok(()),
        1 => "the target would refuse a part of this plan: see above".to_owned(),
        n => format!("the target would refuse {n} parts of this plan: see above"),
    };
    Err(Failure::new(what).help("Nothing was begun. Do what is said there, then run the same command again."))
}

/// What whoever puts this up must be allowed. Needs no credentials.
fn print_policy(arguments: &Arguments, setting: &Setting) -> Result<Exit, Failure> {
    let ui = setting.ui;
    let expanded = Project::find(&setting.directory, &arguments.blueprint)?.expand(ui)?;
    let policies = targets::policies(&expanded)?;
    if policies.len() > 1 {
        let count = policies.len();
        ui.say(format!("it is longer than IAM lets one policy be, so it is {count}: attach all of them"));
    }
    for policy in &policies {
        if ui.json {
            ui.document(&json!({"v": JSON_VERSION, "policy": policy}));
        } else {
            ui.data(serde_json::to_string_pretty(policy)?);
        }
    }
    Ok(Exit::Done)
}

/// Plays the whole life of a blueprint in an empty cloud. No lock, no file: nothing is there afterwards.
fn rehearse(arguments: &Arguments, sky: &Sky, setting: &Setting) -> Result<Exit, Failure> {
    let ui = setting.ui;
    let project = Project::find(&setting.directory, &arguments.blueprint)?;
    let (sources, expanded) = project.expand_from(ui)?;
    let intent = Intent::of(&project, (&sources, &expanded), &State::default(), &arguments.plan)?;
    view::plan::tell(ui, &intent.notes);
    let kinds = targets::kinds(expanded.target, &Account::of(&expanded), &project.home(&expanded));
    let rehearsal = rehearsal::rehearse(&intent.desired, &kinds, &intent.options(), sky.weather())
        .map_err(|findings| Failure::findings(Sources::default(), findings))?;
    let (plan, notes, full) = (&rehearsal.plan, &intent.notes, arguments.plan.full);
    let prices = runtime()?.block_on(World::of(expanded.target, &Account::of(&expanded)).prices(&kinds, plan, false));
    let (forecast, prices) = (&forecast_at(plan, &kinds, &*prices.tariff), prices.source.as_deref());
    view::plan::print(ui, &Shown { plan, notes, refreshed: true, full, forecast, prices, preflight: None });
    view::rehearsal::print(ui, &rehearsal, &intent.places, &sky.to_string());
    Ok(if rehearsal.goes_well() { Exit::Done } else { Exit::Partial })
}

fn from_blueprint(arguments: &Arguments, setting: &Setting) -> Result<Work, Failure> {
    let project = Project::find(&setting.directory, &arguments.blueprint)?;
    let (sources, expanded) = project.expand_from(setting.ui)?;
    targets::can_be_up(expanded.target)?;
    let state = read_state(&project.home(&expanded), &expanded.name)?;
    let intent = Intent::of(&project, (&sources, &expanded), &state, &arguments.plan)?;
    Ok(Work { directory: project.directory.clone(), intent, saved: None, project: Some(project) })
}

fn from_file(directory: &Path, file: &Path) -> Result<Work, Failure> {
    let saved = Saved::read(&directory.join(file), file)?;
    saved.intent.can_be_up()?;
    let blueprint = &saved.intent.current.blueprint;
    if !directory.join(blueprint).exists() {
        return Err(Failure::new(format!("the plan is for {blueprint}, which is not in {}", directory.display()))
            .help("Run this in the blueprint's directory, or name that with -C."));
    }
    Ok(Work { directory: directory.to_owned(), intent: saved.intent.clone(), saved: Some(saved), project: None })
}

/// Whether the plan is to be carried out.
fn agree(plan: &Plan, arguments: &Arguments, ui: Ui) -> Result<bool, Failure> {
    if plan.destroying_data().next().is_some() && !arguments.delete_data {
        return Err(Failure::new("this plan destroys data: see above")
            .help("If that is what you want, say --delete-data; otherwise change the blueprint back."));
    }
    if !plan.has_changes() || arguments.yes { Ok(true) } else { ui.confirm("Do it?") }
}

fn farewell(ui: Ui, intent: &Intent, complete: bool) {
    let name = &intent.current.deployment;
    match (complete, &intent.job) {
        (true, Some(job)) => ui.say(format!("{name} is up; next: forge train   (runs {job})")),
        (true, None) => ui.say(format!("{name} is up")),
        (false, _) => {}
    }
}

/// The bucket through which the nodes of this deployment are reached.
fn bucket(intent: &Intent, state: &State) -> Option<String> {
    intent.buckets.iter().find_map(|bucket| {
        let known = bucket.resolve(&|output| state.output(output).cloned()).ok()?;
        known.as_str().map(str::to_owned)
    })
}
