//! `forge up` among others: two at once, Ctrl-C, a fleet that was killed, state that was lost, and a person at a terminal.

use forge_tests::{CLUSTER, Ran, Site, wait_until};
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStderr};
use std::time::Duration;

const HOPE: Duration = Duration::from_secs(60);

fn site() -> Site {
    Site::with(&[("blueprint.yaml", CLUSTER)])
}

/// The fleet process, by what it wrote itself.
fn fleet(site: &Site) -> Pid {
    let path = site.path().join(".forge/desk/local/fleets/gpus.fleet/pid");
    let text = std::fs::read_to_string(path).expect("a fleet runs");
    Pid::from_raw(text.trim().parse().expect("a process id")).expect("a process id is not 0")
}

fn agents(site: &Site) -> usize {
    site.processes().iter().filter(|process| process.command.contains(" agent run ")).count()
}

fn fleets(site: &Site) -> usize {
    site.processes().iter().filter(|process| process.command.contains(" fleet run ")).count()
}

/// A `forge up` that has something to do, holds the lock, and waits: for a third node from a fleet that is stopped.
struct Waiting {
    up: Child,
    talk: BufReader<ChildStderr>,
    fleet: Pid,
}

impl Waiting {
    fn begin(site: &Site) -> Self {
        site.forge(&["up", "--yes"]).with_code(0);
        let fleet = fleet(site);
        kill_process(fleet, Signal::STOP).expect("the fleet runs");
        site.write("blueprint.yaml", &CLUSTER.replace("nodes: 2", "nodes: 3"));
        let mut up = site.start(&["up", "--yes"]);
        let talk = BufReader::new(up.stderr.take().expect("its talk is read"));
        let mut waiting = Self { up, talk, fleet };
        waiting.hear("3 of 4 nodes have joined");
        waiting
    }

    /// Reads on until it says this.
    fn hear(&mut self, wanted: &str) {
        let mut heard = String::new();
        loop {
            let length = self.talk.read_line(&mut heard).expect("its talk is text");
            assert_ne!(length, 0, "it ended without saying {wanted:?}:\n{heard}");
            if heard.contains(wanted) {
                return;
            }
        }
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.up), signal).expect("it runs");
    }

    fn resume_fleet(&self) {
        kill_process(self.fleet, Signal::CONT).expect("the fleet is there");
    }

    /// Its exit code, −1 for a signal, and the rest of its talk.
    fn end(mut self) -> (i32, String) {
        let mut rest = String::new();
        self.talk.read_to_string(&mut rest).expect("its talk is text");
        let status = self.up.wait().expect("it ends");
        (status.code().unwrap_or(-1), rest)
    }
}

fn assert_destroy_leaves_nothing(site: &Site) {
    let destroyed = site.forge(&["destroy", "--yes", "--delete-data"]).with_code(0);
    assert!(destroyed.stdout.contains("left_behind: []"), "{}", destroyed.stdout);
    assert_eq!(site.processes(), [], "processes");
    assert_eq!(site.files(), ["blueprint.yaml"], "files");
}

#[test]
fn the_second_forge_is_told_who_is_at_work_and_goes_on_once_that_one_is_killed() {
    let site = site();
    let first = Waiting::begin(&site);
    let journal = site.path().join(".forge/desk/journal.jsonl");
    let before = std::fs::read(&journal).unwrap();
    let holder = format!("forge up is held by pid {} on ", first.up.id());
    for command in [&["up", "--yes", "--wait", "0"][..], &["destroy", "--yes", "--wait", "0"]] {
        let second = site.forge(command).with_code(1);
        assert!(second.stderr.contains("error: another forge is at work on this deployment: "), "{}", second.stderr);
        assert!(second.stderr.contains(&holder), "{holder}\n{}", second.stderr);
        assert!(second.stderr.contains("help: It has the deployment until that process ends"), "{}", second.stderr);
        assert_eq!(second.stdout, "");
    }
    assert_eq!(std::fs::read(&journal).unwrap(), before, "only its owner writes the journal");
    site.forge(&["plan"]).with_code(0);

    first.signal(Signal::KILL);
    first.resume_fleet();
    assert_eq!(first.end().0, -1);
    let next = site.forge(&["up", "--yes"]).with_code(0);
    assert!(!next.stderr.contains("at work on this deployment"), "{}", next.stderr);
    site.forge(&["plan", "--check"]).with_code(0);
    assert_eq!(agents(&site), 4);
    assert_destroy_leaves_nothing(&site);
}

