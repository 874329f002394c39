//! `vanne block`: who may not come in to a running proxy.

use super::ask::{self, Failure, Output, Where};
use super::table::{Side, Table, Tone, text};
use crate::config::Network;
use crate::types::units::Period;
use serde_json::{Value, json};
use std::net::IpAddr;
use std::process::ExitCode;

/// Look at who may not come in to a running proxy, block addresses and networks, lift blocks.
///
/// A block is in force at once, also for connections that are open. It outlives reloads; and
/// restarts, if `process.state_dir` is set. Replicas that share a `[redis]` share blocks.
///
/// Exit code 0: done. 1: the proxy refused. 2: it was not reached.
///
/// Example: vanne block add 203.0.113.0/24 --for 2h --reason "password guessing" -c conf/vanne.toml
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(clap::Subcommand, Debug)]
enum Verb {
    /// Block an address or a network.
    Add(Add),
    /// Lift a block that was made at run time.
    Remove(Remove),
    /// Show the blocks that were made at run time, and how much is blocked besides.
    List(List),
    /// Show whether an address is blocked, and where it is listed.
    Check(Check),
}

#[derive(clap::Args, Debug)]
struct Add {
    /// Who is to be blocked.
    #[arg(value_name = "ADDRESS|NETWORK")]
    network: Network,
    /// For how long, like 90s, 30m or 2h; without it: for good.
    #[arg(long = "for", value_name = "TIME")]
    time: Option<Period>,
    /// Even if it is your own address, or the machine's.
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    said: ask::Said,
    #[command(flatten)]
    at: Where,
    #[command(flatten)]
    output: Output,
}

#[derive(clap::Args, Debug)]
struct Remove {
    /// Whose block: just as it was made.
    #[arg(value_name = "ADDRESS|NETWORK")]
    network: Network,
    #[command(flatten)]
    said: ask::Said,
    #[command(flatten)]
    at: Where,
    #[command(flatten)]
    output: Output,
}

#[derive(clap::Args, Debug)]
struct List {
    /// Show those after this network.
    #[arg(long, value_name = "NETWORK")]
    after: Option<Network>,
    /// How many at most.
    #[arg(long, value_name = "COUNT", default_value_t = 1000)]
    limit: u32,
    #[command(flatten)]
    at: Where,
    #[command(flatten)]
    output: Output,
}

#[derive(clap::Args, Debug)]
struct Check {
    /// The address.
    #[arg(value_name = "ADDRESS")]
    ip: IpAddr,
    #[command(flatten)]
    at: Where,
    #[command(flatten)]
    output: Output,
}

pub(crate) fn run(args: &Args) -> ExitCode {
    let result = match &args.verb {
        Verb::Add(args) => add(args),
        Verb::Remove(args) => remove(args),
        Verb::List(args) => list(args),
        Verb::Check(args) => check(args),
    };
    ask::exit_code(result)
}

fn add(args: &Add) -> Result<(), Failure> {
    let mut block = json!({ "cidr": args.network });
    args.said.add_to(&mut block, None);
    if let Some(fields) = block.as_object_mut() {
        fields.extend(args.time.map(|time| ("ttl".to_owned(), json!(time))));
        fields.extend(args.force.then(|| ("force".to_owned(), Value::Bool(true))));
    }
    let made: Value = args.at.ask("POST", "/v1/blocklist", &block.to_string())?.read()?;
    if args.output.json {
        return Ok(super::print_json(&made)?);
    }
    Ok(super::print(&blocked(&made))?)
}

fn remove(args: &Remove) -> Result<(), Failure> {
    let mut said = json!({});
    args.said.add_to(&mut said, None);
    let path = format!("/v1/blocklist/{}", args.network);
    let block: Value = args.at.ask("DELETE", &path, &said.to_string())?.read()?;
    if args.output.json {
        return Ok(super::print_json(&block)?);
    }
    // A wider block, or one of the config, may stay.
    let left = look(&args.at, args.network.0.network())?;
    Ok(super::print(&lifted(&block, &left))?)
}

