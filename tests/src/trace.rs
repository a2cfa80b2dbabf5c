//! Kills a program at a chosen one of its effects.
//!
//! An effect is a system call that changes something outside the process: a write to a file, making it durable, making,
//! renaming or deleting an entry of a directory, a lock, another process. The program is traced with ptrace(2), all of its
//! threads and none of its children; effects are numbered in the order in which its threads enter them, and at the one with
//! the wanted number the whole program gets SIGKILL *before* the kernel carries the call out. Killing it before effect
//! *n* + 1 is killing it after effect *n*, so numbers from 1 to the last are every state that a kill can leave behind.

use nix::libc::{self, c_long};
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use std::io::Write;
use std::process::{Child, Command, Stdio};

/// What a traced program did.
#[derive(Debug)]
pub struct Traced {
    /// The effects that it entered, in order, by the name of the system call and what it was about.
    pub effects: Vec<String>,
    /// Its exit code; none when it was killed.
    pub code: Option<i32>,
}

/// Runs `command` until its effect number `fatal`, from 1; to its end when it has fewer.
///
/// # Panics
/// When the system does not allow a process to trace its own child, or the program cannot be started.
#[must_use]
pub fn run_until(command: &Command, fatal: usize) -> Traced {
    let mut child = held(command);
    let pid = Pid::from_raw(i32::try_from(child.id()).expect("process ids are small"));
    let options = Options::PTRACE_O_TRACESYSGOOD
        | Options::PTRACE_O_TRACECLONE
        | Options::PTRACE_O_TRACEEXEC
        | Options::PTRACE_O_EXITKILL;
    ptrace::seize(pid, options).expect("a process may trace its child");
    ptrace::interrupt(pid).expect("it lives");
    let mut input = child.stdin.take().expect("it is held by its input");
    let mut trace = Trace { main: pid, fatal, execs: 0, effects: Vec::new(), code: None };
    let mut held = true;
    while trace.step() {
        if std::mem::take(&mut held) {
            input.write_all(b"go\n").expect("it reads");
        }
    }
    // It has been waited for above; this only closes what belongs to it.
    let _ = child.wait();
    Traced { effects: trace.effects, code: trace.code }
}

/// Starts the program behind a shell that waits for a line, so that tracing can begin before it does.
fn held(command: &Command) -> Child {
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", r#"read go && exec "$@" </dev/null"#, "sh"]).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    shell.current_dir(command.get_current_dir().expect("a site's command has a directory"));
    shell.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    shell.spawn().expect("the shell starts")
}

struct Trace {
    main: Pid,
    fatal: usize,
    execs: usize,
    effects: Vec<String>,
    code: Option<i32>,
}

impl Trace {
    /// Handles one stop of one thread; false when the program has ended.
    fn step(&mut self) -> bool {
        // Only what this thread traces: other tests may run in other threads of this process.
        let flags = WaitPidFlag::__WALL | WaitPidFlag::__WNOTHREAD;
        let status = waitpid(None, Some(flags)).expect("there is something to wait for");
        let go_on = |thread, signal| {
            // It may have been killed between its stop and now.
            let _ = ptrace::syscall(thread, signal);
        };
        match status {
            WaitStatus::Exited(pid, code) if pid == self.main => {
                self.code = Some(code);
                return false;
            }
            WaitStatus::Signaled(pid, ..) if pid == self.main => return false,
            WaitStatus::PtraceSyscall(thread) => {
                if let Some(effect) = self.effect(thread) {
                    self.effects.push(effect);
                    if self.effects.len() == self.fatal {
                        kill(self.main, Signal::SIGKILL).expect("it lives");
                    }
                }
                go_on(thread, None);
            }
            WaitStatus::PtraceEvent(thread, _, event) => {
                self.execs += usize::from(event == libc::PTRACE_EVENT_EXEC);
                go_on(thread, None);
            }
            WaitStatus::Stopped(thread, Signal::SIGTRAP) => go_on(thread, None),
            WaitStatus::Stopped(thread, signal) => go_on(thread, Some(signal)),
            _ => {}
        }
        true
    }

