//! Exchange: one request with its answer, as a machine without I/O.
//!
//! An engine moves bytes and reports what happened as an [`Event`], with the time;
//! [`Exchange::step`] decides and says what to do as an [`Action`]. So there is one set
//! of decisions for every engine, and the simulation drives the same machine as the
//! sockets do. The stages (admit, route, filters, pick, outcome, refusal) are plain
//! functions called from here in the order of the request.
//!
//! The engine asks [`Exchange::deadline`] after each step and reports
//! [`Event::Deadline`] when that time has come.

mod admission;
mod answer;
mod attempts;
mod deadline;
mod event;
mod events;
mod expecting;
mod facts;
mod falling_back;
mod held;
mod identifying;
mod inspecting;
mod inspecting_answer;
mod kept_head;
mod limiting;
mod memory;
mod own;
mod shedding;
mod stickiness;
mod view;
mod why;

pub use answer::Answer;
pub use deadline::Waiting;
pub use event::{Action, Event};
pub use facts::{Call, Facts, Texts};
pub use inspecting::Inspected;
pub use memory::Running;

use super::generation::Tunnel;
use super::grpc;
use super::listener::admit::is_about_websocket;
use super::listener::client::Claim;
use super::listener::{Client, LocalListener};
use super::outcome::Outcome;
use super::pool::{Backend, Pool, Ticket, sticky::Seen};
use super::refusal::Refusal;
use super::snapshot::{LocalSnapshot, Route};
use super::upstream::{AttemptRecord, Fault, forward};
use crate::types::moment::Moment;
use crate::types::request_id::RequestId;
use falling_back::Fallen;
use held::Held;
use http::HeaderValue;
use identifying::Identified;
use inspecting::Inspecting;
use limiting::Limits;
use memory::Memory;
use shedding::Seats;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Instant, SystemTime};
use vanne_filters::{HeadEdits, ResponseHead, Version};

/// How far the request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Its head is being read.
    Head,
    /// Its body is read ahead.
    Reading,
    /// An effect runs.
    Suspended,
    /// It waits for a place in a backend.
    Queued,
    /// A connection is being made.
    Connecting,
    /// Request and answer are on their way.
    Streaming,
    /// Upgraded: bytes both ways.
    Tunnel,
    /// Ended; an answer of ours may still be on its way.
    Ended,
}

/// One request with its answer.
pub struct Exchange {
    /// Its id.
    pub id: RequestId,
    /// When its first byte came.
    pub started: Instant,
    /// The same on the wall clock.
    pub started_wall: SystemTime,
    /// Who is at the other end of its connection.
    pub client: Arc<Client>,
    /// What that one says of who sent it, if it is believed.
    pub claim: Option<Claim>,
    /// Where it came in.
    pub listener: LocalListener,
    /// Its attempts, in order.
    pub attempts: Vec<AttemptRecord>,
    /// Until the route is found: then the route is all that is needed.
    snapshot: Option<LocalSnapshot>,
    tunnel: Option<Tunnel>,
    phase: Phase,
    facts: Option<Facts>,
    texts: Texts,
    route: Option<Arc<Route>>,
    /// Where its attempts go; set with the route.
    pool: Option<Arc<Pool>>,
    /// What chooses its backend, where that matters.
    key: u64,
    /// What it says of its session, where clients are sticky.
    seen: Option<Seen>,
    /// A cookie that its client is to get.
    cookie: Option<HeaderValue>,
    /// Its place in the queue, while it waits there.
    ticket: Option<Arc<Ticket>>,
    /// Backends that could not take the last attempt, with the reasons.
    left_out: Option<Arc<str>>,
    /// Who sends it.
    identified: Identified,
    /// What rate limits say of it.
    limits: Limits,
    held: Option<Box<Held>>,
    /// What its firewall says of it.
    inspecting: Inspecting,
    /// What it counts for.
    seats: Seats,
    /// What it needs to fall back to something, and what became of that.
    fallen: Option<Box<Fallen>>,
    /// The client is told why it gets its answer.
    explains: bool,
    is_websocket: bool,
    /// A copy went to the route's mirror.
    is_mirrored: AtomicBool,
    request_done: bool,
    /// The answer was whole before the request was.
    is_answered: bool,
    /// What came of the request is kept and can be sent once more.
    is_kept: bool,
    /// Status of the final answer: the backend's once its head came, or ours.
    status: Option<u16>,
    is_head_sent: bool,
    refusal: Option<Refusal>,
    tried: Vec<Arc<Backend>>,
    retries_left: u8,
    replays_left: u8,
    stale_pauses: u8,
    waiting: Waiting,
    progress: Instant,
    request_edits: HeadEdits,
    response_edits: HeadEdits,
}

