//! A real kind whose calls end in the simulated cloud.

use super::Fate;
use super::client::Client;
use super::world::{Request, What};
use crate::address::Deployment;
use crate::kind::{
    AnyKind, Effect, ErrorClass, Given, Hourly, KindError, Observed, OnIdentifier, Recovery, Tags, Typical,
};
use futures::future::{BoxFuture, FutureExt};
use serde_json::Value as Json;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

pub(super) struct Simulated {
    pub(super) real: Arc<dyn AnyKind>,
    pub(super) client: Client,
}

impl Simulated {
    /// A call that only looks.
    async fn ask<T>(
        &self,
        call: &'static str,
        answer: impl FnOnce(&mut super::Inner, Duration) -> T,
    ) -> Result<T, KindError> {
        self.client.alive().await;
        let (latency, fate) = self.client.cloud.admit(self.real.as_ref(), call);
        sleep(latency).await;
        match fate {
            Fate::Fails(error) | Fate::LosesReply(error) => return Err(error),
            Fate::Hangs => std::future::pending().await,
            Fate::Works | Fate::IsStillborn | Fate::StopsPartWay(_) => {}
        }
        let cloud = &self.client.cloud;
        let now = cloud.elapsed();
        Ok(answer(&mut cloud.lock(), now))
    }

    /// A call that changes something: sent, arrived, answered. With the answer comes what went wrong after it.
    async fn change(&self, call: &'static str, what: What) -> Result<(Option<Observed>, Option<KindError>), KindError> {
        let client = &self.client;
        client.point().await;
        let (latency, fate) = client.cloud.admit(self.real.as_ref(), call);
        if let Fate::Fails(error) = fate {
            sleep(latency).await;
            return Err(error);
        }
        let request = Request {
            client: client.number(),
            kind: Arc::clone(&self.real),
            what,
            sent: client.cloud.elapsed(),
            stillborn: matches!(fate, Fate::IsStillborn),
            in_part: matches!(fate, Fate::StopsPartWay(_)),
        };
        let sent = client.send(request);
        sleep(latency / 2).await;
        let result = sent.arrive();
        client.point().await;
        sleep(latency / 2).await;
        match fate {
            // Even a refusal does not come through.
            Fate::LosesReply(error) => Err(error),
            Fate::Hangs => std::future::pending().await,
            Fate::StopsPartWay(error) => Ok((result?, Some(error))),
            Fate::Works | Fate::IsStillborn | Fate::Fails(_) => Ok((result?, None)),
        }
    }
}

fn nothing() -> KindError {
    KindError { class: ErrorClass::Transient, message: "an empty answer".to_owned(), help: None, source: None }
}

impl AnyKind for Simulated {
    fn name(&self) -> &'static str {
        self.real.name()
    }

    fn outputs(&self) -> &'static [&'static str] {
        self.real.outputs()
    }

    fn volatile_outputs(&self) -> &'static [&'static str] {
        self.real.volatile_outputs()
    }

    fn holds_data(&self) -> bool {
        self.real.holds_data()
    }

    fn visibility(&self) -> Duration {
        self.real.visibility()
    }

    fn ready_deadline(&self) -> Duration {
        self.real.ready_deadline()
    }

    fn recovery(&self) -> Recovery {
        self.real.recovery()
    }

    fn service(&self) -> &'static str {
        self.real.service()
    }

    fn typical(&self) -> Typical {
        self.real.typical()
    }

    fn read_batch(&self) -> usize {
        self.real.read_batch()
    }

    fn identity(&self, spec: &Json) -> Option<String> {
        self.real.identity(spec)
    }

    fn hourly(&self, spec: &Json) -> Option<Hourly> {
        self.real.hourly(spec)
    }

    fn schema(&self) -> Json {
        self.real.schema()
    }

    fn normalize(&self, spec: &Json) -> Result<Json, String> {
        self.real.normalize(spec)
    }

    fn normalizes_to(&self, given: Given<'_>, normal: &Json) -> bool {
        self.real.normalizes_to(given, normal)
    }

    fn effect(&self, field: &str, before: &Json, after: &Json) -> Result<Effect, String> {
        self.real.effect(field, before, after)
    }

    fn read<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Option<Observed>, KindError>> {
        self.ask("read", |inner, now| inner.world.read(self.real.as_ref(), id, now)).boxed()
    }

    fn read_many<'a>(&'a self, ids: &'a [String]) -> BoxFuture<'a, Result<Vec<Option<Observed>>, KindError>> {
        self.ask("read", |inner, now| ids.iter().map(|id| inner.world.read(self.real.as_ref(), id, now)).collect())
            .boxed()
    }

    fn create<'a>(
        &'a self,
        spec: &'a Json,
        tags: &'a Tags,
        on_identifier: OnIdentifier<'a>,
    ) -> BoxFuture<'a, Result<Observed, KindError>> {
        async move {
            let what = What::Create { spec: spec.clone(), tags: tags.clone() };
            let (observed, stopped) = self.change("create", what).await?;
            let observed = observed.ok_or_else(nothing)?;
            on_identifier(&observed.id);
            self.client.point().await;
            stopped.map_or(Ok(observed), Err)
        }
        .boxed()
    }

    fn update<'a>(
        &'a self,
        id: &'a str,
        _before: Option<&'a Json>,
        after: &'a Json,
        tags: &'a Tags,
    ) -> BoxFuture<'a, Result<Observed, KindError>> {
        async move {
            let what = What::Update { id: id.to_owned(), spec: after.clone(), tags: tags.clone() };
            self.change("update", what).await?.0.ok_or_else(nothing)
        }
        .boxed()
    }

    fn delete<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<(), KindError>> {
        async move { self.change("delete", What::Delete { id: id.to_owned() }).await.map(|_| ()) }.boxed()
    }

    fn list<'a>(&'a self, deployment: &'a Deployment) -> BoxFuture<'a, Result<Vec<Observed>, KindError>> {
        self.ask("list", |inner, now| {
            let strays = inner.chance.chance(inner.weather.stray_lists);
            inner.world.list(self.real.as_ref(), |tags| strays || tags.deployment == *deployment, now)
        })
        .boxed()
    }
}
