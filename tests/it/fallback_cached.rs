//! Good answers of before: which are kept, for whom, and for how long.

use crate::harness::client::{Answer, ask};
use crate::harness::http2::Client2;
use crate::harness::origin::Origin;
use crate::harness::origin2::Origin2;
use crate::harness::vanne::{Vanne, list};
use crate::harness::wire::Head;
use crate::harness::{eventually_async, noise, sha256};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A config whose route gives good answers of before, and says sorry if there is none.
fn caching(backend: SocketAddr, rules: &str) -> String {
    format!(
        "[pool.app]\nbackends = {}\nfallback = [\"cached\", \"static:sorry\"]\n\
         breaker = {{ failures = 0, failure_rate = \"0%\" }}\n[[route]]\nname = \"all\"\npool = \"app\"\n\
         [page.sorry]\njson = \"sorry\"\n{rules}\n",
        list(&[backend])
    )
}

/// A backend that answers with what the path names, until it is broken: then it says nothing.
struct Breakable {
    origin: Origin,
    is_broken: Arc<AtomicBool>,
}

impl Breakable {
    /// `answer`: the whole answer to a request with this head.
    async fn start(answer: fn(&Head) -> String) -> Self {
        let is_broken = Arc::new(AtomicBool::new(false));
        let shared = Arc::clone(&is_broken);
        let origin = Origin::start(move |mut conn| {
            let is_broken = Arc::clone(&shared);
            async move {
                while let Some(request) = conn.request().await {
                    if is_broken.load(Ordering::Relaxed) {
                        return;
                    }
                    conn.send(answer(&request.head)).await;
                }
            }
        })
        .await;
        Self { origin, is_broken }
    }

    fn break_down(&self) {
        self.is_broken.store(true, Ordering::Relaxed);
    }
}

/// An answer with these fields and a body of its own.
fn with(fields: &str, body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n{fields}\r\n{body}", body.len())
}

async fn get(vanne: &Vanne, path: &str, fields: &str) -> Answer {
    let head = format!("GET {path} HTTP/1.1\r\nHost: a\r\n{fields}Connection: close\r\n\r\n");
    ask(vanne.http, &head).await
}

fn is_cached(answer: &Answer) -> bool {
    answer.head.field("vanne-fallback") == Some("cached")
}

#[tokio::test]
async fn what_is_one_persons_is_never_given_to_another() {
    let backend = Breakable::start(|head| {
        let path = head.word(1);
        let fields = match path {
            "/private" => "Cache-Control: max-age=60, private\r\n",
            "/no-store" => "Cache-Control: no-store\r\n",
            "/no-cache" => "Cache-Control: no-cache\r\n",
            "/cookie" => "Set-Cookie: id=1\r\nCache-Control: public\r\n",
            "/vary" => "Vary: Accept-Encoding, Cookie\r\n",
            "/vary-all" => "Vary: *\r\n",
            "/public" | "/authorized" => "Cache-Control: public, max-age=60\r\n",
            _ => "",
        };
        with(fields, path)
    })
    .await;
    let vanne = Vanne::start(&caching(backend.origin.address, "")).await;
    let private = ["/private", "/no-store", "/no-cache", "/cookie", "/vary", "/vary-all"];
    for path in private {
        assert_eq!(get(&vanne, path, "").await.text(), path);
    }
    let mine = [
        ("/authorized", "Authorization: Basic eA==\r\n"),
        ("/mine", "Cookie: id=1\r\n"),
        ("/not-to-be-stored", "Cache-Control: no-store\r\n"),
    ];
    for (path, fields) in mine {
        assert_eq!(get(&vanne, path, fields).await.text(), path);
    }
    let public = [("/public", "Cookie: id=1\r\n"), ("/plain", "")];
    for (path, fields) in public {
        assert_eq!(get(&vanne, path, fields).await.text(), path);
    }
    backend.break_down();
    for path in private.into_iter().chain(mine.map(|(path, _)| path)) {
        assert_eq!(get(&vanne, path, "").await.text(), "sorry", "{path}");
    }
    for (path, fields) in mine {
        assert_eq!(get(&vanne, path, fields).await.text(), "sorry", "{path}");
    }
    for (path, _) in public {
        let answer = get(&vanne, path, "").await;
        assert!(is_cached(&answer) && answer.text() == path, "{path}");
    }
    // Who says who he is may have something else there.
    assert_eq!(get(&vanne, "/plain", "Authorization: Basic eA==\r\n").await.text(), "sorry");
    let other = "GET /plain HTTP/1.1\r\nHost: b\r\nConnection: close\r\n\r\n";
    assert_eq!(ask(vanne.http, other).await.text(), "sorry", "another host");
    let post = "POST /plain HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    assert_eq!(ask(vanne.http, post).await.text(), "sorry");
    let head = "HEAD /plain HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let answer = ask(vanne.http, head).await;
    assert!(is_cached(&answer));
    assert_eq!((answer.head.field("content-length"), answer.body.len()), (Some("6"), 0));
}

