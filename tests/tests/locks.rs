//! One forge at a time: the second is told who is at work and goes on by itself, and one that has lost its turn does
//! nothing more.

use forge_tests::{CLUSTER, Ran, Site, wait_until};
use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, ChildStderr};
use std::time::Duration;

const HOPE: Duration = Duration::from_secs(90);
/// Short for a test, and long beside what a busy machine may keep a heartbeat waiting.
const TTL: &str = "4s";

/// A directory with a blueprint whose state lies in another, which is shared.
struct Shared {
    site: Site,
    bucket: tempfile::TempDir,
}

impl Shared {
    fn new() -> Self {
        let bucket = tempfile::tempdir().expect("a temporary directory");
        let shared = Self { site: Site::empty(), bucket };
        shared.site.write("blueprint.yaml", &shared.blueprint(2));
        shared
    }

    fn blueprint(&self, nodes: usize) -> String {
        let state = format!("target: local\nstate: file://{}\n", self.bucket.path().display());
        CLUSTER.replace("target: local\n", &state).replace("nodes: 2,", &format!("nodes: {nodes},"))
    }

    fn in_bucket(&self) -> Vec<String> {
        files(self.bucket.path())
    }

    /// Everything that is written down, but for the lease.
    fn journal(&self) -> Vec<(String, Vec<u8>)> {
        let journal = self.bucket.path().join("desk/journal");
        files(&journal)
            .into_iter()
            .map(|name| (name.clone(), std::fs::read(journal.join(name)).expect("a file")))
            .collect()
    }
}

fn files(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).expect("a directory");
    let mut names: Vec<_> =
        entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("a name")).collect();
    names.sort();
    names
}

/// A forge that is under way.
struct Running {
    child: Child,
    talk: BufReader<ChildStderr>,
    heard: String,
}

impl Running {
    fn start(site: &Site, arguments: &[&str]) -> Self {
        let mut command = site.command(arguments);
        command.env("FORGE_LEASE_TTL", TTL);
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let piped = std::process::Stdio::piped;
        let mut child = command.stdout(piped()).stderr(piped()).spawn().expect("forge starts");
        let talk = BufReader::new(child.stderr.take().expect("its talk is read"));
        Self { child, talk, heard: String::new() }
    }

    /// Reads on until it says this, and returns the line.
    fn hear(&mut self, wanted: &str) -> String {
        loop {
            let start = self.heard.len();
            let length = self.talk.read_line(&mut self.heard).expect("its talk is text");
            assert_ne!(length, 0, "it ended without saying {wanted:?}:\n{}", self.heard);
            if self.heard[start..].contains(wanted) {
                return self.heard[start..].trim_end().to_owned();
            }
        }
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("it runs");
    }

    fn end(mut self) -> Ran {
        self.talk.read_to_string(&mut self.heard).expect("its talk is text");
        let ran: Ran = self.child.wait_with_output().expect("it ends").into();
        Ran { stderr: self.heard, ..ran }
    }
}

/// The fleet process, by what it wrote itself.
fn fleet(site: &Site) -> Pid {
    let path = site.path().join(".forge/desk/local/fleets/gpus.fleet/pid");
    let text = std::fs::read_to_string(path).expect("a fleet runs");
    Pid::from_raw(text.trim().parse().expect("a process id")).expect("a process id is not 0")
}

/// A `forge up` that has something to do and waits: for a third node from a fleet that is stopped.
fn under_way(site: &Site, third: &str) -> (Running, Pid) {
    site.forge(&["up", "--yes"]).with_code(0);
    let fleet = fleet(site);
    kill_process(fleet, Signal::STOP).expect("the fleet runs");
    site.write("blueprint.yaml", third);
    let mut up = Running::start(site, &["up", "--yes"]);
    up.hear("3 of 4 nodes have joined");
    (up, fleet)
}

