//! `vanne certificates`: the certificates of a running proxy, and how long they are valid.

use super::ask::{self, Failure, Output, Where};
use super::table::{Side, Table, Tone, text};
use serde_json::Value;
use std::io::IsTerminal;
use std::process::ExitCode;

/// Days before its end from which on a certificate is pointed out.
const DAYS_LEFT_MIN: i64 = 14;

/// Show the certificates of a running proxy, how long they are valid, and files that cannot be
/// used.
///
/// Exit code 0: shown. 1: the proxy refused. 2: it was not reached.
///
/// Example: vanne certificates -c conf/vanne.toml
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
    let certificates: Vec<Value> = args.at.get("/v1/certificates")?;
    if args.output.json {
        return Ok(super::print_json(&certificates)?);
    }
    let mut table = Table::new(&[
        ("LISTENER", Side::Left),
        ("NAMES", Side::Left),
        ("DAYS LEFT", Side::Right),
        ("KEY", Side::Left),
        ("ISSUER", Side::Left),
        ("FILE", Side::Left),
        ("ERROR", Side::Left),
    ]);
    for certificate in &certificates {
        let of = |key: &str| certificate[key].as_str().unwrap_or_default().to_owned();
        let names = certificate["names"].as_array().into_iter().flatten();
        let names: Vec<&str> = names.filter_map(Value::as_str).collect();
        let days = certificate["days_left"].as_i64();
        let tone = match (certificate["error"].is_null(), days) {
            (false, _) => Tone::Bad,
            (true, Some(days)) if days < DAYS_LEFT_MIN => Tone::Warning,
            _ => Tone::Plain,
        };
        let days = days.map_or_else(|| "-".to_owned(), |days| days.to_string());
        let names = names.join(", ");
        let cells = [of("listener"), names, days, of("key"), of("issuer"), of("file"), of("error")];
        table.row(tone, cells.to_vec());
    }
    let colour = super::wants_colour(std::io::stdout().is_terminal());
    Ok(super::print(&text(&table.lines(), colour))?)
}
