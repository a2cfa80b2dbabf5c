//! What a type of resource must be able to do, and nothing more.
//!
//! A [`Kind`] knows one type of resource: its typed specification, which changes it can make in place, and the calls
//! that read, create, update, delete and find it. It holds no policy. Polling until [`Readiness::Ready`], retries by
//! [`ErrorClass`], deadlines, concurrency, tags, progress and journaling belong to the engine.
//!
//! Kinds are written against the typed trait and used through its erased twin [`AnyKind`], which every [`Kind`] is.

mod given;
mod same;

use crate::address::{Address, Deployment, OperationId};
use futures::future::BoxFuture;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

pub use given::Given;

/// Who a resource belongs to: the tags `forge:deployment`, `forge:address`, `forge:operation` set at creation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tags {
    /// The deployment.
    pub deployment: Deployment,
    /// The resource's address in it.
    pub address: Address,
    /// The operation that created it.
    pub operation: OperationId,
}

/// Whether a resource can be used yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Readiness {
    /// It can be used.
    Ready,
    /// Not yet; the message says what it waits for, for the progress line.
    Waiting(String),
    /// It never will be; the message says why.
    Failed(String),
}

/// What the world says of one resource.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Observed {
    /// The provider's identifier.
    pub id: String,
    /// The outputs known by now, by name.
    pub outputs: BTreeMap<String, Json>,
    /// The specification as the world has it, with the same fields as the kind's; fields that cannot be read back are
    /// absent and take no part in drift.
    pub spec: BTreeMap<String, Json>,
    /// Whether it can be used yet.
    pub readiness: Readiness,
    /// Its tags, where it has them.
    pub tags: Option<Tags>,
}

/// What it takes to change a field of a specification.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// An update of the living resource.
    InPlace,
    /// The old one goes, then the new one comes: they cannot exist side by side.
    ReplaceDeleteFirst,
    /// The new one comes, dependents move over, the old one goes.
    ReplaceCreateFirst,
    /// It cannot be done at all; the plan is refused with the reason.
    Forbidden(&'static str),
}

/// What makes it safe to repeat a creation of which nobody knows whether it took effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Recovery {
    /// What it may have made is looked for by its tags, for as long as the provider may hide it
    /// ([`Kind::VISIBILITY`]), and is created again only when it was not found.
    Tags,
    /// The call takes a client token, which is the operation id: repeated with the same operation and specification, it
    /// answers with what the first one has made. It carries tags as well.
    Token,
    /// It carries no tags. Its identifier follows from its specification ([`Kind::identity`]) and lies within something
    /// that is ours (a route in a route table); creating it again is putting the same thing there once more.
    Identity,
}

/// How long the calls of a kind usually take until their effect can be used; for forecasts, never for decisions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Typical {
    /// From the call until it is ready.
    pub create: Duration,
    /// From the call until it is ready again.
    pub update: Duration,
    /// From the call until it is gone.
    pub delete: Duration,
}

impl Typical {
    /// An API call that is done when it returns.
    pub const CALL: Self = Self::seconds(1, 1, 1);

    /// In whole seconds.
    #[must_use]
    pub const fn seconds(create: u64, update: u64, delete: u64) -> Self {
        Self {
            create: Duration::from_secs(create),
            update: Duration::from_secs(update),
            delete: Duration::from_secs(delete),
        }
    }
}

/// US dollars per hour.
#[derive(Debug, Clone, Copy, Default, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Hourly(pub f64);

/// Which retry policy an error falls under.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorClass {
    /// Slow down and try again.
    Throttled,
    /// A fault that passes: try again.
    Transient,
    /// Something that exists is not visible there yet: try again.
    NotYetVisible,
    /// What is to be changed is busy with an earlier change, of ours or of somebody else, and takes one at a time. It is
    /// waited for by reading it until it is not [`Readiness::Waiting`] any more, and then the call is made again, within
    /// [`Kind::READY_DEADLINE`] in all. An update that is made in several steps may say so after each: called again, it goes
    /// on with the next. A deletion may only say so when it has not begun. In a creation it speaks of another thing, which
    /// the engine cannot read: then the call is merely made again, now and then.
    Busy,
    /// No capacity: another placement may have some.
    Capacity,
    /// It will fail the same way again.
    Terminal,
}

