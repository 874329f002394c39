//! An ordinary GET, once the memory of the transaction has grown, allocates nothing.

use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use std::alloc::System;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use vanne_filters::waf::program::Program;
use vanne_filters::waf::seclang::{NoFiles, Source, load};
use vanne_filters::waf::transaction::{AnswerHead, Caches, Endpoint, Request, Transaction};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const RULES: &str = r#"
SecAction "id:1,phase:1,nolog,pass,setvar:tx.level=1,setvar:tx.score=0"
SecRule REQUEST_HEADERS|ARGS|ARGS_NAMES|REQUEST_COOKIES "@rx (?i)union\s+select" \
    "id:2,phase:1,deny,t:none,t:urlDecodeUni,t:lowercase,setvar:tx.score=+5"
SecRule ARGS|REQUEST_COOKIES "@pm passwd shadow" "id:3,phase:2,deny,t:none,t:normalizePath"
SecRule ARGS "@detectSQLi" "id:4,phase:2,deny,t:none,t:utf8toUnicode,t:urlDecodeUni"
SecRule REQUEST_METHOD "!@within GET POST" "id:5,phase:1,deny"
SecRule &REQUEST_HEADERS:Host "@eq 0" "id:6,phase:1,deny"
SecRule TX:score "@ge 5" "id:7,phase:2,deny"
SecRule REQUEST_HEADERS:User-Agent "@rx ^(\w+)/" "id:8,phase:1,pass,nolog,capture,setvar:tx.agent=%{TX.1}"
"#;

#[test]
fn an_ordinary_get_allocates_nothing() {
    let set = load(&[Source::Text("rules", RULES)], &NoFiles).unwrap();
    let program = Arc::new(Program::compile(&set).unwrap());
    let mut transaction = Transaction::new(Arc::clone(&program));
    let mut caches = Caches::new(&program);
    let local = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let fields: [(&[u8], &[u8]); 3] = [
        (b"Host", b"shop.example.com"),
        (b"User-Agent", b"Mozilla/5.0 (X11; Linux x86_64)"),
        (b"Cookie", b"session=8f14e45f; theme=dark"),
    ];
    let request = Request {
        method: b"GET",
        uri: b"/search?q=shoes&page=3&sort=price",
        protocol: b"HTTP/1.1",
        fields: &fields,
        client: Endpoint { address: local, port: 1 },
        server: Endpoint { address: local, port: 80 },
        server_name: b"shop.example.com",
        unique_id: b"1",
        epoch_seconds: 0,
    };
    let head = AnswerHead { status: 200, protocol: b"HTTP/1.1", fields: &[] };
    let mut counts = Vec::with_capacity(8);
    for _ in 0..8 {
        let region = Region::new(ALLOCATOR);
        transaction.begin(&program);
        assert!(transaction.request_head(&request, &mut caches).is_none());
        assert!(transaction.request_body(b"", &mut caches).is_none());
        assert!(transaction.answer_head(&head, &mut caches).is_none());
        assert!(transaction.answer_body(b"", &mut caches).is_none());
        transaction.finish(&mut caches);
        let change = region.change();
        counts.push(change.allocations + change.reallocations);
    }
    assert_eq!(transaction.variable(b"agent").as_deref(), Some(&b"Mozilla"[..]));
    assert_eq!(counts.last(), Some(&0), "allocations of each transaction: {counts:?}");
}
