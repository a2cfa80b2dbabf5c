//! A plan in a file, to be read by somebody and carried out later: `forge plan --out`, `forge up --plan`.
//!
//! The file holds what was asked for and the plan that came of it, no secrets but the references to them. Before it is
//! carried out, the world is looked at again and the plan made anew; when the journal has gone on since, or that plan is
//! not the same, it is refused, and what differs is said.

use crate::failure::Failure;
use crate::file;
use crate::planning::Intent;
use forge_engine::plan::{Action, Plan, Step};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// The version of the file that this forge writes, and the only one that it reads.
const VERSION: u32 = 1;

/// The most differences that are said.
const DIFFERENCES: usize = 20;

/// What is in the file.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Saved {
    v: u32,
    /// The version of forge that made it.
    forge: String,
    pub(crate) intent: Intent,
    pub(crate) plan: Plan,
}

/// What every version of the file has.
#[derive(Deserialize)]
struct Versioned {
    v: u32,
    forge: String,
}

impl Saved {
    pub(crate) fn new(intent: Intent, plan: Plan) -> Self {
        Self { v: VERSION, forge: env!("CARGO_PKG_VERSION").to_owned(), intent, plan }
    }

    /// Writes it for its owner's eyes only; a file that is there is replaced whole.
    pub(crate) fn write(&self, path: &Path) -> Result<(), Failure> {
        let draft = path.with_extension(format!("{}.new", std::process::id()));
        let write = || {
            let mut file =
                std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
            file.write_all(&serde_json::to_vec(self)?)?;
            file.sync_all()?;
            std::fs::rename(&draft, path)
        };
        write().map_err(|error| {
            let _ = std::fs::remove_file(&draft);
            Failure::new(format!("{} cannot be written", path.display())).because(&error)
        })
    }

    /// Reads it; `shown` is the file as the user named it.
    pub(crate) fn read(path: &Path, shown: &Path) -> Result<Self, Failure> {
        let bytes = std::fs::read(path).map_err(|error| file::unreadable(shown, &error))?;
        let none = || Failure::new(format!("{} is no plan that `forge plan --out` saved", shown.display()));
        let version: Versioned = serde_json::from_slice(&bytes).map_err(|error| none().because(&error))?;
        if version.v != VERSION {
            let other = format!(
                "{} is in version {} of saved plans, made by forge {}",
                shown.display(),
                version.v,
                version.forge
            );
            return Err(Failure::new(other).help(format!("This forge reads version {VERSION}: make the plan again.")));
        }
        serde_json::from_slice(&bytes).map_err(|error| none().because(&error))
    }

    /// Refuses it unless `now`, the plan made of the same wishes in the world as it is now, is the same.
    pub(crate) fn still_holds(&self, now: &Plan) -> Result<(), Failure> {
        let mut why = Vec::new();
        if now.serial != self.plan.serial {
            let (planned, current) = (self.plan.serial, now.serial);
            why.push(format!("it was made from entry {planned} of the journal, which is at {current} by now"));
        }
        let differences = differences(&self.plan, now);
        let more = differences.len().saturating_sub(DIFFERENCES);
        why.extend(differences.into_iter().take(DIFFERENCES));
        if more > 0 {
            why.push(format!("and {more} more differ"));
        }
        if why.is_empty() {
            return Ok(());
        }
        let mut failure = Failure::new("the plan is stale: it is not what would be done now");
        failure.chain.extend(why);
        Err(failure.help("Make it again with `forge plan --out`, read it, and carry out that one."))
    }
}

/// What would be done now and was not planned, or the other way round; a line for each resource.
fn differences(planned: &Plan, now: &Plan) -> Vec<String> {
    let (planned, now) = (by_address(planned), by_address(now));
    let addresses: BTreeSet<&str> = planned.keys().chain(now.keys()).copied().collect();
    let none = Vec::new();
    let mut lines = Vec::new();
    for address in addresses {
        let (before, after) = (planned.get(address).unwrap_or(&none), now.get(address).unwrap_or(&none));
        if before.len() == after.len() && before.iter().zip(after).all(|(before, after)| same(before, after)) {
            continue;
        }
        let (before, after) = (phrase(before), phrase(after));
        lines.push(match before == after {
            true => format!("`{address}`: to {before}, as planned, but with other values"),
            false => format!("`{address}`: planned to {before}, now to {after}"),
        });
    }
    lines
}

fn by_address(plan: &Plan) -> BTreeMap<&str, Vec<&Step>> {
    let mut steps: BTreeMap<&str, Vec<&Step>> = BTreeMap::new();
    for step in plan.changed() {
        steps.entry(step.address.as_str()).or_default().push(step);
    }
    steps
}

/// Whether two steps do the same to the same.
fn same(planned: &Step, now: &Step) -> bool {
    let parts = |step: &Step| (step.action, step.id.clone(), step.kind.clone(), step.protect, step.retags);
    parts(planned) == parts(now) && planned.changes == now.changes && planned.desired == now.desired
}

fn phrase(steps: &[&Step]) -> String {
    let one = |step: &&Step| {
        let fields: Vec<&str> = step.changes.iter().map(|change| change.field.as_str()).collect();
        match (step.action, fields.is_empty()) {
            (Action::Create | Action::Delete, _) | (_, true) => step.action.to_string(),
            (action, false) => format!("{action} ({})", fields.join(", ")),
        }
    };
    if steps.is_empty() { "leave it".to_owned() } else { steps.iter().map(one).collect::<Vec<_>>().join(" and ") }
}
