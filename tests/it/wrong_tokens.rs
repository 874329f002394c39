//! Each way in which a token can be wrong that `identity` knows, as data.

use crate::harness::issuer::{Signer, base64, but, claims, shared, token, unix};
use serde_json::{Value, json};

/// What it is called, the token, and the reason for which it is refused.
type Wrong = (&'static str, String, &'static str);

/// All of them.
pub(crate) fn all() -> Vec<Wrong> {
    [algorithms(), heads(), claimed(), times(), forms(), signatures()].concat()
}

/// A token of this head, signed by the usual key `ed`.
fn head(head: Value) -> String {
    Signer::usual("ed").token_of(&head.to_string(), &claims("ann").to_string())
}

/// A head with more in it.
fn usual_head(more: Value) -> Value {
    but(json!({ "alg": "EdDSA", "kid": "ed" }), more)
}

/// A token of these claims as a text.
fn raw(claims: &str) -> String {
    Signer::usual("ed").token_of(&usual_head(json!({})).to_string(), claims)
}

/// A token with others among its claims.
fn of(others: Value) -> String {
    token("ed", "EdDSA", &but(claims("ann"), others))
}

/// A token that nobody signed.
fn unsigned(alg: &str, signature: &str) -> String {
    let head = base64(json!({ "alg": alg, "kid": "rsa" }).to_string());
    format!("{head}.{}.{signature}", base64(claims("ann").to_string()))
}

fn algorithms() -> Vec<Wrong> {
    let why = "token_algorithm";
    // Whoever takes the public key for a secret believes everybody.
    let confused =
        |secret: &[u8]| shared(secret, &json!({ "alg": "HS256", "kid": "rsa" }), &claims("root"));
    let jwk = Signer::usual("rsa").jwk("rsa");
    vec![
        ("alg none", unsigned("none", ""), why),
        ("alg None with something signed", unsigned("None", "AAAA"), why),
        ("alg empty", unsigned("", ""), why),
        ("an algorithm that is not believed", unsigned("HS256", "AAAA"), why),
        ("RS512", unsigned("RS512", "AAAA"), why),
        ("HS256 with the public key in DER", confused(&Signer::usual("rsa").der()), why),
        ("HS256 with the modulus", confused(jwk["n"].as_str().unwrap().as_bytes()), why),
        ("HS256 with the key as JSON", confused(jwk.to_string().as_bytes()), why),
        ("the key of another kind", head(usual_head(json!({ "kid": "rsa" }))), why),
        ("no alg", head(usual_head(json!({ "alg": null }))), "token_malformed"),
        ("alg a list", head(usual_head(json!({ "alg": ["EdDSA"] }))), "token_malformed"),
    ]
}