fn assert_in_order_and_destroy(site: &Site) {
    site.forge(&["plan", "--check"]).with_code(0);
    let destroyed = site.forge(&["destroy", "--yes", "--delete-data"]).with_code(0);
    assert!(destroyed.stdout.contains("left_behind: []"), "{}", destroyed.stdout);
    assert_eq!(site.processes(), [], "processes");
    assert_eq!(site.files(), ["blueprint.yaml"], "files");
}

/// A message without what differs from run to run.
fn plain(line: &str, pid: u32) -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").expect("a host");
    let line = line.replace(&format!("pid {pid}"), "pid PID").replace(&format!("on {}", host.trim()), "on HOST");
    let words = line.split(' ').map(|word| {
        let is_time = word.len() > 19 && word.as_bytes()[10] == b'T' && word.contains('Z');
        if is_time { format!("TIME{}", &word[word.find('Z').unwrap_or(0) + 1..]) } else { word.to_owned() }
    });
    words.collect::<Vec<_>>().join(" ")
}

#[test]
fn with_a_lock_the_second_waits_for_the_first_to_end_and_goes_on() {
    let site = Site::with(&[("blueprint.yaml", CLUSTER)]);
    let (first, fleet) = under_way(&site, &CLUSTER.replace("nodes: 2,", "nodes: 3,"));
    let pid = first.child.id();
    let mut second = Running::start(&site, &["up", "--yes"]);
    assert_eq!(
        plain(&second.hear("another forge"), pid),
        "another forge is at work on this deployment: forge up is held by pid PID on HOST since TIME; waiting until that \
         process ends: its lock goes with it, and nothing is lost"
    );
    let third = site.forge(&["destroy", "--yes", "--wait", "0"]).with_code(1);
    assert_eq!(
        plain(&third.stderr, pid),
        "error: another forge is at work on this deployment: forge up is held by pid PID on HOST since TIME\n  \
         help: It has the deployment until that process ends: its lock goes with it, and nothing is lost. --wait says how \
         long to wait for it.\n"
    );
    let status = site.forge(&["status"]);
    assert!(
        plain(&status.stdout, pid).contains("\n  at work: forge up, pid PID on HOST, since TIME\n"),
        "{}",
        status.stdout
    );
    let unlock = site.forge(&["unlock", "--yes"]).with_code(1);
    assert!(unlock.stderr.contains(&format!("`kill {pid}` on ")), "{}", unlock.stderr);
    // A third one loses patience.
    let mut impatient = Running::start(&site, &["up", "--yes"]);
    impatient.hear("another forge");
    impatient.signal(Signal::INT);
    let impatient = impatient.end().with_code(130);
    assert!(impatient.stderr.contains("interrupted; nothing was done"), "{}", impatient.stderr);

    first.signal(Signal::KILL);
    kill_process(fleet, Signal::CONT).expect("the fleet is there");
    assert_eq!(first.end().code, -1);
    let second = second.end().with_code(0);
    assert!(second.stderr.contains("desk is up"), "{}", second.stderr);
    let idle = site.forge(&["unlock", "--yes"]).with_code(0);
    assert_eq!(idle.stderr, "nobody is at work here\n");
    assert_in_order_and_destroy(&site);
}

#[test]
fn with_a_lease_the_second_goes_on_once_the_first_has_died_and_its_lease_has_run_out() {
    let shared = Shared::new();
    let site = &shared.site;
    let (first, fleet) = under_way(site, &shared.blueprint(3));
    assert_eq!(shared.in_bucket(), ["desk"]);
    assert!(!site.files().iter().any(|file| file.ends_with("journal.jsonl")), "{:?}", site.files());
    let pid = first.child.id();
    let mut second = Running::start(site, &["up", "--yes"]);
    assert_eq!(
        plain(&second.hear("another forge"), pid),
        "another forge is at work on this deployment: forge up is held by pid PID on HOST since TIME; waiting until it is \
         done, or if it has died, until its lease runs out at TIME"
    );
    let status = site.forge(&["status"]);
    assert!(status.stdout.contains("\n  at work: forge up, pid "), "{}", status.stdout);
    first.signal(Signal::KILL);
    kill_process(fleet, Signal::CONT).expect("the fleet is there");
    assert_eq!(first.end().code, -1);
    second.end().with_code(0);
    assert_in_order_and_destroy(site);
    assert_eq!(shared.in_bucket(), [""; 0]);
}

