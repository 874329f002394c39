//! What of a request chooses its backend, where the same is to meet the same again.

use crate::types::hash;
use std::net::IpAddr;
use vanne_filters::RequestHead;

/// What of a request counts. Where a request lacks it, the client's address does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum HashOn {
    /// The client's address.
    #[default]
    Address,
    /// The value of a header field; the name in lower case.
    Header(Box<str>),
    /// The value of a cookie.
    Cookie(Box<str>),
    /// The value of a parameter in the query, as it stands there.
    Query(Box<str>),
    /// The path, without query.
    Path,
}

impl HashOn {
    /// The key of a request from `client`. Equal in every process.
    /// Cost: no allocation.
    #[must_use]
    pub fn key(&self, head: &RequestHead<'_>, client: IpAddr) -> u64 {
        let found = match self {
            Self::Address => None,
            Self::Header(name) => head.fields.first(name),
            Self::Cookie(name) => return self.cookie(head, name, client),
            Self::Query(name) => query(head.origin_target(), name),
            Self::Path => Some(head.path()),
        };
        found.map_or_else(|| of_address(client), hash::stable)
    }

    fn cookie(&self, head: &RequestHead<'_>, name: &str, client: IpAddr) -> u64 {
        let mut key = None;
        cookie(head, name, |value| key = Some(hash::stable(value)));
        key.unwrap_or_else(|| of_address(client))
    }
}

fn of_address(client: IpAddr) -> u64 {
    match client {
        IpAddr::V4(address) => hash::stable(&address.octets()),
        IpAddr::V6(address) => hash::stable(&address.octets()),
    }
}

/// Calls `found` with the value of the first cookie called `name` (RFC 6265 §4.2).
pub fn cookie(head: &RequestHead<'_>, name: &str, found: impl FnOnce(&[u8])) {
    let mut found = Some(found);
    head.fields.each(&mut |field, value| {
        if found.is_none() || !field.eq_ignore_ascii_case(b"cookie") {
            return;
        }
        for pair in value.split(|&b| b == b';') {
            if let Some(value) = cookie_value(pair, name.as_bytes())
                && let Some(found) = found.take()
            {
                found(value);
            }
        }
    });
}

/// The value in `pair`, what stands between the semicolons of a cookie field, if it is of the cookie
/// called `name`. Blanks around the name are none of it: so servers read it (RFC 6265 §5.2 has
/// browsers do the same).
#[must_use]
pub fn cookie_value<'a>(pair: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let rest = pair.trim_ascii().strip_prefix(name)?;
    rest.trim_ascii_start().strip_prefix(b"=")
}

fn query<'a>(target: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let at = target.iter().position(|&b| b == b'?')?;
    let mut pairs = target.get(at + 1..)?.split(|&b| b == b'&');
    pairs.find_map(|pair| pair.strip_prefix(name.as_bytes())?.strip_prefix(b"="))
}

#[cfg(test)]
mod tests {
    use super::*;
    use vanne_filters::{FieldSlice, Version};

    #[test]
    fn the_key_is_of_what_is_named_and_else_of_the_address() {
        let fields = FieldSlice(&[("X-User", "a"), ("Cookie", "x=1; id=a"), ("cookie", "id=b")]);
        let head = RequestHead::new("GET", b"/p?q=a&id=a", Version::Http11, &fields);
        let client: IpAddr = [192, 0, 2, 1].into();
        let key = |on: HashOn| on.key(&head, client);
        let address = key(HashOn::Address);
        for on in [
            HashOn::Header("x-user".into()),
            HashOn::Cookie("id".into()),
            HashOn::Query("id".into()),
        ] {
            assert_eq!(key(on.clone()), hash::stable(b"a"), "{on:?}");
        }
        assert_eq!(key(HashOn::Path), hash::stable(b"/p"));
        for on in
            [HashOn::Header("x".into()), HashOn::Cookie("i".into()), HashOn::Query("d".into())]
        {
            assert_eq!(key(on.clone()), address, "{on:?}");
        }
    }
}
