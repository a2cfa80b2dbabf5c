//! Calls into kinds: slots, rate limits, deadlines, retries, and waits.
//!
//! A call that changes something is announced in the journal once its turn has come, and not before: the announcement's
//! time is where the window begins in which a provider may hide what the call has made, and a queue can be long.

use super::step::{Executor, StepError, Work};
use crate::address::OperationId;
use crate::event::Event;
use crate::gate::Pass;
use crate::kind::{AnyKind, ErrorClass, KindError, Observed, Readiness, Recovery, Tags};
use crate::pace::{POLL, STALE, Tries};
use crate::sabotage::{Sabotage, broken};
use crate::state::Entry;
use serde_json::Value as Json;
use std::future::Future;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How often an announcement is written down that is stale when it is durable.
const ANNOUNCEMENTS: u32 = 5;

/// A call that failed for good.
pub(super) struct CallFailed {
    pub(super) error: KindError,
    /// True when the provider has certainly refused it, each time: nothing has changed.
    pub(super) refused: bool,
}

/// What a creation has made.
pub(super) struct Made {
    pub(super) observed: Observed,
    /// True when it was found after a failure: what was to be done once it had its identifier may not be done.
    pub(super) in_part: bool,
}

/// What is written down before a call.
pub(super) struct Announcement<'o> {
    pub(super) operation: &'o OperationId,
    /// What is changed; none when it is being made.
    pub(super) id: Option<&'o str>,
    /// Before the first try. Each further one is announced as such.
    pub(super) first: Entry,
}

