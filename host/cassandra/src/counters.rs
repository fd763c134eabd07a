//! How often a statement was executed, and how long that took.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use larder_store::{STATEMENT_BOUNDS, StatementStatistics};
use scylla::errors::{RequestAttemptError, RequestError};
use scylla::observability::history::{AttemptId, HistoryListener, RequestId, SpeculativeId};
use scylla::policies::retry::RetryDecision;

/// The counters of one statement. It listens to what the scylla crate does within a call.
#[derive(Debug, Default)]
pub(crate) struct Counter {
    errors: AtomicU64,
    retries: AtomicU64,
    speculative: AtomicU64,
    nanos: AtomicU64,
    /// Calls by their duration. Together they are all calls, so the two never differ.
    buckets: [AtomicU64; STATEMENT_BOUNDS.len() + 1],
}

// === impl Counter ===

impl Counter {
    /// Counts a call.
    pub(crate) fn count(&self, took: Duration, failed: bool) {
        self.errors.fetch_add(failed.into(), Ordering::Relaxed);
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.nanos.fetch_add(nanos, Ordering::Relaxed);
        let bucket = STATEMENT_BOUNDS.partition_point(|bound| took > Duration::from_micros(*bound));
        if let Some(bucket) = self.buckets.get(bucket) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Number and time of all calls.
    pub(crate) fn cost(&self) -> (u64, Duration) {
        let nanos = self.nanos.load(Ordering::Relaxed);
        (self.buckets().iter().sum(), Duration::from_nanos(nanos))
    }

    fn buckets(&self) -> [u64; STATEMENT_BOUNDS.len() + 1] {
        self.buckets.each_ref().map(|it| it.load(Ordering::Relaxed))
    }

    pub(crate) fn statistics(&self, name: &'static str) -> StatementStatistics {
        let buckets = self.buckets();
        let nanos = self.nanos.load(Ordering::Relaxed);
        StatementStatistics {
            name,
            calls: buckets.iter().sum(),
            errors: self.errors.load(Ordering::Relaxed),
            retries: self.retries.load(Ordering::Relaxed),
            speculative: self.speculative.load(Ordering::Relaxed),
            seconds: Duration::from_nanos(nanos).as_secs_f64(),
            buckets,
        }
    }
}

/// Nothing is kept of a single call, so all have one number.
impl HistoryListener for Counter {
    fn log_request_start(&self) -> RequestId {
        RequestId(0)
    }

    fn log_request_success(&self, _: RequestId) {}

    fn log_request_error(&self, _: RequestId, _: &RequestError) {}

    fn log_new_speculative_fiber(&self, _: RequestId) -> SpeculativeId {
        self.speculative.fetch_add(1, Ordering::Relaxed);
        SpeculativeId(0)
    }

    fn log_attempt_start(
        &self,
        _: RequestId,
        _: Option<SpeculativeId>,
        _: SocketAddr,
    ) -> AttemptId {
        AttemptId(0)
    }

    fn log_attempt_success(&self, _: AttemptId) {}

    fn log_attempt_error(&self, _: AttemptId, _: &RequestAttemptError, decision: &RetryDecision) {
        if !matches!(
            decision,
            RetryDecision::DontRetry | RetryDecision::IgnoreWriteError
        ) {
            self.retries.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_in_the_bucket_of_its_duration() {
        let counter = Counter::default();
        for (micros, failed) in [(0, false), (500, false), (501, true), (10_000_001, false)] {
            counter.count(Duration::from_micros(micros), failed);
        }
        let counted = counter.statistics("Get");
        assert_eq!((counted.calls, counted.errors), (4, 1));
        let mut buckets = [0; STATEMENT_BOUNDS.len() + 1];
        for (bucket, calls) in buckets.iter_mut().zip([2, 1]) {
            *bucket = calls;
        }
        if let Some(last) = buckets.last_mut() {
            *last = 1;
        }
        assert_eq!(counted.buckets, buckets);
        assert_eq!(counter.cost().0, 4);
    }
}
