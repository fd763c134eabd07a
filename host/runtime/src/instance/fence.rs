//! Remembers that a writer's claim holds no longer, and tells the task that can claim again.

use std::sync::atomic::{AtomicBool, Ordering};

use larder_store as kv;
use tokio::sync::Notify;

/// See the module. One task waits for it.
#[derive(Default)]
pub(crate) struct Fence {
    is_met: AtomicBool,
    met: Notify,
}

// === impl Fence ===

impl Fence {
    /// Passes on what became of a write, and remembers it if that was refused because the claim holds no longer.
    pub(crate) fn noted(&self, written: Result<(), kv::Error>) -> Result<(), kv::Error> {
        if let Err(kv::Error::Fenced | kv::Error::Held(_)) = &written {
            self.is_met.store(true, Ordering::SeqCst);
            self.met.notify_one();
        }
        written
    }

    /// There is a new claim. Writes under the one before have ended.
    pub(crate) fn clear(&self) {
        self.is_met.store(false, Ordering::SeqCst);
    }

    /// True if a write was refused under the claim of now.
    pub(crate) fn is_met(&self) -> bool {
        self.is_met.load(Ordering::SeqCst)
    }

    /// Returns once a write was refused under the claim of now.
    pub(crate) async fn met(&self) {
        while !self.is_met() {
            self.met.notified().await;
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn it_is_met_until_there_is_a_new_claim() {
        let fence = Fence::default();
        for other in [Ok(()), Err(kv::Error::Unavailable(String::new()))] {
            assert_eq!(fence.noted(other.clone()), other);
        }
        assert!(fence.met().now_or_never().is_none());
        fence.noted(Err(kv::Error::Fenced)).unwrap_err();
        fence.met().await;
        fence.met().await;
        fence.clear();
        assert!(fence.met().now_or_never().is_none());
    }
}
