//! `vanne circuit`: looks at the circuits of a running proxy, and opens and closes them.

use super::ask::{self, Failure, Output, Said, Where};
use super::table::{Side, Table, Tone, text};
use serde_json::{Value, json};
use std::process::ExitCode;

/// Look at the circuits of a running proxy, force them open or closed, reset them, or let them
/// go by themselves again.
///
/// What is forced outlives reloads, until something else is said, its time is over (`--for`)
/// or the process ends. Each replica has circuits of its own.
///
/// Exit code 0: done. 1: the proxy refused. 2: it was not reached.
///
/// Example: vanne circuit open api/10.0.0.21:8080 --for 10m --reason "bad release" -c conf/vanne.toml
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(clap::Subcommand, Debug)]
enum Verb {
    /// Show all circuits.
    List(List),
    /// Show one: its window, what it did last and why.
    Show(One),
    /// Force it open: nobody comes.
    Open(Forced),
    /// Force it closed: whoever fails there stays.
    Close(Forced),
    /// Close it and forget its calls; by itself from now on.
    Reset(Order),
    /// By itself again.
    Auto(Order),
}

#[derive(clap::Args, Debug)]
struct List {
    #[command(flatten)]
    at: Where,
    #[command(flatten)]
    output: Output,
}

#[derive(clap::Args, Debug)]
struct One {
    /// The circuit: its pool and its backend's address and port.
    #[arg(value_name = "POOL/BACKEND", value_parser = circuit)]
    circuit: Circuit,
    #[command(flatten)]
    at: Where,
    #[command(flatten)]
    output: Output,
}

#[derive(clap::Args, Debug)]
struct Order {
    #[command(flatten)]
    one: One,
    #[command(flatten)]
    said: Said,
}

#[derive(clap::Args, Debug)]
struct Forced {
    #[command(flatten)]
    order: Order,
    /// For how long, like 90s, 30m or 2h; without it: for good.
    #[arg(long = "for", value_name = "TIME")]
    time: Option<crate::types::units::Period>,
}

/// Names a circuit.
#[derive(Clone, Debug)]
struct Circuit {
    pool: String,
    backend: String,
}

fn circuit(text: &str) -> Result<Circuit, String> {
    let parts =
        text.split_once('/').filter(|(pool, backend)| !pool.is_empty() && !backend.is_empty());
    let (pool, backend) = parts.ok_or("expected a pool and a backend, like api/10.0.0.21:8080")?;
    Ok(Circuit { pool: pool.to_owned(), backend: backend.to_owned() })
}

impl Circuit {
    fn path(&self) -> String {
        format!("/v1/circuits/{}/{}", self.pool, self.backend)
    }
}

pub(crate) fn run(args: &Args) -> ExitCode {
    let result = match &args.verb {
        Verb::List(args) => list(args),
        Verb::Show(one) => show(one),
        Verb::Open(forced) => order(&forced.order, "force-open", forced.time),
        Verb::Close(forced) => order(&forced.order, "force-closed", forced.time),
        Verb::Reset(args) => order(args, "reset", None),
        Verb::Auto(args) => order(args, "auto", None),
    };
    ask::exit_code(result)
}

fn list(args: &List) -> Result<(), Failure> {
    let circuits: Vec<Value> = args.at.get("/v1/circuits")?;
    if args.output.json {
        return Ok(super::print_json(&circuits)?);
    }
    let mut table = Table::new(&[
        ("CIRCUIT", Side::Left),
        ("STATE", Side::Left),
        ("CALLS", Side::Right),
        ("FAILED", Side::Right),
        ("SLOW", Side::Right),
        ("NOTE", Side::Left),
    ]);
    for circuit in &circuits {
        let name = format!("{}/{}", word(&circuit["pool"]), word(&circuit["backend"]));
        let tone = if circuit["state"] == "closed" { Tone::Plain } else { Tone::Warning };
        let counts = ["calls", "failures", "slow"].map(|key| word(&circuit[key]));
        let [calls, failures, slow] = counts;
        table.row(tone, vec![name, word(&circuit["state"]), calls, failures, slow, note(circuit)]);
    }
    Ok(super::print(&text(&table.lines(), false))?)
}

