//! HAProxy's HTTP log format (`option httplog`, §8.2.3 of its configuration manual), so that
//! what reads its logs reads ours.
//!
//! What HAProxy counts and we do not (connections of the whole process and of the backend,
//! places in queues) is 0; cookies are never captured.

use super::capture::{Captured, Captures};
use super::value::{self, Value, View};
use super::{LogPlan, dates, escape};
use crate::data::exchange::Exchange;
use crate::data::refusal::Refusal;
use crate::types::log_field::LogField;
use std::time::{Duration, Instant};
use vanne_filters::Version;

/// HAProxy's first two characters for how `exchange` ended: who ended it, and in which phase.
#[must_use]
pub fn termination(exchange: &Exchange) -> (char, char) {
    match exchange.refusal() {
        None if exchange.attempts.is_empty() => ('L', 'R'),
        None => ('-', '-'),
        Some(refusal) => {
            let (who, phase) = code(refusal);
            (who, phase.unwrap_or_else(|| self::phase(exchange)))
        }
    }
}

/// HAProxy's characters for `refusal`; the second is `None` where it is the phase that the
/// request was in.
pub(super) const fn code(refusal: Refusal) -> (char, Option<char>) {
    use Refusal as R;
    match refusal {
        R::BackendClosed => ('S', Some('H')),
        R::BackendCut => ('S', Some('D')),
        R::BackendMalformed => ('P', Some('H')),
        R::BackendStalled => ('s', Some('D')),
        R::BackendsFull | R::Overloaded | R::QueueFull | R::QueueTooLong => ('S', Some('Q')),
        R::CallDeadline | R::TotalTimeout => ('s', None),
        R::ClientGone => ('C', None),
        R::ClientStalled => ('c', None),
        R::CircuitOpen
        | R::BackendRefused
        | R::ConnectFailed
        | R::ConnectRefused
        | R::NoBackend
        | R::NoHealthyBackend
        | R::NoWeight
        | R::TlsFailed
        | R::Withdrawn => ('S', Some('C')),
        R::ConnectTimeout => ('s', Some('C')),
        R::DrainDeadline => ('K', None),
        R::DotSegment
        | R::EncodedSlash
        | R::Filter(_)
        | R::Head(_)
        | R::HeadTooLarge
        | R::Identity(_)
        | R::MethodRefused
        | R::NoRoute
        | R::ProtocolRefused
        | R::Blocked
        | R::RateLimited
        | R::RepeatedSlash
        | R::TooManyAtOnce
        | R::TooManyConnections
        | R::WafRefused
        | R::WebsocketUnsupported => ('P', Some('R')),
        R::FirstByteTimeout => ('s', Some('H')),
        R::HeadTimeout => ('c', Some('R')),
        R::WafAnswerRefused | R::WafAnswerTooLarge => ('P', Some('H')),
        R::HttpsRedirect => ('L', Some('R')),
        R::Internal | R::Panic => ('I', None),
        R::WafOverBudget => ('R', None),
        R::Chunks(_) | R::MalformedBody | R::WafBodyTooLarge => ('P', Some('D')),
        R::QueueTimeout => ('s', Some('Q')),
        R::TunnelIdleTimeout => ('s', Some('D')),
    }
}

/// The phase that the request ended in: its head, the queue, connecting, the answer's head,
/// the bodies.
fn phase(exchange: &Exchange) -> char {
    match exchange.attempts.last() {
        None if exchange.pool().is_none() => 'R',
        None => 'Q',
        Some(attempt) if attempt.connected.is_none() => 'C',
        Some(attempt) if attempt.first_byte.is_none() => 'H',
        Some(_) => 'D',
    }
}

