//! 3 · Identity: who sends a request, as far as its route wants to know.
//!
//! Each way to know is a [`Kind`] with a file of its own; a route's [`Gate`] asks those that it
//! names. What is known is a [`Proof`]: a name for limits and log, scopes, claims for backends.
//! Which keys there are is control's matter; they are read live.

pub mod api_key;
pub mod cache;
pub mod client_certificate;
pub mod denied;
pub mod forward;
pub mod jwt;
pub mod key;
pub mod live_keys;
pub mod password;
pub mod proof;
pub mod question;
pub mod service;
mod shown;
mod strict_json;

pub use denied::{Denied, Told};
pub use proof::Proof;
pub use question::Question;
pub use shown::Place;

use crate::data::upstream::forward::Sender;
use crate::observe::metrics::Counter;
use crate::types::ids::IdentityId;
use crate::types::request_id::RequestId;
use api_key::Ring;
use arc_swap::ArcSwap;
use cache::Cache;
use client_certificate::Rules;
use forward::Forward;
use http::HeaderName;
use key::KeySet;
use live_keys::LiveKeys;
use password::{Remembered, Users};
use rustls::ClientConfig;
use std::sync::Arc;
use std::time::Instant;
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
    /// Keys of programs.
    ApiKeys(Box<ApiKeys>),
    /// Names and passwords.
    Basic(Box<Basic>),
    /// Certificates that clients have shown.
    ClientCertificate(Arc<Rules>),
    /// A service that is asked.
    Forward(Arc<Forward>),
    /// Signed tokens.
    Jwt(Box<Jwt>),
}

/// Keys of programs.
pub struct ApiKeys {
    /// Where they are shown.
    pub place: Place,
    /// Those that are good.
    pub ring: ArcSwap<Ring>,
}

/// Where names and passwords are shown.
const BASIC: Place = Place::Authorization("Basic");

/// Names and passwords.
pub struct Basic {
    /// Those that are good.
    pub users: ArcSwap<Users>,
    /// Those that were good a while ago.
    pub remembered: Remembered,
}

/// Signed tokens, and the keys that are believed.
pub struct Jwt {
    /// Where they are shown.
    pub place: Place,
    /// What they must be.
    pub rules: jwt::Rules,
    /// The issuer's keys, as control knows them.
    pub keys: Arc<LiveKeys>,
    /// Those that were good.
    pub cache: Cache,
}

/// What files say, for an identity to believe.
pub enum Believed {
    /// Keys of programs.
    ApiKeys(Ring),
    /// Who certifies a service.
    Authorities(Arc<ClientConfig>),
    /// Keys of an issuer.
    Keys(KeySet),
    /// Files say nothing.
    Nothing,
    /// Names and hashes of passwords.
    Users(Users),
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

/// Who sends a request, as far as it is known.
pub enum Asked {
    /// Nobody knows, and need not.
    Nobody,
    /// This one.
    Known(Arc<Proof>),
    /// It must be found out.
    Wait(Arc<Question>),
}

/// Who is not let in, and which identity says so, by its place in the gate's list.
pub type No = (Denied, usize);

/// A request that shows who sends it.
#[derive(Clone, Copy)]
pub struct Shown<'a> {
    /// Its head.
    pub head: &'a RequestHead<'a>,
    /// Whose connection it came by, and what that one says of its way.
    pub from: Sender<'a>,
    /// Its id.
    pub id: RequestId,
    /// When it came, in seconds of Unix time.
    pub wall: u64,
    /// What time it is.
    pub now: Instant,
    /// What was found out about it since.
    pub answered: Option<&'a Question>,
}

impl Gate {
    /// Who sends a request.
    ///
    /// # Errors
    /// Why it is refused.
    /// Cost: a hash and a look for what is known, without allocation; else a verification.
    pub fn ask(&self, shown: Shown<'_>) -> Result<Asked, No> {
        let count = self.identities.len();
        for (at, identity) in self.identities.iter().enumerate() {
            let is_due = !self.is_optional && at + 1 == count;
            return match identity.ask(shown, is_due) {
                Ok(Asked::Nobody) => continue,
                Ok(Asked::Known(proof)) if !proof.may(&self.scopes) => Err((Denied::Scope, at)),
                Ok(asked) => Ok(asked),
                Err(denied) => Err((denied, at)),
            };
        }
        if let Some(first) = self.identities.first() {
            first.count(Came::Missing);
        }
        let is_certificate = |one: &Arc<Identity>| matches!(one.kind, Kind::ClientCertificate(_));
        match (self.is_optional, self.identities.iter().all(is_certificate)) {
            (true, _) => Ok(Asked::Nobody),
            (false, true) => Err((Denied::CertificateMissing, 0)),
            (false, false) => Err((Denied::Missing, 0)),
        }
    }
}

