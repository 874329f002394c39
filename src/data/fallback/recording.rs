//! Recording: a good answer on its way to a client, copied for the store.
//!
//! Nothing is kept of an answer that is too long, was cut, or is not what its head said.

use super::freshness::{self, Lifetime};
use super::store::{Asked, Permit, RouteCache, Stored};
use crate::wire::chunked::ChunkScan;
use http::{HeaderName, HeaderValue};
use std::time::Instant;
use vanne_filters::{FieldList, ResponseHead};

/// Fields that are of a connection or frame a message, or that are said anew.
const NOT_KEPT: [&str; 11] = [
    "age",
    "connection",
    "content-length",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authentication-info",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// An answer that is being recorded.
pub struct Recording {
    permit: Permit,
    asked: Asked,
    fields: Vec<(HeaderName, HeaderValue)>,
    selected_by: Vec<(usize, Box<[u8]>)>,
    lifetime: Lifetime,
    came: Instant,
    body: Vec<u8>,
    /// How long it is to be, if that was said.
    length: Option<usize>,
    /// How long it may be.
    bytes_max: usize,
    chunks: Option<ChunkScan>,
    is_sound: bool,
}

impl Recording {
    /// Begins with this `head` of an answer to `asked`, if it is to be kept. `is_framed`: the end
    /// of the body is seen otherwise than by its length or its chunks.
    #[must_use]
    pub fn begin(
        asked: Asked,
        head: &ResponseHead<'_>,
        is_framed: bool,
        cache: &RouteCache,
        now: Instant,
    ) -> Option<Self> {
        let lifetime = freshness::lifetime(head, asked.has_cookie, cache.stale_for)?;
        let selected_by = asked.values_of(&freshness::selected_by(head.fields)?);
        let length = head.fields.first("content-length").map(length_of);
        let is_chunked = head.fields.first("transfer-encoding").is_some();
        let is_too_long = length.flatten().is_some_and(|length| length > cache.entry_bytes_max);
        // What ends with its connection may have been cut.
        if !asked.may_keep || is_too_long || !(is_framed || length.is_some() || is_chunked) {
            return None;
        }
        let fields = fields_of(head.fields)?;
        let of_head = fields.iter().map(|(name, value)| name.as_str().len() + value.len());
        let bytes_max = cache.entry_bytes_max.checked_sub(of_head.sum())?;
        let permit = cache.store.permit(&asked, now)?;
        Some(Self {
            permit,
            asked,
            fields,
            selected_by,
            lifetime,
            came: now,
            body: Vec::new(),
            length: length.flatten(),
            bytes_max,
            chunks: None,
            is_sound: true,
        })
    }

    /// Takes in a part of the body. `is_chunked`: the chunks' framing is in it.
    pub fn push(&mut self, part: &[u8], is_chunked: bool) {
        match is_chunked {
            true => self.push_chunks(part),
            false => self.push_data(part),
        }
    }

    fn push_data(&mut self, part: &[u8]) {
        self.is_sound &= self.body.len() + part.len() <= self.bytes_max;
        if self.is_sound {
            self.body.extend_from_slice(part);
        } else {
            self.body = Vec::new();
        }
    }

    fn push_chunks(&mut self, part: &[u8]) {
        let mut scan = self.chunks.unwrap_or_default();
        let of_body = scan.each_data(part, |data| self.push_data(data));
        self.is_sound &= of_body == Ok(part.len());
        self.chunks = Some(scan);
    }

    /// Keeps it: the answer has come to its end.
    pub fn keep(self) {
        let is_whole = self.length.is_none_or(|length| length == self.body.len())
            && self.chunks.is_none_or(|scan| scan.is_done());
        if !self.is_sound || !is_whole {
            return;
        }
        let Self { permit, asked, fields, selected_by, lifetime, came, body, .. } = self;
        permit.put(asked, Stored::new(fields, body.into(), selected_by, came, lifetime));
    }
}

/// A length that is too large for memory is that of nothing that is kept.
fn length_of(text: &[u8]) -> Option<usize> {
    Some(std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).unwrap_or(usize::MAX))
}

