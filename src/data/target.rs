//! Target: where the requests of a route go: to a pool, elsewhere, or no further.
//!
//! To add one: a variant, its arm in `exchange/admission.rs`, and its key in the config's
//! route, which has exactly one of them.

use super::pool::Pool;
use super::refusal::Refusal;
use super::split::Split;
use super::upstream::wire::Protocol;
use crate::wire::bytes::is_host;
use crate::wire::invalid_head::InvalidHead;
use bytes::Bytes;
use http::{HeaderName, HeaderValue};
use std::sync::Arc;
use vanne_filters::RequestHead;

/// Where the requests of a route go.
pub enum Target {
    /// To a backend of this pool.
    Pool(Arc<Pool>),
    /// To a backend of one of these pools.
    Split(Split),
    /// Back, to be asked elsewhere.
    Redirect(Redirect),
    /// Back, with this answer.
    Answer(FixedAnswer),
}

impl Target {
    /// The pool, if it is one.
    #[must_use]
    pub fn pool(&self) -> Option<&Arc<Pool>> {
        match self {
            Self::Pool(pool) => Some(pool),
            Self::Split(_) | Self::Redirect(_) | Self::Answer(_) => None,
        }
    }

    /// Whether its backends may be spoken to by HTTP/2, as gRPC needs it.
    #[must_use]
    pub fn takes_calls(&self) -> bool {
        let takes = |pool: &Arc<Pool>| pool.wire.protocol != Protocol::Http1;
        match self {
            Self::Pool(pool) => takes(pool),
            Self::Split(split) => split.pools.iter().all(|(pool, _)| takes(pool)),
            Self::Redirect(_) | Self::Answer(_) => false,
        }
    }
}

/// An answer that is always the same.
#[derive(Clone, Debug)]
pub struct FixedAnswer {
    /// The status: 200 to 599.
    pub status: u16,
    /// The fields, but for those that frame the answer.
    pub fields: Vec<(HeaderName, HeaderValue)>,
    /// The body.
    pub body: Bytes,
}

/// A redirect.
#[derive(Clone, Debug)]
pub struct Redirect {
    /// The status.
    pub status: u16,
    /// Where it leads.
    pub to: RedirectTo,
    /// Whether the request's query is appended.
    pub keeps_query: bool,
}

/// Where a redirect leads.
#[derive(Clone, Debug)]
pub enum RedirectTo {
    /// To this address.
    Whole(Box<str>),
    /// To the request's own, with these parts changed.
    Parts(RedirectParts),
}

/// Parts of an address; those that are not there are the request's.
#[derive(Clone, Debug, Default)]
pub struct RedirectParts {
    /// Whether by HTTPS.
    pub is_https: Option<bool>,
    /// The host.
    pub host: Option<Box<str>>,
    /// The port; without it the scheme's own.
    pub port: Option<u16>,
    /// The path.
    pub path: Option<Box<str>>,
}

impl Redirect {
    /// Where to send the client with this request. `is_https`: how it came.
    ///
    /// # Errors
    /// When the request names no host and the address needs it, or what it names is none.
    pub fn location(&self, head: &RequestHead<'_>, is_https: bool) -> Result<HeaderValue, Refusal> {
        let mut to = match &self.to {
            RedirectTo::Whole(whole) => whole.as_bytes().to_vec(),
            RedirectTo::Parts(parts) => parts.location(head, is_https)?,
        };
        if let (true, Some(query)) = (self.keeps_query, head.query()) {
            to.push(if to.contains(&b'?') { b'&' } else { b'?' });
            to.extend_from_slice(query);
        }
        HeaderValue::from_bytes(&to).map_err(|_no_value| InvalidHead::MalformedTarget.into())
    }
}

impl RedirectParts {
    fn location(&self, head: &RequestHead<'_>, is_https: bool) -> Result<Vec<u8>, Refusal> {
        let mut to = Vec::with_capacity(128);
        let is_elsewhere = self.is_https.is_some() || self.host.is_some() || self.port.is_some();
        if is_elsewhere {
            let is_https = self.is_https.unwrap_or(is_https);
            let host = match &self.host {
                Some(host) => host.as_bytes(),
                None => {
                    head.host().filter(|host| !host.is_empty()).ok_or(InvalidHead::MissingHost)?
                }
            };
            if !host.iter().all(|byte| is_host(*byte)) {
                return Err(InvalidHead::MalformedHost.into());
            }
            let (scheme, own_port) = if is_https { ("https://", 443) } else { ("http://", 80) };
            to.extend_from_slice(scheme.as_bytes());
            to.extend_from_slice(host);
            if let Some(port) = self.port.filter(|port| *port != own_port) {
                to.extend_from_slice(format!(":{port}").as_bytes());
            }
        }
        let path = self.path.as_ref().map_or(head.path(), |path| path.as_bytes());
        to.extend_from_slice(if path.first() == Some(&b'/') { path } else { b"/" });
        Ok(to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vanne_filters::{FieldSlice, Version};

    fn location(redirect: &Redirect, target: &str, host: &str) -> Result<String, Refusal> {
        let fields = [("host", host)];
        let fields = FieldSlice(if host.is_empty() { &[] } else { &fields });
        let head = RequestHead::new("GET", target.as_bytes(), Version::Http10, &fields);
        redirect.location(&head, false).map(|value| value.to_str().unwrap().to_owned())
    }

    #[test]
    fn parts_that_are_not_given_stay() {
        let parts = |is_https, host: &str, port, path: &str| RedirectParts {
            is_https,
            host: (!host.is_empty()).then(|| host.into()),
            port,
            path: (!path.is_empty()).then(|| path.into()),
        };
        for (parts, want) in [
            (parts(Some(true), "", None, ""), "https://a.example/x/y?q=1"),
            (parts(None, "b.example", None, ""), "http://b.example/x/y?q=1"),
            (parts(None, "", Some(8443), ""), "http://a.example:8443/x/y?q=1"),
            (parts(Some(true), "", Some(443), "/z"), "https://a.example/z?q=1"),
            (parts(None, "", None, "/z"), "/z?q=1"),
        ] {
            let to = RedirectTo::Parts(parts);
            let redirect = Redirect { status: 302, to, keeps_query: true };
            assert_eq!(location(&redirect, "/x/y?q=1", "a.example:8080").unwrap(), want);
        }
        let to = RedirectTo::Parts(parts(Some(true), "", None, ""));
        let redirect = Redirect { status: 302, to, keeps_query: true };
        assert_eq!(location(&redirect, "/", ""), Err(InvalidHead::MissingHost.into()));
        assert_eq!(location(&redirect, "http://a@b/", "a"), Err(InvalidHead::MalformedHost.into()));
        assert_eq!(location(&redirect, "*", "a").unwrap(), "https://a/");
        assert_eq!(location(&redirect, "//b/c", "a").unwrap(), "https://a//b/c");
    }

    #[test]
    fn the_query_is_appended_if_it_is_kept() {
        for (to, keeps_query, target, want) in [
            ("/new", true, "/a?b=1", "/new?b=1"),
            ("/new", true, "/a", "/new"),
            ("/new?c=2", true, "/a?b=1", "/new?c=2&b=1"),
            ("/new", false, "/a?b=1", "/new"),
            ("https://b.example/", true, "/a?b", "https://b.example/?b"),
        ] {
            let redirect = Redirect { status: 302, to: RedirectTo::Whole(to.into()), keeps_query };
            assert_eq!(location(&redirect, target, "").unwrap(), want);
        }
    }
}
