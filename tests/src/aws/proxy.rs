//! Stands between forge and the emulated cloud: knows every request, records it, and does what the rules say to it.
//!
//! A request gets its number when all of it has come, and its fate with it, under one lock. What is forwarded is forwarded to
//! its end even when the program that asked is gone by then, as a request that has reached AWS is. A kill is exact: requests
//! that come after the fatal one are dropped, so that of two states the world can be left in, one is chosen: as if the kill
//! had come before they were sent.
//!
//! Bodies are read whole before anything is done with them.

use super::operation::Operation;
use super::refusal::Refusal;
use super::rules::{Ending, Fate, Killer, Moment, Rules, Which, chance};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Body, Bytes};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response, StatusCode, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use std::collections::BTreeMap;
use std::fmt;
use std::future::poll_fn;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;

/// What forge sends and receives is small; this is far above, and bounds what a mistake can take.
const LARGEST_BODY: usize = 64 << 20;
/// No emulator takes so long.
const PATIENCE: Duration = Duration::from_secs(120);
/// Connections to the emulator are not kept longer than this without use: a server closes them when it likes, and a request
/// that is written just then is lost.
const KEPT_ALIVE: Duration = Duration::from_secs(1);
/// What is about one connection and is not passed on.
const HOP_BY_HOP: [&str; 9] = [
    "connection",
    "expect",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "transfer-encoding",
    "upgrade",
];

/// A request that came.
#[derive(Debug, Clone)]
pub struct Recorded {
    /// Its number, from 1.
    pub n: usize,
    /// Its number among those that may change something, from 1; none when it may not.
    pub nth_mutation: Option<usize>,
    /// What it asked for.
    pub operation: Operation,
    /// Its method and path, with the query.
    pub line: String,
    /// What the rules did to it, delays apart; none when it was just forwarded.
    pub struck: Option<String>,
    /// The status that was returned; none when nothing was, or not yet.
    pub status: Option<u16>,
    /// Bytes of its body.
    pub sent: usize,
    /// Bytes of the body that was returned.
    pub received: usize,
    /// From its arrival to its end; zero while it is not over.
    pub took: Duration,
}

#[derive(Debug, Default)]
struct State {
    /// Counts rules that were played: what is over later than its rules is recorded nowhere.
    generation: u64,
    rules: Rules,
    /// How often each rule has struck.
    struck: Vec<usize>,
    /// How many requests came, by operation.
    came: BTreeMap<String, usize>,
    mutations: usize,
    record: Vec<Recorded>,
    killed: bool,
    in_flight: usize,
}

#[derive(Debug)]
struct Shared {
    upstream: SocketAddr,
    client: Client<HttpConnector, Full<Bytes>>,
    state: Mutex<State>,
    /// Told whenever a request is over.
    over: Condvar,
}

/// What was decided about a request when it came.
struct Decided {
    generation: u64,
    n: usize,
    operation: Operation,
    delay: Duration,
    fate: Option<Fate>,
}

/// The connection ends without an answer.
#[derive(Debug)]
struct Dropped(Ending);

impl fmt::Display for Dropped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("dropped, as the rules say")
    }
}

impl std::error::Error for Dropped {}

type Answer = Result<Response<Bytes>, Dropped>;

/// A running proxy on loopback; dropping it ends it.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    runtime: Option<Runtime>,
}

