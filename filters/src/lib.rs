//! Filters: what may look at a request or an answer, and change or refuse it.
//!
//! The crate is pure: a filter gets a borrowed view of a head and the time, and
//! returns a [`Verdict`] and [`HeadEdits`]. It opens no socket, reads no clock and
//! knows nothing of the engines that drive it, so the same filter runs under a
//! test, under the simulation and under traffic.
//!
//! To add one: a file with its config struct and its [`Filter`], a `mod` line here,
//! and a row in [`FILTERS`].

pub mod edits;
pub mod head;
pub mod rate_limit;
pub mod security_headers;
pub mod waf;

pub use edits::{Draft, Edit, HeadEdits, is_value};
pub use head::{FieldList, FieldSlice, RequestHead, ResponseHead, Version};
pub use security_headers::SecurityHeaders;

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
pub struct Asked {
    /// It came by HTTPS: to us, or as a trusted proxy says.
    pub is_https: bool,
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

    /// Edits the answer that the client gets: a backend's or our own.
    fn on_response(&self, _asked: Asked, _head: &ResponseHead<'_>, _edits: &mut HeadEdits) {}
}

/// Config of any filter: what the config file gives a row to build from.
#[derive(Clone, Debug, PartialEq)]
pub enum FilterConfig {
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
pub const FILTERS: &[FilterKind] =
    &[FilterKind { name: security_headers::KIND, build: security_headers::build }];

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
        let filter = build(&FilterConfig::SecurityHeaders(SecurityHeaders::default())).unwrap();
        assert_eq!(filter.kind(), "security_headers");
    }
}
