//! Circuits: what those of a pool go by, and what is done with them as time goes on.
//!
//! Calls open circuits and close them (`data/breaker`). Here they become half open, when their
//! time is over or a check has found a backend that was gone; and here it is told what they
//! did, in the log and in metrics. However many change at once, the log has a few lines of it
//! a second.

use super::members::Plan;
use super::producers::Producers;
use crate::config::{self, BackendBreaker, FailureName};
use crate::data::breaker::{Cause, Change, Counts, Kind, Rules};
use crate::data::outcome::Category;
use crate::data::pool::{Backend, GuardRules};
use crate::types::moment::Moment;
use std::collections::{BTreeMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// How often it is looked whether a check has passed, while a backend is gone.
const LOOK: Duration = Duration::from_millis(100);
/// Lines about circuits that the log has in a second.
const LINES_MAX: u32 = 20;

/// What the circuits of a pool go by.
#[derive(Clone, Debug)]
pub struct Circuits {
    rules: Arc<Rules>,
    own: BTreeMap<SocketAddr, Arc<Rules>>,
    guard: GuardRules,
}

impl Circuits {
    /// What `config` says. `has_fallback`: requests that nobody takes have somewhere to go.
    #[must_use]
    pub fn compile(config: &config::Pool, has_fallback: bool) -> Self {
        let rules = rules(&config.breaker);
        let of = |own: &BackendBreaker| Arc::new(own_rules(&rules, own));
        Self {
            own: config.breaker.backends.iter().map(|(at, own)| (at.0, of(own))).collect(),
            rules: Arc::new(rules),
            guard: GuardRules {
                share: config.guard.as_basis_points(),
                is_checked: config.health.is_some(),
                has_fallback,
            },
        }
    }

    /// What the circuit of the backend at `address` goes by.
    #[must_use]
    pub fn rules_of(&self, address: SocketAddr) -> &Arc<Rules> {
        self.own.get(&address).unwrap_or(&self.rules)
    }
}

fn rules(config: &config::Breaker) -> Rules {
    Rules {
        calls_max: usize::try_from(config.window).unwrap_or(1),
        age_max: config.window_time.map(|period| period.as_duration()),
        calls_min: config.min_calls,
        failures: config.failures,
        failure_rate: config.failure_rate.as_basis_points(),
        slow_over: config.slow_call.longer_than.as_duration(),
        slow_rate: config.slow_call.rate.as_basis_points(),
        open_for: config.open_for.as_duration(),
        backoff: config.backoff,
        open_for_max: config.open_for_max.as_duration(),
        jitter: config.jitter.as_basis_points(),
        probes_max: config.half_open_probes,
        successes: config.half_open_successes,
        counts: Counts::of(config.counts.iter().map(|name| category(*name))),
    }
}

fn own_rules(rules: &Rules, own: &BackendBreaker) -> Rules {
    let slow = own.slow_call.as_ref();
    let failure_rate = own.failure_rate.map(|rate| rate.as_basis_points());
    Rules {
        failures: own.failures.unwrap_or(rules.failures),
        failure_rate: failure_rate.unwrap_or(rules.failure_rate),
        slow_over: slow.map_or(rules.slow_over, |slow| slow.longer_than.as_duration()),
        slow_rate: slow.map_or(rules.slow_rate, |slow| slow.rate.as_basis_points()),
        open_for: own.open_for.map_or(rules.open_for, |period| period.as_duration()),
        ..rules.clone()
    }
}

fn category(name: FailureName) -> Category {
    match name {
        FailureName::Connect => Category::Connect,
        FailureName::ConnectTimeout => Category::ConnectTimeout,
        FailureName::Handshake => Category::Handshake,
        FailureName::FirstByteTimeout => Category::FirstByteTimeout,
        FailureName::Stalled => Category::Stalled,
        FailureName::Reset => Category::Reset,
        FailureName::Truncated => Category::Truncated,
        FailureName::Malformed => Category::Malformed,
        FailureName::Gateway => Category::Gateway,
        FailureName::Status => Category::Status,
        FailureName::GrpcStatus => Category::GrpcStatus,
    }
}

/// How much is told of circuits in the log.
#[derive(Debug, Default)]
pub(super) struct Telling {
    /// When the present second ends.
    ends: Moment,
    lines: u32,
    omitted: u64,
}

impl Telling {
    /// Whether one line more may be written.
    fn may(&mut self, now: Moment) -> bool {
        if now >= self.ends {
            (self.ends, self.lines) = (now.after(Duration::from_secs(1)), 0);
        }
        self.lines += 1;
        let may = self.lines <= LINES_MAX;
        self.omitted += u64::from(!may);
        may
    }

    /// Tells how many lines were left out, when their second is over. Gives when that is.
    pub(super) fn close(&mut self, now: Moment) -> Option<Moment> {
        if self.omitted == 0 {
            return None;
        }
        if now < self.ends {
            return Some(self.ends);
        }
        let changes = std::mem::take(&mut self.omitted);
        tracing::warn!(changes, "more circuits have changed; `vanne circuit list` shows them");
        None
    }
}

impl Plan {
    /// Has the circuits of those who are listed go by the rules, and forgets those of `before`
    /// who are not.
    pub(super) fn configure_circuits(&self, before: &[Arc<Backend>], now: Moment) {
        self.live.guard.configure(self.circuits.guard);
        for backend in self.listed.iter().map(|listed| &listed.backend) {
            backend.state.breaker.configure(self.circuits.rules_of(backend.address));
        }
        let listed: HashSet<_> = self.listed.iter().map(|one| Arc::as_ptr(&one.backend)).collect();
        for gone in before.iter().filter(|backend| !listed.contains(&Arc::as_ptr(backend))) {
            self.live.retire(gone, now);
        }
    }

    /// The pool is no more: nor are its circuits.
    pub(super) fn retire_circuits(&self, now: Moment) {
        self.listed.iter().for_each(|listed| self.live.retire(&listed.backend, now));
    }

    /// Makes those half open whose time is over, and tells what circuits did. Gives when there
    /// is more to do.
    pub(super) fn tend_circuits(
        &self,
        producers: Option<&Producers>,
        telling: &mut Telling,
        now: Moment,
    ) -> Option<Moment> {
        let mut next = None;
        for backend in self.listed.iter().map(|listed| &listed.backend) {
            if backend.state.breaker.kind() == Kind::Open {
                next = [next, self.wait(backend, producers, now)].into_iter().flatten().min();
            }
            for change in backend.state.breaker.news() {
                self.tell(backend, &change, telling, now);
            }
        }
        next
    }

    /// Makes an open circuit half open, if it is time. Gives when that is to be looked at.
    fn wait(
        &self,
        backend: &Backend,
        producers: Option<&Producers>,
        now: Moment,
    ) -> Option<Moment> {
        let known = |history: &crate::data::breaker::History| {
            let opened = history.changes.back().map(|change| change.at);
            (history.until, opened.filter(|_| history.is_gone))
        };
        let (until, gone_since) = backend.state.breaker.history(known);
        if until.is_none_or(|until| until <= now) {
            self.live.half_open(backend, Cause::TimeOver, now);
            return None;
        }
        let Some((since, check)) = gone_since.zip(self.check.as_ref()) else { return until };
        let report = producers.and_then(|all| all.report(backend.address, check.id));
        let passed = |seen: &crate::control::health::Seen| {
            seen.is_pass == Some(true) && Moment::of(seen.at) > since
        };
        if report.is_some_and(|report| report.last.as_ref().is_some_and(passed)) {
            self.live.half_open(backend, Cause::CheckPassed, now);
            return None;
        }
        until.map(|until| until.min(now.after(LOOK)))
    }

    fn tell(&self, backend: &Backend, change: &Change, telling: &mut Telling, now: Moment) {
        self.gauges.count_change(change);
        if !telling.may(now) {
            return;
        }
        let (pool, backend, cause) = (&self.id, &backend.name, change.cause.as_str());
        match change.to {
            _ if change.is_guarded() => {
                tracing::warn!(%pool, %backend, cause,
                    "circuit stays closed: the guard keeps a share of the pool in service");
            }
            Kind::Open => tracing::warn!(%pool, %backend, cause, "circuit opened"),
            Kind::HalfOpen => tracing::info!(%pool, %backend, cause, "circuit is half open"),
            Kind::Closed => tracing::info!(%pool, %backend, cause, "circuit closed"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backend_may_have_numbers_of_its_own() {
        let text = "breaker.failures = 7\nbreaker.backends.\"10.0.0.1:80\".failures = 1";
        let pool: config::Pool = toml::from_str(text).unwrap();
        let circuits = Circuits::compile(&pool, false);
        let failures = |address: &str| circuits.rules_of(address.parse().unwrap()).failures;
        assert_eq!((failures("10.0.0.1:80"), failures("10.0.0.2:80")), (1, 7));
    }

    #[test]
    fn the_log_has_a_few_lines_a_second() {
        let mut telling = Telling::default();
        let at = |ms: u64| Moment::from_micros((5_000 + ms) * 1000);
        let told = |telling: &mut Telling, ms| (0..100).filter(|_| telling.may(at(ms))).count();
        assert_eq!((told(&mut telling, 0), told(&mut telling, 999)), (20, 0));
        assert_eq!(telling.close(at(999)), Some(at(1000)));
        assert_eq!((telling.close(at(1000)), telling.omitted), (None, 0));
        assert_eq!(told(&mut telling, 1000), 20);
    }

    #[test]
    fn the_defaults_are_the_users_numbers() {
        let pool = config::Pool::default();
        let rules = rules(&pool.breaker);
        let seconds = Duration::from_secs;
        assert_eq!(rules.calls_max, 100, "a window of 100 calls");
        assert_eq!(rules.failures, 5, "a failure count of 5");
        assert_eq!(rules.failure_rate, 5000, "a failure rate of 50 %");
        assert_eq!((rules.slow_over, rules.slow_rate), (seconds(5), 5000), "50 % over 5000 ms");
        assert_eq!(pool.timeouts.first_byte.as_duration(), seconds(30), "a call timeout of 30 s");
        assert_eq!(rules.open_time(1, 7), seconds(60), "open for 60 s");
        assert_eq!((rules.successes, rules.probes_max), (3, 3), "3 successes, bounded probes");
        assert_eq!(rules.calls_min, 10);
        assert_eq!(rules.counts, Counts::of(Category::ALL));
    }
}
