//! What every algorithm must keep, and what each promises.

use super::*;
use crate::data::outcome::{Category, Outcome};
use crate::data::pool::{Out, Picked, Place};
use crate::data::snapshot::tests::{members_of, pool_with, rules};
use crate::types::hash::mix;
use std::collections::HashMap;
use std::time::Duration;

fn picks(live: &Arc<Live>, count: usize, key: impl Fn(u64) -> u64) -> HashMap<usize, usize> {
    let members = live.members();
    let mut counts = HashMap::new();
    for number in 0..count as u64 {
        let choice = Choice { key: key(number), random: mix(number), ..Choice::default() };
        let (algorithm, _) = members.plan.as_ref().unwrap();
        *counts.entry((algorithm.pick)(live, &members, &choice).unwrap()).or_default() += 1;
    }
    counts
}

/// What every algorithm must keep, whatever its idea.
#[test]
fn contract_every_algorithm_picks_only_what_is_admitted() {
    for algorithm in ALGORITHMS {
        for size in [1, 2, 7, 100] {
            picks_only_what_is_admitted(algorithm, size);
        }
    }
}

fn picks_only_what_is_admitted(algorithm: &Algorithm, size: usize) {
    let live = pool_with(algorithm.name, &vec![1; size]).live;
    let members = live.members();
    let backends: Vec<_> = members.all.iter().map(|m| Arc::clone(&m.backend)).collect();
    let choose = |tried: &[Arc<Backend>], number: u64| {
        let choice = Choice { tried, key: number, random: mix(number), ..Choice::default() };
        (algorithm.pick)(&live, &members, &choice)
    };
    for number in 0..size as u64 * 2 {
        assert_eq!(choose(&backends[..size - 1], number), Some(size - 1), "{}", algorithm.name);
        assert_eq!(choose(&backends, number), None, "{}", algorithm.name);
        assert!(choose(&[], number).unwrap() < size);
    }
    for backend in &backends[1..] {
        backend.state.mark(Out::Unhealthy, true);
    }
    assert!((0..size as u64).all(|number| choose(&[], number) == Some(0)), "{}", algorithm.name);
}

#[test]
fn contract_full_backends_are_left_out() {
    for algorithm in ALGORITHMS {
        let live = pool_with(algorithm.name, &[1; 9]).live;
        live.publish(members_of(algorithm.name, &[1; 9], 1), Moment::default());
        let taken: Vec<Place> = (0..9)
            .map(|number| match live.pick(&Choice { random: mix(number), ..Choice::default() }) {
                Picked::Backend(place) => place,
                other => panic!("{}: {other:?}", algorithm.name),
            })
            .collect();
        assert!(matches!(live.pick(&Choice::default()), Picked::Full), "{}", algorithm.name);
        drop(taken);
    }
}

#[test]
fn contract_another_attempt_goes_where_the_last_one_was_good() {
    let refused = Outcome::Failure(Category::Connect);
    let rules = Arc::new(rules());
    for algorithm in ALGORITHMS {
        let live = pool_with(algorithm.name, &[1; 9]).live;
        let backends: Vec<_> =
            live.members().all.iter().map(|member| Arc::clone(&member.backend)).collect();
        backends.iter().for_each(|backend| backend.state.breaker.configure(&rules));
        let fail = |index: usize| {
            let mut place = live.enter(&live.members().all[index]).unwrap();
            place.settle(refused, Duration::ZERO, Moment::default());
        };
        let picked = |tried: &[Arc<Backend>], number| {
            let random = mix(number);
            let choice = Choice { tried, key: number, random, ..Choice::default() };
            match live.pick(&choice) {
                Picked::Backend(place) => Arc::clone(place.backend()),
                other => panic!("{}: {other:?}", algorithm.name),
            }
        };
        let again = |number| picked(&backends[..1], number);
        (0..8).for_each(fail);
        assert!((0..20).all(|n| Arc::ptr_eq(&again(n), &backends[8])), "{}", algorithm.name);
        // A first attempt may go to whoever failed: else nobody would know that it is well again.
        assert!((0..20).any(|n| !Arc::ptr_eq(&picked(&[], n), &backends[8])), "{}", algorithm.name);
        // Nobody is good: another one is better than none.
        fail(8);
        assert!((0..20).all(|n| !Arc::ptr_eq(&again(n), &backends[0])), "{}", algorithm.name);
    }
}

