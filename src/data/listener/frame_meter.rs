//! 1 · What an HTTP/2 client's frames cost, against what they bring.
//!
//! Some frames cost work and bring nobody anything, and a client can send them as fast as its
//! line carries them: SETTINGS and PING, which must be answered, updates of windows, empty
//! DATA, requests that it resets at once (CVE-2019-9511 to 9518, CVE-2023-44487). The meter
//! reads the heads of frames as bytes pass (RFC 9113 §4.1), counts these frames in two
//! budgets, and says when one is used up. Time gives both back; so does what shows that the
//! client works: requests, answers, bytes that it takes.
//!
//! It checks nothing and keeps nothing but a head. What a connection would have to keep is
//! bounded by the `h2` crate: CONTINUATION of one head, lists of fields, streams that the
//! client makes us reset (CVE-2024-27316, CVE-2025-8671).

use crate::wire::preface::PREFACE;
use std::time::Instant;

const FRAME_HEAD_BYTES: usize = 9;

// Kinds of frames and their flags (RFC 9113 §6).
const DATA: u8 = 0x0;
const HEADERS: u8 = 0x1;
const RST_STREAM: u8 = 0x3;
const SETTINGS: u8 = 0x4;
const END_STREAM: u8 = 0x1;
const ACK: u8 = 0x1;

/// Frames that a client may send for nothing at once, and each second; and those that it may
/// have earned before: 32 MB may be on their way to it, and two windows be updated for each 8 KB.
const IDLE_FRAMES: Limit = Limit { max: 1000, per_second: 100, saved_max: 8192 };
/// SETTINGS may have every stream's window computed anew.
const SETTINGS_COST: u64 = 10;
/// Frames that may come with each request: its priority, its windows.
const REQUEST_EARNS: u64 = 4;
/// So many bytes that the client takes earn it a frame: who updates two windows for each DATA
/// frame may do so for frames of 64 bytes, and the answer to a PING does not pay for the next.
const BYTES_PER_FRAME: u64 = 32;
/// Requests that a client may reset before they are answered, for each stream that it may have
/// open: who leaves a page resets all of them.
const RESETS_PER_STREAM: u64 = 4;
/// The same each second.
const RESETS_PER_SECOND: u64 = 50;
/// A listener that allows fewer streams allows resets as if it were so many.
const STREAMS_MIN: u64 = 100;

/// What a client sends too much of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flood {
    /// Frames that bring nothing.
    Frames,
    /// Resets of requests that were not answered.
    Resets,
    /// What the library finds to be too much.
    Library,
}

impl Flood {
    /// All there are, in the order in which they are counted.
    pub const ALL: [Self; 3] = [Self::Frames, Self::Resets, Self::Library];

    /// As metrics and logs name it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Frames => "frames",
            Self::Resets => "resets",
            Self::Library => "library",
        }
    }
}

/// How much of something is too much.
#[derive(Clone, Copy, Debug)]
struct Limit {
    max: u64,
    /// How much of it time gives back.
    per_second: u64,
    /// How much more work may earn than was spent.
    saved_max: u64,
}

/// A leaky bucket: what was spent, less what time and work gave back.
#[derive(Debug)]
struct Budget {
    limit: Limit,
    spent: u64,
    /// What was earned before it was spent; 0 unless `spent` is.
    saved: u64,
    since: Instant,
}

impl Budget {
    fn new(limit: Limit, now: Instant) -> Self {
        Self { limit, spent: 0, saved: 0, since: now }
    }

    fn spend(&mut self, count: u64) {
        let missing = count.saturating_sub(self.saved);
        self.saved -= count - missing;
        self.spent = self.spent.saturating_add(missing);
    }

    fn earn(&mut self, count: u64) {
        let left = count.saturating_sub(self.spent);
        self.spent -= count - left;
        self.saved = self.saved.saturating_add(left).min(self.limit.saved_max);
    }

    /// Gives back what is due at `now`; nothing until a whole one is.
    fn pass_time(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.since).as_millis();
        let passed = u64::try_from(passed).unwrap_or(u64::MAX);
        let due = passed.saturating_mul(self.limit.per_second) / 1000;
        if due > 0 {
            self.spent = self.spent.saturating_sub(due);
            self.since = now;
        }
    }

    fn is_exceeded(&self) -> bool {
        self.spent > self.limit.max
    }
}

/// Follows what one client sends, from the preface on.
#[derive(Debug)]
pub struct FrameMeter {
    idle: Budget,
    resets: Budget,
    /// The head of the frame that begins, as far as it is here.
    head: [u8; FRAME_HEAD_BYTES],
    head_bytes: usize,
    /// Bytes to pass over before the next head.
    pass: usize,
    /// Bytes written that have not earned a frame yet.
    written: u64,
    found: Option<Flood>,
}

