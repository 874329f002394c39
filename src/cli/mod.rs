//! The command line: one file a verb.

mod api_key;
mod ask;
mod backend;
mod block;
mod certificates;
mod check;
mod circuit;
mod demo;
mod log_level;
mod marked_toml;
mod reload;
mod routes;
mod run;
mod schema;
mod show_config;
mod status;
mod table;
mod token;
mod waf;
mod watch;

use crate::config::Diagnostics;
use clap::{Parser, Subcommand};
use serde::Serialize;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

/// Vanne: an L7 reverse proxy and load balancer.
///
/// Try `vanne demo` first: it starts backends and a proxy, and prints what to ask them.
#[derive(Parser, Debug)]
#[command(name = "vanne", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand, Debug)]
enum Verb {
    Run(run::Args),
    Status(status::Args),
    Backends(backend::List),
    Routes(routes::Args),
    Certificates(certificates::Args),
    Backend(backend::Args),
    Circuit(circuit::Args),
    Block(block::Args),
    LogLevel(log_level::Args),
    Reload(reload::Args),
    Check(check::Args),
    ShowConfig(show_config::Args),
    Schema(schema::Args),
    Token(token::Args),
    Waf(waf::Args),
    ApiKey(api_key::Args),
    Demo(demo::Args),
}

/// Runs what the command line asks for.
#[must_use]
pub fn main() -> ExitCode {
    match Cli::parse().verb {
        Verb::Run(args) => run::run(&args),
        Verb::Status(args) => status::run(&args),
        Verb::Backends(args) => backend::list(&args),
        Verb::Routes(args) => routes::run(&args),
        Verb::Certificates(args) => certificates::run(&args),
        Verb::Backend(args) => backend::run(&args),
        Verb::Circuit(args) => circuit::run(&args),
        Verb::Block(args) => block::run(&args),
        Verb::LogLevel(args) => log_level::run(&args),
        Verb::Reload(args) => reload::run(&args),
        Verb::Check(args) => check::run(&args),
        Verb::ShowConfig(args) => show_config::run(&args),
        Verb::Schema(args) => schema::run(&args),
        Verb::Token(args) => token::run(&args),
        Verb::Waf(args) => waf::run(&args),
        Verb::ApiKey(args) => api_key::run(&args),
        Verb::Demo(args) => demo::run(&args),
    }
}

/// Exit code when a file could not be read at all, or a proxy not reached.
const UNREADABLE: u8 = 2;

/// Shows what is wrong with a config on standard error. Exit code 1, or 2 if the file could
/// not be read at all.
fn report(diagnostics: &Diagnostics) -> ExitCode {
    let stderr = io::stderr();
    let text = diagnostics.to_text(wants_colour(stderr.is_terminal()));
    match write!(stderr.lock(), "{text}") {
        Ok(()) if diagnostics.is_readable => ExitCode::FAILURE,
        _ => ExitCode::from(UNREADABLE),
    }
}

/// Colour is for terminals, unless NO_COLOR is set (no-color.org).
fn wants_colour(is_terminal: bool) -> bool {
    use crate::config::{Environment, ProcessEnvironment};
    is_terminal && ProcessEnvironment.variable("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Writes `text` to standard output. A reader that has gone is not an error of ours.
fn print(text: &str) -> anyhow::Result<()> {
    match io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => Ok(result?),
    }
}

/// Writes `value` to standard output, as one text of JSON.
fn print_json(value: &impl Serialize) -> anyhow::Result<()> {
    print(&(serde_json::to_string_pretty(value)? + "\n"))
}

/// Who runs this process, as the environment says.
fn user() -> Option<String> {
    use crate::config::{Environment, ProcessEnvironment};
    ProcessEnvironment.variable("USER")
}

/// 0, or 1 with the error and its causes on standard error.
fn exit_code(result: anyhow::Result<()>) -> ExitCode {
    let Err(error) = result else { return ExitCode::SUCCESS };
    // Nowhere is left to say that standard error is gone.
    drop(writeln!(io::stderr().lock(), "vanne: {error:#}"));
    ExitCode::FAILURE
}
