//! Simulation: random requests through the machine on a virtual clock.
//!
//! Each seed builds a config, compiles it as the process would, and drives many exchanges at
//! once with random events: answers, faults, stalls, time. After each step the invariants
//! below are checked. A failure prints its seed; `SEED=n cargo test --test sim` replays it,
//! `SEEDS=n` and `STEPS=n` run more.
//!
//! Invariants:
//! 1. in-flight counts equal the attempts that have begun and not ended, per backend;
//! 2. they are zero when all requests are over;
//! 3. a request gets at most one answer, and none after its head was sent;
//! 4. an attempt is only at a backend of the route's pool, and there are never more than the
//!    rules allow (first, retries, replays);
//! 5. an ended request stays ended, with the status and reason it ended with;
//! 6. every attempt ends with an outcome, and what the client did is no failure;
//! 7. the deadline is never further away than the largest limit that holds;
//! 8. round robin: backends' turns differ by at most one while no attempt is repeated;
//! 9. no more requests count for the pool's limit than it allows, and none when all are gone.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "what cannot be here must fail the test"
)]

#[path = "seeds/mod.rs"]
mod seeds;

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};
use vanne::config::{self, Format, Source};
use vanne::control::compile::{self, Means};
use vanne::control::kept::Kept;
use vanne::data::exchange::{self, Action, Beginning, Event, Exchange, Waiting};
use vanne::data::generation::Generation;
use vanne::data::listener::{Client, LocalListener};
use vanne::data::outcome::Outcome;
use vanne::data::pool::Pool;
use vanne::data::refusal::{Party, Refusal};
use vanne::data::snapshot::{Publisher, Reader, Snapshot};
use vanne::data::upstream::{AttemptRecord, Fault};
use vanne::observe::metrics::Metrics;
use vanne::types::clock;
use vanne::types::moment::Moment;
use vanne::types::request_id::RequestId;
use vanne_filters::{FieldSlice, RequestHead, ResponseHead, Version};

const SEEDS: u64 = 64;
const STEPS: u32 = 1000;
const CONCURRENT_MAX: usize = 40;
const TOTAL: Duration = Duration::from_secs(60);

#[test]
fn invariants_hold_for_every_seed() {
    seeds::hold("sim", SEEDS, STEPS, |seed, steps| World::new(seed).run(steps));
}

/// One request under way, and what an engine would remember of it.
struct Running {
    machine: exchange::Running,
    state: State,
    answers: u32,
    is_head_sent: bool,
}

impl Running {
    fn exchange(&self) -> &Exchange {
        self.machine.exchange().unwrap()
    }

    fn exchange_mut(&mut self) -> &mut Exchange {
        self.machine.exchange_mut().unwrap()
    }
}

/// What the engine does for a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    ReadingHead,
    Waiting,
    Connecting,
    Streaming,
    Tunnel,
    Over,
}

struct World {
    rng: fastrand::Rng,
    now: Instant,
    reader: Reader,
    listener: LocalListener,
    backends: usize,
    retries: usize,
    limit: Option<u32>,
    running: Vec<Running>,
    /// Attempts at each backend by requests that made only one.
    repeated: bool,
    turns: HashMap<String, u32>,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let backends = rng.usize(0..6);
        let retries = rng.usize(0..4);
        let limit = rng.bool().then(|| rng.u32(1..30));
        let overload = limit.map(|limit| format!("overload.max_in_flight = {limit}"));
        let chain = if rng.bool() { r#""cached", "static:sorry""# } else { "" };
        let list: Vec<String> =
            (0..backends).map(|n| format!("\"127.0.0.1:{}\"", 9000 + n)).collect();
        let text = format!(
            r#"
            [listener.http]
            address = "127.0.0.1:80"
            timeouts = {{ head = "10s", idle = "60s", between_bytes = "20s" }}
            [pool.a]
            backends = [{}]
            retries = {{ attempts = {retries}, budget_floor = 1000 }}
            breaker = {{ failures = 0, failure_rate = "0%" }}
            fallback = [{chain}]
            {}
            timeouts = {{ connect = "5s", first_byte = "30s", between_bytes = "20s" }}
            [page.sorry]
            html = "sorry"
            [[route]]
            name = "a"
            priority = "high"
            match = {{ path = "/a" }}
            pool = "a"
            timeouts = {{ total = "60s", tunnel_idle = "50s" }}
            "#,
            list.join(","),
            overload.unwrap_or_default()
        );
        let source =
            Source { name: "sim", text: &text, format: Format::Toml, folder: ".".as_ref() };
        let config = config::parse(&source, &config::ProcessEnvironment).unwrap().config;
        let metrics = Arc::new(Metrics::new(1).unwrap());
        let mut kept = Kept::default();
        let mut means = Means { metrics: &metrics, kept: &mut kept, now: clock::now() };
        let generation = Generation::new(1);
        let compiled = compile::snapshot(&config, &generation, &mut means).unwrap();
        for plan in &compiled.pools {
            plan.publish(Moment::of(clock::now()));
        }
        let (id, listener) = config.listener.first_key_value().unwrap();
        let listener = compile::listener(id, listener, &config.page, None, &mut means).unwrap();
        Self {
            now: clock::now(),
            reader: Publisher::new(compiled.snapshot).reader(),
            listener: Arc::new(Arc::new(listener)),
            rng,
            backends,
            limit,
            retries,
            running: Vec::new(),
            repeated: false,
            turns: HashMap::new(),
        }
    }

