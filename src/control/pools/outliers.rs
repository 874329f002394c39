//! Outliers: backends that do worse than the others of their pool, by the last minute.
//!
//! Compared are the backends that had enough requests, if they are enough, each with the one
//! in the middle of all (the median): a mean would be drawn to those that are looked for. Who
//! is an outlier has its circuit opened, within the guard, and comes back like any other; the
//! next time it is out for longer (`open_for` times the repeats, as far as `open_for_max`).

use super::members::Plan;
use crate::config;
use crate::data::breaker::{Cause, WHOLE};
use crate::types::moment::Moment;
use std::time::Duration;

/// How often they are compared.
pub(super) const EVERY: Duration = Duration::from_secs(5);

/// What is looked back at.
const MINUTE: Duration = Duration::from_secs(60);

/// How a backend did in the last minute.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Record {
    /// The share that failed.
    errors: f64,
    /// Seconds that 95 of a hundred did not exceed.
    p95: f64,
}

impl Plan {
    /// Opens the circuits of outliers.
    pub(super) fn compare(&self, now: Moment) {
        let Some(rules) = &self.outliers else { return };
        let mut known = Vec::with_capacity(self.listed.len());
        for backend in self.listed.iter().map(|listed| &listed.backend) {
            let Some(minute) = backend.state.window.summary(now) else { continue };
            if minute.attempts >= f64::from(rules.min_requests) {
                let [_, p95, _] = minute.quantiles;
                known.push((backend, Record { errors: minute.errors / minute.attempts, p95 }));
            }
        }
        let records: Vec<Record> = known.iter().map(|(_, record)| *record).collect();
        for ((backend, _), cause) in known.iter().zip(judge(&records, rules)) {
            let closed = backend.state.breaker.history(|history| history.closed);
            let cause = cause.filter(|_| is_of_now(closed, now));
            let trip = cause.and_then(|cause| backend.state.breaker.trip(cause));
            if let Some(trip) = trip {
                self.live.trip(backend, trip, now);
            }
        }
    }
}

/// Whether the last minute of a backend is all of it after its circuit closed: what opened it
/// is not to open it once more.
fn is_of_now(closed: Option<Moment>, now: Moment) -> bool {
    closed.is_none_or(|closed| now.since(closed) >= MINUTE)
}

/// Who of these is an outlier, and in what.
fn judge(records: &[Record], rules: &config::Outliers) -> Vec<Option<Cause>> {
    if records.len() < usize::try_from(rules.min_backends).unwrap_or(usize::MAX) {
        return vec![None; records.len()];
    }
    let errors = median(records.iter().map(|record| record.errors));
    let p95 = median(records.iter().map(|record| record.p95));
    #[expect(clippy::cast_precision_loss, reason = "a share")]
    let more = f64::from(rules.more_errors.as_basis_points()) / WHOLE as f64;
    let times = f64::from(rules.times_slower);
    let of = |record: &Record| match () {
        () if more > 0.0 && record.errors >= errors + more => Some(Cause::OutlierErrors),
        () if times > 0.0 && record.p95 >= p95 * times => Some(Cause::OutlierLatency),
        () => None,
    };
    records.iter().map(of).collect()
}

fn median(numbers: impl Iterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = numbers.collect();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Outliers;

    fn judged(records: &[(f64, f64)], rules: &Outliers) -> Vec<Option<Cause>> {
        let records: Vec<_> = records.iter().map(|&(errors, p95)| Record { errors, p95 }).collect();
        judge(&records, rules)
    }

    #[test]
    fn who_does_worse_than_the_one_in_the_middle_is_an_outlier() {
        let rules = Outliers::default();
        let records =
            [(0.0, 0.1), (0.05, 0.1), (0.04, 0.12), (0.25, 0.1), (0.04, 0.6), (0.23, 0.4)];
        let (errors, slow) = (Some(Cause::OutlierErrors), Some(Cause::OutlierLatency));
        assert_eq!(judged(&records, &rules), [None, None, None, errors, slow, None]);
        assert_eq!(judged(&records[2..], &rules), [None; 4], "too few to compare");
        let off = Outliers { more_errors: "0%".parse().unwrap(), times_slower: 0, ..rules };
        assert_eq!(judged(&records, &off), [None; 6]);
    }

    #[test]
    fn who_is_back_is_not_judged_by_what_was_before() {
        let at = |seconds| Moment::default().after(Duration::from_secs(seconds));
        assert!(is_of_now(None, at(1)) && is_of_now(Some(at(40)), at(100)));
        assert!(!is_of_now(Some(at(41)), at(100)));
    }

    #[test]
    fn where_all_fail_or_are_slow_nobody_is_an_outlier() {
        let rules = Outliers::default();
        assert_eq!(judged(&[(0.9, 9.0); 8], &rules), [None; 8]);
        assert_eq!(judged(&[(0.04, 0.05); 8], &rules), [None; 8]);
    }
}
