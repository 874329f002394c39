//! Fetching a set of keys: one GET by HTTP/1.1, bounded in time and size. No redirects: whose keys
//! are believed says the config, not whoever answers.

use crate::config::HttpUrl;
use bytes::Bytes;
use http::header::{ACCEPT, CACHE_CONTROL, CONNECTION, HOST, USER_AGENT};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// The longest a fetch may take, from the name's look-up to the last byte.
const TIME_MAX: Duration = Duration::from_secs(5);
/// The longest answer.
const BODY_BYTES_MAX: usize = 1024 * 1024;
/// What the issuer sees of who asks.
const AGENT: &str = concat!("vanne/", env!("CARGO_PKG_VERSION"));

/// A set of keys as it came.
pub(super) struct Fetched {
    /// Its text.
    pub(super) text: Bytes,
    /// How long it may be kept, if it says (RFC 9111 §5.2.2.1).
    pub(super) max_age: Option<Duration>,
}

/// Fetches what is at `url`.
///
/// # Errors
/// Why there is nothing, in words.
pub(super) async fn fetch(
    url: &HttpUrl,
    tls: Option<&Arc<ClientConfig>>,
) -> Result<Fetched, String> {
    let fetched = tokio::time::timeout(TIME_MAX, get(url, tls)).await;
    fetched.unwrap_or_else(|_elapsed| Err(format!("nothing within {TIME_MAX:?}")))
}

async fn get(url: &HttpUrl, tls: Option<&Arc<ClientConfig>>) -> Result<Fetched, String> {
    let host = url.host();
    let connected = TcpStream::connect((host.trim_matches(['[', ']']), url.port())).await;
    let stream = connected.map_err(|error| format!("connect: {error}"))?;
    match tls {
        None => ask(stream, url).await,
        Some(tls) => {
            let name = ServerName::try_from(host.trim_matches(['[', ']']).to_owned());
            let name = name.map_err(|_form| "its host is no name for TLS".to_owned())?;
            let connected = TlsConnector::from(Arc::clone(tls)).connect(name, stream).await;
            ask(connected.map_err(|error| format!("tls: {error}"))?, url).await
        }
    }
}

async fn ask(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    url: &HttpUrl,
) -> Result<Fetched, String> {
    let shaken = http1::Builder::new().handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = shaken.map_err(|error| error.to_string())?;
    // It ends with the fetch: nobody else would drive it.
    let driving = super::super::task::Task::spawn(async move { drop(connection.await) });
    let request = http::Request::get(url.path())
        .header(HOST, url.authority())
        .header(ACCEPT, "application/jwk-set+json, application/json")
        .header(USER_AGENT, AGENT)
        .header(CONNECTION, "close")
        .body(Empty::<Bytes>::new())
        .map_err(|error| error.to_string())?;
    let answer = sender.send_request(request).await.map_err(|error| error.to_string())?;
    if answer.status() != 200 {
        return Err(format!("status {}", answer.status().as_u16()));
    }
    let max_age = answer.headers().get_all(CACHE_CONTROL).iter().find_map(|value| {
        let mut parts = value.to_str().ok()?.split(',').map(str::trim);
        let seconds = parts.find_map(|part| part.strip_prefix("max-age="))?;
        seconds.parse().ok().map(Duration::from_secs)
    });
    let body = Limited::new(answer.into_body(), BODY_BYTES_MAX).collect().await;
    let text = body.map_err(|error| format!("its answer: {error}"))?.to_bytes();
    drop(driving);
    Ok(Fetched { text, max_age })
}
