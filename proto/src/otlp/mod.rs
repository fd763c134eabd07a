//! Views of OTLP traces: an encoded `TracesData` (or `ExportTraceServiceRequest`, the same on the wire) is read where it lies.
//!
//! A view takes and refuses what prost's decoding into the `opentelemetry-proto` types does, with one exception: a string that is
//! not valid UTF-8, for which prost refuses all, only clears the view's `utf8`. Of a field that occurs more than once the last
//! one counts, and messages merge, as the wire format asks for.
//!
//! Jaeger's client reads answers with a stricter decoder, [`pdata`], for which one id of a wrong length or one group makes all of a
//! message unreadable. What it refuses and prost does not clears `decodable` or `ids_fit`, or sets [`Span::misfit`]. It looks at
//! each id sent, also where only the last one counts.
//!
//! Views are lazy: [`Span::parse`] leaves attributes, events and links unread until they are iterated. To know that all of a
//! message is well-formed, read it with the `read` functions, which hand over each part.

mod headers;
pub mod pdata;
mod span;
mod value;

pub use headers::{Resource, ResourceSpans, Scope, ScopeSpans, TracesData};
pub use span::{Child, Event, IdField, Link, Span};
pub use value::{AnyValue, KeyValue, entries, values};

use std::ops::BitAndAssign;

use crate::wire::{Error, Field, Fields};

/// How many levels may be nested inside each message, counted as prost does from the `TracesData` around it.
pub mod depth {
    use crate::wire::DEPTH;

    /// Inside `ResourceSpans`.
    pub const RESOURCE_SPANS: u32 = DEPTH - 1;
    /// Inside `Resource`.
    pub const RESOURCE: u32 = RESOURCE_SPANS - 1;
    /// Inside a resource's `KeyValue` or `EntityRef`.
    pub const RESOURCE_ATTRIBUTE: u32 = RESOURCE - 1;
    /// Inside `ScopeSpans`.
    pub const SCOPE_SPANS: u32 = RESOURCE_SPANS - 1;
    /// Inside `InstrumentationScope`.
    pub const SCOPE: u32 = SCOPE_SPANS - 1;
    /// Inside a scope's `KeyValue`.
    pub const SCOPE_ATTRIBUTE: u32 = SCOPE - 1;
    /// Inside `Span`.
    pub const SPAN: u32 = SCOPE_SPANS - 1;
    /// Inside a span's `KeyValue`, `Event`, `Link` or `Status`.
    pub const SPAN_CHILD: u32 = SPAN - 1;
    /// Inside the `KeyValue` of an event or a link.
    pub const GRANDCHILD_ATTRIBUTE: u32 = SPAN_CHILD - 1;
}

/// Whether the bytes are UTF-8.
#[inline]
pub fn is_utf8(bytes: &[u8]) -> bool {
    bytes.is_ascii() || simdutf8::basic::from_utf8(bytes).is_ok()
}

/// Whether pdata takes this trace id. One of zeros it takes, as one that is absent.
#[inline]
pub fn fits_trace_id(id: &[u8]) -> bool {
    matches!(id.len(), 0 | 16)
}

/// Whether pdata takes this span id, or parent's span id.
#[inline]
pub fn fits_span_id(id: &[u8]) -> bool {
    matches!(id.len(), 0 | 8)
}

/// What is known of a well-formed message, with all that was read inside of it.
#[derive(Clone, Copy, Debug)]
struct Flags {
    /// Every string is valid UTF-8.
    utf8: bool,
    /// pdata takes it.
    decodable: bool,
}

impl Flags {
    const GOOD: Self = Self {
        utf8: true,
        decodable: true,
    };
}

impl BitAndAssign for Flags {
    #[inline]
    fn bitand_assign(&mut self, other: Self) {
        self.utf8 &= other.utf8;
        self.decodable &= other.decodable;
    }
}

/// The messages in one repeated field.
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
        let wanted = |field: &Result<Field<'_>, Error>| match field {
            Ok(field) => field.number == number,
            Err(_) => true,
        };
        let field = self.fields.by_ref().find(wanted)?;
        Some(field.and_then(|field| field.bytes()))
    }
}

/// The attributes of a span, an event, a link, a resource or a scope, in the order sent.
#[derive(Clone, Debug)]
pub struct Attributes<'a> {
    /// The messages that hold them, where those are themselves fields of something: a resource that is sent twice is merged.
    holders: Option<Repeated<'a>>,
    attributes: Repeated<'a>,
}

impl<'a> Attributes<'a> {
    /// Those in field `number` of a message.
    fn of(message: &'a [u8], number: u32) -> Self {
        Self {
            holders: None,
            attributes: Repeated::new(message, number),
        }
    }

    /// Those in field `number` of the message in field `holder` of a message.
    fn inside(message: &'a [u8], holder: u32, number: u32) -> Self {
        Self {
            holders: Some(Repeated::new(message, holder)),
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
            match self.holders.as_mut()?.next()? {
                Ok(holder) => self.attributes = Repeated::new(holder, self.attributes.number),
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

#[cfg(test)]
mod tests;
