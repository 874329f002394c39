//! Keys that programs show: long random texts, of which only the SHA-256 is known here.
//!
//! A key of 256 random bits cannot be found by trying, however fast the hash is: a slow one, as
//! passwords need it, would protect nothing and cost every request. Looked up by the whole hash
//! in a table with a secret of its own, so the time of a look says nothing about other keys.

use super::denied::Denied;
use super::proof::Proof;
use crate::types::ids::IdentityId;
use aws_lc_rs::digest::{SHA256, digest};
use jiff::Timestamp;
use serde_json::Map;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::SystemTime;

/// Keys of one file at most.
pub const KEYS_MAX: usize = 100_000;
/// The longest key that is looked at.
const KEY_BYTES_MAX: usize = 512;
/// The longest name of who has a key.
const NAME_BYTES_MAX: usize = 64;

type Print = [u8; 32];

/// The keys of a file.
#[derive(Default)]
pub struct Ring(HashMap<Print, Holder>);

/// Who has a key.
struct Holder {
    proof: Arc<Proof>,
    /// In seconds of Unix time.
    until: Option<u64>,
}

fn print(key: &[u8]) -> Print {
    digest(&SHA256, key).as_ref().try_into().unwrap_or_default()
}

impl Ring {
    /// The keys in `text`: a line for each, `NAME SHA-256`, and after it what goes for that key:
    /// `scopes=a,b`, `until=2027-01-31T00:00:00Z`. Lines that begin with `#` say nothing.
    ///
    /// # Errors
    /// Which line is none, and why.
    pub fn read(of: &IdentityId, text: &str) -> Result<Self, String> {
        let mut keys = HashMap::new();
        for (at, line) in text.lines().map(str::trim).enumerate() {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let at = |why: &str| format!("line {}: {why}", at + 1);
            let (print, holder) = holder(of, line).map_err(|why| at(&why))?;
            if keys.insert(print, holder).is_some() {
                return Err(at("this key is there twice"));
            }
            if keys.len() > KEYS_MAX {
                return Err(format!("holds more than {KEYS_MAX} keys"));
            }
        }
        match keys.is_empty() {
            true => Err("holds no key: expected a line that `vanne api-key` printed".to_owned()),
            false => Ok(Self(keys)),
        }
    }

    /// Who has `key`, if it is good at `wall`, in seconds of Unix time.
    ///
    /// # Errors
    /// When nobody has it, or not any more.
    /// Cost: a hash and a look; no allocation.
    pub fn find(&self, key: &[u8], wall: u64) -> Result<Arc<Proof>, Denied> {
        if key.len() > KEY_BYTES_MAX {
            return Err(Denied::TooLong);
        }
        let holder = self.0.get(&print(key)).ok_or(Denied::ApiKeyUnknown)?;
        match holder.until {
            Some(until) if wall >= until => Err(Denied::ApiKeyExpired),
            _ => Ok(Arc::clone(&holder.proof)),
        }
    }
}

fn holder(of: &IdentityId, line: &str) -> Result<(Print, Holder), String> {
    let mut words = line.split_ascii_whitespace();
    let (Some(name), Some(hash)) = (words.next(), words.next()) else {
        return Err("expected `NAME SHA-256`, as `vanne api-key` prints it".to_owned());
    };
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"._-@".contains(&byte);
    if name.len() > NAME_BYTES_MAX || !name.bytes().all(is_part) {
        return Err("not a name: expected 1 to 64 of a-z A-Z 0-9 . _ - @".to_owned());
    }
    let print = unhex(hash).ok_or("not a SHA-256: expected 64 hexadecimal digits")?;
    let mut claims = Map::new();
    claims.insert("sub".to_owned(), name.into());
    let mut until = None;
    for word in words {
        match word.split_once('=') {
            Some(("scopes", scopes)) => {
                claims.insert("scope".to_owned(), scopes.replace(',', " ").into());
            }
            Some(("until", time)) => {
                let time: Timestamp = time
                    .parse()
                    .map_err(|_form| "not a time: expected one like 2027-01-31T00:00:00Z")?;
                let since = SystemTime::from(time).duration_since(SystemTime::UNIX_EPOCH);
                until = Some(since.unwrap_or_default().as_secs());
            }
            _ => return Err(format!("`{word}`: expected `scopes=a,b` or `until=TIME`")),
        }
    }
    let proof = Arc::new(Proof::of(of, claims, ("sub", "scope")));
    Ok((print, Holder { proof, until }))
}

fn unhex(text: &str) -> Option<Print> {
    let mut out = Print::default();
    if text.len() != 2 * out.len() {
        return None;
    }
    for (byte, pair) in out.iter_mut().zip(text.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(key: &str) -> String {
        print(key.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn read(text: &str) -> Result<Ring, String> {
        Ring::read(&"keys".parse().unwrap(), text)
    }

    #[test]
    fn a_key_is_good_until_its_time_and_no_other_is() {
        let text = format!(
            "# partners\n\nann {} scopes=read,write until=2027-01-31T00:00:00Z\nbob {}\n",
            hash("one"),
            hash("two").to_uppercase()
        );
        let ring = read(&text).unwrap();
        let end = 1_801_353_600;
        let ann = ring.find(b"one", end - 1).unwrap();
        assert!(ann.user.as_deref() == Some("ann") && ann.may(&["write".into(), "read".into()]));
        assert_eq!(ring.find(b"one", end).err(), Some(Denied::ApiKeyExpired));
        assert_eq!(ring.find(b"two", u64::MAX).unwrap().user.as_deref(), Some("bob"));
        assert_eq!(ring.find(b"three", 0).err(), Some(Denied::ApiKeyUnknown));
        assert_eq!(ring.find(hash("one").as_bytes(), 0).err(), Some(Denied::ApiKeyUnknown));
        assert_eq!(ring.find(&[b'a'; 513], 0).err(), Some(Denied::TooLong));
    }

    #[test]
    fn a_line_that_is_none_is_named() {
        let good = hash("one");
        for (text, why) in [
            ("", "holds no key"),
            ("ann", "line 1: expected"),
            ("ann 12", "line 1: not a SHA-256"),
            ("a/b 12", "line 1: not a name"),
            (&*format!("\nann {good}\nbob {good}"), "line 3: this key is there twice"),
            (&*format!("ann {good} role=x"), "line 1: `role=x`"),
            (&*format!("ann {good} until=tomorrow"), "line 1: not a time"),
        ] {
            let said = read(text).err().unwrap();
            assert!(said.starts_with(why), "{text:?}: {said}");
        }
    }
}
