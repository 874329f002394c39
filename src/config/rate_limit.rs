//! `[rate_limit.NAME]`: how much of what may come in how much time.

use super::matching::{CookieName, FieldName, MethodName};
use crate::types::ids::LimitId;
use crate::types::text::{TextValue, text_value};
use crate::types::units::{Percent, Period, Rate};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use vanne_filters::rate_limit::Quota;

/// How many requests may come in how much time, for everybody together or for each who is told
/// apart by `key`. A route names the limits that count its requests (`rate_limits`): a request
/// passes all of them, or is refused and pays none. Replicas count together where there is a
/// `[redis]`, see `shared`; else each process counts by itself.
///
/// A bucket holds `burst` requests and fills at `rate`; a request that finds it empty is refused
/// with 429 `rate_limited` and `Retry-After`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RateLimit {
    /// Whom buckets are of: `"global"`, one for all; `"ip"`, each client address, as
    /// `trusted_proxies` say; `"user"`, each who is known by the route's `identity`; `"route"`; `"header:NAME"` or `"cookie:NAME"`, each of its values;
    /// or several of them, like `"ip+route"`. A request that lacks the field or the cookie, or of
    /// which nobody knows who sends it, is counted by its address.
    pub key: LimitKey,
    /// How fast a bucket fills.
    pub rate: Rate,
    /// How many requests it holds. Without it: what the rate comes to in a second, at least 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100_000_000))]
    pub burst: Option<u32>,
    /// How much a request takes out of it: at most `burst`. A route may say otherwise.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 100_000_000))]
    pub cost: u32,
    /// How much one with this method takes instead, by method: `{ POST = 5 }`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("propertyNames" = { "format": "method" }))]
    #[schemars(extend("additionalProperties" = { "type": "integer", "minimum": 1, "maximum": 100_000_000 }))]
    pub method_cost: BTreeMap<MethodName, u32>,
    /// A field of the answer with a whole number that says what the request has cost, like the
    /// tokens it used. What is more than it has paid is taken from the bucket then, even if it does
    /// not hold so much (at most a whole bucket is owed); what is less is put back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_header: Option<FieldName>,
    /// How replicas that have the same `[redis]` share the limit. Without it: `"leased"`, where
    /// there is a `[redis]`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shared: Option<LimitSharing>,
    /// Lets in less while the backends behind it are in trouble. Without it: always all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adaptive: Option<AdaptiveLimit>,
    /// What becomes of a request that finds too little.
    #[serde(default)]
    pub action: LimitAction,
    /// With `action = "delay"`: how long a request waits at most for the bucket to fill, up to a
    /// minute. Those that would wait longer are refused, so as many wait at once as `rate` lets in
    /// meanwhile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_delay: Option<Period>,
    /// Buckets that are remembered at least, of those that are not full. With more, the one that
    /// is full soonest is forgotten first. Each takes up to 32 bytes.
    #[serde(default = "many")]
    #[schemars(range(min = 1, max = 10_000_000))]
    pub max_keys: u32,
    /// With `"ip"` in `key`: how many leading bits of an IPv6 address are one client. A provider
    /// gives each customer 64 or fewer.
    #[serde(default = "network")]
    #[schemars(range(min = 1, max = 128))]
    pub ipv6_prefix: u8,
    /// Which answers tell what is left, in the fields `RateLimit-Policy` and `RateLimit`
    /// (draft-ietf-httpapi-ratelimit-headers-10).
    #[serde(default)]
    pub tell: LimitTell,
}

fn one() -> u32 {
    1
}

fn many() -> u32 {
    100_000
}

fn network() -> u8 {
    64
}

impl RateLimit {
    /// How much is allowed. `None`: the bucket would take more than 62 days to fill.
    #[must_use]
    pub fn quota(&self) -> Option<Quota> {
        let burst = self.burst.unwrap_or_else(|| self.rate.per_second());
        Quota::new(self.rate.count(), self.rate.per(), burst)
    }
}

/// When a limit lets in less, as backends answer the requests that it counts. Looked at each
/// second in which ten or more attempts ended: in trouble the rate falls to seven tenths of what it
/// was, else it rises by a twentieth of the whole.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AdaptiveLimit {
    /// A longer time to the first byte, on average, is trouble. Without it no time is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency: Option<Period>,
    /// A larger share of failed attempts is trouble. Without it none is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub errors: Option<Percent>,
    /// The least that is let in.
    #[serde(default = "floor")]
    pub floor: Percent,
}

fn floor() -> Percent {
    Percent::from_whole(10)
}

/// A limit that counts a route's requests.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum RouteLimit {
    /// The one of this name.
    Name(LimitId),
    /// The same, with a cost of its own.
    Cost(LimitCost),
}

