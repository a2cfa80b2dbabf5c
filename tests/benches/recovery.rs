//! How long a gang stands still when part of it dies: forge, and torchrun on the same job at the same time of day.
//!
//! The job is `recovery_worker.py`: four ranks on two nodes whose steps are an all-reduce over plain sockets, so that what
//! is measured is detection, stopping, forming anew and starting, and no framework. Time 0 is taken right before the
//! signal is sent by this program; the other ends are the times that the ranks themselves wrote down. Both come from
//! the system's clock; a trial during which that clock was set is refused.
//!
//! `cargo bench -p forge-tests --bench recovery -- [N]` strikes N workers (10). torchrun is measured where torch is at hand:
//! `$FORGE_TORCH_PYTHON`, else `python3`.

#![allow(clippy::print_stdout, reason = "what a benchmark says is its result")]

use forge_tests::{Site, processes, wait_until};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value as Json;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const WORKER: &str = include_str!("recovery_worker.py");
const RANKS: usize = 4;
/// A gang that does not step again within this is not going to.
const NEVER: Duration = Duration::from_secs(60);
/// Steps after which a gang counts as settled.
const SETTLED: u64 = 40;
/// How long steps are watched around the death of a leader: twice the lease's time to live.
const AROUND: Duration = Duration::from_secs(6);
/// Loading torch itself takes many seconds on two cores.
const START_WITHIN: Duration = Duration::from_secs(120);

/// Unix time in nanoseconds.
type Nanos = u64;

fn now() -> Nanos {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970");
    u64::try_from(since.as_nanos()).expect("it is before 2554")
}

fn millis(from: Nanos, to: Nanos) -> f64 {
    (to as f64 - from as f64) / 1e6
}

/// One life of a rank's process.
#[derive(Debug, Clone)]
struct Life {
    pid: i32,
    started: Nanos,
    first_step: Option<Nanos>,
    step: u64,
}

/// What one rank has written down.
#[derive(Debug, Default)]
struct Rank {
    read: u64,
    partial: String,
    lives: Vec<Life>,
    steps: Vec<Nanos>,
}

/// The ranks' own records.
#[derive(Debug)]
struct Ranks {
    directory: tempfile::TempDir,
    ranks: Vec<Rank>,
}

impl Ranks {
    fn new() -> Self {
        let directory = tempfile::Builder::new().prefix("forge-recovery-").tempdir().expect("a temporary directory");
        Self { directory, ranks: (0..RANKS).map(|_| Rank::default()).collect() }
    }

    fn read(&mut self) {
        for (number, rank) in self.ranks.iter_mut().enumerate() {
            let Ok(mut file) = File::open(self.directory.path().join(format!("rank-{number}"))) else { continue };
            file.seek(SeekFrom::Start(rank.read)).expect("a file can be read on");
            rank.read += file.read_to_string(&mut rank.partial).expect("lines of text") as u64;
            let whole = rank.partial.rfind('\n').map_or(0, |end| end + 1);
            let lines: String = rank.partial.drain(..whole).collect();
            lines.lines().for_each(|line| rank.note(line));
        }
    }

    fn newest(&self) -> Option<Vec<&Life>> {
        self.ranks.iter().map(|rank| rank.lives.last()).collect()
    }

    fn pids(&self) -> Vec<i32> {
        let mut pids: Vec<_> = self.newest().unwrap_or_default().iter().map(|life| life.pid).collect();
        pids.sort_unstable();
        pids
    }

    fn settled(&mut self) -> bool {
        self.read();
        let fresh = |rank: &Rank| rank.steps.last().is_some_and(|last| millis(*last, now()) < 500.0);
        self.newest().is_some_and(|lives| lives.iter().all(|life| life.step >= SETTLED)) && self.ranks.iter().all(fresh)
    }

