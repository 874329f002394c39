//! Probes that run: who is asked, how often, and what is said about it.

use super::backends::{Act, Backend, Refusing, answer};
use super::{PATIENCE, compile, eventually};
use crate::control::health::{Check, Finding, Prober, Target, Verdict};
use crate::observe::metrics::Metrics;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::timeout;

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
const BAD: &str = "HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n";
const QUICK: &str = "interval = '20ms'\ntimeout = '20ms'\n";

fn prober() -> (Prober, mpsc::Receiver<Finding>) {
    let (to, findings) = mpsc::channel(64);
    let metrics = Arc::new(Metrics::new(1).unwrap());
    (Prober::new(to, fastrand::Rng::with_seed(7), &metrics), findings)
}

fn target(address: SocketAddr, check: &Arc<Check>) -> Target {
    Target { address, check: Arc::clone(check) }
}

async fn next(findings: &mut mpsc::Receiver<Finding>) -> (Verdict, String) {
    let found = timeout(PATIENCE, findings.recv()).await.expect("nothing is found").unwrap();
    (found.verdict, found.reason)
}

#[tokio::test]
async fn what_turns_is_pushed_and_what_is_known_can_be_read() {
    let backend = Backend::start(answer(OK)).await;
    let check = Arc::new(compile("interval = '250ms'\ntimeout = '250ms'\nrise = 3\nfall = 2", ""));
    let (mut prober, mut findings) = prober();
    assert!(prober.report(backend.address, check.id).is_none());
    prober.set([target(backend.address, &check)]);
    assert_eq!(next(&mut findings).await, (Verdict::Up, "status 200".into()));
    *backend.script.lock() = answer(BAD);
    let bad = || "status 500, expected 200-399".to_owned();
    assert_eq!(next(&mut findings).await, (Verdict::Down, bad()));
    let report = || prober.report(backend.address, check.id).unwrap();
    assert!(report().tally.fails >= 2, "{:?}", report());
    assert_eq!(report().last.as_ref().unwrap().reason, bad());
    *backend.script.lock() = answer(OK);
    assert_eq!(next(&mut findings).await, (Verdict::Up, "status 200".into()));
    let (tally, last) = (report().tally, report().last.clone().unwrap());
    assert!(tally.verdict == Some(Verdict::Up) && tally.passes >= 3, "{tally:?}");
    assert!(last.is_pass == Some(true) && last.latency > Duration::ZERO, "{last:?}");
}

#[tokio::test]
async fn an_address_is_asked_once_however_many_ask_the_same() {
    let backend = Backend::start(answer(OK)).await;
    let check = |text: &str| Arc::new(compile(text, ""));
    let (first, same, other) = (check(""), check("interval = '30s'"), check("path = '/other'"));
    let (mut prober, mut findings) = prober();
    let all = [&first, &same, &first, &other].map(|check| target(backend.address, check));
    prober.set(all.clone());
    next(&mut findings).await;
    next(&mut findings).await;
    // Asked for again, they run on.
    prober.set(all);
    prober.set([target(backend.address, &same)]);
    assert_eq!(prober.reports().count(), 1);
    assert!(prober.report(backend.address, first.id).unwrap().last.is_some());
    assert!(timeout(Duration::from_millis(300), findings.recv()).await.is_err());
    let mut heads = backend.heads();
    heads.sort();
    assert_eq!(heads.len(), 2, "{heads:?}");
    assert!(heads[0].starts_with("GET / ") && heads[1].starts_with("GET /other "), "{heads:?}");
}

#[tokio::test]
async fn thousands_of_targets_come_and_go_and_leave_no_task_behind() {
    const COUNT: u32 = 3000;
    let backend = Backend::start(vec![Act::Wait]).await;
    let held = Refusing::take();
    let before = Handle::current().metrics().num_alive_tasks();
    let check = Arc::new(compile("interval = '1s'\ntimeout = '1s'", ""));
    let (mut prober, mut findings) = prober();
    let (count, counted) = (Arc::new(std::sync::atomic::AtomicU32::new(0)), COUNT);
    let counting = Arc::clone(&count);
    let reader = tokio::spawn(async move {
        while findings.recv().await.is_some() {
            counting.fetch_add(1, Ordering::SeqCst);
        }
    });
    // All of 127/8 is this machine; some hang, most refuse.
    let address = |n: u32| {
        SocketAddr::from((std::net::Ipv4Addr::from_bits(0x7f00_0001 + n), held.address.port()))
    };
    let mut targets: Vec<_> = (1..=COUNT).map(|n| target(address(n), &check)).collect();
    targets.push(target(backend.address, &check));
    prober.set(targets.clone());
    eventually("each has its first result", || count.load(Ordering::SeqCst) >= counted).await;
    prober.set(targets.into_iter().skip(1000));
    prober.set([]);
    assert_eq!(prober.reports().count(), 0);
    let left = || Handle::current().metrics().num_alive_tasks() - before;
    eventually("only the reader is left", || left() == 1).await;
    backend.all_closed().await;
    drop(prober);
    timeout(PATIENCE, reader).await.expect("nobody can push any more").unwrap();
}

#[tokio::test]
async fn only_so_many_are_under_way_at_once() {
    let backend = Backend::start(vec![Act::Wait]).await;
    let (mut prober, mut findings) = prober();
    prober.turns = Arc::new(Semaphore::new(2));
    let checks: Vec<_> = (0..6)
        .map(|n| Arc::new(compile(&format!("path = '/{n}'\ntimeout = '50ms'"), "")))
        .collect();
    prober.set(checks.iter().map(|check| target(backend.address, check)));
    for _ in &checks {
        let timeout = "timeout after 50ms (no answer's head)".to_owned();
        assert_eq!(next(&mut findings).await, (Verdict::Down, timeout));
    }
    // One that is over is seen as open for a moment longer.
    let most = backend.seen.most.load(Ordering::SeqCst);
    assert!(most <= 4, "{most} at once");
}

#[tokio::test]
async fn a_check_that_is_under_way_ends_with_its_target() {
    let backend = Backend::start(vec![Act::Read, Act::Wait]).await;
    let check = Arc::new(compile("", ""));
    let (mut prober, _findings) = prober();
    prober.set([target(backend.address, &check)]);
    eventually("it is asked", || !backend.heads().is_empty()).await;
    prober.set([]);
    backend.all_closed().await;
}

#[tokio::test]
async fn nobody_is_asked_when_nobody_listens() {
    let backend = Backend::start(answer(OK)).await;
    let check = Arc::new(compile(QUICK, ""));
    let (mut prober, findings) = prober();
    drop(findings);
    prober.set([target(backend.address, &check)]);
    eventually("it is asked", || !backend.heads().is_empty()).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(backend.opened(), 1);
}
