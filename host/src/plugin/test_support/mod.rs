//! What the tests of this module share.

pub(crate) mod guest;

use crate::storage::{
    Batch, BatchBuilder, DurationRange, FragmentFacts, SpanKind, TimeRange, TraceId,
};

/// A batch of one fragment with one operation.
pub(crate) fn batch(trace: u128, otlp: &[u8]) -> Batch {
    batch_with(trace, otlp, "service")
}

/// A batch of one fragment with one operation of `service`.
pub(super) fn batch_with(trace: u128, otlp: &[u8], service: &str) -> Batch {
    let mut builder = BatchBuilder::default();
    let service = builder.push_service(service);
    let operation = builder.push_operation(service, "name", SpanKind::Server);
    builder.terms().extend([1, 2, 3]);
    builder.fragment_operations().push(operation);
    builder.digest().extend_from_slice(b"digest");
    builder.otlp().extend_from_slice(otlp);
    builder.finish_fragment(FragmentFacts {
        trace_id: TraceId(trace),
        span_count: 1,
        starts: TimeRange { start: 5, end: 5 },
        durations: DurationRange {
            shortest: 1,
            longest: 1,
        },
    });
    builder.build()
}
