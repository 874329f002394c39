//! How long it takes to edit heads: the list of edits of a typical browser's request and of its
//! answer, and their application to the engine's heads.
//!
//! `cargo bench --bench edits`. One list is kept and cleared, as a connection does.
#![allow(clippy::unwrap_used, reason = "a bench may panic")]
#![allow(missing_docs, reason = "the macros of criterion make functions without docs")]

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use http::HeaderName;
use pingora_http::{RequestHeader, ResponseHeader};
use std::hint::black_box;
use vanne::data::edits::{FieldEdit, FieldText, PathRewrite, RouteEdits, Values};
use vanne::data::engine::pingora::heads;
use vanne::data::listener::Client;
use vanne::data::upstream::forward::{self, Passing, Sender};
use vanne::types::request_id::RequestId;
use vanne_filters::security_headers::SecurityHeadersFilter;
use vanne_filters::{
    Asked, FieldSlice, Filter, HeadEdits, RequestHead, ResponseHead, SecurityHeaders, Version,
};

/// What a browser sends.
const REQUEST: [(&str, &str); 11] = [
    ("host", "www.example.com"),
    ("connection", "keep-alive"),
    ("user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"),
    ("accept", "text/html,application/xhtml+xml"),
    ("accept-language", "en-GB,en;q=0.5"),
    ("accept-encoding", "gzip, deflate, br"),
    ("referer", "https://www.example.com/"),
    ("cookie", "session=0123456789abcdef; theme=dark"),
    ("x-forwarded-for", "192.0.2.7"),
    ("sec-fetch-mode", "navigate"),
    ("cache-control", "max-age=0"),
];

/// What a backend answers.
const ANSWER: [(&str, &str); 7] = [
    ("content-type", "text/html; charset=utf-8"),
    ("content-length", "1024"),
    ("connection", "keep-alive"),
    ("date", "Sun, 06 Nov 1994 08:49:37 GMT"),
    ("server", "demo"),
    ("cache-control", "no-store"),
    ("set-cookie", "session=0123456789abcdef; Path=/; HttpOnly"),
];

/// A route that sets one fixed and one filled-in field, removes one, and rewrites a prefix.
fn route() -> RouteEdits {
    let name = HeaderName::from_static;
    RouteEdits {
        request: vec![
            FieldEdit::Remove(name("referer")),
            FieldEdit::Set(name("x-env"), FieldText::new(&"production".parse().unwrap())),
            FieldEdit::Set(name("x-from"), FieldText::new(&"{client} for {host}".parse().unwrap())),
        ],
        response: vec![FieldEdit::Remove(name("server"))],
        path: Some(PathRewrite::Prefix { old: b"/api"[..].into(), new: b"/v2"[..].into() }),
        ..RouteEdits::default()
    }
}

fn bench(criterion: &mut Criterion) {
    let client = Client::new("192.0.2.1:5000".parse().unwrap(), 80, false);
    let id = RequestId::next(&mut fastrand::Rng::with_seed(1));
    let (route, fields, answer) = (route(), FieldSlice(&REQUEST), FieldSlice(&ANSWER));
    let security = SecurityHeadersFilter::new(&SecurityHeaders::default());
    let values = Values { client: client.address.ip(), authority: Some(b"www.example.com"), id };
    let head = RequestHead::new("GET", b"/api/items?page=2", Version::Http11, &fields);
    let on_request = |edits: &mut HeadEdits| {
        edits.clear();
        let sender = Sender { client: &client, claim: None };
        forward::request_edits(black_box(&head), sender, id, Passing::default(), edits);
        route.on_request(&head, values, edits);
    };
    let response = ResponseHead { status: 200, fields: &answer };
    let on_response = |edits: &mut HeadEdits| {
        edits.clear();
        forward::response_edits(black_box(&response), Version::Http11, id, edits);
        security.on_response(Asked::default(), &response, edits);
        route.on_response(values, edits);
    };
    let mut edits = HeadEdits::new();
    let mut group = criterion.benchmark_group("edits");
    group.bench_function("request/list", |bench| bench.iter(|| on_request(&mut edits)));
    group.bench_function("response/list", |bench| bench.iter(|| on_response(&mut edits)));

    let mut sent = RequestHeader::build("GET", b"/api/items?page=2", None).unwrap();
    for (name, value) in REQUEST {
        sent.append_header(name, value).unwrap();
    }
    on_request(&mut edits);
    group.bench_function("request/apply", |bench| {
        let edit = |mut head| heads::edit_request(&edits, &mut head).map(|()| head);
        bench.iter_batched(|| sent.clone(), edit, BatchSize::SmallInput);
    });
    let mut came = ResponseHeader::build(200, None).unwrap();
    for (name, value) in ANSWER {
        came.append_header(name, value).unwrap();
    }
    on_response(&mut edits);
    group.bench_function("response/apply", |bench| {
        let edit = |mut head| heads::edit_response(&edits, &mut head).map(|()| head);
        bench.iter_batched(|| came.clone(), edit, BatchSize::SmallInput);
    });
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
