//! The codec beside hyper: a whole implementation of others, as a server and as a client.
//!
//! hyper reads the same bytes. What the codec accepts hyper must take for the same: method, target
//! or status, version, fields, the body and where it ends, trailers; and message by message, so
//! that both see the same number of them. What the codec refuses is not compared: it is meant to
//! be stricter. What hyper does otherwise with something that we accept is in [`is_known`] and
//! [`as_hyper_has_it`], each with its reason. Used by the corpus and by the fuzz target
//! `wire_hyper`; a function panics if it does not hold.

use crate::reading::{self, End, Message};
use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::{Request, Response, Uri, Version};
use hyper_util::rt::TokioIo;
use std::cell::RefCell;
use std::convert::Infallible;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::runtime::Runtime;

/// As many as we take.
const FIELDS_MAX: usize = 256;
/// hyper keeps the two numbers above it for bodies without a length.
const HYPER_LENGTH_MAX: u64 = u64::MAX - 2;

thread_local! {
    static RUNTIME: Runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
}

/// What we take for requests hyper's server takes for the same ones.
pub fn requests_are_read_alike(bytes: &[u8]) {
    let ours = reading::requests(bytes, bytes.len().max(1));
    if ours.is_empty() {
        return;
    }
    let theirs = RUNTIME.with(|runtime| runtime.block_on(server(bytes)));
    for (index, ours) in ours.iter().enumerate() {
        if is_known(ours) {
            return;
        }
        let Some(theirs) = theirs.get(index) else {
            panic!("hyper does not read {ours:?} in {}", bytes.escape_ascii());
        };
        alike(&as_hyper_has_it(ours.clone()), theirs, bytes);
        // Nothing is read behind the last one on a connection.
        if closes(ours) {
            return;
        }
    }
}

/// What we take for an answer hyper's client takes for the same.
pub fn an_answer_is_read_alike(bytes: &[u8]) {
    for is_to_head in [false, true] {
        let ours = reading::answers(bytes, is_to_head, bytes.len().max(1));
        let is_final = |answer: &Message| {
            answer.line == "101" || answer.line.as_bytes().first() != Some(&b'1')
        };
        let Some(ours) = ours.last().filter(|answer| is_final(answer) && !is_known(answer)) else {
            continue;
        };
        let theirs = RUNTIME.with(|runtime| runtime.block_on(client(bytes, is_to_head)));
        let Some(theirs) = theirs else {
            panic!("hyper does not read {ours:?} in {}", bytes.escape_ascii());
        };
        alike(ours, &theirs, bytes);
    }
}

/// What hyper refuses, and we do not.
fn is_known(message: &Message) -> bool {
    let all = |name| message.fields.iter().filter(move |(other, _)| other == name);
    let too_long = all("content-length").any(|(_, length)| {
        let length = str::from_utf8(length).ok().and_then(|digits| digits.parse::<u64>().ok());
        length.is_some_and(|length| length > HYPER_LENGTH_MAX)
    });
    // Refused by policy, whatever its target is; that is a later stage's matter.
    let is_connect = message.line.starts_with("CONNECT ");
    // What the crate `http` cannot hold: a byte that browsers send (`), a port that is none.
    let (_, target) = message.line.split_once(' ').unwrap_or(("", "/"));
    too_long || is_connect || target.parse::<Uri>().is_err()
}

/// `message` with its target as the crate `http` writes it: the scheme in lower case, and a path
/// where an absolute target has none.
fn as_hyper_has_it(mut message: Message) -> Message {
    let (method, target) = message.line.split_once(' ').unwrap_or_default();
    if let Some((scheme, rest)) = target.split_once("://").filter(|_| !target.starts_with('/')) {
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (host, rest) = rest.split_at(end);
        let slash = if rest.starts_with('/') { "" } else { "/" };
        message.line = format!("{method} {}://{host}{slash}{rest}", scheme.to_ascii_lowercase());
    }
    message
}

/// Whether no request can follow this one (RFC 9112 §9.3).
fn closes(message: &Message) -> bool {
    let said = message.fields.iter().filter(|(name, _)| name == "connection");
    let said: Vec<_> = said.flat_map(|(_, value)| value.split(|byte| *byte == b',')).collect();
    let says = |word: &[u8]| said.iter().any(|one| one.trim_ascii().eq_ignore_ascii_case(word));
    says(b"close") || !(message.is_http_11 || says(b"keep-alive"))
}

