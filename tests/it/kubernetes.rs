//! Pools that follow Services of Kubernetes.

use crate::harness::kube::{KubeApi, Pod};
use crate::harness::ports::Port;
use crate::harness::vanne::{Process, binary};
use crate::harness::{Client, Origin, Vanne, eventually_async, get};
use serde_json::{Value, json};
use std::process::Command;

/// A proxy whose pool `app` follows a Service by these rules; `more` is about the API server.
fn config(api: &KubeApi, rules: &str, more: &str) -> String {
    format!(
        "admin.socket = \"@dir/admin.sock\"\n[pool.app]\n{rules}\n\
         [kubernetes]\nkubeconfig = {:?}\n{more}\n[[route]]\nname = \"all\"\npool = \"app\"\n",
        api.kubeconfig()
    )
}

const APP: &str = "kubernetes = { namespace = \"prod\", service = \"app\", port = \"http\" }";

/// Waits until requests are answered with this.
async fn answers(vanne: &Vanne, want: &str) {
    eventually_async(&format!("answers of {want}"), async || {
        (vanne.get("/").await.text() == want).then_some(())
    })
    .await;
}

fn backends(vanne: &Vanne) -> Value {
    let mut command = Command::new(binary());
    command.args(["backends", "app", "--json", "--socket"]).arg(vanne.file("admin.sock"));
    let output = command.output().unwrap();
    serde_json::from_slice(&output.stdout).unwrap()
}

#[tokio::test]
async fn a_pool_follows_the_pods_of_a_service() {
    let (a, b) = (Origin::fixed("a").await, Origin::fixed("b").await);
    let api = KubeApi::start().await;
    let vanne = Vanne::start(&config(&api, APP, "")).await;
    let note = || async {
        let metrics = vanne.metrics().await;
        metrics.value("vanne_source_stale", &[("source", "kubernetes")])
    };
    eventually_async("a first list", async || (note().await == Some(0.0)).then_some(())).await;
    assert_eq!(vanne.get("/").await.refusal(), (503, "no_backend".into()));
    let pod = Pod::new("app-1", a.address).with("nodeName", json!("n1")).with("zone", json!("z1"));
    api.set("prod", "app", &[pod]);
    answers(&vanne, "a").await;
    let answer = vanne.get("/").await;
    assert_eq!(vanne.log_of(answer.id()).await["pod"], "app-1");
    let shown = backends(&vanne);
    let text = shown.to_string();
    for part in ["\"pod\":\"app-1\"", "\"node\":\"n1\"", "\"zone\":\"z1\""] {
        assert!(text.contains(part), "{part}: {text}");
    }
    api.set("prod", "other", &[Pod::new("other", b.address)]);
    api.set("test", "app", &[Pod::new("other", b.address)]);
    api.set("prod", "app", &[Pod::new("app-2", b.address)]);
    answers(&vanne, "b").await;
    api.set("prod", "app", &[]);
    eventually_async("an empty pool", async || {
        (vanne.get("/").await.status() == 503).then_some(())
    })
    .await;
    let age =
        vanne.metrics().await.value("vanne_kubernetes_sync_age_seconds", &[("namespace", "prod")]);
    assert!(age.unwrap() < 10.0, "{age:?}");
}

#[tokio::test]
async fn an_api_server_that_fails_empties_no_pool_and_is_told() {
    let a = Origin::fixed("a").await;
    let api = KubeApi::start().await;
    api.set("prod", "app", &[Pod::new("app-1", a.address)]);
    let vanne = Vanne::start(&config(&api, APP, "")).await;
    answers(&vanne, "a").await;
    api.refuse(Some(403));
    vanne.metric_is("vanne_source_stale", &[("source", "kubernetes")], 1.0).await;
    assert_eq!(vanne.get("/").await.text(), "a");
    let mut command = Command::new(binary());
    command.args(["status", "--socket"]).arg(vanne.file("admin.sock"));
    let shown = String::from_utf8(command.output().unwrap().stdout).unwrap();
    // It may have been about to watch or to list.
    let why = "endpointslices.discovery.k8s.io in namespace prod: forbidden: as told";
    let parts = ["app: kubernetes is stale: cannot ", why];
    assert!(parts.iter().all(|part| shown.contains(part)), "{shown}");
    api.refuse(None);
    vanne.metric_is("vanne_source_stale", &[("source", "kubernetes")], 0.0).await;
}

