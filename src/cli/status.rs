//! `vanne status`: how a running proxy is, once or for as long as somebody watches.

use super::ask::{self, Failure, Output, Where};
use super::table::{Line, Side, Table, Tone, period, text};
use super::watch;
use serde::Deserialize;
use serde_json::Value;
use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::Duration;

/// Show how a running proxy is: its config, its pools, which backends are out and why, and what
/// else to look at.
///
/// Exit code 0: shown. 1: the proxy refused. 2: it was not reached.
///
/// Example: vanne status -c conf/vanne.toml --watch
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    #[command(flatten)]
    at: Where,
    /// Show it again every so many seconds, with rates, until Ctrl-C.
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "2")]
    watch: Option<Seconds>,
    #[command(flatten)]
    output: Output,
}

/// A pause between two looks.
#[derive(Clone, Copy, Debug)]
struct Seconds(Duration);

impl std::str::FromStr for Seconds {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.parse::<f64>() {
            Ok(seconds) if (0.1..=3600.0).contains(&seconds) => {
                Ok(Self(Duration::from_secs_f64(seconds)))
            }
            _ => Err("expected seconds, 0.1 to 3600"),
        }
    }
}

pub(crate) fn run(args: &Args) -> ExitCode {
    ask::exit_code(show(args))
}

fn show(args: &Args) -> Result<(), Failure> {
    let at = args.at.clone();
    let look = move || at.ask("GET", "/v1/status", "").and_then(ask::Answer::done);
    match args.watch {
        Some(Seconds(pause)) if args.output.json => {
            watch::watch(pause, look, |now, _| Ok(vec![Line::new(Tone::Plain, now)]))
        }
        Some(Seconds(pause)) => watch::watch(pause, look, |now, before| {
            let before = before.map(read).transpose()?;
            Ok(lines(&read(now)?, before.as_ref()))
        }),
        None if args.output.json => Ok(super::print_json(&read::<Value>(&look()?)?)?),
        None => {
            let lines = lines(&read(&look()?)?, None);
            let colour = super::wants_colour(std::io::stdout().is_terminal());
            Ok(super::print(&text(&lines, colour))?)
        }
    }
}

fn read<T: serde::de::DeserializeOwned>(text: &str) -> anyhow::Result<T> {
    Ok(serde_json::from_str(text)?)
}

/// What is read of the answer.
#[derive(Deserialize)]
struct Status {
    version: String,
    stage: String,
    uptime_seconds: f64,
    workers: u64,
    connections: u64,
    requests_in_flight: i64,
    requests: u64,
    config: Config,
    pools: Vec<Pool>,
    #[serde(default)]
    blocklist: Blocklist,
    overrides: Vec<Override>,
    warnings: Vec<Warning>,
}

#[derive(Deserialize)]
struct Config {
    generation: u64,
    path: Option<String>,
    sha256: String,
    applied: String,
}

#[derive(Deserialize)]
struct Pool {
    pool: String,
    algorithm: String,
    backends: u64,
    up: u64,
    idle: Option<String>,
    panic: bool,
    backup: bool,
    queued: u64,
    in_flight: u64,
    attempts: u64,
    failures: u64,
    #[serde(default)]
    out: Vec<Out>,
}

#[derive(Default, Deserialize)]
struct Blocklist {
    blocks: u64,
    denied: u64,
}

#[derive(Deserialize)]
struct Out {
    backend: String,
    state: String,
    why: Option<String>,
}

#[derive(Deserialize)]
struct Override {
    what: String,
    now: String,
    owner: String,
    reason: Option<String>,
    seconds_left: Option<u64>,
}

#[derive(Deserialize)]
struct Warning {
    about: String,
    message: String,
}

