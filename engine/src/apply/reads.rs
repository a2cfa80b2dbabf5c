//! Looks of many waits, made together.
//!
//! Waits for resources of one kind ask in their own time. Where a kind answers for many identifiers in one call, whoever's
//! time has come takes along all that would accept an answer by now. A wait accepts one from half its pause on, so that
//! waits that began at different times soon ask together.

use super::step::Executor;
use crate::gate::Urgency;
use crate::kind::{AnyKind, KindError, Observed};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep};

type Answer = Result<Option<Observed>, KindError>;

/// Who waits for an answer, by kind and arrival.
#[derive(Debug, Default)]
pub(super) struct Reader(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    arrivals: u64,
    by_kind: BTreeMap<&'static str, BTreeMap<u64, Question>>,
}

#[derive(Debug)]
struct Question {
    id: String,
    accepts_from: Instant,
    answer: oneshot::Sender<Answer>,
}

impl Executor<'_> {
    /// What there is with this identifier, seen between half the pause from now and its end, or later when calls queue.
    pub(super) async fn read(&self, kind: &dyn AnyKind, id: &str, urgency: Urgency, pause: Duration) -> Answer {
        if kind.read_batch() == 1 {
            sleep(pause).await;
            let pass = self.gate.enter(kind, urgency).await;
            return self.send(pass, kind.read(id)).await;
        }
        let now = Instant::now();
        let (answer, mut answered) = oneshot::channel();
        let question = Question { id: id.to_owned(), accepts_from: now + pause / 2, answer };
        let arrival = self.reader.ask(kind.name(), question);
        tokio::select! {
            biased;
            answer = &mut answered => return received(answer),
            () = sleep(pause) => {}
        }
        let pass = tokio::select! {
            biased;
            answer = &mut answered => return received(answer),
            pass = self.gate.enter(kind, urgency) => pass,
        };
        let questions = self.reader.take(kind, arrival);
        if questions.is_empty() {
            // Somebody else is asking for it already.
            drop(pass);
        } else {
            let ids: Vec<String> = questions.iter().map(|question| question.id.clone()).collect();
            answer_all(questions, self.send(pass, kind.read_many(&ids)).await);
        }
        received(answered.await)
    }
}

impl Reader {
    fn ask(&self, kind: &'static str, question: Question) -> u64 {
        let mut waiting = self.locked();
        waiting.arrivals += 1;
        let arrival = waiting.arrivals;
        waiting.by_kind.entry(kind).or_default().insert(arrival, question);
        arrival
    }

    /// The question that arrived then and the others that go with it; none when it has been taken.
    fn take(&self, kind: &dyn AnyKind, arrival: u64) -> Vec<Question> {
        let (now, mut waiting) = (Instant::now(), self.locked());
        let Some(questions) = waiting.by_kind.get_mut(kind.name()) else { return Vec::new() };
        let Some(own) = questions.remove(&arrival) else { return Vec::new() };
        let others = questions.iter().filter(|(_, question)| question.accepts_from <= now);
        let others: Vec<u64> = others.map(|(arrival, _)| *arrival).take(kind.read_batch() - 1).collect();
        std::iter::once(own).chain(others.iter().filter_map(|other| questions.remove(other))).collect()
    }

    fn locked(&self) -> MutexGuard<'_, Waiting> {
        // Nothing in here panics half-way.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn answer_all(questions: Vec<Question>, answers: Result<Vec<Option<Observed>>, KindError>) {
    let answers = answers.and_then(|answers| {
        let (asked, answered) = (questions.len(), answers.len());
        let wrong = || KindError::terminal(format!("{answered} answers came to {asked} questions"));
        if asked == answered { Ok(answers) } else { Err(wrong()) }
    });
    match answers {
        Ok(answers) => {
            for (question, answer) in questions.into_iter().zip(answers) {
                // Who does not listen any more has been stopped.
                let _ = question.answer.send(Ok(answer));
            }
        }
        Err(error) => {
            for question in questions {
                let _ = question.answer.send(Err(again(&error)));
            }
        }
    }
}

/// The same error for another reader, its causes in its message.
fn again(error: &KindError) -> KindError {
    let message = super::chain(error).join(": ");
    KindError { class: error.class, message, help: error.help.clone(), source: None }
}

fn received(answer: Result<Answer, oneshot::error::RecvError>) -> Answer {
    // Whoever asked on behalf of others is only dropped with the whole run.
    answer.unwrap_or_else(|_| Err(KindError::terminal("the run is over")))
}
