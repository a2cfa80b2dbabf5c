//! Plans for a part of a deployment, and the state made anew.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_plan_for_a_part_leaves_the_rest_alone() {
    let site = Site::new();
    site.up(&stack()).await;
    let mut desired = stack();
    desired[0] = resource("net", "net", &[], 5);
    desired[2] = resource("node", "node", &["net", "disk"], 9);
    desired.pop();
    desired.push(resource("net", "new", &[], 0));
    let journal = site.journal();
    let seen = site.look(&journal).await;
    let only = |names: &[&str]| PlanOptions {
        only: Some(names.iter().map(|name| (*name).to_owned()).collect()),
        ..PlanOptions::default()
    };
    let part = |names: &[&str]| plan(&site.desired(&desired), &journal.state(), &seen, &site.kinds, &only(names));
    let disk = part(&["disk"]).unwrap();
    assert_eq!(lines(&disk), ["~ net size"]);
    assert_eq!(disk.left_out.iter().map(Address::as_str).collect::<Vec<_>>(), ["new", "node", "slot"]);
    // What nobody asks for goes only when it is named.
    assert_eq!(lines(&part(&["node"]).unwrap()), ["~ net size", "~ node size"]);
    assert_eq!(lines(&part(&["slot"]).unwrap()), ["- slot"]);
    // And nothing goes from under what is left alone.
    desired.retain(|resource| resource.address.as_str() != "disk");
    desired[1] = resource("node", "node", &["net"], 9);
    let refused = plan(&site.desired(&desired), &journal.state(), &seen, &site.kinds, &only(&["disk"]));
    assert_eq!(summaries(refused), ["`node` stands on `disk`, which this plan would delete"]);
}

#[tokio::test(start_paused = true)]
async fn destroying_a_part_says_what_goes_along_and_why() {
    let site = Site::new();
    let mut desired = stack();
    desired.push(resource("net", "apart", &[], 0));
    site.up(&desired).await;
    // What is left alone is no leftover, though only its tags tell of it.
    tokio::time::sleep(Duration::from_secs(5)).await;
    let journal = site.journal();
    let apart = journal.state().records[&Address::new("apart")].clone();
    let (address, kind, id) = (Address::new("apart"), apart.kind, apart.id);
    journal.append(crate::state::Entry::Forgotten { address, kind, id, settles: Vec::new() }).await.unwrap();
    let modules = Some(BTreeSet::from(["disk".to_owned()]));
    let plan = site.plan_destroy(&journal, &DestroyOptions { delete_data: true, modules }).await;
    let reasons: Vec<_> =
        plan.steps.iter().map(|step| format!("{}: {}", step.address, step.reasons.join(""))).collect();
    assert_eq!(reasons, ["slot: it stands on `node`", "node: it stands on `disk`", "disk: "]);
    let outcome = site.apply(&journal, &plan).await;
    assert_eq!(outcome.left_behind, Some(vec![]), "{outcome:?}");
}

#[tokio::test(start_paused = true)]
async fn the_state_can_be_rebuilt_from_tags_alone() {
    let site = Site::new();
    site.up(&stack()).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let seen = site.look(&site.journal()).await;
    site.journal().remove().await.unwrap();
    let rebuilt = rebuild(&seen, &site.kinds);
    assert_eq!((rebuilt.state.records.len(), rebuilt.doubles.len()), (4, 0));
    let node = &rebuilt.state.records[&Address::new("node")];
    assert_eq!(node.dependencies, BTreeSet::from([Address::new("disk"), Address::new("net")]));
    // Its note cannot be read back, so nothing is claimed to be known of what was asked for.
    assert_eq!(*node.spec, serde_json::Value::Null);
    let journal = site.journal();
    journal.append_durably(crate::state::Entry::Snapshot(Box::new(rebuilt.state))).await.unwrap();
    let plan = site.plan(&journal, &stack()).await.unwrap();
    assert_eq!(lines(&plan), ["~ net note", "~ disk note", "~ node note", "~ slot note"]);
    assert!(site.apply(&journal, &plan).await.is_complete());
    assert!(site.plan(&journal, &stack()).await.unwrap().is_empty());
    assert_eq!(census(&site), expected(&stack()));
}
