//! Sticky sessions: a client comes back to the backend that it had.
//!
//! Which one that is stands in a token that the client carries, in a cookie or a header, and
//! nowhere else: so it survives reloads and restarts, and is the same on every replica with
//! the same key. A token names a session and a backend, says when it was given, and is signed
//! (HMAC-SHA-256); the backend's part is hidden, so that nobody learns which there are.
//! Several keys may be given: the first signs, all are accepted, so a key can be replaced.

use super::hash_key::cookie;
use crate::types::hash::{mix, stable};
use aws_lc_rs::hmac;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use http::{HeaderName, header};
use std::io::Write;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use vanne_filters::{HeadEdits, RequestHead};

/// Session and time of a token.
const OPEN_BYTES: usize = 12;
/// The backend in a token.
const TAG_BYTES: usize = 8;
/// What is signed.
const BODY_BYTES: usize = OPEN_BYTES + TAG_BYTES;
/// How much of the signature is carried: 128 bits.
const MAC_BYTES: usize = 16;
/// A token is given anew when this part of its time is over.
const RENEWED_AFTER: u32 = 8;

/// How the clients of a pool come back to their backends.
pub struct Sticky {
    /// What carries the token.
    pub carrier: Carrier,
    /// How long a token is good for without being used.
    pub ttl: Duration,
    /// The keys: the first signs.
    pub keys: Vec<Key>,
    /// Whether clients of a draining backend stay there.
    pub keeps_draining: bool,
    /// Whether clients of a full backend are refused, instead of going to another one.
    pub refuses_full: bool,
    /// Whether clients of a backend with an open circuit are refused, instead of going to
    /// another one.
    pub refuses_open: bool,
}

/// What carries a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Carrier {
    /// A cookie of this name, with this SameSite.
    Cookie(Box<str>, SameSite),
    /// A header field of this name, in requests and answers.
    Header(HeaderName),
}

/// When browsers send a cookie with requests that other sites cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SameSite {
    /// When a link is followed.
    Lax,
    /// Always; over TLS only.
    None,
    /// Never.
    Strict,
}

impl SameSite {
    fn as_str(self) -> &'static str {
        match self {
            Self::Lax => "Lax",
            Self::None => "None",
            Self::Strict => "Strict",
        }
    }
}

/// A key that signs tokens.
pub struct Key(hmac::Key);

impl Key {
    /// The key of these bytes.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, bytes))
    }

    /// A number that hides a backend in tokens of this session and time.
    fn mask(&self, open: &[u8]) -> u64 {
        let mac = hmac::sign(&self.0, open);
        mac.as_ref().first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes))
    }

    fn sign(&self, body: &[u8]) -> hmac::Tag {
        hmac::sign(&self.0, body)
    }
}

/// What a token says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token {
    /// Names the client's session; at random.
    pub session: u64,
    /// Names a backend ([`tag_of`]).
    pub tag: u64,
    /// When it was given, in seconds since 1970.
    pub issued: u32,
}

/// The number that a backend has in tokens of the pool `pool`.
#[must_use]
pub fn tag_of(pool: &str, backend: &str) -> u64 {
    mix(stable(pool.as_bytes()) ^ stable(backend.as_bytes()))
}

impl Sticky {
    /// The token of a request, if it has one that is good at `now`.
    #[must_use]
    pub fn read(&self, head: &RequestHead<'_>, now: SystemTime) -> Option<Token> {
        let mut found = None;
        match &self.carrier {
            Carrier::Cookie(name, _) => cookie(head, name, |value| found = self.open(value)),
            Carrier::Header(name) => {
                found = head.fields.first(name.as_str()).and_then(|value| self.open(value));
            }
        }
        let age = u64::from(seconds(now)).checked_sub(found?.issued.into());
        // What comes from a clock that is ahead of ours is as good as new.
        found.filter(|_| age.unwrap_or(0) <= self.ttl.as_secs())
    }

    fn open(&self, text: &[u8]) -> Option<Token> {
        let mut bytes = [0; BODY_BYTES + MAC_BYTES];
        let length = BASE64_URL_SAFE_NO_PAD.decode_slice(text, &mut bytes).ok()?;
        let (body, mac) = bytes.get(..length)?.split_at_checked(BODY_BYTES)?;
        let is_of = |key: &&Key| {
            let signed = key.sign(body);
            signed.as_ref().get(..MAC_BYTES).is_some_and(|expected| {
                aws_lc_rs::constant_time::verify_slices_are_equal(expected, mac).is_ok()
            })
        };
        let key = self.keys.iter().find(is_of)?;
        let (open, hidden) = body.split_at_checked(OPEN_BYTES)?;
        let (session, issued) = open.split_first_chunk()?;
        Some(Token {
            session: u64::from_be_bytes(*session),
            tag: u64::from_be_bytes(*hidden.first_chunk()?) ^ key.mask(open),
            issued: u32::from_be_bytes(*issued.first_chunk()?),
        })
    }

    fn seal(&self, token: Token) -> Option<String> {
        let key = self.keys.first()?;
        let mut body = Vec::with_capacity(BODY_BYTES + MAC_BYTES);
        body.extend_from_slice(&token.session.to_be_bytes());
        body.extend_from_slice(&token.issued.to_be_bytes());
        let hidden = token.tag ^ key.mask(&body);
        body.extend_from_slice(&hidden.to_be_bytes());
        let mac = key.sign(&body);
        body.extend_from_slice(mac.as_ref().get(..MAC_BYTES)?);
        Some(BASE64_URL_SAFE_NO_PAD.encode(body))
    }

