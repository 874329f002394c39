//! Wire: a strict reading of HTTP/1.1, without I/O.
//!
//! What is dangerous about HTTP/1.1 is that two readers can take the same bytes for
//! different messages. Here is the one reading that counts: where a head ends
//! ([`head_scan`]), what it says about what follows ([`request`], [`response`]), and where
//! a chunked body ends ([`chunked`]). What is ambiguous is refused (RFC 9112; each rule names
//! its section). Bytes in, verdicts and ranges out; nothing is copied.

pub mod bytes;
pub mod chunked;
pub mod fields;
pub mod head_scan;
pub mod invalid_head;
pub mod preface;
pub mod request;
pub mod response;
pub mod unsafe_target;
