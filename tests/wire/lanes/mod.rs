//! Both engines beside each other: the same conversations, changed by chance, through a process of
//! each. The client must get the same from both, and the backend, too.
//!
//! `SEEDS=100000 cargo test --test wire -- engines` plays more of them; a difference is told with
//! its seed, and `SEED=7` plays only that one. Where one engine is slower than the silence that ends
//! a conversation they may differ by that: so each difference must stay with more patience.

mod alike;
mod cell;
mod changes;

use crate::case::{self, Case};
use crate::harness::{Settings, Vanne, ms};
use alike::{Told, alike, told};
use cell::Cell;
use changes::{Play, of_seed};
use futures::StreamExt;
use std::fmt::Write;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Conversations that are played where nobody asks for more.
const SEEDS: u64 = 2_000;
/// Places where they are played at once.
const CELLS: u8 = 16;
/// How long nothing happens before a conversation is over; the longer ones only if the engines differ.
const SILENCES: [Duration; 3] = [ms(30), ms(300), ms(1500)];
const LANES: [&str; 2] = ["lean", "pingora"];

/// A place in both processes.
type Pair = [Cell; 2];

/// A process of this engine before the backends of these places.
async fn start(lane: &str, cells: &[&Cell]) -> Vanne {
    let breaker = "breaker = { failures = 0, failure_rate = \"0%\" }";
    let mut more = "[access_log]\nto = \"off\"\n".to_owned();
    for (index, cell) in cells.iter().enumerate() {
        let Cell { client, backend, .. } = cell;
        write!(
            more,
            "[pool.cell-{index}]\nbackends = [\"{backend}\"]\n{breaker}\n\
             [[route]]\nname = \"cell-{index}\"\npool = \"cell-{index}\"\n\
             match = {{ client = [\"{client}\"] }}\n"
        )
        .unwrap();
    }
    let settings = Settings { pool: breaker, more: &more, ..Settings::default() };
    Vanne::in_lane(Some(lane), &[cells[0].backend], settings).await
}

/// What each engine does with `play`.
async fn both(
    play: &Play,
    pair: &mut Pair,
    proxies: [SocketAddr; 2],
    silence: Duration,
) -> [Told; 2] {
    let sent = play.send.concat();
    let [one, other] = pair;
    let (one, other) =
        tokio::join!(one.play(play, proxies[0], silence), other.play(play, proxies[1], silence));
    [told(&one, &sent), told(&other, &sent)]
}

/// What the engines do differently with the conversation of this seed.
async fn difference(
    seed: u64,
    cases: &[Case],
    pair: &mut Pair,
    proxies: [SocketAddr; 2],
) -> Option<String> {
    let play = of_seed(seed, cases);
    let mut found = None;
    for silence in SILENCES {
        let [lean, pingora] = both(&play, pair, proxies, silence).await;
        if alike(&lean, &pingora) && lean.faults.is_empty() {
            return None;
        }
        found = Some((lean, pingora));
    }
    let (lean, pingora) = found?;
    let shown = |pieces: &[Vec<u8>]| {
        let pieces = pieces.iter().map(|piece| format!("  {}", piece.escape_ascii()));
        pieces.collect::<Vec<_>>().join("\n")
    };
    let answer = play.answer.as_deref().map_or_else(String::new, shown);
    Some(format!(
        "seed {seed}:\nsent\n{}\nanswered, then {:?}\n{answer}\nlean\n  {}\npingora\n  {}\nboth\n  {:?}\n",
        shown(&play.send),
        play.then,
        lean.beyond(&pingora),
        pingora.beyond(&lean),
        lean.faults,
    ))
}

#[tokio::test]
async fn both_engines_do_the_same() {
    let cases = case::all();
    let number = |name| crate::variable(name)?.parse::<u64>().ok();
    let seeds = match number("SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("SEEDS").unwrap_or(SEEDS),
    };
    let mut pairs: Vec<Pair> = Vec::new();
    for index in 1..=CELLS {
        pairs.push([Cell::open(index).await, Cell::open(index).await]);
    }
    let sides = [0, 1].map(|side| pairs.iter().map(|pair| &pair[side]).collect::<Vec<_>>());
    let processes = [start(LANES[0], &sides[0]).await, start(LANES[1], &sides[1]).await];
    let proxies = [processes[0].http, processes[1].http];
    let (next, cases) = (AtomicU64::new(seeds.start), &cases);
    let players = pairs.iter_mut().map(async |pair| {
        let mut found = Vec::new();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                return found;
            }
            found.extend(difference(seed, cases, pair, proxies).await);
        }
    });
    let players = players.collect::<futures::stream::FuturesUnordered<_>>();
    let found: Vec<String> = players.collect::<Vec<_>>().await.concat();
    assert!(found.is_empty(), "{} differences:\n{}", found.len(), found.join("\n"));
}
