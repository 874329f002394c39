//! A demo backend: says who it is and what it was asked, and behaves as it is told.

use super::behaviour::{Behaviour, Conduct, Fail, InvalidBehaviour};
use crate::types::units::Period;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::connect_info::{ConnectInfo, Connected};
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Path, Query, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::serve::IncomingStream;
use futures::stream;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};

/// Bytes of a body that are made at once.
const PART_BYTES: u64 = 64 * 1024;
/// Time between two events.
const EVENT_EVERY: Duration = Duration::from_secs(1);

/// One backend.
struct Backend {
    name: String,
    conduct: Conduct,
}

/// Serves a backend on each of `sockets` for ever; `started` is called once all do.
///
/// # Errors
/// When a runtime or a socket cannot be used.
pub(super) fn serve(
    sockets: Vec<std::net::TcpListener>,
    started: impl FnOnce(),
) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut serving = tokio::task::JoinSet::new();
        for (index, socket) in sockets.into_iter().enumerate() {
            let listener = CuttableListener(TcpListener::from_std(socket)?);
            let app = router(format!("demo-{}", index + 1));
            let service = app.into_make_service_with_connect_info::<Cut>();
            serving.spawn(axum::serve(listener, service).into_future());
        }
        started();
        while let Some(ended) = serving.join_next().await {
            ended??;
        }
        Ok(())
    })
}

fn router(name: String) -> Router {
    let backend = Arc::new(Backend { name, conduct: Conduct::default() });
    Router::new()
        .route("/sse", get(events))
        .route("/bytes/{count}", get(bytes))
        .route("/ws", get(web_socket))
        .fallback(echo)
        .layer(from_fn_with_state(Arc::clone(&backend), behave))
        .route("/_demo/behaviour", get(show).put(put))
        .route("/_demo/fail", post(fail))
        .route("/_demo/slow", post(slow))
        .route("/_demo/heal", post(heal))
        .with_state(backend)
}

type Shared = State<Arc<Backend>>;

/// Is slow or fails if it is the request's turn.
async fn behave(
    State(backend): Shared,
    ConnectInfo(cut): ConnectInfo<Cut>,
    request: Request,
    next: Next,
) -> Response {
    let (latency, fail) = backend.conduct.next();
    if let Some(latency) = latency {
        tokio::time::sleep(latency.as_duration()).await;
    }
    match fail {
        Fail::None => next.run(request).await,
        Fail::Status(status) => {
            json(status, &BTreeMap::from([("backend", &*backend.name), ("fails", "as told")]))
        }
        Fail::Reset => {
            // The answer meets a stream that can only be reset.
            cut.0.store(true, Ordering::Relaxed);
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
        Fail::Hang => std::future::pending().await,
    }
}

#[derive(Serialize)]
struct Echo<'a> {
    backend: &'a str,
    method: &'a str,
    path: &'a str,
    query: Option<&'a str>,
    request_headers: BTreeMap<&'a str, Vec<String>>,
    body_bytes: usize,
}

/// Says who we are and what we were asked. The body is counted, not kept.
async fn echo(State(backend): Shared, request: Request) -> Response {
    use futures::StreamExt;
    let (head, body) = request.into_parts();
    let mut parts = body.into_data_stream();
    let mut body_bytes = 0;
    while let Some(Ok(part)) = parts.next().await {
        body_bytes += part.len();
    }
    let mut request_headers = BTreeMap::<_, Vec<_>>::new();
    for (name, value) in &head.headers {
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        request_headers.entry(name.as_str()).or_default().push(value);
    }
    let echo = Echo {
        backend: &backend.name,
        method: head.method.as_str(),
        path: head.uri.path(),
        query: head.uri.query(),
        request_headers,
        body_bytes,
    };
    json(StatusCode::OK, &echo)
}

#[derive(Deserialize)]
struct Count {
    count: Option<u64>,
}

