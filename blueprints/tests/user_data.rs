//! What nodes of target `aws` run when they start: shown whole, and run as cloud-init would, as root in a mount namespace and
//! a root directory of its own, with programs in place of those that reach out.

mod setup;

use forge_blueprints::{Target, yaml};
use forge_engine::diag::DocumentId;
use forge_engine::kind::Kinds;
use forge_engine::value::Output;
use forge_modules::aws;
use serde_json::{Value as Json, json};
use setup::outcome_among;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output as Ended};
use tempfile::TempDir;

/// EC2 User Guide, "Run commands when you launch an EC2 instance with user data input": before it is encoded.
const MOST: usize = 16 << 10;

/// The program that nodes fetch, and its digest.
const PROGRAM: &str = "#!/bin/sh\necho agent\n";
const SHA256: &str = "9999999999999999999999999999999999999999999999999999999999999999";

fn kinds(_: Target) -> Kinds {
    aws::kinds()
}

/// What only apply knows.
fn found(output: &Output) -> Option<Json> {
    let last = output.address.as_str().rsplit('.').next().unwrap_or_default();
    Some(match (last, output.name.as_str()) {
        ("bucket", "url") => json!("s3://train-data-123456789012-us-west-2"),
        ("bucket", "name") => json!("train-data-123456789012-us-west-2"),
        ("agent", "url") => json!("s3://train-data-123456789012-us-west-2/nodes/n-pool/agent/digest/forge-agent"),
        ("filesystem", "dns_name") => json!("fs-0123456789abcdef0.fsx.us-west-2.amazonaws.com"),
        ("filesystem", "mount_name") => json!("abcdev"),
        _ => json!(format!("{output}")),
    })
}

/// The user data of the nodes `n` of a blueprint with these modules besides network and bucket.
fn user_data(modules: &str) -> String {
    let text = format!(
        "forge: v1\nname: train\ntarget: aws\naws: {{ region: us-west-2 }}\nmodules:\n  network: {{ use: vpc }}\n  \
        data: {{ use: s3 }}\n{modules}"
    );
    let outcome = outcome_among(&kinds, text.as_bytes(), &[], None, &[], &[]);
    let expanded = outcome.expanded.as_ref().unwrap_or_else(|| panic!("{}", outcome.text()));
    let template = expanded.desired.resources.iter().find(|resource| resource.address.as_str() == "n.pool.template[0]");
    let spec = template.expect("a template").spec.resolve(&found).expect("every output has a stand-in");
    let text = spec["user_data"].as_str().expect("text").to_owned();
    assert!(text.len() <= MOST, "{} bytes", text.len());
    text
}

const CLUSTER: &str = "  cluster: { use: eks, with: { network: \"${network}\" } }\n";
const LUSTRE: &str = "  scratch: { use: fsx-lustre, with: { network: \"${network}\", capacity_gib: 2400 } }\n";
const LUSTRE_WITH_EFA: &str = "  scratch: { use: fsx-lustre, with: { network: \"${network}\", capacity_gib: 4800, throughput: 1000, efa: true } }\n";

fn nodes(module: &str, more: &str) -> String {
    format!("  n: {{ use: {module}, with: {{ count: 1{more} }} }}\n")
}

fn p5(more: &str) -> String {
    nodes("gpu-nodes", &format!(", instance_type: p5.48xlarge{more}"))
}

/// The parts of a MIME document, as cloud-init takes it apart: the type of each, and its body.
fn parts(text: &str) -> Vec<(String, String)> {
    let Some((head, body)) = text.split_once("\n\n").filter(|(head, _)| head.starts_with("MIME-Version: 1.0")) else {
        return vec![("text/x-shellscript".to_owned(), text.to_owned())];
    };
    let boundary = head.split_once("boundary=\"").and_then(|(_, rest)| rest.split_once('"')).expect("a boundary").0;
    let body = format!("\n{body}");
    let (body, end) = body.split_once(&format!("\n--{boundary}--")).expect("it ends");
    assert_eq!(end.trim(), "");
    let delimiter = format!("\n--{boundary}\n");
    let parts = body.split(&delimiter).skip(1);
    let part = |part: &str| {
        let (head, body) = part.split_once("\n\n").expect("a head and a body");
        let kind = head.strip_prefix("Content-Type: ").expect("a type").split(';').next().unwrap_or_default();
        (kind.to_owned(), format!("{body}\n"))
    };
    parts.map(part).collect()
}

