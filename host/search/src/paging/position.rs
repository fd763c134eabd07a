//! Positions in an answer, one for each kind of search, and the cursors that a token holds of them.

use larder_model::storage::TraceId;
use prost::{Message, Oneof};

use super::token::Refusal;

/// The place of a result in the order of its answer.
pub(crate) trait Position: Copy {
    /// The cursor of this position.
    fn cursor(self) -> Cursor;

    /// The position of a cursor.
    ///
    /// # Errors
    /// A cursor of another kind, or one that no position has.
    fn from_cursor(cursor: &Cursor) -> Result<Self, Refusal>;
}

/// Position of a trace in an answer: newest match first, then by id (Q2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TracePosition {
    /// The start of its newest match.
    pub(crate) start: u64,
    pub(crate) trace: TraceId,
}

/// Position of a span in an answer: the keys of every order, and where the span is stored, which orders spans that are equal in
/// all keys.
///
/// A fragment keeps its handle for as long as it is stored, so the place among equal spans outlives flushes, compaction and restarts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SpanPosition {
    pub(crate) start: u64,
    /// End minus start.
    pub(crate) duration: i128,
    pub(crate) trace: TraceId,
    pub(crate) span: [u8; 8],
    /// The handle of the span's fragment.
    pub(crate) fragment: u64,
    /// The number of the span in its fragment.
    pub(crate) place: u32,
}

/// A position as a token holds it. Its arm is the kind of search.
#[derive(Clone, PartialEq, Oneof)]
pub(crate) enum Cursor {
    #[prost(message, tag = "3")]
    Trace(TraceCursor),
    #[prost(message, tag = "4")]
    Span(SpanCursor),
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct TraceCursor {
    #[prost(fixed64, tag = "1")]
    start: u64,
    #[prost(bytes = "vec", tag = "2")]
    trace_id: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct SpanCursor {
    #[prost(fixed64, tag = "1")]
    start: u64,
    /// Sixteen bytes in two's complement, big-endian: a difference of two times can have 65 bits.
    #[prost(bytes = "vec", tag = "2")]
    duration: Vec<u8>,
    #[prost(bytes = "vec", tag = "3")]
    trace_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "4")]
    span_id: Vec<u8>,
    #[prost(fixed64, tag = "5")]
    fragment: u64,
    #[prost(uint32, tag = "6")]
    place: u32,
}

fn exactly<const N: usize>(bytes: &[u8]) -> Result<[u8; N], Refusal> {
    let wrong = Refusal::Malformed("its position has a field of a wrong length");
    bytes.try_into().map_err(|_| wrong)
}

fn trace_id(bytes: &[u8]) -> Result<TraceId, Refusal> {
    exactly(bytes).map(|id| TraceId(u128::from_be_bytes(id)))
}

// === impl TracePosition ===

impl TracePosition {
    /// Returns `true` if a trace with this newest match comes after the position.
    pub(crate) fn is_before(self, start: u64, trace: TraceId) -> bool {
        start < self.start || start == self.start && trace > self.trace
    }
}

impl Position for TracePosition {
    fn cursor(self) -> Cursor {
        Cursor::Trace(TraceCursor {
            start: self.start,
            trace_id: self.trace.to_bytes().to_vec(),
        })
    }

    fn from_cursor(cursor: &Cursor) -> Result<Self, Refusal> {
        match cursor {
            Cursor::Trace(cursor) => Ok(Self {
                start: cursor.start,
                trace: trace_id(&cursor.trace_id)?,
            }),
            Cursor::Span(_) => Err(Refusal::OtherPosition("a trace position")),
        }
    }
}

// === impl SpanPosition ===

impl Position for SpanPosition {
    fn cursor(self) -> Cursor {
        Cursor::Span(SpanCursor {
            start: self.start,
            duration: self.duration.to_be_bytes().to_vec(),
            trace_id: self.trace.to_bytes().to_vec(),
            span_id: self.span.to_vec(),
            fragment: self.fragment,
            place: self.place,
        })
    }

    fn from_cursor(cursor: &Cursor) -> Result<Self, Refusal> {
        match cursor {
            Cursor::Span(cursor) => Ok(Self {
                start: cursor.start,
                duration: i128::from_be_bytes(exactly(&cursor.duration)?),
                trace: trace_id(&cursor.trace_id)?,
                span: exactly(&cursor.span_id)?,
                fragment: cursor.fragment,
                place: cursor.place,
            }),
            Cursor::Trace(_) => Err(Refusal::OtherPosition("a span position")),
        }
    }
}
