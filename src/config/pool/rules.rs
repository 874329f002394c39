//! How a pool chooses, waits, tries again, and whom it leaves out.

use crate::types::text::{TextValue, text_value};
use crate::types::units::{ByteSize, Percent, Period};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// How a backend is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum AlgorithmName {
    /// Consistent hash of the client's address, or of what `hash.on` names: the same client
    /// meets the same backend; when one leaves, only its clients move.
    IpHash,
    /// The backend with the fewest requests in flight for its weight.
    LeastConnections,
    /// The better of two by chance: measured latency (peak EWMA) times requests in flight, for
    /// the weight. One slow answer counts at once.
    LeastResponseTime,
    /// Each in turn; weights do not count, but for 0.
    RoundRobin,
    /// Each in turn, as often as its weight says, evenly spread.
    Weighted,
}

impl AlgorithmName {
    /// As written in config.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::IpHash => "ip-hash",
            Self::LeastConnections => "least-connections",
            Self::LeastResponseTime => "least-response-time",
            Self::RoundRobin => "round-robin",
            Self::Weighted => "weighted",
        }
    }
}

/// What `ip-hash` goes by.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Hash {
    /// What of a request is hashed. Where a request lacks it, its client's address is.
    pub on: HashSource,
    /// A backend with more than this share of the mean number of requests in flight sends what
    /// comes on to the next one: 125% allows a quarter more than the mean. Without it: no
    /// bound.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub load_max: Option<LoadFactor>,
}

/// What of a request is hashed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum HashSource {
    /// The client's address.
    #[default]
    Ip,
    /// A header field, its name in lower case.
    Header(String),
    /// A cookie.
    Cookie(String),
    /// A parameter of the query.
    Query(String),
    /// The path.
    Path,
}

/// Why a text names nothing to hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not known here: expected {}", HashSource::ACCEPTED)]
pub struct InvalidSource;

impl FromStr for HashSource {
    type Err = InvalidSource;
    fn from_str(text: &str) -> Result<Self, InvalidSource> {
        let is_token = |name: &&str| http::HeaderName::from_bytes(name.as_bytes()).is_ok();
        let named = |prefix: &str| text.strip_prefix(prefix).filter(is_token).map(str::to_owned);
        match text {
            "ip" => Ok(Self::Ip),
            "path" => Ok(Self::Path),
            _ => named("header:")
                .map(|name| Self::Header(name.to_ascii_lowercase()))
                .or_else(|| named("cookie:").map(Self::Cookie))
                .or_else(|| named("query:").map(Self::Query))
                .ok_or(InvalidSource),
        }
    }
}

impl fmt::Display for HashSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip => f.write_str("ip"),
            Self::Header(name) => write!(f, "header:{name}"),
            Self::Cookie(name) => write!(f, "cookie:{name}"),
            Self::Query(name) => write!(f, "query:{name}"),
            Self::Path => f.write_str("path"),
        }
    }
}

impl TextValue for HashSource {
    const FORMAT: &'static str = "hash-source";
    const ACCEPTED: &'static str = "\"ip\", \"path\", \"header:NAME\", \"cookie:NAME\" or \
         \"query:NAME\"";
}

text_value!(HashSource);

/// A share of the mean load: 101% to 1000%.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoadFactor(pub u32);

/// Why a text is no load factor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a share of the mean load: expected {}", LoadFactor::ACCEPTED)]
pub struct InvalidLoadFactor;

impl FromStr for LoadFactor {
    type Err = InvalidLoadFactor;
    fn from_str(text: &str) -> Result<Self, InvalidLoadFactor> {
        let number = text.strip_suffix('%').and_then(|number| number.parse().ok());
        number.filter(|n| (101..=1000).contains(n)).map(Self).ok_or(InvalidLoadFactor)
    }
}

impl fmt::Display for LoadFactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", self.0)
    }
}

impl TextValue for LoadFactor {
    const FORMAT: &'static str = "load-factor";
    const ACCEPTED: &'static str = "a whole number from 101% to 1000%, like \"125%\"";
}

text_value!(LoadFactor);

/// Requests that wait while all backends are full (`max_requests`). First come, first served.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PoolQueue {
    /// Requests that may wait. More get 503 `queue_full` at once; 0: nobody waits.
    #[schemars(range(min = 0, max = 100_000))]
    pub size: u32,
    /// How long one may wait. Then: 503 `queue_timeout`. Who would wait longer, as fast as places
    /// come free now, gets 503 `queue_too_long` with `Retry-After` at once.
    pub timeout: Period,
}

impl Default for PoolQueue {
    fn default() -> Self {
        Self { size: 1000, timeout: Period::from_secs(10) }
    }
}

/// When a request is tried again, on another backend while there is one; best on one where the
/// last attempt was good.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PoolRetries {
    /// Further attempts of one request, within the route's `total`. When no connection could
    /// be made to any backend, all are tried once more after 100 ms. A backend that says that it
    /// did not process a request (HTTP/2: `REFUSED_STREAM`) is as one that takes no connection.
    /// Not among them: a kept connection that turns out closed before any byte of an answer came
    /// is replaced, up to three times, for requests that may be repeated (RFC 9110 §9.2.2); with
    /// HTTP/2 for all requests that the backend says it did not process (`GOAWAY`).
    #[schemars(range(min = 0, max = 10))]
    pub attempts: u8,
    /// After which faults, besides a connection that could not be made (that one is safe for
    /// every request: no backend saw it). These hold for idempotent requests (RFC 9110
    /// §9.2.2) whose body, if any, was kept, as long as there is a backend that was not tried.
    pub on: Vec<RetryOn>,
    /// Share of the pool's requests that may be tried again: retries help with one bad backend
    /// and make an overload of all worse.
    pub budget: Percent,
    /// Retries per second that are possible whatever the budget says.
    #[schemars(range(min = 0, max = 1000))]
    pub budget_floor: u16,
    /// The longest pause before the second attempt, twice as long before each further one. How
    /// long it is, chance says.
    pub backoff: Period,
    /// Pauses do not grow beyond this.
    pub backoff_max: Period,
    /// Bytes of a request's body that are kept for another attempt. A longer one cannot be
    /// sent again once its first byte went out.
    pub body_max: ByteSize,
}

impl Default for PoolRetries {
    fn default() -> Self {
        Self {
            attempts: 1,
            on: vec![RetryOn::Reset, RetryOn::Timeout],
            budget: Percent::from_whole(20),
            budget_floor: 10,
            backoff: Period::from_millis(25),
            backoff_max: Period::from_millis(250),
            body_max: ByteSize::from_kib(64),
        }
    }
}

/// A fault after which a request may be tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum RetryOn {
    /// The backend closed the connection before it answered, or answered what is not HTTP.
    #[serde(rename = "reset")]
    Reset,
    /// No answer within `timeouts.first_byte`.
    #[serde(rename = "timeout")]
    Timeout,
    /// An answer with status 500.
    #[serde(rename = "500")]
    Status500,
    /// An answer with status 502.
    #[serde(rename = "502")]
    Status502,
    /// An answer with status 503.
    #[serde(rename = "503")]
    Status503,
    /// An answer with status 504.
    #[serde(rename = "504")]
    Status504,
    /// An answer with status 429.
    #[serde(rename = "429")]
    Status429,
}
