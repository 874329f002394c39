//! What is played: cases of the corpus, joined and changed by chance, but the same for a seed.

use crate::case::{Answer, Case, Then};
use fastrand::Rng;

/// Longer ones are cut: what is odd is small.
const SEND_BYTES_MAX: usize = 6_000;
/// Lines that change what a message means.
const LINES: [&str; 18] = [
    "Connection: close\r\n",
    "Connection: keep-alive\r\n",
    "Connection: X-A, Upgrade\r\n",
    "Content-Length: 0\r\n",
    "Content-Length: 3\r\n",
    "Content-Length: 5\r\n",
    "Expect: 100-continue\r\n",
    "Host: a\r\n",
    "Keep-Alive: timeout=5\r\n",
    "Proxy-Connection: keep-alive\r\n",
    "TE: trailers\r\n",
    "Trailer: X-T\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Upgrade: h2c\r\n",
    "Upgrade: websocket\r\n",
    "X-A: \u{e4}\r\n",
    "X-Forwarded-For: 192.0.2.1\r\n",
    "\r\n",
];
/// Words in place of which one of the others may stand.
const WORDS: [&[&str]; 3] = [
    &["GET ", "HEAD ", "POST ", "OPTIONS ", "PUT ", "BREW "],
    &["HTTP/1.1", "HTTP/1.0", "HTTP/1.2"],
    &[" 200 ", " 204 ", " 304 ", " 206 ", " 100 ", " 103 ", " 101 ", " 404 ", " 503 "],
];
const BYTES: &[u8] = b" \t\r\n:;,0189aA-\x00\x7f\xff";

/// A conversation: what the client sends, and what the backend answers the first request.
#[derive(Clone, Debug)]
pub(crate) struct Play {
    /// Piece by piece.
    pub(crate) send: Vec<Vec<u8>>,
    /// `None`: as any other request.
    pub(crate) answer: Option<Vec<Vec<u8>>>,
    pub(crate) then: Then,
}

/// The conversation of this seed.
pub(crate) fn of_seed(seed: u64, cases: &[Case]) -> Play {
    let mut random = Rng::with_seed(seed);
    let case = &cases[random.usize(..cases.len())];
    let mut send = case.send.concat();
    let answer = case.answer.as_ref().filter(|answer| !answer.bytes.is_empty());
    let mut answer = answer.map(|answer: &Answer| answer.bytes.concat());
    // Several requests on one connection.
    for _ in 0..random.usize(0..6).saturating_sub(3) {
        send.extend(cases[random.usize(..cases.len())].send.concat());
    }
    let other = &cases[random.usize(..cases.len())];
    let (sent, answered) = (other.send.concat(), other.answer.as_ref());
    if answer.is_none() || random.bool() {
        change(&mut send, &sent, &mut random);
    }
    if let Some(answer) = &mut answer {
        let other = answered.map_or(Vec::new(), |answer| answer.bytes.concat());
        change(answer, &other, &mut random);
    }
    send.truncate(SEND_BYTES_MAX);
    let then = case.answer.as_ref().map_or(Then::Keep, |answer| answer.then);
    Play {
        send: pieces(send, &mut random),
        answer: answer
            .filter(|answer| !answer.is_empty())
            .map(|answer| pieces(answer, &mut random)),
        then,
    }
}

/// Changes `bytes` a few times, or not at all.
fn change(bytes: &mut Vec<u8>, other: &[u8], random: &mut Rng) {
    for _ in 0..random.usize(0..4) {
        match random.u8(0..9) {
            0 => bytes.truncate(random.usize(0..=bytes.len())),
            1 | 2 => line(bytes, random),
            3 => word(bytes, random),
            4 => {
                // A part of another one.
                let at = random.usize(0..=bytes.len());
                let from = random.usize(0..=other.len());
                let to = random.usize(from..=other.len());
                drop(bytes.splice(at..at, other[from..to].iter().copied()));
            }
            5 => {
                // A part again, or without it.
                let from = random.usize(0..=bytes.len());
                let to = random.usize(from..=bytes.len().min(from + 40));
                let part = if random.bool() { bytes[from..to].repeat(2) } else { Vec::new() };
                drop(bytes.splice(from..to, part));
            }
            _ if bytes.is_empty() => {}
            6 => {
                let at = random.usize(..bytes.len());
                bytes[at] ^= 1 << random.u8(..8);
            }
            7 => {
                let at = random.usize(..bytes.len());
                bytes[at] = BYTES[random.usize(..BYTES.len())];
            }
            _ => {
                let at = random.usize(0..=bytes.len());
                bytes.insert(at, BYTES[random.usize(..BYTES.len())]);
            }
        }
    }
}

/// Puts a line before another one, takes one away, or has one twice.
fn line(bytes: &mut Vec<u8>, random: &mut Rng) {
    let ends: Vec<_> = bytes
        .windows(2)
        .enumerate()
        .filter(|(_, two)| two == b"\r\n")
        .map(|(at, _)| at + 2)
        .collect();
    if ends.len() < 2 {
        return;
    }
    let which = random.usize(..ends.len() - 1);
    let (start, end) = (ends[which], ends[which + 1]);
    let new = match random.u8(0..4) {
        0 => Vec::new(),
        1 => bytes[start..end].repeat(2),
        _ => [LINES[random.usize(..LINES.len())].as_bytes(), &bytes[start..end]].concat(),
    };
    drop(bytes.splice(start..end, new));
}

/// Puts another word of a kind in the place of the first one.
fn word(bytes: &mut Vec<u8>, random: &mut Rng) {
    let words = WORDS[random.usize(..WORDS.len())];
    let new = words[random.usize(..words.len())].as_bytes();
    let places = words.iter().filter_map(|word| {
        let at = bytes.windows(word.len()).position(|window| window == word.as_bytes())?;
        Some(at..at + word.len())
    });
    if let Some(place) = places.min_by_key(|place| place.start) {
        drop(bytes.splice(place, new.iter().copied()));
    }
}

/// `bytes` whole, or cut at up to three places.
fn pieces(bytes: Vec<u8>, random: &mut Rng) -> Vec<Vec<u8>> {
    let mut rest = bytes;
    let mut cuts: Vec<_> =
        (0..random.usize(0..6).saturating_sub(2)).map(|_| random.usize(0..=rest.len())).collect();
    cuts.sort_unstable();
    let mut pieces: Vec<_> = cuts.iter().rev().map(|cut| rest.split_off(*cut)).collect();
    pieces.push(rest);
    pieces.reverse();
    pieces.retain(|piece| !piece.is_empty());
    pieces
}
