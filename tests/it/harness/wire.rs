//! HTTP/1.1 as bytes on a socket, for both ends: what came, and how it ended.
//!
//! Strict where a test must see a difference (a whole body and a cut one are never the same) and
//! simple elsewhere: nothing here corrects what the other side sends.

use super::in_time;
use std::io;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A socket and what was read from it but not used yet.
pub(crate) struct Wire {
    /// The socket.
    pub(crate) stream: TcpStream,
    buffer: Vec<u8>,
}

/// The head of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    /// The first line.
    pub(crate) line: String,
    /// The fields in order, as they came.
    pub(crate) fields: Vec<(String, String)>,
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// In order: FIN.
    Closed,
    /// By a reset.
    Reset,
}

/// A message's body and whether all of it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Body {
    /// What came of it.
    pub(crate) bytes: Vec<u8>,
    /// Whether that is all of it, by its framing.
    pub(crate) is_whole: bool,
}

/// How a body is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// There is none, or so many bytes.
    Length(usize),
    /// In chunks.
    Chunked,
    /// Until the connection is closed.
    UntilClose,
}

impl Head {
    /// The value of the first field of this name.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    /// The values of all fields of this name.
    pub(crate) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.fields
            .iter()
            .filter(move |(field, _)| field.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// The number in a status line.
    pub(crate) fn status(&self) -> u16 {
        self.word(1).parse().unwrap_or_else(|_| panic!("no status line: {:?}", self.line))
    }

    /// A word of the first line.
    pub(crate) fn word(&self, index: usize) -> &str {
        self.line.split(' ').nth(index).unwrap_or_default()
    }

    /// How the body of a request with this head is framed.
    pub(crate) fn request_framing(&self) -> Framing {
        self.framing().unwrap_or(Framing::Length(0))
    }

    /// How the body of an answer with this head to a request of this method is framed.
    pub(crate) fn answer_framing(&self, method: &str) -> Framing {
        match self.status() {
            100..=199 | 204 | 304 => Framing::Length(0),
            _ if method == "HEAD" => Framing::Length(0),
            _ => self.framing().unwrap_or(Framing::UntilClose),
        }
    }

    fn framing(&self) -> Option<Framing> {
        if self.all("transfer-encoding").any(|value| value.contains("chunked")) {
            return Some(Framing::Chunked);
        }
        let length = self.field("content-length")?;
        Some(Framing::Length(length.parse().unwrap_or_else(|_| panic!("length {length:?}"))))
    }
}

impl Wire {
    /// What is spoken on `stream`.
    pub(crate) fn new(stream: TcpStream) -> Self {
        stream.set_nodelay(true).unwrap();
        Self { stream, buffer: Vec::new() }
    }

    /// Connects to `address`.
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let stream = in_time("connect", TcpStream::connect(address)).await;
        Self::new(stream.unwrap_or_else(|error| panic!("connect to {address}: {error}")))
    }

