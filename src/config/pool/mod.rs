//! `[pool.NAME]`: the backends of one service.

mod breaker;
mod entry;
mod rules;
mod sticky;

pub(super) use breaker::check as check_breaker;
pub use breaker::{BackendAddress, BackendBreaker, Breaker, FailureName, Outliers, SlowCall};
pub use entry::BackendEntry;
pub use rules::{AlgorithmName, Hash, HashSource, LoadFactor, PoolQueue, PoolRetries, RetryOn};
pub use sticky::{SameSiteName, Sticky, WhenDraining, WhenFull, WhenOpen};

use super::discovery::Dns;
use super::fallback::FallbackStep;
use super::health::HealthCheck;
use super::kubernetes::KubernetesService;
use super::observe::FilePath;
use super::overload::Overload;
use super::route::Host;
use crate::types::units::{Percent, Period};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The backends of one service.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Pool {
    /// How a backend is chosen.
    pub algorithm: AlgorithmName,
    /// What `ip-hash` goes by.
    pub hash: Hash,
    /// The backends, each an IP address and a port, and what is special about it:
    /// `weight=5` (0 to 1000, 1 by default; 0: no new traffic), `max_requests=100`, `backup`
    /// (used when none of the others can be). An empty list is allowed: requests then get 503
    /// `no_backend`.
    pub backends: Vec<BackendEntry>,
    /// A file of more backends, one a line, written as above; `#` begins a comment. It is
    /// watched: a change counts at once, and one with a mistake changes nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backends_file: Option<FilePath>,
    /// More backends, which a name in DNS stands for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dns: Option<Dns>,
    /// More backends: the pods of a Service of Kubernetes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kubernetes: Option<KubernetesService>,
    /// Whether the process counts as started, and ready, only when each source of this pool
    /// (`kubernetes`, `dns`, `backends_file`) has given its first list, or has one that was kept
    /// in `process.state_dir`. Only at the start: a source that fails later makes nothing unready.
    pub required: bool,
    /// Active health: backends are asked whether they are well, and left out while they are
    /// not. One that was not asked yet counts as well. Without it: nobody asks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health: Option<HealthCheck>,
    /// What is done, in this order, for requests that no backend may be tried for (nobody is in
    /// service, all are full and nobody may wait or waited for too long, a limit is reached), and
    /// for those whose attempts are used up. A route with a `fallback` of its own uses that.
    ///
    /// `"pool:NAME"`: another pool serves the request by its own rules; its own `fallback` is not
    /// used. Only for what can be sent once more: a request that no backend has seen, else an
    /// idempotent one whose body, if any, was kept. Sticky clients keep their backend here.
    /// `"cached"`: the last good answer to the same request on the same route, if there is one
    /// (`fallback_cache`), for GET and HEAD without `Authorization`. `"static:NAME"`: the page of
    /// this name (`page`); `"static:FILE"`: a file with HTML or JSON, with the status that the
    /// reason has.
    ///
    /// The steps that were taken are in the answer's field `Vanne-Fallback`, in the access log and
    /// in `vanne_fallbacks_total`. A gRPC call gets from `cached` and `static` what the status
    /// means there. A WebSocket is only tried at pools.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fallback: Vec<FallbackStep>,
    /// Requests that a backend may work on at once, over all workers. Without it: no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub max_requests: Option<u32>,
    /// How many requests may be under way in this pool: at its backends, or waiting for one.
    /// Without it: no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub overload: Option<Overload>,
    /// Requests that wait while all backends are full.
    pub queue: PoolQueue,
    /// Over how long a backend that is new or has recovered comes up to its full weight, from
    /// a tenth. Not in `round-robin` and `ip-hash`. Without it: at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slow_start: Option<Period>,
    /// When a smaller share of the backends than this is healthy, health is overlooked and all
    /// get traffic: a few that are left would only fall too. 0%: never.
    pub panic_threshold: Percent,
    /// The circuit breaker of each backend.
    pub breaker: Breaker,
    /// The share of the backends that stays in service, whatever breakers and outliers say: if
    /// more fail, the fault is likely elsewhere. It keeps in nobody whose active check fails,
    /// nor who refuses connections, but for the last one of a pool without `health`. 0%, or if
    /// all requests that come here have a `fallback` left, the pool's or their route's: none is
    /// kept in.
    pub guard: Percent,
    /// Backends that do worse than the others. Without it: nobody compares them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outliers: Option<Outliers>,
    /// How clients come back to the backend that they had. Without it: they need not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sticky: Option<Sticky>,
    /// When a request is tried again.
    pub retries: PoolRetries,
    /// What is spoken with the backends.
    pub protocol: PoolProtocol,
    /// HTTP/2 with the backends.
    pub http2: PoolHttp2,
    /// TLS with the backends. Without it: plain text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<PoolTls>,
    /// Time limits on the backend's side.
    pub timeouts: PoolTimeouts,
}