impl FrameMeter {
    /// For a client that may have `streams_max` streams open at once and has sent nothing.
    #[must_use]
    pub fn new(streams_max: u32, now: Instant) -> Self {
        let max = u64::from(streams_max).max(STREAMS_MIN) * RESETS_PER_STREAM;
        let resets = Limit { max, per_second: RESETS_PER_SECOND, saved_max: 0 };
        Self {
            idle: Budget::new(IDLE_FRAMES, now),
            resets: Budget::new(resets, now),
            head: [0; FRAME_HEAD_BYTES],
            head_bytes: 0,
            pass: PREFACE.len(),
            written: 0,
            found: None,
        }
    }

    /// The client's next `bytes`, read at `now`, however they are split.
    /// Cost: O(frames); what is in them is passed over.
    pub fn read(&mut self, mut bytes: &[u8], now: Instant) {
        self.idle.pass_time(now);
        self.resets.pass_time(now);
        while !bytes.is_empty() {
            let passed = self.pass.min(bytes.len());
            self.pass -= passed;
            let taken = self.take_head(bytes.get(passed..).unwrap_or_default());
            bytes = bytes.get(passed + taken..).unwrap_or_default();
        }
    }

    /// So many bytes went to the client.
    pub fn wrote(&mut self, count: usize) {
        self.written += count as u64;
        self.idle.earn(self.written / BYTES_PER_FRAME);
        self.written %= BYTES_PER_FRAME;
    }

    /// A request was answered: whoever resets it now costs nothing.
    pub fn answered(&mut self) {
        self.resets.earn(1);
    }

    /// What there was too much of, once there was.
    #[must_use]
    pub fn found(&self) -> Option<Flood> {
        self.found
    }

    /// Takes what `bytes` have of a frame's head: how many bytes that is.
    fn take_head(&mut self, bytes: &[u8]) -> usize {
        let missing = self.head.iter_mut().skip(self.head_bytes);
        let taken = missing.zip(bytes).map(|(to, from)| *to = *from).count();
        self.head_bytes += taken;
        if self.head_bytes == FRAME_HEAD_BYTES {
            self.head_bytes = 0;
            self.count();
        }
        taken
    }

