//! The OWASP Core Rule Set, its rules and its regression tests, in process.
#![cfg(test)]

mod files;
mod suite;
mod told;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;

use vanne_filters::waf::program::Program;
use vanne_filters::waf::regression::{Case, Stage};
use vanne_filters::waf::seclang::{Source, load};
use vanne_filters::waf::transaction::{Caches, Shown, Transaction};

/// What the regression tests ask of the setup, and the paranoia level that they need.
const SETUP: &str = r#"
SecRuleEngine DetectionOnly
SecRequestBodyAccess On
SecResponseBodyAccess On
SecResponseBodyMimeType text/plain text/html text/xml application/json
SecRule REQUEST_HEADERS:Content-Type "^(?:application(?:/soap\+|/)|text/)xml" \
    "id:200000,phase:1,t:none,t:lowercase,pass,nolog,ctl:requestBodyProcessor=XML"
SecRule REQUEST_HEADERS:Content-Type "^application/(?:[a-z0-9.-]+[+])?json" \
    "id:200001,phase:1,t:none,t:lowercase,pass,nolog,ctl:requestBodyProcessor=JSON"
SecAction "id:900005,phase:1,nolog,pass,ctl:ruleEngine=DetectionOnly,ctl:ruleRemoveById=910000,\
    setvar:tx.blocking_paranoia_level=4,setvar:tx.crs_validate_utf8_encoding=1,\
    setvar:tx.arg_name_length=100,setvar:tx.arg_length=400,setvar:tx.total_arg_length=64000,\
    setvar:tx.max_num_args=255,setvar:tx.max_file_size=64100,setvar:tx.combined_file_sizes=65535"
SecRule REQUEST_HEADERS:X-CRS-Test "@rx ^.*$" \
    "id:999999,phase:1,pass,t:none,log,msg:'X-CRS-Test %{MATCHED_VAR}',ctl:ruleRemoveById=1-999999"
"#;

fn program(crs: &Path, setup: &str) -> Arc<Program> {
    let example = crs.join("crs-setup.conf.example");
    let rules = crs.join("rules/*.conf");
    let sources = [
        Source::File(example.to_str().unwrap()),
        Source::Text("setup", setup),
        Source::File(rules.to_str().unwrap()),
    ];
    let set = load(&sources, &files::Disk).unwrap_or_else(|faults| panic!("{faults}"));
    Arc::new(Program::compile(&set).unwrap_or_else(|faults| panic!("{faults}")))
}

#[test]
fn the_regression_tests_pass() {
    let Some(crs) = files::crs() else { return };
    let program = program(&crs, SETUP);
    let stages = suite::stages(&crs.join("tests/regression/tests"));
    assert!(stages.len() >= 4_000, "only {} stages were found", stages.len());
    let known: BTreeMap<&str, &str> = include_str!("misses.txt")
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_once(' '))
        .collect();
    let mut transaction = Transaction::new(Arc::clone(&program));
    let mut caches = Caches::new(&program);
    let mut families: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    let mut report = String::new();
    for stage in &stages {
        transaction.begin(&program);
        stage.case.run(&mut transaction, &mut caches);
        let found = stage.miss(&transaction);
        let family = families.entry(&stage.family).or_default();
        family.1 += 1;
        family.0 += usize::from(found.is_none());
        match (found, known.get(stage.case.id.as_str())) {
            (Some(what), None) => writeln!(report, "{}: {what}", stage.case.id).unwrap(),
            (None, Some(why)) => {
                writeln!(report, "{}: passes, though misses.txt says: {why}", stage.case.id)
                    .unwrap();
            }
            _ => {}
        }
    }
    for (family, (passed, all)) in &families {
        eprintln!("{family} {passed}/{all}");
    }
    let passed: usize = families.values().map(|(passed, _)| passed).sum();
    eprintln!("{passed} of {} stages pass", stages.len());
    assert!(report.is_empty(), "{report}");
}

