//! What an exchange does when no backend may be tried: steps of a chain, pages, and good answers
//! of before.

use super::{Action, Answer, Exchange};
use crate::data::fallback::recording::Recording;
use crate::data::fallback::store::Asked;
use crate::data::fallback::{self, Chain, Need, Taken};
use crate::data::outcome::Outcome;
use crate::data::page::{self, Form};
use crate::data::pool::Pool;
use crate::data::refusal::Refusal;
use crate::data::snapshot::Route;
use crate::data::target::FixedAnswer;
use crate::data::upstream::{AttemptRecord, Protocol};
use http::{HeaderName, HeaderValue, header};
use std::sync::Arc;
use std::time::Instant;
use vanne_filters::{HeadEdits, RequestHead, ResponseHead};

/// The methods that requests have, less those that are refused.
const ALLOWED: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";
/// The field that tells the client which steps were taken.
const FALLBACK: HeaderName = HeaderName::from_static("vanne-fallback");

/// What is remembered for a fallback. There is none of it in a request that needs none, on a
/// route without `cached`.
#[derive(Default)]
pub(super) struct Fallen {
    /// The chain, once a step of it was taken.
    chain: Option<Arc<Chain>>,
    /// Which step is next.
    next: usize,
    /// The names of steps that were taken, with commas between them.
    taken: String,
    /// What the request asks for, where good answers are kept.
    asked: Option<Asked>,
    /// The answer on its way to be kept.
    recording: Option<Recording>,
}

impl Exchange {
    /// Remembers of the head what kept answers go by, where `route` has some.
    pub(super) fn note_wishes(&mut self, head: &RequestHead<'_>, route: &Route) {
        // What somebody got is not for others.
        if route.fallbacks.cache.is_none() || self.is_websocket || self.proof().is_some() {
            return;
        }
        let asked = Asked::of(head, !self.request_done, route.id.as_str(), self.is_https());
        if asked.is_some() {
            self.fallen.get_or_insert_default().asked = asked;
        }
    }

    /// Takes the next step of the chain that has something for a request which would end for
    /// `refusal`; `None`: there is none.
    pub(super) fn fall_back(&mut self, refusal: Refusal, now: Instant) -> Option<Action> {
        if self.is_head_sent || !refusal.row().falls_back {
            return None;
        }
        let chain = Arc::clone(self.chain()?);
        let may_try = self.may_go_elsewhere() && !self.is_process_full();
        let cache = self.route.as_ref().and_then(|route| route.fallbacks.cache.as_ref());
        let asked = self.fallen.as_ref().and_then(|fallen| fallen.asked.as_ref());
        let need = Need {
            refusal,
            form: Form::of(self.texts.accept()),
            may_try,
            may_answer: !self.is_websocket,
            cached: cache.zip(asked),
            now,
        };
        let next = self.fallen.as_ref().map_or(0, |fallen| fallen.next);
        let (at, step, taken) = fallback::find(&chain, next, &need)?;
        step.taken.inc();
        let fallen = self.fallen.get_or_insert_default();
        fallen.next = at + 1;
        if !fallen.taken.is_empty() {
            fallen.taken.push_str(", ");
        }
        fallen.taken.push_str(&step.name);
        fallen.chain = Some(Arc::clone(&chain));
        drop(self.leave_queue(now));
        self.leave_pool();
        match taken {
            Taken::Pool(pool) => {
                self.pool = Some(pool);
                self.tried.clear();
                self.stale_pauses = 0;
                // The client's backend is in the pool that it came from, and stays its own.
                self.seen = None;
                Some(self.first_attempt(now))
            }
            Taken::Answer(answer) => {
                self.refusal = Some(refusal);
                Some(self.answer_by(&answer, now))
            }
        }
    }

    /// Whether there is something left to fall back to.
    pub(super) fn has_fallback(&self) -> bool {
        let next = self.fallen.as_ref().map_or(0, |fallen| fallen.next);
        self.chain().is_some_and(|chain| next < chain.len())
    }

    /// The chain that holds: that of the pool that the request went to first.
    fn chain(&self) -> Option<&Arc<Chain>> {
        let begun = self.fallen.as_ref().and_then(|fallen| fallen.chain.as_ref());
        begun.or_else(|| self.route.as_ref()?.fallbacks.chain(&self.pool.as_ref()?.id))
    }

