//! Settles what was stored before anything was kept, and what was left unmarked, from the newest to the oldest.

use std::sync::Arc;

use hashbrown::HashSet;
use larder_model::storage::{TimeRange, TraceId};
use larder_search::kept::{Finding, Reader, TraceCalls};

use super::settle::settle;
use super::{Failure, Outcome};
use crate::bucket::Bucket;
use crate::checkpoint::pause;
use crate::inner::Inner;
use crate::shared::Shared;

/// Traces whose starts are looked at in one range, at first. A plugin may name a trace for all of the time between two of its spans.
const FIRST_LIMIT: usize = 64;
/// Times that the limit doubles: up to 8,192 traces, which are read at once. More are not looked at for a bucket that is settled next.
const MOST_DOUBLINGS: u32 = 7;

/// What there is in a range of time.
enum Spans {
    /// No span starts in it.
    None,
    /// The newest span in it starts at this time.
    Newest(u64),
    /// More traces may have spans in it than were looked at.
    Many,
}

/// Moves the frontier over time without spans, and settles the bucket with the newest ones.
pub(super) async fn backfill(shared: &Shared) -> Outcome {
    let epoch = shared.inner.lock().epoch;
    let (mut reach, mut doublings) = (1_u32, 0);
    loop {
        let (start, frontier) = {
            // No write is under way, so what was left unmarked before is visible, or will never be.
            let _gate = shared.gate().await;
            let mut inner = shared.inner.lock();
            inner.check_epoch(epoch)?;
            inner.left_unmarked = None;
            let Some(frontier) = inner.backfills_from(&shared.config) else {
                return Ok(());
            };
            let without_entry = inner.state.last_without_entry(frontier);
            if without_entry != Some(frontier) {
                // Those with entries are settled like others.
                inner.move_frontier(frontier, without_entry);
                continue;
            }
            // What is settled need not be read again to find what is not.
            (inner.state.first_without_entry(frontier), frontier)
        };
        let first = Bucket(frontier.0.saturating_sub(reach - 1)).max(start);
        match look(shared, first.to(frontier), FIRST_LIMIT << doublings).await? {
            Spans::None => {
                let mut inner = shared.inner.lock();
                inner.check_epoch(epoch)?;
                inner.move_frontier(frontier, first.before());
                reach = reach.saturating_mul(2);
                doublings = MOST_DOUBLINGS.min(doublings + 1);
            }
            Spans::Newest(start) => {
                let newest = Bucket::of(start);
                let is_unknown = {
                    let mut inner = shared.inner.lock();
                    inner.check_epoch(epoch)?;
                    inner.move_frontier(frontier, Some(newest));
                    inner.state.is_unknown(newest)
                };
                if is_unknown {
                    return settle(shared, newest).await;
                }
            }
            Spans::Many if first == frontier => return settle(shared, frontier).await,
            Spans::Many => {
                reach = reach.div_ceil(2).min(frontier.0 - first.0);
                doublings = 0;
            }
        }
        pause().await;
    }
}

impl Inner {
    /// Checks that the state was not replaced: writes that were marked in the one before are not marked in this one.
    fn check_epoch(&self, epoch: u64) -> Outcome {
        if self.epoch == epoch {
            Ok(())
        } else {
            Err(Failure::Overtaken)
        }
    }
}

/// Looks for the newest span that starts in a range.
async fn look(shared: &Shared, range: TimeRange, limit: usize) -> Result<Spans, Failure> {
    let storage = shared.storage().ok_or(Failure::Closed)?;
    let mut reader = Reader::new(storage, Arc::clone(&shared.metrics));
    let mut finding = Finding::new(range);
    let mut seen = HashSet::new();
    while let Some(found) = reader.find(&mut finding).await? {
        let ids = found.into_iter().map(|(id, _)| id);
        reader.add(ids.filter(|id| seen.insert(*id)));
        if seen.len() > limit {
            return Ok(Spans::Many);
        }
        pause().await;
    }
    let mut newest = None;
    let mut each = |_: TraceId, trace: &TraceCalls| {
        let starts = trace.starts.iter().copied();
        let within = starts.filter(|start| (range.start..=range.end).contains(start));
        newest = newest.max(within.max());
    };
    while reader.judge(&mut each).await? {
        pause().await;
    }
    Ok(newest.map_or(Spans::None, Spans::Newest))
}