    /// When the last rank had started, and had finished its first step, in lives that began after `since`.
    fn recovered(&mut self, since: Nanos) -> Option<(Nanos, Nanos)> {
        self.read();
        let lives = self.newest()?;
        let first_steps: Option<Vec<_>> =
            lives.iter().map(|life| life.first_step.filter(|_| life.started > since)).collect();
        Some((lives.iter().map(|life| life.started).max()?, first_steps?.into_iter().max()?))
    }

    /// The longest time in milliseconds that any rank went without finishing a step.
    fn longest_pause(&self, from: Nanos, to: Nanos) -> f64 {
        let pauses = self.ranks.iter().flat_map(|rank| rank.steps.windows(2));
        let within = pauses.filter(|pair| pair[1] > from && pair[0] < to);
        within.map(|pair| millis(pair[0], pair[1])).fold(0.0, f64::max)
    }
}

impl Rank {
    fn note(&mut self, line: &str) {
        let fields: Vec<u64> = line.split(' ').map(|field| field.parse().expect("a number")).collect();
        let [at, step, pid, _generation] = fields[..] else { panic!("not a line of a worker: {line}") };
        if step == 0 {
            let pid = i32::try_from(pid).expect("a process id");
            return self.lives.push(Life { pid, started: at, first_step: None, step });
        }
        let life = self.lives.last_mut().expect("a life begins before its first step");
        life.first_step.get_or_insert(at);
        life.step = step;
        self.steps.push(at);
    }
}

/// How a gang came back.
#[derive(Debug, Clone, Copy)]
struct Recovery {
    struck: Nanos,
    started: Nanos,
    stepping: Nanos,
}

fn signal(pid: i32, signal: Signal) {
    let pid = Pid::from_raw(pid).expect("a process id");
    // It may be gone by now.
    let _ = kill_process(pid, signal);
}

/// Strikes, and waits until every rank steps again in a new life. `alive` is false once nothing could bring it back.
fn strike(ranks: &mut Ranks, blow: impl FnOnce(), mut alive: impl FnMut() -> bool) -> Option<Recovery> {
    let (clock, struck) = (Instant::now(), now());
    blow();
    while clock.elapsed() < NEVER && alive() {
        if let Some((started, stepping)) = ranks.recovered(struck) {
            let set = millis(struck, now()) - clock.elapsed().as_secs_f64() * 1e3;
            assert!(set.abs() < 2.0, "the system's clock was set by {set} ms during a trial: measure again");
            return Some(Recovery { struck, started, stepping });
        }
        sleep(Duration::from_millis(10));
    }
    None
}

/// Which rank, and when: the same for forge and for torchrun. Steele, Lea and Flood's SplitMix64.
struct Chance(u64);

