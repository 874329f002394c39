//! What the admin API answers, and what the verbs make of it.

use crate::harness::admin::{Asked, Lab, problem};
use crate::harness::vanne::binary;
use crate::harness::{Origin, Vanne, eventually_async, get, sha256};
use crate::tls;
use serde_json::{Value, json};
use std::process::Command;

#[tokio::test]
async fn the_status_tells_how_the_process_is() {
    let origin = Origin::fixed("x").await;
    let lab = Lab::start(&[origin.address], "", "").await;
    for _ in 0..3 {
        lab.vanne.get("/").await;
    }
    let status = eventually_async("requests are counted", async || {
        let status = lab.get("/v1/status").await;
        (status["requests"] == 3 && status["requests_in_flight"] == 0).then_some(status)
    })
    .await;
    assert_eq!(
        (&status["version"], &status["stage"]),
        (&json!(env!("CARGO_PKG_VERSION")), &json!("serving"))
    );
    assert_eq!(status["workers"], 2);
    let config = &status["config"];
    assert_eq!(config["generation"], 1);
    let file = lab.vanne.file("vanne.toml");
    assert_eq!(config["path"], file.to_str().unwrap());
    assert_eq!(config["sha256"], sha256(&std::fs::read(&file).unwrap()));
    assert!(config["applied"].as_str().unwrap().ends_with('Z'), "{config}");
    let pool = &status["pools"][0];
    assert_eq!(
        (&pool["pool"], &pool["backends"], &pool["up"]),
        (&json!("app"), &json!(1), &json!(1))
    );
    assert_eq!((&pool["attempts"], &pool["failures"]), (&json!(3), &json!(0)));
    assert_eq!((&status["overrides"], &status["warnings"]), (&json!([]), &json!([])));
}

#[tokio::test]
async fn the_status_warns_of_what_is_not_as_it_should_be() {
    let origin = Origin::fixed("x").await;
    let lab = Lab::start(&[origin.address], "", "").await;
    let backend = origin.address.to_string();
    lab.prints(&["backend", "maint", "app", &backend, "--reason", "disk", "--owner", "kim"]).await;
    lab.vanne.replace_config("[listener.http]\nadress = 1\n");
    lab.verb(&["reload"]).await;
    let status = lab.get("/v1/status").await;
    let warnings = status["warnings"].to_string();
    for part in ["the file was refused", "app: no backend takes traffic: withdrawn"] {
        assert!(warnings.contains(part), "{part}: {warnings}");
    }
    let last = &status["config"]["last_reload"];
    assert_eq!(last["result"], "refused");
    assert!(last["message"].as_str().unwrap().starts_with("error: listener.http"), "{last}");
    assert!(!last["message"].as_str().unwrap().contains('\n'));
    let set = &status["overrides"][0];
    assert_eq!(set["what"], format!("backend app/{backend}"));
    assert_eq!(
        (&set["now"], &set["owner"], &set["reason"]),
        (&json!("maint"), &json!("kim"), &json!("disk"))
    );
    let out = &status["pools"][0]["out"][0];
    assert_eq!((&out["state"], &out["why"]), (&json!("maint"), &json!("set by kim: disk")));
    lab.vanne.metric_is("vanne_overrides_active", &[("kind", "backend")], 1.0).await;
    let shown = lab.prints(&["status"]).await;
    for part in
        ["vanne ", "app   round-robin  0/1", "set by kim: disk", "config   the file was refused"]
    {
        assert!(shown.contains(part), "{part}\n{shown}");
    }
    assert!(!shown.contains('\x1b'), "no colours in a pipe");
    let json: Value = serde_json::from_str(&lab.prints(&["status", "--json"]).await).unwrap();
    assert_eq!(json["pools"], status["pools"]);
}