#[tokio::test]
async fn only_whole_answers_are_kept_however_they_are_framed() {
    let backend = Breakable::start(|head| match head.word(1) {
        "/chunked" => "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-A: b\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n\
            4\r\nWiki\r\n6;a=b\r\npedia \r\n0\r\nX-Trailer: 1\r\n\r\n"
            .to_owned(),
        "/not-found" => with("", "x").replace("200 OK", "404 Not Found"),
        path => with("Connection: X-Hop\r\nX-Hop: 1\r\nAge: 5\r\n", path),
    })
    .await;
    let vanne = Vanne::start(&caching(backend.origin.address, "")).await;
    assert_eq!(get(&vanne, "/chunked", "").await.text(), "Wikipedia ");
    assert_eq!(get(&vanne, "/plain", "").await.text(), "/plain");
    assert_eq!(get(&vanne, "/not-found", "").await.status(), 404);
    backend.break_down();
    let answer = get(&vanne, "/chunked", "").await;
    assert!(is_cached(&answer) && answer.text() == "Wikipedia ");
    let fields = ["x-a", "content-length", "transfer-encoding"].map(|name| answer.head.field(name));
    assert_eq!(fields, [Some("b"), Some("10"), None]);
    let dates: Vec<_> = answer.head.all("date").collect();
    assert_eq!(dates, ["Sun, 06 Nov 1994 08:49:37 GMT"], "its own");
    let answer = get(&vanne, "/plain", "").await;
    assert_eq!((answer.text().as_str(), answer.head.field("x-hop")), ("/plain", None));
    let age: u64 = answer.head.field("age").unwrap().parse().unwrap();
    assert!((5..15).contains(&age), "{age}");
    assert_eq!(get(&vanne, "/not-found", "").await.text(), "sorry");
}

#[tokio::test]
async fn an_answer_that_is_cut_is_not_kept() {
    let cut = Origin::start(|mut conn| async move {
        if conn.request().await.is_some() && conn.index == 0 {
            conn.send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf").await;
        }
    })
    .await;
    let vanne = Vanne::start(&caching(cut.address, "")).await;
    assert!(!get(&vanne, "/", "").await.is_whole);
    assert_eq!(get(&vanne, "/", "").await.text(), "sorry");
    let shut = Origin::start(move |mut conn| async move {
        if conn.request().await.is_some() && conn.index == 0 {
            conn.send("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nall?").await;
        }
    })
    .await;
    let vanne = Vanne::start(&caching(shut.address, "")).await;
    assert_eq!(get(&vanne, "/", "").await.text(), "all?");
    assert_eq!(get(&vanne, "/", "").await.text(), "sorry", "its end may have been a cut");
}

#[tokio::test]
async fn each_client_gets_the_variant_that_it_takes() {
    let backend = Breakable::start(|head| {
        with("Vary: Accept-Encoding\r\n", head.field("accept-encoding").unwrap_or("none"))
    })
    .await;
    let vanne = Vanne::start(&caching(backend.origin.address, "")).await;
    let by = |encoding: &str| format!("Accept-Encoding: {encoding}\r\n");
    for encoding in ["gzip", "br"] {
        assert_eq!(get(&vanne, "/", &by(encoding)).await.text(), encoding);
    }
    backend.break_down();
    for (encoding, text) in [("br", "br"), ("gzip", "gzip"), ("zstd", "sorry")] {
        assert_eq!(get(&vanne, "/", &by(encoding)).await.text(), text);
    }
}

