//! Whether two engines did the same: what the client got and what the backend got.
//!
//! What differs without a meaning is taken away here, each with its reason, and nothing else.

use super::cell::{Fate, Received, Seen};
use crate::reading;
use crate::strict::{self, Framing, Head, Message};

/// Where the reason begins in a status line.
const REASON_AT: usize = "HTTP/1.1 200 ".len();

/// What can be compared of a conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    client: Vec<Message>,
    /// What is left behind those.
    rest: Vec<u8>,
    fate: Fate,
    backend: Vec<Received>,
    /// Whether a request was of HTTP/1.0.
    is_http_10: bool,
    /// What nobody may get from either, since a strict reader cannot read it.
    pub(crate) faults: Vec<String>,
}

/// What is to be compared of what was seen when `sent` was sent.
pub(crate) fn told(seen: &Seen, sent: &[u8]) -> Told {
    let requests = reading::requests(sent, sent.len().max(1));
    let mut methods = requests.iter().map(|request| request.line.split(' ').next());
    let (mut client, mut rest) = (Vec::new(), &seen.client[..]);
    let mut method = methods.next().flatten().unwrap_or("GET");
    let mut faults = Vec::new();
    while !rest.is_empty() {
        let (mut message, length) = match message(rest, method, seen.is_reset) {
            Ok(Some(found)) => found,
            Ok(None) => break,
            Err(why) => {
                faults.push(format!("the client got {why}"));
                break;
            }
        };
        rest = &rest[length..];
        let is_switch = message.head.status() == 101;
        let is_final = !message.head.line.starts_with("HTTP/1.1 1");
        if is_final {
            method = methods.next().flatten().unwrap_or("GET");
        }
        // The lean engine drops what is not sent yet when the backend then fails, informational
        // answers too: nobody may count on one.
        if message.head.status() == 502 {
            while client.pop_if(|last: &mut Message| last.head.status() < 200).is_some() {}
        }
        comparable(&mut message.head);
        without_id(&mut message.body);
        client.push(message);
        if is_switch {
            break;
        }
    }
    let is_http_10 = requests.iter().any(|request| !request.is_http_11);
    let mut backend = seen.backend.clone();
    // A body that turns out to be malformed: the head may have left before, or not.
    backend.retain(|received| !matches!(received, Received::Head(_)));
    for received in &mut backend {
        match received {
            Received::Request(Message { head, .. }) | Received::Head(head) => comparable(head),
            Received::Tunnel(_) => {}
            Received::Unreadable(why) => faults.push(format!("the backend got {why}")),
        }
    }
    Told { client, rest: rest.to_vec(), fate: seen.fate, backend, is_http_10, faults }
}

/// The answer at the beginning of `bytes`, whole or not, and its length; or why it cannot be read.
/// After them came an end, or a reset: what has no length is whole at an end only.
fn message(bytes: &[u8], method: &str, is_reset: bool) -> strict::Read<Message> {
    let Some(((head, framing), length)) = strict::answer_head(bytes, method)? else {
        return Ok(None);
    };
    let after = &bytes[length..];
    if let Some((body, more)) = strict::body(after, framing)? {
        return Ok(Some((Message { head, body, is_whole: true }, length + more)));
    }
    let is_whole = framing == Framing::UntilEnd && !is_reset;
    // Where the borders of chunks are has no meaning, also if the last one is not whole.
    let body = if framing == Framing::Chunked { data(after) } else { after.to_vec() };
    Ok(Some((Message { head, body, is_whole }, bytes.len())))
}

/// What is in chunks, as far as they go.
fn data(mut bytes: &[u8]) -> Vec<u8> {
    let mut data = Vec::new();
    while let Some(end) = bytes.windows(2).position(|two| two == b"\r\n") {
        let size = String::from_utf8_lossy(&bytes[..end]);
        let size = size.split(';').next().unwrap_or_default();
        let Ok(size @ 1..) = usize::from_str_radix(size, 16) else { break };
        let rest = &bytes[end + 2..];
        let (chunk, rest) = rest.split_at(size.min(rest.len()));
        data.extend_from_slice(chunk);
        bytes = rest.get(2..).unwrap_or_default();
    }
    data
}