/// A call that failed.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct KindError {
    /// Which retry policy applies.
    pub class: ErrorClass,
    /// What failed and why, in the provider's words where it has any.
    pub message: String,
    /// What to do, where that is known.
    pub help: Option<String>,
    /// The cause.
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl KindError {
    /// An error that will not go away by itself.
    pub fn terminal(message: impl Into<String>) -> Self {
        Self { class: ErrorClass::Terminal, message: message.into(), help: None, source: None }
    }

    /// A terminal error with its cause.
    pub fn caused(message: impl Into<String>, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self { class: ErrorClass::Terminal, message: message.into(), help: None, source: Some(source.into()) }
    }

    /// The same error with advice.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// Called by a kind the moment the provider has returned an identifier, before anything else is awaited; the engine
/// makes it durable.
pub type OnIdentifier<'a> = &'a (dyn Fn(&str) + Send + Sync);

/// One type of resource.
pub trait Kind: Send + Sync + 'static {
    /// Its specification. Unknown fields must be refused (`#[serde(deny_unknown_fields)]`).
    type Spec: Serialize + DeserializeOwned + JsonSchema + Send + Sync;

    /// `target.name`, the same as its file: `local.bucket`.
    const NAME: &'static str;
    /// The outputs that it has once it is ready.
    const OUTPUTS: &'static [&'static str];
    /// The outputs that an update in place may change. The plan shows dependents that refer to them as changing too;
    /// all others keep their values for as long as the resource lives.
    const VOLATILE_OUTPUTS: &'static [&'static str] = &[];
    /// True when deleting it destroys a user's data: needs consent.
    const HOLDS_DATA: bool = false;
    /// For how long after the call that creates it was sent the provider may not show it yet.
    const VISIBILITY: Duration = Duration::ZERO;
    /// For how long to wait for [`Readiness::Ready`] before giving up.
    const READY_DEADLINE: Duration = Duration::from_secs(60);

    /// What makes repeating a creation safe.
    const RECOVERY: Recovery = Recovery::Tags;
    /// The service that counts its calls: all kinds with the same one share a rate limit. Empty means the target.
    const SERVICE: &'static str = "";
    /// How long its calls usually take.
    const TYPICAL: Typical = Typical::CALL;
    /// How many identifiers [`Kind::read_many`] takes at once.
    const READ_BATCH: usize = 1;

    /// What it takes to change `field` (top-level name) from `before` to `after`.
    fn effect(&self, field: &str, before: &Self::Spec, after: &Self::Spec) -> Effect;

    /// The identifier that a resource with this specification has, where it follows from that (a bucket's name). With
    /// [`Recovery::Identity`] there must be one. With [`Recovery::Token`] there may be: then what a creation that was cut off
    /// has made is also read by it, and is ours when it carries the operation's tags; so it is found at once although
    /// lists do not show it yet.
    fn identity(&self, _spec: &Self::Spec) -> Option<String> {
        None
    }

    /// What a resource with this specification costs while it exists; none when that is not known.
    fn hourly(&self, _spec: &Self::Spec) -> Option<Hourly> {
        None
    }

    /// The resource with this identifier; none when there is no such thing (any more).
    fn read(&self, id: &str) -> impl Future<Output = Result<Option<Observed>, KindError>> + Send;

    /// The resources with these identifiers, at most [`Kind::READ_BATCH`] of them, in the same order. Kinds whose API
    /// describes many in one call override this.
    fn read_many(&self, ids: &[String]) -> impl Future<Output = Result<Vec<Option<Observed>>, KindError>> + Send {
        async move {
            let mut observed = Vec::with_capacity(ids.len());
            for id in ids {
                observed.push(self.read(id).await?);
            }
            Ok(observed)
        }
    }

    /// Creates it. Must be safe to repeat with the same operation where the provider takes a client token.
    fn create(
        &self,
        spec: &Self::Spec,
        tags: &Tags,
        on_identifier: OnIdentifier<'_>,
    ) -> impl Future<Output = Result<Observed, KindError>> + Send;

    /// Changes it in place. From then on it carries these tags: the address may be another one than before, and that may
    /// be all that changes.
    fn update(
        &self,
        id: &str,
        before: Option<&Self::Spec>,
        after: &Self::Spec,
        tags: &Tags,
    ) -> impl Future<Output = Result<Observed, KindError>> + Send;

    /// Deletes it; deleting what is gone already is no error. With `HOLDS_DATA`, consent has been given.
    fn delete(&self, id: &str) -> impl Future<Output = Result<(), KindError>> + Send;

    /// Every resource of this kind that carries the deployment's tag.
    fn list(&self, deployment: &Deployment) -> impl Future<Output = Result<Vec<Observed>, KindError>> + Send;
}

