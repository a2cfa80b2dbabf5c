//! What the kinds of EKS share: tags, changes one at a time, and finding what is in clusters.
//!
//! EKS has no list by tags. What a deployment has is found by asking every cluster of the region (an account has 100 at most by
//! default) what it holds; clusters that may not be looked into are nobody's business.

use super::Tags as Own;
use super::cloud::Cloud;
use super::error::Answer;
use super::tags;
use forge_engine::address::Deployment;
use forge_engine::kind::{ErrorClass, KindError, Observed, Tags};
use futures::stream::{self, StreamExt, TryStreamExt};
use std::collections::{BTreeMap, HashMap};
use std::fmt;

/// How many questions are asked at once: EKS answers a few tens of reads a second.
const LOOKS: usize = 8;

/// What EKS says while something else is being done to the same thing.
pub(super) const TAKEN: &[&str] = &["ResourceInUseException"];
/// What makes a cluster none of a deployment's business: it is gone, or it may not be looked into.
pub(super) const NOBODYS: &[&str] = &["ResourceNotFoundException", "AccessDeniedException"];

/// The tags that something is made with.
pub(super) fn born_with(tags: &Tags, own: &Own) -> HashMap<String, String> {
    tags::all(tags, own).into_iter().collect()
}

/// Gives something the tags that it is to have. Needs `eks:TagResource`, `eks:UntagResource`.
pub(super) async fn retag(
    cloud: &Cloud,
    arn: Option<&str>,
    have: Option<&HashMap<String, String>>,
    tags: &Tags,
    own: &Own,
) -> Result<(), KindError> {
    let have: BTreeMap<String, String> = have.cloned().unwrap_or_default().into_iter().collect();
    let (set, gone) = tags::changes(&have, &tags::all(tags, own));
    let (eks, arn) = (cloud.eks().await, arn.unwrap_or_default());
    if !set.is_empty() {
        let call = eks.tag_resource().resource_arn(arn).set_tags(Some(set.into_iter().collect()));
        call.send().await.of(cloud, "eks:TagResource")?;
    }
    if !gone.is_empty() {
        let call = eks.untag_resource().resource_arn(arn).set_tag_keys(Some(gone));
        call.send().await.of(cloud, "eks:UntagResource")?;
    }
    Ok(())
}

/// The identifier of something in a cluster. A cluster's name has no slash, so that it can be taken apart.
pub(super) fn within(cluster: &str, name: &str) -> String {
    format!("{cluster}/{name}")
}

/// The cluster and the name of something in it.
///
/// # Errors
/// When it is no identifier of ours.
pub(super) fn apart(id: &str) -> Result<(&str, &str), KindError> {
    id.split_once('/').ok_or_else(|| KindError::terminal(format!("{id} names nothing in a cluster")))
}

/// EKS makes one change of a thing at a time: this one has to wait for the one that is on its way.
pub(super) fn busy(what: &str, next: impl fmt::Display) -> KindError {
    KindError {
        class: ErrorClass::Busy,
        message: format!("EKS makes one change of {what} at a time; {next} comes after the one that is on its way"),
        help: Some("Run the same command again: it goes on from here.".to_owned()),
        source: None,
    }
}

/// What ails something, in AWS's words: code, reason, whom it concerns.
pub(super) fn issue(code: Option<&str>, message: Option<&str>, concerned: &[String]) -> String {
    let code = code.unwrap_or("Unknown");
    match (message, concerned) {
        (Some(message), []) => format!("{code}: {}", message.trim()),
        (Some(message), some) => format!("{code}: {} ({})", message.trim(), some.join(", ")),
        (None, _) => code.to_owned(),
    }
}

/// The names of the clusters of the region. Needs `eks:ListClusters`.
pub(super) async fn clusters(cloud: &Cloud) -> Result<Vec<String>, KindError> {
    let mut names = Vec::new();
    let mut pages = cloud.eks().await.list_clusters().into_paginator().items().send();
    while let Some(name) = pages.next().await {
        names.push(name.of(cloud, "eks:ListClusters")?);
    }
    Ok(names)
}

/// Asks for each of them, several at once, and keeps what is the deployment's.
pub(super) async fn of_deployment<Name, F>(
    names: Vec<Name>,
    deployment: &Deployment,
    look: impl Fn(Name) -> F,
) -> Result<Vec<Observed>, KindError>
where
    F: Future<Output = Result<Option<Observed>, KindError>>,
{
    let found: Vec<Option<Observed>> = stream::iter(names).map(look).buffer_unordered(LOOKS).try_collect().await?;
    Ok(found.into_iter().flatten().filter(|observed| tags::is_of(observed, deployment)).collect())
}

/// What all clusters hold of something, as `cluster/name`.
pub(super) async fn in_clusters<F>(cloud: &Cloud, names: impl Fn(String) -> F) -> Result<Vec<String>, KindError>
where
    F: Future<Output = Result<Vec<String>, KindError>>,
{
    let found: Vec<Vec<String>> =
        stream::iter(clusters(cloud).await?).map(names).buffer_unordered(LOOKS).try_collect().await?;
    Ok(found.into_iter().flatten().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn principals_have_slashes_and_clusters_have_none() {
        let id = within("prod", "arn:aws:iam::1:role/path/admin");
        assert_eq!(apart(&id).unwrap(), ("prod", "arn:aws:iam::1:role/path/admin"));
        assert_eq!(apart("prod").unwrap_err().message, "prod names nothing in a cluster");
    }

    #[test]
    fn issues_are_told_in_their_own_words() {
        let said = Some("Could not launch On-Demand Instances. InsufficientInstanceCapacity - none left. ");
        let told = "AsgInstanceLaunchFailures: Could not launch On-Demand Instances. InsufficientInstanceCapacity - none left.";
        assert_eq!(issue(Some("AsgInstanceLaunchFailures"), said, &[]), told);
        let who = ["eks-gpu-1".to_owned()];
        assert_eq!(issue(Some("AsgInstanceLaunchFailures"), said, &who), format!("{told} (eks-gpu-1)"));
        assert_eq!(issue(None, None, &[]), "Unknown");
    }
}
