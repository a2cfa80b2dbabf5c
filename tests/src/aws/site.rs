//! A directory with a blueprint for target `aws`, and the real `forge` in it.

use super::{Emulator, Moment, Proxy, Recorded, Rules, Which};
use crate::Ran;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};
use std::ffi::OsStr;
use std::io::Read;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Longer than any command takes on an emulator whose durations are short.
const PATIENCE: Duration = Duration::from_secs(300);
/// What is in flight when forge dies is over as fast as the emulator answers.
const QUIET_WITHIN: Duration = Duration::from_secs(60);
/// What a program that has ended has printed is read at once.
const PRINTED_WITHIN: Duration = Duration::from_secs(10);
/// Code of a command that did not end and was killed for that.
const NEVER_ENDED: i32 = -2;

/// What a killed command had done.
#[derive(Debug)]
pub struct Killed {
    /// The request at which it was killed; none when it sent fewer.
    pub at: Option<Recorded>,
    /// How it ended: with code −1 when it was killed.
    pub ran: Ran,
}

/// A directory, with an emulated AWS of its own or shared, and a proxy of its own before that.
#[derive(Debug)]
pub struct Site {
    /// The directory.
    pub directory: crate::Site,
    /// The emulated AWS.
    pub emulator: Arc<Emulator>,
    /// What lies between; play rules on it.
    pub proxy: Proxy,
    /// What is run instead of `forge`, in tests of this harness.
    pub program: Option<PathBuf>,
    /// How long a command may take.
    pub patience: Duration,
}

impl Site {
    /// One with this blueprint.
    ///
    /// # Panics
    /// When there is no place for it.
    #[must_use]
    pub fn new(blueprint: &str, emulator: Arc<Emulator>) -> Self {
        let directory = crate::Site::with(&[("blueprint.yaml", blueprint)]);
        let proxy = Proxy::start(emulator.address(), Rules::none());
        Self { directory, emulator, proxy, program: None, patience: PATIENCE }
    }

