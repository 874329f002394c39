//! Addresses that may not come in.

use crate::harness::admin::{Asked, Lab, problem};
use crate::harness::client::Answer;
use crate::harness::http2::{Client2, reason, whole};
use crate::harness::vanne::{binary, list};
use crate::harness::{
    Client, End, Origin, Vanne, ask, eventually, eventually_async, in_time, ms, timed,
};
use crate::{tls, websocket};
use h2::Reason;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::process::Command;
use tokio::net::{TcpSocket, TcpStream};

/// Two addresses of the machine's that are not the one that tests ask from.
pub(crate) const OTHER: [u8; 4] = [127, 0, 0, 2];
const THIRD: [u8; 4] = [127, 0, 0, 3];

/// A config that denies with these lines, and believes loopback if `trusts`.
fn config(origin: &Origin, trusts: bool, lines: &str) -> String {
    let trust = if trusts { "trusted_proxies = [\"127.0.0.1/32\"]" } else { "" };
    format!(
        "admin.socket = \"@dir/admin.sock\"\n[listener.http]\naddress = \"@http\"\n\
         protocols = [\"http/1.1\", \"h2\"]\n{trust}\n[pool.app]\nbackends = {}\n\
         [[route]]\nname = \"all\"\npool = \"app\"\n[blocklist]\n{lines}\n",
        list(&[origin.address])
    )
}

/// A request for a client behind a trusted proxy.
pub(crate) async fn behind(vanne: &Vanne, client: &str) -> Answer {
    let head = format!("GET / HTTP/1.1\r\nhost: a\r\nx-forwarded-for: {client}\r\n\r\n");
    ask(vanne.http, &head).await
}

/// Whether a connection from `from` is closed without a word.
async fn is_closed_at_once(from: [u8; 4], vanne: &Vanne) -> bool {
    let mut client = Client::connect_from(from, vanne.http).await;
    // It may be gone already.
    drop(client.try_send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await);
    client.head().await.is_none()
}

async fn turned_away(vanne: &Vanne, place: &str, count: f64) {
    vanne.metric_is("vanne_blocked_total", &[("where", place)], count).await;
}

pub(crate) async fn networks(vanne: &Vanne, source: &str, count: f64) {
    vanne.metric_is("vanne_blocklist_entries", &[("source", source)], count).await;
}

#[tokio::test]
async fn a_denied_peer_is_closed_at_once_and_allow_wins() {
    let origin = Origin::fixed("x").await;
    let lines = "deny = [\"127.0.0.2/31\", \"::ffff:127.0.0.0/124\"]\nallow = [\"127.0.0.1\", \"127.0.0.3\"]";
    let vanne = Vanne::start(&config(&origin, false, lines)).await;
    assert!(is_closed_at_once(OTHER, &vanne).await);
    assert!(!is_closed_at_once(THIRD, &vanne).await);
    assert_eq!(vanne.get("/").await.status(), 200);
    turned_away(&vanne, "accept", 1.0).await;
    networks(&vanne, "config", 2.0).await;
    networks(&vanne, "allow", 2.0).await;
    assert_eq!(origin.requests().len(), 2);
}

#[tokio::test]
async fn a_client_behind_a_trusted_proxy_gets_403() {
    let origin = Origin::fixed("x").await;
    let lines =
        "deny = [\"192.0.2.0/24\", \"2001:db8::/32\", \"127.0.0.1\"]\nallow = [\"192.0.2.7\"]";
    let vanne = Vanne::start(&config(&origin, true, lines)).await;
    for client in ["192.0.2.1", "::ffff:192.0.2.1", "2001:db8::9", "[2001:db8::9]:80"] {
        let refused = behind(&vanne, client).await;
        assert_eq!(refused.refusal(), (403, "blocked".into()), "{client}");
        let line = vanne.log_of(refused.id()).await;
        assert_eq!((&line["end"], &line["by"]), (&"blocked".into(), &"client".into()));
    }
    // The proxy itself is judged by whom it speaks for.
    for client in ["192.0.2.7", "198.51.100.1", "2001:db9::9", "127.0.0.1"] {
        assert_eq!(behind(&vanne, client).await.status(), 200, "{client}");
    }
    turned_away(&vanne, "request", 4.0).await;
    assert_eq!(origin.requests().len(), 4, "what is refused goes nowhere");
}

