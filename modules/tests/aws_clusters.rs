//! Clusters and what is in them on the emulated AWS.

#![allow(clippy::unwrap_used, reason = "what a test cannot go on without ends it")]
#![allow(clippy::large_futures, reason = "futures of the SDK are large, and each of these is made once")]

mod aws;

use aws::{Emulator, REGION, Trial, tags};
use forge_engine::kind::{ErrorClass, Kind, Readiness};
use forge_modules::aws::{
    Cloud, eks_access_entry, eks_addon, eks_cluster, eks_nodegroup, eks_pod_identity, subnet, vpc,
};
use serde_json::{Value as Json, json};
use std::sync::Arc;

/// Where what takes AWS minutes takes a moment.
fn quick() -> Emulator {
    let emulator = Emulator::start();
    emulator.ask("POST", "settings", &json!({ "speed": 0.001 }));
    emulator
}

fn with(spec: &Json, changes: Json) -> Json {
    let mut spec = spec.clone();
    spec.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    spec
}

/// A role that a service may take; its ARN.
fn role(emulator: &Emulator, name: &str, service: &str, policies: &[&str]) -> String {
    let trust = format!(
        "%7B%22Version%22%3A%222012-10-17%22%2C%22Statement%22%3A%5B%7B%22Effect%22%3A%22Allow%22%2C%22Principal%22%3A%7B\
         %22Service%22%3A%22{service}%22%7D%2C%22Action%22%3A%5B%22sts%3AAssumeRole%22%2C%22sts%3ATagSession%22%5D%7D%5D%7D"
    );
    let made = format!("Action=CreateRole&RoleName={name}&AssumeRolePolicyDocument={trust}");
    let arn = emulator.iam(&made, "Arn");
    for policy in policies {
        let arn = format!("arn:aws:iam::aws:policy/{policy}");
        emulator.iam(&format!("Action=AttachRolePolicy&RoleName={name}&PolicyArn={arn}"), "RequestId");
    }
    arn
}

/// Two subnets of a VPC.
struct Network {
    vpc: String,
    subnets: Vec<String>,
}

async fn network(cloud: &Arc<Cloud>) -> Network {
    let vpc = Trial::<vpc::Spec>::new(cloud).makes(&json!({ "cidr": "10.0.0.0/16" }), &tags("net.vpc", "n1")).await.id;
    let mut made = Vec::new();
    for (n, zone) in ["a", "b"].into_iter().enumerate() {
        let spec = json!({
            "vpc": vpc, "cidr": format!("10.0.{n}.0/24"), "zone": format!("{REGION}{zone}"), "public_addresses": true,
        });
        let address = format!("net.subnet[{n}]");
        made.push(Trial::<subnet::Spec>::new(cloud).makes(&spec, &tags(&address, &address)).await.id);
    }
    made.sort();
    Network { vpc, subnets: made }
}

fn control_plane(emulator: &Emulator, network: &Network) -> Json {
    let role = role(emulator, "plane", "eks.amazonaws.com", &["AmazonEKSClusterPolicy"]);
    json!({
        "name": "trial", "role": role, "version": "1.34", "vpc": network.vpc, "subnets": network.subnets, "logs": ["audit", "authenticator"],
        "public_cidrs": ["0.0.0.0/0"], "tags": { "team": "a" },
    })
}

#[tokio::test]
async fn a_cluster_is_made_changed_and_deleted() {
    let emulator = quick();
    let cloud = emulator.cloud();
    let network = network(&cloud).await;
    let clusters = Trial::<eks_cluster::Spec>::new(&cloud);
    let spec = control_plane(&emulator, &network);
    let own = tags("cluster.cluster", "o1");
    let first = clusters.create(&spec, &own).await;
    assert!(matches!(first.readiness, Readiness::Waiting(_)), "{first:?}");
    let made = clusters.makes(&spec, &own).await;
    assert!(made.outputs["issuer"].as_str().unwrap().starts_with("https://"), "{made:?}");
    let taken = clusters.try_create(&spec, &tags("other.cluster", "o2")).await.unwrap_err();
    let message = "the cluster trial exists already: this deployment has made it as cluster.cluster";
    assert_eq!((taken.class, taken.message.as_str()), (ErrorClass::Terminal, message));

    let mut before = spec.clone();
    for change in [
        json!({ "logs": ["api"], "tags": { "team": "b" } }),
        json!({ "public_cidrs": ["192.0.2.0/24"] }),
        json!({ "public_endpoint": false, "public_cidrs": [] }),
        json!({ "deletion_protection": true }),
        json!({ "version": "1.35" }),
    ] {
        let after = with(&before, change);
        clusters.changes("trial", &before, &after, &own).await;
        before = after;
    }
    let refused = clusters.kind.delete("trial").await.unwrap_err();
    assert_eq!(refused.class, ErrorClass::Terminal, "{}", refused.message);

    // Two sorts of changes: the second waits for the first.
    let both = with(&before, json!({ "deletion_protection": false, "logs": [] }));
    let wanted = serde_json::from_value(both.clone()).unwrap();
    let error = clusters.kind.update("trial", None, &wanted, &own).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Busy);
    assert_eq!(error.message, "EKS makes one change of trial at a time; logs comes after the one that is on its way");
    clusters.changes("trial", &before, &both, &own).await;
    clusters.deletes("trial").await;
}

