//! The machine on a virtual clock: what each event does in each phase.

mod answers;
mod carried;
mod seen;

use super::memory::Room;
use super::*;
use crate::data::balance;
use crate::data::effects::Effect;
use crate::data::listener;
use crate::data::pool::{Members, Out};
use crate::data::route::{Match, RouteTable};
use crate::data::snapshot::Snapshot;
use crate::data::snapshot::tests::{pool_of, route_to};
use std::time::Duration;
use vanne_filters::{FieldSlice, RequestHead};

const S: Duration = Duration::from_secs(1);

/// An exchange, its clock and what drives it.
struct Lab {
    exchange: Exchange,
    now: Instant,
}

impl Lab {
    /// With one route for everything, to a pool of so many backends (first byte 10 s,
    /// between bytes 5 s, total 100 s, tunnel idle 50 s).
    fn new(backends: usize) -> Self {
        Self::to(route_to(pool_of(backends), "all"))
    }

    /// With this route for everything.
    fn to(route: Arc<Route>) -> Self {
        let mut routes = RouteTable::default();
        routes.add(Match::prefix("/"), route);
        Self::of(Snapshot { routes, ..Snapshot::default() }, listener::tests::plain(), false)
    }

    fn of(snapshot: Snapshot, listener: LocalListener, is_tls: bool) -> Self {
        let now = crate::types::clock::now();
        let exchange = Exchange::begin(Beginning {
            snapshot: Arc::new(Arc::new(snapshot)),
            listener,
            client: Arc::new(Client::new("192.0.2.1:1000".parse().unwrap(), 80, is_tls)),
            id: RequestId::next(&mut fastrand::Rng::with_seed(1)),
            now,
            wall: SystemTime::UNIX_EPOCH,
        });
        Self { exchange, now }
    }

    fn step(&mut self, event: Event<'_>) -> Action {
        self.exchange.step(event, self.now)
    }

    fn request_with(&mut self, fields: &[(&str, &str)], has_body: bool) -> Action {
        let list = FieldSlice(fields);
        let head = RequestHead::new("GET", b"/x", Version::Http11, &list);
        self.step(Event::Request { head, has_body })
    }

    fn request(&mut self) -> Action {
        self.request_with(&[("host", "a")], false)
    }

    fn connected(&mut self) -> Action {
        self.step(Event::Connected { is_reused: false })
    }

    fn response(&mut self, status: u16) -> Action {
        let agreement = [("upgrade", "websocket"), ("connection", "upgrade")];
        let fields = FieldSlice(if status == 101 { &agreement } else { &[] });
        self.step(Event::Response(ResponseHead { status, fields: &fields }))
    }

    fn fault(&mut self, fault: Fault) -> Action {
        self.step(Event::Failed(fault))
    }

    /// Lets time pass until the deadline, minus a moment: nothing; then the deadline.
    fn run_out(&mut self, after: Duration) -> Action {
        assert_eq!(self.exchange.deadline() - self.now, after);
        self.now += after - Duration::from_millis(1);
        assert!(matches!(self.step(Event::Deadline), Action::Continue));
        self.now += Duration::from_millis(1);
        self.step(Event::Deadline)
    }

    fn in_flight(&self) -> u32 {
        self.exchange.pool().unwrap().live.in_flight()
    }
}

fn is_answer(action: &Action, status: u16, reason: &str) -> bool {
    matches!(action, Action::Answer(answer) if answer.status == status
        && std::str::from_utf8(&answer.body).unwrap().contains(reason))
}

const UPGRADE: [(&str, &str); 3] =
    [("host", "a"), ("upgrade", "websocket"), ("connection", "upgrade")];

#[test]
fn a_plain_request_goes_through_and_leaves_nothing_behind() {
    let mut lab = Lab::new(1);
    assert!(matches!(lab.request(), Action::Attempt(_)));
    assert_eq!(lab.in_flight(), 1);
    assert!(matches!(lab.connected(), Action::Continue));
    lab.response(103);
    assert_eq!(lab.exchange.status(), None);
    assert!(matches!(lab.response(200), Action::Continue));
    lab.step(Event::ResponseBody);
    assert!(matches!(lab.step(Event::Ended), Action::Done));
    assert_eq!((lab.in_flight(), lab.exchange.status()), (0, Some(200)));
    assert_eq!(lab.exchange.attempts[0].outcome, Some(Outcome::Success));
    assert_eq!(lab.exchange.refusal(), None);
}

#[test]
fn what_cannot_be_routed_is_answered() {
    let mut lab = Lab::new(0);
    assert!(is_answer(&lab.request(), 503, "no_backend"));
    let mut lab = Lab::new(1);
    assert!(is_answer(&lab.request_with(&[], false), 400, "missing_host"));
}

