//! CORS: which pages of other origins may read an answer (Fetch standard, "CORS protocol").
//!
//! A browser asks before a request that is not simple: that question (a preflight) is answered
//! here, before anything else of the route looks at it, since it never carries credentials.
//! All other requests pass, whatever their origin: CORS is for browsers, it keeps nobody out.
//! What a backend says of CORS itself is replaced.

use crate::{Asked, Filter, FilterConfig, HeadEdits, RequestHead, ResponseHead};
use http::{HeaderName, HeaderValue, header};
use std::str::FromStr;
use std::sync::Arc;

/// Name of this kind of filter.
pub const KIND: &str = "cors";

const REQUEST_PRIVATE_NETWORK: &str = "access-control-request-private-network";
const ALLOW_PRIVATE_NETWORK: HeaderName =
    HeaderName::from_static("access-control-allow-private-network");
/// How all fields of CORS begin.
const PREFIX: &[u8] = b"access-control-";
/// Those of answers.
static OF_ANSWERS: [HeaderName; 7] = [
    header::ACCESS_CONTROL_ALLOW_CREDENTIALS,
    header::ACCESS_CONTROL_ALLOW_HEADERS,
    header::ACCESS_CONTROL_ALLOW_METHODS,
    header::ACCESS_CONTROL_ALLOW_ORIGIN,
    ALLOW_PRIVATE_NETWORK,
    header::ACCESS_CONTROL_EXPOSE_HEADERS,
    header::ACCESS_CONTROL_MAX_AGE,
];

/// Origins that may read answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OriginRule {
    /// All.
    Any,
    /// This one; `null` is what pages without an origin say.
    Exact(Box<str>),
    /// Those whose host is below this one: the beginning (`https://`) and the end
    /// (`.example.com:8443`) of the origin.
    Below(Box<str>, Box<str>),
}

/// Why a text is no rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an origin")]
pub struct InvalidOrigin;

impl FromStr for OriginRule {
    type Err = InvalidOrigin;

    fn from_str(text: &str) -> Result<Self, InvalidOrigin> {
        // Browsers write origins in lower case.
        let text = text.to_ascii_lowercase();
        if matches!(&*text, "*" | "null") {
            return Ok(if text == "*" { Self::Any } else { Self::Exact(text.into()) });
        }
        let (scheme, host) = text.split_once("://").ok_or(InvalidOrigin)?;
        let is_scheme = scheme.starts_with(|first: char| first.is_ascii_alphabetic())
            && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b));
        let below = host.strip_prefix("*.");
        let is_host = is_authority(below.unwrap_or(host), below.is_none());
        // The port of the scheme is never written.
        let is_default = [("http", ":80"), ("https", ":443")]
            .iter()
            .any(|(s, p)| scheme == *s && host.ends_with(p));
        match (is_scheme && is_host && !is_default, below) {
            (false, _) => Err(InvalidOrigin),
            (true, None) => Ok(Self::Exact(text.into())),
            (true, Some(below)) => {
                Ok(Self::Below(format!("{scheme}://").into(), format!(".{below}").into()))
            }
        }
    }
}

impl std::fmt::Display for OriginRule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::Exact(origin) => f.write_str(origin),
            Self::Below(begin, end) => write!(f, "{begin}*{end}"),
        }
    }
}

/// Whether `text` is a host, with a port or without.
fn is_authority(text: &str, may_be_ipv6: bool) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !text.ends_with(']') => (host, Some(port)),
        _ => (text, None),
    };
    let is_port = port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0));
    let inner = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let is_ipv6 =
        || may_be_ipv6 && inner.is_some_and(|ip| ip.parse::<std::net::Ipv6Addr>().is_ok());
    let is_name = || {
        !host.is_empty()
            && host.split('.').all(|label| !label.is_empty() && label.bytes().all(is_of_host))
    };
    is_port && (is_name() || is_ipv6())
}

/// Whether a label of a host's name may have `byte`.
fn is_of_host(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')
}

