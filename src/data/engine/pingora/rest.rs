//! What is still to come of an answer's body, as far as hooks can tell.
//!
//! Pingora says of a part whether it is the last, and of a head does not; and a backend may end a
//! stream long after the last byte of its content-length. A client of HTTP/1 has the whole answer
//! with that byte. Clients of HTTP/2 have it when their stream ends, and a session of our own
//! sees that (`stream_session`).

use http::header::CONTENT_LENGTH;
use pingora_http::ResponseHeader;

/// What is still to come of an answer's body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Rest {
    /// Until the last part.
    Open,
    /// So many bytes.
    Bytes(u64),
    /// It was told that there is nothing, or others tell it.
    #[default]
    Told,
}

impl Rest {
    /// What follows `head`; `is_to_head`: it answers HEAD.
    pub(super) fn of(head: &ResponseHeader, is_to_head: bool) -> Self {
        if is_to_head || matches!(head.status.as_u16(), 204 | 304) {
            return Self::Bytes(0);
        }
        if head.status.as_u16() == 101 {
            return Self::Open;
        }
        let length = head.headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok());
        length.and_then(|length| length.parse().ok()).map_or(Self::Open, Self::Bytes)
    }

    /// So many bytes came; `is_last`: no more will. Whether the answer is whole now: once.
    pub(super) fn pass(&mut self, bytes: usize, is_last: bool) -> bool {
        *self = match *self {
            Self::Told => return false,
            _ if is_last => Self::Bytes(0),
            Self::Bytes(left) => Self::Bytes(left.saturating_sub(bytes as u64)),
            Self::Open => Self::Open,
        };
        let is_whole = *self == Self::Bytes(0);
        if is_whole {
            *self = Self::Told;
        }
        is_whole
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Which of these parts (bytes, last?) ends an answer with this status and length.
    fn ends(
        status: u16,
        length: Option<&str>,
        is_to_head: bool,
        parts: &[(usize, bool)],
    ) -> Vec<bool> {
        let mut head = ResponseHeader::build(status, None).unwrap();
        if let Some(length) = length {
            head.insert_header(CONTENT_LENGTH, length).unwrap();
        }
        let mut rest = Rest::of(&head, is_to_head);
        [(0, false)].iter().chain(parts).map(|(bytes, last)| rest.pass(*bytes, *last)).collect()
    }

    #[test]
    fn an_answer_is_whole_once() {
        for (status, length, is_to_head, parts, want) in [
            (200, None, false, &[(3, false), (0, true)][..], &[false, false, true][..]),
            (
                200,
                Some("3"),
                false,
                &[(2, false), (1, false), (0, true)],
                &[false, false, true, false],
            ),
            (200, Some("9"), true, &[], &[true]),
            (413, Some("0"), false, &[], &[true]),
            (204, None, false, &[], &[true]),
            (304, Some("9"), false, &[], &[true]),
            (101, None, false, &[(3, false)], &[false, false]),
        ] {
            assert_eq!(ends(status, length, is_to_head, parts), want, "{status} {length:?}");
        }
    }
}
