//! What must be done so that the world is as desired. Pure: no clock, no I/O, nothing but its arguments.
//!
//! [`plan`] takes what is desired, what is recorded and what was observed, and [`plan_destroy`] the same without a
//! desire. Both end in a [`Plan`], in which everything is decided; apply only walks it.
//!
//! 1. The survey merges record, pending operations and the world into one list of things, each of which exists or is
//!    gone, and attributes each to an address. A create that was cut off appears here as a thing that was found, or as
//!    an operation that never took effect.
//!    What the blueprint says has moved is attributed to where it stands now.
//! 2. In dependency order every desired resource is compared with the thing at its address. Outputs of
//!    resources that will live on are known, so that a specification resolves as far as it can; what remains unknown is
//!    compared as changed, which is why replacing a network shows what happens to everything in it.
//! 3. Things that nobody desires any more are deleted, or forgotten where they are gone already.
//! 4. The order of the calls is worked out: creation along the desired dependencies, deletion against the recorded
//!    ones, a replacement's two halves on the right sides of its dependents.
//!
//! The steps are what is shown; the [`Operation`]s are what is done, each with those that it must wait for.

mod compare;
mod destroy;
mod moved;
mod order;
mod part;
mod prepare;
mod rebuild;
mod survey;
mod up;

use crate::address::{Address, Deployment, OperationId};
use crate::state::Outputs;
use crate::value::Value;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

pub(crate) use compare::{Difference, differences};
pub use destroy::{DestroyOptions, plan_destroy};
pub use rebuild::{Rebuilt, rebuild};
pub use up::{PlanOptions, plan};

/// The version of the plan's JSON.
pub const SCHEMA: u32 = 1;

/// What happens to a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// It is as desired.
    NoOp,
    /// A new one comes.
    Create,
    /// It is changed in place.
    Update,
    /// It gets a successor, which comes before it goes.
    ReplaceCreateFirst,
    /// It goes, then its successor comes.
    ReplaceDeleteFirst,
    /// It goes.
    Delete,
    /// It exists and is ours by its tags, but is not recorded: it is taken over.
    Adopt,
    /// It is recorded but gone, and nobody desires it: its record goes.
    Forget,
}

impl Action {
    /// The sign that stands before its line.
    #[must_use]
    pub fn symbol(self) -> &'static str {
        match self {
            Self::NoOp => " ",
            Self::Create => "+",
            Self::Update => "~",
            Self::ReplaceCreateFirst => "+/-",
            Self::ReplaceDeleteFirst => "-/+",
            Self::Delete => "-",
            Self::Adopt => ">",
            Self::Forget => "x",
        }
    }

    /// True for both kinds of replacement.
    #[must_use]
    pub fn replaces(self) -> bool {
        matches!(self, Self::ReplaceCreateFirst | Self::ReplaceDeleteFirst)
    }

    /// True when something that lives is deleted.
    #[must_use]
    pub fn deletes(self) -> bool {
        self.replaces() || self == Self::Delete
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::NoOp => "no change",
            Self::Create => "create",
            Self::Update => "update",
            Self::ReplaceCreateFirst | Self::ReplaceDeleteFirst => "replace",
            Self::Delete => "delete",
            Self::Adopt => "adopt",
            Self::Forget => "forget",
        })
    }
}

/// How a field's change is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Means {
    /// By an update of the living resource.
    InPlace,
    /// By a successor that comes before the old one goes.
    CreateFirst,
    /// By a successor that comes after the old one has gone.
    DeleteFirst,
}

/// A field that is not as desired.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// The top-level field.
    pub field: String,
    /// What it is now; none when that cannot be known.
    pub before: Option<Value>,
    /// What it is to be; parts may be known only after apply, and then the change may turn out to be none.
    pub after: Option<Value>,
    /// What it takes.
    pub means: Means,
}

/// A field that someone else has changed since it was recorded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Drift {
    /// The top-level field.
    pub field: String,
    /// What it was recorded as.
    pub recorded: Value,
    /// What it is.
    pub observed: Value,
}

/// What happens to one resource, and why.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// The resource. Not unique: next to the step of a resource there may be deletions of what stood there before it.
    pub address: Address,
    /// Its kind.
    pub kind: String,
    /// What happens.
    pub action: Action,
    /// The identifier of what lives there now.
    pub id: Option<String>,
    /// The fields that are not as desired, sorted by name.
    pub changes: Vec<Change>,
    /// What someone else has changed; it is repaired by the changes.
    pub drift: Vec<Drift>,
    /// Why, where the fields do not say it.
    pub reasons: Vec<String>,
    /// True when a user's data goes with it.
    pub destroys_data: bool,
    /// True when the living resource was found by its tags and is taken over first.
    pub adopts: bool,
    /// Where it stood before: the address of its record, or the one that its tags name. None when that is this one.
    pub moved_from: Option<Address>,
    /// True when its tags name another address than this one, and are to follow.
    pub retags: bool,
    /// The specification to apply; none when it goes, and when it stays word for word as it is.
    pub desired: Option<Value>,
    /// The specification as it is now, where that is known.
    pub before: Option<Arc<Json>>,
    /// The outputs of the living resource.
    pub outputs: Arc<Outputs>,
    /// What it depends on from now on.
    pub dependencies: BTreeSet<Address>,
    /// What it depended on until now.
    pub recorded_dependencies: BTreeSet<Address>,
    /// Whether it is protected from now on.
    pub protect: bool,
    /// The operation that created the living resource.
    pub operation: Option<OperationId>,
    /// The creation of an earlier run that is made once more, as it was: whatever became of it, there will be one thing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repeats: Option<OperationId>,
    /// True when its record must be written although nothing else happens.
    pub rewrites_record: bool,
    /// Operations of earlier runs on what lives here, which are over once this step is.
    pub settles: Vec<OperationId>,
    /// True when it has failed and stays all the same, because it holds data: what is done to it does not wait until it can
    /// be used.
    pub stays_failed: bool,
    /// What stood here and is gone from the world.
    pub gone: Vec<Gone>,
}

