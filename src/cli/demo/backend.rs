//! Backend: one demo backend, and what it answers.
//!
//! It shows in JSON what reached it, streams, echoes WebSocket messages, is slow when asked,
//! and misbehaves once told to (`behaviour`). The last segments of a path decide, so that all
//! of it also works below a route's path. It keeps nothing. To add a path: a case in
//! [`Ask::of`], its answer in [`Backend::answer`], and its line in the help of `demo`.

use super::behaviour::{ACCEPTED, Behaviour, Decision, Fault};
use super::cut::{Cut, CuttableListener};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::ws::{WebSocket, WebSocketUpgrade, rejection::WebSocketUpgradeRejection};
use axum::extract::{ConnectInfo, Query, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures::StreamExt;
use parking_lot::Mutex;
use serde::Serialize;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;

/// Where the behaviour is switched.
pub(super) const BEHAVIOUR_PATH: &str = "/_demo/behaviour";
/// Most bytes that `/bytes/N` sends: 1 GiB.
const BYTES_MAX: u64 = 1 << 30;
/// Longest wait of `/slow/MS`: 10 minutes.
const SLOW_MS_MAX: u64 = 600_000;
const CHUNK: &[u8] = &[b'x'; 64 * 1024];

/// One demo backend.
pub(super) struct Backend {
    name: String,
    state: Mutex<Switched>,
}

/// The behaviour, and how many requests came since it was set.
#[derive(Default)]
struct Switched {
    behaviour: Behaviour,
    requests: u64,
}

impl Backend {
    /// A backend that calls itself `name` and behaves well.
    pub(super) fn new(name: String) -> Self {
        Self { name, state: Mutex::default() }
    }

    /// Answers what comes to `listener`, without end.
    ///
    /// # Errors
    /// When serving ends by itself, which it does not.
    pub(super) async fn serve(self, listener: TcpListener) -> std::io::Result<()> {
        let switch = get(show).put(set).delete(reset).fallback(wrong_method);
        let router = Router::new()
            .route(BEHAVIOUR_PATH, switch)
            .fallback(any)
            .with_state(Arc::new(self))
            .into_make_service_with_connect_info::<Cut>();
        axum::serve(CuttableListener(listener), router).await
    }

    fn decide(&self) -> Decision {
        let mut state = self.state.lock();
        let decision = state.behaviour.decide(state.requests);
        state.requests = state.requests.saturating_add(1);
        decision
    }

    fn switch(&self, behaviour: Behaviour) -> Response {
        *self.state.lock() = Switched { behaviour, requests: 0 };
        self.shown()
    }

    fn shown(&self) -> Response {
        #[derive(Serialize)]
        struct Shown<'a> {
            backend: &'a str,
            behaviour: &'a Behaviour,
            requests: u64,
        }
        let state = self.state.lock();
        let (behaviour, requests) = (&state.behaviour, state.requests);
        json(&Shown { backend: &self.name, behaviour, requests })
    }

    async fn answer(&self, ask: Ask, request: Request, upgrade: Upgrade) -> Response {
        match ask {
            Ask::Bytes(count) => bytes(count),
            Ask::Events => events(&self.name),
            Ask::Mirror => match upgrade {
                Ok(upgrade) => upgrade.on_upgrade(echo),
                Err(_) => self.mirror(request).await,
            },
            Ask::Slow(delay) => {
                tokio::time::sleep(delay).await;
                self.mirror(request).await
            }
            Ask::Wrong(why) => (StatusCode::BAD_REQUEST, why).into_response(),
        }
    }

    /// What reached this backend. The body is read to its end and only counted.
    async fn mirror(&self, request: Request) -> Response {
        #[derive(Serialize)]
        struct Mirrored<'a> {
            backend: &'a str,
            method: &'a str,
            path: &'a str,
            headers: BTreeMap<&'a str, String>,
            body_bytes: u64,
        }
        let (head, body) = request.into_parts();
        let mut body = body.into_data_stream();
        let mut body_bytes = 0_u64;
        while let Some(Ok(chunk)) = body.next().await {
            body_bytes = body_bytes.saturating_add(u64::try_from(chunk.len()).unwrap_or(u64::MAX));
        }
        json(&Mirrored {
            backend: &self.name,
            method: head.method.as_str(),
            path: head.uri.path_and_query().map_or("/", |path| path.as_str()),
            headers: joined(&head.headers),
            body_bytes,
        })
    }
}

type Upgrade = Result<WebSocketUpgrade, WebSocketUpgradeRejection>;

/// What a path asks for.
#[derive(Clone, Debug, PartialEq)]
enum Ask {
    /// So many bytes.
    Bytes(u64),
    /// Server-sent events.
    Events,
    /// What reached the backend; or a WebSocket.
    Mirror,
    /// The same, later.
    Slow(Duration),
    /// Something that no path means.
    Wrong(String),
}

impl Ask {
    fn of(path: &str) -> Self {
        let mut from_the_end = path.rsplit('/');
        let last = from_the_end.next().unwrap_or_default();
        match (from_the_end.next(), last) {
            (_, "sse") => Self::Events,
            (Some("bytes"), count) => match number(count, BYTES_MAX) {
                Some(count) => Self::Bytes(count),
                None => Self::Wrong(format!("/bytes/{count}: expected 0 to {BYTES_MAX} bytes\n")),
            },
            (Some("slow"), ms) => match number(ms, SLOW_MS_MAX) {
                Some(ms) => Self::Slow(Duration::from_millis(ms)),
                None => Self::Wrong(format!(
                    "/slow/{ms}: expected milliseconds from 0 to {SLOW_MS_MAX}, like /slow/250\n"
                )),
            },
            _ => Self::Mirror,
        }
    }
}

