//! Messages as the codec reads them, from bytes that come in pieces.
//!
//! Only what an engine does with the codec: it finds a head, reads it, and follows the body to its
//! end; then the next one. Nothing is judged here.

use vanne::wire::chunked::{ChunkScan, Part};
use vanne::wire::fields::{Fields, read_trailers};
use vanne::wire::head_scan::{HeadScan, Scan};
use vanne::wire::request::{self, RequestIndex};
use vanne::wire::response::{self, ResponseIndex};

/// A message as one reader reads it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// Method and target, or the status.
    pub line: String,
    pub is_http_11: bool,
    /// Names in lower case, sorted; the fields of one name in their order.
    pub fields: Vec<(String, Vec<u8>)>,
    /// Without its framing, as far as it goes.
    pub body: Vec<u8>,
    /// As the fields.
    pub trailers: Vec<(String, Vec<u8>)>,
    pub end: End,
}

/// How a message ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum End {
    /// Where it should.
    #[default]
    Whole,
    /// There is more to come.
    Cut,
    /// In chunks that are none.
    Malformed,
}

/// What follows a head, of a request or of an answer.
enum Framing {
    Length(u64),
    Chunked,
    UntilClose,
}

/// The requests in `bytes`, which come in pieces of `step`, up to the first that is refused or
/// not whole.
pub fn requests(bytes: &[u8], step: usize) -> Vec<Message> {
    let (mut found, mut rest) = (Vec::new(), bytes);
    let mut index = RequestIndex::default();
    while let Some((head, after)) = head(rest, step) {
        if index.read(head).is_err() {
            break;
        }
        let target = String::from_utf8_lossy(index.target(head));
        let mut message = Message {
            line: format!("{} {target}", index.method(head)),
            is_http_11: index.is_http_11(),
            fields: sorted(index.fields(head)),
            ..Message::default()
        };
        let framing = match index.body {
            request::Body::None => Framing::Length(0),
            request::Body::Length(length) => Framing::Length(length),
            request::Body::Chunked => Framing::Chunked,
        };
        rest = message.read_body(after, &framing, step);
        let is_last = message.end != End::Whole;
        found.push(message);
        if is_last {
            break;
        }
    }
    found
}

/// The answers in `bytes` to one request, which was HEAD or not: informational ones and the final
/// one, up to the first that is refused.
pub fn answers(bytes: &[u8], is_to_head: bool, step: usize) -> Vec<Message> {
    let (mut found, mut rest) = (Vec::new(), bytes);
    let mut index = ResponseIndex::default();
    while let Some((head, after)) = head(rest, step) {
        if index.read(head, is_to_head).is_err() {
            break;
        }
        let mut message = Message {
            line: index.status.to_string(),
            is_http_11: head.starts_with(b"HTTP/1.1"),
            fields: sorted(index.fields(head)),
            ..Message::default()
        };
        let framing = match index.body {
            response::Body::None => Framing::Length(0),
            response::Body::Length(length) => Framing::Length(length),
            response::Body::Chunked => Framing::Chunked,
            response::Body::UntilClose => Framing::UntilClose,
        };
        rest = message.read_body(after, &framing, step);
        found.push(message);
        if !(100..200).contains(&index.status) || index.status == 101 {
            break;
        }
    }
    found
}

/// The head at the beginning of `bytes`, which come in pieces of `step`, and what follows it.
fn head(bytes: &[u8], step: usize) -> Option<(&[u8], &[u8])> {
    let mut scan = HeadScan::default();
    let ends = (step..bytes.len()).step_by(step).chain([bytes.len()]);
    ends.map(|end| scan.scan(&bytes[..end])).find_map(|scan| match scan {
        Scan::Partial => None,
        Scan::Complete(length) => Some(Some(bytes.split_at(length))),
        Scan::Malformed | Scan::TooLarge => Some(None),
    })?
}

fn sorted(fields: Fields<'_>) -> Vec<(String, Vec<u8>)> {
    let lower = |name: &[u8]| String::from_utf8_lossy(name).to_ascii_lowercase();
    let mut all: Vec<_> =
        fields.iter().map(|(name, value)| (lower(name), value.to_vec())).collect();
    all.sort_by(|one, other| one.0.cmp(&other.0));
    all
}

impl Message {
    /// Takes the body out of `bytes`: what is left.
    fn read_body<'a>(&mut self, bytes: &'a [u8], framing: &Framing, step: usize) -> &'a [u8] {
        match *framing {
            Framing::Length(length) => {
                let here = bytes.len().min(usize::try_from(length).unwrap_or(usize::MAX));
                let (body, rest) = bytes.split_at(here);
                self.body = body.to_vec();
                self.end = if here as u64 == length { End::Whole } else { End::Cut };
                rest
            }
            Framing::UntilClose => {
                self.body = bytes.to_vec();
                &[]
            }
            Framing::Chunked => self.read_chunks(bytes, step),
        }
    }

    fn read_chunks<'a>(&mut self, bytes: &'a [u8], step: usize) -> &'a [u8] {
        let (mut scan, mut taken, mut trailers) = (ChunkScan::default(), 0, Vec::new());
        for piece in bytes.chunks(step) {
            let mut rest = piece;
            while !rest.is_empty() && !scan.is_done() {
                let Ok(run) = scan.run(rest) else {
                    self.end = End::Malformed;
                    return &[];
                };
                let (of_run, left) = rest.split_at(run.length);
                match run.part {
                    Part::Data => self.body.extend_from_slice(of_run),
                    Part::Trailers => trailers.extend_from_slice(of_run),
                    Part::Framing => {}
                }
                taken += run.length;
                rest = left;
            }
        }
        self.end = if scan.is_done() { End::Whole } else { End::Cut };
        let mut list = Vec::new();
        if scan.is_done() && read_trailers(&trailers, &mut list).is_err() {
            self.end = End::Malformed;
        }
        self.trailers = sorted(Fields { head: &trailers, list: &list });
        &bytes[taken..]
    }
}
