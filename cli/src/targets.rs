//! Targets: the kinds of each, and whether the world behind them can be asked.
//!
//! A forge that was built without the feature `aws` leaves the SDK out, and with it the target: it builds in a third of the
//! time and does all that the other targets do.

use crate::failure::Failure;
use crate::project::agent_program;
#[cfg(feature = "aws")]
use crate::site::runtime;
use forge_blueprints::{Expanded, Target};
use forge_engine::kind::Kinds;
use forge_engine::value::Value;
#[cfg(feature = "aws")]
use forge_modules::aws;
use forge_modules::host;
use forge_modules::instance_types::InstanceType;
use forge_modules::local::{self, Local};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;
#[cfg(feature = "aws")]
use std::sync::Arc;
use tokio::runtime::Runtime;

/// Which part of a provider's world a deployment lives in. What is absent, the provider's own configuration says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Account {
    /// The region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) region: Option<String>,
    /// The profile of credentials and settings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) profile: Option<String>,
}

impl Account {
    /// What a blueprint says.
    pub(crate) fn of(expanded: &Expanded) -> Self {
        Self::said(&expanded.settings)
    }

    /// What a target's settings say.
    pub(crate) fn said(settings: &BTreeMap<String, Value>) -> Self {
        let text = |key| match settings.get(key) {
            Some(Value::String(text)) => Some(text.clone()),
            _ => None,
        };
        Self { region: text("region"), profile: text("profile") }
    }

    /// True when everything is left to the provider's own configuration.
    pub(crate) fn is_default(&self) -> bool {
        *self == Self::default()
    }

    #[cfg(feature = "aws")]
    fn cloud(&self) -> Arc<aws::Cloud> {
        aws::Cloud::with_profile(self.region.as_deref(), self.profile.as_deref())
    }
}

/// Refuses a target that this forge was built without.
pub(crate) fn is_built_in(target: Target) -> Result<(), Failure> {
    if cfg!(feature = "aws") || target != Target::Aws {
        return Ok(());
    }
    Err(Failure::new("this forge was built without target aws")
        .help("Build it with `cargo build --release`; --target local runs the blueprint on this machine."))
}

/// Refuses a target that nothing can be put up on yet.
pub(crate) fn can_be_up(target: Target) -> Result<(), Failure> {
    if target != Target::Hosts {
        return Ok(());
    }
    let what = format!("target {target} can be validated and planned in this version, and not put up yet");
    Err(Failure::new(what).help("`forge plan` shows what it would be; --target local runs it on this machine."))
}

/// The kinds of a target for checking and planning: nobody is asked, and on targets that are far away nothing exists.
pub(crate) fn kinds(target: Target, account: &Account, home: &Path) -> Kinds {
    match target {
        Target::Local => local::kinds(&Local { root: home.join("local"), agent: agent_program() }),
        #[cfg(feature = "aws")]
        Target::Aws => aws::kinds_in(account.region.as_deref()),
        #[cfg(not(feature = "aws"))]
        Target::Aws => Kinds::default(),
        Target::Hosts => host::kinds(),
    }
}

/// Whether the world behind a target can be asked what is there.
pub(crate) fn can_be_asked(target: Target, account: &Account, runtime: &Runtime) -> bool {
    match target {
        Target::Local => true,
        Target::Hosts => false,
        #[cfg(feature = "aws")]
        Target::Aws => runtime.block_on(account.cloud().has_credentials()),
        #[cfg(not(feature = "aws"))]
        Target::Aws => false,
    }
}

/// What the provider says of instance types that forge does not know, of those that it offers; none when it cannot be
/// asked.
#[cfg_attr(not(feature = "aws"), allow(unused_variables, reason = "without the SDK nobody can be asked"))]
pub(crate) fn describe_types(
    target: Target,
    account: &Account,
    names: &[String],
) -> Result<Option<Vec<InstanceType>>, Failure> {
    match target {
        #[cfg(feature = "aws")]
        Target::Aws => {
            let cloud = account.cloud();
            let ask = async {
                match cloud.has_credentials().await {
                    true => cloud.instance_types(names).await.map(Some),
                    false => Ok(None),
                }
            };
            runtime()?.block_on(ask).map_err(|error| {
                let help = error.help.clone();
                Failure { help, ..Failure::from(error) }
            })
        }
        _ => Ok(None),
    }
}

/// Why it cannot.
pub(crate) fn silence(target: Target) -> &'static str {
    if target == Target::Aws { "there are no AWS credentials" } else { "this version cannot" }
}

/// The kinds of a target for work.
pub(crate) fn live_kinds(target: Target, account: &Account, home: &Path) -> Kinds {
    match target {
        #[cfg(feature = "aws")]
        Target::Aws => aws::kinds_at(&account.cloud(), account.region.as_deref()),
        other => kinds(other, account, home),
    }
}
