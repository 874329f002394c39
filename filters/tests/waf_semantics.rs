//! What rules mean: chains, jumps, captures, controls, refusals; each on one small request.
#![cfg(test)]

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use vanne_filters::waf::program::Program;
use vanne_filters::waf::seclang::{NoFiles, Source, load};
use vanne_filters::waf::transaction::{Action, AnswerHead, Caches, Endpoint, Request, Transaction};

/// Runs phases 1, 2 and 5 over `GET uri` (or a form that is posted).
fn run(rules: &str, uri: &str, form: &str) -> Transaction {
    let set = load(&[Source::Text("rules", rules)], &NoFiles).unwrap_or_else(|e| panic!("{e}"));
    let program = Arc::new(Program::compile(&set).unwrap_or_else(|e| panic!("{e}")));
    let mut caches = Caches::new(&program);
    let mut transaction = Transaction::new(program);
    let local = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let fields: [(&[u8], &[u8]); 3] = [
        (b"Host", b"h"),
        (b"Cookie", b"a=1; B=x"),
        (b"Content-Type", b"application/x-www-form-urlencoded"),
    ];
    let request = Request {
        method: b"GET",
        uri: uri.as_bytes(),
        protocol: b"HTTP/1.1",
        fields: &fields,
        client: Endpoint { address: local, port: 1 },
        server: Endpoint { address: local, port: 80 },
        server_name: b"h",
        unique_id: b"1",
        epoch_seconds: 0,
    };
    if transaction.request_head(&request, &mut caches).is_none() {
        transaction.request_body(form.as_bytes(), &mut caches);
    }
    transaction.finish(&mut caches);
    transaction
}

fn ids(transaction: &Transaction) -> Vec<u64> {
    transaction.matches().map(|one| one.about.id).collect()
}

fn text(transaction: &Transaction, name: &str) -> String {
    let value = transaction.variable(name.as_bytes()).unwrap_or_else(|| b"(unset)".to_vec());
    String::from_utf8(value).unwrap()
}

#[test]
fn each_match_of_each_link_sets_variables() {
    let rules = r#"
SecRule ARGS "@rx ^v" "id:1,phase:1,pass,setvar:tx.first=+1,chain"
  SecRule MATCHED_VARS "@rx 2$" "setvar:tx.second=+10,setvar:tx.name_%{MATCHED_VAR}=1"
SecRule ARGS "@rx ^v" "id:2,phase:1,pass,setvar:tx.third=+1,chain"
  SecRule ARGS "@streq nothing" "setvar:tx.fourth=+1"
SecRule TX:/^name_/ "@eq 1" "id:3,phase:1,pass"
"#;
    let done = run(rules, "/?a=v1&b=v2&c=x", "");
    assert_eq!(ids(&done), [1, 3]);
    assert_eq!(text(&done, "first"), "2");
    assert_eq!(text(&done, "second"), "10");
    assert_eq!(text(&done, "name_v2"), "1");
    assert_eq!((text(&done, "third"), text(&done, "fourth")), ("2".into(), "(unset)".into()));
}

#[test]
fn jumps_pass_over_rules() {
    let rules = r#"
SecRule ARGS:x "@streq 1" "id:1,phase:1,pass,nolog,skipAfter:END"
SecAction "id:2,phase:1,pass"
SecAction "id:3,phase:2,pass"
SecMarker END
SecRule ARGS:x "@streq 1" "id:4,phase:1,pass,skip:1"
SecAction "id:5,phase:1,pass"
SecAction "id:6,phase:1,pass"
"#;
    assert_eq!(ids(&run(rules, "/?x=1", "")), [1, 4, 6, 3]);
    assert_eq!(ids(&run(rules, "/?x=2", "")), [2, 5, 6, 3]);
}

#[test]
fn captures_and_messages_are_expanded() {
    let rules = r#"
SecRule ARGS "@rx (\w+)@(\w+)" "id:1,phase:1,pass,capture,msg:'%{TX.1} at %{TX.2}',\
    logdata:'%{MATCHED_VAR_NAME}=%{MATCHED_VAR}, rule %{RULE.id}',t:lowercase"
"#;
    let done = run(rules, "/?mail=ME@Home", "");
    let found = done.matches().next().unwrap();
    assert_eq!(found.message, b"me at home");
    assert_eq!(found.data, b"ARGS:mail=me@home, rule 1");
    let value = found.found().next().unwrap();
    assert_eq!((value.variable, value.name, value.value), ("ARGS", &b"mail"[..], &b"me@home"[..]));
}

