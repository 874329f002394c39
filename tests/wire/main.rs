//! The wire corpus: HTTP/1.1 messages, right and wrong, through the real binary.
//!
//! The cases are data: `requests/*.toml` from clients, `answers/*.toml` from backends. README.md
//! beside this file says how one is written and what is judged. One proxy, one backend that
//! records what a strict reader makes of what comes, many clients at once. `origin` is that
//! backend, `play` a client, `judge` looks at both.
//!
//! With `VANNE_WIRE_PROXY` and `VANNE_WIRE_ORIGIN` (addresses) another proxy is asked, which sends
//! to that origin: its counts are printed and not judged. `VANNE_WIRE_CASE=word` plays only the
//! cases whose names have that word.
#![cfg(test)]
#![allow(
    clippy::excessive_nesting,
    reason = "both ends of a conversation, and a reader of pieces, are loops in loops"
)]
#![expect(
    clippy::string_slice,
    reason = "offsets come from searches in the same text; a test may panic"
)]

#[expect(unreachable_pub, reason = "the fuzz target uses it, too")]
mod beside_hyper;
mod case;
#[path = "../it/harness/mod.rs"]
#[allow(
    dead_code,
    unused_imports,
    clippy::excessive_nesting,
    reason = "tests/it uses all of it, and has its reasons"
)]
mod harness;
mod judge;
mod lanes;
mod notation;
mod origin;
mod play;
#[expect(unreachable_pub, reason = "the fuzz target uses it, too")]
mod properties;
#[expect(unreachable_pub, reason = "the fuzz targets use it, too")]
mod reading;
mod report;
mod strict;

use case::Case;
use futures::StreamExt;
use harness::{Settings, Vanne, ms};
use judge::Verdict;
use origin::Origin;
use play::{Got, Lab};
use std::collections::HashSet;
use std::net::SocketAddr;
use std::time::Duration;
use vanne::config::{Environment, ProcessEnvironment};

/// Cases that are played at once.
const AT_ONCE: usize = 12;
/// Fewer would mean that files are missing.
const CASES_MIN: usize = 300;
/// How long Vanne may say nothing where it may wait for more, and how long a peer may, which often
/// does.
const SILENCE: Duration = ms(4000);
const PEER_SILENCE: Duration = ms(1500);
/// Short enough that most lines are cut somewhere.
const PIECE_BYTES: usize = 7;

fn variable(name: &str) -> Option<String> {
    ProcessEnvironment.variable(name)
}

/// Plays all `cases`, `at_once` of them at a time, and then those that want to be
/// alone; the verdicts in their order.
async fn verdicts(cases: &[Case], lab: &Lab<'_>, at_once: usize) -> Vec<Verdict> {
    let mut played: Vec<_> = std::iter::repeat_with(|| None).take(cases.len()).collect();
    for (is_alone, at_once) in [(false, at_once), (true, 1)] {
        let cases = cases.iter().enumerate().filter(|(_, case)| case.is_alone == is_alone);
        let plays = cases.map(async |(index, case)| (index, play::play(case, lab).await));
        let mut plays = futures::stream::iter(plays).buffer_unordered(at_once);
        while let Some((index, got)) = plays.next().await {
            played[index] = Some(got);
        }
    }
    lab.origin.is_quiet().await;
    let judge = |(case, got): (&Case, Option<Got>)| {
        judge::judge(case, &got.expect("each was played"), &lab.origin.seen(&case.id))
    };
    cases.iter().zip(played).map(judge).collect()
}

/// The cases that were asked for.
fn chosen() -> Vec<Case> {
    let mut cases = case::all();
    if let Some(word) = variable("VANNE_WIRE_CASE") {
        cases.retain(|case| case.name.contains(&word));
    }
    cases
}

/// Another proxy that is to be asked, and the address of its origin.
fn peer() -> Option<(SocketAddr, SocketAddr)> {
    let address = |name| Some(variable(name)?.parse().unwrap());
    Some((address("VANNE_WIRE_PROXY")?, address("VANNE_WIRE_ORIGIN")?))
}

/// Plays `cases` against Vanne, through both of its engines or the one that was asked for; fails
/// with those that are not good.
async fn vanne_is_good(cases: &[Case], manner: &str) {
    let asked = variable("VANNE_LANE");
    let mut offences = 0;
    for lane in ["lean", "pingora"] {
        if asked.as_deref().is_none_or(|asked| asked == lane) {
            offences += offences_of(lane, cases, manner).await;
        }
    }
    assert_eq!(offences, 0, "cases that are dangerous or against policy");
}

/// How many of `cases` are not good with this engine.
async fn offences_of(lane: &str, cases: &[Case], manner: &str) -> usize {
    let origin = Origin::start(([127, 0, 0, 1], 0).into(), cases).await;
    // The only backend, which answers wrongly on purpose, is never left out for it.
    let settings = Settings {
        pool: "breaker = { failures = 0, failure_rate = \"0%\" }",
        ..Settings::default()
    };
    let vanne = Vanne::in_lane(Some(lane), &[origin.address], settings).await;
    let lab = Lab { proxy: vanne.http, origin: &origin, silence: SILENCE };
    let verdicts = verdicts(cases, &lab, AT_ONCE).await;
    let offences = report::print(&format!("vanne, lane {lane}{manner}"), cases, &verdicts);
    let followed = verdicts.iter().filter(|verdict| verdict.is_followed).count();
    assert!(
        followed > cases.len() / 4 || cases.len() < CASES_MIN,
        "only {followed} connections were used again"
    );
    offences
}

