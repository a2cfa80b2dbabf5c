//! Which Lustre file systems FSx sells: sizes, throughput, metadata.
//!
//! Sources: FSx API Reference, CreateFileSystem (StorageCapacity, PerUnitStorageThroughput, MetadataConfiguration,
//! FileSystemTypeVersion) and, for EFA, FSx for Lustre User Guide, "Working with EFA-enabled file systems": one object storage
//! server holds as much as a step.

use super::fsx_lustre::{Deployment, Metadata, Spec};

/// Throughput in MB/s for each TiB.
fn throughputs(deployment: Deployment) -> &'static [u32] {
    match deployment {
        Deployment::Scratch2 => &[],
        Deployment::Persistent1 => &[50, 100, 200],
        Deployment::Persistent2 => &[125, 250, 500, 1000],
    }
}

/// The step of the size of a file system with EFA in GiB.
fn efa_step(throughput: Option<u32>) -> Option<u32> {
    match throughput? {
        125 => Some(38_400),
        250 => Some(19_200),
        500 => Some(9_600),
        1000 => Some(4_800),
        _ => None,
    }
}

/// The step without EFA.
const STEP: u32 = 2_400;
/// The one size that is no step.
const SMALLEST: u32 = 1_200;
/// Metadata operations per second that are no multiple of [`IOPS_STEP`].
const IOPS: &[u32] = &[1_500, 3_000, 6_000];
const IOPS_STEP: u32 = 12_000;
const MOST_IOPS: u32 = 192_000;

fn listed(values: &[u32]) -> String {
    values.iter().map(u32::to_string).collect::<Vec<_>>().join(", ")
}

/// Whether FSx sells it.
///
/// # Errors
/// What is wrong with it, and what would be right.
pub(super) fn check(spec: &Spec) -> Result<(), String> {
    check_throughput(spec)?;
    check_persistent_2(spec)?;
    check_size(spec)?;
    check_metadata(spec)?;
    if spec.deployment == Deployment::Scratch2 && spec.backup_days > 0 {
        return Err("scratch-2 has no backups: leave backup_days out".to_owned());
    }
    if spec.deployment == Deployment::Scratch2 && spec.kms_key.is_some() {
        return Err("scratch-2 is encrypted with the key of FSx: leave kms_key out".to_owned());
    }
    if spec.lustre != "2.15" && spec.metadata.is_some() {
        return Err(format!("metadata needs Lustre 2.15; this is {}", spec.lustre));
    }
    Ok(())
}

fn check_throughput(spec: &Spec) -> Result<(), String> {
    let (allowed, name) = (throughputs(spec.deployment), spec.deployment.name());
    match spec.throughput {
        Some(throughput) if allowed.is_empty() => {
            Err(format!("{name} has no throughput to choose: leave throughput = {throughput} out"))
        }
        Some(throughput) if !allowed.contains(&throughput) => {
            let allowed = listed(allowed);
            Err(format!("{name} has no throughput of {throughput} MB/s for each TiB; it has {allowed}"))
        }
        None if !allowed.is_empty() => Err(format!("{name} needs a throughput: {}", listed(allowed))),
        _ => Ok(()),
    }
}

fn check_persistent_2(spec: &Spec) -> Result<(), String> {
    let name = spec.deployment.name();
    match spec.deployment {
        Deployment::Persistent2 if spec.efa && spec.metadata.is_none() => {
            Err("EFA needs metadata to be `automatic` or provisioned".to_owned())
        }
        Deployment::Persistent2 => Ok(()),
        _ if spec.efa => Err(format!("only persistent-2 can do EFA, not {name}")),
        _ if spec.metadata.is_some() => Err(format!("only persistent-2 has metadata, not {name}")),
        _ => Ok(()),
    }
}

