//! Clients that wait to be told to go on (RFC 9110 §10.1.1), before backends whose word for it does
//! not get through: of HTTP/2 no informational answers do. They are told by us.

use super::{Action, Exchange, Phase};
use crate::data::listener::body_ahead::{Ahead, Wanted};
use crate::data::refusal::Refusal;
use crate::data::upstream::{Fault, Protocol};
use http::header;
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
        let is_told = |protocol| protocol == Protocol::Http1;
        let is_told = self.pool.as_ref().is_none_or(|pool| is_told(pool.wire.protocol));
        if is_told || self.request_done || !expects(head) {
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

    /// The beginning of a body is here that nobody wanted but for its client's sake.
    pub(super) fn on_begun(&mut self, end: Ahead, now: Instant) -> Action {
        match end {
            Ahead::Fault(Fault::ClientGone) => self.refuse(Refusal::ClientGone, now),
            Ahead::Fault(fault) => self.on_fault(fault, now),
            Ahead::More | Ahead::TooLong | Ahead::Whole | Ahead::NoRoom => self.first_attempt(now),
        }
    }
}
