//! `split = { … }` of a route: its requests go to several pools, by weight.

use super::matching::{CookieName, FieldName};
use crate::types::ids::PoolId;
use crate::types::text::{TextValue, text_value};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// Several pools that share a route's requests: for a canary, or to compare two versions.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Split {
    /// The pools and their weights, like `{ stable = 90, canary = 10 }`. Testers come to a
    /// pool by a route of its own, which asks for a header or a cookie (`match`).
    pub pools: BTreeMap<PoolId, u16>,
    /// What is shared: requests, one by one, or clients, who stay with their pool while the
    /// weights stand. When weights move, no more clients move than they have to.
    #[serde(default)]
    pub by: SplitBy,
}

/// What is shared between the pools of a split.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum SplitBy {
    /// Each request.
    #[default]
    Request,
    /// Clients, by their address.
    Ip,
    /// Clients, by this cookie: who has none gets one.
    Cookie(CookieName),
    /// Clients, by the value of this field; who has none, by address.
    Header(FieldName),
}

/// Why a text says nothing that can be shared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not known here: expected {}", SplitBy::ACCEPTED)]
pub struct InvalidSplitBy;

impl FromStr for SplitBy {
    type Err = InvalidSplitBy;
    fn from_str(text: &str) -> Result<Self, InvalidSplitBy> {
        let wrong = |_| InvalidSplitBy;
        match text.split_once(':') {
            None if text == "request" => Ok(Self::Request),
            None if text == "ip" => Ok(Self::Ip),
            Some(("cookie", name)) => name.parse().map(Self::Cookie).map_err(wrong),
            Some(("header", name)) => name.parse().map(Self::Header).map_err(wrong),
            _ => Err(InvalidSplitBy),
        }
    }
}

impl fmt::Display for SplitBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Request => f.write_str("request"),
            Self::Ip => f.write_str("ip"),
            Self::Cookie(name) => write!(f, "cookie:{name}"),
            Self::Header(name) => write!(f, "header:{name}"),
        }
    }
}

impl TextValue for SplitBy {
    const FORMAT: &'static str = "split-by";
    const ACCEPTED: &'static str = "\"request\", \"ip\", \"cookie:NAME\" or \"header:NAME\"";
}

text_value!(SplitBy);
