use super::*;
use crate::diag::Diagnostic;
use crate::kind::Readiness;
use crate::observe::Observations;
use crate::resource::{Desired, Moved, Resource};
use crate::sim::{Site, expected, output, resource, with};
use crate::state::State;
use proptest::prelude::*;
use serde_json::json;
use std::time::Duration;

mod moved;
mod part;

fn stack() -> Vec<Resource> {
    vec![
        resource("net", "net", &[], 1),
        resource("disk", "disk", &["net"], 10),
        resource("node", "node", &["net", "disk"], 2),
        resource("slot", "slot", &["node"], 0),
    ]
}

/// `+ net`, `~ disk size`, …: what a reader of the plan sees first.
fn lines(plan: &Plan) -> Vec<String> {
    plan.changed()
        .map(|step| {
            let fields: Vec<&str> = step.changes.iter().map(|change| change.field.as_str()).collect();
            format!("{} {} {}", step.action.symbol(), step.address, fields.join(",")).trim().to_owned()
        })
        .collect()
}

/// The calls in one order in which apply may make them.
fn calls(plan: &Plan) -> Vec<String> {
    let edges: Vec<Vec<usize>> = plan.operations.iter().map(|operation| operation.after.clone()).collect();
    let order = crate::graph::order(&edges).unwrap();
    let calls = order.into_iter().map(|position| &plan.operations[position]);
    calls
        .filter(|operation| operation.part != Part::Keep)
        .map(|operation| format!("{:?} {}", operation.part, plan.steps[operation.step].address).to_lowercase())
        .collect()
}

fn summaries(refused: Result<Plan, Vec<Diagnostic>>) -> Vec<String> {
    refused.unwrap_err().into_iter().map(|finding| finding.summary).collect()
}

