//! Asking a running proxy, by its admin socket or address.

use crate::config::{self, Address, Environment, FilePath, ProcessEnvironment};
use crate::types::units::Period;
use anyhow::Context;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a connection is waited for.
const CONNECT_PATIENCE: Duration = Duration::from_secs(5);
/// Longest answer that is read.
const ANSWER_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// The variable that may hold the token.
const TOKEN_VARIABLE: &str = "VANNE_ADMIN_TOKEN";

/// Where the proxy is reached.
#[derive(clap::Args, Clone, Debug)]
pub(super) struct Where {
    /// The proxy's config file: its `admin.socket`, else its `admin.address`, says where the
    /// proxy is reached.
    #[arg(short, long, value_name = "FILE", required_unless_present_any = ["socket", "address"])]
    config: Option<PathBuf>,
    /// Where the proxy is reached, whatever the config file says: the path of its socket.
    #[arg(long, value_name = "PATH", conflicts_with = "address")]
    socket: Option<PathBuf>,
    /// Where the proxy is reached, whatever the config file says: host and port.
    #[arg(long, value_name = "HOST:PORT")]
    address: Option<String>,
    /// A file that holds the token for the address. Without it: the environment variable
    /// VANNE_ADMIN_TOKEN, if it is set.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

/// How a result is shown.
#[derive(clap::Args, Clone, Copy, Debug)]
pub(super) struct Output {
    /// Print JSON, for programs.
    #[arg(long)]
    pub(super) json: bool,
}

/// What is said with a change.
#[derive(clap::Args, Clone, Debug)]
pub(super) struct Said {
    /// Why: for those who look at it later.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Who says so; by default the user of this process.
    #[arg(long, value_name = "NAME")]
    owner: Option<String>,
}

impl Said {
    /// Adds it to `change`, with the time for which that holds.
    pub(super) fn add_to(&self, change: &mut Value, time: Option<Period>) {
        let owner = self.owner.clone().or_else(super::user);
        let seconds = time.map(|time| time.as_duration().as_secs().max(1));
        let said = [
            ("for_seconds", seconds.map(Value::from)),
            ("reason", self.reason.clone().map(Value::from)),
            ("owner", owner.map(Value::from)),
        ];
        if let Some(fields) = change.as_object_mut() {
            fields
                .extend(said.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))));
        }
    }
}

/// Why nothing came of it.
#[derive(Debug)]
pub(super) enum Failure {
    /// The proxy refused, or its answer cannot be shown.
    Refused(anyhow::Error),
    /// The proxy was not reached.
    Unreached(anyhow::Error),
}

impl Failure {
    /// What is to be said of it.
    pub(super) fn text(&self) -> String {
        let (Self::Refused(error) | Self::Unreached(error)) = self;
        format!("{error:#}")
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Refused(error)
    }
}

/// 0; 1 if the proxy refused; 2 if it was not reached. Why is said on standard error.
pub(super) fn exit_code(result: Result<(), Failure>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Refused(error)) => super::exit_code(Err(error)),
        Err(Failure::Unreached(error)) => {
            super::exit_code(Err(error));
            ExitCode::from(super::UNREADABLE)
        }
    }
}

/// An answer: its status and body.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: String,
}

/// A place where a proxy is reached.
#[derive(Debug)]
enum Place {
    Socket(PathBuf),
    Address { address: String, token: Option<String> },
}

/// What is read of a problem.
#[derive(Deserialize)]
struct Problem {
    detail: String,
}

impl Answer {
    /// The answer, read as JSON.
    pub(super) fn read<T: DeserializeOwned>(self) -> Result<T, Failure> {
        let body = self.done()?;
        Ok(serde_json::from_str(&body).with_context(|| format!("not understood: {body}"))?)
    }

