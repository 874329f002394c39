//! `health = { … }` of a pool: how its backends are checked.

mod rules;
mod status;
mod texts;

pub(super) use rules::check;
pub use status::StatusSet;
pub use texts::{BodyRegex, BodyText, CheckPath, HeaderText, ServiceName};

use super::route::Host;
use crate::types::units::Period;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// Active health: each backend is asked now and then whether it is well. One that is not gets
/// no new traffic. Before its first result a backend's health is unknown: that one result
/// decides; from then on `rise` and `fall` do. However many pools ask the same of an address,
/// it is asked once.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct HealthCheck {
    /// What is asked: `"http"`: a request, whose status decides, and the body if that is looked
    /// at; `"grpc"`: `grpc.health.v1.Health/Check`, where SERVING is a pass; `"tcp"`: a
    /// connection, which the system opens even where the backend hangs.
    #[serde(rename = "type")]
    pub kind: HealthKind,
    /// From the start of one check to that of the next, give or take a tenth, so that many
    /// checks spread.
    pub interval: Period,
    /// How long a check may take, from connecting to the answer; at most the interval. Without
    /// it: 10 s, or the interval if that is shorter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Period>,
    /// Passes in a row until a backend that is down is up.
    #[schemars(range(min = 1, max = 100))]
    pub rise: u8,
    /// Failures in a row until a backend that is up is down.
    #[schemars(range(min = 1, max = 100))]
    pub fall: u8,
    /// The port that is asked. Without it: the backend's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65_535))]
    pub port: Option<u16>,
    /// Whether TLS is spoken, by the `tls` of the pool; a pool without one asks by the
    /// backend's address, and believes the authorities that the system trusts. Without this
    /// key: if the pool has `tls`. With `type = "tcp"` the handshake is the check.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<bool>,
    /// What is spoken by `type = "http"`. Without it: as the pool's `protocol`, where `"auto"`
    /// is `"http/1.1"`. gRPC is always HTTP/2.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol: Option<HealthProtocol>,
    /// The method of the request.
    pub method: HealthMethod,
    /// The path of the request, with a query if it needs one.
    pub path: CheckPath,
    /// The host that is asked for. Without it: the address that is asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<Host>,
    /// Header fields of the request, by name, like `{ accept = "text/plain" }`. Their values
    /// are not shown anywhere.
    pub headers: BTreeMap<String, HeaderText>,
    /// The status codes of a pass.
    pub status: StatusSet,
    /// A text that the first 64 KiB of the answer's body must hold.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<BodyText>,
    /// A regular expression that the first 64 KiB of the answer's body must match somewhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body_regex: Option<BodyRegex>,
    /// The service whose health `type = "grpc"` asks for. Without it: that of the whole
    /// backend.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<ServiceName>,
}

impl Default for HealthCheck {
    fn default() -> Self {
        Self {
            kind: HealthKind::Http,
            interval: Period::from_secs(30),
            timeout: None,
            rise: 2,
            fall: 3,
            port: None,
            tls: None,
            protocol: None,
            method: HealthMethod::Get,
            path: CheckPath::default(),
            host: None,
            headers: BTreeMap::new(),
            status: StatusSet::range(200, 399),
            body: None,
            body_regex: None,
            service: None,
        }
    }
}

/// The timeout where none is given, if the interval is not shorter.
const TIMEOUT: Duration = Duration::from_secs(10);

impl HealthCheck {
    /// How long a check may take.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        let interval = self.interval.as_duration();
        self.timeout.map_or(TIMEOUT.min(interval), Period::as_duration)
    }
}

/// What is asked of a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum HealthKind {
    /// `grpc.health.v1.Health/Check`: SERVING is a pass.
    Grpc,
    /// A request by HTTP; its status is the answer, and what the body holds if that is asked.
    Http,
    /// A connection. The system accepts it though the backend hangs.
    Tcp,
}

impl HealthKind {
    /// As written in config.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Grpc => "grpc",
            Self::Http => "http",
            Self::Tcp => "tcp",
        }
    }
}

/// What is spoken with a backend to check it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
pub enum HealthProtocol {
    /// HTTP/2; in plain text without asking.
    #[serde(rename = "h2")]
    Http2,
    /// HTTP/1.1.
    #[serde(rename = "http/1.1")]
    Http1,
}

/// The method of a check by HTTP: one that changes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
pub enum HealthMethod {
    /// GET.
    #[serde(rename = "GET")]
    Get,
    /// HEAD: there is no body to look at.
    #[serde(rename = "HEAD")]
    Head,
    /// OPTIONS.
    #[serde(rename = "OPTIONS")]
    Options,
}

impl HealthMethod {
    /// As in a request.
    #[must_use]
    pub fn as_http(self) -> http::Method {
        match self {
            Self::Get => http::Method::GET,
            Self::Head => http::Method::HEAD,
            Self::Options => http::Method::OPTIONS,
        }
    }
}