/// An event each second, the first at once.
async fn events(State(backend): Shared, Query(Count { count }): Query<Count>) -> Response {
    let count = count.unwrap_or(u64::MAX);
    let events = stream::unfold(0, move |sent| {
        let backend = Arc::clone(&backend);
        async move {
            if sent >= count {
                return None;
            }
            if sent > 0 {
                tokio::time::sleep(EVENT_EVERY).await;
            }
            let event = format!("id: {sent}\ndata: {{\"backend\":\"{}\"}}\n\n", backend.name);
            Some((Ok::<_, Infallible>(event), sent + 1))
        }
    });
    let fields = [(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-cache")];
    (fields, Body::from_stream(events)).into_response()
}

/// So many bytes, in parts.
async fn bytes(Path(count): Path<u64>) -> Response {
    let part = Bytes::from(vec![b'.'; usize::try_from(PART_BYTES).unwrap_or_default()]);
    let parts = stream::unfold(count, move |left| {
        let now = usize::try_from(left.min(PART_BYTES)).unwrap_or_default();
        let part = part.slice(..now);
        async move { (now > 0).then_some((Ok::<_, Infallible>(part), left - now as u64)) }
    });
    let fields = [
        (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
        (header::CONTENT_LENGTH, count.to_string()),
    ];
    (fields, Body::from_stream(parts)).into_response()
}

async fn web_socket(upgrade: WebSocketUpgrade) -> Response {
    upgrade.on_upgrade(send_back)
}

async fn send_back(mut socket: WebSocket) {
    while let Some(Ok(message)) = socket.recv().await {
        if matches!(message, Message::Text(_) | Message::Binary(_))
            && socket.send(message).await.is_err()
        {
            return;
        }
    }
}

async fn show(State(backend): Shared) -> Response {
    json(StatusCode::OK, &backend.conduct.behaviour())
}

async fn put(State(backend): Shared, body: Bytes) -> Response {
    match serde_json::from_slice::<Behaviour>(&body) {
        Ok(next) => json(StatusCode::OK, &backend.conduct.change(|behaviour| *behaviour = next)),
        Err(error) => (StatusCode::BAD_REQUEST, format!("{error}\n")).into_response(),
    }
}

#[derive(Deserialize)]
struct FailQuery {
    status: String,
    share: Option<String>,
}

async fn fail(State(backend): Shared, Query(query): Query<FailQuery>) -> Response {
    let parse = || {
        let share = query.share.as_deref().map_or(Ok(Default::default()), str::parse)?;
        Ok::<_, InvalidBehaviour>((query.status.parse()?, share))
    };
    match parse() {
        Ok((fail, share)) => {
            let change =
                |behaviour: &mut Behaviour| (behaviour.fail, behaviour.share) = (fail, share);
            json(StatusCode::OK, &backend.conduct.change(change))
        }
        Err(error) => (StatusCode::BAD_REQUEST, format!("{error}\n")).into_response(),
    }
}

#[derive(Deserialize)]
struct SlowQuery {
    latency: Period,
}

async fn slow(State(backend): Shared, Query(query): Query<SlowQuery>) -> Response {
    let change = |behaviour: &mut Behaviour| behaviour.latency = Some(query.latency);
    json(StatusCode::OK, &backend.conduct.change(change))
}

async fn heal(State(backend): Shared) -> Response {
    json(StatusCode::OK, &backend.conduct.change(|behaviour| *behaviour = Behaviour::default()))
}

/// One line of JSON.
fn json(status: StatusCode, value: &impl Serialize) -> Response {
    match serde_json::to_string(value) {
        Ok(text) => {
            let fields = [(header::CONTENT_TYPE, "application/json")];
            (status, fields, text + "\n").into_response()
        }
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

/// Whether a connection is to be cut. Known to its stream and to its requests.
#[derive(Clone, Debug, Default)]
struct Cut(Arc<AtomicBool>);

impl Connected<IncomingStream<'_, CuttableListener>> for Cut {
    fn connect_info(stream: IncomingStream<'_, CuttableListener>) -> Self {
        stream.remote_addr().clone()
    }
}

/// Accepts connections that can be cut.
struct CuttableListener(TcpListener);

impl axum::serve::Listener for CuttableListener {
    type Io = CuttableStream;
    /// What requests get to know of their connection.
    type Addr = Cut;

    async fn accept(&mut self) -> (CuttableStream, Cut) {
        let (stream, _) = axum::serve::Listener::accept(&mut self.0).await;
        let cut = Cut::default();
        (CuttableStream { stream, cut: cut.clone() }, cut)
    }

    fn local_addr(&self) -> io::Result<Cut> {
        Ok(Cut::default())
    }
}

/// A stream that ends with a reset instead of the next write once it is to be cut.
struct CuttableStream {
    stream: TcpStream,
    cut: Cut,
}

impl CuttableStream {
    fn check(&self) -> io::Result<()> {
        if !self.cut.0.load(Ordering::Relaxed) {
            return Ok(());
        }
        socket2::SockRef::from(&self.stream).set_linger(Some(Duration::ZERO))?;
        Err(io::ErrorKind::ConnectionReset.into())
    }
}

impl AsyncRead for CuttableStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for CuttableStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.check()?;
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check()?;
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
