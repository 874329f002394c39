//! A transaction that waits lets go of what nobody asks for, and of nothing else.
#![cfg(test)]

#[path = "crs/told.rs"]
mod told;

use std::sync::Arc;

use proptest::prelude::*;
use told::{All, all, rest};
use vanne_filters::waf::program::Program;
use vanne_filters::waf::regression::Case;
use vanne_filters::waf::seclang::{NoFiles, Source, load};
use vanne_filters::waf::transaction::{Caches, Transaction};

/// Phases 1 and 2: matches, captures, variables with and without slots, what `ctl` takes away.
const REQUEST: &str = r#"
SecRuleEngine DetectionOnly
SecRequestBodyAccess On
SecResponseBodyAccess On
SecResponseBodyMimeType text/plain
SecRule REQUEST_HEADERS:Content-Type "json" "id:1,phase:1,pass,nolog,ctl:requestBodyProcessor=JSON"
SecAction "id:6,phase:2,pass,nolog,setvar:tx.number=41,setvar:tx.text=seven,\
    setvar:tx.inbound_anomaly_score_pl1=5"
SecRule ARGS "@rx ^(a+)(b+)?" "id:2,phase:2,pass,capture,t:none,t:lowercase,msg:'%{TX.1}',\
    logdata:'%{MATCHED_VAR_NAME}=%{MATCHED_VAR}',severity:3,setvar:tx.score=+1,\
    setvar:'tx.made_%{MATCHED_VAR_NAME}=%{TX.0}',setvar:'tx.last=%{MATCHED_VAR}'"
SecRule ARGS|REQUEST_HEADERS "@pm attack evil" "id:3,phase:2,deny,t:none,t:urlDecodeUni,multiMatch"
SecRule ARGS:remove "@streq 1" "id:4,phase:2,pass,nolog,ctl:ruleRemoveById=41,\
    ctl:ruleRemoveTargetById=30-59;ARGS:x,ctl:ruleRemoveTargetById=30-59;TX:made_args:x"
SecRule ARGS "!@rx ^[a-z]*$" "id:5,phase:2,pass,msg:'odd'"
"#;

/// Rules of later phases, each of which looks at another thing of the request and is tried alone.
const LATER: [&str; 18] = [
    r#"SecRule ARGS "@rx b$" "id:30,phase:3,pass,t:none,t:lowercase,logdata:'%{MATCHED_VAR}'""#,
    r#"SecRule ARGS_NAMES "@streq x" "id:31,phase:3,pass,msg:'%{TX.0}'""#,
    r#"SecRule MATCHED_VAR "@rx ." "id:32,phase:3,pass,logdata:'%{MATCHED_VAR_NAME}'""#,
    r#"SecRule ARGS "@rx ." "id:33,phase:3,pass,setvar:'tx.made_%{MATCHED_VAR_NAME}=+1'"
       SecRule TX:/^made_/ "@rx ." "id:34,phase:5,pass,setvar:'tx.all=%{tx.all} %{MATCHED_VAR}'"
       SecAction "id:35,phase:5,pass,msg:'%{tx.all}'""#,
    r#"SecRule TX:number "@eq 41" "id:36,phase:3,pass,msg:'%{tx.text}'""#,
    r#"SecRule TX:text "!@streq %{tx.number}" "id:37,phase:5,pass,chain,logdata:'%{TX.2}'"
         SecRule MATCHED_VARS "@rx (s)" "capture""#,
    r#"SecRule QUERY_STRING "@contains a" "id:40,phase:4,pass,t:none""#,
    r#"SecRule RESPONSE_BODY "@contains %{ARGS.x}" "id:41,phase:4,pass,msg:'%{REQUEST_URI}'""#,
    r#"SecRule RESPONSE_BODY "@rx (l)eak" "id:42,phase:4,deny,capture,logdata:'%{TX.0} %{TX.2}'""#,
    r#"SecRule &ARGS "@gt 2" "id:43,phase:4,pass""#,
    r#"SecRule HIGHEST_SEVERITY "@le 3" "id:50,phase:5,pass,logdata:'%{MATCHED_VAR}'""#,
    r#"SecAction "id:51,phase:5,pass,msg:'%{tx.last} of %{ARGS.y}, %{TX.0}'""#,
    r#"SecRule TX "@rx e" "id:52,phase:5,pass""#,
    r#"SecRule REQUEST_HEADERS:Host "@streq h" "id:53,phase:5,pass,logdata:'%{REQUEST_LINE}'""#,
    r#"SecRule RESPONSE_BODY "@contains leak" "id:54,phase:5,pass,msg:'%{tx.number}'""#,
    r#"SecRule MATCHED_VAR_NAME "@rx ." "id:55,phase:5,pass,setvar:tx.number=+1""#,
    r#"SecRule REQUEST_COOKIES:a "@eq 1" "id:56,phase:5,pass,logdata:'%{tx.score}'""#,
    r#"SecRule RESPONSE_HEADERS|RESPONSE_STATUS "@rx ." "id:57,phase:3,pass,setvar:'tx.%{ARGS.x}=+1'"
       SecRule TX:aab "@eq 2" "id:58,phase:4,pass""#,
];

