//! A worker's ring: whole lines of bytes on their way to the writer.
//!
//! One worker writes, one thread reads. A line is copied in as a whole or not at all, so
//! what the reader finds always ends with a line. It does not know what lines say.

use crate::observe::metrics::Counter;
use parking_lot::Mutex;
use rtrb::{Consumer, Producer, RingBuffer};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::thread::Thread;

/// Bytes a worker may be ahead of the writer. At it, lines are dropped and counted. The memory
/// is taken only when it is written to.
pub(super) const RING_BYTES: usize = 2 * 1024 * 1024;
/// A buffer that a long line made larger than this is given back.
const LINE_BYTES_KEPT: usize = 16 * 1024;

/// What the writer does.
const BUSY: u8 = 0;
/// It gathers lines and comes soon by itself.
const NAPPING: u8 = 1;
/// It waits for a line.
const ASLEEP: u8 = 2;

/// How the writer is woken.
pub(super) struct Wake {
    writer: Thread,
    state: AtomicU8,
    /// Commands that the writer has not fulfilled yet.
    expected: AtomicUsize,
}

impl Wake {
    /// Wakes this thread, which is busy.
    pub(super) fn of(writer: Thread) -> Self {
        Self { writer, state: AtomicU8::new(BUSY), expected: AtomicUsize::new(0) }
    }

    /// The writer is about to nap.
    pub(super) fn nap(&self) {
        self.state.store(NAPPING, Ordering::Relaxed);
    }

    /// The writer is about to sleep.
    pub(super) fn sleep(&self) {
        self.state.store(ASLEEP, Ordering::Relaxed);
    }

    /// The writer is at work.
    pub(super) fn work(&self) {
        self.state.store(BUSY, Ordering::Relaxed);
    }

    /// Wakes the writer.
    pub(super) fn wake(&self) {
        self.work();
        self.writer.unpark();
    }

    /// A command is about to be given.
    pub(super) fn expect_one_more(&self) {
        self.expected.fetch_add(1, Ordering::Release);
    }

    /// A command is fulfilled.
    pub(super) fn is_fulfilled(&self) {
        self.expected.fetch_sub(1, Ordering::Release);
    }

    /// Whether somebody waits for the writer: then nothing may hold it up for long.
    pub(super) fn is_expected(&self) -> bool {
        self.expected.load(Ordering::Acquire) > 0
    }

    /// A line has come: who sleeps is woken, who naps only when the ring fills up.
    /// Races: the writer may go to sleep just now; it looks after itself again soon.
    fn note_line(&self, is_filling: bool) {
        let state = self.state.load(Ordering::Relaxed);
        if state == ASLEEP || (state == NAPPING && is_filling) {
            self.wake();
        }
    }
}

/// A new ring.
pub(super) fn new() -> (Producer<u8>, Consumer<u8>) {
    RingBuffer::new(RING_BYTES)
}

/// A worker's end: takes finished lines.
#[derive(Clone)]
pub struct LogRing {
    pen: Arc<Mutex<Pen>>,
    wake: Arc<Wake>,
    dropped: Counter,
}

/// What a line is written with.
struct Pen {
    ring: Producer<u8>,
    /// The line that is being written; kept, so that the next one needs no new memory.
    line: Vec<u8>,
    /// Bytes that went into the ring so far.
    pushed: u64,
}

impl LogRing {
    pub(super) fn new(ring: Producer<u8>, wake: Arc<Wake>, dropped: Counter) -> Self {
        Self { pen: Arc::new(Mutex::new(Pen { ring, line: Vec::new(), pushed: 0 })), wake, dropped }
    }

    /// Bytes that went into the ring so far.
    pub(super) fn mark(&self) -> u64 {
        self.pen.lock().pushed
    }

    /// Has `build` append a line, without a newline in it, and hands it to the writer; drops
    /// and counts it when the ring is full.
    ///
    /// Cost: a lock that only this worker takes, one copy of the line; allocates only when a
    /// line is longer than those before. A futex wake only if the writer sleeps.
    pub fn write(&self, build: impl FnOnce(&mut Vec<u8>)) {
        let mut pen = self.pen.lock();
        let Pen { ring, line, pushed } = &mut *pen;
        // What a panic may have left.
        line.clear();
        build(line);
        debug_assert!(!line.contains(&b'\n'), "a newline in {line:?}");
        line.push(b'\n');
        match ring.push_entire_slice(line) {
            Ok(()) => *pushed += line.len() as u64,
            Err(_) => self.dropped.inc(),
        }
        // What the writer has taken is looked up only when it matters.
        let is_little = |slots| slots < RING_BYTES / 2;
        let is_filling = is_little(ring.cached_slots()) && is_little(ring.slots());
        line.clear();
        line.shrink_to(LINE_BYTES_KEPT);
        drop(pen);
        self.wake.note_line(is_filling);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_ring_drops_whole_lines_and_counts_them() {
        let dropped = Counter::default();
        let (producer, mut consumer) = RingBuffer::new(10);
        let wake = Arc::new(Wake::of(std::thread::current()));
        let ring = LogRing::new(producer, wake, dropped.clone());
        for text in ["abc", "def", "ghi", "j"] {
            ring.write(|line| line.extend_from_slice(text.as_bytes()));
        }
        assert_eq!(dropped.get(), 1);
        let chunk = consumer.read_chunk(consumer.slots()).unwrap();
        assert_eq!(chunk.into_iter().collect::<Vec<_>>(), b"abc\ndef\nj\n");
    }
}
