//! What an engine and the machine say to each other.

use super::{Answer, Waiting};
use crate::data::effects::Effect;
use crate::data::listener::body_ahead::{Ahead, Wanted};
use crate::data::refusal::Refusal;
use crate::data::upstream::{Attempt, Fault};
use vanne_filters::{FieldList, RequestHead, ResponseHead};

/// What an engine reports.
pub enum Event<'a> {
    /// The request's head is whole. `has_body`: more of the request follows.
    Request {
        /// The head, as received.
        head: RequestHead<'a>,
        /// Whether a body follows.
        has_body: bool,
    },
    /// A request's head came, and the request was over by then: nothing is to be done for it.
    Stillborn {
        /// The head, as received.
        head: RequestHead<'a>,
        /// Why it was over.
        refusal: Refusal,
    },
    /// The effect the machine waited for is done.
    Resumed,
    /// The body was read ahead, as far as it was wanted.
    Body {
        /// What was read.
        body: Vec<u8>,
        /// How that ended.
        end: Ahead,
    },
    /// There is a connection to the attempt's backend.
    Connected {
        /// Whether it was used before.
        is_reused: bool,
    },
    /// Part of the request's body came from the client.
    RequestBody {
        /// Whether it was the last part.
        is_last: bool,
        /// Whether all that came so far is kept, so that it can be sent once more.
        is_kept: bool,
    },
    /// The head of the backend's answer came: informational or final.
    Response(ResponseHead<'a>),
    /// Part of the answer's body came from the backend.
    ResponseBody,
    /// The trailers of the backend's answer came.
    ResponseTrailers(&'a dyn FieldList),
    /// The answer is whole, and the client has it or is getting it. Of no meaning unless more of
    /// the request is to come: an engine that would wait for that asks
    /// [`Exchange::is_answered`](super::Exchange::is_answered) before it reads on.
    Answered,
    /// Something failed.
    Failed(Fault),
    /// The engine waits, and this says for whom.
    Parked(Waiting),
    /// The time that [`Exchange::deadline`](super::Exchange::deadline) gave may have come.
    Deadline,
    /// The engine cannot go on, or the process ends: for this reason.
    Aborted(Refusal),
    /// Both messages are through.
    Ended,
}

/// What the engine is to do next.
pub enum Action {
    /// Go on.
    Continue,
    /// Run this, then report [`Event::Resumed`].
    Wait(Effect),
    /// Read the request's body ahead, then report [`Event::Body`].
    Read(Wanted),
    /// Connect to this backend and send the request, edited by [`Exchange::request_edits`](super::Exchange::request_edits).
    Attempt(Attempt),
    /// Send this answer to the client; it is whole.
    Answer(Answer),
    /// Pass bytes both ways: the connection is no longer HTTP.
    Tunnel,
    /// Drop both connections: nothing more can be said.
    Cut,
    /// The exchange is over.
    Done,
}

impl Action {
    /// This action, to be done by whoever takes it; nothing is left to do in its place.
    pub fn take(&mut self) -> Self {
        std::mem::replace(self, Self::Continue)
    }
}
