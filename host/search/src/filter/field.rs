//! The built-in fields of a filter: values of a span outside its maps of attributes (RFC 0005 5.2).

use std::fmt;

use larder_model::storage::{SpanKind, StatusCode};
use larder_model::terms::Level;

/// Makes [`Field`], so that a new row is found by its name and has to be handled by every match.
macro_rules! fields {
    ($($variant:ident = $level:ident $name:literal,)+) => {
        /// A built-in field.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub(crate) enum Field {
            $($variant,)+
        }

        impl Field {
            /// Every field.
            const ALL: [Self; [$($name),+].len()] = [$(Self::$variant),+];

            /// The level that the field belongs to.
            fn level(self) -> Level {
                match self {
                    $(Self::$variant => Level::$level,)+
                }
            }

            /// The name of the field at its level.
            fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }
        }
    };
}

fields! {
    SpanTraceId = Span "traceID",
    SpanId = Span "spanID",
    SpanParentId = Span "parentSpanID",
    SpanTraceState = Span "traceState",
    SpanName = Span "name",
    SpanKind = Span "kind",
    SpanStartTime = Span "startTime",
    SpanEndTime = Span "endTime",
    SpanDuration = Span "duration",
    SpanStatus = Span "status",
    SpanStatusMessage = Span "statusMessage",
    ResourceService = Resource "service",
    ResourceSchemaUrl = Resource "schemaURL",
    ScopeName = Scope "name",
    ScopeVersion = Scope "version",
    ScopeSchemaUrl = Scope "schemaURL",
    EventName = Event "name",
    EventTime = Event "time",
    EventTimeSinceStart = Event "timeSinceStart",
    LinkTraceId = Link "traceID",
    LinkSpanId = Link "spanID",
    LinkTraceState = Link "traceState",
}

/// The type of a field, as which a constant compared with it is read.
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

/// The words for span kinds, in the order of their numbers.
pub(crate) const KINDS: [&str; 6] = [
    "unspecified",
    "internal",
    "server",
    "client",
    "producer",
    "consumer",
];

/// The words for statuses, in the order of their numbers.
pub(crate) const STATUSES: [&str; 3] = ["unset", "ok", "error"];

/// The word for a span kind in a filter.
pub(crate) fn kind_word(kind: SpanKind) -> &'static str {
    KINDS.get(kind as usize).copied().unwrap_or_default()
}

/// The word for a status in a filter.
pub(crate) fn status_word(status: StatusCode) -> &'static str {
    STATUSES.get(status as usize).copied().unwrap_or_default()
}

/// The field of this name at this level.
pub(super) fn lookup(level: &str, name: &str) -> Option<Field> {
    Field::ALL
        .into_iter()
        .find(|field| (level_word(field.level()), field.name()) == (level, name))
}

/// The level that a word of a filter names.
pub(super) fn level(word: &str) -> Option<Level> {
    Level::ALL
        .into_iter()
        .find(|level| level_word(*level) == word)
}

/// The word for a level in a filter.
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
    /// Returns `true` for a field that every span has, even if it is zero or empty (V11).
    pub(crate) fn is_of_every_span(self) -> bool {
        match self {
            Self::SpanTraceId
            | Self::SpanId
            | Self::SpanName
            | Self::SpanKind
            | Self::SpanStartTime
            | Self::SpanEndTime
            | Self::SpanDuration
            | Self::SpanStatus => true,
            Self::SpanParentId
            | Self::SpanTraceState
            | Self::SpanStatusMessage
            | Self::ResourceService
            | Self::ResourceSchemaUrl
            | Self::ScopeName
            | Self::ScopeVersion
            | Self::ScopeSchemaUrl
            | Self::EventName
            | Self::EventTime
            | Self::EventTimeSinceStart
            | Self::LinkTraceId
            | Self::LinkSpanId
            | Self::LinkTraceState => false,
        }
    }

    /// The type of the field's value.
    pub(super) fn ty(self) -> Type {
        match self {
            Self::SpanKind => Type::SpanKind,
            Self::SpanStatus => Type::SpanStatus,
            Self::SpanStartTime | Self::SpanEndTime | Self::EventTime => Type::Timestamp,
            Self::SpanDuration | Self::EventTimeSinceStart => Type::Duration,
            Self::SpanTraceId
            | Self::SpanId
            | Self::SpanParentId
            | Self::SpanTraceState
            | Self::SpanName
            | Self::SpanStatusMessage
            | Self::ResourceService
            | Self::ResourceSchemaUrl
            | Self::ScopeName
            | Self::ScopeVersion
            | Self::ScopeSchemaUrl
            | Self::EventName
            | Self::LinkTraceId
            | Self::LinkSpanId
            | Self::LinkTraceState => Type::Text,
        }
    }
}

/// Level and name, such as `span.name`.
impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", level_word(self.level()), self.name())
    }
}

// === impl Type ===

impl Type {
    /// The name of the type in an error.
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
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn every_field_is_found_by_the_name_that_it_shows() {
        for field in Field::ALL {
            let shown = field.to_string();
            let (level, name) = shown.split_once('.').unwrap();
            assert_eq!(lookup(level, name), Some(field));
        }
        assert_eq!(lookup("span", "traceID"), Some(Field::SpanTraceId));
        assert_eq!(lookup("link", "name"), None);
        assert_eq!(lookup("", "name"), None);
    }
}
