//! A batch of fragments in a few big buffers, so that making one costs no allocation per fragment and lending it to a guest
//! costs no copy.

use std::ops::Range;

use super::model::{DurationRange, Operation, Term, TimeRange, TraceId};

/// The fragments of one Export (or of one cut of it), each one trace's share.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    operations: Vec<Operation>,
    facts: Vec<(FragmentFacts, Ends)>,
    terms: Vec<Term>,
    fragment_operations: Vec<u32>,
    digests: Vec<u8>,
    otlp: Vec<u8>,
}

/// What a fragment is known by, beside its lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FragmentFacts {
    /// The one trace of all its spans.
    pub trace_id: TraceId,
    /// How many spans it holds; never zero.
    pub span_count: u32,
    /// Earliest and latest span start.
    pub starts: TimeRange,
    /// Shortest and longest span; one that ends before it starts counts as 0.
    pub durations: DurationRange,
}

/// Where a fragment's share of each buffer ends; it starts where the one before it ends.
#[derive(Clone, Copy, Debug, Default)]
struct Ends {
    terms: usize,
    operations: usize,
    digest: usize,
    otlp: usize,
}

/// One trace's share of a batch: the unit that is stored, indexed and judged.
#[derive(Clone, Copy, Debug)]
pub struct Fragment<'a> {
    /// Id, count and ranges.
    pub facts: FragmentFacts,
    /// Every fact of its spans, resources, scopes, events and links; ascending, each once.
    pub terms: &'a [Term],
    /// The operations of its spans, as indices into the batch's.
    pub operations: &'a [u32],
    /// The host's short form of the spans.
    pub digest: &'a [u8],
    /// An encoded `TracesData` with this trace's spans, as they were sent.
    pub otlp: &'a [u8],
}

impl Batch {
    /// Each operation that occurs in the batch, once.
    pub fn operations(&self) -> &[Operation] {
        &self.operations
    }

    /// How many fragments there are.
    pub fn len(&self) -> usize {
        self.facts.len()
    }

    /// Whether there is nothing to store.
    pub fn is_empty(&self) -> bool {
        self.facts.is_empty()
    }

    /// What the batch weighs in memory and in a guest: the bytes of all its buffers.
    pub fn weight(&self) -> usize {
        self.otlp.len() + self.digests.len() + self.terms.len() * 8 + self.facts.len() * 64
    }

    /// All fragments, in the order they were pushed.
    pub fn fragments(&self) -> impl ExactSizeIterator<Item = Fragment<'_>> {
        let mut from = Ends::default();
        self.facts.iter().map(move |(facts, to)| {
            let fragment = Fragment {
                facts: *facts,
                terms: share(&self.terms, from.terms..to.terms),
                operations: share(&self.fragment_operations, from.operations..to.operations),
                digest: share(&self.digests, from.digest..to.digest),
                otlp: share(&self.otlp, from.otlp..to.otlp),
            };
            from = *to;
            fragment
        })
    }
}

fn share<T>(buffer: &[T], range: Range<usize>) -> &[T] {
    #[expect(
        clippy::expect_used,
        reason = "the ends are lengths that the buffers had when they were pushed"
    )]
    buffer
        .get(range)
        .expect("invariant: ends lie within their buffers")
}

/// Builds a [`Batch`]: append to the buffers, then close the fragment with [`BatchBuilder::finish_fragment`].
#[derive(Debug, Default)]
pub struct BatchBuilder {
    batch: Batch,
}

impl BatchBuilder {
    /// With room for about `otlp` bytes of spans.
    pub fn with_capacity(otlp: usize) -> Self {
        Self {
            batch: Batch {
                otlp: Vec::with_capacity(otlp),
                ..Batch::default()
            },
        }
    }

    /// The operations of the whole batch; the caller keeps them distinct.
    pub fn operations(&mut self) -> &mut Vec<Operation> {
        &mut self.batch.operations
    }

    /// Where the open fragment's terms are appended: ascending, each once.
    pub fn terms(&mut self) -> &mut Vec<Term> {
        &mut self.batch.terms
    }

    /// Where the open fragment's operations are appended.
    pub fn fragment_operations(&mut self) -> &mut Vec<u32> {
        &mut self.batch.fragment_operations
    }

    /// Where the open fragment's digest is appended.
    pub fn digest(&mut self) -> &mut Vec<u8> {
        &mut self.batch.digests
    }

    /// Where the open fragment's `TracesData` is appended.
    pub fn otlp(&mut self) -> &mut Vec<u8> {
        &mut self.batch.otlp
    }

    /// Closes the open fragment: all that was appended since the last call is its.
    pub fn finish_fragment(&mut self, facts: FragmentFacts) {
        let ends = Ends {
            terms: self.batch.terms.len(),
            operations: self.batch.fragment_operations.len(),
            digest: self.batch.digests.len(),
            otlp: self.batch.otlp.len(),
        };
        self.batch.facts.push((facts, ends));
    }

    /// The batch.
    pub fn build(self) -> Batch {
        self.batch
    }
}