#[tokio::test]
async fn before_tls_nothing_is_said_to_a_denied_peer() {
    let (lab, origin) = (tls::Lab::new(), Origin::fixed("x").await);
    lab.put("a.pem", &lab.authority.sign(&["a.example"]));
    let more = "[blocklist]\ndeny = [\"127.0.0.2\"]";
    let vanne = Vanne::start(&lab.config(&origin, tls::ALL, more)).await;
    assert!(is_closed_at_once(OTHER, &vanne).await);
    turned_away(&vanne, "accept", 1.0).await;
    // Let in, it would be told that this is no handshake.
    assert!(
        vanne
            .metrics()
            .await
            .value("vanne_tls_handshakes_failed_total", &[])
            .is_none_or(|n| n == 0.0)
    );
}

#[tokio::test]
async fn a_reload_changes_who_may_come_in_and_ends_what_is_open() {
    let origin = Origin::fixed("x").await;
    let vanne = Vanne::start(&config(&origin, false, "")).await;
    let mut client = Client::connect_from(OTHER, vanne.http).await;
    assert_eq!(client.get("/").await.status(), 200);
    let said = vanne.reload(&config(&origin, false, "deny = [\"127.0.0.2\"]")).await;
    assert_eq!(said["result"], "applied", "{said}");
    assert_eq!(client.end().await, End::Closed);
    turned_away(&vanne, "open", 1.0).await;
    assert!(is_closed_at_once(OTHER, &vanne).await);
    let said = vanne.reload(&config(&origin, false, "")).await;
    assert_eq!(said["result"], "applied", "{said}");
    assert!(!is_closed_at_once(OTHER, &vanne).await);
}

#[tokio::test]
async fn files_name_networks_and_are_read_again_when_they_change() {
    let origin = Origin::fixed("x").await;
    let folder = tempfile::tempdir().unwrap();
    let put = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    put("a.txt", "# bad\n192.0.2.0/24\n2001:db8::1 # one\n");
    put("b.txt", "198.51.100.7\n");
    put("c.list", "nothing at all");
    let lines = format!("files = [\"{}/*.txt\"]", folder.path().display());
    let vanne = Vanne::start(&config(&origin, true, &lines)).await;
    networks(&vanne, "file", 3.0).await;
    let status = async |client: &str| behind(&vanne, client).await.status();
    assert_eq!([status("192.0.2.1").await, status("2001:db8::1").await], [403, 403]);
    assert_eq!([status("198.51.100.7").await, status("198.51.100.8").await], [403, 200]);
    // Half of a file, and one that is none: all stays as it was.
    put("b.txt", "198.51.100.7\n198.51.");
    let told = || vanne.process_log().contains("b.txt:2:1").then_some(());
    eventually("the line that is wrong", told).await;
    vanne.says("^^^^^^^").await;
    assert_eq!(status("198.51.100.7").await, 403);
    put("b.txt", "198.51.100.7\n198.51.100.8\n");
    networks(&vanne, "file", 4.0).await;
    assert_eq!(status("198.51.100.8").await, 403);
    // Another file, and one without networks.
    put("d.txt", "203.0.113.9\n");
    put("a.txt", "# nobody\n");
    networks(&vanne, "file", 3.0).await;
    assert_eq!([status("203.0.113.9").await, status("192.0.2.1").await], [403, 200]);
}

#[tokio::test]
async fn a_pattern_that_finds_no_file_is_told_and_lost_files_lift_nothing() {
    let origin = Origin::fixed("x").await;
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let lines = format!("files = [\"{0}/*.txt\", \"{0}/*.none\"]", folder.path().display());
    std::fs::write(at("a.txt"), "192.0.2.0/24\n").unwrap();
    let vanne = Vanne::start(&config(&origin, true, &lines)).await;
    vanne.says("a pattern of blocklist.files finds no file: it blocks nobody").await;
    networks(&vanne, "file", 1.0).await;
    std::fs::rename(at("a.txt"), at("a.away")).unwrap();
    vanne.says("*.txt: finds no file any more").await;
    assert_eq!(behind(&vanne, "192.0.2.1").await.status(), 403, "it stays");
    std::fs::write(at("b.txt"), "# nobody\n").unwrap();
    networks(&vanne, "file", 0.0).await;
    assert_eq!(behind(&vanne, "192.0.2.1").await.status(), 200);
}

