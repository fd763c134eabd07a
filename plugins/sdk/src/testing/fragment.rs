//! Builders of fragments for tests.

use std::fmt;

use super::stored::StoredFragment;
use crate::bindings::exports::larder::storage::writer;
use crate::{Batch, DurationRange, Operation, SpanKind, Term, TimeRange, Timestamp, TraceId};

/// A fragment under construction.
#[derive(Clone, PartialEq, Eq)]
pub struct FragmentBuilder(StoredFragment);

/// Starts a fragment of this trace with one span, which starts at 0 and has no duration; the methods change it.
pub fn fragment(trace_id: u128) -> FragmentBuilder {
    FragmentBuilder(StoredFragment {
        trace_id: TraceId::from(trace_id),
        span_count: 1,
        starts: TimeRange { start: 0, end: 0 },
        durations: DurationRange {
            shortest: 0,
            longest: 0,
        },
        terms: Vec::new(),
        operations: Vec::new(),
        digest: Vec::new(),
        otlp: Vec::new(),
    })
}

/// Makes a batch of these fragments.
pub fn batch(fragments: impl IntoIterator<Item = FragmentBuilder>) -> Batch {
    let mut batch = Batch::default();
    let mut operations = Vec::new();
    for FragmentBuilder(fragment) in fragments {
        for operation in fragment.operations {
            let index = place_of(&mut operations, operation);
            batch.fragment_operations.push(index);
        }
        batch.terms.extend(fragment.terms);
        batch.digests.extend(fragment.digest);
        batch.otlp.extend(fragment.otlp);
        batch.fragments.push(writer::Fragment {
            trace_id: fragment.trace_id,
            span_count: fragment.span_count,
            starts: fragment.starts,
            durations: fragment.durations,
            terms_end: number(batch.terms.len()),
            operations_end: number(batch.fragment_operations.len()),
            digest_end: number(batch.digests.len()),
            otlp_end: number(batch.otlp.len()),
        });
    }
    for operation in operations {
        batch.operations.push(writer::BatchOperation {
            service: place_of(&mut batch.services, operation.service),
            name: operation.name,
            kind: operation.kind,
        });
    }
    batch
}

/// Returns the index of `wanted` in the list, and adds it if necessary.
fn place_of<T: PartialEq>(list: &mut Vec<T>, wanted: T) -> u32 {
    let known = list.iter().position(|it| *it == wanted);
    number(known.unwrap_or_else(|| {
        list.push(wanted);
        list.len() - 1
    }))
}

fn number(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

// === impl FragmentBuilder ===

impl FragmentBuilder {
    /// Sets its trace.
    #[must_use]
    pub fn trace(mut self, trace_id: u128) -> Self {
        self.0.trace_id = TraceId::from(trace_id);
        self
    }

    /// Sets the earliest and the latest start of its spans.
    #[must_use]
    pub fn starts(mut self, start: Timestamp, end: Timestamp) -> Self {
        self.0.starts = TimeRange { start, end };
        self
    }

    /// Sets the shortest and the longest duration of its spans.
    #[must_use]
    pub fn durations(mut self, shortest: u64, longest: u64) -> Self {
        self.0.durations = DurationRange { shortest, longest };
        self
    }

    /// Sets the number of spans.
    #[must_use]
    pub fn spans(mut self, count: u32) -> Self {
        self.0.span_count = count;
        self
    }

    /// Sets its terms, in any order.
    #[must_use]
    pub fn terms(mut self, terms: impl IntoIterator<Item = Term>) -> Self {
        self.0.terms.extend(terms);
        self.0.terms.sort_unstable();
        self.0.terms.dedup();
        self
    }

    /// Adds an operation of its spans.
    #[must_use]
    pub fn operation(mut self, service: &str, name: &str, kind: SpanKind) -> Self {
        let operation = Operation {
            service: service.to_owned(),
            name: name.to_owned(),
            kind,
        };
        place_of(&mut self.0.operations, operation);
        self
    }

    /// Sets its digest.
    #[must_use]
    pub fn digest(mut self, digest: impl Into<Vec<u8>>) -> Self {
        self.0.digest = digest.into();
        self
    }

    /// Sets its `TracesData`, or any bytes in its place.
    #[must_use]
    pub fn otlp(mut self, otlp: impl Into<Vec<u8>>) -> Self {
        self.0.otlp = otlp.into();
        self
    }

    /// Returns the finished fragment.
    pub fn build(self) -> StoredFragment {
        self.0
    }

    pub(super) fn trace_id(&self) -> TraceId {
        self.0.trace_id
    }

    pub(super) fn number(&mut self, number: u64) {
        let number = number.to_be_bytes();
        self.0.digest.splice(0..0, number);
        self.0.otlp.splice(0..0, number);
    }
}

/// Prints only the number of bytes of its digest and its `otlp`, as a failing property test prints many fragments.
impl fmt::Debug for FragmentBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let it = &self.0;
        write!(
            f,
            "fragment({}).starts({}, {}).durations({}, {}).spans({}).terms({:?}).digest({} bytes).otlp({} bytes)",
            u128::from(it.trace_id),
            it.starts.start,
            it.starts.end,
            it.durations.shortest,
            it.durations.longest,
            it.span_count,
            it.terms,
            it.digest.len(),
            it.otlp.len()
        )?;
        for Operation {
            service,
            name,
            kind,
        } in &it.operations
        {
            write!(f, ".operation({service:?}, {name:?}, {kind:?})")?;
        }
        Ok(())
    }
}
