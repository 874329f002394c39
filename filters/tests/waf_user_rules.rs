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
