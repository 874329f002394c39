//! The circuit against a plain, slow model of it, on every sequence of events that chance
//! finds; and what threads may do to it together.

use super::*;
use crate::data::outcome::Category;
use crate::data::snapshot::tests::rules;
use crate::types::hash::mix;
use proptest::prelude::*;
use std::collections::VecDeque;
use std::sync::atomic::AtomicU64;

const RESET: Outcome = Outcome::Failure(Category::Reset);

/// What the issue says, in the plainest words.
struct Model {
    rules: Rules,
    kind: Kind,
    epoch: u64,
    calls: VecDeque<(Outcome, bool, Moment)>,
    failures_in_a_row: u32,
    until: Option<Moment>,
    probes: u32,
    successes: u32,
}

impl Model {
    fn new(rules: &Rules) -> Self {
        Self {
            rules: rules.clone(),
            kind: Kind::Closed,
            epoch: 0,
            calls: VecDeque::new(),
            failures_in_a_row: 0,
            until: None,
            probes: 0,
            successes: 0,
        }
    }

    fn turn(&mut self, kind: Kind, now: Moment) {
        (self.kind, self.probes, self.successes) = (kind, 0, 0);
        self.epoch += 1;
        self.until = (kind == Kind::Open).then(|| now.after(self.rules.open_for));
        if kind == Kind::Closed {
            self.calls.clear();
            self.failures_in_a_row = 0;
        }
    }

    /// A call of this epoch ends.
    fn ends(&mut self, permit: Permit, outcome: Outcome, is_slow: bool, now: Moment) {
        match permit {
            Permit::Call(epoch) if epoch == self.epoch && outcome != Outcome::ClientError => {
                self.count(outcome, is_slow, now);
            }
            Permit::Probe(epoch) if epoch == self.epoch => {
                self.probes -= 1;
                if outcome != Outcome::ClientError {
                    self.probed(outcome, is_slow, now);
                }
            }
            _ => {}
        }
    }

    fn probed(&mut self, outcome: Outcome, is_slow: bool, now: Moment) {
        if matches!(outcome, Outcome::Failure(_)) || (is_slow && self.rules.slow_rate > 0) {
            return self.turn(Kind::Open, now);
        }
        self.successes += 1;
        if self.successes >= u32::from(self.rules.successes) {
            self.turn(Kind::Closed, now);
        }
    }

    fn count(&mut self, outcome: Outcome, is_slow: bool, now: Moment) {
        let is_failure = |outcome: Outcome| matches!(outcome, Outcome::Failure(_));
        let is_late_success = is_slow && outcome == Outcome::Success;
        let told = if is_late_success { Outcome::Slow } else { outcome };
        self.calls.push_back((told, is_slow, now));
        if self.calls.len() > self.rules.calls_max {
            self.calls.pop_front();
        }
        self.failures_in_a_row = if is_failure(outcome) { self.failures_in_a_row + 1 } else { 0 };
        let age_max = self.rules.age_max;
        let young: Vec<_> = self
            .calls
            .iter()
            .filter(|(_, _, ended)| age_max.is_none_or(|age| now.since(*ended) < age))
            .collect();
        let share = |count: usize| count as f64 / young.len() as f64 * 10_000.0;
        let failures = young.iter().filter(|call| is_failure(call.0)).count();
        let slow = young.iter().filter(|call| call.1).count();
        let is_enough = young.len() >= self.rules.calls_min as usize;
        let Rules { failure_rate, slow_rate, .. } = self.rules;
        let opens = (self.rules.failures > 0 && self.failures_in_a_row >= self.rules.failures)
            || (is_enough && failure_rate > 0 && share(failures) >= f64::from(failure_rate) - 1e-6)
            || (is_enough && slow_rate > 0 && share(slow) >= f64::from(slow_rate) - 1e-6);
        if opens {
            self.turn(Kind::Open, now);
        }
    }
}

