//! What goes by another address than before.

use super::*;

fn moves(site: &Site, resources: &[Resource], moved: &[(&str, &str)]) -> Desired {
    let moved = moved.iter().map(|(from, to)| Moved { from: Address::new(*from), to: Address::new(*to) }).collect();
    Desired { moved, ..site.desired(resources) }
}

/// The stack with its disk by another name.
fn renamed() -> Vec<Resource> {
    vec![
        resource("net", "net", &[], 1),
        resource("disk", "store", &["net"], 10),
        resource("node", "node", &["net", "store"], 2),
        resource("slot", "slot", &["node"], 0),
    ]
}

#[tokio::test(start_paused = true)]
async fn what_has_moved_keeps_living_and_its_tags_follow() {
    let site = Site::new();
    site.up(&stack()).await;
    let journal = site.journal();
    let desired = moves(&site, &renamed(), &[("disk", "store")]);
    let seen = site.look(&journal).await;
    let plan = plan(&desired, &journal.state(), &seen, &site.kinds, &PlanOptions::default()).unwrap();
    assert_eq!(lines(&plan), ["~ store"]);
    let step = plan.steps.iter().find(|step| step.address.as_str() == "store").unwrap();
    assert_eq!((step.moved_from.as_ref().map(Address::as_str), step.retags), (Some("disk"), true));
    assert!(site.apply(&journal, &plan).await.is_complete());
    assert_eq!(census(&site), expected(&renamed()));
    let seen = site.look(&journal).await;
    let again = super::plan(&desired, &journal.state(), &seen, &site.kinds, &PlanOptions::default()).unwrap();
    assert!(again.is_empty() && again.steps.iter().all(|step| !step.rewrites_record), "{:?}", lines(&again));
    assert_eq!(journal.state().records[&Address::new("store")].id, "sim.disk-2");
}

