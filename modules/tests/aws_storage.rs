//! Buckets and file systems on the emulated AWS.

#![allow(clippy::unwrap_used, reason = "what a test cannot go on without ends it")]
#![allow(clippy::large_futures, reason = "futures of the SDK are large, and each of these is made once")]

mod aws;

use aws::{Emulator, REGION, Trial, tags};
use forge_engine::kind::{ErrorClass, Kind, Readiness};
use forge_modules::aws::{fsx_association, fsx_lustre, s3_bucket, security_group, subnet, vpc};
use serde_json::{Value as Json, json};

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

#[tokio::test]
async fn a_bucket_is_made_changed_and_emptied() {
    let emulator = quick();
    let buckets = Trial::<s3_bucket::Spec>::new(&emulator.cloud());
    let spec = json!({
        "prefix": "trial-data", "versioning": true, "abort_uploads_days": 2,
        "lifecycle": [
            { "archive_days": 30, "keep_old_versions_days": 7 },
            { "prefix": "logs/", "expire_days": 90 },
            { "prefix": "nothing/" },
        ],
        "tags": { "team": "a" },
    });
    let own = tags("store.bucket", "o1");
    let made = buckets.makes(&spec, &own).await;
    let name = made.id.clone();
    assert_eq!(name, format!("trial-data-123456789012-{REGION}"));
    assert_eq!(made.outputs["arn"], format!("arn:aws:s3:::{name}"));
    assert_eq!(made.outputs["url"], format!("s3://{name}"));
    let policy = emulator.s3("GET", &format!("/{name}?policy"), "");
    assert!(policy.contains("aws:SecureTransport"), "{policy}");
    let closed = emulator.s3("GET", &format!("/{name}?publicAccessBlock"), "");
    assert_eq!(closed.matches(">true<").count(), 4, "{closed}");

    let changed = with(
        &spec,
        json!({
            "versioning": false, "lifecycle": [], "abort_uploads_days": 1, "tags": { "team": "b", "x": "y" },
            "kms_key": "arn:aws:kms:us-west-2:123456789012:key/0b1c2d3e-0000-0000-0000-000000000000",
        }),
    );
    buckets.changes(&name, &spec, &changed, &tags("store.moved", "o1")).await;
    buckets.changes(&name, &changed, &spec, &own).await;

    // Those who fill it here come without TLS.
    emulator.s3("DELETE", &format!("/{name}?policy"), "");
    for (object, times) in [("a", 3), ("b/c d+e", 1)] {
        for _ in 0..times {
            let put = emulator.s3("PUT", &format!("/{name}/{}", object.replace(' ', "%20")), "something");
            assert!(put.starts_with("HTTP/1.1 200"), "{put}");
        }
    }
    emulator.s3("DELETE", &format!("/{name}/a"), "");
    let begun = emulator.s3("POST", &format!("/{name}/half?uploads"), "");
    assert!(begun.contains("UploadId"), "{begun}");
    buckets.deletes(&name).await;
}

#[tokio::test]
async fn a_bucket_that_is_there_already_is_left_alone() {
    let emulator = quick();
    let cloud = emulator.cloud();
    let buckets = Trial::<s3_bucket::Spec>::new(&cloud);
    let spec = json!({ "name": "chosen-by-somebody" });
    let own = tags("store.bucket", "o1");
    let name = buckets.makes(&spec, &own).await.id;
    let said = async |own| buckets.try_create(&spec, &own).await.unwrap_err();
    let other = said(tags("other.bucket", "o2")).await;
    let bucket = "the bucket chosen-by-somebody exists already";
    assert_eq!(other.message, format!("{bucket}: this deployment has made it as store.bucket"));
    assert_eq!(other.class, ErrorClass::Terminal);
    emulator.s3("DELETE", &format!("/{name}?tagging"), "");
    assert_eq!(said(own.clone()).await.message, format!("{bucket}, and is not forge's"));
    assert_eq!(buckets.kind.list(&own.deployment).await.unwrap(), []);
    let wrong = buckets.try_create(&json!({ "name": "Wrong" }), &own).await.unwrap_err();
    assert!(wrong.message.contains("'W' is not allowed"), "{}", wrong.message);
    buckets.deletes(&name).await;
}

/// Where S3 answers as if it had made what is there already.
#[tokio::test]
async fn in_us_east_1_a_bucket_that_is_there_is_looked_at_first() {
    let emulator = quick();
    let buckets = Trial::<s3_bucket::Spec>::new(&emulator.cloud_in("us-east-1"));
    let spec = json!({ "prefix": "trial-data", "tags": { "team": "a" } });
    let name = buckets.makes(&spec, &tags("store.bucket", "o1")).await.id;
    assert_eq!(name, "trial-data-123456789012-us-east-1");
    let other = buckets.try_create(&spec, &tags("other.bucket", "o2")).await.unwrap_err();
    assert!(
        other.message.ends_with("exists already: this deployment has made it as store.bucket"),
        "{}",
        other.message
    );
    buckets.deletes(&name).await;
}

