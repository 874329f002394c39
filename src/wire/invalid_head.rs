//! What can be wrong with a request's head.
//!
//! The reader only finds that a line is none; what is wrong with it is looked for afterwards,
//! here, so that good heads pay nothing for it.

use super::bytes::is_token;

/// Why a head is none, or can be read in two ways: the first fault that is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvalidHead {
    /// A CR or LF that is not a CR LF (RFC 9112 §2.2).
    BareLineEnd,
    /// White space between a field's name and its colon (RFC 9112 §5.1).
    BlankBeforeColon,
    /// A transfer-coding in HTTP/1.0, which has none (RFC 9112 §6.1).
    CodingInHttp10,
    /// NUL or another control in a field's value (RFC 9110 §5.5).
    ControlInField,
    /// A field over several lines, or white space before the first one (RFC 9112 §2.2, §5.2).
    FoldedLine,
    /// Host is another one than an absolute target names, or `:authority` (RFC 9112 §3.2.2).
    HostMismatch,
    /// Content-Length and Transfer-Encoding (RFC 9112 §6.3).
    LengthAndCoding,
    /// No request line: not three words, or the last is no version.
    Malformed,
    /// A line that is no field: no colon, or a name that is no token (RFC 9110 §5.1).
    MalformedField,
    /// A host that is none (RFC 3986 §3.2.2), or has user information.
    MalformedHost,
    /// A Content-Length that is not one number of digits that fits (RFC 9110 §8.6).
    MalformedLength,
    /// A method that is no token (RFC 9110 §9.1).
    MalformedMethod,
    /// A target in no form, or with bytes that none may have (RFC 9112 §3.2).
    MalformedTarget,
    /// HTTP/1.1 without a Host that says something (RFC 9112 §3.2).
    MissingHost,
    /// More than one Transfer-Encoding, or chunked twice in it (RFC 9112 §6.1).
    SeveralCodings,
    /// More than one Host, also if all are the same (RFC 9112 §3.2).
    SeveralHosts,
    /// More than one Content-Length, also if all are the same (RFC 9110 §8.6).
    SeveralLengths,
    /// More fields than are taken.
    TooManyFields,
    /// A transfer-coding other than chunked (RFC 9112 §6.1).
    UnknownCoding,
    /// A version other than HTTP/1.1 and HTTP/1.0 (RFC 9110 §15.6.6).
    UnknownVersion,
}

impl InvalidHead {
    /// What is wrong with a request line that is none.
    #[cold]
    pub(super) fn of_request_line(line: &[u8]) -> Self {
        let mut words = line.split(|byte| *byte == b' ');
        let (Some(method), Some(version)) = (words.next(), words.next_back()) else {
            return Self::Malformed;
        };
        match version {
            _ if method.is_empty() || !method.iter().all(|byte| is_token(*byte)) => {
                Self::MalformedMethod
            }
            b"HTTP/1.1" | b"HTTP/1.0" => Self::MalformedTarget,
            [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
                if major.is_ascii_digit() && minor.is_ascii_digit() && words.next().is_some() =>
            {
                Self::UnknownVersion
            }
            _ => Self::Malformed,
        }
    }

    /// What is wrong with a field's line that is none.
    #[cold]
    pub(super) fn of_field(line: &[u8]) -> Self {
        let name_bytes = line.iter().take_while(|byte| is_token(**byte)).count();
        match line.get(name_bytes..).unwrap_or_default() {
            [b' ' | b'\t', ..] if name_bytes == 0 => Self::FoldedLine,
            [b':', ..] if name_bytes > 0 => Self::ControlInField,
            [b' ' | b'\t', rest @ ..] if rest.trim_ascii_start().first() == Some(&b':') => {
                Self::BlankBeforeColon
            }
            _ => Self::MalformedField,
        }
    }

    /// What is wrong with a Transfer-Encoding that is not just chunked.
    #[cold]
    pub(super) fn of_coding(value: &[u8]) -> Self {
        let mut codings = value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
        let is_known = codings.all(|coding| coding.eq_ignore_ascii_case(b"chunked"));
        if is_known { Self::SeveralCodings } else { Self::UnknownCoding }
    }
}