#[tokio::test]
async fn the_port_may_be_a_number_and_the_namespace_and_context_those_of_the_kubeconfig() {
    let (a, b) = (Origin::fixed("a").await, Origin::fixed("b").await);
    let api = KubeApi::start().await;
    api.set("prod", "app", &[Pod::new("app-1", a.address)]);
    api.set("test", "app", &[Pod::new("app-1", b.address)]);
    let rules = |port: u16| format!("kubernetes = {{ service = \"app\", port = {port} }}");
    let vanne = Vanne::start(&config(&api, &rules(a.address.port()), "")).await;
    answers(&vanne, "a").await;
    let other = config(&api, &rules(b.address.port()), "context = \"test\"");
    assert_eq!(vanne.reload(&other).await["result"], "applied");
    answers(&vanne, "b").await;
    let none = other.replace("context = \"test\"", "context = \"none\"");
    let report = vanne.reload(&none).await;
    let message = report["message"].as_str().unwrap();
    assert!(
        message.contains("kubernetes.context: ")
            && message.contains("expected one of `prod`, `test`"),
        "{message}"
    );
    assert_eq!(vanne.get("/").await.text(), "b");
}

#[tokio::test]
async fn pods_for_the_own_zone_are_preferred_unless_zones_are_ignored() {
    let (a, b) = (Origin::fixed("a").await, Origin::fixed("b").await);
    let api = KubeApi::start().await;
    let hinted = |name: &str, origin: &Origin, zone: &str| {
        let hints = json!({ "forZones": [{ "name": zone }] });
        Pod::new(name, origin.address).with("hints", hints)
    };
    api.set("prod", "app", &[hinted("a", &a, "east"), hinted("b", &b, "west")]);
    let zoned = |rules: &str| config(&api, rules, "zone = \"west\"");
    let vanne = Vanne::start(&zoned(APP)).await;
    answers(&vanne, "b").await;
    for _ in 0..6 {
        assert_eq!(vanne.get("/").await.text(), "b");
    }
    api.set("prod", "app", &[hinted("a", &a, "east")]);
    answers(&vanne, "a").await;
    api.set("prod", "app", &[hinted("a", &a, "east"), hinted("b", &b, "west")]);
    let ignored = zoned(&APP.replace("port = \"http\"", "port = \"http\", zone = \"ignore\""));
    assert_eq!(vanne.reload(&ignored).await["result"], "applied");
    answers(&vanne, "a").await;
    answers(&vanne, "b").await;
}

#[tokio::test]
async fn what_no_watch_tells_is_found_by_listing_now_and_then() {
    let (a, b) = (Origin::fixed("a").await, Origin::fixed("b").await);
    let api = KubeApi::start().await;
    api.set("prod", "app", &[Pod::new("app-1", a.address)]);
    let vanne = Vanne::start(&config(&api, APP, "resync = \"500ms\"")).await;
    answers(&vanne, "a").await;
    api.set_silently("prod", "app", &[Pod::new("app-2", b.address)]);
    answers(&vanne, "b").await;
}

#[tokio::test]
async fn a_pod_that_ends_keeps_its_sticky_clients_and_gets_no_new_ones() {
    let (a, b) = (Origin::fixed("a").await, Origin::fixed("b").await);
    let api = KubeApi::start().await;
    api.set("prod", "app", &[Pod::new("a", a.address)]);
    let rules = format!("{APP}\nsticky = {{ cookie = \"S\" }}");
    let vanne = Vanne::start(&config(&api, &rules, "")).await;
    answers(&vanne, "a").await;
    let first = vanne.get("/").await;
    let cookie = first.head.field("set-cookie").unwrap().split(';').next().unwrap().to_owned();
    let ends = json!({ "ready": false, "serving": true, "terminating": true });
    api.set(
        "prod",
        "app",
        &[Pod::new("a", a.address).with("conditions", ends), Pod::new("b", b.address)],
    );
    let labels = [("pool", "app"), ("state", "leaving")];
    vanne.metric_is("vanne_backend_state", &labels, 1.0).await;
    let mut client = Client::connect(vanne.http).await;
    client.send(&format!("GET / HTTP/1.1\r\nHost: a\r\nCookie: {cookie}\r\n\r\n")).await;
    assert_eq!(client.answer("GET").await.text(), "a");
    for _ in 0..4 {
        assert_eq!(vanne.get("/").await.text(), "b");
    }
    // A new pod on its address is another one: its clients are not those of the first.
    api.set("prod", "app", &[Pod::new("new", a.address), Pod::new("b", b.address)]);
    eventually_async("the new pod", async || {
        backends(&vanne).to_string().contains("\"pod\":\"new\"").then_some(())
    })
    .await;
    client.send(&format!("GET / HTTP/1.1\r\nHost: a\r\nCookie: {cookie}\r\n\r\n")).await;
    let answer = client.answer("GET").await;
    assert!(answer.head.field("set-cookie").is_some(), "it belongs to somebody else now");
}

