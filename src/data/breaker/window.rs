//! Window: the last calls of a circuit, exactly, without a lock.
//!
//! A ring of slots. Who ends a call takes the next slot, puts the call there, and adds to the
//! counts what the call before it there and this one differ by: so the counts are those of
//! the slots, whoever comes between. What is compared with the rules at each call is these
//! counts; only where they would open the circuit, the slots are looked at one by one.
//!
//! The next slot and the counts are one word, so that a call takes a cache line from the
//! others once. A good call among good ones takes none: it would leave all as it is.

use super::trip::{Cause, Row, Rules, Sums};
use crate::data::outcome::Outcome;
use crate::types::moment::Moment;
use crossbeam_utils::CachePadded;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The last calls of one epoch of a circuit.
#[derive(Debug)]
pub struct CallWindow {
    /// The epoch: only calls that began in it count.
    pub epoch: u64,
    /// What they are judged by.
    pub rules: Arc<Rules>,
    /// A [`Word`].
    word: CachePadded<AtomicU64>,
    /// Failures in a row in the upper half, those without a connection in the lower.
    row: CachePadded<AtomicU64>,
    slots: Box<[AtomicU64]>,
}

/// The slots in short: from the lowest bits on the calls that were put in, 22 bits that go
/// back by some rounds before they run over; then what is in the slots, 14 bits each: other
/// than good ones, slow ones, failures. A call out of its slot before it was counted may take
/// from the count above it, until it is.
#[derive(Clone, Copy, Debug)]
struct Word(u64);

const COUNT: u32 = 14;
const OTHER_SHIFT: u32 = 22;
const SLOW_SHIFT: u32 = OTHER_SHIFT + COUNT;
const FAILED_SHIFT: u32 = SLOW_SHIFT + COUNT;
/// Slots that a count has room for.
const SLOTS_MAX: usize = (1 << COUNT) - 1;
/// So many calls are put in before the number goes back.
const TURN: u64 = 1 << (OTHER_SHIFT - 1);

impl Word {
    fn next(self) -> u64 {
        self.0 & ((1 << OTHER_SHIFT) - 1)
    }

    /// The count from this bit on.
    fn count(self, shift: u32) -> u32 {
        u32::try_from(self.0 >> shift & SLOTS_MAX as u64).unwrap_or(u32::MAX)
    }

    /// Whether so many slots all have good calls.
    fn is_good(self, slots: u64) -> bool {
        self.0 >> OTHER_SHIFT == 0 && self.next() >= slots
    }
}

/// A call as a slot keeps it: when it ended in the upper bits, if age counts; then what it was.
/// Zero: none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Slot(u64);

const SLOW: u64 = 0x80;
const FAILED: u64 = 0x40;
const UNCONNECTED: u64 = 0x20;
const OUTCOME: u64 = 0x1f;
const GOOD: u64 = Outcome::Success.index() as u64 + 1;
const TIME_SHIFT: u32 = 8;
const HALF: u32 = 32;

impl Slot {
    fn new(outcome: Outcome, is_slow: bool, rules: &Rules, now: Moment) -> Self {
        let is_failed = rules.counts.holds(outcome);
        let is_unconnected =
            is_failed && matches!(outcome, Outcome::Failure(category) if category.is_connect());
        let flags = [(is_slow, SLOW), (is_failed, FAILED), (is_unconnected, UNCONNECTED)];
        let flags =
            flags.into_iter().filter(|(holds, _)| *holds).fold(0, |all, (_, bit)| all | bit);
        let time = if rules.age_max.is_some() { now.as_micros() << TIME_SHIFT } else { 0 };
        Self(time | flags | (outcome.index() as u64 + 1))
    }

    fn has(self, flag: u64) -> bool {
        self.0 & flag != 0
    }

    fn ended(self) -> Moment {
        Moment::from_micros(self.0 >> TIME_SHIFT)
    }

    /// What it was; `None` for an empty slot.
    fn outcome(self) -> Option<Outcome> {
        let number = usize::try_from(self.0 & OUTCOME).ok()?.checked_sub(1)?;
        Outcome::ALL.get(number).copied()
    }

