//! `[cors.NAME]`: which pages of other origins may read answers.

use super::diagnostics::Problem;
use super::matching::{FieldName, MethodName};
use super::tree::Node;
use super::validate::join;
use crate::types::text::{TextValue, text_value};
use crate::types::units::Period;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::fmt;
use std::str::FromStr;
use vanne_filters::cors::{InvalidOrigin, OriginRule};

/// Which pages of other origins may read a route's answers (CORS). Preflights, by which browsers
/// ask before, are answered with 204 and reach no backend; nothing else of the route looks at
/// them, rate limits neither. All other requests pass, whatever their origin: CORS keeps browsers
/// from telling pages, not clients from asking. What backends say of CORS themselves is replaced.
/// `Vary: origin` is on every answer, unless `origins` is `["*"]`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Cors {
    /// Origins of pages that may: `"https://app.example.com"`; `"https://*.example.com"`, all
    /// below that host; `"null"`, which pages in a sandbox or from a file say, whoever wrote
    /// them; or only `"*"`, all.
    #[schemars(length(min = 1))]
    pub origins: Vec<OriginPattern>,
    /// The methods that their requests may have. `["*"]`: all.
    #[serde(default = "default_methods")]
    #[schemars(length(min = 1))]
    pub methods: Vec<CorsMethod>,
    /// Fields that their requests may have, besides simple ones (`Accept`, `Content-Language`, …),
    /// like `["authorization", "content-type"]`. `["*"]`: all but `Authorization`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<FieldName>,
    /// Fields of answers that they may read, besides simple ones (`Content-Type`, …). `["*"]`: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub expose: Vec<FieldName>,
    /// Whether their requests may carry cookies and other credentials. Not together with `"*"`
    /// anywhere.
    #[serde(default)]
    pub credentials: bool,
    /// How long browsers may remember the answer to a preflight. They have limits of their own: two
    /// hours, or a day.
    #[serde(default = "default_max_age")]
    pub max_age: Period,
    /// Whether pages of public addresses may ask where this is an address of a private network
    /// (`Access-Control-Allow-Private-Network`).
    #[serde(default)]
    pub private_network: bool,
}

fn default_methods() -> Vec<CorsMethod> {
    ["GET", "HEAD", "POST"].iter().filter_map(|method| method.parse().ok()).collect()
}

fn default_max_age() -> Period {
    Period::from_secs(600)
}

/// Origins of pages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OriginPattern(pub OriginRule);

impl FromStr for OriginPattern {
    type Err = InvalidOrigin;

    fn from_str(text: &str) -> Result<Self, InvalidOrigin> {
        text.parse().map(Self)
    }
}

impl fmt::Display for OriginPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl TextValue for OriginPattern {
    const FORMAT: &'static str = "origin-pattern";
    const ACCEPTED: &'static str = "an origin as browsers write it, without a slash at the end and \
         without the scheme's own port, like \"https://app.example.com\" or \
         \"https://*.example.com\"; or \"null\" or \"*\"";
}

text_value!(OriginPattern);

/// A method that pages of other origins may ask with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CorsMethod {
    /// All.
    Any,
    /// This one.
    One(MethodName),
}

/// Why a text is no such method.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a method: expected {}", CorsMethod::ACCEPTED)]
pub struct InvalidCorsMethod;

impl FromStr for CorsMethod {
    type Err = InvalidCorsMethod;

    fn from_str(text: &str) -> Result<Self, InvalidCorsMethod> {
        match text {
            "*" => Ok(Self::Any),
            name => name.parse().map(Self::One).map_err(|_not_one| InvalidCorsMethod),
        }
    }
}

impl fmt::Display for CorsMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::One(name) => name.fmt(f),
        }
    }
}

impl TextValue for CorsMethod {
    const FORMAT: &'static str = "cors-method";
    const ACCEPTED: &'static str = "a method in capitals, like \"PUT\", or \"*\"";
}

text_value!(CorsMethod);

/// Warns of an origin that is everybody's who has a host below a top-level domain.
fn check_width(origin: &Node, key: &str, problems: &mut Vec<Problem>) {
    let below = origin.text().and_then(|text| text.split_once("://*."));
    let host = below.map(|(_, host)| host.split(':').next().unwrap_or(host));
    if host.is_some_and(|host| !host.contains('.') && !host.eq_ignore_ascii_case("localhost")) {
        let message = "pages of whoever has a host there could read what users see";
        let problem = Problem::new(&join(key, "origins"), origin.span.clone(), message);
        problems.push(
            problem.accepts("hosts that are yours, like \"https://*.example.com\"").warning(),
        );
    }
}

/// Lists that may have `*` in them.
const LISTS: [&str; 4] = ["origins", "methods", "headers", "expose"];

/// Adds all that is wrong with what `*` stands beside.
pub(super) fn check(root: &Node, problems: &mut Vec<Problem>) {
    for cors in root.get("cors").map(Node::entries).unwrap_or_default() {
        let key = join("cors", &cors.key);
        let credentials = cors.node.get("credentials");
        let has_credentials = credentials.is_some_and(|node| node.to_json() == json!(true));
        if has_credentials {
            let origins = cors.node.get("origins").map(Node::items).unwrap_or_default();
            origins.iter().for_each(|origin| check_width(origin, &key, problems));
        }
        for list in LISTS {
            let items = cors.node.get(list).map(Node::items).unwrap_or_default();
            let Some(any) = items.iter().find(|item| item.text() == Some("*")) else { continue };
            let key = join(&key, list);
            if has_credentials {
                let message = "browsers take no `*` together with credentials";
                let accepted = "each by its name, or no `credentials`";
                problems.push(Problem::new(&key, any.span.clone(), message).accepts(accepted));
            } else if items.len() > 1 {
                let message = "`*` beside others says all that they say";
                problems.push(
                    Problem::new(&key, any.span.clone(), message)
                        .accepts("only `*`, or only others"),
                );
            }
        }
    }
}
