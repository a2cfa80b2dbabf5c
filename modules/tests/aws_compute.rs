//! Kinds of target aws that instances are made of, in an emulated account: roles, templates, groups, reservations.

mod compute;

use compute::{Driven, Emulator, REGION, fields, tags};
use forge_engine::kind::{AnyKind, ErrorClass, Readiness};
use forge_modules::compute::{
    Live, autoscaling_group, capacity_block, capacity_reservation, iam_role, instance_profile, launch_template,
    oidc_provider,
};
use serde_json::{Value as Json, json};

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
    let kind = Live::<iam_role::Spec>::new(&emulator.cloud(), Some(REGION));
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
    Driven::new(&kind).live(&role, &changes).await;
}

#[tokio::test]
async fn a_role_of_somebody_else_is_left_alone() {
    let emulator = Emulator::start();
    let kind = Live::<iam_role::Spec>::new(&emulator.cloud(), Some(REGION));
    let driven = Driven::new(&kind);
    let made = driven.create(&role("dep-pool"), &tags("pool.role", "op1")).await;
    assert_eq!(fields(&made), json!(["boundary", "managed_policies", "name", "policies", "tags", "trusts"]));
    let refused = driven.try_create(&role("dep-pool"), &tags("pool.role", "op2")).await.unwrap_err();
    assert_eq!(refused.class, ErrorClass::Terminal);
    assert_eq!(
        refused.message,
        "the IAM role dep-pool is there already: this deployment has made it, by another run of forge"
    );
    let trusts = "%7B%22Version%22%3A%222012-10-17%22%2C%22Statement%22%3A%7B%22Effect%22%3A%22Allow%22%2C%22Principal%22%3A%7B%22Service%22%3A%22ec2.amazonaws.com%22%7D%2C%22Action%22%3A%22sts%3AAssumeRole%22%7D%7D";
    emulator
        .ask("iam", &format!("Action=CreateRole&Version=2010-05-08&RoleName=theirs&AssumeRolePolicyDocument={trusts}"));
    let refused = driven.try_create(&role("theirs"), &tags("pool.role", "op3")).await.unwrap_err();
    assert_eq!(refused.message, "the IAM role theirs is there already, and is not this deployment's");
    assert_eq!(driven.list().await, ["dep-pool"]);
}

#[tokio::test]
async fn an_instance_profile_holds_one_role() {
    let emulator = Emulator::start();
    let cloud = emulator.cloud();
    let roles = Live::<iam_role::Spec>::new(&cloud, Some(REGION));
    let roles = Driven::new(&roles);
    roles.create(&role("dep-one"), &tags("one.role", "op8")).await;
    roles.create(&role("dep-two"), &tags("two.role", "op9")).await;
    let kind = Live::<instance_profile::Spec>::new(&cloud, Some(REGION));
    let profile = json!({ "name": "dep-pool", "role": "dep-one" });
    let driven = Driven::new(&kind);
    driven.live(&profile, &[json!({ "role": "dep-two" }), json!({ "tags": { "team": "a" } })]).await;
    // A role in a profile cannot go, and the refusal says which profile.
    driven.create(&profile, &tags("pool.profile", "op2")).await;
    let refused = AnyKind::delete(&Live::<iam_role::Spec>::new(&cloud, Some(REGION)), "dep-one").await.unwrap_err();
    assert_eq!(refused.class, ErrorClass::NotYetVisible);
    assert!(refused.message.ends_with("; in the way: instance profile dep-pool"), "{}", refused.message);
    driven.delete("dep-pool").await;
    roles.delete("dep-one").await;
    roles.delete("dep-two").await;
}

#[tokio::test]
async fn an_issuer_is_trusted() {
    let emulator = Emulator::start();
    let kind = Live::<oidc_provider::Spec>::new(&emulator.cloud(), Some(REGION));
    let provider = json!({ "url": "https://oidc.eks.us-west-2.amazonaws.com/id/ABC" });
    let changes =
        [json!({ "clients": ["other", "sts.amazonaws.com"] }), json!({ "clients": ["other"], "tags": { "a": "b" } })];
    Driven::new(&kind).live(&provider, &changes).await;
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
    let kind = Live::<launch_template::Spec>::new(&emulator.cloud(), Some(REGION));
    let driven = Driven::new(&kind);
    let changes = [
        json!({ "disk_gib": 300 }),
        json!({ "image": null, "user_data": "other" }),
        json!({ "interfaces": [] }),
        json!({ "market": "spot", "metadata_hops": 1 }),
        json!({ "market": "capacity-block", "reservation": "cr-0123456789abcdef0" }),
        json!({ "instance_tags": {}, "tags": { "team": "a" } }),
    ];
    driven.live(&template("dep-pool"), &changes).await;

    let (spec, born) = (template("dep-other"), tags("pool.template[0]", "op2"));
    let made = driven.create(&spec, &born).await;
    assert_eq!(made.outputs["latest_version"], "1");
    assert_eq!(
        driven.update(&made.id, &spec, &spec, &tags("moved.template", "op2")).await.outputs["latest_version"],
        "1"
    );
    let mut other = spec.clone();
    other["disk_gib"] = json!(201);
    let changed = driven.update(&made.id, &spec, &other, &born).await;
    assert_eq!(changed.outputs["latest_version"], "2");
    assert_eq!(driven.update(&made.id, &spec, &other, &born).await.outputs["latest_version"], "2");
    let read = AnyKind::read_many(&kind, &["lt-0123456789abcdef0".to_owned(), made.id.clone()]).await.unwrap();
    assert!(read[0].is_none() && read[1].is_some(), "one that is gone hides no other");
}