#[test]
fn controls_change_the_rest_of_the_transaction() {
    let rules = r#"
SecRule ARGS:off "@eq 1" "id:1,phase:1,pass,nolog,ctl:ruleRemoveById=10-19,\
    ctl:ruleRemoveByTag=t,ctl:ruleRemoveTargetById=30;ARGS:a"
SecAction "id:10,phase:1,pass"
SecAction "id:20,phase:1,pass,tag:'t'"
SecRule ARGS "@streq v" "id:30,phase:1,pass"
SecRule ARGS:off "@eq 1" "id:40,phase:1,pass,nolog,ctl:ruleEngine=DetectionOnly"
SecRule ARGS:a "@streq v" "id:50,phase:1,deny,status:418"
"#;
    let changed = run(rules, "/?a=v&off=1", "");
    assert_eq!(ids(&changed), [1, 40, 50]);
    assert!(changed.interruption().is_none());
    assert_eq!(changed.would_interrupt().unwrap().status, 418);
    let plain = run(rules, "/?a=v", "");
    assert_eq!(ids(&plain), [10, 20, 30, 50]);
    let refusal = plain.interruption().unwrap();
    assert_eq!((refusal.rule, refusal.status, &refusal.action), (50, 418, &Action::Deny));
}

#[test]
fn targets_choose_count_and_leave_out() {
    let rules = r#"
SecRule &ARGS "@eq 3" "id:1,phase:1,pass"
SecRule ARGS|!ARGS:b|!ARGS:/^c/ "@rx ." "id:2,phase:1,pass"
SecRule REQUEST_COOKIES:b "@streq x" "id:3,phase:1,pass"
SecRule ARGS:B "@rx ." "id:4,phase:1,pass"
SecRule &REQUEST_HEADERS:None "@eq 0" "id:5,phase:1,pass"
SecRule ARGS_NAMES "!@within a b cc" "id:6,phase:1,pass"
"#;
    let done = run(rules, "/?a=1&b=2&cc=3", "");
    assert_eq!(ids(&done), [1, 2, 3, 4, 5]);
    assert_eq!(done.matches().nth(1).unwrap().found().count(), 1);
}

#[test]
fn multi_match_sees_every_step() {
    let rules = |multi: &str| {
        format!("SecRule ARGS \"@rx ^%41$\" \"id:1,phase:1,pass{multi},t:none,t:urlDecodeUni\"")
    };
    assert_eq!(ids(&run(&rules(",multiMatch"), "/?a=%2541", "")), [1]);
    assert!(ids(&run(&rules(""), "/?a=%2541", "")).is_empty());
}

#[test]
fn allow_ends_phases_and_default_actions_block() {
    let rules = r#"
SecDefaultAction "phase:2,log,auditlog,deny,status:406"
SecRule ARGS_POST:p "@streq ok" "id:1,phase:2,allow:phase"
SecRule ARGS_POST:p "@streq all" "id:2,phase:2,allow"
SecRule ARGS_POST "@rx ." "id:3,phase:2,block"
SecAction "id:4,phase:5,pass"
"#;
    assert_eq!(ids(&run(rules, "/", "p=ok")), [1, 4]);
    assert_eq!(ids(&run(rules, "/", "p=all")), [2]);
    let refused = run(rules, "/", "p=x");
    assert_eq!(ids(&refused), [3, 4]);
    assert_eq!(refused.interruption().unwrap().status, 406);
}

#[test]
fn what_constants_decide_is_left_out_and_nothing_else() {
    let rules = r#"
SecAction "id:1,phase:1,nolog,pass,setvar:tx.level=2"
SecRule TX:level "@lt 3" "id:2,phase:1,nolog,pass,skipAfter:HIGH"
SecAction "id:3,phase:1,pass"
SecMarker HIGH
SecRule ARGS:x "@eq 1" "id:4,phase:1,nolog,pass,setvar:tx.level=3"
SecRule TX:level "@lt 3" "id:5,phase:2,nolog,pass,skipAfter:HIGHER"
SecAction "id:6,phase:2,pass"
SecMarker HIGHER
"#;
    let plain = run(rules, "/", "");
    assert_eq!(plain.program().dropped(), [2, 3]);
    assert!(!ids(&plain).contains(&6));
    assert!(ids(&run(rules, "/?x=1", "")).contains(&6));
}

#[test]
fn long_values_are_tried_one_by_one() {
    let rules =
        "SecRule ARGS \"@rx needle(\\d)\" \"id:1,phase:2,deny,capture,setvar:tx.d=%{TX.1}\"";
    let form = format!("a={}needle7", "x".repeat(5000));
    assert_eq!(text(&run(rules, "/", &form), "d"), "7");
    assert!(ids(&run(rules, "/", &form.replace("needle", "noodle"))).is_empty());
}

