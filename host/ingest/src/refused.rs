//! The refused spans of a request, counted by reason.

use std::borrow::Cow;
use std::fmt;

use larder_model::Hex;
use larder_proto::otlp::{IdField, Span};

use super::Limits;

/// Reason why a span was refused (E3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// Its trace id is not 16 bytes, or all of them are zero.
    TraceId,
    /// Its span id is not 8 bytes, or all of them are zero.
    SpanId,
    /// Its parent's span id is neither empty nor 8 bytes. Jaeger cannot decode an answer with it.
    ParentSpanId,
    /// The trace id of a link is neither empty nor 16 bytes, or its span id neither empty nor 8 bytes. Jaeger cannot decode an answer
    /// with it.
    LinkId,
    /// A string in it, in its resource or in its scope is not valid UTF-8. Such a request is repaired and read again, so no answer tells this
    /// reason.
    Utf8,
    /// Jaeger cannot decode it, its resource or its scope: it contains a group.
    Undecodable,
    /// A value in it, in its resource or in its scope has more than 64 levels of arrays and maps
    /// ([`larder_proto::otlp::MAX_LEVELS`]).
    Nesting,
    /// It is in the field of clients before OTLP 0.15, and its resource has spans in the newer field too. As for Jaeger, those count.
    Superseded,
    /// With its resource and its scope it exceeds the maximum size of a span.
    TooLarge,
}

/// Numbers of refused spans, by reason. `Display` gives the message of OTLP's `partial_success`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refused {
    counts: [u64; Reason::ALL.len()],
    /// True if positions count within a share of the request.
    of_share: bool,
    /// Description of the first refused span.
    first: Option<String>,
}

/// The message that is the reason for a refusal.
#[derive(Clone, Copy, Debug)]
pub(super) enum Part {
    Span,
    Resource,
    Scope,
}

/// Maximum characters of a span's name in the description.
const MAX_NAME_CHARS: usize = 64;

// === impl Reason ===

impl Reason {
    /// Every reason, in the order in which messages list them.
    pub const ALL: [Self; 9] = [
        Self::TraceId,
        Self::SpanId,
        Self::ParentSpanId,
        Self::LinkId,
        Self::Utf8,
        Self::Undecodable,
        Self::Nesting,
        Self::Superseded,
        Self::TooLarge,
    ];

    /// The value of the metric attribute.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TraceId => "trace_id",
            Self::SpanId => "span_id",
            Self::ParentSpanId => "parent_span_id",
            Self::LinkId => "link_id",
            Self::Utf8 => "utf8",
            Self::Undecodable => "undecodable",
            Self::Nesting => "nesting",
            Self::Superseded => "superseded",
            Self::TooLarge => "too_large",
        }
    }

    /// Description of the fault, for messages.
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
            Self::Nesting => "a value of more than 64 nested arrays and maps",
            Self::Superseded => "instrumentation_library_spans beside scope_spans",
            Self::TooLarge => {
                "more bytes than limits.max_span_bytes and limits.memory allow a span"
            }
        }
    }

    /// The same with the number that the span exceeds, if there is one.
    fn text_with(self, limits: &Limits) -> Cow<'static, str> {
        if self != Self::TooLarge {
            return self.text().into();
        }
        let most = limits.max_span_bytes;
        let why = "which is the most that limits.max_span_bytes and limits.memory allow";
        format!("more than {most} bytes, {why},").into()
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
    /// Counts for one tenant's share of a request.
    pub(super) fn of_share() -> Self {
        Self {
            of_share: true,
            ..Self::default()
        }
    }

    /// Returns `true` if no span was refused.
    pub fn is_empty(&self) -> bool {
        self.total() == 0
    }

    /// Number of refused spans, for OTLP's `rejected_spans`.
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Returns `true` if a span was refused for this reason.
    pub(super) fn has(&self, reason: Reason) -> bool {
        self.by_reason()
            .any(|(refused_for, _)| refused_for == reason)
    }

    /// Number of refused spans for each reason that occurred.
    pub fn by_reason(&self) -> impl Iterator<Item = (Reason, u64)> + '_ {
        Reason::ALL
            .into_iter()
            .zip(self.counts)
            .filter(|(_, count)| *count > 0)
    }

    /// Counts a refused span, the one at `position` in the request.
    pub(super) fn add(
        &mut self,
        (reason, part): (Reason, Part),
        position: u64,
        span: &Span<'_>,
        limits: &Limits,
    ) {
        self.count(reason);
        if self.first.is_none() {
            let name = String::from_utf8_lossy(span.name);
            let name: String = name.chars().take(MAX_NAME_CHARS).collect();
            let of = if self.of_share {
                "its tenant's share of the request"
            } else {
                "the request"
            };
            self.first = Some(format!(
                "span {position} of {of} (name {name:?}, trace id {}, span id {}) has {} in {}",
                id_text(span.trace_id),
                id_text(span.span_id),
                reason.text_with(limits),
                part.text(),
            ));
        }
    }

    /// Counts a span that was refused because the fragments of its request grew too large.
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

// === impl Part ===

impl Part {
    fn text(self) -> &'static str {
        match self {
            Self::Span => "it",
            Self::Resource => "its resource",
            Self::Scope => "its scope",
        }
    }
}

/// At most 16 bytes of an id.
fn id_text(id: &[u8]) -> String {
    if id.is_empty() {
        return "empty".to_owned();
    }
    format!("{:.16}", Hex(id))
}
