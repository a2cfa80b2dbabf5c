//! Where agents talk to the leader: `POST /v1/sync`, HTTP and JSON.
//!
//! A `sync` carries the node's view up and its order down. With `hold_ms` it is held open until there is a newer order;
//! an agent keeps one such call open at all times, and makes further ones, answered at once, when its view changes. All
//! of them share one HTTP/2 connection. When that closes, whatever was or was not under way on it, the leader hears of it
//! in the same moment: the kernel of a dead process closes its connections. [`Watched`] is how.

use crate::wire::{Epoch, Order, Sync, SyncReply};
use axum::Json;
use axum::extract::connect_info::Connected;
use axum::extract::{ConnectInfo, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::routing::post;
use axum::serve::{IncomingStream, Listener};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot, watch};

/// A view larger than this is none: 10,000 workers of one node would fit.
const MAX_BODY: usize = 4 * 1024 * 1024;
/// Longest time that a call is held.
const MAX_HOLD: Duration = Duration::from_secs(30);

/// A connection, by the order in which they came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionId(pub u64);

/// What the leader hears.
#[derive(Debug)]
pub enum Heard {
    /// A node said how it is.
    Sync {
        /// What it said.
        sync: Box<Sync>,
        /// On which connection.
        connection: ConnectionId,
        /// Where the answer goes: where the node's orders will appear.
        answer: oneshot::Sender<watch::Receiver<Order>>,
    },
    /// A connection closed.
    Closed(ConnectionId),
}

#[derive(Clone)]
struct Shared {
    epoch: Epoch,
    token: String,
    heard: mpsc::Sender<Heard>,
}

/// A connection that tells when it is no more.
#[derive(Debug)]
pub struct Watched {
    stream: TcpStream,
    id: ConnectionId,
    heard: mpsc::Sender<Heard>,
}

impl Drop for Watched {
    fn drop(&mut self) {
        // A full queue loses this; the node's silence will tell the same a little later.
        let _ = self.heard.try_send(Heard::Closed(self.id));
    }
}

impl AsyncRead for Watched {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

struct Door {
    listener: TcpListener,
    next: u64,
    heard: mpsc::Sender<Heard>,
}

impl Listener for Door {
    type Io = Watched;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Watched, SocketAddr) {
        loop {
            match self.listener.accept().await {
                Ok((stream, address)) => {
                    // Orders are small and urgent.
                    let _ = stream.set_nodelay(true);
                    self.next += 1;
                    return (Watched { stream, id: ConnectionId(self.next), heard: self.heard.clone() }, address);
                }
                // Too many open files, say: what is connected stays connected, and the rest tries again.
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

impl Connected<IncomingStream<'_, Door>> for ConnectionId {
    fn connect_info(stream: IncomingStream<'_, Door>) -> Self {
        stream.io().id
    }
}

/// Serves agents until the future is dropped.
///
/// # Errors
/// When the listener fails.
pub async fn serve(listener: TcpListener, epoch: Epoch, token: String, heard: mpsc::Sender<Heard>) -> io::Result<()> {
    let router = axum::Router::new()
        .route("/v1/sync", post(sync))
        .layer(axum::extract::DefaultBodyLimit::max(MAX_BODY))
        .with_state(Shared { epoch, token, heard: heard.clone() });
    let door = Door { listener, next: 0, heard };
    axum::serve(door, router.into_make_service_with_connect_info::<ConnectionId>()).await
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
    ConnectInfo(connection): ConnectInfo<ConnectionId>,
    headers: HeaderMap,
    Json(sync): Json<Sync>,
) -> Result<Json<SyncReply>, StatusCode> {
    if !authorized(&headers, &shared.token) {
        return Err(StatusCode::UNAUTHORIZED);
    }
    let (hold, seen) = (Duration::from_millis(sync.hold_ms).min(MAX_HOLD), sync.order_seen);
    let (answer, orders) = oneshot::channel();
    let heard = Heard::Sync { sync: Box::new(sync), connection, answer };
    shared.heard.send(heard).await.map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
    let mut orders = orders.await.map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
    let newer = |order: &Order| (order.epoch, order.seq) > seen;
    if !hold.is_zero() {
        // Running out of time is the usual outcome; a leader that ends drops the sender.
        let _ = tokio::time::timeout(hold, orders.wait_for(newer)).await;
    }
    let order = Some(orders.borrow().clone()).filter(newer);
    Ok(Json(SyncReply { epoch: shared.epoch, order }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::NodeView;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    fn request(token: &str, hold_ms: u64) -> String {
        let view = NodeView::default();
        let sync = Sync { node: "n".into(), instance: "i".into(), report: 1, order_seen: (0, 0), hold_ms, view };
        let body = serde_json::to_string(&sync).unwrap();
        format!(
            "POST /v1/sync HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
    }

    async fn bench() -> (SocketAddr, mpsc::Receiver<Heard>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (heard, inbox) = mpsc::channel(8);
        tokio::spawn(serve(listener, 3, "secret".into(), heard));
        (address, inbox)
    }

    #[tokio::test]
    async fn a_connection_that_closes_is_heard_of_in_a_call_and_between_calls() {
        let (address, mut inbox) = bench().await;
        for held in [true, false] {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(request("secret", if held { 60_000 } else { 0 }).as_bytes()).await.unwrap();
            let Some(Heard::Sync { connection, answer, .. }) = inbox.recv().await else { panic!() };
            let order = Order { epoch: 3, seq: 0, assignment: None, grace_ms: 0, injections: vec![] };
            let (orders, receiver) = watch::channel(Order { epoch: 0, ..order });
            answer.send(receiver).unwrap();
            if !held {
                let mut start = [0; 15];
                stream.read_exact(&mut start).await.unwrap();
                assert_eq!(&start, b"HTTP/1.1 200 OK");
            }
            drop(stream);
            let Some(Heard::Closed(closed)) = inbox.recv().await else { panic!() };
            assert_eq!(closed, connection);
            drop(orders);
        }
    }

    #[tokio::test]
    async fn a_wrong_token_is_refused_before_anybody_hears() {
        let (address, mut inbox) = bench().await;
        for token in ["", "secreT", "secret2"] {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(request(token, 0).as_bytes()).await.unwrap();
            let mut start = [0; 12];
            stream.read_exact(&mut start).await.unwrap();
            assert_eq!(&start, b"HTTP/1.1 401");
            drop(stream);
            assert!(matches!(inbox.recv().await, Some(Heard::Closed(_))));
        }
    }
}
