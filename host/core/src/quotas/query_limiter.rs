//! Limits concurrent queries. More wait, bounded by time and by bytes. The limits can change at run time.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::timeout;

use crate::{Permit, Permits};

/// Bytes that a waiting query counts for beside its request: its stream, its headers and its task.
pub(super) const WAITING_BYTES: usize = 16 << 10;

/// At most `limit` permits are out, and the callers that wait hold at most `waiting_limit` bytes.
#[derive(Debug)]
pub(super) struct QueryLimiter {
    permits: Arc<Permits>,
    waiting_limit: AtomicUsize,
    waiting_bytes: AtomicUsize,
}

/// The reason why a query gets no permit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoPermit {
    /// None was free in time.
    TimedOut,
    /// The queries that wait already hold as many bytes as they may.
    NoRoom,
}

/// The bytes of one waiting caller, until it is dropped.
struct Waiter<'a> {
    limiter: &'a QueryLimiter,
    bytes: usize,
}

// === impl QueryLimiter ===

impl QueryLimiter {
    pub(super) fn new(limit: usize, waiting_limit: usize) -> Arc<Self> {
        Arc::new(Self {
            permits: Permits::new(limit),
            waiting_limit: AtomicUsize::new(waiting_limit),
            waiting_bytes: AtomicUsize::new(0),
        })
    }

    pub(super) fn limit(&self) -> usize {
        self.permits.limit()
    }

    pub(super) fn waiting_limit(&self) -> usize {
        self.waiting_limit.load(Ordering::Relaxed)
    }

    /// Waits for a permit, first come, first served. `bytes` is the size of the request, which is held meanwhile.
    pub(super) async fn acquire(
        &self,
        bytes: usize,
        max_wait: Duration,
    ) -> Result<Permit, NoPermit> {
        if let Some(permit) = self.permits.try_acquire() {
            return Ok(permit);
        }
        let _waiter = self.wait(bytes).ok_or(NoPermit::NoRoom)?;
        let acquired = timeout(max_wait, self.permits.acquire()).await;
        acquired.map_err(|_elapsed| NoPermit::TimedOut)
    }

    /// Changes the limits. Permits that are out stay valid, and callers that wait go on waiting.
    pub(super) fn set_limits(&self, limit: usize, waiting_limit: usize) {
        self.permits.set_limit(limit);
        self.waiting_limit.store(waiting_limit, Ordering::Relaxed);
    }

    fn wait(&self, bytes: usize) -> Option<Waiter<'_>> {
        let limit = self.waiting_limit();
        let bytes = bytes.saturating_add(WAITING_BYTES);
        let more = |waiting: usize| waiting.checked_add(bytes).filter(|sum| *sum <= limit);
        self.waiting_bytes
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more)
            .ok()?;
        Some(Waiter {
            limiter: self,
            bytes,
        })
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        let waiting = &self.limiter.waiting_bytes;
        waiting.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use futures_util::FutureExt as _;

    use super::*;

    const LONG: Duration = Duration::from_hours(1);
    /// Room for two waiting queries without a body.
    const TWO: usize = 2 * WAITING_BYTES;

    async fn acquire(limiter: &Arc<QueryLimiter>) -> Option<Permit> {
        limiter.acquire(0, Duration::ZERO).await.ok()
    }

    #[tokio::test]
    async fn a_permit_is_free_again_once_it_is_returned() {
        let limiter = QueryLimiter::new(2, TWO);
        let first = acquire(&limiter).await.unwrap();
        let _second = acquire(&limiter).await.unwrap();
        assert!(acquire(&limiter).await.is_none());
        drop(first);
        assert!(acquire(&limiter).await.is_some());
    }

    #[tokio::test]
    async fn a_waiter_gets_the_next_permit() {
        let limiter = QueryLimiter::new(1, TWO);
        let first = acquire(&limiter).await.unwrap();
        let mut waits = Box::pin(limiter.acquire(0, LONG));
        assert!(waits.as_mut().now_or_never().is_none());
        drop(first);
        assert!(
            acquire(&limiter).await.is_none(),
            "the earlier caller goes first"
        );
        assert!(waits.await.is_ok());
    }

    #[tokio::test]
    async fn more_may_wait_than_run_until_their_bytes_are_too_many() {
        let limiter = QueryLimiter::new(1, 3 * WAITING_BYTES);
        let _first = acquire(&limiter).await.unwrap();
        let mut small = Box::pin(limiter.acquire(0, LONG));
        assert!(small.as_mut().now_or_never().is_none());
        let mut large = Box::pin(limiter.acquire(WAITING_BYTES, LONG));
        assert!(large.as_mut().now_or_never().is_none(), "it waits");
        let refused = limiter.acquire(0, LONG).await.unwrap_err();
        assert_eq!(refused, NoPermit::NoRoom, "refused without waiting");
        drop(large);
        let mut another = Box::pin(limiter.acquire(0, LONG));
        assert!(another.as_mut().now_or_never().is_none(), "it waits");
    }

    #[tokio::test(start_paused = true)]
    async fn a_waiter_is_refused_after_its_time() {
        let limiter = QueryLimiter::new(1, TWO);
        let _first = acquire(&limiter).await.unwrap();
        let refused = limiter.acquire(0, LONG).await.unwrap_err();
        assert_eq!(refused, NoPermit::TimedOut);
    }
}