    /// What it adds to the counts of a [`Word`].
    fn unit(self) -> u64 {
        let is_other = self.0 != 0 && self.0 & (OUTCOME | FAILED | SLOW) != GOOD;
        (u64::from(self.has(FAILED)) << FAILED_SHIFT)
            | (u64::from(self.has(SLOW)) << SLOW_SHIFT)
            | (u64::from(is_other) << OTHER_SHIFT)
    }
}

/// Both halves of a number.
#[expect(clippy::cast_possible_truncation, reason = "two halves of a number")]
const fn halves(number: u64) -> (u32, u32) {
    ((number >> HALF) as u32, number as u32)
}

impl CallWindow {
    /// An empty window.
    #[must_use]
    pub fn new(rules: Arc<Rules>, epoch: u64) -> Self {
        let slots = (0..rules.calls_max.clamp(1, SLOTS_MAX)).map(|_| AtomicU64::new(0)).collect();
        Self { epoch, rules, word: CachePadded::default(), row: CachePadded::default(), slots }
    }

    /// The same calls by other rules, as many of the last as fit in; where age counts only now,
    /// nobody knows theirs, and they are forgotten. What ends just now may be lost.
    #[must_use]
    pub fn with(&self, rules: Arc<Rules>) -> Self {
        let new = Self::new(rules, self.epoch);
        for slot in self.in_order() {
            if let Some(outcome) = slot.outcome() {
                new.push(outcome, slot.has(SLOW), slot.ended());
            }
        }
        new.row.store(self.row.load(Ordering::Relaxed), Ordering::Relaxed);
        new
    }

    /// Takes in a call that ended at `now`. Gives why that opens the circuit, if it does, and
    /// whether it would by calls alone that found nobody who takes connections.
    /// Cost: no write for a good call among good ones where age does not count; else an atomic
    /// addition, more where it is of another kind than the call it follows; looks at every slot
    /// where the counts are over what the rules allow.
    /// `races`: each call counts once; which of two that end together is later, chance says.
    pub fn note(&self, outcome: Outcome, is_slow: bool, now: Moment) -> Option<(Cause, bool)> {
        let (word, row) = self.push(outcome, is_slow, now);
        let calls = word.next().min(self.slots.len() as u64);
        let bound = Sums {
            calls: u32::try_from(calls).unwrap_or(u32::MAX),
            failures: word.count(FAILED_SHIFT),
            unconnected: 0,
            slow: word.count(SLOW_SHIFT),
        };
        self.may_trip(&bound, row).then_some(())?;
        let sums = self.sums(now);
        let cause = self.rules.trips(&sums, row)?;
        Some((cause, self.rules.is_gone(&sums, row)))
    }

    /// Puts a call in; gives how the window is then, and failures in a row.
    fn push(&self, outcome: Outcome, is_slow: bool, now: Moment) -> (Word, Row) {
        let slot = Slot::new(outcome, is_slow, &self.rules, now);
        let row = in_a_row(&self.row, slot);
        let slots = self.slots.len() as u64;
        let seen = Word(self.word.load(Ordering::Acquire));
        if slot.0 == GOOD && seen.is_good(slots) {
            return (seen, row);
        }
        let before = self.word.fetch_add(1, Ordering::AcqRel);
        let next = Word(before).next();
        if next == TURN {
            // Whole rounds, so that every slot keeps its turn; what is full stays full.
            self.word.fetch_sub((TURN / slots - 1) * slots, Ordering::AcqRel);
        }
        let at = usize::try_from(next % slots).unwrap_or_default();
        let old = self.slots.get(at).map_or(0, |kept| kept_before(kept, slot));
        let change = slot.unit().wrapping_sub(Slot(old).unit());
        let word = match change {
            0 => before + 1,
            _ => self.word.fetch_add(change, Ordering::AcqRel).wrapping_add(change),
        };
        (Word(word), row)
    }

    /// Whether these counts, which older calls may be in, could open the circuit.
    fn may_trip(&self, bound: &Sums, row: Row) -> bool {
        if self.rules.age_max.is_none() {
            return self.rules.trips(bound, row).is_some();
        }
        // Fewer calls may be young enough; rates count from `calls_min` on.
        let calls = bound.calls.min(self.rules.calls_min.max(1));
        self.rules.trips(&Sums { calls, ..*bound }, row).is_some()
    }

