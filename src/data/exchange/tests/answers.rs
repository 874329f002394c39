//! Answers that a firewall looks at: what is held back, until when, and what becomes of it.

use super::*;
use crate::data::effects;
use crate::data::fallback::Fallbacks;
use crate::data::fallback::store::{Asked, RouteCache, Store};
use crate::data::log_line::Redact;
use crate::data::waf::{Answers, Families, Verdict, Waf};
use crate::observe::metrics::{Counter, Histogram};
use vanne_filters::waf::program::Program;
use vanne_filters::waf::seclang::{NoFiles, Source, load};

const RULES: &str = r#"
SecResponseBodyAccess On
SecRule RESPONSE_STATUS "@streq 418" "id:1,phase:3,deny,log"
SecRule RESPONSE_BODY "@contains leak" "id:2,phase:4,deny,log"
SecAction "id:3,phase:5,pass,log"
"#;

const HTML: [(&str, &str); 1] = [("content-type", "text/html")];

/// A firewall with these rules that looks at so much of an answer.
fn waf(rules: &str, body_bytes_max: usize, change: impl FnOnce(&mut Waf)) -> Arc<Waf> {
    let set = load(&[Source::Text("rules", rules)], &NoFiles).unwrap();
    let program = Arc::new(Program::compile(&set).unwrap());
    let reads_bodies = program.reads_answer_bodies();
    let mut waf = Waf {
        id: "main".parse().unwrap(),
        program,
        body_bytes_max: 1024,
        takes_first_part: false,
        answers: Some(Answers { body_bytes_max, takes_first_part: true, reads_bodies }),
        time_budget: Duration::from_secs(60),
        passes_when_over: false,
        share: 10_000,
        redact: Redact::default(),
        audit: None,
        tells_of_all: true,
        families: Families::default(),
        counts: Verdict::ALL.map(|_| Counter::default()),
        duration: Histogram::default(),
        tally: Arc::default(),
    };
    change(&mut waf);
    Arc::new(waf)
}

/// An exchange whose route has this firewall and keeps good answers, connected to a backend.
fn lab(waf: Arc<Waf>) -> (Lab, Arc<Store>) {
    let mut route = Arc::into_inner(route_to(pool_of(1), "all")).unwrap();
    route.waf = Some(waf);
    let store = Arc::new(Store::new(1 << 20));
    let cache = RouteCache { store: Arc::clone(&store), entry_bytes_max: 1 << 16, stale_for: S };
    route.fallbacks = Fallbacks { cache: Some(cache), ..Fallbacks::default() };
    let mut lab = Lab::to(Arc::new(route));
    assert!(matches!(lab.request(), Action::Attempt(_)));
    lab.connected();
    (lab, store)
}

fn usual() -> (Lab, Arc<Store>) {
    lab(waf(RULES, 1 << 20, |_| {}))
}

/// Whether the answer is there for the next one who asks.
fn is_kept(store: &Store, lab: &Lab) -> bool {
    let fields = FieldSlice(&[("host", "a")]);
    let head = RequestHead::new("GET", b"/x", Version::Http11, &fields);
    store.find(&Asked::of(&head, false, "all", false).unwrap(), lab.now).is_some()
}

impl Lab {
    fn answered(&mut self, status: u16, fields: &[(&str, &str)]) -> Action {
        let fields = FieldSlice(fields);
        self.step(Event::Response(ResponseHead { status, fields: &fields }))
    }

    /// A part of the body, as engines report it.
    fn part(&mut self, part: &str) -> Action {
        if self.exchange.is_recording() {
            self.exchange.record(part.as_bytes(), false);
        }
        self.step(Event::ResponseBody)
    }

    fn verdict(&self) -> Verdict {
        self.exchange.inspected().unwrap().verdict
    }
}

