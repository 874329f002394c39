//! Serving: the life of one client connection, request after request.
//!
//! Waits for a head with nothing but the socket, begins an exchange at its first byte,
//! hands the whole head to an engine, writes what we answer ourselves, records the end,
//! and keeps or closes the connection.

use super::drive::{Driven, Timer, after_others, drive};
use super::lean::{self, Lane};
use super::own_answer::{self, Framing};
use super::pingora::{Engine, Served};
use super::record::{new_exchange, record};
use super::serve_http2;
use super::waiting::wait;
use super::worker::Worker;
use crate::data::exchange::{Action, Answer, Event, Exchange};
use crate::data::lifecycle::Stage;
use crate::data::listener::carrier::{Carrier, is_ending};
use crate::data::listener::connection::Connection;
use crate::data::refusal::Refusal;
use crate::data::upstream::Attempt;
use crate::types::clock;
use crate::wire::head_scan::{HeadScan, Scan};
use crate::wire::invalid_head::InvalidHead;
use crate::wire::preface::{self, Preface};
use crate::wire::request::RequestIndex;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

/// How long a closed connection is read on, so that the client gets our last answer
/// before a reset can overtake it.
const LINGER: Duration = Duration::from_secs(1);
/// How long an idle connection may still bring a request when the process closes.
const CLOSING_IDLE: Duration = Duration::from_millis(250);

/// What becomes of the connection after a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// It waits for the next one.
    Keep,
    /// It is closed; what the client still sends does not matter.
    Close,
    /// It is closed in a way that no client takes for the end of an answer.
    Reset,
    /// It is closed, after the client had time to read our answer.
    Linger,
}

/// Serves `connection` until it closes.
pub async fn serve(worker: &Arc<Worker>, engine: &Arc<Engine>, connection: Arc<Connection>) {
    let mut timer = Timer::take();
    match opening(worker, &connection, &mut timer).await {
        Opening::Http1 if connection.present_rules().protocols.http1 => {}
        Opening::Http1 => {
            let next = Box::pin(refuse_http1(worker, &connection, &mut timer)).await;
            return close(&connection, &mut timer, next).await;
        }
        Opening::Http2 => {
            // Boxed: a connection of HTTP/1 must not hold room for it.
            Box::pin(serve_http2::serve(worker, engine, &connection, &mut timer)).await;
            return close(&connection, &mut timer, Next::Linger).await;
        }
        Opening::Gone => return close(&connection, &mut timer, Next::Close).await,
    }
    let next = loop {
        let next = serve_one(worker, engine, &connection, &mut timer).await;
        if next != Next::Keep {
            break next;
        }
    };
    close(&connection, &mut timer, next).await;
}

/// How a connection begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Opening {
    Http1,
    Http2,
    /// The client left, or did not say in time what it speaks.
    Gone,
}

/// Finds out what the client speaks: by ALPN, or by its first bytes (RFC 9113 §3.3, §3.4).
async fn opening(worker: &Worker, connection: &Connection, timer: &mut Timer) -> Opening {
    let listener = connection.rules();
    if connection.is_http2_agreed() {
        return Opening::Http2;
    }
    if !listener.protocols.http2 {
        return Opening::Http1;
    }
    if !await_first_byte(worker, connection, timer).await {
        return Opening::Gone;
    }
    let deadline = clock::now() + listener.timeouts.head;
    poll_fn(|cx| {
        loop {
            match connection.with_ahead(preface::scan) {
                _ if connection.is_barred() => return Poll::Ready(Opening::Gone),
                Preface::Whole => return Poll::Ready(Opening::Http2),
                Preface::Other => return Poll::Ready(Opening::Http1),
                Preface::Partial => {}
            }
            match connection.poll_ahead(cx) {
                Poll::Ready(Ok(count)) if count > 0 => {}
                Poll::Ready(_) => return Poll::Ready(Opening::Gone),
                Poll::Pending => return timer.poll(cx, deadline).map(|()| Opening::Gone),
            }
        }
    })
    .await
}

/// Refuses `connection` before it said anything that counts.
pub async fn refuse(worker: &Arc<Worker>, connection: Arc<Connection>, why: Refusal) {
    connection.begin(new_exchange(worker, &*connection));
    let action = connection.cell.step(Event::Aborted(why));
    let mut timer = Timer::take();
    let next = end(worker, &connection, &mut timer, action).await;
    close(&connection, &mut timer, next).await;
}

