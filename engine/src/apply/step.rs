//! What each part of a step does.

use super::Run;
use super::calls::{Announcement, CallFailed, Made};
use super::change::Change;
use super::reads::Reader;
use crate::address::OperationId;
use crate::event::Event;
use crate::gate::{Gate, Urgency};
use crate::journal::JournalError;
use crate::kind::{AnyKind, Effect, ErrorClass, KindError, Observed, Readiness, Tags};
use crate::plan::{Action, Gone, Part, Plan, Step};
use crate::state::{Begin, Call, Entry, Outputs, Record, spec_hash};
use crate::value::Output;
use jiff::Timestamp;
use serde_json::Value as Json;
use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use tokio::time::Instant;

/// Walks one plan.
pub(super) struct Executor<'a> {
    pub(super) run: &'a Run<'a>,
    pub(super) plan: &'a Plan,
    pub(super) gate: Gate,
    pub(super) reader: Reader,
    pub(super) started: Instant,
}

/// An operation of the plan, being done.
pub(super) struct Work<'a> {
    pub(super) step: &'a Step,
    pub(super) part: Part,
    pub(super) urgency: Urgency,
    /// When it was its turn.
    began: OnceLock<Instant>,
}

impl<'a> Work<'a> {
    pub(super) fn new(step: &'a Step, part: Part, urgency: Urgency) -> Self {
        Self { step, part, urgency, began: OnceLock::new() }
    }

    pub(super) fn took(&self) -> std::time::Duration {
        self.began.get().map(Instant::elapsed).unwrap_or_default()
    }
}

/// What an operation has done.
#[derive(Debug, Default)]
pub(super) struct Done {
    /// The call that was made.
    pub(super) call: Option<Call>,
    pub(super) id: Option<String>,
}