#[tokio::test]
async fn pools_and_backends_are_listed_and_changed() {
    let (a, b) = (Origin::fixed("a").await, Origin::fixed("b").await);
    let lab = Lab::start(&[a.address, b.address], "", "").await;
    let pools = lab.get("/v1/pools").await;
    assert_eq!((&pools[0]["pool"], &pools[0]["active"]), (&json!("app"), &json!(2)));
    let pool = lab.get("/v1/pools/app").await;
    assert_eq!(pool["backends"].as_array().unwrap().len(), 2);
    let path = format!("/v1/pools/app/backends/{}", a.address);
    assert_eq!(lab.get(&path).await["state"], "up");
    let line = format!("PATCH {path}");
    let change = "{\"state\": \"drain\", \"weight\": 7, \"for_seconds\": 600, \"owner\": \"kim\"}";
    let answer = lab.ask(Asked::new(&line, "operate").with(change)).await;
    let backend: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!((&backend["state"], &backend["weight"]), (&json!("drain"), &json!(7)));
    assert_eq!(backend["override"]["owner"], "kim");
    assert!(backend["override"]["seconds_left"].as_u64().unwrap() > 590);
    for (query, count) in [
        ("", 2),
        ("?state=out", 1),
        ("?state=drain", 1),
        ("?state=up", 1),
        ("?state=maint", 0),
        ("?limit=1", 1),
    ] {
        let list = lab.get(&format!("/v1/pools/app/backends{query}")).await;
        assert_eq!(list.as_array().unwrap().len(), count, "{query}");
    }
    for (line, body, want, said) in [
        (
            line.as_str(),
            "{\"stat\": 1}",
            (422, "invalid"),
            "unknown field `stat`, expected one of `state`",
        ),
        (
            &line,
            "{\"state\": \"gone\"}",
            (422, "invalid"),
            "expected one of `ready`, `drain`, `maint`",
        ),
        (&line, "{}", (422, "invalid"), "expected `state`, `weight` or both"),
        (&line, "{\"weight\": 1001}", (422, "invalid"), "0 to 1000"),
        (&line, "{\"weight\": 1, \"for_seconds\": 0}", (422, "invalid"), "for_seconds 0"),
        (&line, "{\"state\": ", (400, "not_json"), "EOF"),
        ("GET /v1/pools/ap", "", (404, "no_such_pool"), "there are app"),
        ("GET /v1/pools/app/backends/x", "", (404, "no_such_backend"), "it has 127.0.0.1"),
        ("GET /v1/pools/app/backends?stat=up", "", (422, "invalid"), "unknown field `stat`"),
        ("GET /v1/pools/app/backends?limit=0", "", (422, "invalid"), "limit 0"),
        ("GET /v1/pool", "", (404, "no_such_path"), "/v1/pools/{pool}"),
        ("PUT /v1/log", "{}", (405, "method"), "PATCH"),
    ] {
        let answer = lab.ask(Asked::new(line, "admin").with(body)).await;
        let (status, reason) = problem(&answer);
        assert_eq!((status, reason.as_str()), want, "{line} {body}");
        assert!(answer.text().contains(said), "{}", answer.text());
    }
    let large = format!("{{\"reason\": \"{}\"}}", "x".repeat(70_000));
    assert_eq!(problem(&lab.ask(Asked::new(&line, "admin").with(&large)).await).0, 413);
    let shown = lab.prints(&["backends", "app"]).await;
    assert!(shown.contains(&format!("{:<24} drain", a.address)), "{shown}");
}

#[tokio::test]
async fn routes_are_listed_in_the_order_in_which_they_are_matched() {
    let more = "match.path = \"/\"\n\
        [[route]]\nname = \"moved\"\nmatch.path = \"/old\"\nredirect = { to = \"/new\" }\n\
        [[route]]\nname = \"shared\"\nmatch = { host = \"a.example\" }\nsplit.pools = { app = 90, next = 10 }\n\
        [[route]]\nname = \"sorry\"\nmatch = { host = \"*.example\", path_exact = \"/x\" }\nanswer = { status = 503, body = \"later\" }\n\
        [pool.next]\nbackends = [\"127.0.0.1:1\"]\n";
    let lab = Lab::start(&[], "", more).await;
    let routes = lab.get("/v1/routes").await;
    let names: Vec<_> =
        routes.as_array().unwrap().iter().map(|route| route["route"].as_str().unwrap()).collect();
    assert_eq!(names, ["shared", "sorry", "moved", "all"]);
    assert_eq!(
        routes[0]["target"]["split"]["pools"]["next"],
        json!({ "weight": 10, "percent": 10.0 })
    );
    assert_eq!(routes[1]["target"]["answer"], json!({ "status": 503, "body_bytes": 5 }));
    assert_eq!((&routes[1]["match"]["path_exact"], &routes[1]["index"]), (&json!("/x"), &json!(3)));
    assert_eq!(routes[2]["target"]["redirect"]["to"], "/new");
    assert_eq!(routes[3]["target"]["pool"], "app");
    let shown = lab.prints(&["routes"]).await;
    for part in [
        "shared  host=a.example                      split app 90.0 %, next 10.0 %",
        "sorry   host=*.example path_exact=/x        answer 503",
        "moved   path=/old                           redirect 302 /new",
    ] {
        let squeeze = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(squeeze(&shown).contains(&squeeze(part)), "{part}\n{shown}");
    }
    let json: Value = serde_json::from_str(&lab.prints(&["routes", "--json"]).await).unwrap();
    assert_eq!(json, routes);
}

