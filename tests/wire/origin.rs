//! The backend: it reads strictly, keeps what it saw, and answers what the case says.
//!
//! Whatever comes is kept under the mark of a case: the one in the message, or the last one on its
//! connection. Requests that a case does not script get 200, and their own mark back in `X-Saw`.

use crate::case::{Answer, Case, Then};
use crate::harness;
use crate::notation::shown;
use crate::play;
use crate::strict::{self, Head, Message};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// Something that came.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    /// A request with this mark, whole.
    Request(String, Message),
    /// All that the case has the backend answer is sent, as far as the proxy took it.
    Answered,
    /// What a strict reader cannot read, and why.
    Unreadable(String),
}

/// A backend. It goes when it is dropped.
pub(crate) struct Origin {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    seen: Arc<Seen>,
    accepting: JoinHandle<()>,
}

#[derive(Default)]
struct Seen {
    /// By the id of the case.
    events: Mutex<HashMap<String, Vec<Event>>>,
    scripts: HashMap<String, Answer>,
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Origin {
    /// A backend on `address`, or on a free port if that is 0, for these cases.
    pub(crate) async fn start(address: SocketAddr, cases: &[Case]) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let script = |case: &Case| Some((case.id.clone(), case.answer.clone()?));
        let scripts = cases.iter().filter_map(script).collect();
        let seen = Arc::new(Seen { scripts, ..Seen::default() });
        let shared = Arc::clone(&seen);
        let accepting = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                stream.set_nodelay(true).unwrap();
                let seen = Arc::clone(&shared);
                tokio::spawn(
                    Conn { stream, seen, buffer: Vec::new(), last: String::new() }.serve(),
                );
            }
        });
        Self { address, seen, accepting }
    }

    /// What came of the case with this mark.
    pub(crate) fn seen(&self, id: &str) -> Vec<Event> {
        self.seen.events.lock().get(id).cloned().unwrap_or_default()
    }

    /// Waits until all is sent that the case with this mark has the backend answer; not for ever,
    /// since the case may be one that never gets here.
    pub(crate) async fn has_answered(&self, id: &str) {
        for _ in 0..100 {
            if self.seen(id).iter().any(|event| matches!(event, Event::Answered)) {
                return;
            }
            tokio::time::sleep(harness::ms(2)).await;
        }
    }

    /// Waits until nothing came for a while: what is still on its way counts too.
    pub(crate) async fn is_quiet(&self) {
        let count = || self.seen.events.lock().values().map(Vec::len).sum::<usize>();
        loop {
            let before = count();
            tokio::time::sleep(harness::ms(200)).await;
            if count() == before {
                return;
            }
        }
    }
}

/// One connection.
struct Conn {
    stream: TcpStream,
    seen: Arc<Seen>,
    buffer: Vec<u8>,
    /// The mark that came last.
    last: String,
}

/// The connection is over, or must not go on.
struct Over;

impl Conn {
    async fn serve(mut self) {
        while self.request().await.is_ok() {}
    }

