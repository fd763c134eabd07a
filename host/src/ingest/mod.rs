//! OTLP bytes to fragments: grouped by trace, with terms, digests, ranges and operations, and without owned spans.
//!
//! Owns what is refused and why (E3). Architecture invariant: knows neither tonic nor a plugin; what it makes is a [`Batch`].

mod refused;

pub use refused::{Reason, Refused};

use larder_proto::wire;

use crate::storage::Batch;

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
