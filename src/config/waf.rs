//! `[waf.NAME]`: rules in SecLang that requests are held against, and what becomes of matches.

use super::access_log::AccessLogTarget;
use super::observe::FilePath;
use super::{Config, Route};
use crate::types::ids::{RouteId, WafId};
use crate::types::units::{ByteSize, Percent, Period};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The name of the firewall of routes that name none.
pub const DEFAULT: &str = "default";
/// What a route says that has none.
pub const NONE: &str = "off";

impl Config {
    /// The firewall of `route` with its name; `Ok(None)`: it has none.
    ///
    /// # Errors
    /// Its name, when there is none that is called so.
    pub fn waf_of<'a>(
        &'a self,
        route: &'a Route,
    ) -> Result<Option<(&'a WafId, &'a Waf)>, &'a WafId> {
        let found = |name: &str| self.waf.iter().find(|(id, _)| id.as_str() == name);
        match &route.waf {
            Some(id) if id.as_str() == NONE => Ok(None),
            Some(id) => found(id.as_str()).map(Some).ok_or(id),
            None => Ok(found(DEFAULT)),
        }
    }
}

/// A web application firewall: rules in SecLang, the language of ModSecurity, as the OWASP Core
/// Rule Set (CRS) is written. A route names it (`waf`), or it is called `default` and is for routes
/// that name none; each of their requests is held against the rules before a backend hears of it,
/// and with `answers` so is what the backend answers. What rules refuse is answered 403
/// `waf_refused`, or `waf_answer_refused`, with the request's id and nothing more.
///
/// Rules are read and compiled when the config is; a change of a rule file is a change of the
/// config, and a file that is wrong keeps the old rules in use.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Waf {
    /// What becomes of a request that rules refuse.
    #[serde(default)]
    pub mode: WafMode,
    /// A folder of the Core Rule Set: a checkout or a release of it, or `/usr/share/modsecurity-crs`
    /// of Debian. Read from it, in this order: `crs-setup.conf`, or else `crs-setup.conf.example`,
    /// if one is there (for Debian's package `/etc/modsecurity/crs/crs-setup.conf`); then
    /// `rules/*.conf`. All of this before `rules`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crs: Option<FilePath>,
    /// The rules that are built in: what attacks on applications have in common, written so that
    /// they refuse little wrongly. Read before `crs` and `rules`.
    #[serde(default)]
    pub own_rules: bool,
    /// Rule files, read in this order. The name of the file may have `*` and `?` in it: then all
    /// files that fit are read, in the order of their names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<FilePath>,
    /// The paranoia level, for rules that ask for it (`tx.blocking_paranoia_level`, as CRS does):
    /// 1 has the fewest false alarms, 4 the most rules. Without it: what the rules say; CRS 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 4))]
    pub paranoia: Option<u8>,
    /// From which score on rules refuse a request, where they add up scores
    /// (`tx.inbound_anomaly_score_threshold`, as CRS does). Without it: what the rules say; CRS 5.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100_000))]
    pub inbound_threshold: Option<u32>,
    /// Whether answers of backends are held against the rules too (phases 3 and 4), and what rules
    /// say at the end of a request counts (phase 5).
    #[serde(default)]
    pub answers: bool,
    /// With `answers`: from which score on rules refuse an answer, where they add up scores
    /// (`tx.outbound_anomaly_score_threshold`, as CRS does). Without it: what the rules say; CRS 4.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100_000))]
    pub outbound_threshold: Option<u32>,
    /// Rules that do not count, and what they do not look at.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exclusions: Vec<WafExclusion>,
    /// How much of a request's body is looked at.
    #[serde(default)]
    pub body: WafBody,
    /// With `answers`: how much of an answer's body is looked at, and of which types.
    #[serde(default)]
    pub answer_body: WafAnswerBody,
    /// The longest that the inspection of a body from 4 KiB on may take, and wait for its turn.
    /// Such an inspection runs beside the traffic; smaller ones are over before they would be
    /// timed.
    #[serde(default = "budget")]
    pub time_budget: Period,
    /// What becomes of a request that could not be inspected: over `time_budget`, or too many
    /// bodies are held at once (64 MiB in all).
    #[serde(default)]
    pub when_over: WafWhenOver,
    /// Of which requests matches are logged.
    #[serde(default)]
    pub log: WafLogged,
    /// With `mode = "detect"`: the share of the requests that are inspected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sample: Option<Percent>,
}

