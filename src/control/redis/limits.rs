//! Limits: carries out what the data plane orders of the shared buckets.
//!
//! Orders that wait go together, a batch for each journey; several batches are on their way at
//! once. A key that holds something else fails alone. What fails is told as failed at once, so
//! that nobody waits for it longer than for its answer.

use super::link::{Fault, Link};
use super::scripts::{self, Clock, LEASE, REPLICAS, TAKE};
use crate::data::rate_limit::shared::{Answer, Bridge, Exact, Order, Shared, Told, tick};
use crate::types::clock;
use redis::{Pipeline, RedisError, Script, Value};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{MissedTickBehavior, interval};
use vanne_filters::rate_limit::{Ask, Quota};

/// Orders of a batch, at most.
const BATCH_MAX: usize = 128;
/// Batches on their way at once.
const BATCHES_MAX: usize = 64;
/// How often a replica says that it is there.
const ANNOUNCE_EVERY: Duration = Duration::from_secs(1);
/// For how long it is believed.
const ANNOUNCED_MS: u64 = 3000;

/// How often a part of what is leased is looked at, and how large: all of it in a second.
const SWEEP_EVERY: Duration = Duration::from_millis(125);
const SWEEP_PARTS: usize = 8;

/// How long giving back may hold up the end of the process.
const END_MAX: Duration = Duration::from_secs(1);

/// Carries out orders until nobody can give any.
pub(super) async fn serve(link: Arc<Link>, mut orders: mpsc::Receiver<Order>) {
    let under_way = Arc::new(Semaphore::new(BATCHES_MAX));
    let mut batch = Vec::with_capacity(BATCH_MAX);
    while orders.recv_many(&mut batch, BATCH_MAX).await > 0 {
        let orders = std::mem::take(&mut batch);
        // Never closed.
        let Ok(permit) = Arc::clone(&under_way).acquire_owned().await else { return };
        let link = Arc::clone(&link);
        tokio::spawn(async move {
            carry_out(&link, orders).await;
            drop(permit);
        });
    }
}

/// Says now and then that this replica is there, and hears how many are.
pub(super) async fn announce(link: Arc<Link>, bridge: Arc<Bridge>) {
    let me = format!("{:016x}", fastrand::u64(..));
    let mut ticks = interval(ANNOUNCE_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = link.joined.notified() => {}
        }
        let mut script = REPLICAS.key(format!("{}replicas", link.prefix()));
        script.arg(&me).arg(ANNOUNCED_MS);
        // Without an answer, those that were known are still counted with.
        if let Ok(count) = link.run::<u32>(&script).await {
            bridge.set_replicas(count);
        }
    }
}

