//! Copies of requests, and how they are sent: by tasks of their own, on connections of their
//! own, so that no request ever waits for its copy.

use super::peer::peer_of;
use crate::data::balance::Choice;
use crate::data::mirror::{BODY_BYTES_MAX, MARK, Mirror, Mirrored, UnderWay};
use crate::data::pool::{Picked, Pool};
use crate::data::upstream::Attempt;
use crate::types::clock;
use crate::types::ids::RouteId;
use crate::types::moment::Moment;
use bytes::{Bytes, BytesMut};
use http::{HeaderValue, Version, header};
use pingora_core::connectors::http::Connector;
use pingora_core::protocols::http::client::HttpSession;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_error::{Error, ErrorType, Result};
use pingora_http::RequestHeader;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// The longest a copy may take, from its connection to its answer's last byte.
const TIME_MAX: Duration = Duration::from_secs(30);
/// Bytes of an answer that are read, to keep the connection; after more it is closed.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;
/// Informational answers that are passed over.
const INFORMATIONAL_MAX: usize = 8;

/// One worker's connections for copies; none before the first copy.
#[derive(Default)]
pub(super) struct Mirrors(OnceLock<Connector>);

/// A copy that is being made.
pub(super) struct Copying {
    mirror: Arc<Mirror>,
    head: RequestHeader,
    body: BytesMut,
    is_too_large: bool,
}

impl Copying {
    /// A copy of the request with this `head`, as it goes to its own backend.
    pub(super) fn begin(
        mirror: Arc<Mirror>,
        route: &RouteId,
        head: &RequestHeader,
    ) -> Result<Self> {
        let mut head = head.clone();
        head.insert_header(MARK, route.as_str())?;
        Ok(Self { mirror, head, body: BytesMut::new(), is_too_large: false })
    }

    /// Adds a part of the body.
    pub(super) fn push(&mut self, part: &Bytes) {
        self.is_too_large |= self.body.len() + part.len() > BODY_BYTES_MAX;
        if self.is_too_large {
            self.body = BytesMut::new();
        } else {
            self.body.extend_from_slice(part);
        }
    }
}

impl Mirrors {
    /// Sends a copy that is whole, if there is room for it. Never waits.
    pub(super) fn send(self: &Arc<Self>, copy: Copying) {
        let mirror = Arc::clone(&copy.mirror);
        if copy.is_too_large {
            return mirror.count(Mirrored::TooLarge);
        }
        let Some(place) = mirror.begin() else { return mirror.count(Mirrored::TooMany) };
        let mirrors = Arc::clone(self);
        tokio::spawn(async move {
            let outcome = mirrors.exchange(&mirror, copy, &place).await;
            mirror.count(outcome);
        });
    }

    async fn exchange(&self, mirror: &Mirror, copy: Copying, _: &UnderWay) -> Mirrored {
        let pool = &mirror.pool;
        let now = Moment::of(clock::now());
        let random = fastrand::u64(..);
        let choice = Choice { key: random, random, now, ..Choice::default() };
        let Picked::Backend(place) = pool.live.pick(&choice) else { return Mirrored::NoBackend };
        let attempt = Attempt {
            backend: Arc::clone(place.backend()),
            connect_timeout: pool.timeouts.connect,
            idle_timeout: pool.timeouts.idle,
            wire: Arc::clone(&pool.wire),
            body_max: 0,
        };
        let mut peer = peer_of(&attempt);
        peer.options.set_http_version(1, 1);
        let body = copy.body.freeze();
        let sent = async {
            let head = for_http1(copy.head, body.len())?;
            self.try_twice(pool, &peer, &head, &body).await
        };
        match tokio::time::timeout(TIME_MAX, sent).await {
            Ok(Ok(())) => Mirrored::Answered,
            Ok(Err(error)) => {
                tracing::debug!(pool = %pool.id, %error, "copy of a request failed");
                Mirrored::Failed
            }
            Err(_) => Mirrored::Failed,
        }
    }

    /// A kept connection may close under a request: then it is sent on another one.
    async fn try_twice(
        &self,
        pool: &Pool,
        peer: &HttpPeer,
        head: &RequestHeader,
        body: &Bytes,
    ) -> Result<()> {
        let connector = self.0.get_or_init(|| Connector::new(None));
        let (session, is_reused) = connector.get_http_session(peer).await?;
        let session = match send(session, pool, head, body).await {
            Err(_) if is_reused => {
                let (session, _) = connector.get_http_session(peer).await?;
                send(session, pool, head, body).await?
            }
            sent => sent?,
        };
        if let Some(session) = session {
            connector.release_http_session(session, peer, Some(pool.timeouts.idle)).await;
        }
        Ok(())
    }
}

/// Sends a request and reads its answer away. The session, if it can carry another one.
async fn send(
    mut session: HttpSession,
    pool: &Pool,
    head: &RequestHeader,
    body: &Bytes,
) -> Result<Option<HttpSession>> {
    session.set_write_timeout(Some(pool.timeouts.between_bytes));
    session.set_read_timeout(Some(pool.timeouts.first_byte));
    session.write_request_header(Box::new(head.clone())).await?;
    if !body.is_empty() {
        session.write_request_body(body.clone(), true).await?;
    }
    session.finish_request_body().await?;
    for _ in 0..INFORMATIONAL_MAX {
        session.read_response_header().await?;
        if session.response_header().is_some_and(|head| !head.status.is_informational()) {
            break;
        }
    }
    session.set_read_timeout(Some(pool.timeouts.between_bytes));
    let mut count = 0;
    while let Some(part) = session.read_response_body().await? {
        count += part.len();
        if count > ANSWER_BYTES_MAX {
            session.shutdown().await;
            return Ok(None);
        }
    }
    Ok(Some(session))
}

/// The head of a copy with a body of `length`, for a backend that speaks HTTP/1.1.
fn for_http1(mut head: RequestHeader, length: usize) -> Result<RequestHeader> {
    head.set_version(Version::HTTP_11);
    for name in [header::TRANSFER_ENCODING, header::EXPECT, header::TE, header::CONNECTION] {
        head.remove_header(&name);
    }
    if length > 0 || head.headers.contains_key(header::CONTENT_LENGTH) {
        head.insert_header(header::CONTENT_LENGTH, length)?;
    }
    if !head.headers.contains_key(header::HOST) {
        let host = head.uri.authority().map(|host| host.as_str().to_owned()).unwrap_or_default();
        let host = HeaderValue::try_from(host)
            .map_err(|error| Error::because(ErrorType::InvalidHTTPHeader, "host", error))?;
        head.insert_header(header::HOST, host)?;
    }
    debug_assert!(head.headers.contains_key(MARK));
    Ok(head)
}