/// [`Kind`] with its types erased; implemented by every [`Kind`].
pub trait AnyKind: Send + Sync {
    /// [`Kind::NAME`].
    fn name(&self) -> &'static str;
    /// [`Kind::OUTPUTS`].
    fn outputs(&self) -> &'static [&'static str];
    /// [`Kind::VOLATILE_OUTPUTS`].
    fn volatile_outputs(&self) -> &'static [&'static str];
    /// [`Kind::HOLDS_DATA`].
    fn holds_data(&self) -> bool;
    /// [`Kind::VISIBILITY`].
    fn visibility(&self) -> Duration;
    /// [`Kind::READY_DEADLINE`].
    fn ready_deadline(&self) -> Duration;
    /// [`Kind::RECOVERY`].
    fn recovery(&self) -> Recovery;
    /// [`Kind::SERVICE`], or the target.
    fn service(&self) -> &'static str;
    /// [`Kind::TYPICAL`].
    fn typical(&self) -> Typical;
    /// [`Kind::READ_BATCH`].
    fn read_batch(&self) -> usize;
    /// [`Kind::identity`]; none as well when the specification does not fit.
    fn identity(&self, spec: &Json) -> Option<String>;
    /// [`Kind::hourly`]; none as well when the specification does not fit.
    fn hourly(&self, spec: &Json) -> Option<Hourly>;
    /// The JSON Schema of the specification.
    fn schema(&self) -> Json;
    /// Checks a specification; returns it in normal form, defaults filled in.
    ///
    /// # Errors
    /// What serde says of the first thing that does not fit.
    fn normalize(&self, spec: &Json) -> Result<Json, String>;
    /// True when a specification fits and its normal form is `normal`, found without making it. It may be false all the
    /// same, and then [`AnyKind::normalize`] tells more.
    fn normalizes_to(&self, given: Given<'_>, normal: &Json) -> bool;
    /// [`Kind::effect`]; both specifications have been normalised.
    ///
    /// # Errors
    /// When one of them does not fit after all (a record of another version).
    fn effect(&self, field: &str, before: &Json, after: &Json) -> Result<Effect, String>;
    /// [`Kind::read`].
    fn read<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Option<Observed>, KindError>>;
    /// [`Kind::read_many`].
    fn read_many<'a>(&'a self, ids: &'a [String]) -> BoxFuture<'a, Result<Vec<Option<Observed>>, KindError>>;
    /// [`Kind::create`].
    fn create<'a>(
        &'a self,
        spec: &'a Json,
        tags: &'a Tags,
        on_identifier: OnIdentifier<'a>,
    ) -> BoxFuture<'a, Result<Observed, KindError>>;
    /// [`Kind::update`].
    fn update<'a>(
        &'a self,
        id: &'a str,
        before: Option<&'a Json>,
        after: &'a Json,
        tags: &'a Tags,
    ) -> BoxFuture<'a, Result<Observed, KindError>>;
    /// [`Kind::delete`].
    fn delete<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<(), KindError>>;
    /// [`Kind::list`].
    fn list<'a>(&'a self, deployment: &'a Deployment) -> BoxFuture<'a, Result<Vec<Observed>, KindError>>;
}

fn parse<S: DeserializeOwned>(kind: &str, spec: &Json) -> Result<S, KindError> {
    S::deserialize(spec).map_err(|error| KindError::caused(format!("the specification does not fit {kind}"), error))
}

