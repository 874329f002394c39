//! Finish: what is recorded when a request is over.
//!
//! Called exactly once per request, on whatever path it ended: releases what it held,
//! counts it, and writes its log line.

use super::exchange::Exchange;
use super::grpc;
use super::route::{Ended, RouteMetrics};
use super::upstream::AttemptRecord;
use crate::observe::access_log::LogRing;
use crate::observe::metrics::{Counter, Metrics, REFUSALS};
use crate::types::moment::Moment;
use jiff::Timestamp;
use parking_lot::Mutex;
use serde::Serialize;
use std::sync::Arc;
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

/// What one worker's requests are counted by, besides handles of routes, pools and backends.
pub struct RequestMetrics {
    metrics: Arc<Metrics>,
    unrouted: RouteMetrics,
    /// `vanne_refusals_total` by reason, of reasons that there were.
    refusals: Mutex<Vec<(&'static str, Counter)>>,
}

impl RequestMetrics {
    /// Resolves all of them.
    #[must_use]
    pub fn new(metrics: &Arc<Metrics>) -> Self {
        Self {
            refusals: Mutex::default(),
            unrouted: RouteMetrics::unrouted(metrics),
            metrics: Arc::clone(metrics),
        }
    }

    /// Counts a request that ended.
    fn count(&self, exchange: &Exchange, traffic: Traffic, now: Instant) {
        self.metrics.sessions.note(exchange.session(), Moment::of(now));
        let call_status = exchange.call_status().map(grpc::to_http);
        let ended = Ended {
            status: call_status.or(exchange.status()).unwrap_or(500),
            received: traffic.bytes_in,
            sent: traffic.bytes_out,
            time: now.duration_since(exchange.started),
        };
        match exchange.route() {
            Some(route) => route.metrics.count(exchange.pool().map(|pool| &pool.id), &ended),
            None => self.unrouted.count(None, &ended),
        }
        exchange.listener.counts.count_request(exchange.facts().map(|facts| facts.version));
        if let Some(attempt) = exchange.attempts.last() {
            let metrics = &attempt.backend.state.metrics;
            metrics.count_request(ended.status, ended.received, ended.sent);
        }
        if let Some(refusal) = exchange.refusal() {
            self.count_refusal(refusal.reason());
        }
    }

    /// Counts a refusal. The lock is this worker's alone.
    fn count_refusal(&self, reason: &'static str) {
        let mut refusals = self.refusals.lock();
        if let Some((_, counter)) = refusals.iter().find(|(one, _)| *one == reason) {
            return counter.inc();
        }
        let counter = self.metrics.handle(&REFUSALS, [reason]);
        counter.inc();
        refusals.push((reason, counter));
    }
}

/// Records the end of `exchange`: metrics, the log of faults, and the access log if
/// there is one.
pub fn finish(
    exchange: &Exchange,
    traffic: Traffic,
    metrics: &RequestMetrics,
    log: Option<&LogRing>,
    now: Instant,
) {
    metrics.count(exchange, traffic, now);
    if let Some(refusal) = exchange.refusal() {
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
