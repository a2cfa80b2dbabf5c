//! Targets: the kinds of each, and whether the world behind them can be asked.
//!
//! A forge that was built without the feature `aws` leaves the SDK out, and with it the target: it builds in a third of the
//! time and does all that the other targets do.

use crate::failure::Failure;
use crate::project::agent_program;
#[cfg(feature = "aws")]
use crate::site::runtime;
use forge_blueprints::{Expanded, Target};
use forge_engine::bill::Tariff;
use forge_engine::kind::Kinds;
use forge_engine::plan::Plan;
use forge_engine::value::Value;
#[cfg(feature = "aws")]
use forge_modules::aws;
use forge_modules::host;
use forge_modules::instance_types::InstanceType;
use forge_modules::local::{self, Local};
use forge_modules::preflight::Report;
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
#[cfg_attr(not(feature = "aws"), allow(unused_variables, reason = "what is left needs no account"))]
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
    World::of(target, account).kinds(home)
}

/// What lies behind a target: one account, asked by one command.
pub(crate) struct World {
    target: Target,
    account: Account,
    #[cfg(feature = "aws")]
    cloud: Arc<aws::Cloud>,
}

/// What resources cost, and where the figures are from.
pub(crate) struct Prices {
    pub(crate) tariff: Box<dyn Tariff>,
    /// None where nothing costs anything.
    pub(crate) source: Option<String>,
}

impl World {
    /// Nobody is asked yet.
    pub(crate) fn of(target: Target, account: &Account) -> Self {
        Self {
            target,
            account: account.clone(),
            #[cfg(feature = "aws")]
            cloud: account.cloud(),
        }
    }

    /// Whether it can be asked what is there.
    pub(crate) fn can_be_asked(&self, runtime: &Runtime) -> bool {
        match self.target {
            Target::Local => true,
            Target::Hosts => false,
            #[cfg(feature = "aws")]
            Target::Aws => runtime.block_on(self.cloud.has_credentials()),
            #[cfg(not(feature = "aws"))]
            Target::Aws => {
                let _ = runtime;
                false
            }
        }
    }

    /// Learns who asks, while something else is waited for; who it is, [`World::preflight`] says.
    #[cfg_attr(not(feature = "aws"), allow(clippy::unused_async, reason = "target aws waits"))]
    pub(crate) async fn meet(&self) {
        #[cfg(feature = "aws")]
        if self.target == Target::Aws {
            // Without an answer it is asked again.
            let _ = self.cloud.caller().await;
        }
    }

    /// The kinds for work.
    pub(crate) fn kinds(&self, home: &Path) -> Kinds {
        match self.target {
            #[cfg(feature = "aws")]
            Target::Aws => aws::kinds_at(&self.cloud, self.account.region.as_deref()),
            other => kinds(other, &self.account, home),
        }
    }

    /// What the target says of a plan before it is carried out; nothing where it has nothing to say. `state` is the address of
    /// the bucket that holds the state.
    #[cfg_attr(not(feature = "aws"), allow(clippy::unused_async, reason = "target aws waits"))]
    pub(crate) async fn preflight(&self, plan: &Plan, state: Option<&str>) -> Option<Report> {
        match self.target {
            #[cfg(feature = "aws")]
            Target::Aws => Some(aws::preflight(&self.cloud, plan, state).await),
            _ => {
                let _ = (plan, state);
                None
            }
        }
    }

    /// What resources cost, by the target's own list when that may be `asked` for a plan.
    #[cfg_attr(not(feature = "aws"), allow(clippy::unused_async, reason = "target aws waits"))]
    pub(crate) async fn prices(&self, kinds: &Kinds, plan: &Plan, asked: bool) -> Prices {
        match self.target {
            #[cfg(feature = "aws")]
            Target::Aws => {
                let region = self.account.region.as_deref();
                // With nothing to do, nobody is asked what it would cost.
                let tariff = if asked && plan.has_changes() {
                    aws::Tariff::listed(kinds, region, &self.cloud, plan).await
                } else {
                    aws::Tariff::bundled(kinds, region)
                };
                let today = jiff::Timestamp::now().strftime("%Y-%m-%d").to_string();
                let source = Some(tariff.source(&today));
                Prices { tariff: Box::new(tariff), source }
            }
            _ => {
                let _ = (plan, asked);
                Prices { tariff: Box::new(kinds.clone()), source: None }
            }
        }
    }
}

/// Whether a failure, told by its error and the causes of it, was that the provider has no capacity there and now.
pub(crate) fn lacks_capacity(chain: &[String]) -> bool {
    match chain {
        #[cfg(feature = "aws")]
        chain => chain.iter().any(|message| aws::lacks_capacity(message)),
        #[cfg(not(feature = "aws"))]
        _ => false,
    }
}

/// The least that whoever puts a blueprint up must be allowed, as documents for IAM.
pub(crate) fn policies(expanded: &Expanded) -> Result<Vec<serde_json::Value>, Failure> {
    match expanded.target {
        #[cfg(feature = "aws")]
        Target::Aws => {
            let account = Account::of(expanded);
            let resources = expanded.desired.resources.iter();
            let resources: Vec<_> = resources.map(|resource| (resource.kind.as_str(), &resource.spec)).collect();
            Ok(aws::policies(&aws::Wanted {
                deployment: &expanded.desired.deployment,
                region: account.region.as_deref(),
                resources: &resources,
                state: expanded.state.as_deref(),
            }))
        }
        other => Err(Failure::usage(format!("target {other} needs no policy")).help("Say --target aws.")),
    }
}

#[cfg(all(test, feature = "aws"))]
mod tests {
    use super::*;
    use crate::project::{BlueprintArgs, Project};
    use std::path::PathBuf;

    #[test]
    fn the_policy_of_the_reference_cluster() {
        let blueprints = Path::new(env!("CARGO_MANIFEST_DIR")).join("../blueprints").canonicalize().unwrap();
        let arguments = BlueprintArgs { blueprint: Some(PathBuf::from("reference.yaml")), ..BlueprintArgs::default() };
        let (_, expanded, _) = Project::find(&blueprints, &arguments).unwrap().check().unwrap();
        let policies = policies(&expanded.unwrap()).unwrap();
        let policies: Vec<String> =
            policies.iter().map(|policy| serde_json::to_string_pretty(policy).unwrap()).collect();
        insta::assert_snapshot!(policies.join("\n"));
    }
}