/// Looks at answers alone: nothing of the request is kept for it.
const LITTLE: &str = LATER[8];

/// What logs are not to show.
const SANITISE: &str = r#"
SecRule ARGS "@contains evil" "id:60,phase:2,pass,sanitiseMatched"
SecRule ARGS:y "@rx ." "id:61,phase:5,pass,sanitiseArg:x,sanitiseRequestHeader:Host"
"#;

fn program(parts: &[&str]) -> Arc<Program> {
    let sources: Vec<_> = parts.iter().map(|text| Source::Text("rules", text)).collect();
    let set = load(&sources, &NoFiles).unwrap_or_else(|faults| panic!("{faults}"));
    Arc::new(Program::compile(&set).unwrap_or_else(|faults| panic!("{faults}")))
}

/// Each rule alone, all, and with what hides.
fn programs() -> Vec<Arc<Program>> {
    let all = LATER.join("\n");
    let more = [
        &[REQUEST, &all][..],
        &[REQUEST, LITTLE, SANITISE],
        &[REQUEST, &all, SANITISE],
        &[REQUEST, LITTLE, "SecRuleEngine On"],
    ];
    let alone = LATER.iter().map(|rule| program(&[REQUEST, rule]));
    alone.chain(more.map(program)).collect()
}

fn field(name: &str, value: &str) -> (Vec<u8>, Vec<u8>) {
    (name.as_bytes().to_vec(), value.as_bytes().to_vec())
}

fn case(query: &str, body: &str, answer: &str) -> Case {
    Case {
        method: b"POST".to_vec(),
        uri: format!("/path?{query}").into_bytes(),
        version: b"HTTP/1.1".to_vec(),
        fields: vec![
            field("Host", "h"),
            field("Cookie", "a=1; b=evil"),
            field("Content-Type", "application/json"),
        ],
        body: body.as_bytes().to_vec(),
        status: 200,
        answer_fields: vec![field("Content-Type", "text/plain")],
        answer_body: answer.as_bytes().to_vec(),
        ..Case::default()
    }
}

/// What comes of `case` without and with waiting, the same twice.
fn both(program: &Arc<Program>, case: &Case) -> (All, All) {
    let (fresh, waited) = shown(program, case, false);
    match fresh == waited {
        true => shown(program, case, true),
        false => (fresh, waited),
    }
}

fn shown(program: &Arc<Program>, case: &Case, is_last: bool) -> (All, All) {
    let mut caches = Caches::new(program);
    let mut fresh = Transaction::new(Arc::clone(program));
    case.run(&mut fresh, &mut caches);
    let mut waited = Transaction::new(Arc::clone(program));
    case.run_waiting(&mut waited, &mut caches, rest(is_last));
    let waiting = all(&waited, is_last);
    // In the memory of one that has waited it is the same.
    waited.begin(program);
    case.run(&mut waited, &mut caches);
    assert_eq!(all(&waited, is_last), all(&fresh, is_last));
    (all(&fresh, is_last), waiting)
}

