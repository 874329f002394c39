//! Finish: what is recorded when a request is over.
//!
//! Called exactly once per request, on whatever path it ended: releases what it held,
//! counts it, and writes its log line.

use super::exchange::Exchange;
use super::grpc;
use super::log_line;
use crate::observe::access_log::LogRing;
use crate::observe::metrics::{Metrics, REFUSALS};
use crate::types::moment::Moment;
use std::time::Instant;

/// Bytes on the client's connection that belong to this request, heads included.
#[derive(Clone, Copy, Debug, Default)]
pub struct Traffic {
    /// Received from the client.
    pub bytes_in: u64,
    /// Sent to the client.
    pub bytes_out: u64,
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
        log_line::write(exchange, traffic, ring, now);
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
