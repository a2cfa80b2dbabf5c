//! What the kinds of IAM share: where they stand, and their tags.
//!
//! IAM lists by path and not by tag, and shows tags one resource at a time. So roles and instance profiles stand under a
//! path of their deployment, `/forge/<deployment>/`: listing what belongs to it takes one call, whatever else the account
//! holds, and a policy can name it: `arn:aws:iam::*:role/forge/<deployment>/*`.

use super::Tags as Own;
use super::tags;
use aws_sdk_iam::types::Tag;
use forge_engine::address::Deployment;
use forge_engine::kind::Tags;
use std::collections::BTreeMap;
use std::time::Duration;

/// For how long IAM may not show what it has made: it is replicated from one region to all others ("Troubleshoot IAM",
/// changes that I make are not always immediately visible). What Terraform waits for.
pub(super) const IAM_VISIBILITY: Duration = Duration::from_secs(120);

/// What IAM says when a name is taken.
pub(super) const TAKEN: &str = "EntityAlreadyExists";

/// The path that a deployment's roles and instance profiles stand under.
pub(super) fn path(deployment: &Deployment) -> String {
    format!("/forge/{}/", deployment.0)
}

/// The partition that an ARN belongs to: `aws`, `aws-cn`, `aws-us-gov`.
pub(super) fn partition(arn: &str) -> &str {
    arn.split(':').nth(1).unwrap_or("aws")
}

fn sdk_tags(tags: BTreeMap<String, String>) -> Vec<Tag> {
    tags.into_iter().filter_map(|(key, value)| Tag::builder().key(key).value(value).build().ok()).collect()
}

/// The tags of something that is about to be made; they are set in the same step.
pub(super) fn born_with(tags: &Tags, own: &Own) -> Vec<Tag> {
    sdk_tags(tags::all(tags, own))
}

/// Tags by key.
pub(super) fn by_key(tags: Option<Vec<Tag>>) -> BTreeMap<String, String> {
    tags.unwrap_or_default().into_iter().map(|tag| (tag.key, tag.value)).collect()
}

/// The tags to set, and the keys of those to take away; none where there are none.
pub(super) fn changes(
    have: &BTreeMap<String, String>,
    tags: &Tags,
    own: &Own,
) -> (Option<Vec<Tag>>, Option<Vec<String>>) {
    let (set, gone) = tags::changes(have, &tags::all(tags, own));
    ((!set.is_empty()).then(|| sdk_tags(set)), (!gone.is_empty()).then_some(gone))
}
