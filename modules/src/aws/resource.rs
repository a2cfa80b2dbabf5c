//! What makes a kind of a specification: the calls of AWS.
//!
//! [`Planned`] says what planning needs to know of a kind; [`Resource`] adds its calls; [`Live`] is both in the hands of the
//! engine. Kinds are stateless: everything is in [`Cloud`].
//!
//! **Repeating a creation.** A kind whose creation takes several calls makes the thing that has the identifier first, says so,
//! and then brings the rest about in a way that can be repeated: the same code serves an update. Where AWS takes a client
//! token, the operation id is the token. Where a name is unique, the name and the tag `forge:operation` are as good as a token: a creation that finds the name
//! taken by this same operation has found its own work ([`Recovery::Token`]). All others are found by their tags.

use super::cloud::Cloud;
use crate::planned::Planned;
use forge_engine::address::Deployment;
use forge_engine::kind::{
    Effect, ErrorClass, Hourly, Kind, KindError, Observed, OnIdentifier, Readiness, Recovery, Tags, Typical,
};
use serde::Serialize;
use serde_json::Value as Json;
use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

/// For how long EC2 may not show what it has made ("Eventual consistency in the Amazon EC2 API": usually seconds, at most
/// minutes). Twice what Terraform waits for; looked for only after a creation of which nobody knows the outcome.
pub(super) const EC2_VISIBILITY: Duration = Duration::from_secs(60);

/// The calls of a kind; see [`Kind`] for what each must do.
pub trait Resource: Planned {
    /// [`Kind::RECOVERY`].
    const RECOVERY: Recovery;
    /// [`Kind::VISIBILITY`].
    const VISIBILITY: Duration = Duration::ZERO;
    /// [`Kind::READ_BATCH`].
    const READ_BATCH: usize = 1;
    /// The IAM actions that its calls need.
    const ACTIONS: &'static [&'static str];

    /// [`Kind::read_many`].
    fn read_many(
        cloud: &Cloud,
        ids: &[String],
    ) -> impl Future<Output = Result<Vec<Option<Observed>>, KindError>> + Send;

    /// [`Kind::identity`].
    fn identity(&self) -> Option<String> {
        None
    }

    /// [`Kind::create`].
    fn create(
        &self,
        cloud: &Cloud,
        tags: &Tags,
        on_identifier: OnIdentifier<'_>,
    ) -> impl Future<Output = Result<Observed, KindError>> + Send;

    /// [`Kind::update`] to this specification.
    fn update(
        &self,
        cloud: &Cloud,
        id: &str,
        before: Option<&Self>,
        tags: &Tags,
    ) -> impl Future<Output = Result<Observed, KindError>> + Send;

    /// [`Kind::delete`].
    fn delete(cloud: &Cloud, id: &str) -> impl Future<Output = Result<(), KindError>> + Send;

    /// [`Kind::list`].
    fn list(cloud: &Cloud, deployment: &Deployment) -> impl Future<Output = Result<Vec<Observed>, KindError>> + Send;
}

/// A kind whose resources are made in an account.
pub struct Live<S> {
    cloud: Arc<Cloud>,
    region: Option<String>,
    specification: PhantomData<fn() -> S>,
}

impl<S> Live<S> {
    /// The kind in an account; the region is for prices.
    #[must_use]
    pub fn new(cloud: &Arc<Cloud>, region: Option<&str>) -> Self {
        Self { cloud: Arc::clone(cloud), region: region.map(str::to_owned), specification: PhantomData }
    }
}

impl<S: Resource> fmt::Debug for Live<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Live({})", S::NAME)
    }
}

impl<S: Resource> Kind for Live<S> {
    type Spec = S;
    const NAME: &'static str = S::NAME;
    const OUTPUTS: &'static [&'static str] = S::OUTPUTS;
    const VOLATILE_OUTPUTS: &'static [&'static str] = S::VOLATILE_OUTPUTS;
    const HOLDS_DATA: bool = S::HOLDS_DATA;
    const VISIBILITY: Duration = S::VISIBILITY;
    const READY_DEADLINE: Duration = S::READY_DEADLINE;
    const RECOVERY: Recovery = S::RECOVERY;
    const SERVICE: &'static str = S::SERVICE;
    const TYPICAL: Typical = S::TYPICAL;
    const READ_BATCH: usize = S::READ_BATCH;

    fn effect(&self, field: &str, before: &S, after: &S) -> Effect {
        S::effect(field, before, after)
    }

    fn hourly(&self, spec: &S) -> Option<Hourly> {
        spec.hourly(self.region.as_deref())
    }

    fn identity(&self, spec: &S) -> Option<String> {
        Resource::identity(spec)
    }

    async fn read(&self, id: &str) -> Result<Option<Observed>, KindError> {
        Ok(S::read_many(&self.cloud, &[id.to_owned()]).await?.into_iter().next().flatten())
    }

    async fn read_many(&self, ids: &[String]) -> Result<Vec<Option<Observed>>, KindError> {
        S::read_many(&self.cloud, ids).await
    }

    async fn create(&self, spec: &S, tags: &Tags, on_identifier: OnIdentifier<'_>) -> Result<Observed, KindError> {
        spec.create(&self.cloud, tags, on_identifier).await
    }

    async fn update(&self, id: &str, before: Option<&S>, after: &S, tags: &Tags) -> Result<Observed, KindError> {
        after.update(&self.cloud, id, before, tags).await
    }

    async fn delete(&self, id: &str) -> Result<(), KindError> {
        S::delete(&self.cloud, id).await
    }

    async fn list(&self, deployment: &Deployment) -> Result<Vec<Observed>, KindError> {
        S::list(&self.cloud, deployment).await
    }
}