    /// What counts at `now`.
    /// Cost: looks at every slot.
    #[must_use]
    pub fn sums(&self, now: Moment) -> Sums {
        let mut sums = Sums::default();
        for slot in self.young(now) {
            sums.calls += 1;
            sums.failures += u32::from(slot.has(FAILED));
            sums.unconnected += u32::from(slot.has(UNCONNECTED));
            sums.slow += u32::from(slot.has(SLOW));
        }
        sums
    }

    /// The outcomes that count at `now`.
    pub fn outcomes(&self, now: Moment) -> impl Iterator<Item = Outcome> + '_ {
        self.young(now).filter_map(Slot::outcome)
    }

    /// Failures since the last call that did not fail.
    #[must_use]
    pub fn row(&self) -> Row {
        let (failures, unconnected) = halves(self.row.load(Ordering::Relaxed));
        Row { failures, unconnected }
    }

    fn young(&self, now: Moment) -> impl Iterator<Item = Slot> + '_ {
        let age_max = self.rules.age_max;
        let is_young = move |slot: &Slot| age_max.is_none_or(|age| now.since(slot.ended()) < age);
        let slots = self.slots.iter().map(|slot| Slot(slot.load(Ordering::Acquire)));
        slots.filter(|slot| slot.0 != 0).filter(is_young)
    }

    /// The slots, the oldest first.
    fn in_order(&self) -> impl Iterator<Item = Slot> + '_ {
        let next = Word(self.word.load(Ordering::Acquire)).next() % self.slots.len() as u64;
        let (newer, older) = self.slots.split_at(usize::try_from(next).unwrap_or_default());
        older.iter().chain(newer).map(|slot| Slot(slot.load(Ordering::Acquire)))
    }
}

/// Puts a call into its slot; gives what was there. The same again is not written: so a slot
/// that only ever holds good calls stays in the caches of all who put them there.
fn kept_before(kept: &AtomicU64, slot: Slot) -> u64 {
    match kept.load(Ordering::Acquire) == slot.0 {
        true => slot.0,
        false => kept.swap(slot.0, Ordering::AcqRel),
    }
}

