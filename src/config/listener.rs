//! `[listener.NAME]`: where clients come in.

use super::error_pages::ErrorPages;
use super::network::Network;
use super::tls::ListenerTls;
use crate::types::text::{TextValue, text_value};
use crate::types::units::{Period, Rate};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::str::FromStr;
use vanne_filters::rate_limit::Quota;

/// A socket that clients connect to.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Listener {
    /// Where it listens, like `"0.0.0.0:8080"` or `"[::]:8080"`.
    pub address: Address,
    /// Connections that may be open at once, over all workers. One more is answered with
    /// 503 `too_many_connections` and closed; with `tls` it is closed before the handshake.
    #[serde(default = "default_max_connections")]
    #[schemars(range(min = 1, max = 10_000_000))]
    pub max_connections: u32,
    /// How often one address may connect: those beyond are closed at once, before the handshake,
    /// without an answer. `trusted_proxies` may always. Without it there is no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connection_rate: Option<ConnectionRate>,
    /// What is spoken here. With `tls` the client chooses in the handshake (ALPN); in plain
    /// text `"h2"` is for clients that know beforehand. `"http/1.1"` is HTTP/1.0 too. A client
    /// that speaks another one gets 505 `protocol_refused`. Without this key: both with `tls`,
    /// `["http/1.1"]` in plain text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub protocols: Option<Vec<ListenerProtocol>>,
    /// TLS. Without it: plain text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<ListenerTls>,
    /// HTTP/2.
    #[serde(default)]
    pub http2: Http2,
    /// Whether every request is answered with the same address by HTTPS: 301 to GET and HEAD,
    /// 308 to others. Not for paths below `/.well-known/acme-challenge/`, by which certificates
    /// are had, and not if a trusted proxy says that the request came by HTTPS. A gRPC call
    /// gets its status 2 instead. Not on a listener with `tls`.
    #[serde(default)]
    pub redirect_to_https: bool,
    /// The port of HTTPS that clients are sent to.
    #[serde(default = "default_https_port")]
    #[schemars(range(min = 1))]
    pub https_port: u16,
    /// What is done about paths that a backend may read otherwise than the routes do.
    #[serde(default)]
    pub paths: ListenerPaths,
    /// Proxies before this one, by their networks. What they say is believed; what all others
    /// say is replaced by what is seen here.
    ///
    /// `X-Forwarded-For` is read from right to left, at most 64 entries and 8 KiB of it: the
    /// first address that is not in these networks is the client; an entry that is no address
    /// ends the search at the one right of it. If there is none, the `for` of `Forwarded` is
    /// read the same way. Backends get the chain with the proxy's address appended; of
    /// `Forwarded`, or of a chain beyond 8 KiB, only the client and the proxy.
    ///
    /// `X-Forwarded-Proto`, `-Host` and `-Port` are passed on if each is said once, the scheme
    /// is `http` or `https` and the port is one. A proxy that names a scheme and no port means
    /// the port of the host it was asked for, or else the scheme's own. `Forwarded`, `X-Real-IP`
    /// and other `X-Forwarded-` fields are never passed on.
    #[serde(default)]
    pub trusted_proxies: Vec<Network>,
    /// Networks of clients that may be told why they got their answer, like `["10.0.0.0/8"]`. One
    /// that sends a field `Vanne-Why` gets one with the answer: route, filters, pool, attempts
    /// with backend, outcome and time, who was left out, and how it ended. It names backends and
    /// their state, so not for everybody. The client is who `trusted_proxies` say.
    #[serde(default)]
    pub explain_to: Vec<Network>,
    /// Pages instead of Vanne's own answers to what comes in here: `{ 503 = "sorry" }` by status,
    /// `{ no_route = "lost.html" }` by reason, which goes before. A route's own `error_pages` go
    /// before these. Not for gRPC calls and WebSockets.
    #[serde(default, skip_serializing_if = "ErrorPages::is_empty")]
    #[schemars(extend("propertyNames" = { "format": "error" }))]
    pub error_pages: ErrorPages,
    /// Time limits on the client's side.
    #[serde(default)]
    pub timeouts: ListenerTimeouts,
}

fn default_https_port() -> u16 {
    443
}

impl Listener {
    /// Whether `protocol` is spoken.
    #[must_use]
    pub fn speaks(&self, protocol: ListenerProtocol) -> bool {
        match &self.protocols {
            Some(protocols) => protocols.contains(&protocol),
            None => protocol == ListenerProtocol::Http1 || self.tls.is_some(),
        }
    }
}

/// A protocol that clients speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum ListenerProtocol {
    /// HTTP/2.
    #[serde(rename = "h2")]
    Http2,
    /// HTTP/1.1 and HTTP/1.0.
    #[serde(rename = "http/1.1")]
    Http1,
}

