//! Where agents talk to the leader: `POST /v1/sync`, HTTP and JSON.
//!
//! A `sync` carries the node's view up and its order down. With `hold_ms` it is held open until there is a newer order;
//! an agent keeps one such call open at all times, and makes further ones, answered at once, when its view changes. All
//! of them share one HTTP/2 connection. When that breaks, the held call is dropped, and the leader hears of it in the same
//! moment: the kernel of a dead process closes its connections.

use crate::wire::{Epoch, NodeId, Order, Sync, SyncReply};
use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::routing::post;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot, watch};

/// A view larger than this is none: 10,000 workers of one node would fit.
const MAX_BODY: usize = 4 * 1024 * 1024;
/// Longest time that a call is held.
const MAX_HOLD: Duration = Duration::from_secs(30);

/// What the leader hears.
#[derive(Debug)]
pub enum Heard {
    /// A node said how it is; the answer is where its orders will appear.
    Sync(Box<Sync>, oneshot::Sender<watch::Receiver<Order>>),
    /// A held call was dropped: the connection broke.
    Disconnected {
        /// Whose.
        node: NodeId,
        /// Which life of its agent.
        instance: String,
    },
}

#[derive(Clone)]
struct Shared {
    epoch: Epoch,
    token: String,
    heard: mpsc::Sender<Heard>,
}

/// Says so when it is dropped before the call was answered.
struct Watchdog {
    heard: mpsc::Sender<Heard>,
    who: Option<(NodeId, String)>,
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        if let Some((node, instance)) = self.who.take() {
            // A full queue loses this; the node's silence will tell the same a little later.
            let _ = self.heard.try_send(Heard::Disconnected { node, instance });
        }
    }
}

/// Serves agents until the future is dropped.
///
/// # Errors
/// When the listener fails.
pub async fn serve(
    listener: TcpListener,
    epoch: Epoch,
    token: String,
    heard: mpsc::Sender<Heard>,
) -> std::io::Result<()> {
    let router = axum::Router::new()
        .route("/v1/sync", post(sync))
        .layer(axum::extract::DefaultBodyLimit::max(MAX_BODY))
        .with_state(Shared { epoch, token, heard });
    axum::serve(listener, router).await
}

fn authorized(headers: &HeaderMap, token: &str) -> bool {
    let given = headers.get(header::AUTHORIZATION).and_then(|value| value.as_bytes().strip_prefix(b"Bearer "));
    // Every byte is looked at, so that the time taken does not tell how many were right.
    given.is_some_and(|given| {
        given.len() == token.len() && given.iter().zip(token.bytes()).fold(0, |diff, (a, b)| diff | (a ^ b)) == 0
    })
}

async fn sync(
    State(shared): State<Shared>,
    headers: HeaderMap,
    Json(sync): Json<Sync>,
) -> Result<Json<SyncReply>, StatusCode> {
    if !authorized(&headers, &shared.token) {
        return Err(StatusCode::UNAUTHORIZED);
    }
    let (hold, seen) = (Duration::from_millis(sync.hold_ms).min(MAX_HOLD), sync.order_seen);
    let who = (sync.node.clone(), sync.instance.clone());
    let (answer, orders) = oneshot::channel();
    shared.heard.send(Heard::Sync(Box::new(sync), answer)).await.map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
    let mut orders = orders.await.map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
    let newer = |order: &Order| (order.epoch, order.seq) > seen;
    if !hold.is_zero() {
        let mut watchdog = Watchdog { heard: shared.heard.clone(), who: Some(who) };
        // Running out of time is the usual outcome; a leader that ends drops the sender.
        let _ = tokio::time::timeout(hold, orders.wait_for(newer)).await;
        watchdog.who = None;
    }
    let order = Some(orders.borrow().clone()).filter(newer);
    Ok(Json(SyncReply { epoch: shared.epoch, order }))
}
