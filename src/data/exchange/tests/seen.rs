//! What a backend has seen of a request, and what becomes of it then.

use super::*;

#[test]
fn a_kept_connection_that_closed_is_replaced_at_most_three_times() {
    let mut lab = Lab::new(1);
    lab.request();
    for _ in 0..3 {
        lab.step(Event::Connected { is_reused: true });
        assert!(matches!(lab.fault(Fault::BackendClosed), Action::Attempt(_)));
    }
    lab.step(Event::Connected { is_reused: true });
    assert!(is_answer(&lab.fault(Fault::BackendClosed), 502, "backend_closed"));
}

#[test]
fn what_a_backend_has_seen_is_not_replaced_by_another_attempt() {
    for is_heard in [false, true] {
        let mut lab = Lab::new(1);
        lab.request();
        lab.step(Event::Connected { is_reused: true });
        if is_heard {
            lab.response(103);
        }
        let fault = if is_heard { Fault::BackendClosed } else { Fault::BackendBrokeOff };
        assert!(is_answer(&lab.fault(fault), 502, "backend_closed"), "{is_heard}");
        assert_eq!(lab.exchange.attempts[0].outcome.unwrap().as_str(), "failure_reset");
    }
}

#[test]
fn what_a_backend_says_it_did_not_process_is_tried_again_whatever_the_method() {
    for fault in [Fault::StreamRefused, Fault::GoingAway] {
        let mut lab = Lab::new(2);
        let fields = FieldSlice(&[("host", "a")]);
        let head = RequestHead::new("POST", b"/x", Version::Http11, &fields);
        lab.step(Event::Request { head, has_body: true });
        lab.connected();
        lab.step(Event::RequestBody { is_last: true, is_kept: true });
        assert!(matches!(lab.fault(fault), Action::Attempt(_)), "{fault:?}");
        assert_eq!(lab.exchange.attempts[0].outcome, Some(Outcome::Unseen));
        // A retry is one; a kept connection that ends is none.
        lab.step(Event::Connected { is_reused: true });
        let action = lab.fault(fault);
        match fault {
            Fault::GoingAway => assert!(matches!(action, Action::Attempt(_))),
            _ => assert!(is_answer(&action, 502, "backend_refused")),
        }
        // What is not there any more cannot be sent.
        let mut lab = Lab::new(2);
        lab.request();
        lab.step(Event::Connected { is_reused: true });
        lab.step(Event::RequestBody { is_last: false, is_kept: false });
        assert!(is_answer(&lab.fault(fault), 502, "backend_refused"), "{fault:?}");
    }
}

#[test]
fn an_answer_that_is_whole_before_the_request_decides_about_the_attempt() {
    for (status, outcome) in [(200, "success"), (503, "failure_gateway")] {
        let mut lab = Lab::new(1);
        lab.request_with(&[("host", "a"), ("content-length", "9")], true);
        lab.connected();
        lab.response(status);
        lab.step(Event::Answered);
        assert_eq!((lab.exchange.is_answered(), lab.in_flight()), (true, 0));
        lab.fault(Fault::ClientGone);
        assert_eq!(lab.exchange.attempts[0].outcome.unwrap().as_str(), outcome);
    }
    // Of an ordinary request it says nothing.
    let mut lab = Lab::new(1);
    lab.request();
    lab.connected();
    lab.response(200);
    lab.step(Event::Answered);
    assert_eq!((lab.exchange.is_answered(), lab.in_flight()), (false, 1));
}

#[test]
fn a_request_that_was_over_at_once_leaves_what_it_asked_for() {
    let mut lab = Lab::new(1);
    let fields = FieldSlice(&[("host", "a")]);
    let head = RequestHead::new("GET", b"/x", Version::Http2, &fields);
    lab.step(Event::Stillborn { head, refusal: Refusal::ClientGone });
    assert_eq!((lab.exchange.status(), lab.exchange.texts().target()), (Some(499), &b"/x"[..]));
    assert!(lab.exchange.attempts.is_empty());
}

#[test]
fn a_fresh_connection_that_closed_or_an_unsafe_request_is_not_sent_again() {
    let mut lab = Lab::new(1);
    lab.request();
    lab.connected();
    assert!(is_answer(&lab.fault(Fault::BackendClosed), 502, "backend_closed"));
    // What was not kept cannot be sent again.
    let mut lab = Lab::new(1);
    lab.request();
    lab.step(Event::Connected { is_reused: true });
    lab.step(Event::RequestBody { is_last: true, is_kept: false });
    assert!(is_answer(&lab.fault(Fault::BackendClosed), 502, "backend_closed"));
}

#[test]
fn a_kept_connection_that_ends_is_not_held_against_its_backend_whatever_was_asked() {
    let mut lab = Lab::new(2);
    let fields = FieldSlice(&[("host", "a"), ("content-length", "1")]);
    let head = RequestHead::new("POST", b"/x", Version::Http11, &fields);
    lab.step(Event::Request { head, has_body: true });
    lab.step(Event::Connected { is_reused: true });
    lab.step(Event::RequestBody { is_last: true, is_kept: true });
    assert!(is_answer(&lab.fault(Fault::BackendClosed), 502, "backend_closed"));
    assert_eq!(lab.exchange.attempts[0].outcome, Some(Outcome::Unseen));
}

#[test]
fn a_client_that_is_long_about_its_body_makes_no_slow_call() {
    for (client, backend) in [(60, 1), (0, 60)] {
        let mut lab = Lab::new(1);
        lab.request_with(&[("host", "a"), ("content-length", "9")], true);
        lab.connected();
        lab.now += client * S;
        lab.step(Event::RequestBody { is_last: true, is_kept: true });
        lab.now += backend * S;
        lab.response(200);
        lab.step(Event::Ended);
        assert_eq!(lab.exchange.attempts[0].time(lab.now), backend * S);
    }
}
