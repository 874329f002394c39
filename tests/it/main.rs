//! End-to-end tests: the real binary between scripted clients and scripted backends.
//!
//! One binary, one module per topic. A test's name is a sentence about what a user sees; it says
//! what must be, waits with [`harness::eventually`] and never sleeps for luck. Time limits are
//! short in the configs, not long in the tests. To add one: take the module of its topic, start
//! origins, start [`harness::Vanne`], and ask.
#![cfg(test)]
#![allow(
    clippy::excessive_nesting,
    reason = "the scripts of both ends of a conversation are closures in the test"
)]

mod harness;

mod access_log;
mod access_log_targets;
mod admin;
mod admin_access;
mod admin_watch;
mod backend_faults;
mod backend_verb;
mod blocklist;
mod blocklist_automatic;
mod blocklist_kept;
mod blocklist_shared;
mod certificates;
mod circuits;
mod client_certificates;
mod client_faults;
mod cookies;
mod cors;
mod demo;
mod draining;
mod edge;
mod fallback;
mod fallback_cached;
mod forward;
mod geoip;
mod grpc;
mod headers;
mod health;
mod http2;
mod http2_backends;
mod http2_floods;
mod identity;
mod jwks;
mod kubernetes;
mod leaves;
mod limit_clients;
mod limit_costs;
mod limit_rounds;
mod logins;
mod matching;
mod messages;
mod metrics;
mod mirror;
mod overload;
mod paths;
mod pools;
mod probe;
mod profiles;
mod rate_limits;
mod redis;
mod refusals;
mod reload;
mod reload_effects;
mod reload_listeners;
mod reload_watch;
mod retries;
mod rewriting;
mod routing;
mod security_headers;
mod settings;
mod shared_limits;
mod split;
mod sticky;
mod streaming;
mod targets;
mod time_limits;
mod tls;
mod upstream_tls;
mod waf;
mod waf_answers;
mod waf_audit;
mod waf_bodies;
mod waf_verb;
mod websocket;
mod why;
mod wrong_tokens;
