//! `vanne show-config`: the config as Vanne understands it.

use crate::config::{self, ProcessEnvironment, tree};
use serde_json::Value as Json;
use std::path::PathBuf;
use std::process::ExitCode;

/// Print the config as Vanne understands it, as TOML: variables filled in, secrets as ***.
///
/// Example: vanne show-config conf/vanne.toml --defaults
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// The config file: TOML, YAML or JSON, by its extension.
    file: PathBuf,
    /// Show every key, also those that the file leaves at their defaults.
    #[arg(long)]
    defaults: bool,
}

pub(crate) fn run(args: &Args) -> ExitCode {
    let loaded = match config::load(&args.file, &ProcessEnvironment) {
        Ok(loaded) => loaded,
        Err(diagnostics) => return super::report(&diagnostics),
    };
    super::exit_code(effective(args, &loaded.config).and_then(|text| super::print(&text)))
}

fn effective(args: &Args, config: &config::Config) -> anyhow::Result<String> {
    let mut all = serde_json::to_value(config)?;
    if !args.defaults {
        let source = std::fs::read_to_string(&args.file)?;
        let format = match args.file.extension().and_then(|e| e.to_str()) {
            Some("toml") => tree::Format::Toml,
            _ => tree::Format::Yaml,
        };
        let written = tree::parse(&source, format)
            .map_err(|_problems| anyhow::anyhow!("the file has changed meanwhile"))?;
        keep_written(&mut all, &written.to_json());
    }
    Ok(toml::to_string(&all)?)
}

/// Drops from `all` what `written` does not have.
fn keep_written(all: &mut Json, written: &Json) {
    match (all, written) {
        (Json::Object(all), Json::Object(written)) => {
            all.retain(|key, _| {
                written.contains_key(key)
                    // A secret from a file stands under its own key.
                    || written.contains_key(&format!("{key}_file"))
            });
            for (key, value) in all {
                keep_written(value, written.get(key).unwrap_or(&Json::Null));
            }
        }
        (Json::Array(all), Json::Array(written)) => {
            for (value, written) in all.iter_mut().zip(written) {
                keep_written(value, written);
            }
        }
        _ => {}
    }
}