#[test]
fn faults_are_all_shown_with_their_places() {
    let rules = "SecRule ARGZ \"@rx a(?=b)\" \"id:1,phase:9\"\nSecFoo x\nSecAction \"phase:1\"\n";
    let faults = load(&[Source::Text("f.conf", rules)], &NoFiles).unwrap_err();
    let places: Vec<(u32, u32)> =
        faults.0.iter().map(|fault| (fault.place.line, fault.place.column)).collect();
    assert_eq!(places, [(1, 39), (1, 9), (1, 20), (2, 1), (3, 1)]);
    let shown = faults.to_string();
    assert!(shown.contains("did you mean ARGS?") && shown.contains("look-ahead"), "{shown}");
    assert!(shown.contains("--> f.conf:2:1") && shown.contains("(rule 1)"), "{shown}");
    let jump = "SecAction \"id:1,phase:1,pass,skipAfter:NOWHERE\"";
    let set = load(&[Source::Text("f.conf", jump)], &NoFiles).unwrap();
    assert!(Program::compile(&set).unwrap_err().to_string().contains("no SecMarker `NOWHERE`"));
}

#[test]
fn names_of_arguments_are_chosen_in_any_case() {
    let rules = r#"
SecRule ARGS:_Method "@streq put" "id:1,phase:2,pass"
SecRule &ARGS_POST:_METHOD "@eq 1" "id:2,phase:2,pass"
SecRule ARGS|!ARGS:_method "@rx ." "id:3,phase:2,pass"
SecRule REQUEST_METHOD "!@streq %{ARGS._method}" "id:4,phase:2,pass,setvar:'tx.m=%{ARGS._Method}'"
"#;
    let done = run(rules, "/", "_meTHOD=put");
    assert_eq!((ids(&done), &*text(&done, "m")), (vec![1, 2, 4], "put"));
}

#[test]
fn the_separator_of_arguments_is_what_the_directive_says() {
    let rules = "SecArgumentSeparator ;\nSecRule ARGS:b \"@streq 2&c=3\" \"id:1,phase:2,pass\"\n";
    assert_eq!(ids(&run(rules, "/?a=1;b=2&c=3", "")), [1]);
    assert_eq!(ids(&run(rules, "/", "a=1;b=2&c=3")), [1]);
    assert!(ids(&run(rules, "/?a=1&b=2&c=3", "")).is_empty());
}

#[test]
fn a_body_without_files_has_a_limit_of_its_own() {
    let rules = |limit: &str| {
        format!(
            "{limit}\nSecRule REQBODY_ERROR \"@eq 1\" \"id:1,phase:2,pass,chain\"\n\
             SecRule REQBODY_ERROR_MSG \"@contains excluding files\" \"\"\n\
             SecRule INBOUND_DATA_ERROR \"@eq 1\" \"id:2,phase:2,pass\"\n\
             SecRule ARGS_POST \"@rx .\" \"id:3,phase:2,pass\"\n\
             SecRule REQUEST_BODY \"@streq a=12\" \"id:4,phase:2,pass\"\n"
        )
    };
    assert_eq!(ids(&run(&rules("SecRequestBodyNoFilesLimit 3"), "/", "a=12")), [1, 2, 4]);
    assert_eq!(ids(&run(&rules("SecRequestBodyNoFilesLimit 4"), "/", "a=12")), [3, 4]);
    assert_eq!(ids(&run(&rules(""), "/", "a=12")), [3, 4]);
}

#[test]
fn a_body_that_is_forced_is_there_whatever_reads_it() {
    let rules = |forced: &str| {
        format!(
            "SecAction \"id:1,phase:1,nolog,pass,ctl:requestBodyProcessor=XML{forced}\"\n\
             SecRule REQUEST_BODY \"@streq <a>b</a>\" \"id:2,phase:2,pass,ver:'OWASP_CRS/4'\"\n\
             SecRule XML:/* \"@streq b\" \"id:3,phase:2,pass\"\n"
        )
    };
    let forced = rules(",ctl:forceRequestBodyVariable=On");
    assert_eq!(ids(&run(&forced, "/", "<a>b</a>")), [1, 2, 3]);
    assert_eq!(ids(&run(&rules(""), "/", "<a>b</a>")), [1, 3]);
}

#[test]
fn how_long_it_has_taken_is_what_the_caller_says() {
    let rules = "SecRule DURATION \"@eq 0\" \"id:1,phase:1,pass\"\n\
                 SecRule DURATION \"@ge 250\" \"id:2,phase:2,pass\"\n";
    let mut done = run(rules, "/", "");
    assert_eq!(ids(&done), [1]);
    done.has_taken(Duration::from_millis(250));
    let mut caches = Caches::new(done.program());
    done.request_body(b"", &mut caches);
    assert_eq!(ids(&done), [1, 2]);
}

