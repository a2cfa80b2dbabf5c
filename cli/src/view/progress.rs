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
