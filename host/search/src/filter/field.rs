//! The built-in fields: values that a span has by itself, and not in a map of attributes (RFC 0005 5.2).

use std::fmt;

use larder_model::storage::{SpanKind, StatusCode};
use larder_model::terms::Level;

/// A built-in field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Field {
    SpanTraceId,
    SpanId,
    SpanParentId,
    SpanTraceState,
    SpanName,
    SpanKind,
    SpanStartTime,
    SpanEndTime,
    SpanDuration,
    SpanStatus,
    SpanStatusMessage,
    ResourceService,
    ResourceSchemaUrl,
    ScopeName,
    ScopeVersion,
    ScopeSchemaUrl,
    EventName,
    EventTime,
    EventTimeSinceStart,
    LinkTraceId,
    LinkSpanId,
    LinkTraceState,
}

/// What a field holds, and so what a constant beside it is read as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    Text,
    Duration,
    Timestamp,
    /// One of [`KINDS`].
    SpanKind,
    /// One of [`STATUSES`].
    SpanStatus,
}

/// The words of a span's kind, in the order of their numbers.
pub(crate) const KINDS: [&str; 6] = [
    "unspecified",
    "internal",
    "server",
    "client",
    "producer",
    "consumer",
];

/// The words of a span's status, in the order of their numbers.
pub(crate) const STATUSES: [&str; 3] = ["unset", "ok", "error"];

/// The word of a kind.
pub(crate) fn kind_word(kind: SpanKind) -> &'static str {
    KINDS.get(kind as usize).copied().unwrap_or_default()
}

/// The word of a status.
pub(crate) fn status_word(status: StatusCode) -> &'static str {
    STATUSES.get(status as usize).copied().unwrap_or_default()
}

const FIELDS: [(Field, &str, &str); 22] = [
    (Field::SpanTraceId, "span", "traceID"),
    (Field::SpanId, "span", "spanID"),
    (Field::SpanParentId, "span", "parentSpanID"),
    (Field::SpanTraceState, "span", "traceState"),
    (Field::SpanName, "span", "name"),
    (Field::SpanKind, "span", "kind"),
    (Field::SpanStartTime, "span", "startTime"),
    (Field::SpanEndTime, "span", "endTime"),
    (Field::SpanDuration, "span", "duration"),
    (Field::SpanStatus, "span", "status"),
    (Field::SpanStatusMessage, "span", "statusMessage"),
    (Field::ResourceService, "resource", "service"),
    (Field::ResourceSchemaUrl, "resource", "schemaURL"),
    (Field::ScopeName, "scope", "name"),
    (Field::ScopeVersion, "scope", "version"),
    (Field::ScopeSchemaUrl, "scope", "schemaURL"),
    (Field::EventName, "event", "name"),
    (Field::EventTime, "event", "time"),
    (Field::EventTimeSinceStart, "event", "timeSinceStart"),
    (Field::LinkTraceId, "link", "traceID"),
    (Field::LinkSpanId, "link", "spanID"),
    (Field::LinkTraceState, "link", "traceState"),
];

/// The field of this name at this level.
pub(super) fn lookup(level: &str, name: &str) -> Option<Field> {
    FIELDS
        .iter()
        .find(|entry| (entry.1, entry.2) == (level, name))
        .map(|entry| entry.0)
}

/// The level that a word names.
pub(super) fn level(word: &str) -> Option<Level> {
    Level::ALL
        .into_iter()
        .find(|level| level_word(*level) == word)
}

/// The word of a level.
pub fn level_word(level: Level) -> &'static str {
    match level {
        Level::Span => "span",
        Level::Resource => "resource",
        Level::Scope => "scope",
        Level::Event => "event",
        Level::Link => "link",
    }
}

// === impl Field ===

impl Field {
    /// Whether every span has it, be it zero or empty (V11).
    pub(crate) fn is_of_every_span(self) -> bool {
        matches!(
            self,
            Self::SpanTraceId
                | Self::SpanId
                | Self::SpanName
                | Self::SpanKind
                | Self::SpanStartTime
                | Self::SpanEndTime
                | Self::SpanDuration
                | Self::SpanStatus
        )
    }

    /// What it holds.
    pub(super) fn ty(self) -> Type {
        match self {
            Self::SpanKind => Type::SpanKind,
            Self::SpanStatus => Type::SpanStatus,
            Self::SpanStartTime | Self::SpanEndTime | Self::EventTime => Type::Timestamp,
            Self::SpanDuration | Self::EventTimeSinceStart => Type::Duration,
            _ => Type::Text,
        }
    }
}

/// As a query names it: `span.name`.
impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match FIELDS.iter().find(|entry| entry.0 == *self) {
            Some((_, level, name)) => write!(f, "{level}.{name}"),
            None => write!(f, "{self:?}"),
        }
    }
}

// === impl Type ===

impl Type {
    /// What it is called in an error.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Text => "string",
            Self::Duration => "duration",
            Self::Timestamp => "timestamp",
            Self::SpanKind => "spanKind",
            Self::SpanStatus => "spanStatus",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_is_found_by_the_name_that_it_shows() {
        for (field, level, name) in FIELDS {
            assert_eq!(lookup(level, name), Some(field));
            assert_eq!(field.to_string(), format!("{level}.{name}"));
        }
        assert_eq!(lookup("link", "name"), None);
        assert_eq!(lookup("", "name"), None);
    }
}
