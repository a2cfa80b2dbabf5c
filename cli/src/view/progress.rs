//! How an apply goes, for people: a line when something begins, waits, ends or fails.

use crate::ui::{Paint, Ui};
use forge_engine::apply::Outcome;
use forge_engine::event::{Event, Skip};
use forge_engine::plan::Action;

/// Prints an event.
pub(crate) fn show(ui: Ui, event: &Event) {
    match event {
        // The plan has been shown; the summary follows.
        Event::PlanMade { .. } | Event::RunFinished { .. } => {}
        Event::StepStarted { address, action, .. } => ui.say(format!("  {address}: {}", doing(*action))),
        Event::StepProgress { address, message } => ui.say(ui.paint(Paint::Faint, format!("  {address}: {message}"))),
        Event::Retrying { address, failures, after_ms, message, .. } => {
            let seconds = *after_ms as f64 / 1000.0;
            ui.say(format!("  {address}: {message}; try {} in {seconds:.1} s", failures + 1));
        }
        Event::StepFinished { address, action, took_ms, .. } => {
            let seconds = *took_ms as f64 / 1000.0;
            ui.say(format!("  {address}: {} in {seconds:.1} s", ui.paint(Paint::Good, done(*action))));
        }
        Event::StepFailed { address, chain, .. } => {
            ui.say(format!("  {address}: {}", ui.paint(Paint::Bad, format!("failed: {}", chain.join(": ")))));
        }
        Event::StepSkipped { address, because, .. } => ui.say(match because {
            Skip::Blocked(other) => format!("  {address}: skipped, because {other} was not done"),
            Skip::Cancelled => format!("  {address}: not done"),
        }),
    }
}

/// Prints what an apply came to, with every failure and its way out.
pub(crate) fn summary(ui: Ui, outcome: &Outcome) {
    for failure in &outcome.failed {
        ui.say(format!("{}: {} could not be {}", ui.paint(Paint::Bad, "error"), failure.address, done(failure.action)));
        for cause in &failure.chain {
            ui.say(format!("  because: {cause}"));
        }
        if let Some(help) = &failure.help {
            ui.say(format!("  help: {help}"));
        }
    }
    for warning in &outcome.warnings {
        ui.say(format!("{}: {warning}", ui.paint(Paint::Change, "warning")));
    }
    let left = outcome.failed.len() + outcome.skipped.len();
    if left > 0 {
        ui.say(format!("{left} not done; what is done is written down, and the same command goes on from here"));
    }
}

fn doing(action: Action) -> &'static str {
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

fn done(action: Action) -> &'static str {
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