#[test]
fn a_refused_connect_is_tried_on_another_backend_and_then_answered() {
    let mut lab = Lab::new(2);
    lab.request();
    assert!(matches!(lab.fault(Fault::ConnectRefused), Action::Attempt(_)));
    assert_ne!(lab.exchange.attempts[0].backend().name, lab.exchange.attempts[1].backend().name);
    assert!(is_answer(&lab.fault(Fault::ConnectTimeout), 504, "connect_timeout"));
    assert_eq!(lab.in_flight(), 0);
}

#[test]
fn an_only_backend_is_tried_again_after_a_pause() {
    let mut lab = Lab::new(1);
    lab.request();
    assert!(matches!(lab.fault(Fault::ConnectRefused), Action::Wait(Effect::Pause(_))));
    assert_eq!(lab.in_flight(), 0);
    assert!(matches!(lab.step(Event::Resumed), Action::Attempt(_)));
    assert!(is_answer(&lab.fault(Fault::ConnectRefused), 502, "connect_refused"));
}

#[test]
fn who_was_not_asked_is_asked_though_others_left_meanwhile() {
    let mut lab = Lab::new(2);
    lab.request();
    lab.connected();
    let live = Arc::clone(&lab.exchange.pool().unwrap().live);
    let asked = Arc::clone(lab.exchange.attempts[0].backend());
    asked.state.mark(Out::Unhealthy, true);
    let all = live.members().all.clone();
    let plan = Some((balance::by_name("round-robin").unwrap(), balance::Plan::Nothing));
    let left = Members { active: all[1..].to_vec(), all, plan, ..Members::default() };
    live.publish(left, Moment::default());
    assert!(matches!(lab.fault(Fault::BackendClosed), Action::Attempt(_)));
    assert!(!Arc::ptr_eq(lab.exchange.attempts[1].backend(), &asked));
    // Nobody else is left now.
    lab.connected();
    assert!(is_answer(&lab.fault(Fault::BackendClosed), 502, "backend_closed"));
}

#[test]
fn a_backend_that_dies_in_its_answer_cuts_it() {
    let mut lab = Lab::new(1);
    lab.request();
    lab.connected();
    lab.response(200);
    assert!(matches!(lab.fault(Fault::BackendClosed), Action::Cut));
    assert_eq!(lab.exchange.refusal(), Some(Refusal::BackendCut));
    assert_eq!(lab.exchange.status(), Some(200));
}

#[test]
fn a_head_has_one_deadline_from_its_first_byte() {
    let mut lab = Lab::new(1);
    assert!(is_answer(&lab.run_out(10 * S), 408, "head_timeout"));
}

#[test]
fn a_silent_backend_is_given_first_byte_then_between_bytes() {
    let mut lab = Lab::new(1);
    lab.request();
    lab.now += S;
    lab.connected();
    assert!(is_answer(&lab.run_out(10 * S), 504, "first_byte_timeout"));

    let mut lab = Lab::new(1);
    lab.request();
    lab.connected();
    lab.response(200);
    lab.now += 3 * S;
    lab.step(Event::ResponseBody);
    assert!(matches!(lab.run_out(5 * S), Action::Cut));
    assert_eq!(lab.exchange.refusal(), Some(Refusal::BackendStalled));
}

#[test]
fn a_client_that_stalls_is_never_held_against_the_backend() {
    let mut lab = Lab::new(1);
    lab.request_with(&[("host", "a"), ("content-length", "9")], true);
    lab.connected();
    lab.step(Event::Parked(Waiting::Client));
    assert!(is_answer(&lab.run_out(30 * S), 408, "client_stalled"));
    assert_eq!(lab.exchange.attempts[0].outcome, Some(Outcome::ClientError));

    let mut lab = Lab::new(1);
    lab.request();
    lab.connected();
    lab.response(200);
    lab.step(Event::Parked(Waiting::Client));
    lab.now += 20 * S;
    // It takes again: now the backend has its whole limit.
    lab.step(Event::Parked(Waiting::Backend));
    assert_eq!(lab.exchange.deadline() - lab.now, 5 * S);
}

#[test]
fn a_backend_that_takes_no_more_of_an_upload_is_stalled() {
    let mut lab = Lab::new(1);
    lab.request_with(&[("host", "a"), ("content-length", "9")], true);
    lab.connected();
    lab.step(Event::RequestBody { is_last: false, is_kept: true });
    lab.step(Event::Parked(Waiting::Backend));
    assert!(is_answer(&lab.run_out(5 * S), 504, "backend_stalled"));
}

