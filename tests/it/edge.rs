//! Before the routes: whom a trusted proxy speaks for, and the way to HTTPS.

use crate::harness::authority::Tls;
use crate::harness::http2::{Client2, whole};
use crate::harness::{Origin, Settings, Vanne, ask};
use crate::tls::{ALL, Lab};

async fn behind(networks: &str, origin: &Origin) -> Vanne {
    let listener = format!("trusted_proxies = [{networks}]");
    Vanne::with(&[origin.address], Settings { listener: &listener, ..Settings::default() }).await
}

const CLAIMS: &str = "x-forwarded-for: 6.6.6.6\r\nx-forwarded-for: 192.0.2.1, 127.0.0.9\r\n\
    x-forwarded-proto: https\r\nx-forwarded-port: 8443\r\nx-forwarded-host: shop.example\r\n\
    forwarded: for=7.7.7.7\r\nx-real-ip: 8.8.8.8\r\n";

#[tokio::test]
async fn a_trusted_proxy_is_believed_and_appended_to_its_chain() {
    let origin = Origin::fixed("x").await;
    let vanne = behind("\"127.0.0.0/8\"", &origin).await;
    ask(vanne.http, &format!("GET / HTTP/1.1\r\nhost: a\r\n{CLAIMS}\r\n")).await;
    let head = origin.only_request();
    let all = |name| head.all(name).collect::<Vec<_>>();
    assert_eq!(all("x-forwarded-for"), ["6.6.6.6, 192.0.2.1, 127.0.0.9, 127.0.0.1"]);
    assert_eq!(all("x-forwarded-proto"), ["https"]);
    assert_eq!(all("x-forwarded-port"), ["8443"]);
    assert_eq!(all("x-forwarded-host"), ["shop.example"]);
    assert!(all("forwarded").is_empty() && all("x-real-ip").is_empty());
    let line = vanne.only_log().await;
    assert_eq!(line["client"], "192.0.2.1");
    assert!(line["peer"].as_str().unwrap().starts_with("127.0.0.1:"));
}

#[tokio::test]
async fn what_others_say_is_replaced() {
    let origin = Origin::fixed("x").await;
    let vanne = behind("\"10.0.0.0/8\", \"::1\"", &origin).await;
    ask(vanne.http, &format!("GET / HTTP/1.1\r\nhost: a\r\n{CLAIMS}\r\n")).await;
    let head = origin.only_request();
    assert_eq!(head.all("x-forwarded-for").collect::<Vec<_>>(), ["127.0.0.1"]);
    assert_eq!(head.field("x-forwarded-proto"), Some("http"));
    assert_eq!(head.field("x-forwarded-host"), Some("a"));
    let line = vanne.only_log().await;
    assert!(line["client"].as_str().unwrap().starts_with("127.0.0.1:") && line["peer"].is_null());
}

#[tokio::test]
async fn forwarded_names_the_client_where_there_is_no_chain() {
    let origin = Origin::fixed("x").await;
    let vanne = behind("\"127.0.0.0/8\"", &origin).await;
    // The proxy quotes the host that the client asked for, and the client made use of that.
    let forwarded = "for=6.6.6.6, for=192.0.2.1;proto=https;host=\"a,for=7.7.7.7;x=\"";
    let request = format!(
        "GET / HTTP/1.1\r\nhost: a\r\nforwarded: {forwarded}\r\nforwarded: for=127.0.0.9\r\n\r\n"
    );
    assert_eq!(ask(vanne.http, &request).await.status(), 200);
    let head = origin.only_request();
    assert_eq!(head.all("x-forwarded-for").collect::<Vec<_>>(), ["192.0.2.1, 127.0.0.1"]);
    assert_eq!(head.field("forwarded"), None);
    assert_eq!(vanne.only_log().await["client"], "192.0.2.1");
}

#[tokio::test]
async fn a_trusted_proxy_that_speaks_for_nobody_is_the_client() {
    let origin = Origin::fixed("x").await;
    let vanne = behind("\"127.0.0.1\"", &origin).await;
    ask(vanne.http, "GET / HTTP/1.1\r\nhost: a.test:81\r\nx-forwarded-port: +1\r\n\r\n").await;
    let head = origin.only_request();
    assert_eq!(head.all("x-forwarded-for").collect::<Vec<_>>(), ["127.0.0.1"]);
    assert_eq!(head.field("x-forwarded-proto"), Some("http"));
    assert_eq!(head.field("x-forwarded-host"), Some("a.test:81"));
    assert_eq!(head.field("x-forwarded-port"), Some(vanne.http.port().to_string().as_str()));
    let line = vanne.only_log().await;
    assert!(line["client"].as_str().unwrap().starts_with("127.0.0.1:"), "with its port");
    assert!(line.get("peer").is_none(), "the same is not said twice");
}