    /// `forge` with arguments, not started yet, in an environment in which nothing leads to another AWS than this one.
    #[must_use]
    pub fn command<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Command {
        let mut command = match &self.program {
            None => self.directory.command(arguments),
            Some(program) => {
                let mut command = Command::new(program);
                command.args(arguments).current_dir(self.directory.path()).stdin(Stdio::null());
                command
            }
        };
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy().into_owned();
            if name.starts_with("AWS_") || name.to_lowercase().ends_with("_proxy") {
                command.env_remove(name);
            }
        }
        let nothing = self.directory.path().join("there-is-no-such-file");
        command
            .env("AWS_ENDPOINT_URL", self.proxy.url())
            .env("AWS_ACCESS_KEY_ID", "AKIAFORGETEST0000000")
            .env("AWS_SECRET_ACCESS_KEY", "this-is-not-a-secret")
            .env("AWS_REGION", "us-west-2")
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("AWS_CONFIG_FILE", &nothing)
            .env("AWS_SHARED_CREDENTIALS_FILE", &nothing);
        command
    }

    /// Runs `forge` to its end.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn run<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Ran {
        self.run_command(self.command(arguments), |_| {})
    }

    /// Runs a command of [`Site::command`] to its end.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn run_as(&self, command: Command) -> Ran {
        self.run_command(command, |_| {})
    }

    /// `forge up`, with what it does as JSON.
    pub fn up(&self) -> Ran {
        self.run(UP)
    }

    /// `forge plan --check`: code 0 when there is nothing to do.
    pub fn plan_check(&self) -> Ran {
        self.run(&["plan", "--check"])
    }

    /// `forge destroy`, of data as well, with what it does as JSON.
    pub fn destroy(&self) -> Ran {
        self.run(DESTROY)
    }

    /// Runs `forge` until its request number `n` among those that may change something, and kills it there. The rules that
    /// are played are gone after that.
    ///
    /// # Panics
    /// When it cannot be started, or what it had sent is never over.
    pub fn run_killed_at<S: AsRef<OsStr>>(&self, n: usize, moment: Moment, arguments: &[S]) -> Killed {
        self.run_killed(Which::mutating().numbers(n..=n), moment, Rules::none(), arguments)
    }

    /// Runs `forge` until the first request that is one of these, and kills it there; these rules hold for those before.
    ///
    /// # Panics
    /// When it cannot be started, or what it had sent is never over.
    pub fn run_killed<S: AsRef<OsStr>>(&self, at: Which, moment: Moment, rules: Rules, arguments: &[S]) -> Killed {
        self.run_command_killed(self.command(arguments), at, moment, rules)
    }

    /// The same with any command that speaks to the proxy.
    ///
    /// # Panics
    /// When it cannot be started, or what it had sent is never over.
    pub fn run_command_killed(&self, command: Command, at: Which, moment: Moment, rules: Rules) -> Killed {
        let victim = Arc::new(Victim::default());
        let killer = victim.clone();
        let mut with_kill = Rules::none().seed(rules.seed).kill(at, moment, move || killer.kill());
        // First: no other rule may decide the fate of the fatal request.
        with_kill.rules.extend(rules.rules);
        self.proxy.play(with_kill);
        let ran = self.run_command(command, |child| victim.is(child));
        victim.is_gone();
        self.proxy.quiet(QUIET_WITHIN);
        let fatal = format!("killed {moment}");
        let at = self.proxy.record().into_iter().find(|request| request.struck.as_ref() == Some(&fatal));
        self.proxy.play(Rules::none());
        Killed { at, ran }
    }

    fn run_command(&self, mut command: Command, started: impl FnOnce(&Child)) -> Ran {
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts");
        started(&child);
        let stdout = read(child.stdout.take());
        let stderr = read(child.stderr.take());
        let deadline = Instant::now() + self.patience;
        let status = loop {
            match child.try_wait().expect("it is a child of this process") {
                Some(status) => break Some(status),
                None if Instant::now() > deadline => {
                    // It may end just now.
                    let _ = child.kill();
                    let _ = child.wait();
                    break None;
                }
                None => std::thread::sleep(Duration::from_millis(5)),
            }
        };
        // A child of it that lives on may hold the pipes.
        let text = |printed: Receiver<String>| printed.recv_timeout(PRINTED_WITHIN).unwrap_or_default();
        let mut ran = Ran { code: NEVER_ENDED, stdout: text(stdout), stderr: text(stderr) };
        match status {
            Some(status) => ran.code = status.code().unwrap_or(-1),
            None => ran.stderr.push_str(&format!("\nkilled by its test: it did not end within {:?}\n", self.patience)),
        }
        ran
    }
}

/// What [`Site::up`] runs. The plan is not asked about, and progress is told as JSON.
pub(super) const UP: &[&str] = &["up", "--yes", "--json"];
/// What [`Site::destroy`] runs.
pub(super) const DESTROY: &[&str] = &["destroy", "--yes", "--delete-data", "--json"];

fn read(pipe: Option<impl Read + Send + 'static>) -> Receiver<String> {
    let (printed, all) = mpsc::channel();
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        // What came before it broke is what there is; and nobody may be waiting any more.
        let _ = pipe.map(|mut pipe| pipe.read_to_end(&mut bytes));
        let _ = printed.send(String::from_utf8_lossy(&bytes).into_owned());
    });
    all
}

/// Who is to be killed, as soon as it is known.
#[derive(Debug, Default)]
struct Victim {
    /// None before it is known, and when it has been waited for: its number may be another's by then.
    pid: Mutex<Option<Pid>>,
    known: Condvar,
}

impl Victim {
    fn is(&self, child: &Child) {
        *self.pid.lock().unwrap_or_else(PoisonError::into_inner) = Some(Pid::from_child(child));
        self.known.notify_all();
    }

    fn is_gone(&self) {
        *self.pid.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Kills it, and returns when none of its threads runs any more.
    fn kill(&self) {
        let pid = self.pid.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.known.wait_timeout_while(pid, QUIET_WITHIN, |pid| pid.is_none());
        let (pid, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if let Some(pid) = *pid {
            // It may have ended by itself, and then there is nothing to wait for either.
            let _ = kill_process(pid, Signal::KILL);
            let _ = waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT);
        }
    }
}
