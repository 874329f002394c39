//! Certificates over time: those that are not good yet, and what a reload makes of all.

use crate::harness::{Origin, Vanne, eventually_async};
use crate::tls::{ALL, Lab};
use serde_json::json;
use std::process::Command;
use tokio_rustls::rustls::HandshakeKind;

const ERRORS: &str = "vanne_certificate_errors_total";
const NOT_AFTER: &str = "vanne_certificate_not_after_seconds";

/// A config whose process can be told to reload.
fn reloadable(lab: &Lab, origin: &Origin, tls: &str) -> String {
    lab.config(origin, tls, "") + "[admin]\nsocket = \"@dir/admin.sock\"\n"
}

#[tokio::test]
async fn a_certificate_that_came_too_early_is_used_once_it_is_valid() {
    let (lab, origin) = (Lab::new(), Origin::fixed("x").await);
    lab.put("a.pem", &lab.authority.sign(&["a.example"]));
    let vanne = lab.vanne(&origin, ALL).await;
    let next = lab.authority.sign_soon(&["a.example"], 3);
    lab.put("a.pem", &next);
    eventually_async("it is said", async || {
        vanne.process_log().contains("is not valid before").then_some(())
    })
    .await;
    assert_ne!(lab.tls().leaf(vanne.http, "a.example").await, next.der);
    eventually_async("it is served", async || {
        // Who is not valid yet is not trusted yet: ask without looking at that.
        let shown = lab.tls().trusting_all().leaf(vanne.http, "a.example").await;
        (shown == next.der).then_some(())
    })
    .await;
    vanne.metric_is(ERRORS, &[("listener", "https")], 1.0).await;
}

#[tokio::test]
async fn a_reload_keeps_what_cannot_be_read_just_now_and_tickets_stay_good() {
    let (lab, origin) = (Lab::new(), Origin::fixed("x").await);
    let other = lab.authority.sign(&["b.example"]);
    lab.put("a.pem", &lab.authority.sign(&["a.example"]));
    lab.put("b.pem", &other);
    let vanne = Vanne::start(&reloadable(&lab, &origin, ALL)).await;
    let client = lab.tls();
    assert_eq!(client.come_back(vanne.http).await, HandshakeKind::Full);
    std::fs::write(lab.file("b.pem"), "nonsense").unwrap();
    vanne.metric_is(ERRORS, &[("listener", "https")], 1.0).await;
    let changed = reloadable(&lab, &origin, &format!("{ALL}, min_version = \"1.2\""));
    assert_eq!(vanne.reload(&changed).await["result"], json!("applied"));
    assert_eq!(lab.tls().leaf(vanne.http, "b.example").await, other.der);
    assert_eq!(client.come_back(vanne.http).await, HandshakeKind::Resumed);
}

#[tokio::test]
async fn what_metrics_say_of_a_certificate_goes_with_it() {
    let (lab, origin) = (Lab::new(), Origin::fixed("x").await);
    for name in ["a", "b", "c"] {
        lab.put(&format!("{name}.pem"), &lab.authority.sign(&[&format!("{name}.example")]));
    }
    let vanne = Vanne::start(&reloadable(&lab, &origin, ALL)).await;
    let shown = async |name: &str| {
        let path = lab.file(name).display().to_string();
        vanne.metrics().await.value(NOT_AFTER, &[("certificate", &path)]).is_some()
    };
    for name in ["a.pem", "b.pem", "c.pem"] {
        assert!(shown(name).await, "{name}");
    }
    vanne.metric_is(ERRORS, &[("listener", "https")], 0.0).await;
    std::fs::remove_file(lab.file("c.pem")).unwrap();
    eventually_async("its file is gone", async || (!shown("c.pem").await).then_some(())).await;
    let fewer = reloadable(&lab, &origin, "certificates = [\"@a.pem\"]");
    assert_eq!(vanne.reload(&fewer).await["result"], json!("applied"));
    assert!(shown("a.pem").await && !shown("b.pem").await);
    let plain = fewer.replace("tls = {", "# tls = {");
    assert_eq!(vanne.reload(&plain).await["result"], json!("applied"));
    let metrics = vanne.metrics().await;
    for name in [NOT_AFTER, ERRORS] {
        assert_eq!(metrics.value(name, &[]), None, "{name}");
    }
    // The last connection lets go of the old rules, and of what was counted by them.
    eventually_async("handshakes are gone too", async || {
        vanne.metrics().await.value("vanne_tls_handshakes_total", &[]).is_none().then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_default_certificate_that_is_none_of_them_is_a_mistake() {
    let (lab, origin) = (Lab::new(), Origin::fixed("x").await);
    lab.put("a.pem", &lab.authority.sign(&["a.example"]));
    let tls = "certificates = [\"@./*.pem\"], default_certificate = \"@a.cert\"";
    let config = lab.config(&origin, tls, "").replace("@http", "127.0.0.1:65001");
    let file = lab.file("vanne.toml");
    std::fs::write(&file, config).unwrap();
    for arguments in [&["check", "--deep"][..], &["run", "--config"]] {
        let mut command = Command::new(crate::harness::vanne::binary());
        let output = command.args(arguments).arg(&file).output().unwrap();
        let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert_eq!(output.status.code(), Some(1), "{text}");
        for part in ["listener.https.tls.default_certificate", "is none of `certificates`"] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
    // One that is named but not there has the first stand in.
    let missing = tls.replace("@a.cert", "@b.pem");
    let vanne = lab.vanne(&origin, &missing).await;
    vanne.says("stands in").await;
    assert_eq!(lab.tls().trusting_all().names(vanne.http, "other").await.unwrap(), ["a.example"]);
}
