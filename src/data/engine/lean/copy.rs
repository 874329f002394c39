//! Copies of requests for mirrors: made beside the request, by whichever engine, and sent once
//! they are whole, by tasks of their own, so that no request ever waits for its copy.

use super::checked::Checked;
use super::heads::{Fields, each_field, write_field};
use super::lane::Stop;
use super::link::Offer;
use crate::data::balance::Choice;
use crate::data::exchange::Exchange;
use crate::data::listener::carrier::Cell;
use crate::data::mirror::{BODY_BYTES_MAX, MARK, Mirror, Mirrored};
use crate::data::pool::{Picked, Pool};
use crate::data::upstream::{Attempt, Fault};
use crate::types::clock;
use crate::types::moment::Moment;
use crate::wire::chunked::ChunkScan;
use http::{HeaderName, header};
use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::ReadBuf;
use vanne_filters::HeadEdits;

/// The longest a copy may take, from its connection to its answer's last byte.
const TIME_MAX: Duration = Duration::from_secs(30);
/// Bytes of an answer that are read, to keep the connection; after more it is closed.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;
/// Bytes that are read at once.
const PART_BYTES: usize = 8 * 1024;
/// Fields of the request that its copy goes without: its body is here, and its length known. The
/// mark is ours to give.
const NOT_COPIED: [HeaderName; 6] = [
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::EXPECT,
    header::TE,
    header::TRANSFER_ENCODING,
    MARK,
];

/// The copy of a request that is being made, if there is one.
#[derive(Default)]
pub struct Copying(Option<Box<Made>>);

/// What there is of it.
struct Made {
    mirror: Arc<Mirror>,
    is_head: bool,
    /// The head, but for the length and the empty line.
    head: Vec<u8>,
    /// The request said how long it is.
    has_length: bool,
    body: Vec<u8>,
    is_too_large: bool,
    chunks: ChunkScan,
}

impl Copying {
    /// A copy of a request, if its route has a mirror: as it goes to its own backend, for this
    /// target and with these fields after `edits`.
    /// Cost: without a mirror none to speak of.
    pub fn begin<'a>(
        exchange: &Exchange,
        method: &str,
        target: &[u8],
        fields: impl Fields<'a>,
        edits: &'a HeadEdits,
    ) -> Self {
        Self(Made::begin(exchange, method, target, fields, edits).map(Box::new))
    }

    /// Adds a part of the body.
    pub fn push(&mut self, part: &[u8]) {
        if let Some(made) = &mut self.0 {
            made.push(part);
        }
    }

    /// Adds a part of the body as it came: in chunks with what frames them, or not.
    pub fn push_framed(&mut self, part: &[u8], is_chunked: bool) {
        match &mut self.0 {
            Some(made) if is_chunked => made.push_chunks(part),
            Some(made) => made.push(part),
            None => {}
        }
    }

    /// Sends the copy of the request of `cell`, which is whole: once, however often it is tried,
    /// and if there is room for it. Never waits.
    pub fn send(&mut self, cell: &Cell) {
        if let Some(made) = self.0.take()
            && cell.with_exchange(Exchange::claim_mirror) == Some(true)
        {
            made.send();
        }
    }
}