/// A group of so many instances, and what they are started from.
async fn group(emulator: &Emulator, desired: u32) -> Json {
    let kind = Live::<launch_template::Spec>::new(&emulator.cloud(), Some(REGION));
    let spec = json!({ "name": "dep-plain", "instance_type": "c6i.large", "disk_gib": 20,
        "image": "resolve:ssm:/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64" });
    let made = Driven::new(&kind).create(&spec, &tags("plain.template", "op0")).await;
    json!({
        "name": "dep-plain", "subnets": [emulator.subnets()[0]], "launch_template": made.id,
        "launch_template_version": made.outputs["latest_version"], "min": 0, "desired": desired, "max": 4,
    })
}

#[tokio::test]
async fn a_group_has_its_instances_and_takes_them_with_it() {
    let emulator = Emulator::start();
    let group = group(&emulator, 2).await;
    let kind = Live::<autoscaling_group::Spec>::new(&emulator.cloud(), Some(REGION));
    let subnets: Vec<String> = emulator.subnets().into_iter().take(2).collect();
    let changes = [
        json!({ "min": 1, "desired": 3, "max": 5 }),
        json!({ "grace_seconds": 60 }),
        json!({ "subnets": subnets }),
        json!({ "tags": { "team": "a" } }),
        json!({ "tags": {} }),
    ];
    let driven = Driven::new(&kind);
    driven.live(&group, &changes).await;
    let instances = emulator.dump().to_string();
    assert!(!instances.contains("\"instance\""), "{instances}");
    let made = driven.create(&group, &tags("pool.group", "op2")).await;
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
    assert_eq!(fields(&made), json!(all));
    let answer = emulator.ask("autoscaling", "Action=DescribeAutoScalingGroups&Version=2011-01-01");
    assert!(answer.contains("<ProcessName>AZRebalance</ProcessName>"), "{answer}");
}

#[tokio::test]
async fn a_group_without_capacity_says_so_in_the_words_of_aws() {
    let emulator = Emulator::start();
    let group = group(&emulator, 2).await;
    emulator.settings(&json!({ "capacity": [
        { "zone": "us-west-2a", "instance_type": "c6i.large", "available": 0 },
        { "zone": "us-west-2b", "instance_type": "c6i.large", "available": 0 },
        { "zone": "us-west-2c", "instance_type": "c6i.large", "available": 0 },
        { "zone": "us-west-2d", "instance_type": "c6i.large", "available": 0 },
    ] }));
    let kind = Live::<autoscaling_group::Spec>::new(&emulator.cloud(), Some(REGION));
    let driven = Driven::new(&kind);
    let made = driven.try_create(&group, &tags("pool.group", "op1")).await.unwrap();
    let waiting = Readiness::Waiting("0 of 2 instances are in service".to_owned());
    assert_eq!(made.readiness, waiting);
    let refused = loop {
        match AnyKind::read(&kind, &made.id).await {
            Err(refused) => break refused,
            Ok(seen) => assert_eq!(seen.map(|seen| seen.readiness), Some(waiting.clone())),
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    };
    assert_eq!(refused.class, ErrorClass::Capacity);
    assert!(refused.message.contains("sufficient c6i.large capacity"), "{}", refused.message);
    // A plan is made of what is listed; and what has no capacity can be deleted.
    assert_eq!(driven.list().await, [made.id.clone()]);
    driven.delete(&made.id).await;
}

#[tokio::test]
async fn a_reservation_is_kept_until_it_is_cancelled() {
    let emulator = Emulator::start();
    let kind = Live::<capacity_reservation::Spec>::new(&emulator.cloud(), Some(REGION));
    let reservation = json!({ "instance_type": "p5.48xlarge", "zone": "us-west-2a", "count": 2 });
    let changes = [
        json!({ "count": 3 }),
        json!({ "ends": "2031-01-01T00:00:00Z" }),
        json!({ "ends": null }),
        json!({ "tags": { "Name": "n" } }),
    ];
    let driven = Driven::new(&kind);
    driven.live(&reservation, &changes).await;
    emulator
        .settings(&json!({ "capacity": [{ "zone": "us-west-2a", "instance_type": "p5.48xlarge", "available": 1 }] }));
    let refused = driven.try_create(&reservation, &tags("pool.reservation", "op2")).await.unwrap_err();
    assert_eq!(refused.class, ErrorClass::Capacity);
}

#[tokio::test]
async fn a_block_is_bought_once_and_forgotten_when_it_is_deleted() {
    let emulator = Emulator::start();
    let cloud = emulator.cloud();
    let kind = Live::<capacity_block::Spec>::new(&cloud, Some(REGION));
    let driven = Driven::new(&kind);
    let block = json!({ "instance_type": "p5.48xlarge", "count": 2, "days": 1, "max_price_usd": 1e6 });
    let born = tags("pool.block", "op1");
    let made = driven.create(&block, &born).await;
    assert_eq!(driven.create(&block, &born).await.id, made.id, "what this operation has bought is found");
    let refused = driven.try_create(&block, &tags("pool.block", "op2")).await.unwrap_err();
    assert_eq!(refused.message, format!("{} has been bought for pool.block already; a second one is not", made.id));
    let reservations = Live::<capacity_reservation::Spec>::new(&cloud, Some(REGION));
    assert_eq!(Driven::new(&reservations).list().await, [""; 0]);
    driven.delete(&made.id).await;
    driven.live(&block, &[json!({ "tags": { "Name": "n" } })]).await;
    let cheap = json!({ "instance_type": "p5.48xlarge", "count": 2, "days": 1, "max_price_usd": 1 });
    let refused = driven.try_create(&cheap, &tags("pool.block", "op3")).await.unwrap_err();
    assert_eq!(refused.class, ErrorClass::Capacity);
}
