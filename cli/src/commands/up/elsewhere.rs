//! Nodes that found no capacity look for it elsewhere: in the next zone, or paid in the next way that the blueprint lists.
//!
//! Apply decides nothing, here either: it has failed, and says so. What comes next the blueprint's modules say, which
//! know how often there was none (`module.attempt`); that makes another plan, which is shown and carried out like the first.
//! How often it was is remembered with the deployment before the next plan begins, so that a later `forge up` stays where nodes were found.
//! When the modules want the same again, all that they list has been tried.

use crate::failure::Failure;
use crate::planning::{Intent, PlanArgs};
use crate::project::Project;
use crate::targets;
use crate::ui::Ui;
use forge_blueprints::Expanded;
use forge_engine::address::Address;
use forge_engine::apply::Outcome;
use forge_engine::state::State;
use forge_engine::value::Value;
use std::collections::BTreeSet;

/// What to do after there was no capacity.
pub(super) struct Next {
    pub(super) project: Project,
    pub(super) intent: Intent,
    /// Why, for people.
    pub(super) why: String,
}

/// What to do after a run; none when it lacked no capacity, was stopped, or all has been tried.
pub(super) fn next(
    project: Option<&Project>,
    outcome: &Outcome,
    state: &State,
    arguments: &PlanArgs,
    ui: Ui,
) -> Result<Option<Next>, Failure> {
    let Some(project) = project.filter(|_| !outcome.interrupted && outcome.fenced.is_none()) else { return Ok(None) };
    let lacking: Vec<&Address> = lacking(outcome).collect();
    if lacking.is_empty() {
        return Ok(None);
    }
    // Its warnings have been shown.
    let (_, before, _) = project.check()?;
    let Some(before) = before else { return Ok(None) };
    let modules: BTreeSet<String> = lacking.iter().filter_map(|address| module_of(&before, address)).collect();
    let names: Vec<&str> = modules.iter().map(String::as_str).collect();
    let names = names.join(", ");
    let project = project.after(&modules);
    let (sources, after, _) = project.check()?;
    let Some(after) = after.filter(|after| wanted(&before, &modules) != wanted(after, &modules)) else {
        ui.say(format!("no capacity for {names}, and all that the blueprint lists has been tried"));
        return Ok(None);
    };
    let why = format!("no capacity for {names}: going on with what the blueprint lists next");
    let intent = Intent::of(&project, (&sources, &after), state, arguments)?;
    Ok(Some(Next { project, intent, why }))
}

/// What failed for want of capacity.
fn lacking(outcome: &Outcome) -> impl Iterator<Item = &Address> {
    let lacking = outcome.failed.iter().filter(|failure| targets::lacks_capacity(&failure.chain));
    lacking.map(|failure| &failure.address)
}

/// The innermost module that a resource is in.
fn module_of(expanded: &Expanded, address: &Address) -> Option<String> {
    expanded.modules.keys().filter(|module| address.is_within(module)).max_by_key(|module| module.len()).cloned()
}

/// What these modules want.
fn wanted<'e>(expanded: &'e Expanded, modules: &BTreeSet<String>) -> Vec<(&'e Address, &'e Value)> {
    let within = |address: &Address| modules.iter().any(|module| address.is_within(module));
    let resources = expanded.desired.resources.iter().filter(|resource| within(&resource.address));
    resources.map(|resource| (&resource.address, &resource.spec)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::project::BlueprintArgs;
    use crate::ui::Colour;
    use forge_engine::apply::Failure as Failed;
    use forge_engine::plan::Action;
    use std::path::{Path, PathBuf};

    const BLUEPRINT: &str = "
forge: v1
name: llama
target: aws
aws: { region: us-west-2 }
modules:
  network: { use: vpc, with: { zones: 2 } }
  data: { use: s3 }
  gpus: { use: gpu-nodes, with: { instance_type: p4d.24xlarge, count: 2, capacity: [on-demand, spot] } }
jobs: { train: { nodes: \"${gpus}\", command: [\"true\"] } }
";

    fn project(directory: &Path) -> Project {
        std::fs::write(directory.join("blueprint.yaml"), BLUEPRINT).unwrap();
        let arguments = BlueprintArgs { blueprint: Some(PathBuf::from("blueprint.yaml")), ..BlueprintArgs::default() };
        Project::find(directory, &arguments).unwrap()
    }

    fn failed(address: &str, why: &str) -> Outcome {
        let failure = Failed {
            address: Address::new(address),
            kind: "aws.autoscaling_group".to_owned(),
            action: Action::Create,
            chain: vec![format!("it exists, but has failed: {why}")],
            help: None,
            blockers: Vec::new(),
        };
        Outcome { failed: vec![failure], ..Outcome::default() }
    }

    /// Which group has nodes, and in which subnet.
    fn choice(project: &Project) -> String {
        let (_, expanded, _) = project.check().unwrap();
        let expanded = expanded.unwrap();
        let groups = expanded.desired.resources.iter().filter(|resource| resource.kind == "aws.autoscaling_group");
        let of = |field: &str, spec: &Value| match spec {
            Value::Map(fields) => fields.get(field).cloned(),
            _ => None,
        };
        let mut used = groups.filter(|group| of("desired", &group.spec) != Some(Value::Number(0.into())));
        let group = used.next().unwrap();
        assert!(used.next().is_none());
        let place = match of("subnets", &group.spec) {
            Some(Value::List(subnets)) => format!("{:?}", subnets[0]),
            other => format!("{other:?}"),
        };
        let place = place.split("network.").nth(1).and_then(|rest| rest.split('"').next()).unwrap_or_default().to_owned();
        format!("{} in {place}", group.address)
    }

    #[test]
    fn every_zone_and_then_every_way_of_paying_is_tried_once() {
        let directory = tempfile::tempdir().unwrap();
        let mut project = project(&directory.path().canonicalize().unwrap());
        let ui = Ui::new(false, Colour::Never);
        let mut tried = vec![choice(&project)];
        let ice = "Could not launch On-Demand Instances. InsufficientInstanceCapacity - We currently do not have sufficient capacity";
        let go_on = |project: &Project, why: &str| {
            let outcome = failed("gpus.pool.instances[0]", why);
            next(Some(project), &outcome, &State::default(), &PlanArgs::default(), ui).unwrap()
        };
        while let Some(next) = go_on(&project, ice) {
            assert_eq!(next.intent.current.attempts.get("gpus.pool").copied(), u32::try_from(tried.len()).ok());
            project = next.project;
            tried.push(choice(&project));
        }
        assert_eq!(
            tried,
            [
                "gpus.pool.instances[0] in private[0]",
                "gpus.pool.instances[0] in private[1]",
                "gpus.pool.instances[1] in private[0]",
                "gpus.pool.instances[1] in private[1]",
            ]
        );
        // A quota stops with its own words.
        let quota = "You have requested more vCPU capacity than your current vCPU limit (VcpuLimitExceeded)";
        assert!(go_on(&project, quota).is_none());
        let stopped = Outcome { interrupted: true, ..failed("gpus.pool.instances[0]", ice) };
        assert!(next(Some(&project), &stopped, &State::default(), &PlanArgs::default(), ui).unwrap().is_none());
    }
}
