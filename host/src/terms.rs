//! The fingerprints of searchable facts, byte by byte as `wit/terms.md` fixes them.
//!
//! `ingest` makes the terms of what is stored, the planner the terms of what is asked; they meet inside a plugin, which only
//! compares them. Equal facts have equal terms; two facts may share one, so a term can widen a search and never decide it.

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::storage::{SpanKind, StatusCode, Term};

/// Where an attribute stands; the number is part of the stored format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Level {
    /// `Span.attributes`
    Span = 0,
    /// `Span.Event.attributes`
    Event = 1,
    /// `Span.Link.attributes`
    Link = 2,
    /// `Resource.attributes`
    Resource = 3,
    /// `InstrumentationScope.attributes`
    Scope = 4,
}

impl Level {
    /// Every level, in the order of their numbers.
    pub const ALL: [Self; 5] = [
        Self::Span,
        Self::Event,
        Self::Link,
        Self::Resource,
        Self::Scope,
    ];
}

const SERVICE: u64 = 1;
const SPAN_NAME: u64 = 2;
const SERVICE_AND_SPAN_NAME: u64 = 3;
const KIND: u64 = 4;
const STATUS: u64 = 5;
const SERVICE_WITH_ERROR: u64 = 6;
const SCOPE_NAME: u64 = 7;
const SCOPE_VERSION: u64 = 8;
const EVENT_NAME: u64 = 9;
const LINK_TRACE_ID: u64 = 10;
const ATTRIBUTE: u64 = 16;

fn chain(hash: u64, part: &[u8]) -> u64 {
    xxh3_64_with_seed(part, hash)
}

fn finish(hash: u64) -> Term {
    hash.max(1)
}

/// A resource's `service.name`, or "" where that is absent or not a string.
pub fn service(service: &[u8]) -> Term {
    finish(chain(SERVICE, service))
}

/// A span's name.
pub fn span_name(name: &[u8]) -> Term {
    finish(chain(SPAN_NAME, name))
}

/// A service and the name of one of its spans.
pub fn service_and_span_name(service: &[u8], name: &[u8]) -> Term {
    finish(chain(chain(SERVICE_AND_SPAN_NAME, service), name))
}

/// A span's kind.
pub fn kind(kind: SpanKind) -> Term {
    finish(chain(KIND, &[kind as u8]))
}

/// A span's status.
pub fn status(status: StatusCode) -> Term {
    finish(chain(STATUS, &[status as u8]))
}

/// A span of this service with status error.
pub fn service_with_error(service: &[u8]) -> Term {
    finish(chain(
        chain(SERVICE_WITH_ERROR, service),
        &[StatusCode::Error as u8],
    ))
}

/// An instrumentation scope's name.
pub fn scope_name(name: &[u8]) -> Term {
    finish(chain(SCOPE_NAME, name))
}

/// An instrumentation scope's version.
pub fn scope_version(version: &[u8]) -> Term {
    finish(chain(SCOPE_VERSION, version))
}

/// An event's name.
pub fn event_name(name: &[u8]) -> Term {
    finish(chain(EVENT_NAME, name))
}

/// A link's trace id, as its bytes stand on the wire.
pub fn link_trace_id(id: &[u8]) -> Term {
    finish(chain(LINK_TRACE_ID, id))
}

/// The hash of an attribute's key at a level, from which both of its terms are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttributeKey(u64);

impl AttributeKey {
    /// The key at the level.
    pub fn new(level: Level, key: &[u8]) -> Self {
        Self(chain(ATTRIBUTE + u64::from(level as u8), key))
    }

    /// An attribute with this key is present.
    pub fn present(self) -> Term {
        finish(self.0)
    }

    /// An attribute with this key has this string form (`crate::string_form`). Arrays and maps have no such term.
    pub fn with_value(self, string_form: &[u8]) -> Term {
        finish(chain(self.0, string_form))
    }
}
