//! `match`: which requests a route takes.
//!
//! To add a condition: a key of [`RouteMatch`], and a variant of `data::route::Condition`.

use super::network::Network;
use super::route::{Host, PathPrefix};
use super::value_match::ValueMatch;
use crate::types::pattern::Pattern;
use crate::types::text::{TextValue, text_value};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// Which requests a route takes. All that is given must hold.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RouteMatch {
    /// The host that is asked for, in any case, without port: exact, or `*.` and the end of
    /// it, which takes one or more labels more: `*.example.com` takes `a.example.com` and
    /// `a.b.example.com`, not `example.com`. Without it: any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<HostPattern>,
    /// How the path begins, by whole segments: `/api` takes `/api` and `/api/x`, not `/apix`.
    /// The path is compared as it stands in the request, but for bytes that are encoded without
    /// need: `/%61pi` is `/api`. Nothing else is decoded; see `paths` of the listener for dots
    /// and slashes. Without it, and without the two below: any path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<PathPrefix>,
    /// The whole path: `/api` takes neither `/api/` nor `/api/x`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path_exact: Option<PathPrefix>,
    /// A regular expression that fits the whole path, like `/users/[0-9]+`. It takes time
    /// linear in the path: there is no look-around and no back reference; `.`, `\d` and `\w`
    /// mean ASCII.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path_regex: Option<PathPattern>,
    /// The methods: one of these. A route for GET does not take HEAD by itself.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1))]
    pub method: Vec<MethodName>,
    /// Fields of the head, by name in any case: each must have such a value. Of a field that
    /// is there several times, one is enough; its lists are not taken apart.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("propertyNames" = { "format": "field-name" }))]
    pub header: BTreeMap<FieldName, ValueMatch>,
    /// Parameters of the query, by name: each must have such a value. Both are compared as
    /// they stand in the request, nothing decoded. Of a parameter that is there several times,
    /// one is enough; one without `=` is empty.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("propertyNames" = { "format": "parameter-name" }))]
    pub query: BTreeMap<ParameterName, ValueMatch>,
    /// Cookies, by name: each must have such a value, as it stands in the request.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("propertyNames" = { "format": "cookie-name" }))]
    pub cookie: BTreeMap<CookieName, ValueMatch>,
    /// Networks: the client is in one of these. It is the client that the listener's
    /// `trusted_proxies` say, if the request came from one of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1))]
    pub client: Vec<Network>,
    /// Tables like this one: all of them must hold.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1))]
    pub all: Vec<RouteMatch>,
    /// Tables like this one: at least one of them must hold. What they say of hosts and paths
    /// makes the route no more specific than anything else in them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1))]
    pub any: Vec<RouteMatch>,
    /// A table like this one: it must not hold.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not: Option<Box<RouteMatch>>,
}

/// A host, or all below one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostPattern {
    /// This one.
    Exact(Host),
    /// Those with labels before this one.
    Below(Host),
}

/// Why a text is no host, with or without wildcard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a host: expected {}", HostPattern::ACCEPTED)]
pub struct InvalidHostPattern;

impl FromStr for HostPattern {
    type Err = InvalidHostPattern;

    fn from_str(text: &str) -> Result<Self, InvalidHostPattern> {
        let parse = |host: &str| host.parse::<Host>().map_err(|_not_a_host| InvalidHostPattern);
        match text.strip_prefix("*.") {
            Some(end) if end.starts_with('[') => Err(InvalidHostPattern),
            Some(end) => parse(end).map(Self::Below),
            None => parse(text).map(Self::Exact),
        }
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(host) => host.fmt(f),
            Self::Below(host) => write!(f, "*.{host}"),
        }
    }
}

impl TextValue for HostPattern {
    const FORMAT: &'static str = "host-pattern";
    const ACCEPTED: &'static str = "the name of a host without port, like \"api.example.com\" \
         or \"[::1]\", or one after a wildcard, like \"*.example.com\"";
}

