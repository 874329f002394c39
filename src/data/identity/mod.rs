//! 3 · Identity: who sends a request, as far as its route wants to know.
//!
//! Each way to know is a [`Kind`] with a file of its own; a route's [`Gate`] asks those that it
//! names. What is known is a [`Proof`]: a name for limits and log, scopes, claims for backends.
//! Which keys there are is control's matter; they are read live.

pub mod cache;
pub mod denied;
pub mod jwt;
pub mod key;
pub mod proof;
mod shown;
mod strict_json;

pub use denied::{Denied, Told};
pub use proof::Proof;
pub use shown::Place;

use crate::observe::metrics::Counter;
use crate::types::ids::IdentityId;
use arc_swap::ArcSwap;
use cache::Cache;
use http::HeaderName;
use key::KeySet;
use std::sync::Arc;
use vanne_filters::RequestHead;

/// A way to know who sends a request.
pub struct Identity {
    /// Its name.
    pub id: IdentityId,
    /// Which way.
    pub kind: Kind,
    /// `vanne_identity_total`, in the order of [`Came::ALL`].
    pub counts: [Counter; Came::ALL.len()],
}

/// Ways to know.
pub enum Kind {
    /// Signed tokens.
    Jwt(Jwt),
}

/// Signed tokens, and the keys that are believed.
pub struct Jwt {
    /// Where they are in a request.
    pub place: Place,
    /// What they must be.
    pub rules: jwt::Rules,
    /// The issuer's keys, as control knows them.
    pub keys: ArcSwap<KeySet>,
    /// Those that were good.
    pub cache: Cache,
}

/// What came of asking an identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Came {
    /// It was known from before.
    Cached,
    /// Nothing was shown.
    Missing,
    /// What was shown is not good.
    Refused,
    /// It could not be found out.
    Unavailable,
    /// It was found out.
    Verified,
}

impl Came {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Cached, Self::Missing, Self::Refused, Self::Unavailable, Self::Verified];

    /// The label in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cached => "cached",
            Self::Missing => "missing",
            Self::Refused => "refused",
            Self::Unavailable => "unavailable",
            Self::Verified => "verified",
        }
    }
}

/// What a route asks.
pub struct Gate {
    /// In this order; the first that finds something decides.
    pub identities: Box<[Arc<Identity>]>,
    /// Who shows nothing passes.
    pub is_optional: bool,
    /// What who passes must be allowed.
    pub scopes: Box<[Box<str>]>,
    /// Fields for backends, and the claims that they tell.
    pub headers: Box<[(HeaderName, Box<str>)]>,
}

/// Who is not let in, and which identity says so, by its place in the gate's list.
pub type No = (Denied, usize);

impl Gate {
    /// Who sends the request with this `head`, at `wall`, in seconds of Unix time. `None`: nobody
    /// knows, and need not.
    ///
    /// # Errors
    /// Why it is refused.
    /// Cost: a hash and a look for a token that is known, without allocation; else a verification.
    pub fn ask(&self, head: &RequestHead<'_>, wall: u64) -> Result<Option<Arc<Proof>>, No> {
        for (at, identity) in self.identities.iter().enumerate() {
            let proof = match identity.ask(head, wall) {
                Ok(None) => continue,
                Ok(Some(proof)) => proof,
                Err(denied) => return Err((denied, at)),
            };
            return match proof.may(&self.scopes) {
                true => Ok(Some(proof)),
                false => Err((Denied::Scope, at)),
            };
        }
        if let Some(first) = self.identities.first() {
            first.count(Came::Missing);
        }
        if self.is_optional { Ok(None) } else { Err((Denied::Missing, 0)) }
    }
}

impl Identity {
    /// Who sends the request with this `head`; `None`: it shows nothing of this kind.
    fn ask(&self, head: &RequestHead<'_>, wall: u64) -> Result<Option<Arc<Proof>>, Denied> {
        let Kind::Jwt(jwt) = &self.kind;
        let found = jwt.place.shown(head, |token| jwt.ask(token, wall));
        let found = found.and_then(Option::transpose);
        match &found {
            Ok(None) => {}
            Ok(Some((_, came))) => self.count(*came),
            Err(Denied::KeysUnknown) => self.count(Came::Unavailable),
            Err(_) => self.count(Came::Refused),
        }
        Ok(found?.map(|(proof, _)| proof))
    }

    /// Believes these keys from now on, in the place of those of before.
    pub fn believe(&self, keys: KeySet) {
        let Kind::Jwt(jwt) = &self.kind;
        let before = jwt.keys.load_full();
        jwt.keys.store(Arc::new(keys.after(&before)));
    }

    fn count(&self, came: Came) {
        if let Some(count) = self.counts.get(came as usize) {
            count.inc();
        }
    }

    /// The challenge that tells clients how to say who they are, and what was wrong, if that is
    /// `told` (RFC 6750 §3).
    #[must_use]
    pub fn challenge(&self, told: Option<&str>, scopes: &[Box<str>]) -> String {
        let Kind::Jwt(_) = &self.kind;
        let mut challenge = format!("Bearer realm=\"{}\"", self.id);
        if let Some(error) = told {
            challenge.push_str(&format!(", error=\"{error}\""));
        }
        if told == Some("insufficient_scope") {
            challenge.push_str(&format!(", scope=\"{}\"", scopes.join(" ")));
        }
        challenge
    }
}

impl Jwt {
    /// Who shows `token`, and how that is known.
    fn ask(&self, token: &[u8], wall: u64) -> Result<(Arc<Proof>, Came), Denied> {
        if token.len() > self.rules.bytes_max {
            return Err(Denied::TooLong);
        }
        let print = Cache::print(token);
        if let Some(proof) = self.cache.find(&print, wall) {
            return Ok((proof, Came::Cached));
        }
        let verified = jwt::verify(token, &self.rules, &self.keys.load(), wall)?;
        Ok((self.cache.keep(print, verified), Came::Verified))
    }
}
