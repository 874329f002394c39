//! `vanne reload`: tells a running proxy to read its config again, and what came of it.

use crate::config::{self, FilePath, ProcessEnvironment};
use anyhow::Context;
use serde::{Deserialize, Serialize};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

/// Tell a running proxy to read its config again; wait, and print what came of it.
///
/// Exit code 0: the config is in use, or says what was in use already. 1: it was refused, and
/// the old one stays in use; the reason is printed. 2: the proxy could not be reached.
///
/// Example: vanne reload --config conf/vanne.toml
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// The proxy's config file: its `admin.socket` says where the proxy is reached.
    #[arg(short, long, value_name = "FILE", required_unless_present = "socket")]
    config: Option<PathBuf>,
    /// Where the proxy is reached, whatever the config file says.
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
    /// How the result is shown.
    #[arg(long, value_enum, default_value_t = Form::Text)]
    format: Form,
}

#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// For people.
    Text,
    /// For programs: `{"result", "generation", "restart_needed", "message"}`.
    Json,
}

pub(crate) fn run(args: &Args) -> ExitCode {
    let asked = socket(args).and_then(|socket| {
        ask(&socket).with_context(|| format!("cannot reach a proxy at {}", socket.display()))
    });
    let report = match asked {
        Ok(report) => report,
        Err(error) => {
            super::exit_code(Err(error));
            return ExitCode::from(super::UNREADABLE);
        }
    };
    let shown = match args.format {
        Form::Json => serde_json::to_string(&report).unwrap_or_default() + "\n",
        Form::Text => text(&report),
    };
    match (super::print(&shown), report.result.as_str()) {
        (Ok(()), "applied" | "unchanged") => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}

/// What is read of the answer.
#[derive(Deserialize, Serialize)]
struct Report {
    result: String,
    generation: u64,
    restart_needed: Vec<String>,
    message: String,
}

/// Where the proxy is reached. A config with mistakes still says that: only they matter here
/// that are about the socket.
fn socket(args: &Args) -> anyhow::Result<PathBuf> {
    if let Some(socket) = &args.socket {
        return Ok(socket.clone());
    }
    let path = args.config.as_deref().unwrap_or(Path::new(""));
    match config::admin_socket(path, &ProcessEnvironment)? {
        Some(FilePath(socket)) => Ok(socket),
        None => anyhow::bail!(
            "{}: admin.socket is not set: set it and restart, or send the process SIGHUP",
            path.display()
        ),
    }
}

fn ask(socket: &Path) -> anyhow::Result<Report> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    // HTTP/1.0: the answer ends with the connection, and is not chunked.
    stream.write_all(b"POST /v1/reload HTTP/1.0\r\ncontent-length: 0\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (_, body) = answer.split_once("\r\n\r\n").context("the answer is no HTTP")?;
    serde_json::from_str(body).with_context(|| format!("not understood: {body}"))
}

fn text(report: &Report) -> String {
    let Report { result, generation, restart_needed, message } = report;
    let mut text = format!("{message}{result}: generation {generation} is in use\n");
    for key in restart_needed {
        text.push_str(&format!("{key}: counts only after a restart\n"));
    }
    text
}