fn heads() -> Vec<Wrong> {
    let stranger = Signer::edwards();
    let by_stranger =
        |more: Value| stranger.token_of(&usual_head(more).to_string(), &claims("ann").to_string());
    let with = |more: Value| head(usual_head(more));
    let (why, unknown, form) = ("token_head", "token_key_unknown", "token_malformed");
    vec![
        ("another key", by_stranger(json!({})), "token_signature"),
        ("the key it brings", by_stranger(json!({ "jwk": stranger.jwk("ed") })), why),
        ("jku", by_stranger(json!({ "jku": "https://evil.example/keys" })), why),
        ("x5u", by_stranger(json!({ "x5u": "https://evil.example/cert" })), why),
        ("x5c", by_stranger(json!({ "x5c": ["AAAA"] })), why),
        ("crit", with(json!({ "crit": ["exp"] })), why),
        ("b64", with(json!({ "b64": false })), why),
        ("zip", with(json!({ "zip": "DEF" })), why),
        ("nested", with(json!({ "cty": "JWT" })), why),
        ("another type", with(json!({ "typ": "logout+jwt" })), why),
        ("kid a path", with(json!({ "kid": "../../../dev/null" })), unknown),
        ("kid a file", with(json!({ "kid": "/etc/passwd" })), unknown),
        ("kid SQL", with(json!({ "kid": "x' UNION SELECT 'k'--" })), unknown),
        ("kid empty", with(json!({ "kid": "" })), unknown),
        ("kid in another case", with(json!({ "kid": "ED" })), unknown),
        ("kid a number", with(json!({ "kid": 1 })), form),
        ("kid too long", with(json!({ "kid": "k".repeat(257) })), form),
        (
            "a name in the head twice",
            Signer::usual("ed")
                .token_of(r#"{"alg":"EdDSA","kid":"ed","kid":"ec"}"#, &claims("ann").to_string()),
            form,
        ),
    ]
}

fn claimed() -> Vec<Wrong> {
    let (audience, issuer) = ("token_audience", "token_issuer");
    vec![
        ("another audience", of(json!({ "aud": "billing" })), audience),
        ("an audience like ours", of(json!({ "aud": "api.evil" })), audience),
        ("no audience", of(json!({ "aud": null })), audience),
        ("audience not all texts", of(json!({ "aud": ["api", 1] })), audience),
        ("another issuer", of(json!({ "iss": "https://idp.example/" })), issuer),
        ("no issuer", of(json!({ "iss": null })), issuer),
        ("issuer a list", of(json!({ "iss": ["https://idp.example"] })), issuer),
        ("a claim twice", raw(r#"{"sub":"ann","sub":"root"}"#), "token_malformed"),
        ("a claim twice inside", raw(r#"{"a":{"b":1,"b":2}}"#), "token_malformed"),
        ("claims and more", raw("{}{}"), "token_malformed"),
        ("claims a list", raw("[]"), "token_malformed"),
    ]
}

fn times() -> Vec<Wrong> {
    let (why, now) = ("token_claims", unix());
    let usual = format!("\"exp\":{}", claims("ann")["exp"]);
    let exp =
        |exp: &str| raw(&claims("ann").to_string().replace(&usual, &format!("\"exp\":{exp}")));
    vec![
        ("expired", of(json!({ "exp": now - 31 })), "token_expired"),
        ("expired long ago", of(json!({ "exp": 0 })), "token_expired"),
        ("not yet", of(json!({ "nbf": now + 60 })), "token_not_yet"),
        ("no exp", of(json!({ "exp": null })), why),
        ("exp a text", exp(&format!("\"{}\"", now + 60)), why),
        ("exp with a fraction", exp(&format!("{}.5", now + 60)), why),
        ("exp huge", exp("99999999999999999999999"), why),
        ("exp 1e300", exp("1e300"), why),
        ("exp beyond all time", exp("18446744073709551615"), why),
        ("exp negative", exp("-1"), why),
        ("exp null", exp("null"), why),
        ("nbf a text", of(json!({ "nbf": "0" })), why),
    ]
}

fn forms() -> Vec<Wrong> {
    let why = "token_malformed";
    let good = of(json!({}));
    let parts: Vec<&str> = good.split('.').collect();
    let [head, claims, signature] = parts[..] else { panic!("{good}") };
    let (begin, end) = good.split_at(10);
    let mut odd = signature.to_owned();
    odd.pop();
    vec![
        ("nothing", String::new(), why),
        ("dots", "..".to_owned(), why),
        ("two parts", format!("{head}.{claims}"), why),
        ("four parts", format!("{good}.AA"), why),
        ("five parts", format!("{good}.AA.AA"), why),
        ("a token in a token", format!("{good}.{good}"), why),
        ("padding", format!("{good}=="), why),
        ("no base64", format!("{head}.!.{signature}"), why),
        ("base64 of the other alphabet", format!("{head}.{claims}+/.{signature}"), why),
        ("bits left over", format!("{head}.{claims}.{odd}B"), why),
        ("a blank in it", format!("{begin} {end}"), why),
        ("a blank and more after it", format!("{good} {good}"), why),
        ("too long", format!("{good}{}", "A".repeat(8192)), "token_too_long"),
    ]
}

fn signatures() -> Vec<Wrong> {
    let why = "token_signature";
    let good = of(json!({}));
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let (head, _) = signed.split_once('.').unwrap();
    let es = |signature: &[u8]| {
        let token = token("ec", "ES256", &claims("ann"));
        format!("{}.{}", token.rsplit_once('.').unwrap().0, base64(signature))
    };
    // What a signature of ECDSA looks like in certificates: two numbers in DER.
    let der = [&[0x30, 68, 2, 32][..], &[1; 32], &[2, 32], &[1; 32]].concat();
    vec![
        ("no signature", format!("{signed}."), why),
        ("more after it", format!("{good}AA"), why),
        ("other claims", format!("{head}.{}.{signature}", base64(claims("root").to_string())), why),
        ("ES256 of zeros", es(&[0; 64]), why),
        ("ES256 in DER", es(&der), why),
        ("ES256 cut", es(&[1; 63]), why),
        ("ES256 for RS256", token("rsa", "RS256", &claims("ann")) + "AA", why),
    ]
}
