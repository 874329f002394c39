//! Detection of injection against libinjection-go.

use crate::generate::{ENCODED, MARKUP, Random, SQL};
use crate::oracle::{Oracle, cases, seed};
use vanne_filters::waf::injection;

/// Values that are mostly of `pieces`.
fn values(pieces: &'static [&'static str]) -> impl Iterator<Item = Vec<u8>> {
    let mut random = Random::new(seed());
    (0..cases()).map(move |_| match random.below(16) {
        0 => random.value(ENCODED),
        1 => [random.value(SQL), random.value(MARKUP)].concat(),
        2 => [random.value(pieces), random.value(pieces)].concat(),
        _ => random.value(pieces),
    })
}

/// Prints the shortest of `wrong`, and fails when there is one.
fn judge(mut wrong: Vec<String>, positive: u64) {
    println!("{positive} of {} are injections", cases());
    wrong.sort_by_key(String::len);
    wrong.iter().take(20).for_each(|example| println!("    {example}"));
    assert!(wrong.is_empty(), "{} differ", wrong.len());
}

#[test]
fn sql_is_detected_as_libinjection_does() {
    let Some(mut oracle) = Oracle::start(&["none"]) else { return };
    let (mut wrong, mut positive) = (Vec::new(), 0);
    oracle.each(b's', values(SQL), |oracle, value| {
        let theirs = oracle.bytes();
        let mut fingerprint = [0; 8];
        let length = injection::sqli(value, &mut fingerprint).unwrap_or(0);
        let ours = &fingerprint[..length];
        positive += u64::from(length > 0);
        if ours != theirs {
            let [value, ours, theirs] = [value, ours, &theirs].map(<[u8]>::escape_ascii);
            wrong.push(format!("{value}: ours {ours}, theirs {theirs}"));
        }
    });
    judge(wrong, positive);
}

#[test]
fn markup_is_detected_as_libinjection_does() {
    let Some(mut oracle) = Oracle::start(&["none"]) else { return };
    let (mut wrong, mut positive) = (Vec::new(), 0);
    oracle.each(b'x', values(MARKUP), |oracle, value| {
        let theirs = oracle.byte() == 1;
        let ours = injection::xss(value);
        positive += u64::from(ours);
        if ours != theirs {
            wrong.push(format!("{}: ours {ours}", value.escape_ascii()));
        }
    });
    judge(wrong, positive);
}