impl<K: Kind> AnyKind for K {
    fn name(&self) -> &'static str {
        K::NAME
    }

    fn outputs(&self) -> &'static [&'static str] {
        K::OUTPUTS
    }

    fn volatile_outputs(&self) -> &'static [&'static str] {
        K::VOLATILE_OUTPUTS
    }

    fn holds_data(&self) -> bool {
        K::HOLDS_DATA
    }

    fn visibility(&self) -> Duration {
        K::VISIBILITY
    }

    fn ready_deadline(&self) -> Duration {
        K::READY_DEADLINE
    }

    fn recovery(&self) -> Recovery {
        K::RECOVERY
    }

    fn service(&self) -> &'static str {
        if K::SERVICE.is_empty() { K::NAME.split('.').next().unwrap_or(K::NAME) } else { K::SERVICE }
    }

    fn typical(&self) -> Typical {
        K::TYPICAL
    }

    fn read_batch(&self) -> usize {
        K::READ_BATCH.max(1)
    }

    fn identity(&self, spec: &Json) -> Option<String> {
        Kind::identity(self, &K::Spec::deserialize(spec).ok()?)
    }

    fn hourly(&self, spec: &Json) -> Option<Hourly> {
        Kind::hourly(self, &K::Spec::deserialize(spec).ok()?)
    }

    fn schema(&self) -> Json {
        schemars::schema_for!(K::Spec).to_value()
    }

    fn normalize(&self, spec: &Json) -> Result<Json, String> {
        let typed = K::Spec::deserialize(spec).map_err(|error| error.to_string())?;
        serde_json::to_value(&typed).map_err(|error| error.to_string())
    }

    fn normalizes_to(&self, given: Given<'_>, normal: &Json) -> bool {
        K::Spec::deserialize(given).is_ok_and(|typed| same::is_same(&typed, normal))
    }

    fn effect(&self, field: &str, before: &Json, after: &Json) -> Result<Effect, String> {
        let before = K::Spec::deserialize(before).map_err(|error| error.to_string())?;
        let after = K::Spec::deserialize(after).map_err(|error| error.to_string())?;
        Ok(Kind::effect(self, field, &before, &after))
    }

    fn read<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Option<Observed>, KindError>> {
        Box::pin(Kind::read(self, id))
    }

    fn read_many<'a>(&'a self, ids: &'a [String]) -> BoxFuture<'a, Result<Vec<Option<Observed>>, KindError>> {
        Box::pin(Kind::read_many(self, ids))
    }

    fn create<'a>(
        &'a self,
        spec: &'a Json,
        tags: &'a Tags,
        on_identifier: OnIdentifier<'a>,
    ) -> BoxFuture<'a, Result<Observed, KindError>> {
        Box::pin(async move { Kind::create(self, &parse(K::NAME, spec)?, tags, on_identifier).await })
    }

    fn update<'a>(
        &'a self,
        id: &'a str,
        before: Option<&'a Json>,
        after: &'a Json,
        tags: &'a Tags,
    ) -> BoxFuture<'a, Result<Observed, KindError>> {
        Box::pin(async move {
            // A record that an older version wrote may not fit any more; the update then knows no 'before'.
            let before = before.and_then(|before| K::Spec::deserialize(before).ok());
            Kind::update(self, id, before.as_ref(), &parse(K::NAME, after)?, tags).await
        })
    }

    fn delete<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<(), KindError>> {
        Box::pin(Kind::delete(self, id))
    }

    fn list<'a>(&'a self, deployment: &'a Deployment) -> BoxFuture<'a, Result<Vec<Observed>, KindError>> {
        Box::pin(Kind::list(self, deployment))
    }
}

/// The kinds at hand, by name.
#[derive(Clone, Default)]
pub struct Kinds(BTreeMap<&'static str, Arc<dyn AnyKind>>);

impl Kinds {
    /// Adds a kind.
    #[must_use]
    pub fn with(mut self, kind: impl AnyKind + 'static) -> Self {
        self.0.insert(kind.name(), Arc::new(kind));
        self
    }

    /// The same kinds, each in the hands of `wrap`.
    #[must_use]
    pub fn map(&self, wrap: impl Fn(&Arc<dyn AnyKind>) -> Arc<dyn AnyKind>) -> Self {
        Self(self.0.iter().map(|(name, kind)| (*name, wrap(kind))).collect())
    }

    /// The kind of that name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Arc<dyn AnyKind>> {
        self.0.get(name)
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<dyn AnyKind>> {
        self.0.values()
    }
}