/// Gives back now and then what was leased and is not used.
pub(super) async fn sweep(bridge: Arc<Bridge>) {
    let mut ticks = interval(SWEEP_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for round in 0.. {
        ticks.tick().await;
        for shared in bridge.shared() {
            sweep_one(&shared, round);
        }
    }
}

/// Gives back all that was leased: this replica ends. For as long as that may take.
pub(super) async fn end(link: &Link, bridge: &Bridge) {
    let mut orders = Vec::new();
    for shared in bridge.shared() {
        let quota = shared.quota();
        shared.leases.end(|ask| orders.push(Order::Lease(Arc::clone(&shared), quota, ask)));
    }
    let count = orders.len();
    let work = async {
        while !orders.is_empty() && link.is_up() {
            let batch = orders.split_off(orders.len().saturating_sub(BATCH_MAX));
            carry_out(link, batch).await;
        }
    };
    let is_done = tokio::time::timeout(END_MAX, work).await.is_ok();
    tracing::debug!(count, is_done, "leases given back");
}

fn sweep_one(shared: &Arc<Shared>, round: usize) {
    let mut unused = Vec::new();
    for part in 0..SWEEP_PARTS {
        let now = tick(clock::now());
        shared.leases.sweep(round * SWEEP_PARTS + part, now, |ask| unused.push(ask));
    }
    unused.into_iter().for_each(|ask| shared.tell(&shared.quota(), ask));
}

async fn carry_out(link: &Link, orders: Vec<Order>) {
    let prefix = link.prefix();
    let key = |shared: &Shared, number: u64| format!("{prefix}limit:{}:{number:016x}", shared.id);
    let mut pipe = redis::pipe();
    for order in &orders {
        match order {
            Order::Lease(shared, quota, ask) => {
                let arguments = scripts::lease_arguments(Clock::Server, quota, ask);
                call(&mut pipe, &LEASE, &[key(shared, ask.key.number())], &arguments);
            }
            Order::Take(levels, _) => {
                let keys: Vec<String> =
                    levels.iter().map(|one| key(&one.shared, one.key.number())).collect();
                let takes = scripts::takes(levels).into_iter();
                call(&mut pipe, &TAKE, &keys, &scripts::take_arguments(Clock::Server, takes));
            }
        }
    }
    pipe.ignore_errors();
    let answers = answers(link, &pipe).await.unwrap_or_default();
    let mut answers = answers.into_iter();
    for order in orders {
        let answer = answers.next().and_then(|answer| numbers(link, answer));
        match order {
            Order::Lease(shared, quota, ask) => hear(&shared, quota, &ask, answer.as_deref()),
            Order::Take(levels, to) => answer_to(&to, &levels, answer.as_deref()),
        }
    }
}

/// The answers to a batch. Scripts that Redis does not know, after a restart, are sent once.
async fn answers(link: &Link, pipe: &Pipeline) -> Result<Vec<Result<Value, RedisError>>, Fault> {
    let answers = link.batch(pipe).await?;
    let is_unknown = |answer: &Result<Value, RedisError>| {
        answer.as_ref().is_err_and(|error| error.code() == Some("NOSCRIPT"))
    };
    if !answers.iter().any(is_unknown) {
        return Ok(answers);
    }
    link.load(&LEASE).await?;
    link.load(&TAKE).await?;
    // None of them was done: all went to the same Redis.
    link.batch(pipe).await
}

fn call(pipe: &mut Pipeline, script: &Script, keys: &[String], arguments: &[String]) {
    pipe.cmd("EVALSHA").arg(script.get_hash()).arg(keys.len()).arg(keys).arg(arguments);
}

/// The numbers that a script gave, if it did.
fn numbers(link: &Link, answer: Result<Value, RedisError>) -> Option<Vec<i64>> {
    let numbers = answer.and_then(|value| Ok(redis::from_redis_value::<Vec<i64>>(value)?));
    link.note(numbers.as_ref().err());
    numbers.ok()
}

fn hear(shared: &Arc<Shared>, quota: Quota, ask: &Ask, told: Option<&[i64]>) {
    let heard = told.and_then(|told| scripts::heard(ask, told));
    shared.count(match &heard {
        None => Told::Failed,
        Some(heard) if heard.empty_for > Duration::ZERO => Told::Empty,
        Some(_) => Told::Enough,
    });
    if let Some(more) = shared.leases.hear(ask.key, tick(clock::now()), heard) {
        shared.tell(&quota, more);
    }
}

fn answer_to(answer: &Answer, levels: &[Exact], told: Option<&[i64]>) {
    let said = told.and_then(|told| scripts::verdict(&scripts::takes(levels), told));
    let came = match &said {
        None => Told::Failed,
        Some(Ok(_)) => Told::Enough,
        Some(Err(_)) => Told::Empty,
    };
    levels.iter().for_each(|one| one.shared.count(came));
    let Some(said) = said else { return answer.give_up() };
    let is_paid = said.is_ok();
    if !answer.tell(said) && is_paid {
        // Nobody takes what was paid for.
        for Exact { shared, key, quota, cost, .. } in levels {
            let ask = Ask { key: *key, owed: 0, back: *cost, want: 0, least: 1 };
            shared.tell(quota, ask);
        }
    }
}
