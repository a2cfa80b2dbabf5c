//! Looks at the world, for the plan.
//!
//! Three questions are asked, all at once: what became of everything that is recorded; what else carries this
//! deployment's tags; and what became of operations that were cut off. The last may need patience. A provider may hide
//! what it has just made, so that "not there" is no answer yet while the kind's visibility window is open: it is asked
//! again until the thing shows or the window has passed. The same goes for what was recorded only just now, and for
//! deletions that were cut off, the other way round.

use crate::address::Deployment;
use crate::diag::Diagnostic;
use crate::kind::{AnyKind, KindError, Kinds, Observed};
use crate::pace::{POLL, Pace, RETRY, Tries};
use crate::state::{Begin, Call, State};
use futures::future::{BoxFuture, FutureExt};
use futures::stream::{self, StreamExt};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

/// What was looked for by its identifier.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Look {
    /// Its kind.
    pub kind: String,
    /// Its identifier.
    pub id: String,
    /// What is there; none when it is gone.
    pub observed: Option<Observed>,
}

/// What was found by its tags.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Found {
    /// Its kind.
    pub kind: String,
    /// What is there.
    pub observed: Observed,
}

impl Found {
    /// True when it is what that operation has made.
    #[must_use]
    pub fn made_by(&self, begin: &Begin) -> bool {
        self.kind == begin.kind && self.observed.tags.as_ref().is_some_and(|tags| tags.operation == begin.operation)
    }
}

/// The world as far as a plan needs it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Observations {
    /// By identifier. What is recorded and not among them counts as unchanged.
    pub looks: Vec<Look>,
    /// By tags.
    pub found: Vec<Found>,
}

/// How to look.
#[derive(Debug, Clone, Copy)]
pub struct ObserveOptions {
    /// False looks only for what became of operations that were cut off, and trusts the record otherwise.
    pub refresh: bool,
    /// For how long to wait for one answer, repetitions included.
    pub deadline: Duration,
    /// How many calls may be in flight.
    pub calls: usize,
    /// How to repeat calls that failed.
    pub retry: Pace,
}

impl Default for ObserveOptions {
    /// Everything, with 64 calls in flight: reads are cheap for both sides, and a service that thinks otherwise says
    /// so by throttling.
    fn default() -> Self {
        Self { refresh: true, deadline: Duration::from_secs(600), calls: 64, retry: RETRY }
    }
}

enum Question<'a> {
    Read { kind: &'a Arc<dyn AnyKind>, id: &'a str, patience: Duration, until_gone: bool },
    List { kind: &'a Arc<dyn AnyKind>, awaited: Vec<&'a Begin>, patience: Duration },
}

enum Answer {
    Look(Look),
    Found(Vec<Found>),
}

/// Looks at everything that a plan for `deployment` must know. `now` is the time by the clock that the journal uses.
///
/// # Errors
/// Every question that got no answer.
pub async fn observe(
    deployment: &Deployment,
    state: &State,
    kinds: &Kinds,
    now: Timestamp,
    options: &ObserveOptions,
) -> Result<Observations, Vec<Diagnostic>> {
    // Boxed, and made before anything is awaited: a closure within the stream would keep this future from being sent.
    let asked: Vec<BoxFuture<'_, _>> = questions(state, kinds, now, options.refresh)
        .into_iter()
        .map(|question| answer(question, deployment, options).boxed())
        .collect();
    let answers: Vec<_> = stream::iter(asked).buffer_unordered(options.calls.max(1)).collect().await;
    let (mut observations, mut findings) = (Observations::default(), Vec::new());
    for answer in answers {
        match answer {
            Ok(Answer::Look(look)) => observations.looks.push(look),
            Ok(Answer::Found(found)) => observations.found.extend(found),
            Err(finding) => findings.push(finding),
        }
    }
    // Answers come in any order; what is made of them must not depend on it.
    observations.looks.sort_by(|a, b| (&a.kind, &a.id).cmp(&(&b.kind, &b.id)));
    observations.found.sort_by(|a, b| (&a.kind, &a.observed.id).cmp(&(&b.kind, &b.observed.id)));
    findings.sort_by(|a: &Diagnostic, b| a.summary.cmp(&b.summary));
    if findings.is_empty() { Ok(observations) } else { Err(findings) }
}

