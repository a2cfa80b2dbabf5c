//! Finding the leader, staying connected to it, and leading.
//!
//! The lease in the bucket names the leader and its address. While a connection to it stands, the bucket is not asked
//! again. When it breaks, the lease is read: a new holder is connected to; the same one is tried again; when its address
//! refuses connections, or its lease has not changed for its time to live, this agent runs for leader itself.

use crate::agent::Context;
use crate::bucket::{Bucket, BucketError, Condition, Documents, ETag, retry};
use crate::clock::wall;
use crate::lead::decide::Policy;
use crate::lead::election::{Candidate, Held, Observer, RENEW_EVERY, take};
use crate::lead::leader::Leader;
use crate::lead::server;
use crate::wire::{Lease, NodeId, Order, Sync, SyncReply, key};
use futures::future::OptionFuture;
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

/// How long one call is held; also the beat by which the leader knows that the node is alive.
const HOLD: Duration = Duration::from_secs(1);
/// What may pass beyond that before the leader counts as out of reach.
const ANSWER_WITHIN: Duration = Duration::from_millis(2500);
/// How often the lease is read while there is no connection.
const LOOK_EVERY: Duration = Duration::from_millis(150);
/// Candidates that saw the leader die in the same moment should not all write in the same moment.
const STAGGER_MS: u64 = 60;
/// How long the bucket may be out of reach at the start.
const START_BUDGET: Duration = Duration::from_secs(60);
/// Messages to the leader's loop that may wait.
const HEARD: usize = 4096;
/// Largest answer that is read.
const MAX_REPLY: usize = 4 * 1024 * 1024;

/// Why the connection to a leader ended.
#[derive(Debug, PartialEq, Eq)]
enum Ended {
    /// Nobody listens there.
    Refused,
    /// It broke, or took too long.
    Broke,
}

/// An agent's membership.
struct Member {
    context: Context,
    orders: mpsc::Sender<Order>,
    token: String,
    instance: String,
    report: u64,
    observer: Observer,
    leading: Option<tokio::task::JoinHandle<()>>,
}

