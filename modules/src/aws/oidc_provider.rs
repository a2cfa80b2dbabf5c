//! `aws.oidc_provider`: the issuer of a cluster's service account tokens, trusted by IAM (CreateOpenIDConnectProvider);
//! for roles of service accounts (IRSA).

use super::Tags;
use crate::planned::{FREE, Planned};
use forge_engine::kind::{Effect, Hourly, Typical};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// What can be chosen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Address of the issuer: `https://…`.
    pub url: String,
    /// The audiences that it is trusted for.
    #[serde(default = "sts")]
    pub clients: BTreeSet<String>,

    /// Tags, besides those that forge sets.
    #[serde(default)]
    pub tags: Tags,
}

fn sts() -> BTreeSet<String> {
    BTreeSet::from(["sts.amazonaws.com".to_owned()])
}

impl Planned for Spec {
    const NAME: &'static str = "aws.oidc_provider";
    const OUTPUTS: &'static [&'static str] = &["arn"];
    const SERVICE: &'static str = "iam";
    /// Estimate: done when the call returns.
    const TYPICAL: Typical = Typical::seconds(1, 1, 1);

    fn effect(field: &str, _before: &Self, _after: &Self) -> Effect {
        match field {
            "url" => Effect::ReplaceCreateFirst,
            _ => Effect::InPlace,
        }
    }

    fn hourly(&self, _region: Option<&str>) -> Option<Hourly> {
        FREE
    }
}
