//! How an apply goes, for people: a line when something begins, waits, ends or fails.

use crate::ui::{Paint, Palette};
use forge_engine::event::{Event, Skip};
use forge_engine::plan::Action;

/// The line that an event is worth.
pub(crate) fn line(event: &Event, palette: Palette) -> Option<String> {
    let seconds = |ms: u64| ms as f64 / 1000.0;
    Some(match event {
        Event::StepStarted { address, action, .. } => format!("  {address}: {}", doing(*action)),
        Event::StepProgress { address, message } => palette.paint(Paint::Faint, format!("  {address}: {message}")),
        Event::Retrying { address, failures, after_ms, message, .. } => {
            format!("  {address}: {message}; try {} in {:.1} s", failures + 1, seconds(*after_ms))
        }
        Event::StepFinished { address, action, took_ms, .. } => {
            format!("  {address}: {} in {:.1} s", palette.paint(Paint::Good, done(*action)), seconds(*took_ms))
        }
        Event::StepFailed { address, chain, .. } => {
            format!("  {address}: {}", palette.paint(Paint::Bad, format!("failed: {}", chain.join(": "))))
        }
        Event::StepSkipped { address, because, .. } => match because {
            Skip::Blocked(other) => format!("  {address}: skipped, because {other} was not done"),
            Skip::Cancelled => format!("  {address}: not done"),
        },
        // The plan has been shown; the summary follows.
        _ => return None,
    })
}

pub(super) fn doing(action: Action) -> &'static str {
    match action {
        Action::NoOp => "unchanged",
        Action::Create => "creating",
        Action::Update => "updating",
        Action::ReplaceCreateFirst | Action::ReplaceDeleteFirst => "replacing",
        Action::Delete => "deleting",
        Action::Adopt => "adopting",
        Action::Forget => "forgetting",
    }
}

pub(super) fn done(action: Action) -> &'static str {
    match action {
        Action::NoOp => "left as it is",
        Action::Create => "created",
        Action::Update => "updated",
        Action::ReplaceCreateFirst | Action::ReplaceDeleteFirst => "replaced",
        Action::Delete => "deleted",
        Action::Adopt => "adopted",
        Action::Forget => "forgotten",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use forge_engine::address::Address;
    use forge_engine::apply::Outcome;
    use forge_engine::event::Emitted;
    use forge_engine::kind::ErrorClass;
    use forge_engine::plan::Counts;
    use forge_engine::state::Call;
    use std::time::Duration;

    /// One of each event.
    fn events() -> Vec<Event> {
        let (address, kind) = (Address::new("gpus.fleet"), "local.fleet".to_owned());
        let (action, call) = (Action::Create, Some(Call::Create));
        let skipped = |because: Skip| Event::StepSkipped {
            address: Address::new("train.job"),
            kind: "aws.job".to_owned(),
            action,
            because,
        };
        vec![
            Event::PlanMade { counts: Counts { create: 2, ..Counts::default() } },
            Event::StepStarted { address: address.clone(), kind: kind.clone(), action, call },
            Event::StepProgress { address: address.clone(), message: "1 of 3 nodes have joined".to_owned() },
            Event::Retrying {
                address: address.clone(),
                failures: 2,
                after_ms: 1500,
                class: ErrorClass::Throttled,
                message: "Rate exceeded".to_owned(),
            },
            Event::StepFinished {
                address: address.clone(),
                kind: kind.clone(),
                action,
                call,
                id: Some("f-1".to_owned()),
                took_ms: 61_240,
            },
            Event::StepFailed {
                address: address.clone(),
                kind,
                action,
                chain: vec!["it was refused".to_owned(), "no capacity".to_owned()],
                help: Some("choose another zone".to_owned()),
            },
            skipped(Skip::Blocked(address)),
            skipped(Skip::Cancelled),
            Event::RunFinished { outcome: Outcome::default() },
        ]
    }

    #[test]
    fn an_apply_plain_in_colour_and_as_json() {
        let lines = |palette: Palette| {
            let lines: Vec<String> = events().iter().filter_map(|event| line(event, palette)).collect();
            lines.join("\n").replace('\x1b', "␛")
        };
        let json = |(n, event): (u64, Event)| {
            serde_json::to_string(&Emitted::new(Duration::from_millis(250 * n), event)).unwrap()
        };
        let json: Vec<String> = (0..).zip(events()).map(json).collect();
        insta::assert_snapshot!([lines(Palette::PLAIN), lines(Palette::COLOURED), json.join("\n")].join("\n\n"));
    }
}
