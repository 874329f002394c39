//! Asking a running proxy, by its admin socket.

use crate::config::{self, FilePath, ProcessEnvironment};
use anyhow::Context;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where the proxy is reached.
#[derive(clap::Args, Debug)]
pub(super) struct Where {
    /// The proxy's config file: its `admin.socket` says where the proxy is reached.
    #[arg(short, long, value_name = "FILE", required_unless_present = "socket")]
    config: Option<PathBuf>,
    /// Where the proxy is reached, whatever the config file says.
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
}

/// How a result is shown.
#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// For people.
    Text,
    /// For programs.
    Json,
}

impl Where {
    /// The proxy's answer: its status and body.
    pub(super) fn ask(
        &self,
        method: &str,
        path: &str,
        body: &str,
    ) -> anyhow::Result<(u16, String)> {
        let socket = self.socket()?;
        exchange(&socket, method, path, body)
            .with_context(|| format!("cannot reach a proxy at {}", socket.display()))
    }

    /// A config with mistakes still says where: only they matter here that are about the
    /// socket.
    fn socket(&self) -> anyhow::Result<PathBuf> {
        if let Some(socket) = &self.socket {
            return Ok(socket.clone());
        }
        let path = self.config.as_deref().unwrap_or(Path::new(""));
        match config::admin_socket(path, &ProcessEnvironment)? {
            Some(FilePath(socket)) => Ok(socket),
            None => anyhow::bail!(
                "{}: admin.socket is not set: set it and restart, or send the process SIGHUP",
                path.display()
            ),
        }
    }
}

fn exchange(socket: &Path, method: &str, path: &str, body: &str) -> anyhow::Result<(u16, String)> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    // HTTP/1.0: the answer ends with the connection, and is not chunked.
    let head = format!(
        "{method} {path} HTTP/1.0\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(format!("{head}{body}").as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").context("the answer is no HTTP")?;
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    Ok((status.context("the answer has no status")?, body.to_owned()))
}
