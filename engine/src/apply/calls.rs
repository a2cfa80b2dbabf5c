//! Calls into kinds: slots, deadlines, retries, and waits.

use super::step::{Executor, StepError};
use crate::address::OperationId;
use crate::event::Event;
use crate::kind::{AnyKind, ErrorClass, KindError, Observed, Readiness, Tags};
use crate::pace::Tries;
use crate::plan::Step;
use crate::state::Entry;
use serde_json::Value as Json;
use std::future::Future;
use std::sync::{Mutex, PoisonError};
use tokio::time::{Instant, sleep, timeout};

/// Whether a failed call has changed anything.
pub(super) struct CallFailed {
    pub(super) error: KindError,
    /// True when the provider has certainly refused it.
    pub(super) refused: bool,
}

impl Executor<'_> {
    /// One call, in a slot, with a deadline.
    async fn once<T>(&self, call: impl Future<Output = Result<T, KindError>>) -> Result<T, KindError> {
        let Ok(_slot) = self.slots.acquire().await else {
            return Err(KindError::terminal("the run is over"));
        };
        self.only_owner().await;
        let deadline = self.run.limits.call_deadline;
        timeout(deadline, call).await.unwrap_or_else(|_| {
            let message = format!("there was no answer within {} s", deadline.as_secs());
            Err(KindError { class: ErrorClass::Transient, message, help: None, source: None })
        })
    }

    /// Returns if this is still the only one at work. If not, nothing may be called or concluded any more: everything
    /// stops where it is, and stays pending for the one who has taken over.
    async fn only_owner(&self) {
        if self.run.guard.may_act().is_err() {
            self.run.cancel.hard();
            std::future::pending::<()>().await;
        }
    }

    /// Pauses before a call is repeated.
    ///
    /// # Errors
    /// The error itself, when it must not be.
    async fn pause(&self, step: &Step, tries: &mut Tries, error: KindError) -> Result<(), KindError> {
        let cancel = self.run.cancel;
        let Some(pause) = tries.again(&error).filter(|_| !cancel.is_raised()) else { return Err(error) };
        self.emit(Event::Retrying {
            address: step.address.clone(),
            failures: tries.failures,
            after_ms: u64::try_from(pause.as_millis()).unwrap_or(u64::MAX),
            class: error.class,
            message: error.message.clone(),
        });
        tokio::select! {
            () = sleep(pause) => Ok(()),
            () = cancel.raised() => Err(error),
        }
    }

    /// A call that may be repeated as it is. With an operation, each repetition is noted before it is made.
    pub(super) async fn repeatable<T, F: Future<Output = Result<T, KindError>>>(
        &self,
        step: &Step,
        operation: Option<&OperationId>,
        call: impl Fn() -> F,
    ) -> Result<T, StepError> {
        let mut tries = Tries::new(self.run.limits.retry);
        loop {
            match self.once(call()).await {
                Ok(value) => return Ok(value),
                Err(error) => self.pause(step, &mut tries, error).await?,
            }
            if let Some(operation) = operation {
                self.retried(operation).await?;
            }
        }
    }

    async fn retried(&self, operation: &OperationId) -> Result<(), StepError> {
        Ok(self.run.journal.append_durably(Entry::Retried { operation: operation.clone() }).await?)
    }

    /// Creates a resource once and only once. After a failure that may hide a success, what was created is looked for
    /// before it is tried again: not every provider knows that both tries mean the same.
    pub(super) async fn create_once(
        &self,
        step: &Step,
        kind: &dyn AnyKind,
        spec: &Json,
        tags: &Tags,
    ) -> Result<Result<Observed, CallFailed>, StepError> {
        let identified = Mutex::new(None);
        let on_identifier = |id: &str| {
            *identified.lock().unwrap_or_else(PoisonError::into_inner) = Some(id.to_owned());
            self.run.journal.note(Entry::Identified { operation: tags.operation.clone(), id: id.to_owned() });
        };
        let known_id = || identified.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut tries = Tries::new(self.run.limits.retry);
        loop {
            let error = match self.once(kind.create(spec, tags, &on_identifier)).await {
                Ok(observed) => {
                    if known_id().as_ref() != Some(&observed.id) {
                        on_identifier(&observed.id);
                    }
                    return Ok(Ok(observed));
                }
                Err(error) => error,
            };
            let open = error.class == ErrorClass::Transient;
            if let Err(error) = self.pause(step, &mut tries, error).await {
                let refused = !open && known_id().is_none();
                return Ok(Err(CallFailed { error, refused }));
            }
            if let Some(id) = known_id() {
                if let Some(observed) = self.repeatable(step, None, || kind.read(&id)).await? {
                    return Ok(Ok(observed));
                }
            } else if open && let Some(observed) = self.find(step, kind, tags).await? {
                on_identifier(&observed.id);
                return Ok(Ok(observed));
            }
            self.retried(&tags.operation).await?;
        }
    }

    /// Looks for what an operation has made, for as long as the provider may hide it.
    async fn find(&self, step: &Step, kind: &dyn AnyKind, tags: &Tags) -> Result<Option<Observed>, StepError> {
        let start = Instant::now();
        for look in 0.. {
            let left = kind.visibility().saturating_sub(start.elapsed());
            let listed = self.repeatable(step, None, || kind.list(&tags.deployment)).await?;
            let ours =
                |observed: &Observed| observed.tags.as_ref().is_some_and(|found| found.operation == tags.operation);
            let found = listed.into_iter().find(ours);
            if found.is_some() || left.is_zero() {
                return Ok(found);
            }
            sleep(self.run.limits.poll.pause(look).min(left)).await;
        }
        Ok(None)
    }

    /// Waits until a resource can be used.
    pub(super) async fn until_ready(
        &self,
        step: &Step,
        kind: &dyn AnyKind,
        mut observed: Observed,
    ) -> Result<Observed, StepError> {
        let start = Instant::now();
        let mut shown = String::new();
        for look in 0.. {
            let message = match observed.readiness {
                Readiness::Ready => return Ok(observed),
                Readiness::Failed(why) => {
                    let help = "run the command again: it will be replaced".to_owned();
                    return Err(StepError::new(format!("it exists, but has failed: {why}")).help(help));
                }
                Readiness::Waiting(message) => message,
            };
            if start.elapsed() >= kind.ready_deadline() {
                let seconds = kind.ready_deadline().as_secs();
                return Err(StepError::new(format!("it is not ready after {seconds} s, still waiting for: {message}"))
                    .help("run the command again to go on waiting"));
            }
            if message != shown {
                self.progress(step, &message);
                shown.clone_from(&message);
            }
            sleep(self.run.limits.poll.pause(look)).await;
            let id = observed.id.clone();
            let seen = self.repeatable(step, None, || kind.read(&id)).await?;
            observed.readiness = Readiness::Waiting(message);
            match seen {
                Some(seen) => observed = seen,
                // Fresh things may be hidden for a while.
                None if start.elapsed() < kind.visibility() => {}
                None => return Err(StepError::new(format!("{id} disappeared while forge waited for it"))),
            }
        }
        Ok(observed)
    }

    /// Waits until a resource is gone.
    pub(super) async fn until_gone(&self, step: &Step, kind: &dyn AnyKind, id: &str) -> Result<(), StepError> {
        let start = Instant::now();
        for look in 0.. {
            if self.repeatable(step, None, || kind.read(id)).await?.is_none() {
                return Ok(());
            }
            if start.elapsed() >= kind.ready_deadline() {
                let seconds = kind.ready_deadline().as_secs();
                return Err(StepError::new(format!("it is not gone after {seconds} s"))
                    .help("run the command again to go on waiting"));
            }
            if look == 1 {
                self.progress(step, "being deleted");
            }
            sleep(self.run.limits.poll.pause(look)).await;
        }
        Ok(())
    }

    fn progress(&self, step: &Step, message: &str) {
        self.emit(Event::StepProgress { address: step.address.clone(), message: message.to_owned() });
    }
}
