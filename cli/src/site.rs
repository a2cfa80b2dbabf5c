//! One deployment, locked for work: look, plan, apply.

use crate::exit::Exit;
use crate::failure::Failure;
use crate::project::deployment;
use crate::ui::Ui;
use crate::view;
use forge_blueprints::Sources;
use forge_engine::address::Deployment;
use forge_engine::apply::{Cancel, Limits, Outcome, Run, apply, random_operation};
use forge_engine::diag::Diagnostic;
use forge_engine::event::Emitted;
use forge_engine::journal::Journal;
use forge_engine::kind::Kinds;
use forge_engine::lock::{Holder, Lock, LockError, Unguarded};
use forge_engine::observe::{Observations, ObserveOptions};
use forge_engine::plan::Plan;
use forge_engine::state::State;
use jiff::Timestamp;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// An open deployment. Nobody else works on it while this lives.
pub(crate) struct Site {
    home: PathBuf,
    pub(crate) journal: Journal,
    pub(crate) kinds: Kinds,
    lock: Lock,
}

/// A runtime for commands that wait for more than one thing.
pub(crate) fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}

fn host() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_owned()
}

/// The state of a deployment, without locking it.
pub(crate) fn read_state(home: &Path, name: &str) -> Result<State, Failure> {
    Ok(Journal::read(home, &deployment(name))?)
}

/// Looks at the world and plans, without locking.
pub(crate) async fn look_and_plan(
    name: &Deployment,
    state: &State,
    kinds: &Kinds,
    refresh: bool,
    plan: impl Fn(&Observations) -> Result<Plan, Vec<Diagnostic>>,
) -> Result<Plan, Failure> {
    let options = ObserveOptions { refresh, ..ObserveOptions::default() };
    forge_engine::observe::look_and_plan(name, state, kinds, Timestamp::now(), &options, plan)
        .await
        .map_err(|findings| Failure::findings(Sources::default(), findings))
}

impl Site {
    /// Locks a deployment and opens its journal. `command` is what the next one is told.
    pub(crate) fn open(home: &Path, name: &str, kinds: Kinds, command: &str) -> Result<Self, Failure> {
        std::fs::create_dir_all(home)
            .map_err(|error| Failure::new(format!("{} cannot be made", home.display())).because(&error))?;
        let holder =
            Holder { pid: std::process::id(), host: host(), since: Timestamp::now(), command: command.to_owned() };
        let lock = Lock::acquire(home, &holder).map_err(|error| match error {
            LockError::Held(_) => Failure::from(error)
                .help("Wait for it, or end that process: its lock goes with it, and nothing is lost."),
            error @ LockError::Io { .. } => Failure::from(error),
        })?;
        let journal = Journal::open(home, &deployment(name), Arc::new(Timestamp::now))?;
        Ok(Self { home: home.to_owned(), journal, kinds, lock })
    }

    /// Looks at the world and plans from it and the state.
    pub(crate) async fn plan(
        &self,
        plan: impl Fn(&State, &Observations) -> Result<Plan, Vec<Diagnostic>>,
    ) -> Result<Plan, Failure> {
        let state = self.journal.state();
        look_and_plan(self.journal.deployment(), &state, &self.kinds, true, |seen| plan(&state, seen)).await
    }

    /// Walks a plan, telling how it goes; Ctrl-C stops it softly, a second one at once.
    pub(crate) async fn apply(&self, plan: &Plan, ui: Ui) -> Result<Outcome, Failure> {
        let cancel = Cancel::new();
        let show = move |event: &Emitted| {
            if ui.json {
                ui.document(event);
            } else if let Some(line) = view::progress::line(&event.event, ui.talk_colours()) {
                ui.say(line);
            }
        };
        let run = Run {
            journal: &self.journal,
            kinds: &self.kinds,
            sink: &show,
            cancel: &cancel,
            limits: Limits::default(),
            guard: &Unguarded,
            new_operation: &random_operation,
        };
        let interrupts = async {
            loop {
                if tokio::signal::ctrl_c().await.is_err() {
                    return std::future::pending::<()>().await;
                }
                let again = cancel.is_raised();
                ui.say(if again {
                    "stopping now; everything is written down"
                } else {
                    "finishing what is in flight, starting nothing new; press Ctrl-C again to stop at once"
                });
                cancel.raise();
            }
        };
        tokio::select! {
            outcome = apply(plan, &run) => Ok(outcome?),
            () = interrupts => unreachable!("interrupts are waited for without end"),
        }
    }

    /// Removes the deployment's own files when nothing of it is left.
    pub(crate) fn close_empty(self) -> Result<(), Failure> {
        let Self { home, journal, lock, .. } = self;
        runtime()?.block_on(journal.remove())?;
        let _ = std::fs::remove_dir_all(home.join("local"));
        lock.remove()?;
        // Another forge may have begun in this moment; then its files stay.
        let _ = std::fs::remove_dir(&home);
        Ok(())
    }
}

/// The exit code that an outcome means.
pub(crate) fn exit_of(outcome: &Outcome) -> Exit {
    if outcome.is_complete() {
        Exit::Done
    } else if outcome.interrupted {
        Exit::Interrupted
    } else {
        Exit::Partial
    }
}
