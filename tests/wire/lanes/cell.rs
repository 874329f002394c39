//! A place where one conversation is played at a time: an address that the client comes from,
//! which the proxy takes to a backend of its own. Whatever is sent, it is known whose it is.
//!
//! It is over when nothing has come anywhere for a while: then the client says that it ends.

use super::changes::Play;
use crate::case::Then;
use crate::harness::ms;
use crate::play;
use crate::reading;
use crate::strict::{self, Head, Message};
use parking_lot::Mutex;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// Time between two looks.
const LOOK: Duration = ms(2);
/// How often silence is waited for, at most.
const WAITS_MAX: u32 = 100;

/// One side's place for conversations.
pub(crate) struct Cell {
    /// Where the client comes from.
    pub(crate) client: Ipv4Addr,
    /// Where the backend listens.
    pub(crate) backend: SocketAddr,
    accepted: mpsc::UnboundedReceiver<TcpStream>,
    _accepting: JoinSet<()>,
}

/// What came of a conversation.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// All that the client got.
    pub(crate) client: Vec<u8>,
    /// What came of its connection.
    pub(crate) fate: Fate,
    /// Whether that ended with a reset: what has no length is not whole then.
    pub(crate) is_reset: bool,
    /// What the backend got, in order.
    pub(crate) backend: Vec<Received>,
}

/// What came of the client's connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// The proxy closed it.
    Closed,
    /// It stayed open until the client said that it ends.
    Open,
}

/// Something that the backend got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Received {
    /// A whole request.
    Request(Message),
    /// The head of one whose body never ended.
    Head(Head),
    /// What came after a switch of protocols.
    Tunnel(Vec<u8>),
    /// What a strict reader cannot read.
    Unreadable(String),
}

/// What both sides of one conversation know.
struct Shared {
    play: Play,
    received: Mutex<Vec<Received>>,
    client: Mutex<Vec<u8>>,
    /// Grows with whatever happens.
    events: AtomicU64,
}

impl Shared {
    fn note(&self, received: Received) {
        self.received.lock().push(received);
        self.happened();
    }

    fn happened(&self) {
        self.events.fetch_add(1, Ordering::Relaxed);
    }

    /// Waits until nothing has happened for `silence`, or `is_over`.
    async fn quiet(&self, silence: Duration, is_over: impl Fn() -> bool) {
        for _ in 0..WAITS_MAX {
            let before = self.events.load(Ordering::Relaxed);
            let looks = silence.as_millis() / LOOK.as_millis();
            for _ in 0..looks {
                if is_over() {
                    return;
                }
                tokio::time::sleep(LOOK).await;
            }
            if self.events.load(Ordering::Relaxed) == before {
                return;
            }
        }
    }
}

impl Cell {
    /// The place with this number.
    pub(crate) async fn open(number: u8) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let backend = listener.local_addr().unwrap();
        let (sender, accepted) = mpsc::unbounded_channel();
        let mut accepting = JoinSet::new();
        accepting.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                stream.set_nodelay(true).unwrap();
                if sender.send(stream).is_err() {
                    return;
                }
            }
        });
        let client = Ipv4Addr::new(127, 0, 1, number);
        Self { client, backend, accepted, _accepting: accepting }
    }

    /// Plays a conversation through the proxy at `proxy`.
    pub(crate) async fn play(&mut self, play: &Play, proxy: SocketAddr, silence: Duration) -> Seen {
        let shared = Arc::new(Shared {
            play: play.clone(),
            received: Mutex::default(),
            client: Mutex::default(),
            events: AtomicU64::new(0),
        });
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((IpAddr::V4(self.client), 0).into()).unwrap();
        let stream = socket.connect(proxy).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let client = converse(stream, Arc::clone(&shared), silence);
        tokio::pin!(client);
        let mut connections = JoinSet::new();
        let (fate, is_reset) = loop {
            tokio::select! {
                ended = &mut client => break ended,
                Some(stream) = self.accepted.recv() => {
                    shared.happened();
                    connections.spawn(serve(stream, Arc::clone(&shared)));
                }
                Some(_) = connections.join_next() => {}
            }
        };
        // Nothing of this conversation is there for the next one.
        connections.shutdown().await;
        while self.accepted.try_recv().is_ok() {}
        let (client, backend) = (
            std::mem::take(&mut *shared.client.lock()),
            std::mem::take(&mut *shared.received.lock()),
        );
        Seen { client, fate, is_reset, backend }
    }
}

