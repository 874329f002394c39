//! `vanne api-key`: makes a key for a program, for an identity of the kind `api_keys`.

use super::ask::Output;
use crate::config::Scope;
use crate::control::admin::tokens::{HolderName, random_text, sha256};
use jiff::Timestamp;
use serde_json::json;
use std::process::ExitCode;

/// What a key begins with, so that those who look for lost secrets know one.
const PREFIX: &str = "vk_";

/// Make a key for a program: print it, and the line for the file of `[identity.NAME.api_keys]`
/// that lets it in. The line holds the key's digest only, and the key is kept nowhere.
///
/// Example: vanne api-key billing --scope read --scope write --until 2027-01-31T00:00:00Z
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Who gets it: the user in the access log and for rate limits.
    name: HolderName,
    /// What it lets its holder do; as often as wanted.
    #[arg(long, value_name = "SCOPE")]
    scope: Vec<Scope>,
    /// Until when it is good. Without it: for ever.
    #[arg(long, value_name = "TIME")]
    until: Option<Timestamp>,
    #[command(flatten)]
    output: Output,
}

pub(crate) fn run(args: &Args) -> ExitCode {
    super::exit_code(make(args))
}

fn make(args: &Args) -> anyhow::Result<()> {
    let scopes: Vec<&str> = args.scope.iter().map(Scope::as_str).collect();
    if let Some(scope) = scopes.iter().find(|scope| scope.contains(',')) {
        anyhow::bail!("`{scope}`: the file has commas between scopes, so none may be in one");
    }
    let text = random_text().map_err(|_unspecified| anyhow::anyhow!("no random bytes"))?;
    let key = format!("{PREFIX}{text}");
    let mut line = format!("{} {}", args.name.as_str(), sha256(key.as_bytes()));
    if !scopes.is_empty() {
        line.push_str(&format!(" scopes={}", scopes.join(",")));
    }
    if let Some(until) = args.until {
        line.push_str(&format!(" until={until}"));
    }
    match args.output.json {
        true => super::print_json(&json!({ "key": key, "line": line })),
        false => super::print(&format!("key:  {key}\nline: {line}\n")),
    }
}
