//! State: a circuit in one word, so that whoever changes it changes all of it.
//!
//! Closed, open or half open; the epoch, which is another one after each change; and of a
//! half-open circuit the probes under way and those that succeeded.

use std::sync::atomic::{AtomicU64, Ordering};

/// How a circuit is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Calls pass.
    Closed = 0,
    /// None does.
    Open = 1,
    /// A few do: if they succeed it closes.
    HalfOpen = 2,
}

impl Kind {
    /// The label in log, metric and status.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
        }
    }
}

const KIND: u64 = 0b11;
const PROBES_SHIFT: u32 = 2;
const SUCCESSES_SHIFT: u32 = 10;
const COUNT: u64 = 0xff;
const EPOCH_SHIFT: u32 = 18;

/// All of a circuit's state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Word(u64);

impl Word {
    /// A circuit of this epoch that is so.
    const fn new(kind: Kind, epoch: u64) -> Self {
        Self(kind as u64 | epoch << EPOCH_SHIFT)
    }

    pub(super) const fn kind(self) -> Kind {
        match self.0 & KIND {
            0 => Kind::Closed,
            1 => Kind::Open,
            _ => Kind::HalfOpen,
        }
    }

    pub(super) const fn epoch(self) -> u64 {
        self.0 >> EPOCH_SHIFT
    }

    /// Probes under way.
    pub(super) const fn probes(self) -> u64 {
        self.0 >> PROBES_SHIFT & COUNT
    }

    /// Probes that succeeded.
    pub(super) const fn successes(self) -> u64 {
        self.0 >> SUCCESSES_SHIFT & COUNT
    }

    /// The next epoch, which is so.
    pub(super) const fn next(self, kind: Kind) -> Self {
        Self::new(kind, self.epoch() + 1)
    }

    /// With one more probe, unless `most` are under way or it is not half open.
    pub(super) fn with_probe(self, most: u8) -> Option<Self> {
        let may = self.kind() == Kind::HalfOpen && self.probes() < u64::from(most);
        may.then_some(Self(self.0 + (1 << PROBES_SHIFT)))
    }

    /// With a probe of this epoch less, if it is half open still.
    pub(super) fn without_probe(self, epoch: u64) -> Option<Self> {
        let may = self.kind() == Kind::HalfOpen && self.epoch() == epoch && self.probes() > 0;
        may.then_some(Self(self.0.wrapping_sub(1 << PROBES_SHIFT)))
    }

    /// With one success more; closed with the last that is needed.
    pub(super) fn with_success(self, needed: u8) -> Self {
        match self.successes() + 1 >= u64::from(needed) {
            true => self.next(Kind::Closed),
            false => Self(self.0 + (1 << SUCCESSES_SHIFT)),
        }
    }
}

/// A word that all workers share.
#[derive(Debug, Default)]
pub(super) struct State(AtomicU64);

impl State {
    pub(super) fn load(&self) -> Word {
        Word(self.0.load(Ordering::Acquire))
    }

    /// Makes of the state what `next` says; gives it before and after, or `None` where `next`
    /// does.
    pub(super) fn update(&self, next: impl Fn(Word) -> Option<Word>) -> Option<(Word, Word)> {
        let of = |word| next(Word(word)).map(|word| word.0);
        let before = Word(self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, of).ok()?);
        Some((before, next(before)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probes_are_limited_and_successes_close() {
        let state = State::default();
        assert_eq!((state.load().kind(), state.load().epoch()), (Kind::Closed, 0));
        assert_eq!(state.update(|word| word.with_probe(3)), None);
        state.update(|word| Some(word.next(Kind::Open)));
        state.update(|word| Some(word.next(Kind::HalfOpen)));
        let taken = (0..5).filter(|_| state.update(|word| word.with_probe(3)).is_some()).count();
        assert_eq!((taken, state.load().probes(), state.load().epoch()), (3, 3, 2));
        assert_eq!(state.update(|word| word.without_probe(1)), None, "of another epoch");
        let good = |word: Word| Some(word.without_probe(2)?.with_success(2));
        assert_eq!(state.update(good).unwrap().1.successes(), 1);
        let (_, after) = state.update(good).unwrap();
        assert_eq!((after.kind(), after.epoch(), after.probes()), (Kind::Closed, 3, 0));
        assert_eq!(state.update(good), None, "the last one is late");
    }
}
