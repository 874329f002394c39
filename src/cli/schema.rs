//! `vanne schema`: the config's JSON Schema.

use crate::config::validate::Schema;
use std::process::ExitCode;

/// Print the JSON Schema of the config, for editors and other tools.
///
/// Example: vanne schema > vanne.schema.json
#[derive(clap::Args, Debug)]
pub(crate) struct Args {}

pub(crate) fn run(_: &Args) -> ExitCode {
    let text = format!("{:#}\n", Schema::of_config().root());
    super::exit_code(super::print(&text))
}
