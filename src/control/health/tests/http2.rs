//! HTTP/2, with TLS and without.

use super::backends::{Act, Authority, Backend};
use super::{SHORT, result};
use crate::control::task::Task;
use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use http::{HeaderMap, Request, Response};
use parking_lot::Mutex;
use rustls::ServerConfig;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// What is answered to each request.
#[derive(Clone)]
pub(super) enum Reply {
    /// Head, body, trailers.
    Whole(Box<Whole>),
    Reset(Reason),
    GoAway,
    /// Nothing.
    Hang,
}

/// A whole answer.
#[derive(Clone)]
pub(super) struct Whole {
    head: Response<()>,
    body: Option<Bytes>,
    trailers: Option<HeaderMap>,
}

impl Reply {
    pub(super) fn whole(
        head: Response<()>,
        body: Option<Bytes>,
        trailers: Option<HeaderMap>,
    ) -> Self {
        Self::Whole(Box::new(Whole { head, body, trailers }))
    }
}

/// What was asked, with the bodies.
type Requests = Arc<Mutex<Vec<(Request<()>, Vec<u8>)>>>;

pub(super) struct Backend2 {
    pub(super) address: SocketAddr,
    pub(super) requests: Requests,
    _task: Task,
}

impl Backend2 {
    pub(super) async fn start(reply: Reply, tls: Option<ServerConfig>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Requests::default();
        let seen = Arc::clone(&requests);
        let tls = tls.map(|config| TlsAcceptor::from(Arc::new(config)));
        let task = Task::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (reply, seen, tls) = (reply.clone(), Arc::clone(&seen), tls.clone());
                tokio::spawn(accept(stream, tls, reply, seen));
            }
        });
        Self { address, requests, _task: task }
    }
}

async fn accept(
    stream: TcpStream,
    tls: Option<TlsAcceptor>,
    reply: Reply,
    seen: Requests,
) -> Option<()> {
    match tls {
        None => serve(stream, reply, seen).await,
        Some(tls) => serve(tls.accept(stream).await.ok()?, reply, seen).await,
    }
}

async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    reply: Reply,
    seen: Requests,
) -> Option<()> {
    let mut connection = h2::server::handshake(stream).await.ok()?;
    let mut held = Vec::new();
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        match reply.clone() {
            Reply::Hang => held.push((request, respond)),
            Reply::Reset(reason) => respond.send_reset(reason),
            Reply::GoAway => connection.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM),
            Reply::Whole(answer) => {
                tokio::spawn(say(*answer, request, respond, Arc::clone(&seen)));
            }
        }
    }
    Some(())
}

async fn say(
    answer: Whole,
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    seen: Requests,
) {
    let (head, mut body) = request.into_parts();
    let mut bytes = Vec::new();
    while let Some(Ok(data)) = body.data().await {
        bytes.extend_from_slice(&data);
    }
    seen.lock().push((Request::from_parts(head, ()), bytes));
    let Whole { head, body, trailers } = answer;
    let mut sending = respond.send_response(head, body.is_none() && trailers.is_none()).unwrap();
    if let Some(body) = body {
        sending.send_data(body, trailers.is_none()).unwrap();
    }
    if let Some(trailers) = trailers {
        // Who has heard enough may have closed.
        drop(sending.send_trailers(trailers));
    }
}

pub(super) fn head(status: u16) -> Response<()> {
    Response::builder().status(status).body(()).unwrap()
}

fn whole(status: u16, body: &'static str) -> Reply {
    Reply::whole(head(status), Some(Bytes::from_static(body.as_bytes())), None)
}

#[tokio::test]
async fn an_answer_by_http2_is_judged_like_any() {
    let huge = Bytes::from("x".repeat(1 << 20));
    for (health, reply, is_pass, reason) in [
        ("", whole(200, "ok"), true, "status 200"),
        ("", Reply::whole(head(204), None, None), true, "status 204"),
        ("", whole(503, "no"), false, "status 503, expected 200-399"),
        ("body = 'ok'", whole(200, "it is ok"), true, "status 200"),
        ("body = 'ok'", whole(200, "no"), false, "body lacks \"ok\""),
        (
            "body = 'ok'",
            Reply::whole(head(200), Some(huge.clone()), None),
            false,
            "body's first 64 KiB lacks \"ok\"",
        ),
        ("", Reply::whole(head(200), Some(huge), None), true, "status 200"),
        (
            "",
            Reply::Reset(Reason::REFUSED_STREAM),
            false,
            "request refused by RST_STREAM: REFUSED_STREAM",
        ),
        ("", Reply::GoAway, false, "connection closed before the answer's head"),
        (SHORT, Reply::Hang, false, "timeout after 200ms (no answer's head)"),
    ] {
        let backend = Backend2::start(reply, None).await;
        let seen = result(&format!("protocol = 'h2'\n{health}"), "", backend.address).await;
        assert_eq!(seen, (is_pass, reason.to_owned()), "{health}");
    }
}

#[tokio::test]
async fn a_request_by_http2_is_what_the_check_says() {
    let backend = Backend2::start(whole(200, "ok"), None).await;
    let health = "path = '/up?full=1'\nhost = 'a.test'\nheaders = { x-probe = 'yes' }";
    // As the pool speaks.
    assert!(result(health, "protocol = 'h2'", backend.address).await.0);
    let (request, _) = backend.requests.lock().remove(0);
    assert_eq!(request.uri(), "http://a.test/up?full=1");
    assert_eq!(
        (request.method(), &request.headers()["x-probe"]),
        (&http::Method::GET, &"yes".parse().unwrap())
    );
    assert!(!request.headers().contains_key("connection"));
}

#[tokio::test]
async fn one_that_speaks_no_http2_is_named() {
    let answer = "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n";
    let backend = Backend::start(vec![Act::Read, Act::Say(answer.into()), Act::Wait]).await;
    let (is_pass, why) = result("protocol = 'h2'", "", backend.address).await;
    assert!(!is_pass && why.starts_with("the answer is not HTTP/2"), "{why}");
}

#[tokio::test]
async fn with_tls_the_backend_has_to_agree_to_http2() {
    let ours = Authority::new();
    super::compile("", "");
    for (alpn, want) in [
        (&["h2"] as &[&str], (true, "status 200")),
        (&["h2", "http/1.1"], (true, "status 200")),
        (&[], (false, "tls: the backend does not agree to h2 (ALPN)")),
        (&["http/1.1"], (false, "tls: the backend refused: NoApplicationProtocol")),
    ] {
        let config = ours.config("127.0.0.1", 1, alpn);
        let backend = Backend2::start(whole(200, "ok"), Some(config)).await;
        let seen = result("protocol = 'h2'", &ours.pool(""), backend.address).await;
        assert_eq!(seen, (want.0, want.1.to_owned()), "{alpn:?}");
    }
}
