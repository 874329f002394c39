//! `vanne waf`: rules of the web application firewall, tried without a proxy.

mod explain;
mod lint;
mod rules;
mod test;

use std::io::{self, Write};
use std::process::ExitCode;

/// Try rules of the web application firewall: run their tests, explain a request, find mistakes.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(clap::Subcommand, Debug)]
enum Verb {
    Test(test::Args),
    Explain(explain::Args),
    Lint(lint::Args),
}

pub(crate) fn run(args: &Args) -> ExitCode {
    let done = match &args.verb {
        Verb::Test(args) => test::run(args),
        Verb::Explain(args) => explain::run(args),
        Verb::Lint(args) => lint::run(args),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            // Nowhere is left to say that standard error is gone.
            drop(writeln!(io::stderr().lock(), "vanne: {error:#}"));
            ExitCode::from(super::UNREADABLE)
        }
    }
}