impl Proxy {
    /// One in front of `upstream`.
    ///
    /// # Panics
    /// When the system gives it no threads or no port.
    #[must_use]
    pub fn start(upstream: SocketAddr, rules: Rules) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("aws-proxy")
            .enable_all()
            .build()
            .expect("threads for a proxy");
        let (listener, address) = runtime.block_on(async {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
            let address = listener.local_addr().expect("a bound socket has an address");
            (listener, address)
        });
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(KEPT_ALIVE)
            .build(connector);
        let shared = Arc::new(Shared { upstream, client, state: Mutex::default(), over: Condvar::new() });
        runtime.spawn(accept(listener, shared.clone()));
        let proxy = Self { address, shared, runtime: Some(runtime) };
        proxy.play(rules);
        proxy
    }

    /// What goes into `AWS_ENDPOINT_URL`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Follows these rules from now on: numbers begin at 1 again, and the record is empty.
    pub fn play(&self, rules: Rules) {
        let mut state = self.shared.state();
        *state = State {
            generation: state.generation + 1,
            struck: vec![0; rules.rules.len()],
            rules,
            in_flight: state.in_flight,
            ..State::default()
        };
    }

    /// The requests that came since these rules are played, in order.
    #[must_use]
    pub fn record(&self) -> Vec<Recorded> {
        self.shared.state().record.clone()
    }

    /// How many of them are such ones.
    #[must_use]
    pub fn count(&self, which: &Which) -> usize {
        let state = self.shared.state();
        let wanted = |request: &&Recorded| which.holds(&request.operation, request.n, request.nth_mutation);
        state.record.iter().filter(wanted).count()
    }

    /// Waits until every request that has come is over.
    ///
    /// # Panics
    /// When that is not so within `within`.
    pub fn quiet(&self, within: Duration) {
        let state = self.shared.state();
        let waited = self.shared.over.wait_timeout_while(state, within, |state| state.in_flight > 0);
        let (state, ended) = waited.unwrap_or_else(PoisonError::into_inner);
        assert!(!ended.timed_out(), "{} requests are not over after {within:?}", state.in_flight);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn decide(&self, request: &Request<Bytes>) -> Decided {
        let operation = Operation::of(request);
        let mut state = self.state();
        state.in_flight += 1;
        let n = state.record.len() + 1;
        state.mutations += usize::from(operation.mutating);
        let nth_mutation = operation.mutating.then_some(state.mutations);
        let (delay, fate) = state.fate(&operation, n, nth_mutation);
        let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
        state.record.push(Recorded {
            n,
            nth_mutation,
            operation: operation.clone(),
            line: format!("{} {path}", request.method()),
            struck: fate.as_ref().map(Fate::name),
            status: None,
            sent: request.body().len(),
            received: 0,
            took: Duration::ZERO,
        });
        Decided { generation: state.generation, n, operation, delay, fate }
    }

    fn finish(&self, decided: &Decided, answer: &Answer, took: Duration) {
        let mut state = self.state();
        state.in_flight -= 1;
        if state.generation == decided.generation {
            let request = &mut state.record[decided.n - 1];
            request.took = took;
            if let Ok(response) = answer {
                request.status = Some(response.status().as_u16());
                request.received = response.body().len();
            }
        }
        self.over.notify_all();
    }

    /// From now on nothing more is heard of whoever sent requests under these rules.
    fn killed(&self, generation: u64) {
        let mut state = self.state();
        state.killed |= state.generation == generation;
    }

    async fn answer(self: Arc<Self>, request: Request<Bytes>) -> Answer {
        let started = Instant::now();
        let decided = self.decide(&request);
        if !decided.delay.is_zero() {
            tokio::time::sleep(decided.delay).await;
        }
        let answer = self.carry_out(&decided, request).await;
        self.finish(&decided, &answer, started.elapsed());
        answer
    }

    async fn carry_out(&self, decided: &Decided, request: Request<Bytes>) -> Answer {
        let Decided { operation, n, .. } = decided;
        let refused = |refusal: Refusal| Ok(refusal.response(operation, *n));
        let Some(fate) = &decided.fate else { return Ok(self.forward(request).await) };
        if let Fate::Fail(Moment::After) | Fate::Drop(Moment::After, _) | Fate::Kill(Moment::After, _) = fate {
            // The effect is wanted, what it said is not.
            self.forward(request.clone()).await;
        }
        match fate {
            Fate::Throttle => refused(Refusal::throttled(operation)),
            Fate::Fail(_) => refused(Refusal::internal(operation)),
            Fate::Answer(refusal) => refused(refusal.clone()),
            Fate::Expire => refused(Refusal::expired(operation)),
            Fate::Drop(_, ending) => Err(Dropped(*ending)),
            Fate::Kill(_, killer) => {
                self.killed(decided.generation);
                kill(killer.clone()).await;
                Err(Dropped(Ending::Reset))
            }
            Fate::Delay(_) => Ok(self.forward(request).await),
        }
    }

    async fn forward(&self, request: Request<Bytes>) -> Response<Bytes> {
        let forwarded = tokio::time::timeout(PATIENCE, self.forwarded(request)).await;
        let problem = match forwarded {
            Ok(Ok(response)) => return response,
            Ok(Err(problem)) => problem.to_string(),
            Err(_) => format!("no answer within {PATIENCE:?}"),
        };
        plain(StatusCode::BAD_GATEWAY, &format!("the proxy of the tests cannot reach {}: {problem}", self.upstream))
    }

    async fn forwarded(
        &self,
        request: Request<Bytes>,
    ) -> Result<Response<Bytes>, Box<dyn std::error::Error + Send + Sync>> {
        let (mut parts, body) = request.into_parts();
        let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
        parts.uri = Uri::builder().scheme("http").authority(self.upstream.to_string()).path_and_query(path).build()?;
        pass_on(&mut parts.headers);
        let (mut parts, body) = self.client.request(Request::from_parts(parts, Full::new(body))).await?.into_parts();
        pass_on(&mut parts.headers);
        Ok(Response::from_parts(parts, Limited::new(body, LARGEST_BODY).collect().await?.to_bytes()))
    }
}