/// Runs until the agent ends.
///
/// # Errors
/// When the bucket cannot be used at all.
pub async fn run(context: Context, orders: mpsc::Sender<Order>) -> Result<(), BucketError> {
    let token = token(&*context.bucket).await?;
    let instance = random_hex();
    let mut member =
        Member { context, orders, token, instance, report: 0, observer: Observer::default(), leading: None };
    loop {
        if let Err(error) = member.once().await {
            tracing::warn!(%error, "the bucket failed; trying again");
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn random_hex() -> String {
    let mut random = [0; 16];
    // Without randomness two lives of an agent could not be told apart; the wall clock still differs.
    if getrandom::fill(&mut random).is_err() {
        random[..8].copy_from_slice(&wall().to_le_bytes());
    }
    crate::bucket::directory::hex(&random)
}

/// The deployment's token: the first agent makes it.
async fn token(bucket: &dyn Bucket) -> Result<String, BucketError> {
    loop {
        if let Some(object) = retry(START_BUDGET, || bucket.get(key::TOKEN)).await? {
            return String::from_utf8(object.bytes)
                .map_err(|error| BucketError::Damaged { key: key::TOKEN.into(), what: error.to_string() });
        }
        let fresh = random_hex().into_bytes();
        match retry(START_BUDGET, || bucket.put(key::TOKEN, fresh.clone(), Condition::Absent)).await {
            Ok(_) | Err(BucketError::Lost { .. }) => {}
            Err(error) => return Err(error),
        }
    }
}

impl Member {
    /// Looks at the lease once and does what it asks for; returns when the connection has ended.
    async fn once(&mut self) -> Result<(), BucketError> {
        let seen = self.context.bucket.read::<Lease>(key::LEADER).await?;
        let Some((lease, etag)) = &seen else { return self.run_for_leader(None, None).await };
        let expired = self.observer.expired(Instant::now(), lease, etag);
        // This agent has stepped down and nobody has followed yet.
        let deposed =
            lease.instance == self.instance && self.leading.as_ref().is_none_or(tokio::task::JoinHandle::is_finished);
        if expired || deposed {
            return self.run_for_leader(seen.as_ref(), None).await;
        }
        let ended = self.session(lease).await;
        tracing::info!(?ended, leader = %lease.holder, "connection to the leader ended");
        if ended == Ended::Refused {
            return self.run_for_leader(seen.as_ref(), Some(lease.holder.clone())).await;
        }
        Ok(())
    }

    /// `dead` is the node at whose address nobody listens.
    async fn run_for_leader(&mut self, seen: Option<&(Lease, ETag)>, dead: Option<NodeId>) -> Result<(), BucketError> {
        let mut random = [0; 1];
        // Without randomness everybody runs at once, and still only one wins.
        let _ = getrandom::fill(&mut random);
        tokio::time::sleep(Duration::from_millis(u64::from(random[0]) * STAGGER_MS / 255)).await;
        let io = |source| BucketError::Io { key: key::LEADER.into(), doing: "listening for agents", source };
        let listener = TcpListener::bind((self.context.address.as_str(), 0)).await.map_err(io)?;
        let candidate = Candidate {
            node: self.context.name.clone(),
            instance: self.instance.clone(),
            address: listener.local_addr().map_err(io)?.to_string(),
        };
        if let Some(held) = take(&*self.context.bucket, &candidate, seen, wall()).await? {
            tracing::info!(epoch = held.lease.epoch, "leads");
            let context = self.context.clone();
            self.leading = Some(tokio::spawn(lead(context, held, listener, self.token.clone(), dead)));
        }
        Ok(())
    }

    /// Stays connected to a leader.
    async fn session(&mut self, lease: &Lease) -> Ended {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(ANSWER_WITHIN));
        let client = Client::builder(TokioExecutor::new()).http2_only(true).timer(TokioTimer::new()).build::<_, Full<
            axum::body::Bytes,
        >>(
            connector
        );
        let mut held = Box::pin(self.call(&client, lease, HOLD));
        // Beside the held call, never in its place: both share one connection, and the call that began to open it must be
        // polled until it is open.
        let mut prompt = OptionFuture::default();
        let mut under_way = false;
        loop {
            tokio::select! {
                answer = &mut held => match answer {
                    Ok(reply) => {
                        self.deliver(reply).await;
                        held = Box::pin(self.call(&client, lease, HOLD));
                    }
                    Err(ended) => return ended,
                },
                Some(answer) = &mut prompt, if under_way => {
                    under_way = false;
                    match answer {
                        Ok(reply) => self.deliver(reply).await,
                        Err(ended) => return ended,
                    }
                }
                () = self.context.urgent.notified(), if !under_way => {
                    prompt = Some(Box::pin(self.call(&client, lease, Duration::ZERO))).into();
                    under_way = true;
                }
            }
        }
    }

    async fn deliver(&self, reply: SyncReply) {
        if let Some(order) = reply.order {
            // The agent's loop is gone only when the agent ends.
            let _ = self.orders.send(order).await;
        }
    }

    fn call(
        &mut self,
        client: &Client<HttpConnector, Full<axum::body::Bytes>>,
        lease: &Lease,
        hold: Duration,
    ) -> impl Future<Output = Result<SyncReply, Ended>> + Send + use<> {
        self.report += 1;
        let sync = Sync {
            node: self.context.name.clone(),
            instance: self.instance.clone(),
            report: self.report,
            order_seen: *self.context.order_seen.borrow(),
            hold_ms: hold.as_millis() as u64,
            view: self.context.view_now(),
        };
        let request = axum::http::Request::post(format!("http://{}/v1/sync", lease.address))
            .header("authorization", format!("Bearer {}", self.token))
            .header("content-type", "application/json");
        let body = serde_json::to_vec(&sync).map_err(|_| Ended::Broke);
        let request = body.and_then(|body| request.body(Full::from(body)).map_err(|_| Ended::Broke));
        let client = client.clone();
        async move {
            let request = request?;
            let answer = async {
                let response = client.request(request).await.map_err(|error| classify(&error))?;
                if !response.status().is_success() {
                    tracing::warn!(status = %response.status(), "the leader refused");
                    return Err(Ended::Broke);
                }
                let body = Limited::new(response.into_body(), MAX_REPLY).collect().await.map_err(|_| Ended::Broke)?;
                serde_json::from_slice(&body.to_bytes()).map_err(|_| Ended::Broke)
            };
            tokio::time::timeout(hold + ANSWER_WITHIN, answer).await.map_err(|_| Ended::Broke)?
        }
    }
}

fn classify(error: &hyper_util::client::legacy::Error) -> Ended {
    let mut source: Option<&dyn std::error::Error> = Some(error);
    while let Some(cause) = source {
        if cause.downcast_ref::<std::io::Error>().is_some_and(|io| io.kind() == std::io::ErrorKind::ConnectionRefused) {
            return Ended::Refused;
        }
        source = cause.source();
    }
    Ended::Broke
}

/// Leads until the lease is lost.
async fn lead(context: Context, mut held: Held, listener: TcpListener, token: String, dead: Option<NodeId>) {
    let epoch = held.lease.epoch;
    let (heard, inbox) = mpsc::channel(HEARD);
    let (valid, valid_until) = watch::channel(held.valid_until);
    let leader = Leader::new(context.bucket.clone(), epoch, context.name.clone(), dead, Policy::default());
    let renewals = async {
        loop {
            tokio::time::sleep(RENEW_EVERY).await;
            match held.renew(&*context.bucket, wall()).await {
                Ok(()) => {
                    valid.send_replace(held.valid_until);
                }
                Err(error @ BucketError::Lost { .. }) => return error.to_string(),
                Err(error) => tracing::warn!(%error, "the lease could not be renewed; trying again"),
            }
        }
    };
    // Whatever ends first ends the others: a leader that stops acting stops listening as well.
    tokio::select! {
        deposed = leader.run(inbox, valid_until) => tracing::warn!(epoch, reason = %deposed, "leads no more"),
        served = server::serve(listener, epoch, token, heard) => tracing::warn!(epoch, ?served, "the server ended"),
        reason = renewals => tracing::warn!(epoch, reason, "leads no more"),
    }
}
