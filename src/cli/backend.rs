//! `vanne backend`: looks at the backends of a running proxy, and takes them out and in.

use super::ask::{self, Failure, Output, Said, Where};
use serde_json::{Value, json};
use std::fmt::Write;
use std::net::SocketAddr;
use std::process::ExitCode;

/// Look at the backends of a running proxy, drain them, take them out, bring them back, or
/// change their weight.
///
/// What is said here outlives reloads, until it is taken back (`ready`), its time is over
/// (`--for`) or the process ends.
///
/// Exit code 0: done. 1: the proxy refused. 2: it was not reached.
///
/// Example: vanne backend drain api 10.0.0.21:8080 --for 30m --reason "new kernel" -c conf/vanne.toml
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(clap::Subcommand, Debug)]
enum Verb {
    /// Show the pools and their backends, as `vanne backends` does.
    List(List),
    /// No new clients; sticky ones may come back, and what it has is finished.
    Drain(Change),
    /// No clients at all; what it has is finished.
    Maint(Change),
    /// As the config says again.
    Ready(Change),
    /// Another share of new traffic: 0 to 1000.
    Weight(Weight),
}

/// Show the pools of a running proxy and their backends.
///
/// Exit code 0: shown. 1: the proxy refused. 2: it was not reached.
///
/// Example: vanne backends api -c conf/vanne.toml
#[derive(clap::Args, Debug)]
pub(crate) struct List {
    /// Only this pool.
    pool: Option<String>,
    #[command(flatten)]
    at: Where,
    #[command(flatten)]
    output: Output,
}

#[derive(clap::Args, Debug)]
struct Change {
    /// Its pool.
    pool: String,
    /// The backend: its address and port.
    backend: SocketAddr,
    /// For how long, like 90s, 30m or 2h; without it: for good.
    #[arg(long = "for", value_name = "TIME")]
    time: Option<crate::types::units::Period>,
    #[command(flatten)]
    said: Said,
    #[command(flatten)]
    at: Where,
    #[command(flatten)]
    output: Output,
}

#[derive(clap::Args, Debug)]
struct Weight {
    #[command(flatten)]
    change: Change,
    /// The weight.
    #[arg(long, value_name = "NUMBER")]
    to: u16,
}

pub(crate) fn run(args: &Args) -> ExitCode {
    let result = match &args.verb {
        Verb::List(list) => show(list),
        Verb::Drain(change) => set(change, json!({ "state": "drain" })),
        Verb::Maint(change) => set(change, json!({ "state": "maint" })),
        Verb::Ready(change) => set(change, json!({ "state": "ready" })),
        Verb::Weight(weight) => set(&weight.change, json!({ "weight": weight.to })),
    };
    ask::exit_code(result)
}

/// `vanne backends`.
pub(crate) fn list(args: &List) -> ExitCode {
    ask::exit_code(show(args))
}

fn set(change: &Change, mut what: Value) -> Result<(), Failure> {
    change.said.add_to(&mut what, change.time);
    let path = format!("/v1/pools/{}/backends/{}", change.pool, change.backend);
    let backend: Value = change.at.ask("PATCH", &path, &what.to_string())?.read()?;
    if change.output.json {
        return Ok(super::print_json(&backend)?);
    }
    let backend = &backend;
    let note = Some(note(backend)).filter(|note| !note.is_empty());
    let note = note.map(|note| format!("; {note}")).unwrap_or_default();
    let state = backend["state"].as_str().unwrap_or("-");
    let (pool, weight) = (&change.pool, &backend["weight"]);
    Ok(super::print(&format!("{pool}/{}: {state}, weight {weight}{note}\n", change.backend))?)
}

fn show(list: &List) -> Result<(), Failure> {
    let names = match &list.pool {
        Some(name) => vec![name.clone()],
        None => {
            let pools: Vec<Value> = list.at.get("/v1/pools")?;
            pools.iter().filter_map(|pool| pool["pool"].as_str().map(str::to_owned)).collect()
        }
    };
    let get = |name: &String| list.at.get(&format!("/v1/pools/{name}"));
    let pools: Vec<Value> = names.iter().map(get).collect::<Result<_, _>>()?;
    if list.output.json {
        return Ok(super::print_json(&pools)?);
    }
    Ok(super::print(&pools.iter().map(table).collect::<Vec<_>>().join("\n"))?)
}

/// A pool as a table.
fn table(pool: &Value) -> String {
    let text = |value: &Value| match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let mut out = format!(
        "pool {} ({}), {} active",
        text(&pool["pool"]),
        text(&pool["algorithm"]),
        text(&pool["active"])
    );
    if let Some(why) = pool["idle"].as_str() {
        out.push_str(&format!(": nobody takes traffic, {why}"));
    }
    if pool["panic"] == true {
        out.push_str("; too few are healthy: health is overlooked");
    }
    if pool["backup"] == true {
        out.push_str("; the backups are in use");
    }
    out.push_str("\n  BACKEND                  STATE      WEIGHT  IN FLIGHT  LATENCY MS  NOTE\n");
    for backend in pool["backends"].as_array().into_iter().flatten() {
        let latency =
            backend["latency_ms"].as_f64().map_or("-".to_owned(), |ms| format!("{ms:.1}"));
        // Writing to a string cannot fail.
        let line = write!(
            out,
            "  {:<24} {:<10} {:>6}  {:>9}  {latency:>10}  {}",
            text(&backend["backend"]),
            text(&backend["state"]),
            text(&backend["weight"]),
            text(&backend["in_flight"]),
            note(backend)
        );
        debug_assert!(line.is_ok(), "a string takes everything");
        out.truncate(out.trim_end().len());
        out.push('\n');
    }
    out
}

fn note(backend: &Value) -> String {
    let mut notes = Vec::new();
    if backend["backup"] == true {
        notes.push("backup".to_owned());
    }
    let set = &backend["override"];
    if let Some(owner) = set["owner"].as_str() {
        let reason = set["reason"].as_str().map(|why| format!(": {why}")).unwrap_or_default();
        let left =
            set["seconds_left"].as_u64().map(|s| format!(", {s} s left")).unwrap_or_default();
        notes.push(format!("set by {owner}{reason}{left}"));
    }
    notes.join("; ")
}
