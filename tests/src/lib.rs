//! What end-to-end tests share: the real `forge`, in a directory of its own, cleared away whatever happens.
//!
//! Tests run the program as a user does and look at what it prints, at files and at processes; nothing of forge is linked
//! to take a short cut, but for the types of what lies in the bucket.

pub mod aws;
pub mod processes;
pub mod trace;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// A blueprint of everything that a fleet of two nodes needs, and things that hold data.
pub const CLUSTER: &str = r#"forge: v1
name: desk
target: local
local: { nodes: 2, workers_per_node: 1 }
modules:
  network: { use: vpc }
  data: { use: s3 }
  scratch: { use: fsx-lustre, with: { network: "${network}" } }
  gpus:
    use: gpu-nodes
    with: { instance_type: p5.48xlarge, count: 2, spares: 1, scratch: "${scratch}" }
jobs:
  wait:
    nodes: ${gpus}
    command: [sleep, "1000"]
"#;

/// Root of the repository.
///
/// # Panics
/// When this crate is not in it.
#[must_use]
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the repository").to_owned()
}

/// The `forge` program, built from the code as it is now.
///
/// # Panics
/// When it does not build.
#[must_use]
pub fn forge() -> &'static Path {
    static FORGE: OnceLock<PathBuf> = OnceLock::new();
    FORGE.get_or_init(|| {
        // Cargo builds the programs of other packages for nobody; a stale one must not be tested.
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let build = Command::new(cargo)
            .args(["build", "--quiet", "--locked", "--package", "forge-cli", "--bin", "forge"])
            // A benchmark measures what users run.
            .args((!cfg!(debug_assertions)).then_some("--release"))
            .current_dir(repository())
            .status();
        assert!(build.is_ok_and(|status| status.success()), "forge does not build");
        // …/target/debug/deps/<test> or …/target/release/<bench>
        let own = std::env::current_exe().expect("the system tells what runs");
        let profile = own.ancestors().find(|path| path.join("forge").is_file());
        profile.expect("forge lies beside the tests").join("forge")
    })
}

/// The Python of the virtual environment that `./check` makes, with JAX.
///
/// # Panics
/// When it is not there: run `./check` or `./quickstart`, which make it.
#[must_use]
pub fn python() -> PathBuf {
    let python = repository().join(".venv/bin/python");
    assert!(python.exists(), "{} is missing: ./check and ./quickstart make it", python.display());
    python
}