impl Default for Pool {
    fn default() -> Self {
        Self {
            algorithm: AlgorithmName::RoundRobin,
            hash: Hash::default(),
            backends: Vec::new(),
            backends_file: None,
            dns: None,
            kubernetes: None,
            required: false,
            health: None,
            fallback: Vec::new(),
            max_requests: None,
            overload: None,
            queue: PoolQueue::default(),
            slow_start: None,
            panic_threshold: Percent::from_whole(0),
            breaker: Breaker::default(),
            guard: Percent::from_whole(50),
            outliers: None,
            sticky: None,
            retries: PoolRetries::default(),
            protocol: PoolProtocol::Http1,
            http2: PoolHttp2::default(),
            tls: None,
            timeouts: PoolTimeouts::default(),
        }
    }
}

/// What is spoken with backends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum PoolProtocol {
    /// HTTP/2 if the backend agrees to it in the TLS handshake (ALPN), else HTTP/1.1, as
    /// WebSockets need it. Needs `tls`.
    #[serde(rename = "auto")]
    Auto,
    /// HTTP/2, as gRPC needs it. Without `tls` the backend has to know beforehand. WebSockets
    /// are refused with 501 `websocket_unsupported`.
    #[serde(rename = "h2")]
    Http2,
    /// HTTP/1.1.
    #[serde(rename = "http/1.1")]
    Http1,
}

/// HTTP/2 with backends.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PoolHttp2 {
    /// Requests at once on a connection; for more, another one is opened. A backend that takes
    /// fewer is obeyed.
    #[schemars(range(min = 1, max = 10_000))]
    pub max_streams: u32,
}

impl Default for PoolHttp2 {
    fn default() -> Self {
        Self { max_streams: 100 }
    }
}

/// TLS with backends: 1.2 or 1.3, as they can.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PoolTls {
    /// The name that the backends are asked for (SNI) and must prove. Without it: each one's
    /// address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_name: Option<Host>,
    /// A PEM file of the authorities that may vouch for the backends. Without it: those that
    /// the system trusts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<FilePath>,
    /// A PEM file with the certificate that Vanne shows, and those that lead to its root. Its
    /// key is in `key_file`, or in the same file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate_file: Option<FilePath>,
    /// A PEM file with the key of `certificate_file`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_file: Option<FilePath>,
    /// Whether the backends have to prove who they are. Without that anyone in between can
    /// read and change everything: for trying things out only. Then: 502 `tls_failed`.
    pub verify: bool,
}

impl Default for PoolTls {
    fn default() -> Self {
        Self {
            server_name: None,
            ca_file: None,
            certificate_file: None,
            key_file: None,
            verify: true,
        }
    }
}

/// Time limits on the backend's side.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PoolTimeouts {
    /// How long a connection may take. Then: the next attempt, or 504 `connect_timeout`.
    pub connect: Period,
    /// From the request's last byte to the end of the answer's head. Then: 504
    /// `first_byte_timeout`.
    pub first_byte: Period,
    /// How long the backend may send nothing of a body, or take nothing of a request. Then
    /// the answer is cut, or 504 `backend_stalled`.
    pub between_bytes: Period,
    /// How long an unused connection is kept. Shorter than the backend's own limit is best:
    /// then no request meets a connection that is just being closed.
    pub idle: Period,
}

impl Default for PoolTimeouts {
    fn default() -> Self {
        Self {
            connect: Period::from_secs(5),
            first_byte: Period::from_secs(30),
            between_bytes: Period::from_secs(30),
            idle: Period::from_secs(30),
        }
    }
}
