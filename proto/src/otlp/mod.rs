//! Zero-copy views of OTLP traces: of an encoded `TracesData`, or `ExportTraceServiceRequest`, which is the same on the wire.
//!
//! Views accept and refuse the same bytes as prost for the `opentelemetry-proto` types, with two exceptions. For a string that is not
//! valid UTF-8 prost refuses the whole message; a view only clears its `utf8`. Prost also refuses a message with a value nested deeper than
//! a hundred messages; a view reads [`MAX_LEVELS`] of arrays and maps, and for more it only clears `nesting`. As the wire format requires,
//! the last occurrence of a field counts, and messages that occur more than once are merged.
//!
//! Jaeger's client decodes answers with a stricter decoder, [`pdata`]: one id of a wrong length or one group makes a whole message
//! unreadable. Faults that only pdata refuses clear `decodable` or `ids_valid`, or set [`Span::invalid_id`]. Like pdata, views check each
//! id sent, even if only the last one counts.
//!
//! Views are lazy: [`Span::parse`] does not read attributes, events and links until they are iterated. To check a whole message, use the
//! `read` functions, which pass each part to a closure.

mod headers;
pub mod pdata;
pub mod repair;
mod span;
mod value;

pub use headers::{Resource, ResourceSpans, Scope, ScopeSpans, TracesData};
pub use span::{Child, Event, IdField, Link, Span};
pub use value::{AnyValue, KeyValue, MAX_LEVELS, entries, values};

use std::ops::BitAndAssign;

use crate::wire::{Error, Field, Fields};

/// Maximum nesting inside each message, counted like in prost from the enclosing `TracesData`. Values have a limit of their own,
/// [`MAX_LEVELS`].
pub mod depth {
    use crate::wire::DEPTH;

    /// Inside `ResourceSpans`.
    pub const RESOURCE_SPANS: u32 = DEPTH - 1;
    /// Inside `Resource`.
    pub const RESOURCE: u32 = RESOURCE_SPANS - 1;
    /// Inside a resource's `EntityRef`.
    pub const ENTITY_REF: u32 = RESOURCE - 1;
    /// Inside `ScopeSpans`.
    pub const SCOPE_SPANS: u32 = RESOURCE_SPANS - 1;
    /// Inside `InstrumentationScope`.
    pub const SCOPE: u32 = SCOPE_SPANS - 1;
    /// Inside `Span`.
    pub const SPAN: u32 = SCOPE_SPANS - 1;
    /// Inside a span's `Event`, `Link` or `Status`.
    pub const SPAN_CHILD: u32 = SPAN - 1;
}

/// The service of a resource without a `service.name`. These names are those of Jaeger's sanitizers.
pub const MISSING_SERVICE_NAME: &str = "missing-service-name";
/// The service of a resource whose `service.name` is empty.
pub const EMPTY_SERVICE_NAME: &str = "empty-service-name";
/// The service of a resource whose `service.name` is not a string.
pub const SERVICE_NAME_WRONG_TYPE: &str = "service-name-wrong-type";
/// The name of a span whose name is empty.
pub const EMPTY_SPAN_NAME: &str = "empty-span-name";

/// Returns `true` if the bytes are valid UTF-8.
#[inline]
pub fn is_utf8(bytes: &[u8]) -> bool {
    bytes.is_ascii() || simdutf8::basic::from_utf8(bytes).is_ok()
}

/// Returns `true` if pdata accepts the length of this trace id. It accepts zeros, which count as absent.
#[inline]
pub fn is_trace_id_len(id: &[u8]) -> bool {
    matches!(id.len(), 0 | 16)
}

/// Returns `true` if pdata accepts the length of this span id or parent span id.
#[inline]
pub fn is_span_id_len(id: &[u8]) -> bool {
    matches!(id.len(), 0 | 8)
}

/// Result of checking a well-formed message, with everything inside it that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// True if every string is valid UTF-8.
    pub utf8: bool,
    /// True if pdata accepts it, its nesting apart.
    pub decodable: bool,
    /// True if no value has more than [`MAX_LEVELS`] of arrays and maps. What is deeper has not been checked.
    pub nesting: bool,
}

impl Validity {
    /// The validity of an empty message.
    pub const VALID: Self = Self {
        utf8: true,
        decodable: true,
        nesting: true,
    };
}

impl BitAndAssign for Validity {
    #[inline]
    fn bitand_assign(&mut self, other: Self) {
        self.utf8 &= other.utf8;
        self.decodable &= other.decodable;
        self.nesting &= other.nesting;
    }
}

/// The encoded messages in a repeated field.
#[derive(Clone, Debug)]
struct Repeated<'a> {
    fields: Fields<'a>,
    number: u32,
}

impl<'a> Repeated<'a> {
    fn new(message: &'a [u8], number: u32) -> Self {
        Self {
            fields: Fields::new(message),
            number,
        }
    }
}

impl<'a> Iterator for Repeated<'a> {
    type Item = Result<&'a [u8], Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let number = self.number;
        let is_wanted = |field: &Result<Field<'_>, Error>| match field {
            Ok(field) => field.number == number,
            Err(_) => true,
        };
        let field = self.fields.by_ref().find(is_wanted)?;
        Some(field.and_then(|field| field.bytes()))
    }
}

/// The attributes of a span, an event, a link, a resource or a scope, in the order sent.
#[derive(Clone, Debug)]
pub struct Attributes<'a> {
    /// The enclosing messages of a resource's or scope's attributes. There are several if it was sent more than once.
    parents: Option<Repeated<'a>>,
    attributes: Repeated<'a>,
}

impl<'a> Attributes<'a> {
    /// The attributes in field `number` of a message.
    fn of(message: &'a [u8], number: u32) -> Self {
        Self {
            parents: None,
            attributes: Repeated::new(message, number),
        }
    }

    /// The attributes in field `number` of the messages in field `parent` of a message.
    fn inside(message: &'a [u8], parent: u32, number: u32) -> Self {
        Self {
            parents: Some(Repeated::new(message, parent)),
            attributes: Repeated::new(&[], number),
        }
    }
}

impl<'a> Iterator for Attributes<'a> {
    type Item = Result<KeyValue<'a>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(attribute) = self.attributes.next() {
                return Some(attribute.and_then(KeyValue::parse));
            }
            match self.parents.as_mut()?.next()? {
                Ok(parent) => self.attributes = Repeated::new(parent, self.attributes.number),
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

#[cfg(test)]
mod tests;
