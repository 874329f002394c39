//! `[[route]]`: which requests go where.

use super::answer::{FixedAnswer, Redirect};
use super::cookies::Cookies;
use super::edits::{Rewrite, RouteHeaders};
use super::error_pages::ErrorPages;
use super::fallback::FallbackStep;
use super::identity::RouteIdentity;
use super::matching::RouteMatch;
use super::overload::Priority;
use super::rate_limit::{LimitKey, RouteLimit};
use super::security_headers::RouteSecurityHeaders;
use super::split::Split;
use crate::types::ids::{FilterId, PoolId, RouteId, WafId};
use crate::types::text::{TextValue, text_value};
use crate::types::units::{Percent, Period};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Which requests go where. Of all routes that take a request the most specific gets it: see
/// `route.match`. No route: 404 `no_route`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// Its name, in logs and metrics.
    pub name: RouteId,
    /// Which requests it takes: those for which all that is given holds. Without it: all.
    ///
    /// Of all routes that take a request the most specific gets it. That is, in this order:
    ///
    /// 1. one with an exact host, else with the longest wildcard, else without host;
    /// 2. among those one with an exact path, else with the longest prefix. A regular expression
    ///    stands where its beginning does, up to the last slash before its first special
    ///    character: `/users/[0-9]+` just before the prefix `/users`, after all longer ones;
    /// 3. among those the one that asks for most besides: `method`, `client`, `any`, `not`, each
    ///    header, parameter and cookie count one, `all` as much as what is in it;
    /// 4. among those the first in the config. They are tried one after the other: many routes
    ///    are best told apart by host and path.
    #[serde(default, rename = "match")]
    pub matches: RouteMatch,
    /// The pool that its requests go to. A route has exactly one of `pool`, `split`, `redirect`
    /// and `answer`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<PoolId>,
    /// The pools that share its requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub split: Option<Split>,
    /// Where clients are sent instead. A gRPC call, which knows no redirects, gets its status 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redirect: Option<Redirect>,
    /// What its requests are answered with. A gRPC call gets what the status means there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<FixedAnswer>,
    /// Changes of header fields, after all that Vanne changes itself: first `remove`, then
    /// `set`, then `add`. In values `{client}` is the client's address (as `trusted_proxies`
    /// say), `{host}` the host that was asked for, without port, and `{request_id}` the request's
    /// id. Fields that frame a message or are of one connection (`Content-Length`,
    /// `Connection`, …) cannot be changed.
    #[serde(default)]
    pub headers: RouteHeaders,
    /// What the backend is asked for instead. The log keeps what the client asked for, and
    /// `X-Forwarded-Host` tells the backend its host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rewrite: Option<Rewrite>,
    /// What is done for requests that no backend may be tried for, instead of what the pool's
    /// `fallback` says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback: Option<Vec<FallbackStep>>,
    /// Which requests go first when there is too much to do: see `overload` of the process and of
    /// pools. Without it: `"normal"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<Priority>,
    /// Pages instead of Vanne's own answers to requests of this route: `{ 503 = "sorry" }` by
    /// status, `{ queue_full = "later" }` by reason, which goes before. What is not here may be in
    /// the listener's `error_pages`. Not for gRPC calls and WebSockets.
    #[serde(default, skip_serializing_if = "ErrorPages::is_empty")]
    #[schemars(extend("propertyNames" = { "format": "error" }))]
    pub error_pages: ErrorPages,
    /// Another pool that gets a copy of a share of the requests. Its answers are dropped; it
    /// never delays or fails a request. The copy is what the route's own backend gets, edits
    /// included, with the field `X-Vanne-Mirror: ROUTE`. It is sent by HTTP/1.1, in plain text
    /// or by TLS, once the whole request is here. Not copied: a body over 64 KiB, a WebSocket,
    /// and what comes while 256 copies of the route are under way. `vanne_mirrored_total` counts
    /// what came of the copies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mirror: Option<RouteMirror>,
    /// Who may send its requests, and what its backends are told of them. Without it: everybody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<RouteIdentity>,
    /// The `[rate_limit.NAME]`s that count its requests, at most eight: names, or tables that also
    /// say what a request costs here, like `{ name = "tokens", cost = 5 }`. They are asked in this
    /// order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub rate_limits: Vec<RouteLimit>,
    /// How many requests one client may have under way at once on this route; one more gets 429
    /// `too_many_at_once`. A request counts until its answer is through, a tunnel until it ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_once: Option<AtOnce>,
    /// The set of security headers for its answers: the name of a `[security_headers.NAME]`, or
    /// of a preset (`"strict"`, `"api"`, `"basic"`, `"off"`), or the set itself, like
    /// `{ preset = "api", frame_options = "SAMEORIGIN" }`. Without it:
    /// `[security_headers.default]`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub security_headers: Option<RouteSecurityHeaders>,
    /// The `[cors.NAME]` that says which pages of other origins may read its answers. Without it
    /// what backends say of that passes as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cors: Option<FilterId>,
    /// Attributes that cookies of its backends get.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cookies: Option<Cookies>,
    /// Time limits of a request as a whole.
    #[serde(default)]
    pub timeouts: RouteTimeouts,
    /// The `[waf.NAME]` that its requests are held against, after its rate limits; `"off"`: none.
    /// Without it: `[waf.default]`, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waf: Option<WafId>,
}

