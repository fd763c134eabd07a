//! What is told of a whole trace: its spans, its summary, and who calls whom in it.

use std::collections::{BTreeMap, BTreeSet};

use larder_proto::storage::v2::{ServiceSummary, TraceSummary};

use super::Seen;
use crate::findings;

/// A trace as answers tell of it.
pub(super) struct Facts(TraceSummary);

impl Facts {
    /// Counts over all spans of the trace.
    pub(super) fn of(id: &[u8], spans: &[Seen<'_>]) -> Self {
        let ids: BTreeSet<&[u8]> = spans.iter().map(|of| of.span.span_id.as_slice()).collect();
        let root = spans
            .iter()
            .filter(|of| of.span.parent_span_id.is_empty())
            .min_by_key(|of| of.span.start_time_unix_nano);
        let orphans = spans.iter().filter(|of| {
            let parent = of.span.parent_span_id.as_slice();
            !parent.is_empty() && !ids.contains(parent)
        });
        let mut services: BTreeMap<&str, ServiceSummary> = BTreeMap::new();
        for of in spans {
            let service = services
                .entry(of.service)
                .or_insert_with(|| ServiceSummary {
                    name: of.service.to_owned(),
                    ..ServiceSummary::default()
                });
            service.span_count += 1;
            service.error_span_count += i32::from(of.failed());
        }
        let starts = spans.iter().map(|of| of.span.start_time_unix_nano);
        let ends = spans.iter().map(|of| of.span.end_time_unix_nano);
        Self(TraceSummary {
            trace_id: id.to_vec(),
            root_service_name: root.map(|of| of.service.to_owned()).unwrap_or_default(),
            root_operation_name: root.map(|of| of.span.name.clone()).unwrap_or_default(),
            min_start_time_unix_nano: starts.min().unwrap_or_default(),
            max_end_time_unix_nano: ends.max().unwrap_or_default(),
            span_count: count(spans.len()),
            error_span_count: count(spans.iter().filter(|of| of.failed()).count()),
            orphan_span_count: count(orphans.count()),
            services: services.into_values().collect(),
        })
    }

    pub(super) fn id(&self) -> &[u8] {
        &self.0.trace_id
    }

    /// How many spans, as `findings` words it.
    pub(super) fn spans(&self) -> String {
        findings::spans(u64::try_from(self.0.span_count).unwrap_or(0))
    }

    /// All of it, as `findings` words it.
    pub(super) fn summary(&self) -> String {
        findings::summary(&self.0)
    }
}

fn count(number: usize) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

/// The services of each span that has its parent in the trace, the parent's first.
pub(super) fn calls<'a>(spans: &[Seen<'a>]) -> Vec<(&'a str, &'a str)> {
    let services: BTreeMap<&[u8], &'a str> = spans
        .iter()
        .map(|of| (of.span.span_id.as_slice(), of.service))
        .collect();
    let parents = spans
        .iter()
        .filter(|of| !of.span.parent_span_id.is_empty())
        .filter_map(|of| {
            Some((
                *services.get(of.span.parent_span_id.as_slice())?,
                of.service,
            ))
        });
    parents.collect()
}
