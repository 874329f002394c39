//! Lines of every format, of requests that a virtual clock runs.

use super::*;
use crate::data::exchange::{Beginning, Event};
use crate::data::listener::{self, Client};
use crate::data::refusal::Refusal;
use crate::data::route::{Match, RouteTable};
use crate::data::snapshot::tests::{pool_of, route_to};
use crate::data::snapshot::{Route, Snapshot};
use crate::types::clock;
use crate::types::log_field::{FIELDS, Place};
use crate::types::log_format::LogFormat;
use crate::types::request_id::RequestId;
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};
use vanne_filters::{FieldList, FieldSlice, RequestHead, ResponseHead, Version};

const MS: Duration = Duration::from_millis(1);

/// Fields as bytes.
struct Fields(Vec<(&'static str, Vec<u8>)>);

impl FieldList for Fields {
    fn each(&self, visit: &mut dyn FnMut(&[u8], &[u8])) {
        self.0.iter().for_each(|(name, value)| visit(name.as_bytes(), value));
    }
    fn first(&self, name: &str) -> Option<&[u8]> {
        self.0.iter().find(|(field, _)| *field == name).map(|(_, value)| &**value)
    }
}

/// Captures `x-a` and `authorization` of requests, `server` of answers; hides `token`.
fn plan(style: Style) -> LogPlan {
    let redact = Redact { headers: Vec::new(), parameters: vec![b"token".as_slice().into()] };
    let captures = |name: &str| Captures {
        name: name.into(),
        bytes_max: 64,
        is_hidden: Capture::is_secret(name, &redact),
    };
    let capture = Capture {
        request: vec![captures("authorization"), captures("x-a")],
        response: vec![captures("server")],
    };
    LogPlan { style: Some(style), capture, redact, ..LogPlan::default() }
}

/// A request that is over: `target` and the field `x-a` are the client's, `refused` is why it
/// ended before its answer.
fn ended(
    plan: LogPlan,
    target: &[u8],
    x_a: &[u8],
    refused: Option<Refusal>,
) -> (Exchange, Instant) {
    let log = Arc::new(plan);
    let mut routes = RouteTable::default();
    let route = Arc::into_inner(route_to(pool_of(1), "all")).unwrap();
    routes.add(Match::prefix("/"), Arc::new(Route { log: Arc::clone(&log), ..route }));
    let snapshot = Snapshot { routes, log, ..Snapshot::default() };
    let begin = clock::now();
    let mut exchange = Exchange::begin(Beginning {
        snapshot: Arc::new(Arc::new(snapshot)),
        listener: listener::tests::plain(),
        client: Arc::new(Client::new("192.0.2.1:1000".parse().unwrap(), 80, false)),
        id: RequestId::next(&mut fastrand::Rng::with_seed(1)),
        now: begin,
        wall: UNIX_EPOCH + Duration::from_micros(1_700_000_000_123_456),
    });
    let fields = Fields(vec![
        ("host", b"a.test:80".to_vec()),
        ("authorization", b"Bearer S3CRET".to_vec()),
        ("x-a", x_a.to_vec()),
    ]);
    let head = RequestHead::new("GET", target, Version::Http11, &fields);
    drop(exchange.step(Event::Request { head, has_body: false }, begin + 2 * MS));
    let answered = begin + 16 * MS;
    if let Some(refusal) = refused {
        drop(exchange.step(Event::Aborted(refusal), answered));
        return (exchange, answered);
    }
    drop(exchange.step(Event::Connected { is_reused: false }, begin + 6 * MS));
    let fields = FieldSlice(&[("server", "s")]);
    drop(exchange.step(Event::Response(ResponseHead { status: 200, fields: &fields }), answered));
    drop(exchange.step(Event::Ended, begin + 32 * MS));
    (exchange, begin + 32 * MS)
}

/// The line of a request.
fn line((exchange, now): &(Exchange, Instant)) -> String {
    let plan = exchange.log_plan().unwrap();
    let share = plan.sampling.choose(exchange).unwrap();
    let traffic = Traffic { bytes_in: 10, bytes_out: 20 };
    let view = View { exchange, plan, traffic, now: *now, share };
    let mut out = Vec::new();
    match plan.style.as_ref().unwrap() {
        Style::Json(names) => names.write(&view, &mut out),
        Style::HttpLog => httplog::write(&view, &mut out),
        Style::Text(pieces) => text::write(pieces, &view, &mut out),
    }
    String::from_utf8(out).unwrap()
}

fn json(line: &str) -> serde_json::Value {
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in {line}"))
}

#[test]
fn a_line_of_ours_has_every_field_of_the_table_and_no_other() {
    let whole = ended(plan(Style::Json(Names::own())), b"/a?token=1&b=2", b"x", None);
    let text = line(&whole);
    let id = whole.0.id;
    assert_eq!(
        text,
        format!(
            r#"{{"time":"2023-11-14T22:13:20.123456Z","request_id":"{id}","listener":"http","client":"192.0.2.1:1000","method":"GET","host":"a.test:80","target":"/a?token=***&b=2","version":"HTTP/1.1","status":200,"route":"all","pool":"pool","backend":"127.0.0.1:9000","attempts":[{{"backend":"127.0.0.1:9000","by":"round-robin","outcome":"success","reason":null,"reused":false,"ms":30.000}}],"headers":{{"request":{{"authorization":"***","x-a":"x"}},"response":{{"server":"s"}}}},"end":"ok","by":null,"bytes_in":10,"bytes_out":20,"ms":{{"total":32.000,"connect":4.000,"first_byte":14.000}}}}"#
        )
    );
    let mut of_table: BTreeSet<_> = FIELDS
        .iter()
        .filter(|row| row.place == Place::Line)
        .map(|row| row.name.split('.').next().unwrap())
        .collect();
    of_table.insert("headers");
    let line = json(&text);
    let keys: BTreeSet<_> = line.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(keys, of_table);
}

#[test]
fn a_line_of_ecs_has_its_names_and_nothing_unknown() {
    let line = json(&line(&ended(plan(Style::Json(Names::of_ecs())), b"/a", b"x", None)));
    for (name, value) in [
        ("@timestamp", serde_json::json!("2023-11-14T22:13:20.123456Z")),
        ("client.ip", "192.0.2.1".into()),
        ("client.port", 1000.into()),
        ("http.request.method", "GET".into()),
        ("http.response.status_code", 200.into()),
        ("http.version", "1.1".into()),
        ("url.original", "/a".into()),
        ("url.domain", "a.test".into()),
        ("event.duration", 32_000_000.into()),
        ("event.outcome", "success".into()),
        ("event.reason", "ok".into()),
        ("vanne.route", "all".into()),
        ("ecs.version", "8.11.0".into()),
    ] {
        assert_eq!(line[name], value, "{name} in {line}");
    }
    assert!(!line.as_object().unwrap().values().any(serde_json::Value::is_null), "{line}");
}

#[test]
fn a_line_of_httplog_is_as_haproxy_writes_it() {
    let whole = ended(plan(Style::HttpLog), b"/a\"#|?token=1", b"{x|y}", None);
    assert_eq!(
        line(&whole),
        "192.0.2.1:1000 [14/Nov/2023:22:13:20.123] http pool/127.0.0.1:9000 2/0/4/10/32 200 20 - - \
         ---- 0/0/0/0/0 0/0 {***|#7Bx#7Cy#7D} {s} \"GET /a#22#23|?token=*** HTTP/1.1\""
    );
    let refused = ended(plan(Style::HttpLog), b"/a", b"", Some(Refusal::ConnectTimeout));
    assert_eq!(
        line(&refused),
        "192.0.2.1:1000 [14/Nov/2023:22:13:20.123] http pool/127.0.0.1:9000 2/0/-1/-1/16 504 20 - - \
         sC-- 0/0/0/0/0 0/0 {***|} {} \"GET /a HTTP/1.1\""
    );
}

fn pieces(format: &str) -> Vec<Piece> {
    use crate::types::log_format::LogPiece as From;
    let format: LogFormat = format.parse().unwrap();
    let piece = |piece: &From| match piece {
        From::Text(text) => Piece::Text(text.clone()),
        From::Field(field) => Piece::Field(*field),
        From::RequestHeader(name) => Piece::RequestHeader(usize::from(&**name == "x-a")),
        From::ResponseHeader(_) => Piece::ResponseHeader(0),
    };
    format.pieces().iter().map(piece).collect()
}

#[test]
fn a_format_string_has_any_field_and_what_is_not_known_is_a_dash() {
    let format = "{client_ip} - [{clf_time}] \"{method} {target} {version}\" {status} {bytes_out} \
                  \"{request_header:x-a}\" {response_header:server} {attempts} {peer} {by} {end} \
                  {ms.total} {termination_state} {request_header:authorization} {result}";
    let of =
        |refused| line(&ended(plan(Style::Text(pieces(format))), b"/a?token=1", b"q\" b", refused));
    assert_eq!(
        of(None),
        "192.0.2.1 - [14/Nov/2023:22:13:20 +0000] \"GET /a?token=*** HTTP/1.1\" 200 20 \
         \"q\\x22 b\" s 1 - - ok 32.000 ---- *** success"
    );
    assert_eq!(
        of(Some(Refusal::FirstByteTimeout)),
        "192.0.2.1 - [14/Nov/2023:22:13:20 +0000] \"GET /a?token=*** HTTP/1.1\" 504 20 \
         \"q\\x22 b\" - 1 - backend first_byte_timeout 16.000 sH-- *** failure"
    );
}

#[test]
fn every_field_can_stand_in_a_format_string() {
    for row in FIELDS {
        let style = Style::Text(pieces(&format!("{{{}}}", row.name)));
        let text = line(&ended(plan(style), b"/", b"", None));
        assert!(
            !text.is_empty() && !text.contains(' ') || row.name == "clf_time",
            "{}: {text:?}",
            row.name
        );
    }
}

#[test]
fn the_share_is_said_where_it_is_not_all() {
    let rule = Rule { route: None, status: None, share: 9_999 };
    let plan = LogPlan { sampling: Sampling(vec![rule]), ..plan(Style::Json(Names::own())) };
    assert_eq!(json(&line(&ended(plan, b"/", b"", None)))["sampled"], 0.9999);
}

/// Every way to end, with HAProxy's characters for it: the table of the manual.
#[test]
fn the_manual_lists_every_field_and_every_way_to_end() {
    let manual = include_str!("../../manual/access_log.md");
    for row in FIELDS {
        let want = format!("| `{}` | {} | {} | {} |", row.name, ecs(row.ecs), row.kind, row.doc);
        assert!(manual.contains(&want), "missing: {want}");
    }
    let rows =
        manual.lines().filter(|line| line.starts_with("| `") && line.matches('|').count() == 5);
    assert_eq!(rows.count(), FIELDS.len(), "rows of fields that do not exist");
    for refusal in Refusal::all() {
        let row = refusal.row();
        let (who, phase) = httplog::code(refusal);
        let code = format!("{who}{}", phase.unwrap_or('*'));
        let want =
            format!("| `{}` | {} | {} | `{code}` |", row.reason, row.status, row.by.as_str());
        assert!(manual.contains(&want), "missing: {want} …");
    }
    let rows =
        manual.lines().filter(|line| line.starts_with("| `") && line.matches('|').count() == 6);
    // Besides those, `ok`, and the one for filters.
    assert_eq!(rows.count(), Refusal::all().count() + 2, "rows of ways to end that do not exist");
}

fn ecs(name: Option<&str>) -> String {
    name.map_or_else(|| "–".to_owned(), |name| format!("`{name}`"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_client_breaks_a_line(
        target in proptest::collection::vec(any::<u8>(), 0..40),
        value in proptest::collection::vec(any::<u8>(), 0..40),
    ) {
        let target = [b"/", &target[..]].concat();
        let of = |style| line(&ended(plan(style), &target, &value, None));
        let own = json(&of(Style::Json(Names::own())));
        let x_a = String::from_utf8_lossy(&value).into_owned();
        prop_assert_eq!(&own["headers"]["request"]["x-a"], &x_a);
        json(&of(Style::Json(Names::of_ecs())));
        let is_plain = |line: &str| line.bytes().all(|byte| matches!(byte, b' '..=b'~'));
        prop_assert!(is_plain(&of(Style::HttpLog)));
        let text = of(Style::Text(pieces("\"{target}\" \"{request_header:x-a}\"")));
        prop_assert!(is_plain(&text));
        prop_assert_eq!(text.matches('"').count(), 4);
    }
}
