//! Our own rules, `filters/rules/`: their regression tests, the attacks that they refuse and the
//! requests that they let pass. The rules were written with these attacks at hand; what they do
//! with others is in the manual.
#![cfg(test)]

#[path = "../corpus/request.rs"]
#[expect(dead_code, reason = "classes and reasons are the corpus's own tests'")]
mod corpus;
#[path = "../crs/files.rs"]
#[expect(dead_code, reason = "the Core Rule Set is not asked for")]
mod files;
#[path = "../crs/suite.rs"]
mod suite;

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;

use corpus::Named;
use vanne_filters::waf::program::Program;
use vanne_filters::waf::regression::{Case, Field};
use vanne_filters::waf::seclang::{Source, load};
use vanne_filters::waf::transaction::{Caches, Transaction};

fn program(mode: &str) -> Arc<Program> {
    let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("rules/*.conf");
    let mode = format!("SecRuleEngine {mode}\n");
    let sources = [Source::Text("mode", &mode), Source::File(rules.to_str().unwrap())];
    let set = load(&sources, &files::Disk).unwrap_or_else(|faults| panic!("{faults}"));
    Arc::new(Program::compile(&set).unwrap_or_else(|faults| panic!("{faults}")))
}

/// The requests that the rules refuse, each with the rule.
fn refused(named: Vec<Named>) -> BTreeSet<(String, u64)> {
    let program = program("On");
    let mut transaction = Transaction::new(Arc::clone(&program));
    let mut caches = Caches::new(&program);
    let bytes = |(name, value): (String, String)| -> Field { (name.into(), value.into()) };
    let mut found = BTreeSet::new();
    for Named { request, .. } in named {
        let case = Case {
            id: request.id,
            method: request.method.into(),
            uri: request.target.into(),
            version: b"HTTP/1.1".to_vec(),
            fields: request.headers.into_iter().map(bytes).collect(),
            body: request.body,
            status: 200,
            ..Case::default()
        };
        transaction.begin(&program);
        case.run(&mut transaction, &mut caches);
        if let Some(end) = transaction.interruption() {
            found.insert((case.id, end.rule));
        }
    }
    found
}

#[test]
fn each_rule_matches_what_it_is_for_and_nothing_like_it() {
    let program = program("DetectionOnly");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/waf/rules");
    let stages = suite::stages(&folder);
    assert!(stages.len() >= 272, "only {} stages were found", stages.len());
    let mut transaction = Transaction::new(Arc::clone(&program));
    let mut caches = Caches::new(&program);
    let mut report = String::new();
    for stage in &stages {
        transaction.begin(&program);
        stage.case.run(&mut transaction, &mut caches);
        if let Some(miss) = stage.miss(&transaction) {
            writeln!(report, "{}: {miss}", stage.case.id).unwrap();
        }
    }
    assert!(report.is_empty(), "{report}");
}

#[test]
fn attacks_are_refused() {
    let attacks = corpus::read("attacks");
    let ids: Vec<String> = attacks.iter().map(|named| named.request.id.clone()).collect();
    let refused: BTreeSet<String> = refused(attacks).into_iter().map(|(id, _)| id).collect();
    let missed: Vec<&String> = ids.iter().filter(|id| !refused.contains(*id)).collect();
    assert_eq!(ids.len(), 150);
    assert!(missed.is_empty(), "{missed:?} are not refused");
}

#[test]
fn what_is_no_attack_passes() {
    let benign = corpus::read("benign");
    assert_eq!(benign.len(), 533);
    let refused = refused(benign);
    assert!(refused.is_empty(), "{refused:?}");
}
