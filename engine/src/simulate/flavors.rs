//! Kinds of every flavour, for tests: they differ in what makes creating them safe to repeat, in how long they are hidden,
//! in how long they take, in what a change takes, and in whether they hold data. None can be called without a cloud
//! around it.

use crate::address::Deployment;
use crate::kind::{Effect, Kind, KindError, Kinds, Observed, OnIdentifier, Recovery, Tags, Typical};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::marker::PhantomData;
use std::time::Duration;

/// What every kind here is made of.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Spec {
    /// Identifiers of what it stands on.
    #[serde(default)]
    pub(crate) parents: Vec<String>,
    #[serde(default)]
    pub(crate) size: u64,
    /// Cannot exist in two zones at once.
    #[serde(default = "first_zone")]
    pub(crate) zone: String,
    /// Cannot be changed.
    #[serde(default)]
    pub(crate) sealed: bool,
    /// Cannot be read back.
    #[serde(default)]
    pub(crate) note: String,
}

pub(crate) fn first_zone() -> String {
    "a".to_owned()
}

/// What the kinds differ in.
pub(crate) trait Flavor: Send + Sync + 'static {
    const NAME: &'static str;
    const PARENTS: Effect = Effect::InPlace;
    const HOLDS_DATA: bool = false;
    const HIDDEN: Duration = Duration::ZERO;
    const TYPICAL: Typical = Typical::CALL;
    const RECOVERY: Recovery = Recovery::Tags;
    const READ_BATCH: usize = 1;
    /// Whether it is named by its zone.
    const NAMED: bool = false;
}

macro_rules! flavors {
    ($($(#[$doc:meta])* $name:ident { $($item:ident: $type:ty = $value:expr;)* })*) => {
        $($(#[$doc])* struct $name;
        impl Flavor for $name { $(const $item: $type = $value;)* })*

        /// All of them.
        pub(crate) fn kinds() -> Kinds {
            Kinds::default()$(.with(Flavored::<$name>(PhantomData)))*
        }
    };
}

flavors! {
    /// Done when the call returns; what stands on it can be moved.
    Net { NAME: &'static str = "sim.net"; }
    /// Takes its time.
    Node {
        NAME: &'static str = "sim.node";
        PARENTS: Effect = Effect::ReplaceCreateFirst;
        TYPICAL: Typical = Typical::seconds(40, 3, 12);
        READ_BATCH: usize = 3;
    }
    /// Shows itself late, and cannot stand in two places.
    Slot {
        NAME: &'static str = "sim.slot";
        PARENTS: Effect = Effect::ReplaceDeleteFirst;
        HIDDEN: Duration = Duration::from_secs(4);
    }
    Disk {
        NAME: &'static str = "sim.disk";
        HOLDS_DATA: bool = true;
    }
    /// Knows a creation by its token, and is hidden for long.
    Host {
        NAME: &'static str = "sim.host";
        PARENTS: Effect = Effect::ReplaceCreateFirst;
        RECOVERY: Recovery = Recovery::Token;
        HIDDEN: Duration = Duration::from_secs(30);
        TYPICAL: Typical = Typical::seconds(20, 2, 5);
        READ_BATCH: usize = 10;
    }
    /// Holds data, knows tokens, and is hidden, but for who knows its name.
    Vault {
        NAME: &'static str = "sim.vault";
        PARENTS: Effect = Effect::ReplaceDeleteFirst;
        HOLDS_DATA: bool = true;
        RECOVERY: Recovery = Recovery::Token;
        HIDDEN: Duration = Duration::from_secs(6);
        NAMED: bool = true;
    }
    /// Hidden for long, known by its tags only, slow to come and to go.
    Farm {
        NAME: &'static str = "sim.farm";
        PARENTS: Effect = Effect::ReplaceCreateFirst;
        HIDDEN: Duration = Duration::from_secs(15);
        TYPICAL: Typical = Typical::seconds(30, 10, 30);
        READ_BATCH: usize = 2;
    }
    /// Carries no tags, and lies within its first parent.
    Route {
        NAME: &'static str = "sim.route";
        PARENTS: Effect = Effect::ReplaceCreateFirst;
        RECOVERY: Recovery = Recovery::Identity;
    }
}

pub(crate) struct Flavored<F>(PhantomData<F>);

impl<F: Flavor> Kind for Flavored<F> {
    type Spec = Spec;

    const NAME: &'static str = F::NAME;
    const OUTPUTS: &'static [&'static str] = &["id", "version"];
    const VOLATILE_OUTPUTS: &'static [&'static str] = &["version"];
    const HOLDS_DATA: bool = F::HOLDS_DATA;
    const VISIBILITY: Duration = F::HIDDEN;
    const READY_DEADLINE: Duration = Duration::from_secs(300);
    const RECOVERY: Recovery = F::RECOVERY;
    const TYPICAL: Typical = F::TYPICAL;
    const READ_BATCH: usize = F::READ_BATCH;

    fn effect(&self, field: &str, before: &Spec, after: &Spec) -> Effect {
        // What is identified by its specification cannot stand beside another that is identified alike.
        let same = F::RECOVERY == Recovery::Identity && self.identity(before) == self.identity(after);
        match field {
            "parents" if same => Effect::InPlace,
            "parents" => F::PARENTS,
            "zone" => Effect::ReplaceDeleteFirst,
            "sealed" => Effect::Forbidden("a seal is for ever"),
            _ => Effect::InPlace,
        }
    }

    fn identity(&self, spec: &Spec) -> Option<String> {
        if F::NAMED {
            return Some(format!("{}-{}", F::NAME, spec.zone));
        }
        let within = spec.parents.first().filter(|_| F::RECOVERY == Recovery::Identity)?;
        Some(format!("{within}/{}", spec.zone))
    }

    async fn read(&self, _: &str) -> Result<Option<Observed>, KindError> {
        Err(nowhere())
    }

    async fn create(&self, _: &Spec, _: &Tags, _: OnIdentifier<'_>) -> Result<Observed, KindError> {
        Err(nowhere())
    }

    async fn update(&self, _: &str, _: Option<&Spec>, _: &Spec, _: &Tags) -> Result<Observed, KindError> {
        Err(nowhere())
    }

    async fn delete(&self, _: &str) -> Result<(), KindError> {
        Err(nowhere())
    }

    async fn list(&self, _: &Deployment) -> Result<Vec<Observed>, KindError> {
        Err(nowhere())
    }
}

fn nowhere() -> KindError {
    KindError::terminal("there is no cloud around it")
}