fn questions<'a>(state: &'a State, kinds: &'a Kinds, now: Timestamp, refresh: bool) -> Vec<Question<'a>> {
    let left = |kind: &Arc<dyn AnyKind>, since: Timestamp| {
        // A clock that was set back makes the wait longer, never shorter.
        let passed = Duration::try_from(now.duration_since(since)).unwrap_or_default();
        kind.visibility().saturating_sub(passed)
    };
    let mut questions = Vec::new();
    let records = state.records.values().chain(state.superseded.iter().map(|old| &old.record));
    for record in records {
        let Some(kind) = kinds.get(&record.kind) else { continue };
        let deletion = state.pending.values().find(|pending| {
            pending.begin.call == Call::Delete
                && pending.begin.kind == record.kind
                && pending.begin.id.as_ref() == Some(&record.id)
        });
        if refresh || deletion.is_some() {
            let patience = left(kind, deletion.map_or(record.since, |pending| pending.attempted));
            questions.push(Question::Read { kind, id: &record.id, patience, until_gone: deletion.is_some() });
        }
    }
    for kind in kinds.iter() {
        let begun = || {
            let of_kind = |begin: &Begin| begin.call == Call::Create && begin.kind == kind.name();
            state.pending.values().filter(move |pending| of_kind(&pending.begin))
        };
        for pending in begun() {
            if let Some(id) = &pending.identified {
                let patience = left(kind, pending.attempted);
                questions.push(Question::Read { kind, id, patience, until_gone: false });
            }
        }
        let hidden = || begun().filter(|pending| pending.identified.is_none());
        let awaited: Vec<&Begin> = hidden().map(|pending| &pending.begin).collect();
        if refresh || !awaited.is_empty() {
            let patience = hidden().map(|pending| left(kind, pending.attempted)).max().unwrap_or_default();
            questions.push(Question::List { kind, awaited, patience });
        }
    }
    questions
}

async fn answer(
    question: Question<'_>,
    deployment: &Deployment,
    options: &ObserveOptions,
) -> Result<Answer, Diagnostic> {
    let name = match &question {
        Question::Read { kind, id, .. } => format!("{} {id}", kind.name()),
        Question::List { kind, .. } => format!("the resources of kind {}", kind.name()),
    };
    let asked = async {
        match question {
            Question::Read { kind, id, patience, until_gone } => {
                let settled = |observed: &Option<Observed>| observed.is_none() == until_gone;
                let observed = patiently(patience, settled, || retrying(options.retry, || kind.read(id))).await?;
                Ok(Answer::Look(Look { kind: kind.name().to_owned(), id: id.to_owned(), observed }))
            }
            Question::List { kind, awaited, patience } => {
                let list = || async {
                    let listed = retrying(options.retry, || kind.list(deployment)).await?;
                    // Whatever a provider or a kind returns, only what carries our tags is ours.
                    let ours = |observed: &Observed| {
                        observed.tags.as_ref().is_some_and(|tags| tags.deployment == *deployment)
                    };
                    let found = |observed| Found { kind: kind.name().to_owned(), observed };
                    Ok(listed.into_iter().filter(ours).map(found).collect::<Vec<_>>())
                };
                let settled =
                    |found: &Vec<Found>| awaited.iter().all(|begin| found.iter().any(|found| found.made_by(begin)));
                Ok(Answer::Found(patiently(patience, settled, list).await?))
            }
        }
    };
    let summary = format!("cannot look at {name}");
    match timeout(options.deadline, asked).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(unanswered(summary, &error)),
        Err(_) => Err(Diagnostic::error("cannot-observe", summary)
            .why(format!("there was no answer within {} s", options.deadline.as_secs()))
            .help("see whether the service can be reached, then run the command again")),
    }
}

fn unanswered(summary: String, error: &KindError) -> Diagnostic {
    let chain = crate::apply::chain(error).join(": ");
    let finding = Diagnostic::error("cannot-observe", summary).why(chain);
    match &error.help {
        Some(help) => finding.help(help.clone()),
        None => finding,
    }
}

/// Asks until the answer settles the matter or patience is at its end; returns the last answer.
async fn patiently<T, F: Future<Output = Result<T, KindError>>>(
    patience: Duration,
    settled: impl Fn(&T) -> bool,
    ask: impl Fn() -> F,
) -> Result<T, KindError> {
    let start = Instant::now();
    for look in 0.. {
        // Asked once more at the very end of the window, or else its last pause would not count.
        let left = patience.saturating_sub(start.elapsed());
        let answer = ask().await?;
        if settled(&answer) || left.is_zero() {
            return Ok(answer);
        }
        sleep(POLL.pause(look).min(left)).await;
    }
    ask().await
}

async fn retrying<T, F: Future<Output = Result<T, KindError>>>(
    pace: Pace,
    call: impl Fn() -> F,
) -> Result<T, KindError> {
    let mut tries = Tries::new(pace);
    loop {
        match call().await {
            Ok(answer) => return Ok(answer),
            Err(error) => match tries.again(&error) {
                Some(pause) => sleep(pause).await,
                None => return Err(error),
            },
        }
    }
}
