//! Making a node ready for a generation: the user's code and the checkpoint to start from, both verified, and a port for
//! rank 0.

use crate::agent::Context;
use crate::bucket::{BucketError, Documents, retry};
use crate::checkpoint::restore;
use crate::wire::{Assignment, RunSpec, StepNumber, key};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long stores and packages may take to answer while a gang forms.
const PREPARE_BUDGET: Duration = Duration::from_secs(120);

/// Why a node could not make ready.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unprepared {
    #[error("the run's specification cannot be read")]
    Spec(#[source] BucketError),
    #[error("there is no specification of this run")]
    NoSpec,
    #[error("the code package cannot be staged")]
    Package(#[source] BucketError),
    #[error("the code package is damaged: its digest does not match")]
    PackageDigest,
    #[error("the checkpoint of step {0} cannot be restored")]
    Checkpoint(StepNumber, #[source] BucketError),
    #[error("the store failed while restoring the checkpoint")]
    Store(#[source] BucketError),
    #[error("the local disk failed")]
    Disk(#[from] io::Error),
    #[error("not fit: {0}")]
    Unfit(String),
}

/// Everything of a run on this node.
pub(crate) fn run_directory(context: &Context, assignment: &Assignment) -> PathBuf {
    context.directory.join("runs").join(&assignment.run.0)
}

/// Everything of one generation of it.
pub(crate) fn generation_directory(context: &Context, assignment: &Assignment) -> PathBuf {
    run_directory(context, assignment).join(format!("generation-{}", assignment.generation))
}

/// Stages what workers need. Workers of older generations have ended by now.
pub(crate) async fn prepare(context: &Context, assignment: &Assignment) -> Result<RunSpec, Unprepared> {
    let bucket = &*context.bucket;
    let spec_key = key::spec(&assignment.run);
    let spec = retry(PREPARE_BUDGET, || bucket.read::<RunSpec>(&spec_key)).await.map_err(Unprepared::Spec)?;
    let (spec, _) = spec.ok_or(Unprepared::NoSpec)?;
    if let Some(unfit) = crate::checks::unfit(&*context.node, spec.workers_per_node) {
        return Err(Unprepared::Unfit(unfit));
    }
    stage_package(context, assignment, &spec).await?;
    let run = run_directory(context, assignment);
    let generations = older_generations(&run, assignment.generation)?;
    if let Some(step) = assignment.resume {
        let copies: Vec<_> = generations.iter().map(|directory| directory.join("checkpoints")).collect();
        let target = generation_directory(context, assignment).join("resume");
        fs::create_dir_all(generation_directory(context, assignment))?;
        match restore::restore(bucket, &assignment.run, step, &copies, &target).await {
            Ok(restored) => tracing::info!(step, ?restored, "checkpoint restored"),
            Err(error @ (BucketError::Damaged { .. } | BucketError::Missing { .. })) => {
                return Err(Unprepared::Checkpoint(step, error));
            }
            Err(error) => return Err(Unprepared::Store(error)),
        }
    }
    // Their checkpoints have served: what is needed is linked from here.
    for generation in generations {
        fs::remove_dir_all(generation.join("checkpoints")).or_else(absent_is_fine)?;
        fs::remove_dir_all(generation.join("resume")).or_else(absent_is_fine)?;
    }
    fs::create_dir_all(generation_directory(context, assignment).join("checkpoints"))?;
    fs::create_dir_all(generation_directory(context, assignment).join("output"))?;
    Ok(spec)
}

fn absent_is_fine(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}

/// Directories of generations before this one, newest first.
fn older_generations(run: &Path, generation: u64) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(run)? {
        let path = entry?.path();
        let number = path.file_name().and_then(|name| name.to_str()?.strip_prefix("generation-")?.parse().ok());
        found.extend(number.filter(|number: &u64| *number < generation).map(|number| (number, path)));
    }
    found.sort_by_key(|(number, _)| std::cmp::Reverse(*number));
    Ok(found.into_iter().map(|(_, path)| path).collect())
}

/// Unpacks the user's code once per run, and only after its digest matched.
async fn stage_package(context: &Context, assignment: &Assignment, spec: &RunSpec) -> Result<(), Unprepared> {
    let run = run_directory(context, assignment);
    let code = run.join("code");
    if code.exists() {
        return Ok(());
    }
    fs::create_dir_all(&run)?;
    let archive = run.join("package.tar");
    let digest = retry(PREPARE_BUDGET, || context.bucket.get_file(&spec.package.key, archive.clone()))
        .await
        .map_err(Unprepared::Package)?;
    if digest.sha256 != spec.package.sha256 || digest.bytes != spec.package.bytes {
        return Err(Unprepared::PackageDigest);
    }
    let partial = run.join("code.partial");
    fs::remove_dir_all(&partial).or_else(absent_is_fine)?;
    // The library refuses members that would leave the directory.
    tar::Archive::new(fs::File::open(&archive)?).unpack(&partial)?;
    fs::remove_file(&archive)?;
    fs::rename(&partial, &code)?;
    Ok(())
}

/// A port that nobody listens on now, outside the range that the kernel gives to outgoing connections.
pub(crate) fn free_port(context: &Context) -> u16 {
    let mut random = [0; 2];
    // Without randomness the scan begins at its lower end.
    let _ = getrandom::fill(&mut random);
    let start = u16::from_le_bytes(random) % 10_000;
    let mut ports = (0..10_000).map(|n| 20_000 + (start + n) % 10_000);
    ports.find(|port| std::net::TcpListener::bind((context.address.as_str(), *port)).is_ok()).unwrap_or(29_500)
}
