//! Certificates by name: which one a client gets.
//!
//! The exact name wins over a wildcard of one label (RFC 6125 §6.4.3), both over the default.
//! A name may have several keys: the client gets the first that its signature schemes fit,
//! ECDSA before RSA, since it costs us a fraction. The store is replaced as a whole.

use arc_swap::ArcSwap;
use rustls::SignatureAlgorithm;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

/// The keys for one name, in the order in which they are offered.
type Keys = Vec<Arc<CertifiedKey>>;

/// All certificates of a listener.
#[derive(Default)]
pub struct CertificateStore {
    exact: HashMap<Box<str>, Keys>,
    /// By what follows the first label: `*.a.example` is `a.example`.
    wildcard: HashMap<Box<str>, Keys>,
    default: Keys,
}

impl CertificateStore {
    /// Adds a certificate for its names, in lower case.
    pub fn add<'a>(&mut self, key: &Arc<CertifiedKey>, names: impl IntoIterator<Item = &'a str>) {
        for name in names {
            let (map, name) = match name.strip_prefix("*.") {
                Some(parent) => (&mut self.wildcard, parent),
                None => (&mut self.exact, name),
            };
            insert(map.entry(name.into()).or_default(), key);
        }
    }

    /// Adds a certificate to those for clients that ask for no name, or for an unknown one.
    pub fn add_default(&mut self, key: &Arc<CertifiedKey>) {
        insert(&mut self.default, key);
    }

    /// Whether there is no certificate at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.default.is_empty()
    }

    fn find(&self, name: Option<&str>) -> Option<&Keys> {
        let name = name?;
        let wildcard = || self.wildcard.get(name.split_once('.')?.1);
        self.exact.get(name).or_else(wildcard)
    }
}

/// Elliptic curves first; among equals the first stays first.
fn insert(keys: &mut Keys, key: &Arc<CertifiedKey>) {
    let is_slow = |key: &Arc<CertifiedKey>| key.key.algorithm() == SignatureAlgorithm::RSA;
    let at = if is_slow(key) { keys.len() } else { keys.partition_point(|one| !is_slow(one)) };
    keys.insert(at, Arc::clone(key));
}

/// A listener's answer to the question which certificate a client gets.
pub struct Resolver {
    store: ArcSwap<CertificateStore>,
    is_strict: bool,
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resolver").field("is_strict", &self.is_strict).finish_non_exhaustive()
    }
}

impl Resolver {
    /// A resolver over `store`. `is_strict`: who asks for no known name gets none.
    #[must_use]
    pub fn new(store: CertificateStore, is_strict: bool) -> Self {
        Self { store: ArcSwap::from_pointee(store), is_strict }
    }

    /// Whether a client that asks for `name` gets a certificate.
    #[must_use]
    pub fn serves(&self, name: Option<&str>) -> bool {
        !self.is_strict || self.store.load().find(name).is_some()
    }

    /// Replaces all certificates: handshakes that begin from now on see `store`.
    pub fn replace(&self, store: CertificateStore) {
        self.store.store(Arc::new(store));
    }
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let store = self.store.load();
        let keys = match store.find(hello.server_name()) {
            Some(keys) => keys,
            None if self.is_strict => return None,
            None => &store.default,
        };
        let schemes = hello.signature_schemes();
        let fits = |key: &&Arc<CertifiedKey>| key.key.choose_scheme(schemes).is_some();
        // If none fits, the handshake ends with the alert that says so.
        keys.iter().find(fits).or_else(|| keys.first()).cloned()
    }
}