impl OriginRule {
    /// Whether `origin`, as a browser writes it, is one of these.
    fn holds(&self, origin: &[u8]) -> bool {
        match self {
            Self::Any => true,
            Self::Exact(one) => one.as_bytes() == origin,
            Self::Below(begin, end) => {
                let rest = origin.strip_prefix(begin.as_bytes());
                let labels = rest.and_then(|rest| rest.strip_suffix(end.as_bytes()));
                labels.is_some_and(|labels| {
                    !labels.is_empty() && labels.iter().all(|&b| is_of_host(b) || b == b'.')
                })
            }
        }
    }
}

/// What pages of other origins may do. Values are as they stand in answers; an empty list is none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// Who may read answers.
    pub origins: Vec<OriginRule>,
    /// The methods of requests, with commas between them.
    pub methods: String,
    /// The fields of requests, besides simple ones.
    pub headers: String,
    /// The fields of answers that pages may read, besides simple ones.
    pub expose: String,
    /// Whether requests may carry cookies and the like. Never together with [`OriginRule::Any`].
    pub credentials: bool,
    /// How long a browser may remember the answer to a preflight, in seconds.
    pub max_age_seconds: u64,
    /// Whether pages of public addresses may ask, where this is a private one.
    pub private_network: bool,
}

/// Builds the filter from its config.
pub(crate) fn build(config: &FilterConfig) -> Option<Arc<dyn Filter>> {
    let FilterConfig::Cors(policy) = config else { return None };
    Some(Arc::new(Cors::new(policy)))
}

/// The filter.
pub struct Cors {
    origins: Vec<OriginRule>,
    credentials: bool,
    private_network: bool,
    expose: Option<HeaderValue>,
    /// Of answers to preflights.
    preflight: Vec<(HeaderName, HeaderValue)>,
}

impl Cors {
    /// The filter for `policy`. A list that no field can hold (config refuses those) is left out.
    #[must_use]
    pub fn new(policy: &Policy) -> Self {
        let list = |text: &str| HeaderValue::from_str(text).ok().filter(|list| !list.is_empty());
        let preflight = [
            (header::ACCESS_CONTROL_ALLOW_METHODS, list(&policy.methods)),
            (header::ACCESS_CONTROL_ALLOW_HEADERS, list(&policy.headers)),
            (header::ACCESS_CONTROL_MAX_AGE, Some(policy.max_age_seconds.into())),
        ];
        Self {
            origins: policy.origins.clone(),
            credentials: policy.credentials && !policy.origins.contains(&OriginRule::Any),
            private_network: policy.private_network,
            expose: list(&policy.expose),
            preflight: preflight
                .into_iter()
                .filter_map(|(name, value)| Some((name, value?)))
                .collect(),
        }
    }

    /// Whether everybody may read answers, so that they do not depend on who asks.
    fn is_for_all(&self) -> bool {
        self.origins.contains(&OriginRule::Any)
    }

    fn holds(&self, origin: &[u8]) -> bool {
        self.origins.iter().any(|rule| rule.holds(origin))
    }
}

impl Filter for Cors {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn wants_origin(&self) -> bool {
        true
    }

    fn preflight(&self, head: &RequestHead<'_>) -> Option<Vec<(HeaderName, HeaderValue)>> {
        let asks = |name: &HeaderName| head.fields.first(name.as_str());
        let origin = asks(&header::ORIGIN)?;
        asks(&header::ACCESS_CONTROL_REQUEST_METHOD)?;
        if head.method != "OPTIONS" {
            return None;
        }
        // Who may not is told nothing: then the browser refuses.
        if !self.holds(origin) {
            return Some(Vec::new());
        }
        let mut fields = self.preflight.clone();
        if self.private_network && head.fields.first(REQUEST_PRIVATE_NETWORK) == Some(b"true") {
            fields.push((ALLOW_PRIVATE_NETWORK, HeaderValue::from_static("true")));
        }
        Some(fields)
    }