/// The whole picture; with rates if it is known how it was `before`.
fn lines(now: &Status, before: Option<&Status>) -> Vec<Line> {
    // A process that was started anew counts from the beginning.
    let before = before.filter(|before| before.uptime_seconds < now.uptime_seconds);
    let seconds = before.map(|before| now.uptime_seconds - before.uptime_seconds);
    let rate = |now: u64, before: Option<u64>| match (seconds, before) {
        (Some(seconds), Some(before)) => per_second(now.saturating_sub(before), seconds),
        _ => now.to_string(),
    };
    let mut lines = head(now, before.zip(seconds));
    let counted = if seconds.is_some() { "ATTEMPTS/S" } else { "ATTEMPTS" };
    let failed = if seconds.is_some() { "FAILED/S" } else { "FAILED" };
    let mut table = Table::new(&[
        ("POOL", Side::Left),
        ("ALGORITHM", Side::Left),
        ("UP", Side::Right),
        ("QUEUE", Side::Right),
        ("IN FLIGHT", Side::Right),
        (counted, Side::Right),
        (failed, Side::Right),
        ("NOTE", Side::Left),
    ]);
    for pool in &now.pools {
        let was = before.and_then(|before| before.pools.iter().find(|was| was.pool == pool.pool));
        table.row(
            tone(pool),
            vec![
                pool.pool.clone(),
                pool.algorithm.clone(),
                format!("{}/{}", pool.up, pool.backends),
                pool.queued.to_string(),
                pool.in_flight.to_string(),
                rate(pool.attempts, was.map(|was| was.attempts)),
                rate(pool.failures, was.map(|was| was.failures)),
                note(pool),
            ],
        );
    }
    lines.push(Line::new(Tone::Plain, ""));
    lines.extend(table.lines());
    lines.extend(out(&now.pools));
    lines.extend(notices(now));
    lines
}

fn head(now: &Status, before: Option<(&Status, f64)>) -> Vec<Line> {
    let config = &now.config;
    let sha256: String = config.sha256.chars().take(12).collect();
    let rate = before.map(|(before, seconds)| {
        format!(", {}/s", per_second(now.requests.saturating_sub(before.requests), seconds))
    });
    let Blocklist { blocks, denied } = now.blocklist;
    let blocked = format!("blocked: {blocks} at run time, {denied} networks by config and files");
    let blocked = (blocks + denied > 0).then(|| Line::new(Tone::Plain, blocked));
    let lines = [
        Line::new(
            if now.stage == "serving" { Tone::Head } else { Tone::Warning },
            // Whole seconds are enough.
            format!(
                "vanne {}, {} for {}",
                now.version,
                now.stage,
                period(now.uptime_seconds as u64)
            ),
        ),
        Line::new(
            Tone::Plain,
            format!(
                "config: generation {} of {}, applied {}, sha256 {sha256}",
                config.generation,
                config.path.as_deref().unwrap_or("no file"),
                config.applied,
            ),
        ),
        Line::new(
            Tone::Plain,
            format!(
                "workers: {}, connections: {}, in flight: {}, requests: {}{}",
                now.workers,
                now.connections,
                now.requests_in_flight,
                now.requests,
                rate.unwrap_or_default(),
            ),
        ),
    ];
    lines.into_iter().chain(blocked).collect()
}

fn per_second(count: u64, seconds: f64) -> String {
    // Counts of one pause are far below what a float holds exactly.
    format!("{:.1}", count as f64 / seconds)
}

fn tone(pool: &Pool) -> Tone {
    match () {
        () if pool.idle.is_some() => Tone::Bad,
        () if pool.up < pool.backends || pool.panic || pool.backup => Tone::Warning,
        () => Tone::Plain,
    }
}

fn note(pool: &Pool) -> String {
    let idle = pool.idle.as_ref().map(|why| format!("no backend takes traffic: {why}"));
    let panic = pool.panic.then(|| "health is overlooked".to_owned());
    let backup = pool.backup.then(|| "the backups are in use".to_owned());
    idle.into_iter().chain(panic).chain(backup).collect::<Vec<_>>().join("; ")
}

