//! Probes against real backends, in this process.

mod backends;
mod grpc;
mod http1;
mod http2;
mod prober;
mod tls;

use super::run::check_once;
use super::{Check, Seen};
use crate::config;
use std::net::SocketAddr;
use std::time::Duration;

/// Longer than anything takes.
const PATIENCE: Duration = Duration::from_secs(30);
/// A timeout for what never comes.
const SHORT: &str = "timeout = '200ms'\n";

/// Compiles a check from what stands in a pool.
fn compile(health: &str, pool: &str) -> Check {
    // The order of tests is not known.
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
    let health = toml::from_str(health).unwrap();
    let pool: config::Pool = toml::from_str(pool).unwrap();
    Check::compile(&"a".parse().unwrap(), &health, &pool).unwrap()
}

/// Checks once, and closes.
async fn check(health: &str, pool: &str, address: SocketAddr) -> Seen {
    let (seen, closing) = check_once(&compile(health, pool), address).await;
    if let Some(closing) = closing {
        drop(tokio::time::timeout(PATIENCE, closing).await);
    }
    seen
}

/// Whether it passed, and why.
async fn result(health: &str, pool: &str, address: SocketAddr) -> (bool, String) {
    let seen = check(health, pool, address).await;
    (seen.is_pass.expect("not checked"), seen.reason)
}

/// Waits until `is_so`.
async fn eventually(what: &str, is_so: impl Fn() -> bool) {
    let waiting = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, waiting).await.is_ok(), "it never came that {what}");
}
