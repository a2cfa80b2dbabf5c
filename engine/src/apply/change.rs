//! Changes of what lives: until it is what was wanted.
//!
//! That an update has returned, and its resource can be used, does not say that it is as it was wanted: a provider may take
//! an update back and be as ready as before, and what is read right after may still be the old state. So what is seen is
//! compared with what was wanted, as the next plan would compare it.

use super::calls::Announcement;
use super::step::{Executor, StepError, Work};
use crate::address::OperationId;
use crate::kind::{AnyKind, Observed, Readiness};
use crate::pace::Pace;
use crate::plan::{Difference, differences};
use crate::sabotage::{Sabotage, broken};
use crate::state::{Call, Entry};
use serde_json::Value as Json;
use std::time::Duration;

/// For how long an update that has returned is given to show: reads right after a change are stale for a second or two
/// where they are at all, and five of them in twelve seconds cost nothing next to the update.
const SHOWING: Pace =
    Pace { first: Duration::from_millis(500), cap: Duration::from_secs(4), budget: Duration::from_secs(12) };

/// What a living resource is to become.
pub(super) struct Change<'a> {
    pub(super) id: &'a str,
    /// What it was, where that is known.
    pub(super) before: Option<&'a Json>,
    pub(super) wanted: &'a Json,
    /// The operation that created it.
    pub(super) creation: &'a OperationId,
}

impl Executor<'_> {
    /// Updates a resource until it is as wanted, once more if need be. Returns the update, which has begun and is still to
    /// be ended, and what there is now.
    ///
    /// However it fails, part of it may have been done: it stays pending.
    pub(super) async fn bring_about(
        &self,
        work: &Work<'_>,
        kind: &dyn AnyKind,
        change: &Change<'_>,
    ) -> Result<(OperationId, Observed), StepError> {
        let (operation, first) = self.begin(work.step, Call::Update, Some(change.id), Some(change.wanted));
        let tags = self.tags(work.step, change.creation.clone());
        let mut left = Vec::new();
        for (before, first) in [(change.before, first), (None, Entry::Retried { operation: operation.clone() })] {
            if !left.is_empty() {
                self.progress(work, "the update has not brought it about: updating once more");
            }
            // Of what was there when it was called again, only the kind itself can tell.
            let call = || kind.update(change.id, before, change.wanted, &tags);
            let announcement = Announcement { operation: &operation, id: Some(change.id), first };
            let observed = self.change(work, kind, announcement, call).await?.map_err(|failed| failed.error)?;
            let observed = self.until_ready(work, kind, observed, kind.typical().update).await?;
            let (observed, differing) = self.until_as_wanted(work, kind, change, observed).await?;
            if differing.is_empty() {
                return Ok((operation, observed));
            }
            left = differing;
        }
        let message = format!("two updates returned, and {} is still not as wanted: {}", change.id, told(&left));
        Err(StepError::new(message).help("see why its provider does not take this, then run the command again"))
    }

    /// Looks until a resource is as wanted, or has had the time to show it. Returns what is still not.
    async fn until_as_wanted(
        &self,
        work: &Work<'_>,
        kind: &dyn AnyKind,
        change: &Change<'_>,
        mut observed: Observed,
    ) -> Result<(Observed, Vec<Difference>), StepError> {
        let mut waited = Duration::ZERO;
        for look in 0.. {
            let differing = differences(kind, &observed.spec, change.before, change.wanted);
            waited += SHOWING.pause(look);
            let has_failed = matches!(observed.readiness, Readiness::Failed(_));
            if differing.is_empty() || waited > SHOWING.budget {
                return Ok((observed, differing));
            }
            // One that has failed and stays is for its owner to mend.
            if has_failed || broken(Sabotage::TrustsUpdates) {
                break;
            }
            if let Some(seen) = self.read_after(work, kind, change.id, SHOWING.pause(look)).await? {
                observed = self.until_ready(work, kind, seen, kind.typical().update).await?;
            }
        }
        Ok((observed, Vec::new()))
    }

    /// Brings about what a creation that took several calls, and stopped between them, has not done. Returns the update
    /// with which that was done, still to be ended; none when there was nothing to do.
    ///
    /// The creation stays pending beside it: whatever is cut off here, the next plan knows from it what was wanted, and shows
    /// what is missing.
    pub(super) async fn complete(
        &self,
        work: &Work<'_>,
        kind: &dyn AnyKind,
        wanted: &Json,
        creation: &OperationId,
        observed: &Observed,
    ) -> Result<Option<(OperationId, Observed)>, StepError> {
        let missing = differences(kind, &observed.spec, None, wanted);
        if missing.is_empty() || work.step.stays_failed || broken(Sabotage::TakesPartForWhole) {
            return Ok(None);
        }
        if missing.iter().any(|difference| !difference.in_place) {
            return Err(StepError::new(format!("{} exists, but not as wanted: {}", observed.id, told(&missing)))
                .help("run the command again: the plan will show what it takes"));
        }
        let fields: Vec<String> = missing.iter().map(|difference| format!("`{}`", difference.field)).collect();
        self.progress(work, &format!("its creation stopped part-way: setting {}", fields.join(", ")));
        let change = Change { id: &observed.id, before: None, wanted, creation };
        Ok(Some(self.bring_about(work, kind, &change).await?))
    }
}

/// How much of a value is told.
const TOLD: usize = 200;

fn told(differences: &[Difference]) -> String {
    let short = |value: &Json| {
        let text = value.to_string();
        match text.char_indices().nth(TOLD) {
            Some((end, _)) => format!("{}…", &text[..end]),
            None => text,
        }
    };
    let told = differences.iter().map(|Difference { field, seen, wanted, .. }| {
        format!("`{field}` is {}, and {} was wanted", short(seen), short(wanted))
    });
    told.collect::<Vec<_>>().join("; ")
}
