//! Where a chunked body ends (RFC 9112 §7.1), strictly.
//!
//! Follows the framing byte by byte and says how much of what came belongs to the body,
//! so that nothing of the next request is handed to whoever decodes it. Bare line ends,
//! odd sizes and oversized extensions or trailers are malformed.

use super::bytes::is_token;

/// Longest chunk extension and longest trailer section, in bytes.
const EXTRA_BYTES_MAX: u32 = 8 * 1024;

/// The largest chunk: more than a signed number of 64 bits holds is what readers get wrong.
const CHUNK_BYTES_MAX: u64 = i64::MAX.cast_unsigned();
/// The longest name in [`NOT_IN_TRAILERS`].
const NAME_BYTES: usize = 17;
/// Fields that frame or route a message: after it they would be of the next one, or of a reader
/// that joins them with the head (RFC 9110 §6.5.1).
const NOT_IN_TRAILERS: [&[u8]; 5] =
    [b"connection", b"content-length", b"host", b"trailer", b"transfer-encoding"];

/// Why a chunked body is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvalidChunks {
    /// A line that ends without CR LF, or a chunk that is longer than its size says.
    End,
    /// A control in an extension, or one that is too long.
    Extension,
    /// A field in the trailers that frames or routes a message.
    FramingTrailer,
    /// A size that is not 1 to 16 hexadecimal digits, or too large.
    Size,
    /// A line in the trailers that is no field, or trailers that are too long.
    Trailer,
}

/// A run of bytes of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// How many.
    pub length: usize,
    /// Which.
    pub part: Part,
}

/// What bytes of a chunked body are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// A chunk's own.
    Data,
    /// What frames chunks.
    Framing,
    /// The trailers, with the empty line after them.
    Trailers,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// Before the first digit of a size.
    #[default]
    SizeStart,
    /// In a size.
    Size,
    /// After `;`, to the end of the line.
    Extension,
    /// A size line's LF is due.
    SizeEnd,
    /// In a chunk's bytes.
    Data,
    /// A chunk's CR is due.
    DataCr,
    /// A chunk's LF is due.
    DataLf,
    /// At the start of a trailer line.
    TrailerStart,
    /// In the name of a trailer.
    TrailerName,
    /// In its value.
    Trailer,
    /// A trailer line's LF is due.
    TrailerEnd,
    /// The last LF is due.
    LastLf,
    /// The body is over.
    Done,
}

/// Follows one chunked body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ChunkScan {
    state: State,
    /// Of the present chunk: its size while that is read, then what is left.
    left: u64,
    /// Digits of the size, or bytes of extension or trailers.
    extra: u32,
    /// Of the present trailer.
    name: Name,
}

/// The name of a trailer, as much of it as tells whether it frames or routes a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Name {
    bytes: [u8; NAME_BYTES],
    /// How long it is; no further than one beyond what is kept.
    length: u8,
}

impl Name {
    fn push(&mut self, byte: u8) {
        if let Some(place) = self.bytes.get_mut(usize::from(self.length)) {
            *place = byte.to_ascii_lowercase();
            self.length += 1;
        } else {
            self.length = u8::MAX;
        }
    }

    fn kept(&self) -> Option<&[u8]> {
        self.bytes.get(..usize::from(self.length))
    }
}

impl ChunkScan {
    /// How many of `bytes` belong to the body. All of them until it is [done](Self::is_done).
    /// Cost: O(framing bytes); the chunks' bytes are passed over.
    ///
    /// # Errors
    /// When the framing is malformed; it stays so.
    pub fn scan(&mut self, bytes: &[u8]) -> Result<usize, InvalidChunks> {
        let mut at = 0;
        while let (false, Some(&byte)) = (self.is_done(), bytes.get(at)) {
            if self.state == State::Data {
                at += self.pass(bytes.len() - at);
            } else {
                self.state = self.next(byte)?;
                at += 1;
            }
        }
        Ok(at)
    }

    /// The first run of `bytes` that is all of one part; a length of 0 only if there are none, or
    /// the body is over.
    /// Cost: O(framing bytes).
    ///
    /// # Errors
    /// As [`scan`](Self::scan).
    pub fn run(&mut self, bytes: &[u8]) -> Result<Run, InvalidChunks> {
        if self.state == State::Data {
            return Ok(Run { length: self.pass(bytes.len()), part: Part::Data });
        }
        let part = if self.is_in_trailers() { Part::Trailers } else { Part::Framing };
        let mut length = 0;
        while let (false, Some(&byte)) = (self.is_done(), bytes.get(length)) {
            let begins_trailers = part == Part::Framing && self.is_in_trailers();
            if self.state == State::Data || begins_trailers {
                break;
            }
            self.state = self.next(byte)?;
            length += 1;
        }
        Ok(Run { length, part })
    }

    /// Hands what is in the chunks to `take`: how many of `bytes` belong to the body.
    /// Cost: O(framing bytes).
    ///
    /// # Errors
    /// As [`scan`](Self::scan).
    pub fn each_data(
        &mut self,
        bytes: &[u8],
        mut take: impl FnMut(&[u8]),
    ) -> Result<usize, InvalidChunks> {
        let mut rest = bytes;
        loop {
            let run = self.run(rest)?;
            let Some((these, others)) = rest.split_at_checked(run.length) else { break };
            if these.is_empty() {
                break;
            }
            if run.part == Part::Data {
                take(these);
            }
            rest = others;
        }
        Ok(bytes.len() - rest.len())
    }

