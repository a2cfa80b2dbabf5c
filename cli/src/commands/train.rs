use super::Setting;
use crate::bus::Bus;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::follow::{Follower, Ranks, exit_of};
use crate::pack::pack;
use crate::project::{BlueprintArgs, Current, Project, VariableArgs};
use crate::site::{read_state, runtime};
use crate::ui::{JSON_VERSION, Ui};
use crate::view;
use forge_agent::bucket::directory::sha256;
use forge_agent::bucket::{BucketError, Condition, Documents};
use forge_agent::clock::wall;
use forge_agent::wire::{CheckpointPolicy, Package, RestartPolicy, RunId, RunSpec, VERSION, key};
use forge_blueprints::{Expanded, Job};
use forge_engine::state::State;
use serde_json::{Value as Json, json};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The job [default: the only one]
    job: Option<String>,
    /// Hand the run in and return
    #[arg(short, long)]
    detach: bool,
    /// Whose output to follow: a rank, or all
    #[arg(long, default_value = "0")]
    rank: Ranks,
    #[command(flatten)]
    variables: VariableArgs,
    /// Arguments to add to the job's command
    #[arg(last = true)]
    arguments: Vec<String>,
}

pub(crate) fn run(arguments: Arguments, setting: &Setting) -> Result<Exit, Failure> {
    let ui = setting.ui;
    let current = Current::require(&setting.directory)?;
    let blueprint = BlueprintArgs { variables: arguments.variables, ..BlueprintArgs::default() };
    let expanded = Project::find(&setting.directory, &blueprint)?.expand(ui)?;
    let job = pick(&expanded, arguments.job.as_deref())?;
    let bus = Bus::of(&setting.directory)?;
    let state = read_state(&current.home(&setting.directory), &current.deployment)?;
    let archive = pack(&setting.directory)?;
    runtime()?.block_on(async {
        let run = submit(&bus, &expanded, job, &state, &archive, &arguments.arguments).await?;
        if ui.json {
            ui.document(&json!({"v": JSON_VERSION, "submitted": {"run": run, "job": job.name}}));
        } else {
            let size = view::bytes(archive.len() as u64);
            ui.say(format!("run {run} of job {} handed in ({size} of code)", job.name));
        }
        if arguments.detach {
            return Ok(Exit::Done);
        }
        follow(&bus, ui, run, arguments.rank).await
    })
}

async fn follow(bus: &Bus, ui: Ui, run: RunId, ranks: Ranks) -> Result<Exit, Failure> {
    let mut follower = Follower::new(bus, ui, run.clone(), Some(ranks), true);
    let Some(state) = follower.until_over().await? else {
        ui.say(format!("detached; {run} goes on: forge logs -f {run}, forge cancel {run}"));
        return Ok(Exit::Interrupted);
    };
    let exit = exit_of(state.phase);
    if exit != Exit::Done && !ui.json {
        follower.last_words().await?;
    }
    Ok(exit)
}

fn pick<'e>(expanded: &'e Expanded, named: Option<&str>) -> Result<&'e Job, Failure> {
    let names: Vec<_> = expanded.jobs.iter().map(|job| job.name.as_str()).collect();
    let there_are = format!("The blueprint has: {}.", names.join(", "));
    match (named, expanded.jobs.as_slice()) {
        (_, []) => Err(Failure::new("the blueprint has no job").help("Add one under `jobs:`.")),
        (None, [job]) => Ok(job),
        (None, _) => Err(Failure::usage("which job?").help(there_are)),
        (Some(named), jobs) => jobs
            .iter()
            .find(|job| job.name == named)
            .ok_or_else(|| Failure::usage(format!("there is no job {named}")).help(there_are)),
    }
}

/// An output of the module whose nodes the job runs on.
fn output(job: &Job, state: &State, name: &str) -> Result<Json, Failure> {
    let value = job.nodes.get(name).ok_or_else(|| {
        Failure::new(format!("module {} of job {} has no output {name}: it has no nodes", job.module, job.name))
    })?;
    value.resolve(&|output| state.output(output).cloned()).map_err(|output| {
        Failure::new(format!("{output} is not known: module {} is not up", job.module))
            .help("`forge up` makes what the blueprint asks for.")
    })
}

async fn submit(
    bus: &Bus,
    expanded: &Expanded,
    job: &Job,
    state: &State,
    archive: &[u8],
    extra: &[String],
) -> Result<RunId, Failure> {
    let count = |name: &str| -> Result<u32, Failure> {
        let value = output(job, state, name)?;
        let number = value.as_u64().and_then(|number| u32::try_from(number).ok());
        number.ok_or_else(|| Failure::new(format!("output {name} of module {} is {value}, not a count", job.module)))
    };
    let mut env = job.env.clone();
    if expanded.target == forge_blueprints::Target::Local
        && let Ok(path) = std::env::var("PATH")
    {
        // On this machine a job sees the programs that its user sees, not those of whoever ran `forge up`.
        env.entry("PATH".to_owned()).or_insert(path);
    }
    let mut spec = RunSpec {
        v: VERSION,
        run: RunId(String::new()),
        job: job.name.clone(),
        command: job.command.iter().chain(extra).cloned().collect(),
        workdir: job.workdir.clone(),
        env,
        secrets: job.secrets.iter().map(|(name, secret)| (name.clone(), secret.secret.clone())).collect(),
        package: Package { key: String::new(), sha256: sha256(archive), bytes: archive.len() as u64 },
        nodes: count("nodes")?,
        workers_per_node: count("workers_per_node")?,
        checkpoint: CheckpointPolicy {
            every_steps: job.checkpoint.every_steps.map(u64::from),
            keep_last: job.checkpoint.keep.last,
            keep_powers_of_two: job.checkpoint.keep.powers_of_two,
        },
        restarts: RestartPolicy { max: job.restarts.max, window_ms: job.restarts.window.as_millis() as u64 },
        hang_after_ms: job.hang_after.as_millis() as u64,
        scratch: output(job, state, "scratch")?.as_str().map(str::to_owned),
        submitted_at: wall(),
    };
    // Names count up, and the create-only write decides between two who hand in at once.
    let mut number = bus.runs().await?.iter().filter(|run| run.spec.job == job.name).count() + 1;
    loop {
        spec.run = RunId(format!("{}-{number}", job.name));
        spec.package.key = key::package(&spec.run);
        match bus.bucket.write(&key::spec(&spec.run), &spec, Condition::Absent).await {
            Ok(_) => break,
            Err(BucketError::Lost { .. }) => number += 1,
            Err(error) => return Err(error.into()),
        }
    }
    bus.bucket.put(&spec.package.key, archive.to_vec(), Condition::Always).await?;
    let queued = key::queued(spec.submitted_at, &spec.run);
    bus.bucket.put(&queued, b"{}".to_vec(), Condition::Absent).await?;
    Ok(spec.run)
}