impl Identity {
    /// Who sends a request; nobody, if it shows nothing of this kind. `is_due`: nobody else is asked
    /// after this one, and somebody it must be.
    fn ask(&self, shown: Shown<'_>, is_due: bool) -> Result<Asked, Denied> {
        let (head, wall) = (shown.head, shown.wall);
        let found = match &self.kind {
            Kind::ApiKeys(keys) => {
                keys.place.shown(head, |key| keys.ring.load().find(key, wall).map(verified))
            }
            Kind::Basic(basic) => BASIC.shown(head, |login| basic.ask(&self.id, login, shown)),
            Kind::ClientCertificate(rules) => {
                let certificate = shown.from.client.certificate.as_ref();
                Ok(certificate.map(|one| one.proof(rules, wall).map(verified)))
            }
            Kind::Forward(forward) => Ok(forward.ask(shown, is_due).transpose()),
            Kind::Jwt(jwt) => jwt.place.shown(head, |token| jwt.ask(token, shown)),
        };
        let found = found.and_then(Option::transpose);
        match &found {
            Ok(None) => {}
            Ok(Some((_, came))) => came.iter().for_each(|came| self.count(*came)),
            Err(denied) if denied.row().1 == 503 => self.count(Came::Unavailable),
            Err(_) => self.count(Came::Refused),
        }
        Ok(found?.map_or(Asked::Nobody, |(asked, _)| asked))
    }

    fn count(&self, came: Came) {
        if let Some(count) = self.counts.get(came as usize) {
            count.inc();
        }
    }

    /// Believes what files say from now on, in the place of what they said before.
    pub fn believe(&self, believed: Believed) {
        match (&self.kind, believed) {
            (Kind::ApiKeys(of), Believed::ApiKeys(keys)) => of.ring.store(Arc::new(keys)),
            (Kind::Basic(basic), Believed::Users(users)) => basic.users.store(Arc::new(users)),
            (Kind::Jwt(jwt), Believed::Keys(keys)) => jwt.keys.replace(keys),
            (Kind::Forward(of), Believed::Authorities(tls)) => of.service.believe(tls),
            // They are fetched, or elsewhere.
            (Kind::ClientCertificate(_) | Kind::Forward(_) | Kind::Jwt(_), Believed::Nothing) => {}
            _ => debug_assert!(false, "{} believes something else", self.id),
        }
    }

    /// The challenge that tells clients how to say who they are, and what was wrong, if that is
    /// `told` (RFC 6750 §3, RFC 7617 §2). `None`: that is for somebody else to say.
    #[must_use]
    pub fn challenge(&self, told: Option<&str>, scopes: &[Box<str>]) -> Option<String> {
        Some(match &self.kind {
            Kind::ApiKeys(_) => format!("ApiKey realm=\"{}\"", self.id),
            Kind::Basic(_) => format!("Basic realm=\"{}\", charset=\"UTF-8\"", self.id),
            Kind::ClientCertificate(_) => format!("ClientCertificate realm=\"{}\"", self.id),
            Kind::Forward(_) => return None,
            Kind::Jwt(_) => {
                let error = told.map(|error| format!(", error=\"{error}\"")).unwrap_or_default();
                let scope = match told {
                    Some("insufficient_scope") => format!(", scope=\"{}\"", scopes.join(" ")),
                    _ => String::new(),
                };
                format!("Bearer realm=\"{}\"{error}{scope}", self.id)
            }
        })
    }
}

/// What came of asking: `None` while that is open.
type Found = (Asked, Option<Came>);

fn verified(proof: Arc<Proof>) -> Found {
    (Asked::Known(proof), Some(Came::Verified))
}

fn cached(proof: Arc<Proof>) -> Found {
    (Asked::Known(proof), Some(Came::Cached))
}

impl Basic {
    /// Who shows `credentials`.
    fn ask(&self, of: &IdentityId, credentials: &[u8], shown: Shown<'_>) -> Result<Found, Denied> {
        if let Some((answer, login)) = shown.answered.and_then(|it| it.answer().zip(it.about())) {
            let proof = answer.as_ref().map_err(|denied| *denied)?;
            self.remembered.keep(login, proof, shown.wall);
            return Ok(verified(Arc::clone(proof)));
        }
        let users = self.users.load_full();
        match self.remembered.ask(of, &users, credentials, shown.wall)? {
            Ok(proof) => Ok(cached(proof)),
            Err(question) => Ok((Asked::Wait(question), None)),
        }
    }
}

impl Jwt {
    /// Who shows `token`.
    fn ask(&self, token: &[u8], shown: Shown<'_>) -> Result<Found, Denied> {
        let wall = shown.wall;
        if token.len() > self.rules.bytes_max {
            return Err(Denied::TooLong);
        }
        let print = Cache::print(token);
        let known = print.and_then(|print| self.cache.find(&print, wall));
        if let Some(proof) = known {
            return Ok(cached(proof));
        }
        match jwt::verify(token, &self.rules, &self.keys.load(), wall) {
            Ok(token) => Ok(verified(self.cache.keep(print, token))),
            // The issuer may have a key that is not known yet.
            Err(Denied::KeyUnknown | Denied::KeysUnknown)
                if shown.answered.is_none() && self.keys.may_ask(shown.now) =>
            {
                Ok((Asked::Wait(Arc::new(Question::keys(&self.keys))), None))
            }
            Err(denied) => Err(denied),
        }
    }
}
