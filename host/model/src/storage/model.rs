//! Ids, ranges, searches and pages: the records of `wit/storage.wit` as Rust types.

use std::fmt;

/// A W3C trace id. Ordered like its 16 bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TraceId(pub u128);

impl TraceId {
    /// Converts an id like Jaeger's gRPC handler: a shorter one is padded with zeros on the right, a longer one is cut (W2).
    pub fn from_query(bytes: &[u8]) -> Self {
        let mut id = [0; 16];
        for (to, from) in id.iter_mut().zip(bytes) {
            *to = *from;
        }
        Self(u128::from_be_bytes(id))
    }

    /// Converts the trace id of a sent span. Returns `None` unless it is 16 bytes and not all zero (E3).
    pub fn from_span(bytes: &[u8]) -> Option<Self> {
        let id = u128::from_be_bytes(bytes.try_into().ok()?);
        (id != 0).then_some(Self(id))
    }

    /// The 16 bytes in the order of the wire format, big-endian.
    pub fn to_bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The 64-bit fingerprint of a searchable fact; computed by `crate::terms`.
pub type Term = u64;

/// Nanoseconds since the Unix epoch, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeRange {
    /// The earliest instant.
    pub start: u64,
    /// The latest instant.
    pub end: u64,
}

impl TimeRange {
    /// All of time.
    pub const ALL: Self = Self {
        start: 0,
        end: u64::MAX,
    };
}

/// Nanoseconds, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DurationRange {
    /// The shortest duration.
    pub shortest: u64,
    /// The longest duration.
    pub longest: u64,
}

impl DurationRange {
    /// Every duration.
    pub const ALL: Self = Self {
        shortest: 0,
        longest: u64::MAX,
    };
}

/// OTLP's `Span.SpanKind`. An unknown number on the wire counts as unspecified.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum SpanKind {
    /// `SPAN_KIND_UNSPECIFIED`
    #[default]
    Unspecified = 0,
    /// `SPAN_KIND_INTERNAL`
    Internal = 1,
    /// `SPAN_KIND_SERVER`
    Server = 2,
    /// `SPAN_KIND_CLIENT`
    Client = 3,
    /// `SPAN_KIND_PRODUCER`
    Producer = 4,
    /// `SPAN_KIND_CONSUMER`
    Consumer = 5,
}

impl SpanKind {
    /// Converts an enum number of the wire format.
    pub fn from_wire(number: u64) -> Self {
        match number {
            1 => Self::Internal,
            2 => Self::Server,
            3 => Self::Client,
            4 => Self::Producer,
            5 => Self::Consumer,
            _ => Self::Unspecified,
        }
    }

    /// Jaeger's word in `Operation.span_kind`: lower case, and empty for unspecified (O2).
    pub fn as_operation_word(self) -> &'static str {
        match self {
            Self::Unspecified => "",
            Self::Internal => "internal",
            Self::Server => "server",
            Self::Client => "client",
            Self::Producer => "producer",
            Self::Consumer => "consumer",
        }
    }
}

/// OTLP's `Status.StatusCode`. An unknown number on the wire counts as unset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum StatusCode {
    /// `STATUS_CODE_UNSET`
    #[default]
    Unset = 0,
    /// `STATUS_CODE_OK`
    Ok = 1,
    /// `STATUS_CODE_ERROR`
    Error = 2,
}

impl StatusCode {
    /// Converts an enum number of the wire format.
    pub fn from_wire(number: u64) -> Self {
        match number {
            1 => Self::Ok,
            2 => Self::Error,
            _ => Self::Unset,
        }
    }
}

/// A service, the name of one of its spans, and that span's kind.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Operation {
    /// `service.name` of the span's resource; never empty.
    pub service: String,
    /// The span's name; may be empty.
    pub name: String,
    /// The span's kind.
    pub kind: SpanKind,
}

