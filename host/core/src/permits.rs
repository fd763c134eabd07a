//! A semaphore whose limit a reload can change.

use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A semaphore whose limit can be raised and lowered while permits are out.
#[derive(Debug)]
pub struct Permits {
    semaphore: Arc<Semaphore>,
    state: Mutex<PermitsState>,
}

#[derive(Debug)]
struct PermitsState {
    limit: usize,
    /// Permits that are out beyond the limit. The next ones to be returned are dropped until this is 0.
    excess: usize,
}

/// One permit, returned on drop.
#[derive(Debug)]
pub struct Permit {
    permits: Arc<Permits>,
    permit: Option<OwnedSemaphorePermit>,
}

// === impl Permits ===

impl Permits {
    /// A semaphore with `limit` permits.
    pub fn new(limit: usize) -> Arc<Self> {
        let limit = limit.min(Semaphore::MAX_PERMITS);
        Arc::new(Self {
            semaphore: Arc::new(Semaphore::new(limit)),
            state: Mutex::new(PermitsState { limit, excess: 0 }),
        })
    }

    /// The current limit.
    pub fn limit(&self) -> usize {
        self.state().limit
    }

    /// Changes the limit. Permits that are out stay valid.
    pub fn set_limit(&self, limit: usize) {
        let limit = limit.min(Semaphore::MAX_PERMITS);
        let mut state = self.state();
        let more = limit.saturating_sub(state.limit);
        let covered = more.min(state.excess);
        state.excess -= covered;
        self.semaphore.add_permits(more - covered);
        let fewer = state.limit.saturating_sub(limit);
        state.excess += fewer - self.semaphore.forget_permits(fewer);
        state.limit = limit;
    }

    /// A permit if one is free.
    pub fn try_acquire(self: &Arc<Self>) -> Option<Permit> {
        let permit = Arc::clone(&self.semaphore).try_acquire_owned().ok()?;
        Some(self.permit(Some(permit)))
    }

    /// Waits for a permit. Waiters are served in the order of their calls.
    pub async fn acquire(self: &Arc<Self>) -> Permit {
        // The semaphore is never closed.
        let permit = Arc::clone(&self.semaphore).acquire_owned().await;
        self.permit(permit.ok())
    }

    fn permit(self: &Arc<Self>, permit: Option<OwnedSemaphorePermit>) -> Permit {
        let permits = Arc::clone(self);
        Permit { permits, permit }
    }

    fn state(&self) -> MutexGuard<'_, PermitsState> {
        self.state.lock()
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut state = self.permits.state();
        if state.excess > 0
            && let Some(permit) = self.permit.take()
        {
            state.excess -= 1;
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
    fn a_lower_limit_holds_once_enough_permits_are_returned() {
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
    fn a_higher_limit_holds_at_once_for_waiters() {
        let permits = Permits::new(2);
        let _held = (
            permits.try_acquire().unwrap(),
            permits.try_acquire().unwrap(),
        );
        permits.set_limit(1);
        let mut waiter = Box::pin(permits.acquire());
        assert!(waiter.as_mut().now_or_never().is_none());
        permits.set_limit(2);
        assert!(
            waiter.as_mut().now_or_never().is_none(),
            "two permits are out"
        );
        permits.set_limit(3);
        let _third = waiter.now_or_never().unwrap();
        assert!(permits.try_acquire().is_none());
        assert_eq!(permits.limit(), 3);
    }
}