    fn run(mut self, steps: u32) {
        for _ in 0..steps {
            self.step();
            self.check();
        }
        while let Some(index) = self.running.iter().position(|r| r.state != State::Over) {
            self.report(index, Event::Aborted(Refusal::DrainDeadline));
            self.check();
        }
        self.check_the_end();
    }

    fn step(&mut self) {
        if self.running.len() < CONCURRENT_MAX && self.rng.u8(..) < 80 {
            self.begin();
        }
        if self.rng.u8(..) < 60 {
            self.now += Duration::from_millis(self.rng.u64(1..8000));
            self.fire_deadlines();
        }
        if self.running.is_empty() {
            return;
        }
        let index = self.rng.usize(0..self.running.len());
        self.advance(index);
        let is_over =
            |running: &mut Running| running.state == State::Over && running.exchange().is_ended();
        for over in self.running.extract_if(.., is_over) {
            // Its memory is for those to come.
            over.machine.end();
        }
    }

    fn begin(&mut self) {
        let machine = exchange::Running::begin(Beginning {
            snapshot: self.reader.load(),
            listener: Arc::clone(&self.listener),
            client: Arc::new(Client::new("192.0.2.1:1000".parse().unwrap(), 80, false)),
            id: RequestId::next(&mut self.rng),
            now: self.now,
            wall: SystemTime::UNIX_EPOCH,
        });
        self.running.push(Running {
            machine,
            state: State::ReadingHead,
            answers: 0,
            is_head_sent: false,
        });
    }

    fn fire_deadlines(&mut self) {
        for index in 0..self.running.len() {
            let running = &self.running[index];
            if running.state != State::Over && running.exchange().deadline() <= self.now {
                let attempts = running.exchange().attempts.iter().filter(|a| is_open(a)).count();
                self.report(index, Event::Deadline);
                let exchange = self.running[index].exchange();
                assert!(
                    exchange.is_ended() || attempts == 1,
                    "a deadline that was reached ends the request, or its attempt: {:?}",
                    self.running[index].state
                );
            }
        }
    }

    /// One thing that can happen to request `index` now.
    fn advance(&mut self, index: usize) {
        let dice = self.rng.u8(..100);
        match self.running[index].state {
            State::ReadingHead => self.head_comes(index, dice),
            State::Waiting => self.report(index, Event::Resumed),
            State::Connecting => self.connect_ends(index, dice),
            State::Streaming | State::Tunnel => self.stream_moves(index, dice),
            State::Over => {}
        }
    }

    fn head_comes(&mut self, index: usize, dice: u8) {
        if dice < 5 {
            let fault = Event::Failed(Fault::ClientGone);
            return self.report(index, fault);
        }
        let upgrade = [("host", "h"), ("upgrade", "websocket"), ("connection", "upgrade")];
        let (target, fields): (&[u8], &[(&str, &str)]) = match dice {
            5..10 => (b"/nowhere", &upgrade[..1]),
            10..15 => (b"/a", &[]),
            15..30 => (b"/a/ws", &upgrade),
            _ => (b"/a/x", &upgrade[..1]),
        };
        let list = FieldSlice(fields);
        let head = RequestHead::new("GET", target, Version::Http11, &list);
        self.report(index, Event::Request { head, has_body: dice > 70 });
    }

    fn connect_ends(&mut self, index: usize, dice: u8) {
        let fault = match dice {
            0..70 => return self.report(index, Event::Connected { is_reused: dice < 30 }),
            70..80 => Fault::ConnectRefused,
            80..90 => Fault::ConnectTimeout,
            90..95 => Fault::ConnectFailed,
            _ => Fault::ClientGone,
        };
        self.report(index, Event::Failed(fault));
    }

    fn stream_moves(&mut self, index: usize, dice: u8) {
        let fields = FieldSlice(&[]);
        let is_head_sent = self.running[index].is_head_sent;
        let status = if dice.is_multiple_of(5) { 503 } else { 200 };
        let failed = Event::Failed;
        let event = match dice {
            0..10 => Event::Parked(Waiting::Client),
            10..20 => Event::Parked(Waiting::Backend),
            20..30 => Event::RequestBody { is_last: dice < 25, is_kept: dice.is_multiple_of(2) },
            30..35 if !is_head_sent => {
                Event::Response(ResponseHead { status: 103, fields: &fields })
            }
            35..40 if !is_head_sent => {
                Event::Response(ResponseHead { status: 101, fields: &fields })
            }
            40..65 if !is_head_sent => Event::Response(ResponseHead { status, fields: &fields }),
            40..80 if is_head_sent && dice < 60 => Event::ResponseBody,
            60..80 if is_head_sent => Event::Ended,
            80..85 => failed(Fault::BackendClosed),
            85..88 => failed(Fault::BackendMalformed),
            88..92 => failed(Fault::ClientGone),
            92..94 => failed(Fault::ClientMalformed),
            94..95 => Event::Aborted(Refusal::Panic),
            _ => Event::Deadline,
        };
        self.report(index, event);
    }

