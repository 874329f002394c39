//! `[identity.NAME.forward]`: a service that says whether a request may pass, and whose it is.

use super::url::HttpUrl;
use crate::config::matching::FieldName;
use crate::config::observe::FilePath;
use crate::types::units::Period;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A service that is asked about requests, by a GET of its own for each: forward-auth, as proxies
/// call it. 2xx: the request may pass. 401, 403 and redirects: the client gets that answer. All else,
/// and none in time: 503 `forward_unavailable`.
///
/// It is asked about requests that have one of `request_headers`; where `mode` is `"required"` and it
/// is the last that a route names, about those that have none, too.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Forward {
    /// Where it is asked.
    pub url: HttpUrl,
    /// A PEM file with the authorities that certify the service, instead of the system's. A change in
    /// it is a change of the config.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<FilePath>,
    /// Fields of the request that the service gets, as they came. Besides them it gets
    /// `X-Forwarded-Method`, `-Proto`, `-Host`, `-Port`, `-Uri` and `-For` of the request as Vanne knows
    /// them, and `X-Request-Id`; nothing else, and no body.
    #[serde(default = "credentials")]
    #[schemars(length(min = 1, max = 32))]
    pub request_headers: Vec<FieldName>,
    /// The field of its answer that has the user's name: in the log, for rate limits of `user`, and as
    /// the claim `sub`. At most 256 bytes. Without it: `Remote-User`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_header: Option<FieldName>,
    /// Claims, and the fields of its answer that have them. The claim `scope` has the scopes, with
    /// blanks between them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub claims: BTreeMap<String, FieldName>,
    /// The longest it may take to answer.
    #[serde(default = "patience")]
    pub timeout: Period,
    /// Requests that it is asked about at once, over all workers. One more is refused with 503
    /// `forward_busy`.
    #[serde(default = "many")]
    #[schemars(range(min = 1, max = 100_000))]
    pub max_at_once: u32,
    /// How long it is not asked again what it said yes to: the same of all that it gets, up to 10,000
    /// of them. Without it: it is asked about each request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remember: Option<Period>,
}

fn credentials() -> Vec<FieldName> {
    ["authorization", "cookie"].into_iter().filter_map(|name| name.parse().ok()).collect()
}

fn patience() -> Period {
    Period::from_secs(2)
}

fn many() -> u32 {
    256
}