    fn on_response(&self, asked: Asked<'_>, head: &ResponseHead<'_>, edits: &mut HeadEdits) {
        if (100..200).contains(&head.status) {
            return;
        }
        let mut varies = false;
        head.fields.each(&mut |name, value| {
            varies |= name.eq_ignore_ascii_case(b"vary") && names_origin(value);
            let begin = name.get(..PREFIX.len()).unwrap_or_default();
            // What is said of a preflight is ours.
            if asked.is_preflight || !begin.eq_ignore_ascii_case(PREFIX) {
                return;
            }
            let is_it = |own: &&HeaderName| name.eq_ignore_ascii_case(own.as_str().as_bytes());
            if let Some(name) = OF_ANSWERS.iter().find(is_it) {
                edits.remove(name.clone());
            }
        });
        // Also where nobody asks from elsewhere: a cache must not give that answer to who does.
        if !self.is_for_all() && !varies {
            edits.add(header::VARY, "origin");
        }
        let allowed: &[u8] = match asked.origin {
            _ if self.is_for_all() => b"*",
            Some(origin) if self.holds(origin) => origin,
            _ => return,
        };
        edits.set(header::ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
        if self.credentials {
            edits.set(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, "true");
        }
        if let Some(expose) = self.expose.as_ref().filter(|_| !asked.is_preflight) {
            edits.set(header::ACCESS_CONTROL_EXPOSE_HEADERS, expose);
        }
    }
}

/// Whether `vary` says that the answer depends on the origin, or on everything.
fn names_origin(vary: &[u8]) -> bool {
    vary.split(|byte| *byte == b',')
        .map(<[u8]>::trim_ascii)
        .any(|name| name == b"*" || name.eq_ignore_ascii_case(b"origin"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Edit, FieldSlice, Version};

    fn cors(origins: &[&str]) -> Policy {
        Policy {
            origins: origins.iter().map(|origin| origin.parse().unwrap()).collect(),
            methods: "GET, PUT".into(),
            headers: "x-a".into(),
            expose: "x-b".into(),
            max_age_seconds: 600,
            ..Policy::default()
        }
    }

    /// What an answer with these fields becomes for who asks from `origin`.
    fn answered(policy: &Policy, origin: Option<&str>, came: &[(&str, &str)]) -> Vec<String> {
        let mut edits = HeadEdits::new();
        let asked = Asked { origin: origin.map(str::as_bytes), ..Asked::default() };
        let head = ResponseHead { status: 200, fields: &FieldSlice(came) };
        Cors::new(policy).on_response(asked, &head, &mut edits);
        let text = |edit: Edit<'_>| match edit {
            Edit::Remove(name) => format!("-{name}"),
            Edit::Line(line) => panic!("{line:?}"),
            Edit::Add(name, value) | Edit::Set(name, value) | Edit::SetIfAbsent(name, value) => {
                format!("{name}: {}", String::from_utf8_lossy(value))
            }
        };
        edits.iter().map(text).collect()
    }

    #[test]
    fn origins_are_exact_or_below_a_host() {
        for (rule, holds, others) in [
            (
                "https://a.example",
                &["https://a.example"][..],
                &["http://a.example", "https://a.example:8443", "https://b.a.example", "null"][..],
            ),
            ("HTTPS://A.example:8443", &["https://a.example:8443"], &["https://a.example"]),
            (
                "https://*.a.example",
                &["https://x.a.example", "https://y.x.a.example"],
                &[
                    "https://a.example",
                    "https://xa.example",
                    "https://.a.example.evil",
                    "https://evil/.a.example",
                    "https://x.a.example:1",
                    "http://x.a.example",
                ],
            ),
            ("http://*.localhost:3000", &["http://x.localhost:3000"], &["http://x.localhost"]),
            ("https://[::1]:3000", &["https://[::1]:3000"], &["https://[::1]"]),
            ("null", &["null"], &["https://a.example", "NULL"]),
            ("*", &["null", "https://a.example"], &[]),
        ] {
            let parsed: OriginRule = rule.parse().unwrap();
            assert_eq!(parsed.to_string(), rule.to_ascii_lowercase());
            assert!(holds.iter().all(|origin| parsed.holds(origin.as_bytes())), "{rule}");
            assert!(!others.iter().any(|origin| parsed.holds(origin.as_bytes())), "{rule}");
        }
        for wrong in [
            "",
            "a.example",
            "https://",
            "https://a.example/",
            "https://a b",
            "https://*",
            "https://*.",
            "https://a.*.b",
            "https://a.example:0",
            "https://a.example:443",
            "http://a:80",
            "//a",
            "https://a..b",
            "https://*.[::1]",
        ] {
            assert!(wrong.parse::<OriginRule>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn only_a_real_preflight_is_answered() {
        let cors = Cors::new(&Policy { private_network: true, ..cors(&["https://a.example"]) });
        let preflight = |method: &str, fields: &[(&str, &str)]| {
            let fields = FieldSlice(fields);
            let fields = cors.preflight(&RequestHead::new(method, b"/", Version::Http11, &fields));
            fields.map(|fields| {
                fields
                    .iter()
                    .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
                    .collect::<Vec<_>>()
            })
        };
        let (origin, asks) =
            (("origin", "https://a.example"), ("access-control-request-method", "PUT"));
        let private = (REQUEST_PRIVATE_NETWORK, "true");
        for (method, fields) in [
            ("OPTIONS", &[origin][..]),
            ("OPTIONS", &[asks]),
            ("GET", &[origin, asks]),
            ("OPTIONS", &[]),
        ] {
            assert_eq!(preflight(method, fields), None, "{method} {fields:?}");
        }
        let mut want = vec![
            "access-control-allow-methods: GET, PUT".to_owned(),
            "access-control-allow-headers: x-a".into(),
            "access-control-max-age: 600".into(),
        ];
        assert_eq!(preflight("OPTIONS", &[origin, asks]), Some(want.clone()));
        want.push("access-control-allow-private-network: true".into());
        assert_eq!(preflight("OPTIONS", &[origin, asks, private]), Some(want));
        assert_eq!(preflight("OPTIONS", &[("origin", "null"), asks, private]), Some(vec![]));
    }

    #[test]
    fn an_answer_says_who_may_read_it_and_that_it_depends_on_the_origin() {
        let policy = Policy { credentials: true, ..cors(&["https://a.example"]) };
        let allowed = [
            "vary: origin",
            "access-control-allow-origin: https://a.example",
            "access-control-allow-credentials: true",
            "access-control-expose-headers: x-b",
        ];
        assert_eq!(answered(&policy, Some("https://a.example"), &[]), allowed);
        for origin in [
            None,
            Some("https://b.example"),
            Some("null"),
            Some("https://a.example, https://a.example"),
        ] {
            assert_eq!(answered(&policy, origin, &[]), ["vary: origin"], "{origin:?}");
        }
        for vary in ["Origin", "accept, ORIGIN", "*"] {
            assert_eq!(answered(&policy, None, &[("Vary", vary)]), [""; 0], "{vary}");
        }
        assert_eq!(answered(&policy, None, &[("Vary", "accept")]), ["vary: origin"]);
    }

    #[test]
    fn what_everybody_may_read_depends_on_nobody() {
        // Config refuses credentials there; if it did not, they would still not be said.
        let policy = Policy { credentials: true, expose: String::new(), ..cors(&["*"]) };
        for origin in [None, Some("null")] {
            assert_eq!(answered(&policy, origin, &[]), ["access-control-allow-origin: *"]);
        }
    }

    #[test]
    fn what_the_backend_says_of_cors_is_replaced() {
        let came =
            [("Access-Control-Allow-Origin", "*"), ("access-control-max-age", "9"), ("x", "y")];
        let removed = ["-access-control-allow-origin", "-access-control-max-age", "vary: origin"];
        assert_eq!(answered(&cors(&["https://a.example"]), None, &came), removed);
    }
}
