//! The table of all metrics, in alphabetical order of name.

use super::{Counter, Gauge, Histogram, Metric, Row};
use std::marker::PhantomData;

macro_rules! table {
    ($($row:ident: $handle:ty = $name:literal [$($label:literal),*] $help:literal;)*) => {
        $(
            #[doc = $help]
            pub const $row: Row<$handle, { <[&str]>::len(&[$($label),*]) }> =
                Row { name: $name, help: $help, labels: &[$($label),*], handle: PhantomData };
        )*

        /// All metrics there are, in alphabetical order of name.
        pub const METRICS: &[Metric] = &[$($row.metric()),*];
    };
}

table! {
    ACCESS_LOG_DROPPED: Counter = "vanne_access_log_dropped_total" []
        "Access log lines that were not written: their writer was behind, or writing failed.";
    ACTIVE_SESSIONS: Gauge = "vanne_active_sessions" []
        "Sessions active in the last five minutes: of sticky clients, else connections. Within 2 %.";
    ADMIN_LOGIN_FAILURES: Counter = "vanne_admin_login_failures_total" ["reason"]
        "Requests to the admin API that were not let in: missing, wrong, or limited after too many wrong tokens.";
    ADMIN_REQUESTS: Counter = "vanne_admin_requests_total" ["method", "code"]
        "Requests to the admin API, by method and status.";
    ALLOCATOR_BYTES: Gauge = "vanne_allocator_bytes" ["kind"]
        "Memory of the allocator: allocated by Vanne, active and resident in whole pages, retained from the system.";
    ATTEMPTS: Counter = "vanne_attempts_total" ["pool", "backend", "outcome"]
        "Attempts at the backend that ended, by outcome. A request has more than one if it was tried again.";
    AUTOMATIC_BLOCKS: Counter = "vanne_automatic_blocks_total" []
        "Addresses that were blocked because of too many answers of some kind (`blocklist.automatic`).";
    BACKEND_LAST_CHANGE: Gauge = "vanne_backend_last_change_timestamp_seconds" ["pool", "backend"]
        "When the backend's state changed last, in Unix time.";
    BACKEND_LATENCY: Gauge = "vanne_backend_latency_seconds" ["pool", "backend", "quantile"]
        "Time from an attempt's start to its answer's head, over the last minute: quantiles, within 3 %.";
    BACKEND_RECEIVED_BYTES: Counter = "vanne_backend_received_bytes_total" ["pool", "backend"]
        "Bytes that clients got of requests whose last attempt was at the backend, heads included.";
    BACKEND_IN_FLIGHT: Gauge = "vanne_backend_requests_in_flight" ["pool", "backend"]
        "Requests the backend is working on now.";
    BACKEND_REQUESTS: Counter = "vanne_backend_requests_total" ["pool", "backend", "class"]
        "Requests ended whose last attempt was at the backend, by status class.";
    BACKEND_SENT_BYTES: Counter = "vanne_backend_sent_bytes_total" ["pool", "backend"]
        "Bytes that clients sent of requests whose last attempt was at the backend, heads included.";
    BACKEND_STATE: Gauge = "vanne_backend_state" ["pool", "backend", "state"]
        "1 for the state that the backend is in: up, or why it takes no new traffic.";
    BACKEND_UP: Gauge = "vanne_backend_up" ["pool", "backend"]
        "Whether the backend takes new traffic: 1, or 0 if it is out for whatever reason.";
    BACKEND_WEIGHT: Gauge = "vanne_backend_weight" ["pool", "backend"]
        "The backend's weight: the config's, a source's or an operator's.";
    BLOCKED: Counter = "vanne_blocked_total" ["where"]
        "Who was turned away because of a blocked address: accept, connections closed at once; request, answered 403; open, connections and tunnels that were there before.";
    BLOCKLIST_ENTRIES: Gauge = "vanne_blocklist_entries" ["source"]
        "Networks in the blocklist, by where they are from: config, file, api, automatic; allow, those that are never blocked.";
    BLOCKLIST_SHARED_AGE: Gauge = "vanne_blocklist_shared_age_seconds" []
        "For how long this replica may not know of all blocks of the others, or they not of its own; where blocks are shared.";
    BLOCKLIST_SHARED_FAILURES: Counter = "vanne_blocklist_shared_failures_total" ["reason"]
        "What went wrong with blocks that replicas share: `asking` Redis in vain, an `entry` there that is no block, `full`: no room for a block, there or here.";
    BLOCKLIST_SHARED_UNTOLD: Gauge = "vanne_blocklist_shared_untold" []
        "Blocked and unblocked networks that wait to be told to the other replicas.";
    BUILD_INFO: Gauge = "vanne_build_info" ["version"]
        "1, for the version that runs.";
    CERTIFICATE_ERRORS: Counter = "vanne_certificate_errors_total" ["listener"]
        "Changed files of certificates or ticket keys that could not be used.";
    CERTIFICATE_NOT_AFTER: Gauge = "vanne_certificate_not_after_seconds" ["listener", "certificate"]
        "Until when the certificate in use is valid, in Unix time; by file.";
    CHECKS: Counter = "vanne_checks_total" ["backend", "result"]
        "Active checks of the backend, whatever pools it is in: passed or failed.";
    CIRCUIT_CHANGES: Counter = "vanne_circuit_changes_total" ["pool", "to", "cause"]
        "Circuits of backends that opened, became half open or closed, and why.";
    CIRCUIT_GUARDED: Counter = "vanne_circuit_guarded_total" ["pool"]
        "Failed or slow attempts that would have opened a circuit, but for the guard: too many of the pool are out.";
    CONFIG_APPLIED: Gauge = "vanne_config_applied_timestamp_seconds" []
        "When the config in use was applied, in Unix time.";
    CONFIG_GENERATION: Gauge = "vanne_config_generation" []
        "Number of the config in use: 1 at the start, one more with each that was applied.";
    CONFIG_INFO: Gauge = "vanne_config_info" ["hash"]
        "1, for the config in use: the SHA-256 of its file.";
    CONFIG_RELOAD_SUCCESS: Gauge = "vanne_config_reload_success" []
        "1 if the config file as it was read last is in use, 0 if it was refused.";
    CONNECTIONS_ACCEPTED: Counter = "vanne_connections_accepted_total" ["listener"]
        "Client connections accepted.";
    CONNECTIONS_OPEN: Gauge = "vanne_connections_open" ["listener"]
        "Client connections open now.";
    CONNECTIONS_REFUSED: Counter = "vanne_connections_refused_total" ["listener", "reason"]
        "Client connections refused: too_many_connections, connection_rate. Failed handshakes have a metric of their own.";
    FALLBACKS_TAKEN: Counter = "vanne_fallbacks_total" ["route", "step"]
        "Steps taken for requests that no backend may be tried for: cached, pool:NAME, static:NAME.";
    GENERATIONS_ALIVE: Gauge = "vanne_generations_alive" ["held_by"]
        "Configs still alive, by what holds them: current, requests under way, open tunnels.";
    GEOIP_MADE: Gauge = "vanne_geoip_made_timestamp_seconds" ["file"]
        "When the file that says where addresses are was made, in Unix time: country, asn.";
    HTTP2_FLOODS: Counter = "vanne_http2_floods_total" ["listener", "reason"]
        "HTTP/2 connections ended for too many frames that bring nothing, too many resets, or what the library found.";
    FORWARD_DURATION: Histogram = "vanne_identity_forward_seconds" ["identity"]
        "Time that the service of forward-auth took to say who may pass, or was given for it.";
    FORWARD_TOTAL: Counter = "vanne_identity_forward_total" ["identity", "outcome"]
        "Requests that the service of forward-auth was asked about: `allowed`, `refused`, or no answer: `busy`, `failed`, `timeout`, `wrong`.";
    IDENTITY_KEYS: Gauge = "vanne_identity_keys" ["identity"]
        "Keys of the issuer that are in use, where they are fetched.";
    IDENTITY_KEYS_AGE: Gauge = "vanne_identity_keys_age_seconds" ["identity"]
        "Seconds since the keys of the issuer were fetched; above `refresh` something is wrong.";
    IDENTITY_KEYS_FETCHES: Counter = "vanne_identity_keys_fetches_total" ["identity", "result"]
        "Times that the keys of the issuer were asked for: `fetched`, or `failed`.";
    IDENTITY: Counter = "vanne_identity_total" ["identity", "result"]
        "Requests that were asked who sends them: `verified`, `cached` (known from before), `missing`, `refused` or `unavailable`.";
    KUBERNETES_SYNC_AGE: Gauge = "vanne_kubernetes_sync_age_seconds" ["namespace"]
        "Seconds since the API server last said how things are in the namespace; above two minutes something is wrong.";
    LISTENER_REQUESTS: Counter = "vanne_listener_requests_total" ["listener", "protocol"]
        "Requests ended, by where they came in and how: http/1.0, http/1.1, http/2; unknown if the head was no head.";
    MIRRORED: Counter = "vanne_mirrored_total" ["route", "pool", "outcome"]
        "Copies of requests for a mirror's pool: answered, failed, no_backend; not made: too_large, too_many.";
    OVERRIDES_ACTIVE: Gauge = "vanne_overrides_active" ["kind"]
        "What operators changed at run time and has not ended, by kind: backend, circuit, log_level.";
    PANICS: Counter = "vanne_panics_total" []
        "Panics caught while serving a request; each cost one request.";
    POOL_BACKENDS: Gauge = "vanne_pool_backends" ["pool"]
        "Backends that are listed.";
    POOL_ACTIVE: Gauge = "vanne_pool_backends_active" ["pool"]
        "Backends that new traffic is spread over.";
    POOL_CONNECT_DURATION: Histogram = "vanne_pool_connect_seconds" ["pool"]
        "Time to a new connection to a backend, its TLS handshake included.";
    POOL_CONNECTIONS: Counter = "vanne_pool_connections_total" ["pool", "kind"]
        "Connections to backends that attempts had: new, or reused.";
    POOL_FIRST_BYTE_DURATION: Histogram = "vanne_pool_first_byte_seconds" ["pool"]
        "Time from an attempt's start to its answer's head.";
    POOL_PANIC: Gauge = "vanne_pool_panic" ["pool"]
        "Whether too few backends are healthy, so that health is overlooked (panic_threshold).";
    POOL_QUEUE_LENGTH: Gauge = "vanne_pool_queue_length" ["pool"]
        "Requests that wait for a place in a backend now.";
    POOL_QUEUE_DURATION: Histogram = "vanne_pool_queue_seconds" ["pool"]
        "Time that requests waited for a place in a backend, whether they got one or not.";
    RATE_LIMIT_ADAPTED: Gauge = "vanne_rate_limit_adapted" ["limit"]
        "How much of an `adaptive` limit's rate is let in now: 1 is all of it.";
    RATE_LIMIT_SHARED: Counter = "vanne_rate_limit_shared_total" ["limit", "result"]
        "What Redis said of a shared limit's buckets: there was `enough`, they were `empty`; or asking `failed`.";
    RATE_LIMIT: Counter = "vanne_rate_limit_total" ["limit", "result"]
        "Requests that a rate limit was asked about: `passed`, `delayed`, `refused`, or `shadowed`, which passed and would not have.";
    RECEIVED_BYTES: Counter = "vanne_received_bytes_total" ["route"]
        "Bytes of requests from clients, with their heads unless these were refused; route `-`: of those without one.";
    REDIS_FAILURES: Counter = "vanne_redis_failures_total" ["reason"]
        "What Redis was asked in vain: an `answer` that is none, a `connection` that broke or could not be made, a `timeout`.";
    REDIS_REPLICAS: Gauge = "vanne_redis_replicas" []
        "Replicas that share limits through Redis, this one included; while Redis is away, as many as there were.";
    REDIS_UP: Gauge = "vanne_redis_up" []
        "Whether Redis is there, where the config has one; without it each replica goes on by itself.";
    REFUSALS: Counter = "vanne_refusals_total" ["reason"]
        "Requests that Vanne answered or cut itself, by reason.";
    RELOADS: Counter = "vanne_reloads_total" ["result"]
        "Reloads of the config: applied, unchanged or refused.";
    REQUEST_DURATION: Histogram = "vanne_request_duration_seconds" ["route"]
        "Time from a request's first byte to its answer's last; route `-`: of requests without one.";
    REQUESTS_IN_FLIGHT: Gauge = "vanne_requests_in_flight" []
        "Requests being served now.";
    REQUESTS: Counter = "vanne_requests_total" ["route", "pool", "class"]
        "Requests ended, by route, pool and status class; `-` where there is none.";
    RETRIES: Counter = "vanne_retries_total" ["pool", "result"]
        "Attempts after a failed one: done, or no_budget: the pool's budget was used up.";
    RETRY_BUDGET: Gauge = "vanne_retry_budget" ["pool"]
        "Retries that requests have saved up; a small floor per second comes on top.";
    SENT_BYTES: Counter = "vanne_sent_bytes_total" ["route"]
        "Bytes sent to clients, heads included; route `-`: of requests without one.";
    SHED: Counter = "vanne_shed_total" ["pool", "priority"]
        "Requests refused since too many were under way, by the pool whose limit it was (`-`: the process') and class.";
    SOURCE_BACKENDS: Gauge = "vanne_source_backends" ["pool", "source"]
        "Backends that the source knows.";
    SOURCE_STALE: Gauge = "vanne_source_stale" ["pool", "source"]
        "Whether the source fails: its backends are what it said last.";
    SPLIT_SHARE: Gauge = "vanne_split_share" ["route", "pool"]
        "Share of the route's requests that the pool is to get: 0 to 1.";
    STICKY: Counter = "vanne_sticky_total" ["pool", "result"]
        "Answered requests of a sticky pool: hit: by the client's own backend; new: it had none; moved: by another one.";
    TASKS: Gauge = "vanne_tasks" ["runtime"]
        "Tasks alive in the runtime of a worker, or of control.";
    TLS_HANDSHAKE_FAILURES: Counter = "vanne_tls_handshake_failures_total" ["listener", "reason"]
        "TLS handshakes with clients that came to nothing, by reason.";
    TLS_HANDSHAKES: Counter = "vanne_tls_handshakes_total" ["listener", "kind"]
        "TLS handshakes with clients: full, or resumed by a ticket.";
    WAF_LOG_DROPPED: Counter = "vanne_waf_log_dropped_total" []
        "Lines of the firewalls' log that were not written: their writer was behind, or writing failed.";
    WAF_MATCHES: Counter = "vanne_waf_matches_total" ["waf", "family"]
        "Matches of rules that log, by family: the first three digits of a rule of CRS, else the name of its file.";
    WAF_REQUESTS: Counter = "vanne_waf_requests_total" ["waf", "verdict"]
        "Requests that a firewall was asked about: passed, detected (would have been refused), refused, too_large; over_refused and over_passed: not inspected; answer_refused and answer_detected: let pass, but not what was answered.";
    WAF_DURATION: Histogram = "vanne_waf_seconds" ["waf"]
        "Time that the inspection of a request took, and of its answer.";
}