fn show(one: &One) -> Result<(), Failure> {
    let circuit: Value = one.at.get(&one.circuit.path())?;
    if one.output.json {
        return Ok(super::print_json(&circuit)?);
    }
    Ok(super::print(&described(&circuit))?)
}

fn order(
    order: &Order,
    verb: &str,
    time: Option<crate::types::units::Period>,
) -> Result<(), Failure> {
    let one = &order.one;
    let mut what = json!({});
    order.said.add_to(&mut what, time);
    let path = format!("{}/{verb}", one.circuit.path());
    let circuit: Value = one.at.ask("POST", &path, &what.to_string())?.read()?;
    if one.output.json {
        return Ok(super::print_json(&circuit)?);
    }
    Ok(super::print(&format!("{}\n", head(&circuit)))?)
}

/// The circuit in a line.
fn head(circuit: &Value) -> String {
    let note = Some(note(circuit)).filter(|note| !note.is_empty());
    let note = note.map(|note| format!("; {note}")).unwrap_or_default();
    let (pool, backend) = (word(&circuit["pool"]), word(&circuit["backend"]));
    format!("{pool}/{backend}: {}{note}", word(&circuit["state"]))
}

/// The circuit with its window and what it did.
fn described(circuit: &Value) -> String {
    let share = |key: &str| {
        circuit[key].as_f64().map_or("-".to_owned(), |share| format!("{:.1} %", share * 100.0))
    };
    let mut lines = vec![
        head(circuit),
        format!(
            "  window    {} calls, {} failed ({}), {} slow ({}), {} failures in a row",
            word(&circuit["calls"]),
            word(&circuit["failures"]),
            share("failure_rate"),
            word(&circuit["slow"]),
            share("slow_rate"),
            word(&circuit["failures_in_a_row"])
        ),
    ];
    for (title, key) in [("in it", "window"), ("ever", "attempts")] {
        let counts = circuit[key].as_object().into_iter().flatten();
        let counts: Vec<String> = counts.map(|(name, n)| format!("{name} {n}")).collect();
        lines.push(format!(
            "  {title:<9} {}",
            if counts.is_empty() { "-".into() } else { counts.join(", ") }
        ));
    }
    lines.push(format!(
        "  impact    {}, {} of the pool",
        word(&circuit["impact"]),
        share("capacity_lost")
    ));
    for change in circuit["changes"].as_array().into_iter().flatten() {
        let guarded = if change["guarded"] == true { ", kept closed by the guard" } else { "" };
        lines.push(format!(
            "  {}  {} -> {}: {}{guarded}",
            word(&change["time"]),
            word(&change["from"]),
            word(&change["to"]),
            word(&change["cause"])
        ));
    }
    lines.join("\n") + "\n"
}

fn note(circuit: &Value) -> String {
    let mut notes = Vec::new();
    if let Some(cause) = circuit["cause"].as_str() {
        let kept = if circuit["guarded"] == true { ", kept closed by the guard" } else { "" };
        notes.push(format!("{cause}{kept}"));
    }
    if let Some(seconds) = circuit["seconds_left"].as_f64() {
        notes.push(format!("{seconds:.0} s left"));
    }
    let set = &circuit["override"];
    if let Some(owner) = set["owner"].as_str() {
        let reason = set["reason"].as_str().map(|why| format!(": {why}")).unwrap_or_default();
        let left =
            set["seconds_left"].as_u64().map(|s| format!(", {s} s left")).unwrap_or_default();
        notes.push(format!("set by {owner}{reason}{left}"));
    }
    notes.join("; ")
}

fn word(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