    /// The body of an answer that is none of a refusal.
    pub(super) fn done(self) -> Result<String, Failure> {
        if self.status < 400 {
            return Ok(self.body);
        }
        let problem = serde_json::from_str::<Problem>(&self.body);
        let detail = problem.map_or(self.body, |problem| problem.detail);
        let hint = match self.status {
            401 => format!(" (--token-file, or the variable {TOKEN_VARIABLE})"),
            _ => String::new(),
        };
        Err(Failure::Refused(anyhow::anyhow!("{}{hint}", detail.trim_end())))
    }
}

impl Where {
    /// What the proxy has at `path`.
    pub(super) fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        self.ask("GET", path, "")?.read()
    }

    /// The proxy's answer.
    pub(super) fn ask(&self, method: &str, path: &str, body: &str) -> Result<Answer, Failure> {
        let place = self.place().map_err(Failure::Unreached)?;
        let answer = match &place {
            Place::Socket(socket) => {
                by_socket(socket, &request(method, path, body, "localhost", None))
                    .with_context(|| format!("cannot reach a proxy at {}", socket.display()))
            }
            Place::Address { address, token } => {
                by_address(address, &request(method, path, body, address, token.as_deref()))
                    .with_context(|| format!("cannot reach a proxy at {address}"))
            }
        };
        answer.map_err(Failure::Unreached)
    }

    fn place(&self) -> anyhow::Result<Place> {
        if let Some(socket) = &self.socket {
            return Ok(Place::Socket(socket.clone()));
        }
        if let Some(address) = &self.address {
            return Ok(Place::Address { address: address.clone(), token: self.token()? });
        }
        // A config with mistakes still says where: only those matter here that are about that.
        let path = self.config.as_deref().unwrap_or(Path::new(""));
        let admin = config::admin_places(path, &ProcessEnvironment)
            .with_context(|| path.display().to_string())?;
        match (admin.socket, admin.address) {
            (Some(FilePath(socket)), _) => Ok(Place::Socket(socket)),
            (None, Some(Address(address))) => {
                Ok(Place::Address { address: address.to_string(), token: self.token()? })
            }
            (None, None) => anyhow::bail!(
                "{}: admin.socket is not set, nor is admin.address: set one and restart the proxy",
                path.display()
            ),
        }
    }

    fn token(&self) -> anyhow::Result<Option<String>> {
        let token = match &self.token_file {
            None => ProcessEnvironment.variable(TOKEN_VARIABLE),
            Some(path) => {
                Some(std::fs::read_to_string(path).with_context(|| path.display().to_string())?)
            }
        };
        let token = token.map(|token| token.trim().to_owned()).filter(|token| !token.is_empty());
        let is_plain = |token: &String| token.bytes().all(|byte| byte.is_ascii_graphic());
        anyhow::ensure!(token.iter().all(is_plain), "the token is none: it has blanks in it");
        Ok(token)
    }
}

/// HTTP/1.0: the answer ends with the connection, and is not chunked.
fn request(method: &str, path: &str, body: &str, host: &str, token: Option<&str>) -> String {
    let token = token.map(|token| format!("authorization: Bearer {token}\r\n"));
    format!(
        "{method} {path} HTTP/1.0\r\nhost: {host}\r\n{}content-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        token.unwrap_or_default(),
        body.len(),
    )
}

fn by_socket(socket: &Path, request: &str) -> anyhow::Result<Answer> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(request.as_bytes())?;
    answer(stream)
}

fn by_address(address: &str, request: &str) -> anyhow::Result<Answer> {
    let mut found = address.to_socket_addrs()?;
    let one = found.next().context("no such host")?;
    let mut stream = TcpStream::connect_timeout(&one, CONNECT_PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(request.as_bytes())?;
    answer(stream)
}

fn answer(stream: impl Read) -> anyhow::Result<Answer> {
    let mut answer = String::new();
    stream.take(ANSWER_BYTES_MAX).read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").context("the answer is no HTTP")?;
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    Ok(Answer { status: status.context("the answer has no status")?, body: body.to_owned() })
}
