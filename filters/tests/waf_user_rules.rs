//! Rules as users write them, for ModSecurity 3: bodies of every type, what is logged, what is
//! refused when it is loaded.
#![cfg(test)]

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use vanne_filters::waf::program::Program;
use vanne_filters::waf::seclang::{NoFiles, Source, load};
use vanne_filters::waf::transaction::{Caches, Endpoint, Request, Transaction};

/// Runs phase 1 over `POST uri`, whose body is of type `kind`.
fn begin(rules: &str, uri: &str, kind: &str) -> (Transaction, Caches) {
    let set = load(&[Source::Text("rules", rules)], &NoFiles).unwrap_or_else(|e| panic!("{e}"));
    let program = Arc::new(Program::compile(&set).unwrap_or_else(|e| panic!("{e}")));
    let mut caches = Caches::new(&program);
    let mut transaction = Transaction::new(program);
    let end = Endpoint { address: IpAddr::V4(Ipv4Addr::LOCALHOST), port: 1 };
    let request = Request {
        method: b"POST",
        uri: uri.as_bytes(),
        protocol: b"HTTP/1.1",
        fields: &[(b"Content-Type", kind.as_bytes()), (b"X-Key", b"k3y")],
        client: end,
        server: end,
        server_name: b"h",
        unique_id: b"1",
        epoch_seconds: 0,
    };
    transaction.request_head(&request, &mut caches);
    (transaction, caches)
}

/// Runs phases 1 and 2.
fn run(rules: &str, uri: &str, kind: &str, body: &str) -> Transaction {
    let (mut transaction, mut caches) = begin(rules, uri, kind);
    transaction.request_body(body.as_bytes(), &mut caches);
    transaction
}

fn ids(transaction: &Transaction) -> Vec<u64> {
    transaction.matches().map(|one| one.about.id).collect()
}

const KINDS: [&str; 6] = [
    "application/x-www-form-urlencoded",
    "application/json",
    "text/xml",
    "multipart/form-data; boundary=b",
    "text/plain",
    "",
];

#[test]
fn rules_of_users_see_the_bodies_of_every_type() {
    let rules = "SecRule REQUEST_HEADERS:Content-Type json \"id:1,phase:1,pass,nolog,ctl:requestBodyProcessor=JSON\"\n\
                 SecRule REQUEST_HEADERS:Content-Type xml \"id:2,phase:1,pass,nolog,ctl:requestBodyProcessor=XML\"\n\
                 SecRule REQUEST_BODY \"@contains evil\" \"id:10,phase:2,deny,logdata:'%{REQUEST_BODY}'\"\n";
    for kind in KINDS {
        let (begun, _) = begin(rules, "/", kind);
        assert!(begun.reads_request_body(), "{kind}");
        let done = run(rules, "/", kind, "an evil body");
        assert_eq!(done.interruption().map(|end| end.rule), Some(10), "{kind}");
        let found = done.matches().last().unwrap();
        assert_eq!(found.data, b"an evil body", "{kind}");
        assert_eq!(found.found().next().unwrap().variable, "REQUEST_BODY");
    }
}

#[test]
fn rules_of_the_core_rule_set_and_those_built_in_see_forms() {
    let rules = "SecRule REQUEST_BODY \"@contains evil\" \"id:920100,phase:2,pass,ver:'OWASP_CRS/4.25.0'\"\n\
                 SecRule REQUEST_BODY \"@contains evil\" \"id:9100900,phase:2,pass\"\n";
    for kind in KINDS {
        let is_form = kind == KINDS[0];
        let (begun, _) = begin(rules, "/", kind);
        assert_eq!(begun.reads_request_body(), is_form || kind.starts_with("multipart"), "{kind}");
        let found = ids(&run(rules, "/", kind, "an evil body"));
        assert_eq!(found, if is_form { vec![920_100, 9_100_900] } else { vec![] }, "{kind}");
    }
}

#[test]
fn the_body_can_be_left_out_by_its_name() {
    let rule = "SecRule REQUEST_BODY|REQUEST_URI \"@contains evil\" \"id:10,phase:2,pass\"\n";
    let exclusion = "SecRuleUpdateTargetById 10 \"!REQUEST_BODY\"\n";
    let control =
        "SecAction \"id:1,phase:1,pass,nolog,ctl:ruleRemoveTargetById=10;REQUEST_BODY\"\n";
    let kind = "text/plain";
    assert_eq!(ids(&run(rule, "/", kind, "evil")), [10]);
    assert_eq!(ids(&run(&[rule, exclusion].concat(), "/", kind, "evil")), [0; 0]);
    assert_eq!(ids(&run(&[control, rule].concat(), "/", kind, "evil")), [1]);
}

#[test]
fn what_is_logged_of_a_match_needs_no_message() {
    let alone = "SecRule ARGS \"@rx .\" \"id:1,phase:1,pass,logdata:'%{MATCHED_VAR}'\"\n";
    let chained = "SecRule ARGS \"@rx .\" \"id:2,phase:1,pass,msg:'m %{MATCHED_VAR}',chain\"\n\
                   SecRule REQUEST_HEADERS:X-Key \"@rx .\" \"logdata:'d %{MATCHED_VAR}'\"\n";
    let later = "SecRule ARGS \"@rx .\" \"id:3,phase:1,pass,logdata:'first',chain\"\n\
                 SecRule ARGS \"@rx .\" \"msg:'second',logdata:'other'\"\n";
    for (rules, message, data) in
        [(alone, "", "v"), (chained, "m k3y", "d k3y"), (later, "second", "first")]
    {
        let done = run(rules, "/?a=v", "", "");
        let found = done.matches().next().unwrap();
        assert_eq!((found.message, found.data), (message.as_bytes(), data.as_bytes()), "{rules}");
    }
}