#[tokio::test]
async fn a_file_system_is_made_grown_and_linked_to_a_bucket() {
    let emulator = quick();
    let cloud = emulator.cloud();
    let vpc = Trial::<vpc::Spec>::new(&cloud).makes(&json!({ "cidr": "10.0.0.0/16" }), &tags("net.vpc", "o1")).await.id;
    let subnets = Trial::<subnet::Spec>::new(&cloud);
    let subnet = json!({ "vpc": vpc, "cidr": "10.0.1.0/24", "zone": "us-west-2a" });
    let subnet = subnets.makes(&subnet, &tags("net.subnet", "o2")).await.id;
    let selves = json!([{ "peer": { "group": "self" } }]);
    let group = json!({
        "name": "lustre", "description": "lustre", "vpc": vpc, "ingress": selves, "egress": selves,
    });
    let group = Trial::<security_group::Spec>::new(&cloud).makes(&group, &tags("net.group", "o3")).await.id;

    let systems = Trial::<fsx_lustre::Spec>::new(&cloud);
    let spec = json!({
        "subnet": subnet, "security_groups": [group], "capacity_gib": 1200, "deployment": "persistent-2",
        "throughput": 125, "metadata": "automatic", "compress": true, "tags": { "Name": "scratch" },
    });
    let own = tags("scratch.filesystem", "o4");
    let wrong = systems.try_create(&with(&spec, json!({ "capacity_gib": 1300 })), &own).await.unwrap_err();
    assert!(wrong.message.starts_with("FSx has no file system of 1300 GiB"), "{}", wrong.message);
    let first = systems.create(&spec, &own).await;
    assert!(matches!(first.readiness, Readiness::Waiting(_)), "{first:?}");
    let made = systems.makes(&spec, &own).await;
    assert_eq!(made.id, first.id);
    let changed = with(
        &spec,
        json!({
            "capacity_gib": 2400, "throughput": 250, "metadata": { "iops": 6000 }, "compress": false, "backup_days": 3,
            "tags": { "Name": "other" },
        }),
    );
    systems.changes(&made.id, &spec, &changed, &tags("moved.filesystem", "o4")).await;
    let efa = json!({
        "subnet": subnet, "security_groups": [group], "capacity_gib": 4800, "deployment": "persistent-2",
        "throughput": 1000, "metadata": "automatic", "efa": true,
    });
    let fast = systems.makes(&efa, &tags("fast.filesystem", "o5")).await.id;
    let scratch = json!({
        "subnet": subnet, "security_groups": [group], "capacity_gib": 1200, "deployment": "scratch-2",
    });
    let short = systems.makes(&scratch, &tags("short.filesystem", "o6")).await.id;
    let ids = [short.clone(), "fs-00000000000000000".to_owned(), made.id.clone()];
    let read = systems.kind.read_many(&ids).await.unwrap();
    assert_eq!(read.iter().map(Option::is_some).collect::<Vec<_>>(), [true, false, true]);

    let buckets = Trial::<s3_bucket::Spec>::new(&cloud);
    let bucket = buckets.makes(&json!({ "name": "trial-objects" }), &tags("data.bucket", "o7")).await.id;
    let links = Trial::<fsx_association::Spec>::new(&cloud);
    let link = json!({ "file_system": made.id, "path": "/data", "source": format!("s3://{bucket}/data") });
    let own = tags("scratch.objects", "o8");
    let linked = links.makes(&link, &own).await.id;
    let changed = with(&link, json!({ "import": ["new"], "export": [], "chunk_mib": 512, "tags": { "a": "b" } }));
    links.changes(&linked, &link, &changed, &own).await;
    links.deletes(&linked).await;
    for id in [&made.id, &fast, &short] {
        systems.deletes(id).await;
    }
    buckets.deletes(&bucket).await;
}

#[tokio::test]
async fn a_file_system_that_nobody_could_reach_is_refused_in_the_words_of_fsx() {
    let emulator = quick();
    let cloud = emulator.cloud();
    let vpc = Trial::<vpc::Spec>::new(&cloud).makes(&json!({ "cidr": "10.0.0.0/16" }), &tags("net.vpc", "o1")).await.id;
    let subnet = json!({ "vpc": vpc, "cidr": "10.0.1.0/24", "zone": "us-west-2a" });
    let subnet = Trial::<subnet::Spec>::new(&cloud).makes(&subnet, &tags("net.subnet", "o2")).await.id;
    let group = json!({ "name": "lustre", "description": "closed", "vpc": vpc });
    let group = Trial::<security_group::Spec>::new(&cloud).makes(&group, &tags("net.group", "o3")).await.id;
    let spec = json!({
        "subnet": subnet, "security_groups": [group], "capacity_gib": 1200, "deployment": "scratch-2",
    });
    let systems = Trial::<fsx_lustre::Spec>::new(&cloud);
    let why = match systems.try_create(&spec, &tags("scratch.filesystem", "o4")).await {
        Err(error) => error.message,
        Ok(made) => match made.readiness {
            Readiness::Failed(why) => why,
            other => panic!("{other:?}"),
        },
    };
    assert!(why.contains("do not permit Lustre LNET network traffic on port 988"), "{why}");
}
