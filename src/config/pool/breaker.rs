//! When the circuit of a backend opens, and what brings it back.

use crate::config::diagnostics::Problem;
use crate::config::tree::Node;
use crate::types::text::{TextValue, text_value};
use crate::types::units::{Percent, Period};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

/// A circuit breaker for each backend. While its circuit is closed calls pass; it opens when
/// they fail or are slow, by the first of three rules: then nobody comes. After a while it is
/// half open: a few requests try whether it is well. Circuits, and why they changed:
/// `vanne circuit list`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Breaker {
    /// Calls that are remembered, the last ones.
    #[schemars(range(min = 1, max = 10_000))]
    pub window: u32,
    /// Calls that ended longer ago are forgotten. Without it: however long ago.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window_time: Option<Period>,
    /// Rates count from so many calls on.
    #[schemars(range(min = 1, max = 10_000))]
    pub min_calls: u32,
    /// Failures in a row that open it; 0: they do not.
    #[schemars(range(min = 0, max = 10_000))]
    pub failures: u32,
    /// The share of failures that opens it; 0%: none does.
    pub failure_rate: Percent,
    /// Calls that took too long.
    pub slow_call: SlowCall,
    /// What counts as a failure. What the client, a limit or Vanne itself caused never does.
    pub counts: Vec<FailureName>,
    /// How long it is open.
    pub open_for: Period,
    /// With each repeat it is open so many times as long: 2 doubles it; 1: always the same. Who
    /// was well for `open_for_max` starts anew.
    #[schemars(range(min = 1, max = 10))]
    pub backoff: u32,
    /// The longest time that repeats come to.
    pub open_for_max: Period,
    /// By up to this part of it, as chance says, it is open longer: so that replicas do not
    /// try all at once.
    pub jitter: Percent,
    /// Requests at once that try a half-open backend.
    #[schemars(range(min = 1, max = 100))]
    pub half_open_probes: u8,
    /// So many of them have to succeed until it closes; one that fails opens it again.
    #[schemars(range(min = 1, max = 100))]
    pub half_open_successes: u8,
    /// Other numbers for single backends, by their address and port, like
    /// `backends."10.0.0.1:8080" = { failures = 20 }`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("propertyNames" = { "format": "backend-address" }))]
    pub backends: BTreeMap<BackendAddress, BackendBreaker>,
}

impl Default for Breaker {
    fn default() -> Self {
        Self {
            window: 100,
            window_time: None,
            min_calls: 10,
            failures: 5,
            failure_rate: Percent::from_whole(50),
            slow_call: SlowCall::default(),
            counts: FailureName::ALL.to_vec(),
            open_for: Period::from_secs(60),
            backoff: 1,
            open_for_max: Period::from_secs(600),
            jitter: Percent::from_whole(0),
            half_open_probes: 3,
            half_open_successes: 3,
            backends: BTreeMap::new(),
        }
    }
}

/// Rates that count from more calls on than are remembered never count.
pub(in crate::config) fn check(key: &str, breaker: &Node, problems: &mut Vec<Problem>) {
    let defaults = Breaker::default();
    let number = |name: &str, default: u32| {
        let node = breaker.get(name);
        let said = node.and_then(|node| u32::try_from(node.to_json().as_u64()?).ok());
        (node, said.unwrap_or(default))
    };
    let (min_node, min_calls) = number("min_calls", defaults.min_calls);
    let (window_node, window) = number("window", defaults.window);
    if let (true, Some(node)) = (min_calls > window, min_node.or(window_node)) {
        let message = format!("no rate counts: min_calls is {min_calls}, window {window}");
        problems.push(
            Problem::new(&format!("{key}.min_calls"), node.span.clone(), message)
                .accepts("at most as many as `window`"),
        );
    }
}

/// Calls that took too long.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SlowCall {
    /// A call is slow whose answer's head came later than this after its start, or after the end of a
    /// body that the client was longer about; or that failed later.
    /// How a call ended is told as `slow` only if it succeeded.
    pub longer_than: Period,
    /// The share of slow calls that opens a circuit; 0%: none does.
    pub rate: Percent,
}

impl Default for SlowCall {
    fn default() -> Self {
        Self { longer_than: Period::from_secs(5), rate: Percent::from_whole(50) }
    }
}

/// Numbers of a single backend, instead of its pool's.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct BackendBreaker {
    /// Failures in a row that open it; 0: they do not.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 10_000))]
    pub failures: Option<u32>,
    /// The share of failures that opens it; 0%: none does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure_rate: Option<Percent>,
    /// Calls that took too long.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slow_call: Option<SlowCall>,
    /// How long it is open.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub open_for: Option<Period>,
}

/// A failure that may count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum FailureName {
    /// The connection was refused, or the backend not reached.
    Connect,
    /// No connection within `timeouts.connect`.
    ConnectTimeout,
    /// TLS with the backend failed.
    Handshake,
    /// No answer within `timeouts.first_byte`.
    FirstByteTimeout,
    /// Nothing sent or taken for `timeouts.between_bytes`.
    Stalled,
    /// The connection was closed before the answer began.
    Reset,
    /// The answer ended before it was whole.
    Truncated,
    /// What came is not HTTP.
    Malformed,
    /// An answer with status 502, 503 or 504.
    Gateway,
    /// An answer with another status of 500 or above.
    Status,
    /// A gRPC status that says that the call failed there, like 13 or 14.
    GrpcStatus,
}

impl FailureName {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Connect,
        Self::ConnectTimeout,
        Self::Handshake,
        Self::FirstByteTimeout,
        Self::Stalled,
        Self::Reset,
        Self::Truncated,
        Self::Malformed,
        Self::Gateway,
        Self::Status,
        Self::GrpcStatus,
    ];
}

/// Backends that do worse than the others of their pool: their circuits open too, which brings
/// them back as any other. All of a pool are compared every five seconds, by their last minute.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Outliers {
    /// Backends that have to be compared: with fewer nobody is an outlier.
    #[schemars(range(min = 2, max = 10_000))]
    pub min_backends: u32,
    /// Requests that a backend must have had in the minute to be compared.
    #[schemars(range(min = 10, max = 1_000_000))]
    pub min_requests: u32,
    /// A backend is an outlier whose share of failures is higher by this than that of the
    /// backend in the middle of all; 0%: by whatever.
    pub more_errors: Percent,
    /// The same by time to the answer, of which 95 of a hundred take no longer: so many times
    /// as long as that of the backend in the middle; 0: by whatever.
    #[schemars(range(min = 0, max = 1000))]
    pub times_slower: u32,
}

impl Default for Outliers {
    fn default() -> Self {
        Self {
            min_backends: 5,
            min_requests: 100,
            more_errors: Percent::from_whole(20),
            times_slower: 5,
        }
    }
}

/// The address and port of a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BackendAddress(pub SocketAddr);

/// Why a text is no address of a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an address: expected {}", BackendAddress::ACCEPTED)]
pub struct InvalidBackendAddress;

impl FromStr for BackendAddress {
    type Err = InvalidBackendAddress;
    fn from_str(text: &str) -> Result<Self, InvalidBackendAddress> {
        let address = text.parse().ok().filter(|address: &SocketAddr| address.port() != 0);
        address.map(Self).ok_or(InvalidBackendAddress)
    }
}

impl fmt::Display for BackendAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl TextValue for BackendAddress {
    const FORMAT: &'static str = "backend-address";
    const ACCEPTED: &'static str = "an IP address and a port, like \"10.0.0.1:8080\"";
}

text_value!(BackendAddress);
