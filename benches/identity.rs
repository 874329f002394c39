//! What it costs a request to be known by its token: one that was verified before, and one that
//! is verified now, by kinds of keys.
//!
//! `cargo bench --bench identity`. What is asked: at most 2 µs for a token that is known. Times
//! are those for which the threads had a core.
#![allow(clippy::panic, clippy::print_stdout, reason = "a bench may panic, and prints its table")]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    dead_code,
    reason = "who signs tokens is the tests'"
)]

#[path = "common/on_core.rs"]
mod on_core;

#[path = "../tests/it/harness/issuer.rs"]
mod issuer;

use issuer::{claims, jwks, token, unix};
use on_core::nanoseconds;
use serde_json::Value;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use std::alloc::System;
use std::hint::black_box;
use std::sync::Arc;
use vanne::data::identity::cache::Cache;
use vanne::data::identity::key::{Algorithm, KeySet};
use vanne::data::identity::live_keys::LiveKeys;
use vanne::data::identity::{Asked, Gate, Identity, Jwt, Kind, Place, Shown, jwt};
use vanne::data::listener::Client;
use vanne::data::upstream::forward::Sender;
use vanne::types::clock;
use vanne::types::request_id::RequestId;
use vanne_filters::{FieldSlice, RequestHead, Version};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// A gate that lets in whoever shows a token of the usual issuer, and remembers so many.
fn gate(tokens_max: usize) -> Gate {
    let algorithms = ["RS256", "ES256", "EdDSA"].map(|name| Algorithm::named(name).unwrap());
    let keys = LiveKeys::new(false);
    keys.replace(KeySet::read(jwks().as_bytes(), &algorithms).unwrap());
    let rules = jwt::Rules {
        of: "idp".parse().unwrap(),
        algorithms: algorithms.into(),
        issuer: Some("https://idp.example".into()),
        audiences: [Box::from("api")].into(),
        required: Box::default(),
        skew: 60,
        user_claim: "sub".into(),
        scopes_claim: "scope".into(),
        bytes_max: 8192,
    };
    let jwt = Jwt {
        place: Place::Authorization("Bearer"),
        rules,
        keys: Arc::new(keys),
        cache: Cache::new(tokens_max),
    };
    let identity = Identity {
        id: "idp".parse().unwrap(),
        kind: Kind::Jwt(Box::new(jwt)),
        counts: Default::default(),
    };
    Gate {
        identities: [Arc::new(identity)].into(),
        is_optional: false,
        scopes: Box::default(),
        headers: Box::default(),
    }
}

/// Claims of a user, with so many bytes more.
fn claims_of(user: u64, more: usize) -> Value {
    let mut claims = claims(&format!("user-{user}"));
    claims["more"] = "x".repeat(more).into();
    claims
}

/// Asks for `count` requests that show these tokens in turn.
fn asks(gate: &Gate, shown: &[String], first: u64, count: u64) {
    let client = Client::new("192.0.2.1:1000".parse().unwrap(), 80, false);
    let from = Sender { client: &client, claim: None };
    let id = RequestId::next(&mut fastrand::Rng::with_seed(1));
    let (wall, now) = (unix(), clock::now());
    for number in first..first + count {
        let value = shown[usize::try_from(number).unwrap() % shown.len()].as_str();
        let fields = [("host", "a"), ("accept", "*/*"), ("authorization", value)];
        let fields = FieldSlice(&fields);
        let head = RequestHead::new("GET", b"/x", Version::Http11, &fields);
        let asked = gate.ask(Shown { head: &head, from, id, wall, now, answered: None });
        let Ok(Asked::Known(proof)) = asked else { panic!("not known") };
        black_box(proof);
    }
}

fn main() {
    println!(
        "{:<34}{:>8}{:>12}{:>12}{:>13}",
        "a request, ns", "tokens", "1 thread", "4 threads", "allocations"
    );
    for (tokens, more) in [(1, 0), (1000, 0), (1000, 600), (1000, 4000)] {
        let bearer = |user| format!("Bearer {}", token("ed", "EdDSA", &claims_of(user, more)));
        let shown: Vec<String> = (0..tokens).map(bearer).collect();
        let gate = gate(10_000);
        asks(&gate, &shown, 0, tokens);
        let region = Region::new(ALLOCATOR);
        asks(&gate, &shown, 0, 10_000);
        let allocations = region.change().allocations / 10_000;
        let [alone, four] = [1, 4].map(|threads| {
            nanoseconds(threads, 400_000, |thread, count| asks(&gate, &shown, thread * 7, count))
        });
        let name = format!("known, {} bytes", shown[0].len() - "Bearer ".len());
        println!("{name:<34}{tokens:>8}{alone:>12.0}{four:>12.0}{allocations:>13}");
    }
    for (key, alg) in [("ed", "EdDSA"), ("ec", "ES256"), ("rsa", "RS256")] {
        // None is known when it is shown again: far fewer are remembered.
        let bearer = |user| format!("Bearer {}", token(key, alg, &claims_of(user, 0)));
        let shown: Vec<String> = (0..2000).map(bearer).collect();
        let gate = gate(10);
        let alone = nanoseconds(1, 2000, |_, count| asks(&gate, &shown, 0, count));
        println!("{:<34}{:>8}{alone:>12.0}", format!("verified now, {alg}"), shown.len());
    }
}
