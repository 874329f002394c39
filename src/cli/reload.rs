//! `vanne reload`: tells a running proxy to read its config again, and what came of it.

use super::ask::{Form, Where};
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
    /// How the result is shown.
    #[arg(long, value_enum, default_value_t = Form::Text)]
    format: Form,
}

pub(crate) fn run(args: &Args) -> ExitCode {
    let asked = args.at.ask("POST", "/v1/reload", "").and_then(|(_, body)| {
        serde_json::from_str::<Report>(&body).with_context(|| format!("not understood: {body}"))
    });
    let report = match asked {
        Ok(report) => report,
        Err(error) => {
            super::exit_code(Err(error));
            return ExitCode::from(super::UNREADABLE);
        }
    };
    let shown = match args.format {
        Form::Json => serde_json::to_string(&report).unwrap_or_default() + "\n",
        Form::Text => text(&report),
    };
    match (super::print(&shown), report.result.as_str()) {
        (Ok(()), "applied" | "unchanged") => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
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