/// Something that happens.
#[derive(Clone, Copy, Debug)]
enum Step {
    Begin,
    /// The call at this place among those under way ends.
    End(usize, Outcome, bool),
    /// It is dropped.
    Drop(usize),
    Wait(u64),
    /// Whoever looks at the time does.
    Tend,
    Reset,
    /// Other rules, with this window.
    Configure(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let outcome = prop_oneof![
        3 => Just(Outcome::Success),
        3 => Just(RESET),
        1 => Just(Outcome::Failure(Category::Connect)),
        1 => Just(Outcome::ClientError),
    ];
    prop_oneof![
        8 => Just(Step::Begin),
        8 => (any::<usize>(), outcome, prop::bool::weighted(0.3))
            .prop_map(|(at, outcome, slow)| Step::End(at, outcome, slow)),
        1 => any::<usize>().prop_map(Step::Drop),
        2 => (1..40_u64).prop_map(Step::Wait),
        2 => Just(Step::Tend),
        1 => prop::bool::weighted(0.1).prop_map(|is| if is { Step::Reset } else { Step::Tend }),
        1 => (1..12_usize).prop_map(Step::Configure),
    ]
}

fn any_rules() -> impl Strategy<Value = Rules> {
    let rates = (0..3_u16, 0..3_u16);
    let counts = (1..12_usize, 1..6_u32, 0..5_u32, prop::option::of(1..60_u64));
    (counts, rates, 1..4_u8, 1..4_u8).prop_map(|(counts, rates, probes_max, successes)| Rules {
        calls_max: counts.0,
        calls_min: counts.1,
        failures: counts.2,
        age_max: counts.3.map(Duration::from_secs),
        failure_rate: rates.0 * 4000,
        slow_rate: rates.1 * 4000,
        probes_max,
        successes,
        ..rules()
    })
}

const SLOW: Duration = Duration::from_secs(6);

fn play(rules: &Rules, steps: &[Step]) {
    let (breaker, mut model) = (Breaker::default(), Model::new(rules));
    breaker.configure(&Arc::new(rules.clone()));
    let mut now = Moment::from_micros(1_000_000);
    let mut under_way: Vec<Permit> = Vec::new();
    for step in steps {
        match *step {
            Step::Begin => {
                let permit = breaker.probe().unwrap_or_else(|| breaker.call());
                let is_probe = matches!(permit, Permit::Probe(_));
                let may_probe = model.kind == Kind::HalfOpen
                    && model.probes < u32::from(model.rules.probes_max);
                assert_eq!(is_probe, may_probe, "{step:?}");
                model.probes += u32::from(is_probe);
                under_way.push(permit);
            }
            Step::End(at, outcome, is_slow) if !under_way.is_empty() => {
                let permit = under_way.swap_remove(at % under_way.len());
                let time = if is_slow { SLOW } else { Duration::ZERO };
                model.ends(permit, outcome, is_slow, now);
                if let Verdict::Trips(trip) = breaker.settle(permit, outcome, time, now).1 {
                    assert!(breaker.open(trip, now));
                }
            }
            Step::Drop(at) if !under_way.is_empty() => {
                let permit = under_way.swap_remove(at % under_way.len());
                if permit == Permit::Probe(model.epoch) {
                    model.probes -= 1;
                }
                breaker.give_back(permit);
            }
            Step::End(..) | Step::Drop(_) => {}
            Step::Wait(seconds) => now = now.after(Duration::from_secs(seconds)),
            Step::Tend => {
                if model.until.is_some_and(|until| until <= now) {
                    model.turn(Kind::HalfOpen, now);
                    assert!(breaker.half_open(Cause::TimeOver, now));
                }
            }
            Step::Reset => {
                model.turn(Kind::Closed, now);
                breaker.reset(Cause::Reset, now);
            }
            Step::Configure(calls_max) => {
                model.rules.calls_max = calls_max;
                while model.calls.len() > calls_max {
                    model.calls.pop_front();
                }
                breaker.configure(&Arc::new(model.rules.clone()));
            }
        }
        is_as(&breaker, &model, now, step);
    }
}

fn is_as(breaker: &Breaker, model: &Model, now: Moment, step: &Step) {
    assert_eq!(breaker.kind(), model.kind, "{step:?}");
    assert_eq!(breaker.history(|history| history.until), model.until, "{step:?}");
    if model.kind == Kind::HalfOpen {
        let counts = (u64::from(model.probes), u64::from(model.successes));
        assert_eq!((breaker.probes(), breaker.successes()), counts, "{step:?}");
    }
    if model.kind == Kind::Closed {
        let window = breaker.window().unwrap();
        let age_max = model.rules.age_max;
        let young = model
            .calls
            .iter()
            .filter(|call| age_max.is_none_or(|age| now.since(call.2) < age))
            .map(|call| call.0.index());
        let (mut want, mut is): (Vec<_>, Vec<_>) =
            (young.collect(), window.outcomes(now).map(Outcome::index).collect());
        want.sort_unstable();
        is.sort_unstable();
        assert_eq!(is, want, "{step:?}");
        assert_eq!(window.row().failures, model.failures_in_a_row, "{step:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn a_circuit_does_what_the_plain_model_does(
        rules in any_rules(),
        steps in prop::collection::vec(step(), 1..120),
    ) {
        play(&rules, &steps);
    }
}

#[test]
fn the_history_is_bounded_and_says_why() {
    let breaker = Breaker::default();
    breaker.configure(&Arc::new(rules()));
    let now = Moment::from_micros(1);
    for _ in 0..15 {
        let trip = breaker.trip(Cause::OutlierErrors).unwrap();
        assert!(breaker.open(trip, now) && !breaker.open(trip, now), "once");
        assert!(breaker.half_open(Cause::TimeOver, now));
        breaker.settle(breaker.probe().unwrap(), RESET, Duration::ZERO, now);
        breaker.reset(Cause::Reset, now);
    }
    let causes = breaker
        .history(|history| history.changes.iter().map(|change| change.cause).collect::<Vec<_>>());
    assert_eq!(causes.len(), CHANGES_MAX);
    assert_eq!(
        causes[16..],
        [Cause::OutlierErrors, Cause::TimeOver, Cause::ProbeFailed, Cause::Reset]
    );
    assert_eq!((breaker.news().len(), breaker.news().len()), (CHANGES_MAX, 0));
}

#[test]
fn who_is_held_closed_never_opens() {
    let breaker = Breaker::default();
    breaker.configure(&Arc::new(rules()));
    breaker.hold(true);
    for _ in 0..50 {
        let (_, verdict) = breaker.settle(breaker.call(), RESET, SLOW, Moment::from_micros(1));
        assert_eq!(verdict, Verdict::Stays);
    }
    assert_eq!(breaker.trip(Cause::OutlierErrors), None);
    breaker.hold(false);
    let (_, verdict) = breaker.settle(breaker.call(), RESET, SLOW, Moment::from_micros(1));
    assert!(matches!(verdict, Verdict::Trips(_)), "what it remembers counts again");
}

/// Eight threads call, open, half-open and reset one circuit: probes stay within their limit,
/// each change happens once, and nothing is left at the end.
#[test]
fn threads_agree() {
    const PROBES_MAX: u8 = 3;
    let breaker = Breaker::default();
    breaker.configure(&Arc::new(Rules { probes_max: PROBES_MAX, ..rules() }));
    let (opened, closed, probing) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    let count = |counter: &AtomicU64| {
        counter.fetch_add(1, Ordering::AcqRel);
    };
    let call = |thread: u64, number: u64| {
        let random = mix(thread << 32 | number);
        let now = Moment::from_micros(number);
        let outcome = if random.is_multiple_of(3) { RESET } else { Outcome::Success };
        let probe = breaker.probe();
        if probe.is_some() {
            // Of one epoch at most; another one may begin meanwhile.
            assert!(breaker.probes() <= u64::from(PROBES_MAX));
            count(&probing);
        }
        let permit = probe.unwrap_or_else(|| breaker.call());
        if random.is_multiple_of(11) {
            return breaker.give_back(permit);
        }
        match breaker.settle(permit, outcome, Duration::ZERO, now).1 {
            Verdict::Trips(trip) if breaker.open(trip, now) => count(&opened),
            Verdict::Closed => count(&closed),
            _ => {}
        }
        breaker.half_open(Cause::TimeOver, now);
    };
    std::thread::scope(|scope| {
        let call = &call;
        let run = |thread| move || (0..20_000).for_each(|number| call(thread, number));
        (0..8).for_each(|thread| drop(scope.spawn(run(thread))));
    });
    let [opened, closed, probing] = [opened, closed, probing].map(AtomicU64::into_inner);
    let is_out = u64::from(breaker.kind() != Kind::Closed);
    assert_eq!(opened, closed + is_out, "each opening is closed once, but for the last");
    assert!(opened > 10 && probing > 10, "{opened} openings, {probing} probes");
    assert_eq!(breaker.probes(), 0, "no probe is left");
}
