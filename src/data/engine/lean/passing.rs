//! The body of an answer on its way to a client of HTTP/1: as it came, or framed anew for a
//! client that would not understand it.

use super::input::Input;
use crate::data::listener::client_io::ClientIo;
use crate::data::upstream::Fault;
use crate::wire::chunked::{ChunkScan, Part};
use crate::wire::response::Body;
use std::io::IoSlice;
use std::task::{Context, Poll, ready};

/// Bytes of one chunk, where we make chunks.
const CHUNK_BYTES_MAX: usize = 8 * 1024;
/// The longest line before and after such a chunk.
const CHUNK_LINES_MAX: usize = 16;

/// How a body is passed on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Passing {
    /// It is over.
    #[default]
    Done,
    /// So many bytes more.
    Length(u64),
    /// Chunks, as they came. So many bytes of them are known to belong to it.
    Chunks(ChunkScan, usize),
    /// What is in the chunks. So many bytes of it are here.
    Data(ChunkScan, usize),
    /// All until the connection ends.
    UntilClose,
    /// The same, in chunks of ours.
    IntoChunks,
}

impl Passing {
    /// How `body` gets to a client that knows chunks, or not.
    pub(super) fn new(body: Body, knows_chunks: bool) -> Self {
        match (body, knows_chunks) {
            (Body::None, _) => Self::Done,
            (Body::Length(length), _) => Self::Length(length),
            (Body::Chunked, true) => Self::Chunks(ChunkScan::default(), 0),
            (Body::Chunked, false) => Self::Data(ChunkScan::default(), 0),
            (Body::UntilClose, true) => Self::IntoChunks,
            (Body::UntilClose, false) => Self::UntilClose,
        }
    }

    /// How `body` gets to whoever takes chunks apart himself, and knows when the connection ends.
    pub(super) fn of(body: Body) -> Self {
        match body {
            Body::UntilClose => Self::UntilClose,
            body => Self::new(body, true),
        }
    }

    /// Whether the client sees its end, other than by the end of the connection.
    pub(super) fn is_framed(self) -> bool {
        !matches!(self, Self::Data(..) | Self::UntilClose)
    }

    /// Passes on what is in `input`. `Ready(true)` at the end of the body, `Ready(false)` when
    /// more has to come.
    ///
    /// # Errors
    /// When the body is framed wrongly, or the client is gone.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        input: &mut Input,
        io: &mut ClientIo,
    ) -> Poll<Result<bool, Fault>> {
        loop {
            if *self == Self::Done {
                return Poll::Ready(Ok(true));
            }
            if let Self::IntoChunks = self {
                return poll_chunk(cx, input, io);
            }
            // Only for clients of HTTP/1.0 are chunks taken apart here, and they know no trailers.
            let length = self.look(input, &mut Vec::new())?;
            if *self == Self::Done {
                continue;
            }
            if length == 0 {
                return Poll::Ready(Ok(false));
            }
            let bytes = input.bytes().get(..length).unwrap_or_default();
            let written = io.poll_write(cx, &[IoSlice::new(bytes)]);
            let written = ready!(written).map_err(|_error| Fault::ClientGone)?;
            input.consume(written);
            self.passed(written);
        }
    }

    /// How many of the bytes in `input` may be passed on now. Framing that is not passed on is
    /// dropped from it; the lines of trailers go to `trailers` then.
    ///
    /// # Errors
    /// When the body is framed wrongly.
    pub(super) fn look(
        &mut self,
        input: &mut Input,
        trailers: &mut Vec<u8>,
    ) -> Result<usize, Fault> {
        let here = input.bytes().len();
        match self {
            Self::Done | Self::IntoChunks => Ok(0),
            Self::UntilClose => Ok(here),
            Self::Length(left) => Ok(usize::try_from(*left).map_or(here, |left| left.min(here))),
            Self::Chunks(scan, granted) => {
                let new = input.bytes().get(*granted..).unwrap_or_default();
                *granted += scan.scan(new).map_err(|_bad| Fault::BackendMalformed)?;
                Ok(*granted)
            }
            Self::Data(scan, granted) => {
                if *granted == 0 {
                    *granted = next_data(scan, input, trailers)?;
                }
                let (granted, is_done) = (*granted, scan.is_done());
                if granted == 0 && is_done {
                    *self = Self::Done;
                }
                Ok(granted)
            }
        }
    }

    /// So many bytes were passed on.
    pub(super) fn passed(&mut self, count: usize) {
        match self {
            Self::Done | Self::UntilClose | Self::IntoChunks => {}
            Self::Length(left) => {
                *left = left.saturating_sub(count as u64);
                if *left == 0 {
                    *self = Self::Done;
                }
            }
            Self::Chunks(scan, granted) => {
                *granted = granted.saturating_sub(count);
                if *granted == 0 && scan.is_done() {
                    *self = Self::Done;
                }
            }
            Self::Data(_, granted) => *granted = granted.saturating_sub(count),
        }
    }

    /// The backend has ended its connection.
    ///
    /// # Errors
    /// When that is not how the body ends.
    pub(super) fn end(&mut self, io: &mut ClientIo) -> Result<(), Fault> {
        match self {
            Self::Done | Self::UntilClose => {}
            Self::IntoChunks => io.collect(&[b"0\r\n\r\n"]),
            Self::Length(_) | Self::Chunks(..) | Self::Data(..) => {
                return Err(Fault::BackendClosed);
            }
        }
        *self = Self::Done;
        Ok(())
    }
}

/// Drops framing from `input` until there is data: how many bytes of it are here.
fn next_data(
    scan: &mut ChunkScan,
    input: &mut Input,
    trailers: &mut Vec<u8>,
) -> Result<usize, Fault> {
    loop {
        let run = scan.run(input.bytes()).map_err(|_bad| Fault::BackendMalformed)?;
        if run.part == Part::Data || run.length == 0 {
            return Ok(run.length);
        }
        if run.part == Part::Trailers {
            trailers.extend_from_slice(input.bytes().get(..run.length).unwrap_or_default());
        }
        input.consume(run.length);
    }
}

/// Passes on what is in `input` as a chunk of ours.
fn poll_chunk(
    cx: &mut Context<'_>,
    input: &mut Input,
    io: &mut ClientIo,
) -> Poll<Result<bool, Fault>> {
    while !input.bytes().is_empty() {
        let length = input.bytes().len().min(CHUNK_BYTES_MAX);
        let room = io.poll_room(cx, length + CHUNK_LINES_MAX);
        ready!(room).map_err(|_error| Fault::ClientGone)?;
        let data = input.bytes().get(..length).unwrap_or_default();
        io.collect(&[format!("{length:x}\r\n").as_bytes(), data, b"\r\n"]);
        input.consume(length);
    }
    Poll::Ready(Ok(false))
}