    /// Sends all of `bytes`.
    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_send(bytes).await.unwrap();
    }

    /// Sends all of `bytes`, or says why not.
    pub(crate) async fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        in_time("send", self.stream.write_all(bytes.as_ref())).await
    }

    /// Sends `bytes` as one chunk of a body.
    pub(crate) async fn send_chunk(&mut self, bytes: impl AsRef<[u8]>) {
        let bytes = bytes.as_ref();
        let mut chunk = format!("{:x}\r\n", bytes.len()).into_bytes();
        chunk.extend_from_slice(bytes);
        chunk.extend_from_slice(b"\r\n");
        self.send(chunk).await;
    }

    /// The next message's head; `None` if the connection ends before it begins.
    pub(crate) async fn head(&mut self) -> Option<Head> {
        in_time("a head", self.head_whenever()).await
    }

    /// The same, however long it takes.
    pub(crate) async fn head_whenever(&mut self) -> Option<Head> {
        let end = loop {
            if let Some(at) = position(&self.buffer, b"\r\n\r\n") {
                break at + 4;
            }
            if !matches!(self.fill().await, Ok(1..)) {
                assert!(self.buffer.is_empty(), "cut in a head: {:?}", self.text());
                return None;
            }
        };
        let head: Vec<u8> = self.buffer.drain(..end).collect();
        Some(parse(&String::from_utf8(head).unwrap()))
    }

    /// A body of this framing. A connection that ends before it does leaves it not whole.
    pub(crate) async fn body(&mut self, framing: Framing) -> Body {
        let mut bytes = Vec::new();
        let is_whole = match framing {
            Framing::Length(length) => self.take(length, &mut bytes).await.is_some(),
            Framing::Chunked => self.chunks(&mut bytes).await.is_some(),
            Framing::UntilClose => loop {
                bytes.append(&mut self.buffer);
                match in_time("more of a body", self.fill()).await {
                    Ok(0) => break true,
                    Ok(_) => {}
                    Err(_) => break false,
                }
            },
        };
        Body { bytes, is_whole }
    }

    async fn chunks(&mut self, bytes: &mut Vec<u8>) -> Option<()> {
        loop {
            let line = self.line().await?;
            let digits = line.split(';').next().unwrap_or_default().trim();
            let length = usize::from_str_radix(digits, 16)
                .unwrap_or_else(|_| panic!("no length of a chunk: {line:?}"));
            self.take(length, bytes).await?;
            if length > 0 {
                assert_eq!(self.line().await?, "", "a chunk longer than it says");
            } else {
                while !self.line().await?.is_empty() {}
                return Some(());
            }
        }
    }

    /// The next line, without its end.
    pub(crate) async fn line(&mut self) -> Option<String> {
        let end = loop {
            if let Some(at) = position(&self.buffer, b"\r\n") {
                break at;
            }
            self.more().await?;
        };
        let line: Vec<u8> = self.buffer.drain(..end + 2).take(end).collect();
        Some(String::from_utf8(line).unwrap())
    }

    /// The next `count` bytes, appended to `bytes`; what there is, and `None`, if less comes.
    pub(crate) async fn take(&mut self, count: usize, bytes: &mut Vec<u8>) -> Option<()> {
        let mut left = count;
        loop {
            let now = left.min(self.buffer.len());
            bytes.extend(self.buffer.drain(..now));
            left -= now;
            if left == 0 {
                return Some(());
            }
            self.more().await?;
        }
    }

    /// The next `count` bytes; fails if less comes.
    pub(crate) async fn exactly(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        let whole = self.take(count, &mut bytes).await;
        assert!(whole.is_some(), "only {} of {count} bytes came: {bytes:?}", bytes.len());
        bytes
    }

    /// Reads and forgets until the connection ends: how.
    pub(crate) async fn end(&mut self) -> End {
        in_time("the end of the connection", self.end_whenever()).await
    }

    /// The same, however long it takes.
    pub(crate) async fn end_whenever(&mut self) -> End {
        loop {
            self.buffer.clear();
            match self.fill().await {
                Ok(0) => return End::Closed,
                Ok(_) => {}
                Err(_) => return End::Reset,
            }
        }
    }

    /// Reads nothing more and says so by a reset, at once.
    pub(crate) fn reset(self) {
        socket2::SockRef::from(&self.stream).set_linger(Some(std::time::Duration::ZERO)).unwrap();
    }

    /// Sends nothing more: FIN. What comes can still be read.
    pub(crate) async fn shut(&mut self) {
        self.stream.shutdown().await.unwrap();
    }

    /// What was read and not used, as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.buffer).into_owned()
    }

    /// Whether nothing came that was not used. Does not wait.
    pub(crate) fn is_quiet(&mut self) -> bool {
        let mut bytes = [0; 1];
        let nothing = matches!(
            self.stream.try_read(&mut bytes),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock
        );
        self.buffer.is_empty() && nothing
    }

    async fn more(&mut self) -> Option<()> {
        matches!(in_time("more bytes", self.fill()).await, Ok(1..)).then_some(())
    }

    async fn fill(&mut self) -> io::Result<usize> {
        self.buffer.reserve(64 * 1024);
        self.stream.read_buf(&mut self.buffer).await
    }
}

fn parse(head: &str) -> Head {
    let mut lines = head.trim_end_matches("\r\n").split("\r\n");
    let line = lines.next().unwrap_or_default().to_owned();
    let fields = lines
        .map(|field| {
            let (name, value) =
                field.split_once(':').unwrap_or_else(|| panic!("no field: {field:?}"));
            (name.to_owned(), value.trim().to_owned())
        })
        .collect();
    Head { line, fields }
}

fn position(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}