text_value!(HostPattern);

/// A regular expression for whole paths.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathPattern(pub Pattern);

impl FromStr for PathPattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let pattern: Pattern = text.parse().map_err(|error| format!("{error}"))?;
        match pattern.may_begin_with(b'/') {
            true => Ok(Self(pattern)),
            false => Err("fits no path: every path begins with /".to_owned()),
        }
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl TextValue for PathPattern {
    const FORMAT: &'static str = "path-regex";
    const ACCEPTED: &'static str = "a regular expression without look-around and back \
         references, of moderate size, that fits paths, like \"/users/[0-9]+\"";
}

text_value!(PathPattern);

/// Texts of one alphabet, as types of their own.
macro_rules! words {
    ($($(#[$doc:meta])* $name:ident($format:literal, $accepted:literal, $check:expr);)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub struct $name(Box<str>);

        impl $name {
            /// As text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = String;
            fn from_str(text: &str) -> Result<Self, String> {
                let check: fn(&str) -> Option<Box<str>> = $check;
                check(text).map(Self).ok_or_else(|| format!("not accepted: expected {}", $accepted))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl TextValue for $name {
            const FORMAT: &'static str = $format;
            const ACCEPTED: &'static str = $accepted;
        }

        text_value!($name);
    )*};
}

words! {
    /// The name of a cookie.
    CookieName("cookie-name", "the name of a cookie: letters, digits and !#$%&'*+-.^_`|~", |text| {
        is_token(text).then(|| text.into())
    });
    /// The name of a header field; in lower case.
    FieldName("field-name", "the name of a header field: letters, digits and !#$%&'*+-.^_`|~", |text| {
        is_token(text).then(|| text.to_ascii_lowercase().into())
    });
    /// A method.
    MethodName("method", "a method in capitals, like \"GET\"; CONNECT and TRACE are always refused", |text| {
        let is_loud = !text.bytes().any(|byte| byte.is_ascii_lowercase());
        (is_token(text) && is_loud && !matches!(text, "CONNECT" | "TRACE")).then(|| text.into())
    });
    /// The name of a parameter in a query, as it stands there.
    ParameterName("parameter-name", "the name of a parameter as it stands in a query: no blanks, & = #", |text| {
        let is_name = |byte: u8| byte.is_ascii_graphic() && !b"&=#\"<>".contains(&byte);
        (!text.is_empty() && text.bytes().all(is_name)).then(|| text.into())
    });
}

/// RFC 9110 §5.6.2.
fn is_token(text: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(is_part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wildcard_stands_for_whole_labels_at_the_front() {
        for text in ["a.example", "*.example.com", "*.com", "[::1]", "*.EXAMPLE.com"] {
            let shown = text.parse::<HostPattern>().unwrap().to_string();
            assert_eq!(shown, text.to_ascii_lowercase());
        }
        for text in ["*", "*.", "a.*.com", "*a.com", "*.*.com", "*.[::1]", "", "a:80"] {
            assert!(text.parse::<HostPattern>().is_err(), "{text}");
        }
    }

    #[test]
    fn names_are_of_their_alphabet() {
        assert_eq!("X-A".parse::<FieldName>().unwrap().as_str(), "x-a");
        assert!("x a".parse::<FieldName>().is_err() && "".parse::<FieldName>().is_err());
        assert!(
            "utm[a]".parse::<ParameterName>().is_ok() && "a=b".parse::<ParameterName>().is_err()
        );
        for (text, is_ok) in
            [("GET", true), ("M-SEARCH", true), ("get", false), ("TRACE", false), ("", false)]
        {
            assert_eq!(text.parse::<MethodName>().is_ok(), is_ok, "{text}");
        }
        assert!("api/.*".parse::<PathPattern>().is_err() && "/.*".parse::<PathPattern>().is_ok());
    }
}
