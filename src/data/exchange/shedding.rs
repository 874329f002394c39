//! Load shedding of an exchange: its seats, and what it says when there is none.

use super::Exchange;
use crate::data::overload::Seat;
use crate::data::refusal::Refusal;
use http::{HeaderValue, header};
use std::time::Duration;
use vanne_filters::HeadEdits;

/// What a request counts for while it is under way; nothing where there are no limits.
#[derive(Default)]
pub(super) struct Seats {
    process: Option<Seat>,
    pool: Option<Seat>,
    /// After this time the queue that was too long may be short enough.
    pub(super) try_after: Option<Duration>,
}

impl Exchange {
    /// Takes a seat in the process, unless it has one, and one in the pool that it goes to next.
    pub(super) fn take_seats(&mut self) -> Result<(), Refusal> {
        let Some(route) = &self.route else { return Ok(()) };
        if let (Some(limit), None) = (&route.overload, &self.seats.process) {
            self.seats.process = Some(limit.enter(route.priority).ok_or(Refusal::Overloaded)?);
        }
        let limit = self.pool.as_ref().and_then(|pool| pool.overload.as_ref());
        let Some(limit) = limit else { return Ok(()) };
        self.seats.pool = Some(limit.enter(route.priority).ok_or(Refusal::Overloaded)?);
        Ok(())
    }

    /// Gives its seat in the pool back: it leaves.
    pub(super) fn leave_pool(&mut self) {
        self.seats.pool = None;
    }

    /// Whether the process is full: then no other pool helps.
    pub(super) fn is_process_full(&self) -> bool {
        let has_limit = self.route.as_ref().is_some_and(|route| route.overload.is_some());
        has_limit && self.seats.process.is_none()
    }

    /// Says when to try again, if it ends since there is too much to do.
    pub(super) fn tell_retry(&self, edits: &mut HeadEdits) {
        if let (Some(Refusal::QueueTooLong), Some(time)) = (self.refusal, self.seats.try_after) {
            let seconds = HeaderValue::from(time.as_secs() + 1);
            edits.set_if_absent(header::RETRY_AFTER, &seconds);
        }
        if self.refusal == Some(Refusal::TooManyAtOnce) {
            // When its other requests end nobody knows.
            edits.set_if_absent(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        if self.refusal != Some(Refusal::Overloaded) {
            return;
        }
        let limit = match self.is_process_full() {
            true => self.route.as_ref().and_then(|route| route.overload.as_deref()),
            false => self.pool.as_ref().and_then(|pool| pool.overload.as_ref()),
        };
        if let Some(limit) = limit {
            edits.set_if_absent(header::RETRY_AFTER, &limit.retry_after);
        }
    }
}