fn script(text: &str) -> String {
    let mut scripts = parts(text).into_iter().filter(|(kind, _)| kind == "text/x-shellscript");
    let (_, script) = scripts.next().expect("a script");
    assert!(scripts.next().is_none() && script.starts_with("#!/bin/bash\n"));
    script
}

/// All of it but the script that all have in common.
fn head(text: &str) -> String {
    let (head, rest) = text.split_once("set -u\n").unwrap_or((text, ""));
    let end = rest.split_once("exit \"$failed\"\n").map_or("", |(_, end)| end);
    format!("{head}[...]\n{end}")
}

#[test]
fn nodes_of_eks_with_gpus_join_the_cluster_and_run_the_agent() {
    let text = user_data(&format!("{CLUSTER}{}", p5(", cluster: \"${cluster}\"")));
    insta::assert_snapshot!(text);
    let parts = parts(&text);
    assert_eq!(
        parts.iter().map(|(kind, _)| kind.as_str()).collect::<Vec<_>>(),
        ["application/node.eks.aws", "text/x-shellscript"]
    );
    let (node, findings) = yaml::parse(DocumentId(0), &parts[0].1);
    assert!(findings.is_empty(), "{findings:?}");
    let config = node.expect("a document").to_value().to_json().expect("it is known");
    let wanted = json!({
        "apiVersion": "node.eks.aws/v1alpha1",
        "kind": "NodeConfig",
        "spec": {
            "instance": { "localStorage": { "strategy": "RAID0" } },
            "kubelet": { "maxPodsExpression": "(default_enis - 1) * (ips_per_eni - 1) + 2" },
        },
    });
    assert_eq!(config, wanted);
}

#[test]
fn every_node_starts_with_what_it_needs() {
    let trn1 = |more| nodes("trainium-nodes", &format!(", instance_type: trn1.32xlarge{more}"));
    let cases = [
        ("EKS, GPUs, Lustre", format!("{CLUSTER}{LUSTRE}{}", p5(", cluster: \"${cluster}\", scratch: \"${scratch}\""))),
        ("EKS, Trainium", format!("{CLUSTER}{}", trn1(", cluster: \"${cluster}\""))),
        (
            "EKS, card 0 without EFA",
            format!("{CLUSTER}{}", nodes("gpu-nodes", ", instance_type: p6-b300.48xlarge, cluster: \"${cluster}\"")),
        ),
        ("GPUs", p5("")),
        ("GPUs, Lustre over EFA", format!("{LUSTRE_WITH_EFA}{}", p5(", scratch: \"${scratch}\""))),
        (
            "GPUs, Lustre over EFA that nodes do not reach",
            format!("{LUSTRE_WITH_EFA}{}", p5(", efa: false, scratch: \"${scratch}\"")),
        ),
        ("Trainium, Lustre", format!("{LUSTRE}{}", trn1(", scratch: \"${scratch}\""))),
    ];
    let shown: Vec<String> =
        cases.iter().map(|(name, modules)| format!("# {name}\n{}", head(&user_data(modules)))).collect();
    insta::assert_snapshot!(shown.join("\n"));
}

/// A machine that is a directory.
struct Machine {
    directory: TempDir,
}

