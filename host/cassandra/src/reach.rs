//! Whether the store takes writes and answers reads, as this host has last seen it: by its own probes and by every statement.

use std::sync::atomic::{AtomicBool, Ordering};

use larder_store::Reach;
use parking_lot::Mutex;

/// See the module.
#[derive(Default)]
pub(crate) struct ReachState {
    writes: Side,
    reads: Side,
}

#[derive(Default)]
struct Side {
    /// Set while `why` is something, so that successes need no lock.
    fails: AtomicBool,
    why: Mutex<Option<String>>,
}

// === impl ReachState ===

impl ReachState {
    pub(crate) fn succeeded(&self, writes: bool) {
        self.side(writes).succeeded();
    }

    pub(crate) fn failed(&self, writes: bool, why: &str) {
        self.side(writes).failed(why);
    }

    pub(crate) fn now(&self) -> Reach {
        Reach {
            writes: self.writes.why.lock().clone(),
            reads: self.reads.why.lock().clone(),
        }
    }

    fn side(&self, writes: bool) -> &Side {
        if writes { &self.writes } else { &self.reads }
    }
}

// === impl Side ===

impl Side {
    fn succeeded(&self) {
        if self.fails.load(Ordering::Relaxed) {
            let mut why = self.why.lock();
            *why = None;
            self.fails.store(false, Ordering::Relaxed);
        }
    }

    fn failed(&self, why: &str) {
        let mut now = self.why.lock();
        *now = Some(why.to_owned());
        self.fails.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_side_fails_and_recovers_by_itself() {
        let state = ReachState::default();
        assert_eq!(state.now(), Reach::default());
        state.failed(true, "no quorum");
        state.succeeded(false);
        let now = state.now();
        assert_eq!(
            (now.writes.as_deref(), now.reads),
            (Some("no quorum"), None)
        );
        state.succeeded(true);
        assert_eq!(state.now(), Reach::default());
    }
}
