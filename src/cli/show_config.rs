//! `vanne show-config`: the config as Vanne understands it, and what each value is from.

use super::ask::Output;
use super::marked_toml;
use crate::config::{self, Loaded, ProcessEnvironment};
use serde_json::Value as Json;
use std::path::PathBuf;
use std::process::ExitCode;

/// Print the config as Vanne understands it, as TOML or JSON: variables filled in, secrets as
/// ***. In TOML a value that is not from the file says what it is from.
///
/// Example: vanne show-config conf/vanne.toml --defaults
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// The config file: TOML, YAML or JSON, by its extension.
    file: PathBuf,
    /// Show every key, also those that the file leaves as its profile or Vanne has them.
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
    let said = (!args.defaults).then_some(&loaded.filled);
    let mut shown = config::shown(&loaded.config, said)?;
    if args.defaults {
        resolve(&mut shown, loaded)?;
    }
    match args.output.json {
        true => super::print_json(&shown),
        false => super::print(&marked_toml::write(&shown, &|path| mark(path, loaded))),
    }
}

/// Shows what sets of security headers say in whole.
fn resolve(shown: &mut Json, loaded: &Loaded) -> serde_json::Result<()> {
    for (name, set) in &loaded.config.security_headers {
        if let Some(shown) = shown.pointer_mut(&format!("/security_headers/{name}")) {
            *shown = serde_json::to_value(set.resolved())?;
        }
    }
    Ok(())
}

/// What the value of the key at `path` is from; `None`: the file.
fn mark(path: &[&str], loaded: &Loaded) -> Option<String> {
    if is_in(&loaded.written, path) {
        return None;
    }
    let profile = loaded.config.profile.unwrap_or_default();
    if profile.says(path) && is_in(&loaded.filled, path) {
        return Some(format!("profile {}", profile.as_str()));
    }
    let set = match path {
        ["security_headers", name, key] if *key != "preset" => {
            loaded.config.security_headers.iter().find(|(id, _)| id.as_str() == *name)
        }
        _ => None,
    };
    Some(set.map_or("built-in".to_owned(), |(_, set)| format!("preset {}", set.preset.as_str())))
}

/// Whether `value` has the key at `path`; a secret from a file stands under its own key.
fn is_in(value: &Json, path: &[&str]) -> bool {
    let Some((key, rest)) = path.split_first() else { return true };
    let inner = match value {
        Json::Object(table) => table.get(*key).or_else(|| table.get(&format!("{key}_file"))),
        Json::Array(items) => key.parse().ok().and_then(|index: usize| items.get(index)),
        _ => None,
    };
    inner.is_some_and(|inner| is_in(inner, rest))
}
