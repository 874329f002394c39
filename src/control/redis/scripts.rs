//! Scripts: GCRA inside Redis, with the arithmetic of `vanne_filters::rate_limit` and the clock of
//! the server.
//!
//! What a script gives is what was missing from a bucket; the verdict in full follows from that by
//! the very arithmetic that local buckets have.

use crate::data::rate_limit::shared::{Exact, Verdict};
use redis::Script;
use std::sync::LazyLock;
use std::time::Duration;
use vanne_filters::rate_limit::{Ask, Heard, Pass, Quota, Span, Take, Tick};

/// Takes from all of some buckets, or from none.
pub static TAKE: LazyLock<Script> =
    LazyLock::new(|| Script::new(concat!(include_str!("gcra.lua"), include_str!("take.lua"))));
/// Tells what was taken from a bucket, and leases more.
pub static LEASE: LazyLock<Script> =
    LazyLock::new(|| Script::new(concat!(include_str!("gcra.lua"), include_str!("lease.lua"))));
/// Says that a replica is there.
pub static REPLICAS: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("replicas.lua")));

/// The clock to go by: the server's, or in tests any time.
#[derive(Clone, Copy, Debug)]
pub enum Clock {
    /// So long after the beginning.
    At(Duration),
    /// The server's own.
    Server,
}

/// The arguments of a script, as text.
pub type Arguments = Vec<String>;

fn begin(clock: Clock) -> Arguments {
    match clock {
        Clock::Server => vec![String::new(), String::new()],
        Clock::At(time) => spans(&[Span::of(time)]),
    }
}

fn spans(spans: &[Span]) -> Arguments {
    spans.iter().flat_map(|span| [span.seconds.to_string(), span.parts.to_string()]).collect()
}

/// What a bucket is like: in what time it gains one, and fills.
fn bucket(quota: &Quota) -> Arguments {
    spans(&[quota.span(1), quota.fill()])
}

/// The arguments of [`TAKE`] for buckets from which these are taken.
pub fn take_arguments<'a>(clock: Clock, takes: impl Iterator<Item = Take<'a>>) -> Arguments {
    let mut arguments = begin(clock);
    for Take { quota, cost, patience } in takes {
        arguments.extend(bucket(quota));
        arguments.extend(spans(&[quota.span(cost), Span::of(patience)]));
    }
    arguments
}

/// What [`TAKE`] said of `takes`. `None`: nothing that makes sense.
#[must_use]
pub fn verdict(takes: &[Take<'_>], told: &[i64]) -> Option<Verdict> {
    let (place, missing) = told.split_first()?;
    let missing: Vec<Span> = missing.chunks_exact(2).map(span).collect::<Option<_>>()?;
    // What is missing is told, so it is the same whenever that was.
    let now = Tick::after(Duration::ZERO);
    let said = |take: &Take<'_>, missing: Span| {
        take.quota.take(&mut take.quota.bucket(missing, now), now, take.cost, take.patience)
    };
    match usize::try_from(*place).ok()? {
        0 if takes.len() == missing.len() => {
            let passes = takes.iter().zip(missing).map(|(take, missing)| said(take, missing).ok());
            passes.collect::<Option<Vec<Pass>>>().map(Ok)
        }
        0 => None,
        place => {
            let refused = said(takes.get(place - 1)?, *missing.first()?).err()?;
            Some(Err((place - 1, refused)))
        }
    }
}

/// What [`exact`](take_arguments) is asked for a request.
pub fn takes(levels: &[Exact]) -> Vec<Take<'_>> {
    levels.iter().map(Exact::take).collect()
}

/// Amounts that are asked for in turn: the first that the bucket holds is leased.
fn amounts(ask: &Ask) -> impl Iterator<Item = u32> {
    let (want, least) = (ask.want, ask.least);
    let amounts = [want, want / 4, least].into_iter().take_while(move |_| want > 0);
    amounts.filter(move |amount| *amount >= least)
}

/// The arguments of [`LEASE`] for `ask`.
#[must_use]
pub fn lease_arguments(clock: Clock, quota: &Quota, ask: &Ask) -> Arguments {
    let mut arguments = begin(clock);
    arguments.extend(bucket(quota));
    let amounts_of = [ask.owed, ask.back, ask.least].map(|amount| quota.span(amount));
    arguments.extend(spans(&amounts_of));
    arguments.extend(amounts(ask).flat_map(|amount| spans(&[quota.span(amount)])));
    arguments
}

/// What [`LEASE`] said to `ask`. `None`: nothing that makes sense.
#[must_use]
pub fn heard(ask: &Ask, told: &[i64]) -> Option<Heard> {
    let [place, seconds, parts] = told else { return None };
    let granted = match usize::try_from(*place).ok()? {
        0 => 0,
        place => amounts(ask).nth(place - 1)?,
    };
    Some(Heard { granted, empty_for: span(&[*seconds, *parts])?.to_duration() })
}

fn span(pair: &[i64]) -> Option<Span> {
    let [seconds, parts] = pair else { return None };
    Some(Span { seconds: (*seconds).try_into().ok()?, parts: (*parts).try_into().ok()? })
}