/// Runs all regression tests with and without waiting. Returns the most that one holds that waits.
fn waiting_bytes_max(crs: &Path, program: &Arc<Program>, is_last: bool) -> usize {
    let mut transactions = [(); 2].map(|()| Transaction::new(Arc::clone(program)));
    let mut caches = Caches::new(program);
    let mut most = 0;
    for stage in suite::stages(&crs.join("tests/regression/tests")) {
        let [fresh, waited] = &mut transactions;
        fresh.begin(program);
        waited.begin(program);
        stage.case.run(fresh, &mut caches);
        stage.case.run_waiting(waited, &mut caches, |transaction, still| {
            told::rest(is_last)(transaction, still);
            most = most.max(transaction.memory_bytes());
        });
        assert_eq!(told::all(fresh, is_last), told::all(waited, is_last), "{}", stage.case.id);
    }
    most
}

#[test]
fn waiting_changes_nothing() {
    let Some(crs) = files::crs() else { return };
    let most = waiting_bytes_max(&crs, &program(&crs, SETUP), false);
    assert!(most < 64 << 10, "{most} bytes");
    // A rule for the end that looks at what came at first.
    let own = "SecRule ARGS|ARGS_NAMES|REQUEST_HEADERS \"@rx o\" \"id:1,phase:5,pass,log\"";
    let most = waiting_bytes_max(&crs, &program(&crs, &format!("{SETUP}{own}")), true);
    assert!(most < 128 << 10, "{most} bytes, of which 64 KB are an argument");
}

/// The attacks of the regression tests, one after another, in values of so many bytes.
fn attacks(stages: &[Stage], value_bytes: usize) -> Vec<u8> {
    let mut values = vec![String::new()];
    let texts = stages.iter().map(|stage| match stage.case.body.is_empty() {
        true => String::from_utf8_lossy(&stage.case.uri),
        false => String::from_utf8_lossy(&stage.case.body),
    });
    let mut left = 64_000_usize;
    for text in texts.filter(|text| text.len() < 300).step_by(7) {
        let Some(rest) = left.checked_sub(text.len()) else { break };
        left = rest;
        if values.last().is_none_or(|value| value.len() > value_bytes) {
            values.push(String::new());
        }
        values.last_mut().unwrap().push_str(&text);
    }
    serde_json::to_vec(&values).unwrap()
}

#[test]
fn all_attacks_at_once_are_little_while_they_wait() {
    let Some(crs) = files::crs() else { return };
    let program = program(&crs, SETUP);
    let stages = suite::stages(&crs.join("tests/regression/tests"));
    let mut transaction = Transaction::new(Arc::clone(&program));
    let mut caches = Caches::new(&program);
    for value_bytes in [100, 300, 1500, 16_000, 64_000] {
        let (name, kind) = (b"Content-Type".to_vec(), b"application/json".to_vec());
        let case = Case {
            method: b"POST".to_vec(),
            uri: b"/".to_vec(),
            version: b"HTTP/1.1".to_vec(),
            fields: vec![(b"Host".to_vec(), b"h".to_vec()), (name, kind)],
            body: attacks(&stages, value_bytes),
            ..Case::default()
        };
        transaction.begin(&program);
        let mut held = (0, 0);
        case.run_waiting(&mut transaction, &mut caches, |transaction, still| {
            held.0 = held.0.max(transaction.memory_bytes());
            transaction.rest(still, Shown::first(64, 256, &told::is_secret));
            held.1 = held.1.max(transaction.memory_bytes());
        });
        let rules = transaction.matches().filter(|found| found.about.is_logged).count();
        eprintln!("{rules} rules match values of {value_bytes} bytes: {held:?}");
        assert!(rules > 100 && held.0 > 512 << 10 && held.1 < 64 << 10, "{rules} rules, {held:?}");
    }
}

#[test]
fn rules_of_higher_levels_are_left_out() {
    let Some(crs) = files::crs() else { return };
    let at = |level: u8| {
        let setup = format!(
            "SecAction \"id:900000,phase:1,nolog,pass,setvar:tx.blocking_paranoia_level={level}\""
        );
        program(&crs, &setup)
    };
    let (first, last) = (at(1), at(4));
    let has = |program: &Program, id: u64| program.rules().any(|about| about.id == id);
    assert!(has(&first, 942100) && has(&last, 942100));
    assert!(!has(&first, 942120) && has(&last, 942120));
    assert!(first.dropped().len() > last.dropped().len() + 100);
}
