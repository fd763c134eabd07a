//! A batch of fragments in a few big buffers, so that making one costs no allocation per fragment and lending it to a guest
//! costs no copy.

use std::ops::Range;

use super::model::{DurationRange, Operation, SpanKind, Term, TimeRange, TraceId};

/// The fragments of one Export (or of one cut of it), each one trace's share.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    services: Vec<String>,
    operations: Vec<BatchOperation>,
    /// The operations' names, one after the other.
    names: String,
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
    /// Its place in [`Batch::services`].
    pub service: u32,
    /// Where its name ends in [`Batch::names`]; it starts where that of the operation before it ends.
    pub name_end: u32,
    /// The kind of its spans.
    pub kind: SpanKind,
}

/// The buffers of a [`Batch`], for a storage that keeps them as they are.
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
    /// Each service that an operation has, once.
    pub fn services(&self) -> &[String] {
        &self.services
    }

    /// Each operation that occurs in the batch, once.
    pub fn batch_operations(&self) -> &[BatchOperation] {
        &self.operations
    }

    /// The names of the operations, joined.
    pub fn names(&self) -> &str {
        &self.names
    }

    /// The fragments' terms, joined.
    pub fn terms(&self) -> &[Term] {
        &self.terms
    }

    /// The fragments' operations, joined.
    pub fn fragment_operations(&self) -> &[u32] {
        &self.fragment_operations
    }

    /// The fragments' digests, joined.
    pub fn digests(&self) -> &[u8] {
        &self.digests
    }

    /// The fragments' OTLP, joined.
    pub fn otlp(&self) -> &[u8] {
        &self.otlp
    }

    /// What each fragment is known by, and where its shares end.
    pub fn facts(&self) -> impl ExactSizeIterator<Item = (&FragmentFacts, &Ends)> {
        self.facts.iter().map(|(facts, ends)| (facts, ends))
    }

    /// The buffers themselves.
    pub fn into_lists(self) -> Lists {
        Lists {
            services: self.services,
            operations: self.operations,
            names: self.names,
            facts: self.facts,
            terms: self.terms,
            fragment_operations: self.fragment_operations,
            digests: self.digests,
            otlp: self.otlp,
        }
    }

    /// The operations in full.
    pub fn operations(&self) -> Vec<Operation> {
        let mut start = 0;
        let operations = self.operations.iter().map(|operation| {
            let name = start..operation.name_end as usize;
            start = name.end;
            Operation {
                service: self
                    .services
                    .get(operation.service as usize)
                    .cloned()
                    .unwrap_or_default(),
                name: self.names.get(name).unwrap_or_default().to_owned(),
                kind: operation.kind,
            }
        });
        operations.collect()
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

fn share<T>(buffer: &[T], range: Range<u32>) -> &[T] {
    #[expect(
        clippy::expect_used,
        reason = "the ends are lengths that the buffers had when they were pushed"
    )]
    buffer
        .get(range.start as usize..range.end as usize)
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

    /// Adds a service; the caller keeps them distinct. Its place among the services.
    pub fn push_service(&mut self, name: &str) -> u32 {
        self.batch.services.push(name.to_owned());
        number(self.batch.services.len() - 1)
    }

    /// Adds an operation; the caller keeps them distinct. Its place among the operations.
    pub fn push_operation(&mut self, service: u32, name: &str, kind: SpanKind) -> u32 {
        self.batch.names.push_str(name);
        self.batch.operations.push(BatchOperation {
            service,
            name_end: number(self.batch.names.len()),
            kind,
        });
        number(self.batch.operations.len() - 1)
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
            terms: number(self.batch.terms.len()),
            operations: number(self.batch.fragment_operations.len()),
            digest: number(self.batch.digests.len()),
            otlp: number(self.batch.otlp.len()),
        };
        self.batch.facts.push((facts, ends));
    }

    /// The batch.
    pub fn build(self) -> Batch {
        self.batch
    }
}

/// A batch is cut from a request, which is shorter than 4 GiB, at a few MiB.
#[expect(clippy::cast_possible_truncation, reason = "as said")]
fn number(length: usize) -> u32 {
    length as u32
}
