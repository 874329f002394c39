//! `vanne show-config`: the config as Vanne understands it.

use super::ask::Output;
use crate::config::{self, Loaded, ProcessEnvironment};
use std::path::PathBuf;
use std::process::ExitCode;

/// Print the config as Vanne understands it, as TOML or JSON: variables filled in, secrets as
/// ***.
///
/// Example: vanne show-config conf/vanne.toml --defaults
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// The config file: TOML, YAML or JSON, by its extension.
    file: PathBuf,
    /// Show every key, also those that the file leaves at their defaults.
    #[arg(long)]
    defaults: bool,
    #[command(flatten)]
    output: Output,
}

pub(crate) fn run(args: &Args) -> ExitCode {
    let loaded = match config::load(&args.file, &ProcessEnvironment) {
        Ok(loaded) => loaded,
        Err(diagnostics) => return super::report(&diagnostics),
    };
    super::exit_code(show(args, &loaded))
}

fn show(args: &Args, loaded: &Loaded) -> anyhow::Result<()> {
    let written = (!args.defaults).then_some(&loaded.written);
    let shown = config::shown(&loaded.config, written)?;
    match args.output.json {
        true => super::print_json(&shown),
        false => super::print(&toml::to_string(&shown)?),
    }
}
