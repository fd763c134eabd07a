//! Limits concurrent queries, and how many more may wait. The limit can change at run time.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::timeout;

use crate::{Permit, Permits};

/// At most `limit` permits are out, and at most as many callers wait.
#[derive(Debug)]
pub(super) struct QueryLimiter {
    permits: Arc<Permits>,
    waiting: AtomicUsize,
}

/// Counts one waiting caller until it is dropped.
struct Waiter<'a>(&'a QueryLimiter);

// === impl QueryLimiter ===

impl QueryLimiter {
    pub(super) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self {
            permits: Permits::new(limit),
            waiting: AtomicUsize::new(0),
        })
    }

    pub(super) fn limit(&self) -> usize {
        self.permits.limit()
    }

    /// Waits for a permit, first come, first served. `None` if none is free within `max_wait`, or if enough callers wait already.
    pub(super) async fn acquire(&self, max_wait: Duration) -> Option<Permit> {
        if let Some(permit) = self.permits.try_acquire() {
            return Some(permit);
        }
        let _waiter = self.wait()?;
        timeout(max_wait, self.permits.acquire()).await.ok()
    }

    /// Changes the limit. Permits that are out stay valid.
    pub(super) fn set_limit(&self, limit: usize) {
        self.permits.set_limit(limit);
    }

    fn wait(&self) -> Option<Waiter<'_>> {
        let limit = self.limit();
        let one_more = |waiting: usize| (waiting < limit).then_some(waiting + 1);
        self.waiting
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more)
            .ok()?;
        Some(Waiter(self))
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use futures_util::FutureExt as _;

    use super::*;

    const LONG: Duration = Duration::from_hours(1);

    async fn acquire(limiter: &Arc<QueryLimiter>) -> Option<Permit> {
        limiter.acquire(Duration::ZERO).await
    }

    #[tokio::test]
    async fn a_permit_is_free_again_once_it_is_returned() {
        let limiter = QueryLimiter::new(2);
        let first = acquire(&limiter).await.unwrap();
        let _second = acquire(&limiter).await.unwrap();
        assert!(acquire(&limiter).await.is_none());
        drop(first);
        assert!(acquire(&limiter).await.is_some());
    }

    #[tokio::test]
    async fn a_waiter_gets_the_next_permit() {
        let limiter = QueryLimiter::new(1);
        let first = acquire(&limiter).await.unwrap();
        let mut waits = Box::pin(limiter.acquire(LONG));
        assert!(waits.as_mut().now_or_never().is_none());
        drop(first);
        assert!(
            acquire(&limiter).await.is_none(),
            "the earlier caller goes first"
        );
        assert!(waits.await.is_some());
    }

    #[tokio::test]
    async fn no_more_wait_than_run_and_a_dropped_waiter_makes_room() {
        let limiter = QueryLimiter::new(1);
        let _first = acquire(&limiter).await.unwrap();
        let mut waits = Box::pin(limiter.acquire(LONG));
        assert!(waits.as_mut().now_or_never().is_none());
        assert!(
            limiter.acquire(LONG).await.is_none(),
            "refused without waiting"
        );
        drop(waits);
        let mut another = Box::pin(limiter.acquire(LONG));
        assert!(another.as_mut().now_or_never().is_none(), "it waits");
    }
}
