//! Signed tokens (RFC 7515, RFC 7519), read strictly: RFC 8725 is the list of what went wrong
//! elsewhere.
//!
//! Nothing that a token says of itself is believed but which of the allowed algorithms and of
//! the issuer's keys it means. What cannot be understood is refused, and so is what could be
//! understood in two ways. Whoever adds an algorithm adds it to `key`.

use super::denied::Denied;
use super::key::{Algorithm, Found, KID_BYTES_MAX, Key, KeySet};
use super::proof::Proof;
use super::strict_json;
use crate::types::ids::IdentityId;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};
use std::sync::Arc;

/// What a token must be.
pub struct Rules {
    /// Whose they are.
    pub of: IdentityId,
    /// The algorithms that are believed.
    pub algorithms: Box<[Algorithm]>,
    /// What `iss` must be.
    pub issuer: Option<Box<str>>,
    /// Of which `aud` must name one, unless there are none.
    pub audiences: Box<[Box<str>]>,
    /// Claims that must be there.
    pub required: Box<[Box<str>]>,
    /// How far the issuer's clock may be off, in seconds.
    pub skew: u64,
    /// The claim with the user's name.
    pub user_claim: Box<str>,
    /// The claim with the scopes.
    pub scopes_claim: Box<str>,
    /// The longest token, in bytes.
    pub bytes_max: usize,
}

/// A token that was verified.
pub struct Verified {
    /// Who shows it.
    pub proof: Proof,
    /// What signed it.
    pub key: Arc<Key>,
    /// Until when it is good, the skew included, in seconds of Unix time; `None`: it does not
    /// expire.
    pub until: Option<u64>,
}

/// Parts of a head that are never good: keys that the token brings or says where to find, what
/// it wants understood, and what it is besides a token.
const REFUSED: [&str; 8] = ["b64", "crit", "cty", "jku", "jwk", "x5c", "x5u", "zip"];
/// What a head may say that it is of (RFC 7519 §5.1, RFC 9068 §2.1).
const TYPES: [&str; 3] = ["JWT", "at+jwt", "application/at+jwt"];

/// Verifies `token` at `wall`, in seconds of Unix time.
///
/// # Errors
/// Why it is not good: the first thing that is wrong, in the order form, head, key, signature,
/// claims.
/// Cost: a few allocations and a verification: some 30 to 60 µs.
pub fn verify(token: &[u8], rules: &Rules, keys: &KeySet, wall: u64) -> Result<Verified, Denied> {
    if token.len() > rules.bytes_max {
        return Err(Denied::TooLong);
    }
    let parts = Parts::of(token)?;
    let head = strict_json::object(&decode(parts.head)?).ok_or(Denied::Malformed)?;
    let (algorithm, id) = read_head(&head, rules)?;
    let (claims, signature) = (decode(parts.claims)?, decode(parts.signature)?);
    if keys.is_empty() {
        return Err(Denied::KeysUnknown);
    }
    let key = match keys.find(id, algorithm) {
        Found::Key(key) => key,
        Found::Other => return Err(Denied::Algorithm),
        Found::None => return Err(Denied::KeyUnknown),
    };
    if !key.has_signed(algorithm, parts.signed, &signature) {
        return Err(Denied::Signature);
    }
    let claims = strict_json::object(&claims).ok_or(Denied::Malformed)?;
    let until = check_claims(&claims, rules, wall)?;
    let names = (&*rules.user_claim, &*rules.scopes_claim);
    let proof = Proof::of(&rules.of, claims, names);
    Ok(Verified { proof, key: Arc::clone(key), until })
}

/// A token, cut at its dots.
struct Parts<'a> {
    head: &'a [u8],
    claims: &'a [u8],
    signature: &'a [u8],
    /// What the signature is of.
    signed: &'a [u8],
}

impl<'a> Parts<'a> {
    fn of(token: &'a [u8]) -> Result<Self, Denied> {
        let mut parts = token.split(|byte| *byte == b'.');
        let (Some(head), Some(claims), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(Denied::Malformed);
        };
        let signed = token.get(..head.len() + 1 + claims.len()).ok_or(Denied::Malformed)?;
        Ok(Self { head, claims, signature, signed })
    }
}

/// Base64 for URLs, without padding; bits that are left over must be 0, so that each text is one
/// token and each token one text.
fn decode(text: &[u8]) -> Result<Vec<u8>, Denied> {
    URL_SAFE_NO_PAD.decode(text).map_err(|_form| Denied::Malformed)
}

/// The algorithm of a head, and the id of the key.
fn read_head<'a>(
    head: &'a Map<String, Value>,
    rules: &Rules,
) -> Result<(Algorithm, Option<&'a str>), Denied> {
    if REFUSED.iter().any(|name| head.contains_key(*name)) {
        return Err(Denied::Head);
    }
    let is_type = |text: &str| TYPES.iter().any(|name| name.eq_ignore_ascii_case(text));
    match head.get("typ") {
        None => {}
        Some(Value::String(text)) if is_type(text) => {}
        Some(_) => return Err(Denied::Head),
    }
    let name = head.get("alg").and_then(Value::as_str).ok_or(Denied::Malformed)?;
    let id = match head.get("kid") {
        None => None,
        Some(Value::String(id)) if id.len() <= KID_BYTES_MAX => Some(id.as_str()),
        Some(_) => return Err(Denied::Malformed),
    };
    let algorithm = Algorithm::named(name).filter(|it| rules.algorithms.contains(it));
    Ok((algorithm.ok_or(Denied::Algorithm)?, id))
}

/// Checks what is claimed: until when it is good.
fn check_claims(
    claims: &Map<String, Value>,
    rules: &Rules,
    wall: u64,
) -> Result<Option<u64>, Denied> {
    if !rules.required.iter().all(|name| claims.contains_key(&**name)) {
        return Err(Denied::Claims);
    }
    let until = match time(claims, "exp")? {
        Some(time) => Some(time.checked_add(rules.skew).ok_or(Denied::Claims)?),
        None => None,
    };
    if until.is_some_and(|until| wall >= until) {
        return Err(Denied::Expired);
    }
    if time(claims, "nbf")?.is_some_and(|from| wall.saturating_add(rules.skew) < from) {
        return Err(Denied::NotYet);
    }
    if let Some(issuer) = &rules.issuer
        && claims.get("iss").and_then(Value::as_str) != Some(issuer)
    {
        return Err(Denied::Issuer);
    }
    let is_ours = |name: &str| rules.audiences.iter().any(|audience| **audience == *name);
    let is_for_us = match claims.get("aud") {
        Some(Value::String(name)) => is_ours(name),
        Some(Value::Array(names)) => {
            names.iter().all(Value::is_string)
                && names.iter().filter_map(Value::as_str).any(is_ours)
        }
        _ => false,
    };
    if !rules.audiences.is_empty() && !is_for_us {
        return Err(Denied::Audience);
    }
    Ok(until)
}

/// The latest time that is one: 31 December 9999.
const TIME_MAX: u64 = 253_402_300_799;

/// The time that the claim `name` says, in whole seconds of Unix time. Neither texts nor
/// fractions: RFC 7519 allows the latter, no issuer needs them, and readers round them in
/// different ways.
fn time(claims: &Map<String, Value>, name: &str) -> Result<Option<u64>, Denied> {
    match claims.get(name) {
        None => Ok(None),
        Some(value) => match value.as_u64() {
            Some(time) if time <= TIME_MAX => Ok(Some(time)),
            _ => Err(Denied::Claims),
        },
    }
}