/// What a command printed, and how it ended.
#[derive(Debug, Clone)]
pub struct Ran {
    /// Exit code; −1 when a signal ended it.
    pub code: i32,
    /// Its data.
    pub stdout: String,
    /// Its talk.
    pub stderr: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Ran {
    /// The same, if the exit code is this one.
    ///
    /// # Panics
    /// With everything that was printed, if not.
    #[allow(clippy::must_use_candidate, reason = "a check that is also a value")]
    pub fn with_code(self, code: i32) -> Self {
        assert_eq!(self.code, code, "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }

    /// The lines of stdout as JSON.
    ///
    /// # Panics
    /// When one of them is none.
    #[must_use]
    pub fn json(&self) -> Vec<serde_json::Value> {
        let parse = |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        self.stdout.lines().map(parse).collect()
    }
}

/// A directory with a blueprint, as a user has one. Dropping it ends every process that was started for it.
#[derive(Debug)]
pub struct Site {
    root: tempfile::TempDir,
}

impl Site {
    /// An empty one.
    ///
    /// # Panics
    /// When there is no place for it.
    #[must_use]
    pub fn empty() -> Self {
        Self { root: tempfile::Builder::new().prefix("forge-test-").tempdir().expect("a temporary directory") }
    }

    /// One with these files.
    ///
    /// # Panics
    /// When they cannot be written.
    #[must_use]
    pub fn with(files: &[(&str, &str)]) -> Self {
        let site = Self::empty();
        for (name, content) in files {
            site.write(name, content);
        }
        site
    }

    /// One with a copy of an example.
    ///
    /// # Panics
    /// When there is no such example.
    #[must_use]
    pub fn of_example(name: &str) -> Self {
        let site = Self::empty();
        let example = repository().join("examples").join(name);
        for entry in std::fs::read_dir(&example).expect("the example exists") {
            let path = entry.expect("the example can be read").path();
            if path.is_file() {
                std::fs::copy(&path, site.path().join(path.file_name().expect("a file has a name"))).expect("a copy");
            }
        }
        site
    }

    /// Where it is; the canonical path, as processes of forge show it.
    ///
    /// # Panics
    /// When it is gone.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.root.path().canonicalize().expect("the directory exists")
    }

    /// Writes a file.
    ///
    /// # Panics
    /// When that fails.
    pub fn write(&self, name: &str, content: &str) {
        let path = self.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a file has a parent")).expect("a directory");
        std::fs::write(path, content).expect("a file");
    }

    /// What is in a file.
    ///
    /// # Panics
    /// When it cannot be read.
    #[must_use]
    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// `forge` with arguments, not started yet. Its Python is the virtual environment's, where there is one.
    #[must_use]
    pub fn command<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Command {
        let mut command = Command::new(forge());
        let path = std::env::var("PATH").unwrap_or_default();
        command
            .args(arguments)
            .current_dir(self.path())
            .env("PATH", format!("{}:{path}", repository().join(".venv/bin").display()))
            .env("NO_COLOR", "1")
            // What nodes of AWS would be given is only read and sent: any file is as good.
            .env("FORGE_AGENT_X86_64", repository().join("LICENSE"))
            .env("FORGE_AGENT_ARM64", repository().join("LICENSE"))
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdin(Stdio::null());
        command
    }

    /// Runs `forge` to its end.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn forge<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Ran {
        self.command(arguments).output().expect("forge starts").into()
    }

    /// Starts `forge` in a process group of its own.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Child {
        let mut command = self.command(arguments);
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("forge starts")
    }

    /// Processes that were started for this directory and live.
    #[must_use]
    pub fn processes(&self) -> Vec<processes::Process> {
        processes::of(&self.path())
    }

    /// Every file below the directory, by relative path, in order.
    ///
    /// # Panics
    /// When it cannot be read.
    #[must_use]
    pub fn files(&self) -> Vec<String> {
        let root = self.path();
        let mut found = Vec::new();
        let mut pending = vec![root.clone()];
        while let Some(directory) = pending.pop() {
            for entry in std::fs::read_dir(directory).expect("a directory") {
                let path = entry.expect("an entry").path();
                let relative = path.strip_prefix(&root).expect("it is below the root").display().to_string();
                if path.is_dir() {
                    found.push(format!("{relative}/"));
                    pending.push(path);
                } else {
                    found.push(relative);
                }
            }
        }
        found.sort();
        found
    }

    /// The newest run's state, as `forge runs` shows it.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn newest_run(&self) -> serde_json::Value {
        let runs = self.forge(&["runs", "--json"]).with_code(0).json();
        runs.last().expect("there is a run")["run"].clone()
    }

    /// The events of the newest run as (kind, message).
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn events(&self) -> Vec<(String, String)> {
        let events = self.forge(&["events", "--json"]).with_code(0).json();
        let text =
            |event: &serde_json::Value, field: &str| event["event"][field].as_str().unwrap_or_default().to_owned();
        events.iter().map(|event| (text(event, "kind"), text(event, "message"))).collect()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        processes::kill_all(&self.root.path().canonicalize().unwrap_or_default());
    }
}

/// Waits until a condition holds.
///
/// # Panics
/// When it does not within `within`; that is a bound on hope, not a measurement.
pub fn wait_until(what: &str, within: Duration, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < within, "{what}: not within {within:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