#[tokio::test]
async fn a_file_that_cannot_be_used_refuses_the_config() {
    let origin = Origin::fixed("x").await;
    let vanne = Vanne::start(&config(&origin, true, "")).await;
    for (text, why) in [
        (Some("10.0.0.1\n10.0.0.0/33\n"), "list.txt:2:1"),
        (Some(""), "is empty"),
        (None, "No such file"),
    ] {
        let path = vanne.file("list.txt");
        match text {
            Some(text) => std::fs::write(&path, text).unwrap(),
            None => std::fs::remove_file(&path).unwrap(),
        }
        let said = vanne.reload(&config(&origin, true, "files = [\"list.txt\"]")).await;
        assert_eq!(said["result"], "refused", "{said}");
        let message = said["message"].as_str().unwrap();
        assert!(message.contains(why) && message.contains("blocklist.files"), "{message}");
    }
    let file = vanne.file("vanne.toml");
    let output = Command::new(binary()).args(["check", "--deep"]).arg(file).output().unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(told.contains("blocklist.files: ") && told.contains("No such file"), "{told}");
}

/// Operators' requests, answered with JSON.
pub(crate) async fn post(lab: &Lab, block: Value) -> Value {
    let block = block.to_string();
    let answer = lab.ask(Asked::new("POST /v1/blocklist", "operate").with(&block)).await;
    assert_eq!(answer.status(), 200, "{}", answer.text());
    serde_json::from_slice(&answer.body).unwrap()
}

pub(crate) async fn delete(lab: &Lab, network: &str) -> Answer {
    lab.ask(Asked::new(&format!("DELETE /v1/blocklist/{network}"), "operate")).await
}

#[tokio::test]
async fn operators_block_and_unblock_at_run_time() {
    let origin = Origin::fixed("x").await;
    let more = "[listener.http]\naddress = \"@http\"\ntrusted_proxies = [\"127.0.0.1/32\"]";
    let lab = Lab::start(&[origin.address], "", more).await;
    let status = async |client: &str| behind(&lab.vanne, client).await.status();
    assert_eq!(status("192.0.2.1").await, 200);
    let block = json!({ "cidr": "192.0.2.9/24", "ttl": "10m", "reason": "scan", "owner": "kim" });
    let made = post(&lab, block).await;
    assert_eq!(
        (&made["cidr"], &made["owner"], &made["reason"], &made["by"]),
        (&json!("192.0.2.0/24"), &json!("kim"), &json!("scan"), &json!("api"))
    );
    assert!((590..=600).contains(&made["seconds_left"].as_u64().unwrap()), "{made}");
    // In force for the next request, whichever worker gets it.
    for _ in 0..8 {
        assert_eq!(status("192.0.2.1").await, 403);
    }
    networks(&lab.vanne, "api", 1.0).await;
    // A shorter one in it, and one for good; each is lifted by itself.
    post(&lab, json!({ "ip": "192.0.2.1", "duration": 5 })).await;
    post(&lab, json!({ "cidr": "2001:db8::/32" })).await;
    let found = lab.get("/v1/blocklist/check?ip=192.0.2.1").await;
    assert_eq!(found["is_blocked"], true);
    let cidrs: Vec<_> = found["listed"].as_array().unwrap().iter().map(|l| &l["cidr"]).collect();
    assert_eq!(cidrs, ["192.0.2.1/32", "192.0.2.0/24"]);
    assert_eq!(lab.get("/network/check-ip/2001:db8::7").await["is_blocked"], true);
    assert_eq!(lab.get("/network/check-ip/::ffff:192.0.2.77").await["is_blocked"], true);
    let first = lab.get("/v1/blocklist?limit=2").await;
    assert_eq!((&first["total"], &first["next"]), (&json!(3), &json!("192.0.2.1/32")));
    let rest = lab.get("/network/security-groups?after=192.0.2.1/32").await;
    assert_eq!(rest["blocks"].as_array().unwrap().len(), 1);
    assert_eq!((&rest["blocks"][0]["cidr"], rest.get("next")), (&json!("2001:db8::/32"), None));
    assert_eq!(delete(&lab, "192.0.2.0%2F24").await.status(), 200);
    assert_eq!([status("192.0.2.1").await, status("192.0.2.2").await], [403, 200]);
    assert_eq!(delete(&lab, "2001:db8::/32").await.status(), 200);
    let one = Asked::new("DELETE /network/unblock-ip/192.0.2.1", "operate");
    assert_eq!(lab.ask(one).await.status(), 200);
    assert_eq!(status("192.0.2.1").await, 200);
    networks(&lab.vanne, "api", 0.0).await;
}

