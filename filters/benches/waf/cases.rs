//! The requests: ordinary ones, attacks, arguments that are hostile to expressions.

use vanne_filters::waf::regression::{Case, Field};

const FORM: &str = "application/x-www-form-urlencoded";

/// A text of many different words.
const PROSE: &str = include_str!("../../../README.md");

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

/// What a language model is asked: a few long texts.
fn prompt(bytes: usize) -> String {
    let plain = |byte: u8| if byte.is_ascii_alphanumeric() { byte as char } else { ' ' };
    let text = |from: usize| -> String {
        PROSE.bytes().map(plain).cycle().skip(from).take(bytes / 3).collect()
    };
    let [system, first, second] = [0, 1000, 2000].map(text);
    format!(
        "{{\"model\":\"large\",\"messages\":[{{\"role\":\"system\",\"content\":\"{system}\"}},\
         {{\"role\":\"user\",\"content\":\"{first}\"}},\
         {{\"role\":\"user\",\"content\":\"{second}\"}}]}}"
    )
}

/// Values of which each is an attack.
fn attacks(bytes: usize) -> String {
    let row = |at: usize| format!("\"1' UNION SELECT {at} FROM users-- <script>alert({at})\"");
    let rows: Vec<String> = (0..bytes / 56).map(row).collect();
    format!("[{}]", rows.join(","))
}

/// Ordinary requests and attacks.
pub(crate) fn ordinary() -> Vec<Case> {
    let form: Vec<String> =
        (0..16).map(|at| format!("field{at}={}", sentence(at, 10).replace(' ', "+"))).collect();
    vec![
        get("GET, 3 fields", "/", fields(&[])),
        get("GET, a browser's", "/search?q=running+shoes&page=3&sort=price&color=blue", browser()),
        post("form, 1 KB", FORM, &form.join("&")),
        post("JSON, 2.3 KB", "application/json", &json(2300)),
        post("JSON, 65 KB", "application/json", &json(65_000)),
        post("JSON, 65 KB of prose", "application/json", &prompt(65_000)),
        post("JSON, 65 KB of attacks", "application/json", &attacks(65_000)),
        get(
            "SQL injection",
            "/item?id=1%27%20UNION%20SELECT%20name,pw%20FROM%20users--",
            browser(),
        ),
    ]
}

/// Arguments that are hostile to expressions, and plain text, of so many KB.
pub(crate) fn worst(kilobytes: usize) -> Vec<Case> {
    let units = ["+", "select(", "((((", "%7B%22a%22:", "%3Ca+", ";x$", "lorem+ipsum+dolor+"];
    let of = |unit: &&str| {
        let body = format!("a={}", unit.repeat(kilobytes * 1024 / unit.len()));
        post(&format!("{kilobytes} KB of {unit}"), FORM, &body)
    };
    let mut all: Vec<Case> = units.iter().map(of).collect();
    let plain = |byte: u8| if byte.is_ascii_alphanumeric() { byte as char } else { '+' };
    let prose: String = PROSE.bytes().map(plain).cycle().take(kilobytes * 1024).collect();
    all.push(post(&format!("{kilobytes} KB of prose"), FORM, &format!("a={prose}")));
    all
}