/// Tells a client that speaks HTTP/1 where only HTTP/2 is spoken. Whoever speaks neither is
/// told nothing (RFC 9113 §3.4).
async fn refuse_http1(worker: &Worker, connection: &Arc<Connection>, timer: &mut Timer) -> Next {
    connection.begin(new_exchange(worker, &**connection));
    let mut scan = HeadScan::default();
    let read = pin!(poll_fn(|cx| poll_end_of_head(connection, &mut scan, cx)));
    match drive(&**connection, &worker.lifecycle, timer, read).await {
        Driven::Done(true) => {
            let action = connection.cell.step(Event::Aborted(Refusal::ProtocolRefused));
            end(worker, connection, timer, action).await
        }
        _ => {
            connection.cell.step(Event::Aborted(Refusal::Head(InvalidHead::Malformed)));
            record(worker, &**connection);
            Next::Close
        }
    }
}

/// Reads to where a head ends. Whether there is one.
fn poll_end_of_head(
    connection: &Connection,
    scan: &mut HeadScan,
    cx: &mut Context<'_>,
) -> Poll<bool> {
    loop {
        match connection.with_ahead(|ahead| scan.scan(ahead)) {
            Scan::Complete(length) => {
                return Poll::Ready(connection.with_ahead(|ahead| {
                    let head = ahead.get(..length).unwrap_or_default();
                    RequestIndex::default().read(head).is_ok()
                }));
            }
            Scan::Malformed | Scan::TooLarge => return Poll::Ready(false),
            Scan::Partial => {}
        }
        match std::task::ready!(connection.poll_ahead(cx)) {
            Ok(count) if count > 0 => {}
            _ => return Poll::Ready(false),
        }
    }
}

async fn serve_one(
    worker: &Worker,
    engine: &Engine,
    connection: &Arc<Connection>,
    timer: &mut Timer,
) -> Next {
    if !await_first_byte(worker, connection, timer).await {
        return Next::Close;
    }
    connection.begin(new_exchange(worker, &**connection));
    let mut lane = Lane::take();
    let mut action = {
        let head = pin!(poll_fn(|cx| lane.poll_head(connection, cx)));
        drive_to_action(worker, &**connection, timer, head).await
    };
    let next = carry_out(worker, engine, connection, timer, &mut lane, &mut action).await;
    lane.give();
    connection.forget();
    next
}

/// Drives what ends with an action.
pub(super) async fn drive_to_action(
    worker: &Worker,
    carrier: &dyn Carrier,
    timer: &mut Timer,
    future: Pin<&mut impl Future<Output = Action>>,
) -> Action {
    match drive(carrier, &worker.lifecycle, timer, future).await {
        Driven::Done(action) | Driven::Ended(action) => action,
        Driven::Panicked(action) => {
            worker.panics.inc();
            action
        }
    }
}

/// Waits until the client sends something. `false`: it is gone, idle for too long, or
/// the process closes.
async fn await_first_byte(worker: &Worker, connection: &Connection, timer: &mut Timer) -> bool {
    let since = connection.cell.now();
    let mut closing = None;
    poll_fn(|cx| {
        connection.bell.register(cx.waker());
        if connection.with_ahead(|ahead| !ahead.is_empty()) {
            return Poll::Ready(true);
        }
        if let Poll::Ready(read) = connection.poll_ahead(cx) {
            return Poll::Ready(read.is_ok_and(|count| count > 0));
        }
        let is_over = connection.slot().is_closed() || connection.is_barred();
        let is_told = worker.lifecycle.stage() >= Stage::Closing || is_over;
        if closing.is_none() && is_told {
            closing = Some(clock::now() + CLOSING_IDLE);
        }
        // The rules may have changed since the last look.
        let idle = since + connection.present_rules().timeouts.idle;
        timer.poll(cx, closing.map_or(idle, |closing| closing.min(idle))).map(|()| false)
    })
    .await
}

/// Does what the machine wants, until the request is over: waits, and attempts, each by the
/// engine that it is for.
async fn carry_out(
    worker: &Worker,
    engine: &Engine,
    connection: &Arc<Connection>,
    timer: &mut Timer,
    lane: &mut Lane,
    // Behind a reference: what an async function is given lies in its future twice.
    action: &mut Action,
) -> Next {
    let mut is_reusable = false;
    loop {
        let driven = match action {
            Action::Wait(_) | Action::Read(_) => {
                let mut wait = Box::pin(wait(&**connection, action.take()));
                *action = drive_to_action(worker, &**connection, timer, wait.as_mut()).await;
                continue;
            }
            Action::Attempt(attempt) if goes_lean(worker, attempt) => {
                connection.rewind();
                let serving = pin!(lane.attempt(connection, &worker.lifecycle, attempt));
                drive(&**connection, &worker.lifecycle, timer, serving).await
            }
            Action::Attempt(_) => {
                connection.rewind();
                connection.cell.leave(action.take());
                let mut serving = engine.serve(Arc::clone(connection));
                drive(&**connection, &worker.lifecycle, timer, serving.as_mut()).await
            }
            // The answer is through, or was held back and may leave.
            Action::Done => return ended(worker, connection, timer, is_reusable).await,
            // Boxed, as the wait is: who forwards, and who waits, must not hold room for it.
            _ => return Box::pin(end(worker, connection, timer, action.take())).await,
        };
        let left;
        (left, is_reusable) = left_to_do(worker, driven);
        *action = left.unwrap_or(Action::Done);
    }
}

