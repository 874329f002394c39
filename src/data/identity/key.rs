//! Keys of issuers: read from a JSON Web Key Set (RFC 7517), found by their id.
//!
//! What a key is, it says itself, once: a token cannot have it taken for another kind. Keys that
//! stay in a set stay the same object, so that what they signed stays known; one that leaves is
//! marked, and what it signed counts for nothing from then on.

use super::strict_json;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256,
    RSA_PSS_2048_8192_SHA256, RsaPublicKeyComponents,
};
use aws_lc_rs::{digest, hmac};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Keys of one set that are used at most; a larger set is refused.
pub const KEYS_MAX: usize = 64;
/// The longest id of a key.
pub const KID_BYTES_MAX: usize = 256;
/// The shortest secret.
pub const SECRET_BYTES_MIN: usize = 32;

/// An algorithm of signatures, by its name in JOSE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// Ed25519.
    EdDsa,
    /// HMAC with SHA-256.
    Hs256,
    /// RSA with PSS and SHA-256.
    Ps256,
    /// RSA with PKCS #1 v1.5 and SHA-256.
    Rs256,
}

impl Algorithm {
    /// The algorithm called so.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "ES256" => Self::Es256,
            "EdDSA" => Self::EdDsa,
            "HS256" => Self::Hs256,
            "PS256" => Self::Ps256,
            "RS256" => Self::Rs256,
            _ => return None,
        })
    }
}

/// What verifies.
enum Material {
    Elliptic(ParsedPublicKey),
    Edwards(ParsedPublicKey),
    /// The same key for both ways to pad.
    Rsa {
        pkcs1: ParsedPublicKey,
        pss: Box<ParsedPublicKey>,
    },
    Shared(Box<hmac::Key>),
}

/// A key of an issuer.
pub struct Key {
    /// Its id, if it has one.
    id: Option<Box<str>>,
    /// The only algorithm that it is for, if it says one.
    only: Option<Algorithm>,
    material: Material,
    /// What it is, as a number: the same for the same key.
    print: [u8; 32],
    /// It is in the set of its issuer no longer.
    is_retired: AtomicBool,
}

/// Why a set of keys is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidKeys {
    /// Not an object with a list `keys`.
    #[error("is no JSON Web Key Set: expected an object with a list `keys`")]
    Form,
    /// None of its keys is for signatures by the algorithms.
    #[error("has no key for signatures by `algorithms`")]
    None,
    /// Too many.
    #[error("has more than {KEYS_MAX} keys")]
    TooMany,
    /// The secret is too short.
    #[error("is too short: expected at least {SECRET_BYTES_MIN} bytes")]
    Short,
}

impl Key {
    /// A secret that is shared: whatever id a token names, it is the only one.
    ///
    /// # Errors
    /// When it is too short to be one.
    pub fn shared(secret: &[u8]) -> Result<Self, InvalidKeys> {
        if secret.len() < SECRET_BYTES_MIN {
            return Err(InvalidKeys::Short);
        }
        let material = Material::Shared(Box::new(hmac::Key::new(hmac::HMAC_SHA256, secret)));
        Ok(Self::new(None, None, material, &[secret]))
    }

    fn new(id: Option<&str>, only: Option<Algorithm>, material: Material, parts: &[&[u8]]) -> Self {
        let mut print = digest::Context::new(&digest::SHA256);
        let named = [&[u8::from(id.is_some())], id.unwrap_or_default().as_bytes()];
        for part in named.iter().chain(parts) {
            print.update(&part.len().to_be_bytes());
            print.update(part);
        }
        print.update(&[only.map_or(u8::MAX, |only| only as u8)]);
        let print = print.finish().as_ref().try_into().unwrap_or_default();
        Self { id: id.map(Box::from), only, material, print, is_retired: AtomicBool::new(false) }
    }