/// The fields that are kept; `None` if one cannot be.
fn fields_of(all: &dyn FieldList) -> Option<Vec<(HeaderName, HeaderValue)>> {
    let mut of_connection = Vec::new();
    all.each(&mut |name, value| {
        if name.eq_ignore_ascii_case(b"connection") {
            let names = value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
            of_connection.extend(names.map(<[u8]>::to_ascii_lowercase));
        }
    });
    let (mut kept, mut is_whole) = (Vec::new(), true);
    all.each(&mut |name, value| {
        let name = name.to_ascii_lowercase();
        let is_named = of_connection.contains(&name);
        if is_named || NOT_KEPT.iter().any(|not| not.as_bytes() == name) {
            return;
        }
        let name = HeaderName::from_bytes(&name).ok();
        match name.zip(HeaderValue::from_bytes(value).ok()) {
            Some(field) => kept.push(field),
            None => is_whole = false,
        }
    });
    is_whole.then_some(kept)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::fallback::store::Store;
    use std::sync::Arc;
    use std::time::Duration;
    use vanne_filters::{FieldSlice, RequestHead, Version};

    fn asked() -> Asked {
        let head = RequestHead::new("GET", b"/", Version::Http11, &FieldSlice(&[]));
        Asked::of(&head, false, "r", false).unwrap()
    }

    /// What is in the store after an answer with these fields and parts.
    fn kept(fields: &[(&str, &str)], parts: &[&str], is_chunked: bool) -> Option<Arc<Stored>> {
        let store = Arc::new(Store::new(100_000));
        let stale_for = Duration::from_secs(60);
        let cache = RouteCache { store: Arc::clone(&store), entry_bytes_max: 100, stale_for };
        let head = ResponseHead { status: 200, fields: &FieldSlice(fields) };
        let now = crate::types::clock::now();
        let mut recording = Recording::begin(asked(), &head, false, &cache, now)?;
        parts.iter().for_each(|part| recording.push(part.as_bytes(), is_chunked));
        recording.keep();
        store.find(&asked(), now)
    }

    #[test]
    fn an_answer_that_came_whole_is_kept_without_what_is_of_its_connection() {
        let fields = [
            ("content-length", "4"),
            ("connection", "x-hop"),
            ("X-Hop", "1"),
            ("etag", "\"a\""),
            ("age", "3"),
        ];
        let stored = kept(&fields, &["ab", "cd"], false).unwrap();
        assert_eq!((&stored.body[..], stored.fields.len()), (&b"abcd"[..], 1));
        assert_eq!(stored.fields[0].0, "etag");
        let chunked = [("transfer-encoding", "chunked")];
        let stored = kept(&chunked, &["2\r\nab\r", "\n3;x\r\ncde\r\n0", "\r\n\r\n"], true).unwrap();
        assert_eq!(&stored.body[..], b"abcde");
    }

    #[test]
    fn what_is_cut_too_long_or_not_what_it_said_is_not_kept() {
        let length = |length| [("content-length", length)];
        assert!(kept(&length("4"), &["abc"], false).is_none());
        assert!(kept(&length("4"), &["abcde"], false).is_none());
        assert!(kept(&length("101"), &[], false).is_none());
        assert!(kept(&length("99999999999999999999999"), &[], false).is_none());
        assert!(kept(&[], &["abc"], false).is_none(), "until the connection ends");
        let chunked = [("transfer-encoding", "chunked")];
        assert!(kept(&chunked, &["2\r\nab\r\n"], true).is_none());
        assert!(kept(&chunked, &["0\r\n\r\nmore"], true).is_none());
        let long = format!("65\r\n{}\r\n0\r\n\r\n", "x".repeat(101));
        assert!(kept(&chunked, &[&long], true).is_none());
    }
}
