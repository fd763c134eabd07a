//! A batch of fragments in a few large buffers: building one allocates nothing per fragment, and passing it to a plugin copies nothing.

use std::ops::Range;
use std::sync::Arc;

use super::model::{DurationRange, Operation, SpanKind, Term, TimeRange, TraceId};
use crate::dictionary::ListedValues;

/// Fragments of one Export: each holds the spans of one trace.
#[derive(Clone, Debug, Default)]
pub struct Batch(Lists);

/// The facts of a fragment that are not lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FragmentFacts {
    /// The trace of all its spans.
    pub trace_id: TraceId,
    /// Number of spans; never zero.
    pub span_count: u32,
    /// Earliest and latest start of its spans.
    pub starts: TimeRange,
    /// Shortest and longest duration of its spans. A span that ends before it starts counts as 0.
    pub durations: DurationRange,
}

/// The ends of a fragment's slices of the buffers. Each slice starts at the end of the previous fragment's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ends {
    /// In [`Batch::terms`].
    pub terms: u32,
    /// In [`Batch::fragment_operations`].
    pub operations: u32,
    /// In [`Batch::digests`].
    pub digest: u32,
    /// In [`Batch::otlp`].
    pub otlp: u32,
}

/// An operation that occurs in a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchOperation {
    /// Index in [`Batch::services`].
    pub service: u32,
    /// End of its name in [`Batch::names`]. The name starts at the end of the previous operation's.
    pub name_end: u32,
    /// The kind of its spans.
    pub kind: SpanKind,
}

/// The buffers of a [`Batch`].
#[derive(Clone, Debug, Default)]
pub struct Lists {
    /// [`Batch::services`]
    pub services: Vec<String>,
    /// [`Batch::batch_operations`]
    pub operations: Vec<BatchOperation>,
    /// [`Batch::names`]
    pub names: String,
    /// [`Batch::facts`]
    pub facts: Vec<(FragmentFacts, Ends)>,
    /// [`Batch::terms`]
    pub terms: Vec<Term>,
    /// [`Batch::fragment_operations`]
    pub fragment_operations: Vec<u32>,
    /// [`Batch::digests`]
    pub digests: Vec<u8>,
    /// [`Batch::otlp`]
    pub otlp: Vec<u8>,
    /// [`Batch::listed`]
    pub listed: Option<Arc<ListedValues>>,
}

/// The spans of one trace in a batch: the unit of storing, indexing and judging.
#[derive(Clone, Copy, Debug)]
pub struct Fragment<'a> {
    /// Trace id, span count and ranges.
    pub facts: FragmentFacts,
    /// Terms of all facts of its spans, resources, scopes, events and links; ascending, without duplicates.
    pub terms: &'a [Term],
    /// The operations of its spans, as indices into [`Batch::batch_operations`].
    pub operations: &'a [u32],
    /// The digest of the spans.
    pub digest: &'a [u8],
    /// An encoded `TracesData` with the spans as they were sent.
    pub otlp: &'a [u8],
}

impl Batch {
    /// The services of the operations, without duplicates.
    pub fn services(&self) -> &[String] {
        &self.0.services
    }

    /// The operations that occur in the batch, without duplicates.
    pub fn batch_operations(&self) -> &[BatchOperation] {
        &self.0.operations
    }

    /// The names of the operations, joined.
    pub fn names(&self) -> &str {
        &self.0.names
    }

    /// The operations that occur in the batch, each with its name.
    pub fn named_operations(&self) -> impl ExactSizeIterator<Item = (&BatchOperation, &str)> {
        let mut start = 0;
        self.0.operations.iter().map(move |operation| {
            let name = start..operation.name_end as usize;
            start = name.end;
            (operation, self.0.names.get(name).unwrap_or_default())
        })
    }

    /// The fragments' terms, joined.
    pub fn terms(&self) -> &[Term] {
        &self.0.terms
    }

    /// The fragments' operations, joined.
    pub fn fragment_operations(&self) -> &[u32] {
        &self.0.fragment_operations
    }

    /// The fragments' digests, joined.
    pub fn digests(&self) -> &[u8] {
        &self.0.digests
    }

    /// The fragments' OTLP, joined.
    pub fn otlp(&self) -> &[u8] {
        &self.0.otlp
    }

    /// The values that have to be recorded in the dictionary before the fragments are written, for the host; `None` if no fragment calls a
    /// value listed.
    pub fn listed(&self) -> Option<&ListedValues> {
        self.0.listed.as_deref()
    }

    /// Sets [`Batch::listed`].
    pub fn set_listed(&mut self, listed: Arc<ListedValues>) {
        self.0.listed = Some(listed);
    }

