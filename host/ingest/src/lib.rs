//! OTLP bytes to fragments: grouped by trace, with terms, digests, ranges and operations, and without owned spans.
//!
//! Owns what is refused and why (E3). Architecture invariant: knows neither tonic nor a plugin; what it makes is a [`Batch`].

#![forbid(unsafe_code)]

mod assemble;
mod facts;
mod headers;
mod operations;
mod refused;
mod request;
mod shares;

pub use refused::{Reason, Refused};
pub use shares::{Said, Share, split};

use larder_proto::wire;

use assemble::{Assembler, Scratch};
use larder_model::storage::Batch;
use request::Request;

/// How large what is made may get.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// No fragment of more than one span passes this many bytes of OTLP.
    pub max_fragment_bytes: usize,
    /// A batch that has reached this weight is closed, and the next one begun.
    pub max_batch_bytes: usize,
    /// A span that passes this with its resource and scope is refused: no answer could hold it.
    pub max_message_bytes: usize,
}

/// Takes requests apart, one after another, reusing its buffers.
#[derive(Debug)]
pub struct Ingest {
    limits: Limits,
    request: Request<'static>,
    scratch: Scratch,
}

/// What became of a request.
#[derive(Debug, Default)]
pub struct Ingested {
    /// To be written in this order; never an empty one.
    pub batches: Vec<Batch>,
    /// How many spans the batches hold.
    pub spans: u64,
    /// The spans that were left out.
    pub refused: Refused,
}

/// The request is no `ExportTraceServiceRequest`: nothing of it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed(wire::Error);

// === impl Malformed ===

impl Malformed {
    /// Where the fault is, in bytes from the start of the request.
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
    /// With the given limits.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            request: Request::default(),
            scratch: Scratch::default(),
        }
    }

    /// Takes an encoded `ExportTraceServiceRequest` apart.
    ///
    /// # Errors
    /// When it is malformed anywhere: then nothing of it is to be stored. A string that is not UTF-8 only refuses its spans.
    pub fn walk(&mut self, request: &[u8]) -> Result<Ingested, Malformed> {
        let (all, bytes) = (request::resource_spans(request), request.len());
        self.walk_these(request, all, bytes, Refused::default())
    }

    /// As [`Ingest::walk`], of what one share of `request` holds.
    ///
    /// # Errors
    /// As [`Ingest::walk`]; the place of the fault is that in the whole request.
    pub fn walk_share<'a>(
        &mut self,
        request: &'a [u8],
        share: &Share<'a>,
    ) -> Result<Ingested, Malformed> {
        let these = share.resource_spans().iter().map(|raw| Ok(*raw));
        self.walk_these(request, these, share.bytes(), Refused::of_a_share())
    }

    fn walk_these<'a>(
        &mut self,
        request: &'a [u8],
        resource_spans: impl Iterator<Item = Result<&'a [u8], wire::Error>>,
        bytes: usize,
        mut refused: Refused,
    ) -> Result<Ingested, Malformed> {
        let mut read = std::mem::take(&mut self.request).recycle();
        let outcome = read.read(request, resource_spans, &self.limits, &mut refused);
        let ingested = outcome.map_err(Malformed).map(|()| {
            let assembler = Assembler::new(&mut read, &self.limits, &mut self.scratch);
            let (batches, spans) = assembler.assemble(bytes, &mut refused);
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

/// The length of a message as a field with a number below 16.
fn field_len(message: usize) -> usize {
    1 + prost::encoding::encoded_len_varint(message as u64) + message
}

/// A position in a list of what a request holds.
fn number(position: usize) -> u32 {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a gRPC message is shorter than 4 GiB"
    )]
    {
        position as u32
    }
}

/// The buffer of a list for another list, which may borrow from something else. No more than `most` elements of it are kept.
fn recycle<T, U>(mut list: Vec<T>, most: usize) -> Vec<U> {
    list.clear();
    list.shrink_to(most);
    // The standard library collects in place where the elements have the same layout.
    list.into_iter().filter_map(|_| None).collect()
}

#[cfg(test)]
mod tests;
