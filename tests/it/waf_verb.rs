//! `vanne waf test`, `explain` and `lint`: rules are tried without a proxy.

use crate::harness::vanne::binary;
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use tempfile::TempDir;

const RULES: &str = r#"
SecRule ARGS:q "@contains attack" "id:1,phase:2,deny,status:403,msg:'An attack',tag:'mine'"
SecRule ARGS:q "@contains other" "id:2,phase:2,pass,log"
"#;

const TESTS: &str = r#"---
rule_id: 1
tests:
  - test_id: 1
    stages:
      - input: { uri: "/?q=an%20attack", headers: { Host: "a" } }
        output: { status: 403, log: { expect_ids: [1], no_expect_ids: [2] } }
  - test_id: 2
    stages:
      - input: { encoded_request: "R0VUIC8/cT1vdGhlciBIVFRQLzEuMQ0KSG9zdDogYQ0KDQo=" }
        output: { status: 200, log: { expect_ids: [2], no_expect_ids: [1] } }
"#;

fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    folder
}

fn waf(folder: &Path, args: &[&str]) -> Output {
    Command::new(binary()).arg("waf").args(args).current_dir(folder).output().unwrap()
}

fn told(output: &Output, code: i32) -> String {
    assert_eq!(output.status.code(), Some(code), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn json(output: &Output, code: i32) -> Value {
    serde_json::from_str(&told(output, code)).unwrap()
}

#[test]
fn the_built_in_rules_are_tried_too() {
    let request = "GET /?q=%3Cscript%3Ealert(1)%3C/script%3E HTTP/1.1\r\nHost: a\r\n\r\n";
    let folder = folder(&[("request", request), ("a.conf", RULES)]);
    let said = json(&waf(folder.path(), &["explain", "request", "--own-rules", "--json"]), 0);
    assert_eq!(said["verdict"], "refused");
    assert_eq!(said["matches"][0]["file"], "vanne/02-xss.conf");
    let both = ["explain", "request", "--own-rules", "--rules", "a.conf", "--json"];
    assert_eq!(json(&waf(folder.path(), &both), 0)["verdict"], "refused");
    let said = json(&waf(folder.path(), &["lint", "--own-rules", "--json"]), 0);
    assert_eq!(said, Value::Array(Vec::new()), "nothing is wrong with them");
}

#[test]
fn tests_pass_or_fail_by_family() {
    let folder = folder(&[("a.conf", RULES), ("mine/1.yaml", TESTS)]);
    let test = |args: &[&str]| {
        waf(folder.path(), &[&["test", "--rules", "*.conf", "mine"], args].concat())
    };
    assert_eq!(
        told(&test(&[]), 0),
        "FAMILY  PASSED  FAILED\nmine         2       0\n2 passed, 0 failed\n"
    );
    told(&test(&["--mode", "block"]), 0);
    fs::write(folder.path().join("a.conf"), RULES.replace("other", "none")).unwrap();
    let failed = told(&test(&[]), 1);
    assert!(failed.starts_with("FAILED 1-2: not matched: 2\n"), "{failed}");
    assert!(failed.ends_with("\n1 passed, 1 failed\n"), "{failed}");
    fs::write(folder.path().join("a.conf"), RULES.replace("403", "406")).unwrap();
    let answer = json(&test(&["--mode", "block", "--json"]), 1);
    assert_eq!((&answer["passed"], &answer["failed"]), (&1.into(), &1.into()));
    assert_eq!(answer["failures"][0]["status"]["found"], 406, "{answer}");
    assert_eq!(answer["families"][0]["family"], "mine");
}

#[test]
fn what_cannot_be_read_is_no_failed_test() {
    let folder = folder(&[("a.conf", RULES), ("mine/1.yaml", "tests:\n - 1\n")]);
    for (args, why) in [
        (["--rules", "a.conf", "mine"], "mine/1.yaml"),
        (["--rules", "a.conf", "none"], "none"),
        (["--rules", "b*.conf", "mine"], "no rules found"),
        (["--crs", "mine", "mine"], "no Core Rule Set"),
    ] {
        let output = waf(folder.path(), &[&["test"][..], &args].concat());
        told(&output, 2);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(error.contains(why), "{error}");
    }
}

#[test]
fn a_request_is_explained() {
    let long = "x".repeat(500);
    let request = format!("POST /?q=attack%1b{long} HTTP/1.1\nHost: a\n\n");
    let folder = folder(&[("a.conf", RULES), ("request", &request), ("calm", "GET / HTTP/1.1")]);
    let explain =
        |args: &[&str]| waf(folder.path(), &[&["explain", "--rules", "a.conf"], args].concat());
    let text = told(&explain(&["request"]), 0);
    assert!(text.starts_with("1 (phase 2, a.conf:2) An attack\n    on ARGS:q = \"attack\\x1bxxx"));
    assert!(text.contains("… (507 bytes)\"\n"), "{text}");
    assert!(text.ends_with("1 match: it is refused by rule 1 (deny, status 403)\n"), "{text}");
    let detected = json(&explain(&["request", "--json", "--mode", "detect"]), 0);
    assert_eq!(detected["verdict"], "would-be-refused");
    let one = &detected["matches"][0];
    assert_eq!(
        (&one["rule"], &one["line"], &one["tags"][0]),
        (&1.into(), &2.into(), &"mine".into())
    );
    assert_eq!(one["on"][0]["variable"], "ARGS:q");
    assert_eq!(told(&explain(&["calm"]), 0), "0 matches: it passes\n");
}

#[test]
fn scores_are_told() {
    let rules = "SecAction \"id:5,phase:1,pass,nolog,\
                 setvar:tx.blocking_inbound_anomaly_score=7\"\n";
    let folder = folder(&[("a.conf", rules), ("request", "GET / HTTP/1.1\r\n\r\n")]);
    let args = ["explain", "request", "--rules", "a.conf"];
    assert_eq!(told(&waf(folder.path(), &args), 0), "0 matches, score 7: it passes\n");
    let all = told(&waf(folder.path(), &[&args[..], &["--all"]].concat()), 0);
    assert!(all.starts_with("5 (phase 1"), "{all}");
}

#[test]
fn errors_are_told_at_once() {
    let rules = format!(
        "{RULES}SecRule ARGS x \"id:1,phase:1,deny\"\nSecRule ARGS \"@rx (?=a)\" \"id:3,phase:1\"\n"
    );
    let folder = folder(&[("a.conf", &rules)]);
    let text = told(&waf(folder.path(), &["lint", "a.conf"]), 1);
    for part in ["the id 1 is taken (rule 1)", "a.conf:4:", "look-ahead", "(rule 3)", "a.conf:5:"] {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert!(text.ends_with("2 errors, 0 warnings\n"), "{text}");
}

#[test]
fn what_is_hardly_meant_is_told() {
    let rules = "SecRule REQUEST_BODY x \"id:4000000001,phase:1,deny\"\n\
                 SecRule ARGS \"@streq FOO\" \"id:12,phase:2,pass,t:lowercase\"\n\
                 SecRule ARGS x \"id:13,phase:2,pass,drop\"\n";
    let folder = folder(&[("a.conf", rules), ("request", "GET / HTTP/1.1\r\n\r\n")]);
    let text = told(&waf(folder.path(), &["lint", "a.conf"]), 0);
    for part in [
        "rule 4000000001 never matches: what it looks at is there from phase 2 on",
        " --> a.conf:1:1\n",
        "rule 12: after t:lowercase no value has the upper case letters of `FOO`",
        "`pass` does nothing here: `drop` follows",
        "rule 13: `drop` is done as `deny`: the answer is 403",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert!(text.ends_with("0 errors, 4 warnings\n"), "{text}");
    // Rules with the ids that Vanne's own have are rules as all others.
    std::fs::write(folder.path().join("a.conf"), "SecAction \"id:4000000001,phase:1,pass\"")
        .unwrap();
    let args = ["explain", "request", "--rules", "a.conf"];
    assert!(told(&waf(folder.path(), &args), 0).starts_with("4000000001 (phase 1"));
}

#[test]
fn what_has_no_effect_is_told() {
    let rules = r#"
SecAction "id:10,phase:2,pass,nolog,skipAfter:END,ctl:ruleRemoveById=88"
SecRule ARGS "@rx c" "id:11,phase:2,deny"
SecMarker END
SecMarker LONELY
SecRule TX:BLOCKING_PARANOIA_LEVEL "@lt 2" "id:12,phase:1,pass,nolog,skipAfter:SECOND"
SecRule ARGS "@rx d" "id:13,phase:1,deny,tag:'paranoia-level/2'"
SecMarker SECOND
SecRuleRemoveById 2
SecRuleRemoveById 77
SecRuleUpdateTargetByTag nothing "!ARGS:a"
"#;
    let folder = folder(&[("a.conf", RULES), ("b.conf", rules)]);
    let at = |level: &str| {
        let args = ["lint", "a.conf", "b.conf", "--json", "--paranoia", level];
        let found = json(&waf(folder.path(), &args), 0);
        let messages = found.as_array().unwrap().iter().map(|one| &one["message"]);
        messages.map(|text| text.as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let mut expected = vec![
        "rule 2 never matches: it is removed",
        "rule 11 never matches: it is always skipped, or its operator cannot match",
        "1 rules never match: they are of paranoia level 2, which is not reached",
        "no rule above fits `77`: this has no effect",
        "no rule above fits `nothing`: this has no effect",
        "no rule fits the ids 88: this has no effect",
        "nothing skips to the marker `LONELY`",
    ];
    assert_eq!(at("1"), expected);
    expected.remove(2);
    assert_eq!(at("2"), expected);
}
