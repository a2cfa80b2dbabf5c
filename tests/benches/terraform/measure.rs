//! What a command costs: its time, and the processor time, memory and requests of its whole process group.

use forge_tests::aws::Emulator;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::Value as Json;
use std::fs::{File, read_dir, read_to_string};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Longer than any command takes: Terraform's provider waits ten minutes for a file system that goes.
const PATIENCE: Duration = Duration::from_secs(25 * 60);
/// How often memory is looked at. The kernel keeps the peak, so that only what comes right before the end is missed.
const LOOKS_EVERY: Duration = Duration::from_millis(5);
/// How often processes are listed. Terraform starts its provider once or twice in seconds.
const LISTS_EVERY: Duration = Duration::from_millis(100);
/// Lines that are shown of what a command that failed has printed.
const SHOWN: usize = 25;

/// What a command took.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Cost {
    /// Seconds by the clock.
    pub(crate) wall: f64,
    /// Seconds on processors, user and system.
    pub(crate) cpu: f64,
    /// Peak of memory, MiB: the sum of the peaks of processes that lived at the same time.
    pub(crate) mib: f64,
    /// Requests that the emulator had.
    pub(crate) requests: f64,
    /// Seconds on processors of the emulator meanwhile.
    pub(crate) emulator: f64,
}

/// A command and what it has started, in a process group of its own; dropping it ends them all.
struct Group(Child);

impl Group {
    fn id(&self) -> Pid {
        Pid::from_child(&self.0)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // All of it may have ended by itself.
        let _ = kill_process_group(self.id(), Signal::KILL);
        let _ = self.0.wait();
    }
}

/// Runs a command to its end, which must be one with this code.
pub(crate) fn measure(mut command: Command, emulator: &Emulator, code: i32) -> Result<Cost, String> {
    let printed = tempfile::NamedTempFile::new().expect("a file for what it prints");
    let file = || File::create(printed.path()).expect("a file for what it prints");
    let both = file();
    command.process_group(0).stdin(Stdio::null()).stdout(both.try_clone().expect("a second handle")).stderr(both);
    let (requests, cpu, emulated) = (requests(emulator), children(), emulator_cpu(emulator));
    let start = Instant::now();
    let mut group = Group(command.spawn().map_err(|error| error.to_string())?);
    let (id, over) = (group.id(), AtomicBool::new(false));
    let (ended, wall, kib) = std::thread::scope(|scope| {
        let watcher = scope.spawn(|| watch(id, start, &over));
        let ended = group.0.wait();
        let wall = start.elapsed().as_secs_f64();
        over.store(true, Ordering::Relaxed);
        (ended, wall, watcher.join().expect("nothing in it fails"))
    });
    let ended = ended.map_err(|error| error.to_string())?;
    if ended.code() != Some(code) {
        let text = read_to_string(printed.path()).unwrap_or_default();
        let lines: Vec<_> = text.lines().collect();
        let last = lines[lines.len().saturating_sub(SHOWN)..].join("\n  ");
        return Err(format!("{ended} after {wall:.0} s, not code {code}:\n  {last}"));
    }
    Ok(Cost {
        wall,
        cpu: children() - cpu,
        mib: kib as f64 / 1024.0,
        requests: self::requests(emulator) - requests,
        emulator: emulator_cpu(emulator) - emulated,
    })
}

/// The peak of the group's memory in KiB. Ends it when it takes too long.
fn watch(group: Pid, start: Instant, over: &AtomicBool) -> u64 {
    let (mut members, mut listed, mut peak) = (vec![group.as_raw_nonzero().get()], Instant::now(), 0);
    while !over.load(Ordering::Relaxed) {
        if listed.elapsed() > LISTS_EVERY {
            (members, listed) = (members_of(group), Instant::now());
        }
        peak = peak.max(members.iter().filter_map(|pid| own_peak(*pid)).sum());
        if start.elapsed() > PATIENCE {
            // It may end just now.
            let _ = kill_process_group(group, Signal::KILL);
        }
        sleep(LOOKS_EVERY);
    }
    peak
}

fn own_peak(pid: i32) -> Option<u64> {
    let status = read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}

/// What follows the name in `/proc/PID/stat`: state, parent, group, …
fn stat(pid: i32) -> Option<Vec<i64>> {
    let stat = read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(") ")?;
    Some(fields.split(' ').skip(1).map(|field| field.trim().parse().unwrap_or(0)).collect())
}

fn members_of(group: Pid) -> Vec<i32> {
    let entries = read_dir("/proc").into_iter().flatten();
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let wanted = i64::from(group.as_raw_nonzero().get());
    pids.filter(|pid| stat(*pid).is_some_and(|fields| fields.get(1) == Some(&wanted))).collect()
}

/// Seconds on processors of all children that have ended, and of theirs.
fn children() -> f64 {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).expect("the system counts");
    let seconds = |time: TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
    seconds(usage.user_time()) + seconds(usage.system_time())
}

fn emulator_cpu(emulator: &Emulator) -> f64 {
    let fields = stat(emulator.pid()).unwrap_or_default();
    let ticks: i64 = fields.get(10..12).unwrap_or_default().iter().sum();
    // Linux shows them in hundredths of a second, whatever it counts in.
    ticks as f64 / 100.0
}

fn requests(emulator: &Emulator) -> f64 {
    fn sum(counts: &Json) -> f64 {
        counts.as_object().map_or(counts.as_f64().unwrap_or(0.0), |counts| counts.values().map(sum).sum())
    }
    sum(&emulator.counts())
}