impl Executor<'_> {
    /// Waits for the turn of an operation's first call. Nobody has begun anything by then, so that a soft stop ends it.
    pub(super) async fn turn(&self, work: &Work<'_>, kind: &dyn AnyKind) -> Result<Pass<'_>, StepError> {
        let pass = tokio::select! {
            biased;
            () = self.run.cancel.raised() => return Err(StepError::Stopped),
            pass = self.gate.enter(kind, work.urgency) => pass,
        };
        self.begun(work);
        Ok(pass)
    }

    /// One call, in its turn, with a deadline.
    async fn once<T>(
        &self,
        work: &Work<'_>,
        kind: &dyn AnyKind,
        call: impl Future<Output = Result<T, KindError>>,
    ) -> Result<T, KindError> {
        let pass = self.gate.enter(kind, work.urgency).await;
        self.send(pass, call).await
    }

    /// Makes a call, if this is still the only one at work.
    pub(super) async fn send<T>(
        &self,
        pass: Pass<'_>,
        call: impl Future<Output = Result<T, KindError>>,
    ) -> Result<T, KindError> {
        self.only_owner().await;
        pass.call(self.run.limits.call_deadline, call).await
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
    pub(super) async fn pause(&self, work: &Work<'_>, tries: &mut Tries, error: KindError) -> Result<(), KindError> {
        let cancel = self.run.cancel;
        let Some(pause) = tries.again(&error).filter(|_| !cancel.is_raised()) else { return Err(error) };
        self.retrying(work, tries, pause, &error);
        tokio::select! {
            biased;
            () = sleep(pause) => Ok(()),
            () = cancel.raised() => Err(error),
        }
    }

    /// Puts off a call until it may be repeated: after a pause, or when the earlier change of `id` is over that is in its way.
    ///
    /// # Errors
    /// The error itself, when it must not be.
    async fn put_off(
        &self,
        work: &Work<'_>,
        kind: &dyn AnyKind,
        id: Option<&str>,
        tries: &mut Tries,
        error: KindError,
    ) -> Result<(), KindError> {
        if error.class != ErrorClass::Busy {
            return self.pause(work, tries, error).await;
        }
        let cancel = self.run.cancel;
        let allowed = tries.busy(kind.ready_deadline()).filter(|_| !cancel.is_raised());
        let Some((pause, left)) = allowed else { return Err(error) };
        self.retrying(work, tries, pause, &error);
        let waited = async {
            match id {
                Some(id) => self.until_idle(work, kind, id, pause, left).await,
                None => sleep(pause).await,
            }
        };
        tokio::select! {
            biased;
            () = waited => Ok(()),
            () = cancel.raised() => Err(error),
        }
    }

    /// Waits until a resource is not about to change any more. When nobody can say, the call itself must tell.
    async fn until_idle(&self, work: &Work<'_>, kind: &dyn AnyKind, id: &str, first: Duration, deadline: Duration) {
        let (start, usual, mut pause) = (Instant::now(), kind.typical().update, first);
        for look in 0.. {
            let Ok(Some(Observed { readiness: Readiness::Waiting(message), .. })) =
                self.read_after(work, kind, id, pause).await
            else {
                return;
            };
            let left = deadline.saturating_sub(start.elapsed());
            if left.is_zero() {
                return;
            }
            if look == 0 {
                self.progress(work, &format!("busy with an earlier change: {message}"));
            }
            pause = self.run.limits.poll.pause(look, start.elapsed(), usual).max(first).min(left);
        }
    }

    fn retrying(&self, work: &Work<'_>, tries: &Tries, pause: Duration, error: &KindError) {
        self.emit(Event::Retrying {
            address: work.step.address.clone(),
            failures: tries.failures,
            after_ms: u64::try_from(pause.as_millis()).unwrap_or(u64::MAX),
            class: error.class,
            message: error.message.clone(),
        });
    }

    /// A look, repeated as it is when it fails.
    pub(super) async fn look<T, F: Future<Output = Result<T, KindError>>>(
        &self,
        work: &Work<'_>,
        kind: &dyn AnyKind,
        call: impl Fn() -> F,
    ) -> Result<T, StepError> {
        let mut tries = Tries::new(self.run.limits.retry);
        loop {
            match self.once(work, kind, call()).await {
                Ok(value) => return Ok(value),
                Err(error) => self.pause(work, &mut tries, error).await?,
            }
        }
    }

    /// A change that may be repeated as it is.
    pub(super) async fn change<T, F: Future<Output = Result<T, KindError>>>(
        &self,
        work: &Work<'_>,
        kind: &dyn AnyKind,
        announcement: Announcement<'_>,
        call: impl Fn() -> F,
    ) -> Result<Result<T, CallFailed>, StepError> {
        let mut tries = Tries::new(self.run.limits.retry);
        let Announcement { operation, id, first } = announcement;
        let mut pass = self.turn(work, kind).await?;
        self.announce(operation, first).await?;
        let mut doubt = false;
        loop {
            let error = match self.send(pass, call()).await {
                Ok(value) => return Ok(Ok(value)),
                Err(error) => error,
            };
            doubt |= error.class == ErrorClass::Transient;
            if let Err(error) = self.put_off(work, kind, id, &mut tries, error).await {
                return Ok(Err(CallFailed { error, refused: !doubt }));
            }
            pass = self.again(work, kind, operation).await?;
        }
    }

    /// Writes down that a call is about to be made. It must be durable before the call, and its time must be that of the
    /// call: when writing took long, or this process was stopped in between, it is written down again.
    async fn announce(&self, operation: &OperationId, first: Entry) -> Result<(), StepError> {
        let mut entry = first;
        for _ in 0..ANNOUNCEMENTS {
            let start = Instant::now();
            if broken(Sabotage::BeginsNotDurably) {
                self.run.journal.append(entry).await?;
            } else {
                self.run.journal.append_durably(entry).await?;
            }
            if start.elapsed() < STALE {
                return Ok(());
            }
            entry = Entry::Retried { operation: operation.clone() };
        }
        let seconds = STALE.as_secs();
        let message =
            format!("writing down that it is about to begin has taken longer than {seconds} s, {ANNOUNCEMENTS} times");
        Err(StepError::new(message)
            .help("nothing was called; see why the state is so slow to write, then run the command again"))
    }

    /// Waits for the turn of a further try, and announces it.
    async fn again(&self, work: &Work<'_>, kind: &dyn AnyKind, operation: &OperationId) -> Result<Pass<'_>, StepError> {
        let pass = self.gate.enter(kind, work.urgency).await;
        self.announce(operation, Entry::Retried { operation: operation.clone() }).await?;
        Ok(pass)
    }

    /// Creates a resource once and only once. After a failure that may hide a success, what was created is looked for
    /// before it is tried again, unless the kind says that both tries mean the same. Of what is found, more may be left to do
    /// than to wait.
    pub(super) async fn create_once(
        &self,
        work: &Work<'_>,
        kind: &dyn AnyKind,
        spec: &Json,
        tags: &Tags,
        announcement: Announcement<'_>,
    ) -> Result<Result<Made, CallFailed>, StepError> {
        let (operation, identified) = (&tags.operation, Mutex::new(None));
        let on_identifier = |id: &str| {
            *identified.lock().unwrap_or_else(PoisonError::into_inner) = Some(id.to_owned());
            if !broken(Sabotage::ForgetsIdentifiers) {
                self.run.journal.note(Entry::Identified { operation: operation.clone(), id: id.to_owned() });
            }
        };
        let known_id = || identified.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut tries = Tries::new(self.run.limits.retry);
        // Of a creation of an earlier run that is repeated, nobody knows what became of it.
        let mut doubt = matches!(announcement.first, Entry::Retried { .. });
        let mut pass = self.turn(work, kind).await?;
        self.announce(operation, announcement.first).await?;
        let mut tags = tags.clone();
        loop {
            let call = kind.create(spec, &tags, &on_identifier);
            let error = match self.send(pass, call).await {
                Ok(observed) => {
                    if known_id().as_ref() != Some(&observed.id) {
                        on_identifier(&observed.id);
                    }
                    return Ok(Ok(Made { observed, in_part: false }));
                }
                Err(error) => error,
            };
            doubt |= error.class == ErrorClass::Transient;
            if let Err(error) = self.put_off(work, kind, None, &mut tries, error).await {
                return Ok(Err(CallFailed { error, refused: !doubt && known_id().is_none() }));
            }
            // Part of it is done when it has an identifier.
            if (doubt || known_id().is_some()) && kind.recovery() == Recovery::Tags {
                if let Some(observed) = self.made(work, kind, &tags, known_id()).await? {
                    if known_id().is_none() {
                        on_identifier(&observed.id);
                    }
                    return Ok(Ok(Made { observed, in_part: true }));
                }
                doubt = false;
            }
            pass = self.again(work, kind, operation).await?;
            if broken(Sabotage::NewTokenForEachTry) {
                tags.operation = (self.run.new_operation)();
            }
        }
    }

    /// Looks for what an operation has made, for as long as the provider may hide it.
    pub(super) async fn made(
        &self,
        work: &Work<'_>,
        kind: &dyn AnyKind,
        tags: &Tags,
        known_id: Option<String>,
    ) -> Result<Option<Observed>, StepError> {
        let start = Instant::now();
        for look in 0.. {
            let left = kind.visibility().saturating_sub(start.elapsed());
            let found = match &known_id {
                Some(id) => self.look(work, kind, || kind.read(id)).await?,
                None => {
                    let listed = self.look(work, kind, || kind.list(&tags.deployment)).await?;
                    let ours = |observed: &Observed| {
                        observed.tags.as_ref().is_some_and(|found| found.operation == tags.operation)
                    };
                    listed.into_iter().find(ours)
                }
            };
            if found.is_some() || left.is_zero() {
                return Ok(found);
            }
            sleep(POLL.pause(look).min(left)).await;
        }
        Ok(None)
    }

    /// Waits until a resource can be used, which usually takes `usual`.
    pub(super) async fn until_ready(
        &self,
        work: &Work<'_>,
        kind: &dyn AnyKind,
        mut observed: Observed,
        usual: Duration,
    ) -> Result<Observed, StepError> {
        let start = Instant::now();
        let mut shown = String::new();
        for look in 0.. {
            let message = match observed.readiness {
                Readiness::Ready => return Ok(observed),
                Readiness::Failed(_) if work.step.stays_failed => return Ok(observed),
                Readiness::Failed(why) => {
                    return Err(StepError::Broken { id: observed.id, why });
                }
                Readiness::Waiting(message) => message,
            };
            let left = kind.ready_deadline().saturating_sub(start.elapsed());
            if left.is_zero() {
                let seconds = kind.ready_deadline().as_secs();
                return Err(StepError::new(format!("it is not ready after {seconds} s, still waiting for: {message}"))
                    .help("run the command again to go on waiting"));
            }
            if message != shown {
                self.progress(work, &message);
                shown.clone_from(&message);
            }
            let pause = self.run.limits.poll.pause(look, start.elapsed(), usual).min(left);
            let seen = self.read_after(work, kind, &observed.id, pause).await?;
            observed.readiness = Readiness::Waiting(message);
            match seen {
                Some(seen) => observed = seen,
                // Fresh things may be hidden for a while.
                None if start.elapsed() < kind.visibility() => {}
                None => {
                    let id = observed.id;
                    return Err(StepError::new(format!("{id} disappeared while forge waited for it")));
                }
            }
        }
        Ok(observed)
    }

    /// Waits until a fresh resource shows, or can no longer be hidden.
    pub(super) async fn until_shown(&self, work: &Work<'_>, kind: &dyn AnyKind, id: &str) -> Result<(), StepError> {
        let start = Instant::now();
        for look in 0.. {
            let left = kind.visibility().saturating_sub(start.elapsed());
            if self.read_after(work, kind, id, Duration::ZERO).await?.is_some() || left.is_zero() {
                break;
            }
            sleep(POLL.pause(look).min(left)).await;
        }
        Ok(())
    }

    /// Waits until a resource is gone.
    pub(super) async fn until_gone(&self, work: &Work<'_>, kind: &dyn AnyKind, id: &str) -> Result<(), StepError> {
        let (start, usual) = (Instant::now(), kind.typical().delete);
        // Where one call answers for many, it is worth a moment to see who else asks.
        let mut pause = if kind.read_batch() > 1 { self.run.limits.poll.first } else { Duration::ZERO };
        for look in 0.. {
            if self.read_after(work, kind, id, pause).await?.is_none() {
                return Ok(());
            }
            let left = kind.ready_deadline().saturating_sub(start.elapsed());
            if left.is_zero() {
                let seconds = kind.ready_deadline().as_secs();
                return Err(StepError::new(format!("it is not gone after {seconds} s"))
                    .help("run the command again to go on waiting"));
            }
            if look == 1 {
                self.progress(work, "being deleted");
            }
            pause = self.run.limits.poll.pause(look, start.elapsed(), usual).min(left);
        }
        Ok(())
    }

    /// Reads a resource, after the pause at the latest.
    pub(super) async fn read_after(
        &self,
        work: &Work<'_>,
        kind: &dyn AnyKind,
        id: &str,
        pause: Duration,
    ) -> Result<Option<Observed>, StepError> {
        let mut tries = Tries::new(self.run.limits.retry);
        let mut pause = pause;
        loop {
            match self.read(kind, id, work.urgency, pause).await {
                Ok(observed) => return Ok(observed),
                Err(error) => self.pause(work, &mut tries, error).await?,
            }
            pause = Duration::ZERO;
        }
    }

    pub(super) fn progress(&self, work: &Work<'_>, message: &str) {
        self.emit(Event::StepProgress { address: work.step.address.clone(), message: message.to_owned() });
    }
}
