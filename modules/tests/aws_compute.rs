//! Kinds of target aws that instances are made of, in an emulated account: roles, templates, groups, reservations.

#![allow(clippy::unwrap_used, reason = "what a test cannot go on without ends it")]
#![allow(clippy::large_futures, reason = "futures of the SDK are large, and each of these is made once")]

mod aws;

use aws::{Emulator, Trial, deployment, tags};
use forge_engine::kind::{ErrorClass, Kind, Observed, Readiness};
use forge_modules::aws::{
    Resource, autoscaling_group, capacity_block, capacity_reservation, iam_role, instance, instance_profile,
    launch_template, oidc_provider,
};
use serde_json::{Value as Json, json};

/// The whole life of something: made, moved to another address, changed to each of `changes`, deleted.
async fn live<S: Resource>(trial: &Trial<S>, operation: &str, spec: &Json, changes: &[Json]) {
    let made = trial.makes(spec, &tags("pool.thing[0]", operation)).await;
    let moved = tags("other.thing", operation);
    let after = trial.changes(&made.id, spec, spec, &moved).await;
    assert_eq!(made.outputs, after.outputs, "moving it changes nothing else");
    let mut before = spec.clone();
    for change in changes {
        let mut after = before.clone();
        for (field, value) in change.as_object().unwrap() {
            after[field.as_str()] = value.clone();
        }
        trial.changes(&made.id, &before, &after, &moved).await;
        before = after;
    }
    trial.deletes(&made.id).await;
    assert_eq!(ids(trial).await, [""; 0]);
}

/// The identifiers of all that the deployment has of a kind.
async fn ids<S: Resource>(trial: &Trial<S>) -> Vec<String> {
    trial.kind.list(&deployment()).await.unwrap().into_iter().map(|seen| seen.id).collect()
}

/// The fields that were read back.
fn fields(seen: &Observed) -> Vec<&str> {
    seen.spec.keys().map(String::as_str).collect()
}

/// Subnets of the account's default network.
fn subnets(emulator: &Emulator) -> Vec<String> {
    let answer = emulator.query("ec2", "Action=DescribeSubnets&Version=2016-11-15");
    let ids = answer.split("<subnetId>").skip(1).filter_map(|rest| rest.split('<').next());
    ids.map(str::to_owned).collect()
}

fn role(name: &str) -> Json {
    json!({
        "name": name,
        "trusts": ["ec2.amazonaws.com"],
        "managed_policies": ["AmazonSSMManagedInstanceCore", "AmazonEC2ContainerRegistryReadOnly"],
        "policies": { "bucket": [
            { "actions": ["s3:ListBucket"], "resources": ["arn:aws:s3:::b"] },
            { "actions": ["s3:GetObject", "s3:PutObject"], "resources": ["arn:aws:s3:::b/*"] },
        ] },
    })
}

#[tokio::test]
async fn a_role_has_the_permissions_that_are_listed_and_no_others() {
    let emulator = Emulator::start();
    let trial = Trial::<iam_role::Spec>::new(&emulator.cloud());
    let role = role("dep-pool");
    let changes = [
        json!({ "trusts": ["ec2.amazonaws.com", "pods.eks.amazonaws.com"] }),
        json!({ "managed_policies": ["AmazonEC2ContainerRegistryReadOnly", "service-role/AmazonEBSCSIDriverPolicy"] }),
        json!({ "policies": { "logs": [{ "actions": ["logs:PutLogEvents"], "resources": ["*"] }] } }),
        json!({ "boundary": "arn:aws:iam::aws:policy/PowerUserAccess" }),
        json!({ "boundary": null, "policies": {}, "managed_policies": [] }),
        json!({ "tags": { "team": "a" } }),
        json!({ "tags": { "team": "b", "cost": "c" } }),
    ];
    live(&trial, "op1", &role, &changes).await;
}

#[tokio::test]
async fn a_role_of_somebody_else_is_left_alone() {
    let emulator = Emulator::start();
    let trial = Trial::<iam_role::Spec>::new(&emulator.cloud());
    let made = trial.makes(&role("dep-pool"), &tags("pool.role", "op1")).await;
    assert_eq!(fields(&made), ["boundary", "managed_policies", "name", "policies", "tags", "trusts"]);
    let refused = trial.try_create(&role("dep-pool"), &tags("pool.role", "op2")).await.unwrap_err();
    assert_eq!(refused.class, ErrorClass::Terminal);
    assert_eq!(refused.message, "IAM role dep-pool exists already: this deployment has made it as pool.role");
    let trusts = "%7B%22Version%22%3A%222012-10-17%22%2C%22Statement%22%3A%7B%22Effect%22%3A%22Allow%22%2C%22Principal%22%3A%7B%22Service%22%3A%22ec2.amazonaws.com%22%7D%2C%22Action%22%3A%22sts%3AAssumeRole%22%7D%7D";
    emulator.query(
        "iam",
        &format!("Action=CreateRole&Version=2010-05-08&RoleName=theirs&AssumeRolePolicyDocument={trusts}"),
    );
    let refused = trial.try_create(&role("theirs"), &tags("pool.role", "op3")).await.unwrap_err();
    assert_eq!(refused.message, "IAM role theirs exists already, and is not forge's");
    assert_eq!(ids(&trial).await, ["dep-pool"]);
}

