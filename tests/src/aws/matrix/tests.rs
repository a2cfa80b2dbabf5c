use super::*;

fn held(kind: &str, id: &str, state: &str, tags: &[(&str, &str)]) -> Held {
    let text = str::to_owned;
    let tags = tags.iter().map(|(key, value)| (text(key), text(value))).collect();
    Held { service: text("ec2"), kind: text(kind), id: text(id), name: String::new(), tags, state: text(state) }
}

fn of(kind: &str, id: &str, state: &str, deployment: &str, address: &str) -> Held {
    held(kind, id, state, &[(DEPLOYMENT, deployment), (ADDRESS, address)])
}

#[test]
fn the_same_address_twice_is_a_duplicate_if_both_live() {
    let world = [
        of("vpc", "vpc-1", "available", "desk", "net"),
        of("vpc", "vpc-2", "", "desk", "net"),
        of("vpc", "vpc-3", "available", "lab", "net"),
        of("nat-gateway", "nat-1", "deleted", "desk", "nat"),
        of("nat-gateway", "nat-2", "pending", "desk", "nat"),
        of("instance", "i-1", "terminated", "desk", "node"),
        of("instance", "i-2", "running", "desk", "node"),
        of("volume", "v-1", "in-use", "desk", "node"),
        held("vpc", "vpc-4", "", &[]),
        held("vpc", "vpc-5", "", &[]),
    ];
    assert_eq!(duplicates(&world), ["desk/net: ec2 vpc vpc-1, vpc-2"]);
}

#[test]
fn what_aws_makes_for_a_group_is_no_duplicate() {
    let tags = [(DEPLOYMENT, "desk"), (ADDRESS, "gpus"), ("aws:autoscaling:groupName", "gpus")];
    assert_eq!(duplicates(&[held("instance", "i-1", "", &tags), held("instance", "i-2", "", &tags)]), [""; 0]);
}

#[test]
fn left_is_what_lives_and_was_not_there() {
    let was = of("vpc", "vpc-1", "available", "desk", "net");
    let gone = of("instance", "i-1", "shutting-down", "desk", "node");
    let new = of("vpc", "vpc-2", "available", "desk", "net");
    let changed = Held { state: "pending".to_owned(), ..was.clone() };
    assert_eq!(left(&[was], vec![changed, gone, new.clone()]), [new]);
}

#[test]
fn all_are_each_request_twice_and_followed_in_two_ways() {
    let points = Extent::parse("all").points(3, 2);
    assert_eq!(points.len(), (3 + 2) * 2 * 2);
    let distinct: BTreeSet<_> = points.iter().collect();
    assert_eq!(distinct.len(), points.len());
    assert!(points.is_sorted());
}

#[test]
fn a_sample_is_drawn_from_its_seed() {
    let all = Extent::All.points(40, 20);
    let one = Extent::parse("sample:7:10").points(40, 20);
    assert_eq!(one, Extent::parse("sample:7:10").points(40, 20));
    assert_ne!(one, Extent::parse("sample:8:10").points(40, 20));
    assert_eq!(one.len(), 10);
    assert!(one.iter().all(|point| all.contains(point)));
    assert_eq!(Extent::parse("sample"), Extent::Sample { seed: 1, points: POINTS });
    assert_eq!(Extent::parse("sample:3"), Extent::Sample { seed: 3, points: POINTS });
}

#[test]
#[should_panic(expected = "FORGE_MATRIX is all or sample[:seed[:points]], and not \"sample:x\"")]
fn an_extent_that_is_none_is_refused() {
    let _ = Extent::parse("sample:x");
}

#[test]
fn steps_are_counted_by_action() {
    let stdout = r#"{"v":1,"finding":{}}
{"schema":1,"event":{"plan_made":{"counts":{"create":2,"unchanged":4}}}}
{"schema":1,"event":{"step_finished":{"address":"a","action":"create"}}}
{"schema":1,"event":{"step_finished":{"address":"b","action":"adopt"}}}
{"schema":1,"event":{"step_finished":{"address":"c","action":"create"}}}
{"schema":1,"event":{"step_failed":{"address":"d","action":"delete"}}}
"#;
    assert_eq!(steps(stdout), "1 adopt, 2 create, 1 failed delete, 4 unchanged");
    assert_eq!(steps(""), "nothing");
}
