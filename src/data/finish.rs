//! Finish: what is recorded when a request is over.
//!
//! Called exactly once per request, on whatever path it ended: releases what it held,
//! counts it, and writes its log line.

use super::exchange::Exchange;
use super::grpc;
use super::log_line;
use super::route::{Ended, RouteMetrics};
use super::waf;
use crate::observe::access_log::LogRing;
use crate::observe::metrics::{Counters, Metrics, REFUSALS};
use crate::types::moment::Moment;
use std::sync::Arc;
use std::time::Instant;

/// Bytes on the client's connection that belong to this request, heads included.
#[derive(Clone, Copy, Debug, Default)]
pub struct Traffic {
    /// Received from the client.
    pub bytes_in: u64,
    /// Sent to the client.
    pub bytes_out: u64,
}

/// What one worker's requests are counted by, besides handles of routes, pools and backends.
pub struct RequestMetrics {
    metrics: Arc<Metrics>,
    unrouted: RouteMetrics,
    /// `vanne_refusals_total` by reason. Its lock is this worker's alone.
    refusals: Counters<1>,
}

impl RequestMetrics {
    /// Resolves all of them.
    #[must_use]
    pub fn new(metrics: &Arc<Metrics>) -> Self {
        Self {
            refusals: Counters::new(metrics, &REFUSALS),
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
            let metrics = &attempt.backend().state.metrics;
            metrics.count_request(ended.status, ended.received, ended.sent);
        }
        if let Some(refusal) = exchange.refusal() {
            self.refusals.inc([refusal.reason()]);
        }
    }
}

/// Where lines about a request go: to these, if there are any.
#[derive(Clone, Copy)]
pub struct Logs<'a> {
    /// The access log.
    pub access: Option<&'a LogRing>,
    /// The log of firewalls.
    pub waf: Option<&'a LogRing>,
}

/// Records the end of `exchange`: metrics, the log of faults, and the logs of requests.
pub fn finish(
    exchange: &Exchange,
    traffic: Traffic,
    metrics: &RequestMetrics,
    logs: Logs<'_>,
    now: Instant,
) {
    metrics.count(exchange, traffic, now);
    if let Some(refusal) = exchange.refusal() {
        report(exchange, refusal);
    }
    waf::finish(exchange, logs.waf);
    if let Some(ring) = logs.access {
        log_line::write(exchange, traffic, ring, now);
    }
}

/// Says a fault in the process log, as loud as its row asks.
fn report(exchange: &Exchange, refusal: super::refusal::Refusal) {
    let row = refusal.row();
    let backend = exchange.attempts.last().map_or("-", |attempt| &attempt.backend().name);
    let fallback = exchange.fallback();
    let route = exchange.route().map_or("-", |route| route.id.as_str());
    macro_rules! say {
        ($level:expr) => {
            tracing::event!($level, reason = row.reason, route, backend, fallback,
                request_id = %exchange.id, client = %exchange.sender(), "request refused")
        };
    }
    match row.level {
        tracing::Level::ERROR => say!(tracing::Level::ERROR),
        tracing::Level::WARN => say!(tracing::Level::WARN),
        tracing::Level::INFO => say!(tracing::Level::INFO),
        _ => say!(tracing::Level::DEBUG),
    }
}
