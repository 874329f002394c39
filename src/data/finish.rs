//! Finish: what is recorded when a request is over.
//!
//! Called exactly once per request, on whatever path it ended: releases what it held,
//! counts it, and writes its log line.

use super::exchange::Exchange;
use super::grpc;
use super::upstream::AttemptRecord;
use crate::observe::access_log::LogRing;
use crate::observe::metrics::{Metrics, REFUSALS};
use crate::types::moment::Moment;
use jiff::Timestamp;
use serde::Serialize;
use std::time::{Duration, Instant};

/// Bytes on the client's connection that belong to this request, heads included.
#[derive(Clone, Copy, Debug, Default)]
pub struct Traffic {
    /// Received from the client.
    pub bytes_in: u64,
    /// Sent to the client.
    pub bytes_out: u64,
}

/// One line of the access log.
#[derive(Serialize)]
struct Line<'a> {
    time: String,
    request_id: String,
    listener: &'a str,
    client: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    peer: Option<String>,
    method: Option<&'a str>,
    host: Option<&'a str>,
    target: Option<&'a str>,
    version: Option<&'static str>,
    status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    grpc_status: Option<u32>,
    route: Option<&'a str>,
    pool: Option<&'a str>,
    backend: Option<&'a str>,
    attempts: Vec<AttemptLine<'a>>,
    end: &'static str,
    by: Option<&'static str>,
    bytes_in: u64,
    bytes_out: u64,
    ms: Times,
}

#[derive(Serialize)]
struct AttemptLine<'a> {
    backend: &'a str,
    outcome: &'static str,
    reason: Option<&'static str>,
    reused: bool,
    ms: f64,
}

#[derive(Serialize)]
struct Times {
    total: f64,
    connect: Option<f64>,
    first_byte: Option<f64>,
}

/// Records the end of `exchange`: metrics, the log of faults, and the access log if
/// there is one.
pub fn finish(
    exchange: &Exchange,
    traffic: Traffic,
    metrics: &Metrics,
    log: Option<&LogRing>,
    now: Instant,
) {
    metrics.sessions.note(exchange.session(), Moment::of(now));
    if let Some(route) = exchange.route() {
        let call_status = exchange.call_status().map(grpc::to_http);
        let class = call_status.or(exchange.status()).map_or(5, |status| status / 100).clamp(1, 5);
        if let Some(counter) = route.metrics.requests.get(usize::from(class) - 1) {
            counter.inc();
        }
        route.metrics.duration.observe(now.duration_since(exchange.started).as_secs_f64());
    }
    if let Some(refusal) = exchange.refusal() {
        match metrics.counter(&REFUSALS, &[refusal.reason()]) {
            Ok(counter) => counter.inc(),
            Err(error) => tracing::error!(%error, "refusal not counted"),
        }
        report(exchange, refusal);
    }
    if let Some(ring) = log {
        match line(exchange, traffic, now) {
            Ok(line) => ring.push(line),
            Err(error) => tracing::error!(%error, "access log line not written"),
        }
    }
}

/// Says a fault in the process log, as loud as its row asks.
fn report(exchange: &Exchange, refusal: super::refusal::Refusal) {
    let row = refusal.row();
    let backend = exchange.attempts.last().map_or("-", |attempt| &attempt.backend.name);
    let route = exchange.route().map_or("-", |route| route.id.as_str());
    macro_rules! say {
        ($level:expr) => {
            tracing::event!($level, reason = row.reason, route, backend, request_id = %exchange.id,
                client = %exchange.sender(), "request refused")
        };
    }
    match row.level {
        tracing::Level::ERROR => say!(tracing::Level::ERROR),
        tracing::Level::WARN => say!(tracing::Level::WARN),
        tracing::Level::INFO => say!(tracing::Level::INFO),
        _ => say!(tracing::Level::DEBUG),
    }
}

fn line(exchange: &Exchange, traffic: Traffic, now: Instant) -> serde_json::Result<Vec<u8>> {
    let facts = exchange.facts();
    let last = exchange.attempts.last();
    let row = exchange.refusal().map(super::refusal::Refusal::row);
    let peer = || exchange.client.address.to_string();
    let sender = Some(exchange.sender()).filter(|ip| *ip != exchange.client.address.ip());
    let line = Line {
        time: timestamp(exchange.started_wall),
        request_id: exchange.id.to_string(),
        listener: exchange.listener.id.as_str(),
        client: sender.map_or_else(peer, |ip| ip.to_string()),
        peer: sender.map(|_| peer()),
        method: facts.map(|f| f.method.as_str()),
        host: facts.and_then(|f| f.host.as_deref()),
        target: facts.map(|f| f.target.as_str()),
        version: facts.map(|f| f.version.as_str()),
        status: exchange.status(),
        grpc_status: exchange.call_status(),
        route: exchange.route().map(|r| r.id.as_str()),
        pool: exchange.pool().map(|pool| pool.id.as_str()),
        backend: last.map(|attempt| &*attempt.backend.name),
        attempts: exchange.attempts.iter().map(|attempt| attempt_line(attempt, now)).collect(),
        end: row.map_or("ok", |row| row.reason),
        by: row.map(|row| row.by.as_str()),
        bytes_in: traffic.bytes_in,
        bytes_out: traffic.bytes_out,
        ms: Times {
            total: ms(now.duration_since(exchange.started)),
            connect: last.and_then(|a| Some(ms(a.connected?.duration_since(a.began)))),
            first_byte: last.and_then(|a| Some(ms(a.first_byte?.duration_since(a.began)))),
        },
    };
    let mut out = Vec::with_capacity(512);
    serde_json::to_writer(&mut out, &line)?;
    out.push(b'\n');
    Ok(out)
}

fn attempt_line(attempt: &AttemptRecord, now: Instant) -> AttemptLine<'_> {
    AttemptLine {
        backend: &attempt.backend.name,
        outcome: attempt.outcome.map_or("unfinished", super::outcome::Outcome::as_str),
        reason: attempt.refusal.map(super::refusal::Refusal::reason),
        reused: attempt.is_reused,
        ms: ms(attempt.ended.unwrap_or(now).duration_since(attempt.began)),
    }
}

/// Milliseconds with microsecond precision.
fn ms(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}

/// RFC 3339, UTC, microseconds.
fn timestamp(wall: std::time::SystemTime) -> String {
    Timestamp::try_from(wall).map_or_else(|_| String::from("-"), |time| format!("{time:.6}"))
}
