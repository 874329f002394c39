//! `vanne routes`: the routes of a running proxy, in the order in which they are matched.

use super::ask::{self, Failure, Output, Where};
use super::table::{Side, Table, Tone, text};
use serde_json::Value;
use std::io::IsTerminal;
use std::process::ExitCode;

/// Show the routes of a running proxy, in the order in which they are matched.
///
/// Exit code 0: shown. 1: the proxy refused. 2: it was not reached.
///
/// Example: vanne routes -c conf/vanne.toml
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    #[command(flatten)]
    at: Where,
    #[command(flatten)]
    output: Output,
}

pub(crate) fn run(args: &Args) -> ExitCode {
    ask::exit_code(show(args))
}

fn show(args: &Args) -> Result<(), Failure> {
    let routes: Vec<Value> = args.at.get("/v1/routes")?;
    if args.output.json {
        return Ok(super::print_json(&routes)?);
    }
    let columns = [("ROUTE", Side::Left), ("MATCH", Side::Left), ("TARGET", Side::Left)];
    let mut table = Table::new(&[columns[0], columns[1], columns[2], ("NOTE", Side::Left)]);
    for route in &routes {
        let name = route["route"].as_str().unwrap_or("-").to_owned();
        table.row(Tone::Plain, vec![name, matches(&route["match"]), target(route), note(route)]);
    }
    let colour = super::wants_colour(std::io::stdout().is_terminal());
    Ok(super::print(&text(&table.lines(), colour))?)
}

/// What a route asks for: `host=a.example path=/api method=["GET"]`.
fn matches(matches: &Value) -> String {
    let parts = matches.as_object().into_iter().flatten().map(|(key, value)| match value {
        Value::String(text) => format!("{key}={text}"),
        other => format!("{key}={other}"),
    });
    let text = parts.collect::<Vec<_>>().join(" ");
    if text.is_empty() { "all".to_owned() } else { text }
}

fn target(route: &Value) -> String {
    let target = &route["target"];
    if let Some(pool) = target["pool"].as_str() {
        return format!("pool {pool}");
    }
    let split = &target["split"];
    if let Some(pools) = split["pools"].as_object() {
        let shares = pools.iter().map(|(pool, share)| format!("{pool} {} %", share["percent"]));
        return format!("split {}", shares.collect::<Vec<_>>().join(", "));
    }
    let status = |of: &Value| of["status"].to_string();
    match &target["redirect"] {
        Value::Null => format!("answer {}", status(&target["answer"])),
        redirect => {
            let parts = ["to", "scheme", "host", "port", "path"].map(|key| match &redirect[key] {
                Value::Null => String::new(),
                Value::String(text) => format!(" {text}"),
                other => format!(" {other}"),
            });
            format!("redirect {}{}", status(redirect), parts.concat())
        }
    }
}

fn note(route: &Value) -> String {
    let mirror = &route["mirror"];
    let mirror = mirror["pool"].as_str().map(|pool| format!("mirror {pool} {}", mirror["share"]));
    let edits = [("headers", "headers"), ("rewrite", "rewrite")];
    let edits = edits.into_iter().filter(|(key, _)| !route[*key].is_null());
    let edits = edits.map(|(_, name)| name.to_owned());
    mirror.into_iter().chain(edits).collect::<Vec<_>>().join(", ").replace('"', "")
}
