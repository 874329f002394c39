//! A client: sends a case's bytes, reads what comes, and asks again.
//!
//! After the answers of the case a plain request goes over the same connection, if that is still
//! open, and one over a new connection: both have marks of their own, and must get their own
//! answers. Nothing is judged here.

use crate::case::{Case, Kind, Want};
use crate::harness::{self, in_time, ms};
use crate::notation::shown;
use crate::origin::{Origin, mark_in};
use crate::strict::{self, Framing, Message};
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::task::JoinHandle;

/// Time between two pieces: long enough for them to arrive one by one.
const PIECES_APART: Duration = ms(1);
/// How long an answer may take that must come.
const PATIENCE: Duration = harness::PATIENCE;
/// What the client got.
pub(crate) struct Got {
    /// Statuses of informational answers.
    pub(crate) informational: Vec<u16>,
    /// Final answers to the case's requests, the last one perhaps not whole.
    pub(crate) answers: Vec<Message>,
    /// Why there were no more of them.
    pub(crate) stop: Option<Stop>,
    /// What came of the request after that on the same connection; `None`: it could not be sent.
    pub(crate) next: Option<After>,
    /// What came of a request on a new connection.
    pub(crate) fresh: After,
}

/// Why no answer came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// The connection ended.
    Ended,
    /// Nothing more came, and the connection stayed open.
    Silent,
    /// A strict reader cannot read it: why.
    Unreadable(String),
}

/// What came of a request after the case.
pub(crate) type After = Result<Message, Stop>;

/// A proxy and what it asks.
pub(crate) struct Lab<'a> {
    pub(crate) proxy: SocketAddr,
    pub(crate) origin: &'a Origin,
    /// How long an answer may take that may stay away: the proxy may wait for more bytes.
    pub(crate) silence: Duration,
}

/// Plays `case`.
pub(crate) async fn play(case: &Case, lab: &Lab<'_>) -> Got {
    let Lab { proxy, origin, silence } = *lab;
    let patience = if case.want == Want::Pass { PATIENCE } else { silence };
    let mut link = Link::connect(proxy, patience).await;
    let sending = link.send(case.send.clone(), case.ends);
    let (mut answers, mut stop) = (Vec::new(), None);
    for method in &case.methods {
        match link.answer(method).await {
            Ok(answer) => answers.push(answer),
            Err(why) => stop = Some(why),
        }
        stop = stop.or(link.is_silent.then_some(Stop::Silent));
        if stop.is_some() || answers.last().is_some_and(is_last) {
            break;
        }
    }
    let informational = std::mem::take(&mut link.informational);
    let is_over = stop.is_some() || case.ends || answers.last().is_some_and(is_last);
    // What comes behind an answer is to be there before the connection is used again.
    if case.kind == Kind::Answer {
        origin.has_answered(&case.id).await;
    }
    link.patience = silence;
    let next = if is_over { None } else { next(case, &mut link, sending).await };
    let mut fresh = Link::connect(proxy, PATIENCE).await;
    // A writer that is dropped would say that the client leaves.
    let sent = fresh.send(vec![marked(case, "fresh")], false);
    let fresh = fresh.answer("GET").await;
    drop(sent);
    Got { informational, answers, stop, next, fresh }
}

async fn next(case: &Case, link: &mut Link, sending: Sending) -> Option<After> {
    let writer = tokio::time::timeout(link.patience, sending).await.ok()?.unwrap();
    link.writer = Some(writer);
    let sent = link.send(vec![marked(case, "next")], false);
    let after = link.answer("GET").await;
    drop(sent);
    // It was closed meanwhile, which any connection may be.
    Some(after).filter(|after| *after != Err(Stop::Ended))
}

/// Whether nothing of HTTP can follow this answer.
fn is_last(answer: &Message) -> bool {
    !answer.is_whole || answer.head.status() == 101 || answer.head.lists("connection", "close")
}

/// A plain request with a mark of its own.
fn marked(case: &Case, word: &str) -> Vec<u8> {
    format!("GET /{}-{word} HTTP/1.1\r\nHost: a\r\n\r\n", case.id).into_bytes()
}

/// Sends in the background, then gives the socket back.
type Sending = JoinHandle<OwnedWriteHalf>;

