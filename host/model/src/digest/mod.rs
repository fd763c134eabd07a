//! Digests: a short form of a fragment's spans, about 40 bytes per span, from which most searches are decided without reading the spans.
//!
//! Digests are stored, so the layout is fixed. A new layout gets a new version byte, and the old one stays readable.
//!
//! | part | bytes |
//! |---|---|
//! | version | 1: `0x01` |
//! | number of strings | varint |
//! | each string | varint length, UTF-8 |
//! | number of spans | varint |
//! | each span: | |
//! | flags | 1: bits 0 to 2 the kind, 3 and 4 the status, 5 and 6 the parent (0 none, 1 an id, 2 an invalid id), 7 ends before it starts |
//! | span id | 8 |
//! | parent span id | 8, if it is valid |
//! | start | varint, zigzag: difference to the start of the span before, or to 0 |
//! | duration | varint: absolute difference of start and end |
//! | service, name | two varints: numbers of strings |
//!
//! Varints are protobuf's. Strings come in the order in which spans first use them. Older releases wrote "" for a service or a name that
//! is not there; it is decoded as `missing-service-name` or `empty-span-name`. Nothing follows the last span.

mod decode;
mod encode;

pub use decode::{Digest, Error, decode};
pub use encode::Encoder;
#[cfg(test)]
pub(crate) use encode::encode;

use crate::storage::{SpanKind, StatusCode};

const VERSION: u8 = 1;

const STATUS_SHIFT: u32 = 3;
const PARENT_SHIFT: u32 = 5;
const BACKWARDS: u8 = 1 << 7;

/// The facts of a span that a digest holds. `S` is the type of its strings: `&str`, or their numbers in the digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span<S> {
    /// The span's id, as on the wire.
    pub span_id: [u8; 8],
    /// The parent span.
    pub parent: Parent,
    /// Start time in nanoseconds since the Unix epoch.
    pub start: u64,
    /// End time in nanoseconds since the Unix epoch; may be before `start`.
    pub end: u64,
    /// The span's kind.
    pub kind: SpanKind,
    /// The span's status.
    pub status: StatusCode,
    /// The resource's service, or the name that stands for one that is not there (Q4). Never "" in a decoded digest.
    pub service: S,
    /// The span's name, or the name that stands for an empty one (Q5). Never "" in a decoded digest.
    pub name: S,
}

impl<S> Span<S> {
    /// The end of the range of time that the span takes up: its end, or its start if that is later.
    pub fn range_end(&self) -> u64 {
        self.end.max(self.start)
    }
}

/// The parent of a span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parent {
    /// A root span.
    None,
    /// The parent's span id, as on the wire.
    Id([u8; 8]),
    /// An id of invalid length: a parent that is not in the trace.
    InvalidId,
}

impl Parent {
    /// Interprets `parent_span_id` of a span.
    pub fn from_wire(parent_span_id: &[u8]) -> Self {
        match parent_span_id.try_into() {
            Ok(id) => Self::Id(id),
            Err(_) if parent_span_id.is_empty() => Self::None,
            Err(_) => Self::InvalidId,
        }
    }
}

#[cfg(test)]
mod tests;
