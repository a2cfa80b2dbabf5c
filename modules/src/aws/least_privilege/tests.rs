use super::*;
use forge_engine::address::Address;
use forge_engine::value::Output;

/// One of every action that some kind may come to need, and of what a blueprint says that limits it.
const EVERY: &[&str] = &[
    "autoscaling:CreateAutoScalingGroup",
    "autoscaling:DescribeAutoScalingGroups",
    "ec2:AllocateAddress",
    "ec2:AuthorizeSecurityGroupEgress",
    "ec2:CreateNatGateway",
    "ec2:CreateSubnet",
    "ec2:CreateTags",
    "ec2:CreateVpc",
    "ec2:DeleteNetworkInterface",
    "ec2:DeleteVpc",
    "ec2:DescribeVpcs",
    "ec2:PurchaseCapacityBlock",
    "ec2:RunInstances",
    "eks:CreateCluster",
    "eks:DescribeAddonVersions",
    "fsx:CreateDataRepositoryAssociation",
    "fsx:CreateFileSystem",
    "fsx:DeleteFileSystem",
    "fsx:DescribeFileSystems",
    "iam:AddRoleToInstanceProfile",
    "iam:AttachRolePolicy",
    "iam:CreateOpenIDConnectProvider",
    "iam:CreateRole",
    "iam:CreateServiceLinkedRole",
    "iam:ListInstanceProfilesForRole",
    "iam:ListRoles",
    "iam:PassRole",
    "kms:CreateGrant",
    "s3:CreateBucket",
    "s3:DeleteObjectVersion",
    "s3:ListBucketMultipartUploads",
    "ssm:GetParameter",
    "sts:GetCallerIdentity",
];

fn value(json: Json) -> Value {
    Value::from(json)
}

fn resources() -> Vec<(&'static str, Value)> {
    let role = Value::Output(Output { address: Address::new("gpus.pool.role"), name: "arn".to_owned() });
    let Value::Map(mut group) = value(json!({
        "cluster": "c", "name": "g", "subnets": [], "market": "spot", "min": 0, "desired": 1, "max": 1,
    })) else {
        return Vec::new();
    };
    group.insert("role".to_owned(), role);
    vec![
        ("aws.iam_role", value(json!({"name": "r", "trusts": ["pods.eks.amazonaws.com"]}))),
        (
            "aws.eks_cluster",
            value(json!({
                "name": "llama-cluster", "role": "r", "version": "1.35", "vpc": "v", "subnets": [],
                "kms_key": "arn:aws:kms:us-west-2:123456789012:key/k",
            })),
        ),
        ("aws.eks_nodegroup", Value::Map(group)),
        ("aws.autoscaling_group", value(json!({"name": "llama-gpus-spot"}))),
        ("aws.fsx_association", value(json!({}))),
        ("aws.s3_bucket", value(json!({"prefix": "llama-data"}))),
        ("aws.s3_bucket", value(json!({"name": "my-corpus"}))),
    ]
}

fn with<T>(region: Option<&str>, look: impl Fn(&Wanted<'_>) -> T) -> T {
    let (resources, deployment) = (resources(), Deployment("llama".to_owned()));
    let resources: Vec<(&str, &Value)> = resources.iter().map(|(kind, spec)| (*kind, spec)).collect();
    look(&Wanted { deployment: &deployment, region, resources: &resources, state: Some("s3://states/team/") })
}

#[test]
fn every_action_is_limited_as_far_as_it_can_be() {
    let made = with(Some("us-west-2"), |wanted| {
        let known = Known::of(wanted);
        let mut statements = grouped(EVERY.iter().copied(), &known);
        statements.extend(state(wanted.state, known.partition));
        documents(&statements, POLICY_CHARACTERS)
    });
    assert_eq!(made.len(), 1);
    same_as_written_down(&made[0]);
}

/// The statements in one line each: who reads a change of them sees what it allows.
fn same_as_written_down(document: &Json) {
    let lines: Vec<String> = document["Statement"]
        .as_array()
        .unwrap()
        .iter()
        .map(|statement| {
            let condition = statement.get("Condition").map(|condition| format!(" if {condition}")).unwrap_or_default();
            format!(
                "{}: {} on {}{condition}",
                statement["Sid"].as_str().unwrap(),
                statement["Action"],
                statement["Resource"]
            )
        })
        .collect();
    let expected = include_str!("every.txt");
    assert_eq!(lines.join("\n"), expected.trim_end(), "see every.txt");
}

#[test]
fn without_a_region_any_will_do_and_partitions_are_by_region() {
    let first = |region| with(region, |wanted| Known::of(wanted).partition);
    assert_eq!(first(None), "aws");
    assert_eq!(first(Some("us-gov-west-1")), "aws-us-gov");
    assert_eq!(first(Some("cn-north-1")), "aws-cn");
    let statements = with(None, |wanted| grouped(["ec2:CreateVpc"].into_iter(), &Known::of(wanted)));
    assert_eq!(statements[0].resources, ["arn:aws:ec2:*:*:vpc/*"]);
}

#[test]
fn what_is_too_long_for_one_document_becomes_several_and_loses_nothing() {
    let statements = with(Some("us-west-2"), |wanted| grouped(EVERY.iter().copied(), &Known::of(wanted)));
    let allowed = |documents: &[Json]| -> BTreeSet<String> {
        let all = documents.iter().flat_map(|document| document["Statement"].as_array().unwrap().clone());
        let pairs = all.flat_map(|statement| {
            let resource = statement["Resource"].to_string();
            let actions = statement["Action"].as_array().unwrap().clone();
            actions.into_iter().map(move |action| format!("{action} {resource}")).collect::<Vec<_>>()
        });
        pairs.collect()
    };
    let whole = documents(&statements, POLICY_CHARACTERS);
    // Hardly more than the longest resource list with one action.
    let parts = documents(&statements, 700);
    assert!(parts.len() > 3, "{}", parts.len());
    assert!(parts.iter().all(|part| characters(part) <= 700));
    assert_eq!(allowed(&whole), allowed(&parts));
    for part in &parts {
        let sids: Vec<&str> =
            part["Statement"].as_array().unwrap().iter().map(|one| one["Sid"].as_str().unwrap()).collect();
        assert_eq!(sids.iter().collect::<BTreeSet<_>>().len(), sids.len(), "{sids:?}");
        assert!(sids.iter().all(|sid| sid.chars().all(|c| c.is_ascii_alphanumeric())), "{sids:?}");
    }
}

#[test]
fn money_is_spent_by_a_statement_of_its_own() {
    let statements = with(Some("us-west-2"), |wanted| grouped(EVERY.iter().copied(), &Known::of(wanted)));
    let buying: Vec<&Statement> =
        statements.iter().filter(|statement| statement.actions.contains("ec2:PurchaseCapacityBlock")).collect();
    assert_eq!(buying.len(), 1);
    assert_eq!((buying[0].sid, buying[0].actions.len()), ("BuyCapacity", 1));
    let needs = needs(["aws.vpc"].into_iter());
    assert!(!needs.contains_key("ec2:PurchaseCapacityBlock"));
}