    /// Reports an event and does what an engine would do with the action.
    fn report(&mut self, index: usize, event: Event<'_>) {
        let is_final_head = matches!(&event, Event::Response(head) if head.status >= 200);
        let before = (
            self.running[index].exchange().is_ended(),
            self.running[index].exchange().status(),
            self.running[index].exchange().refusal(),
        );
        let action = self.running[index].exchange_mut().step(event, self.now);
        let running = &mut self.running[index];
        let ended = running.exchange().is_ended();
        if before.0 {
            let after = (true, running.exchange().status(), running.exchange().refusal());
            assert_eq!(before, after, "5: an ended request stays as it ended");
        }
        match action {
            Action::Continue => {
                running.is_head_sent |= is_final_head;
                if running.state == State::Connecting {
                    running.state = State::Streaming;
                }
            }
            Action::Tunnel => {
                running.is_head_sent = true;
                running.state = State::Tunnel;
            }
            Action::Wait(_) => running.state = State::Waiting,
            Action::Read(_) => unreachable!("no route has a firewall"),
            Action::Attempt(_) => running.state = State::Connecting,
            Action::Answer(_) => {
                running.answers += 1;
                assert!(!running.is_head_sent, "3: no answer after a head was sent");
                running.is_head_sent = true;
                assert!(ended);
            }
            Action::Cut | Action::Done => assert!(ended || before.0),
        }
        if ended {
            running.state = State::Over;
            self.count_turns(index);
        }
    }

    fn count_turns(&mut self, index: usize) {
        let attempts = &self.running[index].exchange().attempts;
        self.repeated |= attempts.len() > 1;
        for attempt in attempts {
            *self.turns.entry(attempt.backend().name.to_string()).or_default() += 1;
        }
    }

    fn check(&self) {
        let mut open: HashMap<&str, u32> = HashMap::new();
        for running in &self.running {
            let exchange = running.exchange();
            assert!(running.answers <= 1, "3: one answer at most");
            // First, retries, replays.
            assert!(exchange.attempts.len() <= 1 + self.retries + 3, "4: bounded attempts");
            assert!(exchange.deadline() <= self.now + TOTAL, "7: the deadline is near");
            for attempt in exchange.attempts.iter().filter(|attempt| is_open(attempt)) {
                *open.entry(&attempt.backend().name).or_default() += 1;
            }
            if exchange.is_ended() {
                assert!(exchange.attempts.iter().all(|a| a.ended.is_some()), "6: all have ended");
            }
        }
        let snapshot = self.reader.load();
        let members = pool_of(&snapshot).live.members();
        assert_eq!(members.all.len(), self.backends);
        let limited = pool_of(&snapshot).live.limited.count();
        assert!(limited <= self.limit.unwrap_or(0), "9: {limited} of {:?}", self.limit);
        for backend in members.all.iter().map(|member| &member.backend) {
            let counted = open.remove(&*backend.name).unwrap_or_default();
            assert_eq!(backend.state.in_flight(), counted, "1: in flight at {}", backend.name);
        }
        assert!(open.is_empty(), "4: attempts only at backends of the pool");
    }

    fn check_the_end(&mut self) {
        self.running.clear();
        let snapshot = self.reader.load();
        assert_eq!(pool_of(&snapshot).live.limited.count(), 0, "9: nobody is left");
        let members = pool_of(&snapshot).live.members();
        for backend in members.all.iter().map(|member| &member.backend) {
            assert_eq!(backend.state.in_flight(), 0, "2: nothing is left");
        }
        let turns: Vec<u32> = members
            .all
            .iter()
            .map(|b| self.turns.get(&*b.backend.name).copied().unwrap_or_default())
            .collect();
        if let (false, Some(most), Some(least)) =
            (self.repeated, turns.iter().max(), turns.iter().min())
        {
            assert!(most - least <= 1, "8: fair turns, {turns:?}");
        }
    }
}

/// The pool of the only route.
fn pool_of(snapshot: &Snapshot) -> &Arc<Pool> {
    let head = RequestHead::new("GET", b"/a", Version::Http11, &FieldSlice(&[]));
    let route = snapshot.routes.find(&head, Ipv4Addr::LOCALHOST.into());
    let Some(pool) = route.and_then(|route| route.target.pool()) else {
        panic!("the route is there")
    };
    pool
}

/// Whether `attempt` is under way; one that has ended has an outcome, and what the client did
/// is no failure.
fn is_open(attempt: &AttemptRecord) -> bool {
    match (attempt.ended, attempt.outcome) {
        (None, None) => true,
        (Some(_), Some(outcome)) => {
            let by = attempt.refusal.map(|refusal| refusal.row().by);
            let is_failure = matches!(outcome, Outcome::Failure(_));
            assert!(!(by == Some(Party::Client) && is_failure), "6: {outcome:?}");
            false
        }
        other => panic!("6: an end without an outcome: {other:?}"),
    }
}
