//! Serving HTTP/2: a connection's streams, each a request of its own.
//!
//! The connection's task takes streams and moves frames; each stream is a task with a
//! machine of its own, driven as a request of HTTP/1 is. When the process drains, the
//! client is told to open no more streams (GOAWAY), and what is under way is finished.

use super::drive::{Timer, drive};
use super::lean::StreamLane;
use super::pingora::Engine;
use super::pingora::heads::{Fields, request_head};
use super::record::{new_exchange, record};
use super::serve::{drive_to_action, goes_lean, left_to_do};
use super::stream_end::{let_go, send};
use super::waiting::wait;
use super::worker::Worker;
use crate::data::exchange::{Action, Event};
use crate::data::lifecycle::Stage;
use crate::data::listener::carrier::{Carrier, is_ending};
use crate::data::listener::connection::Connection;
use crate::data::listener::frame_meter::{Flood, FrameMeter};
use crate::data::listener::registry::Woken;
use crate::data::listener::stream::{Stream, list_bytes};
use crate::data::listener::stream_bytes::StreamBytes;
use crate::data::listener::stream_head::{line_bytes, prepare};
use crate::data::refusal::Refusal;
use crate::types::clock;
use crate::types::own::Own;
use crate::wire::head_scan::HEAD_BYTES_MAX;
use bytes::Bytes;
use h2::server::{Builder, Connection as Frames, SendResponse};
use h2::{Reason, RecvStream};
use http::{Request, request};
use pingora_http::RequestHeader;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

/// Bytes that a client may send on one stream before the backend takes them.
const STREAM_WINDOW_BYTES: u32 = 256 * 1024;
/// The same over all streams of a connection.
const CONNECTION_WINDOW_BYTES: u32 = 1024 * 1024;
/// What a field counts in the size of a list of fields, besides its name and value.
const FIELD_BYTES: u64 = 32;
/// Bytes of an answer that a stream may hold unsent.
const UNSENT_BYTES_MAX: usize = 64 * 1024;
/// Streams that a client may open and reset before we looked at them (CVE-2023-44487), and
/// that it may make us reset (CVE-2025-8671). One more ends the connection.
const RESETS_MAX: usize = 100;
/// What heads of small DATA frames may cost that are not taken yet: 256 bytes each, less what is
/// in them. The library's own bound would end connections whose client sends small messages
/// to a backend that is not ready; this one is met after the stream's window, unless these
/// have less than 16 bytes.
const SMALL_DATA_BYTES_MAX: usize = 4 * 1024 * 1024;
/// How long a connection without streams may take to end after GOAWAY.
const GOODBYE: Duration = Duration::from_secs(1);

/// Serves `connection`, whose client speaks HTTP/2, until it closes.
pub(super) async fn serve(
    worker: &Arc<Worker>,
    engine: &Arc<Engine>,
    connection: &Arc<Connection>,
    timer: &mut Timer,
) {
    let deadline = clock::now() + connection.present_rules().timeouts.head;
    let streams_max = connection.present_rules().http2_streams_max;
    let meter = Arc::new(Own::new(FrameMeter::new(streams_max, clock::now())));
    connection.open_tunnel();
    let bytes = StreamBytes::new(Arc::clone(connection), Arc::clone(&meter));
    let mut opening = pin!(options(connection).handshake(bytes));
    let opened = poll_fn(|cx| match then_flush(connection, cx, |cx| opening.as_mut().poll(cx)) {
        Poll::Ready(opened) => Poll::Ready(opened.ok()),
        Poll::Pending => timer.poll(cx, deadline).map(|()| None),
    });
    let Some(frames) = opened.await else { return };
    let streams = Streams {
        worker: Arc::clone(worker),
        engine: Arc::clone(engine),
        connection: Arc::clone(connection),
        open: Arc::default(),
        meter,
    };
    let mut served =
        Served { frames, streams, goodbye: None, idle_since: clock::now(), is_barred: false };
    poll_fn(|cx| then_flush(connection, cx, |cx| served.poll(cx, timer))).await;
    let deadline = clock::now() + GOODBYE;
    poll_fn(|cx| match connection.poll_flush(cx) {
        Poll::Ready(_) => Poll::Ready(()),
        Poll::Pending => timer.poll(cx, deadline),
    })
    .await;
}