#[tokio::test(start_paused = true)]
async fn from_nothing_to_something_to_nothing() {
    let site = Site::new();
    let journal = site.journal();
    let made = site.plan(&journal, &stack()).await.unwrap();
    assert_eq!(lines(&made), ["+ net", "+ disk", "+ node", "+ slot"]);
    assert_eq!(made.depends_on(2), BTreeSet::from([0, 1]));
    drop(journal);

    assert!(site.up(&stack()).await.is_complete());
    let journal = site.journal();
    let again = site.plan(&journal, &stack()).await.unwrap();
    assert!(again.is_empty(), "{:?}", lines(&again));
    assert!(again.steps.iter().all(|step| !step.rewrites_record));

    let gone = site.plan_destroy(&journal, &DestroyOptions { delete_data: true, modules: None }).await;
    assert_eq!(lines(&gone), ["- slot", "- node", "- disk", "- net"]);
    assert_eq!(gone.destroying_data().count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_change_in_place_touches_only_what_refers_to_what_it_changes() {
    let site = Site::new();
    let mut desired = stack();
    desired.push(with(
        resource("net", "sign", &[], 0),
        "note",
        Value::Concat(vec![json!("net ").into(), output("net", "version")]),
    ));
    site.up(&desired).await;
    desired[0] = resource("net", "net", &[], 5);
    let plan = site.plan(&site.journal(), &desired).await.unwrap();
    assert_eq!(lines(&plan), ["~ net size", "~ sign note"]);
    let note = plan.steps.iter().find(|step| step.address.as_str() == "sign").unwrap().changes[0].clone();
    assert_eq!(note.before, Some(json!("net v1").into()));
    assert!(!note.after.unwrap().is_known());
    assert!(site.up(&desired).await.is_complete());
    assert!(site.plan(&site.journal(), &desired).await.unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_replacement_shows_all_that_goes_with_it_and_in_which_order() {
    let site = Site::new();
    site.up(&stack()).await;
    let mut desired = stack();
    // A node moves from one net to another: create first.
    desired.insert(1, resource("net", "other", &[], 0));
    desired[3] = resource("node", "node", &["other", "disk"], 2);
    let plan = site.plan(&site.journal(), &desired).await.unwrap();
    assert_eq!(lines(&plan), ["+ other", "+/- node parents", "-/+ slot parents"]);
    // The slot cannot exist twice, so it falls before its successor comes; the old node waits for both.
    assert_eq!(calls(&plan), ["create other", "create node", "delete slot", "create slot", "delete node"]);

    // A net that changes zones must fall first, and so must all that could stand beside itself on top of it.
    let mut desired = stack();
    desired[0] = with(desired[0].clone(), "zone", json!("b"));
    let plan = site.plan(&site.journal(), &desired).await.unwrap();
    assert_eq!(lines(&plan), ["-/+ net zone", "~ disk parents", "-/+ node parents", "-/+ slot parents"]);
    let node = plan.steps.iter().find(|step| step.address.as_str() == "node").unwrap();
    assert_eq!(node.reasons, ["it is deleted first because `net` must be"]);
    assert_eq!(
        calls(&plan),
        ["delete slot", "delete node", "delete net", "create net", "update disk", "create node", "create slot"]
    );
}

#[tokio::test(start_paused = true)]
async fn what_stood_on_a_deleted_resource_lets_go_of_it_first() {
    let site = Site::new();
    site.up(&stack()[..2]).await;
    let plan = site.plan(&site.journal(), &[resource("disk", "disk", &[], 10)]).await.unwrap();
    assert_eq!(calls(&plan), ["update disk", "delete net"]);
    // One that goes as well goes first.
    let plan = site.plan(&site.journal(), &[]).await.unwrap();
    assert_eq!(calls(&plan), ["delete disk", "delete net"]);
}

#[tokio::test(start_paused = true)]
async fn what_is_forbidden_or_protected_refuses_the_plan_all_at_once() {
    let site = Site::new();
    let mut desired = stack();
    desired[1].protect = true;
    site.up(&desired).await;
    let mut broken = desired.clone();
    broken[0] = with(broken[0].clone(), "sealed", json!(true));
    broken[1] = with(broken[1].clone(), "zone", json!("b"));
    broken[2] = with(broken[2].clone(), "colour", json!("red"));
    let journal = site.journal();
    assert_eq!(
        summaries(site.plan(&journal, &broken).await),
        [
            "`sealed` of `net` cannot be changed",
            "`disk` is protected, and this plan would replace it",
            "`node` does not fit its kind sim.node",
        ]
    );
    broken = desired.clone();
    broken.truncate(1);
    assert_eq!(summaries(site.plan(&journal, &broken).await), ["`disk` is protected, and this plan would delete it"]);
    broken[0].kind = "sim.cloud".to_owned();
    broken.push(with(resource("net", "n", &[], 0), "note", output("m", "colour")));
    broken.push(resource("net", "m", &[], 0));
    assert_eq!(
        summaries(site.plan(&journal, &broken).await),
        ["`net` is of kind `sim.cloud`, which this forge does not know", "`m` has no output `colour`"]
    );
    // Lifting the protection is a change of the record only.
    let lifted = site.plan(&journal, &stack()).await.unwrap();
    assert!(lifted.is_empty() && lifted.steps[1].rewrites_record);
}

#[tokio::test(start_paused = true)]
async fn drift_is_shown_and_repaired() {
    let site = Site::new();
    site.up(&stack()).await;
    for object in site.world.lock().objects.values_mut().filter(|object| object.kind == "sim.disk") {
        let drifted = json!({ "parents": ["sim.net-1"], "size": 11, "zone": "a", "sealed": false, "note": "" });
        object.spec = serde_json::from_value(drifted).unwrap();
    }
    let plan = site.plan(&site.journal(), &stack()).await.unwrap();
    assert_eq!(lines(&plan), ["~ disk size"]);
    let drift = Drift { field: "size".to_owned(), recorded: json!(10).into(), observed: json!(11).into() };
    assert_eq!(plan.steps[1].drift, [drift]);
    assert_eq!(plan.steps[1].changes[0].before, Some(json!(11).into()));
}

#[tokio::test(start_paused = true)]
async fn what_is_gone_is_created_or_forgotten() {
    let site = Site::new();
    site.up(&stack()).await;
    site.world.lock().objects.retain(|_, object| object.kind == "sim.net" || object.kind == "sim.disk");
    let journal = site.journal();
    let mut desired = stack();
    desired.pop();
    let plan = site.plan(&journal, &desired).await.unwrap();
    assert_eq!(lines(&plan), ["+ node", "x slot"]);
    assert_eq!(plan.steps[2].reasons, ["it was recorded as sim.node-3, which is gone"]);
    assert!(site.apply(&journal, &plan).await.is_complete());
    assert!(site.plan(&journal, &desired).await.unwrap().is_empty());
    assert!(journal.state().superseded.is_empty());
}

#[tokio::test(start_paused = true)]
async fn state_can_be_lost() {
    let site = Site::new();
    site.up(&stack()).await;
    // Without a record nothing says that a provider may be hiding something yet.
    tokio::time::sleep(Duration::from_secs(5)).await;
    site.journal().remove().await.unwrap();
    let journal = site.journal();
    assert_eq!(journal.state(), State::default());
    // Its note cannot be read back, so that writing it again is the only way to be sure of it.
    let plan = site.plan(&journal, &stack()).await.unwrap();
    assert_eq!(lines(&plan), ["~ net note", "~ disk note", "~ node note", "~ slot note"]);
    assert!(plan.steps.iter().all(|step| step.adopts));
    assert!(site.apply(&journal, &plan).await.is_complete());
    assert!(site.plan(&journal, &stack()).await.unwrap().is_empty());
    assert_eq!(site.census().len(), 4);

    // Destroying without a record finds the order in the specifications.
    journal.remove().await.unwrap();
    let outcome = site.destroy(&DestroyOptions { delete_data: true, modules: None }).await;
    assert!(outcome.is_complete(), "{outcome:?}");
    assert_eq!(site.census(), []);
}

#[tokio::test(start_paused = true)]
async fn data_stays_with_what_it_stands_on() {
    let site = Site::new();
    site.up(&stack()).await;
    let plan = site.plan_destroy(&site.journal(), &DestroyOptions::default()).await;
    assert_eq!(lines(&plan), ["- slot", "- node"]);
    let kept: Vec<_> = plan.kept.iter().map(|kept| (kept.address.as_str(), kept.reason.as_str())).collect();
    assert_eq!(
        kept,
        [("disk", "it holds data, which only --delete-data deletes"), ("net", "`disk` stays and needs it")]
    );
    let modules = Some(BTreeSet::from(["disk".to_owned()]));
    let part = site.plan_destroy(&site.journal(), &DestroyOptions { delete_data: true, modules }).await;
    assert_eq!(lines(&part), ["- slot", "- node", "- disk"]);
}

#[tokio::test(start_paused = true)]
async fn what_has_failed_for_good_is_replaced_unless_it_holds_data() {
    let site = Site::new();
    site.up(&stack()).await;
    for object in site.world.lock().objects.values_mut() {
        object.failed = object.kind == "sim.node" || object.kind == "sim.disk";
    }
    let journal = site.journal();
    let plan = site.plan(&journal, &stack()).await.unwrap();
    assert_eq!(lines(&plan), ["-/+ node", "-/+ slot parents"]);
    assert_eq!(plan.steps[1].reasons, ["it has failed (it broke), but holds data, so it is left as it is"]);
    let seen = site.look(&journal).await;
    assert!(seen.found.iter().any(|found| found.observed.readiness == Readiness::Failed("it broke".into())));
    assert_eq!(seen.looks, []);
}

#[tokio::test(start_paused = true)]
async fn a_plan_survives_being_saved() {
    let site = Site::new();
    let plan = site.plan(&site.journal(), &stack()).await.unwrap();
    let saved = serde_json::to_string(&plan).unwrap();
    assert_eq!(serde_json::from_str::<Plan>(&saved).unwrap(), plan);
}

/// A blueprint of up to `most` resources; the same position always has the same address, so that two of them make an
/// edit.
pub(crate) fn blueprint(most: usize) -> impl Strategy<Value = Vec<Resource>> {
    let one = (0..4_usize, prop::collection::vec(any::<prop::sample::Index>(), 0..3), 0..3_u64, any::<(bool, bool)>());
    prop::collection::vec(one, 0..most).prop_map(|picks| {
        let mut resources: Vec<Resource> = Vec::new();
        for (n, (kind, parents, size, (absent, zone_b))) in picks.into_iter().enumerate() {
            if absent && size == 0 {
                continue;
            }
            let parents: BTreeSet<String> = parents
                .iter()
                .filter(|_| !resources.is_empty())
                .map(|pick| resources[pick.index(resources.len().max(1))].address.to_string())
                .collect();
            let parents: Vec<&str> = parents.iter().map(String::as_str).collect();
            let kind = ["net", "node", "slot", "disk"][kind];
            let zone = if zone_b && size == 1 { "b" } else { "a" };
            resources.push(with(resource(kind, &format!("r{n}"), &parents, size), "zone", json!(zone)));
        }
        resources
    })
}

pub(crate) fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap().block_on(work)
}

fn census(site: &Site) -> Vec<(String, String, u64, String)> {
    site.census().into_iter().map(|(address, kind, size, zone)| (address, kind.to_owned(), size, zone)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_was_applied_needs_nothing_more(first in blueprint(8), second in blueprint(8)) {
        block_on(async {
            let site = Site::new();
            for desired in [&first, &second] {
                let outcome = site.up(desired).await;
                prop_assert!(outcome.is_complete(), "{:?}", outcome);
                prop_assert_eq!(census(&site), expected(desired));
                let again = site.plan(&site.journal(), desired).await.unwrap();
                prop_assert!(again.is_empty(), "{:?}", lines(&again));
            }
            let outcome = site.destroy(&DestroyOptions { delete_data: true, modules: None }).await;
            prop_assert!(outcome.is_complete(), "{:?}", outcome);
            prop_assert_eq!(census(&site), vec![]);
            prop_assert!(site.journal().state().is_empty());
            Ok(())
        })?;
    }

    #[test]
    fn nothing_is_destroyed_before_what_stands_on_it(resources in blueprint(12)) {
        block_on(async {
            let site = Site::new();
            site.up(&resources).await;
            let plan = site.plan_destroy(&site.journal(), &DestroyOptions { delete_data: true, modules: None }).await;
            let position = |address: &Address| plan.steps.iter().position(|step| step.address == *address).unwrap();
            prop_assert_eq!(plan.steps.len(), resources.len());
            for resource in &resources {
                for below in resource.dependencies() {
                    prop_assert!(plan.depends_on(position(&below)).contains(&position(&resource.address)));
                }
            }
            Ok(())
        })?;
    }

    #[test]
    fn without_the_world_the_plan_is_to_create_everything(resources in blueprint(12)) {
        let site = Site::new();
        let (state, seen) = (State::default(), Observations::default());
        let plan = plan(&site.desired(&resources), &state, &seen, &site.kinds, &PlanOptions::default()).unwrap();
        prop_assert_eq!(plan.counts().create, resources.len());
        for (n, step) in plan.steps.iter().enumerate() {
            let before: BTreeSet<Address> = plan.depends_on(n).iter().map(|&n| plan.steps[n].address.clone()).collect();
            prop_assert_eq!(&before, &step.dependencies);
        }
    }
}
