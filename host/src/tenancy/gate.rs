//! Lets so many through at a time, and as many more wait; the number may change meanwhile.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// See the module.
#[derive(Debug)]
pub(super) struct Gate {
    permits: Arc<Semaphore>,
    size: Mutex<Size>,
    waiting: AtomicUsize,
}

#[derive(Debug)]
struct Size {
    limit: usize,
    /// So many who are inside have to leave before the limit holds.
    too_many: usize,
}

/// Somebody is inside, until this is dropped.
#[derive(Debug)]
pub(super) struct Inside {
    gate: Arc<Gate>,
    permit: Option<OwnedSemaphorePermit>,
}

/// Somebody waits outside, until this is dropped.
struct Outside<'a>(&'a Gate);

// === impl Gate ===

impl Gate {
    pub(super) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self {
            permits: Arc::new(Semaphore::new(limit)),
            size: Mutex::new(Size { limit, too_many: 0 }),
            waiting: AtomicUsize::new(0),
        })
    }

    pub(super) fn limit(&self) -> usize {
        self.size().limit
    }

    /// Goes in, in the order of those who come; none where nobody has left within `patience`, or enough wait already.
    pub(super) async fn enter(self: &Arc<Self>, patience: Duration) -> Option<Inside> {
        let permits = Arc::clone(&self.permits);
        let permit = if let Ok(permit) = Arc::clone(&permits).try_acquire_owned() {
            permit
        } else {
            let _outside = self.wait()?;
            let entered = timeout(patience, permits.acquire_owned()).await;
            entered.ok()?.ok()?
        };
        Some(Inside {
            gate: Arc::clone(self),
            permit: Some(permit),
        })
    }

    /// Lets another number through from now on. Who is inside stays.
    pub(super) fn set_limit(&self, limit: usize) {
        let mut size = self.size();
        let more = limit.saturating_sub(size.limit);
        let stay = more.min(size.too_many);
        size.too_many -= stay;
        self.permits.add_permits(more - stay);
        let fewer = size.limit.saturating_sub(limit);
        size.too_many += fewer - self.permits.forget_permits(fewer);
        size.limit = limit;
    }

    fn wait(&self) -> Option<Outside<'_>> {
        let limit = self.limit();
        let one_more = |waiting: usize| (waiting < limit).then_some(waiting + 1);
        self.waiting
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more)
            .ok()?;
        Some(Outside(self))
    }

    fn size(&self) -> MutexGuard<'_, Size> {
        self.size.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        let mut size = self.gate.size();
        if size.too_many > 0
            && let Some(permit) = self.permit.take()
        {
            size.too_many -= 1;
            permit.forget();
        }
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

    async fn enter(gate: &Arc<Gate>) -> Option<Inside> {
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

    #[tokio::test]
    async fn a_lower_limit_holds_once_enough_have_left() {
        let gate = Gate::new(3);
        let mut inside = Vec::new();
        for _ in 0..3 {
            inside.push(enter(&gate).await.unwrap());
        }
        gate.set_limit(1);
        inside.pop();
        inside.pop();
        assert!(enter(&gate).await.is_none());
        inside.pop();
        let _one = enter(&gate).await.unwrap();
        assert!(enter(&gate).await.is_none());
    }

    #[tokio::test]
    async fn a_higher_limit_holds_at_once() {
        let gate = Gate::new(2);
        let _inside = (enter(&gate).await.unwrap(), enter(&gate).await.unwrap());
        gate.set_limit(1);
        gate.set_limit(3);
        let _third = enter(&gate).await.unwrap();
        assert!(enter(&gate).await.is_none());
        assert_eq!(gate.limit(), 3);
    }
}
