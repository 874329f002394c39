//! Session tickets: how a client comes back without a full handshake.
//!
//! A ticket is the session itself, encrypted for ourselves (RFC 5077 §4, RFC 8446 §4.6.1), so
//! any worker can take it, and any replica that shares the keys. The newest key encrypts, the
//! older ones still decrypt. Form: name of the key (16 bytes), nonce (12), AES-256-GCM.

use arc_swap::ArcSwap;
use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use rustls::server::ProducesTickets;
use std::fmt;
use std::sync::Arc;

/// Bytes of a key's name.
const NAME_BYTES: usize = 16;
/// Bytes of a key as written in a file: its name, and the key itself.
pub const KEY_BYTES: usize = NAME_BYTES + 32;

/// One key.
struct TicketKey {
    name: [u8; NAME_BYTES],
    cipher: RandomizedNonceKey,
}

impl TicketKey {
    fn new(bytes: &[u8; KEY_BYTES]) -> Option<Self> {
        let (name, secret) = bytes.split_first_chunk::<NAME_BYTES>()?;
        Some(Self { name: *name, cipher: RandomizedNonceKey::new(&AES_256_GCM, secret).ok()? })
    }
}

/// The keys of a listener's tickets, shared by all workers.
pub struct TicketKeys {
    /// The newest first.
    keys: ArcSwap<Vec<Arc<TicketKey>>>,
    lifetime_s: u32,
}

impl fmt::Debug for TicketKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TicketKeys({})", self.keys.load().len())
    }
}

impl TicketKeys {
    /// Keys for tickets that are good for `lifetime_s` seconds. Without keys no tickets.
    #[must_use]
    pub fn new(lifetime_s: u32) -> Self {
        Self { keys: ArcSwap::default(), lifetime_s }
    }

    /// Puts `key` before the others, of which `kept` stay.
    pub fn rotate(&self, key: &[u8; KEY_BYTES], kept: usize) {
        let Some(key) = TicketKey::new(key) else { return };
        let mut keys = vec![Arc::new(key)];
        keys.extend(self.keys.load().iter().take(kept).cloned());
        self.keys.store(Arc::new(keys));
    }

    /// Takes over the keys of `other`.
    pub fn inherit(&self, other: &Self) {
        self.keys.store(other.keys.load_full());
    }

    /// Replaces all keys; the first encrypts.
    pub fn replace(&self, keys: &[[u8; KEY_BYTES]]) {
        let keys = keys.iter().filter_map(TicketKey::new).map(Arc::new).collect();
        self.keys.store(Arc::new(keys));
    }
}

impl ProducesTickets for TicketKeys {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        self.lifetime_s
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        let keys = self.keys.load();
        let key = keys.first()?;
        let mut sealed = plain.to_vec();
        let nonce = key.cipher.seal_in_place_append_tag(Aad::from(&key.name), &mut sealed).ok()?;
        Some([&key.name[..], nonce.as_ref(), &sealed].concat())
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        let (name, rest) = ticket.split_first_chunk::<NAME_BYTES>()?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE_LEN>()?;
        let keys = self.keys.load();
        let key = keys.iter().find(|key| key.name == *name)?;
        let mut opened = sealed.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let plain = key.cipher.open_in_place(nonce, Aad::from(&key.name), &mut opened).ok()?;
        Some(plain.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tickets_are_read_until_their_key_is_rotated_out() {
        let keys = TicketKeys::new(60);
        assert_eq!(keys.encrypt(b"session"), None);
        keys.rotate(&[1; KEY_BYTES], 2);
        let ticket = keys.encrypt(b"session").unwrap();
        for rotation in 2..4 {
            keys.rotate(&[rotation; KEY_BYTES], 2);
            assert_eq!(keys.decrypt(&ticket).as_deref(), Some(&b"session"[..]));
        }
        keys.rotate(&[9; KEY_BYTES], 2);
        assert_eq!(keys.decrypt(&ticket), None);
    }

    #[test]
    fn those_that_share_keys_read_each_others_tickets_and_nobody_reads_a_changed_one() {
        let (one, other) = (TicketKeys::new(60), TicketKeys::new(60));
        one.replace(&[[1; KEY_BYTES], [2; KEY_BYTES]]);
        other.replace(&[[2; KEY_BYTES], [1; KEY_BYTES]]);
        let mut ticket = one.encrypt(b"session").unwrap();
        assert_eq!(other.decrypt(&ticket).as_deref(), Some(&b"session"[..]));
        for at in 0..ticket.len() {
            ticket[at] ^= 1;
            assert_eq!(other.decrypt(&ticket), None, "{at}");
            ticket[at] ^= 1;
        }
        for short in [0, 15, 16, 28, 40] {
            assert_eq!(other.decrypt(&ticket[..short.min(ticket.len())]), None);
        }
    }
}
