//! The writer: takes lines out of all rings, in batches of whole lines, and gives them on.
//!
//! A thread of its own, since writing may block. It alone touches the sink, so lines of
//! several workers never mix.

use super::ring::Wake;
use super::sink::{Patience, Sink};
use crate::observe::metrics::Counter;
use rtrb::Consumer;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::thread;
use std::time::Duration;

/// Bytes that are taken from a ring at once, unless a line is longer.
const BATCH_BYTES: usize = 64 * 1024;
/// While lines come: how long they are gathered, and so how late a line may be.
const NAP: Duration = Duration::from_millis(10);
/// While none come: bounds how late a line is when a wake-up is missed.
const SLEEP: Duration = Duration::from_millis(250);

/// What the writer is told.
pub(super) enum Command {
    /// Open the file anew.
    Reopen,
    /// End.
    Stop,
    /// Write there from now on.
    Switch(Sink),
}

/// A command, and up to where each ring is to be written before it.
pub(super) struct Order {
    pub(super) command: Command,
    /// Bytes that had gone into each ring when it was given.
    pub(super) marks: Vec<u64>,
}

/// The thread's state.
pub(super) struct Writer {
    rings: Vec<Consumer<u8>>,
    wake: Arc<Wake>,
    commands: Receiver<Order>,
    sink: Sink,
    patience: Patience,
    dropped: Counter,
    batch: Vec<u8>,
    /// Of each ring: what is to be written in this round.
    left: Vec<usize>,
    /// Of each ring: bytes that were taken out of it so far.
    taken: Vec<u64>,
    /// The last batch could not be written: that is said once, not for each.
    is_failing: bool,
}

impl Writer {
    pub(super) fn new(
        rings: Vec<Consumer<u8>>,
        wake: Arc<Wake>,
        commands: Receiver<Order>,
        sink: Sink,
        dropped: Counter,
    ) -> Self {
        let batch = Vec::with_capacity(BATCH_BYTES);
        let (left, taken) = (Vec::with_capacity(rings.len()), vec![0; rings.len()]);
        let patience = Patience::new(Arc::clone(&wake));
        let is_failing = false;
        Self { rings, wake, commands, sink, patience, dropped, batch, left, taken, is_failing }
    }

    /// Writes until it is told to stop.
    pub(super) fn run(mut self) {
        loop {
            self.wake.work();
            // Looked at before the commands: what is there now came before those that follow.
            self.left.clear();
            self.left.extend(self.rings.iter().map(Consumer::slots));
            let order = self.commands.try_recv().ok();
            if let Some(order) = &order {
                self.left.clear();
                let marks = order.marks.iter().zip(&self.taken);
                self.left.extend(marks.map(|(mark, taken)| bytes(mark.saturating_sub(*taken))));
            }
            let has_written = self.drain();
            match order.map(|order| order.command) {
                Some(Command::Stop) => return,
                Some(command) => {
                    self.obey(command);
                    self.wake.is_fulfilled();
                    self.patience.renew();
                }
                None if self.wake.is_expected() => {}
                None if has_written => {
                    self.wake.nap();
                    thread::park_timeout(NAP);
                }
                None => self.sleep(),
            }
        }
    }

    /// Waits for a line, unless one has come meanwhile.
    fn sleep(&self) {
        self.wake.sleep();
        if self.rings.iter().all(|ring| ring.slots() == 0) {
            thread::park_timeout(SLEEP);
        }
    }

    /// Writes what is left to be written, and not what comes meanwhile. Whether there was any.
    fn drain(&mut self) -> bool {
        let mut has_written = false;
        while self.left.iter().any(|left| *left > 0) {
            let rings = self.rings.iter_mut().zip(&mut self.left).zip(&mut self.taken);
            for ((ring, left), taken) in rings.filter(|((_, left), _)| **left > 0) {
                self.batch.clear();
                let count = take(ring, *left, &mut self.batch);
                *left -= count;
                *taken += count as u64;
                has_written = true;
                let written = self.sink.write(&self.batch, &mut self.patience);
                let lines_lost = written.as_ref().map_or_else(|failure| failure.lines_lost, |()| 0);
                self.dropped.inc_by(lines_lost);
                note(&mut self.is_failing, written.map_err(|failure| failure.error));
            }
        }
        has_written
    }