#[tokio::test]
async fn an_instance_profile_holds_one_role() {
    let emulator = Emulator::start();
    let cloud = emulator.cloud();
    let roles = Trial::<iam_role::Spec>::new(&cloud);
    roles.makes(&role("dep-one"), &tags("one.role", "op8")).await;
    roles.makes(&role("dep-two"), &tags("two.role", "op9")).await;
    let trial = Trial::<instance_profile::Spec>::new(&cloud);
    let profile = json!({ "name": "dep-pool", "role": "dep-one" });
    live(&trial, "op1", &profile, &[json!({ "role": "dep-two" }), json!({ "tags": { "team": "a" } })]).await;
    // A role in a profile cannot go, and the refusal says which profile.
    trial.makes(&profile, &tags("pool.profile", "op2")).await;
    let refused = roles.kind.delete("dep-one").await.unwrap_err();
    assert_eq!(refused.class, ErrorClass::NotYetVisible);
    assert!(refused.message.ends_with("; in the way: instance profile dep-pool"), "{}", refused.message);
    trial.deletes("dep-pool").await;
    roles.deletes("dep-one").await;
    roles.deletes("dep-two").await;
}

const ISSUER: &str = "https://oidc.eks.us-west-2.amazonaws.com/id/ABC";

#[tokio::test]
async fn an_issuer_is_trusted() {
    let emulator = Emulator::start();
    let trial = Trial::<oidc_provider::Spec>::new(&emulator.cloud());
    live(&trial, "op1", &json!({ "url": ISSUER }), &[json!({ "tags": { "a": "b" } })]).await;
}

#[tokio::test]
async fn an_issuer_is_trusted_for_the_clients_that_are_listed() {
    let emulator = Emulator::start();
    let trial = Trial::<oidc_provider::Spec>::new(&emulator.cloud());
    let changes = [json!({ "clients": ["other", "sts.amazonaws.com"] }), json!({ "clients": ["other"] })];
    live(&trial, "op1", &json!({ "url": ISSUER }), &changes).await;
}

fn template(name: &str) -> Json {
    json!({
        "name": name,
        "instance_type": "p5.48xlarge",
        "image": "resolve:ssm:/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64",
        "user_data": "#!/bin/sh\necho \"ä\"\n",
        "disk_gib": 200,
        "interfaces": [
            { "cards": [0], "device": 0, "carries": "ip" },
            { "cards": [0], "device": 1, "carries": "efa-only" },
            { "cards": [1, 2, 3], "device": 0, "carries": "efa-only" },
        ],
        "instance_tags": { "Name": "dep-pool" },
    })
}

#[tokio::test]
async fn a_template_gets_a_version_for_each_change_and_none_without() {
    let emulator = Emulator::start();
    let trial = Trial::<launch_template::Spec>::new(&emulator.cloud());
    let changes = [
        json!({ "disk_gib": 300 }),
        json!({ "image": null, "user_data": "other" }),
        json!({ "interfaces": [] }),
        json!({ "market": "spot", "metadata_hops": 1 }),
        json!({ "market": "capacity-block", "reservation": "cr-0123456789abcdef0" }),
        json!({ "instance_tags": {}, "tags": { "team": "a" } }),
    ];
    live(&trial, "op1", &template("dep-pool"), &changes).await;

    let (spec, born) = (template("dep-other"), tags("pool.template[0]", "op2"));
    let made = trial.makes(&spec, &born).await;
    assert_eq!(made.outputs["latest_version"], "1");
    assert_eq!(
        trial.changes(&made.id, &spec, &spec, &tags("moved.template", "op2")).await.outputs["latest_version"],
        "1"
    );
    let mut other = spec.clone();
    other["disk_gib"] = json!(201);
    let changed = trial.changes(&made.id, &spec, &other, &born).await;
    assert_eq!(changed.outputs["latest_version"], "2");
    assert_eq!(trial.changes(&made.id, &spec, &other, &born).await.outputs["latest_version"], "2");
    let read = trial.kind.read_many(&["lt-0123456789abcdef0".to_owned(), made.id.clone()]).await.unwrap();
    assert!(read[0].is_none() && read[1].is_some(), "one that is gone hides no other");
}

