//! Time of one transaction under the Core Rule Set: ordinary requests, attacks, worst cases.
//!
//! `VANNE_CRS_DIR=… cargo bench -p vanne-filters --profile gate --bench waf`: microseconds, the
//! best of five means, and bytes that the transaction holds, at paranoia 1 and 2.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "printing is what it does")]

#[path = "../tests/crs/files.rs"]
mod files;
#[path = "../tests/crs/wire.rs"]
#[expect(dead_code, reason = "lines of JSON are the example's")]
mod wire;

use std::sync::Arc;
use std::time::Instant;

use vanne_filters::waf::program::Program;
use vanne_filters::waf::seclang::{Source, load};
use vanne_filters::waf::transaction::{Caches, Transaction};
use wire::{Case, Field};

const SETUP: &str = r#"
SecRuleEngine On
SecRequestBodyAccess On
SecArgumentsLimit 10000
SecRule REQUEST_HEADERS:Content-Type "^application/json" \
    "id:200001,phase:1,t:none,t:lowercase,pass,nolog,ctl:requestBodyProcessor=JSON"
"#;

const WORDS: &[&str] =
    &["the", "quick", "brown", "order", "street", "invoice", "blue", "cotton", "please", "five"];

fn fields(more: &[(&str, &str)]) -> Vec<Field> {
    let agent = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) \
                 Chrome/131.0.0.0 Safari/537.36";
    let accept = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
    let first = [("Host", "shop.example.com"), ("User-Agent", agent), ("Accept", accept)];
    let all = first.iter().chain(more);
    all.map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec())).collect()
}

fn browser() -> Vec<Field> {
    fields(&[
        ("Accept-Language", "en-US,en;q=0.9,de;q=0.8"),
        ("Accept-Encoding", "gzip, deflate, br"),
        ("Referer", "https://shop.example.com/products/shoes?page=2"),
        ("Connection", "keep-alive"),
        ("Cookie", "session=8f14e45fceea167a5a36dedd4bea2543; theme=dark; _ga=GA1.2.123.17"),
        ("Upgrade-Insecure-Requests", "1"),
        ("Sec-Fetch-Mode", "navigate"),
        ("Cache-Control", "max-age=0"),
    ])
}

fn get(id: &str, uri: &str, fields: Vec<Field>) -> Case {
    let (method, version) = (b"GET".to_vec(), b"HTTP/1.1".to_vec());
    Case { id: id.into(), method, uri: uri.into(), version, fields, status: 200, ..Case::default() }
}

fn post(id: &str, kind: &str, body: &str) -> Case {
    let length = body.len().to_string();
    let fields = fields(&[("Content-Type", kind), ("Content-Length", &length)]);
    Case { method: b"POST".to_vec(), body: body.into(), ..get(id, "/api/orders", fields) }
}

fn sentence(from: usize, words: usize) -> String {
    let word =
        |at: usize| WORDS.get((from * 7 + at * 3) % WORDS.len()).copied().unwrap_or_default();
    (0..words).map(word).collect::<Vec<_>>().join(" ")
}

fn json(bytes: usize) -> String {
    let mut rows = String::new();
    let mut at = 0;
    while rows.len() < bytes {
        let row = format!(
            "{}{{\"id\":{at},\"name\":\"{}\",\"mail\":\"user{at}@example.com\",\"price\":{at}.5}}",
            if at > 0 { "," } else { "" },
            sentence(at, 5)
        );
        rows.push_str(&row);
        at += 1;
    }
    format!("{{\"items\":[{rows}]}}")
}

fn cases() -> Vec<Case> {
    const FORM: &str = "application/x-www-form-urlencoded";
    let form: Vec<String> =
        (0..16).map(|at| format!("field{at}={}", sentence(at, 10).replace(' ', "+"))).collect();
    let mut all = vec![
        get("GET, 3 fields", "/", fields(&[])),
        get("GET, a browser's", "/search?q=running+shoes&page=3&sort=price&color=blue", browser()),
        post("form, 1 KB", FORM, &form.join("&")),
        post("JSON, 2.3 KB", "application/json", &json(2300)),
        post("JSON, 65 KB", "application/json", &json(65_000)),
        get(
            "SQL injection",
            "/item?id=1%27%20UNION%20SELECT%20name,pw%20FROM%20users--",
            browser(),
        ),
    ];
    for unit in ["+", "select(", "((((", "%7B%22a%22:", "%3Ca+", ";x$"] {
        let body = format!("a={}", unit.repeat(65_536 / unit.len()));
        all.push(post(&format!("64 KB of {unit}"), FORM, &body));
    }
    all
}

#[expect(clippy::disallowed_methods, reason = "it measures")]
fn measure(program: &Arc<Program>, case: &Case) -> (f64, usize) {
    let mut transaction = Transaction::new(Arc::clone(program));
    let mut caches = Caches::new(program);
    let mut best = f64::INFINITY;
    let rounds = if case.body.len() > 10_000 { 5 } else { 200 };
    for _ in 0..5 {
        let begun = Instant::now();
        for _ in 0..rounds {
            transaction.begin(program);
            case.run(&mut transaction, &mut caches);
        }
        best = best.min(begun.elapsed().as_secs_f64() * 1e6 / f64::from(rounds));
    }
    (best, transaction.memory_bytes())
}

fn main() -> Result<(), String> {
    let Some(crs) = files::crs() else { return Ok(()) };
    let path = |name: &str| crs.join(name).to_string_lossy().into_owned();
    let (example, rules) = (path("crs-setup.conf.example"), path("rules/*.conf"));
    for level in [1, 2] {
        let paranoia = format!(
            "SecAction \"id:900000,phase:1,nolog,pass,setvar:tx.blocking_paranoia_level={level}\""
        );
        let sources = [
            Source::Text("setup", SETUP),
            Source::File(&example),
            Source::Text("paranoia", &paranoia),
            Source::File(&rules),
        ];
        let set = load(&sources, &files::Disk).map_err(|faults| faults.to_string())?;
        let program = Arc::new(Program::compile(&set).map_err(|faults| faults.to_string())?);
        for case in cases() {
            let (micros, bytes) = measure(&program, &case);
            println!("paranoia {level}  {:24} {micros:10.1} us {:8} KiB", case.id, bytes / 1024);
        }
    }
    Ok(())
}