impl Made {
    fn begin<'a>(
        exchange: &Exchange,
        method: &str,
        target: &[u8],
        fields: impl Fields<'a>,
        edits: &'a HeadEdits,
    ) -> Option<Self> {
        let mirror = Arc::clone(exchange.mirror()?);
        let route = &exchange.route()?.id;
        let mut head = Vec::with_capacity(1024);
        head.extend_from_slice(method.as_bytes());
        head.push(b' ');
        head.extend_from_slice(target);
        head.extend_from_slice(b" HTTP/1.1\r\n");
        let mut has_length = false;
        each_field(fields, edits, |name, value| {
            let name = name.as_bytes();
            let is = |wanted: &HeaderName| name.eq_ignore_ascii_case(wanted.as_str().as_bytes());
            has_length |= is(&header::CONTENT_LENGTH);
            if !NOT_COPIED.iter().any(is) {
                write_field(&mut head, name, value);
            }
        });
        write_field(&mut head, MARK.as_str().as_bytes(), route.as_str().as_bytes());
        Some(Self {
            mirror,
            is_head: method == "HEAD",
            head,
            has_length,
            body: Vec::new(),
            is_too_large: false,
            chunks: ChunkScan::default(),
        })
    }

    fn push(&mut self, part: &[u8]) {
        self.is_too_large |= self.body.len() + part.len() > BODY_BYTES_MAX;
        if self.is_too_large {
            self.body = Vec::new();
        } else {
            self.body.extend_from_slice(part);
        }
    }

    fn push_chunks(&mut self, part: &[u8]) {
        let mut chunks = self.chunks;
        let read = chunks.each_data(part, |data| self.push(data));
        debug_assert!(read.is_ok(), "they were checked before");
        self.chunks = chunks;
    }

    fn send(mut self: Box<Self>) {
        if self.is_too_large {
            return self.mirror.count(Mirrored::TooLarge);
        }
        let Some(place) = self.mirror.begin() else {
            return self.mirror.count(Mirrored::TooMany);
        };
        if self.has_length || !self.body.is_empty() {
            let length = self.body.len().to_string();
            write_field(&mut self.head, b"content-length", length.as_bytes());
        }
        self.head.extend_from_slice(b"\r\n");
        tokio::spawn(async move {
            let outcome = match tokio::time::timeout(TIME_MAX, self.exchange()).await {
                Ok(outcome) => outcome,
                Err(_) => Mirrored::Failed,
            };
            self.mirror.count(outcome);
            drop(place);
        });
    }

    /// Sends the copy to a backend of the mirror's pool, and reads the answer away.
    async fn exchange(&self) -> Mirrored {
        let pool = &self.mirror.pool;
        let random = fastrand::u64(..);
        let now = Moment::of(clock::now());
        let choice = Choice { key: random, random, now, ..Choice::default() };
        let Picked::Backend(place) = pool.live.pick(&choice) else { return Mirrored::NoBackend };
        let attempt = Attempt {
            backend: Arc::clone(place.backend()),
            connect_timeout: pool.timeouts.connect,
            idle_timeout: pool.timeouts.idle,
            stall_timeout: pool.timeouts.between_bytes,
            wire: Arc::clone(&pool.wire),
            body_max: 0,
        };
        let sent = match self.try_once(&attempt, pool).await {
            // A kept connection may close under a request: then it is sent on another one.
            Err((_, true)) => self.try_once(&attempt, pool).await,
            sent => sent,
        };
        match sent {
            Ok(()) => Mirrored::Answered,
            Err((fault, _)) => {
                tracing::debug!(pool = %pool.id, ?fault, "copy of a request failed");
                Mirrored::Failed
            }
        }
    }

    /// Makes one attempt. What went wrong, and whether the connection was a kept one.
    async fn try_once(&self, attempt: &Attempt, pool: &Pool) -> Result<(), (Fault, bool)> {
        let connected = Checked::connect(attempt.clone(), self.is_head, Offer::Http1).await;
        let (mut link, is_reused) = connected.map_err(|stop| match stop {
            Stop::Fault(fault) => (fault, false),
            Stop::Action(_) => (Fault::Internal, false),
        })?;
        let delivered = async {
            self.write(&mut link, pool.timeouts.between_bytes).await?;
            read_away(&mut link, pool).await
        };
        delivered.await.map_err(|fault| (fault, is_reused))
    }

    /// Writes the request; no write may take longer than `limit`.
    async fn write(&self, link: &mut Checked, limit: Duration) -> Result<(), Fault> {
        for mut part in [&self.head[..], &self.body] {
            while !part.is_empty() {
                let written = poll_fn(|cx| link.poll_write(cx, part));
                let count = within(limit, written).await?.map_err(|_error| Fault::BackendClosed)?;
                part = part.get(count..).unwrap_or_default();
            }
        }
        let flushed = within(limit, poll_fn(|cx| link.poll_flush(cx))).await?;
        flushed.map_err(|_error: io::Error| Fault::BackendClosed)
    }
}

/// Reads an answer to its end, or until it is too long to go on.
async fn read_away(link: &mut Checked, pool: &Pool) -> Result<(), Fault> {
    let (mut limit, mut total) = (pool.timeouts.first_byte, 0);
    while total <= ANSWER_BYTES_MAX {
        let count = within(limit, poll_fn(|cx| poll_part(link, cx))).await??;
        if count == 0 {
            break;
        }
        total += count;
        limit = pool.timeouts.between_bytes;
    }
    Ok(())
}

/// Reads a part of an answer, and forgets it: how long it was.
fn poll_part(link: &mut Checked, cx: &mut Context<'_>) -> Poll<Result<usize, Fault>> {
    let mut part = [0; PART_BYTES];
    let mut buf = ReadBuf::new(&mut part);
    ready!(link.poll_read(cx, &mut buf))?;
    Poll::Ready(Ok(buf.filled().len()))
}

async fn within<T>(limit: Duration, future: impl Future<Output = T>) -> Result<T, Fault> {
    tokio::time::timeout(limit, future).await.map_err(|_elapsed| Fault::BackendClosed)
}