    fn obey(&mut self, command: Command) {
        let outcome = match command {
            Command::Reopen => self.sink.reopen(),
            Command::Switch(sink) => {
                self.sink = sink;
                Ok(true)
            }
            Command::Stop => return,
        };
        match outcome {
            Ok(true) => tracing::info!("access log opened"),
            Ok(false) => tracing::info!("access log is no file that could be opened anew"),
            Err(error) => {
                tracing::error!(%error, "access log cannot be opened, the old one stays in use");
            }
        }
    }
}

/// Says when writing begins to fail, and when it is good again.
fn note(is_failing: &mut bool, result: io::Result<()>) {
    match (&result, *is_failing) {
        (Err(error), false) => tracing::error!(%error, "access log cannot be written"),
        (Ok(()), true) => tracing::info!("access log is written again"),
        _ => {}
    }
    *is_failing = result.is_err();
}

/// A number of bytes that are in memory.
fn bytes(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

/// Moves whole lines from the first `available` bytes of `ring` to `batch`: as many as are a
/// batch, one at least. How many bytes that were. What is available ends with a line.
fn take(ring: &mut Consumer<u8>, available: usize, batch: &mut Vec<u8>) -> usize {
    let Ok(chunk) = ring.read_chunk(available) else { return available };
    let (first, second) = chunk.as_slices();
    let end = |bytes: &[u8]| memchr::memrchr(b'\n', bytes).map(|at| at + 1);
    let within = |bytes: &[u8], most: usize| end(bytes.get(..most).unwrap_or(bytes));
    let rest = BATCH_BYTES.saturating_sub(first.len());
    let count = within(second, rest).map(|count| first.len() + count);
    let count = count.or_else(|| within(first, BATCH_BYTES)).unwrap_or(available);
    let of_first = count.min(first.len());
    batch.extend_from_slice(first.get(..of_first).unwrap_or(first));
    batch.extend_from_slice(second.get(..count - of_first).unwrap_or(second));
    chunk.commit(count);
    count
}

#[cfg(test)]
mod tests {
    use super::*;
    use rtrb::RingBuffer;

    #[test]
    fn batches_are_whole_lines_wherever_the_ring_wraps() {
        for offset in 0..40 {
            let (mut producer, mut consumer) = RingBuffer::new(40);
            producer.push_entire_slice(&vec![0; offset]).unwrap();
            consumer.read_chunk(offset).unwrap().commit_all();
            producer.push_entire_slice(b"one\ntwo two\nthree\n").unwrap();
            let mut batch = Vec::new();
            assert_eq!(take(&mut consumer, 18, &mut batch), 18);
            assert_eq!(batch, b"one\ntwo two\nthree\n");
        }
    }

    #[test]
    fn a_batch_is_not_longer_than_it_may_be_unless_a_line_is() {
        let (mut producer, mut consumer) = RingBuffer::new(4 * BATCH_BYTES);
        let line = |length: usize| [vec![b'x'; length - 1], vec![b'\n']].concat();
        producer.push_entire_slice(&line(BATCH_BYTES - 10)).unwrap();
        producer.push_entire_slice(&line(20)).unwrap();
        producer.push_entire_slice(&line(BATCH_BYTES + 10)).unwrap();
        let mut lengths = Vec::new();
        while consumer.slots() > 0 {
            let mut batch = Vec::new();
            let available = consumer.slots();
            lengths.push(take(&mut consumer, available, &mut batch));
            assert!(batch.ends_with(b"\n"));
        }
        assert_eq!(lengths, [BATCH_BYTES - 10, 20, BATCH_BYTES + 10]);
    }
}
