//! The short form of a fragment's spans: what search decides without touching the spans themselves, about 40 bytes each.
//!
//! It is stored, so its layout is fixed; a new layout gets a new version byte and the old one stays readable.
//!
//! | part | bytes |
//! |---|---|
//! | version | 1: `0x01` |
//! | how many strings | varint |
//! | each string | varint length, UTF-8 |
//! | how many spans | varint |
//! | each span: | |
//! | flags | 1: bits 0 to 2 the kind, 3 and 4 the status, 5 and 6 the parent (0 none, 1 an id, 2 odd), 7 ends before it starts |
//! | span id | 8 |
//! | parent span id | 8, if there is one |
//! | start | varint, zigzag: less the start of the span before it, or less 0 |
//! | duration | varint: the distance from start to end |
//! | service, name | two varints: which string |
//!
//! Varints are protobuf's. Strings come in the order in which spans first use them. Nothing follows the last span.

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

/// What a digest keeps of a span, its strings as `S`: in full as `&str`, or as their numbers in the digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span<S> {
    /// The span's id, as on the wire.
    pub span_id: [u8; 8],
    /// The span it is a part of.
    pub parent: Parent,
    /// When it began, in nanoseconds since the Unix epoch.
    pub start: u64,
    /// When it ended, in nanoseconds since the Unix epoch; may be before `start`.
    pub end: u64,
    /// Its kind.
    pub kind: SpanKind,
    /// Its status.
    pub status: StatusCode,
    /// Its resource's `service.name`; "" where there is none.
    pub service: S,
    /// Its name; may be "".
    pub name: S,
}

/// The span that a span is a part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parent {
    /// None was named.
    None,
    /// The parent's id, as on the wire.
    Id([u8; 8]),
    /// Bytes of another length: a parent that is not here.
    Odd,
}

impl Parent {
    /// The parent of a span as sent.
    pub fn from_wire(parent_span_id: &[u8]) -> Self {
        match parent_span_id.try_into() {
            Ok(id) => Self::Id(id),
            Err(_) if parent_span_id.is_empty() => Self::None,
            Err(_) => Self::Odd,
        }
    }
}

#[cfg(test)]
mod tests;