fn number(text: &str, max: u64) -> Option<u64> {
    text.parse().ok().filter(|number| *number <= max)
}

async fn any(
    State(backend): State<Arc<Backend>>,
    ConnectInfo(cut): ConnectInfo<Cut>,
    upgrade: Upgrade,
    request: Request,
) -> Response {
    let decision = backend.decide();
    if let Some(latency) = decision.latency {
        tokio::time::sleep(latency).await;
    }
    match decision.fault {
        Some(Fault::Hang(_)) => std::future::pending().await,
        Some(Fault::Reset(_)) => {
            cut.pull();
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
        Some(Fault::Status(status)) => StatusCode::from_u16(status)
            .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
            .into_response(),
        None => backend.answer(Ask::of(request.uri().path()), request, upgrade).await,
    }
}

async fn show(State(backend): State<Arc<Backend>>) -> Response {
    backend.shown()
}

async fn set(
    State(backend): State<Arc<Backend>>,
    headers: HeaderMap,
    Query(pairs): Query<Vec<(String, String)>>,
) -> Response {
    if let Some(refusal) = through_a_proxy(&headers) {
        return refusal;
    }
    match Behaviour::from_pairs(&pairs) {
        Ok(behaviour) => backend.switch(behaviour),
        Err(why) => (StatusCode::BAD_REQUEST, why + "\n").into_response(),
    }
}

async fn reset(State(backend): State<Arc<Backend>>, headers: HeaderMap) -> Response {
    match through_a_proxy(&headers) {
        Some(refusal) => refusal,
        None => backend.switch(Behaviour::default()),
    }
}

/// Through the proxy nobody could say which backend he switched.
fn through_a_proxy(headers: &HeaderMap) -> Option<Response> {
    let is_forwarded = headers.contains_key("x-forwarded-for");
    let why = "this came through a proxy, to any of the backends: ask one on its own port\n";
    is_forwarded.then(|| (StatusCode::MISDIRECTED_REQUEST, why).into_response())
}

async fn wrong_method() -> Response {
    let why = format!("expected GET, DELETE, or PUT with {ACCEPTED}\n");
    let allow = [(header::ALLOW, "GET, PUT, DELETE")];
    (StatusCode::METHOD_NOT_ALLOWED, allow, why).into_response()
}

/// An event each second, the first at once.
fn events(name: &str) -> Response {
    let name = name.to_owned();
    let ticks = tokio::time::interval(Duration::from_secs(1));
    let events = futures::stream::unfold((ticks, 1_u64), move |(mut ticks, number)| {
        let name = name.clone();
        async move {
            ticks.tick().await;
            let event = Event::default().id(number.to_string()).data(format!("{name} {number}"));
            Some((Ok::<_, Infallible>(event), (ticks, number + 1)))
        }
    });
    Sse::new(events).into_response()
}

/// So many bytes, a chunk at a time.
fn bytes(count: u64) -> Response {
    let chunks = futures::stream::unfold(count, |left| async move {
        let length = usize::try_from(left).unwrap_or(usize::MAX).min(CHUNK.len());
        let chunk = CHUNK.get(..length).filter(|chunk| !chunk.is_empty())?;
        let rest = left.saturating_sub(u64::try_from(length).unwrap_or(left));
        Some((Ok::<_, Infallible>(Bytes::from_static(chunk)), rest))
    });
    let fields = [
        (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
        (header::CONTENT_LENGTH, count.to_string()),
    ];
    (fields, Body::from_stream(chunks)).into_response()
}

/// Sends back each message of a WebSocket.
async fn echo(mut socket: WebSocket) {
    use axum::extract::ws::Message;
    while let Some(Ok(message)) = socket.recv().await {
        // Pings are answered, and closes are confirmed, by the library.
        let is_content = matches!(message, Message::Text(_) | Message::Binary(_));
        if is_content && socket.send(message).await.is_err() {
            return;
        }
    }
}

/// The fields by name; the values of one name joined by a comma.
fn joined(headers: &HeaderMap) -> BTreeMap<&str, String> {
    let mut fields: BTreeMap<&str, String> = BTreeMap::new();
    for (name, value) in headers {
        let text = String::from_utf8_lossy(value.as_bytes());
        fields
            .entry(name.as_str())
            .and_modify(|values| {
                values.push_str(", ");
                values.push_str(&text);
            })
            .or_insert_with(|| text.clone().into_owned());
    }
    fields
}

fn json(value: &impl Serialize) -> Response {
    match serde_json::to_string(value) {
        Ok(text) => ([(header::CONTENT_TYPE, "application/json")], text + "\n").into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_segments_of_a_path_say_what_is_asked_for() {
        for (path, ask) in [
            ("/", Ask::Mirror),
            ("/any/thing", Ask::Mirror),
            ("/bytes", Ask::Mirror),
            ("/sse", Ask::Events),
            ("/api/sse", Ask::Events),
            ("/bytes/0", Ask::Bytes(0)),
            ("/api/bytes/1073741824", Ask::Bytes(BYTES_MAX)),
            ("/slow/250", Ask::Slow(Duration::from_millis(250))),
        ] {
            assert_eq!(Ask::of(path), ask, "{path}");
        }
        for path in ["/bytes/1073741825", "/bytes/x", "/bytes/", "/slow/-1", "/slow/600001"] {
            assert!(matches!(Ask::of(path), Ask::Wrong(_)), "{path}");
        }
    }
}