/// Takes away what differs each time. The order of fields of different names has no meaning.
fn comparable(head: &mut Head) {
    // The engine of HTTP/1.1 alone leaves an answer of a backend without one as it is.
    head.fields.retain(|(name, _)| name != "date");
    // Pingora drops a reason that is not ASCII; nobody may read anything out of one.
    if !head.line.is_ascii() && head.line.starts_with("HTTP/") {
        head.line.truncate(REASON_AT);
    }
    for (name, value) in &mut head.fields {
        // Each process has a port of its own, each request an id.
        if matches!(name.as_str(), "x-forwarded-port" | "x-request-id") {
            value.clear();
        }
    }
    head.fields.sort_by(|one, other| one.0.cmp(&other.0));
}

/// Whether both are the same, but for how much came of what was cut, which is a matter of how far
/// the engine had got, and for how long a client of HTTP/1.0 was kept.
pub(crate) fn alike(one: &Told, other: &Told) -> bool {
    let (mut one, mut other) = (one.clone(), other.clone());
    // Pingora looks for `keep-alive` in the first `Connection` only, and closes after an answer
    // without a body that says it has chunks. Whoever speaks HTTP/1.0 has to expect that.
    if one.is_http_10 && (one.fate == Fate::Closed || other.fate == Fate::Closed) {
        one.end_with(&other);
        other.end_with(&one);
    }
    for (one, other) in one.client.iter_mut().zip(&mut other.client) {
        if !one.is_whole && !other.is_whole {
            let length = one.body.len().min(other.body.len());
            one.body.truncate(length);
            other.body.truncate(length);
        }
    }
    one == other
}

/// `body` without the id in a page of ours.
fn without_id(body: &mut Vec<u8>) {
    const BEFORE: &[u8] = b"(request ";
    const ID_BYTES: usize = 32;
    let at = body.windows(BEFORE.len()).position(|window| window == BEFORE);
    if let Some(start) = at.map(|at| at + BEFORE.len()).filter(|at| at + ID_BYTES <= body.len()) {
        body.drain(start..start + ID_BYTES);
    }
}

impl Told {
    /// Leaves out what came after the last answer of `other`, and that it is the last one.
    fn end_with(&mut self, other: &Self) {
        self.client.truncate(other.client.len());
        self.backend.truncate(other.backend.len());
        self.client.iter_mut().for_each(|answer| {
            answer.head.fields.retain(|(name, _)| name != "connection");
        });
        self.fate = Fate::Closed;
        self.rest.clear();
    }

    /// What this is and `other` is not, a line for each part.
    pub(crate) fn beyond(&self, other: &Self) -> String {
        let (mut others, mut beyond) = (other.lines(), Vec::new());
        for line in self.lines() {
            match others.iter().position(|other| *other == line) {
                Some(at) => drop(others.remove(at)),
                None => beyond.push(line),
            }
        }
        beyond.join("\n  ")
    }

    fn lines(&self) -> Vec<String> {
        let mut lines = vec![format!("{:?}", self.fate), self.rest.escape_ascii().to_string()];
        lines.extend(self.faults.iter().cloned());
        for message in &self.client {
            lines.extend(head_lines("client", &message.head));
            lines.push(format!(
                "client: whole {}: {}",
                message.is_whole,
                message.body.escape_ascii()
            ));
        }
        for received in &self.backend {
            match received {
                Received::Request(message) => {
                    lines.extend(head_lines("backend", &message.head));
                    lines.push(format!("backend: {}", message.body.escape_ascii()));
                }
                Received::Head(head) => {
                    lines.extend(head_lines("backend", head));
                    lines.push("backend: no end".into());
                }
                Received::Tunnel(bytes) => lines.push(format!("tunnel: {}", bytes.escape_ascii())),
                Received::Unreadable(why) => lines.push(format!("backend: unreadable: {why}")),
            }
        }
        lines
    }
}

fn head_lines(who: &str, head: &Head) -> Vec<String> {
    let fields = head.fields.iter().map(|(name, value)| format!("{who}: {name}: {value}"));
    std::iter::once(format!("{who}: {}", head.line)).chain(fields).collect()
}
