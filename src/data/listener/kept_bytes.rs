//! Bytes of messages that are kept to be sent once more, or to be looked at: bounded over the whole
//! process.
//!
//! Each request keeps at most what its pool says; many large ones at once would still be a lot.
//! Beyond the bound further requests keep nothing, so they are not sent twice.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes of all messages together.
const TOTAL_MAX: usize = 64 * 1024 * 1024;

static TOTAL: AtomicUsize = AtomicUsize::new(0);

/// What one message keeps. Counts no longer when it is dropped.
#[derive(Debug, Default)]
pub(in crate::data) struct KeptBytes(usize);

impl KeptBytes {
    /// Counts `more` bytes, unless that were too many over all requests.
    pub(in crate::data) fn grow(&mut self, more: usize) -> bool {
        if TOTAL.fetch_add(more, Ordering::Relaxed) + more > TOTAL_MAX {
            TOTAL.fetch_sub(more, Ordering::Relaxed);
            return false;
        }
        self.0 += more;
        true
    }

    /// Keeps nothing any more.
    pub(super) fn clear(&mut self) {
        if self.0 > 0 {
            TOTAL.fetch_sub(std::mem::take(&mut self.0), Ordering::Relaxed);
        }
    }
}

impl Drop for KeptBytes {
    fn drop(&mut self) {
        self.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_bounded_over_all() {
        let (mut one, mut other) = (KeptBytes::default(), KeptBytes::default());
        assert!(one.grow(TOTAL_MAX - 1024));
        assert!(!other.grow(2048));
        one.clear();
        assert!(other.grow(2048));
        drop(other);
        assert!(one.grow(TOTAL_MAX - 1024));
    }
}