/// Appends the line of `view`.
pub(super) fn write(view: &View<'_>, out: &mut Vec<u8>) {
    let exchange = view.exchange;
    value::ip(exchange.sender(), out);
    out.push(b':');
    value::integer(view.client_port().unwrap_or(0), out);
    out.extend_from_slice(b" [");
    dates::haproxy(exchange.started_wall, out);
    out.extend_from_slice(b"] ");
    let listener = exchange.listener.id.as_str();
    word(listener, out);
    if exchange.client.is_tls {
        out.push(b'~');
    }
    out.push(b' ');
    word(exchange.pool().map_or(listener, |pool| pool.id.as_str()), out);
    out.push(b'/');
    word(exchange.attempts.last().map_or("<NOSRV>", |attempt| &attempt.backend().name), out);
    out.push(b' ');
    times(view, out);
    out.push(b' ');
    match exchange.status() {
        Some(status) => value::integer(status.into(), out),
        None => word("-1", out),
    }
    out.push(b' ');
    value::integer(view.traffic.bytes_out, out);
    // No cookie of the request, none of the answer.
    word(" - - ", out);
    view.value(LogField::TerminationState).write_plain(out);
    counts(exchange, out);
    let (capture, texts) = (&view.plan.capture, exchange.texts());
    captured(&capture.request, &texts.captured, view.plan, out);
    captured(&capture.response, &texts.captured_answer, view.plan, out);
    request(view, out);
}

fn word(text: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(text.as_bytes());
}

/// `TR/Tw/Tc/Tr/Ta` in milliseconds; -1 for what was not reached.
fn times(view: &View<'_>, out: &mut Vec<u8>) {
    let exchange = view.exchange;
    let (first, last) = (exchange.attempts.first(), exchange.attempts.last());
    let whole = exchange.facts().map(|facts| facts.since);
    let connected = last.and_then(|attempt| attempt.connected);
    let between =
        |from: Option<Instant>, to: Option<Instant>| Some(to?.saturating_duration_since(from?));
    let began = first.map(|attempt| attempt.began);
    let parts = [
        between(Some(exchange.started), whole),
        between(whole, began),
        between(began, connected),
        between(connected, last.and_then(|attempt| attempt.first_byte)),
        between(Some(exchange.started), Some(view.now)),
    ];
    for (index, part) in parts.into_iter().enumerate() {
        if index > 0 {
            out.push(b'/');
        }
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        match part {
            None => word("-1", out),
            Some(time) => value::integer(millis(time), out),
        }
    }
}

/// ` actconn/feconn/beconn/srv_conn/retries srv_queue/backend_queue`.
fn counts(exchange: &Exchange, out: &mut Vec<u8>) {
    let open = exchange.listener.counts.open() as u64;
    let last = exchange.attempts.last();
    let in_flight = last.map_or(0, |attempt| attempt.backend().state.in_flight());
    let retries = exchange.attempts.len().saturating_sub(1) as u64;
    for (before, number) in
        [(b' ', 0), (b'/', open), (b'/', 0), (b'/', in_flight.into()), (b'/', retries)]
    {
        out.push(before);
        value::integer(number, out);
    }
    word(" 0/0", out);
}

/// ` {a|b}` where fields are captured at all.
fn captured(wanted: &[Captures], found: &Captured, plan: &LogPlan, out: &mut Vec<u8>) {
    if wanted.is_empty() {
        return;
    }
    let escape = |text: &[u8], out: &mut Vec<u8>| escape::haproxy(text, b"\"#{|}", out);
    word(" {", out);
    for index in 0..wanted.len() {
        if index > 0 {
            out.push(b'|');
        }
        let value = found.value(index).unwrap_or_default();
        value::target(plan, value, out, escape);
    }
    out.push(b'}');
}

/// ` "METHOD TARGET VERSION"`.
fn request(view: &View<'_>, out: &mut Vec<u8>) {
    let Some(facts) = view.exchange.facts() else { return word(" \"<BADREQ>\"", out) };
    word(" \"", out);
    word(facts.method.as_str(), out);
    out.push(b' ');
    if let Value::Target(target) = view.value(LogField::Target) {
        let escape = |text: &[u8], out: &mut Vec<u8>| escape::haproxy(text, b"\"#", out);
        value::target(view.plan, target, out, escape);
    }
    word(
        match facts.version {
            Version::Http10 => " HTTP/1.0\"",
            Version::Http11 => " HTTP/1.1\"",
            Version::Http2 => " HTTP/2.0\"",
        },
        out,
    );
}