impl Chance {
    fn new() -> Self {
        Self(std::env::var("FORGE_TEST_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1))
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % limit
    }

    fn pause(&mut self) {
        sleep(Duration::from_millis(self.below(500)));
    }
}

/// SIGKILL to a worker at a random step.
fn kill_worker(ranks: &mut Ranks, chance: &mut Chance, alive: impl FnMut() -> bool) -> Option<Recovery> {
    wait_until("a gang that steps", START_WITHIN, || ranks.settled());
    chance.pause();
    let victim = chance.below(RANKS as u64) as usize;
    let pid = ranks.newest().expect("every rank lives")[victim].pid;
    strike(ranks, || signal(pid, Signal::KILL), alive)
}

// Forge

/// A deployment with two nodes in the gang, two spares and the job running.
struct Forge {
    site: Site,
    ranks: Ranks,
}

impl Forge {
    fn start(python: &str, peers: &str) -> Self {
        let ranks = Ranks::new();
        let blueprint = format!(
            r#"
forge: v1
name: recovery
target: local
local: {{ nodes: 2, workers_per_node: 2 }}
modules:
  network: {{ use: vpc }}
  data: {{ use: s3 }}
  scratch: {{ use: fsx-lustre, with: {{ network: "${{network}}" }} }}
  gpus:
    use: gpu-nodes
    with: {{ instance_type: p5.48xlarge, count: 2, spares: 2, scratch: "${{scratch}}" }}
jobs:
  steps:
    nodes: ${{gpus}}
    command: ["{python}", worker.py]
    env: {{ RECOVERY_DIR: "{}", RECOVERY_PEERS: {peers} }}
    restarts: {{ max: 1000, window: 1h }}
"#,
            ranks.directory.path().display()
        );
        let site = Site::with(&[("blueprint.yaml", &blueprint), ("worker.py", WORKER)]);
        site.forge(&["up", "--yes"]).with_code(0);
        site.forge(&["train", "--detach"]).with_code(0);
        Self { site, ranks }
    }

    /// The nodes as the leader shows them, once all is well: the gang is the one that steps, and spares stand by.
    fn well(&mut self) -> Json {
        let mut cluster = Json::Null;
        wait_until("a gang that steps, and a spare", START_WITHIN, || {
            let shown = self.site.forge(&["nodes", "--json"]);
            if !self.ranks.settled() || shown.code != 0 {
                return false;
            }
            cluster = shown.json()[0]["cluster"].clone();
            let mut shown: Vec<_> = members(&cluster).flat_map(pids).collect();
            shown.sort_unstable();
            let spares = nodes(&cluster).iter().filter(|node| node["state"] == "spare").count();
            shown == self.ranks.pids() && spares == 2
        });
        cluster
    }

    fn agent(&self, node: &str) -> i32 {
        let directory = format!("/nodes/{node}");
        let named = |command: &str| command.split(' ').any(|word| word.ends_with(&directory));
        let agent = self.site.processes().into_iter().find(|process| named(&process.command));
        agent.expect("a node that is well has an agent").pid
    }

    /// Strikes an agent and its workers with a signal, as one blow.
    fn strike_node(&mut self, node: &Json, with: Signal) -> Option<Recovery> {
        let agent = self.agent(name(node));
        let all: Vec<_> = std::iter::once(agent).chain(pids(node)).collect();
        let recovery = strike(&mut self.ranks, || all.iter().for_each(|pid| signal(*pid, with)), || true);
        // One that was only stopped must make room for the next trial.
        all.iter().for_each(|pid| signal(*pid, Signal::KILL));
        recovery
    }

    /// When each event of this kind was written, in Unix milliseconds.
    fn events(&self, kind: &str) -> Vec<u64> {
        let events = self.site.forge(&["events", "--json"]).with_code(0).json();
        let of_kind = events.iter().map(|line| &line["event"]).filter(|event| event["kind"] == kind);
        of_kind.filter_map(|event| event["at"].as_u64()).collect()
    }

    fn stop(self) {
        self.site.forge(&["cancel"]).with_code(0);
        self.site.forge(&["destroy", "--yes", "--delete-data"]).with_code(0);
        let left = self.site.processes();
        assert!(left.is_empty(), "forge left {left:?}");
    }
}

fn nodes(cluster: &Json) -> &[Json] {
    cluster["nodes"].as_array().map_or(&[], Vec::as_slice)
}

/// The gang's nodes; those that were lost are shown for a while as well.
fn members(cluster: &Json) -> impl Iterator<Item = &Json> {
    nodes(cluster).iter().filter(|node| node["state"] == "working")
}

fn name(node: &Json) -> &str {
    node["node"].as_str().expect("a node has a name")
}

fn pids(node: &Json) -> Vec<i32> {
    let pids = node["pids"].as_array().into_iter().flatten();
    pids.filter_map(|pid| i32::try_from(pid.as_i64()?).ok()).collect()
}

fn leads(cluster: &Json, node: &Json) -> bool {
    cluster["leader"] == node["node"]
}

fn forge_workers(python: &str, peers: &str, count: usize, chance: &mut Chance) -> Series {
    let mut forge = Forge::start(python, peers);
    let mut series = Series::new("worker", "forge", peers);
    for _ in 0..count {
        series.add(kill_worker(&mut forge.ranks, chance, || true));
    }
    let (restarts, starts) = (forge.events("restart"), forge.events("started"));
    for recovery in &series.recoveries {
        let after = |events: &[u64]| events.iter().copied().find(|at| at * 1_000_000 >= recovery.struck);
        let (Some(restart), Some(start)) = (after(&restarts), after(&starts)) else { continue };
        series.formed.push(millis(recovery.struck, restart * 1_000_000));
        series.ordered.push(millis(recovery.struck, start * 1_000_000));
    }
    forge.stop();
    series
}

/// What the death of a leader that works on nothing else did.
#[derive(Default)]
struct Leaders {
    pause_before: Vec<f64>,
    pause_around: Vec<f64>,
    succession: Vec<f64>,
    restarts: usize,
}

fn forge_nodes(python: &str, count: usize, chance: &mut Chance) -> (Vec<Series>, Leaders) {
    let mut forge = Forge::start(python, "end");
    let mut all = vec![
        Series::new("node, SIGKILL", "forge", "end"),
        Series::new("node, SIGSTOP", "forge", "end"),
        Series::new("node that leads", "forge", "end"),
    ];
    for (series, with) in [(0, Signal::KILL), (1, Signal::STOP)] {
        for _ in 0..count {
            let cluster = forge.well();
            chance.pause();
            let member = members(&cluster).find(|node| !leads(&cluster, node));
            let recovery = forge.strike_node(member.expect("one member does not lead"), with);
            all[series].add(recovery);
        }
    }
    let mut leaders = Leaders::default();
    // A leader in the gang is struck as well, so that another follows; that one may be outside.
    for _ in 0..count * 4 {
        if leaders.succession.len() >= count {
            break;
        }
        let cluster = forge.well();
        let leader = nodes(&cluster).iter().find(|node| leads(&cluster, node)).expect("somebody leads");
        if pids(leader).is_empty() {
            kill_idle_leader(&mut forge, name(leader), &mut leaders);
        } else {
            let recovery = forge.strike_node(leader, Signal::KILL);
            all[2].add(recovery);
        }
    }
    forge.stop();
    (all, leaders)
}

fn kill_idle_leader(forge: &mut Forge, leader: &str, leaders: &mut Leaders) {
    let agent = forge.agent(leader);
    sleep(AROUND);
    let (lives, struck) = (forge.ranks.pids(), now());
    signal(agent, Signal::KILL);
    sleep(AROUND);
    forge.ranks.read();
    let around = u64::try_from(AROUND.as_nanos()).expect("a short time");
    leaders.pause_before.push(forge.ranks.longest_pause(struck - around, struck));
    leaders.pause_around.push(forge.ranks.longest_pause(struck, struck + around));
    leaders.restarts += usize::from(forge.ranks.pids() != lives);
    let successor = forge.events("leader").into_iter().find(|at| at * 1_000_000 >= struck);
    leaders.succession.extend(successor.map(|at| millis(struck, at * 1_000_000)));
}

// torchrun

/// Two agents of torchrun, one for each node.
struct Torchrun {
    agents: Vec<Child>,
    ranks: Ranks,
    site: Site,
}

impl Torchrun {
    fn start(torch_python: &str, python: &str, peers: &str) -> Self {
        let site = Site::with(&[("worker.py", WORKER)]);
        let ranks = Ranks::new();
        let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let endpoint = port.expect("a free port").to_string();
        let agent = |number: usize| {
            let log = File::create(site.path().join(format!("agent-{number}.log"))).expect("a file");
            let mut command = Command::new(torch_python);
            command
                .args(["-m", "torch.distributed.run", "--nnodes", "2", "--nproc-per-node", "2"])
                .args(["--max-restarts", "1000", "--rdzv-backend", "c10d", "--rdzv-endpoint", &endpoint])
                .args(["--rdzv-id", "recovery", "--local-addr", "127.0.0.1", "--no-python", python, "worker.py"])
                .current_dir(site.path())
                .env("RECOVERY_DIR", ranks.directory.path())
                .env("RECOVERY_PEERS", peers)
                .env("TMPDIR", site.path())
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(log);
            command.spawn().expect("torchrun starts")
        };
        let agents = vec![agent(0), agent(1)];
        Self { agents, ranks, site }
    }
}

impl Drop for Torchrun {
    fn drop(&mut self) {
        processes::kill_all(&self.site.path());
        for agent in &mut self.agents {
            // It has been killed; this only clears it from the table of processes.
            let _ = agent.wait();
        }
    }
}

fn torchrun_workers(torch_python: &str, python: &str, peers: &str, count: usize, chance: &mut Chance) -> Series {
    let mut torchrun = Torchrun::start(torch_python, python, peers);
    let mut series = Series::new("worker", "torchrun", peers);
    for _ in 0..count {
        let Torchrun { agents, ranks, .. } = &mut torchrun;
        // With an agent gone nobody brings the gang back.
        let alive = || agents.iter_mut().all(|agent| agent.try_wait().is_ok_and(|ended| ended.is_none()));
        let recovery = kill_worker(ranks, chance, alive);
        series.add(recovery);
        if recovery.is_none() {
            drop(torchrun);
            torchrun = Torchrun::start(torch_python, python, peers);
        }
    }
    series
}

// The report

struct Series {
    what: &'static str,
    system: &'static str,
    peers: String,
    load: String,
    recoveries: Vec<Recovery>,
    never: usize,
    formed: Vec<f64>,
    ordered: Vec<f64>,
}

impl Series {
    fn new(what: &'static str, system: &'static str, peers: &str) -> Self {
        let (peers, load) = (peers.to_owned(), String::new());
        Self { what, system, peers, load, recoveries: vec![], never: 0, formed: vec![], ordered: vec![] }
    }

    fn add(&mut self, recovery: Option<Recovery>) {
        if self.recoveries.len() + self.never == 0 {
            self.load = load();
        }
        match recovery {
            Some(recovery) => {
                let (started, stepping) = (recovery.started, recovery.stepping);
                println!(
                    "  {} {} (survivors {}): started {:.0} ms, stepping {:.0} ms",
                    self.system,
                    self.what,
                    self.peers,
                    millis(recovery.struck, started),
                    millis(recovery.struck, stepping)
                );
                self.recoveries.push(recovery);
            }
            None => {
                println!("  {} {} (survivors {}): never", self.system, self.what, self.peers);
                self.never += 1;
            }
        }
    }

    fn stepping(&self) -> Vec<f64> {
        self.recoveries.iter().map(|recovery| millis(recovery.struck, recovery.stepping)).collect()
    }

    fn started(&self) -> Vec<f64> {
        self.recoveries.iter().map(|recovery| millis(recovery.struck, recovery.started)).collect()
    }

    fn show(&self) {
        for (until, values) in [("ranks started", self.started()), ("ranks step", self.stepping())] {
            println!(
                "{:<16} {:<9} {:<9} {:<14} {:>3} {:>5} {}  {}",
                self.what,
                self.system,
                self.peers,
                until,
                self.recoveries.len() + self.never,
                self.never,
                spread(values),
                self.load
            );
        }
    }
}

/// The value below which this share lies, the nearest rank; NaN of nothing.
fn quantile(mut values: Vec<f64>, share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let index = (share * values.len() as f64).ceil() as usize;
    values.get(index.saturating_sub(1)).copied().unwrap_or(f64::NAN)
}

fn spread(values: Vec<f64>) -> String {
    let of = |share| quantile(values.clone(), share);
    format!("{:>8.1} {:>8.1} {:>8.1}", of(0.5), of(0.9), of(1.0))
}

fn load() -> String {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    load.split(' ').take(2).collect::<Vec<_>>().join(" ")
}

fn output(program: &str, arguments: &[&str]) -> Result<String, String> {
    let ran = Command::new(program).args(arguments).stdin(Stdio::null()).output();
    let ran = ran.map_err(|error| format!("{program}: {error}"))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    let last = || text(&ran.stderr).lines().last().unwrap_or("failed").to_owned();
    if ran.status.success() { Ok(text(&ran.stdout)) } else { Err(format!("{program}: {}", last())) }
}

/// How long interpreters that are started at the same time take to come and go.
fn interpreters(python: &str, count: usize) -> String {
    let start = || {
        let clock = Instant::now();
        let spawn = || Command::new(python).args(["-c", "pass"]).stdin(Stdio::null()).spawn().expect("Python starts");
        let all: Vec<_> = (0..count).map(|_| spawn()).collect();
        all.into_iter()
            .for_each(|mut one| assert!(one.wait().is_ok_and(|status| status.success()), "Python ends well"));
        clock.elapsed().as_secs_f64() * 1e3
    };
    spread((0..20).map(|_| start()).collect())
}

fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    if !arguments.iter().any(|argument| argument == "--bench") {
        return println!("measures only under `cargo bench`");
    }
    let count = arguments.iter().find_map(|argument| argument.parse().ok()).unwrap_or(10);
    let python = output("python3", &["-c", "import sys; print(sys.executable)"]).expect("Python is at hand");
    let torch_python = std::env::var("FORGE_TORCH_PYTHON").unwrap_or_else(|_| "python3".into());
    let torch = output(&torch_python, &["-c", "import torch; print(torch.__version__)"]);

    let forge = Site::empty().forge(&["--version"]).with_code(0).stdout;
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let begin = load();
    let mut table = Vec::new();
    for peers in ["end", "wait"] {
        table.push(forge_workers(&python, peers, count, &mut Chance::new()));
        if torch.is_ok() {
            table.push(torchrun_workers(&torch_python, &python, peers, count, &mut Chance::new()));
        }
    }
    let (nodes, leaders) = forge_nodes(&python, count.div_ceil(2), &mut Chance::new());

    println!("\n{}; {}; {cores} cores", forge.trim(), output(&python, &["--version"]).unwrap_or_default());
    match &torch {
        Ok(version) => println!("torchrun of torch {version}"),
        Err(reason) => println!("skipped: torchrun: {reason}"),
    }
    println!("load {begin} at the beginning, {} at the end", load());
    println!(
        "\n{:<16} {:<9} {:<9} {:<14} {:>3} {:>5} {:>8} {:>8} {:>8}  load (1, 5 min)",
        "struck", "system", "survivors", "until", "n", "never", "median", "p90", "max"
    );
    println!("{:<60} {}", "python3 -c pass, alone", interpreters(&python, 1));
    println!("{:<60} {}", "python3 -c pass, four at once (as a gang's ranks start)", interpreters(&python, RANKS));
    table.iter().chain(&nodes).for_each(Series::show);
    for forge in table.iter().filter(|series| series.system == "forge") {
        println!(
            "\nforge, worker, survivors {}: until the new generation's event {}",
            forge.peers,
            spread(forge.formed.clone())
        );
        println!(
            "forge, worker, survivors {}: until the start's event          {}",
            forge.peers,
            spread(forge.ordered.clone())
        );
        let peer = table.iter().find(|series| series.system == "torchrun" && series.peers == forge.peers);
        if let Some(peer) = peer {
            let ratio = |of: fn(&Series) -> Vec<f64>| quantile(of(peer), 0.5) / quantile(of(forge), 0.5);
            println!(
                "torchrun / forge, medians: started {:.1}, stepping {:.1}",
                ratio(Series::started),
                ratio(Series::stepping)
            );
        }
    }
    println!(
        "\nleader outside the gang, SIGKILL, {} times; restarts of the gang: {}",
        leaders.pause_around.len(),
        leaders.restarts
    );
    println!("{:<60} {}", "longest pause between steps, 6 s before", spread(leaders.pause_before));
    println!("{:<60} {}", "longest pause between steps, 6 s after", spread(leaders.pause_around));
    println!("{:<60} {}", "until another leads", spread(leaders.succession));
}