/// Polls what reads and writes frames; what was collected meanwhile leaves in one call.
fn then_flush<T>(
    connection: &Connection,
    cx: &mut Context<'_>,
    poll: impl FnOnce(&mut Context<'_>) -> Poll<T>,
) -> Poll<T> {
    let polled = poll(cx);
    // That the client is gone is found out by the next read.
    drop(connection.poll_flush(cx));
    polled
}

fn options(connection: &Connection) -> Builder {
    let mut options = Builder::new();
    options
        .initial_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_send_buffer_size(UNSENT_BYTES_MAX)
        // What it refuses itself gets a bare answer and no line in the log; up to here we do.
        .max_header_list_size(u32::try_from(2 * HEAD_BYTES_MAX).unwrap_or(u32::MAX))
        .max_concurrent_streams(connection.present_rules().http2_streams_max)
        .max_pending_accept_reset_streams(RESETS_MAX)
        .max_local_error_reset_streams(Some(RESETS_MAX))
        .data_frame_budget(SMALL_DATA_BYTES_MAX)
        .enable_connect_protocol();
    options
}

/// A connection being served.
struct Served {
    frames: Frames<StreamBytes, Bytes>,
    streams: Streams,
    /// When GOAWAY was said: until when the rest may take.
    goodbye: Option<Instant>,
    idle_since: Instant,
    /// Its peer is blocked, and its streams have had their turn since.
    is_barred: bool,
}

impl Served {
    /// `Ready` when the connection is over.
    fn poll(&mut self, cx: &mut Context<'_>, timer: &mut Timer) -> Poll<()> {
        let Streams { worker, connection, .. } = &self.streams;
        connection.bell.register(cx.waker());
        if worker.lifecycle.stage() == Stage::Aborting
            || is_barred(connection, &mut self.is_barred, cx)
        {
            return Poll::Ready(());
        }
        if is_ending(&**connection, &worker.lifecycle) {
            self.say_goodbye();
        }
        loop {
            let accepted = self.frames.poll_accept(cx);
            if let Some(flood) = self.streams.flood(&accepted) {
                self.hang_up(cx, flood);
                return Poll::Ready(());
            }
            match accepted {
                Poll::Ready(Some(Ok((request, respond)))) => self.streams.take(request, respond),
                Poll::Ready(Some(Err(_)) | None) => return Poll::Ready(()),
                Poll::Pending => break,
            }
        }
        self.poll_idle(cx, timer)
    }

    /// Tells the client that this is too much (RFC 9113 §10.5), if it takes that at once.
    fn hang_up(&mut self, cx: &mut Context<'_>, flood: Flood) {
        let connection = &self.streams.connection;
        connection.present_rules().counts.count_flood(flood);
        tracing::debug!(client = %connection.client.address, reason = flood.as_str(), "flood");
        self.frames.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
        drop(self.frames.poll_closed(cx));
    }

    /// Ends a connection that has had no stream for too long.
    fn poll_idle(&mut self, cx: &mut Context<'_>, timer: &mut Timer) -> Poll<()> {
        if self.streams.open.load(Ordering::Relaxed) > 0 {
            self.idle_since = clock::now();
            return Poll::Pending;
        }
        let idle = self.idle_since + self.streams.connection.present_rules().timeouts.idle;
        if self.goodbye.is_none() && timer.poll(cx, idle).is_ready() {
            self.say_goodbye();
            cx.waker().wake_by_ref();
        }
        self.goodbye.map_or(Poll::Pending, |at| timer.poll(cx, at.max(self.idle_since + GOODBYE)))
    }

    fn say_goodbye(&mut self) {
        if self.goodbye.is_none() {
            self.frames.graceful_shutdown();
            self.goodbye = Some(clock::now() + GOODBYE);
        }
    }
}

/// Whether the peer is blocked and `was_seen`. Streams end first: they have been woken too.
fn is_barred(connection: &Connection, was_seen: &mut bool, cx: &Context<'_>) -> bool {
    if !connection.is_barred() {
        return false;
    }
    cx.waker().wake_by_ref();
    std::mem::replace(was_seen, true)
}

/// What a connection's streams need.
struct Streams {
    worker: Arc<Worker>,
    engine: Arc<Engine>,
    connection: Arc<Connection>,
    open: Arc<AtomicUsize>,
    meter: Arc<Own<FrameMeter>>,
}

/// What the library says next.
type Accepted = Poll<Option<Result<(Request<RecvStream>, SendResponse<Bytes>), h2::Error>>>;

/// A stream that counts as open.
struct Open(Arc<AtomicUsize>, Arc<Connection>);

impl Drop for Open {
    fn drop(&mut self) {
        if self.0.fetch_sub(1, Ordering::Relaxed) == 1 {
            // From now on the connection is idle.
            self.1.bell.ring();
        }
    }
}

impl Streams {
    /// What the client sends too much of, as the meter or the library found.
    fn flood(&self, accepted: &Accepted) -> Option<Flood> {
        let is_too_much = |error: &h2::Error| {
            error.is_library() && error.reason() == Some(Reason::ENHANCE_YOUR_CALM)
        };
        match accepted {
            Poll::Ready(Some(Err(error))) if is_too_much(error) => Some(Flood::Library),
            _ => self.meter.get().found(),
        }
    }

    /// Serves a stream in a task of its own.
    fn take(&self, request: Request<RecvStream>, respond: SendResponse<Bytes>) {
        self.open.fetch_add(1, Ordering::Relaxed);
        let open = Open(Arc::clone(&self.open), Arc::clone(&self.connection));
        let (mut head, receive) = request.into_parts();
        let head_bytes = list_bytes(&head.headers) + line_bytes(&head);
        // As the library counts (RFC 9113 §6.5.2).
        let counted = head_bytes + FIELD_BYTES * head.headers.len() as u64;
        let prepared = match counted > HEAD_BYTES_MAX as u64 {
            true => Err(Refusal::HeadTooLarge),
            false => prepare(&mut head, self.connection.present_rules().paths),
        };
        let asks_for_tunnel = prepared.unwrap_or_default();
        let connection = Arc::clone(&self.connection);
        let stream =
            Arc::new(Stream::new(connection, receive, respond, asks_for_tunnel, head_bytes));
        let entry = self.worker.enter(Arc::clone(&stream) as Arc<dyn Woken>);
        let (worker, engine) = (Arc::clone(&self.worker), Arc::clone(&self.engine));
        let meter = Arc::clone(&self.meter);
        // Boxed: the runtime moves what it is given more than once.
        tokio::spawn(Box::pin(async move {
            serve_stream(&worker, &engine, &stream, prepared.map(|_| head)).await;
            if stream.sent().0 {
                meter.get().answered();
            }
            drop((entry, open));
        }));
    }
}

/// Serves one request.
async fn serve_stream(
    worker: &Worker,
    engine: &Engine,
    stream: &Arc<Stream>,
    head: Result<request::Parts, Refusal>,
) {
    let exchange = new_exchange(worker, &**stream);
    let mut timer = Timer::take();
    stream.cell().begin(exchange);
    let action = match head {
        Err(refusal) => Some(stream.cell().step(Event::Aborted(refusal))),
        Ok(head) if is_gone(stream).await => Some(note_gone(stream, &head.into())),
        Ok(head) => carry_out(worker, engine, stream, &mut timer, head.into()).await,
    };
    match action {
        None | Some(Action::Done) if stream.is_held_back() => {
            Box::pin(let_go(worker, stream, &mut timer)).await;
        }
        None | Some(Action::Done) => {}
        // Boxed, as the wait is: who forwards, and who waits, must not hold room for it.
        Some(Action::Answer(answer)) => Box::pin(send(worker, stream, &mut timer, answer)).await,
        Some(_) => stream.reset(Reason::INTERNAL_ERROR),
    }
    record(worker, &**stream);
}

/// Whether the client has reset it before anybody looked at it: no backend is to hear of that.
async fn is_gone(stream: &Stream) -> bool {
    poll_fn(|cx| {
        let is_gone = stream.poll_gone(cx).is_ready();
        if is_gone {
            // What was wrong with the body is found out by who reads it.
            while let Poll::Ready(Some(Ok(_))) = stream.poll_data(cx) {}
        }
        Poll::Ready(is_gone)
    })
    .await
}

/// Reports a request that was over before anybody looked at it: because of its client, or of what
/// was wrong with its body.
fn note_gone(stream: &Stream, head: &RequestHeader) -> Action {
    let refusal = match stream.body_fault() {
        Some(_) => Refusal::MalformedBody,
        None => Refusal::ClientGone,
    };
    let fields = Fields(&head.headers);
    stream.cell().step(Event::Stillborn { head: request_head(head, &fields), refusal })
}

/// Does what the machine wants, until nothing but an answer of ours is left to do.
async fn carry_out(
    worker: &Worker,
    engine: &Engine,
    stream: &Arc<Stream>,
    timer: &mut Timer,
    mut head: RequestHeader,
) -> Option<Action> {
    let begin = pin!(async {
        let fields = Fields(&head.headers);
        let event =
            Event::Request { head: request_head(&head, &fields), has_body: stream.open_body() };
        stream.cell().step(event)
    });
    let mut action = drive_to_action(worker, &**stream, timer, begin).await;
    loop {
        if matches!(action, Action::Attempt(_)) {
            stream.rewind();
        }
        let driven = match action {
            Action::Wait(_) | Action::Read(_) => {
                let mut wait = Box::pin(wait(&**stream, action));
                action = drive_to_action(worker, &**stream, timer, wait.as_mut()).await;
                continue;
            }
            Action::Attempt(attempt)
                if goes_lean(worker, &attempt) && !stream.asks_for_tunnel() =>
            {
                let mut lane = StreamLane::take();
                let driven = {
                    let serving = pin!(lane.attempt(stream, &head, &attempt));
                    drive(&**stream, &worker.lifecycle, timer, serving).await
                };
                lane.give();
                driven
            }
            Action::Attempt(attempt) => {
                stream.cell().leave(Action::Attempt(attempt));
                let mut serving = engine.serve_stream(Arc::clone(stream), head);
                let driven = drive(&**stream, &worker.lifecycle, timer, serving.as_mut()).await;
                drop(serving);
                match stream.take_head() {
                    Some(left) => head = left,
                    None => return left_to_do(worker, driven).0,
                }
                driven
            }
            action => return Some(action),
        };
        action = left_to_do(worker, driven).0?;
    }
}