/// How many requests one client may have under way at once.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AtOnce {
    /// What tells clients apart, as in `[rate_limit.NAME]`.
    pub key: LimitKey,
    /// How many requests of one client there may be.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub max: u32,
    /// How many leading bits of an IPv6 address are one client.
    #[serde(default = "network")]
    #[schemars(range(min = 1, max = 128))]
    pub ipv6_prefix: u8,
}

fn network() -> u8 {
    64
}

/// A pool that gets copies of requests.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RouteMirror {
    /// The pool that the copies go to. It speaks HTTP/1.1 (`protocol`).
    pub pool: PoolId,
    /// The share of the requests that are copied.
    #[serde(default = "all")]
    pub share: Percent,
}

fn all() -> Percent {
    Percent::from_whole(100)
}

/// Time limits of a request as a whole.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RouteTimeouts {
    /// The longest a request may take, from its first byte to its answer's last; retries
    /// are part of it, tunnels are not. Then: 504 `total_timeout`, or the answer is cut.
    pub total: Period,
    /// How long nothing may go through a tunnel (a WebSocket). Then it is closed.
    pub tunnel_idle: Period,
}

impl Default for RouteTimeouts {
    fn default() -> Self {
        Self { total: Period::from_secs(3600), tunnel_idle: Period::from_secs(3600) }
    }
}

/// The name of a host, or its IP address; in lower case.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Host(Box<str>);

/// Why a text is no host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a host: expected {}", Host::ACCEPTED)]
pub struct InvalidHost;

impl Host {
    /// The host in lower case.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Host {
    type Err = InvalidHost;
    fn from_str(text: &str) -> Result<Self, InvalidHost> {
        let is_v6 = text
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
            .is_some_and(|inner| inner.parse::<std::net::Ipv6Addr>().is_ok());
        let is_label = |label: &str| {
            (1..=63).contains(&label.len())
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        };
        let is_name = text.len() <= 253 && text.split('.').all(is_label);
        if is_v6 || is_name { Ok(Self(text.to_ascii_lowercase().into())) } else { Err(InvalidHost) }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TextValue for Host {
    const FORMAT: &'static str = "host";
    const ACCEPTED: &'static str =
        "the exact name of a host without port, like \"api.example.com\" or \"[::1]\"";
}

text_value!(Host);

/// A path, or how one begins.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PathPrefix(Box<str>);

/// Why a text is no path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a path: expected {}", PathPrefix::ACCEPTED)]
pub struct InvalidPath;

impl PathPrefix {
    /// As written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for PathPrefix {
    type Err = InvalidPath;
    fn from_str(text: &str) -> Result<Self, InvalidPath> {
        let is_path = text.starts_with('/')
            && !text.contains("//")
            && text.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'?' | b'#' | b'*'));
        if is_path { Ok(Self(text.into())) } else { Err(InvalidPath) }
    }
}

impl fmt::Display for PathPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TextValue for PathPrefix {
    const FORMAT: &'static str = "path-prefix";
    const ACCEPTED: &'static str =
        "a path that begins with /, without ?, #, * or //; other characters %-encoded";
}

text_value!(PathPrefix);
