//! `local.fleet`: a fleet process that keeps N agents alive, where an auto-scaling group would.
//!
//! The process is the agent program's own `fleet run`; this kind makes its directory, starts it, changes `wanted.json`, and
//! asks `fleet status` and `fleet stop`. It is started in a process group of its own and outlives `forge up`.

use super::Local;
use super::place::{Place, Record, present, write_durably};
use forge_engine::address::Deployment;
use forge_engine::kind::{Effect, Hourly, Kind, KindError, Observed, OnIdentifier, Readiness, Tags, Typical};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

/// `fleet stop` gives agents time to end; past this something is wrong.
const STOP_WITHIN: Duration = Duration::from_secs(60);
/// `fleet status` reads three small files.
const STATUS_WITHIN: Duration = Duration::from_secs(10);

/// What can be chosen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Nodes in the training gang.
    #[schemars(range(min = 1))]
    pub nodes: u32,
    /// Healthy nodes beyond those.
    #[serde(default)]
    pub spares: u32,
    /// Workers, and simulated accelerators, of each node.
    #[schemars(range(min = 1))]
    pub workers_per_node: u32,
    /// Address of the deployment's bucket.
    pub bucket: String,
    /// Mount path of the shared file system.
    #[serde(default)]
    pub scratch: Option<String>,
}

/// What `fleet status` prints.
#[derive(Debug, Deserialize)]
struct Status {
    running: bool,
    ready: bool,
    message: String,
}

/// See the module.
#[derive(Debug)]
pub struct Fleet {
    place: Place,
    agent: Vec<OsString>,
}

fn wanted(spec: &Spec) -> serde_json::Value {
    json!({
        "nodes": spec.nodes,
        "spares": spec.spares,
        "accelerators": spec.workers_per_node,
        "bucket": spec.bucket,
    })
}

impl Fleet {
    /// The kind on this machine.
    #[must_use]
    pub fn new(local: &Local) -> Self {
        Self { place: Place::new(&local.root, "fleets"), agent: local.agent.clone() }
    }

    fn command(&self, arguments: &[&str], directory: &Path) -> Result<std::process::Command, KindError> {
        let [program, prefix @ ..] = self.agent.as_slice() else {
            return Err(KindError::terminal("the agent's program is not known"));
        };
        let mut command = std::process::Command::new(program);
        command.args(prefix).args(arguments).arg("--dir").arg(directory).stdin(Stdio::null());
        Ok(command)
    }

    async fn ask(&self, arguments: &[&str], directory: &Path, within: Duration) -> Result<String, KindError> {
        let mut command = tokio::process::Command::from(self.command(arguments, directory)?);
        let what = format!("forge-agent {} {}", arguments.join(" "), directory.display());
        let output = tokio::time::timeout(within, command.kill_on_drop(true).output())
            .await
            .map_err(|_| KindError::terminal(format!("{what}: no answer within {} s", within.as_secs())))?
            .map_err(|error| KindError::caused(format!("{what} cannot be started"), error))?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        Err(KindError::terminal(format!("{what}: {}", String::from_utf8_lossy(&output.stderr).trim())))
    }

    /// Starts the fleet process. One that runs already makes the new one end by itself.
    fn start(&self, directory: &Path) -> Result<(), KindError> {
        let log = directory.join("fleet.log");
        let start = || -> io::Result<std::process::Command> {
            let output = fs::File::options().create(true).append(true).open(&log)?;
            let mut command = self.command(&["fleet", "run"], directory).map_err(io::Error::other)?;
            // Marked, so that `fleet stop` finds it whatever becomes of its files.
            command.env("FORGE_OWNER", format!("{}/", directory.display()));
            command.stdout(output.try_clone()?).stderr(output).process_group(0);
            Ok(command)
        };
        // Not waited for: it outlives this process. While this process lives, the kernel keeps its exit status.
        start()
            .and_then(|mut command| command.spawn())
            .map(drop)
            .map_err(|error| KindError::caused("the fleet process cannot be started", error))
    }

    async fn observe(&self, path: &Path) -> Result<Option<Observed>, KindError> {
        let Some(record) = Place::read::<Spec>(path)? else { return Ok(None) };
        let status = if path.join("wanted.json").exists() {
            let status = self.ask(&["fleet", "status"], path, STATUS_WITHIN).await?;
            serde_json::from_str(&status)
                .map_err(|error| KindError::caused("the fleet's status cannot be understood", error))?
        } else {
            // A deletion was cut off after the fleet had stopped; the tags go last.
            Status { running: false, ready: false, message: "half deleted".to_owned() }
        };
        let spec = record.spec;
        // A fleet that does not run has no nodes, whatever was asked for: that is drift.
        let (nodes, spares) = if status.running { (spec.nodes, spec.spares) } else { (0, 0) };
        let id = path.display().to_string();
        Ok(Some(Observed {
            outputs: [("id".to_owned(), json!(id))].into(),
            id,
            spec: [
                ("nodes".to_owned(), json!(nodes)),
                ("spares".to_owned(), json!(spares)),
                ("workers_per_node".to_owned(), json!(spec.workers_per_node)),
                ("bucket".to_owned(), json!(spec.bucket)),
                ("scratch".to_owned(), json!(spec.scratch)),
            ]
            .into(),
            readiness: if status.ready { Readiness::Ready } else { Readiness::Waiting(status.message) },
            tags: Some(record.tags),
        }))
    }
}

impl Kind for Fleet {
    type Spec = Spec;
    const NAME: &'static str = "local.fleet";
    const OUTPUTS: &'static [&'static str] = &["id"];
    /// Measured on two cores: agents start within a second, and end within two.
    const TYPICAL: Typical = Typical::seconds(1, 1, 2);

    /// This machine is there anyway.
    fn hourly(&self, _spec: &Spec) -> Option<Hourly> {
        Some(Hourly(0.0))
    }

    fn effect(&self, _field: &str, _before: &Spec, _after: &Spec) -> Effect {
        Effect::InPlace
    }

    async fn read(&self, id: &str) -> Result<Option<Observed>, KindError> {
        self.observe(Path::new(id)).await
    }

    async fn create(&self, spec: &Spec, tags: &Tags, on_identifier: OnIdentifier<'_>) -> Result<Observed, KindError> {
        let record = Record { tags: tags.clone(), spec: spec.clone() };
        let path = self.place.create(&record, |draft| {
            fs::File::create(draft.join("lock"))?;
            write_durably(&draft.join("wanted.json"), &wanted(spec))
        })?;
        on_identifier(&path.display().to_string());
        self.start(&path)?;
        present(self.observe(&path).await?, &path)
    }

    async fn update(&self, id: &str, _before: Option<&Spec>, spec: &Spec, tags: &Tags) -> Result<Observed, KindError> {
        let path = PathBuf::from(id);
        write_durably(&path.join("wanted.json"), &wanted(spec))
            .map_err(|error| KindError::caused(format!("{id} cannot be changed"), error))?;
        Place::rewrite(&path, &Record { tags: tags.clone(), spec: spec.clone() })?;
        self.start(&path)?;
        present(self.observe(&path).await?, &path)
    }

    async fn delete(&self, id: &str) -> Result<(), KindError> {
        let path = Path::new(id);
        if path.join("lock").exists() {
            self.ask(&["fleet", "stop"], path, STOP_WITHIN).await?;
        }
        self.place.delete(path)
    }

    async fn list(&self, deployment: &Deployment) -> Result<Vec<Observed>, KindError> {
        let mut found = Vec::new();
        for path in self.place.list(deployment)? {
            found.extend(self.observe(&path).await?);
        }
        Ok(found)
    }
}
