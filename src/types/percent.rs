//! Percent-encoding that is not needed: `%61` is `a` (RFC 3986 §6.2.2.2).
//!
//! All readers of a path take both for the same, so whatever compares paths compares them with such
//! bytes decoded. Nothing else is: an encoded slash is no slash.

use std::borrow::Cow;

/// `path` with what is encoded there without need decoded; `None`: nothing is. What is decoded makes
/// no encoding with what stands around it.
/// Cost: O(path); allocates only where there is something to decode.
#[must_use]
pub fn plain(path: &[u8]) -> Option<Vec<u8>> {
    let is_needless = |at: &usize| path.get(*at..).and_then(needless).is_some();
    let first = memchr::memchr_iter(b'%', path).find(is_needless)?;
    let (before, mut rest) = path.split_at_checked(first)?;
    let mut out = Vec::with_capacity(path.len());
    out.extend_from_slice(before);
    while let Some((byte, after)) = rest.split_first() {
        let decoded = needless(rest).filter(|byte| !completes(&out, *byte));
        out.push(decoded.unwrap_or(*byte));
        rest = if decoded.is_some() { rest.get(3..)? } else { after };
    }
    (out.len() < path.len()).then_some(out)
}

/// The same of a text of the config.
#[must_use]
pub fn plain_text(path: &str) -> Cow<'_, str> {
    let plain = plain(path.as_bytes()).and_then(|plain| String::from_utf8(plain).ok());
    plain.map_or(Cow::Borrowed(path), Cow::Owned)
}

/// The byte that the encoding at the beginning of `bytes` stands for, if there is one: of three bytes.
#[must_use]
pub fn encoded(bytes: &[u8]) -> Option<u8> {
    let [b'%', high, low, ..] = bytes else { return None };
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    Some(digit(*high)? * 16 + digit(*low)?)
}

/// The same, if the byte needs no encoding.
fn needless(bytes: &[u8]) -> Option<u8> {
    encoded(bytes).filter(|byte| is_unreserved(*byte))
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// Whether `byte` after `before` could end an encoding that was none: in `%%36%31`, which does not
/// mean `%61`.
fn completes(before: &[u8], byte: u8) -> bool {
    byte.is_ascii_hexdigit()
        && match before {
            [.., b'%'] => true,
            [.., b'%', digit] => digit.is_ascii_hexdigit(),
            _ => false,
        }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_needs_no_encoding_is_decoded_and_nothing_else() {
        for (path, want) in [
            ("/", None),
            ("/%2f%5C%3b%20%25", None),
            ("/%", None),
            ("/%6", None),
            ("/%6g%x1", None),
            ("/%%36%31", Some("/%%361")),
            ("/%6%31", None),
            ("/%61%64min", Some("/admin")),
            ("/%2e%2E/%2Fa%7e%5f%2D%30", Some("/../%2Fa~_-0")),
            ("/%2561%61", Some("/%2561a")),
            ("/%%67%31%61", Some("/%g1a")),
            ("/%61%%36%31", Some("/a%%361")),
            ("/%x%61", Some("/%xa")),
        ] {
            let got = plain(path.as_bytes()).map(|plain| String::from_utf8(plain).unwrap());
            assert_eq!(got.as_deref(), want, "{path}");
            assert_eq!(plain_text(path), want.unwrap_or(path));
        }
    }

    proptest! {
        #[test]
        fn once_is_enough_and_what_it_means_stays(path in "[/%2e61fF3]{0,16}") {
            let whole = |path: &[u8]| {
                let mut out = Vec::new();
                let mut rest = path;
                while let Some((first, after)) = rest.split_first() {
                    let byte = encoded(rest);
                    out.push(byte.unwrap_or(*first));
                    rest = if byte.is_some() { &rest[3..] } else { after };
                }
                out
            };
            if let Some(out) = plain(path.as_bytes()) {
                prop_assert_eq!(whole(&out), whole(path.as_bytes()));
                prop_assert_eq!(plain(&out), None);
            }
        }
    }
}