/// A recorded resource that is gone from the world.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gone {
    /// Its kind.
    pub kind: String,
    /// Its identifier.
    pub id: String,
    /// Operations of earlier runs on it, which are over with it.
    pub settles: Vec<OperationId>,
}

/// Which part of a step an operation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// Nothing but perhaps its record.
    Keep,
    /// Taking it over.
    Adopt,
    /// Creating it.
    Create,
    /// Changing it.
    Update,
    /// Deleting what lives there.
    Delete,
    /// Forgetting what is gone.
    Forget,
}

/// One thing to do: a step, or half of a replacement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operation {
    /// The step, by its position.
    pub step: usize,
    /// Which part of it.
    pub part: Part,
    /// The operations that must be done before, by their positions.
    pub after: Vec<usize>,
}

/// An operation of an earlier run that never took effect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NeverHappened {
    /// The operation.
    pub operation: OperationId,
    /// What it was to create.
    pub address: Address,
    /// Its kind.
    pub kind: String,
}

/// A resource that a destroy leaves alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// The resource.
    pub address: Address,
    /// Its kind.
    pub kind: String,
    /// Its identifier.
    pub id: String,
    /// Why it stays.
    pub reason: String,
}

/// What a plan is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// Making the world as desired.
    Up,
    /// Leaving nothing behind.
    Destroy,
}

/// Everything that will be done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// [`SCHEMA`].
    pub schema: u32,
    /// For which deployment.
    pub deployment: Deployment,
    /// What it is for.
    pub purpose: Purpose,
    /// [`crate::state::State::serial`] of the state that it was made from. Apply refuses a plan made from another one.
    pub serial: u64,
    /// What happens to each resource, those without a change included. Dependencies stand before dependents, and
    /// deletions at the end.
    pub steps: Vec<Step>,
    /// What is done, and in which order.
    pub operations: Vec<Operation>,
    /// Operations of earlier runs that never took effect.
    pub never_happened: Vec<NeverHappened>,
    /// What a destroy leaves alone.
    pub kept: Vec<Kept>,
    /// Operations of earlier runs of which it must be known what became of them, and nobody has waited to see it. Such a
    /// plan cannot be applied: look again, and plan again ([`crate::observe::look_and_plan`]).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub undecided: Vec<OperationId>,
    /// What a plan for a part of the deployment is not about.
    pub left_out: BTreeSet<Address>,
}

/// How many resources each action befalls.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Created.
    pub create: usize,
    /// Changed in place.
    pub update: usize,
    /// Replaced.
    pub replace: usize,
    /// Deleted.
    pub delete: usize,
    /// Taken over.
    pub adopt: usize,
    /// Forgotten.
    pub forget: usize,
    /// Left as they are.
    pub unchanged: usize,
}

impl Counts {
    /// Counts one more.
    pub fn add(&mut self, action: Action) {
        *match action {
            Action::NoOp => &mut self.unchanged,
            Action::Create => &mut self.create,
            Action::Update => &mut self.update,
            Action::ReplaceCreateFirst | Action::ReplaceDeleteFirst => &mut self.replace,
            Action::Delete => &mut self.delete,
            Action::Adopt => &mut self.adopt,
            Action::Forget => &mut self.forget,
        } += 1;
    }
}

impl Plan {
    /// True when a user would see nothing happen. Applying it is still right: it may have to note in the journal what
    /// an earlier run left open.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.has_changes()
    }

    /// True when anything but no-ops is planned.
    #[must_use]
    pub fn has_changes(&self) -> bool {
        self.changed().next().is_some()
    }

    /// The steps that are not no-ops.
    pub fn changed(&self) -> impl Iterator<Item = &Step> {
        self.steps.iter().filter(|step| step.action != Action::NoOp)
    }

    /// The steps with which a user's data goes.
    pub fn destroying_data(&self) -> impl Iterator<Item = &Step> {
        self.steps.iter().filter(|step| step.destroys_data)
    }

    /// How many resources each action befalls.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for step in &self.steps {
            counts.add(step.action);
        }
        counts
    }

    /// The steps that must be done before the step at `position`, by their positions.
    #[must_use]
    pub fn depends_on(&self, position: usize) -> BTreeSet<usize> {
        self.operations
            .iter()
            .filter(|operation| operation.step == position)
            .flat_map(|operation| &operation.after)
            .map(|&before| self.operations[before].step)
            .filter(|&step| step != position)
            .collect()
    }
}

impl Step {
    /// One that says no more than what happens to what.
    #[must_use]
    pub fn new(address: &Address, kind: &str, action: Action) -> Self {
        Self {
            address: address.clone(),
            kind: kind.to_owned(),
            action,
            id: None,
            changes: Vec::new(),
            drift: Vec::new(),
            reasons: Vec::new(),
            destroys_data: false,
            adopts: false,
            moved_from: None,
            retags: false,
            stays_failed: false,
            desired: None,
            before: None,
            outputs: Arc::default(),
            dependencies: BTreeSet::new(),
            recorded_dependencies: BTreeSet::new(),
            protect: false,
            operation: None,
            repeats: None,
            rewrites_record: false,
            settles: Vec::new(),
            gone: Vec::new(),
        }
    }

    /// The fields that force a replacement.
    pub fn forcing(&self) -> impl Iterator<Item = &Change> {
        self.changes.iter().filter(|change| change.means != Means::InPlace)
    }
}

#[cfg(test)]
pub(crate) mod tests;
