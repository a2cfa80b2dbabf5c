//! Single questions, asked until there is an answer.

use super::{Look, ObserveOptions, Wanted, made_by};
use crate::address::{Deployment, OperationId};
use crate::diag::Diagnostic;
use crate::gate::Gate;
use crate::kind::{AnyKind, KindError, Observed, Tags};
use crate::pace::{POLL, Tries};
use crate::sabotage::{Sabotage, broken};
use futures::future::{BoxFuture, FutureExt};
use futures::stream::{FuturesUnordered, StreamExt};
use std::future::Future;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

#[derive(Clone, Copy)]
pub(super) struct Asker<'a> {
    pub(super) gate: &'a Gate,
    pub(super) deployment: &'a Deployment,
    pub(super) options: &'a ObserveOptions,
}

impl Asker<'_> {
    /// Everything of a kind, once it holds what the awaited operations have made, or once patience is at its end.
    pub(super) async fn list(
        &self,
        kind: &dyn AnyKind,
        awaited: &[&OperationId],
        patience: Duration,
    ) -> Result<Vec<Observed>, Diagnostic> {
        let asked = async {
            let start = Instant::now();
            for look in 0.. {
                // Asked once more at the very end of the window, or else its last pause would not count.
                let left = patience.saturating_sub(start.elapsed());
                let mut listed = self.retrying(kind, || kind.list(self.deployment)).await?;
                // Whatever a provider or a kind returns, only what carries our tags is ours.
                listed.retain(|observed| {
                    let ours = |tags: &Tags| tags.deployment == *self.deployment || broken(Sabotage::AdoptsForeign);
                    observed.tags.as_ref().is_some_and(ours)
                });
                let shows = |operation: &&OperationId| listed.iter().any(|observed| made_by(observed, operation));
                if left.is_zero() || awaited.iter().all(shows) {
                    return Ok(listed);
                }
                sleep(POLL.pause(look).min(left)).await;
            }
            Ok(Vec::new())
        };
        self.within_deadline(asked, || format!("the resources of kind {}", kind.name())).await
    }

    /// What there is with these identifiers.
    pub(super) async fn read_all(
        &self,
        kind: &dyn AnyKind,
        mut wanted: Vec<Wanted>,
    ) -> Result<Vec<Look>, Vec<Diagnostic>> {
        let mut reads: FuturesUnordered<BoxFuture<'_, _>> = FuturesUnordered::new();
        while !wanted.is_empty() {
            let batch = wanted.split_off(wanted.len().saturating_sub(kind.read_batch()));
            reads.push(self.read(kind, batch).boxed());
        }
        let (mut looks, mut findings) = (Vec::new(), Vec::new());
        while let Some(read) = reads.next().await {
            match read {
                Ok(read) => looks.extend(read),
                Err(finding) => findings.push(finding),
            }
        }
        if findings.is_empty() { Ok(looks) } else { Err(findings) }
    }

    /// Reads as many at once as the kind takes. Those whose answer is not the awaited one are read again while there is
    /// patience for them.
    async fn read(&self, kind: &dyn AnyKind, wanted: Vec<Wanted>) -> Result<Vec<Look>, Diagnostic> {
        let name = match wanted.as_slice() {
            [one] => format!("{} {}", kind.name(), one.id),
            [first, rest @ ..] => format!("{} {} and {} others", kind.name(), first.id, rest.len()),
            [] => return Ok(Vec::new()),
        };
        let asked = async {
            let start = Instant::now();
            let (mut looks, mut open) = (Vec::new(), wanted);
            for look in 0.. {
                let waited = start.elapsed();
                let ids: Vec<String> = open.iter().map(|wanted| wanted.id.clone()).collect();
                let answers = self.retrying(kind, || kind.read_many(&ids)).await?;
                if answers.len() != ids.len() {
                    let (asked, answered) = (ids.len(), answers.len());
                    return Err(KindError::terminal(format!("{answered} answers came to {asked} questions")));
                }
                let mut unsettled = Vec::new();
                for (wanted, observed) in open.into_iter().zip(answers) {
                    if observed.is_none() == wanted.until_gone || wanted.patience <= waited {
                        looks.push(Look { kind: kind.name().to_owned(), id: wanted.id, observed });
                    } else {
                        unsettled.push(wanted);
                    }
                }
                let Some(left) = unsettled.iter().map(|wanted| wanted.patience.saturating_sub(waited)).min() else {
                    break;
                };
                sleep(POLL.pause(look).min(left)).await;
                open = unsettled;
            }
            Ok(looks)
        };
        self.within_deadline(asked, || name).await
    }

    async fn retrying<T, F: Future<Output = Result<T, KindError>>>(
        &self,
        kind: &dyn AnyKind,
        call: impl Fn() -> F,
    ) -> Result<T, KindError> {
        let mut tries = Tries::new(self.options.retry);
        loop {
            let pass = self.gate.enter(kind, Duration::ZERO).await;
            match pass.call(self.options.deadline, call()).await {
                Ok(answer) => return Ok(answer),
                Err(error) => match tries.again(&error) {
                    Some(pause) => sleep(pause).await,
                    None => return Err(error),
                },
            }
        }
    }

    async fn within_deadline<T>(
        &self,
        asked: impl Future<Output = Result<T, KindError>>,
        name: impl FnOnce() -> String,
    ) -> Result<T, Diagnostic> {
        match timeout(self.options.deadline, asked).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(unanswered(format!("cannot look at {}", name()), &error)),
            Err(_) => Err(Diagnostic::error("cannot-observe", format!("cannot look at {}", name()))
                .why(format!("there was no answer within {} s", self.options.deadline.as_secs()))
                .help("see whether the service can be reached, then run the command again")),
        }
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
