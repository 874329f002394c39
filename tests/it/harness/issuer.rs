//! Whoever signs tokens: right ones, and whatever a test wants wrong.

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256,
    RSA_PSS_SHA256, RsaKeyPair,
};
use aws_lc_rs::{hmac, signature};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use std::sync::LazyLock;
use std::time::UNIX_EPOCH;
use vanne::types::clock;

/// What signs. Keys are made once for all tests, since RSA takes a while.
pub(crate) enum Signer {
    /// ECDSA on P-256.
    Elliptic(EcdsaKeyPair),
    /// Ed25519.
    Edwards(Ed25519KeyPair),
    /// RSA.
    Rsa(Box<RsaKeyPair>),
}

/// The keys of the usual issuer: `rsa`, `ec` and `ed` by their ids.
pub(crate) static KEYS: LazyLock<[(&str, Signer); 3]> = LazyLock::new(|| {
    [("rsa", Signer::rsa()), ("ec", Signer::elliptic()), ("ed", Signer::edwards())]
});

/// Base64 as tokens have it.
pub(crate) fn base64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Now, in seconds of Unix time.
pub(crate) fn unix() -> u64 {
    clock::wall().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// Claims of `user` that are good for an hour.
pub(crate) fn claims(user: &str) -> Value {
    json!({ "sub": user, "iss": "https://idp.example", "aud": "api", "exp": unix() + 3600 })
}

/// `claims` with others in their place; `null` takes one out.
pub(crate) fn but(mut claims: Value, others: Value) -> Value {
    for (name, value) in others.as_object().unwrap() {
        match value {
            Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
            value => claims[name] = value.clone(),
        }
    }
    claims
}

impl Signer {
    /// A new key on P-256.
    pub(crate) fn elliptic() -> Self {
        Self::Elliptic(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap())
    }

    /// A new key of Ed25519.
    pub(crate) fn edwards() -> Self {
        Self::Edwards(Ed25519KeyPair::generate().unwrap())
    }

    /// A new key of RSA.
    pub(crate) fn rsa() -> Self {
        Self::Rsa(Box::new(RsaKeyPair::generate(KeySize::Rsa2048).unwrap()))
    }

    /// The usual key called `id`.
    pub(crate) fn usual(id: &str) -> &'static Self {
        KEYS.iter().find_map(|(name, key)| (*name == id).then_some(key)).unwrap()
    }

    /// Its public part, as it stands in a set of keys.
    pub(crate) fn jwk(&self, id: &str) -> Value {
        match self {
            Self::Elliptic(key) => {
                let point = key.public_key().as_ref();
                let (x, y) = (base64(&point[1..33]), base64(&point[33..]));
                json!({ "kty": "EC", "crv": "P-256", "x": x, "y": y, "kid": id, "use": "sig" })
            }
            Self::Edwards(key) => {
                let x = base64(key.public_key().as_ref());
                json!({ "kty": "OKP", "crv": "Ed25519", "x": x, "kid": id })
            }
            Self::Rsa(key) => {
                // In PKCS #1 what comes before the modulus of 2048 bits is always as long.
                let n = base64(&key.public_key().as_ref()[9..265]);
                json!({ "kty": "RSA", "n": n, "e": "AQAB", "kid": id })
            }
        }
    }

    /// The public part of a key of RSA as others have it: what an attacker takes for a secret.
    pub(crate) fn der(&self) -> Vec<u8> {
        let Self::Rsa(key) = self else { panic!("not RSA") };
        let der: aws_lc_rs::encoding::PublicKeyX509Der<'_> = key.public_key().as_der().unwrap();
        der.as_ref().to_vec()
    }

    fn sign(&self, algorithm: &str, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match self {
            Self::Elliptic(key) => key.sign(&random, message).unwrap().as_ref().to_vec(),
            Self::Edwards(key) => key.sign(message).as_ref().to_vec(),
            Self::Rsa(key) => {
                let mut out = vec![0; key.public_modulus_len()];
                let padding: &'static dyn signature::RsaEncoding = match algorithm {
                    "PS256" => &RSA_PSS_SHA256,
                    _ => &RSA_PKCS1_SHA256,
                };
                key.sign(padding, &random, message, &mut out).unwrap();
                out
            }
        }
    }

    /// A token with this head and these claims, as texts, signed by `alg` of the head.
    pub(crate) fn token_of(&self, head: &str, claims: &str) -> String {
        let signed = format!("{}.{}", base64(head), base64(claims));
        let alg = serde_json::from_str::<Value>(head)
            .ok()
            .and_then(|head| head["alg"].as_str().map(str::to_owned));
        let signature = self.sign(&alg.unwrap_or_default(), signed.as_bytes());
        format!("{signed}.{}", base64(signature))
    }
}

/// A token of the usual key `id`, for this algorithm.
pub(crate) fn token(id: &str, alg: &str, claims: &Value) -> String {
    let head = json!({ "alg": alg, "kid": id, "typ": "JWT" });
    Signer::usual(id).token_of(&head.to_string(), &claims.to_string())
}

/// A token of HS256 with this secret.
pub(crate) fn shared(secret: &[u8], head: &Value, claims: &Value) -> String {
    let signed = format!("{}.{}", base64(head.to_string()), base64(claims.to_string()));
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), signed.as_bytes());
    format!("{signed}.{}", base64(tag))
}

/// A set of the usual keys.
pub(crate) fn jwks() -> String {
    let keys: Vec<Value> = KEYS.iter().map(|(id, key)| key.jwk(id)).collect();
    json!({ "keys": keys }).to_string()
}
