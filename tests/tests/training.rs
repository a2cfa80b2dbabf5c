//! SPECIFICATION 5, with the real training script: any worker, node or leader may die; the weights are the same, bit for bit.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test panics and prints")]

use forge_tests::{Ran, Site, wait_until};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

const STEPS: &str = "steps=100";
/// A bound on hope: three restarts of JAX and a hundred steps on a busy machine.
const PATIENCE: Duration = Duration::from_secs(300);

fn site() -> Site {
    // The script needs JAX; without this, it would fail on whatever Python there is.
    assert!(forge_tests::python().exists());
    let site = Site::of_example("quickstart");
    site.forge(&["up", "--yes"]).with_code(0);
    site
}

fn bucket(site: &Site) -> PathBuf {
    site.path().join(".forge/first-light/local/buckets/data.bucket")
}

fn json(path: &Path) -> serde_json::Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// What must be the same whatever happened on the way.
struct Outcome {
    digest: String,
    loss: f64,
    checkpoints: Vec<u64>,
    last: BTreeMap<String, Vec<u8>>,
}

/// What a run that has ended well leaves behind; `talk` is what `forge train` or `forge logs` printed of rank 0.
fn outcome(site: &Site, talk: &Ran) -> Outcome {
    let summary = json(&bucket(site).join("runs/train-1/output/final.json"));
    assert_eq!((&summary["steps"], &summary["world_size"]), (&100.into(), &2.into()), "{summary}");
    let digest = summary["digest"].as_str().unwrap().to_owned();
    let printed = talk.stdout.lines().last().unwrap();
    assert_eq!(printed, format!("final weights sha256:{digest}"), "{}", talk.stdout);

    let first = talk.stdout.lines().find_map(|line| line.strip_prefix("step 1 loss ")).expect("the first loss");
    let first: f64 = first.split(' ').next().unwrap().parse().unwrap();
    let loss = summary["loss"].as_f64().unwrap();
    assert!(first > 5.0 && loss < 3.0, "loss fell from {first} to {loss}");

    let listed = site.forge(&["checkpoints", "--json"]).with_code(0).json();
    let checkpoints: Vec<_> = listed.iter().map(|line| line["checkpoint"]["step"].as_u64().unwrap()).collect();
    let committed = site.events().into_iter().filter(|(kind, _)| kind == "committed").map(|(_, message)| message);
    let committed: Vec<_> = committed.collect();
    for step in &checkpoints {
        let of_step = format!("step {step}: ");
        assert!(committed.iter().any(|message| message.starts_with(&of_step)), "{step}: {committed:?}");
    }
    let verified = site.forge(&["checkpoints", "verify"]).with_code(0).stdout;
    let whole: String = checkpoints.iter().map(|step| format!("step {step}: whole\n")).collect();
    assert_eq!(verified, whole);

    site.forge(&["checkpoints", "export", "exported"]).with_code(0);
    let exported = site.path().join("exported");
    let files = site.files().into_iter().filter(|file| file.starts_with("exported/") && !file.ends_with('/'));
    let last: BTreeMap<_, _> =
        files.map(|file| (file.clone(), std::fs::read(site.path().join(file)).unwrap())).collect();
    assert!(exported.join("rank-0/leaves.npz").is_file() && exported.join("rank-1/leaves.npz").is_file());
    Outcome { digest, loss, checkpoints, last }
}

fn inject(site: &Site, fault: &[&str], step: &str, restarts: usize) {
    let fault = [&["inject"], fault, &["--at-step", step]].concat();
    println!("{}", site.forge(&fault).with_code(0).stderr);
    wait_until("the run goes on after the failure", PATIENCE, || {
        let run = site.newest_run();
        run["state"]["restarts"].as_array().unwrap().len() >= restarts && run["state"]["phase"] == "running"
    });
}

fn leader(site: &Site) -> (u64, String) {
    let lease = json(&bucket(site).join("leader.json"));
    (lease["epoch"].as_u64().unwrap(), lease["holder"].as_str().unwrap().to_owned())
}

#[test]
fn a_killed_worker_node_and_leader_change_no_bit_of_the_weights() {
    let site = site();
    let talk = site.forge(&["train", "--var", STEPS]).with_code(0);
    assert!(!talk.stderr.contains("restart"), "{}", talk.stderr);
    let undisturbed = outcome(&site, &talk);
    assert_eq!(undisturbed.checkpoints, [20, 40, 80, 100], "the last two and powers of two");
    site.forge(&["destroy", "--yes", "--delete-data"]).with_code(0);
    drop(site);

    let site = self::site();
    site.forge(&["train", "--detach", "--var", STEPS]).with_code(0);
    inject(&site, &["kill-worker", "1"], "25", 1);
    inject(&site, &["kill-node"], "45", 2);
    // The last one may strike a spare: then nothing is restarted.
    let (epoch, holder) = leader(&site);
    inject(&site, &["kill-leader"], "65", 2);
    wait_until("somebody else leads", PATIENCE, || leader(&site).0 > epoch && leader(&site).1 != holder);
    site.forge(&["logs", "--follow"]).with_code(0);
    let talk = site.forge(&["logs", "--rank", "0"]).with_code(0);
    let run = site.newest_run();
    assert_eq!(run["state"]["phase"], "succeeded", "{run}");
    let disturbed = outcome(&site, &talk);

    assert_eq!(disturbed.digest, undisturbed.digest);
    assert_eq!(disturbed.loss.to_bits(), undisturbed.loss.to_bits());
    assert_eq!(disturbed.last.keys().collect::<Vec<_>>(), undisturbed.last.keys().collect::<Vec<_>>());
    assert!(disturbed.last == undisturbed.last, "the last checkpoints differ");
    // The one that a generation started from is kept as well, as long as that generation lives.
    let extra: Vec<_> = disturbed.checkpoints.iter().filter(|step| !undisturbed.checkpoints.contains(step)).collect();
    assert!(extra.is_empty() || extra == [&run["state"]["resume"].as_u64().unwrap()], "{:?}", disturbed.checkpoints);
    assert!(disturbed.checkpoints.ends_with(&[80, 100]), "{:?}", disturbed.checkpoints);

    let events = site.events();
    let of = |wanted: &str| -> Vec<&str> {
        events.iter().filter(|(kind, _)| kind == wanted).map(|(_, message)| message.as_str()).collect()
    };
    let injected = of("injected");
    assert_eq!(injected.len(), 3, "{events:?}");
    assert!(injected[0].starts_with("SIGKILL to rank 1 on "), "{injected:?}");
    assert!(injected[2].starts_with(&format!("SIGKILL to {holder} and all")), "{injected:?}");
    assert!(!of("leader").is_empty(), "{events:?}");
    let restarts = run["state"]["restarts"].as_array().unwrap();
    assert_eq!(of("restart").len(), restarts.len(), "{events:?}");
    let leader_worked = of("restart").iter().any(|message| message.starts_with(&format!("{holder} is gone")));
    assert_eq!(restarts.len(), if leader_worked { 3 } else { 2 }, "{events:?}");
    site.forge(&["destroy", "--yes", "--delete-data"]).with_code(0);
    assert_eq!(site.processes(), [], "processes");
}
