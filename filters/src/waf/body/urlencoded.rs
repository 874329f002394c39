//! `application/x-www-form-urlencoded`: forms and query strings.

use super::{Fault, Fields, Limits};
use crate::waf::transform::decode_into;
use memchr::{memchr, memchr2};

/// Gives each pair of `body` (a query string without `?`, or a form) as an argument, decoded.
///
/// `separator`, which is `&` for all the world, stands between pairs and `+` is a space; a `%` that
/// begins no escape stays; an empty pair is none. Cost: O(n); allocates only when a name or value
/// has an escape.
///
/// # Errors
/// [`Fault::Arguments`].
pub fn urlencoded(
    body: &[u8],
    separator: u8,
    limits: Limits,
    out: &mut impl Fields,
) -> Result<(), Fault> {
    let (mut name_buffer, mut value_buffer) = (Vec::new(), Vec::new());
    let mut left = limits.arguments;
    let mut rest = body;
    while !rest.is_empty() {
        let (pair, tail) = rest.split_at(memchr(separator, rest).unwrap_or(rest.len()));
        rest = tail.get(1..).unwrap_or_default();
        if pair.is_empty() {
            continue;
        }
        left = left.checked_sub(1).ok_or(Fault::Arguments(limits.arguments))?;
        let (name, value) = match memchr(b'=', pair) {
            Some(at) => (pair.get(..at), pair.get(at + 1..)),
            None => (Some(pair), None),
        };
        let name = decoded(name.unwrap_or_default(), &mut name_buffer);
        out.argument(name, decoded(value.unwrap_or_default(), &mut value_buffer));
    }
    Ok(())
}

fn decoded<'a>(text: &'a [u8], buffer: &'a mut Vec<u8>) -> &'a [u8] {
    if memchr2(b'%', b'+', text).is_none() {
        return text;
    }
    buffer.clear();
    decode_into(text, buffer);
    buffer
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::waf::body::tests::{Found, found};

    fn pairs(body: &str) -> Found {
        found(|out| urlencoded(body.as_bytes(), b'&', Limits::default(), out))
    }

    #[test]
    fn pairs_are_decoded() {
        let body = "a=1&b+c=%3Cx%3e&&d&=e&a=2&f=g=h&%&i=%4&j=100%25%zz";
        let expected = ["a=1", "b c=<x>", "d=", "=e", "a=2", "f=g=h", "%=", "i=%4", "j=100%%zz"];
        assert_eq!(pairs(body).arguments, expected);
        assert!(pairs("").arguments.is_empty() && pairs("&&").arguments.is_empty());
    }

    #[test]
    fn arguments_are_bounded() {
        let limits = Limits { arguments: 2, ..Limits::default() };
        let all = found(|out| urlencoded(b"a&b&", b'&', limits, out));
        assert_eq!((all.arguments.len(), all.fault), (2, None));
        let cut = found(|out| urlencoded(b"a&b&c", b'&', limits, out));
        assert_eq!((cut.arguments.len(), cut.fault), (2, Some(Fault::Arguments(2))));
    }
}
