//! Which numbers are in use, for the tree's compactions: what belongs to none is dropped when it is met.
//!
//! So a reclaimed partition costs no tombstone a key.

use std::collections::HashSet;
use std::sync::{Arc, PoisonError, RwLock};

use lsm_tree::compaction::filter::{CompactionFilter, Context, Factory, ItemAccessor, Verdict};

use super::record::{BURNT, VALUE, WRITER, owner};

/// The numbers of all namespaces and partitions that there are. Clones share it.
// A lock of std, as `Factory` has to be `RefUnwindSafe`.
#[derive(Clone, Default)]
pub(super) struct Live(Arc<RwLock<HashSet<u64>>>);

struct Filter(Live);

// === impl Live ===

impl Live {
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

impl Factory for Live {
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
            Some((VALUE | WRITER | BURNT, number, _)) if !self.0.contains(number)
        );
        // No tombstone: older versions of the key are dropped as well, and nothing asks for it any more.
        Ok(if dropped {
            Verdict::Destroy
        } else {
            Verdict::Keep
        })
    }
}