/// A group of so many instances, and what they are started from.
async fn group(emulator: &Emulator, desired: u32) -> Json {
    let trial = Trial::<launch_template::Spec>::new(&emulator.cloud());
    let spec = json!({ "name": "dep-plain", "instance_type": "c6i.large", "disk_gib": 20,
        "image": "resolve:ssm:/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64" });
    let made = trial.makes(&spec, &tags("plain.template", "op0")).await;
    json!({
        "name": "dep-plain", "subnets": [subnets(emulator)[0]], "launch_template": made.id,
        "launch_template_version": made.outputs["latest_version"], "min": 0, "desired": desired, "max": 4,
    })
}

#[tokio::test]
async fn a_group_has_its_instances_and_takes_them_with_it() {
    let emulator = Emulator::start();
    let group = group(&emulator, 2).await;
    let trial = Trial::<autoscaling_group::Spec>::new(&emulator.cloud());
    let subnets: Vec<String> = subnets(&emulator).into_iter().take(2).collect();
    let changes = [
        json!({ "min": 1, "desired": 3, "max": 5 }),
        json!({ "grace_seconds": 60 }),
        json!({ "subnets": subnets }),
        json!({ "tags": { "team": "a" } }),
        json!({ "tags": {} }),
    ];
    live(&trial, "op1", &group, &changes).await;
    let instances = emulator.ask("GET", "dump", &Json::Null).to_string();
    assert!(!instances.contains("\"instance\""), "{instances}");
    let made = trial.makes(&group, &tags("pool.group", "op2")).await;
    let all = [
        "desired",
        "grace_seconds",
        "launch_template",
        "launch_template_version",
        "max",
        "min",
        "name",
        "subnets",
        "tags",
    ];
    assert_eq!(fields(&made), all);
    let answer = emulator.query("autoscaling", "Action=DescribeAutoScalingGroups&Version=2011-01-01");
    assert!(answer.contains("<ProcessName>AZRebalance</ProcessName>"), "{answer}");
}

