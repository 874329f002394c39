//! The firewalls' log as ModSecurity 3 writes its audit log in JSON.

use crate::harness::{Origin, Vanne, ask};
use crate::waf::{config, is_refused, lines, rules_of};
use serde_json::{Value, json};

const RULES: &str = r#"
SecComponentSignature "test/1"
SecRule ARGS:q "@rx attack" "id:1,phase:2,deny,log,msg:'attack in %{MATCHED_VAR_NAME}',\
    logdata:'%{MATCHED_VAR}',tag:'a',tag:'b',severity:'CRITICAL',ver:'x/1',rev:'2',maturity:'4',accuracy:'3'"
SecRule ARGS "@contains attack" "id:2,phase:2,pass,log,msg:'any',logdata:'%{MATCHED_VAR}'"
SecRule REQUEST_HEADERS:X-Quiet "@streq 1" "id:3,phase:1,pass,nolog,auditlog,msg:'quiet'"
SecRule REQUEST_HEADERS:X-Log "@streq 1" "id:4,phase:1,pass,log,noauditlog,msg:'log'"
SecRule REQUEST_HEADERS:X-All "@streq 1" "id:5,phase:1,pass,nolog,ctl:auditEngine=On"
SecRule REQUEST_HEADERS:X-None "@streq 1" "id:6,phase:1,pass,nolog,ctl:auditEngine=Off"
"#;

#[tokio::test]
async fn requests_are_audited_as_modsecurity_does() {
    let origin = Origin::fixed("x").await;
    let (_folder, path) = rules_of(RULES);
    let format = "waf_log.format = \"modsecurity\"\n";
    let vanne = Vanne::start(&(format.to_owned() + &config(&origin, &path, "", ""))).await;
    let answer = ask(
        vanne.http,
        "GET /p?q=an+attack%00&token=S3CRET HTTP/1.1\r\nHost: a\r\nAuthorization: S3CRET\r\n\
         Referer: http://b/?password=S3CRET&x=1\r\n\r\n",
    )
    .await;
    assert!(is_refused(&answer));
    let [line] = <[Value; 1]>::try_from(lines(&vanne, 1).await).unwrap();
    let said = &line["transaction"];
    assert_eq!(said["unique_id"], answer.id());
    assert_eq!((&said["client_ip"], &said["host_ip"]), (&"127.0.0.1".into(), &"127.0.0.1".into()));
    assert!(said["client_port"].as_u64() > Some(0));
    assert_eq!(said["host_port"], vanne.http.port());
    assert_eq!(said["server_id"].as_str().unwrap().len(), 16);
    // `Sun Nov 22 06:22:10 2026`
    assert_eq!(said["time_stamp"].as_str().unwrap().len(), 24);
    let headers =
        json!({"Host": "a", "Authorization": "***", "Referer": "http://b/?password=***&x=1"});
    let request = json!({
        "method": "GET",
        "http_version": 1.1,
        "uri": "/p?q=an+attack%00&token=***",
        "headers": headers,
    });
    assert_eq!(said["request"], request);
    assert_eq!(said["response"], json!({"http_code": 403, "headers": {}}));
    let producer = &said["producer"];
    assert_eq!(producer["secrules_engine"], "Enabled");
    assert_eq!(producer["components"], json!(["test/1"]));
    assert!(producer["modsecurity"].as_str().unwrap().starts_with("Vanne v"));
    let message = json!([{
        "message": "attack in ARGS:q",
        "details": {
            "match": "Matched \"Operator `Rx' with parameter `attack' against variable `ARGS:q' \
                      (Value: `an attack\\x00' )",
            "reference": "",
            "ruleId": "1",
            "file": path.to_str().unwrap(),
            "lineNumber": "3",
            "data": "an attack\u{0}",
            "severity": "2",
            "ver": "x/1",
            "rev": "2",
            "tags": ["a", "b"],
            "maturity": "4",
            "accuracy": "3",
        },
    }]);
    assert_eq!(said["messages"], message);
}

#[tokio::test]
async fn what_rules_sanitise_is_in_no_log() {
    let origin = Origin::fixed("x").await;
    let rules = "SecAction \"id:1,phase:1,pass,nolog,sanitiseArg:pin,sanitiseRequestHeader:X-Pin\"\n\
                 SecRule ARGS|REQUEST_URI|REQUEST_HEADERS:X-Pin \"@contains S3\" \
                 \"id:2,phase:2,deny,msg:'in %{MATCHED_VAR}',logdata:'%{MATCHED_VAR}'\"\n";
    let (_folder, path) = rules_of(rules);
    for format in ["", "waf_log.format = \"modsecurity\"\n"] {
        let vanne = Vanne::start(&(format.to_owned() + &config(&origin, &path, "", ""))).await;
        for (target, field) in [("/?pin=S3CRET&a=1", ""), ("/?p%69n=S3%43RET", ""), ("/", "S3CRET")]
        {
            let request = format!("GET {target} HTTP/1.1\r\nhost: a\r\nx-pin: {field}\r\n\r\n");
            assert!(is_refused(&ask(vanne.http, &request).await), "{target}");
        }
        let all = lines(&vanne, 3).await;
        let text = Value::from(all).to_string();
        let is_shown = ["S3CRET", "S3%43RET"].iter().any(|secret| text.contains(secret));
        assert!(!is_shown && text.contains("***"), "{text}");
    }
}

#[tokio::test]
async fn which_requests_are_audited_is_what_the_rules_say() {
    let origin = Origin::fixed("x").await;
    let (_folder, path) = rules_of(RULES);
    let format = "waf_log.format = \"modsecurity\"\n";
    let vanne = Vanne::start(&(format.to_owned() + &config(&origin, &path, "", ""))).await;
    let mut ids = Vec::new();
    for (fields, is_audited) in [
        ("", false),
        ("x-log: 1\r\n", false),
        ("x-quiet: 1\r\n", true),
        ("x-all: 1\r\n", true),
        ("x-quiet: 1\r\nx-none: 1\r\n", false),
        ("x-log: 1\r\nx-all: 1\r\nx-quiet: 1\r\n", true),
    ] {
        let answer = ask(vanne.http, &format!("GET / HTTP/1.1\r\nhost: a\r\n{fields}\r\n")).await;
        assert_eq!(answer.status(), 200);
        ids.extend(is_audited.then(|| answer.id().to_owned()));
    }
    // A secret that matched is hidden wherever it is.
    let answer = vanne.get("/?password=attack").await;
    ids.push(answer.id().to_owned());
    let lines = lines(&vanne, 4).await;
    // Workers write as they end: in the order in which they were asked here.
    let said: Vec<&Value> = ids
        .iter()
        .map(|id| {
            let mut all = lines.iter().map(|line| &line["transaction"]);
            all.find(|said| said["unique_id"] == id.as_str()).unwrap()
        })
        .collect();
    let messages = |at: usize| -> Vec<&str> {
        let messages = said[at]["messages"].as_array().unwrap();
        messages.iter().map(|message| message["message"].as_str().unwrap()).collect()
    };
    assert_eq!([messages(0), messages(1), messages(2)], [vec!["quiet"], vec![], vec!["quiet"]]);
    assert_eq!(said[3]["messages"][0]["details"]["data"], "***");
    assert!(
        !said[3].to_string().contains("=attack") && !said[3].to_string().contains("`attack' )")
    );
}
