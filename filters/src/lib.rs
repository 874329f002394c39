//! Filters: what may look at a request or an answer, and change or refuse it.
//!
//! The crate is pure: a filter gets a borrowed view of a head and the time, and
//! returns a [`Verdict`] and [`HeadEdits`]. It opens no socket, reads no clock and
//! knows nothing of the engines that drive it, so the same filter runs under a
//! test, under the simulation and under traffic.
//!
//! To add one: a file with its config struct and its [`Filter`], a `mod` line here,
//! and a row in [`FILTERS`].

pub mod address;
pub mod cookies;
pub mod cors;
pub mod edits;
pub mod head;
pub mod lines;
pub mod rate_limit;
pub mod security_headers;
pub mod waf;

pub use edits::{Draft, Edit, HeadEdits, is_value};
pub use head::{FieldList, FieldSlice, RequestHead, ResponseHead, Version};
pub use lines::{Line, Lines};
pub use security_headers::SecurityHeaders;

use http::{HeaderName, HeaderValue};
use std::sync::Arc;

/// What a filter says about a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The request goes on to the next filter.
    Continue,
    /// The request is answered here.
    Reject(Rejection),
}

/// How a filter refuses a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// The status to answer with, 400..=599.
    pub status: u16,
    /// The reason label for log and metric: one of a bounded set, snake_case.
    pub reason: &'static str,
}

/// What the filters of an answer know of its request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asked<'a> {
    /// It came by HTTPS: to us, or as a trusted proxy says.
    pub is_https: bool,
    /// The origin of the page that asks, where a filter wants it and the request says one.
    pub origin: Option<&'a [u8]>,
    /// A filter answers it as a preflight.
    pub is_preflight: bool,
}

/// One filter of a route, built once per snapshot and shared by all workers.
///
/// Cost: called once per request and once per answer; must not block or allocate in
/// proportion to anything but its own edits.
pub trait Filter: Send + Sync {
    /// The filter's kind: its row in [`FILTERS`].
    fn kind(&self) -> &'static str;

    /// Looks at the request before a backend is chosen; may edit what the backend gets.
    fn on_request(&self, _head: &RequestHead<'_>, _edits: &mut HeadEdits) -> Verdict {
        Verdict::Continue
    }

    /// The fields of the answer (204) to a request that only asks whether another one may be made
    /// (a CORS preflight); `None`: it is none. Asked before anything else of the route.
    fn preflight(&self, _head: &RequestHead<'_>) -> Option<Vec<(HeaderName, HeaderValue)>> {
        None
    }

    /// Whether it looks at [`Asked::origin`].
    fn wants_origin(&self) -> bool {
        false
    }

    /// Whether cookies of ours are to be `Secure` too, however the request came.
    fn secures_cookies(&self) -> bool {
        false
    }

    /// Edits the answer that the client gets: a backend's or our own.
    fn on_response(&self, _asked: Asked<'_>, _head: &ResponseHead<'_>, _edits: &mut HeadEdits) {}
}

/// Config of any filter: what the config file gives a row to build from.
#[derive(Clone, Debug, PartialEq)]
pub enum FilterConfig {
    /// `cookies` of a route.
    Cookies(cookies::Rules),
    /// `[cors.NAME]`
    Cors(cors::Policy),
    /// `[security_headers.NAME]`
    SecurityHeaders(SecurityHeaders),
}

/// One kind of filter.
pub struct FilterKind {
    /// Its name: the config table, and the label in logs.
    pub name: &'static str,
    /// Builds the filter, or `None` when the config is another kind's.
    pub build: fn(&FilterConfig) -> Option<Arc<dyn Filter>>,
}

/// All filters there are, in alphabetical order.
pub const FILTERS: &[FilterKind] = &[
    FilterKind { name: cookies::KIND, build: cookies::build },
    FilterKind { name: cors::KIND, build: cors::build },
    FilterKind { name: security_headers::KIND, build: security_headers::build },
];

/// Builds the filter that `config` describes.
#[must_use]
pub fn build(config: &FilterConfig) -> Option<Arc<dyn Filter>> {
    FILTERS.iter().find_map(|kind| (kind.build)(config))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_config_is_built_by_the_kind_of_its_name() {
        for (config, kind) in [
            (FilterConfig::Cookies(cookies::Rules::default()), cookies::KIND),
            (FilterConfig::Cors(cors::Policy::default()), cors::KIND),
            (FilterConfig::SecurityHeaders(SecurityHeaders::default()), security_headers::KIND),
        ] {
            assert_eq!(build(&config).unwrap().kind(), kind);
        }
        assert!(FILTERS.is_sorted_by_key(|kind| kind.name));
    }
}
