//! Which spans of a request were left out, and why.

use std::fmt;

/// Why a span was refused (E3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// Its trace id is not 16 bytes, or all of them are zero.
    TraceId,
    /// Its span id is not 8 bytes, or all of them are zero.
    SpanId,
    /// A string in it, in its resource or in its scope is not valid UTF-8.
    Utf8,
    /// With its resource and its scope it is larger than a message may be.
    TooLarge,
}

/// How many spans were refused, by reason. Displayed, it is the text of OTLP's `partial_success`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refused {
    counts: [u64; Reason::ALL.len()],
    /// What is wrong with the first span refused.
    first: Option<String>,
}

// === impl Reason ===

impl Reason {
    /// Every reason, in the order in which they are named.
    pub const ALL: [Self; 4] = [Self::TraceId, Self::SpanId, Self::Utf8, Self::TooLarge];

    /// The word for metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TraceId => "trace_id",
            Self::SpanId => "span_id",
            Self::Utf8 => "utf8",
            Self::TooLarge => "too_large",
        }
    }

    /// What is wrong with spans that are refused for this reason.
    fn text(self) -> &'static str {
        match self {
            Self::TraceId => "a trace id that is not 16 bytes or all zero",
            Self::SpanId => "a span id that is not 8 bytes or all zero",
            Self::Utf8 => "a string that is not valid UTF-8",
            Self::TooLarge => "more bytes than a message may have",
        }
    }
}

// === impl Refused ===

impl Refused {
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

    /// Counts spans; `first` says what is wrong with the first of them, and is asked for only where it is the first of all.
    pub(super) fn add(&mut self, reason: Reason, spans: u64, first: impl FnOnce() -> String) {
        for (known, count) in Reason::ALL.into_iter().zip(&mut self.counts) {
            if known == reason {
                *count += spans;
            }
        }
        if spans > 0 && self.first.is_none() {
            self.first = Some(first());
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
