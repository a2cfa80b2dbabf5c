//! What the kinds of FSx share: tags.

use super::Tags as Own;
use super::cloud::Cloud;
use super::error::Answer;
use super::tags;
use aws_sdk_fsx::types::Tag;
use forge_engine::kind::{KindError, Tags};
use std::collections::BTreeMap;

fn sdk_tags(tags: BTreeMap<String, String>) -> Vec<Tag> {
    tags.into_iter().map(|(key, value)| Tag::builder().key(key).value(value).build()).collect()
}

/// The tags that something is made with.
pub(super) fn born_with(tags: &Tags, own: &Own) -> Vec<Tag> {
    sdk_tags(tags::all(tags, own))
}

/// Tags as pairs.
pub(super) fn pairs(tags: Option<Vec<Tag>>) -> impl Iterator<Item = (String, String)> {
    tags.unwrap_or_default().into_iter().filter_map(|tag| Some((tag.key?, tag.value.unwrap_or_default())))
}

/// Gives something the tags that it is to have. Needs `fsx:TagResource`, `fsx:UntagResource`.
pub(super) async fn retag(
    cloud: &Cloud,
    arn: Option<&str>,
    have: Option<Vec<Tag>>,
    tags: &Tags,
    own: &Own,
) -> Result<(), KindError> {
    let (set, gone) = tags::changes(&pairs(have).collect(), &tags::all(tags, own));
    let (fsx, arn) = (cloud.fsx().await, arn.unwrap_or_default());
    if !set.is_empty() {
        let call = fsx.tag_resource().resource_arn(arn).set_tags(Some(sdk_tags(set)));
        call.send().await.of(cloud, "fsx:TagResource")?;
    }
    if !gone.is_empty() {
        let call = fsx.untag_resource().resource_arn(arn).set_tag_keys(Some(gone));
        call.send().await.of(cloud, "fsx:UntagResource")?;
    }
    Ok(())
}