#[tokio::test]
async fn the_store_is_bounded_and_answers_grow_too_old() {
    let backend = Breakable::start(|head| match head.word(1) {
        "/large" => with("", &"x".repeat(3000)),
        "/must" => with("Cache-Control: max-age=0, must-revalidate\r\n", "/must"),
        path => with("", &format!("{path}{}", "x".repeat(1500))),
    })
    .await;
    let cache = |stale_for: &str| {
        let rules = format!(
            "admin.socket = \"@dir/admin.sock\"\n[fallback_cache]\nsize = \"8KiB\"\n\
             entry_size = \"2KiB\"\nstale_for = \"{stale_for}\"\n"
        );
        let config = caching(backend.origin.address, "");
        format!("{rules}{config}")
    };
    let vanne = Vanne::start(&cache("1h")).await;
    assert_eq!(get(&vanne, "/large", "").await.body.len(), 3000);
    let paths: Vec<_> = (0..20).map(|number| format!("/{number}")).collect();
    for path in paths.iter().map(String::as_str).chain(["/must"]) {
        assert_eq!(get(&vanne, path, "").await.status(), 200);
    }
    backend.break_down();
    assert_eq!(get(&vanne, "/large", "").await.text(), "sorry", "longer than an entry");
    let mut kept = 0;
    for path in &paths {
        kept += usize::from(is_cached(&get(&vanne, path, "").await));
    }
    assert!((1..=5).contains(&kept), "{kept} answers of 1,500 bytes in 8 KiB");
    eventually_async("it must not be given when it is stale", async || {
        (get(&vanne, "/must", "").await.text() == "sorry").then_some(())
    })
    .await;
    // What comes from now on is good for a moment only.
    let vanne = Vanne::start(&cache("50ms")).await;
    backend.is_broken.store(false, Ordering::Relaxed);
    assert_eq!(get(&vanne, "/0", "").await.status(), 200);
    backend.break_down();
    eventually_async("it is too old", async || {
        (get(&vanne, "/0", "").await.text() == "sorry").then_some(())
    })
    .await;
}

#[tokio::test]
async fn large_answers_are_kept_byte_for_byte_by_every_engine_and_for_every_client() {
    let body: &'static [u8] = Box::leak(noise(700_000).into_boxed_slice());
    let http1 = Origin::start(move |mut conn| async move {
        while conn.request().await.is_some() {
            conn.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await;
            for part in body.chunks(33_333) {
                conn.send_chunk(part).await;
            }
            conn.send("0\r\n\r\n").await;
        }
    })
    .await;
    let http2 = Origin2::start(None, move |_, mut respond| async move {
        let mut sending = respond.send_response(http::Response::new(()), false).unwrap();
        crate::harness::http2::upload(&mut sending, body).await;
    })
    .await;
    let hash = sha256(body);
    for speaks in ["http/1.1", "h2"] {
        let backend = if speaks == "h2" { http2.address } else { http1.address };
        let listeners =
            "[listener.http]\naddress = \"@http\"\nprotocols = [\"h2\", \"http/1.1\"]\n";
        let protocol = format!("protocol = \"{speaks}\"\nbreaker");
        let config = caching(backend, "").replacen("breaker", &protocol, 1);
        let vanne =
            Vanne::start(&format!("admin.socket = \"@dir/admin.sock\"\n{listeners}{config}")).await;
        let answer = get(&vanne, "/", "").await;
        assert_eq!(sha256(&answer.body), hash);
        // Nobody is there any more.
        let none = config.replacen(&list(&[backend]), "[]", 1);
        vanne.reload(&format!("admin.socket = \"@dir/admin.sock\"\n{listeners}{none}")).await;
        let answer = get(&vanne, "/", "").await;
        assert!(is_cached(&answer));
        assert_eq!(sha256(&answer.body), hash);
        let mut client = Client2::connect(vanne.http).await;
        let request = http::Request::builder().uri("http://a/");
        let (answer, _) = client.send(request, true).await;
        let answer = crate::harness::http2::whole(answer).await.unwrap();
        assert_eq!(answer.field("vanne-fallback"), Some("cached"));
        assert_eq!(sha256(&answer.body), hash);
    }
}