#[test]
fn the_total_bounds_everything_but_tunnels() {
    let mut lab = Lab::new(1);
    lab.request();
    lab.connected();
    lab.response(200);
    for _ in 0..33 {
        lab.now += 3 * S;
        lab.step(Event::ResponseBody);
    }
    assert!(matches!(lab.run_out(S), Action::Cut));
    assert_eq!(lab.exchange.refusal(), Some(Refusal::TotalTimeout));

    let mut lab = Lab::new(1);
    lab.request();
    assert!(is_answer(&lab.run_out(100 * S), 504, "total_timeout"));
}

#[test]
fn a_tunnel_lives_until_it_is_idle_or_a_side_closes() {
    let mut lab = Lab::new(1);
    lab.request_with(&UPGRADE, false);
    lab.connected();
    assert!(matches!(lab.response(101), Action::Tunnel));
    for _ in 0..10 {
        lab.now += 40 * S;
        lab.step(Event::ResponseBody);
        lab.step(Event::RequestBody { is_last: false, is_kept: true });
    }
    assert!(matches!(lab.run_out(50 * S), Action::Cut));
    assert_eq!(lab.exchange.refusal(), Some(Refusal::TunnelIdleTimeout));

    for fault in [Fault::ClientGone, Fault::BackendClosed] {
        let mut lab = Lab::new(1);
        lab.request_with(&UPGRADE, false);
        lab.connected();
        lab.response(101);
        assert!(matches!(lab.fault(fault), Action::Done));
        assert_eq!((lab.exchange.refusal(), lab.in_flight()), (None, 0));
    }
}

#[test]
fn an_upgrade_that_nobody_asked_for_is_malformed() {
    let mut lab = Lab::new(1);
    lab.request();
    lab.connected();
    assert!(is_answer(&lab.response(101), 502, "backend_malformed"));
}

#[test]
fn a_client_that_is_gone_gets_no_answer() {
    let mut lab = Lab::new(1);
    lab.request();
    lab.connected();
    assert!(matches!(lab.fault(Fault::ClientGone), Action::Cut));
    assert_eq!((lab.exchange.status(), lab.in_flight()), (Some(499), 0));
}

#[test]
fn after_an_answer_of_ours_only_a_client_that_does_not_take_it_is_cut() {
    let mut lab = Lab::new(0);
    lab.request();
    assert!(lab.exchange.is_ended());
    assert!(matches!(lab.step(Event::ResponseBody), Action::Continue));
    assert!(matches!(lab.run_out(30 * S), Action::Cut));
    assert_eq!(lab.exchange.refusal(), Some(Refusal::NoBackend));
}

#[test]
fn what_a_request_leaves_to_the_next_holds_nothing_of_it() {
    let mut lab = Lab::new(2);
    lab.request_with(&[("host", "a"), ("connection", "close")], false);
    lab.fault(Fault::ConnectRefused);
    lab.connected();
    lab.response(200);
    lab.step(Event::Ended);
    let exchange = &lab.exchange;
    assert_eq!((exchange.attempts.len(), exchange.tried.len()), (2, 1));
    let (client, listener) = (Arc::clone(&exchange.client), Arc::clone(&exchange.listener));
    let route = Arc::clone(exchange.route().unwrap());
    let asked = Arc::clone(exchange.attempts[0].backend());
    Running::of(lab.exchange).end();
    assert_eq!(Arc::strong_count(&client), 1);
    assert_eq!(Arc::strong_count(&listener), 1);
    assert_eq!(Arc::strong_count(&route), 1);
    drop(route);
    assert_eq!(Arc::strong_count(&asked), 1);

    let Room { exchange, memory: next } = *Room::take();
    assert!(exchange.is_none() && next.attempts.capacity() > 0, "it is the same memory");
    assert!(next.attempts.is_empty() && next.tried.is_empty());
    assert!(next.request_edits.is_empty() && next.response_edits.is_empty());
    assert_eq!((next.texts.target(), next.texts.authority()), (&b""[..], None));
}

#[test]
fn what_an_unusual_request_needed_is_not_kept() {
    for (bytes, is_kept) in [(100, true), (100_000, false)] {
        let mut lab = Lab::new(1);
        let (target, fields) = (format!("/{}", "x".repeat(bytes)), FieldSlice(&[("host", "a")]));
        let head = RequestHead::new("GET", target.as_bytes(), Version::Http11, &fields);
        lab.step(Event::Request { head, has_body: false });
        Running::of(lab.exchange).end();
        assert_eq!(Room::take().memory.texts.memory_bytes() > 0, is_kept, "{bytes}");
    }
}