fn check_size(spec: &Spec) -> Result<(), String> {
    let (size, throughput) = (spec.capacity_gib, spec.throughput.unwrap_or_default());
    let efa = if spec.efa { efa_step(spec.throughput) } else { None };
    let step = efa.unwrap_or(STEP);
    if size > 0 && size.is_multiple_of(step) || efa.is_none() && size == SMALLEST {
        return Ok(());
    }
    let next = size.div_ceil(step).max(1).saturating_mul(step);
    let sold = match efa {
        Some(_) => format!("steps of {step} GiB with EFA at {throughput} MB/s for each TiB"),
        None => format!("{SMALLEST} GiB and steps of {step} GiB"),
    };
    Err(format!("FSx has no file system of {size} GiB, but {sold}: the next is {next}"))
}

fn check_metadata(spec: &Spec) -> Result<(), String> {
    match spec.metadata {
        Some(Metadata::Iops(iops))
            if !(IOPS.contains(&iops) || iops.is_multiple_of(IOPS_STEP) && (IOPS_STEP..=MOST_IOPS).contains(&iops)) =>
        {
            let some = listed(IOPS);
            Err(format!(
                "FSx has no {iops} metadata operations per second, but {some} and multiples of {IOPS_STEP} up to {MOST_IOPS}"
            ))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn says(change: serde_json::Value) -> String {
        let mut spec = json!({
            "subnet": "subnet-a", "security_groups": ["sg-a"], "capacity_gib": 2400, "deployment": "persistent-2",
            "throughput": 250, "metadata": "automatic",
        });
        for (field, value) in change.as_object().unwrap() {
            spec[field] = value.clone();
        }
        let spec: Spec = serde_json::from_value(spec).unwrap();
        check(&spec).err().unwrap_or_else(|| "good".to_owned())
    }

    #[test]
    fn sizes_are_those_that_fsx_sells() {
        let no_steps = "FSx has no file system of 3600 GiB, but 1200 GiB and steps of 2400 GiB: the next is 4800";
        for (change, verdict) in [
            (json!({}), "good"),
            (json!({ "capacity_gib": 1200 }), "good"),
            (json!({ "capacity_gib": 3600 }), no_steps),
            (json!({ "capacity_gib": 38400, "efa": true, "throughput": 125 }), "good"),
            (json!({ "capacity_gib": 19200, "efa": true }), "good"),
            (json!({ "capacity_gib": 9600, "efa": true, "throughput": 500 }), "good"),
            (json!({ "capacity_gib": 4800, "efa": true, "throughput": 1000 }), "good"),
            (
                json!({ "capacity_gib": 4800, "efa": true }),
                "FSx has no file system of 4800 GiB, but steps of 19200 GiB with EFA at 250 MB/s for each TiB: the next is 19200",
            ),
        ] {
            assert_eq!(says(change.clone()), verdict, "{change}");
        }
    }

    #[test]
    fn each_sort_has_its_own_throughput_and_metadata() {
        let scratch = |more: serde_json::Value| {
            let mut spec = json!({ "deployment": "scratch-2", "throughput": null, "metadata": null });
            spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            spec
        };
        for (change, verdict) in [
            (scratch(json!({})), "good"),
            (
                scratch(json!({ "throughput": 100 })),
                "scratch-2 has no throughput to choose: leave throughput = 100 out",
            ),
            (scratch(json!({ "metadata": "automatic" })), "only persistent-2 has metadata, not scratch-2"),
            (scratch(json!({ "efa": true })), "only persistent-2 can do EFA, not scratch-2"),
            (scratch(json!({ "backup_days": 1 })), "scratch-2 has no backups: leave backup_days out"),
            (json!({ "throughput": null }), "persistent-2 needs a throughput: 125, 250, 500, 1000"),
            (
                json!({ "throughput": 100 }),
                "persistent-2 has no throughput of 100 MB/s for each TiB; it has 125, 250, 500, 1000",
            ),
            (json!({ "efa": true, "metadata": null }), "EFA needs metadata to be `automatic` or provisioned"),
            (json!({ "metadata": { "iops": 24000 } }), "good"),
            (
                json!({ "metadata": { "iops": 5000 } }),
                "FSx has no 5000 metadata operations per second, but 1500, 3000, 6000 and multiples of 12000 up to 192000",
            ),
            (json!({ "lustre": "2.12" }), "metadata needs Lustre 2.15; this is 2.12"),
        ] {
            assert_eq!(says(change.clone()), verdict, "{change}");
        }
    }
}