fn alike(ours: &Message, theirs: &Message, bytes: &[u8]) {
    let shown = || format!("{ours:?}\n{theirs:?}\nin {}", bytes.escape_ascii());
    let heads = |one: &Message| (one.line.clone(), one.is_http_11, one.fields.clone());
    assert_eq!(heads(ours), heads(theirs), "{}", shown());
    match ours.end {
        End::Whole => {
            let rest = |one: &Message| (one.body.clone(), one.trailers.clone(), one.end);
            assert_eq!(rest(ours), rest(theirs), "{}", shown());
        }
        End::Cut => {
            assert!(theirs.end != End::Whole && theirs.body == ours.body, "{}", shown());
        }
        // Who reads on where we do not has read the same up to there.
        End::Malformed => {
            let (ours, theirs) = (&ours.body, &theirs.body);
            assert!(ours.starts_with(theirs) || theirs.starts_with(ours), "{}", shown());
        }
    }
}

/// The requests that hyper's server reads.
async fn server(bytes: &[u8]) -> Vec<Message> {
    let (client, server) = tokio::io::duplex(bytes.len());
    let read = RefCell::new(Vec::new());
    let service = hyper::service::service_fn(async |request: Request<Incoming>| {
        let (head, body) = request.into_parts();
        let line = format!("{} {}", head.method, head.uri);
        let message = message(line, head.version, &head.headers, body).await;
        read.borrow_mut().push(message);
        let mut answer = Response::new(Empty::<Bytes>::new());
        *answer.status_mut() = hyper::StatusCode::NOT_FOUND;
        Ok::<_, Infallible>(answer)
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .half_close(true)
        .max_headers(FIELDS_MAX)
        .serve_connection(TokioIo::new(server), service);
    // What it makes of the end does not matter.
    let (_, ()) = tokio::join!(connection, give(client, bytes, false));
    read.into_inner()
}

/// The final answer that hyper's client reads.
async fn client(bytes: &[u8], is_to_head: bool) -> Option<Message> {
    let (ours, theirs) = tokio::io::duplex(bytes.len().max(256));
    let (mut sender, connection) = hyper::client::conn::http1::Builder::new()
        .max_headers(FIELDS_MAX)
        .handshake(TokioIo::new(theirs))
        .await
        .ok()?;
    let request = Request::builder()
        .method(if is_to_head { "HEAD" } else { "GET" })
        .header("host", "a")
        .body(Empty::<Bytes>::new())
        .ok()?;
    let ask = async move {
        let (head, body) = sender.send_request(request).await.ok()?.into_parts();
        let line = head.status.as_u16().to_string();
        Some(message(line, head.version, &head.headers, body).await)
    };
    let (answer, _, ()) = tokio::join!(ask, connection, give(ours, bytes, true));
    answer
}

/// Gives `bytes` to the other side, after a request or at once, and takes all it says.
async fn give(mut stream: DuplexStream, bytes: &[u8], after_request: bool) {
    let mut taken = Vec::new();
    while after_request && !taken.ends_with(b"\r\n\r\n") {
        if !matches!(stream.read_buf(&mut taken).await, Ok(1..)) {
            return;
        }
    }
    let (mut reader, mut writer) = tokio::io::split(stream);
    let give = async {
        // It may not want all of it.
        drop(writer.write_all(bytes).await);
        drop(writer.shutdown().await);
    };
    let (_, ()) = tokio::join!(reader.read_to_end(&mut taken), give);
}

async fn message(
    line: String,
    version: Version,
    fields: &hyper::HeaderMap,
    mut body: Incoming,
) -> Message {
    let mut message = Message {
        line,
        is_http_11: version == Version::HTTP_11,
        fields: sorted(fields),
        ..Message::default()
    };
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else {
            message.end = End::Cut;
            break;
        };
        match frame.into_data() {
            Ok(data) => message.body.extend_from_slice(&data),
            Err(frame) => message.trailers = frame.trailers_ref().map(sorted).unwrap_or_default(),
        }
    }
    message
}

fn sorted(fields: &hyper::HeaderMap) -> Vec<(String, Vec<u8>)> {
    let pair = |(name, value): (&hyper::header::HeaderName, &hyper::header::HeaderValue)| {
        (name.as_str().to_owned(), value.as_bytes().trim_ascii_end().to_vec())
    };
    let mut all: Vec<_> = fields.iter().map(pair).collect();
    all.sort_by(|one, other| one.0.cmp(&other.0));
    all
}
