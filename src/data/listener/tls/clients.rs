//! Certificates of clients: whose are believed in handshakes.
//!
//! Read live: control replaces the authorities when their file changes, and handshakes from then on
//! go by the new ones.

use arc_swap::ArcSwap;
use rustls::RootCertStore;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{VerifierBuilderError, WebPkiClientVerifier};
use std::fmt;
use std::sync::Arc;

/// What verifies certificates.
pub(super) type Verifier = Arc<dyn ClientCertVerifier>;

/// The authorities whose certificates clients of a listener may show.
pub struct ClientAuthorities {
    verifier: ArcSwap<Verifier>,
    is_required: bool,
}

impl fmt::Debug for ClientAuthorities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClientAuthorities(required: {})", self.is_required)
    }
}

impl ClientAuthorities {
    /// These authorities. `is_required`: who shows no certificate is not let in.
    ///
    /// # Errors
    /// When there are none.
    pub fn new(roots: RootCertStore, is_required: bool) -> Result<Self, VerifierBuilderError> {
        let verifier = ArcSwap::from_pointee(verifier(roots, is_required)?);
        Ok(Self { verifier, is_required })
    }

    /// These authorities, and no others, from now on.
    ///
    /// # Errors
    /// When there are none: those of before stay.
    pub fn replace(&self, roots: RootCertStore) -> Result<(), VerifierBuilderError> {
        self.verifier.store(Arc::new(verifier(roots, self.is_required)?));
        Ok(())
    }

    /// What verifies certificates now.
    pub(super) fn verifier(&self) -> Arc<Verifier> {
        self.verifier.load_full()
    }
}

fn verifier(roots: RootCertStore, is_required: bool) -> Result<Verifier, VerifierBuilderError> {
    let builder = WebPkiClientVerifier::builder(Arc::new(roots));
    match is_required {
        true => builder.build(),
        false => builder.allow_unauthenticated().build(),
    }
}
