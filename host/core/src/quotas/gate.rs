//! Lets so many through at a time, and as many more wait; the number may change meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::timeout;

use crate::{Permit, Permits};

/// See the module.
#[derive(Debug)]
pub(super) struct Gate {
    permits: Arc<Permits>,
    waiting: AtomicUsize,
}

/// Somebody waits outside, until this is dropped.
struct Outside<'a>(&'a Gate);

// === impl Gate ===

impl Gate {
    pub(super) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self {
            permits: Permits::new(limit),
            waiting: AtomicUsize::new(0),
        })
    }

    pub(super) fn limit(&self) -> usize {
        self.permits.limit()
    }

    /// Goes in, in the order of those who come; none where nobody has left within `patience`, or enough wait already.
    pub(super) async fn enter(&self, patience: Duration) -> Option<Permit> {
        if let Some(inside) = self.permits.try_acquire() {
            return Some(inside);
        }
        let _outside = self.wait()?;
        timeout(patience, self.permits.acquire()).await.ok()
    }

    /// Lets another number through from now on. Who is inside stays.
    pub(super) fn set_limit(&self, limit: usize) {
        self.permits.set_limit(limit);
    }

    fn wait(&self) -> Option<Outside<'_>> {
        let limit = self.limit();
        let one_more = |waiting: usize| (waiting < limit).then_some(waiting + 1);
        self.waiting
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more)
            .ok()?;
        Some(Outside(self))
    }
}

impl Drop for Outside<'_> {
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

    async fn enter(gate: &Arc<Gate>) -> Option<Permit> {
        gate.enter(Duration::ZERO).await
    }

    #[tokio::test]
    async fn so_many_go_in_and_one_more_when_one_leaves() {
        let gate = Gate::new(2);
        let first = enter(&gate).await.unwrap();
        let _second = enter(&gate).await.unwrap();
        assert!(enter(&gate).await.is_none());
        drop(first);
        assert!(enter(&gate).await.is_some());
    }

    #[tokio::test]
    async fn who_waits_goes_in_as_soon_as_one_leaves() {
        let gate = Gate::new(1);
        let first = enter(&gate).await.unwrap();
        let mut waits = Box::pin(gate.enter(LONG));
        assert!(waits.as_mut().now_or_never().is_none());
        drop(first);
        assert!(enter(&gate).await.is_none(), "who came before goes first");
        assert!(waits.await.is_some());
    }

    #[tokio::test]
    async fn no_more_wait_than_go_in_and_who_gives_up_makes_room() {
        let gate = Gate::new(1);
        let _first = enter(&gate).await.unwrap();
        let mut waits = Box::pin(gate.enter(LONG));
        assert!(waits.as_mut().now_or_never().is_none());
        assert!(gate.enter(LONG).await.is_none(), "refused without waiting");
        drop(waits);
        let mut another = Box::pin(gate.enter(LONG));
        assert!(another.as_mut().now_or_never().is_none(), "it waits");
    }
}