    /// How many of `bytes` come before the trailers, and this when it has passed over them.
    /// `bytes` were [scanned](Self::scan) by a copy of it; `None` if no trailers begin there.
    #[must_use]
    pub fn up_to_trailers(mut self, bytes: &[u8]) -> Option<(usize, Self)> {
        let mut at = 0;
        while !self.is_in_trailers() {
            let run = self.run(bytes.get(at..)?).ok().filter(|run| run.length > 0)?;
            at += run.length;
        }
        Some((at, self))
    }

    /// Whether nothing but trailers may follow.
    #[must_use]
    pub fn is_past_data(&self) -> bool {
        self.is_done() || self.is_in_trailers()
    }

    fn is_in_trailers(&self) -> bool {
        matches!(
            self.state,
            State::TrailerStart
                | State::TrailerName
                | State::Trailer
                | State::TrailerEnd
                | State::LastLf
        )
    }

    /// Whether the body is over.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Passes over a chunk's bytes, of which so many are here: how many are its own.
    fn pass(&mut self, here: usize) -> usize {
        let own = self.left.min(here as u64);
        self.left -= own;
        if self.left == 0 {
            self.state = State::DataCr;
        }
        usize::try_from(own).unwrap_or(here)
    }

    fn next(&mut self, byte: u8) -> Result<State, InvalidChunks> {
        match (self.state, byte) {
            (State::SizeStart | State::Size, _) if byte.is_ascii_hexdigit() => self.digit(byte),
            (State::Size, b';') => Ok(self.begin_extra(State::Extension)),
            (State::Size | State::Extension, b'\r') => Ok(State::SizeEnd),
            (State::SizeEnd, b'\n') if self.left == 0 => Ok(self.begin_extra(State::TrailerStart)),
            (State::SizeEnd, b'\n') => Ok(State::Data),
            (State::DataCr, b'\r') => Ok(State::DataLf),
            (State::DataLf, b'\n') => {
                self.extra = 0;
                Ok(State::SizeStart)
            }
            (State::TrailerStart, b'\r') => Ok(State::LastLf),
            (State::TrailerName, b':') => self.end_name(),
            (State::Trailer, b'\r') => Ok(State::TrailerEnd),
            (State::TrailerEnd, b'\n') => Ok(State::TrailerStart),
            (State::LastLf, b'\n') => Ok(State::Done),
            (State::Extension, _) if is_text(byte) => self.extra(State::Extension),
            (State::TrailerStart, _) if is_token(byte) => {
                self.name = Name::default();
                self.name.push(byte);
                self.extra(State::TrailerName)
            }
            (State::TrailerName, _) if is_token(byte) => {
                self.name.push(byte);
                self.extra(State::TrailerName)
            }
            (State::Trailer, _) if is_text(byte) => self.extra(State::Trailer),
            _ => Err(self.fault(byte)),
        }
    }

    /// What is wrong with `byte`, which has no place here.
    #[cold]
    fn fault(&self, byte: u8) -> InvalidChunks {
        match self.state {
            State::Size | State::Extension if byte == b'\n' => InvalidChunks::End,
            State::SizeStart | State::Size => InvalidChunks::Size,
            State::Extension => InvalidChunks::Extension,
            State::TrailerStart | State::TrailerName | State::Trailer | State::TrailerEnd => {
                InvalidChunks::Trailer
            }
            State::SizeEnd
            | State::Data
            | State::DataCr
            | State::DataLf
            | State::LastLf
            | State::Done => InvalidChunks::End,
        }
    }

    fn digit(&mut self, byte: u8) -> Result<State, InvalidChunks> {
        if self.state == State::SizeStart {
            self.left = 0;
            self.extra = 0;
        }
        self.extra += 1;
        let digit = char::from(byte).to_digit(16).ok_or(InvalidChunks::Size)?;
        // No reader need count further; leading zeros are digits too.
        let is_too_large = self.left > CHUNK_BYTES_MAX >> 4 || self.extra > 16;
        self.left = (self.left << 4) + u64::from(digit);
        if is_too_large { Err(InvalidChunks::Size) } else { Ok(State::Size) }
    }

    fn end_name(&self) -> Result<State, InvalidChunks> {
        let is_refused = self.name.kept().is_some_and(|name| NOT_IN_TRAILERS.contains(&name));
        if is_refused { Err(InvalidChunks::FramingTrailer) } else { Ok(State::Trailer) }
    }

    fn begin_extra(&mut self, state: State) -> State {
        self.extra = 0;
        state
    }

    fn extra(&mut self, state: State) -> Result<State, InvalidChunks> {
        self.extra += 1;
        match self.extra <= EXTRA_BYTES_MAX {
            true => Ok(state),
            false if state == State::Extension => Err(InvalidChunks::Extension),
            false => Err(InvalidChunks::Trailer),
        }
    }
}