#[test]
fn of_many_ups_at_once_each_has_its_turn() {
    let site = site();
    let started: Vec<_> = (0..4).map(|_| site.start(&["up", "--yes"])).collect();
    let ran: Vec<Ran> = started.into_iter().map(|up| up.wait_with_output().unwrap().into()).collect();
    assert!(ran.iter().all(|ran| ran.code == 0), "{ran:#?}");
    assert_eq!((fleets(&site), agents(&site)), (1, 3));
    assert_destroy_leaves_nothing(&site);
}

#[test]
fn one_ctrl_c_finishes_what_is_in_flight() {
    let site = site();
    let mut up = Waiting::begin(&site);
    up.signal(Signal::INT);
    up.hear("finishing what is in flight, starting nothing new; press Ctrl-C again to stop at once");
    up.resume_fleet();
    let (code, rest) = up.end();
    assert_eq!(code, 0, "what was in flight was all that there was to do:\n{rest}");
    assert!(rest.contains("gpus.fleet: updated"), "{rest}");
    site.forge(&["plan", "--check"]).with_code(0);
    assert_destroy_leaves_nothing(&site);
}

#[test]
fn a_second_ctrl_c_stops_at_once_and_the_next_up_goes_on() {
    let site = site();
    let mut up = Waiting::begin(&site);
    up.signal(Signal::INT);
    up.hear("finishing what is in flight");
    up.signal(Signal::INT);
    up.hear("stopping now; everything is written down");
    let fleet = up.fleet;
    let (code, rest) = up.end();
    assert_eq!(code, 130, "{rest}");
    assert!(
        rest.contains("1 not done; what is done is written down, and the same command goes on from here"),
        "{rest}"
    );
    let status = site.forge(&["status"]).with_code(4);
    assert!(status.stdout.contains("gpus.fleet: cut off while"), "{}", status.stdout);

    kill_process(fleet, Signal::CONT).unwrap();
    site.forge(&["up", "--yes"]).with_code(0);
    assert_eq!(agents(&site), 4);
    wait_until("a fleet that finds another one at work ends by itself", HOPE, || fleets(&site) == 1);
    site.forge(&["plan", "--check"]).with_code(0);
    site.forge(&["status"]).with_code(0);
    assert_destroy_leaves_nothing(&site);
}

#[test]
fn destroy_after_an_interrupted_up_leaves_nothing() {
    let site = site();
    let mut up = Waiting::begin(&site);
    up.signal(Signal::INT);
    up.hear("finishing what is in flight");
    up.signal(Signal::INT);
    let fleet = up.fleet;
    assert_eq!(up.end().0, 130);
    kill_process(fleet, Signal::CONT).unwrap();
    assert_destroy_leaves_nothing(&site);
}

#[test]
fn a_fleet_that_was_killed_is_drift_that_up_repairs() {
    let site = site();
    site.forge(&["up", "--yes"]).with_code(0);
    let numbers = |site: &Site| site.processes().iter().map(|process| process.pid).collect::<BTreeSet<_>>();
    let before = numbers(&site);
    kill_process(fleet(&site), Signal::KILL).unwrap();
    wait_until("agents end with their fleet", HOPE, || site.processes().is_empty());
    let plan = site.forge(&["plan", "--check"]).with_code(3);
    for line in
        ["somebody changed this since:", "nodes: 2 -> 0", "~ gpus.fleet  local.fleet", "1 to update, 2 unchanged"]
    {
        assert!(plan.stdout.contains(line), "{line}\n{}", plan.stdout);
    }
    site.forge(&["up", "--yes"]).with_code(0);
    wait_until("the agents are back", HOPE, || agents(&site) == 3);
    assert_eq!(fleets(&site), 1);
    assert!(numbers(&site).is_disjoint(&before));
    site.forge(&["plan", "--check"]).with_code(0);
    assert_destroy_leaves_nothing(&site);
}

#[test]
fn up_says_done_only_when_the_nodes_of_a_repaired_fleet_are_there() {
    let site = site();
    site.forge(&["up", "--yes"]).with_code(0);
    kill_process(fleet(&site), Signal::KILL).unwrap();
    wait_until("agents end with their fleet", HOPE, || site.processes().is_empty());
    site.forge(&["up", "--yes"]).with_code(0);
    assert_eq!(agents(&site), 3);
}

#[test]
fn lost_state_is_found_again_and_nothing_is_made_twice() {
    let site = site();
    site.forge(&["up", "--yes"]).with_code(0);
    let (processes, made) = (site.processes(), made(&site));
    std::fs::remove_file(site.path().join(".forge/desk/journal.jsonl")).unwrap();
    let up = site.forge(&["up", "--yes"]).with_code(0);
    for line in [
        "> data.bucket ",
        "> gpus.fleet ",
        "> scratch.filesystem ",
        "found by its tags; it was not recorded",
        "3 to adopt",
    ] {
        assert!(up.stdout.contains(line), "{line}\n{}", up.stdout);
    }
    assert_eq!(site.processes(), processes, "the same processes run");
    assert_eq!(self::made(&site), made, "the same directories stand");
    site.forge(&["plan", "--check"]).with_code(0);
    assert_destroy_leaves_nothing(&site);
}

