//! Heads of records, in memory as long as there is room.

use std::sync::Arc;

use hashbrown::HashMap;

use crate::record::Head;

/// Heads by their groups. Those that were not used for the longest time go first.
#[derive(Debug)]
pub(crate) struct Cache {
    limit: usize,
    bytes: usize,
    heads: HashMap<String, Cached>,
    uses: u64,
}

#[derive(Debug)]
struct Cached {
    head: Arc<Head>,
    bytes: usize,
    /// The number of its last use.
    used: u64,
}

// === impl Cache ===

impl Cache {
    /// Creates an empty cache of at most so many bytes, about.
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            limit,
            bytes: 0,
            heads: HashMap::new(),
            uses: 0,
        }
    }

    pub(crate) fn get(&mut self, group: &str) -> Option<Arc<Head>> {
        self.uses += 1;
        let cached = self.heads.get_mut(group)?;
        cached.used = self.uses;
        Some(Arc::clone(&cached.head))
    }

    pub(crate) fn insert(&mut self, group: &str, head: &Arc<Head>) {
        let bytes = head.weight();
        if bytes > self.limit {
            return;
        }
        self.uses += 1;
        let cached = Cached {
            head: Arc::clone(head),
            bytes,
            used: self.uses,
        };
        self.bytes += bytes;
        if let Some(before) = self.heads.insert(group.to_owned(), cached) {
            self.bytes -= before.bytes;
        }
        if self.bytes > self.limit {
            self.shrink();
        }
    }

    pub(crate) fn remove(&mut self, group: &str) {
        if let Some(removed) = self.heads.remove(group) {
            self.bytes -= removed.bytes;
        }
    }

    /// Makes room, for a while.
    fn shrink(&mut self) {
        let mut uses: Vec<_> = self.heads.values().map(|it| (it.used, it.bytes)).collect();
        uses.sort_unstable();
        let mut left = self.bytes;
        let goal = self.limit - self.limit / 8;
        let gone = uses.into_iter().take_while(|(_, bytes)| {
            let goes = left > goal;
            left -= if goes { *bytes } else { 0 };
            goes
        });
        let last = gone.last().map_or(0, |(used, _)| used);
        self.heads.retain(|_, it| it.used > last);
        self.bytes = self.heads.values().map(|it| it.bytes).sum();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_heads_that_were_used_last_stay_within_the_limit() {
        let head = Arc::new(Head::default());
        let mut cache = Cache::new(8 * head.weight());
        for number in 0..100 {
            cache.insert(&format!("{number}"), &head);
            assert!(cache.get("0").is_some(), "it is used each time");
            assert!(cache.bytes <= cache.limit);
        }
        assert!(cache.get("99").is_some());
        assert!(cache.get("50").is_none());
        cache.remove("99");
        assert!(cache.get("99").is_none());
    }
}
