//! The table of all metrics.

use super::{Kind, Metric};

const fn metric(
    name: &'static str,
    kind: Kind,
    labels: &'static [&'static str],
    help: &'static str,
) -> Metric {
    Metric { name, help, kind, labels }
}

/// Lines of the access log that were dropped because its writer was behind.
pub const ACCESS_LOG_DROPPED: Metric = metric(
    "vanne_access_log_dropped_total",
    Kind::Counter,
    &[],
    "Access log lines dropped because the writer was behind.",
);
/// Sessions that were active in the last five minutes.
pub const ACTIVE_SESSIONS: Metric = metric(
    "vanne_active_sessions",
    Kind::Gauge,
    &[],
    "Sessions active in the last five minutes: of sticky clients, else connections. Within 2 %.",
);
/// Failed logins at the admin API.
pub const ADMIN_LOGIN_FAILURES: Metric = metric(
    "vanne_admin_login_failures_total",
    Kind::Counter,
    &["reason"],
    "Requests to the admin API that were not let in: missing, wrong, or limited after too many wrong tokens.",
);
/// Requests to the admin API.
pub const ADMIN_REQUESTS: Metric = metric(
    "vanne_admin_requests_total",
    Kind::Counter,
    &["method", "code"],
    "Requests to the admin API, by method and status.",
);
/// Attempts by outcome.
pub const ATTEMPTS: Metric = metric(
    "vanne_attempts_total",
    Kind::Counter,
    &["pool", "outcome"],
    "Attempts at a backend of the pool, by outcome.",
);
/// Requests a backend is working on.
pub const BACKEND_IN_FLIGHT: Metric = metric(
    "vanne_backend_requests_in_flight",
    Kind::Gauge,
    &["pool", "backend"],
    "Requests the backend is working on now.",
);
/// Whether a backend takes new traffic.
pub const BACKEND_UP: Metric = metric(
    "vanne_backend_up",
    Kind::Gauge,
    &["pool", "backend"],
    "Whether the backend takes new traffic: 1, or 0 if it is out for whatever reason.",
);
/// Files of certificates or ticket keys that could not be used.
pub const CERTIFICATE_ERRORS: Metric = metric(
    "vanne_certificate_errors_total",
    Kind::Counter,
    &["listener"],
    "Changed files of certificates or ticket keys that could not be used.",
);
/// Until when certificates are valid.
pub const CERTIFICATE_NOT_AFTER: Metric = metric(
    "vanne_certificate_not_after_seconds",
    Kind::Gauge,
    &["listener", "certificate"],
    "Until when the certificate in use is valid, in Unix time; by file.",
);
/// When a config was applied last.
pub const CONFIG_APPLIED: Metric = metric(
    "vanne_config_applied_timestamp_seconds",
    Kind::Gauge,
    &[],
    "When the config in use was applied, in Unix time.",
);
/// Which config is in use.
pub const CONFIG_GENERATION: Metric = metric(
    "vanne_config_generation",
    Kind::Gauge,
    &[],
    "Number of the config in use: 1 at the start, one more with each that was applied.",
);
/// Whether the last reload was good.
pub const CONFIG_RELOAD_SUCCESS: Metric = metric(
    "vanne_config_reload_success",
    Kind::Gauge,
    &[],
    "1 if the config file as it was read last is in use, 0 if it was refused.",
);
/// Connections accepted.
pub const CONNECTIONS_ACCEPTED: Metric = metric(
    "vanne_connections_accepted_total",
    Kind::Counter,
    &["listener"],
    "Client connections accepted.",
);
/// Connections open.
pub const CONNECTIONS_OPEN: Metric =
    metric("vanne_connections_open", Kind::Gauge, &["listener"], "Client connections open now.");
