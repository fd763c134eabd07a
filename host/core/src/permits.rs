//! So many at a time, by a number that a reload changes.

use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// See the module.
#[derive(Debug)]
pub struct Permits {
    semaphore: Arc<Semaphore>,
    size: Mutex<Size>,
}

#[derive(Debug)]
struct Size {
    limit: usize,
    /// So many of those who have one have to give it back before the limit holds.
    too_many: usize,
}

/// The right of one, until this is dropped.
#[derive(Debug)]
pub struct Permit {
    permits: Arc<Permits>,
    permit: Option<OwnedSemaphorePermit>,
}

// === impl Permits ===

impl Permits {
    /// So many at a time.
    pub fn new(limit: usize) -> Arc<Self> {
        let limit = limit.min(Semaphore::MAX_PERMITS);
        Arc::new(Self {
            semaphore: Arc::new(Semaphore::new(limit)),
            size: Mutex::new(Size { limit, too_many: 0 }),
        })
    }

    /// How many at a time.
    pub fn limit(&self) -> usize {
        self.size().limit
    }

    /// So many at a time from now on. Whoever has a permit keeps it.
    pub fn set_limit(&self, limit: usize) {
        let limit = limit.min(Semaphore::MAX_PERMITS);
        let mut size = self.size();
        let more = limit.saturating_sub(size.limit);
        let stay = more.min(size.too_many);
        size.too_many -= stay;
        self.semaphore.add_permits(more - stay);
        let fewer = size.limit.saturating_sub(limit);
        size.too_many += fewer - self.semaphore.forget_permits(fewer);
        size.limit = limit;
    }

    /// A permit, if there is one now.
    pub fn try_acquire(self: &Arc<Self>) -> Option<Permit> {
        let permit = Arc::clone(&self.semaphore).try_acquire_owned().ok()?;
        Some(self.permit(Some(permit)))
    }

    /// A permit as soon as there is one, in the order of those who ask.
    pub async fn acquire(self: &Arc<Self>) -> Permit {
        // It is never closed.
        let permit = Arc::clone(&self.semaphore).acquire_owned().await;
        self.permit(permit.ok())
    }

    fn permit(self: &Arc<Self>, permit: Option<OwnedSemaphorePermit>) -> Permit {
        let permits = Arc::clone(self);
        Permit { permits, permit }
    }

    fn size(&self) -> MutexGuard<'_, Size> {
        self.size.lock()
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut size = self.permits.size();
        if size.too_many > 0
            && let Some(permit) = self.permit.take()
        {
            size.too_many -= 1;
            permit.forget();
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use futures_util::FutureExt as _;

    use super::*;

    #[test]
    fn a_lower_limit_holds_once_enough_were_given_back() {
        let permits = Permits::new(3);
        let mut held: Vec<Permit> = (0..3).filter_map(|_| permits.try_acquire()).collect();
        permits.set_limit(1);
        held.pop();
        held.pop();
        assert!(permits.try_acquire().is_none());
        held.pop();
        let _one = permits.try_acquire().unwrap();
        assert!(permits.try_acquire().is_none());
    }

    #[test]
    fn a_higher_limit_holds_at_once_for_those_who_wait() {
        let permits = Permits::new(2);
        let _held = (
            permits.try_acquire().unwrap(),
            permits.try_acquire().unwrap(),
        );
        permits.set_limit(1);
        let mut waits = Box::pin(permits.acquire());
        assert!(waits.as_mut().now_or_never().is_none());
        permits.set_limit(2);
        assert!(waits.as_mut().now_or_never().is_none(), "two are out");
        permits.set_limit(3);
        let _third = waits.now_or_never().unwrap();
        assert!(permits.try_acquire().is_none());
        assert_eq!(permits.limit(), 3);
    }
}