/// Something observed, built up field by field.
pub(super) struct Seen(Observed);

impl Seen {
    /// Something that is ready, with the tags that it has.
    pub(super) fn new(id: impl Into<String>, tags: impl IntoIterator<Item = (String, String)>) -> Self {
        let (ours, own) = super::tags::split(tags);
        let spec = BTreeMap::new();
        Self(Observed { id: id.into(), outputs: BTreeMap::new(), spec, readiness: Readiness::Ready, tags: ours })
            .field("tags", own)
    }

    /// Something that calls have just made as it is specified, so that it need not be asked for again: AWS may not show it
    /// yet.
    pub(super) fn made<S: Serialize>(id: impl Into<String>, spec: &S, tags: &Tags, own: &super::Tags) -> Self {
        let mut seen = Self::new(id, super::tags::all(tags, own));
        if let Ok(Json::Object(fields)) = serde_json::to_value(spec) {
            seen.0.spec.extend(fields);
        }
        seen
    }

    /// A field of the specification as AWS has it.
    pub(super) fn field(mut self, name: &str, value: impl Serialize) -> Self {
        self.0.spec.insert(name.to_owned(), serde_json::to_value(value).unwrap_or(Json::Null));
        self
    }

    /// A field of the specification, if AWS says.
    pub(super) fn known(self, name: &str, value: Option<impl Serialize>) -> Self {
        match value {
            Some(value) => self.field(name, value),
            None => self,
        }
    }

    /// An output.
    pub(super) fn output(mut self, name: &str, value: impl Serialize) -> Self {
        self.0.outputs.insert(name.to_owned(), serde_json::to_value(value).unwrap_or(Json::Null));
        self
    }

    /// An output, if AWS says.
    pub(super) fn gives(self, name: &str, value: Option<impl Serialize>) -> Self {
        match value {
            Some(value) => self.output(name, value),
            None => self,
        }
    }

    /// Whether it can be used yet.
    pub(super) fn readiness(mut self, readiness: Readiness) -> Self {
        self.0.readiness = readiness;
        self
    }

    pub(super) fn done(self) -> Observed {
        self.0
    }
}

/// Where something is between coming and going.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// It is gone, or on its way out.
    Going,
    /// It is being made or changed.
    Changing,
    /// It stays as it is.
    Staying,
}

/// What came of a deletion. Services refuse one as well of what is on its way out already, and while a change is under way;
/// `stage` is asked for only then.
///
/// # Errors
/// When it was refused for another reason, or has to wait for a change.
pub(super) async fn deleted<T>(
    asked: Result<T, KindError>,
    stage: impl Future<Output = Result<Stage, KindError>>,
) -> Result<(), KindError> {
    let Err(refused) = asked else { return Ok(()) };
    if !matches!(refused.class, ErrorClass::Terminal | ErrorClass::NotYetVisible) {
        return Err(refused);
    }
    match stage.await? {
        Stage::Going => Ok(()),
        Stage::Changing => Err(KindError { class: ErrorClass::Busy, ..refused }),
        Stage::Staying => Err(refused),
    }
}

/// What was found, in the order of what was asked for.
pub(super) fn in_order(ids: &[String], found: Vec<Observed>) -> Vec<Option<Observed>> {
    let mut found: BTreeMap<String, Observed> = found.into_iter().map(|seen| (seen.id.clone(), seen)).collect();
    ids.iter().map(|id| found.remove(id)).collect()
}

/// The only one of them.
///
/// # Errors
/// When AWS does not show what a call has just made or changed: not yet.
pub(super) fn shown(what: &str, mut seen: Vec<Option<Observed>>) -> Result<Observed, KindError> {
    seen.pop().flatten().ok_or_else(|| not_shown(what))
}

/// What a call has just made or changed, and AWS does not show.
pub(super) fn not_shown(what: &str) -> KindError {
    let message = format!("AWS does not show {what} yet");
    KindError { class: ErrorClass::NotYetVisible, message, help: None, source: None }
}