/// What target `local` has made.
fn made(site: &Site) -> Vec<String> {
    let below = |file: &String| file.starts_with(".forge/desk/local/") && file.matches('/').count() == 5;
    let found: Vec<_> = site.files().into_iter().filter(|file| below(file) && file.ends_with('/')).collect();
    assert_eq!(found.len(), 3, "{found:?}");
    found
}

#[test]
fn destroy_finds_what_lost_state_does_not_tell() {
    let site = site();
    site.forge(&["up", "--yes"]).with_code(0);
    std::fs::remove_file(site.path().join(".forge/desk/journal.jsonl")).unwrap();
    assert_destroy_leaves_nothing(&site);
}

#[test]
fn to_decline_an_adoption_deletes_nothing() {
    let site = site();
    site.forge(&["up", "--yes"]).with_code(0);
    let (processes, made) = (site.processes(), made(&site));
    std::fs::remove_file(site.path().join(".forge/desk/journal.jsonl")).unwrap();
    std::fs::remove_file(site.path().join(".forge/current.json")).unwrap();
    let (code, screen) = at_terminal(&site, &["up"], "Do it? [y/N] ", "n\n");
    assert_eq!(code, 1, "{screen}");
    assert!(screen.contains("3 to adopt"), "{screen}");
    assert_eq!(site.processes(), processes);
    assert_eq!(self::made(&site), made);
    assert_destroy_leaves_nothing(&site);
}

/// Runs `forge` on a terminal of its own and types an answer once it asks; its exit code, and what the screen showed.
fn at_terminal(site: &Site, arguments: &[&str], question: &str, answer: &str) -> (i32, String) {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let person = openpt(flags).expect("a terminal");
    grantpt(&person).expect("a terminal of ours");
    unlockpt(&person).expect("a terminal that opens");
    let program = || File::from(ioctl_tiocgptpeer(&person, flags).expect("its other end"));
    let mut command = site.command(arguments);
    command.stdin(program()).stdout(program()).stderr(program());
    let mut forge = command.spawn().expect("forge starts");
    // Its ends of the terminal close with it: that is how the reader below sees the end.
    drop(command);
    let mut person = File::from(person);
    let (mut screen, mut answered) = (Vec::new(), false);
    let mut chunk = [0; 4096];
    // Linux says EIO once no program has the terminal open.
    while let Ok(length @ 1..) = person.read(&mut chunk) {
        screen.extend_from_slice(&chunk[..length]);
        if !answered && String::from_utf8_lossy(&screen).contains(question) {
            person.write_all(answer.as_bytes()).expect("it listens");
            answered = true;
        }
    }
    let status = forge.wait().expect("forge ends");
    (status.code().unwrap_or(-1), String::from_utf8_lossy(&screen).replace("\r\n", "\n"))
}

#[test]
fn at_a_terminal_up_and_destroy_ask_and_do_as_they_are_told() {
    let site = site();
    for no in ["n\n", "\n", "what?\n"] {
        let (code, screen) = at_terminal(&site, &["up"], "Do it? [y/N] ", no);
        assert_eq!(code, 1, "{screen}");
        assert!(screen.contains("3 to create\nDo it? [y/N] "), "the plan comes first:\n{screen}");
        assert!(screen.ends_with("nothing was done\n"), "{screen}");
        assert_eq!(site.files(), ["blueprint.yaml"]);
        assert_eq!(site.processes(), []);
    }
    let (code, screen) = at_terminal(&site, &["up"], "Do it? [y/N] ", "y\n");
    assert_eq!(code, 0, "{screen}");
    assert!(screen.contains("desk is up"), "{screen}");
    assert_eq!(agents(&site), 3);

    let (code, screen) = at_terminal(&site, &["destroy", "--delete-data"], "Delete it? [y/N] ", "n\n");
    assert_eq!(code, 1, "{screen}");
    assert_eq!(agents(&site), 3);
    let (code, screen) = at_terminal(&site, &["destroy", "--delete-data"], "Delete it? [y/N] ", "y\n");
    assert_eq!(code, 0, "{screen}");
    assert!(screen.contains("left_behind: []"), "{screen}");
    assert_eq!(site.processes(), []);
    assert_eq!(site.files(), ["blueprint.yaml"]);
}