/// A search for a plugin. A fragment may hold a match if its starts and durations overlap these ranges and it has at least one term of
/// every clause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Search {
    /// The window of span starts.
    pub starts: TimeRange,
    /// The window of span durations.
    pub durations: DurationRange,
    /// Each clause is a set of alternatives, and is not empty.
    pub clauses: Vec<Vec<Term>>,
}

/// A fragment or trace that may hold a match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// The trace.
    pub trace_id: TraceId,
    /// Upper bound of the start of every matching span that this sighting stands for.
    pub newest: u64,
    /// The fragment to be judged; `None` if the whole trace has to be.
    pub fragment: Option<u64>,
}

/// One page of sightings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sightings {
    /// In any order.
    pub found: Vec<Sighting>,
    /// No later page holds a sighting newer than this.
    pub floor: u64,
    /// Token for the next page; `None` at the end.
    pub resume: Option<Vec<u8>>,
}

/// The data to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// All fragments of these traces.
    Traces(Vec<TraceId>),
    /// These fragments.
    Fragments(Vec<u64>),
}

/// A part of a fragment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The digest, which `crate::digest` encodes.
    Digest,
    /// An encoded `TracesData`.
    Otlp,
}

/// One part of one fragment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// The trace.
    pub trace_id: TraceId,
    /// The fragment's handle, as in sightings.
    pub fragment: u64,
    /// The requested part.
    pub bytes: Vec<u8>,
    /// In the first piece of a trace of which the plugin keeps only the beginning: the number of spans that it has dropped. Otherwise 0.
    pub dropped_spans: u64,
}

/// One page of pieces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pieces {
    /// For OTLP, in the order requested: the pieces of a trace are adjacent and in the order written. For digests, in any order.
    pub pieces: Vec<Piece>,
    /// Token for the next page; `None` at the end.
    pub resume: Option<Vec<u8>>,
}

/// Result of one step of a plugin's check of its stored data.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are documented in wit/storage.wit")]
pub struct Checked {
    pub values: u64,
    pub bytes: u64,
    pub damaged: Vec<String>,
    pub resume: Option<Vec<u8>>,
}

/// Result of one step of a plugin's repair of its stored data.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are documented in wit/storage.wit")]
pub struct Repaired {
    pub values: u64,
    pub lost: Vec<String>,
    pub mended: Vec<String>,
    pub remake: Vec<Vec<u8>>,
    pub more: bool,
}

/// The digest and the operations of a fragment, made anew from its spans.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Remade {
    /// `None` for bytes that are not the spans of one trace.
    pub digest: Option<Vec<u8>>,
    /// The operations of its spans, each once.
    pub operations: Vec<Operation>,
}

/// What is stored, as a plugin counts it. Zero for an item that it does not count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are documented in wit/storage.wit")]
pub struct Statistics {
    pub traces: u64,
    pub spans: u64,
    pub bytes: u64,
    pub evicted_traces: u64,
    pub evicted_spans: u64,
    pub expired_traces: u64,
    pub expired_spans: u64,
    pub oldest_write: Option<u64>,
}

/// Numbers of items that a plugin has dropped between two readings of its [`Statistics`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "as in `Statistics`")]
pub struct Dropped {
    pub evicted_traces: u64,
    pub evicted_spans: u64,
    pub expired_traces: u64,
    pub expired_spans: u64,
}

// === impl Statistics ===

impl Statistics {
    /// Computes the numbers dropped since `before`. A count below the earlier one has been restarted together with the plugin.
    pub fn dropped_since(&self, before: &Self) -> Dropped {
        let since = |now: u64, before: u64| now.checked_sub(before).unwrap_or(now);
        Dropped {
            evicted_traces: since(self.evicted_traces, before.evicted_traces),
            evicted_spans: since(self.evicted_spans, before.evicted_spans),
            expired_traces: since(self.expired_traces, before.expired_traces),
            expired_spans: since(self.expired_spans, before.expired_spans),
        }
    }
}
