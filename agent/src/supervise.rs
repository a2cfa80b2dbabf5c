//! Processes: started so that they cannot outlive their owner, ended so that nothing of them stays.
//!
//! A worker runs in a process group of its own. It is started through `forge-agent exec` ([`exec`]), which asks the kernel to
//! kill it when the agent dies and then becomes the worker's program. Children that a worker moves to other groups or
//! sessions are still found: everything that descends from it carries a marker in its environment ([`MARKER`]), and
//! [`sweep`] kills by that.

use crate::wire::Exit;
use rustix::process::{Pid, Signal};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::process::{Child, Command};

/// Environment variable that marks everything that descends from an agent's or fleet's children.
pub const MARKER: &str = "FORGE_OWNER";

/// How a program starts itself again: the executable, and the arguments that lead to [`crate::command`].
#[derive(Debug, Clone)]
pub struct Program {
    /// The executable.
    pub path: PathBuf,
    /// What stands before the agent's own arguments: nothing for `forge-agent`, `agent` for `forge`.
    pub prefix: Vec<OsString>,
}

impl Program {
    /// The running executable, with these arguments in front.
    ///
    /// # Errors
    /// When the system does not tell what runs.
    pub fn current(prefix: &[&str]) -> io::Result<Self> {
        let path = std::env::current_exe()?;
        // After the file was replaced by a newer build the kernel's own link still leads to what runs.
        let path = if path.exists() { path } else { PathBuf::from("/proc/self/exe") };
        Ok(Self { path, prefix: prefix.iter().map(OsString::from).collect() })
    }

    /// A command that runs one of the agent's own subcommands.
    #[must_use]
    pub fn command(&self, arguments: &[&str]) -> std::process::Command {
        let mut command = std::process::Command::new(&self.path);
        command.args(&self.prefix).args(arguments).stdin(Stdio::null());
        command
    }
}

/// What to start.
#[derive(Debug)]
pub struct Launch<'a> {
    /// Program and arguments.
    pub command: &'a [String],
    /// Added to the agent's own environment.
    pub environment: &'a BTreeMap<String, String>,
    /// Where it runs.
    pub directory: &'a Path,
    /// Where its output goes, appended; written by the worker itself, so no byte depends on the agent's life.
    pub output: &'a Path,
}

/// Starts a worker as the leader of a process group.
///
/// # Errors
/// When it cannot be started. That its *program* does not exist shows as exit code 127 of the worker and a line of output.
pub fn launch(program: &Program, launch: &Launch<'_>) -> io::Result<Child> {
    let output = File::options().create(true).append(true).open(launch.output)?;
    let parent = std::process::id().to_string();
    let mut command = program.command(&["exec", "--parent", &parent, "--"]);
    command.args(launch.command).envs(launch.environment).current_dir(launch.directory);
    command.stdout(output.try_clone()?).stderr(output).process_group(0);
    Command::from(command).spawn()
}

/// How a process ended.
#[must_use]
pub fn exit_of(status: ExitStatus) -> Exit {
    match (status.code(), status.signal()) {
        (Some(code), _) => Exit::Code(code),
        (None, Some(signal)) => Exit::Signal(signal),
        (None, None) => Exit::Code(-1),
    }
}

/// Sends a signal to the process group that `leader` leads; a group that is gone is no error.
pub fn signal_group(leader: u32, signal: Signal) {
    let Some(group) = i32::try_from(leader).ok().and_then(Pid::from_raw) else { return };
    if let Err(error) = rustix::process::kill_process_group(group, signal)
        && error != rustix::io::Errno::SRCH
    {
        tracing::warn!(leader, %error, "a process group could not be signalled");
    }
}

/// Processes other than this one whose environment has `FORGE_OWNER` beginning with `marker`.
#[must_use]
pub fn marked(marker: &str) -> Vec<Pid> {
    let own = std::process::id().to_string();
    let wanted = format!("{MARKER}={marker}");
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    names
        .filter(|name| *name != own && name.bytes().all(|byte| byte.is_ascii_digit()))
        .filter(|name| {
            // Processes of other users cannot be read, and are none of ours.
            let environment = std::fs::read(format!("/proc/{name}/environ")).unwrap_or_default();
            environment.split(|byte| *byte == 0).any(|variable| variable.starts_with(wanted.as_bytes()))
        })
        .filter_map(|name| name.parse().ok().and_then(Pid::from_raw))
        .collect()
}

/// Kills everything that carries the marker, until nothing does or the deadline has passed. Returns what is left.
pub fn sweep(marker: &str, deadline: Duration) -> Vec<Pid> {
    let start = std::time::Instant::now();
    loop {
        let left = marked(marker);
        if left.is_empty() || start.elapsed() > deadline {
            return left;
        }
        for process in left {
            // It may be gone by now.
            let _ = rustix::process::kill_process(process, Signal::KILL);
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Asks the kernel to kill this process when its parent dies. False when the parent is dead already.
///
/// # Errors
/// When the kernel refuses.
pub fn die_with(parent: u32) -> io::Result<bool> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    // It may have died before the call: then this process has been adopted by another.
    Ok(rustix::process::getppid().is_some_and(|actual| actual.as_raw_nonzero().get().unsigned_abs() == parent))
}

/// Becomes the worker's program, bound to the life of the agent. Returns only when it cannot.
#[must_use]
pub fn exec(parent: u32, command: &[OsString]) -> io::Error {
    match die_with(parent) {
        Ok(true) => {}
        Ok(false) => return io::Error::other("the agent has ended"),
        Err(error) => return error,
    }
    match command {
        [program, arguments @ ..] => std::process::Command::new(program).args(arguments).exec(),
        [] => io::Error::new(io::ErrorKind::InvalidInput, "no command was given"),
    }
}