/// A limit, and what a request costs there.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LimitCost {
    /// The `[rate_limit.NAME]`.
    pub name: LimitId,
    /// How much a request takes out of its bucket, whatever the limit and the method say; at most
    /// `burst`.
    #[schemars(range(min = 1, max = 100_000_000))]
    pub cost: u32,
}

impl RouteLimit {
    /// The limit's name.
    #[must_use]
    pub fn name(&self) -> &LimitId {
        match self {
            Self::Name(name) | Self::Cost(LimitCost { name, .. }) => name,
        }
    }

    /// What a request costs, if the route says so.
    #[must_use]
    pub fn cost(&self) -> Option<u32> {
        match self {
            Self::Name(_) => None,
            Self::Cost(LimitCost { cost, .. }) => Some(*cost),
        }
    }
}

/// What becomes of a request that finds too little in its bucket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LimitAction {
    /// It waits until there is enough, up to `max_delay`. Answers of the route's own do not wait.
    Delay,
    /// It is refused.
    #[default]
    Reject,
    /// It passes; metric and log say that it would not have: to try a limit out.
    Shadow,
}

/// How replicas share a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LimitSharing {
    /// Every request asks Redis, and waits for its answer up to `redis.timeout`: never more than
    /// the limit passes. Answers of a route's own do not wait: for them it is as if leased.
    Exact,
    /// Each replica decides at once, from tokens that it leases in the background: for a moment more
    /// than the limit may pass, by a bounded part.
    Leased,
    /// They do not: each counts by itself.
    No,
}

/// Which answers tell what is left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LimitTell {
    /// All.
    Always,
    /// None; `Retry-After` is sent anyway.
    Never,
    /// Those that refuse.
    #[default]
    Refused,
}

/// One thing that tells clients apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LimitPart {
    /// The client's address.
    Ip,
    /// The route.
    Route,
    /// Who sends the request.
    User,
    /// The value of a cookie.
    Cookie(CookieName),
    /// The value of a header field.
    Header(FieldName),
}

/// What tells clients apart: nothing, or all of these together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitKey(pub Vec<LimitPart>);

/// Why a text is no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not known here: expected {}", LimitKey::ACCEPTED)]
pub struct InvalidLimitKey;

impl FromStr for LimitPart {
    type Err = InvalidLimitKey;

    fn from_str(text: &str) -> Result<Self, InvalidLimitKey> {
        let wrong = |_| InvalidLimitKey;
        match text.split_once(':') {
            None if text == "ip" => Ok(Self::Ip),
            None if text == "route" => Ok(Self::Route),
            None if text == "user" => Ok(Self::User),
            Some(("cookie", name)) => name.parse().map(Self::Cookie).map_err(wrong),
            Some(("header", name)) => name.parse().map(Self::Header).map_err(wrong),
            _ => Err(InvalidLimitKey),
        }
    }
}

impl fmt::Display for LimitPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip => f.write_str("ip"),
            Self::Route => f.write_str("route"),
            Self::User => f.write_str("user"),
            Self::Cookie(name) => write!(f, "cookie:{name}"),
            Self::Header(name) => write!(f, "header:{name}"),
        }
    }
}

impl FromStr for LimitKey {
    type Err = InvalidLimitKey;

    fn from_str(text: &str) -> Result<Self, InvalidLimitKey> {
        if text == "global" {
            return Ok(Self(Vec::new()));
        }
        let parts = text.split('+').map(str::parse).collect::<Result<Vec<LimitPart>, _>>()?;
        let is_twice = |(at, part): (usize, &LimitPart)| parts.iter().take(at).any(|p| p == part);
        if parts.iter().enumerate().any(is_twice) { Err(InvalidLimitKey) } else { Ok(Self(parts)) }
    }
}

impl fmt::Display for LimitKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("global");
        }
        for (at, part) in self.0.iter().enumerate() {
            let plus = if at == 0 { "" } else { "+" };
            write!(f, "{plus}{part}")?;
        }
        Ok(())
    }
}

impl TextValue for LimitKey {
    const FORMAT: &'static str = "limit-key";
    const ACCEPTED: &'static str = "\"global\", \"ip\", \"route\", \"user\", \"header:NAME\", \"cookie:NAME\", or several like \"ip+route\", each once";
}

text_value!(LimitKey);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_global_or_parts_each_once() {
        for text in
            ["global", "ip", "route", "user", "header:X-Api-Key", "cookie:sid", "ip+route+cookie:a"]
        {
            assert_eq!(
                text.parse::<LimitKey>().unwrap().to_string().to_lowercase(),
                text.to_lowercase()
            );
        }
        for text in ["", "+", "ip+", "ip+ip", "global+ip", "header:", "users", "IP"] {
            assert_eq!(text.parse::<LimitKey>(), Err(InvalidLimitKey), "{text}");
        }
    }
}
