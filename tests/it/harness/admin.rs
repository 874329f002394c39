//! The admin API of a process under test, reached by its address, with tokens of every role.

use super::ports::Port;
use super::vanne::{Vanne, binary, list};
use super::{Answer, ask, eventually, sha256};
use serde_json::Value;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Output};
use tempfile::TempDir;

/// A process with an admin address, a socket, and a file of tokens called after their roles.
pub(crate) struct Lab {
    /// The process.
    pub(crate) vanne: Vanne,
    /// Where its admin API is.
    pub(crate) address: SocketAddr,
    /// Its config, to be filled in.
    pub(crate) config: String,
    folder: TempDir,
    _port: Port,
}

/// A request to the admin API.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked<'a> {
    /// Method and path.
    pub(crate) line: &'a str,
    /// The token, if one is shown.
    pub(crate) token: Option<&'a str>,
    /// Other fields, each with its line end; without a Host that of the address is sent.
    pub(crate) fields: &'a str,
    /// The body.
    pub(crate) body: &'a str,
}

/// The field of a change.
pub(crate) const JSON: &str = "Content-Type: application/json\r\n";

impl<'a> Asked<'a> {
    /// A request with the token of this name, which is JSON.
    pub(crate) fn new(line: &'a str, token: &'a str) -> Self {
        Self { line, token: Some(token), fields: JSON, body: "" }
    }

    /// The same with this body.
    pub(crate) fn with(self, body: &'a str) -> Self {
        Self { body, ..self }
    }
}

impl Lab {
    /// A process before these backends, with these lines in `[admin]`, and more.
    pub(crate) async fn start(backends: &[SocketAddr], admin: &str, more: &str) -> Self {
        let (port, folder) = (Port::take(), tempfile::tempdir().unwrap());
        let tokens = folder.path().join("tokens");
        let lines = ["read", "operate", "admin"].map(|role| line(role, role));
        write_private(&tokens, &lines.concat());
        let config = format!(
            "[admin]\nsocket = \"@dir/admin.sock\"\naddress = \"{}\"\ntokens_file = \"{}\"\n{admin}\n\
             [pool.app]\nbackends = {}\n[[route]]\nname = \"all\"\npool = \"app\"\n{more}\n",
            port.address,
            tokens.display(),
            list(backends),
        );
        let vanne = Vanne::start(&config).await;
        Self { vanne, address: port.address, config, folder, _port: port }
    }

    /// A file beside that of the tokens.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Replaces the file of tokens.
    pub(crate) fn replace_tokens(&self, text: &str) {
        write_private(&self.file("tokens.new"), text);
        std::fs::rename(self.file("tokens.new"), self.file("tokens")).unwrap();
    }

    /// Waits until the file of tokens was read again. Asking instead would count as guessing.
    pub(crate) async fn tokens_are_read(&self) {
        let is_read = || self.vanne.process_log().contains("tokens read again").then_some(());
        eventually("the tokens are read again", is_read).await;
    }

    /// What is answered.
    pub(crate) async fn ask(&self, asked: Asked<'_>) -> Answer {
        ask_at(self.address, asked).await
    }

    /// What the API has at `path`, asked by who may only look.
    pub(crate) async fn get(&self, path: &str) -> Value {
        let answer = self.ask(Asked::new(&format!("GET {path}"), "read")).await;
        assert_eq!(answer.status(), 200, "{}", answer.text());
        assert_eq!(answer.head.field("cache-control"), Some("no-store"));
        assert_eq!(answer.head.field("content-type"), Some("application/json"));
        serde_json::from_slice(&answer.body).unwrap()
    }

    /// What a verb does that asks by the socket.
    pub(crate) async fn verb(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(binary());
        command.args(arguments).arg("--socket").arg(self.vanne.file("admin.sock"));
        tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
    }

    /// What a verb prints that asks by the socket.
    pub(crate) async fn prints(&self, arguments: &[&str]) -> String {
        let output = self.verb(arguments).await;
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }
}

/// What is answered at `address`.
pub(crate) async fn ask_at(address: SocketAddr, asked: Asked<'_>) -> Answer {
    let Asked { line, token, fields, body } = asked;
    let token = token.map(|token| format!("Authorization: Bearer {token}\r\n"));
    let is_there = fields.to_ascii_lowercase().contains("host:");
    let host = if is_there { String::new() } else { format!("Host: {address}\r\n") };
    let request = format!(
        "{line} HTTP/1.1\r\n{host}{}{fields}Connection: close\r\nContent-Length: {}\r\n\r\n{body}",
        token.unwrap_or_default(),
        body.len(),
    );
    ask(address, &request).await
}

/// The status and the reason of an answer that says a problem. Its form is checked.
pub(crate) fn problem(answer: &Answer) -> (u16, String) {
    assert_eq!(answer.head.field("content-type"), Some("application/problem+json"));
    assert_eq!(answer.head.field("cache-control"), Some("no-store"));
    let problem: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(problem["status"], answer.status());
    assert!(problem["title"].is_string() && problem["detail"].is_string(), "{problem}");
    (answer.status(), problem["reason"].as_str().unwrap().to_owned())
}

/// The line of a token for the file.
pub(crate) fn line(role: &str, token: &str) -> String {
    format!("{role} {token} {}\n", sha256(token.as_bytes()))
}

fn write_private(path: &std::path::Path, text: &str) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}
