//! What happens while a plan is made and applied. Everything that is shown, to people or as JSON lines, is a fold over
//! these.

use crate::address::Address;
use crate::apply::Outcome;
use crate::kind::ErrorClass;
use crate::plan::{Action, Counts};
use crate::state::Call;
use serde::Serialize;
use std::time::Duration;

/// The version of the events' JSON. Readers must accept fields and events that they do not know.
pub const SCHEMA: u32 = 1;

/// One event as it stands on a JSON line.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Emitted {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Milliseconds since the run began.
    pub elapsed_ms: u64,
    /// What happened.
    pub event: Event,
}

impl Emitted {
    /// An event that happened `elapsed` after the run began.
    #[must_use]
    pub fn new(elapsed: Duration, event: Event) -> Self {
        Self { schema: SCHEMA, elapsed_ms: u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX), event }
    }
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// A plan is about to be applied.
    PlanMade {
        /// What it will do.
        counts: Counts,
    },
    /// A step, or one half of a replacement, has begun.
    StepStarted {
        /// The resource.
        address: Address,
        /// Its kind.
        kind: String,
        /// The step's action.
        action: Action,
        /// The call; none where only the record changes.
        call: Option<Call>,
    },
    /// A step is waiting for something.
    StepProgress {
        /// The resource.
        address: Address,
        /// What it waits for.
        message: String,
    },
    /// A call failed and will be made again.
    Retrying {
        /// The resource.
        address: Address,
        /// How often it has failed by now.
        failures: u32,
        /// In how many milliseconds.
        after_ms: u64,
        /// What kind of error it was.
        class: ErrorClass,
        /// The error.
        message: String,
    },
    /// A step, or one half of a replacement, is done.
    StepFinished {
        /// The resource.
        address: Address,
        /// Its kind.
        kind: String,
        /// The step's action.
        action: Action,
        /// The call; none where none was made.
        call: Option<Call>,
        /// The resource's identifier.
        id: Option<String>,
        /// How long it took, in milliseconds.
        took_ms: u64,
    },
    /// A step has failed.
    StepFailed {
        /// The resource.
        address: Address,
        /// Its kind.
        kind: String,
        /// The step's action.
        action: Action,
        /// The error and its causes, outermost first.
        chain: Vec<String>,
        /// What to do, where that is known.
        help: Option<String>,
    },
    /// A step was not begun.
    StepSkipped {
        /// The resource.
        address: Address,
        /// Its kind.
        kind: String,
        /// The step's action.
        action: Action,
        /// Why not.
        because: Skip,
    },
    /// The run is over.
    RunFinished {
        /// How it went.
        outcome: Outcome,
    },
}

/// Why a step was not begun.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Skip {
    /// The step of this resource, which it waits for, failed or was skipped.
    Blocked(Address),
    /// The run was asked to stop.
    Cancelled,
}

/// Takes events as they happen. Must not block: it is called between the steps of a run.
pub trait Sink: Send + Sync {
    /// Takes one.
    fn emit(&self, event: &Emitted);
}

impl<F: Fn(&Emitted) + Send + Sync> Sink for F {
    fn emit(&self, event: &Emitted) {
        self(event);
    }
}