#[tokio::test(start_paused = true)]
async fn tags_follow_a_record_that_was_moved_and_the_old_address_is_free_after_that() {
    let site = Site::new();
    site.up(&stack()).await;
    let journal = site.journal();
    let (from, to) = (Address::new("disk"), Address::new("store"));
    let (kind, id) = ("sim.disk".to_owned(), "sim.disk-2".to_owned());
    journal.append(crate::state::Entry::Moved { from, to, kind, id }).await.unwrap();
    let mut desired = renamed();
    desired.push(resource("disk", "disk", &["net"], 3));
    let plan = site.plan(&journal, &desired).await.unwrap();
    assert_eq!(lines(&plan), ["~ store", "+ disk"]);
    let step = plan.steps.iter().find(|step| step.address.as_str() == "store").unwrap();
    assert_eq!((step.moved_from.as_ref().map(Address::as_str), step.retags), (Some("disk"), true));
    // What comes to the old address waits until the tags of the one that left say so.
    assert_eq!(calls(&plan), ["update store", "create disk"]);
    assert!(site.apply(&journal, &plan).await.is_complete());
    assert_eq!(census(&site), expected(&desired));
    assert!(site.plan(&journal, &desired).await.unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_has_moved_is_found_by_its_tags_when_the_state_is_lost() {
    let site = Site::new();
    site.up(&stack()).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    site.journal().remove().await.unwrap();
    let journal = site.journal();
    let desired = moves(&site, &renamed(), &[("disk", "store")]);
    let seen = site.look(&journal).await;
    let plan = plan(&desired, &journal.state(), &seen, &site.kinds, &PlanOptions::default()).unwrap();
    assert!(site.apply(&journal, &plan).await.is_complete());
    assert_eq!(census(&site), expected(&renamed()));
}

#[tokio::test(start_paused = true)]
async fn what_has_moved_and_must_be_replaced_leaves_nothing_at_either_address() {
    let cases = [
        ("a", ["~ store", "+/- other parents", "-/+ slot parents"]),
        ("b", ["-/+ store zone", "-/+ other parents", "-/+ slot parents"]),
    ];
    for (zone, wanted) in cases {
        let site = Site::new();
        site.up(&stack()).await;
        let mut desired = renamed();
        desired[1] = with(desired[1].clone(), "zone", json!(zone));
        desired[2] = resource("node", "other", &["net"], 2);
        desired[3] = resource("slot", "slot", &["other"], 0);
        let journal = site.journal();
        let moved = moves(&site, &desired, &[("disk", "store"), ("node", "other")]);
        let seen = site.look(&journal).await;
        let plan = plan(&moved, &journal.state(), &seen, &site.kinds, &PlanOptions::default()).unwrap();
        assert_eq!(lines(&plan), wanted);
        let outcome = site.apply(&journal, &plan).await;
        assert!(outcome.is_complete(), "{outcome:?}");
        assert_eq!(census(&site), expected(&desired));
        assert_eq!(journal.state().records.len(), desired.len());
        assert!(journal.state().superseded.is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn what_cannot_move_says_why() {
    let site = Site::new();
    let mut desired = stack();
    desired.push(resource("disk", "store", &["net"], 1));
    site.up(&desired).await;
    desired.remove(1);
    desired[1] = resource("node", "node", &["net"], 2);
    let journal = site.journal();
    let seen = site.look(&journal).await;
    let wanted = moves(&site, &desired, &[("disk", "store")]);
    let taken = plan(&wanted, &journal.state(), &seen, &site.kinds, &PlanOptions::default()).unwrap();
    let reason = |plan: &Plan| plan.steps.iter().find(|step| step.address.as_str() == "disk").unwrap().reasons.clone();
    assert_eq!(reason(&taken), ["it cannot move to `store`: something else stands there"]);
    desired.pop();
    desired.push(resource("net", "other", &[], 1));
    let wanted = moves(&site, &desired, &[("disk", "other")]);
    let unlike = plan(&wanted, &journal.state(), &seen, &site.kinds, &PlanOptions::default()).unwrap();
    assert_eq!(reason(&unlike), ["it cannot move to `other`: that is a sim.net"]);
}

/// Stops at every point of a run that moves things, and goes on: the one that moved is the one that lived.
#[test]
fn a_move_that_is_cut_off_anywhere_is_finished_by_the_next_run() {
    for point in 0.. {
        let crashed = block_on(async {
            let site = Site::new();
            site.up(&stack()).await;
            let run = async || {
                let journal = site.journal();
                let desired = moves(&site, &renamed(), &[("disk", "store")]);
                let seen = site.look(&journal).await;
                let plan = plan(&desired, &journal.state(), &seen, &site.kinds, &PlanOptions::default()).unwrap();
                site.apply(&journal, &plan).await
            };
            let crashed = site.until_crash(point, run()).await;
            assert!(run().await.is_complete());
            assert_eq!(census(&site), expected(&renamed()));
            assert_eq!(site.journal().state().records[&Address::new("store")].id, "sim.disk-2");
            crashed
        });
        if !crashed {
            assert!(point >= 2, "a move has points at which it can be cut off");
            break;
        }
    }
}

/// The same resources, those that `moving` tells at other addresses.
fn elsewhere(resources: &[Resource], moving: &[bool]) -> (Vec<Resource>, Vec<Moved>) {
    let mut text = serde_json::to_string(resources).unwrap();
    let mut moved = Vec::new();
    for (resource, _) in resources.iter().zip(moving).filter(|(_, moves)| **moves) {
        let (from, to) = (resource.address.clone(), Address::new(format!("moved.{}", resource.address)));
        text = text.replace(&format!("\"{from}\""), &format!("\"{to}\""));
        moved.push(Moved { from, to });
    }
    (serde_json::from_str(&text).unwrap(), moved)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_moves_lives_on_wherever_that_is_cut_off(
        resources in blueprint(8),
        moving in prop::collection::vec(any::<bool>(), 8),
        point in 0..24_usize,
        lost in any::<bool>(),
    ) {
        block_on(async {
            let site = Site::new();
            prop_assert!(site.up(&resources).await.is_complete());
            let ids = |site: &Site| site.world.lock().objects.keys().cloned().collect::<Vec<String>>();
            let before = ids(&site);
            let (wanted, moved) = elsewhere(&resources, &moving);
            let desired = Desired { moved, ..site.desired(&wanted) };
            let run = async || {
                let journal = site.journal();
                let seen = site.look(&journal).await;
                let plan = plan(&desired, &journal.state(), &seen, &site.kinds, &PlanOptions::default()).unwrap();
                site.apply(&journal, &plan).await
            };
            site.until_crash(point, run()).await;
            if lost {
                // Without a record nothing says that a provider may be hiding something yet.
                tokio::time::sleep(Duration::from_secs(5)).await;
                site.journal().remove().await.unwrap();
            }
            let outcome = run().await;
            prop_assert!(outcome.is_complete(), "{:?}", outcome);
            prop_assert_eq!(census(&site), expected(&wanted));
            prop_assert_eq!(ids(&site), before);
            let again = site.plan(&site.journal(), &wanted).await.unwrap();
            prop_assert!(again.is_empty(), "{:?}", lines(&again));
            Ok(())
        })?;
    }
}