    /// Reads a request and answers it.
    async fn request(&mut self) -> Result<(), Over> {
        let (head, framing) = self.read(strict::request_head).await?;
        let text = format!("{}\n{:?}", head.line, head.fields);
        if let Some(mark) = mark_in(text.as_bytes()) {
            self.last = mark;
        } else {
            self.unreadable(format!("a request without a mark: {:?}", head.line)).await;
            return Err(Over);
        }
        let mark = self.last.clone();
        if is_after(&mark) && !head.line.starts_with("GET /") {
            self.unreadable(format!("another request than was sent: {:?}", head.line)).await;
            return Err(Over);
        }
        let script = self.seen.scripts.get(&mark).cloned();
        let is_early = script.as_ref().is_some_and(|script| script.is_early);
        if is_early {
            self.answer(&head, &mark, script.as_ref()).await?;
        } else if head.lists("expect", "100-continue") && head.line.ends_with("HTTP/1.1") {
            self.write(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
        }
        let body = self.read(|bytes| strict::body(bytes, framing)).await?;
        let message = Message { head: head.clone(), body, is_whole: true };
        self.note(Event::Request(mark.clone(), message));
        if !is_early {
            self.answer(&head, &mark, script.as_ref()).await?;
        }
        match script.map(|script| script.then) {
            None | Some(Then::Keep) => Ok(()),
            Some(Then::Close) => Err(Over),
            Some(Then::Reset) => {
                // What was sent is to be read before the reset, which may overtake it.
                tokio::time::sleep(harness::ms(30)).await;
                socket2::SockRef::from(&self.stream).set_linger(Some(harness::ms(0))).unwrap();
                Err(Over)
            }
        }
    }

    /// Answers as the case says; a switch of protocols that was asked for is a switch.
    async fn answer(
        &mut self,
        head: &Head,
        mark: &str,
        script: Option<&Answer>,
    ) -> Result<(), Over> {
        let Some(script) = script.filter(|script| !script.bytes.is_empty()) else {
            let body = if head.line.starts_with("HEAD ") { "" } else { mark };
            let length = mark.len();
            let answer = format!(
                "HTTP/1.1 200 OK\r\nX-Saw: {mark}\r\nContent-Length: {length}\r\n\r\n{body}"
            );
            return self.write(answer.as_bytes()).await;
        };
        let sent = play::write(&mut self.stream, &script.bytes).await;
        self.note(Event::Answered);
        sent.or(Err(Over))?;
        let is_switch = script.bytes.concat().starts_with(b"HTTP/1.1 101 ");
        if is_switch && head.all("upgrade").next().is_some() {
            // The bytes of another protocol: sent back as they come.
            loop {
                let bytes = std::mem::take(&mut self.buffer);
                self.write(&bytes).await?;
                self.fill().await?;
            }
        }
        Ok(())
    }

    /// What `read` finds in the bytes, once they are all there.
    async fn read<T>(&mut self, read: impl Fn(&[u8]) -> strict::Read<T>) -> Result<T, Over> {
        loop {
            match read(&self.buffer) {
                Ok(Some((found, length))) => {
                    self.buffer.drain(..length);
                    return Ok(found);
                }
                Ok(None) => {}
                Err(why) => {
                    let why = format!("{why} in {}", shown(&self.buffer));
                    self.unreadable(why).await;
                    return Err(Over);
                }
            }
            self.fill().await?;
        }
    }

    async fn fill(&mut self) -> Result<(), Over> {
        self.buffer.reserve(64 * 1024);
        match self.stream.read_buf(&mut self.buffer).await {
            Ok(1..) => Ok(()),
            Ok(0) | Err(_) => Err(Over),
        }
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), Over> {
        self.stream.write_all(bytes).await.or(Err(Over))
    }

    /// Notes it, and answers that it cannot be read.
    async fn unreadable(&mut self, why: String) {
        if let Some(mark) = mark_in(&self.buffer) {
            self.last = mark;
        }
        self.note(Event::Unreadable(why));
        let answer = format!(
            "HTTP/1.1 400 Unreadable\r\nX-Saw: {}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            self.last
        );
        drop(self.write(answer.as_bytes()).await);
    }

    fn note(&self, event: Event) {
        let id = self.last.split('-').next().unwrap_or_default();
        self.seen.events.lock().entry(id.to_owned()).or_default().push(event);
    }
}

/// Whether this is the mark of a request that is sent after the case.
pub(crate) fn is_after(mark: &str) -> bool {
    mark.ends_with("-next") || mark.ends_with("-fresh")
}

/// The first mark in `bytes`: `w0001q`, or with a word, `w0001q-next`.
pub(crate) fn mark_in(bytes: &[u8]) -> Option<String> {
    let is_mark = |window: &[u8]| {
        window[0] == b'w' && window[1..5].iter().all(u8::is_ascii_digit) && window[5] == b'q'
    };
    let at = bytes.windows(6).position(is_mark)?;
    let (id, rest) = bytes[at..].split_at(6);
    let word = match rest {
        [b'-', word @ ..] => 1 + word.iter().take_while(|byte| byte.is_ascii_lowercase()).count(),
        _ => 0,
    };
    let mark = [id, if word > 1 { &rest[..word] } else { &[] }].concat();
    Some(String::from_utf8_lossy(&mark).into_owned())
}

#[test]
fn a_mark_is_found_with_its_word() {
    assert_eq!(mark_in(b"GET /w0012q-next?x HTTP/1.1").as_deref(), Some("w0012q-next"));
    assert_eq!(mark_in(b"x: ww0012q-").as_deref(), Some("w0012q"));
    assert_eq!(mark_in(b"GET /w001q HTTP/1.1"), None);
    assert!(is_after("w0012q-fresh") && !is_after("w0012q"));
}