/// A connection.
struct Link {
    reader: OwnedReadHalf,
    writer: Option<OwnedWriteHalf>,
    buffer: Vec<u8>,
    informational: Vec<u16>,
    patience: Duration,
    /// Nothing came for so long, though an answer had begun.
    is_silent: bool,
}

impl Link {
    async fn connect(address: SocketAddr, patience: Duration) -> Self {
        let stream = in_time("connect", TcpStream::connect(address)).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let (reader, writer) = stream.into_split();
        let (writer, informational) = (Some(writer), Vec::new());
        Self { reader, writer, buffer: Vec::new(), informational, patience, is_silent: false }
    }

    /// Sends `pieces`, one by one. The proxy may stop reading at any of them. What this gives
    /// holds the connection open.
    fn send(&mut self, pieces: Vec<Vec<u8>>, is_end: bool) -> Sending {
        let mut writer = self.writer.take().expect("one sending at a time");
        tokio::spawn(async move {
            // When the proxy has stopped reading, it has answered.
            drop(write(&mut writer, &pieces).await);
            if is_end {
                drop(writer.shutdown().await);
            }
            writer
        })
    }

    /// The next final answer to a request of this method, whole or not.
    async fn answer(&mut self, method: &str) -> Result<Message, Stop> {
        loop {
            let (answer, length) = self.message(method).await?;
            self.buffer.drain(..length);
            let status = answer.head.status();
            if !(100..200).contains(&status) || status == 101 {
                return Ok(answer);
            }
            self.informational.push(status);
        }
    }

    /// The message at the beginning of the buffer, and its length.
    async fn message(&mut self, method: &str) -> Result<(Message, usize), Stop> {
        loop {
            match read(&self.buffer, method) {
                Ok(Some(found)) => return Ok(found),
                Ok(None) => {}
                Err(why) => {
                    let why = format!("{why} in {}", shown(&self.buffer));
                    return Err(Stop::Unreadable(why));
                }
            }
            let in_order = match self.fill().await {
                Ok(1..) => continue,
                Ok(0) => true,
                Err(None) => false,
                Err(Some(stop)) if self.buffer.is_empty() => return Err(stop),
                Err(Some(_)) => {
                    self.is_silent = true;
                    false
                }
            };
            return rest(&self.buffer, method, in_order).ok_or(Stop::Ended);
        }
    }

    /// Reads more: how much. `Err`: a reset, or silence.
    async fn fill(&mut self) -> Result<usize, Option<Stop>> {
        self.buffer.reserve(64 * 1024);
        let read = self.reader.read_buf(&mut self.buffer);
        match tokio::time::timeout(self.patience, read).await {
            Ok(read) => read.or(Err(None)),
            Err(_) => Err(Some(Stop::Silent)),
        }
    }
}

/// Writes `pieces`, one by one.
pub(crate) async fn write(
    writer: &mut (impl AsyncWrite + Unpin),
    pieces: &[Vec<u8>],
) -> io::Result<()> {
    for (index, piece) in pieces.iter().enumerate() {
        if index > 0 {
            tokio::time::sleep(PIECES_APART).await;
        }
        writer.write_all(piece).await?;
    }
    Ok(())
}

/// A whole answer and its length.
fn read(bytes: &[u8], method: &str) -> strict::Read<Message> {
    let Some(((head, framing), length)) = strict::answer_head(bytes, method)? else {
        return Ok(None);
    };
    let body = strict::body(&bytes[length..], framing)?;
    Ok(body.map(|(body, more)| (Message { head, body, is_whole: true }, length + more)))
}

/// What there is of an answer when the connection has ended: whole only if that ends it.
fn rest(bytes: &[u8], method: &str, in_order: bool) -> Option<(Message, usize)> {
    let ((head, framing), length) = strict::answer_head(bytes, method).ok()??;
    let is_whole = in_order && framing == Framing::UntilEnd;
    let body = bytes[length..].to_vec();
    Some((Message { head, body, is_whole }, bytes.len()))
}

/// The mark of the request that this answers, if a backend says so.
pub(crate) fn saw(answer: &Message) -> Option<String> {
    answer.head.all("x-saw").next().and_then(|value| mark_in(value.as_bytes()))
}