#[test]
fn contract_rows_are_alphabetical_and_found_by_name() {
    assert!(ALGORITHMS.is_sorted_by_key(|a| a.name));
    assert!(by_name("round-robin").is_some());
    assert!(by_name("roundrobin").is_none());
}

#[test]
fn round_robin_is_exact() {
    let counts = picks(&pool_with("round-robin", &[1; 3]).live, 10_000, |_| 0);
    assert!(counts.values().all(|c| (3333..=3334).contains(c)), "{counts:?}");
}

#[test]
fn weighted_is_exact_in_every_cycle() {
    let live = pool_with("weighted", &[5, 1, 1]).live;
    for _ in 0..10_000 / 7 {
        assert_eq!(picks(&live, 7, |_| 0), HashMap::from([(0, 5), (1, 1), (2, 1)]));
    }
}

#[test]
fn least_connections_counts_for_the_weight() {
    let live = pool_with("least-connections", &[3, 1]).live;
    let mut held = Vec::new();
    for number in 0..400 {
        let Picked::Backend(place) =
            live.pick(&Choice { random: mix(number), ..Choice::default() })
        else {
            panic!("there is room")
        };
        held.push(place);
    }
    let members = live.members();
    let in_flight: Vec<u32> = members.all.iter().map(|m| m.backend.state.in_flight()).collect();
    assert!((298..=302).contains(&in_flight[0]), "{in_flight:?}");
}

#[test]
fn least_connections_among_many_stays_nearly_even() {
    let live = pool_with("least-connections", &[1; 500]).live;
    let held: Vec<Picked> = (0..5000)
        .map(|number| live.pick(&Choice { random: mix(number), ..Choice::default() }))
        .collect();
    let members = live.members();
    let most = members.all.iter().map(|m| m.backend.state.in_flight()).max().unwrap();
    assert!(most <= 13, "{most} where the mean is 10");
    drop(held);
}

/// Where 60 requests go that stay there, when the two backends answer so fast; `None`: nobody
/// knows.
fn placed(millis: [Option<u64>; 2]) -> [usize; 2] {
    let live = pool_with("least-response-time", &[1; 2]).live;
    let now = Moment::from_micros(5_000_000);
    let members = live.members();
    for (member, millis) in members.all.iter().zip(millis) {
        if let Some(millis) = millis {
            member.backend.state.latency.observe(Duration::from_millis(millis), now);
        }
    }
    let mut held = Vec::new();
    let mut counts = [0; 2];
    for number in 0..60 {
        let choice = Choice { random: mix(number), now, ..Choice::default() };
        let Picked::Backend(place) = live.pick(&choice) else { panic!("there is room") };
        let who = |m: &Member| Arc::ptr_eq(&m.backend, place.backend());
        counts[members.all.iter().position(who).unwrap()] += 1;
        held.push(place);
    }
    counts
}

#[test]
fn what_was_slow_or_fast_long_ago_counts_no_more() {
    let live = pool_with("least-response-time", &[1; 2]).live;
    let members = live.members();
    let then = Moment::from_micros(5_000_000);
    for (member, millis) in members.all.iter().zip([5, 500]) {
        member.backend.state.latency.observe(Duration::from_millis(millis), then);
    }
    let mut counts = [0; 2];
    for number in 0..1000 {
        let now = then.after(Duration::from_secs(3600));
        let choice = Choice { random: mix(number), now, ..Choice::default() };
        counts[least_response_time::pick(&live, &members, &choice).unwrap()] += 1;
    }
    assert!(counts.iter().all(|count| (400..600).contains(count)), "{counts:?}");
}