#[tokio::test]
async fn a_block_ends_by_itself() {
    let origin = Origin::fixed("x").await;
    let more = "[listener.http]\naddress = \"@http\"\ntrusted_proxies = [\"127.0.0.1/32\"]";
    let lab = Lab::start(&[origin.address], "", more).await;
    post(&lab, json!({ "cidr": "192.0.2.1", "ttl": "1s" })).await;
    post(&lab, json!({ "cidr": "192.0.2.0/24", "ttl": "1h" })).await;
    // Again, and for longer: what was said before does not count.
    post(&lab, json!({ "cidr": "192.0.2.2", "ttl": 1 })).await;
    let long = post(&lab, json!({ "cidr": "192.0.2.2", "ttl": 3600 })).await;
    assert!(long["seconds_left"].as_u64().unwrap() > 3590, "{long}");
    networks(&lab.vanne, "api", 2.0).await;
    assert_eq!(behind(&lab.vanne, "192.0.2.1").await.status(), 403, "by the wider one");
    assert_eq!(delete(&lab, "192.0.2.0/24").await.status(), 200);
    assert_eq!(behind(&lab.vanne, "192.0.2.1").await.status(), 200);
    assert_eq!(behind(&lab.vanne, "192.0.2.2").await.status(), 403);
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_and_why_is_said() {
    let origin = Origin::fixed("x").await;
    let more =
        "[blocklist]\ndeny = [\"203.0.113.0/24\"]\nallow = [\"198.51.100.0/24\"]\nmax_blocks = 1";
    let lab = Lab::start(&[origin.address], "", more).await;
    for (line, body, want, said) in [
        ("POST /v1/blocklist", "{\"cidr\": \"1.2.3\"}", (422, "invalid"), "not a network"),
        (
            "POST /v1/blocklist",
            "{\"cidr\": \"1.2.3.4\", \"ttl\": \"x\"}",
            (422, "invalid"),
            "expected a time",
        ),
        (
            "POST /v1/blocklist",
            "{\"cidr\": \"1.2.3.4\", \"ttl\": 0}",
            (422, "invalid"),
            "expected 1 to",
        ),
        ("POST /v1/blocklist", "{}", (422, "invalid"), "missing field `cidr`"),
        (
            "POST /v1/blocklist",
            "{\"cidr\": \"198.51.100.7\"}",
            (409, "allowed"),
            "blocklist.allow[0]",
        ),
        (
            "POST /v1/blocklist",
            "{\"cidr\": \"127.0.0.0/8\"}",
            (409, "needs_force"),
            "which asks for it",
        ),
        ("POST /v1/blocklist", "{\"cidr\": \"::/0\"}", (409, "needs_force"), "the machine itself"),
        (
            "DELETE /v1/blocklist/203.0.113.0%2F24",
            "",
            (409, "in_config"),
            "blocklist.deny[0] of the config",
        ),
        (
            "DELETE /v1/blocklist/203.0.113.9",
            "",
            (409, "in_config"),
            "203.0.113.0/24 in blocklist.deny[0]",
        ),
        ("DELETE /v1/blocklist/1.2.3.4", "", (404, "no_such_block"), "1.2.3.4/32 is not blocked"),
        ("DELETE /v1/blocklist/x", "", (422, "invalid"), "not a network"),
        ("GET /v1/blocklist?limit=0", "", (422, "invalid"), "1 to 10000"),
        ("GET /v1/blocklist/check?ip=x", "", (422, "invalid"), "ip"),
        ("GET /network/check-ip/x", "", (422, "invalid"), "no IP address"),
    ] {
        let answer = lab.ask(Asked::new(line, "operate").with(body)).await;
        assert_eq!(problem(&answer), (want.0, want.1.to_owned()), "{line} {body}");
        assert!(answer.text().contains(said), "{line} {body}: {}", answer.text());
    }
    post(&lab, json!({ "cidr": "1.2.3.0/24" })).await;
    let narrow = delete(&lab, "1.2.3.4").await;
    assert!(narrow.text().contains("1.2.3.0/24 is, though"), "{}", narrow.text());
    let more = Asked::new("POST /v1/blocklist", "operate").with("{\"cidr\": \"1.2.4.0/24\"}");
    let full = lab.ask(more).await;
    assert_eq!(problem(&full), (409, "too_many_blocks".to_owned()));
    assert!(full.text().contains("blocklist.max_blocks"), "{}", full.text());
    // The same once more is not one more; and who insists may block all, also itself.
    post(&lab, json!({ "cidr": "1.2.3.0/24" })).await;
    assert_eq!(delete(&lab, "1.2.3.0/24").await.status(), 200);
    post(&lab, json!({ "cidr": "0.0.0.0/0", "force": true })).await;
    assert!(is_closed_at_once([127, 0, 0, 1], &lab.vanne).await);
    assert_eq!(delete(&lab, "0.0.0.0/0").await.status(), 200, "operators still come in");
    let look = lab.ask(Asked::new("POST /network/block-ip", "read").with("{\"ip\": \"1.2.3.4\"}"));
    assert_eq!(look.await.status(), 403, "who may only look blocks nobody");
}

#[tokio::test]
async fn changes_are_lines_of_the_audit_log() {
    let origin = Origin::fixed("x").await;
    let lab = Lab::start(&[origin.address], "audit_file = \"@dir/audit.log\"", "").await;
    post(&lab, json!({ "cidr": "192.0.2.1", "reason": "scan" })).await;
    assert_eq!(delete(&lab, "192.0.2.1").await.status(), 200);
    assert_eq!(delete(&lab, "192.0.2.1").await.status(), 404);
    let lines = std::fs::read_to_string(lab.vanne.file("audit.log")).unwrap();
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let results: Vec<_> = lines.iter().map(|line| line["result"].as_str().unwrap()).collect();
    assert_eq!(results, ["done", "done", "no_such_block"]);
    assert_eq!(
        (&lines[0]["after"]["cidr"], &lines[0]["reason"]),
        (&json!("192.0.2.1/32"), &json!("scan"))
    );
    assert_eq!(lines[1]["before"]["cidr"], "192.0.2.1/32");
    assert_eq!(lines[0]["who"], "operate");
}

#[tokio::test]
async fn the_verb_blocks_shows_and_lifts() {
    let origin = Origin::fixed("x").await;
    let lab = Lab::start(&[origin.address], "", "[blocklist]\ndeny = [\"203.0.113.0/24\"]").await;
    let add = ["block", "add", "192.0.2.0/24", "--for", "2h", "--reason", "scan", "--owner", "kim"];
    assert!(lab.prints(&add).await.starts_with("192.0.2.0/24: blocked until 20"));
    assert_eq!(
        lab.prints(&["block", "add", "2001:db8::1"]).await,
        "2001:db8::1/128: blocked for good\n"
    );
    let shown = lab.prints(&["block", "list"]).await;
    for part in [
        "192.0.2.0/24     ",
        " s  kim",
        "scan",
        "2001:db8::1/128",
        "2 in all; the config denies 1, 0 files 0",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    let part = lab.prints(&["block", "list", "--limit", "1"]).await;
    assert!(part.contains("more: --after 192.0.2.0/24"), "{part}");
    let shown = lab.prints(&["block", "check", "192.0.2.7"]).await;
    assert!(shown.starts_with("192.0.2.7: blocked\n  192.0.2.0/24  api until 20"), "{shown}");
    let shown = lab.prints(&["block", "check", "203.0.113.1"]).await;
    assert!(shown.contains("203.0.113.0/24  config: blocklist.deny[0] of the config"), "{shown}");
    assert!(lab.prints(&["status"]).await.contains("blocked: 2 at run time, 1 networks"));
    let own = lab.verb(&["block", "add", "127.0.0.1"]).await;
    assert_eq!(own.status.code(), Some(1));
    assert!(String::from_utf8(own.stderr).unwrap().contains("expected `force`"));
    assert_eq!(
        lab.prints(&["block", "remove", "192.0.2.0/24"]).await,
        "192.0.2.0/24: no longer blocked\n"
    );
    lab.prints(&["block", "add", "203.0.113.9"]).await;
    let left = lab.prints(&["block", "remove", "203.0.113.9"]).await;
    assert!(left.starts_with("203.0.113.9/32: this block is lifted, others stay\n"), "{left}");
    assert!(left.contains("203.0.113.9: blocked\n  203.0.113.0/24  config"), "{left}");
    let page: Value =
        serde_json::from_str(&lab.prints(&["block", "list", "--json"]).await).unwrap();
    assert_eq!((&page["total"], &page["is_kept"]), (&json!(1), &json!(false)));
}

#[tokio::test]
async fn open_connections_of_a_blocked_peer_end_within_a_second() {
    let origin = websocket::echo().await;
    let lab = Lab::start(&[origin.address], "", "").await;
    let mut tunnel = Client::connect_from(OTHER, lab.vanne.http).await;
    tunnel.send(crate::harness::frames::HANDSHAKE).await;
    assert_eq!(tunnel.head().await.unwrap().status(), 101);
    websocket::echoes(&mut tunnel, b"hello").await;
    let mut idle = Client::connect_from(OTHER, lab.vanne.http).await;
    let mut partial = Client::connect_from(OTHER, lab.vanne.http).await;
    partial.send("GET / HTTP/1.1\r\nhos").await;
    let mut stays = websocket::connected(&lab.vanne).await;
    post(&lab, json!({ "cidr": "127.0.0.2" })).await;
    let (time, _) = timed(async {
        assert_eq!(tunnel.end().await, End::Reset);
        idle.end().await;
        assert_eq!(partial.answer("GET").await.refusal(), (403, "blocked".into()));
    })
    .await;
    assert!(time < ms(1000), "{time:?}");
    websocket::echoes(&mut stays, b"still here").await;
    turned_away(&lab.vanne, "open", 3.0).await;
    let cut = eventually("the line of the tunnel", || {
        lab.vanne
            .log_lines()
            .into_iter()
            .find(|line| line["end"] == "blocked" && line["status"] == 101)
    });
    assert_eq!(cut.await["by"], "client");
}

#[tokio::test]
async fn what_waits_for_its_backend_is_refused_too() {
    let origin = Origin::silent().await;
    let more = "[listener.http]\naddress = \"@http\"\ntrusted_proxies = [\"127.0.0.1/32\"]";
    let lab = Lab::start(&[origin.address], "", more).await;
    let vanne = &lab.vanne;
    let (blocked, other) = (behind(vanne, "192.0.2.1"), behind(vanne, "192.0.2.2"));
    let block = async {
        origin.has_got(2).await;
        post(&lab, json!({ "cidr": "192.0.2.1" })).await;
        // Nobody else is touched: this one ends when its client is blocked.
        turned_away(vanne, "open", 1.0).await;
        post(&lab, json!({ "cidr": "192.0.2.2" })).await;
    };
    let (blocked, other, ()) = tokio::join!(blocked, other, block);
    assert_eq!(blocked.refusal(), (403, "blocked".into()));
    assert_eq!(other.refusal(), (403, "blocked".into()));
}

#[tokio::test]
async fn http2_connections_of_a_blocked_peer_end_with_all_their_streams() {
    let origin = Origin::silent().await;
    let more = "[listener.http]\naddress = \"@http\"\nprotocols = [\"h2\"]\n\
                trusted_proxies = [\"127.0.0.3/32\"]";
    let lab = Lab::start(&[origin.address], "", more).await;
    let from = async |from: [u8; 4]| -> TcpStream {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::from((from, 0))).unwrap();
        socket.connect(lab.vanne.http).await.unwrap()
    };
    let mut client = Client2::on(from(OTHER).await, "a").await;
    let (first, _) = client.send(client.request("GET", "/"), true).await;
    let (second, _) = client.send(client.request("GET", "/"), true).await;
    let mut proxy = Client2::on(from(THIRD).await, "a").await;
    let asked =
        |client: &Client2, by: &str| client.request("GET", "/").header("x-forwarded-for", by);
    let (of_blocked, _) = proxy.send(asked(&proxy, "127.0.0.2"), true).await;
    let (of_other, _) = proxy.send(asked(&proxy, "192.0.2.1"), true).await;
    origin.has_got(4).await;
    let began = tokio::time::Instant::now();
    post(&lab, json!({ "cidr": "127.0.0.2" })).await;
    assert_eq!(whole(of_blocked).await.unwrap().status(), 403, "a stream of the proxy's");
    for stream in [first, second] {
        let ended = in_time("the end of a stream", stream).await;
        let is_refused = ended.as_ref().is_ok_and(|answer| answer.status() == 403);
        let is_cut = |error: &h2::Error| reason(error) != Some(Reason::NO_ERROR);
        assert!(is_refused || ended.is_err_and(|error| is_cut(&error)));
    }
    in_time("the end of the connection", client.ended).await.unwrap().ok();
    assert!(began.elapsed() < ms(1000), "{:?}", began.elapsed());
    post(&lab, json!({ "cidr": "192.0.2.1" })).await;
    assert_eq!(whole(of_other).await.unwrap().status(), 403);
    assert!(!proxy.ended.is_finished(), "the proxy's connection goes on");
    let all = eventually_async("all are blocked", async || {
        let lines = lab.vanne.log_lines();
        (lines.len() == 4).then_some(lines)
    });
    assert!(all.await.iter().all(|line| line["end"] == "blocked"));
}