#[tokio::test]
async fn a_group_without_capacity_says_so_in_the_words_of_aws() {
    let emulator = Emulator::start();
    let group = group(&emulator, 2).await;
    emulator.ask(
        "POST",
        "settings",
        &json!({ "capacity": [
        { "zone": "us-west-2a", "instance_type": "c6i.large", "available": 0 },
        { "zone": "us-west-2b", "instance_type": "c6i.large", "available": 0 },
        { "zone": "us-west-2c", "instance_type": "c6i.large", "available": 0 },
        { "zone": "us-west-2d", "instance_type": "c6i.large", "available": 0 },
    ] }),
    );
    let trial = Trial::<autoscaling_group::Spec>::new(&emulator.cloud());
    let made = trial.try_create(&group, &tags("pool.group", "op1")).await.unwrap();
    let waiting = Readiness::Waiting("0 of 2 instances are in service".to_owned());
    assert_eq!(made.readiness, waiting);
    let refused = loop {
        match trial.kind.read(&made.id).await {
            Err(refused) => break refused,
            Ok(seen) => assert_eq!(seen.map(|seen| seen.readiness), Some(waiting.clone())),
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    };
    assert_eq!(refused.class, ErrorClass::Capacity);
    assert!(refused.message.contains("sufficient c6i.large capacity"), "{}", refused.message);
    // A plan is made of what is listed; and what has no capacity can be deleted.
    assert_eq!(ids(&trial).await, std::slice::from_ref(&made.id));
    trial.deletes(&made.id).await;
}

#[tokio::test]
async fn a_reservation_is_kept_until_it_is_cancelled() {
    let emulator = Emulator::start();
    let trial = Trial::<capacity_reservation::Spec>::new(&emulator.cloud());
    let reservation = json!({ "instance_type": "p5.48xlarge", "zone": "us-west-2a", "count": 2 });
    let changes = [
        json!({ "count": 3 }),
        json!({ "ends": "2031-01-01T00:00:00Z" }),
        json!({ "ends": null }),
        json!({ "tags": { "Name": "n" } }),
    ];
    live(&trial, "op1", &reservation, &changes).await;
    emulator.ask(
        "POST",
        "settings",
        &json!({ "capacity": [{ "zone": "us-west-2a", "instance_type": "p5.48xlarge", "available": 1 }] }),
    );
    let refused = trial.try_create(&reservation, &tags("pool.reservation", "op2")).await.unwrap_err();
    assert_eq!(refused.class, ErrorClass::Capacity);
}

#[tokio::test]
async fn a_block_is_bought_once_and_forgotten_when_it_is_deleted() {
    let emulator = Emulator::start();
    let cloud = emulator.cloud();
    let trial = Trial::<capacity_block::Spec>::new(&cloud);
    let block = json!({ "instance_type": "p5.48xlarge", "count": 2, "days": 1, "max_price_usd": 1e6 });
    let born = tags("pool.block", "op1");
    let made = trial.makes(&block, &born).await;
    assert_eq!(trial.makes(&block, &born).await.id, made.id, "what this operation has bought is found");
    let refused = trial.try_create(&block, &tags("pool.block", "op2")).await.unwrap_err();
    assert_eq!(refused.message, format!("{} has been bought for pool.block already; a second one is not", made.id));
    let reservations = Trial::<capacity_reservation::Spec>::new(&cloud);
    assert_eq!(ids(&reservations).await, [""; 0]);
    trial.deletes(&made.id).await;
    live(&trial, "op1", &block, &[json!({ "tags": { "Name": "n" } })]).await;
    let cheap = json!({ "instance_type": "p5.48xlarge", "count": 2, "days": 1, "max_price_usd": 1 });
    let refused = trial.try_create(&cheap, &tags("pool.block", "op3")).await.unwrap_err();
    assert_eq!(refused.class, ErrorClass::Capacity);
}

const IMAGE: &str = "resolve:ssm:/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64";

#[tokio::test]
async fn an_instance_is_started_by_itself_or_from_a_template() {
    let emulator = Emulator::start();
    let cloud = emulator.cloud();
    let trial = Trial::<instance::Spec>::new(&cloud);
    let subnet = subnets(&emulator)[0].clone();
    let plain =
        json!({ "subnet": subnet, "instance_type": "c6i.large", "image": IMAGE, "disk_gib": 20, "user_data": "x" });
    live(&trial, "op1", &plain, &[json!({ "tags": { "Name": "n" } })]).await;
    let templates = Trial::<launch_template::Spec>::new(&cloud);
    let wide = templates.makes(&template("dep-wide"), &tags("wide.template", "op9")).await;
    let from = json!({ "subnet": subnet, "launch_template": wide.id, "launch_template_version": "1" });
    live(&trial, "op3", &from, &[json!({ "tags": { "Name": "n" } })]).await;
    // Those of a group carry the tags of its template, and are the group's.
    let group = group(&emulator, 1).await;
    let groups = Trial::<autoscaling_group::Spec>::new(&cloud);
    groups.makes(&group, &tags("pool.group", "op2")).await;
    assert_eq!(ids(&trial).await, [""; 0]);
}

/// Creates something as the engine does while AWS does not show what it has made; says which it is.
async fn insist<S: Resource>(trial: &Trial<S>, spec: &Json, operation: &str) -> String {
    trial.persists(spec, &tags("pool.thing", operation)).await.id
}

#[tokio::test]
async fn what_does_not_show_yet_is_made_once() {
    let emulator = Emulator::start();
    let cloud = emulator.cloud();
    let subnet = subnets(&emulator)[0].clone();
    emulator.ask("POST", "settings", &json!({ "visibility_seconds": 0.3 }));
    let role_id = insist(&Trial::<iam_role::Spec>::new(&cloud), &role("dep-role"), "op1").await;
    let profile = json!({ "name": "dep-profile", "role": role_id });
    insist(&Trial::<instance_profile::Spec>::new(&cloud), &profile, "op2").await;
    let provider = json!({ "url": "https://oidc.eks.us-west-2.amazonaws.com/id/ABC" });
    insist(&Trial::<oidc_provider::Spec>::new(&cloud), &provider, "op3").await;
    let plain = json!({ "name": "dep-template", "instance_type": "c6i.large", "image": IMAGE, "disk_gib": 20 });
    let template = insist(&Trial::<launch_template::Spec>::new(&cloud), &plain, "op4").await;
    let group = json!({ "name": "dep-group", "subnets": [subnet], "launch_template": template,
        "launch_template_version": "1", "min": 0, "desired": 1, "max": 1 });
    insist(&Trial::<autoscaling_group::Spec>::new(&cloud), &group, "op5").await;
    let reservation = json!({ "instance_type": "p5.48xlarge", "zone": "us-west-2a", "count": 1 });
    insist(&Trial::<capacity_reservation::Spec>::new(&cloud), &reservation, "op6").await;
    let single = json!({ "subnet": subnet, "launch_template": template, "launch_template_version": "1" });
    insist(&Trial::<instance::Spec>::new(&cloud), &single, "op7").await;
    emulator.ask("POST", "settings", &json!({ "visibility_seconds": 0 }));
    let kinds = forge_modules::aws::kinds_at(&cloud, None);
    for name in [
        "iam_role",
        "instance_profile",
        "oidc_provider",
        "launch_template",
        "autoscaling_group",
        "capacity_reservation",
        "instance",
    ] {
        let kind = kinds.get(&format!("aws.{name}")).unwrap();
        assert_eq!(kind.list(&deployment()).await.unwrap().len(), 1, "{name}");
    }
}
