//! Clients that wait to be told to go on (RFC 9110 §10.1.1), before backends whose word for it does
//! not get through: of HTTP/2 no informational answers do. They are told by us.

use super::{Action, Exchange, Phase};
use crate::data::listener::body_ahead::Wanted;
use crate::data::pool::Pool;
use crate::data::upstream::Protocol;
use http::header;
use std::sync::Arc;
use std::time::Instant;
use vanne_filters::{RequestHead, Version};

/// So much of the body is read before a backend is asked.
const BYTES_MAX: usize = 16 * 1024;

/// Whether the client waits to be told to go on.
pub(super) fn expects(head: &RequestHead<'_>) -> bool {
    let said = head.fields.first("expect").filter(|_| head.version > Version::Http10);
    said.is_some_and(|said| said.trim_ascii().eq_ignore_ascii_case(b"100-continue"))
}

impl Exchange {
    /// The first attempt of the request with this `head`.
    pub(super) fn begin_attempts(&mut self, head: &RequestHead<'_>, now: Instant) -> Action {
        let is_http1 = |pool: &Arc<Pool>| pool.wire.protocol == Protocol::Http1;
        if self.pool.as_ref().is_none_or(is_http1) || self.request_done || !expects(head) {
            return self.first_attempt(now);
        }
        self.read_ahead(BYTES_MAX, true, now)
    }

    /// Has the body read; who waits for it is told to go on by us, and nobody else needs to.
    pub(super) fn read_ahead(&mut self, bytes_max: usize, expects: bool, now: Instant) -> Action {
        if expects {
            self.request_edits.remove(header::EXPECT);
        }
        self.phase = Phase::Reading;
        self.progress = now;
        Action::Read(Wanted { bytes_max, says_continue: expects })
    }
}