/// Whether the lean engine makes the attempt.
pub(super) fn goes_lean(worker: &Worker, attempt: &Attempt) -> bool {
    worker.is_lean && lean::takes(attempt)
}

/// The answer is through, all but what still has to be written.
async fn ended(
    worker: &Worker,
    connection: &Connection,
    timer: &mut Timer,
    is_reusable: bool,
) -> Next {
    let is_whole = connection.cell.with_exchange(Exchange::is_request_done);
    after_others().await;
    flush(worker, connection, timer).await;
    record(worker, connection);
    match (is_reusable, is_whole) {
        (true, _) => Next::Keep,
        (false, Some(true)) => Next::Close,
        (false, _) => Next::Linger,
    }
}

/// What an engine left to be done, if anything, and whether the connection may carry more.
pub(super) fn left_to_do(worker: &Worker, driven: Driven<Served>) -> (Option<Action>, bool) {
    match driven {
        Driven::Done(served) => (served.action, served.is_reusable),
        Driven::Ended(action) => (Some(action), false),
        Driven::Panicked(action) => {
            worker.panics.inc();
            (Some(action), false)
        }
    }
}

/// Ends a request that no engine ends: with our answer or with a cut.
async fn end(worker: &Worker, connection: &Connection, timer: &mut Timer, action: Action) -> Next {
    let next = match action {
        Action::Answer(answer) => {
            let next = next_after_answer(worker, connection);
            write_answer(connection, &answer, next);
            flush(worker, connection, timer).await;
            next
        }
        // Nothing was begun that could be taken for whole.
        _ if connection.is_unanswered() => Next::Close,
        _ => {
            flush(worker, connection, timer).await;
            Next::Reset
        }
    };
    record(worker, connection);
    next
}

/// A connection is kept after an answer of ours only if the request is over and whole:
/// else what comes next could be taken for a request.
fn next_after_answer(worker: &Worker, connection: &Connection) -> Next {
    let (is_whole, wants_more) = connection
        .cell
        .with_exchange(|exchange| {
            let wants_more = exchange.facts().is_some_and(|facts| facts.wants_keep_alive);
            (exchange.is_request_done(), wants_more)
        })
        .unwrap_or_default();
    match is_whole {
        true if wants_more && !is_ending(connection, &worker.lifecycle) => Next::Keep,
        true => Next::Close,
        false => Next::Linger,
    }
}

fn write_answer(connection: &Connection, answer: &Answer, next: Next) {
    let is_head = connection
        .cell
        .with_exchange(|exchange| exchange.facts().is_some_and(|facts| facts.method == "HEAD"))
        .unwrap_or(false);
    let framing = Framing { is_head, is_last: next != Next::Keep };
    connection.replace_out(own_answer::bytes(answer, framing, clock::wall()));
}

/// Writes out what is left, for as long as the machine lets the client take.
async fn flush(worker: &Worker, connection: &Connection, timer: &mut Timer) {
    if poll_fn(|cx| Poll::Ready(matches!(connection.poll_flush(cx), Poll::Ready(Ok(()))))).await {
        return;
    }
    let rest = pin!(poll_fn(|cx| connection.poll_flush(cx)));
    if let Driven::Done(Ok(())) = drive(connection, &worker.lifecycle, timer, rest).await {
        return;
    }
    tracing::debug!(client = %connection.client.address, "client did not take the end of its answer");
}

async fn close(connection: &Connection, timer: &mut Timer, next: Next) {
    if next == Next::Reset {
        connection.reset_on_close();
        return;
    }
    let deadline = clock::now() + LINGER;
    // TLS has a word for the end: without it a client must take the answer for cut.
    if next == Next::Linger || connection.is_tls() {
        let shut = poll_fn(|cx| match connection.poll_shutdown(cx) {
            Poll::Pending => timer.poll(cx, deadline).map(|()| false),
            Poll::Ready(shut) => Poll::Ready(shut.is_ok()),
        });
        if !shut.await {
            return;
        }
    }
    if next != Next::Linger {
        return;
    }
    poll_fn(|cx| {
        if connection.poll_drain(cx).is_ready() {
            return Poll::Ready(());
        }
        timer.poll(cx, deadline)
    })
    .await;
}
