//! Forgets settled buckets where there are too many: their traces have no rows then, and are judged in each query of their time.

use larder_model::storage::KeepChange;

use super::Outcome;
use super::tidy::give_back_all;
use crate::entries::bucket_key;
use crate::shared::Shared;

/// Buckets that are forgotten in one piece of work.
const BUCKETS_A_PIECE: usize = 1024;

/// Forgets the buckets farthest from now, some at a time.
pub(super) async fn evict(shared: &Shared) -> Outcome {
    let gate = shared.gate().await;
    shared.refresh(&gate).await?;
    let now = shared.now();
    let (farthest, changes) = {
        let mut inner = shared.inner.lock();
        let farthest = inner.farthest(&shared.config, now, BUCKETS_A_PIECE);
        // They may hold traces without having entries. That is true before they are deleted, too.
        let last = farthest.iter().max().copied();
        if inner.state.frontier < last {
            inner.state.frontier = last;
            inner.is_head_saved = false;
        }
        let keys = farthest
            .iter()
            .map(|it| bucket_key(inner.state.series, *it));
        let changes = keys.map(KeepChange::Delete).collect();
        (farthest, changes)
    };
    shared.commit(&gate, changes).await?;
    let replaced = {
        let mut inner = shared.inner.lock();
        let entries = inner.state.buckets_mut();
        let gone = farthest.iter().filter_map(|it| entries.remove(it));
        gone.filter_map(|it| it.group().cloned()).collect()
    };
    drop(gate);
    give_back_all(shared, replaced).await;
    Ok(())
}