/// Why an operation failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum StepError {
    #[error("what happened could not be written down")]
    Journal(#[from] JournalError),
    #[error(transparent)]
    Kind(#[from] KindError),
    /// Before anything had begun.
    #[error("the run was stopped")]
    Stopped,
    /// What was to become ready never will.
    #[error("it exists, but has failed: {why}")]
    Broken { id: String, why: String },
    #[error("{message}")]
    Other { message: String, help: Option<String> },
}

impl StepError {
    pub(super) fn new(message: String) -> Self {
        Self::Other { message, help: None }
    }

    pub(super) fn help(self, advice: impl Into<String>) -> Self {
        match self {
            Self::Other { message, .. } => Self::Other { message, help: Some(advice.into()) },
            other => other,
        }
    }

    /// What to do about it.
    pub(super) fn advice(&self) -> Option<String> {
        match self {
            Self::Kind(error) => error.help.clone().or_else(|| advice(error.class)),
            Self::Other { help, .. } => help.clone(),
            Self::Broken { .. } => Some("run the command again: it will be replaced".to_owned()),
            Self::Journal(_) | Self::Stopped => None,
        }
    }
}

/// What to do about an error for which its kind knows no better.
fn advice(class: ErrorClass) -> Option<String> {
    match class {
        ErrorClass::Capacity => Some(
            "the provider has none of these to give now: ask for another zone or type, reserve some, or try again later"
                .to_owned(),
        ),
        ErrorClass::Throttled => {
            Some("something else uses up what the provider allows; run the command again to go on".to_owned())
        }
        ErrorClass::Busy => {
            Some("run the command again when the earlier change is over: it looks how that went first".to_owned())
        }
        ErrorClass::Transient => {
            Some("run the command again: it looks what became of this first, and goes on".to_owned())
        }
        ErrorClass::NotYetVisible | ErrorClass::Terminal => None,
    }
}

pub(super) fn call_of(part: Part) -> Option<Call> {
    match part {
        Part::Create => Some(Call::Create),
        Part::Update => Some(Call::Update),
        Part::Delete => Some(Call::Delete),
        Part::Keep | Part::Adopt | Part::Forget => None,
    }
}

impl Executor<'_> {
    pub(super) async fn part(&self, work: &Work<'_>) -> Result<Done, StepError> {
        let step = work.step;
        if work.part != Part::Delete {
            self.forget_gone(step).await?;
        }
        self.moved(step).await?;
        if work.part == Part::Forget {
            self.begun(work);
            return Ok(Done { call: None, id: step.id.clone() });
        }
        let unknown = || StepError::new(format!("this forge does not know the kind {}", step.kind));
        let kind = self.run.kinds.get(&step.kind).ok_or_else(unknown)?.as_ref();
        match work.part {
            Part::Adopt => self.adopt(work, kind).await,
            Part::Create => self.create(work, kind).await,
            Part::Update => self.update(work, kind).await,
            Part::Delete => self.delete(work, kind).await,
            Part::Keep | Part::Forget => Ok(Done::default()),
        }
    }

    /// Tells that an operation's turn has come.
    pub(super) fn begun(&self, work: &Work<'_>) {
        if work.began.set(Instant::now()).is_ok() {
            let (address, kind, action) = (work.step.address.clone(), work.step.kind.clone(), work.step.action);
            self.emit(Event::StepStarted { address, kind, action, call: call_of(work.part) });
        }
    }

    /// Writes a record anew where something about it has changed that needs no call.
    pub(super) async fn keep(&self, step: &Step) -> Result<Done, StepError> {
        self.forget_gone(step).await?;
        if step.rewrites_record {
            let spec = Arc::new(self.desired(step, None)?);
            self.recorded(step, spec, step.outputs.clone(), step.settles.clone()).await?;
        }
        Ok(Done { call: None, id: step.id.clone() })
    }

    async fn forget_gone(&self, step: &Step) -> Result<(), StepError> {
        for Gone { kind, id, settles } in step.gone.clone() {
            let address = step.address.clone();
            self.run.journal.append(Entry::Forgotten { address, kind, id, settles }).await?;
        }
        Ok(())
    }

    /// Moves the record of what stood at another address, before anything else happens to it: from then on, whatever is
    /// cut off, the journal knows it by the address at which the blueprint asks for it.
    async fn moved(&self, step: &Step) -> Result<(), StepError> {
        let (Some(from), Some(id)) = (&step.moved_from, &step.id) else { return Ok(()) };
        let recorded = self.run.journal.with_state(|state| {
            state.records.get(from).is_some_and(|record| record.kind == step.kind && record.id == *id)
        });
        if !recorded {
            return Ok(());
        }
        let (from, to, kind, id) = (from.clone(), step.address.clone(), step.kind.clone(), id.clone());
        Ok(self.run.journal.append(Entry::Moved { from, to, kind, id }).await?)
    }

    async fn adopt(&self, work: &Work<'_>, kind: &dyn AnyKind) -> Result<Done, StepError> {
        let step = work.step;
        let spec = self.desired(step, Some(kind))?;
        let id = living(step)?;
        drop(self.turn(work, kind).await?);
        let vanished = || StepError::new(format!("{id} has disappeared since the plan was made"));
        let observed = self.look(work, kind, || kind.read(&id)).await?.ok_or_else(vanished)?;
        let observed = self.until_ready(work, kind, observed, kind.typical().create).await?;
        let creation = step.operation.clone().unwrap_or_else(self.run.new_operation);
        if let Some((operation, observed)) = self.complete(work, kind, &spec, &creation, &observed).await? {
            let record = self.record(step, spec, &observed, creation);
            self.end(operation, Some(record), step.settles.clone()).await?;
            return Ok(Done { call: Some(Call::Update), id: Some(id) });
        }
        self.recorded(step, Arc::new(spec), Arc::new(observed.outputs), step.settles.clone()).await?;
        Ok(Done { call: None, id: Some(id) })
    }

    async fn create(&self, work: &Work<'_>, kind: &dyn AnyKind) -> Result<Done, StepError> {
        let step = work.step;
        let spec = self.desired(step, Some(kind))?;
        if let Some(operation) = &step.repeats {
            let again = Entry::Retried { operation: operation.clone() };
            match self.create_as(work, kind, &spec, operation, again).await {
                Err(StepError::Broken { id, .. }) => self.discard(work, kind, &spec, operation, &id).await?,
                // A provider may refuse to answer again for what has gone since.
                Err(StepError::Kind(error)) if error.class == ErrorClass::Terminal => {
                    let tags = self.tags(step, operation.clone());
                    if let Some(observed) = self.made(work, kind, &tags, None).await? {
                        let (operation, id) = (operation.clone(), observed.id.clone());
                        self.run.journal.append(Entry::Identified { operation, id }).await?;
                        let made = Made { observed, in_part: true };
                        return self.created(work, kind, &spec, &tags.operation, made).await;
                    }
                    self.closed(operation, CallFailed { error, refused: true }).await?;
                }
                done => return done,
            }
        }
        let (operation, first) = self.begin(step, Call::Create, None, Some(&spec));
        self.create_as(work, kind, &spec, &operation, first).await
    }

    async fn create_as(
        &self,
        work: &Work<'_>,
        kind: &dyn AnyKind,
        spec: &Json,
        operation: &OperationId,
        first: Entry,
    ) -> Result<Done, StepError> {
        let tags = self.tags(work.step, operation.clone());
        let announcement = Announcement { operation, id: None, first };
        let made = match self.create_once(work, kind, spec, &tags, announcement).await? {
            Ok(made) => made,
            Err(failed) => return Err(self.closed(operation, failed).await?.into()),
        };
        self.created(work, kind, spec, operation, made).await
    }

    /// Waits until what was created can be used, brings about what a creation that stopped part-way has left undone, and
    /// writes it down.
    async fn created(
        &self,
        work: &Work<'_>,
        kind: &dyn AnyKind,
        spec: &Json,
        operation: &OperationId,
        made: Made,
    ) -> Result<Done, StepError> {
        let observed = self.until_ready(work, kind, made.observed, kind.typical().create).await?;
        let id = observed.id.clone();
        let completed = if made.in_part { self.complete(work, kind, spec, operation, &observed).await? } else { None };
        if let Some((update, observed)) = completed {
            let record = self.record(work.step, spec.clone(), &observed, operation.clone());
            self.end(update, Some(record), vec![operation.clone()]).await?;
            return Ok(Done { call: Some(Call::Create), id: Some(id) });
        }
        let record = self.record(work.step, spec.clone(), &observed, operation.clone());
        self.end(operation.clone(), Some(record), Vec::new()).await?;
        Ok(Done { call: Some(Call::Create), id: Some(id) })
    }

    /// Removes what an earlier run has made and what never became ready: repeating its creation has only brought it to
    /// light. Had it shown itself in time, the plan would have replaced it.
    async fn discard(
        &self,
        work: &Work<'_>,
        kind: &dyn AnyKind,
        spec: &Json,
        creation: &OperationId,
        id: &str,
    ) -> Result<(), StepError> {
        let readiness = Readiness::Ready;
        let (outputs, fields) = (BTreeMap::new(), BTreeMap::new());
        let broken = Observed { id: id.to_owned(), outputs, spec: fields, readiness, tags: None };
        let record = self.record(work.step, spec.clone(), &broken, creation.clone());
        self.end(creation.clone(), Some(record), Vec::new()).await?;
        // That it does not show would mean nothing as long as it may be hidden.
        self.until_shown(work, kind, id).await?;
        self.remove(work, kind, id, Vec::new()).await
    }

    async fn update(&self, work: &Work<'_>, kind: &dyn AnyKind) -> Result<Done, StepError> {
        let step = work.step;
        let spec = self.desired(step, Some(kind))?;
        let id = living(step)?;
        let creation = step.operation.clone().unwrap_or_else(self.run.new_operation);
        if step.adopts {
            let before = step.before.clone().unwrap_or_default();
            self.recorded(step, before, step.outputs.clone(), vec![creation.clone()]).await?;
        }
        if !really_changes(step, kind, &spec)? && !step.retags {
            self.begun(work);
            self.recorded(step, Arc::new(spec), step.outputs.clone(), step.settles.clone()).await?;
            return Ok(Done { call: None, id: Some(id) });
        }
        let change = Change { id: &id, before: step.before.as_deref(), wanted: &spec, creation: &creation };
        let (operation, observed) = self.bring_about(work, kind, &change).await?;
        let record = self.record(step, spec, &observed, creation);
        self.end(operation, Some(record), step.settles.clone()).await?;
        Ok(Done { call: Some(Call::Update), id: Some(observed.id) })
    }

    async fn delete(&self, work: &Work<'_>, kind: &dyn AnyKind) -> Result<Done, StepError> {
        let id = living(work.step)?;
        self.remove(work, kind, &id, work.step.settles.clone()).await?;
        Ok(Done { call: Some(Call::Delete), id: Some(id) })
    }

    async fn remove(
        &self,
        work: &Work<'_>,
        kind: &dyn AnyKind,
        id: &str,
        settles: Vec<OperationId>,
    ) -> Result<(), StepError> {
        let (operation, first) = self.begin(work.step, Call::Delete, Some(id), None);
        let announcement = Announcement { operation: &operation, id: Some(id), first };
        if let Err(failed) = self.change(work, kind, announcement, || kind.delete(id)).await? {
            return Err(self.closed(&operation, failed).await?.into());
        }
        self.until_gone(work, kind, id).await?;
        self.end(operation, None, settles).await
    }

    /// Closes an operation that was refused; one that may have done something stays open.
    async fn closed(&self, operation: &OperationId, failed: CallFailed) -> Result<KindError, StepError> {
        if failed.refused {
            let entry = Entry::Failed { operation: operation.clone(), reason: failed.error.message.clone() };
            self.run.journal.append(entry).await?;
        }
        Ok(failed.error)
    }

    /// The specification to apply, with everything in it known.
    fn desired(&self, step: &Step, kind: Option<&dyn AnyKind>) -> Result<Json, StepError> {
        let Some(value) = &step.desired else {
            // It stays as it is.
            let before = step.before.as_deref().filter(|_| step.action == Action::NoOp);
            return before.cloned().ok_or_else(|| StepError::new("the plan says not what it is to be".into()));
        };
        let resolved = value.resolve(&|output: &Output| self.run.journal.output(output)).map_err(|output| {
            StepError::new(format!("it needs `{output}`, which is still not known"))
                .help("this is a bug in the kind that should have this output")
        })?;
        match kind {
            None => Ok(resolved),
            Some(kind) => kind.normalize(&resolved).map_err(|why| {
                StepError::new(format!(
                    "now that all of its specification is known, it does not fit {}: {why}",
                    step.kind
                ))
            }),
        }
    }

    /// A new operation, and how it begins.
    pub(super) fn begin(&self, step: &Step, call: Call, id: Option<&str>, spec: Option<&Json>) -> (OperationId, Entry) {
        let operation = (self.run.new_operation)();
        let begin = Begin {
            operation: operation.clone(),
            address: step.address.clone(),
            kind: step.kind.clone(),
            call,
            id: id.map(str::to_owned),
            spec: spec.cloned(),
            spec_hash: spec.map(spec_hash),
            dependencies: step.dependencies.clone(),
            protect: step.protect,
        };
        (operation, Entry::Begin(Box::new(begin)))
    }

    async fn end(
        &self,
        operation: OperationId,
        record: Option<Record>,
        settles: Vec<OperationId>,
    ) -> Result<(), StepError> {
        Ok(self.run.journal.append(Entry::End { operation, record: record.map(Box::new), settles }).await?)
    }

    /// Writes down what lives at the step's address.
    async fn recorded(
        &self,
        step: &Step,
        spec: Arc<Json>,
        outputs: Arc<Outputs>,
        settles: Vec<OperationId>,
    ) -> Result<(), StepError> {
        let operation = step.operation.clone().unwrap_or_else(self.run.new_operation);
        let record = Box::new(Record {
            kind: step.kind.clone(),
            id: living(step)?,
            spec,
            outputs,
            dependencies: step.dependencies.clone(),
            protect: step.protect,
            operation,
            since: Timestamp::UNIX_EPOCH,
            serial: 0,
        });
        Ok(self.run.journal.append(Entry::Recorded { address: step.address.clone(), record, settles }).await?)
    }

    fn record(&self, step: &Step, spec: Json, observed: &Observed, operation: OperationId) -> Record {
        Record {
            kind: step.kind.clone(),
            id: observed.id.clone(),
            spec: Arc::new(spec),
            outputs: Arc::new(observed.outputs.clone()),
            dependencies: step.dependencies.clone(),
            protect: step.protect,
            operation,
            since: Timestamp::UNIX_EPOCH,
            serial: 0,
        }
    }

    pub(super) fn tags(&self, step: &Step, operation: OperationId) -> Tags {
        Tags { deployment: self.plan.deployment.clone(), address: step.address.clone(), operation }
    }
}

fn living(step: &Step) -> Result<String, StepError> {
    step.id.clone().ok_or_else(|| StepError::new("the plan names nothing that lives here".to_owned()))
}

/// Whether any field differs, now that all of them are known.
///
/// # Errors
/// When what has become known takes more than the update that the plan shows.
fn really_changes(step: &Step, kind: &dyn AnyKind, spec: &Json) -> Result<bool, StepError> {
    let mut changes = false;
    for change in &step.changes {
        let after = &spec[change.field.as_str()];
        if change.before.as_ref().and_then(crate::value::Value::to_json).as_ref() == Some(after) {
            continue;
        }
        changes = true;
        let known = change.after.as_ref().is_none_or(crate::value::Value::is_known);
        let before = step.before.as_deref().unwrap_or(&Json::Null);
        if !known && matches!(kind.effect(&change.field, before, spec), Ok(effect) if effect != Effect::InPlace) {
            let field = &change.field;
            return Err(StepError::new(format!("`{field}`, now that it is known, needs more than the planned update"))
                .help("run the command again: the plan will show it"));
        }
    }
    Ok(changes)
}
