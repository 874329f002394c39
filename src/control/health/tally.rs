//! From results in a row to a verdict. Pure.

use super::Verdict;

/// What the results so far come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// `None` before the first result.
    pub verdict: Option<Verdict>,
    /// Passes in a row, up to now.
    pub passes: u32,
    /// Failures in a row, up to now.
    pub fails: u32,
}

impl Tally {
    /// Counts a result. The verdict, if it is another one now. The first result decides at
    /// once: a backend of which nothing is known should neither wait for `rise` results to get
    /// traffic, nor get it until `fall` have failed.
    pub(super) fn count(&mut self, is_pass: bool, rise: u32, fall: u32) -> Option<Verdict> {
        match is_pass {
            true => (self.passes, self.fails) = (self.passes.saturating_add(1), 0),
            false => (self.passes, self.fails) = (0, self.fails.saturating_add(1)),
        }
        let verdict = match self.verdict {
            None if is_pass => Verdict::Up,
            None => Verdict::Down,
            Some(Verdict::Down) if self.passes >= rise => Verdict::Up,
            Some(Verdict::Up) if self.fails >= fall => Verdict::Down,
            Some(same) => same,
        };
        let is_change = self.verdict != Some(verdict);
        self.verdict = Some(verdict);
        is_change.then_some(verdict)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::health::cadence;
    use crate::types::clock;
    use std::time::Duration;

    fn letter(verdict: Verdict) -> char {
        if verdict == Verdict::Up { 'U' } else { 'D' }
    }

    #[test]
    fn rise_and_fall_turn_the_verdict_and_the_first_result_decides_at_once() {
        // Results: + a pass, - a failure. Verdicts after each: U up, D down.
        for (rise, fall, results, want) in [
            (2, 3, "++++", "UUUU"),
            (2, 3, "-+-++", "DDDDU"),
            (2, 3, "+--+---", "UUUUUUD"),
            (2, 3, "+---++", "UUUDDU"),
            (1, 1, "+-+-", "UDUD"),
            (3, 1, "+-++-+++", "UDDDDDDU"),
            (1, 2, "--+-+--", "DDUUUUD"),
        ] {
            let mut tally = Tally::default();
            let count = |result| tally.count(result == '+', rise, fall);
            let mut said = String::new();
            let mut changes = 0;
            for turned in results.chars().map(count) {
                changes += usize::from(turned.is_some());
                let before = said.chars().last().unwrap_or('?');
                said.push(turned.map_or(before, letter));
            }
            assert_eq!(said, want, "rise {rise}, fall {fall}: {results}");
            let turns = want.as_bytes().windows(2).filter(|pair| pair[0] != pair[1]).count();
            assert_eq!(changes, turns + 1, "{results}: a change is said once");
        }
    }

    #[test]
    fn on_a_virtual_clock_a_death_is_noticed_after_fall_intervals() {
        let (interval, rise, fall) = (Duration::from_secs(5), 2, 3);
        for seed in 0..100 {
            let mut rng = fastrand::Rng::with_seed(seed);
            let start = clock::now();
            let (dies, heals) = (start + Duration::from_secs(60), start + Duration::from_secs(120));
            let mut due = start + cadence::first(1, interval, &mut rng);
            let mut tally = Tally::default();
            let mut turns = Vec::new();
            while due < start + Duration::from_secs(180) {
                let is_pass = due < dies || due >= heals;
                turns.extend(tally.count(is_pass, rise, fall).map(|verdict| (verdict, due)));
                due = cadence::next(due, due, interval, &mut rng);
            }
            let [(Verdict::Up, first), (Verdict::Down, down), (Verdict::Up, up)] = turns[..] else {
                panic!("seed {seed}: {turns:?}");
            };
            // Give or take a tenth.
            assert!(first - start < Duration::from_secs(1), "seed {seed}");
            assert!((9.0..=16.5).contains(&(down - dies).as_secs_f64()), "seed {seed}");
            assert!((4.5..=11.0).contains(&(up - heals).as_secs_f64()), "seed {seed}");
        }
    }
}