#[test]
fn an_answer_is_held_back_until_its_body_was_looked_at() {
    let (mut lab, _) = usual();
    assert!(matches!(lab.answered(200, &HTML), Action::Continue));
    assert!(lab.exchange.held_back().is_some() && !lab.exchange.is_let_go());
    assert!(matches!(lab.part("fine"), Action::Continue));
    assert_eq!(lab.in_flight(), 1);
    assert!(matches!(lab.step(Event::Ended), Action::Done));
    assert!(lab.exchange.held_back().is_none() && lab.exchange.is_let_go());
    assert_eq!((lab.verdict(), lab.exchange.status()), (Verdict::Passed, Some(200)));
    assert_eq!(lab.in_flight(), 0);
    lab.exchange.end_inspection();
    assert_eq!(lab.exchange.inspected().unwrap().rules, "3", "the end has its rules");
}

#[test]
fn a_leak_is_refused_and_kept_nowhere() {
    let sized = [HTML[0], ("content-length", "6")];
    let (mut lab, store) = usual();
    lab.answered(200, &sized);
    lab.part("fair-y");
    assert!(matches!(lab.step(Event::Ended), Action::Done));
    assert!(is_kept(&store, &lab));
    let (mut lab, store) = usual();
    lab.answered(200, &sized);
    lab.part("a leak");
    assert!(is_answer(&lab.step(Event::Ended), 403, "waf_answer_refused"));
    assert!(!lab.exchange.is_let_go() && lab.exchange.held_back().is_none());
    assert_eq!(lab.verdict(), Verdict::AnswerRefused);
    let attempt = &lab.exchange.attempts[0];
    assert_eq!((attempt.outcome, attempt.refusal), (Some(Outcome::Success), None));
    assert!(!is_kept(&store, &lab));
}

#[test]
fn a_head_is_refused_at_once() {
    let (mut lab, _) = usual();
    assert!(is_answer(&lab.answered(418, &[]), 403, "waf_answer_refused"));
    assert_eq!(lab.in_flight(), 0);
}

#[test]
fn what_rules_cannot_read_is_not_held_back() {
    let kind = HTML[0];
    for (status, fields) in [
        (200, &[("content-type", "image/png")][..]),
        (200, &[("content-type", "text/event-stream")]),
        (200, &[kind, ("content-encoding", "gzip")]),
        (200, &[kind, ("content-length", "0")]),
        (204, &[kind]),
        (304, &[kind]),
    ] {
        let (mut lab, _) = usual();
        assert!(matches!(lab.answered(status, fields), Action::Continue));
        assert!(lab.exchange.held_back().is_none(), "{status} {fields:?}");
        assert!(matches!(lab.fault(Fault::BackendClosed), Action::Cut), "it has begun");
    }
    let rules = "SecResponseBodyAccess On\nSecAction \"id:1,phase:4,pass\"";
    let (mut lab, _) = lab(waf(rules, 100, |_| {}));
    lab.answered(200, &HTML);
    assert!(lab.exchange.held_back().is_none(), "no rule looks at bodies");
}

#[test]
fn a_backend_that_breaks_off_or_stalls_meanwhile_has_not_answered() {
    let (mut lab, _) = usual();
    lab.answered(200, &HTML);
    lab.part("a le");
    assert!(is_answer(&lab.fault(Fault::BackendClosed), 502, "backend_closed"));
    let (mut lab, _) = usual();
    lab.answered(200, &HTML);
    lab.step(Event::Parked(Waiting::Backend));
    assert!(is_answer(&lab.run_out(5 * S), 504, "backend_stalled"));
    let (mut lab, _) = usual();
    lab.answered(200, &HTML);
    assert!(matches!(lab.fault(Fault::ClientGone), Action::Cut));
    assert_eq!((lab.in_flight(), lab.exchange.status()), (0, Some(499)));
}

#[tokio::test]
async fn of_a_longer_body_the_first_part_is_looked_at_beside_the_engine() {
    for (leak, is_refused) in [("leak", true), ("fine", false)] {
        let (mut lab, _) = lab(waf(RULES, 10, |_| {}));
        lab.answered(200, &HTML);
        assert!(matches!(lab.part(leak), Action::Continue));
        assert!(lab.exchange.take_beside().is_none());
        assert!(matches!(lab.part("0123456789"), Action::Continue));
        assert!(lab.exchange.is_suspended() && lab.exchange.held_back().is_some());
        assert!(matches!(lab.part("leak"), Action::Continue), "it counts no longer");
        let effect = lab.exchange.take_beside().unwrap();
        assert!(lab.exchange.take_beside().is_none(), "once");
        effects::run(effect).await;
        let action = lab.step(Event::Resumed);
        assert_eq!(is_answer(&action, 403, "waf_answer_refused"), is_refused);
        if !is_refused {
            assert!(matches!(action, Action::Continue) && lab.exchange.is_let_go());
            lab.part("leak");
            assert!(matches!(lab.step(Event::Ended), Action::Done));
        }
        assert_eq!(lab.in_flight(), 0);
    }
}