#[test]
fn rules_of_later_phases_find_what_they_look_at() {
    let case = case(
        "x=aab&y=see",
        r#"{"x": "aaabb", "z": {"w": ["AB", "evil%20attack"]}}"#,
        "a leak, and aab",
    );
    for rule in LATER {
        let program = program(&[REQUEST, rule]);
        let (fresh, waited) = both(&program, &case);
        let all: Vec<u64> = program.rules().map(|about| about.id).filter(|id| *id != 4).collect();
        assert_eq!(fresh.told.len(), all.len(), "all match, or there is little to compare: {rule}");
        assert_eq!(fresh, waited, "{rule}");
    }
}

#[test]
fn what_was_taken_from_rules_stays_taken() {
    for program in programs() {
        let case = case("x=aab&remove=1&y=e", r#"{"x": "ab"}"#, "leak, aab");
        let (fresh, waited) = both(&program, &case);
        assert!(fresh.told.iter().all(|told| told.id != 41));
        assert_eq!(fresh, waited);
    }
}

#[test]
fn what_is_hidden_from_logs_stays_hidden() {
    let program = program(&[REQUEST, LITTLE, SANITISE]);
    let case = case("x=aab&y=e", r#"{"secret": "evil word", "n": "aab"}"#, "leak");
    let mut transaction = Transaction::new(Arc::clone(&program));
    case.run_waiting(&mut transaction, &mut Caches::new(&program), rest(false));
    let hidden = transaction.hidden();
    assert!(hidden.is_in(b"it is aab") && hidden.is_in(b"an evil word"));
    assert!(!hidden.is_in(b"aac") && hidden.hides_field(b"host"));
}

/// Values of an array, each of which several rules match.
fn many(bytes: usize) -> String {
    let values: Vec<String> = (0..bytes / 20).map(|at| format!("\"aab attack {at}\"")).collect();
    format!("[{}]", values.join(","))
}

#[test]
fn what_waits_is_little() {
    let program = program(&[REQUEST, LITTLE]);
    let long = format!("[\"{}\"]", "aab Attack ".repeat(6000));
    for body in [many(65_000), long] {
        let case = case("x=aab", &body, &"leak ".repeat(10_000));
        let (fresh, waited) = both(&program, &case);
        assert_eq!(fresh, waited);
        let mut transaction = Transaction::new(Arc::clone(&program));
        let mut held = Vec::new();
        case.run_waiting(&mut transaction, &mut Caches::new(&program), |transaction, still| {
            let before = transaction.memory_bytes();
            rest(false)(transaction, still);
            held.push((before, transaction.memory_bytes()));
        });
        assert!(held.iter().any(|(before, _)| *before > 200 << 10), "{held:?}");
        assert!(held.iter().all(|(_, after)| *after < 16 << 10), "{held:?}");
    }
}

fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        "[ab]{0,6}",
        "[a-cA-C0-9 ]{0,8}",
        Just("evil%20attack".to_owned()),
        Just("see".to_owned()),
        "[a-b]{300}[0-9]{1,2}",
    ]
}

fn named() -> impl Strategy<Value = (String, String)> {
    (prop_oneof![Just("x"), Just("y"), Just("remove"), Just("z7")], value())
        .prop_map(|(name, value)| (name.to_owned(), value))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn waiting_changes_nothing(
        query in prop::collection::vec(named(), 0..5),
        body in prop::collection::vec(named(), 0..12),
        answer in prop_oneof![Just("a leak"), Just("aab"), Just("")],
        kind in 0..LATER.len() + 4,
    ) {
        thread_local! {
            static PROGRAMS: Vec<Arc<Program>> = programs();
        }
        let query: Vec<_> = query.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let body: Vec<_> = body.iter().map(|(name, value)| format!("\"{name}\":\"{value}\"")).collect();
        let case = case(&query.join("&"), &format!("{{{}}}", body.join(",")), answer);
        let (fresh, waited) = PROGRAMS.with(|programs| both(&programs[kind], &case));
        prop_assert_eq!(fresh, waited);
    }
}