#[test]
fn rules_say_what_logs_hide_once_they_match() {
    let rules = |actions: &str| {
        format!(
            "SecRule ARGS:pw \"@rx .\" \"id:1,phase:1,pass,nolog,{actions}\"\n\
             SecRule ARGS \"@rx .\" \"id:2,phase:1,pass,logdata:'%{{MATCHED_VAR}}'\"\n\
             SecRule REQUEST_HEADERS:X-Key \"@rx .\" \"id:3,phase:1,pass\"\n\
             SecRule REQUEST_URI \"@rx .\" \"id:4,phase:1,pass\"\n\
             SecRule REQUEST_METHOD \"@rx .\" \"id:5,phase:1,pass\"\n"
        )
    };
    for (actions, uri, expected) in [
        ("sanitiseArg:PW", "/?pw=hunter2", &[1, 2, 4][..]),
        ("sanitiseMatched", "/?pw=hunter2", &[1, 2, 4]),
        ("sanitiseMatchedBytes:1/2", "/?pw=hunter2", &[1, 2, 4]),
        ("sanitiseRequestHeader:x-key", "/?pw=hunter2", &[3]),
        ("sanitiseResponseHeader:x-key", "/?pw=hunter2", &[]),
        ("sanitiseArg:pw", "/?q=hunter2", &[]),
        ("severity:1", "/?pw=hunter2", &[]),
    ] {
        let done = run(&rules(actions), uri, "", "");
        let hidden = done.hidden();
        let found = done.matches().filter(|one| hidden.hides(one)).map(|one| one.about.id);
        assert_eq!(found.collect::<Vec<_>>(), expected, "{actions} {uri}");
        assert_eq!(hidden.hides_field(b"X-Key"), actions.contains("key"), "{actions}");
        let names = if expected.contains(&4) { vec!["pw"] } else { vec![] };
        let same = |(a, b): (&Vec<u8>, &str)| a.eq_ignore_ascii_case(b.as_bytes());
        assert!(hidden.arguments.len() == names.len(), "{actions}");
        assert!(hidden.arguments.iter().zip(names).all(same), "{actions}");
    }
    let always = "SecAction \"id:1,phase:1,nolog,pass,sanitiseArg:pw\"\n";
    assert!(!run(always, "/?pw=a", "", "").hidden().is_empty());
    let later = "SecRule ARGS:pw \"@rx .\" \"id:1,phase:1,pass\"\n\
                 SecRuleUpdateActionById 1 \"sanitiseArg:pw\"\n";
    assert!(!run(later, "/?pw=a", "", "").hidden().is_empty());
}

/// What keeps `rules` from being loaded.
fn refused(rules: &str) -> String {
    load(&[Source::Text("f.conf", rules)], &NoFiles).unwrap_err().to_string()
}

#[test]
fn what_would_never_match_is_refused_with_a_reason() {
    for (operator, what) in [
        ("@rx %{tx.p}", "%{tx.p} are not expanded"),
        ("!@rx a%{REQUEST_URI}b", "%{REQUEST_URI} are not expanded"),
        ("%{tx.p}", "%{tx.p} are not expanded"),
        ("@pm a %{tx.p}", "%{tx.p} are not expanded"),
        ("@eq", "`@eq` compares with nothing"),
        ("@beginsWith", "`@beginsWith` compares with nothing"),
        ("@rx [", "a class is not closed"),
    ] {
        let told = refused(&format!("SecRule ARGS \"{operator}\" \"id:1,phase:1,pass\"\n"));
        assert!(told.contains(what), "{operator}: {told}");
        assert!(told.ends_with("\n1 fault(s) in the rules"), "{operator}: {told}");
    }
    for operator in ["@rx %\\{tx.p}", "@rx a%{2}", "@rx %{#a}", "@streq", "@within %{tx.p}"] {
        let rule = format!("SecRule ARGS \"{operator}\" \"id:1,phase:1,pass\"\n");
        load(&[Source::Text("f.conf", &rule)], &NoFiles).unwrap_or_else(|e| panic!("{e}"));
    }
    for id in ["id:0", "id:x", "id:1,id:2"] {
        let told = refused(&format!("SecAction \"{id},phase:1,pass\"\n"));
        assert!(!told.contains("without an id"), "{told}");
        assert!(told.ends_with("\n1 fault(s) in the rules"), "{told}");
    }
}

#[test]
fn of_too_much_to_hide_everything_is_hidden() {
    let rules = "SecRule ARGS \"@rx .\" \"id:1,phase:1,pass,sanitiseMatched\"\n\
                 SecRule REQUEST_METHOD \"@rx .\" \"id:2,phase:1,pass\"\n";
    for (count, is_all) in [(16, false), (17, true)] {
        let query: String = (0..count).map(|at| format!("&a{at}=v{at}")).collect();
        let done = run(rules, &format!("/?{query}"), "", "");
        assert_eq!(done.hidden().hides(&done.matches().last().unwrap()), is_all, "{count}");
    }
}
