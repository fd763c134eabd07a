//! The newest traces that a query finds, limited to its depth.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use larder_oracle::otlp::SpanRef;
use larder_oracle::{Query, depth, newest_match};
use larder_proto::storage::v2::TraceSummary;

/// Ordered by the start of their newest matching span, newest first; of equal ones the smaller id first.
#[derive(Default)]
pub(super) struct Newest(BTreeMap<(Reverse<u64>, Vec<u8>), Arc<TraceSummary>>);

impl Newest {
    /// Keeps the trace if it matches and is among the newest so far.
    pub(super) fn add(
        &mut self,
        query: &Query,
        spans: &[SpanRef<'_>],
        summary: impl FnOnce() -> Arc<TraceSummary>,
    ) {
        if let Some(start) = newest_match(&query.0, spans) {
            let summary = summary();
            let id = summary.trace_id.clone();
            self.0.insert((Reverse(start), id), summary);
            if self.0.len() > depth(&query.0) {
                self.0.pop_last();
            }
        }
    }

    /// Iterates over the traces, newest first.
    pub(super) fn summaries(&self) -> impl Iterator<Item = &TraceSummary> {
        self.0.values().map(Arc::as_ref)
    }
}