/// The client's side: what came of its connection, and whether that was reset.
async fn converse(stream: TcpStream, shared: Arc<Shared>, silence: Duration) -> (Fate, bool) {
    let (mut reader, mut writer) = stream.into_split();
    let keep = Arc::clone(&shared);
    let mut reading = tokio::spawn(async move {
        let mut piece = vec![0; 16 * 1024];
        loop {
            match reader.read(&mut piece).await {
                Ok(0) => return false,
                Ok(count) => keep.client.lock().extend_from_slice(&piece[..count]),
                Err(_) => return true,
            }
            keep.happened();
        }
    });
    // When the proxy has stopped reading, it has answered.
    drop(play::write(&mut writer, &shared.play.send).await);
    shared.quiet(silence, || reading.is_finished()).await;
    let fate = if reading.is_finished() { Fate::Closed } else { Fate::Open };
    drop(writer.shutdown().await);
    shared.quiet(silence, || reading.is_finished()).await;
    reading.abort();
    let is_reset = (&mut reading).await.unwrap_or(false);
    // The backend may still read what came before that.
    shared.quiet(LOOK * 2, || false).await;
    (fate, is_reset)
}

/// A connection to the backend.
async fn serve(mut stream: TcpStream, shared: Arc<Shared>) {
    let mut buffer = Vec::new();
    loop {
        let (head, framing) =
            match read(&mut stream, &mut buffer, &shared, strict::request_head).await {
                Ok(found) => found,
                Err(None) => return,
                Err(Some(why)) => return shared.note(Received::Unreadable(why)),
            };
        if head.lists("expect", "100-continue") && head.line.ends_with("HTTP/1.1") {
            drop(stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await);
        }
        let number = shared.received.lock().len();
        let whole = |bytes: &[u8]| strict::body(bytes, framing);
        let body = match read(&mut stream, &mut buffer, &shared, whole).await {
            Ok(body) => body,
            Err(None) => return shared.note(Received::Head(head)),
            Err(Some(why)) => return shared.note(Received::Unreadable(why)),
        };
        let is_to_head = head.line.starts_with("HEAD ");
        let asks_to_switch = head.all("upgrade").next().is_some();
        shared.note(Received::Request(Message { head, body, is_whole: true }));
        let scripted = shared.play.answer.as_ref().filter(|_| number == 0);
        let answer = scripted.cloned().unwrap_or_else(|| vec![plain(number, is_to_head)]);
        let is_sent = play::write(&mut stream, &answer).await.is_ok();
        shared.happened();
        if is_sent && asks_to_switch && scripted.is_some_and(|answer| is_switch(&answer.concat())) {
            return tunnel(&mut stream, buffer, &shared).await;
        }
        if !is_sent || (scripted.is_some() && end(&stream, shared.play.then).await) {
            return;
        }
    }
}

/// Whether the final answer in these bytes switches protocols.
fn is_switch(answer: &[u8]) -> bool {
    let answers = reading::answers(answer, false, answer.len());
    answers.last().is_some_and(|answer| answer.line == "101")
}

/// Keeps what comes, whatever it is, until its end.
async fn tunnel(stream: &mut TcpStream, mut came: Vec<u8>, shared: &Shared) {
    while let Ok(1..) = stream.read_buf(&mut came).await {
        shared.happened();
    }
    shared.note(Received::Tunnel(came));
}

/// The answer to the request with this number.
fn plain(number: usize, is_to_head: bool) -> Vec<u8> {
    let body = if is_to_head { "" } else { "abc" };
    format!("HTTP/1.1 200 OK\r\nX-N: {number}\r\nContent-Length: 3\r\n\r\n{body}").into_bytes()
}

/// Whether the connection is to end, and how.
async fn end(stream: &TcpStream, then: Then) -> bool {
    if then == Then::Reset {
        // What was sent is to be read before the reset, which may overtake it.
        tokio::time::sleep(ms(30)).await;
        socket2::SockRef::from(stream).set_linger(Some(ms(0))).unwrap();
    }
    then != Then::Keep
}

/// What `look` finds in the bytes, once they are all there. `Err`: why they cannot be read, or
/// the end.
async fn read<T>(
    stream: &mut TcpStream,
    buffer: &mut Vec<u8>,
    shared: &Shared,
    look: impl Fn(&[u8]) -> strict::Read<T>,
) -> Result<T, Option<String>> {
    loop {
        if let Some((found, length)) = look(buffer)? {
            buffer.drain(..length);
            return Ok(found);
        }
        buffer.reserve(16 * 1024);
        match stream.read_buf(buffer).await {
            Ok(1..) => shared.happened(),
            Ok(0) | Err(_) => return Err(None),
        }
    }
}