#[tokio::test]
async fn what_ends_before_its_inspection_began_waits_for_it() {
    let (mut lab, _) = lab(waf(RULES, 10, |_| {}));
    lab.answered(200, &HTML);
    lab.part("0123456789ab");
    let Action::Wait(effect) = lab.step(Event::Ended) else { panic!("it does not wait") };
    assert_eq!(lab.in_flight(), 0, "the backend is done");
    effects::run(effect).await;
    assert!(matches!(lab.step(Event::Resumed), Action::Done));
    assert!(lab.exchange.is_let_go());
}

#[tokio::test]
async fn who_waits_for_the_end_holds_little() {
    let rules =
        format!("{RULES}SecRule RESPONSE_BODY \"@contains word\" \"id:4,phase:4,pass,log\"");
    let (mut lab, _) = lab(waf(&rules, 200_000, |_| {}));
    lab.answered(200, &HTML);
    let body = "word ".repeat(50_000);
    lab.part(&body);
    let effect = lab.exchange.take_beside().unwrap();
    effects::run(effect).await;
    assert!(matches!(lab.step(Event::Resumed), Action::Continue) && lab.exchange.is_let_go());
    let transaction = lab.exchange.inspected().unwrap().transaction.unwrap();
    assert!(transaction.memory_bytes() < 16 * 1024, "{}", transaction.memory_bytes());
    let found = transaction.matches().next().and_then(|found| found.found().next()).unwrap();
    assert!(body.as_bytes().starts_with(found.value) && found.characters() == body.len());
    lab.exchange.end_inspection();
    assert_eq!(lab.exchange.inspected().unwrap().rules, "4 3");
}

#[test]
fn a_longer_body_is_refused_where_the_first_part_is_not_enough() {
    let strict = || {
        lab(waf(RULES, 10, |waf| {
            waf.answers.as_mut().unwrap().takes_first_part = false;
        }))
    };
    let (mut lab, _) = strict();
    let long = [HTML[0], ("content-length", "11")];
    assert!(is_answer(&lab.answered(200, &long), 502, "waf_answer_too_large"));
    let (mut lab, _) = strict();
    lab.answered(200, &HTML);
    assert!(matches!(lab.part("0123456789"), Action::Continue));
    assert!(is_answer(&lab.part("a"), 502, "waf_answer_too_large"));
    assert_eq!((lab.verdict(), lab.in_flight()), (Verdict::TooLarge, 0));
}

#[test]
fn who_is_over_its_budget_is_refused_or_passes() {
    for passes in [false, true] {
        let (mut lab, _) = lab(waf(RULES, 10, |waf| waf.passes_when_over = passes));
        lab.answered(200, &HTML);
        lab.part("0123456789ab");
        assert!(lab.exchange.take_beside().is_some());
        // Its time is over before it has begun.
        let action = lab.step(Event::Resumed);
        assert_eq!(is_answer(&action, 503, "waf_over_budget"), !passes);
        assert_eq!(lab.exchange.is_let_go(), passes);
        let verdict = if passes { Verdict::OverPassed } else { Verdict::OverRefused };
        assert_eq!(lab.verdict(), verdict);
    }
}

#[test]
fn without_answers_nothing_is_done() {
    let (mut lab, _) = lab(waf(RULES, 10, |waf| waf.answers = None));
    assert!(lab.exchange.inspected().unwrap().transaction.is_none());
    assert!(matches!(lab.answered(418, &HTML), Action::Continue));
    assert!(lab.exchange.held_back().is_none());
    lab.part("leak");
    assert!(matches!(lab.step(Event::Ended), Action::Done));
    lab.exchange.end_inspection();
    assert_eq!(lab.exchange.inspected().unwrap().rules, "");
}
