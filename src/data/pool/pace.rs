//! Pace: how long a newcomer to the queue will wait, from how fast those before it got their
//! places.
//!
//! It is the time from one place to the next while somebody waited, on average: how long
//! backends take and how much they do at once are both in it. Pure; part of the queue, under
//! its lock.

use crate::types::moment::Moment;
use std::time::Duration;

/// Places after which it is believed.
const KNOWN_MIN: u32 = 32;
/// Places that it remembers, about.
const REMEMBERED: u32 = 64;
/// What is older says nothing.
const FORGOTTEN: Duration = Duration::from_secs(10);

/// How fast places come.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// When the last place came.
    last: Moment,
    /// Whether somebody has waited ever since.
    is_running: bool,
    /// Times between places that it knows of, up to [`REMEMBERED`].
    count: u32,
    /// Seconds from one place to the next.
    seconds: f64,
}

impl Pace {
    /// One who waited got a place at `now`.
    pub(super) fn note(&mut self, now: Moment) {
        let time = now.since(self.last);
        self.last = now;
        if !std::mem::replace(&mut self.is_running, true) {
            if time > FORGOTTEN {
                self.count = 0;
            }
            return;
        }
        self.count = (self.count + 1).min(REMEMBERED);
        self.seconds += (time.as_secs_f64() - self.seconds) / f64::from(self.count);
    }

    /// Nobody waits any more: until somebody does, no place is late.
    pub(super) fn pause(&mut self) {
        self.is_running = false;
    }

    /// How long one will wait who comes at `now` and has `before` others before it; `None` while
    /// too little is known.
    pub(super) fn wait(&self, before: usize, now: Moment) -> Option<Duration> {
        if self.count < KNOWN_MIN || now.since(self.last) > FORGOTTEN {
            return None;
        }
        let places = u32::try_from(before).unwrap_or(u32::MAX).saturating_add(1);
        Duration::try_from_secs_f64(self.seconds * f64::from(places)).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Moment {
        Moment::from_micros(1_000_000 + millis * 1000)
    }

    /// So many places, four at once each 40 ms; when the next one is due.
    fn fours(pace: &mut Pace, count: u64) -> u64 {
        (0..count).for_each(|number| pace.note(at(number / 4 * 40)));
        count / 4 * 40
    }

    fn wait_ms(pace: &Pace, before: usize, millis: u64) -> Option<u128> {
        pace.wait(before, at(millis)).map(|time| time.as_millis())
    }

    #[test]
    fn places_that_come_at_once_count_as_the_many_that_they_are() {
        let mut pace = Pace::default();
        let now = fours(&mut pace, 32);
        assert_eq!(wait_ms(&pace, 0, now), None, "known too little");
        let now = fours(&mut pace, 400);
        // Ten milliseconds each, give or take what four at once make of an average.
        for (before, range) in [(0, 8..=12), (99, 850..=1150)] {
            let wait = wait_ms(&pace, before, now).unwrap();
            assert!(range.contains(&wait), "{before}: {wait}");
        }
    }

    #[test]
    fn time_in_which_nobody_waited_does_not_count() {
        let mut pace = Pace::default();
        for number in 0..200 {
            pace.note(at(number * 1000));
            pace.note(at(number * 1000 + 10));
            pace.pause();
        }
        assert_eq!(wait_ms(&pace, 9, 200_000), Some(100));
    }

    #[test]
    fn what_was_known_long_ago_is_forgotten() {
        let mut pace = Pace::default();
        let now = fours(&mut pace, 400);
        pace.pause();
        assert!(wait_ms(&pace, 0, now + 9_000).is_some());
        assert_eq!(wait_ms(&pace, 0, now + 11_000), None);
        pace.note(at(now + 11_000));
        assert_eq!(wait_ms(&pace, 0, now + 11_000), None);
    }
}
