//! Evaluates queries by brute force: plain loops over owned messages, written from the rules, without plans, terms, digests or pages.
//! Nothing is prepared or indexed, and constants are parsed again for each span.

mod filter;
mod form;
mod query;
mod spans;
mod trace;

use std::cmp::Reverse;
use std::collections::BTreeMap;

use larder_proto::storage::v2::{
    Dependency, SpanQueryParameters, TraceQueryParameters, TraceSummary,
};
use opentelemetry_proto::tonic::trace::v1::ResourceSpans;

pub use form::string_form;
pub use query::{depth, newest_match};
pub use spans::compare;
pub use trace::{calls, kind, service, summary, times};

#[cfg(feature = "strategies")]
pub(crate) use filter::PATTERNS;

use crate::otlp::{SpanRef, spans_of};

/// A trace id in its wire form.
pub type TraceId = [u8; 16];

/// All written spans, by trace, in the order written.
#[derive(Debug)]
pub struct Oracle<'a> {
    traces: BTreeMap<TraceId, Vec<SpanRef<'a>>>,
}

impl<'a> Oracle<'a> {
    /// Takes these resources, written in this order.
    pub fn new(written: impl IntoIterator<Item = &'a ResourceSpans>) -> Self {
        let mut traces: BTreeMap<TraceId, Vec<SpanRef<'a>>> = BTreeMap::new();
        for one in spans_of(written) {
            let id = one.span.trace_id[..].try_into().unwrap();
            traces.entry(id).or_default().push(one);
        }
        Self { traces }
    }

    /// Counts the traces.
    #[expect(clippy::len_without_is_empty, reason = "a count to compare with")]
    pub fn len(&self) -> usize {
        self.traces.len()
    }

    /// Returns the spans of a trace, in the order written (G3); none if it is unknown.
    pub fn trace(&self, id: TraceId) -> &[SpanRef<'a>] {
        self.traces.get(&id).map_or(&[], Vec::as_slice)
    }

    /// Returns the traces that a valid query finds: newest matching span first, then by id; no more than its depth (Q1 to Q3, V1, V15).
    /// Ignores pagination.
    pub fn find(&self, query: &TraceQueryParameters) -> Vec<TraceId> {
        let mut found = Vec::new();
        for (id, spans) in &self.traces {
            found.extend(newest_match(query, spans).map(|newest| (Reverse(newest), *id)));
        }
        found.sort_unstable();
        found.truncate(depth(query));
        found.into_iter().map(|(_, id)| id).collect()
    }

    /// Returns the spans that a valid search for spans finds, in its order; equal ones in the order written. Ignores pagination.
    pub fn find_spans(&self, query: &SpanQueryParameters) -> Vec<SpanRef<'a>> {
        let all = self.traces.values().flatten().copied();
        let mut found: Vec<_> = all.filter(|one| spans::matches(query, *one)).collect();
        found.sort_by(|one, other| compare(&query.order_by, *one, *other));
        found
    }

    /// Returns the summary that `FindTraceSummaries` must give for a known trace (F2, F3).
    pub fn summary(&self, id: TraceId) -> TraceSummary {
        summary(self.trace(id))
    }

    /// Returns the calls in the traces within the window of nanoseconds, both ends included, sorted (D2 to D4).
    pub fn dependencies(&self, from: u64, to: u64) -> Vec<Dependency> {
        let mut counts: BTreeMap<(&str, &str), u64> = BTreeMap::new();
        for spans in self.traces.values() {
            let (start, end) = times(spans);
            if from <= start && end <= to {
                for call in calls(spans) {
                    *counts.entry(call).or_default() += 1;
                }
            }
        }
        let counts = counts.into_iter();
        counts
            .map(|((parent, child), call_count)| Dependency {
                parent: parent.to_owned(),
                child: child.to_owned(),
                call_count,
                source: String::new(),
            })
            .collect()
    }
}