#[test]
fn least_response_time_avoids_the_slow_one_and_does_not_flood_the_unknown() {
    assert_eq!(placed([Some(5), Some(5)]), [30, 30]);
    assert!(placed([Some(5), Some(55)])[1] <= 6);
    assert_eq!(placed([Some(5), None]), [30, 30]);
    assert_eq!(placed([None, None]), [30, 30]);
}

/// Share of 20,000 clients that belong to another backend, when `out` of `size` leaves.
fn moved(size: usize, out: usize) -> f64 {
    let weights = vec![1; size];
    let live = pool_with("ip-hash", &weights).live;
    let members = live.members();
    let owner = |number: u64| {
        let choice = Choice { key: mix(number), ..Choice::default() };
        ip_hash::pick(&live, &members, &choice).unwrap()
    };
    let before: Vec<usize> = (0..20_000).map(owner).collect();
    members.all[out].backend.state.mark(Out::Unhealthy, true);
    let after: Vec<usize> = (0..20_000).map(owner).collect();
    members.all[out].backend.state.mark(Out::Unhealthy, false);
    assert_eq!((0..20_000).map(owner).collect::<Vec<_>>(), before, "it comes back to its own");
    let changed: Vec<_> = before.iter().zip(&after).filter(|(a, b)| a != b).collect();
    assert!(changed.iter().all(|(owner, _)| **owner == out), "only its own clients move");
    changed.len() as f64 / 20_000.0
}

#[test]
fn a_hash_moves_only_the_clients_of_who_left() {
    for size in [10, 100] {
        for out in [0, size / 2, size - 1] {
            let share = moved(size, out);
            assert!(share <= 1.5 / size as f64, "{size}: {share}");
        }
    }
}

#[test]
fn a_ring_without_the_one_who_left_gives_the_same_owners() {
    let all = pool_with("ip-hash", &[1; 10]).live;
    let owner = |live: &Arc<Live>, number: u64| {
        let choice = Choice { key: mix(number), ..Choice::default() };
        let members = live.members();
        let index = ip_hash::pick(live, &members, &choice).unwrap();
        members.active[index].backend.name.clone()
    };
    let mut fewer = pool_with("ip-hash", &[1; 10]).live.members().all.clone();
    let gone = fewer.remove(3).backend.name.clone();
    let algorithm = by_name("ip-hash").unwrap();
    let plan = Some((algorithm, (algorithm.plan)(&fewer, None)));
    let less = pool_with("ip-hash", &[1]).live;
    let members = Members { all: fewer.clone(), active: fewer, plan, ..Members::default() };
    less.publish(members, Moment::default());
    for number in 0..5000 {
        let before = owner(&all, number);
        assert!(before == gone || before == owner(&less, number));
    }
}

#[test]
fn weights_are_shares_of_the_ring() {
    let counts = picks(&pool_with("ip-hash", &[3, 1]).live, 20_000, mix);
    assert!((13_500..16_500).contains(&counts[&0]), "{counts:?}");
}

#[test]
fn a_bounded_load_sends_what_is_too_much_to_the_next() {
    let live = pool_with("ip-hash", &[1; 4]).live;
    let algorithm = by_name("ip-hash").unwrap();
    let all = live.members().all.clone();
    let plan = Some((algorithm, (algorithm.plan)(&all, Some(125))));
    let members = Members { active: all.clone(), all, plan, ..Members::default() };
    live.publish(members, Moment::default());
    // One client alone: without a bound all would be at one backend.
    let held: Vec<Picked> = (0..100).map(|_| live.pick(&Choice::default())).collect();
    let members = live.members();
    let most = members.all.iter().map(|m| m.backend.state.in_flight()).max().unwrap();
    assert!(most <= 32, "{most} of 100, where a quarter and a quarter more is 32");
    drop(held);
}
