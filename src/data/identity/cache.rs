//! Tokens that were verified, so that they are not verified again with each request.
//!
//! Found by a print under a secret of the process: nobody can make another token that is taken for
//! one, and no token stands in memory. What a key signed counts for as long as its issuer has that
//! key. Bounded: of more tokens, those that are shown the least are verified again.

use super::jwt::Verified;
use super::key::Key;
use super::proof::Proof;
use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::rand;
use quick_cache::sync;
use std::sync::{Arc, LazyLock};

/// A token's GMAC (NIST SP 800-38D §3) under a secret of the process.
pub type Print = [u8; 16];

/// What prints are made with, and nobody outside of this process knows. That all have one nonce
/// tells nobody anything: no print leaves the process. Without one, no token is remembered.
static SECRET: LazyLock<Option<LessSafeKey>> = LazyLock::new(|| {
    let mut secret = [0; 16];
    rand::fill(&mut secret).ok()?;
    UnboundKey::new(&AES_128_GCM, &secret).ok().map(LessSafeKey::new)
});

/// What is known of a token.
struct Known {
    proof: Arc<Proof>,
    key: Arc<Key>,
    /// In seconds of Unix time.
    until: u64,
}

/// Tokens that were verified, in parts with a lock each.
pub struct Cache(sync::Cache<Print, Arc<Known>>);

impl Cache {
    /// Room for so many.
    #[must_use]
    pub fn new(tokens_max: usize) -> Self {
        Self(sync::Cache::new(tokens_max))
    }

    /// What identifies `token`; `None`: nothing does.
    /// Cost: O(length), 8 bytes and more in a nanosecond; no allocation.
    #[must_use]
    pub fn print(token: &[u8]) -> Option<Print> {
        let nonce = Nonce::assume_unique_for_key([0; NONCE_LEN]);
        let secret = SECRET.as_ref()?;
        let tag = secret.seal_in_place_separate_tag(nonce, Aad::from(token), &mut []).ok()?;
        tag.as_ref().try_into().ok()
    }

    /// Who shows the token, if it was good and still is at `wall`, in seconds of Unix time.
    /// Cost: a look; no allocation.
    #[must_use]
    pub fn find(&self, print: &Print, wall: u64) -> Option<Arc<Proof>> {
        let known = self.0.get(print)?;
        let is_good = wall < known.until && !known.key.is_retired();
        is_good.then(|| Arc::clone(&known.proof))
    }

    /// Remembers a token that was verified.
    pub fn keep(&self, print: Option<Print>, verified: Verified) -> Arc<Proof> {
        let Verified { proof, key, until } = verified;
        let proof = Arc::new(proof);
        let until = until.unwrap_or(u64::MAX);
        if let Some(print) = print {
            self.0.insert(print, Arc::new(Known { proof: Arc::clone(&proof), key, until }));
        }
        proof
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_print_is_of_the_whole_token() {
        let token = vec![b'a'; 9000];
        let print = Cache::print(&token).unwrap();
        assert_eq!(Cache::print(&token), Some(print));
        for at in [0, 15, 16, 4500, 8999] {
            let mut other = token.clone();
            other[at] = b'b';
            assert_ne!(Cache::print(&other), Some(print), "{at}");
        }
        assert_ne!(Cache::print(&token[1..]), Some(print));
        assert!(Cache::print(b"").is_some());
    }
}