    /// The facts of each fragment, and the ends of its slices.
    pub fn facts(&self) -> impl ExactSizeIterator<Item = (&FragmentFacts, &Ends)> {
        self.0.facts.iter().map(|(facts, ends)| (facts, ends))
    }

    /// The buffers themselves.
    pub fn into_lists(self) -> Lists {
        self.0
    }

    /// The operations with their strings.
    pub fn operations(&self) -> Vec<Operation> {
        let services = &self.0.services;
        let operations = self.named_operations().map(|(operation, name)| Operation {
            service: services
                .get(operation.service as usize)
                .cloned()
                .unwrap_or_default(),
            name: name.to_owned(),
            kind: operation.kind,
        });
        operations.collect()
    }

    /// Number of fragments.
    pub fn len(&self) -> usize {
        self.0.facts.len()
    }

    /// Returns `true` if the batch has no fragments.
    pub fn is_empty(&self) -> bool {
        self.0.facts.is_empty()
    }

    /// Approximate size in memory and in a plugin's memory, in bytes.
    pub fn weight(&self) -> usize {
        self.0.otlp.len() + self.0.digests.len() + self.0.terms.len() * 8 + self.0.facts.len() * 64
    }

    /// The fragments, in the order in which they were added.
    pub fn fragments(&self) -> impl ExactSizeIterator<Item = Fragment<'_>> {
        let mut from = Ends::default();
        self.0.facts.iter().map(move |(facts, to)| {
            let fragment = Fragment {
                facts: *facts,
                terms: slice(&self.0.terms, from.terms..to.terms),
                operations: slice(&self.0.fragment_operations, from.operations..to.operations),
                digest: slice(&self.0.digests, from.digest..to.digest),
                otlp: slice(&self.0.otlp, from.otlp..to.otlp),
            };
            from = *to;
            fragment
        })
    }
}

fn slice<T>(buffer: &[T], range: Range<u32>) -> &[T] {
    #[expect(
        clippy::expect_used,
        reason = "the ends are lengths that the buffers had when they were pushed"
    )]
    buffer
        .get(range.start as usize..range.end as usize)
        .expect("invariant: ends lie within their buffers")
}

/// Builds a [`Batch`]: append a fragment to the buffers, then close it with [`BatchBuilder::finish_fragment`].
#[derive(Debug, Default)]
pub struct BatchBuilder {
    lists: Lists,
}

impl BatchBuilder {
    /// Creates a builder with capacity for `otlp` bytes of spans.
    pub fn with_capacity(otlp: usize) -> Self {
        Self {
            lists: Lists {
                otlp: Vec::with_capacity(otlp),
                ..Lists::default()
            },
        }
    }

    /// Adds a service and returns its index. The caller adds each service only once.
    pub fn push_service(&mut self, name: &str) -> u32 {
        self.lists.services.push(name.to_owned());
        number(self.lists.services.len() - 1)
    }

    /// Adds an operation and returns its index. The caller adds each operation only once.
    pub fn push_operation(&mut self, service: u32, name: &str, kind: SpanKind) -> u32 {
        self.lists.names.push_str(name);
        self.lists.operations.push(BatchOperation {
            service,
            name_end: number(self.lists.names.len()),
            kind,
        });
        number(self.lists.operations.len() - 1)
    }

    /// Buffer to which the open fragment's terms are appended: ascending, without duplicates.
    pub fn terms(&mut self) -> &mut Vec<Term> {
        &mut self.lists.terms
    }

    /// Buffer to which the open fragment's operations are appended.
    pub fn fragment_operations(&mut self) -> &mut Vec<u32> {
        &mut self.lists.fragment_operations
    }

    /// Buffer to which the open fragment's digest is appended.
    pub fn digest(&mut self) -> &mut Vec<u8> {
        &mut self.lists.digests
    }

    /// Buffer to which the open fragment's `TracesData` is appended.
    pub fn otlp(&mut self) -> &mut Vec<u8> {
        &mut self.lists.otlp
    }

    /// Closes the open fragment. It consists of everything appended since the last call.
    pub fn finish_fragment(&mut self, facts: FragmentFacts) {
        let ends = Ends {
            terms: number(self.lists.terms.len()),
            operations: number(self.lists.fragment_operations.len()),
            digest: number(self.lists.digests.len()),
            otlp: number(self.lists.otlp.len()),
        };
        self.lists.facts.push((facts, ends));
    }

    /// Returns the batch.
    pub fn build(self) -> Batch {
        Batch(self.lists)
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "a batch is smaller than its request, which is shorter than 4 GiB"
)]
fn number(length: usize) -> u32 {
    length as u32
}