fn out(pools: &[Pool]) -> Vec<Line> {
    let mut table = Table::new(&[("OUT", Side::Left), ("STATE", Side::Left), ("WHY", Side::Left)]);
    for pool in pools {
        for out in &pool.out {
            let name = format!("{}/{}", pool.pool, out.backend);
            table
                .row(Tone::Bad, vec![name, out.state.clone(), out.why.clone().unwrap_or_default()]);
        }
    }
    section(table)
}

/// A table with an empty line before it; nothing if it has no rows.
fn section(table: Table) -> Vec<Line> {
    let lines = table.lines();
    let first = Line::new(Tone::Plain, "");
    if lines.len() < 2 { Vec::new() } else { std::iter::once(first).chain(lines).collect() }
}

/// What operators changed, and what is to be looked at.
fn notices(now: &Status) -> Vec<Line> {
    let mut changed = Table::new(&[
        ("CHANGED", Side::Left),
        ("NOW", Side::Left),
        ("BY", Side::Left),
        ("LEFT", Side::Right),
        ("REASON", Side::Left),
    ]);
    for set in &now.overrides {
        let left = set.seconds_left.map_or_else(|| "-".to_owned(), period);
        let reason = set.reason.clone().unwrap_or_default();
        let cells = vec![set.what.clone(), set.now.clone(), set.owner.clone(), left, reason];
        changed.row(Tone::Warning, cells);
    }
    let mut warnings = Table::new(&[("WARNING", Side::Left), ("", Side::Left)]);
    for warning in &now.warnings {
        let message = warning.message.lines().next().unwrap_or_default().to_owned();
        warnings.row(Tone::Warning, vec![warning.about.clone(), message]);
    }
    section(changed).into_iter().chain(section(warnings)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn status(uptime: f64, requests: u64, attempts: u64) -> Status {
        serde_json::from_value(json!({
            "version": "1.0.0", "stage": "serving", "uptime_seconds": uptime, "workers": 2,
            "connections": 3, "requests_in_flight": 1, "requests": requests,
            "config": { "generation": 4, "path": "v.toml", "sha256": "0123456789abcdef",
                "applied": "2026-01-02T03:04:05Z" },
            "pools": [{ "pool": "api", "algorithm": "weighted", "backends": 2, "up": 1,
                "panic": false, "backup": false, "queued": 0, "in_flight": 1,
                "attempts": attempts, "failures": 0,
                "out": [{ "backend": "10.0.0.1:80", "state": "unhealthy", "why": "refused" }] }],
            "blocklist": { "blocks": 2, "denied": 7 },
            "overrides": [{ "what": "log level", "now": "debug", "owner": "kim",
                "reason": null, "seconds_left": 75 }],
            "warnings": [{ "about": "config", "message": "refused\nmore" }],
        }))
        .unwrap()
    }

    #[test]
    fn the_first_look_shows_totals_and_the_next_rates() {
        let (first, next) = (status(60.0, 100, 10), status(62.0, 130, 15));
        let shown = text(&lines(&first, None), false);
        for part in [
            "vanne 1.0.0, serving for 1m 0s\n",
            "config: generation 4 of v.toml, applied 2026-01-02T03:04:05Z, sha256 0123456789ab\n",
            "workers: 2, connections: 3, in flight: 1, requests: 100\n",
            "blocked: 2 at run time, 7 networks by config and files\n",
            "POOL  ALGORITHM   UP  QUEUE  IN FLIGHT  ATTEMPTS  FAILED  NOTE\n",
            "api   weighted   1/2      0          1        10       0\n",
            "api/10.0.0.1:80  unhealthy  refused\n",
            "log level  debug  kim  1m 15s\n",
            "config   refused\n",
        ] {
            assert!(shown.contains(part), "{part}{shown}");
        }
        let shown = text(&lines(&next, Some(&first)), false);
        assert!(shown.contains("requests: 130, 15.0/s"), "{shown}");
        assert!(shown.contains("ATTEMPTS/S") && shown.contains(" 2.5 "), "{shown}");
        let anew = text(&lines(&status(1.0, 5, 1), Some(&next)), false);
        assert!(!anew.contains("/s"), "{anew}");
    }
}