impl State {
    /// How long a request waits, and what becomes of it, if anything does.
    fn fate(&mut self, operation: &Operation, n: usize, nth_mutation: Option<usize>) -> (Duration, Option<Fate>) {
        let nth = self.came.entry(operation.to_string()).or_default();
        *nth += 1;
        if self.killed {
            return (Duration::ZERO, Some(Fate::Drop(Moment::Before, Ending::Reset)));
        }
        let mut delay = Duration::ZERO;
        for (index, rule) in self.rules.rules.iter().enumerate() {
            let drawn = || chance(self.rules.seed, &format!("{index} {operation} {nth}"));
            let exhausted = rule.times.is_some_and(|times| self.struck[index] >= times);
            let meant = !exhausted && rule.which.holds(operation, n, nth_mutation);
            if !meant || (rule.chance < 1.0 && drawn() >= rule.chance) {
                continue;
            }
            self.struck[index] += 1;
            if let Fate::Delay(more) = rule.fate {
                delay += more;
                continue;
            }
            // Nothing with a higher number is forwarded, not even while the kill takes its time.
            self.killed |= matches!(rule.fate, Fate::Kill(Moment::Before, _));
            return (delay, Some(rule.fate.clone()));
        }
        (delay, None)
    }
}

async fn kill(killer: Killer) {
    // It may wait for the program's end. If it panics, the panic is printed, and the program is not dead, which its test sees.
    let _ = tokio::task::spawn_blocking(move || killer.0()).await;
}

/// Takes away what was about the connection that it came by.
fn pass_on(headers: &mut HeaderMap) {
    for name in HOP_BY_HOP {
        headers.remove(name);
    }
}

fn plain(status: StatusCode, text: &str) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(text.to_owned()));
    *response.status_mut() = status;
    response
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        // A peer that has gone before it was accepted is nobody's concern.
        if let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, shared.clone()));
        }
    }
}

/// Answers what comes by one connection, and ends it as the rules want.
async fn serve(stream: TcpStream, shared: Arc<Shared>) {
    // Slower without it, and not wrong.
    let _ = stream.set_nodelay(true);
    let ending = Arc::new(OnceLock::new());
    let service = service_fn(|request| Box::pin(one(shared.clone(), ending.clone(), request)));
    let mut connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    // How it ended is in `ending`, where that matters.
    let _ = poll_fn(|context| connection.poll_without_shutdown(context)).await;
    let mut stream = connection.into_parts().io.into_inner();
    let closed = match ending.get() {
        Some(Ending::Reset) => stream.set_zero_linger(),
        Some(Ending::Close) | None => stream.shutdown().await,
    };
    // The other side may have been faster.
    let _ = closed;
}

async fn one<B>(
    shared: Arc<Shared>,
    ending: Arc<OnceLock<Ending>>,
    request: Request<B>,
) -> Result<Response<Full<Bytes>>, Dropped>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let (parts, body) = request.into_parts();
    let body = match Limited::new(body, LARGEST_BODY).collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) if error.is::<LengthLimitError>() => {
            return Ok(plain(StatusCode::PAYLOAD_TOO_LARGE, "more than the proxy of the tests takes").map(Full::new));
        }
        // It broke off; there is nobody to answer.
        Err(_) => return Err(Dropped(Ending::Close)),
    };
    // Apart from this connection: it may end before the request does.
    let answer = tokio::spawn(shared.answer(Request::from_parts(parts, body))).await;
    match answer {
        Ok(Ok(response)) => Ok(response.map(Full::new)),
        Ok(Err(dropped)) => {
            // A connection is dropped once.
            let _ = ending.set(dropped.0);
            Err(dropped)
        }
        Err(_) => Ok(plain(StatusCode::INTERNAL_SERVER_ERROR, "the proxy of the tests has a bug").map(Full::new)),
    }
}
