//! The readers of one tenant: those of the component that runs now, and those of earlier ones for as long as a query asks them.

use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use super::pool::Pool;

/// See the module.
pub(crate) struct Pools(Mutex<PoolsState>);

struct PoolsState {
    current: Arc<Pool>,
    earlier: Vec<Weak<Pool>>,
}

// === impl Pools ===

impl Pools {
    pub(crate) fn new(current: Arc<Pool>) -> Arc<Self> {
        Arc::new(Self(Mutex::new(PoolsState {
            current,
            earlier: Vec::new(),
        })))
    }

    /// The pool that a new query uses until its end.
    pub(crate) fn current(&self) -> Arc<Pool> {
        Arc::clone(&self.0.lock().current)
    }

    /// New queries ask `next`; an earlier pool goes with the last query that asks it.
    pub(crate) fn exchange(&self, next: Arc<Pool>) {
        let mut inner = self.0.lock();
        let before = std::mem::replace(&mut inner.current, next);
        before.retire();
        inner.earlier.retain(|pool| pool.strong_count() > 0);
        inner.earlier.push(Arc::downgrade(&before));
        drop(inner);
        // With its idle instances, outside the lock.
        drop(before);
    }

    /// As [`Pool::renew`], of all of them.
    pub(crate) fn renew(&self) {
        let inner = self.0.lock();
        let earlier: Vec<_> = inner.earlier.iter().filter_map(Weak::upgrade).collect();
        let current = Arc::clone(&inner.current);
        drop(inner);
        for pool in earlier.iter().chain([&current]) {
            pool.renew();
        }
    }
}
