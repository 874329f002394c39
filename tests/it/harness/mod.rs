//! What tests stand on: the process under test, backends that do as a script says, and a client
//! that sees every byte.

pub(crate) mod admin;
pub(crate) mod authority;
pub(crate) mod client;
pub(crate) mod dns;
pub(crate) mod frames;
pub(crate) mod http2;
pub(crate) mod issuer;
pub(crate) mod kube;
pub(crate) mod metrics;
pub(crate) mod mmdb;
pub(crate) mod origin;
pub(crate) mod origin2;
pub(crate) mod ports;
pub(crate) mod redis;
pub(crate) mod vanne;
pub(crate) mod wire;

pub(crate) use client::{Answer, Client, ask, get};
pub(crate) use metrics::Metrics;
pub(crate) use origin::{Conn, Origin};
pub(crate) use vanne::{Settings, Vanne};
pub(crate) use wire::{End, Wire};

use sha2::{Digest, Sha256};
use std::future::Future;
use std::time::Duration;
use tokio::time::Instant;

/// How long anything may take that has no limit of its own. Only a failing test waits so long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
/// Pause between two looks.
const LOOK: Duration = Duration::from_millis(2);

/// `count` milliseconds.
pub(crate) const fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// Waits until `look` sees something; fails with `what` if it never does.
pub(crate) async fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    eventually_async(what, async || look()).await
}

/// The same for what must be asked for.
pub(crate) async fn eventually_async<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(seen) = look().await {
            return seen;
        }
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
        tokio::time::sleep(LOOK).await;
    }
}

/// Waits for `future`; fails with `what` if it takes longer than [`PATIENCE`].
pub(crate) async fn in_time<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(done) => done,
        Err(_) => panic!("not within {PATIENCE:?}: {what}"),
    }
}

/// How long `future` takes, and what comes of it.
pub(crate) async fn timed<T>(future: impl Future<Output = T>) -> (Duration, T) {
    let began = Instant::now();
    let done = future.await;
    (began.elapsed(), done)
}

/// Demands that `attempt` takes `limit`: never less, and at most 50 ms more in the best of a few
/// tries, since the machine has other things to do as well.
pub(crate) async fn takes(limit: Duration, mut attempt: impl AsyncFnMut() -> Duration) {
    const TRIES: usize = 5;
    let mut taken = Vec::new();
    for _ in 0..TRIES {
        let time = attempt().await;
        assert!(time + ms(5) >= limit, "came {time:?} after the start, before its time {limit:?}");
        taken.push(time);
        if time <= limit + ms(50) {
            return;
        }
    }
    panic!("never within 50 ms of {limit:?}: {taken:?}");
}

/// The hexadecimal SHA-256 of `bytes`.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// `count` bytes that look like nothing, the same every time.
pub(crate) fn noise(count: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(count + 8);
    while bytes.len() < count {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(count);
    bytes
}
