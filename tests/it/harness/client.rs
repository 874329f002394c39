//! A client that sees every byte of its answers.

use super::wire::{Head, Wire};
use std::net::SocketAddr;
use std::ops::{Deref, DerefMut};
use tokio::net::TcpSocket;

/// A connection to the proxy. What it answers must carry security headers, whatever it is.
pub(crate) struct Client {
    wire: Wire,
    looks: bool,
}

/// An answer, whole or not.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    /// The informational heads before it.
    pub(crate) informational: Vec<Head>,
    /// Its head.
    pub(crate) head: Head,
    /// What came of its body.
    pub(crate) body: Vec<u8>,
    /// Whether that is all of it.
    pub(crate) is_whole: bool,
}

impl Answer {
    /// Its status.
    pub(crate) fn status(&self) -> u16 {
        self.head.status()
    }

    /// Its body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The id of its request.
    pub(crate) fn id(&self) -> &str {
        self.head.field("x-request-id").expect("an answer without x-request-id")
    }

    /// The status and the reason of an answer that the proxy gave itself. Its form is checked.
    pub(crate) fn refusal(&self) -> (u16, String) {
        let text = self.text();
        let (line, id) = text
            .trim_end()
            .strip_suffix(')')
            .and_then(|text| text.split_once(" (request "))
            .unwrap_or_else(|| panic!("not a refusal: {text:?}"));
        let (status, reason) = line.split_once(": ").expect("a refusal without reason");
        assert_eq!(id, self.id(), "the ids in field and body differ");
        assert_eq!(text.lines().count(), 1, "{text:?}");
        assert!(self.is_whole && text.ends_with('\n'), "{text:?}");
        assert!(status.starts_with(&format!("{} ", self.status())), "{text:?}");
        assert!(self.head.line.ends_with(status), "{:?} and {status:?}", self.head.line);
        let kind = self.head.field("content-type").expect("a refusal without content-type");
        assert!(kind.starts_with("text/plain"), "{kind}");
        (self.status(), reason.to_owned())
    }
}

impl Client {
    /// Connects to `address`.
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Self { wire: Wire::connect(address).await, looks: true }
    }

    /// The same to where answers need no security headers: to what is no proxy, or to one whose
    /// config says so.
    pub(crate) async fn careless(address: SocketAddr) -> Self {
        Self { looks: false, ..Self::connect(address).await }
    }

    /// The head of the next answer; `None` if the connection ends first.
    pub(crate) async fn head(&mut self) -> Option<Head> {
        let head = self.wire.head().await?;
        if self.looks {
            is_careful(head.status(), |name| head.all(name).count());
        }
        Some(head)
    }

    /// Connects to `address` from another of this machine's.
    pub(crate) async fn connect_from(from: [u8; 4], address: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((from, 0).into()).unwrap();
        Self { wire: Wire::new(socket.connect(address).await.unwrap()), looks: true }
    }

    /// Asks for `target` with GET and reads the answer.
    pub(crate) async fn get(&mut self, target: &str) -> Answer {
        self.send(format!("GET {target} HTTP/1.1\r\nHost: test\r\n\r\n")).await;
        self.answer("GET").await
    }

    /// Reads the answer to a request of this method, informational heads included.
    pub(crate) async fn answer(&mut self, method: &str) -> Answer {
        match self.try_answer(method).await {
            Some(answer) => answer,
            None => panic!("no answer to {method}"),
        }
    }

    /// The same; `None` if the connection ends first.
    pub(crate) async fn try_answer(&mut self, method: &str) -> Option<Answer> {
        let mut informational = Vec::new();
        loop {
            let head = self.head().await?;
            if (100..200).contains(&head.status()) && head.status() != 101 {
                informational.push(head);
                continue;
            }
            let body = self.body(head.answer_framing(method)).await;
            return Some(Answer { informational, head, body: body.bytes, is_whole: body.is_whole });
        }
    }
}

impl Deref for Client {
    type Target = Wire;
    fn deref(&self) -> &Wire {
        &self.wire
    }
}

impl DerefMut for Client {
    fn deref_mut(&mut self) -> &mut Wire {
        &mut self.wire
    }
}

impl Client {
    /// The bare connection.
    pub(crate) fn into_wire(self) -> Wire {
        self.wire
    }
}

/// Fails unless an answer has the fields that each set of security headers but `off` has, once;
/// `count` says how many there are of a name.
pub(crate) fn is_careful(status: u16, count: impl Fn(&str) -> usize) {
    if (100..200).contains(&status) && status != 101 {
        return;
    }
    for name in ["x-content-type-options", "x-frame-options", "referrer-policy"] {
        assert_eq!(count(name), 1, "{name} in an answer with {status}");
    }
}

/// The same as `ask` where answers need no security headers: see [`Client::careless`].
pub(crate) async fn ask_carelessly(address: SocketAddr, request: &str) -> Answer {
    let mut client = Client::careless(address).await;
    client.send(request).await;
    client.answer(request.split(' ').next().unwrap_or_default()).await
}

/// Asks for `target` with GET where answers need no security headers.
pub(crate) async fn get_carelessly(address: SocketAddr, target: &str) -> Answer {
    let request = format!("GET {target} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
    ask_carelessly(address, &request).await
}

/// Asks for `target` with GET on a connection of its own.
pub(crate) async fn get(address: SocketAddr, target: &str) -> Answer {
    let request = format!("GET {target} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
    ask(address, &request).await
}

/// Sends `request` on a connection of its own and reads the answer.
pub(crate) async fn ask(address: SocketAddr, request: &str) -> Answer {
    let mut client = Client::connect(address).await;
    client.send(request).await;
    client.answer(request.split(' ').next().unwrap_or_default()).await
}
