//! Before the routes: whom a trusted proxy speaks for, and the way to HTTPS.

use crate::harness::authority::Tls;
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
async fn strict_transport_security_is_only_sent_in_answer_to_https() {
    let (lab, origin) = (Lab::new(), Origin::fixed("x").await);
    lab.put("a.pem", &lab.authority.sign(&["a.example"]));
    let more = "trusted_proxies = [\"127.0.0.1\"]";
    let set = "security_headers = \"strict\"\n[security_headers.strict]\n\
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