    /// The effect that a thread is about to have, if it is one; none before the shell has become the program.
    fn effect(&self, thread: Pid) -> Option<String> {
        let entering = ptrace::syscall_info(thread).is_ok_and(|info| info.op == libc::PTRACE_SYSCALL_INFO_ENTRY);
        if self.execs == 0 || !entering {
            return None;
        }
        let Call { number, arguments } = call(thread)?;
        let name = EFFECTS.iter().find(|(call, ..)| *call == number)?;
        let (_, name, about) = *name;
        let subject = match about {
            About::File(position) => file(thread, arguments[position])?,
            About::Path(position) => text(thread, arguments[position]),
            About::Created { path, flags } => {
                let changes = u64::try_from(libc::O_CREAT | libc::O_TRUNC).unwrap_or_default();
                (arguments[flags] & changes != 0).then(|| text(thread, arguments[path]))?
            }
            About::Process => {
                let threads = u64::try_from(libc::CLONE_THREAD).unwrap_or_default();
                (arguments[0] & threads == 0).then(String::new)?
            }
        };
        Some(format!("{name} {subject}").trim_end().to_owned())
    }
}

/// What an effect is about, by position among the arguments of the call.
#[derive(Debug, Clone, Copy)]
enum About {
    /// An open file; no effect when it is a pipe, a socket or the like.
    File(usize),
    /// A path.
    Path(usize),
    /// A path, when the flags say that it is to be made or emptied.
    Created { path: usize, flags: usize },
    /// A new process, unless the flags say that it is a thread.
    Process,
}

const EFFECTS: &[(c_long, &str, About)] = &[
    (libc::SYS_write, "write", About::File(0)),
    (libc::SYS_writev, "writev", About::File(0)),
    (libc::SYS_pwrite64, "pwrite", About::File(0)),
    (libc::SYS_fsync, "fsync", About::File(0)),
    (libc::SYS_fdatasync, "fdatasync", About::File(0)),
    (libc::SYS_ftruncate, "ftruncate", About::File(0)),
    (libc::SYS_flock, "flock", About::File(0)),
    (libc::SYS_copy_file_range, "copy", About::File(2)),
    (libc::SYS_openat, "open", About::Created { path: 1, flags: 2 }),
    (libc::SYS_renameat, "rename", About::Path(3)),
    (libc::SYS_renameat2, "rename", About::Path(3)),
    (libc::SYS_linkat, "link", About::Path(3)),
    (libc::SYS_symlinkat, "symlink", About::Path(2)),
    (libc::SYS_unlinkat, "unlink", About::Path(1)),
    (libc::SYS_mkdirat, "mkdir", About::Path(1)),
    (libc::SYS_clone, "process", About::Process),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_open, "open", About::Created { path: 0, flags: 1 }),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_rename, "rename", About::Path(1)),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_link, "link", About::Path(1)),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_symlink, "symlink", About::Path(1)),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_unlink, "unlink", About::Path(0)),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_mkdir, "mkdir", About::Path(0)),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_rmdir, "rmdir", About::Path(0)),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_fork, "process", About::Path(5)),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_vfork, "process", About::Path(5)),
];

struct Call {
    number: c_long,
    arguments: [u64; 6],
}

#[cfg(target_arch = "x86_64")]
fn call(thread: Pid) -> Option<Call> {
    let registers = ptrace::getregs(thread).ok()?;
    let arguments = [registers.rdi, registers.rsi, registers.rdx, registers.r10, registers.r8, registers.r9];
    Some(Call { number: c_long::try_from(registers.orig_rax).ok()?, arguments })
}

#[cfg(target_arch = "aarch64")]
fn call(thread: Pid) -> Option<Call> {
    let registers = ptrace::getregs(thread).ok()?.regs;
    let arguments = [registers[0], registers[1], registers[2], registers[3], registers[4], registers[5]];
    Some(Call { number: c_long::try_from(registers[8]).ok()?, arguments })
}

/// The path of an open file; none when it is no file.
fn file(thread: Pid, descriptor: u64) -> Option<String> {
    let path = std::fs::read_link(format!("/proc/{thread}/fd/{descriptor}")).ok()?.display().to_string();
    (path.starts_with('/') && !path.starts_with("/dev/") && !path.starts_with("/proc/")).then_some(path)
}

/// The text that a thread's pointer leads to.
fn text(thread: Pid, address: u64) -> String {
    let mut text = Vec::new();
    for word in 0.. {
        let at = usize::try_from(address).unwrap_or_default() + word * size_of::<c_long>();
        let Ok(bytes) = ptrace::read(thread, at as ptrace::AddressType).map(c_long::to_ne_bytes) else { break };
        text.extend(bytes.iter().take_while(|byte| **byte != 0));
        if bytes.contains(&0) || text.len() > 4096 {
            break;
        }
    }
    String::from_utf8_lossy(&text).into_owned()
}
