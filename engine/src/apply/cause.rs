//! Why things went wrong, for people: failures that say the same are one cause, and what it kept from being done is told
//! with it.

use super::{Failure, Outcome, Skipped};
use crate::event::Skip;
use serde::Serialize;
use std::cmp::Reverse;

/// What went wrong, once, however often.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Cause<'o> {
    /// The error and its causes, outermost first, as the first of the failures has them.
    pub chain: &'o [String],
    /// What to do, where that is known.
    pub help: Option<&'o str>,
    /// The steps that failed for it.
    pub failed: Vec<&'o Failure>,
    /// The steps that were not begun because of those.
    pub blocked: Vec<&'o Skipped>,
}

impl Outcome {
    /// What went wrong, what keeps most from being done first. Failures belong together when the same was to happen, and they
    /// say the same, their own names apart, and advise the same.
    #[must_use]
    pub fn causes(&self) -> Vec<Cause<'_>> {
        let mut causes: Vec<(Vec<String>, Cause<'_>)> = Vec::new();
        for failure in &self.failed {
            let (said, help) = (without_names(failure), failure.help.as_deref());
            let same = |(other, cause): &&mut (Vec<String>, Cause<'_>)| {
                *other == said && cause.help == help && cause.failed[0].action == failure.action
            };
            match causes.iter_mut().find(same) {
                Some((_, cause)) => cause.failed.push(failure),
                None => {
                    let cause = Cause { chain: &failure.chain, help, failed: vec![failure], blocked: Vec::new() };
                    causes.push((said, cause));
                }
            }
        }
        let mut causes: Vec<Cause<'_>> = causes.into_iter().map(|(_, cause)| cause).collect();
        for skipped in &self.skipped {
            let Skip::Blocked(by) = &skipped.because else { continue };
            let of = |cause: &&mut Cause<'_>| cause.failed.iter().any(|failure| failure.address == *by);
            if let Some(cause) = causes.iter_mut().find(of) {
                cause.blocked.push(skipped);
            }
        }
        causes.sort_by_key(|cause| (Reverse(cause.blocked.len()), Reverse(cause.failed.len())));
        causes
    }
}

/// What a failure says, without the name of what failed.
fn without_names(failure: &Failure) -> Vec<String> {
    failure.chain.iter().map(|message| without(message, failure.address.as_str())).collect()
}

/// The text without a name, where that stands by itself and not within a longer one.
fn without(text: &str, name: &str) -> String {
    let within = |next: Option<char>| next.is_some_and(|next| next.is_alphanumeric() || "._-[]".contains(next));
    let (mut kept, mut from) = (String::new(), 0);
    for (at, _) in text.match_indices(name) {
        let after = at + name.len();
        if !within(text[..at].chars().next_back()) && !within(text[after..].chars().next()) {
            kept.push_str(&text[from..at]);
            from = after;
        }
    }
    kept + &text[from..]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::Address;
    use crate::plan::Action;

    fn failure(address: &str, message: &str) -> Failure {
        Failure {
            address: Address::new(address),
            kind: "test.thing".to_owned(),
            action: Action::Create,
            chain: vec![message.to_owned()],
            help: None,
            blockers: Vec::new(),
        }
    }

    fn blocked(address: &str, by: &str) -> Skipped {
        let because = Skip::Blocked(Address::new(by));
        Skipped { address: Address::new(address), kind: "test.thing".to_owned(), action: Action::Create, because }
    }

    #[test]
    fn what_says_the_same_is_one_cause_and_what_blocks_most_comes_first() {
        let outcome = Outcome {
            failed: vec![
                failure("a", "no capacity for `a`"),
                failure("b", "the role is not known"),
                failure("c", "no capacity for `c`"),
                failure("d", "no space"),
                Failure { action: Action::Delete, ..failure("h", "no space") },
            ],
            skipped: vec![blocked("e", "b"), blocked("f", "b"), blocked("g", "a")],
            ..Outcome::default()
        };
        let told: Vec<String> = outcome
            .causes()
            .iter()
            .map(|cause| {
                let failed: Vec<_> = cause.failed.iter().map(|failure| failure.address.as_str()).collect();
                let blocked: Vec<_> = cause.blocked.iter().map(|skipped| skipped.address.as_str()).collect();
                format!("{}: {} block {}", cause.chain[0], failed.join(" "), blocked.join(" "))
            })
            .collect();
        assert_eq!(
            told,
            [
                "the role is not known: b block e f",
                "no capacity for `a`: a c block g",
                "no space: d block ",
                "no space: h block ",
            ]
        );
    }
}
