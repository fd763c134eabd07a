//! Limits the concurrent reads of all tenants.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
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

    /// Takes a permit, which is returned on drop.
    ///
    /// # Errors
    /// `RESOURCE_EXHAUSTED` if none is free.
    pub(super) fn begin(&self) -> Result<OwnedSemaphorePermit, Status> {
        Arc::clone(&self.0).try_acquire_owned().map_err(|_| {
            status::read(&Failure::Overloaded(&format_args!(
                "{MAX_READS} reads are under way, the most at a time"
            )))
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use tonic::Code;

    use super::*;

    #[test]
    fn a_read_over_the_limit_is_refused_until_another_ends() {
        let reads = ReadLimit::new();
        let mut permits: Vec<_> = (0..MAX_READS).map(|_| reads.begin().unwrap()).collect();
        assert_eq!(reads.begin().unwrap_err().code(), Code::ResourceExhausted);
        permits.pop();
        assert!(reads.begin().is_ok());
    }
}
