//! Memory of exchanges: what one that is over leaves to the next on its thread.
//!
//! A request needs a place for its machine, and lists and texts that grow with it. All of it
//! goes from one to the next, empty: nothing that an old request held stays alive here. So a
//! thread that is warm allocates nothing for an ordinary request, and a connection that waits
//! holds none of it. Bounded: [`SPARE_MAX`] on each thread, each of [`BYTES_MAX`] at most.

use super::{Beginning, Exchange, Texts};
use crate::data::pool::Backend;
use crate::data::upstream::AttemptRecord;
use std::cell::RefCell;
use std::sync::Arc;
use std::time::Instant;
use vanne_filters::HeadEdits;

/// Requests whose memory is kept on a thread. More of them at once find none.
const SPARE_MAX: usize = 256;
/// What a request may leave, in bytes: what one of unusual size needed goes back.
const BYTES_MAX: usize = 16 * 1024;

thread_local! {
    #[expect(clippy::vec_box, reason = "a place goes from hand to hand and never moves")]
    static SPARE: RefCell<Vec<Box<Room>>> = const { RefCell::new(Vec::new()) };
}

/// A place for a machine.
#[derive(Default)]
pub(super) struct Room {
    pub(super) exchange: Option<Exchange>,
    /// What the one before has left.
    pub(super) memory: Memory,
}

/// What a request leaves to the next one beside its place: all of it empty.
#[derive(Default)]
pub(super) struct Memory {
    pub(super) attempts: Vec<AttemptRecord>,
    pub(super) tried: Vec<Arc<Backend>>,
    pub(super) texts: Texts,
    pub(super) request_edits: HeadEdits,
    pub(super) response_edits: HeadEdits,
}

impl Memory {
    /// Empties it. Whether it is for the next request: it is not too large.
    fn clear(&mut self) -> bool {
        let Self { attempts, tried, texts, request_edits, response_edits } = self;
        attempts.clear();
        tried.clear();
        texts.clear();
        request_edits.clear();
        response_edits.clear();
        let bytes = attempts.capacity() * size_of::<AttemptRecord>()
            + tried.capacity() * size_of::<Arc<Backend>>()
            + texts.memory_bytes()
            + request_edits.memory_bytes()
            + response_edits.memory_bytes();
        bytes <= BYTES_MAX
    }
}

impl Room {
    /// That of some request of this thread that is over; or a new one.
    pub(super) fn take() -> Box<Self> {
        // A thread that ends has none to give.
        SPARE.try_with(|spare| spare.borrow_mut().pop()).ok().flatten().unwrap_or_default()
    }

    /// Keeps it for the next request unless there are enough.
    fn leave(self: Box<Self>) {
        debug_assert!(self.exchange.is_none(), "a machine is in it");
        let keep = |spare: &RefCell<Vec<Box<Self>>>| {
            let mut spare = spare.borrow_mut();
            if spare.len() < SPARE_MAX {
                spare.push(self);
            }
        };
        // A thread that ends keeps none.
        SPARE.try_with(keep).unwrap_or_default();
    }
}

/// A machine at its place, which it never leaves.
pub struct Running(Box<Room>);

impl Running {
    /// The machine of a request.
    /// Cost: no allocation where one on this thread has ended before.
    #[must_use]
    pub fn begin(with: Beginning) -> Self {
        let mut room = Room::take();
        let memory = std::mem::take(&mut room.memory);
        room.exchange = Some(Exchange::new(memory, with));
        Self(room)
    }

    /// `exchange`, moved to a place.
    #[cfg(test)]
    pub fn of(exchange: Exchange) -> Self {
        Self(Box::new(Room { exchange: Some(exchange), memory: Memory::default() }))
    }

    /// When the request's first byte came.
    #[must_use]
    pub fn started(&self) -> Option<Instant> {
        self.exchange().map(|exchange| exchange.started)
    }

    /// The machine.
    #[must_use]
    pub fn exchange(&self) -> Option<&Exchange> {
        self.0.exchange.as_ref()
    }

    /// The machine, to be driven.
    pub fn exchange_mut(&mut self) -> Option<&mut Exchange> {
        self.0.exchange.as_mut()
    }

    /// Ends the machine; its memory is for the next one.
    pub fn end(self) {
        let Self(mut room) = self;
        let Room { exchange, memory } = &mut *room;
        let Some(over) = exchange else { return };
        over.leave_memory(memory);
        *exchange = None;
        if memory.clear() {
            room.leave();
        }
    }
}

impl Exchange {
    /// Leaves its memory: it is over.
    fn leave_memory(&mut self, to: &mut Memory) {
        self.leave_inspection();
        let Memory { attempts, tried, texts, request_edits, response_edits } = to;
        std::mem::swap(attempts, &mut self.attempts);
        std::mem::swap(tried, &mut self.tried);
        std::mem::swap(texts, &mut self.texts);
        std::mem::swap(request_edits, &mut self.request_edits);
        std::mem::swap(response_edits, &mut self.response_edits);
    }
}
