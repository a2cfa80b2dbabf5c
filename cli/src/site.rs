//! One deployment, locked for work: look, plan, apply.

use crate::exit::Exit;
use crate::failure::Failure;
use crate::home::Home;
use crate::interrupt::Applying;
use crate::project::deployment;
use crate::turn::{Owned, Turn};
use crate::ui::Ui;
use crate::view;
use forge_blueprints::Sources;
use forge_engine::address::Deployment;
use forge_engine::apply::{Cancel, Limits, Outcome, Run, apply, random_operation};
use forge_engine::event::Emitted;
use forge_engine::journal::{BucketStore, Journal};
use forge_engine::kind::Kinds;
use forge_engine::observe::{Observations, ObserveOptions, observe};
use forge_engine::plan::Plan;
use forge_engine::state::State;
use jiff::Timestamp;
use std::path::PathBuf;
use std::sync::Arc;

/// An open deployment. Nobody else works on it while this lives.
pub(crate) struct Site {
    home: PathBuf,
    pub(crate) journal: Journal,
    pub(crate) kinds: Kinds,
    // After the journal: whoever comes next must find it closed.
    owned: Owned,
}

/// A runtime for commands that wait for more than one thing.
pub(crate) fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}

/// The state of a deployment, without locking it.
pub(crate) fn read_state(home: &Home, name: &str) -> Result<State, Failure> {
    match home.bucket()? {
        None => Ok(Journal::read(home, &deployment(name))?),
        Some(bucket) => {
            let store = BucketStore::new(bucket, "");
            Ok(runtime()?.block_on(Journal::look(store, &deployment(name)))?)
        }
    }
}

/// What the world says, without locking.
pub(crate) async fn look(
    name: &Deployment,
    state: &State,
    kinds: &Kinds,
    refresh: bool,
) -> Result<Observations, Failure> {
    let options = ObserveOptions { refresh, ..ObserveOptions::default() };
    observe(name, state, kinds, Timestamp::now(), &options)
        .await
        .map_err(|findings| Failure::findings(Sources::default(), findings))
}

impl Site {
    /// Waits until this forge is the only one at work on a deployment, and opens its journal.
    pub(crate) fn open(home: &Home, name: &str, kinds: Kinds, turn: &Turn) -> Result<Self, Failure> {
        std::fs::create_dir_all(&**home)
            .map_err(|error| Failure::new(format!("{} cannot be made", home.display())).because(&error))?;
        let owned = turn.take(home)?;
        let (name, clock) = (deployment(name), Arc::new(Timestamp::now));
        let journal = match &owned {
            Owned::Lock(_) => Journal::open(home, &name, clock)?,
            Owned::Lease(leased) => {
                let store = BucketStore::new(leased.bucket(), "");
                leased.background().block_on(Journal::over(store, &name, clock, owned.guard()))?
            }
        };
        Ok(Self { home: home.to_path_buf(), journal, kinds, owned })
    }

    /// What the world says.
    pub(crate) async fn look(&self, refresh: bool) -> Result<Observations, Failure> {
        look(self.journal.deployment(), &self.journal.state(), &self.kinds, refresh).await
    }

    /// Walks a plan, telling how it goes; Ctrl-C stops it softly, a second one at once.
    pub(crate) async fn apply(&self, plan: &Plan, ui: Ui) -> Result<Outcome, Failure> {
        let guard = self.owned.guard();
        let cancel = Cancel::new();
        let _interrupts_are_ours = Applying::begin();
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
            guard: &*guard,
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
            outcome = apply(plan, &run) => outcome.map_err(|error| {
                let exit = if guard.may_act().is_err() { Exit::Partial } else { Exit::Fixable };
                Failure::from(error).exit(exit)
            }),
            () = interrupts => unreachable!("interrupts are waited for without end"),
        }
    }

    /// Removes the deployment's own files when nothing of it is left.
    pub(crate) fn close_empty(self) -> Result<(), Failure> {
        let Self { home, journal, owned, .. } = self;
        runtime()?.block_on(journal.remove())?;
        let _ = std::fs::remove_dir_all(home.join("local"));
        owned.remove()?;
        // Another forge may have begun in this moment; then its files stay.
        let _ = std::fs::remove_dir(&home);
        Ok(())
    }
}

/// The exit code that an outcome means.
pub(crate) fn exit_of(outcome: &Outcome) -> Exit {
    if outcome.is_complete() {
        Exit::Done
    } else if outcome.interrupted && outcome.fenced.is_none() {
        Exit::Interrupted
    } else {
        Exit::Partial
    }
}
