//! Format strings: a text with fields in it. What is not known is `-`.

use super::capture::Captured;
use super::value::{self, TEXT, Value, View};
use crate::types::log_field::LogField;

/// A part of a format string, with captured fields by their place in the plan.
#[derive(Clone, Debug)]
pub enum Piece {
    /// This text.
    Text(Box<str>),
    /// A field.
    Field(LogField),
    /// A captured field of the request's head.
    RequestHeader(usize),
    /// A captured field of the answer's head.
    ResponseHeader(usize),
}

/// Appends the line of `view`.
pub(super) fn write(pieces: &[Piece], view: &View<'_>, out: &mut Vec<u8>) {
    let texts = view.exchange.texts();
    let captured = |captured: &Captured, index, out: &mut Vec<u8>| match captured.value(index) {
        None => out.push(b'-'),
        Some(text) => value::target(view.plan, text, out, TEXT),
    };
    for piece in pieces {
        match piece {
            Piece::Text(text) => out.extend_from_slice(text.as_bytes()),
            Piece::Field(field) => write_value(view.value(*field), view, out),
            Piece::RequestHeader(index) => captured(&texts.captured, *index, out),
            Piece::ResponseHeader(index) => captured(&texts.captured_answer, *index, out),
        }
    }
}

fn write_value(value: Value<'_>, view: &View<'_>, out: &mut Vec<u8>) {
    match value {
        Value::Raw(text) => TEXT(text, out),
        Value::Target(text) => value::target(view.plan, text, out, TEXT),
        Value::Attempts => value::integer(view.exchange.attempts.len() as u64, out),
        // Each of them has a name of its own.
        Value::None | Value::Headers => out.push(b'-'),
        plain => plain.write_plain(out),
    }
}
