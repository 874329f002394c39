//! demo
use std::process::ExitCode;
/// Demo.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {}
pub(crate) fn run(_: &Args) -> ExitCode {
    ExitCode::SUCCESS
}