/// Ejections by passive health, and those that the guard kept back.
pub const EJECTIONS: Metric = metric(
    "vanne_ejections_total",
    Kind::Counter,
    &["pool", "result"],
    "Backends left out by passive health: done, or guarded: too many of the pool are out.",
);
/// Configs that are alive.
pub const GENERATIONS_ALIVE: Metric = metric(
    "vanne_generations_alive",
    Kind::Gauge,
    &["held_by"],
    "Configs still alive, by what holds them: current, requests under way, open tunnels.",
);
/// Copies of requests for mirrors.
pub const MIRRORED: Metric = metric(
    "vanne_mirrored_total",
    Kind::Counter,
    &["route", "pool", "outcome"],
    "Copies of requests for a mirror's pool: answered, failed, no_backend; not made: too_large, too_many.",
);
/// What operators changed.
pub const OVERRIDES_ACTIVE: Metric = metric(
    "vanne_overrides_active",
    Kind::Gauge,
    &["kind"],
    "What operators changed at run time and has not ended, by kind: backend, log_level.",
);
/// Panics caught.
pub const PANICS: Metric = metric(
    "vanne_panics_total",
    Kind::Counter,
    &[],
    "Panics caught while serving a request; each cost one request.",
);
/// Backends that new traffic is spread over.
pub const POOL_ACTIVE: Metric = metric(
    "vanne_pool_backends_active",
    Kind::Gauge,
    &["pool"],
    "Backends that new traffic is spread over.",
);
/// Whether health is overlooked.
pub const POOL_PANIC: Metric = metric(
    "vanne_pool_panic",
    Kind::Gauge,
    &["pool"],
    "Whether too few backends are healthy, so that health is overlooked (panic_threshold).",
);
/// Refusals by reason.
pub const REFUSALS: Metric = metric(
    "vanne_refusals_total",
    Kind::Counter,
    &["reason"],
    "Requests that Vanne answered or cut itself, by reason.",
);
/// Duration of whole requests.
pub const REQUEST_DURATION: Metric = metric(
    "vanne_request_duration_seconds",
    Kind::Histogram,
    &["route"],
    "Time from a request's first byte to its answer's last.",
);
/// Reloads by result.
pub const RELOADS: Metric = metric(
    "vanne_reloads_total",
    Kind::Counter,
    &["result"],
    "Reloads of the config: applied, unchanged or refused.",
);
/// Requests that were tried again.
pub const RETRIES: Metric = metric(
    "vanne_retries_total",
    Kind::Counter,
    &["pool", "result"],
    "Attempts after a failed one: done, or no_budget: the pool's budget was used up.",
);
/// Requests by route, pool and status class.
pub const REQUESTS: Metric = metric(
    "vanne_requests_total",
    Kind::Counter,
    &["route", "pool", "class"],
    "Requests ended, by route, pool (`-` if the route has none) and status class.",
);
/// Requests in flight.
pub const REQUESTS_IN_FLIGHT: Metric =
    metric("vanne_requests_in_flight", Kind::Gauge, &[], "Requests being served now.");
/// TLS handshakes that failed.
pub const TLS_HANDSHAKE_FAILURES: Metric = metric(
    "vanne_tls_handshake_failures_total",
    Kind::Counter,
    &["listener", "reason"],
    "TLS handshakes with clients that came to nothing, by reason.",
);
/// TLS handshakes.
pub const TLS_HANDSHAKES: Metric = metric(
    "vanne_tls_handshakes_total",
    Kind::Counter,
    &["listener", "kind"],
    "TLS handshakes with clients: full, or resumed by a ticket.",
);

/// All metrics there are, in alphabetical order of name.
pub const METRICS: &[Metric] = &[
    ACCESS_LOG_DROPPED,
    ACTIVE_SESSIONS,
    ADMIN_LOGIN_FAILURES,
    ADMIN_REQUESTS,
    ATTEMPTS,
    BACKEND_IN_FLIGHT,
    BACKEND_UP,
    CERTIFICATE_ERRORS,
    CERTIFICATE_NOT_AFTER,
    CONFIG_APPLIED,
    CONFIG_GENERATION,
    CONFIG_RELOAD_SUCCESS,
    CONNECTIONS_ACCEPTED,
    CONNECTIONS_OPEN,
    EJECTIONS,
    GENERATIONS_ALIVE,
    MIRRORED,
    OVERRIDES_ACTIVE,
    PANICS,
    POOL_ACTIVE,
    POOL_PANIC,
    REFUSALS,
    RELOADS,
    REQUEST_DURATION,
    REQUESTS_IN_FLIGHT,
    REQUESTS,
    RETRIES,
    TLS_HANDSHAKE_FAILURES,
    TLS_HANDSHAKES,
];
