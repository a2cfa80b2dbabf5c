//! What plans are made of: what a blueprint asks for, which part of it, and what is recorded and observed. `plan` shows
//! the result, `up` carries it out, and a saved plan is one that waits.

use crate::failure::Failure;
use crate::findings;
use crate::project::{Current, Project, target};
use crate::targets;
use forge_blueprints::{Expanded, Sources, did_you_mean};
use forge_engine::address::Address;
use forge_engine::diag::{At, Diagnostic};
use forge_engine::kind::Kinds;
use forge_engine::observe::Observations;
use forge_engine::plan::{Plan, PlanOptions, plan};
use forge_engine::resource::Desired;
use forge_engine::state::State;
use forge_engine::value::Value;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Arguments that say what a plan is to be about.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct PlanArgs {
    /// Leave everything alone but these modules and what they depend on
    #[arg(long, value_name = "MODULE", num_args = 1.., value_delimiter = ',')]
    pub(crate) only: Vec<String>,
    /// Replace this resource although nothing about it has changed
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) replace: Vec<String>,
    /// Show alike resources one by one
    #[arg(long)]
    pub(crate) full: bool,
}

/// What is to be, and how to get there.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Intent {
    /// What to remember of it.
    pub(crate) current: Current,
    pub(crate) desired: Desired,
    /// The part that it is about, where it is about a part.
    pub(crate) only: Option<BTreeSet<String>>,
    /// What is to be replaced although nothing about it has changed.
    pub(crate) replace: BTreeSet<Address>,
    /// Where the bucket through which the nodes are reached may be: the first of them that is known then.
    pub(crate) buckets: Vec<Value>,
    /// The job, when there is just one.
    pub(crate) job: Option<String>,
    /// What modules want said.
    pub(crate) notes: Vec<String>,
    /// Where each module stands in the blueprint, by name: `blueprint.yaml:6:3`.
    #[serde(default)]
    pub(crate) places: BTreeMap<String, String>,
}

impl Intent {
    /// What a blueprint asks for.
    ///
    /// # Errors
    /// When the arguments name what there is not.
    pub(crate) fn of(
        project: &Project,
        (sources, expanded): (&Sources, &Expanded),
        state: &State,
        arguments: &PlanArgs,
    ) -> Result<Self, Failure> {
        let modules = || expanded.modules.keys().map(|address| Address::new(address.as_str()));
        let resources = || expanded.desired.resources.iter().map(|resource| resource.address.clone());
        let present: Vec<Address> = modules().chain(resources()).chain(state.records.keys().cloned()).collect();
        for name in &arguments.only {
            known_name(name, &present, "module")?;
        }
        let resources: BTreeSet<Address> = resources().collect();
        for address in &arguments.replace {
            if !resources.contains(&Address::new(address.as_str())) {
                let failure = Failure::new(format!("there is no resource `{address}` to replace"));
                return Err(match did_you_mean(address, resources.iter().map(Address::as_str)) {
                    Some(help) => failure.help(help),
                    None => failure,
                });
            }
        }
        Ok(Self {
            current: project.current(expanded),
            desired: expanded.desired.clone(),
            only: (!arguments.only.is_empty()).then(|| arguments.only.iter().cloned().collect()),
            replace: arguments.replace.iter().map(|address| Address::new(address.as_str())).collect(),
            buckets: buckets(expanded),
            job: expanded.jobs.first().filter(|_| expanded.jobs.len() == 1).map(|job| job.name.clone()),
            notes: expanded.notes.clone(),
            places: places(sources, expanded),
        })
    }

    /// Refuses what cannot be put up.
    pub(crate) fn can_be_up(&self) -> Result<(), Failure> {
        targets::can_be_up(target(&self.current.target)?)
    }

    /// The plan to get there.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub(crate) fn plan(
        &self,
        state: &State,
        observations: &Observations,
        kinds: &Kinds,
    ) -> Result<Plan, Vec<Diagnostic>> {
        plan(&self.desired, state, observations, kinds, &self.options())
    }

    /// What the user asks of the plan.
    pub(crate) fn options(&self) -> PlanOptions {
        PlanOptions { replace: self.replace.clone(), only: self.only.clone() }
    }
}

/// Refuses a name that neither is the address of something nor has anything in it.
pub(crate) fn known_name(name: &str, present: &[Address], what: &str) -> Result<(), Failure> {
    if present.iter().any(|address| address.is_within(name)) {
        return Ok(());
    }
    let modules: BTreeSet<&str> = present.iter().map(Address::module).collect();
    let failure = Failure::new(format!("there is no {what} `{name}`"));
    Err(match did_you_mean(name, modules.iter().copied()) {
        Some(help) => failure.help(help),
        None => failure,
    })
}

/// Where each module stands.
fn places(sources: &Sources, expanded: &Expanded) -> BTreeMap<String, String> {
    let place = |(name, at): (&String, &At)| Some((name.clone(), findings::place(at, sources)?));
    expanded.places.iter().filter_map(place).collect()
}

/// The buckets through which the nodes of a blueprint are reached.
fn buckets(expanded: &Expanded) -> Vec<Value> {
    let outputs = expanded.modules.values().filter(|outputs| outputs.contains_key("workers_per_node"));
    outputs.filter_map(|outputs| outputs.get("bucket")).cloned().collect()
}