/// In place of programs that reach out; each writes down how it was called.
const PROGRAMS: [(&str, &str); 8] = [
    (
        "aws",
        "n=$(cat /refuse); [ \"$n\" = 0 ] || { echo $((n - 1)) >/refuse; echo 'connection reset' >&2; exit 1; }\ncp /package \"${@: -1}\"",
    ),
    (
        "curl",
        "for last; do :; done\ncase $last in */token) echo t0k;; *instance-id) value=i-0abc;; *local-ipv4) value=10.0.101.7;; *) exit 22;; esac\n\
        [ \"$last\" = \"${last%/token}\" ] || exit 0\ncase \"$*\" in *'X-aws-ec2-metadata-token: t0k'*) echo $value;; *) exit 22;; esac",
    ),
    ("dnf", ""),
    ("lnetctl", ""),
    ("mount", "for last; do :; done\nmkdir -p /mounted$last"),
    ("mountpoint", "[ -d /mounted$2 ]"),
    ("sleep", ""),
    ("systemctl", "[ \"$1\" != cat ]"),
];

impl Machine {
    /// None where this cannot be: only root may make one.
    #[allow(clippy::print_stdout, reason = "what is skipped is said")]
    fn new() -> Option<Self> {
        let root = Command::new("unshare").args(["--mount", "true"]).output();
        if !root.is_ok_and(|ended| ended.status.success()) {
            println!("skipped: mount namespaces are root's");
            return None;
        }
        let machine = Self { directory: TempDir::new().expect("a directory") };
        for directory in [
            "bin",
            "sbin",
            "lib",
            "lib64",
            "usr",
            "etc/systemd/system",
            "dev",
            "tmp",
            "var/lib",
            "local/bin",
            "local/sbin",
            "fakes",
            "proc",
        ] {
            fs::create_dir_all(machine.path(directory)).expect("a directory");
        }
        for (name, body) in PROGRAMS {
            let quiet = ["mountpoint", "sleep"].contains(&name);
            let log = if quiet { "" } else { "echo \"$(basename \"$0\") $*\" >>/log\n" };
            machine.write(&format!("fakes/{name}"), &format!("#!/bin/bash\n{log}{body}\n"));
            fs::set_permissions(machine.path(&format!("fakes/{name}")), fs::Permissions::from_mode(0o755))
                .expect("it is ours");
        }
        machine.write("etc/fstab", "UUID=1 / xfs defaults 0 0\n");
        machine.write("package", PROGRAM);
        machine.write("refuse", "0");
        Some(machine)
    }

    fn path(&self, path: &str) -> PathBuf {
        self.directory.path().join(path)
    }

    fn write(&self, path: &str, text: &str) {
        fs::write(self.path(path), text).expect("it can be written");
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.path(path)).unwrap_or_default()
    }

    fn mode(&self, path: &str) -> Option<u32> {
        fs::metadata(self.path(path)).ok().map(|found| found.permissions().mode() & 0o7777)
    }

    /// Runs user data as cloud-init does, with the digest of the program in place of the one that it was made with.
    fn start(&self, user_data: &str, digest: &str) -> Ended {
        let script = script(user_data).replace(&"0".repeat(64), digest);
        assert!(script.contains(digest), "{script}");
        self.write("user-data", &script);
        self.write("log", "");
        let bind = "set -e; mount --make-rprivate /\n\
            for d in bin sbin lib lib64 usr; do [ ! -e /$d ] || mount --rbind -o ro /$d \"$1/$d\"; done\n\
            mount --bind \"$1/local\" \"$1/usr/local\"; mount --rbind /dev \"$1/dev\"; mount --rbind /proc \"$1/proc\"\n\
            exec chroot \"$1\" /usr/bin/env -i PATH=/fakes:/usr/bin:/bin:/usr/sbin:/sbin /bin/bash /user-data";
        let command = ["--mount", "/bin/bash", "-c", bind, "bash"];
        Command::new("unshare").args(command).arg(self.directory.path()).output().expect("it starts")
    }

    /// What was called, without what it does not matter to know.
    fn calls(&self) -> String {
        let plain = |line: &str| line.split("forge-agent.").next().map_or(String::new(), str::to_owned);
        let calls: Vec<String> = self
            .read("log")
            .lines()
            .filter(|line| !line.starts_with("curl"))
            .map(|line| if line.starts_with("aws") { format!("{}forge-agent.*", plain(line)) } else { line.to_owned() })
            .collect();
        calls.join("\n")
    }

    /// Everything in the directory of programs.
    fn programs(&self) -> Vec<String> {
        let entries = fs::read_dir(self.path("local/bin")).expect("it is there");
        let mut names: Vec<String> =
            entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }
}

