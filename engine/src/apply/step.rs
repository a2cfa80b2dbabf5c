//! What each part of a step does.

use super::Run;
use super::calls::CallFailed;
use crate::address::OperationId;
use crate::journal::JournalError;
use crate::kind::{AnyKind, Effect, ErrorClass, KindError, Observed, Tags};
use crate::plan::{Gone, Part, Plan, Step};
use crate::state::{Begin, Call, Entry, Record, spec_hash};
use crate::value::Output;
use jiff::Timestamp;
use serde_json::Value as Json;
use std::collections::BTreeMap;
use tokio::sync::Semaphore;
use tokio::time::Instant;

/// Walks one plan.
pub(super) struct Executor<'a> {
    pub(super) run: &'a Run<'a>,
    pub(super) plan: &'a Plan,
    /// One for each call that may be in flight.
    pub(super) slots: Semaphore,
    pub(super) started: Instant,
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
            Self::Kind(error) => error.help.clone(),
            Self::Other { help, .. } => help.clone(),
            Self::Journal(_) => None,
        }
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
    pub(super) async fn part(&self, step: &Step, part: Part) -> Result<Done, StepError> {
        if part != Part::Delete {
            self.forget_gone(step).await?;
        }
        self.moved(step).await?;
        if part == Part::Forget {
            return Ok(Done { call: None, id: step.id.clone() });
        }
        let unknown = || StepError::new(format!("this forge does not know the kind {}", step.kind));
        let kind = self.run.kinds.get(&step.kind).ok_or_else(unknown)?.as_ref();
        match part {
            Part::Adopt => self.adopt(step, kind).await,
            Part::Create => self.create(step, kind).await,
            Part::Update => self.update(step, kind).await,
            Part::Delete => self.delete(step, kind).await,
            Part::Keep | Part::Forget => Ok(Done::default()),
        }
    }

    /// Writes a record anew where something about it has changed that needs no call.
    pub(super) async fn keep(&self, step: &Step) -> Result<Done, StepError> {
        self.forget_gone(step).await?;
        if step.rewrites_record {
            let spec = self.desired(step, None)?;
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

    async fn adopt(&self, step: &Step, kind: &dyn AnyKind) -> Result<Done, StepError> {
        let spec = self.desired(step, Some(kind))?;
        let id = living(step)?;
        let vanished = || StepError::new(format!("{id} has disappeared since the plan was made"));
        let observed = self.repeatable(step, None, || kind.read(&id)).await?.ok_or_else(vanished)?;
        let observed = self.until_ready(step, kind, observed).await?;
        self.recorded(step, spec, observed.outputs, step.settles.clone()).await?;
        Ok(Done { call: None, id: Some(id) })
    }

    async fn create(&self, step: &Step, kind: &dyn AnyKind) -> Result<Done, StepError> {
        let spec = self.desired(step, Some(kind))?;
        let operation = self.begin(step, Call::Create, Some(&spec)).await?;
        let tags = self.tags(step, operation.clone());
        let observed = match self.create_once(step, kind, &spec, &tags).await? {
            Ok(observed) => observed,
            Err(CallFailed { error, refused }) => {
                if refused {
                    self.never_happened(&operation, &error).await?;
                }
                return Err(error.into());
            }
        };
        let observed = self.until_ready(step, kind, observed).await?;
        let id = observed.id.clone();
        let record = self.record(step, spec, &observed, operation.clone());
        self.end(operation, Some(record), Vec::new()).await?;
        Ok(Done { call: Some(Call::Create), id: Some(id) })
    }

    async fn update(&self, step: &Step, kind: &dyn AnyKind) -> Result<Done, StepError> {
        let spec = self.desired(step, Some(kind))?;
        let id = living(step)?;
        let creation = step.operation.clone().unwrap_or_else(self.run.new_operation);
        if step.adopts {
            let before = step.before.clone().unwrap_or(Json::Null);
            self.recorded(step, before, step.outputs.clone(), vec![creation.clone()]).await?;
        }
        if !really_changes(step, kind, &spec)? && !step.retags {
            self.recorded(step, spec, step.outputs.clone(), step.settles.clone()).await?;
            return Ok(Done { call: None, id: Some(id) });
        }
        let operation = self.begin(step, Call::Update, Some(&spec)).await?;
        let tags = self.tags(step, creation.clone());
        let call = || kind.update(&id, step.before.as_ref(), &spec, &tags);
        // However it fails, part of it may have been done: it stays pending.
        let observed = self.repeatable(step, Some(&operation), call).await?;
        let observed = self.until_ready(step, kind, observed).await?;
        let record = self.record(step, spec, &observed, creation);
        self.end(operation, Some(record), step.settles.clone()).await?;
        Ok(Done { call: Some(Call::Update), id: Some(observed.id) })
    }

    async fn delete(&self, step: &Step, kind: &dyn AnyKind) -> Result<Done, StepError> {
        let id = living(step)?;
        let operation = self.begin(step, Call::Delete, None).await?;
        match self.repeatable(step, Some(&operation), || kind.delete(&id)).await {
            Err(StepError::Kind(error)) if error.class != ErrorClass::Transient => {
                self.never_happened(&operation, &error).await?;
                return Err(error.into());
            }
            result => result?,
        }
        self.until_gone(step, kind, &id).await?;
        self.end(operation, None, step.settles.clone()).await?;
        Ok(Done { call: Some(Call::Delete), id: Some(id) })
    }

    /// The specification to apply, with everything in it known.
    fn desired(&self, step: &Step, kind: Option<&dyn AnyKind>) -> Result<Json, StepError> {
        let value = step.desired.as_ref().ok_or_else(|| StepError::new("the plan says not what it is to be".into()))?;
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

    async fn begin(&self, step: &Step, call: Call, spec: Option<&Json>) -> Result<OperationId, StepError> {
        let operation = (self.run.new_operation)();
        let begin = Begin {
            operation: operation.clone(),
            address: step.address.clone(),
            kind: step.kind.clone(),
            call,
            id: if call == Call::Create { None } else { step.id.clone() },
            spec: spec.cloned(),
            spec_hash: spec.map(spec_hash),
            dependencies: step.dependencies.clone(),
            protect: step.protect,
        };
        self.run.journal.begin(begin).await?;
        Ok(operation)
    }

    async fn end(
        &self,
        operation: OperationId,
        record: Option<Record>,
        settles: Vec<OperationId>,
    ) -> Result<(), StepError> {
        Ok(self.run.journal.append(Entry::End { operation, record: record.map(Box::new), settles }).await?)
    }

    async fn never_happened(&self, operation: &OperationId, error: &KindError) -> Result<(), StepError> {
        let entry = Entry::Failed { operation: operation.clone(), reason: error.message.clone() };
        Ok(self.run.journal.append(entry).await?)
    }

    /// Writes down what lives at the step's address.
    async fn recorded(
        &self,
        step: &Step,
        spec: Json,
        outputs: BTreeMap<String, Json>,
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
            spec,
            outputs: observed.outputs.clone(),
            dependencies: step.dependencies.clone(),
            protect: step.protect,
            operation,
            since: Timestamp::UNIX_EPOCH,
            serial: 0,
        }
    }

    fn tags(&self, step: &Step, operation: OperationId) -> Tags {
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
        let before = step.before.as_ref().unwrap_or(&Json::Null);
        if !known && matches!(kind.effect(&change.field, before, spec), Ok(effect) if effect != Effect::InPlace) {
            let field = &change.field;
            return Err(StepError::new(format!("`{field}`, now that it is known, needs more than the planned update"))
                .help("run the command again: the plan will show it"));
        }
    }
    Ok(changes)
}