#[tokio::test]
async fn certificates_are_listed_with_what_is_wrong_with_them() {
    let (certificates, origin) = (tls::Lab::new(), Origin::fixed("x").await);
    certificates.put("a.pem", &certificates.authority.sign(&["a.example", "b.example"]));
    let config =
        certificates.config(&origin, tls::ALL, "") + "[admin]\nsocket = \"@dir/admin.sock\"\n";
    let vanne = Vanne::start(&config).await;
    let list = async |json: bool| {
        let mut command = Command::new(binary());
        command.arg("certificates").arg("--socket").arg(vanne.file("admin.sock"));
        command.args(json.then_some("--json"));
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let all: Vec<Value> = serde_json::from_str(&list(true).await).unwrap();
    assert_eq!(all.len(), 1, "{all:?}");
    let one = &all[0];
    assert_eq!(
        (&one["listener"], &one["names"]),
        (&json!("https"), &json!(["a.example", "b.example"]))
    );
    assert!(one["issuer"].as_str().unwrap().contains("CN="), "{one}");
    assert!(one["days_left"].as_i64().is_some() && one["not_after"].is_string(), "{one}");
    assert_eq!(one["key"], "ecdsa");
    assert!(one["file"].as_str().unwrap().ends_with("/a.pem") && one["error"].is_null(), "{one}");
    std::fs::write(certificates.file("a.pem"), "nonsense").unwrap();
    std::fs::write(certificates.file("z.pem"), "nonsense").unwrap();
    let shown = eventually_async("both errors", async || {
        let shown = list(false).await;
        (shown.matches("holds no certificate").count() == 2).then_some(shown)
    })
    .await;
    assert!(shown.contains("a.example, b.example") && shown.contains("z.pem"), "{shown}");
}

#[tokio::test]
async fn the_config_in_use_is_shown_without_secrets() {
    let lab = Lab::start(
        &[],
        "",
        "[security_headers.x]\nframe_options = \"DENY\"\n[log]\nlevel = \"${LEVEL:-warn}\"\n",
    )
    .await;
    let file = std::fs::read_to_string(lab.vanne.file("vanne.toml")).unwrap();
    let with_secret = file.replace("[probe]\n", "[probe]\nmetrics_token = \"s3cret\"\n");
    assert_ne!(file, with_secret);
    std::fs::write(lab.vanne.file("vanne.toml"), &with_secret).unwrap();
    assert!(lab.prints(&["reload"]).await.contains("generation 2"));
    // What is in the file afterwards does not matter.
    std::fs::write(lab.vanne.file("vanne.toml"), "nonsense").unwrap();
    let shown = lab.get("/v1/config").await;
    assert_eq!(
        (&shown["generation"], &shown["sha256"]),
        (&json!(2), &json!(sha256(with_secret.as_bytes())))
    );
    let config = &shown["config"];
    assert_eq!(
        (&config["probe"]["metrics_token"], &config["log"]["level"]),
        (&json!("***"), &json!("warn"))
    );
    assert!(config["process"]["watch_config"].is_null() && !shown.to_string().contains("s3cret"));
    let all = lab.get("/v1/config?defaults=true").await;
    assert_eq!(all["config"]["process"]["watch_config"], true);
    assert!(!all.to_string().contains("s3cret"));
}

#[tokio::test]
async fn the_level_of_the_log_is_changed_for_a_while() {
    let lab = Lab::start(&[], "", "").await;
    let change = |body| Asked::new("PATCH /v1/log", "operate").with(body);
    assert_eq!(lab.get("/v1/log").await, json!({ "level": "info", "configured": "info" }));
    let answer = lab.ask(change("{\"level\": \"debug\", \"reason\": \"who?\"}")).await;
    let status: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(
        (&status["level"], &status["override"]["owner"]),
        (&json!("debug"), &json!("operate"))
    );
    assert!(status["override"]["seconds_left"].as_u64().unwrap() > 590, "ten minutes");
    lab.vanne.metric_is("vanne_overrides_active", &[("kind", "log_level")], 1.0).await;
    let refused = "request refused";
    get(lab.vanne.http, "/nowhere/at/all").await;
    eventually_async("what clients do wrong is in the log", async || {
        get(lab.vanne.http, "*").await;
        lab.vanne.process_log().contains(refused).then_some(())
    })
    .await;
    // A reload leaves it; then its time is over.
    assert_eq!(lab.prints(&["reload"]).await.trim(), "unchanged: generation 1 is in use");
    assert_eq!(lab.get("/v1/log").await["level"], "debug");
    let shown = lab.prints(&["log-level", "error", "--for", "1s", "--owner", "kim"]).await;
    assert!(shown.starts_with("error, set by kim; "), "{shown}");
    eventually_async("its time is over", async || {
        (lab.get("/v1/log").await["level"] == "info").then_some(())
    })
    .await;
    lab.vanne.metric_is("vanne_overrides_active", &[("kind", "log_level")], 0.0).await;
    lab.prints(&["log-level", "error"]).await;
    assert_eq!(lab.prints(&["log-level", "reset"]).await, "info\n");
    for body in ["{\"level\": \"debug\", \"for_seconds\": 86401}", "{\"level\": \"loud\"}", "{}"] {
        assert_eq!(problem(&lab.ask(change(body)).await).0, 422, "{body}");
    }
}

#[tokio::test]
async fn a_reload_by_the_address_tells_what_came_of_it() {
    let (a, b) = (Origin::fixed("a").await, Origin::fixed("b").await);
    let lab = Lab::start(&[a.address], "", "[process]\nwatch_config = false\n").await;
    let reload = Asked::new("POST /v1/reload", "admin");
    let config = lab.config.replace(&a.address.to_string(), &b.address.to_string());
    lab.vanne.replace_config(&config);
    let answer = lab.ask(reload).await;
    let report: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!((&report["result"], &report["generation"]), (&json!("applied"), &json!(2)));
    assert_eq!(lab.vanne.get("/").await.text(), "b");
    lab.vanne.replace_config(&config.replace("[pool.app]", "[pool.ap]"));
    let answer = lab.ask(reload).await;
    assert_eq!(problem(&answer), (422, "config_refused".into()));
    let report: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!((&report["result"], &report["generation"]), (&json!("refused"), &json!(2)));
    assert!(report["detail"].as_str().unwrap().contains("did you mean"), "{report}");
    // The verb, with its token from a file or from the environment.
    std::fs::write(lab.file("token"), "admin\n").unwrap();
    let address = lab.address.to_string();
    let run = async |arguments: &[&str], token: &str| {
        let mut command = Command::new(binary());
        command.args(arguments).args(["--address", &address]).env("VANNE_ADMIN_TOKEN", token);
        tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
    };
    let file = lab.file("token");
    let by_file = run(&["reload", "--json", "--token-file", file.to_str().unwrap()], "read").await;
    assert_eq!(by_file.status.code(), Some(1));
    let report: Value = serde_json::from_slice(&by_file.stdout).unwrap();
    assert_eq!(report["result"], "refused");
    lab.vanne.replace_config(&config);
    assert_eq!(run(&["reload"], "admin").await.status.code(), Some(0));
    for (token, said) in
        [("read", "read has the role read, expected admin"), ("", "--token-file, or the variable")]
    {
        let output = run(&["reload"], token).await;
        let told = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(1) && told.contains(said), "{told}");
    }
    assert_eq!(run(&["status"], "read").await.status.code(), Some(0));
}

#[tokio::test]
async fn a_token_is_made_and_lets_its_holder_in() {
    let lab = Lab::start(&[], "", "").await;
    let make =
        |arguments: &[&str]| Command::new(binary()).arg("token").args(arguments).output().unwrap();
    let output = make(&["ci", "--role", "admin", "--json"]);
    let made: Value = serde_json::from_slice(&output.stdout).unwrap();
    lab.replace_tokens(&format!("{}\n", made["line"].as_str().unwrap()));
    let token = made["token"].as_str().unwrap();
    lab.tokens_are_read().await;
    assert_eq!(lab.ask(Asked::new("POST /v1/reload", token)).await.status(), 200);
    let text = String::from_utf8(make(&["ci", "--role", "read"]).stdout).unwrap();
    assert!(text.starts_with("token: vanne_") && text.contains("\nline:  read ci "), "{text}");
    assert!(!make(&["a b", "--role", "read"]).status.success());
    assert!(!make(&["ci", "--role", "root"]).status.success());
}
