//! Simulation of pools: balancer, health, circuits, outliers, queue, stickiness, operators and
//! splits on a virtual clock.
//!
//! Each seed compiles a config as the process would and lets random things happen to it. A
//! failure prints its seed; `SEED=n cargo test --test pool_sim` replays it, `SEEDS=n` and
//! `STEPS=n` run more.
//!
//! Invariants:
//! 1. nobody is picked who is out (an open circuit), has weight 0 or no place left;
//! 2. counts in flight equal the places held, per backend and over the pool;
//! 3. the guard holds: never are more circuits open than it lets, but of those who are gone;
//! 4. who waits is served in the order of coming;
//! 5. a sticky client gets its backend while that keeps clients and has a place;
//! 6. at the end nothing is in flight, and nobody waits;
//! 7. nobody starves: when all is well each backend with a weight is picked;
//! 8. a split's clients stay on their side while weights stand;
//! 9. there are no more probes than may be, and each is one of those that are held;
//! 10. no circuit is open for ever.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "what cannot be here must fail the test"
)]

#[path = "seeds/mod.rs"]
mod seeds;

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use vanne::config::{self, Format, Source};
use vanne::control::compile::{self, Means};
use vanne::control::health::{Finding, Verdict};
use vanne::control::kept::Kept;
use vanne::control::pools::{Change, Order, Pools, Said, Standing};
use vanne::data::balance::Choice;
use vanne::data::breaker::Kind;
use vanne::data::generation::Generation;
use vanne::data::outcome::{Category, Outcome};
use vanne::data::pool::{
    Backend, Live, Member, Out, Picked, Place, Pool, Queue, QueueRules, Ticket,
};
use vanne::data::snapshot::Snapshot;
use vanne::data::target::Target;
use vanne::observe::metrics::Metrics;
use vanne::types::clock;
use vanne::types::moment::Moment;
use vanne_filters::{FieldSlice, RequestHead, Version};

/// Nobody would wait too long: places come by the real clock, and not by that of the simulation.
const RULES: QueueRules = QueueRules { size: 20, timeout: Duration::from_secs(1 << 40) };
const SEEDS: u64 = 256;
const STEPS: u32 = 3000;
const ALGORITHMS: [&str; 5] =
    ["round-robin", "weighted", "least-connections", "ip-hash", "least-response-time"];

#[test]
fn invariants_hold_for_every_seed() {
    seeds::hold("pool_sim", SEEDS, STEPS, |seed, steps| World::new(seed).run(steps));
}

/// What `text` compiles to, as the process would, and its pools with their members.
fn compiled(text: &str) -> (Snapshot, Pools, Instant) {
    let source = Source { name: "sim", text, format: Format::Toml, folder: ".".as_ref() };
    let config = config::parse(&source, &config::ProcessEnvironment).unwrap().config;
    let (metrics, mut kept) = (Arc::new(Metrics::new(1).unwrap()), Kept::default());
    let now = clock::now();
    let mut means = Means { metrics: &metrics, kept: &mut kept, now };
    let compiled = compile::snapshot(&config, &Generation::new(1), &mut means).unwrap();
    let mut pools = Pools::default();
    pools.apply(compiled.pools, &mut means);
    kept.commit();
    (compiled.snapshot, pools, now)
}