/// Failures in a row, with this call.
fn in_a_row(row: &AtomicU64, slot: Slot) -> Row {
    if !slot.has(FAILED) {
        if row.load(Ordering::Relaxed) != 0 {
            row.store(0, Ordering::Relaxed);
        }
        return Row::default();
    }
    let next = |before: u64| {
        let (failures, unconnected) = halves(before);
        let unconnected = if slot.has(UNCONNECTED) { unconnected.saturating_add(1) } else { 0 };
        (u64::from(failures.saturating_add(1)) << HALF) | u64::from(unconnected)
    };
    let before = row.fetch_update(Ordering::AcqRel, Ordering::Relaxed, |row| Some(next(row)));
    debug_assert!(before.is_ok(), "there is always a next value");
    let (failures, unconnected) = halves(next(before.unwrap_or_default()));
    Row { failures, unconnected }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::outcome::Category;
    use crate::data::snapshot::tests::rules;
    use std::time::Duration;

    const FAILED: Outcome = Outcome::Failure(Category::Reset);

    fn at(seconds: u64) -> Moment {
        Moment::from_micros(0).after(Duration::from_secs(seconds))
    }

    #[test]
    fn only_the_last_calls_count() {
        let rules = Rules { calls_max: 4, ..rules() };
        let window = CallWindow::new(Arc::new(rules), 1);
        for outcome in [FAILED, FAILED, Outcome::Success, FAILED, Outcome::Slow] {
            assert_eq!(window.note(outcome, outcome == Outcome::Slow, at(0)), None);
        }
        let want = Sums { calls: 4, failures: 2, unconnected: 0, slow: 1 };
        assert_eq!((window.sums(at(9)), window.row().failures), (want, 0));
        let more = Arc::new(Rules { calls_max: 3, ..(*window.rules).clone() });
        let fewer = window.with(more);
        assert_eq!(fewer.sums(at(9)), Sums { calls: 3, failures: 1, unconnected: 0, slow: 1 });
        let last: Vec<_> = fewer.outcomes(at(9)).collect();
        assert_eq!(last, [Outcome::Slow, Outcome::Success, FAILED], "in their slots");
    }

    #[test]
    fn the_last_calls_count_however_many_there_were() {
        let rules = Rules { calls_max: 7, failures: 0, failure_rate: 0, slow_rate: 0, ..rules() };
        let window = CallWindow::new(Arc::new(rules), 1);
        let outcome = |number: u64| match crate::types::hash::mix(number) % 3 {
            0 => FAILED,
            1 => Outcome::Success,
            _ => Outcome::Slow,
        };
        for number in 0..TURN + 50 {
            window.note(outcome(number), outcome(number) == Outcome::Slow, at(0));
            let is_near = number >= 7 && (number < 50 || number + 20 > TURN);
            let last: Vec<_> = (number.saturating_sub(6)..=number).map(outcome).collect();
            let of = |kind| u32::try_from(last.iter().filter(|is| **is == kind).count());
            let word = Word(window.word.load(Ordering::Relaxed));
            if is_near {
                let is: Vec<_> = window.in_order().filter_map(Slot::outcome).collect();
                assert_eq!(is, last, "call {number}");
                assert_eq!(Ok(word.count(FAILED_SHIFT)), of(FAILED), "call {number}");
                assert_eq!(Ok(word.count(SLOW_SHIFT)), of(Outcome::Slow), "call {number}");
            }
            assert!(word.next() <= TURN + 1, "it goes back");
        }
    }

    #[test]
    fn a_good_call_among_good_ones_writes_nothing() {
        let is_written = |more: Rules, first: Outcome| {
            let window = CallWindow::new(Arc::new(Rules { calls_max: 4, ..more }), 1);
            for outcome in [first, Outcome::Success, Outcome::Success, Outcome::Success] {
                window.note(outcome, false, at(0));
            }
            let before = window.word.load(Ordering::Relaxed);
            window.note(Outcome::Success, false, at(1));
            before != window.word.load(Ordering::Relaxed)
        };
        assert!(!is_written(rules(), Outcome::Success));
        assert!(is_written(rules(), FAILED), "the failure goes out");
        assert!(is_written(rules(), Outcome::ClientError), "so does what counts as nothing");
        let timed = Rules { age_max: Some(Duration::from_secs(10)), ..rules() };
        assert!(is_written(timed, Outcome::Success), "it is younger");
    }

    #[test]
    fn old_calls_are_forgotten_where_that_is_asked() {
        let rules = Rules { age_max: Some(Duration::from_secs(10)), failures: 0, ..rules() };
        let window = CallWindow::new(Arc::new(rules), 1);
        for second in 0..9 {
            assert_eq!(window.note(FAILED, false, at(second)), None);
        }
        assert_eq!(window.note(Outcome::Success, false, at(10)), None, "nine are left");
        assert_eq!(window.note(Outcome::Success, false, at(10)), Some((Cause::FailureRate, false)));
        assert_eq!(window.sums(at(18)).failures, 0);
    }

    #[test]
    fn counts_are_those_of_the_slots_whoever_comes_between() {
        let rules = Rules { calls_max: 7, failures: 0, failure_rate: 0, slow_rate: 0, ..rules() };
        let window = CallWindow::new(Arc::new(rules), 1);
        let note = &|thread: u64, number: u64| {
            let random = crate::types::hash::mix(thread << 32 | number);
            let outcome = if random & 1 == 0 { FAILED } else { Outcome::Success };
            window.note(outcome, random & 2 == 0, at(number));
        };
        std::thread::scope(|scope| {
            let run = |thread| move || (0..20_000).for_each(|number| note(thread, number));
            (0..8).for_each(|thread| drop(scope.spawn(run(thread))));
        });
        let sums = window.sums(at(0));
        let word = Word(window.word.load(Ordering::Relaxed));
        let counts = (word.count(FAILED_SHIFT), word.count(SLOW_SHIFT));
        assert_eq!((sums.calls, (sums.failures, sums.slow)), (7, counts));
    }
}