    /// Gives the client a token for the backend of `tag`, unless the one it has says that
    /// and is young. `is_secure`: a cookie is sent back over TLS only.
    pub fn write(
        &self,
        seen: Seen,
        tag: u64,
        now: SystemTime,
        edits: &mut HeadEdits,
        is_secure: bool,
    ) {
        let issued = seconds(now);
        let lasts = u32::try_from(self.ttl.as_secs()).unwrap_or(u32::MAX);
        let is_young = |token: Token| issued.saturating_sub(token.issued) < lasts / RENEWED_AFTER;
        if seen.token.is_some_and(|token| token.tag == tag && is_young(token)) {
            return;
        }
        let Some(text) = self.seal(Token { session: seen.session, tag, issued }) else { return };
        match &self.carrier {
            Carrier::Header(name) => edits.set(name.clone(), text),
            Carrier::Cookie(name, same_site) => {
                let (same_site, secure) =
                    (same_site.as_str(), if is_secure { "; Secure" } else { "" });
                edits.add_written(header::SET_COOKIE, |out| {
                    // Writing into memory does not fail.
                    drop(write!(
                        out,
                        "{name}={text}; Path=/; Max-Age={lasts}; HttpOnly; SameSite={same_site}{secure}"
                    ));
                });
            }
        }
    }
}

/// What a request says of its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The session: the token's, or a new one.
    pub session: u64,
    /// Its token, if it has one.
    pub token: Option<Token>,
}

fn seconds(time: SystemTime) -> u32 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u32::try_from(since.as_secs()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use vanne_filters::{Edit, FieldSlice, Version};

    const TTL: Duration = Duration::from_secs(800);

    fn sticky(keys: &[&str]) -> Sticky {
        Sticky {
            carrier: Carrier::Cookie("S".into(), SameSite::Lax),
            ttl: TTL,
            keys: keys.iter().map(|key| Key::new(key.as_bytes())).collect(),
            keeps_draining: true,
            refuses_full: false,
            refuses_open: false,
        }
    }

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(1_000_000 + seconds)
    }

    /// What `sticky` sends a client for the backend 7, as it would come back.
    fn given(sticky: &Sticky, seen: Seen, now: SystemTime) -> Option<String> {
        let mut edits = HeadEdits::new();
        sticky.write(seen, 7, now, &mut edits, true);
        edits.iter().next().map(|edit| match edit {
            Edit::Add(_, value) | Edit::Set(_, value) => String::from_utf8(value.to_vec()).unwrap(),
            other => panic!("{other:?}"),
        })
    }

    fn read(sticky: &Sticky, carried: &str, now: SystemTime) -> Option<Token> {
        let fields = [("cookie", carried)];
        let fields = FieldSlice(&fields);
        sticky.read(&RequestHead::new("GET", b"/", Version::Http11, &fields), now)
    }

    const NEW: Seen = Seen { session: 42, token: None };

    #[test]
    fn a_cookie_says_the_session_and_the_backend_until_it_expires() {
        let sticky = sticky(&["key"]);
        let cookie = given(&sticky, NEW, at(0)).unwrap();
        let (pair, attributes) = cookie.split_once("; ").unwrap();
        assert_eq!(attributes, "Path=/; Max-Age=800; HttpOnly; SameSite=Lax; Secure");
        let token = read(&sticky, &format!("a=b; {pair}"), at(800)).unwrap();
        assert_eq!((token.session, token.tag), (42, 7));
        assert_eq!(read(&sticky, pair, at(801)), None);
        // It is given anew when an eighth of its time is over, or for another backend.
        let seen = Seen { session: 42, token: Some(token) };
        assert_eq!(given(&sticky, seen, at(99)), None);
        assert!(given(&sticky, seen, at(100)).is_some());
        let other = Seen { token: Some(Token { tag: 8, ..token }), ..seen };
        assert!(given(&sticky, other, at(1)).is_some());
    }

    #[test]
    fn nobody_else_can_make_or_change_a_token() {
        let sticky = sticky(&["key"]);
        let pair = given(&sticky, NEW, at(0)).unwrap();
        let pair = pair.split(';').next().unwrap();
        for at_byte in 2..pair.len() {
            let mut changed = pair.as_bytes().to_vec();
            changed[at_byte] = if changed[at_byte] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            assert!(read(&sticky, &changed, at(0)).is_none(), "{at_byte}");
        }
        for junk in ["S=", "S=AAAA", "S=!", &format!("{pair}A")] {
            assert_eq!(read(&sticky, junk, at(0)), None, "{junk}");
        }
    }

    #[test]
    fn backends_are_hidden_and_sessions_differ() {
        let sticky = sticky(&["key"]);
        let one = given(&sticky, NEW, at(0)).unwrap();
        let other = given(&sticky, Seen { session: 43, token: None }, at(0)).unwrap();
        let hidden = |text: &str| text.get(2 + 16..2 + 26).unwrap().to_owned();
        assert_ne!(hidden(&one), hidden(&other));
    }

    #[test]
    fn keys_are_replaced_without_losing_anybody() {
        let (old, both, new) = (sticky(&["old"]), sticky(&["new", "old"]), sticky(&["new"]));
        let pair = |cookie: String| cookie.split(';').next().unwrap().to_owned();
        let of_old = pair(given(&old, NEW, at(0)).unwrap());
        assert!(read(&both, &of_old, at(0)).is_some());
        assert!(read(&new, &of_old, at(0)).is_none());
        let of_both = pair(given(&both, NEW, at(0)).unwrap());
        assert!(read(&new, &of_both, at(0)).is_some() && read(&old, &of_both, at(0)).is_none());
    }
}