/// What is done about paths that a backend may read otherwise than the routes do. Bytes that are
/// encoded without need (`%61` for `a`, RFC 3986 §6.2.2.2) are decoded for routes and edits in any
/// case; the backend gets what came, unless `"normalise"` or the route changes its path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ListenerPaths {
    /// Segments `.` and `..`, also with dots written as `%2e`. `"pass"`: they stay, and
    /// `/public/../admin` is a path below `/public` here, whatever the backend makes of it.
    /// `"normalise"`: they are taken out (RFC 3986 §5.2.4) before any route looks, and the
    /// backend gets what is left; the log keeps what came. `"reject"`: 400 `dot_segment`.
    ///
    /// Some backends also take `..%2f`, `..\` or `..;a` for `..`: `"reject"` refuses these too,
    /// `"normalise"` refuses the last, and leaves the others to `encoded_slashes`.
    pub dot_segments: DotSegments,
    /// `%2F`, `%5C` and backslashes, which some backends take for a slash. `"pass"`: they stay,
    /// and are no slashes here. `"reject"`: 400 `encoded_slash`.
    pub encoded_slashes: EncodedSlashes,
    /// Slashes that follow each other, which many backends take for one. `"pass"`: they stay, and
    /// `//admin` is no path below `/admin` here. `"merge"`: they become one before any route looks,
    /// and the backend gets what is left; the log keeps what came. `"reject"`: 400
    /// `repeated_slash`. Some backends also take `/;a/` for two slashes: `"merge"` and `"reject"`
    /// refuse that.
    pub repeated_slashes: RepeatedSlashes,
    /// `"`, `<`, `>` and bytes beyond ASCII, which no target may have (RFC 3986 §2) and some
    /// clients send all the same; and in a path, a backtick, or a `%` that no two hexadecimal digits
    /// follow. `"reject"`: 400 `malformed_target`. `"encode"`: they are percent-encoded as the head
    /// is read, so that routes, rules, log and backend see `%3C` for `<`. In HTTP/2, `<`, `>` and a
    /// backtick in a path are refused either way.
    pub unsafe_characters: UnsafeCharacters,
}

/// What is done about segments `.` and `..`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DotSegments {
    /// They stay.
    #[default]
    Pass,
    /// They are taken out.
    Normalise,
    /// The request is refused.
    Reject,
}

/// What is done about `%2F`, `%5C` and backslashes in a path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum EncodedSlashes {
    /// They stay.
    #[default]
    Pass,
    /// The request is refused.
    Reject,
}

/// What is done about slashes that follow each other in a path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RepeatedSlashes {
    /// They stay.
    #[default]
    Pass,
    /// They become one.
    Merge,
    /// The request is refused.
    Reject,
}

/// What is done about characters that a client ought to have encoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum UnsafeCharacters {
    /// They are encoded here.
    Encode,
    /// The request is refused.
    #[default]
    Reject,
}

/// HTTP/2 with clients.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Http2 {
    /// Requests that a connection may have open at once. The client is told; one that opens
    /// more has them refused (RFC 9113 §5.1.2).
    #[schemars(range(min = 1, max = 10_000))]
    pub max_streams: u32,
}

impl Default for Http2 {
    fn default() -> Self {
        Self { max_streams: 100 }
    }
}

fn default_max_connections() -> u32 {
    20_000
}

/// How often one address may connect.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConnectionRate {
    /// How many connections, in the long run.
    pub rate: Rate,
    /// How many at once. Without it: what the rate comes to in a second, at least 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100_000_000))]
    pub burst: Option<u32>,
    /// How many leading bits of an IPv6 address are one client.
    #[serde(default = "default_ipv6_prefix")]
    #[schemars(range(min = 1, max = 128))]
    pub ipv6_prefix: u8,
}

impl ConnectionRate {
    /// How much is allowed. `None`: the burst would take more than 62 days to be there again.
    #[must_use]
    pub fn quota(&self) -> Option<Quota> {
        let burst = self.burst.unwrap_or_else(|| self.rate.per_second());
        Quota::new(self.rate.count(), self.rate.per(), burst)
    }
}

fn default_ipv6_prefix() -> u8 {
    64
}

/// Time limits on the client's side.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ListenerTimeouts {
    /// How long a TLS handshake may take. Then the connection is closed.
    pub handshake: Period,
    /// From a request's first byte to the end of its head. Bytes do not restart it. Then:
    /// 408 `head_timeout`.
    pub head: Period,
    /// How long a connection may wait for its next request. Then it is closed.
    pub idle: Period,
    /// How long the client may send nothing of a body that is awaited, or take nothing of an
    /// answer. Then: 408 `client_stalled`, or the answer is cut.
    pub between_bytes: Period,
}

impl Default for ListenerTimeouts {
    fn default() -> Self {
        Self {
            handshake: Period::from_secs(10),
            head: Period::from_secs(10),
            idle: Period::from_secs(60),
            between_bytes: Period::from_secs(30),
        }
    }
}

/// An IP address and a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Address(pub SocketAddr);

impl Address {
    /// This port of 127.0.0.1.
    #[must_use]
    pub const fn loopback(port: u16) -> Self {
        Self(SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), port))
    }
}

/// Why a text is no address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an address: expected {}", Address::ACCEPTED)]
pub struct InvalidAddress;

impl FromStr for Address {
    type Err = InvalidAddress;
    fn from_str(text: &str) -> Result<Self, InvalidAddress> {
        let address: SocketAddr = text.parse().map_err(|_form| InvalidAddress)?;
        if address.port() == 0 { Err(InvalidAddress) } else { Ok(Self(address)) }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl TextValue for Address {
    const FORMAT: &'static str = "socket-address";
    const ACCEPTED: &'static str =
        "an IP address and a port, like \"127.0.0.1:8080\" or \"[::1]:8080\"";
}

text_value!(Address);
