//! Changes of what lives: until it is what was wanted.

use super::calls::Announcement;
use super::step::{Executor, StepError, Work};
use crate::address::OperationId;
use crate::kind::{AnyKind, Observed};
use crate::plan::{Difference, differences};
use crate::sabotage::{Sabotage, broken};
use crate::state::Call;
use serde_json::Value as Json;

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
    /// Updates a resource. Returns the update, which has begun and is still to be ended, and what there is now.
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
        let call = || kind.update(change.id, change.before, change.wanted, &tags);
        let announcement = Announcement { operation: &operation, first };
        let observed = self.change(work, kind, announcement, call).await?.map_err(|failed| failed.error)?;
        let observed = self.until_ready(work, kind, observed, kind.typical().update).await?;
        Ok((operation, observed))
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
