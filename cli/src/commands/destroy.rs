use super::Setting;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::planning::known_name;
use crate::project::{Current, target};
use crate::targets::World;
use crate::turn::TurnArgs;
use crate::site::{Site, exit_of, runtime};
use crate::view;
use crate::view::plan::Shown;
use forge_engine::address::Address;
use forge_engine::forecast::forecast_at;
use forge_engine::observe::Observations;
use forge_engine::plan::{DestroyOptions, plan_destroy};
use forge_engine::state::State;
use std::cell::RefCell;
use std::collections::BTreeMap;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Only these modules, and what depends on them
    modules: Vec<String>,
    /// Show alike resources one by one
    #[arg(long)]
    full: bool,
    /// Delete buckets and file systems too, with everything in them
    #[arg(long)]
    delete_data: bool,
    #[command(flatten)]
    turn: TurnArgs,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
}

pub(crate) fn run(arguments: Arguments, setting: &Setting) -> Result<Exit, Failure> {
    let ui = setting.ui;
    let Some(current) = Current::load(&setting.directory)? else {
        Current::clear_away(&setting.directory);
        ui.say(format!("nothing is up in {}", setting.directory.display()));
        return Ok(Exit::Done);
    };
    let home = current.home(&setting.directory);
    let runtime = runtime()?;
    let site = Site::open(&home, &current.deployment, current.kinds(&home)?, &arguments.turn.asking("forge destroy", ui))?;
    let everything = arguments.modules.is_empty();
    let options = DestroyOptions {
        delete_data: arguments.delete_data,
        modules: (!everything).then(|| arguments.modules.iter().cloned().collect()),
    };
    let deployment = site.journal.deployment().clone();
    let seen_at = RefCell::new(Vec::new());
    let planned = site.plan(|state, seen| {
        *seen_at.borrow_mut() = present(state, seen);
        plan_destroy(&deployment, state, seen, &site.kinds, &options)
    });
    let plan = runtime.block_on(planned)?;
    for name in &arguments.modules {
        known_name(name, &seen_at.borrow(), "module")?;
    }
    let prices = runtime.block_on(World::of(target(&current.target)?, &current.account).prices(&site.kinds, &plan, false));
    let (full, forecast) = (arguments.full, &forecast_at(&plan, &site.kinds, &*prices.tariff));
    let prices = prices.source.as_deref();
    view::plan::print(ui, &Shown { plan: &plan, notes: &[], refreshed: true, full, forecast, prices, preflight: None });
    if plan.has_changes() && !arguments.yes && !ui.confirm("Delete it?")? {
        ui.say("nothing was done");
        return Ok(Exit::Fixable);
    }
    let outcome = runtime.block_on(site.apply(&plan, ui))?;
    let exit = exit_of(&outcome);
    let state = site.journal.state();
    if everything && outcome.is_complete() && state.is_empty() && plan.kept.is_empty() {
        site.close_empty()?;
        Current::forget(&setting.directory)?;
    }
    if !ui.json {
        ui.tell(&view::outcome::text(&outcome, &BTreeMap::new(), ui.talk_colours()));
        if let Some(left) = &outcome.left_behind {
            let left: Vec<_> = left.iter().map(|left| format!("{} ({} {})", left.address, left.kind, left.id)).collect();
            ui.data(format!("left_behind: [{}]", left.join(", ")));
        }
        if !plan.kept.is_empty() {
            ui.say("what holds data stays; forge destroy --delete-data deletes that as well");
        }
    }
    Ok(exit)
}

/// The address of everything that is recorded, begun, or found by its tags.
fn present(state: &State, observations: &Observations) -> Vec<Address> {
    let superseded = state.superseded.iter().map(|old| old.address.clone());
    let begun = state.pending.values().map(|pending| pending.begin.address.clone());
    let found = observations.found.iter().filter_map(|found| Some(found.observed.tags.as_ref()?.address.clone()));
    state.records.keys().cloned().chain(superseded).chain(begun).chain(found).collect()
}
