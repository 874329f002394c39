//! Metrics by their handles: what is shown, and until when.

use super::*;
use std::time::Duration;

fn shown(metrics: &Metrics) -> Vec<String> {
    let text = metrics.render().unwrap();
    let is_ours = |line: &&str| line.starts_with("vanne_");
    text.lines().filter(is_ours).map(str::to_owned).collect()
}

#[test]
fn rows_are_named_by_convention_and_in_order() {
    for row in METRICS {
        assert!(row.name.starts_with("vanne_"), "{}", row.name);
        assert_eq!(row.name.ends_with("_total"), row.kind == Kind::Counter, "{}", row.name);
        assert!(row.kind != Kind::Histogram || row.name.ends_with("_seconds"), "{}", row.name);
        assert!(row.help.ends_with('.'), "{}", row.name);
    }
    assert!(METRICS.is_sorted_by(|a, b| a.name < b.name));
}

#[test]
fn a_series_is_there_while_somebody_holds_its_handle() {
    let metrics = Metrics::new(2).unwrap();
    let first = metrics.handle(&RETRIES, ["app", "done"]);
    first.inc();
    let again = metrics.handle(&RETRIES, ["app", "done"]);
    drop(first);
    again.inc();
    assert_eq!(shown(&metrics), ["vanne_retries_total{pool=\"app\",result=\"done\"} 2"]);
    drop(again);
    assert!(shown(&metrics).is_empty());
    let new = metrics.handle(&RETRIES, ["app", "done"]);
    assert_eq!(new.get(), 0);
}

#[test]
fn handles_of_a_group_share_lines_and_each_goes_with_its_own() {
    let metrics = Metrics::new(2).unwrap();
    let mut group = metrics.group();
    let results: Vec<Counter> =
        (0..20).map(|one| group.handle(&RETRIES, ["app", &one.to_string()])).collect();
    let time = group.handle(&POOL_QUEUE_DURATION, ["app"]);
    for (times, result) in results.iter().enumerate() {
        result.inc_by(times as u64);
    }
    time.observe(Duration::from_millis(3));
    assert!(results.iter().enumerate().all(|(times, result)| result.get() == times as u64));
    assert_eq!(shown(&metrics).len(), 20 + 14 + 3);
    drop(time);
    assert_eq!(shown(&metrics).len(), 20);
    drop(results);
    assert!(shown(&metrics).is_empty());
}

#[test]
fn a_histogram_is_shown_as_prometheus_has_it() {
    let metrics = Metrics::new(1).unwrap();
    let time = metrics.handle(&REQUEST_DURATION, ["all"]);
    for millis in [1, 1, 40, 90_000] {
        time.observe(Duration::from_millis(millis));
    }
    let shown = shown(&metrics);
    let has = |line: &str| shown.iter().any(|shown| shown == line);
    assert!(has("vanne_request_duration_seconds_bucket{route=\"all\",le=\"0.0005\"} 0"));
    assert!(has("vanne_request_duration_seconds_bucket{route=\"all\",le=\"0.001\"} 2"));
    assert!(has("vanne_request_duration_seconds_bucket{route=\"all\",le=\"60\"} 3"));
    assert!(has("vanne_request_duration_seconds_bucket{route=\"all\",le=\"+Inf\"} 4"));
    assert!(has("vanne_request_duration_seconds_count{route=\"all\"} 4"));
    assert!(has("vanne_request_duration_seconds_sum{route=\"all\"} 90.042"));
}

#[test]
fn what_is_watched_is_asked_when_somebody_looks() {
    let metrics = Metrics::new(1).unwrap();
    let thing = Arc::new(());
    let weak = Arc::downgrade(&thing);
    let read = move || weak.upgrade().map(|_there| 0.25);
    let watched = metrics.watch(&SPLIT_SHARE, ["all", "app"], read);
    assert_eq!(shown(&metrics), ["vanne_split_share{pool=\"app\",route=\"all\"} 0.25"]);
    drop(thing);
    assert!(shown(&metrics).is_empty());
    drop(watched);
    let held: usize = metrics.families.values().map(|family| family.len()).sum();
    assert_eq!(held, 0);
}

#[test]
fn what_comes_and_goes_leaves_nothing() {
    let metrics = Metrics::new(4).unwrap();
    let turn = |worker: usize, round: usize| {
        let counter = metrics.handle(&RETRIES, [&((worker + round) % 5).to_string(), "done"]);
        counter.inc();
        if round.is_multiple_of(50) {
            metrics.render().unwrap();
        }
    };
    let work = |worker| (0..200).for_each(|round| turn(worker, round));
    std::thread::scope(|scope| (0..4).for_each(|w| drop(scope.spawn(move || work(w)))));
    let held: usize = metrics.families.values().map(|family| family.len()).sum();
    assert_eq!(held, 0);
}

#[test]
fn all_who_ask_for_a_series_at_once_count_in_the_same() {
    for _ in 0..50 {
        let metrics = Metrics::new(2).unwrap();
        let start = std::sync::Barrier::new(4);
        let ask = || {
            start.wait();
            let counter = metrics.handle(&RETRIES, ["app", "done"]);
            counter.inc();
            start.wait();
            assert_eq!(counter.get(), 4);
        };
        std::thread::scope(|scope| (0..4).for_each(|_| drop(scope.spawn(ask))));
    }
}
