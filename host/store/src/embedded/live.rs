//! The numbers in use, for the tree's compaction filter: it drops entries of namespaces and partitions that no longer exist.
//!
//! So reclaiming a partition needs no tombstone per key.

use std::collections::HashSet;
use std::sync::{Arc, PoisonError, RwLock};

use lsm_tree::compaction::filter::{CompactionFilter, Context, Factory, ItemAccessor, Verdict};

use super::record::{RECLAIMED_NAME, VALUE, WRITER, owner};

/// The numbers of all existing namespaces and partitions. Clones share the set.
// A lock of std, because `Factory` has to be `RefUnwindSafe`.
#[derive(Clone, Default)]
pub(super) struct LiveNumbers(Arc<RwLock<HashSet<u64>>>);

struct Filter(LiveNumbers);

// === impl LiveNumbers ===

impl LiveNumbers {
    pub(super) fn insert(&self, number: u64) {
        let mut live = self.0.write().unwrap_or_else(PoisonError::into_inner);
        live.insert(number);
    }

    pub(super) fn remove(&self, number: u64) {
        let mut live = self.0.write().unwrap_or_else(PoisonError::into_inner);
        live.remove(&number);
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        let live = self.0.read().unwrap_or_else(PoisonError::into_inner);
        live.len()
    }

    pub(super) fn contains(&self, number: u64) -> bool {
        let live = self.0.read().unwrap_or_else(PoisonError::into_inner);
        live.contains(&number)
    }
}

impl Factory for LiveNumbers {
    fn name(&self) -> &'static str {
        "reclaimed"
    }

    fn make_filter(&self, _: &Context) -> Box<dyn CompactionFilter> {
        Box::new(Filter(self.clone()))
    }
}

impl CompactionFilter for Filter {
    fn filter_item(&mut self, item: ItemAccessor<'_>, _: &Context) -> lsm_tree::Result<Verdict> {
        let dropped = matches!(
            owner(item.key()),
            Some((VALUE | WRITER | RECLAIMED_NAME, number, _)) if !self.0.contains(number)
        );
        // Without a tombstone older versions may reappear, but they are dropped too, and nothing reads the key any more.
        Ok(if dropped {
            Verdict::Destroy
        } else {
            Verdict::Keep
        })
    }
}
