//! Which spans of a request were left out, and why.

use std::fmt;

use larder_proto::otlp::{IdField, Span};

/// Why a span was refused (E3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// Its trace id is not 16 bytes, or all of them are zero.
    TraceId,
    /// Its span id is not 8 bytes, or all of them are zero.
    SpanId,
    /// Its parent's span id is neither empty nor 8 bytes: Jaeger cannot decode an answer that has it.
    ParentSpanId,
    /// The trace id of a link is neither empty nor 16 bytes, or the span id of one neither empty nor 8: as above.
    LinkId,
    /// A string in it, in its resource or in its scope is not valid UTF-8.
    Utf8,
    /// Jaeger cannot decode it, its resource or its scope: a group was sent in it, or what stands where old clients put their spans
    /// does not read as such.
    Undecodable,
    /// With its resource and its scope it is larger than a message may be.
    TooLarge,
}

/// How many spans were refused, by reason. Displayed, it is the text of OTLP's `partial_success`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refused {
    counts: [u64; Reason::ALL.len()],
    /// Whether only a share of the request is looked at.
    of_a_share: bool,
    /// What is wrong with the first span refused.
    first: Option<String>,
}

/// Where it was found.
#[derive(Clone, Copy, Debug)]
pub(super) enum Place {
    Span,
    Resource,
    Scope,
}

/// Bytes in hexadecimal, the first of them.
struct Hex<'a>(&'a [u8]);

/// How many characters of a span's name are told.
const MOST_OF_A_NAME: usize = 64;

// === impl Reason ===

impl Reason {
    /// Every reason, in the order in which they are named.
    pub const ALL: [Self; 7] = [
        Self::TraceId,
        Self::SpanId,
        Self::ParentSpanId,
        Self::LinkId,
        Self::Utf8,
        Self::Undecodable,
        Self::TooLarge,
    ];

    /// The word for metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TraceId => "trace_id",
            Self::SpanId => "span_id",
            Self::ParentSpanId => "parent_span_id",
            Self::LinkId => "link_id",
            Self::Utf8 => "utf8",
            Self::Undecodable => "undecodable",
            Self::TooLarge => "too_large",
        }
    }

    /// What is wrong with spans that are refused for this reason.
    fn text(self) -> &'static str {
        match self {
            Self::TraceId => "a trace id that is not 16 bytes or all zero",
            Self::SpanId => "a span id that is not 8 bytes or all zero",
            Self::ParentSpanId => "a parent span id that is neither empty nor 8 bytes",
            Self::LinkId => {
                "a link whose trace id is neither empty nor 16 bytes, or whose span id is neither empty nor 8 bytes"
            }
            Self::Utf8 => "a string that is not valid UTF-8",
            Self::Undecodable => "a field that Jaeger cannot decode",
            Self::TooLarge => "more bytes than grpc.max_message_bytes allows a message",
        }
    }
}

impl From<IdField> for Reason {
    fn from(field: IdField) -> Self {
        match field {
            IdField::TraceId => Self::TraceId,
            IdField::SpanId => Self::SpanId,
            IdField::ParentSpanId => Self::ParentSpanId,
        }
    }
}

// === impl Refused ===

impl Refused {
    /// Of what one tenant has in a request of several.
    pub(super) fn of_a_share() -> Self {
        Self {
            of_a_share: true,
            ..Self::default()
        }
    }

    /// Whether every span was taken.
    pub fn is_empty(&self) -> bool {
        self.total() == 0
    }

    /// How many spans were refused: OTLP's `rejected_spans`.
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// How many spans were refused for each reason that occurred.
    pub fn by_reason(&self) -> impl Iterator<Item = (Reason, u64)> + '_ {
        Reason::ALL
            .into_iter()
            .zip(self.counts)
            .filter(|(_, count)| *count > 0)
    }

    /// Counts a span, the one at `position` in the request.
    pub(super) fn add(&mut self, reason: Reason, place: Place, position: u64, span: &Span<'_>) {
        self.count(reason);
        if self.first.is_none() {
            let name = String::from_utf8_lossy(span.name);
            let name: String = name.chars().take(MOST_OF_A_NAME).collect();
            let of = if self.of_a_share {
                "its tenant's share of the request"
            } else {
                "the request"
            };
            self.first = Some(format!(
                "span {position} of {of} (name {name:?}, trace id {}, span id {}) has {} in {}",
                Hex(span.trace_id),
                Hex(span.span_id),
                reason.text(),
                place.text(),
            ));
        }
    }

    /// Counts a span that was refused because all it came with grows too large.
    pub(super) fn add_grown(&mut self) {
        self.count(Reason::TooLarge);
        self.first.get_or_insert_with(|| {
            "the request's resources, repeated for each of its traces, take up too much".to_owned()
        });
    }

    fn count(&mut self, reason: Reason) {
        for (known, count) in Reason::ALL.into_iter().zip(&mut self.counts) {
            if known == reason {
                *count += 1;
            }
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(first) = &self.first else {
            return write!(f, "no span was refused");
        };
        write!(f, "refused")?;
        for (position, (reason, count)) in self.by_reason().enumerate() {
            let comma = if position > 0 { "," } else { "" };
            let spans = if count == 1 { "span" } else { "spans" };
            write!(f, "{comma} {count} {spans} with {}", reason.text())?;
        }
        write!(f, "; the first: {first}")
    }
}

// === impl Place ===

impl Place {
    fn text(self) -> &'static str {
        match self {
            Self::Span => "it",
            Self::Resource => "its resource",
            Self::Scope => "its scope",
        }
    }
}

// === impl Hex ===

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return write!(f, "empty");
        }
        for byte in self.0.iter().take(16) {
            write!(f, "{byte:02x}")?;
        }
        if self.0.len() > 16 {
            write!(f, "... ({} bytes)", self.0.len())?;
        }
        Ok(())
    }
}