    /// Counts the frame whose head is here.
    fn count(&mut self) {
        let [high, middle, low, kind, flags, ..] = self.head;
        let length = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
        self.pass = length;
        match kind {
            DATA if length > 0 || flags & END_STREAM != 0 => {}
            HEADERS => self.idle.earn(REQUEST_EARNS),
            RST_STREAM => self.resets.spend(1),
            SETTINGS if flags & ACK == 0 => self.idle.spend(SETTINGS_COST),
            _ => self.idle.spend(1),
        }
        if self.found.is_none() {
            self.found = match (self.idle.is_exceeded(), self.resets.is_exceeded()) {
                (true, _) => Some(Flood::Frames),
                (false, true) => Some(Flood::Resets),
                (false, false) => None,
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::clock;
    use proptest::prelude::*;
    use std::time::Duration;

    const PRIORITY: u8 = 0x2;
    const PING: u8 = 0x6;
    const WINDOW_UPDATE: u8 = 0x8;
    const CONTINUATION: u8 = 0x9;

    fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let mut frame = length[1..].to_vec();
        frame.extend([kind, flags, 0, 0, 0, 1]);
        frame.extend(payload);
        frame
    }

    fn begun(now: Instant) -> FrameMeter {
        let mut meter = FrameMeter::new(100, now);
        meter.read(PREFACE, now);
        meter
    }

    /// How many of `bytes` a client may send in no time.
    fn allowed(bytes: &[u8]) -> Option<usize> {
        let now = clock::now();
        let mut meter = begun(now);
        (0..20_000).find(|_| {
            meter.read(bytes, now);
            meter.found().is_some()
        })
    }

    #[test]
    fn frames_for_nothing_are_too_many_at_some_time() {
        for (name, frame, expected) in [
            ("ping", frame(PING, 0, &[0; 8]), 1000),
            ("an answer to no ping", frame(PING, ACK, &[0; 8]), 1000),
            ("window", frame(WINDOW_UPDATE, 0, &[0, 0, 0, 1]), 1000),
            ("priority", frame(PRIORITY, 0, &[0; 5]), 1000),
            ("continuation", frame(CONTINUATION, 0, b"some"), 1000),
            ("unknown", frame(0xfa, 0, b"what is this?"), 1000),
            ("empty data", frame(DATA, 0, b""), 1000),
            ("settings", frame(SETTINGS, 0, &[0; 6]), 100),
            ("an answer to no settings", frame(SETTINGS, ACK, b""), 1000),
            ("reset", frame(RST_STREAM, 0, &[0, 0, 0, 8]), 400),
        ] {
            assert_eq!(allowed(&frame), Some(expected), "{name}");
        }
    }

    #[test]
    fn what_brings_something_is_never_too_much() {
        for frame in [
            frame(DATA, 0, b"x"),
            frame(DATA, END_STREAM, b""),
            frame(HEADERS, END_STREAM, b"head"),
            [frame(HEADERS, 0, b"head"), frame(WINDOW_UPDATE, 0, &[0, 0, 0, 1])].concat(),
        ] {
            assert_eq!(allowed(&frame), None);
        }
    }

    #[test]
    fn what_is_too_much_is_named() {
        let now = clock::now();
        let mut meter = begun(now);
        meter.read(&frame(RST_STREAM, 0, &[0; 4]).repeat(401), now);
        meter.read(&frame(PING, 0, &[0; 8]).repeat(2000), now);
        assert_eq!(meter.found(), Some(Flood::Resets));
        let mut meter = begun(now);
        meter.read(&frame(PING, 0, &[0; 8]).repeat(1001), now);
        assert_eq!(meter.found(), Some(Flood::Frames));
    }

    #[test]
    fn time_gives_back_what_was_spent() {
        let mut now = clock::now();
        let mut meter = begun(now);
        for _ in 0..100 {
            meter.read(&frame(RST_STREAM, 0, &[0; 4]).repeat(5), now);
            meter.read(&frame(PING, 0, &[0; 8]).repeat(10), now);
            now += Duration::from_millis(100);
        }
        assert_eq!((meter.found(), meter.idle.spent, meter.resets.spent), (None, 10, 5));
        meter.read(b"", now);
        assert_eq!((meter.idle.spent, meter.resets.spent), (0, 0));
        meter.read(&frame(PING, 0, &[0; 8]).repeat(1001), now);
        assert_eq!(meter.found(), Some(Flood::Frames));
    }

    #[test]
    fn a_client_that_takes_what_it_asked_for_may_update_its_windows() {
        let now = clock::now();
        let mut meter = begun(now);
        for _ in 0..10_000 {
            meter.wrote(64);
            meter.read(&frame(WINDOW_UPDATE, 0, &[0; 4]).repeat(2), now);
        }
        // It may have been sent long before it says what it took.
        meter.wrote(4 * 1024 * 1024);
        meter.read(&frame(WINDOW_UPDATE, 0, &[0; 4]).repeat(8192), now);
        assert_eq!((meter.found(), meter.idle.spent), (None, 0));
        // The answers to PING are bytes too.
        for _ in 0..10_000 {
            meter.wrote(FRAME_HEAD_BYTES + 8);
            meter.read(&frame(PING, 0, &[0; 8]), now);
        }
        assert_eq!(meter.found(), Some(Flood::Frames));
    }

    #[test]
    fn a_reset_of_what_was_answered_costs_nothing() {
        let now = clock::now();
        let mut meter = begun(now);
        for _ in 0..10_000 {
            meter.read(&frame(HEADERS, 0, b"head"), now);
            meter.read(&frame(RST_STREAM, 0, &[0; 4]), now);
            meter.answered();
        }
        assert_eq!(meter.found(), None);
    }

    #[test]
    fn who_may_have_more_streams_may_reset_more() {
        let now = clock::now();
        for (streams_max, resets) in [(1, 400), (100, 400), (1000, 4000)] {
            let mut meter = FrameMeter::new(streams_max, now);
            meter.read(PREFACE, now);
            meter.read(&frame(RST_STREAM, 0, &[0; 4]).repeat(resets), now);
            assert_eq!(meter.found(), None, "{streams_max}");
            meter.read(&frame(RST_STREAM, 0, &[0; 4]), now);
            assert_eq!(meter.found(), Some(Flood::Resets), "{streams_max}");
        }
    }

    /// A frame of any kind, short or not.
    fn any_frame() -> impl Strategy<Value = Vec<u8>> {
        (0_u8..12, any::<u8>(), 0_usize..300)
            .prop_map(|(kind, flags, length)| frame(kind, flags, &vec![4; length]))
    }

    proptest! {
        #[test]
        fn any_split_of_the_bytes_finds_the_same(
            frames in proptest::collection::vec(any_frame(), 0..40),
            times in 1_usize..60,
            cuts in proptest::collection::vec(1_usize..2000, 1..50),
        ) {
            let now = clock::now();
            let sent = [PREFACE, frames.concat().repeat(times).as_slice()].concat();
            let mut whole = FrameMeter::new(100, now);
            whole.read(&sent, now);
            let mut split = FrameMeter::new(100, now);
            let (mut rest, mut cuts) = (sent.as_slice(), cuts.iter().cycle());
            while !rest.is_empty() {
                let (part, left) = rest.split_at(rest.len().min(*cuts.next().unwrap()));
                split.read(part, now);
                rest = left;
            }
            prop_assert_eq!(whole.found(), split.found());
            prop_assert_eq!((whole.idle.spent, whole.idle.saved), (split.idle.spent, split.idle.saved));
            prop_assert_eq!(whole.resets.spent, split.resets.spent);
        }

        #[test]
        fn any_bytes_are_followed(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
            let now = clock::now();
            let mut meter = FrameMeter::new(100, now);
            meter.read(&bytes, now);
            prop_assert!(meter.head_bytes < FRAME_HEAD_BYTES);
        }
    }
}
