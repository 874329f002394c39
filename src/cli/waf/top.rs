//! `vanne waf top`: the web application firewalls of a running proxy, and rules that match most.

use crate::cli::ask::{self, Failure, Output, Where};
use crate::cli::table::{Side, Table, Tone, text};
use serde_json::Value;
use std::io::IsTerminal;
use std::process::ExitCode;

/// Show which rules of the web application firewalls have matched most since the start.
///
/// Exit code 0: shown. 1: the proxy refused. 2: it was not reached.
///
/// Example: vanne waf top -c conf/vanne.toml
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    #[command(flatten)]
    at: Where,
    #[command(flatten)]
    output: Output,
}

pub(super) fn run(args: &Args) -> ExitCode {
    ask::exit_code(show(args))
}

fn show(args: &Args) -> Result<(), Failure> {
    let wafs: Vec<Value> = args.at.get("/v1/waf")?;
    if args.output.json {
        return Ok(crate::cli::print_json(&wafs)?);
    }
    let mut table = Table::new(&[
        ("WAF", Side::Left),
        ("MODE", Side::Left),
        ("RULE", Side::Right),
        ("MATCHES", Side::Right),
        ("REFUSED", Side::Right),
        ("MESSAGE", Side::Left),
    ]);
    for waf in &wafs {
        let of = |key: &str| waf[key].as_str().unwrap_or_default().to_owned();
        for rule in waf["rules"].as_array().into_iter().flatten() {
            let message = rule["message"].as_str().unwrap_or_default().to_owned();
            let numbers = ["rule", "matches", "refused"].map(|key| rule[key].to_string());
            let [id, matches, refused] = numbers;
            let cells = vec![of("waf"), of("mode"), id, matches, refused, message];
            table.row(Tone::Plain, cells);
        }
    }
    let colour = crate::cli::wants_colour(std::io::stdout().is_terminal());
    Ok(crate::cli::print(&text(&table.lines(), colour))?)
}
