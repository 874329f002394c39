//! Simulation of pools: balancer, health, ejection, queue, stickiness, operators and splits on
//! a virtual clock.
//!
//! Each seed compiles a config as the process would and lets random things happen to it. A
//! failure prints its seed; `SEED=n cargo test --test pool_sim` replays it, `SEEDS=n` and
//! `STEPS=n` run more.
//!
//! Invariants:
//! 1. nobody is picked who is out, has weight 0 or no place left;
//! 2. counts in flight equal the places held, per backend and over the pool;
//! 3. the guard holds: never more than a share of the pool is ejected;
//! 4. who waits is served in the order of coming;
//! 5. a sticky client gets its backend while that keeps clients and has a place;
//! 6. at the end nothing is in flight, and nobody waits;
//! 7. nobody starves: when all is well each backend with a weight is picked;
//! 8. a split's clients stay on their side while weights stand.

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
use vanne::control::pools::{Change, Pools, Standing};
use vanne::data::balance::Choice;
use vanne::data::generation::Generation;
use vanne::data::outcome::{Category, Outcome};
use vanne::data::pool::{Live, Member, Out, Picked, Place, Pool, Queue, Ticket};
use vanne::data::snapshot::Snapshot;
use vanne::data::target::Target;
use vanne::observe::metrics::Metrics;
use vanne::types::clock;
use vanne::types::moment::Moment;
use vanne_filters::{FieldSlice, RequestHead, Version};

const SEEDS: u64 = 256;
const STEPS: u32 = 3000;
const ALGORITHMS: [&str; 5] =
    ["round-robin", "weighted", "least-connections", "ip-hash", "least-response-time"];

#[test]
fn invariants_hold_for_every_seed() {
    seeds::hold("pool_sim", SEEDS, STEPS, |seed, steps| World::new(seed).run(steps));
}

struct World {
    rng: fastrand::Rng,
    now: Instant,
    pools: Pools,
    pool: Arc<Pool>,
    check: vanne::control::health::CheckId,
    snapshot: Snapshot,
    limit: u32,
    share_max: usize,
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
        let share_max = rng.usize(0..=100);
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
            passive_health = {{ failures = 2, out_for = "5s", share_max = "{share_max}%" }}
            [pool.b]
            backends = ["127.0.0.1:9999"]
            [[route]]
            name = "a"
            split = {{ pools = {{ a = 3, b = 1 }}, by = "header:user" }}
            "#,
            ALGORITHMS[rng.usize(0..ALGORITHMS.len())],
            backends.join(",")
        );
        let source =
            Source { name: "sim", text: &text, format: Format::Toml, folder: ".".as_ref() };
        let config = config::parse(&source, &config::ProcessEnvironment).unwrap().config;
        let (metrics, mut kept) = (Arc::new(Metrics::new(1).unwrap()), Kept::default());
        let now = clock::now();
        let mut means = Means { metrics: &metrics, kept: &mut kept, now };
        let compiled = compile::snapshot(&config, &Generation::new(1), &mut means).unwrap();
        let mut pools = Pools::default();
        pools.apply(compiled.pools, &mut means);
        kept.commit();
        let head = RequestHead::new("GET", b"/", Version::Http11, &FieldSlice(&[]));
        let route = compiled.snapshot.routes.find(&head, [127, 0, 0, 1].into()).unwrap().clone();
        let Target::Split(split) = &route.target else { unreachable!("it is a split") };
        let check = pools.plan(&split.pools[0].0.id).unwrap().check.as_ref().unwrap().id;
        Self {
            pool: Arc::clone(&split.pools[0].0),
            snapshot: compiled.snapshot,
            rng,
            now,
            pools,
            check,
            limit,
            share_max,
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
            85..88 => self.operate(),
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
                let ticket = Queue::join(&live, key, 20, self.moment());
                self.waiting.extend(ticket.map(Arc::new));
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
        let is_out = own.backend.state.out() & !(Out::Drain as u8) != 0;
        assert_eq!(members.keeps_clients(found), !is_out, "5: only draining ones keep clients");
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
        assert_eq!(member.backend.state.out() & !members.overlooked, 0, "1: it is out");
        assert!(member.weight > 0, "1: it has weight 0");
    }

    fn finish(&mut self) {
        if self.held.is_empty() {
            return;
        }
        let place = self.held.swap_remove(self.rng.usize(0..self.held.len()));
        let outcome = match self.rng.u8(..10) {
            0..4 => Outcome::Failure(Category::Connect),
            4 => Outcome::ClientError,
            _ => Outcome::Success,
        };
        let time = Duration::from_millis(self.rng.u64(1..500));
        place.backend().state.latency.observe(time, self.moment());
        let rules = self.pool.ejection.as_ref().unwrap();
        self.pool.live.note(place.backend(), outcome, rules, self.moment());
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
        let is_ejected = |m: &&Member| m.backend.state.out() & Out::Ejected as u8 != 0;
        let ejected = members.all.iter().filter(is_ejected).count();
        assert!(ejected * 100 <= members.all.len() * self.share_max, "3: the guard holds");
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
        assert_eq!(self.pool.live.in_flight(), 0, "6: nothing is left");
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
