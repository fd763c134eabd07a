//! Converts OTLP requests to fragments: spans grouped by trace, with terms, digests, ranges and operations. Spans are never copied to
//! owned messages.
//!
//! Owns the rules by which spans are refused (E3). Architecture invariant: knows neither tonic nor a plugin; its result is a [`Batch`].

#![forbid(unsafe_code)]

mod assemble;
mod facts;
mod headers;
mod operations;
mod recent;
mod refused;
mod request;
mod shares;
mod table;

pub use refused::{Reason, Refused};
pub use shares::{AttributeText, Share, split};

use std::sync::Arc;

use larder_model::dictionary::Snapshot;
use larder_proto::otlp::repair;
use larder_proto::wire;

use assemble::{Assembler, Scratch};
use larder_model::storage::Batch;
use request::Request;

/// Limits of the size of fragments, batches and spans.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Maximum bytes of OTLP in a fragment, unless it holds a single span. Where its first resource and scope take more than half of that,
    /// this many bytes in addition to them.
    pub max_fragment_bytes: usize,
    /// Maximum weight of a batch, unless it holds a single fragment.
    pub max_batch_bytes: usize,
    /// Maximum bytes of a span with its resource and scope. A larger one is refused.
    pub max_span_bytes: usize,
    /// Maximum bytes of the service and the name of an operation that is listed. The spans of others are stored as well.
    pub max_listed_bytes: usize,
}

/// Converts requests to batches, one after another. Reuses its buffers.
#[derive(Debug)]
pub struct Ingest {
    limits: Limits,
    has_word_terms: bool,
    dictionary: Option<Snapshot>,
    request: Request<'static>,
    scratch: Scratch,
}

/// Result of converting a request.
#[derive(Debug, Default)]
pub struct Ingested {
    /// Batches to write, in this order. None is empty.
    pub batches: Vec<Batch>,
    /// Number of spans in the batches.
    pub spans: u64,
    /// The spans that were left out.
    pub refused: Refused,
}

/// Error for bytes that are not an `ExportTraceServiceRequest`. Nothing of such a request is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed(wire::Error);

// === impl Malformed ===

impl Malformed {
    /// Position of the fault, in bytes from the start of the request.
    pub fn offset(&self) -> usize {
        self.0.offset()
    }
}

impl std::fmt::Display for Malformed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "the request is not a valid ExportTraceServiceRequest: {}",
            self.0
        )
    }
}

impl std::error::Error for Malformed {}

// === impl Ingest ===

impl Ingest {
    /// Creates a converter with the given limits. Fragments have terms of words.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            has_word_terms: true,
            dictionary: None,
            request: Request::default(),
            scratch: Scratch::default(),
        }
    }

    /// Sets whether the fragments of later requests have terms of words. Searches find those without as well, more slowly.
    pub fn set_word_terms(&mut self, on: bool) {
        self.has_word_terms = on;
    }

    /// Sets the dictionary of the tenant that later requests are for: values that it has, or has room for, are listed. Those that are new go
    /// with the batches ([`Batch::listed`]), and all of these must be written to that tenant. `None` lists nothing; searches find such
    /// fragments as well, more slowly.
    pub fn set_dictionary(&mut self, dictionary: Option<Snapshot>) {
        self.dictionary = dictionary;
    }

    /// Converts an encoded `ExportTraceServiceRequest`.
    ///
    /// # Errors
    /// If any part of it is malformed. A string that is not UTF-8 is no error; it is repaired (E9).
    pub fn walk(&mut self, request: &[u8]) -> Result<Ingested, Malformed> {
        let all = request::resource_spans(request);
        let ingested = self.walk_resource_spans(request, all, request.len(), Refused::default())?;
        if !ingested.refused.has(Reason::Utf8) {
            return Ok(ingested);
        }
        let repaired = repair::repair(request).map_err(Malformed)?;
        let all = request::resource_spans(&repaired);
        self.walk_resource_spans(&repaired, all, repaired.len(), Refused::default())
    }

    /// Converts one share of `request`, like [`Ingest::walk`].
    ///
    /// # Errors
    /// As [`Ingest::walk`]. The offset of the error counts from the start of the whole request.
    pub fn walk_share<'a>(
        &mut self,
        request: &'a [u8],
        share: &Share<'a>,
    ) -> Result<Ingested, Malformed> {
        let share_spans = share.resource_spans().iter().map(|raw| Ok(*raw));
        let ingested =
            self.walk_resource_spans(request, share_spans, share.bytes(), Refused::of_share())?;
        if !ingested.refused.has(Reason::Utf8) {
            return Ok(ingested);
        }
        let repaired = share.resource_spans().iter().map(|raw| {
            repair::repair_resource_spans(raw).map_err(|error| error.relative_to(request, raw))
        });
        let repaired = repaired.collect::<Result<Vec<_>, _>>().map_err(Malformed)?;
        let bytes = repaired.iter().map(Vec::len).sum();
        let share_spans = repaired.iter().map(|raw| Ok(&raw[..]));
        self.walk_resource_spans(request, share_spans, bytes, Refused::of_share())
    }

    /// Walks resources as they are. Spans with a string that is not UTF-8 are refused.
    fn walk_resource_spans<'a>(
        &mut self,
        request: &'a [u8],
        resource_spans: impl Iterator<Item = Result<&'a [u8], wire::Error>>,
        bytes: usize,
        mut refused: Refused,
    ) -> Result<Ingested, Malformed> {
        let mut read = std::mem::take(&mut self.request).recycle();
        read.facts.set_word_terms(self.has_word_terms);
        read.facts.set_dictionary(self.dictionary.clone());
        let outcome = read.read(request, resource_spans, &self.limits, &mut refused);
        let ingested = outcome.map_err(Malformed).map(|()| {
            let assembler = Assembler::new(&mut read, &self.limits, &mut self.scratch);
            let (mut batches, spans) = assembler.assemble(bytes, &mut refused);
            // A value may be in any of them, and each may be the first that is written.
            if let Some(listed) = read.facts.finish_listing() {
                for batch in &mut batches {
                    batch.set_listed(Arc::clone(&listed));
                }
            }
            Ingested {
                batches,
                spans,
                refused,
            }
        });
        self.request = read.recycle();
        ingested
    }
}

/// The encoded length of a message as a field with a number below 16.
fn field_len(message: usize) -> usize {
    1 + prost::encoding::encoded_len_varint(message as u64) + message
}

/// Converts a position in a list of a request's items.
fn number(position: usize) -> u32 {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a gRPC message is shorter than 4 GiB"
    )]
    {
        position as u32
    }
}

/// An empty list with the buffer of `list`, at most `max` elements of it. Its elements may borrow from something else.
fn recycle<T, U>(mut list: Vec<T>, max: usize) -> Vec<U> {
    list.clear();
    list.shrink_to(max);
    // The standard library collects in place if the elements have the same layout.
    list.into_iter().filter_map(|_| None).collect()
}

#[cfg(test)]
mod tests;
