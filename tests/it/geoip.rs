//! Where addresses are: countries and operators, from files in the format of MaxMind DB.

use crate::blocklist::behind;
use crate::harness::admin::Lab;
use crate::harness::mmdb::{Said, country, file, operator};
use crate::harness::{Client, Origin, eventually, eventually_async};
use serde_json::json;
use std::path::Path;

/// A file of countries: loopback is in the last one.
fn countries(loopback: &str) -> Vec<u8> {
    let no_country = Said::Map(vec![("continent", Said::Map(Vec::new()))]);
    let networks = [
        ("192.0.2.0/25", country("FR")),
        ("192.0.2.128/26", country("BE")),
        ("192.0.2.192/26", no_country),
        ("2001:db8::/32", country("FR")),
        ("2001:db9::/48", country("DE")),
        ("127.0.0.2/32", country(loopback)),
    ];
    file("Test-Country", &networks)
}

fn operators() -> Vec<u8> {
    let networks = [("192.0.2.0/24", operator(64_496)), ("198.51.100.0/24", operator(64_497))];
    file("Test-ASN", &networks)
}

/// A proxy that knows where addresses are, and has these lines in its blocklist.
async fn placed(origin: &Origin, folder: &Path, lines: &str) -> Lab {
    put(folder, "country.mmdb", &countries("BE"));
    put(folder, "asn.mmdb", &operators());
    let more = format!(
        "[listener.http]\naddress = \"@http\"\ntrusted_proxies = [\"127.0.0.1/32\"]\n\
         [geoip]\ncountry = \"{0}/country.mmdb\"\nasn = \"{0}/asn.mmdb\"\n[blocklist]\n{lines}\n",
        folder.display()
    );
    Lab::start(&[origin.address], "", &more).await
}

fn put(folder: &Path, name: &str, bytes: &[u8]) {
    std::fs::write(folder.join("new"), bytes).unwrap();
    std::fs::rename(folder.join("new"), folder.join(name)).unwrap();
}

#[tokio::test]
async fn countries_are_blocked_and_logged() {
    let (origin, folder) = (Origin::fixed("x").await, tempfile::tempdir().unwrap());
    let lines = "deny_countries = [\"fr\"]\nallow = [\"192.0.2.7\"]";
    let lab = placed(&origin, folder.path(), lines).await;
    for (client, status, country, asn) in [
        ("192.0.2.1", 403, json!("FR"), json!(64_496)),
        ("::ffff:192.0.2.1", 403, json!("FR"), json!(64_496)),
        ("2001:db8::1", 403, json!("FR"), json!(null)),
        ("192.0.2.7", 200, json!("FR"), json!(64_496)),
        ("192.0.2.129", 200, json!("BE"), json!(64_496)),
        ("192.0.2.193", 200, json!(null), json!(64_496)),
        ("198.51.100.1", 200, json!(null), json!(64_497)),
        ("203.0.113.1", 200, json!(null), json!(null)),
        ("2001:db9:1::1", 200, json!(null), json!(null)),
    ] {
        let answer = behind(&lab.vanne, client).await;
        assert_eq!(answer.status(), status, "{client}");
        let line = lab.vanne.log_of(answer.id()).await;
        assert_eq!((&line["country"], &line["asn"]), (&country, &asn), "{client}: {line}");
    }
    let found = lab.get("/v1/blocklist/check?ip=192.0.2.1").await;
    assert_eq!((&found["country"], &found["asn"]), (&json!("FR"), &json!(64_496)));
    let listed = json!([{ "cidr": "192.0.2.1/32", "source": "geoip", "place": "FR in blocklist.deny_countries" }]);
    assert_eq!(found["listed"], listed);
    let shown = lab.prints(&["block", "check", "192.0.2.1"]).await;
    assert!(shown.starts_with("192.0.2.1: blocked, in FR, of AS 64496\n"), "{shown}");
    for about in ["country", "asn"] {
        let labels = [("file", about)];
        lab.vanne.metric_is("vanne_geoip_made_timestamp_seconds", &labels, 1_700_000_000.0).await;
    }
}

#[tokio::test]
async fn only_some_countries_may_come_in() {
    let (origin, folder) = (Origin::fixed("x").await, tempfile::tempdir().unwrap());
    let lines = "only_countries = [\"BE\", \"FR\"]\ndeny_countries = [\"FR\"]";
    let lab = placed(&origin, folder.path(), lines).await;
    // What is not known blocks nobody.
    for (client, status) in
        [("192.0.2.129", 200), ("192.0.2.1", 403), ("2001:db9::1", 403), ("203.0.113.1", 200)]
    {
        assert_eq!(behind(&lab.vanne, client).await.status(), status, "{client}");
    }
    let found = lab.get("/v1/blocklist/check?ip=2001:db9::1").await;
    assert_eq!(found["listed"][0]["place"], "DE is not in blocklist.only_countries");
}

#[tokio::test]
async fn operators_are_blocked_by_their_number() {
    let (origin, folder) = (Origin::fixed("x").await, tempfile::tempdir().unwrap());
    let lab = placed(&origin, folder.path(), "deny_asns = [64497, 64496]").await;
    for (client, status) in [("192.0.2.1", 403), ("198.51.100.1", 403), ("203.0.113.1", 200)] {
        assert_eq!(behind(&lab.vanne, client).await.status(), status, "{client}");
    }
}

#[tokio::test]
async fn a_new_file_counts_at_once_and_a_bad_one_never() {
    let (origin, folder) = (Origin::fixed("x").await, tempfile::tempdir().unwrap());
    let lab = placed(&origin, folder.path(), "deny_countries = [\"FR\"]").await;
    let mut open = Client::connect_from(crate::blocklist::OTHER, lab.vanne.http).await;
    assert_eq!(open.get("/").await.status(), 200);
    let whole = countries("FR");
    let said = |text: &str| lab.vanne.process_log().contains(text).then_some(());
    // Half of a file, one of something else, and none at all.
    put(folder.path(), "country.mmdb", &whole[..whole.len() / 2]);
    eventually("half a file is refused", || said("files of geoip not read again")).await;
    put(folder.path(), "country.mmdb", &operators());
    eventually("another file is refused", || said("says of no address its country")).await;
    std::fs::remove_file(folder.path().join("country.mmdb")).unwrap();
    eventually("no file is refused", || said("No such file")).await;
    let faults = eventually_async("it is told", async || {
        let warnings = lab.get("/v1/status").await["warnings"].clone();
        warnings.to_string().contains("country.mmdb").then_some(warnings)
    });
    assert_eq!(faults.await[0]["about"], "blocklist");
    assert_eq!(behind(&lab.vanne, "192.0.2.1").await.status(), 403);
    assert_eq!(open.get("/").await.status(), 200);
    // Who is there already leaves, too.
    put(folder.path(), "country.mmdb", &whole);
    open.end().await;
    lab.vanne.metric_is("vanne_blocked_total", &[("where", "open")], 1.0).await;
    let warnings = lab.get("/v1/status").await["warnings"].clone();
    assert_eq!(warnings, json!([]));
    // At a reload a wrong file refuses the config.
    let other = lab.config.replace("/asn.mmdb", "/country.mmdb");
    let refused = lab.vanne.reload(&other).await;
    assert_eq!(refused["result"], "refused", "{refused}");
    let message = refused["message"].as_str().unwrap();
    assert!(message.contains("geoip.asn: "), "{message}");
}