#[test]
fn an_owner_that_was_stopped_past_its_lease_does_nothing_more() {
    let shared = Shared::new();
    let site = &shared.site;
    let (first, fleet) = under_way(site, &shared.blueprint(3));
    first.signal(Signal::STOP);
    kill_process(fleet, Signal::CONT).expect("the fleet is there");
    let second = Running::start(site, &["up", "--yes"]);
    second.end().with_code(0);
    let (journal, files) = (shared.journal(), site.files());
    let current = site.read(".forge/current.json");

    first.signal(Signal::CONT);
    let first = first.end().with_code(5);
    assert!(
        first.stderr.ends_with(
            "error: this forge was fenced and has stopped: its lease has run out, and another forge may be at work on this \
             deployment\n  help: what it had begun is written down, and whoever is at work looks what became of it; then run \
             the command again\n"
        ),
        "{}",
        first.stderr
    );
    assert_eq!(shared.journal(), journal, "it wrote nothing");
    assert_eq!((site.files(), site.read(".forge/current.json")), (files, current), "nor here");
    assert_in_order_and_destroy(site);
    assert_eq!(shared.in_bucket(), [""; 0]);
}

#[test]
fn a_lease_can_be_taken_away() {
    let shared = Shared::new();
    let site = &shared.site;
    let (first, fleet) = under_way(site, &shared.blueprint(3));
    let asked = site.forge(&["unlock"]).with_code(2);
    assert!(asked.stderr.contains("nobody can be asked"), "{}", asked.stderr);
    let pid = first.child.id();
    let unlocked = site.forge(&["unlock", "--yes"]).with_code(0);
    assert_eq!(
        plain(&unlocked.stderr, pid),
        "another forge is at work on this deployment: forge up is held by pid PID on HOST since TIME\nif it has died, its \
         lease runs out 4s after its last beat, and nobody needs this command; if it lives, it will be stopped part-way\nthe \
         lease of pid PID on HOST was taken away\n"
    );
    let first = first.end().with_code(5);
    assert!(first.stderr.contains("was fenced and has stopped: its lease was taken away\n"), "{}", first.stderr);
    kill_process(fleet, Signal::CONT).expect("the fleet is there");
    site.forge(&["up", "--yes"]).with_code(0);
    assert_in_order_and_destroy(site);
    assert_eq!(shared.in_bucket(), [""; 0]);
}

#[test]
fn the_state_stays_where_it_is_while_something_is_up() {
    let shared = Shared::new();
    let site = &shared.site;
    let mut up = Running::start(site, &["up", "--yes"]);
    up.hear("desk is up");
    up.end().with_code(0);
    let journal = shared.bucket.path().join("desk/journal");
    wait_until("the journal is there", HOPE, || journal.is_dir());
    site.write("blueprint.yaml", CLUSTER);
    let moved = site.forge(&["up", "--yes"]).with_code(1);
    assert_eq!(
        moved.stderr.lines().skip_while(|line| line.starts_with("note: ")).collect::<Vec<_>>().join("\n"),
        format!(
            "error: the state of desk lies in file://{}, and `state` now says the directory of its blueprint\n  help: Put \
             `state` back as it was, or run `forge destroy` first.",
            shared.bucket.path().display()
        )
    );
    site.forge(&["destroy", "--yes", "--delete-data"]).with_code(0);
    assert_eq!(shared.in_bucket(), [""; 0]);
    site.write(
        "blueprint.yaml",
        &shared.blueprint(2).replace(&*shared.bucket.path().to_string_lossy(), "/not/mounted"),
    );
    let gone = site.forge(&["plan"]).with_code(1);
    assert!(
        gone.stderr.contains("the state lies in file:///not/mounted, and there is no such directory"),
        "{}",
        gone.stderr
    );
}