fn budget() -> Period {
    Period::from_millis(100)
}

/// What becomes of a request that rules refuse.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum WafMode {
    /// It is refused.
    #[default]
    Block,
    /// It passes; logs and metrics say that it would have been refused.
    Detect,
    /// It is not inspected; the rules are not read.
    Off,
}

/// What becomes of a request, or of its answer, that could not be inspected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum WafWhenOver {
    /// It is refused: 503 `waf_over_budget`.
    #[default]
    Closed,
    /// It passes.
    Open,
}

/// Of which requests matches are logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum WafLogged {
    /// Of all.
    #[default]
    All,
    /// Of those that are refused, or would be if rules refused: in rule sets that add up scores,
    /// those that score high.
    Refused,
}

/// How much of a request's body is looked at.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct WafBody {
    /// The most. The body is held back until it has been looked at. Never held back: gRPC calls,
    /// tunnels, and what rules do not look at.
    pub max: ByteSize,
    /// What becomes of a request with a longer body.
    pub above: WafAbove,
}

impl Default for WafBody {
    fn default() -> Self {
        Self { max: ByteSize::from_kib(128), above: WafAbove::default() }
    }
}

/// How much of an answer's body is looked at.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct WafAnswerBody {
    /// The most. The answer is held back, head and all, until so much of it has been looked at.
    /// Never held back: gRPC calls, tunnels, server-sent events, compressed bodies, and what no
    /// rule looks at.
    pub max: ByteSize,
    /// What becomes of an answer with a longer body.
    pub above: WafAbove,
    /// Types of content that are looked at, without parameters.
    #[schemars(length(min = 1))]
    pub types: Vec<String>,
}

impl Default for WafAnswerBody {
    fn default() -> Self {
        let types = ["text/html", "text/plain", "text/xml", "application/json", "application/xml"];
        Self {
            max: ByteSize::from_kib(512),
            above: WafAbove::FirstPart,
            types: types.map(str::to_owned).to_vec(),
        }
    }
}

/// What becomes of a message with a longer body than is looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum WafAbove {
    /// It is refused: a request with 413 `waf_body_too_large`, an answer with 502
    /// `waf_answer_too_large`.
    #[default]
    Reject,
    /// The first part is looked at.
    FirstPart,
}

/// Rules that do not count, or what they do not look at: by `rule` or by `tag`, one of them.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WafExclusion {
    /// Only for requests of this route. Such a route has rules of its own in memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route: Option<RouteId>,
    /// The id of a rule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 999_999_999))]
    pub rule: Option<u32>,
    /// A tag: all rules that have it, like `"attack-sqli"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// What these rules do not look at, as SecLang has it, like `"ARGS:comment"`. Without it they
    /// are left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
}

/// The log of the web application firewalls, in lines of JSON.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct WafLog {
    /// Where lines go: `"stdout"`, `"off"`, a file (a path with a `/` in it, or ending in
    /// `.log`), or a syslog server, as `access_log.to` has it.
    pub to: AccessLogTarget,
    /// What lines are about, and how they look.
    pub format: WafLogFormat,
}

impl Default for WafLog {
    fn default() -> Self {
        Self { to: AccessLogTarget::Off, format: WafLogFormat::default() }
    }
}

/// What lines of the firewalls' log are about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum WafLogFormat {
    /// One for each match of a rule that logs.
    #[default]
    Lines,
    /// One for each request that rules audit (`SecAuditEngine`, `auditlog`), as ModSecurity 3
    /// writes its audit log in JSON, with the parts A, B, F, H and Z.
    Modsecurity,
}