struct World {
    rng: fastrand::Rng,
    now: Instant,
    pools: Pools,
    pool: Arc<Pool>,
    check: vanne::control::health::CheckId,
    snapshot: Snapshot,
    limit: u32,
    guard: usize,
    probes_max: u64,
    held: Vec<Place>,
    waiting: Vec<Arc<Ticket>>,
    sides: HashMap<u32, String>,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let count = rng.u16(1..12);
        let backends: Vec<String> = (0..count)
            .map(|n| format!("\"127.0.0.1:{} weight={}\"", 9000 + n, rng.u8(0..4)))
            .collect();
        let limit = if rng.bool() { rng.u32(1..4) } else { u32::MAX };
        let (guard, probes_max) = (rng.usize(0..=100), rng.u64(1..4));
        let (failures, window) = (rng.u8(0..4), rng.u8(1..20));
        let max = if limit < u32::MAX { format!("max_requests = {limit}") } else { String::new() };
        let text = format!(
            r#"
            listener.http.address = "127.0.0.1:80"
            [pool.a]
            algorithm = "{}"
            backends = [{}]
            {max}
            queue.size = 20
            slow_start = "20s"
            health = {{ interval = "5s" }}
            sticky.cookie = "s"
            breaker = {{ failures = {failures}, window = {window}, min_calls = 1, open_for = "5s",
                backoff = 2, jitter = "10%", open_for_max = "40s",
                half_open_probes = {probes_max} }}
            guard = "{guard}%"
            outliers = {{ min_backends = 2, min_requests = 10, times_slower = 2 }}
            [pool.b]
            backends = ["127.0.0.1:9999"]
            [[route]]
            name = "a"
            split = {{ pools = {{ a = 3, b = 1 }}, by = "header:user" }}
            "#,
            ALGORITHMS[rng.usize(0..ALGORITHMS.len())],
            backends.join(",")
        );
        let (compiled, pools, now) = compiled(&text);
        let head = RequestHead::new("GET", b"/", Version::Http11, &FieldSlice(&[]));
        let route = compiled.routes.find(&head, [127, 0, 0, 1].into()).unwrap().clone();
        let Target::Split(split) = &route.target else { unreachable!("it is a split") };
        let check = pools.plan(&split.pools[0].0.id).unwrap().check.as_ref().unwrap().id;
        Self {
            pool: Arc::clone(&split.pools[0].0),
            snapshot: compiled,
            rng,
            now,
            pools,
            check,
            limit,
            guard,
            probes_max,
            held: Vec::new(),
            waiting: Vec::new(),
            sides: HashMap::new(),
        }
    }

    fn live(&self) -> Arc<Live> {
        Arc::clone(&self.pool.live)
    }

    fn moment(&self) -> Moment {
        Moment::of(self.now)
    }

    fn members(&self) -> Vec<Member> {
        self.pool.live.members().all.clone()
    }

    fn any_address(&mut self) -> SocketAddr {
        let members = self.members();
        members[self.rng.usize(0..members.len())].backend.address
    }

    fn run(mut self, steps: u32) {
        for _ in 0..steps {
            self.step();
            self.check();
        }
        self.end();
    }

    fn step(&mut self) {
        match self.rng.u8(..100) {
            0..40 => self.arrive(),
            40..70 => self.finish(),
            70..75 => self.give_up(),
            75..85 => self.probe(),
            85..87 => self.operate(),
            87 => self.order(),
            88..92 => self.split(),
            _ => {
                self.now += Duration::from_millis(self.rng.u64(1..3000));
                self.pools.tend(self.moment());
            }
        }
        self.collect();
    }

    fn arrive(&mut self) {
        let live = self.live();
        let (key, random) = (self.rng.u64(..), self.rng.u64(..));
        if self.rng.u8(..) < 50 {
            return self.arrive_sticky();
        }
        let choice = Choice { key, random, now: self.moment(), ..Choice::default() };
        match live.pick(&choice) {
            Picked::Backend(place) => {
                self.is_rightly_picked(&place);
                self.held.push(place);
            }
            Picked::Full => {
                assert!(self.limit < u32::MAX, "full without a limit");
                let ticket = Queue::join(&live, key, RULES, self.moment());
                self.waiting.extend(ticket.ok().map(Arc::new));
            }
            Picked::Nobody(_) | Picked::Exhausted => {}
        }
    }

    /// A client that had a backend: the same rules as `exchange/stickiness.rs`.
    fn arrive_sticky(&mut self) {
        let live = self.live();
        let address = self.any_address();
        let members = live.members();
        let own = members.all.iter().find(|member| member.backend.address == address).unwrap();
        let found = members.by_tag(own.backend.tag).unwrap();
        assert!(Arc::ptr_eq(&found.backend, &own.backend), "5: the token names its backend");
        let is_out = own.backend.state.out() & !(Out::Drain as u8 | Out::HalfOpen as u8) != 0;
        assert_eq!(members.keeps_clients(found), !is_out, "5: only these keep clients");
        if members.is_half_open(found) {
            self.held.extend(live.enter_as_probe(&members, found));
            return;
        }
        let has_place = own.backend.state.in_flight() < own.limit;
        if members.keeps_clients(found) {
            let place = live.enter(found);
            assert_eq!(place.is_some(), has_place, "5: a place if there is one");
            self.held.extend(place);
        }
    }

    fn is_rightly_picked(&self, place: &Place) {
        let members = self.pool.live.members();
        let is_it = |member: &&Member| Arc::ptr_eq(&member.backend, place.backend());
        let member = members.all.iter().find(is_it).unwrap();
        let despite = if place.is_probe() { Out::HalfOpen as u8 } else { members.overlooked };
        assert_eq!(member.backend.state.out() & !despite, 0, "1: it is out");
        assert!(member.weight > 0, "1: it has weight 0");
    }

    fn finish(&mut self) {
        if self.held.is_empty() {
            return;
        }
        let mut place = self.held.swap_remove(self.rng.usize(0..self.held.len()));
        let outcome = match self.rng.u8(..10) {
            0..2 => Outcome::Failure(Category::Connect),
            2..4 => Outcome::Failure(Category::ALL[self.rng.usize(..Category::ALL.len())]),
            4 => Outcome::ClientError,
            5 => return,
            _ => Outcome::Success,
        };
        let time = Duration::from_millis(self.rng.u64(1..7000));
        place.backend().state.latency.observe(time, self.moment());
        let is_failure = matches!(outcome, Outcome::Failure(_));
        place.backend().state.window.note(time, is_failure, self.moment());
        place.settle(outcome, time, self.moment());
    }

    fn give_up(&mut self) {
        if !self.waiting.is_empty() {
            drop(self.waiting.remove(self.rng.usize(0..self.waiting.len())));
        }
    }

    fn probe(&mut self) {
        let verdict = if self.rng.bool() { Verdict::Up } else { Verdict::Down };
        let finding = Finding {
            address: self.any_address(),
            check: self.check,
            verdict,
            reason: String::new(),
            at: self.now,
        };
        self.pools.checked(&finding, self.moment());
        if self.rng.bool() {
            self.pools.tend(self.moment());
        }
    }

    fn operate(&mut self) {
        let states = [Standing::Ready, Standing::Drain, Standing::Maint];
        let change = Change {
            state: Some(states[self.rng.usize(0..3)]),
            weight: self.rng.bool().then(|| self.rng.u16(0..5)),
            for_seconds: self.rng.bool().then_some(10),
            ..Change::default()
        };
        let backend = self.any_address().to_string();
        self.pools.change("a", &backend, &change, self.moment()).unwrap();
    }

    fn order(&mut self) {
        let orders = [Order::ForceOpen, Order::ForceClosed, Order::Reset, Order::Auto];
        let order = orders[self.rng.usize(0..4)];
        let holds = matches!(order, Order::ForceOpen | Order::ForceClosed);
        let for_seconds = (holds && self.rng.bool()).then_some(10);
        let said = Said { for_seconds, ..Said::default() };
        let address = self.any_address();
        self.pools.order("a", &address.to_string(), order, &said, self.moment()).unwrap();
        let members = self.members();
        let backend = members.iter().find(|member| member.backend.address == address).unwrap();
        let is_forced = backend.backend.state.out() & Out::ForcedOpen as u8 != 0;
        assert_eq!(is_forced, order == Order::ForceOpen, "1: it is as the operator says");
    }

    fn split(&mut self) {
        let user = self.rng.u32(..200);
        let value = user.to_string();
        let fields = [("user", value.as_str())];
        let fields = FieldSlice(&fields);
        let head = RequestHead::new("GET", b"/", Version::Http11, &fields);
        let route = self.snapshot.routes.find(&head, [127, 0, 0, 1].into()).unwrap();
        let Target::Split(split) = &route.target else { unreachable!("it is a split") };
        let chosen = split.choose(&head, [127, 0, 0, 1].into(), 0).unwrap().pool.id.to_string();
        let before = self.sides.entry(user).or_insert_with(|| chosen.clone());
        assert_eq!(*before, chosen, "8: a client flipped");
    }

    /// Takes the places that were granted: the first who wait have them.
    fn collect(&mut self) {
        let mut still = Vec::new();
        for ticket in std::mem::take(&mut self.waiting) {
            match ticket.take_or_wait() {
                Ok(Some(place)) => {
                    assert!(still.is_empty(), "4: somebody before it waits still");
                    self.is_rightly_picked(&place);
                    self.held.push(place);
                }
                Ok(None) => {}
                Err(()) => still.push(ticket),
            }
        }
        self.waiting = still;
    }

    fn check(&self) {
        let live = &self.pool.live;
        assert_eq!(live.in_flight() as usize, self.held.len(), "2: over the pool");
        assert_eq!(live.queue.len(), self.waiting.len(), "4: who waits is known");
        let members = live.members();
        for member in &members.all {
            let held = self.held.iter().filter(|p| Arc::ptr_eq(p.backend(), &member.backend));
            let in_flight = member.backend.state.in_flight();
            assert_eq!(in_flight as usize, held.count(), "2: at {}", member.backend.name);
            assert!(in_flight <= member.limit, "1: more than {} places", member.limit);
        }
        let is_open = |m: &&Member| m.backend.state.breaker.kind() != Kind::Closed;
        let open = members.all.iter().filter(is_open);
        let is_gone = |m: &&Member| m.backend.state.breaker.history(|history| history.is_gone);
        let (gone, failing): (Vec<_>, Vec<_>) = open.partition(is_gone);
        assert_eq!(live.guard.out() as usize, gone.len() + failing.len(), "3: all are counted");
        let left = members.all.len() - failing.len();
        let holds = failing.is_empty() || left * 100 >= self.guard * members.all.len();
        assert!(holds, "3: the guard holds");
        members.all.iter().for_each(|member| self.check_circuit(&member.backend));
    }

    fn check_circuit(&self, backend: &Arc<Backend>) {
        let (state, breaker) = (&backend.state, &backend.state.breaker);
        let kind = breaker.kind();
        let marks = [Out::CircuitOpen, Out::HalfOpen].map(|why| state.out() & why as u8 != 0);
        assert_eq!(marks, [kind == Kind::Open, kind == Kind::HalfOpen], "1: marked as it is");
        if kind == Kind::HalfOpen {
            assert!(breaker.probes() <= self.probes_max, "9: more probes than may be");
            let is_probe =
                |place: &&Place| place.is_probe() && Arc::ptr_eq(place.backend(), backend);
            // Also those of an epoch before this one.
            let held = self.held.iter().filter(is_probe).count() as u64;
            assert!(breaker.probes() <= held, "9: {} probes of {held}", breaker.probes());
        }
        let until = breaker.history(|history| history.until);
        assert_eq!(until.is_some(), kind == Kind::Open, "10: who is open is so for a time");
    }

    fn end(mut self) {
        self.held.clear();
        self.collect();
        while !self.waiting.is_empty() && !self.held.is_empty() {
            self.held.clear();
            self.collect();
        }
        for member in self.members() {
            let finding = Finding {
                address: member.backend.address,
                check: self.check,
                verdict: Verdict::Up,
                reason: String::new(),
                at: self.now,
            };
            self.pools.checked(&finding, self.moment());
            let ready = Change { state: Some(Standing::Ready), ..Change::default() };
            self.pools.change("a", &member.backend.name, &ready, self.moment()).unwrap();
            let (order, said) = (Order::Auto, Said::default());
            self.pools.order("a", &member.backend.name, order, &said, self.moment()).unwrap();
        }
        self.now += Duration::from_secs(1000);
        self.pools.tend(self.moment());
        self.collect();
        self.held.clear();
        self.collect();
        self.held.clear();
        self.waiting.clear();
        self.check();
        self.nobody_starves();
        self.circuits_close();
        assert_eq!(self.pool.live.in_flight(), 0, "6: nothing is left");
    }

    /// When all is well, circuits close by the traffic that comes.
    fn circuits_close(&mut self) {
        let live = self.live();
        for number in 0..10_000 {
            if number % 1000 == 0 {
                // What the guard kept in service may open now, and has its time.
                self.now += Duration::from_secs(50);
                self.pools.tend(self.moment());
            }
            let choice = Choice { random: number, now: self.moment(), ..Choice::default() };
            if let Picked::Backend(mut place) = live.pick(&choice) {
                place.settle(Outcome::Success, Duration::ZERO, self.moment());
            }
        }
        self.pools.tend(self.moment());
        let is_open = |m: &&Member| m.weight > 0 && m.backend.state.breaker.kind() != Kind::Closed;
        assert_eq!(self.members().iter().filter(is_open).count(), 0, "10: all are closed");
    }

    fn nobody_starves(&mut self) {
        let live = self.live();
        let wanted: HashSet<SocketAddr> = self
            .members()
            .iter()
            .filter(|member| member.weight > 0)
            .map(|member| member.backend.address)
            .collect();
        let mut picked = HashSet::new();
        for _ in 0..400 * wanted.len() {
            let (key, random) = (self.rng.u64(..), self.rng.u64(..));
            let choice = Choice { key, random, now: self.moment(), ..Choice::default() };
            if let Picked::Backend(place) = live.pick(&choice) {
                picked.insert(place.backend().address);
            }
        }
        assert_eq!(picked, wanted, "7: everybody is picked");
    }
}

