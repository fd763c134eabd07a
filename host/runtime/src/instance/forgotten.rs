//! Fragments that a query has sighted and could not read back.
//!
//! Retention may have dropped them in between, which the plugin's counters tell at the latest when they are read next. If they tell of
//! nothing, the plugin has forgotten them: searches miss what they should find, without an error.

use larder_model::storage::{Dropped, Statistics, TraceId};
use parking_lot::Mutex;

/// More are not waited for at once.
const MOST: usize = 16;

/// What waits until the counters are read.
#[derive(Debug, Default)]
pub(crate) struct Forgotten(Mutex<Vec<Told>>);

/// One query's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    /// The counters, and the number of restarts, when the query began.
    pub(crate) counted: Statistics,
    pub(crate) restarts: u64,
    /// The number of fragments, and one of them with its trace.
    pub(crate) fragments: usize,
    pub(crate) example: (u64, TraceId),
}

// === impl Forgotten ===

impl Forgotten {
    /// Keeps what a query has told until the counters are read.
    pub(crate) fn tell(&self, told: Told) {
        let mut all = self.0.lock();
        if all.len() < MOST {
            all.push(told);
        }
    }

    /// Takes what was told before these counters were read, and returns what they do not explain.
    pub(crate) fn judge(&self, counted: &Statistics, restarts: u64) -> Vec<Told> {
        let mut all = std::mem::take(&mut *self.0.lock());
        all.retain(|told| {
            let dropped = counted.dropped_since(&told.counted);
            dropped == Dropped::default() && told.restarts == restarts
        });
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(evicted_spans: u64, restarts: u64) -> Told {
        Told {
            counted: of(evicted_spans),
            restarts,
            fragments: 2,
            example: (7, TraceId(1)),
        }
    }

    fn of(evicted_spans: u64) -> Statistics {
        Statistics {
            evicted_spans,
            ..Statistics::default()
        }
    }

    #[test]
    fn what_was_dropped_or_went_with_an_instance_is_explained() {
        let forgotten = Forgotten::default();
        forgotten.tell(told(3, 0));
        assert_eq!(forgotten.judge(&of(3), 0), [told(3, 0)]);
        assert_eq!(forgotten.judge(&of(3), 0), [], "it is told once");
        forgotten.tell(told(3, 0));
        assert_eq!(forgotten.judge(&of(4), 0), []);
        forgotten.tell(told(3, 0));
        assert_eq!(forgotten.judge(&of(3), 1), []);
    }

    #[test]
    fn a_plugin_that_forgets_all_the_time_takes_no_memory() {
        let forgotten = Forgotten::default();
        for _ in 0..1000 {
            forgotten.tell(told(0, 0));
        }
        assert_eq!(forgotten.judge(&of(0), 0).len(), MOST);
    }
}