/// What a request begins with.
pub struct Beginning {
    /// The config that holds until its route is found.
    pub snapshot: LocalSnapshot,
    /// Where it came in.
    pub listener: LocalListener,
    /// Who is at the other end of its connection.
    pub client: Arc<Client>,
    /// Its id.
    pub id: RequestId,
    /// When its first byte came.
    pub now: Instant,
    /// The same on the wall clock.
    pub wall: SystemTime,
}

/// Times one may be sent again because a kept connection turned out closed.
const REPLAYS_MAX: u8 = 3;

impl Exchange {
    /// A request by itself, for tests.
    #[cfg(test)]
    pub(crate) fn begin(with: Beginning) -> Self {
        Self::new(Memory::default(), with)
    }

    /// A request, with the memory of another.
    fn new(memory: Memory, with: Beginning) -> Self {
        let Beginning { snapshot, listener, client, id, now, wall } = with;
        let Memory { attempts, tried, texts, request_edits, response_edits } = memory;
        Self {
            id,
            started: now,
            started_wall: wall,
            client,
            claim: None,
            listener,
            attempts,
            snapshot: Some(snapshot),
            tunnel: None,
            phase: Phase::Head,
            facts: None,
            texts,
            route: None,
            pool: None,
            key: 0,
            seen: None,
            cookie: None,
            ticket: None,
            left_out: None,
            identified: Identified::default(),
            limits: Limits::default(),
            held: None,
            inspecting: Inspecting::default(),
            seats: Seats::default(),
            fallen: None,
            explains: false,
            is_websocket: false,
            is_mirrored: AtomicBool::new(false),
            request_done: false,
            is_answered: false,
            is_kept: true,
            status: None,
            is_head_sent: false,
            refusal: None,
            tried,
            retries_left: 0,
            replays_left: REPLAYS_MAX,
            stale_pauses: 0,
            waiting: Waiting::Client,
            progress: now,
            request_edits,
            response_edits,
        }
    }

    /// Takes one event and decides.
    /// Cost: no lock; no allocation in an ordinary request.
    pub fn step(&mut self, event: Event<'_>, now: Instant) -> Action {
        if self.phase == Phase::Ended {
            return self.step_after_end(&event, now);
        }
        match event {
            Event::Request { head, has_body } => self.on_request(&head, has_body, now),
            Event::Stillborn { head, refusal } => {
                self.note_head(&head, now);
                self.refuse(refusal, now)
            }
            Event::Resumed => self.on_resumed(now),
            Event::Body { body, end } => self.on_body(body, end, now),
            Event::Connected { is_reused } => self.on_connected(is_reused, now),
            Event::RequestBody { is_last, is_kept } => {
                self.note_body(is_last, now);
                self.is_kept = is_kept;
                self.progress = now;
                Action::Continue
            }
            Event::Response(head) => self.on_response(&head, now),
            Event::ResponseBody => {
                self.progress = now;
                match self.is_held_back() {
                    true => self.on_held_back(false, now),
                    false => Action::Continue,
                }
            }
            Event::ResponseTrailers(fields) => {
                self.progress = now;
                self.note_call_status(fields);
                Action::Continue
            }
            Event::Answered => self.on_whole_answer(now),
            Event::Failed(fault) => self.on_fault(fault, now),
            Event::Parked(waiting) => self.on_parked(waiting, now),
            Event::Deadline => self.on_deadline(now),
            Event::Aborted(refusal) => self.refuse(refusal, now),
            Event::Ended => self.on_ended(now),
        }
    }

    /// After the end only the client's slowness matters: an answer of ours is still on
    /// its way, and must not be for ever.
    fn step_after_end(&mut self, event: &Event<'_>, now: Instant) -> Action {
        match event {
            Event::Parked(waiting) => self.on_parked(*waiting, now),
            Event::Deadline if now < self.deadline() => Action::Continue,
            Event::Deadline | Event::Aborted(_) | Event::Failed(_) => Action::Cut,
            Event::Ended => Action::Done,
            _ => Action::Continue,
        }
    }