#[test]
fn it_ends_before_the_next_rule_when_it_is_told_to() {
    let mut done = run("SecAction \"id:1,phase:3,pass\"", "/", "");
    let mut caches = Caches::new(&Arc::clone(done.program()));
    let head = AnswerHead { status: 200, protocol: b"HTTP/1.1", fields: &[] };
    for (is_stopped, matched) in [(true, &[][..]), (false, &[1])] {
        done.stop_when(Some(Arc::new(AtomicBool::new(is_stopped))));
        done.answer_head(&head, &mut caches);
        assert_eq!(ids(&done), matched);
    }
}

#[test]
fn what_is_not_done_is_refused_or_noted_where_it_stands() {
    for line in [
        "SecCookieFormat 1",
        "SecUnicodeMapFile unicode.mapping 1252",
        "SecXmlExternalEntity On",
        "SecRuleScript a.lua",
        "SecDefaultAction \"phase:2,deny,setvar:tx.a=1\"",
        "SecDefaultAction \"phase:2,deny,capture\"",
    ] {
        let faults = load(&[Source::Text("f.conf", line)], &NoFiles).unwrap_err();
        assert_eq!(faults.0.len(), 1, "{line}");
        assert!(faults.to_string().contains("--> f.conf:1:"), "{line}: {faults}");
    }
    for (text, line) in [
        ("SecCookieFormat 0", 1),
        ("SecUnicodeMapFile unicode.mapping 20127", 1),
        ("SecXmlExternalEntity Off", 1),
        ("SecAction \"id:1,phase:1,pass,ctl:auditLogParts=+E\"", 1),
        ("SecAction \"id:1,phase:1,pass\"\nSecRuleUpdateActionById 1 \"setuid:x\"", 2),
        ("SecRule ARGS a \"id:1,phase:1,chain\"\nSecRule ARGS b \"tag:'x'\"", 2),
    ] {
        let set = load(&[Source::Text("f.conf", text)], &NoFiles).unwrap_or_else(|e| panic!("{e}"));
        let lines: Vec<u32> = set.notes.iter().map(|note| note.place.line).collect();
        assert_eq!(lines, [line], "{text}");
    }
}

#[test]
fn a_rule_knows_what_logs_say_of_it() {
    let long = "x".repeat(210);
    let rules = format!(
        "SecRule ARGS \"!@streq {long}\" \"id:1,phase:1,pass,ver:'v',rev:'r',maturity:7,accuracy:8\"\n\
         SecRule ARGS \"a|b\" \"id:2,phase:1,pass,chain\"\nSecRule ARGS \"@detectSQLi\" \"\"\n\
         SecAction \"id:3,phase:1,pass\"\n\
         SecRuleUpdateActionById 3 \"ver:'w',rev:'s',maturity:1,accuracy:2\"\n"
    );
    let done = run(&rules, "/?q=a", "");
    let about: Vec<_> = done.program().rules().collect();
    let said = |at: usize| (&*about[at].operator, &*about[at].parameter);
    let cut = format!("{} (10 characters omitted)", "x".repeat(200));
    assert_eq!([said(0), said(1), said(2)], [("StrEq", &*cut), ("DetectSQLi", ""), ("", "")]);
    let told = |at: usize| {
        let about = about[at];
        (&*about.version, &*about.revision, about.maturity, about.accuracy)
    };
    assert_eq!([told(0), told(2)], [("v", "r", 7, 8), ("w", "s", 1, 2)]);
}

#[test]
fn a_body_of_an_answer_that_is_not_looked_at_is_empty() {
    let rules = r#"
SecResponseBodyAccess On
SecResponseBodyMimeType text/html
SecRule RESPONSE_BODY "!@contains leak" "id:1,phase:4,pass"
SecRule RESPONSE_BODY "@contains leak" "id:2,phase:4,pass"
SecRule RESPONSE_BODY "@streq" "id:3,phase:4,pass"
"#;
    let set = load(&[Source::Text("rules", rules)], &NoFiles).unwrap();
    let program = Arc::new(Program::compile(&set).unwrap());
    let mut caches = Caches::new(&program);
    for (kind, matched) in [("text/html; charset=utf-8", &[2][..]), ("image/png", &[1, 3])] {
        let mut transaction = Transaction::new(Arc::clone(&program));
        let fields = [(&b"Content-Type"[..], kind.as_bytes())];
        let head = AnswerHead { status: 200, protocol: b"HTTP/1.1", fields: &fields };
        transaction.answer_head(&head, &mut caches);
        assert_eq!(transaction.wants_answer_body(), kind != "image/png");
        transaction.answer_body(b"a leak", &mut caches);
        assert_eq!(ids(&transaction), matched, "{kind}");
    }
}
