//! Probe: the port that orchestrators and Prometheus ask.
//!
//! `/healthz`: the process lives. `/startupz`: it has started; 503 while pools that are
//! `required` wait for their first lists. `/readyz`: it wants traffic; 503 until it has started,
//! and from the first moment of a drain. `/health`: both and a few counts, as JSON. `/metrics`: Prometheus' text
//! format, behind a bearer token if one is set. Nothing here changes anything.

use super::own_headers::careful;
use super::reload::MetricsToken;
use super::starting::Starting;
use crate::config::Secret;
use crate::data::engine::worker::Workers;
use crate::data::lifecycle::Stage;
use crate::observe::metrics::Metrics;
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::Serialize;
use std::sync::Arc;

/// What probes look at.
pub struct Probed {
    /// The workers.
    pub workers: Arc<Workers>,
    /// All metrics.
    pub metrics: Arc<Metrics>,
    /// What the start waits for.
    pub starting: Arc<Starting>,
    /// The token that `/metrics` asks for, if any.
    pub metrics_token: MetricsToken,
}

/// The routes of the probe port.
pub fn router(probed: Arc<Probed>) -> Router {
    let router = Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/startupz", get(startup))
        .route("/readyz", get(readiness))
        .route("/health", get(health))
        .route("/metrics", get(metrics))
        .with_state(probed);
    careful(router)
}

async fn startup(State(probed): State<Arc<Probed>>) -> Response {
    match probed.starting.waits() {
        Some(why) => unready(&why),
        None => "started\n".into_response(),
    }
}

fn unready(why: &str) -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")).into_response()
}

async fn readiness(State(probed): State<Arc<Probed>>) -> Response {
    match probed.workers.lifecycle().stage() {
        Stage::Serving => match probed.starting.waits() {
            Some(why) => unready(&why),
            None => "ready\n".into_response(),
        },
        _ => (StatusCode::SERVICE_UNAVAILABLE, "draining\n").into_response(),
    }
}

#[derive(Serialize)]
struct Health {
    status: &'static str,
    version: &'static str,
    connections: usize,
}

async fn health(State(probed): State<Arc<Probed>>) -> Response {
    let (code, status) = match probed.workers.lifecycle().stage() {
        Stage::Serving if probed.starting.waits().is_some() => {
            (StatusCode::SERVICE_UNAVAILABLE, "starting")
        }
        Stage::Serving => (StatusCode::OK, "ready"),
        _ => (StatusCode::SERVICE_UNAVAILABLE, "draining"),
    };
    let health = Health {
        status,
        version: env!("CARGO_PKG_VERSION"),
        connections: probed.workers.connections(),
    };
    match serde_json::to_vec(&health) {
        Ok(body) => (code, [(header::CONTENT_TYPE, "application/json")], body).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

async fn metrics(State(probed): State<Arc<Probed>>, headers: HeaderMap) -> Response {
    if !is_allowed(probed.metrics_token.load().as_deref().map(Secret::expose), &headers) {
        let ask = [(header::WWW_AUTHENTICATE, "Bearer")];
        return (StatusCode::UNAUTHORIZED, ask, "a bearer token is needed\n").into_response();
    }
    match probed.metrics.render() {
        Ok(text) => ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text)
            .into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

fn is_allowed(token: Option<&str>, headers: &HeaderMap) -> bool {
    let Some(token) = token else { return true };
    headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.as_bytes().strip_prefix(b"Bearer "))
        .is_some_and(|given| is_equal(given, token.as_bytes()))
}

/// Compares without telling by its time where the first difference is.
fn is_equal(a: &[u8], b: &[u8]) -> bool {
    use subtle::ConstantTimeEq;
    a.ct_eq(b).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_right_token_is_let_in() {
        let with = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::AUTHORIZATION, value.parse().unwrap());
            headers
        };
        assert!(is_allowed(None, &HeaderMap::new()));
        assert!(is_allowed(Some("s3cret"), &with("Bearer s3cret")));
        for wrong in ["Bearer s3cre", "Bearer s3cret2", "Basic s3cret", "s3cret"] {
            assert!(!is_allowed(Some("s3cret"), &with(wrong)), "{wrong}");
        }
        assert!(!is_allowed(Some("s3cret"), &HeaderMap::new()));
    }
}