    /// Stages 8 and 9: the answer's head, on its way back.
    fn on_response(&mut self, head: &ResponseHead<'_>, now: Instant) -> Action {
        self.progress = now;
        self.response_edits.clear();
        let is_switch = head.status == 101;
        if is_switch && !(self.is_websocket && is_about_websocket(head.fields)) {
            return self.on_fault(Fault::BackendMalformed, now);
        }
        if self.retries_status(head.status, now) {
            return self.try_again(Outcome::of_status(head.status), None, now);
        }
        let version = self.facts.as_ref().map_or(Version::Http11, |facts| facts.version);
        let mut edits = std::mem::take(&mut self.response_edits);
        forward::response_edits(head, version, self.id, &mut edits);
        self.tell_fallback(&mut edits);
        self.tell_limits(&mut edits);
        self.edit_answer(head, &mut edits);
        self.response_edits = edits;
        if (100..200).contains(&head.status) && !is_switch {
            if let Some(attempt) = self.attempts.last_mut() {
                attempt.is_heard = true;
            }
            return Action::Continue;
        }
        self.status = Some(head.status);
        self.note_final(head.fields, now);
        self.capture_answer(head.fields);
        if let Some(attempt) = self.attempts.last_mut() {
            attempt.first_byte = Some(now);
            let time = now.duration_since(attempt.began);
            attempt.backend().state.latency.observe(time, Moment::of(now));
            if attempt.is_probe() && (is_switch || events::is_endless(head)) {
                attempt.succeed_early(now);
            }
            if let Some(pool) = &self.pool {
                pool.metrics.first_byte.observe(time);
            }
        }
        if let Some(action) = self.inspect_answer(head, now) {
            return action;
        }
        self.is_head_sent = !self.is_held_back();
        self.begin_recording(head, now);
        self.stick();
        let mut edits = std::mem::take(&mut self.response_edits);
        self.explain(&mut edits, now);
        self.response_edits = edits;
        if is_switch {
            self.phase = Phase::Tunnel;
            self.tunnel = self.route.as_ref().map(|route| Tunnel::begin(&route.generation));
            return Action::Tunnel;
        }
        Action::Continue
    }

    fn on_ended(&mut self, now: Instant) -> Action {
        if self.is_held_back() {
            self.end_answered(now);
            return self.on_held_back(true, now);
        }
        match (self.phase, self.status) {
            (Phase::Streaming | Phase::Tunnel, Some(_)) => {
                self.end_answered(now);
                self.end_well()
            }
            _ => self.refuse(Refusal::Internal, now),
        }
    }

    /// Ends the attempt whose backend has answered.
    fn end_answered(&mut self, now: Instant) {
        let of_call = self.call_status().map(Outcome::of_call);
        if let Some(outcome) = of_call.or_else(|| self.status.map(Outcome::of_status)) {
            self.end_attempt(outcome, None, now);
        }
    }

    /// Nothing is left to be done but to write what is there.
    fn end_well(&mut self) -> Action {
        self.keep_recording();
        self.phase = Phase::Ended;
        Action::Done
    }

    /// Ends the request for this reason: by a fallback, an answer of ours, or else by cutting it.
    fn refuse(&mut self, refusal: Refusal, now: Instant) -> Action {
        self.drop_held_back();
        self.leave_limits(now);
        self.end_attempt(Outcome::of_refusal(refusal), Some(refusal), now);
        if let Some(action) = self.fall_back(refusal, now) {
            return action;
        }
        self.refusal = Some(refusal);
        drop(self.leave_queue(now));
        if self.is_head_sent || refusal == Refusal::ClientGone {
            let status = self.status.filter(|_| self.is_head_sent);
            self.end_with(status.unwrap_or(refusal.row().status), now);
            return Action::Cut;
        }
        let answer = self.answer_to(refusal, now);
        match self.facts.as_mut().and_then(|facts| facts.call.as_mut()) {
            None => Action::Answer(answer),
            Some(call) => {
                call.status = Some(grpc::of_refusal(refusal));
                self.status = Some(200);
                Action::Answer(answer.to_call(grpc::of_refusal(refusal)))
            }
        }
    }
}

#[cfg(test)]
mod tests;