/// What is said of a block that was made.
fn blocked(made: &Value) -> String {
    let until = made["until"].as_str().map(|until| format!(" until {until}"));
    let time = until.unwrap_or_else(|| " for good".to_owned());
    format!("{}: blocked{time}\n", word(&made["cidr"]))
}

/// What is said of a block that was lifted, beside what is `left`.
fn lifted(block: &Value, left: &Value) -> String {
    let network = word(&block["cidr"]);
    match left["is_blocked"] == true {
        true => format!("{network}: this block is lifted, others stay\n{}", described(left)),
        false => format!("{network}: no longer blocked\n"),
    }
}

fn look(at: &Where, ip: IpAddr) -> Result<Value, Failure> {
    at.get(&format!("/v1/blocklist/check?ip={ip}"))
}

fn list(args: &List) -> Result<(), Failure> {
    let after = args.after.map(|after| format!("&after={after}")).unwrap_or_default();
    let page: Value = args.at.get(&format!("/v1/blocklist?limit={}{after}", args.limit))?;
    if args.output.json {
        return Ok(super::print_json(&page)?);
    }
    let mut table = Table::new(&[
        ("NETWORK", Side::Left),
        ("LEFT", Side::Right),
        ("BY", Side::Left),
        ("REASON", Side::Left),
    ]);
    for block in page.get("blocks").and_then(Value::as_array).into_iter().flatten() {
        let left = block["seconds_left"].as_u64();
        let left = left.map_or("for good".to_owned(), |seconds| format!("{seconds} s"));
        let by = word(&block["owner"]);
        table.row(Tone::Plain, vec![word(&block["cidr"]), left, by, word(&block["reason"])]);
    }
    Ok(super::print(&(text(&table.lines(), false) + &rest(&page)))?)
}

/// What there is besides the blocks that are shown.
fn rest(page: &Value) -> String {
    let files = page["files"].as_array().map(Vec::as_slice).unwrap_or_default();
    let in_files: u64 = files.iter().filter_map(|file| file["networks"].as_u64()).sum();
    let mut lines = format!(
        "{} in all; the config denies {}, {} files {in_files}; {} are allowed\n",
        page["total"],
        page["denied"],
        files.len(),
        page["allowed"]
    );
    if let Some(next) = page["next"].as_str() {
        lines += &format!("more: --after {next}\n");
    }
    if let Some(fault) = page["fault"].as_str() {
        lines += &format!("the files are not in use as they are now: {fault}\n");
    }
    if let Some(untold @ 1..) = page["untold"].as_u64() {
        lines += &format!("{untold} changes wait to be told to other replicas\n");
    }
    if page["is_kept"] == false {
        lines += "blocks end with the process: process.state_dir is not set\n";
    }
    lines
}

fn check(args: &Check) -> Result<(), Failure> {
    let found = look(&args.at, args.ip)?;
    if args.output.json {
        return Ok(super::print_json(&found)?);
    }
    Ok(super::print(&described(&found))?)
}

/// What is said of an address.
fn described(found: &Value) -> String {
    let state = if found["is_blocked"] == true { "blocked" } else { "not blocked" };
    let country = found["country"].as_str().map(|country| format!(", in {country}"));
    let asn = found["asn"].as_u64().map(|asn| format!(", of AS {asn}"));
    let place = country.unwrap_or_default() + &asn.unwrap_or_default();
    let mut lines = format!("{}: {state}{place}\n", word(&found["ip"]));
    for listed in found["listed"].as_array().into_iter().flatten() {
        let until = listed["until"].as_str().map(|until| format!(" until {until}"));
        let told = ["place", "owner", "reason"].map(|key| listed[key].as_str());
        let told: Vec<&str> = told.into_iter().flatten().collect();
        let (cidr, source) = (word(&listed["cidr"]), word(&listed["source"]));
        let until = until.unwrap_or_default();
        lines += &format!("  {cidr}  {source}{until}: {}\n", told.join(": "));
    }
    lines
}

fn word(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