fn sha256(machine: &Machine, path: &str) -> String {
    let ended = Command::new("sha256sum").arg(machine.path(path)).output().expect("it starts");
    String::from_utf8_lossy(&ended.stdout)[..64].to_owned()
}

fn said(ended: &Ended) -> String {
    String::from_utf8_lossy(&ended.stderr).into_owned()
}

#[test]
fn a_node_mounts_lustre_and_runs_the_agent_and_a_second_time_changes_nothing() {
    let Some(machine) = Machine::new() else { return };
    let text = user_data(&format!("{CLUSTER}{LUSTRE}{}", p5(", cluster: \"${cluster}\", scratch: \"${scratch}\"")));
    let digest = sha256(&machine, "package");
    let ended = machine.start(&text, &digest);
    assert_eq!((ended.status.code(), said(&ended)), (Some(0), String::new()));
    insta::assert_snapshot!("first", machine.calls());
    assert_eq!(machine.read("local/bin/forge-agent"), PROGRAM);
    assert_eq!(machine.mode("local/bin/forge-agent"), Some(0o755));
    assert_eq!(machine.mode("etc/forge/agent.env"), Some(0o600));
    insta::assert_snapshot!("environment", machine.read("etc/forge/agent.env"));
    insta::assert_snapshot!("fstab", machine.read("etc/fstab"));
    assert_eq!(machine.mode("etc/fstab"), Some(0o644));
    let unit = machine.read("etc/systemd/system/forge-agent.service");
    for line in
        ["EnvironmentFile=/etc/forge/agent.env", "Restart=always", "NoNewPrivileges=yes", "WantedBy=multi-user.target"]
    {
        assert!(unit.lines().any(|found| found == line), "{line}\n{unit}");
    }
    let before = [machine.read("etc/fstab"), machine.read("etc/forge/agent.env"), unit];

    let ended = machine.start(&text, &digest);
    assert_eq!((ended.status.code(), said(&ended)), (Some(0), String::new()));
    insta::assert_snapshot!("second", machine.calls());
    let unit = machine.read("etc/systemd/system/forge-agent.service");
    assert_eq!([machine.read("etc/fstab"), machine.read("etc/forge/agent.env"), unit], before);
    assert_eq!(machine.programs(), ["forge-agent"]);
}

#[test]
fn a_program_with_another_digest_is_never_made_executable() {
    let Some(machine) = Machine::new() else { return };
    let ended = machine.start(&user_data(&p5("")), SHA256);
    assert_eq!(ended.status.code(), Some(1));
    insta::assert_snapshot!("other_digest", said(&ended));
    assert_eq!(machine.programs(), [""; 0]);
    assert_eq!(machine.mode("etc/systemd/system/forge-agent.service"), None);
    assert!(!machine.calls().contains("enable"), "{}", machine.calls());
}

#[test]
fn s3_may_fail_for_a_while() {
    let Some(machine) = Machine::new() else { return };
    let digest = sha256(&machine, "package");
    machine.write("refuse", "2");
    let ended = machine.start(&user_data(&p5("")), &digest);
    assert_eq!(ended.status.code(), Some(0), "{}", said(&ended));
    assert_eq!(machine.calls().lines().filter(|call| call.starts_with("aws s3 cp")).count(), 3);
    assert_eq!(machine.programs(), ["forge-agent"]);
}