/// Ten backends, each of which fails 4 of a hundred calls, for an hour at ten requests a second:
/// no circuit opens, nor is anybody an outlier. Five in a row by chance are one in ten million
/// calls, so the rule of five opens a circuit in one of some hundreds of such hours.
#[test]
fn a_few_errors_everywhere_open_nothing() {
    seeds::hold("pool_sim a_few_errors", 16, 36_000, |seed, steps| {
        let backends: Vec<_> = (0..10).map(|n| format!("\"127.0.0.1:{}\"", 9000 + n)).collect();
        let text = format!(
            "listener.http.address = \"127.0.0.1:80\"\n[pool.a]\nbackends = [{}]\n\
             outliers = {{ min_requests = 30 }}\n[[route]]\nname = \"a\"\npool = \"a\"\n",
            backends.join(",")
        );
        let mut rng = fastrand::Rng::with_seed(seed);
        let (_, mut pools, mut now) = compiled(&text);
        let live = Arc::clone(&pools.plan(&"a".parse().unwrap()).unwrap().live);
        for _ in 0..steps {
            now += Duration::from_millis(100);
            let at = Moment::of(now);
            pools.tend(at);
            let choice = Choice { random: rng.u64(..), now: at, ..Choice::default() };
            let Picked::Backend(mut place) = live.pick(&choice) else { panic!("all are there") };
            let is_failure = rng.u8(..100) < 4;
            let outcome = match is_failure {
                true => Outcome::Failure(Category::Status),
                false => Outcome::Success,
            };
            let time = Duration::from_millis(rng.u64(5..100));
            place.backend().state.window.note(time, is_failure, at);
            place.settle(outcome, time, at);
            assert_eq!(live.guard.out(), 0, "a circuit has opened");
        }
    });
}
