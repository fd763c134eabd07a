//! Settles what was stored before anything was kept, from the newest to the oldest.

use std::sync::Arc;

use larder_search::kept::{Finding, Reader};

use super::settle::settle;
use super::{Failure, Outcome};
use crate::bucket::Bucket;
use crate::checkpoint::pause;
use crate::shared::{Inner, Shared};

/// Moves the frontier over time without spans, and settles the bucket with the newest ones.
pub(super) async fn backfill(shared: &Shared) -> Outcome {
    let epoch = shared.inner.lock().epoch;
    let mut reach = 1;
    loop {
        let frontier = {
            let mut inner = shared.inner.lock();
            if inner.epoch != epoch {
                return Err(Failure::Overtaken);
            }
            let Some(frontier) = inner.state.frontier else {
                return Ok(());
            };
            if inner.state.buckets.contains_key(&frontier) {
                // It was written to since, and is settled like others.
                inner.move_frontier(frontier, frontier);
                continue;
            }
            frontier
        };
        let first = Bucket(frontier.0.saturating_sub(reach - 1));
        if !has_spans(shared, (first, frontier)).await? {
            shared.inner.lock().move_frontier(frontier, first);
            reach = reach.saturating_mul(2);
        } else if first == frontier {
            return settle(shared, frontier).await;
        } else {
            reach = reach.div_ceil(2).min(frontier.0 - first.0);
        }
        pause().await;
    }
}

impl Inner {
    /// Moves the frontier below a bucket, unless it has been moved in between.
    fn move_frontier(&mut self, from: Bucket, below: Bucket) {
        if self.state.frontier == Some(from) {
            self.state.frontier = below.before();
            self.is_head_saved = false;
        }
    }
}

/// Returns `true` if spans may start in these buckets.
async fn has_spans(shared: &Shared, (first, last): (Bucket, Bucket)) -> Result<bool, Failure> {
    let storage = shared.storage().ok_or(Failure::Closed)?;
    let mut reader = Reader::new(storage, Arc::clone(&shared.metrics));
    let mut finding = Finding::new(first.to(last));
    while let Some(ids) = reader.find(&mut finding).await? {
        if !ids.is_empty() {
            return Ok(true);
        }
        pause().await;
    }
    Ok(false)
}
