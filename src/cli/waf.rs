//! `vanne waf`: rules of the web application firewall, tried without a proxy; what they match.

mod explain;
mod lint;
mod rules;
mod test;
mod top;

use std::io::{self, Write};
use std::process::ExitCode;

/// Try rules of the web application firewall: run their tests, explain a request, find mistakes.
/// Show which match most.
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
    Top(top::Args),
}

pub(crate) fn run(args: &Args) -> ExitCode {
    let done = match &args.verb {
        Verb::Test(args) => test::run(args),
        Verb::Explain(args) => explain::run(args),
        Verb::Lint(args) => lint::run(args),
        Verb::Top(args) => return top::run(args),
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
