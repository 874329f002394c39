//! What sources of several pools have in common, like one connection for all of them.

#[cfg(feature = "kubernetes")]
use super::kubernetes::Hub;
use crate::observe::metrics::Metrics;
use std::sync::Arc;

/// What sources share.
#[derive(Clone, Default)]
pub struct Shared {
    /// Watches of Kubernetes.
    #[cfg(feature = "kubernetes")]
    pub(super) kubernetes: Arc<Hub>,
}

impl Shared {
    /// Nothing yet; what there will be counts in `metrics`.
    #[must_use]
    pub fn new(metrics: &Arc<Metrics>) -> Self {
        #[cfg(feature = "kubernetes")]
        return Self { kubernetes: Arc::new(Hub::new(metrics)) };
        #[cfg(not(feature = "kubernetes"))]
        {
            drop(Arc::clone(metrics));
            Self {}
        }
    }
}