#[tokio::test]
async fn a_chain_that_is_too_long_still_names_the_client() {
    let origin = Origin::fixed("x").await;
    let vanne = behind("\"127.0.0.1\"", &origin).await;
    let chain = "6.6.6.6, ".repeat(1000) + "192.0.2.1";
    ask(vanne.http, &format!("GET / HTTP/1.1\r\nhost: a\r\nx-forwarded-for: {chain}\r\n\r\n"))
        .await;
    let head = origin.only_request();
    assert_eq!(head.all("x-forwarded-for").collect::<Vec<_>>(), ["192.0.2.1, 127.0.0.1"]);
    assert_eq!(vanne.only_log().await["client"], "192.0.2.1");
}

#[tokio::test]
async fn the_port_for_backends_goes_with_the_scheme_that_a_trusted_proxy_names() {
    let origin = Origin::fixed("x").await;
    let vanne = behind("\"127.0.0.1\"", &origin).await;
    let request = "GET / HTTP/1.1\r\nhost: a.example\r\nx-forwarded-proto: https\r\n\r\n";
    ask(vanne.http, request).await;
    let head = origin.only_request();
    assert_eq!(head.all("x-forwarded-port").collect::<Vec<_>>(), ["443"]);
}

#[tokio::test]
async fn each_stream_of_a_trusted_proxy_has_a_client_of_its_own() {
    let origin = Origin::fixed("x").await;
    let listener = "trusted_proxies = [\"127.0.0.1\"]\nprotocols = [\"h2\"]";
    let vanne = Vanne::with(&[origin.address], Settings { listener, ..Settings::default() }).await;
    let mut proxy = Client2::connect(vanne.http).await;
    for client in ["192.0.2.1", "2001:db8::1"] {
        let request = proxy.request("GET", "/").header("x-forwarded-for", client);
        let answer = whole(proxy.send(request, true).await.0).await.unwrap();
        let line = vanne.log_of(answer.field("x-request-id").unwrap()).await;
        assert_eq!(line["client"], client);
        let head = origin.requests().pop().unwrap();
        assert_eq!(head.field("x-forwarded-for"), Some(format!("{client}, 127.0.0.1").as_str()));
    }
}

#[tokio::test]
async fn a_listener_may_send_all_to_https() {
    let origin = Origin::fixed("challenge").await;
    let listener = "redirect_to_https = true\ntrusted_proxies = [\"127.0.0.1\"]";
    let vanne = Vanne::with(&[origin.address], Settings { listener, ..Settings::default() }).await;
    let to = |answer: &crate::harness::Answer| {
        (answer.status(), answer.head.field("location").unwrap_or("-").to_owned())
    };
    let answer = ask(vanne.http, "GET /x?y=1 HTTP/1.1\r\nhost: a.example:8080\r\n\r\n").await;
    assert_eq!(to(&answer), (301, "https://a.example/x?y=1".to_owned()));
    assert_eq!(vanne.only_log().await["end"], "https_redirect");
    let post = "POST / HTTP/1.1\r\nhost: [::1]:80\r\ncontent-length: 0\r\n\r\n";
    assert_eq!(to(&ask(vanne.http, post).await), (308, "https://[::1]/".to_owned()));
    let old = ask(vanne.http, "GET / HTTP/1.0\r\n\r\n").await;
    assert_eq!(old.refusal(), (400, "missing_host".to_owned()));
    let challenge = "GET /.well-known/acme-challenge/t HTTP/1.1\r\nhost: a\r\n\r\n";
    assert_eq!(ask(vanne.http, challenge).await.text(), "challenge");
    let behind_tls = "GET / HTTP/1.1\r\nhost: a\r\nx-forwarded-proto: https\r\n\r\n";
    assert_eq!(ask(vanne.http, behind_tls).await.text(), "challenge", "no loop");
}

#[tokio::test]
async fn the_port_of_https_may_be_another() {
    let listener = "redirect_to_https = true\nhttps_port = 8443";
    let vanne = Vanne::with(&[], Settings { listener, ..Settings::default() }).await;
    let answer = vanne.get("/").await;
    assert_eq!(answer.head.field("location"), Some("https://test:8443/"));
}

