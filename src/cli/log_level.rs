//! `vanne log-level`: looks at the level of a running proxy's log, and changes it for a while.

use super::ask::{self, Answer, Failure, Output, Said, Where};
use super::table::period;
use crate::config::LogLevel;
use crate::types::units::Period;
use serde_json::{Value, json};
use std::process::ExitCode;

/// Show the level of a running proxy's log, or change it for a while.
///
/// Exit code 0: done. 1: the proxy refused. 2: it was not reached.
///
/// Example: vanne log-level debug --for 5m --reason "who sends bad heads?" -c conf/vanne.toml
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// The level: off, error, warn, info or debug; or `reset`: what the config says
    /// again. Without it: the level is shown.
    #[arg(value_parser = wanted)]
    level: Option<Wanted>,
    /// For how long, like 90s or 5m, a day at most; 10m if nothing is said.
    #[arg(long = "for", value_name = "TIME")]
    time: Option<Period>,
    #[command(flatten)]
    said: Said,
    #[command(flatten)]
    at: Where,
    #[command(flatten)]
    output: Output,
}

#[derive(Clone, Copy, Debug)]
enum Wanted {
    Level(LogLevel),
    Reset,
}

fn wanted(text: &str) -> Result<Wanted, String> {
    if text == "reset" {
        return Ok(Wanted::Reset);
    }
    serde_json::from_value(text.into())
        .map(Wanted::Level)
        .map_err(|_unknown| "expected off, error, warn, info, debug or reset".to_owned())
}

pub(crate) fn run(args: &Args) -> ExitCode {
    ask::exit_code(answer(args).and_then(Answer::read).and_then(|status| show(args, &status)))
}

fn answer(args: &Args) -> Result<Answer, Failure> {
    let level = match args.level {
        None => return args.at.ask("GET", "/v1/log", ""),
        Some(Wanted::Reset) => return args.at.ask("DELETE", "/v1/log", ""),
        Some(Wanted::Level(level)) => level,
    };
    let mut change = json!({ "level": level });
    args.said.add_to(&mut change, args.time);
    args.at.ask("PATCH", "/v1/log", &change.to_string())
}

fn show(args: &Args, status: &Value) -> Result<(), Failure> {
    if args.output.json {
        return Ok(super::print_json(status)?);
    }
    let of = |key: &str| status[key].as_str().unwrap_or("-");
    let mut text = of("level").to_owned();
    let set = &status["override"];
    if let Some(owner) = set["owner"].as_str() {
        let left = period(set["seconds_left"].as_u64().unwrap_or_default());
        let reason = set["reason"].as_str();
        let reason = reason.map(|why| format!(": {why}")).unwrap_or_default();
        text = format!("{text}, set by {owner}{reason}; {left} left, then {}", of("configured"));
    }
    Ok(super::print(&(text + "\n"))?)
}
