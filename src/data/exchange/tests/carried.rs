//! Every answer of ours carries the security headers: each refusal there is, in each phase in
//! which it may come, to each kind of client; pages, redirects and fixed answers.

use super::*;
use crate::data::chain::Chain;
use crate::data::page::{ErrorPages, Page};
use crate::data::target::{FixedAnswer, Redirect, RedirectParts, RedirectTo, Target};
use vanne_filters::security_headers::SecurityHeaders;
use vanne_filters::security_headers::preset::Preset;
use vanne_filters::{FilterConfig, Rejection};

/// Of requests without a route, and of those with one.
const OF_NONE: Preset = Preset::Strict;
const OF_ROUTE: Preset = Preset::Api;

fn chain(preset: Preset) -> Chain {
    let config = FilterConfig::SecurityHeaders(SecurityHeaders::of(preset));
    Chain::new(vec![vanne_filters::build(&config).unwrap()])
}

fn page() -> Arc<Page> {
    Arc::new(Page { html: Some("<p>Sorry".into()), ..Page::default() })
}

/// What a request meets.
#[derive(Clone, Copy, Default)]
struct Meets {
    has_page: bool,
    is_tls: bool,
}

/// An exchange with a route to `target`.
fn lab(target: Option<Target>, meets: Meets) -> Lab {
    let mut route = Arc::into_inner(route_to(pool_of(1), "all")).unwrap();
    route.chain = chain(OF_ROUTE);
    route.target = target.unwrap_or(route.target);
    let mut listener = Arc::into_inner(Arc::into_inner(listener::tests::plain()).unwrap()).unwrap();
    if meets.has_page {
        listener.error_pages = ErrorPages {
            by_status: Refusal::ALL.map(|one| (one.row().status, page())).into(),
            ..ErrorPages::default()
        };
    }
    let mut routes = RouteTable::default();
    routes.add(Match::prefix("/"), Arc::new(route));
    let snapshot = Snapshot { routes, default_chain: chain(OF_NONE), ..Snapshot::default() };
    Lab::of(snapshot, Arc::new(Arc::new(listener)), meets.is_tls)
}

/// Fails unless `answer` has each field of `preset` once, with its value, and no other.
fn carries(answer: &Answer, preset: Preset, is_https: bool, what: &str) {
    let lines = SecurityHeaders::of(preset).lines(is_https);
    assert!(!lines.lines().is_empty());
    for line in lines.lines() {
        let of_name = answer.fields.iter().filter(|(name, _)| *name == line.name);
        let values: Vec<_> = of_name.map(|(_, value)| value).collect();
        assert_eq!(values, [&line.value], "{} in answer to {what}", line.name);
    }
    let others = SecurityHeaders::of(OF_NONE).lines(true);
    for line in others.lines() {
        let is_there = answer.fields.iter().any(|(name, _)| *name == line.name);
        let is_ours = lines.lines().iter().any(|one| one.name == line.name);
        assert_eq!(is_there, is_ours, "{} in answer to {what}", line.name);
    }
}

/// The fields of requests: a browser's, one for JSON, a gRPC call, a WebSocket.
const CLIENTS: [&[(&str, &str)]; 4] = [
    &[("host", "a"), ("accept", "text/html")],
    &[("host", "a"), ("accept", "application/json")],
    &[("host", "a"), ("content-type", "application/grpc")],
    &UPGRADE,
];

fn refusals() -> Vec<Refusal> {
    let of_filter = Refusal::Filter(Rejection { status: 403, reason: "test" });
    Refusal::ALL.into_iter().chain([of_filter]).collect()
}

#[test]
fn every_refusal_carries_the_security_headers() {
    let mut count = 0;
    for refusal in refusals() {
        for (has_page, is_tls) in [(false, false), (false, true), (true, false), (true, true)] {
            let meets = Meets { has_page, is_tls };
            count += look(&mut lab(None, meets), refusal, OF_NONE, is_tls);
            for client in CLIENTS {
                let mut within = lab(None, meets);
                assert!(matches!(within.request_with(client, false), Action::Attempt(_)));
                count += look(&mut within, refusal, OF_ROUTE, is_tls);
            }
        }
    }
    // All but that the client is gone.
    assert_eq!(count, (refusals().len() - 1) * 4 * (1 + CLIENTS.len()));
}

/// Ends the request of `lab` for `refusal`: how many answers came of it.
fn look(lab: &mut Lab, refusal: Refusal, preset: Preset, is_tls: bool) -> usize {
    match lab.step(Event::Aborted(refusal)) {
        Action::Answer(answer) => {
            carries(&answer, preset, is_tls, refusal.reason());
            1
        }
        Action::Cut => 0,
        _ => panic!("{} is neither answered nor cut", refusal.reason()),
    }
}

#[test]
fn answers_of_routes_carry_the_security_headers() {
    let to = RedirectParts { is_https: Some(true), host: None, port: None, path: None };
    let redirect = Redirect { status: 302, to: RedirectTo::Parts(to), keeps_query: true };
    let answer = FixedAnswer { status: 200, fields: vec![], body: "x".into() };
    for target in [Target::Redirect(redirect), Target::Answer(answer)] {
        for client in CLIENTS {
            let mut lab = lab(Some(clone(&target)), Meets::default());
            let Action::Answer(answer) = lab.request_with(client, false) else { panic!("none") };
            carries(&answer, OF_ROUTE, false, "a request that the route answers");
        }
    }
}

fn clone(target: &Target) -> Target {
    match target {
        Target::Redirect(redirect) => Target::Redirect(redirect.clone()),
        Target::Answer(answer) => Target::Answer(answer.clone()),
        Target::Pool(_) | Target::Split(_) => unreachable!("not among these"),
    }
}

#[test]
fn what_an_answer_of_ours_says_itself_is_not_said_twice() {
    let own = (http::header::X_FRAME_OPTIONS, HeaderValue::from_static("SAMEORIGIN"));
    let answer = FixedAnswer { status: 200, fields: vec![own.clone()], body: "x".into() };
    let mut lab = lab(Some(Target::Answer(answer)), Meets::default());
    let Action::Answer(answer) = lab.request() else { panic!("none") };
    let of_name: Vec<_> = answer.fields.iter().filter(|(name, _)| *name == own.0).collect();
    assert_eq!(of_name, [&own]);
}

#[test]
fn a_backends_answer_gets_them_also_when_it_switches_protocols() {
    for (status, client) in [(200, CLIENTS[0]), (101, CLIENTS[3])] {
        let mut lab = lab(None, Meets::default());
        lab.request_with(client, false);
        lab.connected();
        lab.response(status);
        let lines = SecurityHeaders::of(OF_ROUTE).lines(false);
        for line in lines.lines() {
            let mut edits = lab.exchange.response_edits().iter();
            assert!(edits.any(|edit| edit == vanne_filters::Edit::Line(line)), "{}", line.name);
        }
    }
}