#[tokio::test]
async fn a_redirect_says_its_own_status_and_goes_to_the_host_that_was_asked() {
    let listener = "redirect_to_https = true\nprotocols = [\"h2\", \"http/1.1\"]";
    let vanne = Vanne::with(&[], Settings { listener, ..Settings::default() }).await;
    for (method, status, phrase) in
        [("GET", 301, "Moved Permanently"), ("PUT", 308, "Permanent Redirect")]
    {
        let request = format!("{method} / HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n");
        let answer = ask(vanne.http, &request).await;
        assert_eq!(answer.head.line, format!("HTTP/1.1 {status} {phrase}"));
        assert!(answer.text().starts_with(&format!("{status} {phrase}: https_redirect (")));
        assert_eq!(vanne.log_of(answer.id()).await["status"], status);
    }
    let absolute = "GET http://b.example:81/x HTTP/1.1\r\nhost: b.example:81\r\n\r\n";
    let answer = ask(vanne.http, absolute).await;
    assert_eq!(answer.head.field("location"), Some("https://b.example/x"));
    let mut client = Client2::connect(vanne.http).await;
    let answer = client.get("/x?y").await;
    assert_eq!((answer.status(), answer.field("location")), (301, Some("https://127.0.0.1/x?y")));
    // gRPC knows no redirects: a call gets its status.
    let call = client.request("POST", "/a.B/c").header("content-type", "application/grpc");
    let answer = whole(client.send(call, true).await.0).await.unwrap();
    assert_eq!((answer.status(), answer.field("grpc-status")), (200, Some("2")));
    assert_eq!(answer.field("location"), None);
}

#[tokio::test]
async fn nothing_can_be_put_into_a_redirect() {
    let listener = "redirect_to_https = true";
    let vanne = Vanne::with(&[], Settings { listener, ..Settings::default() }).await;
    for (head, reason) in [
        ("GET /\rset-cookie:x HTTP/1.1\r\nhost: a", "bare_line_end"),
        ("GET /\nset-cookie:x HTTP/1.1\r\nhost: a", "bare_line_end"),
        ("GET /\tx HTTP/1.1\r\nhost: a", "malformed_target"),
        ("GET /\u{e4} HTTP/1.1\r\nhost: a", "malformed_target"),
        ("GET / HTTP/1.1\r\nhost: a/b", "malformed_host"),
        ("GET / HTTP/1.1\r\nhost: a@b", "malformed_host"),
        ("GET http://a@b.example/ HTTP/1.1\r\nhost: a", "malformed_target"),
        ("GET http://a\\b.example/ HTTP/1.1\r\nhost: a", "malformed_target"),
    ] {
        let answer = ask(vanne.http, &format!("{head}\r\n\r\n")).await;
        assert_eq!(answer.refusal(), (400, reason.to_owned()), "{head:?}");
        assert!(
            answer.head.field("location").is_none() && answer.head.field("set-cookie").is_none()
        );
    }
    // What is encoded stays so.
    let answer = vanne.get("/%0d%0aset-cookie:x").await;
    assert_eq!(answer.head.field("location"), Some("https://test/%0d%0aset-cookie:x"));
    assert_eq!(answer.head.field("set-cookie"), None);
}

#[tokio::test]
async fn strict_transport_security_is_only_sent_in_answer_to_https() {
    let (lab, origin) = (Lab::new(), Origin::fixed("x").await);
    lab.put("a.pem", &lab.authority.sign(&["a.example"]));
    let more = "trusted_proxies = [\"127.0.0.1\"]";
    let set = "security_headers = \"site\"\n[security_headers.site]\n\
               strict_transport_security = \"max-age=31536000\"\n";
    let secure = Vanne::start(&(lab.config(&origin, ALL, more) + set)).await;
    let stream = lab.tls().connect(secure.http, "a.example").await.unwrap();
    assert!(
        Tls::post(stream, b"")
            .await
            .contains("\r\nstrict-transport-security: max-age=31536000\r\n")
    );
    let settings = Settings { listener: more, route: set, ..Settings::default() };
    let plain = Vanne::with(&[origin.address], settings).await;
    let field = "strict-transport-security";
    let claiming =
        |proto| format!("GET / HTTP/1.1\r\nhost: a\r\nx-forwarded-proto: {proto}\r\n\r\n");
    assert_eq!(plain.get("/").await.head.field(field), None);
    assert_eq!(ask(plain.http, &claiming("http")).await.head.field(field), None);
    let answer = ask(plain.http, &claiming("https")).await;
    assert_eq!(answer.head.field(field), Some("max-age=31536000"));
}
