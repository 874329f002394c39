//! 3 and 9 · Chain: the filters of a route, on the request and on the answer.
//!
//! Filters run in order on the request and stop at the first that rejects; on the
//! answer all of them run. The chain belongs to the snapshot, so it changes with it.

use http::{HeaderName, HeaderValue};
use std::sync::Arc;
use vanne_filters::{Asked, Filter, HeadEdits, RequestHead, ResponseHead, Verdict};

/// Filters in the order in which they run.
#[derive(Clone, Default)]
pub struct Chain {
    filters: Vec<Arc<dyn Filter>>,
    /// Their kinds, in order, with blanks between them.
    names: Arc<str>,
    /// One of them wants to know the origin of the page that asks.
    wants_origin: bool,
    /// One of them wants cookies of ours to be `Secure`.
    secures_cookies: bool,
}

impl Chain {
    /// A chain of these.
    #[must_use]
    pub fn new(filters: Vec<Arc<dyn Filter>>) -> Self {
        let names: Vec<_> = filters.iter().map(|filter| filter.kind()).collect();
        Self {
            names: names.join(" ").into(),
            wants_origin: filters.iter().any(|filter| filter.wants_origin()),
            secures_cookies: filters.iter().any(|filter| filter.secures_cookies()),
            filters,
        }
    }

    /// The kinds of its filters, in order, with blanks between them; `None` if there are none.
    #[must_use]
    pub fn names(&self) -> Option<&str> {
        (!self.names.is_empty()).then_some(&*self.names)
    }

    /// Whether one of its filters wants to know the origin of the page that asks.
    #[must_use]
    pub fn wants_origin(&self) -> bool {
        self.wants_origin
    }

    /// Whether cookies of ours are to be `Secure`, however the request came.
    #[must_use]
    pub fn secures_cookies(&self) -> bool {
        self.secures_cookies
    }

    /// The fields of the answer to a preflight, if the request is one and a filter answers it.
    pub fn preflight(&self, head: &RequestHead<'_>) -> Option<Vec<(HeaderName, HeaderValue)>> {
        match self.wants_origin {
            true => self.filters.iter().find_map(|filter| filter.preflight(head)),
            false => None,
        }
    }

    /// Runs the request's filters; the first rejection ends it.
    pub fn on_request(&self, head: &RequestHead<'_>, edits: &mut HeadEdits) -> Verdict {
        self.filters
            .iter()
            .map(|filter| filter.on_request(head, edits))
            .find(|verdict| *verdict != Verdict::Continue)
            .unwrap_or(Verdict::Continue)
    }

    /// Runs the answer's filters.
    pub fn on_response(&self, asked: Asked<'_>, head: &ResponseHead<'_>, edits: &mut HeadEdits) {
        for filter in &self.filters {
            filter.on_response(asked, head, edits);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vanne_filters::{FieldSlice, Rejection, Version};

    struct Rejects(u16);
    impl Filter for Rejects {
        fn kind(&self) -> &'static str {
            "rejects"
        }
        fn on_request(&self, _: &RequestHead<'_>, _: &mut HeadEdits) -> Verdict {
            Verdict::Reject(Rejection { status: self.0, reason: "test" })
        }
    }

    #[test]
    fn the_first_rejection_ends_the_chain() {
        let chain = Chain::new(vec![Arc::new(Rejects(403)), Arc::new(Rejects(429))]);
        let fields = FieldSlice(&[]);
        let head = RequestHead::new("GET", b"/", Version::Http11, &fields);
        let verdict = chain.on_request(&head, &mut HeadEdits::new());
        assert_eq!(verdict, Verdict::Reject(Rejection { status: 403, reason: "test" }));
    }
}