#[tokio::test]
async fn the_start_waits_for_pools_that_are_required() {
    let a = Origin::fixed("a").await;
    let api = KubeApi::start().await;
    api.refuse(Some(503));
    let (http, probe) = (Port::take(), Port::take());
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("vanne.toml");
    let text = format!(
        "[probe]\naddress = \"{}\"\n[listener.http]\naddress = \"{}\"\n{}",
        probe.address,
        http.address,
        config(&api, &format!("required = true\n{APP}"), "")
            .replace("admin.socket = \"@dir/admin.sock\"\n", ""),
    );
    std::fs::write(&path, text).unwrap();
    let mut command = Command::new(binary());
    command.arg("run").arg("--config").arg(&path);
    let _process = Process::start(command);
    eventually_async("it lives", async || tokio::net::TcpStream::connect(probe.address).await.ok())
        .await;
    for target in ["/startupz", "/readyz"] {
        let answer = get(probe.address, target).await;
        assert_eq!(
            (answer.status(), answer.text().as_str()),
            (503, "waiting for backends of app\n")
        );
    }
    assert_eq!(get(probe.address, "/healthz").await.status(), 200);
    assert!(get(probe.address, "/health").await.text().contains("\"starting\""));
    api.set("prod", "app", &[Pod::new("a", a.address)]);
    api.refuse(None);
    eventually_async("it has started", async || {
        (get(probe.address, "/startupz").await.status() == 200).then_some(())
    })
    .await;
    assert_eq!(get(probe.address, "/readyz").await.status(), 200);
    assert_eq!(get(http.address, "/").await.text(), "a");
    // Only the start waits.
    api.refuse(Some(503));
    assert_eq!(get(probe.address, "/readyz").await.status(), 200);
}

#[tokio::test]
async fn the_last_backends_are_kept_for_a_start_without_the_api_server() {
    let a = Origin::fixed("a").await;
    let api = KubeApi::start().await;
    api.set("prod", "app", &[Pod::new("a", a.address)]);
    let state = tempfile::tempdir().unwrap();
    let keeping = format!("[process]\nstate_dir = {:?}\n", state.path());
    let keeping = config(&api, &format!("required = true\n{APP}"), &keeping);
    let vanne = Vanne::start(&keeping).await;
    answers(&vanne, "a").await;
    let file = state.path().join("kubernetes-app.json");
    eventually_async("what is kept", async || file.exists().then_some(())).await;
    drop(vanne);
    api.refuse(Some(503));
    let vanne = Vanne::start(&keeping).await;
    assert_eq!(vanne.get("/").await.text(), "a");
    vanne.metric_is("vanne_source_stale", &[("source", "kubernetes")], 1.0).await;
    vanne.says("from state_dir").await;
}

#[tokio::test]
async fn a_start_outside_a_pod_needs_a_kubeconfig_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("vanne.toml");
    let port = Port::take();
    let text = format!(
        "[listener.http]\naddress = \"{}\"\n[pool.app]\n{APP}\n[[route]]\nname = \"a\"\npool = \"app\"\n",
        port.address
    );
    std::fs::write(&path, &text).unwrap();
    let shown = |verb: &[&str], config: &std::path::Path| {
        let mut command = Command::new(binary());
        command.args(verb).arg(config).env_remove("KUBERNETES_SERVICE_HOST");
        let output = command.output().unwrap();
        assert!(!output.status.success());
        String::from_utf8(output.stderr).unwrap() + &String::from_utf8(output.stdout).unwrap()
    };
    for verb in [&["run", "--config"][..], &["check", "--deep"]] {
        let said = shown(verb, &path);
        assert!(
            said.contains("no credentials for Kubernetes: expected `kubernetes.kubeconfig`"),
            "{said}"
        );
    }
    std::fs::write(&path, text + "[kubernetes]\nkubeconfig = \"missing\"\n").unwrap();
    let said = shown(&["check", "--deep"], &path);
    assert!(said.contains("kubernetes.kubeconfig") && said.contains("missing"), "{said}");
}