/// What may be in an extension, or in a trailer's value.
fn is_text(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BODY: &[u8] = b"3;x=\"y\"\r\nabc\r\n0A\r\n0123456789\r\n0\r\nX-T: t\r\n\r\n";

    #[test]
    fn a_body_ends_where_it_ends_however_it_is_split() {
        let all = [BODY, b"GET / HTTP/1.1\r\n"].concat();
        for split in 0..=BODY.len() {
            let (first, second) = all.split_at(split);
            let mut scan = ChunkScan::default();
            let taken = scan.scan(first).unwrap() + scan.scan(second).unwrap();
            assert_eq!((taken, scan.is_done()), (BODY.len(), true), "{split}");
        }
    }

    /// What of `bytes` is `part`.
    fn in_part(bytes: &[u8], scan: &mut ChunkScan, part: Part) -> Vec<u8> {
        let (mut rest, mut found) = (bytes, Vec::new());
        while !rest.is_empty() {
            let run = scan.run(rest).unwrap();
            let (of_run, left) = rest.split_at(run.length);
            found.extend_from_slice(if run.part == part { of_run } else { b"" });
            rest = left;
        }
        found
    }

    #[test]
    fn runs_tell_what_is_data_and_what_are_trailers() {
        for step in 1..=BODY.len() {
            for (part, want) in
                [(Part::Data, &b"abc0123456789"[..]), (Part::Trailers, b"X-T: t\r\n\r\n")]
            {
                let mut scan = ChunkScan::default();
                let found = BODY.chunks(step).map(|bytes| in_part(bytes, &mut scan, part));
                let found = found.collect::<Vec<_>>().concat();
                assert!(scan.is_done());
                assert_eq!(found, want, "{step}");
            }
        }
    }

    #[test]
    fn trailers_begin_after_the_last_chunk_wherever_it_came() {
        let begin = BODY.len() - b"X-T: t\r\n\r\n".len();
        for split in 0..=BODY.len() {
            let (first, second) = BODY.split_at(split);
            let mut scan = ChunkScan::default();
            scan.scan(first).unwrap();
            assert_eq!(scan.is_past_data(), split >= begin, "{split}");
            let found = scan.up_to_trailers(second).map(|(at, _)| at);
            assert_eq!(found, (split < BODY.len()).then(|| begin.saturating_sub(split)));
        }
    }

    #[test]
    fn what_readers_could_take_differently_is_malformed() {
        for (body, fault) in [
            (&b"3\nabc\r\n"[..], InvalidChunks::End),
            (b"\r\n", InvalidChunks::Size),
            (b"g\r\n", InvalidChunks::Size),
            (b" 3\r\n", InvalidChunks::Size),
            (b"3 \r\n", InvalidChunks::Size),
            (b"0x3\r\n", InvalidChunks::Size),
            (b"3\r\nabcd\r\n", InvalidChunks::End),
            (b"3\r\nabc\n", InvalidChunks::End),
            (b"3\rabc", InvalidChunks::End),
            (b"3;a\nb\r\n", InvalidChunks::End),
            (b"3;a\0\r\n", InvalidChunks::Extension),
            (b"00000000000000003\r\n", InvalidChunks::Size),
            (b"fffffffffffffffff\r\n", InvalidChunks::Size),
            (b"8000000000000000\r\n", InvalidChunks::Size),
            (b"0\r\n folded\r\n", InvalidChunks::Trailer),
            (b"0\r\nA\r\n", InvalidChunks::Trailer),
            (b"0\r\nA : b\r\n", InvalidChunks::Trailer),
            (b"0\r\n: b\r\n", InvalidChunks::Trailer),
            (b"0\r\nContent-Length: 3\r\n", InvalidChunks::FramingTrailer),
            (b"0\r\nA: b\r\ntransfer-encoding: chunked\r\n", InvalidChunks::FramingTrailer),
            (b"0\r\nA: b\nC: d\r\n\r\n", InvalidChunks::Trailer),
            (b"0\r\n\n", InvalidChunks::Trailer),
            (b"0\r\n\r\r", InvalidChunks::End),
        ] {
            assert_eq!(ChunkScan::default().scan(body), Err(fault), "{body:?}");
        }
        for (start, fault) in
            [(&b"3;"[..], InvalidChunks::Extension), (b"0\r\nA:", InvalidChunks::Trailer)]
        {
            let long = [start, &[b'x'; 9000]].concat();
            assert_eq!(ChunkScan::default().scan(&long), Err(fault));
        }
    }

    proptest! {
        #[test]
        fn any_chunks_are_passed_over(sizes in proptest::collection::vec(1_usize..5000, 0..10)) {
            let mut body = Vec::new();
            for size in &sizes {
                body.extend(format!("{size:x}\r\n").into_bytes());
                body.extend(std::iter::repeat_n(b'\r', *size));
                body.extend(b"\r\n");
            }
            body.extend(b"0\r\n\r\n");
            let mut scan = ChunkScan::default();
            prop_assert_eq!(scan.scan(&body), Ok(body.len()));
            prop_assert!(scan.is_done());
        }
    }
}