#[tokio::test]
async fn nothing_on_the_wire_can_be_misread() {
    let cases = chosen();
    let Some((proxy, at)) = peer() else {
        return vanne_is_good(&cases, "").await;
    };
    let origin = Origin::start(at, &cases).await;
    // One at a time: what one case leaves behind must not be held against another.
    let lab = Lab { proxy, origin: &origin, silence: PEER_SILENCE };
    let verdicts = verdicts(&cases, &lab, 1).await;
    report::print(&proxy.to_string(), &cases, &verdicts);
}

#[tokio::test]
async fn nothing_depends_on_the_pieces_in_which_it_comes() {
    let mut cases = chosen();
    cases.iter_mut().for_each(|case| case.cut(PIECE_BYTES));
    if peer().is_none() {
        vanne_is_good(&cases, &format!(", in pieces of {PIECE_BYTES} bytes")).await;
    }
}

#[test]
fn the_corpus_is_large_and_no_case_is_there_twice() {
    let cases = case::all();
    assert!(cases.len() >= CASES_MIN, "{} cases", cases.len());
    let mut names = HashSet::new();
    for case in &cases {
        let name = format!("{:?}: {}: {}", case.kind, case.class, case.name);
        assert!(names.insert(name.clone()), "twice: {name}");
        assert!(!case.section.is_empty(), "{} has no section", case.name);
    }
    // The mark of a case is the same in each, so that equal bytes are equal.
    let bytes = |case: &Case| {
        let all =
            [case.send.concat(), case.answer.as_ref().map_or(Vec::new(), |a| a.bytes.concat())];
        (String::from_utf8_lossy(&all.concat()).replace(&case.id, "ID"), case.manner.clone())
    };
    let mut seen = HashSet::new();
    let twice: Vec<_> = cases.iter().filter(|case| !seen.insert(bytes(case))).collect();
    let twice: Vec<_> = twice.iter().map(|case| format!("{}: {}", case.class, case.name)).collect();
    assert!(twice.is_empty(), "the same bytes as another case: {twice:#?}");
}

/// What a case sends, byte by byte changed, cut and joined with another one.
fn mutated(one: &[u8], other: &[u8], random: &mut fastrand::Rng) -> Vec<u8> {
    let mut bytes = one.to_vec();
    for _ in 0..random.usize(0..4) {
        let at = random.usize(0..bytes.len().max(1));
        match random.u8(0..4) {
            0 => bytes.truncate(at),
            1 if at < bytes.len() => bytes[at] = b" \t\r\n:;,0aA\x00\x7f\xff"[random.usize(0..13)],
            2 if at < bytes.len() => drop(bytes.remove(at)),
            _ => {
                let from = random.usize(0..=other.len());
                bytes.splice(at..at, other[from..].iter().copied());
            }
        }
    }
    bytes
}

/// What the cases send and answer, and what follows their heads: chunks begin there.
fn messages() -> Vec<Vec<u8>> {
    let all: Vec<Vec<u8>> = case::all()
        .iter()
        .flat_map(|case| {
            let answer = case.answer.as_ref().map(|answer| answer.bytes.concat());
            [Some(case.send.concat()), answer].into_iter().flatten()
        })
        .collect();
    let after_head = |bytes: &Vec<u8>| {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
        Some(bytes[end + 4..].to_vec())
    };
    all.iter().filter_map(after_head).chain(all.iter().cloned()).collect()
}

/// Has `hold` for `count` of the cases' messages that were changed.
fn of_changed_messages(seed: u64, count: u32, hold: impl Fn(&[u8])) {
    let all = messages();
    let mut random = fastrand::Rng::with_seed(seed);
    for _ in 0..count {
        let (one, other) = (&all[random.usize(..all.len())], &all[random.usize(..all.len())]);
        let bytes = mutated(one, &other[..other.len().min(200)], &mut random);
        hold(&bytes[..bytes.len().min(2_000)]);
    }
}

#[test]
fn the_codec_says_the_same_however_bytes_come_and_what_others_say() {
    of_changed_messages(7, 20_000, |bytes| {
        properties::a_head_ends_where_it_ends(bytes);
        properties::a_request_is_read_as_others_read_it(bytes);
        properties::an_answer_is_read_as_others_read_it(bytes);
        properties::chunks_are_read_in_one_way(bytes);
        properties::messages_do_not_depend_on_pieces(bytes);
        properties::no_beginning_of_an_answer_is_refused(bytes);
    });
}

#[test]
fn the_codec_frames_messages_as_hyper_does() {
    let hold = |bytes: &[u8]| {
        beside_hyper::requests_are_read_alike(bytes);
        beside_hyper::an_answer_is_read_alike(bytes);
    };
    messages().iter().for_each(|bytes| hold(bytes));
    of_changed_messages(8, 10_000, hold);
}
