//! Batches: their fragments, each with its slices of the batch's lists.

use std::ops::Range;

use crate::bindings::exports::larder::storage::writer;
use crate::{Batch, DurationRange, Operation, Part, SpanKind, Term, TimeRange, TraceId};

/// The spans of one trace in a batch: the unit that is stored, indexed and judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fragment<'a> {
    /// The trace of all its spans.
    pub trace_id: TraceId,
    /// The number of spans; at least one.
    pub span_count: u32,
    /// Earliest and latest span start.
    pub starts: TimeRange,
    /// Shortest and longest span.
    pub durations: DurationRange,
    /// Every fact about its spans, resources, scopes, events and links; ascending, without duplicates.
    pub terms: &'a [Term],
    /// The operations of its spans, as indices into the batch's operations.
    pub operations: &'a [u32],
    /// The host's own compact form of the spans.
    pub digest: &'a [u8],
    /// An encoded `TracesData` with this trace's spans, as they were sent.
    pub otlp: &'a [u8],
}

/// A service, the name of one of its spans, and that span's kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BatchOperation<'a> {
    /// Its index among the batch's services.
    pub service_index: u32,
    /// Never empty.
    pub service: &'a str,
    /// May be empty.
    pub name: &'a str,
    /// The span's kind.
    pub kind: SpanKind,
}

// === impl Fragment ===

impl<'a> Fragment<'a> {
    /// Returns this part of it.
    pub fn part(&self, part: Part) -> &'a [u8] {
        match part {
            Part::Digest => self.digest,
            Part::Otlp => self.otlp,
        }
    }
}

// === impl Batch ===

impl Batch {
    /// Returns all fragments, in the order in which they are to be stored.
    pub fn fragments(&self) -> impl ExactSizeIterator<Item = Fragment<'_>> {
        let mut before = None;
        self.fragments.iter().map(move |fragment| {
            let view = self.view(before, fragment);
            before = Some(fragment);
            view
        })
    }

    /// Returns the fragment at this index, if there is one.
    pub fn fragment(&self, place: usize) -> Option<Fragment<'_>> {
        let before = place.checked_sub(1);
        let before = before.and_then(|before| self.fragments.get(before));
        Some(self.view(before, self.fragments.get(place)?))
    }

    /// Returns each operation that occurs in the batch, once.
    pub fn operations(&self) -> impl ExactSizeIterator<Item = BatchOperation<'_>> {
        self.operations.iter().map(|operation| {
            let service = self.services.get(operation.service as usize);
            BatchOperation {
                service_index: operation.service,
                service: service.map_or("", String::as_str),
                name: &operation.name,
                kind: operation.kind,
            }
        })
    }

    /// Returns the memory of the batch: the bytes of all its lists.
    pub fn bytes(&self) -> usize {
        let services = self
            .services
            .iter()
            .map(|it| it.len() + size_of::<String>());
        let names = self.operations.iter().map(|it| it.name.len());
        services.sum::<usize>()
            + names.sum::<usize>()
            + size_of_val(&*self.operations)
            + size_of_val(&*self.fragments)
            + size_of_val(&*self.terms)
            + size_of_val(&*self.fragment_operations)
            + self.digests.len()
            + self.otlp.len()
    }

    fn view(&self, before: Option<&writer::Fragment>, it: &writer::Fragment) -> Fragment<'_> {
        let start = |end: fn(&writer::Fragment) -> u32| before.map_or(0, end);
        let terms = span(start(|it| it.terms_end), it.terms_end);
        let operations = span(start(|it| it.operations_end), it.operations_end);
        let digest = span(start(|it| it.digest_end), it.digest_end);
        let otlp = span(start(|it| it.otlp_end), it.otlp_end);
        Fragment {
            trace_id: it.trace_id,
            span_count: it.span_count,
            starts: it.starts,
            durations: it.durations,
            // The host keeps the ends within the lists; a slice beyond them would be empty.
            terms: self.terms.get(terms).unwrap_or_default(),
            operations: self.fragment_operations.get(operations).unwrap_or_default(),
            digest: self.digests.get(digest).unwrap_or_default(),
            otlp: self.otlp.get(otlp).unwrap_or_default(),
        }
    }
}

impl From<BatchOperation<'_>> for Operation {
    fn from(operation: BatchOperation<'_>) -> Self {
        Self {
            service: operation.service.to_owned(),
            name: operation.name.to_owned(),
            kind: operation.kind,
        }
    }
}

fn span(start: u32, end: u32) -> Range<usize> {
    start as usize..end as usize
}