    /// The key that `jwk` is; `None`: none that verifies signatures by what is known here.
    fn of(jwk: &Map<String, Value>) -> Option<Self> {
        let text = |name: &str| jwk.get(name).map(|value| value.as_str().ok_or(()));
        let is_other = |name: &str, wanted: &str| text(name).is_some_and(|it| it != Ok(wanted));
        let verifies = |operations: &Value| {
            operations.as_array().is_some_and(|all| all.iter().any(|one| one == "verify"))
        };
        if is_other("use", "sig") || !jwk.get("key_ops").is_none_or(verifies) {
            return None;
        }
        let id = text("kid").transpose().ok()?;
        let only = text("alg").transpose().ok()?;
        let only = only.map(|name| Algorithm::named(name).ok_or(())).transpose().ok()?;
        if id.is_some_and(|id| id.len() > KID_BYTES_MAX) {
            return None;
        }
        let part = |name: &str| URL_SAFE_NO_PAD.decode(text(name)?.ok()?).ok();
        let curve = text("crv").transpose().ok()?;
        let (material, parts) = match (text("kty")?.ok()?, curve) {
            ("RSA", _) => {
                let (n, e) = (part("n")?, part("e")?);
                (rsa(&n, &e)?, [n, e])
            }
            ("EC", Some("P-256")) => {
                let (x, y) = (part("x")?, part("y")?);
                if x.len() != 32 || y.len() != 32 {
                    return None;
                }
                let point = [&[4], &x[..], &y].concat();
                let key = ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).ok()?;
                (Material::Elliptic(key), [x, y])
            }
            ("OKP", Some("Ed25519")) => {
                let x = part("x")?;
                let key = ParsedPublicKey::new(&ED25519, &x).ok()?;
                (Material::Edwards(key), [x, Vec::new()])
            }
            // Secrets are in no set: whoever reads it could sign.
            _ => return None,
        };
        let key = Self::new(id, only, material, &parts.each_ref().map(Vec::as_slice));
        only.is_none_or(|only| key.fits(only)).then_some(key)
    }

    /// Whether it is for signatures by `algorithm`: of that kind, and for no other.
    fn fits(&self, algorithm: Algorithm) -> bool {
        let is_kind = matches!(
            (&self.material, algorithm),
            (Material::Elliptic(_), Algorithm::Es256)
                | (Material::Edwards(_), Algorithm::EdDsa)
                | (Material::Rsa { .. }, Algorithm::Rs256 | Algorithm::Ps256)
                | (Material::Shared(_), Algorithm::Hs256)
        );
        is_kind && self.only.is_none_or(|only| only == algorithm)
    }

    /// Whether it signed `message` so.
    /// Cost: about 20 µs for RSA, 50 µs for the curves.
    #[must_use]
    pub fn has_signed(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        let public = match (&self.material, algorithm) {
            (Material::Elliptic(key), Algorithm::Es256)
            | (Material::Edwards(key), Algorithm::EdDsa) => key,
            (Material::Rsa { pkcs1, .. }, Algorithm::Rs256) => pkcs1,
            (Material::Rsa { pss, .. }, Algorithm::Ps256) => pss,
            (Material::Shared(key), Algorithm::Hs256) => {
                return hmac::verify(key, message, signature).is_ok();
            }
            _ => return false,
        };
        public.verify_sig(message, signature).is_ok()
    }

    /// Whether it is in the set of its issuer no longer.
    #[must_use]
    pub fn is_retired(&self) -> bool {
        self.is_retired.load(Ordering::Acquire)
    }
}

fn rsa(n: &[u8], e: &[u8]) -> Option<Material> {
    /// What is shorter verifies nothing anyway.
    const BYTES_MIN: usize = 256;
    if n.len() < BYTES_MIN {
        return None;
    }
    let public = RsaPublicKeyComponents { n, e };
    Some(Material::Rsa {
        pkcs1: public.to_parsed_public_key(&RSA_PKCS1_2048_8192_SHA256).ok()?,
        pss: Box::new(public.to_parsed_public_key(&RSA_PSS_2048_8192_SHA256).ok()?),
    })
}

/// The keys of an issuer.
#[derive(Default)]
pub struct KeySet {
    keys: Vec<Arc<Key>>,
}

/// What was found for the id that a token names.
pub enum Found<'a> {
    /// The key.
    Key(&'a Arc<Key>),
    /// A key of that id, which is for something else.
    Other,
    /// No key of that id.
    None,
}

impl KeySet {
    /// A secret alone.
    #[must_use]
    pub fn of_secret(key: Key) -> Self {
        Self { keys: vec![Arc::new(key)] }
    }

    /// The keys in `text` that are for signatures by one of `algorithms`.
    ///
    /// # Errors
    /// When it is no set of keys, has too many, or none that could be used.
    pub fn read(text: &[u8], algorithms: &[Algorithm]) -> Result<Self, InvalidKeys> {
        let set = strict_json::object(text).ok_or(InvalidKeys::Form)?;
        let list = set.get("keys").and_then(Value::as_array).ok_or(InvalidKeys::Form)?;
        if list.len() > KEYS_MAX {
            return Err(InvalidKeys::TooMany);
        }
        let fits = |key: &Key| algorithms.iter().any(|algorithm| key.fits(*algorithm));
        let keys = list.iter().filter_map(Value::as_object).filter_map(Key::of).filter(fits);
        let keys: Vec<Arc<Key>> = keys.map(Arc::new).collect();
        if keys.is_empty() { Err(InvalidKeys::None) } else { Ok(Self { keys }) }
    }

    /// This set in the place of `before`: keys that were there stay what they are, those that are
    /// gone are marked.
    #[must_use]
    pub fn after(mut self, before: &Self) -> Self {
        for key in &mut self.keys {
            let same = |old: &&Arc<Key>| old.print == key.print && !old.is_retired();
            if let Some(old) = before.keys.iter().find(same) {
                *key = Arc::clone(old);
            }
        }
        let is_gone = |old: &&Arc<Key>| !self.keys.iter().any(|key| Arc::ptr_eq(key, old));
        before.keys.iter().filter(is_gone).for_each(|old| {
            old.is_retired.store(true, Ordering::Release);
        });
        self
    }

    /// The key called `id` for signatures by `algorithm`. Without an id: the only one for them.
    /// Cost: O(keys), no allocation.
    #[must_use]
    pub fn find(&self, id: Option<&str>, algorithm: Algorithm) -> Found<'_> {
        let is_shared = |key: &Key| matches!(key.material, Material::Shared(_));
        let is_called = |key: &&Arc<Key>| key.id.as_deref() == id || is_shared(key);
        let mut fitting = self.keys.iter().filter(|key| key.fits(algorithm));
        match id {
            Some(_) => match fitting.find(is_called) {
                Some(key) => Found::Key(key),
                None if self.keys.iter().any(|key| is_called(&key)) => Found::Other,
                None => Found::None,
            },
            None => match (fitting.next(), fitting.next()) {
                (Some(key), None) => Found::Key(key),
                (Some(_), Some(_)) => Found::None,
                (None, _) if self.keys.is_empty() => Found::None,
                (None, _) => Found::Other,
            },
        }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.keys.len()
    }
}
