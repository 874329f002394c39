//! What backends chose to speak where the choice is theirs (ALPN): a worker's own memory.
//!
//! Each connection that is made asks anew, so that there is nothing to know of a backend that
//! chooses HTTP/1.1. Of one that chose HTTP/2 it is known, since its requests are another engine's;
//! and if that finds that it no longer does, HTTP/2 is not offered to it for a while.

use super::idle::{Key, key};
use crate::data::upstream::Attempt;
use rustc_hash::FxHashMap;
use std::cell::RefCell;
use std::time::{Duration, Instant};

/// How long HTTP/2 is not offered to a backend that spoke HTTP/1.1 where it had chosen HTTP/2.
const PAUSE: Duration = Duration::from_secs(60);
/// Choices that are known at most; before one more all are forgotten, and asked for again.
const CHOICES_MAX: usize = 4096;

thread_local! {
    static CHOICES: RefCell<Choices> = RefCell::default();
}

/// What is known of a backend, for equal settings of how it is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Chosen {
    Http2,
    Http1Until(Instant),
}

#[derive(Default)]
struct Choices(FxHashMap<Key, Chosen>);

impl Choices {
    fn note(&mut self, key: Key, chosen: Chosen) {
        if self.0.len() >= CHOICES_MAX && !self.0.contains_key(&key) {
            self.0.clear();
        }
        self.0.insert(key, chosen);
    }

    fn is_http2(&self, key: Key) -> bool {
        self.0.get(&key) == Some(&Chosen::Http2)
    }

    fn may_be_http2(&self, key: Key, now: Instant) -> bool {
        !matches!(self.0.get(&key), Some(Chosen::Http1Until(until)) if *until > now)
    }
}

/// Whether the backend chose HTTP/2 when it was asked last.
pub(super) fn is_http2(attempt: &Attempt) -> bool {
    CHOICES.with_borrow(|choices| choices.is_http2(key(attempt)))
}

/// Whether HTTP/2 is to be offered to the backend.
pub(super) fn may_be_http2(attempt: &Attempt, now: Instant) -> bool {
    CHOICES.with_borrow(|choices| choices.may_be_http2(key(attempt), now))
}

/// The backend has chosen HTTP/2.
pub(super) fn note_http2(attempt: &Attempt) {
    CHOICES.with_borrow_mut(|choices| choices.note(key(attempt), Chosen::Http2));
}

/// The backend speaks HTTP/1.1, though it had chosen HTTP/2.
pub fn note_http1(attempt: &Attempt, now: Instant) {
    let chosen = Chosen::Http1Until(now + PAUSE);
    CHOICES.with_borrow_mut(|choices| choices.note(key(attempt), chosen));
}

/// The backend could not be agreed with: it is asked again.
pub(super) fn forget(attempt: &Attempt) {
    CHOICES.with_borrow_mut(|choices| choices.0.remove(&key(attempt)));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::clock;

    fn place(port: u16) -> Key {
        (([10, 0, 0, 1], port).into(), 7)
    }

    #[test]
    fn a_choice_is_known_until_another_one_is_made() {
        let (mut choices, now) = (Choices::default(), clock::now());
        assert!(!choices.is_http2(place(1)) && choices.may_be_http2(place(1), now));
        choices.note(place(1), Chosen::Http2);
        assert!(choices.is_http2(place(1)) && !choices.is_http2(place(2)));
        choices.note(place(1), Chosen::Http1Until(now + PAUSE));
        assert!(!choices.is_http2(place(1)) && !choices.may_be_http2(place(1), now));
        assert!(choices.may_be_http2(place(1), now + PAUSE), "asked again after a while");
    }

    #[test]
    fn no_more_is_known_than_so_many_choices() {
        let mut choices = Choices::default();
        for port in 0..2 * u16::try_from(CHOICES_MAX).unwrap() {
            choices.note(place(port), Chosen::Http2);
            assert!(choices.0.len() <= CHOICES_MAX && choices.is_http2(place(port)));
        }
    }
}
