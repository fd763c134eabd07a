//! Limits the concurrent reads of all tenants.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tonic::Status;

use super::status::{self, Failure};

/// Maximum concurrent reads over all connections. Each may hold several pages of the plugin in memory.
const MAX_READS: usize = 256;

/// The permits of reads.
#[derive(Clone)]
pub(super) struct ReadLimit(Arc<Semaphore>);

impl ReadLimit {
    pub(super) fn new() -> Self {
        Self(Arc::new(Semaphore::new(MAX_READS)))
    }

    /// Waits for a permit, which is returned on drop. The reads that wait have a permit of their tenant each, which bounds their number.
    ///
    /// # Errors
    /// `RESOURCE_EXHAUSTED` if none is free within `max_wait`.
    pub(super) async fn begin(&self, max_wait: Duration) -> Result<OwnedSemaphorePermit, Status> {
        let permit = timeout(max_wait, Arc::clone(&self.0).acquire_owned()).await;
        // The semaphore is never closed.
        permit.ok().and_then(Result::ok).ok_or_else(|| {
            status::read(&Failure::Overloaded(&format_args!(
                "{MAX_READS} reads are under way, the most at a time, and none ended within {max_wait:?}"
            )))
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use tonic::Code;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_read_over_the_limit_waits_for_another_to_end() {
        let reads = ReadLimit::new();
        let mut permits = Vec::new();
        for _ in 0..MAX_READS {
            permits.push(reads.begin(Duration::ZERO).await.unwrap());
        }
        let refused = reads.begin(Duration::from_secs(1)).await.unwrap_err();
        assert_eq!(refused.code(), Code::ResourceExhausted);
        let waiting = reads.clone();
        let waits = tokio::spawn(async move { waiting.begin(Duration::from_secs(1)).await });
        tokio::task::yield_now().await;
        permits.pop();
        assert!(waits.await.unwrap().is_ok());
    }
}