    /// Whether the request may be sent to another pool: nobody saw it yet, or it does no harm to
    /// send it once more.
    fn may_go_elsewhere(&self) -> bool {
        let is_unseen = |attempt: &AttemptRecord| {
            attempt.connected.is_none() || attempt.outcome == Some(Outcome::Unseen)
        };
        let is_unseen = self.attempts.iter().all(is_unseen);
        if is_unseen { self.is_kept } else { self.is_repeatable() }
    }

    /// The answer that says `refusal` in the words of a page, if there is one for it.
    pub(super) fn error_page(&self, refusal: Refusal) -> Option<FixedAnswer> {
        let is_call = self.facts.as_ref().is_some_and(|facts| facts.call.is_some());
        if is_call || self.is_websocket {
            return None;
        }
        let of_route = self.route.as_ref().and_then(|route| route.fallbacks.pages.find(refusal));
        let page = of_route.or_else(|| self.listener.error_pages.find(refusal))?;
        Some(page.answer(refusal, Form::of(self.texts.accept())))
    }

    /// The answer that says `refusal`: a service's words, a page, or our own.
    pub(super) fn answer_to(&mut self, refusal: Refusal, now: Instant) -> Answer {
        let words = self.words_of_service();
        let own = || match self.takes_problem(refusal) {
            true => Answer::problem_for(refusal, self.id),
            false => Answer::line_for(refusal, self.id),
        };
        let mut fixed = words.or_else(|| self.error_page(refusal)).unwrap_or_else(own);
        if refusal == Refusal::MethodRefused {
            // RFC 9110 §15.5.6 asks for Allow; which of them are is each backend's matter.
            fixed.fields.push((header::ALLOW, HeaderValue::from_static(ALLOWED)));
        }
        self.end_with(fixed.status, now);
        Answer::of(&fixed, &self.own_edits(&fixed, now))
    }

    /// Whether the client takes `refusal` rather as JSON. A call is told in gRPC's own way.
    fn takes_problem(&self, refusal: Refusal) -> bool {
        let is_call = self.facts.as_ref().is_some_and(|facts| facts.call.is_some());
        !is_call && refusal.row().status >= 400 && page::takes_problems(self.texts.accept())
    }

    /// The names of the steps that were taken, with commas between them; `None` if none was.
    #[must_use]
    pub fn fallback(&self) -> Option<&str> {
        self.fallen.as_ref().map(|fallen| &*fallen.taken).filter(|taken| !taken.is_empty())
    }

    /// Tells the client which steps were taken.
    pub(super) fn tell_fallback(&self, edits: &mut HeadEdits) {
        if let Some(taken) = self.fallback() {
            edits.set(FALLBACK, taken);
        }
    }

    /// Begins to record the answer with this `head`, if it is to be kept: a good one, of the pool
    /// that the request went to first.
    pub(super) fn begin_recording(&mut self, head: &ResponseHead<'_>, now: Instant) {
        let Some(fallen) = self.fallen.as_mut().filter(|fallen| fallen.taken.is_empty()) else {
            return;
        };
        let cache = self.route.as_ref().and_then(|route| route.fallbacks.cache.as_ref());
        let Some((asked, cache)) = fallen.asked.take().zip(cache) else { return };
        let is_http2 = |pool: &Arc<Pool>| pool.wire.protocol == Protocol::Http2;
        let is_framed = self.pool.as_ref().is_some_and(is_http2);
        fallen.recording = Recording::begin(asked, head, is_framed, cache, now);
    }

    /// Whether the body of the answer is to be reported to [`record`](Self::record).
    #[must_use]
    pub fn is_recording(&self) -> bool {
        let is_kept = self.fallen.as_ref().is_some_and(|fallen| fallen.recording.is_some());
        is_kept || self.is_collecting()
    }

    /// Takes in a part of the answer's body. `is_chunked`: with the framing of chunks in it.
    pub fn record(&mut self, part: &[u8], is_chunked: bool) {
        let recording = self.fallen.as_mut().and_then(|fallen| fallen.recording.as_mut());
        if let Some(recording) = recording {
            recording.push(part, is_chunked);
        }
        self.collect(part, is_chunked);
    }

    /// Nothing is kept of the answer.
    pub(super) fn forget_recording(&mut self) {
        if let Some(fallen) = &mut self.fallen {
            fallen.recording = None;
        }
    }

    /// Keeps the answer that was recorded: it is whole.
    pub(super) fn keep_recording(&mut self) {
        if let Some(recording) = self.fallen.as_mut().and_then(|fallen| fallen.recording.take()) {
            recording.keep();
        }
    }
}
