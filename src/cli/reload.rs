//! `vanne reload`: tells a running proxy to read its config again, and what came of it.

use super::ask::{self, Failure, Output, Where};
use anyhow::Context;
use serde::{Deserialize, Serialize};
use std::process::ExitCode;

/// Tell a running proxy to read its config again; wait, and print what came of it.
///
/// Exit code 0: the config is in use, or says what was in use already. 1: it was refused, and
/// the old one stays in use; the reason is printed. 2: the proxy could not be reached.
///
/// Example: vanne reload --config conf/vanne.toml
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    #[command(flatten)]
    at: Where,
    #[command(flatten)]
    output: Output,
}

pub(crate) fn run(args: &Args) -> ExitCode {
    let report = match reload(args) {
        Ok(report) => report,
        Err(failure) => return ask::exit_code(Err(failure)),
    };
    let shown = match args.output.json {
        true => super::print_json(&report),
        false => super::print(&text(&report)),
    };
    match (shown, report.result.as_str()) {
        (Ok(()), "applied" | "unchanged") => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}

fn reload(args: &Args) -> Result<Report, Failure> {
    let answer = args.at.ask("POST", "/v1/reload", "")?;
    // A config that is refused has a report too.
    match serde_json::from_str(&answer.body) {
        Ok(report) => Ok(report),
        Err(error) => {
            let body = answer.done()?;
            Err(error).with_context(|| format!("not understood: {body}")).map_err(Failure::from)
        }
    }
}

/// What is read of the answer.
#[derive(Deserialize, Serialize)]
struct Report {
    result: String,
    generation: u64,
    restart_needed: Vec<String>,
    message: String,
}

fn text(report: &Report) -> String {
    let Report { result, generation, restart_needed, message } = report;
    let mut text = format!("{message}{result}: generation {generation} is in use\n");
    for key in restart_needed {
        text.push_str(&format!("{key}: counts only after a restart\n"));
    }
    text
}