#[test]
fn what_fails_is_said_with_what_to_do() {
    let Some(machine) = Machine::new() else { return };
    machine.write("refuse", "99");
    machine.write("fakes/mount", "#!/bin/bash\nexit 32\n");
    let text = user_data(&format!("{LUSTRE}{}", p5(", scratch: \"${scratch}\"")));
    let ended = machine.start(&text, SHA256);
    assert_eq!(ended.status.code(), Some(1));
    insta::assert_snapshot!("all_fails", said(&ended));
    assert_eq!(machine.programs(), [""; 0]);
}

#[test]
fn lustre_over_efa_is_prepared_before_it_is_mounted() {
    let Some(machine) = Machine::new() else { return };
    let digest = sha256(&machine, "package");
    let ended = machine.start(&user_data(&format!("{LUSTRE_WITH_EFA}{}", p5(", scratch: \"${scratch}\""))), &digest);
    assert_eq!(ended.status.code(), Some(0), "{}", said(&ended));
    insta::assert_snapshot!("over_efa", format!("{}\n\n{}", machine.calls(), machine.read("etc/fstab")));
    assert_eq!(machine.mode("local/sbin/forge-lustre-efa"), Some(0o755));
    assert_eq!(interfaces(&machine, 32, 8), [0, 4, 8, 12, 16, 20, 24, 28]);
    assert_eq!(interfaces(&machine, 16, 2), [0, 8]);
    assert_eq!(interfaces(&machine, 1, 1), [0]);
    assert_eq!(interfaces(&machine, 1, 8), [0]);
}

/// The interfaces that the script gives to Lustre, of so many that there are.
fn interfaces(machine: &Machine, there: usize, wanted: usize) -> Vec<usize> {
    let devices = machine.path("infiniband");
    let _ = fs::remove_dir_all(&devices);
    (0..there).for_each(|index| fs::create_dir_all(devices.join(format!("rdmap{index:02}"))).expect("a directory"));
    let calls = machine.path("lnet");
    let _ = fs::remove_file(&calls);
    let program = |name: &str, body: &str| {
        let path = machine.path(name);
        fs::write(&path, format!("#!/bin/bash\n{body}\n")).expect("it can be written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("it is ours");
    };
    fs::create_dir_all(machine.path("lnet-fakes")).expect("a directory");
    program("lnet-fakes/lnetctl", &format!("echo \"$*\" >>{}", calls.display()));
    program("lnet-fakes/modprobe", "");
    program("lnet-fakes/ip", "echo 'default via 10.0.101.1 dev ens32 proto dhcp'");
    let script =
        machine.read("local/sbin/forge-lustre-efa").replace("/sys/class/infiniband", &devices.to_string_lossy());
    let path = format!("{}:/usr/bin:/bin", machine.path("lnet-fakes").display());
    let ended = Command::new("bash").args(["-c", &script, "bash", &wanted.to_string()]).env("PATH", path).output();
    let ended = ended.expect("it starts");
    assert!(ended.status.success(), "{}", said(&ended));
    let calls = fs::read_to_string(calls).expect("it was called");
    assert!(
        calls.contains("net add --net tcp --if ens32") && calls.ends_with("udsp add --src efa --priority 0\n"),
        "{calls}"
    );
    let added = calls.lines().filter_map(|call| call.strip_prefix("net add --net efa --if rdmap"));
    added.map(|rest| rest.split(' ').next().expect("a name").parse().expect("a number")).collect()
}

#[test]
fn scripts_are_understood_by_bash() {
    let script = script(&user_data(&p5("")));
    let file = TempDir::new().expect("a directory");
    let path: &Path = &file.path().join("script");
    fs::write(path, script).expect("it can be written");
    let ended = Command::new("bash").arg("-n").arg(path).output().expect("it starts");
    assert!(ended.status.success(), "{}", said(&ended));
}
