//! Tokens that were verified, so that they are not verified again with each request.
//!
//! Found by their SHA-256, all of it: nobody can make another token that is taken for one, and no
//! token stands in memory. What a key signed counts for as long as its issuer has that key. Bounded:
//! of more tokens, those that are shown the least are verified again.

use super::jwt::Verified;
use super::key::Key;
use super::proof::Proof;
use aws_lc_rs::digest::{SHA256, digest};
use quick_cache::sync;
use std::sync::Arc;

/// The SHA-256 of a token.
pub type Print = [u8; 32];

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

    /// What identifies `token`.
    /// Cost: about half a microsecond for a token of 800 bytes, where the processor has
    /// instructions for it.
    #[must_use]
    pub fn print(token: &[u8]) -> Print {
        digest(&SHA256, token).as_ref().try_into().unwrap_or_default()
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
    pub fn keep(&self, print: Print, verified: Verified) -> Arc<Proof> {
        let Verified { proof, key, until } = verified;
        let proof = Arc::new(proof);
        let until = until.unwrap_or(u64::MAX);
        self.0.insert(print, Arc::new(Known { proof: Arc::clone(&proof), key, until }));
        proof
    }
}
