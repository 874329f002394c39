//! `vanne token`: makes a token for the admin API.

use super::ask::Output;
use crate::control::admin::tokens::{self, HolderName, Role};
use serde_json::json;
use std::process::ExitCode;

/// Make a token for the admin API: print it, and the line for `admin.tokens_file` that lets it
/// in. The line holds the token's digest only, and the token is kept nowhere.
///
/// Example: vanne token ci --role operate
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Who gets it: the name in the audit log.
    name: HolderName,
    /// What it lets its holder do: read, operate (drain backends, change the log's level) or
    /// admin (reload the config).
    #[arg(long, value_name = "ROLE")]
    role: Role,
    #[command(flatten)]
    output: Output,
}

pub(crate) fn run(args: &Args) -> ExitCode {
    super::exit_code(make(args))
}

fn make(args: &Args) -> anyhow::Result<()> {
    let (token, line) = tokens::make(args.role, &args.name)
        .map_err(|_unspecified| anyhow::anyhow!("the system gives no random bytes"))?;
    match args.output.json {
        true => super::print_json(&json!({ "token": token, "line": line })),
        false => super::print(&format!("token: {token}\nline:  {line}\n")),
    }
}
