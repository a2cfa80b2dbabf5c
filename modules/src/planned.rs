//! Kinds that can be checked and planned in this version, and not made yet.
//!
//! A plan needs of a kind what it may say (its specification), what it gives (its outputs) and what a change takes (its
//! effects). [`Planned`] is that, and [`PlanOnly`] makes a kind of it. Nothing of such a kind exists, so looking finds
//! nothing; every call that would touch something is refused, with a message that says so.

use forge_engine::address::Deployment;
use forge_engine::kind::{Effect, Hourly, Kind, KindError, Observed, OnIdentifier, Tags, Typical};
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

/// The specification of a kind, and what planning needs to know of the kind besides.
pub trait Planned: Serialize + DeserializeOwned + JsonSchema + Send + Sync + 'static {
    /// [`Kind::NAME`].
    const NAME: &'static str;
    /// [`Kind::OUTPUTS`].
    const OUTPUTS: &'static [&'static str];
    /// [`Kind::VOLATILE_OUTPUTS`].
    const VOLATILE_OUTPUTS: &'static [&'static str] = &[];
    /// [`Kind::HOLDS_DATA`].
    const HOLDS_DATA: bool = false;
    /// [`Kind::READY_DEADLINE`].
    const READY_DEADLINE: Duration = Duration::from_secs(60);
    /// [`Kind::SERVICE`].
    const SERVICE: &'static str = "";
    /// [`Kind::TYPICAL`].
    const TYPICAL: Typical = Typical::CALL;

    /// [`Kind::effect`].
    fn effect(field: &str, before: &Self, after: &Self) -> Effect;

    /// [`Kind::hourly`], in a region where that is known.
    fn hourly(&self, _region: Option<&str>) -> Option<Hourly> {
        None
    }
}

/// What costs nothing by itself.
#[cfg(feature = "aws")]
pub(crate) const FREE: Option<Hourly> = Some(Hourly(0.0));

/// A kind whose resources can be planned and not made.
pub struct PlanOnly<S> {
    /// Where it would be made, as far as that is known: prices differ.
    region: Option<String>,
    specification: PhantomData<fn() -> S>,
}

impl<S> PlanOnly<S> {
    /// The kind.
    #[must_use]
    pub fn new() -> Self {
        Self { region: None, specification: PhantomData }
    }

    /// The kind in a region.
    #[must_use]
    pub fn within(region: Option<&str>) -> Self {
        Self { region: region.map(str::to_owned), specification: PhantomData }
    }
}

impl<S> Default for PlanOnly<S> {
    fn default() -> Self {
        Self::new()
    }
}

impl<S: Planned> fmt::Debug for PlanOnly<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PlanOnly({})", S::NAME)
    }
}

/// Replacing what has a name that must be unique: the old one has to go first when the name stays.
#[cfg(feature = "aws")]
pub(crate) fn replace(renamed: bool) -> Effect {
    if renamed { Effect::ReplaceCreateFirst } else { Effect::ReplaceDeleteFirst }
}

fn not_yet(kind: &str) -> KindError {
    let target = kind.split('.').next().unwrap_or(kind);
    let target = if target == "host" { "hosts" } else { target };
    KindError::terminal(format!("target {target} can be checked and planned in this version, not made yet"))
        .help("Run the same blueprint on this machine: --target local.")
}

impl<S: Planned> Kind for PlanOnly<S> {
    type Spec = S;
    const NAME: &'static str = S::NAME;
    const OUTPUTS: &'static [&'static str] = S::OUTPUTS;
    const VOLATILE_OUTPUTS: &'static [&'static str] = S::VOLATILE_OUTPUTS;
    const HOLDS_DATA: bool = S::HOLDS_DATA;
    const READY_DEADLINE: Duration = S::READY_DEADLINE;
    const SERVICE: &'static str = S::SERVICE;
    const TYPICAL: Typical = S::TYPICAL;

    fn hourly(&self, spec: &S) -> Option<Hourly> {
        spec.hourly(self.region.as_deref())
    }

    fn effect(&self, field: &str, before: &S, after: &S) -> Effect {
        S::effect(field, before, after)
    }

    async fn read(&self, _id: &str) -> Result<Option<Observed>, KindError> {
        Err(not_yet(S::NAME))
    }

    async fn create(&self, _spec: &S, _tags: &Tags, _on_identifier: OnIdentifier<'_>) -> Result<Observed, KindError> {
        Err(not_yet(S::NAME))
    }

    async fn update(&self, _id: &str, _before: Option<&S>, _after: &S, _tags: &Tags) -> Result<Observed, KindError> {
        Err(not_yet(S::NAME))
    }

    async fn delete(&self, _id: &str) -> Result<(), KindError> {
        Err(not_yet(S::NAME))
    }

    /// Nothing: no version that could have made one has been here.
    async fn list(&self, _deployment: &Deployment) -> Result<Vec<Observed>, KindError> {
        Ok(Vec::new())
    }
}
