//! One deployment, locked for work: look, plan, apply.

use crate::exit::Exit;
use crate::failure::Failure;
use crate::home::Home;
use crate::interrupt::Applying;
use crate::project::deployment;
use crate::turn::{Owned, Turn, duration_of};
use crate::ui::Ui;
use crate::view;
use crate::view::live::Live;
use forge_blueprints::Sources;
use forge_engine::address::Deployment;
use forge_engine::apply::{Cancel, Limits, Outcome, Run, apply, random_operation};
use forge_engine::diag::Diagnostic;
use forge_engine::event::Emitted;
use forge_engine::forecast::forecast;
use forge_engine::journal::{BucketStore, FILE as JOURNAL, Journal};
use forge_engine::kind::Kinds;
use forge_engine::observe::{Observations, ObserveOptions, observe};
use forge_engine::pace::{RETRIES, Retries};
use forge_engine::plan::Plan;
use forge_engine::state::State;
use jiff::Timestamp;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How often the line at the bottom of a terminal is drawn anew: its clock shows seconds.
const TICK: Duration = Duration::from_secs(1);

/// What begins the names of journals that were put aside.
const ASIDE: &str = "journal.old-";

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

/// For how long a call that fails is repeated at most, where the engine would repeat it for longer: for whoever would rather
/// see an error than wait for minutes, tests first of all.
const BUDGET_VARIABLE: &str = "FORGE_RETRY_BUDGET";

fn retries() -> Result<Retries, Failure> {
    Ok(duration_of(BUDGET_VARIABLE)?.map_or(RETRIES, |budget| RETRIES.within(budget)))
}

/// Looks at the world and plans, without locking.
pub(crate) async fn look_and_plan(
    name: &Deployment,
    state: &State,
    kinds: &Kinds,
    refresh: bool,
    plan: impl Fn(&Observations) -> Result<Plan, Vec<Diagnostic>>,
) -> Result<Plan, Failure> {
    let options = ObserveOptions { refresh, retry: retries()?, ..ObserveOptions::default() };
    forge_engine::observe::look_and_plan(name, state, kinds, Timestamp::now(), &options, plan)
        .await
        .map_err(|findings| Failure::findings(Sources::default(), findings))
}

/// What carries the deployment's tags, whatever is recorded.
pub(crate) async fn look(name: &Deployment, kinds: &Kinds) -> Result<Observations, Failure> {
    let options = ObserveOptions { retry: retries()?, ..ObserveOptions::default() };
    observe(name, &State::default(), kinds, Timestamp::now(), &options)
        .await
        .map_err(|findings| Failure::findings(Sources::default(), findings))
}

impl Site {
    /// Waits until this forge is the only one at work on a deployment, and opens its journal.
    pub(crate) fn open(home: &Home, name: &str, kinds: Kinds, turn: &Turn) -> Result<Self, Failure> {
        let owned = turn.take(home)?;
        Self::over(home, name, kinds, owned)
    }

    fn over(home: &Path, name: &str, kinds: Kinds, owned: Owned) -> Result<Self, Failure> {
        let (name, clock) = (deployment(name), Arc::new(Timestamp::now));
        let journal = match &owned {
            Owned::Lock(_) => Journal::open(home, &name, clock)?,
            Owned::Lease(leased) => {
                let store = BucketStore::new(leased.bucket(), "");
                leased.background().block_on(Journal::over(store, &name, clock, owned.guard()))?
            }
        };
        Ok(Self { home: home.to_owned(), journal, kinds, owned })
    }

    /// Looks at the world and plans from it and the state.
    pub(crate) async fn plan(
        &self,
        plan: impl Fn(&State, &Observations) -> Result<Plan, Vec<Diagnostic>>,
    ) -> Result<Plan, Failure> {
        let state = self.journal.state();
        look_and_plan(self.journal.deployment(), &state, &self.kinds, true, |seen| plan(&state, seen)).await
    }

    /// The same with an empty journal; the one that was there is put aside, and where to is said.
    pub(crate) fn anew(
        home: &Path,
        name: &str,
        kinds: Kinds,
        owned: Owned,
    ) -> Result<(Self, Option<PathBuf>), Failure> {
        let journal = home.join(JOURNAL);
        let mut names = (1..).map(|n| home.join(format!("{ASIDE}{n}")));
        let aside = names.find(|name| !name.exists()).unwrap_or_else(|| home.join(ASIDE));
        let aside = match std::fs::rename(&journal, &aside) {
            Ok(()) => Some(aside),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => {
                return Err(Failure::new(format!("{} cannot be put aside", journal.display())).because(&error));
            }
        };
        Ok((Self::over(home, name, kinds, owned)?, aside))
    }

    /// Walks a plan, telling how it goes; Ctrl-C stops it softly, a second one at once.
    pub(crate) async fn apply(&self, plan: &Plan, ui: Ui) -> Result<Outcome, Failure> {
        let guard = self.owned.guard();
        let cancel = Cancel::new();
        let _interrupts_are_ours = Applying::begin();
        let (live, began) =
            (Mutex::new(Live::new(plan, Duration::from_secs(forecast(plan, &self.kinds).seconds))), Instant::now());
        let show = |event: &Emitted| {
            if ui.json {
                return ui.document(event);
            }
            let mut live = live.lock().unwrap_or_else(PoisonError::into_inner);
            live.take(&event.event);
            if let Some(line) = view::progress::line(&event.event, ui.talk_colours()) {
                ui.say_above(&line, &live.line(began.elapsed()));
            }
        };
        let ticks = async {
            loop {
                tokio::time::sleep(TICK).await;
                let line = live.lock().unwrap_or_else(PoisonError::into_inner).line(began.elapsed());
                ui.status(&line);
            }
        };
        let run = Run {
            journal: &self.journal,
            kinds: &self.kinds,
            sink: &show,
            cancel: &cancel,
            limits: Limits { retry: retries()?, ..Limits::default() },
            guard: &*guard,
            new_operation: &random_operation,
        };
        let interrupts = async {
            loop {
                if tokio::signal::ctrl_c().await.is_err() {
                    return std::future::pending::<()>().await;
                }
                let again = cancel.is_raised();
                ui.status("");
                ui.say(if again {
                    "stopping now; everything is written down"
                } else {
                    "finishing what is in flight, starting nothing new; press Ctrl-C again to stop at once"
                });
                cancel.raise();
            }
        };
        let outcome = tokio::select! {
            outcome = apply(plan, &run) => outcome,
            () = interrupts => unreachable!("interrupts are waited for without end"),
            () = ticks, if !ui.json => unreachable!("the clock ticks without end"),
        };
        ui.status("");
        outcome.map_err(|error| {
            let exit = if guard.may_act().is_err() { Exit::Partial } else { Exit::Fixable };
            Failure::from(error).exit(exit)
        })
    }

    /// Removes the deployment's own files when nothing of it is left.
    pub(crate) fn close_empty(self) -> Result<(), Failure> {
        let Self { home, journal, owned, .. } = self;
        runtime()?.block_on(journal.remove())?;
        for entry in std::fs::read_dir(&home).into_iter().flatten().flatten() {
            if entry.file_name().as_encoded_bytes().starts_with(ASIDE.as_bytes()) {
                let _ = std::fs::remove_file(entry.path());
            }
        }
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