#[tokio::test]
async fn what_is_in_a_cluster_is_made_changed_and_deleted() {
    let emulator = quick();
    let cloud = emulator.cloud();
    let network = network(&cloud).await;
    let clusters = Trial::<eks_cluster::Spec>::new(&cloud);
    clusters.makes(&control_plane(&emulator, &network), &tags("cluster.cluster", "o1")).await;

    let entries = Trial::<eks_access_entry::Spec>::new(&cloud);
    let person = role(&emulator, "person", "ec2.amazonaws.com", &[]);
    let spec = json!({
        "cluster": "trial", "principal": person, "groups": ["viewers"],
        "policies": [{ "name": "AmazonEKSClusterAdminPolicy" }],
    });
    let own = tags("cluster.admin[0]", "o2");
    let entry = entries.makes(&spec, &own).await.id;
    assert_eq!(entry, format!("trial/{person}"));
    let changed = with(
        &spec,
        json!({
            "groups": [], "tags": { "a": "b" }, "policies": [
                { "name": "AmazonEKSEditPolicy", "namespaces": ["jobs", "default"] }, { "name": "AmazonEKSViewPolicy" },
            ],
        }),
    );
    entries.changes(&entry, &spec, &changed, &own).await;
    let narrowed = with(&changed, json!({ "policies": [{ "name": "AmazonEKSEditPolicy", "namespaces": ["jobs"] }] }));
    entries.changes(&entry, &changed, &narrowed, &own).await;

    let pods = role(&emulator, "pods", "pods.eks.amazonaws.com", &["AmazonEKS_CNI_Policy"]);
    let other = role(&emulator, "other", "pods.eks.amazonaws.com", &["AmazonEKS_CNI_Policy"]);
    let addons = Trial::<eks_addon::Spec>::new(&cloud);
    let spec = json!({ "cluster": "trial", "name": "vpc-cni", "roles": { "aws-node": pods } });
    let own = tags("cluster.cni", "o3");
    let cni = addons.makes(&spec, &own).await;
    assert_eq!(cni.id, "trial/vpc-cni");
    let changed = with(
        &spec,
        json!({
            "configuration": { "env": { "WARM_ENI_TARGET": "1" } }, "roles": { "aws-node": other },
            "version": cni.outputs["version"], "tags": { "a": "b" },
        }),
    );
    addons.changes(&cni.id, &spec, &changed, &own).await;
    addons.changes(&cni.id, &changed, &with(&spec, json!({ "roles": {} })), &own).await;
    // No node will ever come: it is installed.
    let dns = json!({ "cluster": "trial", "name": "coredns" });
    let dns = addons.makes(&dns, &tags("cluster.addon[1]", "o4")).await.id;

    let identities = Trial::<eks_pod_identity::Spec>::new(&cloud);
    let spec = json!({ "cluster": "trial", "namespace": "default", "service_account": "train", "role": pods });
    let own = tags("cluster.jobs", "o5");
    let identity = identities.makes(&spec, &own).await.id;
    let changed = with(&spec, json!({ "role": other, "tags": { "a": "b" } }));
    identities.changes(&identity, &spec, &changed, &own).await;
    let taken = identities.try_create(&spec, &tags("other.jobs", "o6")).await.unwrap_err();
    assert_eq!(
        taken.message,
        "a role for default/train in trial exists already: this deployment has made it as cluster.jobs"
    );

    identities.deletes(&identity).await;
    addons.deletes(&cni.id).await;
    addons.deletes(&dns).await;
    entries.deletes(&entry).await;
    clusters.deletes("trial").await;
}

