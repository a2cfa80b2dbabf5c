//! Which processes belong to a directory: those that run in it, or name it on their command line or in their environment.

use rustix::process::{Pid, Signal, kill_process};
use std::path::Path;

/// A living process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Its number.
    pub pid: i32,
    /// Its command line.
    pub command: String,
}

/// Living processes of a directory; not this one, and none that is a zombie.
#[must_use]
pub fn of(directory: &Path) -> Vec<Process> {
    let wanted = directory.display().to_string();
    if wanted.is_empty() || wanted == "/" {
        return Vec::new();
    }
    let own = i32::try_from(std::process::id()).unwrap_or_default();
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|pid| *pid != own)
        .filter_map(|pid| {
            let read = |file: &str| std::fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
            let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).replace('\0', " ");
            let (command, environment) = (text(read("cmdline")), read("environ"));
            let working = std::fs::read_link(format!("/proc/{pid}/cwd")).unwrap_or_default();
            // `FORGE_OWNER` and its like; `PWD` would claim whatever shell stands there.
            let marked = environment
                .split(|byte| *byte == 0)
                .any(|variable| variable.starts_with(b"FORGE_") && contains(variable, wanted.as_bytes()));
            let ours = command.contains(&wanted) || working.starts_with(directory) || marked;
            ours.then_some(Process { pid, command })
        })
        .collect()
}

fn contains(text: &[u8], wanted: &[u8]) -> bool {
    text.windows(wanted.len()).any(|window| window == wanted)
}

/// Kills every process of a directory, again until there is none.
pub fn kill_all(directory: &Path) {
    for _ in 0..200 {
        let left = of(directory);
        if left.is_empty() {
            return;
        }
        for process in left {
            if let Some(pid) = Pid::from_raw(process.pid) {
                // It may be gone by now.
                let _ = kill_process(pid, Signal::KILL);
            }
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}