fn nodes(emulator: &Emulator, subnets: &[String]) -> Json {
    let policies = ["AmazonEKSWorkerNodePolicy", "AmazonEC2ContainerRegistryPullOnly", "AmazonEKS_CNI_Policy"];
    let role = role(emulator, "nodes", "ec2.amazonaws.com", &policies);
    let template = "Action=CreateLaunchTemplate&LaunchTemplateName=nodes&LaunchTemplateData.InstanceType=m5.large";
    let template = emulator.ec2(template, "launchTemplateId");
    let version = format!(
        "Action=CreateLaunchTemplateVersion&LaunchTemplateId={template}&LaunchTemplateData.InstanceType=m5.xlarge"
    );
    emulator.ec2(&version, "versionNumber");
    json!({
        "cluster": "trial", "name": "pool", "role": role, "subnets": subnets, "market": "on-demand",
        "ami": "AL2023_x86_64_STANDARD", "launch_template": template, "launch_template_version": "1",
        "min": 0, "desired": 2, "max": 2, "labels": { "forge/pool": "pool" },
        "taints": [{ "key": "nvidia.com/gpu", "effect": "no-schedule" }],
    })
}

#[tokio::test]
async fn nodes_are_made_changed_and_ended() {
    let emulator = quick();
    let cloud = emulator.cloud();
    let network = network(&cloud).await;
    let clusters = Trial::<eks_cluster::Spec>::new(&cloud);
    clusters.makes(&control_plane(&emulator, &network), &tags("cluster.cluster", "o1")).await;
    let groups = Trial::<eks_nodegroup::Spec>::new(&cloud);
    let spec = nodes(&emulator, &network.subnets);
    let own = tags("pool.nodes[0]", "o2");
    let made = groups.makes(&spec, &own).await;
    assert_eq!(made.id, "trial/pool");
    let refused = clusters.kind.delete("trial").await.unwrap_err();
    assert_eq!(refused.class, ErrorClass::NotYetVisible);
    assert!(refused.message.contains("in the way: node groups pool"), "{}", refused.message);

    let changed = with(
        &spec,
        json!({
            "min": 1, "desired": 1, "max": 4, "labels": { "a": "b" }, "max_unavailable": 2, "auto_repair": true,
            "taints": [
                { "key": "nvidia.com/gpu", "value": "present", "effect": "no-schedule" },
                { "key": "x", "effect": "no-execute" },
            ],
            "tags": { "a": "b" },
        }),
    );
    groups.changes(&made.id, &spec, &changed, &tags("pool.moved", "o2")).await;
    let rolled = with(&changed, json!({ "launch_template_version": "2", "taints": [] }));
    let wanted = serde_json::from_value(rolled.clone()).unwrap();
    let error = groups.kind.update(&made.id, None, &wanted, &own).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Busy);
    let next =
        "EKS makes one change of trial/pool at a time; launch_template_version comes after the one that is on its way";
    assert_eq!(error.message, next);
    groups.changes(&made.id, &changed, &rolled, &own).await;
    groups.deletes(&made.id).await;
    clusters.deletes("trial").await;
}

#[tokio::test]
async fn lack_of_capacity_is_told_in_the_words_of_aws() {
    let emulator = quick();
    let cloud = emulator.cloud();
    let network = network(&cloud).await;
    let clusters = Trial::<eks_cluster::Spec>::new(&cloud);
    clusters.makes(&control_plane(&emulator, &network), &tags("cluster.cluster", "o1")).await;
    let zones = ["a", "b"].map(|zone| {
        json!({ "zone": format!("{REGION}{zone}"), "instance_type": "m5.large", "available": 0, "market": "on-demand" })
    });
    emulator.ask("POST", "settings", &json!({ "capacity": zones }));
    let groups = Trial::<eks_nodegroup::Spec>::new(&cloud);
    let spec = nodes(&emulator, &network.subnets);
    let made = groups.create(&spec, &tags("pool.nodes[0]", "o2")).await.id;
    for tries in 0.. {
        assert!(tries < 1000);
        let seen = groups.read(&made).await.unwrap();
        if let Readiness::Failed(why) = seen.readiness {
            assert!(why.starts_with("AsgInstanceLaunchFailures: "), "{why}");
            assert!(why.contains("InsufficientInstanceCapacity"), "{why}");
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    groups.deletes(&made).await;
    clusters.deletes("trial").await;
}
